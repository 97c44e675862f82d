// The engine over topics of a real broker, as keys grow from a thousand to ten million, with state
// in memory and with a memory limit of an eighth of it; with and without a checkpoint; and what it
// takes of memory. With --charts: over keys, sizes of records, partitions and threads.
//
// Each run is a process of its own, runs take turns, and each answer is checked against a plain
// fold.
//
//   keys_bench [--many N] [--rounds N] [--only few,many,...] [--quick] [--charts]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/child_run.h"
#include "bench/engine_run.h"
#include "bench/forgetful_checkpoint.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"

namespace tidemark {
namespace {

constexpr int64_t kUnlimitedMib = 6144;
constexpr int64_t kLeastLimit = int64_t{24} << 20;  // below, the engine's own floors decide
constexpr int kSlowRounds = 3;
constexpr int64_t kThousand = 1'000;
constexpr int64_t kMillion = 1'000'000;

struct BenchOptions {
  int64_t many = 10 * kMillion;
  int rounds = 7;
  bool quick = false;
  bool charts = false;
  std::vector<std::string> only = {};  // kinds of rows; none: all
  // Of a run.
  std::string role;
  std::string brokers;
  std::string topic;
  int64_t memory_limit_bytes = 0;
  int threads = 2;
  bool forgetful = false;
  int64_t early_rows = 0;
};

int Fail(std::string_view what) {
  fmt::print(stderr, "keys_bench: {}\n", what);
  return 1;
}

// ---- One run, in a process of its own

int64_t ResidentKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  }
  return 0;
}

// Prints the figures, then of what came after `early_rows` the seconds and the rows, then the most
// resident memory after and before them, in KiB.
int RunEngine(const BenchOptions& options) {
  const testing::TempDir folder;
  int64_t rows = 0, early_end = 0, early_kib = 0, late_kib = 0;
  const auto start = std::chrono::steady_clock::now();
  auto late_start = start;
  QueryOptions query;
  query.name = "keys";
  query.input = TopicInput(options.brokers);
  query.checkpoint =
      options.forgetful ? ForgetfulCheckpoint() : CheckpointFolder(folder.Path("checkpoint"));
  query.memory_limit = static_cast<size_t>(options.memory_limit_bytes);
  query.threads = options.threads;
  query.on_progress = [&](const Progress& progress) {
    int64_t& kib = rows < options.early_rows ? early_kib : late_kib;
    kib = std::max(kib, ResidentKib());
    if (rows < options.early_rows) {
      late_start = std::chrono::steady_clock::now();
      early_end = rows + progress.num_input_rows;
    }
    rows += progress.num_input_rows;
  };
  Job job;
  const absl::StatusOr<RunFigures> run = RunToAnswer(
      TotalsPerUser(job, options.topic, Json(TotalsSchema({})), Trigger::AvailableNow()),
      std::move(query));
  if (!run.ok()) return Fail(run.status().ToString());
  const double late_seconds =
      run->seconds - std::chrono::duration<double>(late_start - start).count();
  fmt::print("{} {} {} {} {}\n", run->ToText(), late_seconds, run->rows - early_end, late_kib,
             early_kib);
  return 0;
}

// ---- What is compared

struct Topic {
  TotalsRows rows;
  int32_t partitions = 4;
  Answer expected = {};
};

struct Run {
  double nanos = 0;  // a row, after the early ones
  double peak_mib = 0;
  double late_mib = 0;
  double early_mib = 0;
  int64_t state_bytes = 0;
};

struct Case {
  std::string topic;
  int64_t memory_limit_bytes = kUnlimitedMib << 20;
  int threads = 2;
  bool forgetful = false;
  int64_t early_rows = 0;  // before what is measured: the state is built
  bool slow = false;       // a minute and more a run
  std::vector<Run> runs = {};

  std::vector<double> All(double Run::*figure) const {
    std::vector<double> all;
    for (const Run& run : runs) all.push_back(run.*figure);
    return all;
  }
  double speed() const { return 1e9 / Median(All(&Run::nanos)); }
};

class Bench {
 public:
  explicit Bench(BenchOptions options) : options_(std::move(options)) {}

  absl::Status StartBroker() {
    absl::StatusOr<std::unique_ptr<testing::KafkaServer>> kafka = testing::KafkaServer::Start();
    if (!kafka.ok()) return kafka.status();
    kafka_ = *std::move(kafka);
    options_.brokers = kafka_->brokers();
    return absl::OkStatus();
  }

  absl::Status Load(const std::string& name, const TotalsRows& rows, int32_t partitions = 4) {
    fmt::print("Loading {}: {} rows, {} keys, {} partitions ...\n", name, rows.rows, rows.keys,
               partitions);
    std::fflush(stdout);
    topics_[name] = {rows, partitions, PlainFold(rows)};
    return LoadTopic(*kafka_, name, partitions, rows);
  }

  absl::StatusOr<Run> RunOnce(const Case& what) {
    const Topic& topic = topics_.at(what.topic);
    std::vector<std::string> arguments = {"--role",
                                          "engine",
                                          "--brokers",
                                          options_.brokers,
                                          "--topic",
                                          what.topic,
                                          "--threads",
                                          std::to_string(what.threads),
                                          "--memory-limit-bytes",
                                          std::to_string(what.memory_limit_bytes),
                                          "--early-rows",
                                          std::to_string(what.early_rows)};
    if (what.forgetful) arguments.push_back("--forgetful");
    const absl::StatusOr<ChildRun> child = RunSelf(arguments);
    if (!child.ok()) return child.status();
    const std::optional<RunFigures> figures = RunFigures::FromText(child->text);
    double late_seconds = 0;
    int64_t late_rows = 0, late_kib = 0, early_kib = 0;
    if (!figures ||
        std::sscanf(child->text.c_str(), "%*s %*s %*s %*s %*s %*s %*s %*s %*s %lf %ld %ld %ld",
                    &late_seconds, &late_rows, &late_kib, &early_kib) != 4) {
      return absl::InternalError("not figures: " + child->text);
    }
    if (figures->answer != topic.expected || figures->rows != topic.rows.rows + topic.partitions) {
      return absl::InternalError(fmt::format("{}: the answer is wrong: {} rows, {} (expected {})",
                                             what.topic, figures->rows, figures->answer.ToText(),
                                             topic.expected.ToText()));
    }
    Run run;
    run.nanos = late_seconds * 1e9 / static_cast<double>(late_rows);
    run.peak_mib = child->peak_mib;
    run.late_mib = static_cast<double>(late_kib) / 1024;
    run.early_mib = static_cast<double>(early_kib) / 1024;
    run.state_bytes = figures->state_bytes;
    fmt::print("  {:<10}{:>7} MiB limit{}  {:>6.0f} ns a row, {:>8} rows/s, peak {:.0f} MiB\n",
               what.topic, what.memory_limit_bytes >> 20, what.forgetful ? ", no checkpoint" : "",
               run.nanos, static_cast<int64_t>(1e9 / run.nanos), run.peak_mib);
    std::fflush(stdout);
    return run;
  }

  // In turn; slow ones kSlowRounds times at most.
  absl::Status RunAll(const std::vector<Case*>& cases, int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (Case* one : cases) {
        if (one->slow && round >= kSlowRounds) continue;
        const absl::StatusOr<Run> run = RunOnce(*one);
        if (!run.ok()) return run.status();
        one->runs.push_back(*run);
      }
    }
    return absl::OkStatus();
  }

  absl::Status MeasureBars();
  absl::Status MeasureCharts();

 private:
  bool Wants(const std::string& topic) const {
    return options_.only.empty() ||
           std::find(options_.only.begin(), options_.only.end(), topic) != options_.only.end();
  }
  void ReportRatio(int bar, const std::string& what, const Case& ours, const Case& theirs,
                   bool as_speed);

  BenchOptions options_;
  std::unique_ptr<testing::KafkaServer> kafka_;
  std::map<std::string, Topic> topics_;
};

void Bench::ReportRatio(int bar, const std::string& what, const Case& ours, const Case& theirs,
                        bool as_speed) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.runs.size(); ++i) {
    const double ratio = ours.runs[i].nanos / theirs.runs[i].nanos;
    ratios.push_back(as_speed ? 1 / ratio : ratio);
  }
  const double ours_nanos = Median(ours.All(&Run::nanos));
  const double theirs_nanos = Median(theirs.All(&Run::nanos));
  ReportFigure({.bar = bar,
                .what = what,
                .ours = as_speed ? 1e9 / ours_nanos : ours_nanos,
                .theirs = as_speed ? 1e9 / theirs_nanos : theirs_nanos,
                .ratio = Median(ratios),
                .unit = as_speed ? "rows/s" : "ns/row"});
}

// All keys once, so that the state is there; then half as many rows again, drawn.
TotalsRows Drawn(int64_t keys, KeyOrder order) {
  return {.rows = keys + keys / 2,
          .keys = keys,
          .rows_per_group = 2,
          .order = order,
          .even_rows = keys};
}

absl::Status Bench::MeasureBars() {
  const int64_t many = options_.many;
  const int64_t small = options_.quick ? kMillion : 12 * kMillion;
  const int64_t more = options_.quick ? kMillion : 10 * kMillion;
  const std::pair<const char*, TotalsRows> topics[] = {
      {"few", {.rows = small, .keys = kThousand}},
      {"medium", {.rows = options_.quick ? 2 * kMillion : 12 * kMillion}},
      {"many", {.rows = 2 * many, .keys = many, .rows_per_group = 2}},
      {"zipf", Drawn(many, KeyOrder::kZipf)},
      {"uniform", Drawn(many, KeyOrder::kUniform)},
      {"growing", {.rows = 3 * more}}};
  for (const auto& [name, rows] : topics) {
    if (!Wants(name)) continue;
    if (absl::Status status = Load(name, rows); !status.ok()) return status;
  }
  // Warms up the broker, and says how large the state is.
  Case few{.topic = "few"}, few_forgetful{.topic = "few", .forgetful = true};
  Case medium{.topic = "medium", .memory_limit_bytes = 384 << 20};
  Case medium_forgetful = medium;
  medium_forgetful.forgetful = true;
  Case growing{.topic = "growing", .memory_limit_bytes = 384 << 20, .early_rows = 2 * more};
  Case many_keys{.topic = "many"};
  Case zipf{.topic = "zipf", .early_rows = many, .slow = true};
  Case uniform{.topic = "uniform", .early_rows = many, .slow = true};
  if (Wants("zipf") || Wants("uniform")) {
    Case all_of_it{.topic = Wants("zipf") ? "zipf" : "uniform"};
    const absl::StatusOr<Run> sizes = RunOnce(all_of_it);
    if (!sizes.ok()) return sizes.status();
    zipf.memory_limit_bytes = std::max(sizes->state_bytes / 8, kLeastLimit);
    uniform.memory_limit_bytes = zipf.memory_limit_bytes;
  }
  std::vector<Case*> cases;
  for (Case* one :
       {&few, &few_forgetful, &medium, &medium_forgetful, &many_keys, &zipf, &uniform}) {
    if (Wants(one->topic)) cases.push_back(one);
  }
  absl::Status status = RunAll(cases, options_.rounds);
  if (status.ok() && Wants(growing.topic)) status = RunAll({&growing}, kSlowRounds);
  if (!status.ok()) return status;

  const auto ratio = [this](int bar, const std::string& what, const Case& ours, const Case& theirs,
                            bool as_speed) {
    if (Wants(ours.topic) && Wants(theirs.topic)) ReportRatio(bar, what, ours, theirs, as_speed);
  };
  ratio(6, fmt::format("{} keys in memory to {}", many, kThousand), many_keys, few, false);
  ratio(6,
        fmt::format("{} keys, Zipf(1.0), memory limit an eighth of the state, to {} keys", many,
                    kThousand),
        zipf, few, false);
  ratio(6,
        fmt::format("{} keys, uniform, memory limit an eighth of the state, to {} keys", many,
                    kThousand),
        uniform, few, false);
  ratio(7, "a checkpoint each second to none, 5 rows a group", medium, medium_forgetful, true);
  ratio(7, "a checkpoint each second to none, 1000 keys", few, few_forgetful, true);
  for (const Case* one : {&medium, &zipf, &uniform}) {
    if (one->runs.empty()) continue;
    ReportFigure({.bar = 12,
                  .what = fmt::format("peak resident memory to memory limit, {} rows", one->topic),
                  .ours = Median(one->All(&Run::peak_mib)),
                  .theirs = static_cast<double>(one->memory_limit_bytes) / (1 << 20),
                  .unit = "MiB"});
  }
  if (!growing.runs.empty()) {
    std::vector<double> ratios;
    for (const Run& run : growing.runs) ratios.push_back(run.late_mib / run.early_mib);
    ReportFigure({.bar = 12,
                  .what = fmt::format(
                      "resident memory after {} more rows of closing windows to before", more),
                  .ours = Median(growing.All(&Run::late_mib)),
                  .theirs = Median(growing.All(&Run::early_mib)),
                  .ratio = Median(ratios),
                  .unit = "MiB"});
  }
  return absl::OkStatus();
}

absl::Status Bench::MeasureCharts() {
  const int64_t rows = options_.quick ? 500'000 : 4 * kMillion;
  const int rounds = options_.quick ? 1 : 3;
  struct Point {
    std::string chart, series;
    double x;
    Case what;
  };
  std::vector<Point> points;
  const auto add = [&](const char* chart, const char* series, int64_t x, const TotalsRows& made,
                       int32_t partitions, int threads) {
    std::string name = fmt::format("{}-{}", chart, x);
    std::replace(name.begin(), name.end(), ' ', '-');
    points.push_back({chart, series, static_cast<double>(x), {.topic = name, .threads = threads}});
    return Load(name, made, partitions);
  };
  absl::Status status;
  for (int64_t keys = kThousand; keys <= options_.many && status.ok(); keys *= 10) {
    status = add("keys", "in memory", keys,
                 {.rows = std::max(rows, keys * 2), .keys = keys, .rows_per_group = 2}, 4, 2);
  }
  for (const int64_t bytes : {100, 300, 1'000, 3'000, 10'000}) {
    if (!status.ok()) break;
    status = add("value bytes", "rows", bytes,
                 {.rows = std::min(rows, rows * 200 / bytes), .value_bytes = bytes}, 4, 2);
  }
  for (const int32_t partitions : {1, 4, 16, 64}) {
    if (!status.ok()) break;
    status = add("partitions", "rows", partitions, {.rows = rows}, partitions, 2);
  }
  if (!status.ok()) return status;
  for (const int threads : {1, 2}) {
    points.push_back({"threads",
                      "JSON from Kafka",
                      static_cast<double>(threads),
                      {.topic = "partitions-4", .threads = threads}});
  }
  std::vector<Case*> cases;
  for (Point& point : points) cases.push_back(&point.what);
  if (status = RunAll(cases, rounds); !status.ok()) return status;
  for (const Point& point : points) {
    ReportPoint(point.chart, point.series, point.x, point.what.speed(), "rows/s");
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("The engine as keys grow, memory is short and checkpoints are made", "keys_bench");
  app.add_option("--many", options.many, "keys of the largest state")->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds that count")->capture_default_str();
  app.add_option("--only", options.only, "of few, medium, many, zipf, uniform, growing")
      ->delimiter(',')
      ->check(CLI::IsMember({"few", "medium", "many", "zipf", "uniform", "growing"}));
  app.add_flag("--quick", options.quick, "a million keys, fewer rows, three rounds");
  app.add_flag("--charts", options.charts,
               "points over keys, sizes, partitions and threads instead");
  app.add_option("--role", options.role)->group("");
  app.add_option("--brokers", options.brokers)->group("");
  app.add_option("--topic", options.topic)->group("");
  app.add_option("--memory-limit-bytes", options.memory_limit_bytes)->group("");
  app.add_option("--threads", options.threads)->group("");
  app.add_flag("--forgetful", options.forgetful)->group("");
  app.add_option("--early-rows", options.early_rows)->group("");
  CLI11_PARSE(app, argc, argv);
  if (options.role == "engine") return RunEngine(options);
  if (options.quick) {
    options.many = kMillion;
    options.rounds = 3;
  }
  const bool charts = options.charts;
  Bench bench(std::move(options));
  absl::Status status = bench.StartBroker();
  if (status.ok()) status = charts ? bench.MeasureCharts() : bench.MeasureBars();
  return status.ok() ? 0 : Fail(status.ToString());
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
