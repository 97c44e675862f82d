#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

std::vector<ColumnPtr> EvaluateAll(const std::vector<BoundExpression>& args, const RowBatch& batch,
                                   const Selection& rows, std::vector<ExpressionError>* errors) {
  std::vector<ColumnPtr> columns;
  for (const BoundExpression& arg : args) columns.push_back(arg.Evaluate(batch, rows, errors));
  return columns;
}

template <typename T>
void AppendLittleEndian(T value, std::string* out) {
  char bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out->append(bytes, sizeof(T));
}

// The encoding that Hash is taken over, fixed for ever and described in the README: per value a tag
// byte (0: null) and, little-endian, the value.
void AppendHashed(const Column& column, size_t row, std::string* out) {
  if (column.IsNull(row)) {
    out->push_back(0);
    return;
  }
  switch (column.type().id) {
    case TypeId::kBool:
      out->push_back(1);
      AppendLittleEndian(column.values<uint8_t>()[row], out);
      return;
    case TypeId::kInt32:
      out->push_back(2);
      AppendLittleEndian(static_cast<uint64_t>(int64_t{column.values<int32_t>()[row]}), out);
      return;
    case TypeId::kInt64:
      out->push_back(2);
      AppendLittleEndian(static_cast<uint64_t>(column.values<int64_t>()[row]), out);
      return;
    case TypeId::kDouble: {
      double value = column.values<double>()[row];
      if (value == 0) value = 0.0;  // -0.0 too
      if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
      out->push_back(3);
      AppendLittleEndian(std::bit_cast<uint64_t>(value), out);
      return;
    }
    case TypeId::kDecimal:
      out->push_back(4);
      out->push_back(static_cast<char>(column.type().scale));
      AppendLittleEndian(static_cast<UInt128>(column.values<Int128>()[row]), out);
      return;
    case TypeId::kString:
    case TypeId::kBytes: {
      const std::string_view text = column.text(row);
      out->push_back(column.type().id == TypeId::kString ? 5 : 6);
      AppendLittleEndian(uint64_t{text.size()}, out);
      out->append(text);
      return;
    }
    case TypeId::kDate:
      out->push_back(7);
      AppendLittleEndian(static_cast<uint32_t>(column.values<int32_t>()[row]), out);
      return;
    case TypeId::kTimestamp:
      out->push_back(8);
      AppendLittleEndian(static_cast<uint64_t>(column.values<int64_t>()[row]), out);
      return;
  }
}

class HashNode : public BoundNode {
 public:
  explicit HashNode(std::vector<BoundExpression> args) : args_(std::move(args)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    const std::vector<ColumnPtr> columns = EvaluateAll(args_, batch, rows, errors);
    auto out = std::make_shared<Column>(DataType::Int64(), batch.num_rows());
    int64_t* hashes = out->mutable_values<int64_t>();
    std::string encoded;
    ForEachRow(rows, [&](size_t row) {
      encoded.clear();
      for (const ColumnPtr& column : columns) AppendHashed(*column, row, &encoded);
      hashes[row] = static_cast<int64_t>(StableHash(encoded));
    });
    return out;
  }

 private:
  std::vector<BoundExpression> args_;
};

void AppendEscaped(std::string_view text, std::string* out) {
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' && text[i] != '|') continue;
    out->append(text, plain, i - plain);
    out->push_back('\\');
    plain = i;
  }
  out->append(text, plain, std::string_view::npos);
}

class RowKeyNode : public BoundNode {
 public:
  explicit RowKeyNode(std::vector<BoundExpression> args) : args_(std::move(args)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    const std::vector<ColumnPtr> columns = EvaluateAll(args_, batch, rows, errors);
    auto out = std::make_shared<Column>(DataType::String(), batch.num_rows());
    TextWriter writer(rows);
    ForEachRow(rows, [&](size_t row) {
      std::string* key = writer.Begin(row);
      for (size_t i = 0; i < columns.size(); ++i) {
        const Column& column = *columns[i];
        if (i > 0) key->push_back('|');
        if (column.IsNull(row)) {
          key->append("\\N");
        } else if (column.type().id == TypeId::kString) {
          AppendEscaped(column.text(row), key);
        } else {
          AppendValueText(column, row, key);  // never contains a bar or backslash
        }
      }
    });
    writer.Finish(out.get());
    return out;
  }

 private:
  std::vector<BoundExpression> args_;
};

}  // namespace

absl::StatusOr<BoundExpression> BindHash(const CallSite& call) {
  return BoundExpression(DataType::Int64(), std::make_shared<const HashNode>(call.args));
}

absl::StatusOr<BoundExpression> BindRowKey(const CallSite& call) {
  return BoundExpression(DataType::String(), std::make_shared<const RowKeyNode>(call.args));
}

}  // namespace tidemark
