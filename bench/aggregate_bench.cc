// Cost a row of the group-by on one thread: 100,000 groups with five rows each in a fresh window,
// count/sum/max, and the cost a group of reading the results. Items are rows (groups for the
// results).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/window_table.h"

namespace tidemark {
namespace {

constexpr size_t kGroups = 100'000;
constexpr size_t kRowsPerGroup = 5;
constexpr size_t kChunkRows = 16'384;
constexpr int64_t kWindow = 60'000'000;

enum KeyKind { kInt64Key, kStringKey, kTwoColumns };

// Rows of one window after the other, in random order of groups.
class Input {
 public:
  explicit Input(KeyKind kind)
      : schema_(std::make_shared<const Schema>(
            Schema().Timestamp("t").Int64("id").String("name").Int64("x"))) {
    std::mt19937_64 random(1);
    std::vector<uint32_t> groups;
    for (size_t i = 0; i < kGroups * kRowsPerGroup; ++i) groups.push_back(i % kGroups);
    std::shuffle(groups.begin(), groups.end(), random);
    for (size_t begin = 0; begin < groups.size(); begin += kChunkRows) {
      const size_t count = std::min(kChunkRows, groups.size() - begin);
      auto ids = std::make_shared<Column>(DataType::Int64(), count);
      auto names = std::make_shared<Column>(DataType::String(), count);
      auto values = std::make_shared<Column>(DataType::Int64(), count);
      auto arena = std::make_shared<Arena>();
      for (size_t i = 0; i < count; ++i) {
        const uint32_t group = groups[begin + i];
        ids->mutable_values<int64_t>()[i] = group;
        std::string name = "customer-" + std::to_string(1'000'000 + group);
        names->mutable_values<std::string_view>()[i] = arena->Copy(name);
        values->mutable_values<int64_t>()[i] = static_cast<int64_t>(random() % 1000);
      }
      names->AddStorage(arena);
      chunks_.push_back({ids, names, values});
    }
    spec_.window = TumblingWindow("t", absl::Microseconds(kWindow));
    if (kind != kStringKey) spec_.keys.push_back(Col("id"));
    if (kind != kInt64Key) spec_.keys.push_back(Col("name"));
    spec_.aggregates = {Count(), Sum("x"), Max("x")};
  }

  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  const AggregationSpec& spec() const { return spec_; }
  // All chunks, with times in the given windows, one after the other in disorder.
  std::vector<RowBatch> Window(int64_t number, int64_t windows = 1) const {
    std::vector<RowBatch> batches;
    for (const std::vector<ColumnPtr>& chunk : chunks_) {
      const size_t count = chunk[0]->size();
      auto times = std::make_shared<Column>(DataType::Timestamp(), count);
      for (size_t i = 0; i < count; ++i) {
        const int64_t window = number + static_cast<int64_t>(i * 7919) % windows;
        times->mutable_values<int64_t>()[i] = window * kWindow + static_cast<int64_t>(i);
      }
      batches.emplace_back(schema_, std::vector<ColumnPtr>{times, chunk[0], chunk[1], chunk[2]},
                           count);
    }
    return batches;
  }

 private:
  std::shared_ptr<const Schema> schema_;
  AggregationSpec spec_;
  std::vector<std::vector<ColumnPtr>> chunks_;
};

// The aggregation over a table in memory.
struct Engine {
  explicit Engine(const Input& input)
      : store(*checkpoint.Open(&created)),
        aggregation(*Aggregation::Create(input.spec(), input.schema(), false)),
        table(WindowTable::Create(store.get(), {1, aggregation->slot_layout(), 8})) {
    aggregation->Attach(table.get());
  }

  bool created = false;
  MemoryCheckpoint checkpoint;
  std::unique_ptr<CheckpointStore> store;
  std::unique_ptr<Aggregation> aggregation;
  std::unique_ptr<WindowTable> table;
};

void Prepare(benchmark::State& state, KeyKind kind, int64_t windows) {
  const Input input(kind);
  const Engine engine(input);
  const std::vector<RowBatch> batches = input.Window(0, windows);
  for (auto _ : state) {
    for (const RowBatch& batch : batches) {
      benchmark::DoNotOptimize(engine.aggregation->Prepare(batch, INT64_MIN));
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kGroups * kRowsPerGroup));
}

void PrepareAndApply(benchmark::State& state, KeyKind kind) {
  const Input input(kind);
  const Engine engine(input);
  int64_t window = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const std::vector<RowBatch> batches = input.Window(++window);
    state.ResumeTiming();
    for (const RowBatch& batch : batches) {
      const absl::Status status =
          engine.aggregation->Apply(*engine.aggregation->Prepare(batch, INT64_MIN));
      if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
    }
    state.PauseTiming();
    engine.table->Committed((window + 1) * kWindow);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kGroups * kRowsPerGroup));
}

void Results(benchmark::State& state, KeyKind kind) {
  const Input input(kind);
  const Engine engine(input);
  for (const RowBatch& batch : input.Window(0)) {
    const absl::Status status =
        engine.aggregation->Apply(*engine.aggregation->Prepare(batch, INT64_MIN));
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  for (auto _ : state) {
    const std::unique_ptr<ResultCursor> cursor = engine.aggregation->Touched();
    for (size_t rows = 0; rows < kGroups;) rows += (*cursor->Next())->num_rows();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kGroups));
}

BENCHMARK_CAPTURE(Prepare, int64_key, kInt64Key, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Prepare, int64_key_1000_windows, kInt64Key, 1000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Prepare, string_key, kStringKey, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Prepare, two_columns, kTwoColumns, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PrepareAndApply, int64_key, kInt64Key)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PrepareAndApply, string_key, kStringKey)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PrepareAndApply, two_columns, kTwoColumns)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Results, int64_key, kInt64Key)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Results, string_key, kStringKey)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidemark
