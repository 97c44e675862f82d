// Rows from memory into a topic of a real broker on the same machine: rows a second of each batch,
// a transaction each, and the CPU of this process a row.
//
//   kafka_sink_bench [--rows N] [--batches N] [--partitions N] [--kafka KEY=VALUE]...
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/servers/kafka_server.h"
#include "tidemark/operators/sinks/kafka_sink.h"

namespace tidemark {
namespace {

constexpr uint32_t kChunkRows = 16'384;
constexpr int64_t kStartUs = 1'735'689'600'000'000;  // 2025-01-01T00:00:00Z

Schema Orders() {
  return Schema()
      .Int64("order_id")
      .Int32("customer_id")
      .Double("amount")
      .String("status")
      .String("city")
      .Timestamp("created_at");
}

// One chunk, given again and again: 146 bytes of JSON a row.
class SameChunk : public RowStream {
 public:
  explicit SameChunk(int64_t rows) : rows_(rows), chunk_(Make()) {}

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    if (given_ >= rows_) return nullptr;
    given_ += kChunkRows;
    return &chunk_;
  }
  absl::Status DoRewind() override {
    given_ = 0;
    return absl::OkStatus();
  }

 private:
  static RowBatch Make() {
    const auto schema = std::make_shared<const Schema>(Orders());
    std::vector<std::shared_ptr<Column>> columns;
    for (const Field& field : schema->fields())
      columns.push_back(std::make_shared<Column>(field.type, kChunkRows));
    for (uint32_t row = 0; row < kChunkRows; ++row) {
      columns[0]->mutable_values<int64_t>()[row] = 1'000'000'000 + row * 7919;
      columns[1]->mutable_values<int32_t>()[row] = static_cast<int32_t>(100'000 + row % 90'000);
      columns[2]->mutable_values<double>()[row] = 100.25 + row % 400;
      columns[3]->mutable_values<std::string_view>()[row] = "delivered";
      columns[4]->mutable_values<std::string_view>()[row] = "Frankfurt";
      columns[5]->mutable_values<int64_t>()[row] = kStartUs + int64_t{row} * 1'001'000;
    }
    return RowBatch(schema, {columns.begin(), columns.end()}, kChunkRows);
  }

  const int64_t rows_;
  const RowBatch chunk_;
  int64_t given_ = 0;
};

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct BenchOptions {
  int64_t rows = 1'000'000;
  int batches = 5;
  int32_t partitions = 4;
  std::vector<std::string> kafka;
};

absl::Status Run(const BenchOptions& bench) {
  auto server = testing::KafkaServer::Start();
  if (!server.ok()) return server.status();
  absl::Status status = (*server)->CreateTopic("orders", bench.partitions);
  if (!status.ok()) return status;
  KafkaSinkOptions options;
  options.brokers = (*server)->brokers();
  options.topic = "orders";
  for (const std::string& pair : bench.kafka) {
    const size_t equals = std::min(pair.find('='), pair.size() - 1);
    options.properties[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  KafkaSink sink(options);
  const SinkContext context{
      .query_id = "bench", .sink = "orders", .schema = Orders(), .key_columns = {"order_id"}};
  status = sink.Open(context);
  if (status.ok()) status = sink.WriteMarker({.query_id = "bench", .sink = "orders"});
  SameChunk rows(bench.rows);
  std::vector<double> speeds;
  for (int batch = 0; batch < bench.batches && status.ok(); ++batch) {
    const double cpu = CpuSeconds();
    const auto begin = std::chrono::steady_clock::now();
    const auto marker = sink.Commit({.batch_id = batch, .plan_hash = 1}, rows);
    status = marker.status();
    if (!status.ok()) break;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const auto count = static_cast<double>(marker->row_count);
    speeds.push_back(count / seconds);
    fmt::print("batch {}: {:.0f} rows/s, {:.0f} ns CPU a row\n", batch, count / seconds,
               (CpuSeconds() - cpu) / count * 1e9);
  }
  if (!status.ok()) return status;
  std::sort(speeds.begin(), speeds.end());
  fmt::print("median: {:.0f} rows/s\n", speeds[speeds.size() / 2]);
  return status;
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  tidemark::BenchOptions options;
  CLI::App app("Rows from memory into Kafka");
  app.add_option("--rows", options.rows, "rows a batch")->check(CLI::PositiveNumber);
  app.add_option("--batches", options.batches)->check(CLI::PositiveNumber);
  app.add_option("--partitions", options.partitions)->check(CLI::PositiveNumber);
  app.add_option("--kafka", options.kafka, "a librdkafka property, KEY=VALUE");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = tidemark::Run(options);
  if (!status.ok()) fmt::print(stderr, "{}\n", status.ToString());
  return status.ok() ? 0 : 1;
}
