// A Kafka source whose user may not read, or may not for a moment: librdkafka's own cluster
// answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tidemark/operators/sources/kafka_source.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr int kRecords = 10;

class KafkaRightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char error[256];
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, nullptr);  // it would miss brokers, which it has not
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    cluster_ = rd_kafka_mock_cluster_new(handle_, 1);
    rd_kafka_mock_topic_create(cluster_, "orders", 1, 1);
    brokers_ = rd_kafka_mock_cluster_bootstraps(cluster_);
    rd_kafka_conf_t* const producer_conf = rd_kafka_conf_new();
    rd_kafka_conf_set(producer_conf, "bootstrap.servers", brokers_.c_str(), error, sizeof(error));
    rd_kafka_t* const producer =
        rd_kafka_new(RD_KAFKA_PRODUCER, producer_conf, error, sizeof(error));
    for (int i = 0; i < kRecords; ++i) {
      std::string value = std::to_string(i);
      rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("orders"), RD_KAFKA_V_PARTITION(0),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_VALUE(value.data(), value.size()), RD_KAFKA_V_END);
    }
    ASSERT_EQ(rd_kafka_flush(producer, 20'000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
    KafkaSourceOptions options;
    options.brokers = brokers_;
    options.topics = {"orders"};
    auto made = KafkaSource::Make(options);
    ASSERT_TRUE(made.ok()) << made.status();
    source_ = *std::move(made);
    const absl::Status opened = source_->Open();
    ASSERT_TRUE(opened.ok()) << opened;
  }
  void TearDown() override {
    source_.reset();
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(handle_);
  }

  void RefuseFetches() {
    const std::vector<rd_kafka_resp_err_t> refusals(5'000,
                                                    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    rd_kafka_mock_push_request_errors_array(cluster_, kFetch, refusals.size(), refusals.data());
  }
  void AllowFetches() { rd_kafka_mock_clear_request_errors(cluster_, kFetch); }

  // Reads the topic, for `patience` at most; counts what came.
  absl::Status ReadAll(absl::Duration patience, int* records) {
    const auto deadline = Clock::now() + absl::ToChronoMilliseconds(patience);
    while (Clock::now() < deadline) {
      const auto chunk = source_->Read(absl::Milliseconds(100));
      if (!chunk.ok()) return chunk.status();
      if (!chunk->has_value()) continue;
      if (IsEndOfRanges(**chunk)) return absl::OkStatus();
      *records += static_cast<int>((*chunk)->records.size());
    }
    return absl::DeadlineExceededError("the range does not end");
  }
  absl::Status Start() { return source_->StartRead({{{"orders", 0}, 0, kRecords}}); }

  static constexpr int16_t kFetch = 1;
  rd_kafka_t* handle_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  std::string brokers_;
  std::unique_ptr<KafkaSource> source_;
};

TEST_F(KafkaRightsTest, ATopicThatMayNotBeReadIsSaidAfterSomeSeconds) {
  RefuseFetches();
  ASSERT_TRUE(Start().ok());
  int records = 0;
  const auto start = Clock::now();
  const absl::Status refused = ReadAll(absl::Seconds(30), &records);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(15));
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr(brokers_), HasSubstr("does not let this job read topic orders"),
                    HasSubstr("Topic authorization failed"), HasSubstr("allow its user Read")));
  EXPECT_EQ(records, 0);
  source_->StopRead();
  AllowFetches();
  ASSERT_TRUE(Start().ok());
  const absl::Status allowed = ReadAll(absl::Seconds(60), &records);
  EXPECT_TRUE(allowed.ok()) << allowed;
  EXPECT_EQ(records, kRecords);
}

TEST_F(KafkaRightsTest, ARightThatIsMissingForAMomentIsWaitedFor) {
  RefuseFetches();
  ASSERT_TRUE(Start().ok());
  int records = 0;
  const absl::Status waiting = ReadAll(absl::Seconds(3), &records);
  EXPECT_TRUE(absl::IsDeadlineExceeded(waiting)) << waiting;
  AllowFetches();
  const absl::Status read = ReadAll(absl::Seconds(60), &records);
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(records, kRecords);
}

}  // namespace
}  // namespace tidemark
