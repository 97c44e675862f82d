#ifndef TIDEMARK_OPERATORS_AGGREGATES_RESULT_BATCHES_H_
#define TIDEMARK_OPERATORS_AGGREGATES_RESULT_BATCHES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/operators/aggregates/group_layout.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// The groups of a table's cursor as batches of output rows: copies up to 8,192 groups, then works
/// a column at a time.
class ResultBatches : public ResultCursor {
 public:
  static constexpr size_t kBatchRows = 8192;

  ResultBatches(std::shared_ptr<const GroupLayout> layout, std::unique_ptr<GroupCursor> groups);
  absl::StatusOr<const RowBatch*> Next() override;

 private:
  // Copies the next groups; their keys and blobs go to `arena`.
  absl::Status Fill(Arena* arena);

  std::shared_ptr<const GroupLayout> layout_;  // shared with the aggregation that made this
  std::unique_ptr<GroupCursor> groups_;
  std::vector<int64_t> window_ends_;
  std::vector<std::string_view> keys_;
  std::unique_ptr<std::byte[]> slots_;
  std::optional<RowBatch> batch_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_RESULT_BATCHES_H_
