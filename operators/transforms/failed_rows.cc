#include "tidemark/operators/transforms/failed_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tidemark {

ColumnPtr FailedRows::Evaluate(const NamedExpression& expression, const RowBatch& batch) {
  errors_.clear();
  ColumnPtr column = expression.bound.Evaluate(batch, batch.selection(), &errors_);
  for (const ExpressionError& error : errors_) {
    failures_.push_back({error.row, error.what, &expression});
  }
  return column;
}

void FailedRows::Finish(OnExpressionError on_error, RowBatch* batch, ChunkStats* stats) {
  if (failures_.empty()) return;
  std::stable_sort(failures_.begin(), failures_.end(),
                   [](const Failure& a, const Failure& b) { return a.row < b.row; });
  const auto same_row = [](const Failure& a, const Failure& b) { return a.row == b.row; };
  failures_.erase(std::unique(failures_.begin(), failures_.end(), same_row), failures_.end());
  for (const Failure& failure : failures_) {
    const uint32_t index =
        batch->records() == nullptr ? failure.row : batch->source_record(failure.row);
    stats->failed.push_back({index, BadReason::kExpression,
                             fmt::format("{}: {}", failure.expression->text, failure.what)});
  }
  if (on_error == OnExpressionError::kNull) return;
  std::vector<uint32_t> kept;
  auto failure = failures_.begin();
  batch->selection().ForEach([&](uint32_t row) {
    while (failure != failures_.end() && failure->row < row) ++failure;
    if (failure == failures_.end() || failure->row != row) kept.push_back(row);
  });
  batch->set_selection(Selection::Rows(std::move(kept)));
}

}  // namespace tidemark
