// A process for kafka_sink_fault_test: what the engine does with a Kafka sink, batch after batch,
// and a SIGKILL at a given moment of a given batch.
//
//   kafka_sink_victim BROKERS TOPIC STATE_FILE BATCHES MOMENT BATCH
//
// MOMENT: begin, produce, offsets, commit (before that call), committed (right after it), returned
// (before the batch is noted in STATE_FILE), none. BATCH: counted from the first one of this life.
// Exit code 0: all BATCHES are written; 4: the sink is not where it must be.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"
#include "tidemark/operators/sinks/kafka_sink.h"

namespace {

std::string moment;
int64_t batches_left = 0;  // until the one to die in, or in a later one if it is there already
int64_t records_left = 0;  // of that batch, until `produce`

void DieAt(std::string_view here) {
  if (batches_left <= 0 && moment == here) raise(SIGKILL);
}

}  // namespace

extern "C" {
rd_kafka_error_t* __real_rd_kafka_begin_transaction(rd_kafka_t*);
rd_kafka_error_t* __wrap_rd_kafka_begin_transaction(rd_kafka_t* handle) {
  DieAt("begin");
  return __real_rd_kafka_begin_transaction(handle);
}

int __real_rd_kafka_produce(rd_kafka_topic_t*, int32_t, int, void*, size_t, const void*, size_t,
                            void*);
int __wrap_rd_kafka_produce(rd_kafka_topic_t* topic, int32_t partition, int flags, void* value,
                            size_t value_size, const void* key, size_t key_size, void* opaque) {
  if (batches_left <= 0 && records_left-- <= 0) DieAt("produce");
  return __real_rd_kafka_produce(topic, partition, flags, value, value_size, key, key_size, opaque);
}

rd_kafka_error_t* __real_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t*, const rd_kafka_topic_partition_list_t*, const rd_kafka_consumer_group_metadata_t*,
    int);
rd_kafka_error_t* __wrap_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t* handle, const rd_kafka_topic_partition_list_t* offsets,
    const rd_kafka_consumer_group_metadata_t* group, int timeout_ms) {
  DieAt("offsets");
  return __real_rd_kafka_send_offsets_to_transaction(handle, offsets, group, timeout_ms);
}

rd_kafka_error_t* __real_rd_kafka_commit_transaction(rd_kafka_t*, int);
rd_kafka_error_t* __wrap_rd_kafka_commit_transaction(rd_kafka_t* handle, int timeout_ms) {
  DieAt("commit");
  rd_kafka_error_t* const error = __real_rd_kafka_commit_transaction(handle, timeout_ms);
  if (error == nullptr) DieAt("committed");
  return error;
}
}

namespace tidemark {
namespace {

constexpr int64_t kBatchRows = 300;
constexpr int kNotWhereItMustBe = 4;

Schema Ids() { return Schema().Int64("id"); }

int Run(const std::string& brokers, const std::string& topic, const std::string& state_file,
        int64_t batches) {
  int64_t committed = -1;
  std::ifstream(state_file) >> committed;
  KafkaSinkOptions options;
  options.brokers = brokers;
  options.topic = topic;
  KafkaSink sink(options);
  SinkContext context = testing::ContextOf(Ids(), "victim", "out");
  context.key_columns = {"id"};
  const auto fail = [](const absl::Status& status) {
    fmt::print(stderr, "{}\n", status.ToString());
    return absl::IsFailedPrecondition(status) ? kNotWhereItMustBe : 1;
  };
  if (const absl::Status status = sink.Open(context); !status.ok()) return fail(status);
  const auto held = sink.ReadMarker();
  if (!held.ok()) return fail(held.status());
  if (!held->has_value()) {
    if (committed >= 0) return fail(absl::FailedPreconditionError("the marker is gone"));
    const absl::Status status =
        sink.WriteMarker({.query_id = "victim", .sink = "out", .batch_id = committed});
    if (!status.ok()) return fail(status);
  } else if ((*held)->batch_id != committed && (*held)->batch_id != committed + 1) {
    return fail(absl::FailedPreconditionError(
        fmt::format("the sink holds batch {}, {} is committed", (*held)->batch_id, committed)));
  }
  for (int64_t batch = committed + 1; batch < batches; ++batch) {
    std::vector<testing::Row> rows;
    for (int64_t i = 0; i < kBatchRows; ++i) rows.push_back({batch * kBatchRows + i});
    testing::ListStream stream({testing::MakeBatch(Ids(), rows)});
    const auto marker = sink.Commit({.batch_id = batch, .plan_hash = 5}, stream);
    if (!marker.ok()) return fail(marker.status());
    if (marker->row_count != kBatchRows) return kNotWhereItMustBe;
    DieAt("returned");
    std::ofstream(state_file + ".new") << batch;
    std::rename((state_file + ".new").c_str(), state_file.c_str());
    --batches_left;
  }
  return 0;
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  moment = argv[5];
  batches_left = std::atoll(argv[6]);
  records_left = 100 + std::atoll(argv[6]) * 50;
  return tidemark::Run(argv[1], argv[2], argv[3], std::atoll(argv[4]));
}
