#ifndef TIDEMARK_TESTS_OPERATORS_SINKS_KAFKA_FIXTURE_H_
#define TIDEMARK_TESTS_OPERATORS_SINKS_KAFKA_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/operators/sinks/kafka_sink.h"

namespace tidemark::testing {

/// Does something before each of its batches (0, 1, ...) and before the end.
class HookStream : public ListStream {
 public:
  HookStream(std::vector<RowBatch> batches, std::function<void(size_t)> hook)
      : ListStream(std::move(batches)), hook_(std::move(hook)) {}

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    hook_(at_++);
    return ListStream::DoNext();
  }
  absl::Status DoRewind() override {
    at_ = 0;
    return ListStream::DoRewind();
  }

 private:
  const std::function<void(size_t)> hook_;
  size_t at_ = 0;
};

/// One broker for all tests of the program; each test has a topic of its own name.
class KafkaSinkFixture : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (server_ != nullptr) return;
    auto started = KafkaServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  void SetUp() override {
    ASSERT_NE(server_, nullptr);
    topic_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  void CreateTopic(int32_t partitions = 1, const std::map<std::string, std::string>& config = {}) {
    const absl::Status status = server_->CreateTopic(topic_, partitions, config);
    ASSERT_TRUE(status.ok()) << status;
  }
  KafkaSinkOptions Options() const {
    KafkaSinkOptions options;
    options.brokers = server_->brokers();
    options.topic = topic_;
    return options;
  }
  SinkContext Context(Schema schema, std::vector<std::string> key = {}) const {
    SinkContext context = ContextOf(std::move(schema), "query-of-" + topic_, "totals");
    context.key_columns = std::move(key);
    return context;
  }
  std::string Group() const { return "tidemark-sink-query-of-" + topic_ + "-totals"; }
  static SinkMarker MarkerFor(const SinkContext& context, int64_t batch_id, int64_t epoch = 0) {
    return {
        .query_id = context.query_id, .sink = context.sink, .epoch = epoch, .batch_id = batch_id};
  }
  static SinkBatch Batch(int64_t batch_id, uint64_t plan_hash = 7, int64_t epoch = 0) {
    return {.batch_id = batch_id, .epoch = epoch, .plan_hash = plan_hash};
  }
  // Open, with a marker for the batch before 0.
  static absl::Status OpenNew(KafkaSink& sink, const SinkContext& context) {
    const absl::Status opened = sink.Open(context);
    return opened.ok() ? sink.WriteMarker(MarkerFor(context, -1)) : opened;
  }
  static absl::StatusOr<SinkMarker> Commit(KafkaSink& sink, const SinkBatch& batch,
                                           std::vector<RowBatch> batches) {
    ListStream stream(std::move(batches));
    return sink.Commit(batch, stream);
  }

  // The records of committed transactions, once there are `count`: a broker ends a transaction a
  // moment after it has answered.
  std::vector<KafkaRecord> Records(size_t count) const {
    std::vector<KafkaRecord> records;
    for (int i = 0; i < 100; ++i) {
      auto read = server_->ReadTopic(topic_);
      EXPECT_TRUE(read.ok()) << read.status();
      if (!read.ok()) return {};
      records = *std::move(read);
      if (records.size() >= count) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_EQ(records.size(), count);
    return records;
  }
  std::vector<std::string> Values(size_t count) const {
    std::vector<std::string> values;
    for (const KafkaRecord& record : Records(count)) values.push_back(record.value.value_or("-"));
    return values;
  }

  static double SecondsOf(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  static inline std::unique_ptr<KafkaServer> server_;
  std::string topic_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_OPERATORS_SINKS_KAFKA_FIXTURE_H_
