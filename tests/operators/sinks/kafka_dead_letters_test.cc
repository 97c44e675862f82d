#include "tidemark/operators/sinks/kafka_dead_letters.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <functional>
#include <string>

#include "tests/servers/kafka_server.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::KafkaRecord;
using testing::KafkaServer;

const absl::Time kTime = absl::FromUnixMillis(1'735'783'822'000);

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class OneHeader : public RecordOwner {
 public:
  RecordHeaders Headers(size_t index) const override {
    return index == 0 ? RecordHeaders{{"trace", "abc"}, {"none", std::nullopt}, {"empty", ""}}
                      : RecordHeaders{};
  }
};

RawRecords Records() {
  RawRecords records;
  records.topic = "in";
  records.partition = 3;
  records.owner = std::make_shared<OneHeader>();
  RawRecord& first = records.records.emplace_back();
  first.key = "k";
  first.has_key = true;
  first.value = std::string_view("{\0bad", 5);
  first.has_value = true;
  first.offset = 41;
  first.timestamp_us = 1'500;
  RawRecord& second = records.records.emplace_back();
  second.value = "";
  second.has_value = true;
  second.offset = 42;
  return records;
}

BadRecord Bad(uint32_t index) {
  return {.index = index, .reason = BadReason::kParseError, .detail = "no object"};
}

std::string HeaderOf(const KafkaRecord& record, const std::string& name) {
  for (const auto& [header, value] : record.headers) {
    if (header == name) return value.value_or("(null)");
  }
  return "(none)";
}

class KafkaDeadLettersTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = KafkaServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(server_, nullptr); }

  static std::unique_ptr<DeadLetterWriter> Writer(const std::string& topic) {
    auto writer = MakeKafkaDeadLetters({.brokers = server_->brokers(), .topic = topic});
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  static std::vector<KafkaRecord> Letters(const std::string& topic) {
    auto letters = server_->ReadTopic(topic);
    EXPECT_TRUE(letters.ok()) << letters.status();
    return letters.ok() ? *letters : std::vector<KafkaRecord>();
  }

  static KafkaServer* server_;
};
KafkaServer* KafkaDeadLettersTest::server_ = nullptr;

TEST_F(KafkaDeadLettersTest, ALetterIsTheRecordAndWhatWasWrong) {
  ASSERT_TRUE(server_->CreateTopic("dead", 1).ok());
  auto writer = Writer("dead");
  const RawRecords records = Records();
  ASSERT_TRUE(writer->Begin(2, 7).ok());
  ASSERT_TRUE(writer->Write(records, Bad(0), kTime).ok());
  ASSERT_TRUE(writer->Write(records, Bad(1), kTime).ok());
  ASSERT_TRUE(writer->Flush().ok());
  const auto letters = Letters("dead");
  ASSERT_EQ(letters.size(), 2u);
  EXPECT_EQ(letters[0].key, "k");
  EXPECT_EQ(letters[0].value, std::string("{\0bad", 5));
  EXPECT_EQ(HeaderOf(letters[0], "trace"), "abc");
  EXPECT_EQ(HeaderOf(letters[0], "none"), "(null)");
  EXPECT_EQ(HeaderOf(letters[0], "empty"), "");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.topic"), "in");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.partition"), "3");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.offset"), "41");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.epoch"), "2");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.batch"), "7");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.timestamp"), "1970-01-01T00:00:00.001500Z");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.reason"), "parse_error");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.detail"), "no object");
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.time"), "2025-01-02T02:10:22Z");
  EXPECT_FALSE(letters[1].key.has_value());
  EXPECT_EQ(letters[1].value, "") << "empty is not null";
  EXPECT_EQ(HeaderOf(letters[1], "tidemark.timestamp"), "(none)");
}

TEST_F(KafkaDeadLettersTest, ABatchThatRunsAgainSendsItsOwnAgain) {
  ASSERT_TRUE(server_->CreateTopic("again", 1).ok());
  auto writer = Writer("again");
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(writer->Begin(0, 1).ok());
    ASSERT_TRUE(writer->Write(Records(), Bad(0), kTime).ok());
    ASSERT_TRUE(writer->Flush().ok());
  }
  const auto letters = Letters("again");
  ASSERT_EQ(letters.size(), 2u);
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.offset"), HeaderOf(letters[1], "tidemark.offset"));
}

TEST_F(KafkaDeadLettersTest, AnEmptyBatchNeedsNoBroker) {
  auto writer = MakeKafkaDeadLetters({.brokers = "127.0.0.1:1", .topic = "t"});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Begin(0, 0).ok());
  EXPECT_LT(SecondsOf([&] { EXPECT_TRUE((*writer)->Flush().ok()); }), 2.0) << "no broker: 3 s";
}

TEST_F(KafkaDeadLettersTest, NoBrokerIsUnavailableAndBounded) {
  auto writer = MakeKafkaDeadLetters({.brokers = "127.0.0.1:1", .topic = "t"});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Begin(0, 0).ok());
  ASSERT_TRUE((*writer)->Write(Records(), Bad(0), kTime).ok());
  absl::Status status;
  EXPECT_LT(SecondsOf([&] { status = (*writer)->Flush(); }), 15.0);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no Kafka broker answers at 127.0.0.1:1: "));
  EXPECT_LT(SecondsOf([&] { writer->reset(); }), 10.0);
}

TEST_F(KafkaDeadLettersTest, LettersWaitForTheBrokerAndBeginForgetsThem) {
  ASSERT_TRUE(server_->CreateTopic("waiting", 1).ok());
  auto writer = Writer("waiting");
  const RawRecords records = Records();
  ASSERT_TRUE(writer->Begin(0, 1).ok());
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(server_->Kill().ok());
  ASSERT_TRUE(writer->Write(records, Bad(0), kTime).ok());
  EXPECT_TRUE(absl::IsUnavailable(writer->Flush()));
  ASSERT_TRUE(writer->Begin(0, 1).ok());
  ASSERT_TRUE(writer->Write(records, Bad(1), kTime).ok());
  EXPECT_TRUE(absl::IsUnavailable(writer->Flush()));
  ASSERT_TRUE(server_->Restart().ok());
  absl::Status status = absl::UnavailableError("");
  for (int i = 0; i < 5 && absl::IsUnavailable(status); ++i) status = writer->Flush();
  ASSERT_TRUE(status.ok()) << status;
  const auto letters = Letters("waiting");
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(HeaderOf(letters[0], "tidemark.offset"), "42");
}

TEST_F(KafkaDeadLettersTest, AnUnknownTopicIsNotFound) {
  auto writer = Writer("nobody-made-this");
  ASSERT_TRUE(writer->Begin(0, 1).ok());
  ASSERT_TRUE(writer->Write(Records(), Bad(0), kTime).ok());
  absl::Status status = absl::UnavailableError("");
  for (int i = 0; i < 5 && absl::IsUnavailable(status); ++i) status = writer->Flush();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("topic nobody-made-this"));
  EXPECT_TRUE(absl::IsNotFound(writer->Flush())) << "until the next Begin";
  ASSERT_TRUE(writer->Begin(0, 1).ok());
  EXPECT_TRUE(writer->Flush().ok());
}

TEST_F(KafkaDeadLettersTest, TheTopicCanBeAskedForBefore) {
  ASSERT_TRUE(server_->CreateTopic("asked-for", 1).ok());
  KafkaDeadLettersOptions options{.brokers = server_->brokers(), .topic = "asked-for"};
  EXPECT_TRUE(CheckDeadLetterTopic(options).ok());
  options.topic = "nobody-made-this";
  const absl::Status missing = CheckDeadLetterTopic(options);
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr("has no topic nobody-made-this for dead letters: create it"));
  options.topic = "no such name";
  const absl::Status name = CheckDeadLetterTopic(options);
  EXPECT_TRUE(absl::IsInvalidArgument(name)) << name;
  EXPECT_THAT(std::string(name.message()), HasSubstr("'no such name' cannot be a topic's name"));
  options.brokers = "127.0.0.1:1";
  absl::Status nobody;
  EXPECT_LT(SecondsOf([&] { nobody = CheckDeadLetterTopic(options); }), 25.0);
  EXPECT_TRUE(absl::IsUnavailable(nobody)) << nobody;
}

TEST_F(KafkaDeadLettersTest, ALetterTooLargeForItsTopicIsTheUsersToSolve) {
  ASSERT_TRUE(server_->CreateTopic("small", 1, {{"max.message.bytes", "1000"}}).ok());
  auto writer = Writer("small");
  RawRecords records = Records();
  const std::string big(2'000, 'x');
  records.records[0].value = big;
  ASSERT_TRUE(writer->Begin(0, 1).ok());
  ASSERT_TRUE(writer->Write(records, Bad(0), kTime).ok());
  const absl::Status status = writer->Flush();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a dead letter of 2000 bytes was not taken by topic small"));
}

// librdkafka's own cluster of one broker, whose answers can be chosen.
class MockCluster {
 public:
  MockCluster() {
    char error[256];
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), error, sizeof(error));
    cluster_ = rd_kafka_mock_cluster_new(handle_, 1);
    rd_kafka_mock_topic_create(cluster_, "dead", 1, 1);
  }
  ~MockCluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(handle_);
  }
  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  void SayNo(int16_t api_key, rd_kafka_resp_err_t code) {
    for (int i = 0; i < 1000; ++i) rd_kafka_mock_push_request_errors(cluster_, api_key, 1, code);
  }
  void SayYes(int16_t api_key) { rd_kafka_mock_clear_request_errors(cluster_, api_key); }

 private:
  rd_kafka_t* handle_;
  rd_kafka_mock_cluster_t* cluster_;
};

TEST_F(KafkaDeadLettersTest, AProducerThatHasFailedForGoodSaysWhyAndIsMadeAnewByBegin) {
  constexpr int16_t kInitProducerId = 22;
  MockCluster cluster;
  // Before there is a producer: it asks for its id as soon as it is connected.
  cluster.SayNo(kInitProducerId, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
  auto writer = MakeKafkaDeadLetters({.brokers = cluster.brokers(), .topic = "dead"});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Begin(0, 1).ok());
  absl::Status status = (*writer)->Write(Records(), Bad(0), kTime);
  if (status.ok()) status = (*writer)->Flush();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(
      std::string(status.message()),
      ::testing::AllOf(HasSubstr("was not taken by topic dead"),
                       HasSubstr("Cluster authorization failed"), HasSubstr("IdempotentWrite")));
  EXPECT_TRUE(absl::IsPermissionDenied((*writer)->Flush())) << "until the next Begin";
  cluster.SayYes(kInitProducerId);
  ASSERT_TRUE((*writer)->Begin(0, 1).ok());
  ASSERT_TRUE((*writer)->Write(Records(), Bad(0), kTime).ok());
  status = (*writer)->Flush();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(KafkaDeadLettersTest, ManyLetters) {
  ASSERT_TRUE(server_->CreateTopic("many", 2).ok());
  auto writer = Writer("many");
  const RawRecords records = Records();
  ASSERT_TRUE(writer->Begin(0, 1).ok());
  for (int i = 0; i < 150'000; ++i) ASSERT_TRUE(writer->Write(records, Bad(1), kTime).ok()) << i;
  absl::Status status = absl::UnavailableError("");
  for (int i = 0; i < 5 && absl::IsUnavailable(status); ++i) status = writer->Flush();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Letters("many").size(), 150'000u);
}

TEST_F(KafkaDeadLettersTest, WrongOptionsAreRefusedByName) {
  const auto refuse = [](KafkaDeadLettersOptions options) {
    const auto made = MakeKafkaDeadLetters(options);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(made.status().message());
  };
  EXPECT_THAT(refuse({.brokers = "x:1", .topic = "t", .properties = {{"lingering.ms", "1"}}}),
              HasSubstr("kafka.lingering.ms"));
  EXPECT_THAT(refuse({.brokers = "x:1", .topic = "t", .properties = {{"acks", "0"}}}),
              HasSubstr("kafka.acks"));
  EXPECT_THAT(refuse({.brokers = "x:1"}), HasSubstr("need brokers and a topic"));
}

}  // namespace
}  // namespace tidemark
