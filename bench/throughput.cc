// The engine against a do-nothing librdkafka loop: the same preloaded topic on a real broker, in
// turn, each run a process of its own. The engine counts, sums and takes the maximum per key and
// 60-second window with a durable checkpoint about each second; every run's result is checked
// against a plain fold over the generated rows (a wrong answer ends the bench with exit 1).
//
//   throughput [--rows N] [--keys N] [--rounds N] [--partitions N] [--memory-limit-mib N]
//   [--threads N]
#include <fcntl.h>
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/servers/kafka_server.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/streaming_query.h"
#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr char kTopic[] = "throughput";
constexpr int64_t kWindowSeconds = 60;
constexpr int64_t kStartSeconds = 1'735'689'600;  // 2025-01-01T00:00:00Z
constexpr int64_t kRowsPerGroup = 5;

struct BenchOptions {
  std::string role = "bench";
  std::string brokers;
  int64_t rows = 4'000'000;
  int64_t keys = 100'000;
  int rounds = 5;
  int32_t partitions = 4;
  int64_t memory_limit_mib = 384;
  int threads = 0;
};

// Row i of the topic. Each window has every key five times, in an order that jumps about; times
// jitter by up to 2 seconds.
struct BenchRow {
  int64_t key;
  int64_t time_us;
  int64_t amount;
};

BenchRow RowAt(int64_t i, const BenchOptions& options) {
  const int64_t window_rows = options.keys * kRowsPerGroup;
  const uint64_t random = StableHashInt(static_cast<uint64_t>(i) + 1);
  // A multiplier that shares no factor with the number of keys visits each of them once a round.
  const int64_t key = static_cast<int64_t>((static_cast<uint64_t>(i % options.keys) * 7'919) %
                                           static_cast<uint64_t>(options.keys));
  const int64_t millis =
      i * kWindowSeconds * 1000 / window_rows - static_cast<int64_t>(random % 2000);
  return {key, (kStartSeconds * 1000 + millis) * 1000,
          static_cast<int64_t>((random >> 20) % 10'000)};
}

std::string Json(const BenchRow& row) {
  std::string time;
  AppendTimestamp(row.time_us, &time);
  return fmt::format(
      R"({{"user_id":{},"event_time":"{}","amount":{},"country":"DE","channel":"web","session":"{:016x}{:016x}"}})",
      row.key, time, row.amount, StableHashInt(static_cast<uint64_t>(row.time_us)),
      StableHashInt(static_cast<uint64_t>(row.amount)));
}

// An order-independent sum over the groups, so that a run's answer is one number.
uint64_t GroupHash(int64_t window_start_us, int64_t key, int64_t count, int64_t sum, int64_t max) {
  uint64_t hash = StableHashInt(static_cast<uint64_t>(window_start_us) ^
                                StableHashInt(static_cast<uint64_t>(key)));
  for (int64_t value : {count, sum, max}) hash = StableHashInt(hash ^ static_cast<uint64_t>(value));
  return hash;
}

struct Answer {
  uint64_t hash = 0;
  int64_t groups = 0;
  friend bool operator==(const Answer&, const Answer&) = default;
};

// One row a partition, a day later, closes every window of the rows before.
BenchRow ClosingRow(const BenchOptions& options) {
  BenchRow last = RowAt(options.rows - 1, options);
  return {0, last.time_us + int64_t{86'400'000'000}, 0};
}

Answer PlainFold(const BenchOptions& options) {
  struct Group {
    int64_t count = 0, sum = 0, max = INT64_MIN;
  };
  std::unordered_map<int64_t, std::unordered_map<int64_t, Group>> windows;
  for (int64_t i = 0; i < options.rows; ++i) {
    const BenchRow row = RowAt(i, options);
    const int64_t window = row.time_us - FloorMod(row.time_us, kWindowSeconds * 1'000'000);
    Group& group = windows[window][row.key];
    ++group.count;
    group.sum += row.amount;
    group.max = std::max(group.max, row.amount);
  }
  Answer answer;
  for (const auto& [window, groups] : windows) {
    for (const auto& [key, group] : groups) {
      answer.hash += GroupHash(window, key, group.count, group.sum, group.max);
      ++answer.groups;
    }
  }
  return answer;
}

// Takes the windows as they close and keeps nothing but the sum of their hashes.
class AnswerSink : public Sink {
 public:
  explicit AnswerSink(Answer* answer) : answer_(*answer) {}
  std::string description() const override { return "Answer"; }
  bool exactly_once() const override { return false; }
  absl::Status Open(const SinkContext&) override { return absl::OkStatus(); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    while (true) {
      absl::StatusOr<const RowBatch*> next = rows.Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) break;
      const int64_t* columns[5];
      const int indexes[5] = {0, 2, 3, 4,
                              5};  // window_start, (window_end,) user_id, count, sum, max
      for (int i = 0; i < 5; ++i) columns[i] = (*next)->column(indexes[i]).values<int64_t>();
      (*next)->selection().ForEach([&](uint32_t row) {
        answer_.hash += GroupHash(columns[0][row], columns[1][row], columns[2][row],
                                  columns[3][row], columns[4][row]);
        ++answer_.groups;
      });
    }
    SinkMarker marker;
    marker.batch_id = batch.batch_id;
    marker.row_count = rows.row_count();
    return marker;
  }

 private:
  Answer& answer_;
};

Query TotalsPerUser(Job& job) {
  return job.Source(kTopic)
      .Decode(Json(Schema().Int64("user_id").Timestamp("event_time").Int64("amount")))
      .WithWatermark("event_time", absl::Seconds(30))
      .GroupBy(TumblingWindow("event_time", absl::Seconds(kWindowSeconds)), "user_id")
      .Aggregate(Count().As("orders"), Sum("amount").As("total"), Max("amount").As("most"))
      .WriteTo(job.Sink("totals").Key("window_start", "user_id"), OutputMode::kAppend,
               Trigger::AvailableNow());
}

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

int Fail(std::string_view what) {
  fmt::print(stderr, "throughput: {}\n", what);
  return 1;
}

// ---- The two that are compared: each prints `<rows> <seconds> <batches> <hash> <groups>`

int RunRaw(const BenchOptions& options) {
  char error[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  const std::pair<const char*, std::string> settings[] = {{"bootstrap.servers", options.brokers},
                                                          {"group.id", "raw"},
                                                          {"enable.auto.commit", "false"},
                                                          {"enable.auto.offset.store", "false"},
                                                          {"auto.offset.reset", "error"},
                                                          {"queued.min.messages", "10000000"},
                                                          {"queued.max.messages.kbytes", "98304"},
                                                          {"fetch.message.max.bytes", "4194304"},
                                                          {"fetch.wait.max.ms", "10"}};
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name, value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK)
      return Fail(error);
  }
  const auto start = std::chrono::steady_clock::now();
  rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (consumer == nullptr) return Fail(error);
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* partitions =
      rd_kafka_topic_partition_list_new(options.partitions);
  for (int32_t p = 0; p < options.partitions; ++p) {
    rd_kafka_topic_partition_list_add(partitions, kTopic, p)->offset = 0;
  }
  rd_kafka_assign(consumer, partitions);
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(consumer);
  std::vector<rd_kafka_message_t*> messages(10'000);
  const int64_t wanted = options.rows + options.partitions;
  int64_t rows = 0;
  uint64_t bytes = 0;
  while (rows < wanted && Seconds(start) < 300) {
    const ssize_t count =
        rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    for (ssize_t i = 0; i < count; ++i) {
      rows += messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
      bytes += messages[i]->len;
      rd_kafka_message_destroy(messages[i]);
    }
  }
  fmt::print("{} {} 0 {} 0\n", rows, Seconds(start), bytes);
  std::fflush(stdout);
  _exit(rows == wanted ? 0 : 1);  // the consumer's slow good-bye is not part of the comparison
}

int RunEngine(const BenchOptions& options) {
  testing::TempDir folder;
  Answer answer;
  QueryOptions query;
  query.name = "throughput";
  KafkaSourceOptions kafka;
  kafka.brokers = options.brokers;
  kafka.starting_offsets = "earliest";
  query.input = KafkaInput(kafka);
  query.output.make = [&](const SinkRequest&) -> absl::StatusOr<std::unique_ptr<Sink>> {
    return std::make_unique<AnswerSink>(&answer);
  };
  query.checkpoint = CheckpointFolder(folder.Path("checkpoint"));
  query.bad_records = BadRecordPolicy::kFail;
  query.memory_limit = static_cast<size_t>(options.memory_limit_mib) << 20;
  query.threads = options.threads;
  query.logger = std::make_shared<SilentLogger>();
  if (std::getenv("TIDEMARK_BENCH_PROGRESS") != nullptr) {
    query.on_progress = [](const Progress& progress) {
      fmt::print(stderr, "{}\n", progress.ToJson());
    };
  }
  Job job;
  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<std::unique_ptr<StreamingQuery>> running =
      Start(TotalsPerUser(job), std::move(query));
  if (!running.ok()) return Fail(running.status().ToString());
  if (absl::Status status = (*running)->AwaitTermination(); !status.ok())
    return Fail(status.ToString());
  const double seconds = Seconds(start);
  const RunTotals totals = (*running)->totals();
  fmt::print("{} {} {} {} {}\n", totals.rows, seconds, totals.batches, answer.hash, answer.groups);
  return 0;
}

// ---- The bench

struct Run {
  int64_t rows = 0;
  double seconds = 0;
  int64_t batches = 0;
  Answer answer;
  double peak_mib = 0;
  double cpu_seconds = 0;
};

absl::StatusOr<Run> RunChild(const std::string& role, const BenchOptions& options) {
  int out[2];
  if (pipe(out) != 0) return absl::InternalError("pipe failed");
  const pid_t child = fork();
  if (child == 0) {
    dup2(out[1], STDOUT_FILENO);
    close(out[0]);
    close(out[1]);
    const std::vector<std::string> args = {"throughput",
                                           "--role",
                                           role,
                                           "--brokers",
                                           options.brokers,
                                           "--rows",
                                           std::to_string(options.rows),
                                           "--keys",
                                           std::to_string(options.keys),
                                           "--partitions",
                                           std::to_string(options.partitions),
                                           "--memory-limit-mib",
                                           std::to_string(options.memory_limit_mib),
                                           "--threads",
                                           std::to_string(options.threads)};
    std::vector<char*> argv;
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }
  close(out[1]);
  std::string text;
  char buffer[512];
  for (ssize_t got; (got = read(out[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  close(out[0]);
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  Run run;
  if (status != 0 || std::sscanf(text.c_str(), "%ld %lf %ld %lu %ld", &run.rows, &run.seconds,
                                 &run.batches, &run.answer.hash, &run.answer.groups) != 5) {
    return absl::InternalError(fmt::format("the {} run failed (status {})", role, status));
  }
  run.peak_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  const auto time = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  run.cpu_seconds = time(usage.ru_utime) + time(usage.ru_stime);
  return run;
}

absl::Status Load(testing::KafkaServer& kafka, const BenchOptions& options) {
  if (absl::Status status = kafka.CreateTopic(kTopic, options.partitions); !status.ok())
    return status;
  for (int32_t p = 0; p < options.partitions; ++p) {
    // Row i is in partition i mod partitions; the last record of each closes the windows.
    const int64_t count = (options.rows - p + options.partitions - 1) / options.partitions;
    const auto row = [&, p, count](int64_t i) {
      return i == count ? ClosingRow(options) : RowAt(i * options.partitions + p, options);
    };
    absl::Status status = kafka.ProduceMany(
        kTopic, p, count + 1, [&](int64_t i) { return Json(row(i)); },
        [&](int64_t i) { return row(i).time_us / 1000; });
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int RunBench(BenchOptions options) {
  absl::StatusOr<std::unique_ptr<testing::KafkaServer>> kafka = testing::KafkaServer::Start();
  if (!kafka.ok()) return Fail(kafka.status().ToString());
  options.brokers = (*kafka)->brokers();
  fmt::print("Loading {} rows of {} bytes, {} keys, {} partitions, into a real broker ...\n",
             options.rows, Json(RowAt(1, options)).size(), options.keys, options.partitions);
  std::fflush(stdout);
  if (absl::Status status = Load(**kafka, options); !status.ok()) return Fail(status.ToString());
  const Answer expected = PlainFold(options);

  std::vector<double> ratios, raw_speeds, engine_speeds, peaks, nanos;
  fmt::print("\n{:>5}  {:>14}  {:>14}  {:>6}  {:>8}  {:>10}  {:>9}\n", "round", "raw rows/s",
             "engine rows/s", "ratio", "batches", "CPU ns/row", "peak MiB");
  for (int round = 0; round <= options.rounds; ++round) {
    absl::StatusOr<Run> raw = RunChild("raw", options);
    absl::StatusOr<Run> engine = RunChild("engine", options);
    if (!raw.ok() || !engine.ok()) return Fail((raw.ok() ? engine : raw).status().ToString());
    if (engine->answer != expected || engine->rows != options.rows + options.partitions) {
      return Fail(fmt::format("the engine's answer is wrong: {} rows, {} groups (expected {})",
                              engine->rows, engine->answer.groups, expected.groups));
    }
    if (round == 0) continue;  // warms the page cache and the broker
    raw_speeds.push_back(static_cast<double>(raw->rows) / raw->seconds);
    engine_speeds.push_back(static_cast<double>(engine->rows) / engine->seconds);
    ratios.push_back(engine_speeds.back() / raw_speeds.back());
    peaks.push_back(engine->peak_mib);
    nanos.push_back(engine->cpu_seconds * 1e9 / static_cast<double>(engine->rows));
    fmt::print("{:>5}  {:>14.0f}  {:>14.0f}  {:>6.2f}  {:>8}  {:>10.0f}  {:>9.0f}\n", round,
               raw_speeds.back(), engine_speeds.back(), ratios.back(), engine->batches,
               nanos.back(), peaks.back());
    std::fflush(stdout);
  }
  fmt::print(
      "\nmedian: raw {:.0f} rows/s, engine {:.0f} rows/s, ratio {:.2f}, {:.0f} ns CPU a row, peak "
      "memory {:.0f} MiB (limit {} MiB); "
      "answers right in every round ({} groups)\n",
      Median(raw_speeds), Median(engine_speeds), Median(ratios), Median(nanos),
      *std::max_element(peaks.begin(), peaks.end()), options.memory_limit_mib, expected.groups);
  return 0;
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Engine against a do-nothing librdkafka loop, interleaved, answers checked",
               "throughput");
  app.add_option("--rows", options.rows, "rows in the topic")->capture_default_str();
  app.add_option("--keys", options.keys, "distinct keys")->capture_default_str();
  app.add_option("--rounds", options.rounds, "pairs that count")->capture_default_str();
  app.add_option("--partitions", options.partitions)->capture_default_str();
  app.add_option("--memory-limit-mib", options.memory_limit_mib)->capture_default_str();
  app.add_option("--threads", options.threads, "workers; 0: one a core")->capture_default_str();
  app.add_option("--role", options.role)->group("");
  app.add_option("--brokers", options.brokers)->group("");
  CLI11_PARSE(app, argc, argv);
  if (options.role == "raw") return RunRaw(options);
  if (options.role == "engine") return RunEngine(options);
  return RunBench(std::move(options));
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
