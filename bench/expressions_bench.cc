#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/expressions/functions.h"
#include "tidemark/operators/transforms/transform.h"

// Expressions over one chunk of 8,192 rows; items per second are rows per second.

namespace tidemark {
namespace {

constexpr size_t kRows = 8192;

/// id, store_id, quantity int64; price double; op string; created_at timestamp; total decimal.
const RowBatch& Chunk(bool with_nulls) {
  static const auto make = [](bool nulls) {
    const auto schema = std::make_shared<const Schema>(Schema()
                                                           .Int64("id")
                                                           .Int64("store_id")
                                                           .Int64("quantity")
                                                           .Double("price")
                                                           .String("op")
                                                           .Timestamp("created_at")
                                                           .Decimal("total", 12, 2));
    std::mt19937_64 random(42);
    std::vector<std::shared_ptr<Column>> columns;
    for (const Field& field : schema->fields()) {
      columns.push_back(std::make_shared<Column>(field.type, kRows));
    }
    static constexpr std::string_view kOps[] = {"insert", "update", "delete", "read"};
    for (size_t row = 0; row < kRows; ++row) {
      columns[0]->mutable_values<int64_t>()[row] = static_cast<int64_t>(random() >> 20);
      columns[1]->mutable_values<int64_t>()[row] = static_cast<int64_t>(random() % 500);
      columns[2]->mutable_values<int64_t>()[row] = static_cast<int64_t>(random() % 10);
      columns[3]->mutable_values<double>()[row] = static_cast<double>(random() % 10000) / 100;
      columns[4]->mutable_values<std::string_view>()[row] = kOps[random() % 4];
      columns[5]->mutable_values<int64_t>()[row] =
          1'735'689'600'000'000 + static_cast<int64_t>(random() % 86'400'000) * 1000;
      columns[6]->mutable_values<Int128>()[row] = static_cast<int64_t>(random() % 1'000'000);
      for (const auto& column : columns) {
        if (nulls && random() % 10 == 0) column->SetNull(row);
      }
    }
    std::vector<ColumnPtr> shared(columns.begin(), columns.end());
    return new RowBatch(schema, std::move(shared), kRows);
  };
  static const RowBatch* const plain = make(false);
  static const RowBatch* const nulls = make(true);
  return with_nulls ? *nulls : *plain;
}

void Evaluate(benchmark::State& state, const Expr& expr) {
  const RowBatch& batch = Chunk(state.range(0) != 0);
  const BoundExpression bound = *Bind(expr, batch.schema());
  for (auto _ : state) {
    std::vector<ExpressionError> errors;
    benchmark::DoNotOptimize(bound.Evaluate(batch, batch.selection(), &errors));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRows));
}

void Filter(benchmark::State& state, const Expr& condition) {
  const RowBatch& batch = Chunk(state.range(0) != 0);
  const auto filter = *MakeFilter(condition, batch.schema_ptr(), OnExpressionError::kRejectRow);
  for (auto _ : state) {
    RowBatch filtered = batch;
    ChunkStats stats;
    filter->Apply(&filtered, &stats);
    benchmark::DoNotOptimize(filtered.selection().size());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRows));
}

void Watermark(benchmark::State& state) {
  const RowBatch& batch = Chunk(state.range(0) != 0);
  const auto observer = *MakeWatermarkObserver("created_at", batch.schema_ptr(), absl::Hours(1));
  RowBatch observed = batch;
  for (auto _ : state) {
    ChunkStats stats;
    observer->Apply(&observed, &stats);
    benchmark::DoNotOptimize(stats.event_time.max);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRows));
}

const Expr kTime = Col("created_at");

// The argument: 0 without nulls, 1 with a tenth of all values null.
BENCHMARK_CAPTURE(Filter, number, Col("quantity") > 4)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Filter, text, Col("op") == "delete")->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Filter, two_conditions, Col("quantity") > 4 && Col("op") != "read")
    ->Arg(0)
    ->Arg(1);
BENCHMARK(Watermark)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, add_int64, Col("id") + Col("quantity"))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, multiply_double, Col("price") * 1.19)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, multiply_decimal, Col("total") * DecimalLit("1.19"))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, divide_decimal, Col("total") / 7)->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, if_else, If(Col("op") == "delete", -Col("quantity"), Col("quantity")))
    ->Arg(0)
    ->Arg(1);
BENCHMARK_CAPTURE(Evaluate, coalesce, Coalesce(Col("quantity"), Lit(0L)))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, upper, Upper(Col("op")))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, substring, Substring(Col("op"), 1, 3))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, date_format, DateFormat(kTime, "yyyy-MM-dd HH:mm"))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, truncate_hour, Truncate("hour", kTime))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, truncate_month, Truncate("month", kTime))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, hash, Hash(Col("store_id"), Col("op")))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, row_key, RowKey(kTime, Col("store_id"), Col("op")))->Arg(0)->Arg(1);
BENCHMARK_CAPTURE(Evaluate, int64_to_text, Cast(Col("id"), DataType::String()))->Arg(0)->Arg(1);

}  // namespace
}  // namespace tidemark
