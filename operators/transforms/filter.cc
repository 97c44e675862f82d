#include <fmt/format.h>

#include <memory>
#include <utility>

#include "tidemark/operators/transforms/failed_rows.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {
namespace {

class Filter : public Transform {
 public:
  Filter(NamedExpression condition, std::shared_ptr<const Schema> schema,
         OnExpressionError on_error)
      : condition_(std::move(condition)), schema_(std::move(schema)), on_error_(on_error) {}

  const std::shared_ptr<const Schema>& output_schema() const override { return schema_; }
  void Apply(RowBatch* batch, ChunkStats* stats) const override {
    FailedRows failed;
    const ColumnPtr condition = failed.Evaluate(condition_, *batch);
    failed.Finish(on_error_, batch, stats);
    batch->set_selection(SelectTrue(*condition, batch->selection()));
  }

 private:
  NamedExpression condition_;
  std::shared_ptr<const Schema> schema_;
  OnExpressionError on_error_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transform>> MakeFilter(const Expr& condition,
                                                      std::shared_ptr<const Schema> input,
                                                      OnExpressionError on_error) {
  absl::StatusOr<BoundExpression> bound = Bind(condition, *input);
  if (!bound.ok()) return bound.status();
  if (bound->type() != DataType::Bool()) {
    return absl::InvalidArgumentError(
        fmt::format("Filter({}): the condition is of type {}; compare it with something, as in "
                    "Col(\"n\") > 0",
                    condition.Name(), bound->type().ToString()));
  }
  return std::make_unique<Filter>(NamedExpression{*std::move(bound), condition.Name()},
                                  std::move(input), on_error);
}

}  // namespace tidemark
