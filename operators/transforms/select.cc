#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/operators/transforms/failed_rows.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {
namespace {

class Select : public Transform {
 public:
  Select(std::vector<NamedExpression> columns, std::shared_ptr<const Schema> schema,
         OnExpressionError on_error)
      : columns_(std::move(columns)), schema_(std::move(schema)), on_error_(on_error) {}

  const std::shared_ptr<const Schema>& output_schema() const override { return schema_; }
  void Apply(RowBatch* batch, ChunkStats* stats) const override {
    FailedRows failed;
    std::vector<ColumnPtr> columns;
    for (const NamedExpression& column : columns_) {
      columns.push_back(failed.Evaluate(column, *batch));
    }
    failed.Finish(on_error_, batch, stats);
    *batch = batch->WithColumns(schema_, std::move(columns));
  }

 private:
  std::vector<NamedExpression> columns_;
  std::shared_ptr<const Schema> schema_;
  OnExpressionError on_error_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transform>> MakeSelect(const std::vector<Expr>& columns,
                                                      std::shared_ptr<const Schema> input,
                                                      OnExpressionError on_error) {
  if (columns.empty()) {
    return absl::InvalidArgumentError("Select(): names no columns; give it at least one");
  }
  std::vector<NamedExpression> expressions;
  auto schema = std::make_shared<Schema>();
  for (const Expr& column : columns) {
    absl::StatusOr<BoundExpression> bound = Bind(column, *input);
    if (!bound.ok()) return bound.status();
    const std::string name = column.Name();
    if (schema->Find(name)) {
      return absl::InvalidArgumentError(fmt::format(
          "Select: two columns are named '{}'; give one of them another name with As", name));
    }
    schema->Add(name, bound->type());
    expressions.push_back({*std::move(bound), name});
  }
  return std::make_unique<Select>(std::move(expressions), std::move(schema), on_error);
}

}  // namespace tidemark
