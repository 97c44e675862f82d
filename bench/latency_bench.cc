// How old a record is when its result is committed: a thousand rows a second into a real broker,
// the trigger `asap`, a durable checkpoint each batch. A record's age is the time from its Kafka
// timestamp (the producer's, whole milliseconds) to the return of the null sink's commit, by one
// clock.
//
//   latency_bench [--seconds N] [--slices N] [--rate N] [--spark COMMAND] [--quick]
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/child_run.h"
#include "bench/engine_run.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/streaming_query.h"
#include "tidemark/operators/sinks/null_sink.h"

namespace tidemark {
namespace {

constexpr char kTopic[] = "latency";
constexpr char kSparkTopic[] = "latency-spark";
constexpr int32_t kPartitions = 4;
constexpr int kWarmUpSeconds = 5;
constexpr int kSparkWarmUpSeconds = 20;  // its JIT compiler is at work

struct BenchOptions {
  int seconds = 10;  // a slice
  int slices = 5;
  int64_t rate = 1'000;
  bool quick = false;
  std::string spark;  // a command, as bench/peers/README.md has it
};

int Fail(const std::string& what) {
  fmt::print(stderr, "latency_bench: {}\n", what);
  return 1;
}

int64_t NowUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// When each batch's commit by the sink returned.
class CommitTimes {
 public:
  void Note(int64_t batch_id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    times_[batch_id] = NowUs();
  }
  int64_t Of(int64_t batch_id) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return times_.at(batch_id);
  }

 private:
  mutable std::mutex mutex_;
  std::map<int64_t, int64_t> times_;
};

class TimedNullSink : public Sink {
 public:
  explicit TimedNullSink(CommitTimes* times) : sink_(MakeNullSink()), times_(*times) {}
  std::string description() const override { return sink_->description(); }
  bool exactly_once() const override { return false; }
  absl::Status Open(const SinkContext& context) override { return sink_->Open(context); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    absl::StatusOr<SinkMarker> marker = sink_->Commit(batch, rows);
    times_.Note(batch.batch_id);
    return marker;
  }

 private:
  const std::unique_ptr<Sink> sink_;
  CommitTimes& times_;
};

// Sends row i at its time, to partition i mod kPartitions, with that time as its timestamp.
absl::Status Produce(const std::string& brokers, const char* topic, int64_t rows, int64_t rate,
                     std::vector<int64_t>* timestamps_ms) {
  char error[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"bootstrap.servers", brokers}, {"linger.ms", "0"}}) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) !=
        RD_KAFKA_CONF_OK) {
      return absl::InternalError(error);
    }
  }
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  if (producer == nullptr) return absl::InternalError(error);
  const TotalsRows shape{.rows = rows, .keys = 1'000, .rows_per_group = 60};
  const auto start = std::chrono::steady_clock::now();
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  for (int64_t i = 0; i < rows && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    std::this_thread::sleep_until(start + std::chrono::microseconds(i * 1'000'000 / rate));
    const std::string value = JsonRecord(RowAt(i, shape), shape);
    const int64_t now_ms = NowUs() / 1000;
    (*timestamps_ms)[static_cast<size_t>(i)] = now_ms;
    code = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
                             RD_KAFKA_V_PARTITION(static_cast<int32_t>(i % kPartitions)),
                             RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                             RD_KAFKA_V_TIMESTAMP(now_ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_END);
    rd_kafka_poll(producer, 0);
  }
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = rd_kafka_flush(producer, 10'000);
  rd_kafka_destroy(producer);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return absl::UnavailableError(rd_kafka_err2str(code));
}

double Percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
}

// The same for Spark, over as many rows; `ours`: our p99.
absl::Status MeasureSpark(testing::KafkaServer& kafka, const BenchOptions& options, double ours) {
  if (absl::Status status = kafka.CreateTopic(kSparkTopic, kPartitions); !status.ok()) {
    return status;
  }
  const int64_t warm_up = kSparkWarmUpSeconds * options.rate;
  const int64_t rows = warm_up + int64_t{options.seconds} * options.slices * options.rate;
  std::vector<int64_t> timestamps_ms(static_cast<size_t>(rows));
  const testing::TempDir folder;
  absl::Status produced = absl::InternalError("Spark never said that it was ready");
  const absl::StatusOr<ChildRun> child = RunCommand(
      options.spark,
      {{"TIDEMARK_BENCH_BROKERS", kafka.brokers()},
       {"TIDEMARK_BENCH_TOPIC", kSparkTopic},
       {"TIDEMARK_BENCH_PARTITIONS", std::to_string(kPartitions)},
       {"TIDEMARK_BENCH_ROWS", std::to_string(rows)},
       {"TIDEMARK_BENCH_END_SECONDS", std::to_string(kTotalsStartSeconds + 365 * 86'400)},
       {"TIDEMARK_BENCH_WARM_UP_ROWS", std::to_string(warm_up)},
       {"TIDEMARK_BENCH_FOLDER", folder.Path("spark")}},
      folder.Path("log"), absl::Minutes(10), [&] {
        produced = Produce(kafka.brokers(), kSparkTopic, rows, options.rate, &timestamps_ms);
      });
  if (!child.ok()) return child.status();
  if (!produced.ok()) return produced;
  int64_t measured = 0, batches = 0;
  double p50 = 0, p99 = 0;
  if (std::sscanf(child->text.c_str() + std::min(child->text.find('\n') + 1, child->text.size()),
                  "%ld %lf %lf %ld", &measured, &p50, &p99, &batches) != 4 ||
      measured != rows - warm_up) {
    return absl::InternalError("Spark printed no figures of all rows: " + child->text);
  }
  fmt::print("Spark: {} records in {} batches: p50 {:.0f} ms, p99 {:.0f} ms\n", measured, batches,
             p50, p99);
  ReportFigure(
      {.bar = 9,
       .what = fmt::format("{} rows/s, record to commit, p99, Spark to the engine", options.rate),
       .ours = ours,
       .theirs = p99,
       .ratio = p99 / ours,
       .unit = "ms"});
  return absl::OkStatus();
}

// `median_p99`: over the slices.
absl::Status MeasureEngine(testing::KafkaServer& kafka, const BenchOptions& options,
                           double* median_p99) {
  if (absl::Status status = kafka.CreateTopic(kTopic, kPartitions); !status.ok()) return status;

  const testing::TempDir folder;
  CommitTimes times;
  std::mutex mutex;
  std::vector<Progress> batches;
  std::atomic<int64_t> rows_done{0};
  QueryOptions query;
  query.name = "latency";
  query.input = TopicInput(kafka.brokers());
  query.output.make = [&](const SinkRequest&) -> absl::StatusOr<std::unique_ptr<Sink>> {
    return std::make_unique<TimedNullSink>(&times);
  };
  query.checkpoint = CheckpointFolder(folder.Path("checkpoint"));
  query.bad_records = BadRecordPolicy::kFail;
  query.logger = std::make_shared<SilentLogger>();
  query.on_progress = [&](const Progress& progress) {
    const std::lock_guard<std::mutex> lock(mutex);
    batches.push_back(progress);
    rows_done += progress.num_input_rows;
  };
  Job job;
  absl::StatusOr<std::unique_ptr<StreamingQuery>> running = Start(
      TotalsPerUser(job, kTopic, Json(TotalsSchema({})), Trigger::Asap(), OutputMode::kUpdate),
      std::move(query));
  if (!running.ok()) return running.status();

  const int64_t warm_up = kWarmUpSeconds * options.rate;
  const int64_t rows = warm_up + int64_t{options.seconds} * options.slices * options.rate;
  std::vector<int64_t> timestamps_ms(static_cast<size_t>(rows));
  absl::Status status = Produce(kafka.brokers(), kTopic, rows, options.rate, &timestamps_ms);
  for (int i = 0; i < 1'000 && status.ok() && rows_done < rows; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  (*running)->Stop();
  if (status.ok()) status = (*running)->AwaitTermination();
  if (!status.ok()) return status;
  if (rows_done != rows) {
    return absl::InternalError(fmt::format("{} of {} rows came through", rows_done.load(), rows));
  }

  std::vector<std::vector<double>> ages(static_cast<size_t>(options.slices));
  for (const Progress& batch : batches) {
    const int64_t committed_us = times.Of(batch.batch_id);
    for (const auto& [partition, end] : batch.source.end) {
      for (int64_t offset = batch.source.start.at(partition); offset < end; ++offset) {
        const int64_t i = offset * kPartitions + partition.partition;
        if (i < warm_up) continue;
        ages[static_cast<size_t>((i - warm_up) / (options.seconds * options.rate))].push_back(
            static_cast<double>(committed_us - timestamps_ms[static_cast<size_t>(i)] * 1000) /
            1000);
      }
    }
  }
  std::vector<double> p50, p99;
  for (const std::vector<double>& slice : ages) {
    p50.push_back(Percentile(slice, 0.5));
    p99.push_back(Percentile(slice, 0.99));
    fmt::print("{} records: p50 {:.2f} ms, p99 {:.2f} ms, most {:.2f} ms\n", slice.size(),
               p50.back(), p99.back(), Percentile(slice, 1));
  }
  fmt::print("{} batches\n", batches.size());
  const std::string what = fmt::format("{} rows/s, record to commit, ", options.rate);
  ReportFigure({.bar = 9, .what = what + "p50", .ours = Median(p50), .unit = "ms"});
  ReportFigure({.bar = 9, .what = what + "p99", .ours = Median(p99), .unit = "ms"});
  *median_p99 = Median(p99);
  return absl::OkStatus();
}

absl::Status RunBench(const BenchOptions& options) {
  const absl::StatusOr<std::unique_ptr<testing::KafkaServer>> kafka = testing::KafkaServer::Start();
  if (!kafka.ok()) return kafka.status();
  double p99 = 0;
  absl::Status status = MeasureEngine(**kafka, options, &p99);
  if (status.ok() && !options.spark.empty()) status = MeasureSpark(**kafka, options, p99);
  return status;
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("From a record's timestamp to its commit", "latency_bench");
  app.add_option("--seconds", options.seconds, "of a slice")->capture_default_str();
  app.add_option("--slices", options.slices, "whose percentiles' medians count")
      ->capture_default_str();
  app.add_option("--rate", options.rate, "rows a second")->capture_default_str();
  app.add_option("--spark", options.spark, "runs Spark for comparison (bench/peers/README.md)");
  app.add_flag("--quick", options.quick, "slices of 2 seconds");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) options.seconds = 2;
  const absl::Status status = RunBench(options);
  return status.ok() ? 0 : Fail(status.ToString());
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
