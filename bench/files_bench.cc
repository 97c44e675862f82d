// Rows a second into Parquet and JSON files, from memory, synced and committed: orders of 8
// columns, 1,048,576 a batch.
//
//   files_bench [--quick] [--benchmark_filter=...]
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/report.h"
#include "tidemark/operators/sinks/json_files_sink.h"
#include "tidemark/operators/sinks/parquet_sink.h"

namespace tidemark {
namespace {

constexpr size_t kRowsABatch = 16'384;
constexpr size_t kBatches = 64;

Schema OrderSchema() {
  return Schema()
      .Int64("order_id")
      .String("customer_name")
      .String("restaurant_name")
      .String("item")
      .Double("amount")
      .String("order_status")
      .Timestamp("created_at")
      .Date("date");
}

// Orders of `days` days, day by day.
RowBatch MakeOrders(const std::shared_ptr<const Schema>& schema, size_t first, int days) {
  std::mt19937_64 random(first + 1);
  auto arena = std::make_shared<Arena>();
  std::vector<std::shared_ptr<Column>> columns;
  for (const Field& field : schema->fields()) {
    columns.push_back(std::make_shared<Column>(field.type, kRowsABatch));
    columns.back()->AddStorage(arena);
  }
  const auto text = [&](size_t column, size_t row, const char* prefix, uint64_t kinds) {
    columns[column]->mutable_values<std::string_view>()[row] =
        arena->Copy(prefix + std::to_string(random() % kinds));
  };
  for (size_t row = 0; row < kRowsABatch; ++row) {
    const auto day = static_cast<int64_t>(row * static_cast<size_t>(days) / kRowsABatch);
    columns[0]->mutable_values<int64_t>()[row] = static_cast<int64_t>(first + row);
    text(1, row, "customer ", 100'000);
    text(2, row, "restaurant ", 500);
    text(3, row, "item ", 2'000);
    columns[4]->mutable_values<double>()[row] = static_cast<double>(random() % 10'000) / 100;
    text(5, row, "status ", 4);
    columns[6]->mutable_values<int64_t>()[row] =
        (20'090 + day) * 86'400'000'000 + static_cast<int64_t>(random() % 86'400'000'000);
    columns[7]->mutable_values<int32_t>()[row] = static_cast<int32_t>(20'090 + day);
  }
  return RowBatch(schema, {columns.begin(), columns.end()}, kRowsABatch);
}

class Orders : public RowStream {
 public:
  explicit Orders(int days) {
    const auto schema = std::make_shared<const Schema>(OrderSchema());
    for (size_t i = 0; i < kBatches; ++i) {
      batches_.push_back(MakeOrders(schema, i * kRowsABatch, days));
    }
  }

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    return next_ == batches_.size() ? nullptr : &batches_[next_++];
  }
  absl::Status DoRewind() override {
    next_ = 0;
    return absl::OkStatus();
  }

 private:
  std::vector<RowBatch> batches_;
  size_t next_ = 0;
};

void Run(benchmark::State& state, Sink* sink, const std::string& folder, RowStream* rows) {
  SinkContext context;
  context.query_id = "0123abcd-4567-4e89-8abc-def012345678";
  context.sink = "lake";
  context.schema = OrderSchema();
  absl::Status status = sink->Open(context);
  SinkBatch batch;
  for (auto _ : state) {
    if (status.ok()) status = rows->Rewind();
    if (status.ok()) status = sink->Commit(batch, *rows).status();
    if (!status.ok()) return state.SkipWithError(std::string(status.message()).c_str());
    ++batch.batch_id;
  }
  const auto count = static_cast<double>(state.iterations() * kBatches * kRowsABatch);
  state.counters["rows/s"] = benchmark::Counter(count, benchmark::Counter::kIsRate);
  double bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += static_cast<double>(entry.file_size());
  }
  state.counters["bytes/row"] = bytes / count;
}

// A folder of its own under the working folder, so that the disk is a real one.
class Folder {
 public:
  Folder() {
    if (mkdtemp(path_) == nullptr) std::perror("mkdtemp");
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_; }

 private:
  char path_[32] = "./files_bench.XXXXXX";
};

std::vector<std::string> ByDate(const benchmark::State& state) {
  return state.range(0) == 0 ? std::vector<std::string>{} : std::vector<std::string>{"date"};
}
int DaysOf(const benchmark::State& state) { return std::max(1, static_cast<int>(state.range(0))); }

void BM_Parquet(benchmark::State& state) {
  const Folder folder;
  Orders rows(DaysOf(state));
  const auto sink = MakeParquetSink(folder.path(), {.partition_by = ByDate(state)});
  Run(state, sink.get(), folder.path(), &rows);
}
BENCHMARK(BM_Parquet)
    ->ArgName("days")
    ->Arg(0)
    ->Arg(1)
    ->Arg(30)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// 500 folders whose rows come mixed: four passes over the rows.
void BM_ParquetMixedFolders(benchmark::State& state) {
  const Folder folder;
  Orders rows(1);
  const auto sink = MakeParquetSink(folder.path(), {.partition_by = {"restaurant_name"}});
  Run(state, sink.get(), folder.path(), &rows);
}
BENCHMARK(BM_ParquetMixedFolders)->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_JsonLines(benchmark::State& state) {
  const Folder folder;
  Orders rows(DaysOf(state));
  const auto sink = MakeJsonFilesSink(folder.path(), {.partition_by = ByDate(state)});
  Run(state, sink.get(), folder.path(), &rows);
}
BENCHMARK(BM_JsonLines)
    ->ArgName("days")
    ->Arg(0)
    ->Arg(30)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Prints as usual, and reports the medians that have a bar.
class Reporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      speeds_[run.run_name.function_name + "/" + run.run_name.args].push_back(
          run.counters.at("rows/s"));
    }
  }
  void Finalize() override {
    ConsoleReporter::Finalize();
    for (const auto& [name, what] :
         {std::pair("BM_Parquet/days:0", "from memory to Parquet files"),
          std::pair("BM_JsonLines/days:0", "from memory to JSON files")}) {
      std::vector<double> speeds = speeds_[name];
      if (speeds.empty()) continue;
      std::sort(speeds.begin(), speeds.end());
      ReportFigure({.bar = 17, .what = what, .ours = speeds[speeds.size() / 2], .unit = "rows/s"});
    }
  }

 private:
  std::map<std::string, std::vector<double>> speeds_;
};

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  // scripts/bench gives every program --quick; a batch takes no less for it.
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]) != "--quick") arguments.push_back(argv[i]);
  }
  argc = static_cast<int>(arguments.size());
  benchmark::Initialize(&argc, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(argc, arguments.data())) return 1;
  tidemark::Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
}
