#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/operators/transforms/failed_rows.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {
namespace {

class WithColumn : public Transform {
 public:
  /// `index` is the place of the column in the output: one past the input's columns if it is new.
  WithColumn(size_t index, NamedExpression value, std::shared_ptr<const Schema> schema,
             OnExpressionError on_error)
      : index_(index), value_(std::move(value)), schema_(std::move(schema)), on_error_(on_error) {}

  const std::shared_ptr<const Schema>& output_schema() const override { return schema_; }
  void Apply(RowBatch* batch, ChunkStats* stats) const override {
    FailedRows failed;
    std::vector<ColumnPtr> columns = batch->columns();
    columns.resize(schema_->size());
    columns[index_] = failed.Evaluate(value_, *batch);
    failed.Finish(on_error_, batch, stats);
    *batch = batch->WithColumns(schema_, std::move(columns));
  }

 private:
  size_t index_;
  NamedExpression value_;
  std::shared_ptr<const Schema> schema_;
  OnExpressionError on_error_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transform>> MakeWithColumn(const std::string& name,
                                                          const Expr& value,
                                                          std::shared_ptr<const Schema> input,
                                                          OnExpressionError on_error) {
  if (name.empty()) return absl::InvalidArgumentError("WithColumn: the column's name is empty");
  absl::StatusOr<BoundExpression> bound = Bind(value, *input);
  if (!bound.ok()) return bound.status();
  std::vector<Field> fields = input->fields();
  const size_t index = input->Find(name).value_or(fields.size());
  if (index == fields.size()) fields.emplace_back();
  fields[index] = Field();
  fields[index].name = name;
  fields[index].type = bound->type();
  return std::make_unique<WithColumn>(
      index, NamedExpression{*std::move(bound), fmt::format("{} = {}", name, value.Name())},
      std::make_shared<const Schema>(std::move(fields)), on_error);
}

}  // namespace tidemark
