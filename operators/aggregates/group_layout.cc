#include "tidemark/operators/aggregates/group_layout.h"

#include <fmt/format.h>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

ColumnPtr TimeColumn(std::span<const int64_t> times, int64_t minus) {
  auto column = std::make_shared<Column>(DataType::Timestamp(), times.size());
  for (size_t i = 0; i < times.size(); ++i) {
    column->mutable_values<int64_t>()[i] = times[i] - minus;
  }
  return column;
}

}  // namespace

absl::Status GroupLayout::DecodeGroups(std::span<const int64_t> window_ends,
                                       std::span<const std::string_view> keys,
                                       const std::shared_ptr<Arena>& arena,
                                       std::vector<ColumnPtr>* columns) const {
  if (window_columns() > 0) {
    columns->push_back(TimeColumn(window_ends, windows->size()));
    columns->push_back(TimeColumn(window_ends, 0));
  }
  if (absl::Status status = codec.Decode(keys, arena, columns); !status.ok()) return status;
  if (time_key.has_value()) {
    columns->insert(columns->begin() + static_cast<ptrdiff_t>(*time_key),
                    TimeColumn(window_ends, 0));
  }
  return absl::OkStatus();
}

absl::Status GroupLayout::OverflowError(size_t aggregate, int64_t window_end,
                                        std::string_view key) const {
  std::vector<ColumnPtr> columns;
  const auto arena = std::make_shared<Arena>();
  if (absl::Status status = DecodeGroups({&window_end, 1}, {&key, 1}, arena, &columns);
      !status.ok()) {
    return status;
  }
  std::string group;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!group.empty()) group += ", ";
    group += output->field(i).name + "=";
    if (columns[i]->IsNull(0)) {
      group += "NULL";
    } else {
      AppendValueText(*columns[i], 0, &group);
    }
  }
  return absl::InvalidArgumentError(fmt::format(
      "{} does not fit {} in the group ({}): aggregate a wider type (a decimal or double), or let "
      "it become null with --on-overflow null",
      aggregate_names[aggregate], accumulators.type(aggregate).ToString(), group));
}

}  // namespace tidemark
