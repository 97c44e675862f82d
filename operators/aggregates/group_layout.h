#ifndef TIDEMARK_OPERATORS_AGGREGATES_GROUP_LAYOUT_H_
#define TIDEMARK_OPERATORS_AGGREGATES_GROUP_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/aggregates/accumulators.h"
#include "tidemark/operators/aggregates/group_key.h"
#include "tidemark/operators/aggregates/window.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// How a group of the table is a row of the output: what the key, the window end and the slot hold.
/// Immutable; shared by an aggregation and its cursors.
struct GroupLayout {
  std::vector<std::string> aggregate_names;
  std::optional<EventWindows> windows;  ///< nothing: no group ever closes, window end kNoWindow
  /// Without tumbling windows: which key column is the event time. It is the window end and not in
  /// the key bytes.
  std::optional<size_t> time_key;
  GroupKeyCodec codec;  ///< the other key columns
  Accumulators accumulators;
  bool fail_on_overflow;
  std::shared_ptr<const Schema>
      output;  ///< window_start and window_end (if tumbling), keys, aggregates

  size_t window_columns() const { return windows.has_value() && windows->is_tumbling() ? 2 : 0; }

  /// Turns groups (in any number) into the output's columns before the aggregates. DataLoss: a key
  /// is damaged.
  absl::Status DecodeGroups(std::span<const int64_t> window_ends,
                            std::span<const std::string_view> keys,
                            const std::shared_ptr<Arena>& arena,
                            std::vector<ColumnPtr>* columns) const;
  /// InvalidArgument naming the aggregate and the group.
  absl::Status OverflowError(size_t aggregate, int64_t window_end, std::string_view key) const;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_GROUP_LAYOUT_H_
