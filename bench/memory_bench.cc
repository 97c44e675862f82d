// The engine over rows that lie in memory, without a broker and without a checkpoint on disk: what
// decoding and aggregating alone can do. JSON on one and two threads, with shuffled members, with
// text as keys, and Avro; interleaved, each answer checked against a plain fold.
//
//   memory_bench [--rows N] [--rounds N] [--quick] [--duckdb COMMAND] [--write-rows FILE]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/child_run.h"
#include "bench/engine_run.h"
#include "bench/memory_records.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"

namespace tidemark {
namespace {

struct BenchOptions {
  int64_t rows = 4'000'000;
  int rounds = 5;
  bool quick = false;
  std::string rows_file;
  std::string duckdb;
};

struct Variant {
  std::string name;
  TotalsRows rows;
  RecordFormat format = RecordFormat::kJson;
  int threads = 1;
  std::shared_ptr<const MemoryRecords> records = nullptr;
  std::vector<double> speeds = {};
};

int Fail(std::string_view what) {
  fmt::print(stderr, "memory_bench: {}\n", what);
  return 1;
}

absl::StatusOr<RunFigures> RunOnce(const Variant& variant) {
  QueryOptions query;
  query.name = "memory";
  query.input = RecordsInput(variant.records);
  query.checkpoint = CheckpointInMemory(std::make_shared<MemoryCheckpoint>());
  query.threads = variant.threads;
  Job job;
  return RunToAnswer(
      TotalsPerUser(job, "orders", FormatOf(variant.rows, variant.format), Trigger::AvailableNow()),
      std::move(query), variant.rows.text_keys);
}

// As a peer reads them: a JSON document a line, the closing row left out.
absl::Status WriteRows(const std::string& path, const TotalsRows& rows) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return absl::InvalidArgumentError("cannot write " + path);
  bool ok = true;
  for (int64_t i = 0; i < rows.rows && ok; ++i) {
    const std::string line = JsonRecord(RowAt(i, rows), rows) + "\n";
    ok = std::fwrite(line.data(), 1, line.size(), file) == line.size();
  }
  ok = std::fclose(file) == 0 && ok;
  return ok ? absl::OkStatus() : absl::InvalidArgumentError("cannot write " + path);
}

// DuckDB beside the first variant (bench/peers/duckdb_totals.py).
class DuckDb {
 public:
  DuckDb(std::string command, const TotalsRows& rows) : command_(std::move(command)), rows_(rows) {}

  absl::Status Run(const Answer& expected, bool counts) {
    const std::string file = folder_.Path("rows");
    if (!written_) {
      if (absl::Status status = WriteRows(file, rows_); !status.ok()) return status;
      written_ = true;
    }
    const absl::StatusOr<ChildRun> child = RunCommand(command_, {{"TIDEMARK_BENCH_FILE", file}},
                                                      folder_.Path("log"), absl::Minutes(10));
    if (!child.ok()) return child.status();
    const std::optional<RunFigures> run = RunFigures::FromText(child->text);
    if (!run || run->answer != expected) {
      return absl::InternalError(fmt::format("DuckDB's answer is wrong: {} (expected {})",
                                             child->text, expected.ToText()));
    }
    if (!counts) return absl::OkStatus();
    speeds_.push_back(static_cast<double>(run->rows) / run->seconds);
    fmt::print("     {:<24}{:>12.0f} rows/s\n", "DuckDB, JSON, 1 thread", speeds_.back());
    return absl::OkStatus();
  }
  const std::vector<double>& speeds() const { return speeds_; }

 private:
  const std::string command_;
  const TotalsRows rows_;
  const testing::TempDir folder_;
  bool written_ = false;
  std::vector<double> speeds_;
};

// Medians over the rounds: of each speed, and of the ratio of a round's two.
void Report(int bar, const std::string& what, const Variant& ours, const Variant& theirs) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.speeds.size(); ++i) {
    ratios.push_back(ours.speeds[i] / theirs.speeds[i]);
  }
  ReportFigure({.bar = bar,
                .what = what,
                .ours = Median(ours.speeds),
                .theirs = Median(theirs.speeds),
                .ratio = Median(ratios),
                .unit = "rows/s"});
}

int RunBench(const BenchOptions& options) {
  const TotalsRows rows{.rows = options.rows};
  TotalsRows shuffled = rows;
  shuffled.shuffled_fields = true;
  TotalsRows text = rows;
  text.text_keys = true;
  fmt::print("Making {} rows of {} bytes, {} keys ...\n", rows.rows,
             JsonRecord(RowAt(1, rows), rows).size(), rows.keys);
  std::fflush(stdout);
  const auto json = MakeRecords(rows, RecordFormat::kJson);
  std::vector<Variant> variants = {
      {.name = "JSON, 1 thread", .rows = rows, .records = json},
      {.name = "JSON, 2 threads", .rows = rows, .threads = 2, .records = json},
      {.name = "JSON, shuffled members",
       .rows = shuffled,
       .records = MakeRecords(shuffled, RecordFormat::kJson)},
      {.name = "JSON, text keys", .rows = text, .records = MakeRecords(text, RecordFormat::kJson)},
      {.name = "Avro, 1 thread",
       .rows = rows,
       .format = RecordFormat::kAvro,
       .records = MakeRecords(rows, RecordFormat::kAvro)}};
  const Answer expected = PlainFold(rows);  // the same whatever the encoding
  DuckDb duckdb(options.duckdb, rows);
  absl::Status duckdb_status;

  for (int round = 0; round <= options.rounds; ++round) {
    for (Variant& variant : variants) {
      const absl::StatusOr<RunFigures> run = RunOnce(variant);
      if (!run.ok()) return Fail(run.status().ToString());
      if (run->answer != expected || run->rows != rows.rows + 1) {
        return Fail(fmt::format("{}: the answer is wrong: {} rows, {} (expected {})", variant.name,
                                run->rows, run->answer.ToText(), expected.ToText()));
      }
      if (round == 0) continue;  // the allocator's pages are there, the clock is up
      variant.speeds.push_back(static_cast<double>(run->rows) / run->seconds);
      fmt::print("{:>3}  {:<24}{:>12.0f} rows/s{:>5} batches\n", round, variant.name,
                 variant.speeds.back(), run->batches);
      std::fflush(stdout);
    }
    if (!options.duckdb.empty() && duckdb_status.ok()) {
      duckdb_status = duckdb.Run(expected, round > 0);
    }
  }
  const Variant& one = variants[0];
  ReportFigure({.bar = 5,
                .what = "from memory, JSON, 1 thread",
                .ours = Median(one.speeds),
                .unit = "rows/s"});
  Report(5, "from memory, JSON, 2 threads to 1", variants[1], one);
  Report(5, "from memory, JSON, shuffled members to in order", variants[2], one);
  Report(13, "from memory, JSON, keys of 16 bytes of text to integers", variants[3], one);
  Report(13, "from memory, Avro to JSON", variants[4], one);
  ReportPoint("threads", "JSON from memory", 1, Median(one.speeds), "rows/s");
  ReportPoint("threads", "JSON from memory", 2, Median(variants[1].speeds), "rows/s");
  if (options.duckdb.empty()) return 0;
  if (!duckdb_status.ok()) return Fail(duckdb_status.ToString());
  Variant peer{.name = "DuckDB", .rows = rows};
  peer.speeds = duckdb.speeds();
  Report(5, "from memory, JSON, 1 thread, to DuckDB", one, peer);
  return 0;
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Rows from memory: decode and aggregate alone, answers checked", "memory_bench");
  app.add_option("--rows", options.rows, "rows a run")->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds that count")->capture_default_str();
  app.add_flag("--quick", options.quick, "a million rows, three rounds");
  app.add_option("--duckdb", options.duckdb, "a command that runs DuckDB over a file of the rows");
  app.add_option("--write-rows", options.rows_file,
                 "writes the rows as lines of JSON, prints their answer, and ends");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.rows = 1'000'000;
    options.rounds = 3;
  }
  if (!options.rows_file.empty()) {
    const TotalsRows rows{.rows = options.rows};
    const absl::Status status = WriteRows(options.rows_file, rows);
    if (!status.ok()) return Fail(status.ToString());
    fmt::print("{}\n", PlainFold(rows).ToText());
    return 0;
  }
  return RunBench(options);
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
