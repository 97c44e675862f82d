#include "tests/servers/kafka_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Values(const absl::StatusOr<std::vector<KafkaRecord>>& records) {
  std::vector<std::string> values;
  if (!records.ok()) return {records.status().ToString()};
  for (const KafkaRecord& record : *records) values.push_back(record.value.value_or("(null)"));
  return values;
}

KafkaRecord Value(std::string value) { return {.value = std::move(value)}; }

// One broker for all of them: each test has topics of its own.
class KafkaServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = KafkaServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  static KafkaServer* server_;
};
KafkaServer* KafkaServerTest::server_ = nullptr;

#define ASSERT_OK(expression)                               \
  do {                                                      \
    const absl::Status assert_ok_status = (expression);     \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status; \
  } while (false)

TEST_F(KafkaServerTest, KeepsEveryPartOfARecord) {
  ASSERT_OK(server_->CreateTopic("parts", 2));
  ASSERT_OK(server_->Produce("parts", 1,
                             {{.key = "k",
                               .value = "v",
                               .headers = {{"h", "1"}, {"empty", ""}, {"null", std::nullopt}},
                               .timestamp_ms = 1234567890123},
                              {.key = "gone"},
                              {.key = "", .value = ""}}));
  const auto records = server_->ReadTopic("parts");
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 3);
  const KafkaRecord& first = (*records)[0];
  EXPECT_EQ(first.key, "k");
  EXPECT_EQ(first.value, "v");
  EXPECT_EQ(first.timestamp_ms, 1234567890123);
  EXPECT_EQ(first.partition, 1);
  EXPECT_EQ(first.offset, 0);
  ASSERT_EQ(first.headers.size(), 3);
  EXPECT_EQ(first.headers[0].second, "1");
  EXPECT_EQ(first.headers[1].second, "");
  EXPECT_EQ(first.headers[2].second, std::nullopt);
  EXPECT_EQ((*records)[1].value, std::nullopt);
  EXPECT_EQ((*records)[2].key, "");
  EXPECT_EQ((*records)[2].value, "");
}

TEST_F(KafkaServerTest, TakesManyRecordsAndLargeOnes) {
  ASSERT_OK(server_->CreateTopic("many", 1));
  constexpr int64_t kCount = 300'000;
  const absl::Time start = absl::Now();
  ASSERT_OK(server_->ProduceMany(
      "many", 0, kCount, [](int64_t i) { return std::to_string(i) + std::string(140, 'x'); },
      [](int64_t i) { return 1'000'000 + i; }));
  std::printf("%.0f records/s produced\n", kCount / absl::ToDoubleSeconds(absl::Now() - start));
  ASSERT_OK(server_->Produce("many", 0, {Value(std::string(20 << 20, 'y'))}));
  const auto records = server_->ReadTopic("many");
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), kCount + 1);
  for (int64_t i = 0; i < kCount; ++i) {
    const KafkaRecord& record = (*records)[static_cast<size_t>(i)];
    ASSERT_EQ(record.offset, i);
    ASSERT_EQ(record.timestamp_ms, 1'000'000 + i);
    ASSERT_EQ(std::stoll(*record.value), i);
  }
  EXPECT_EQ(records->back().value->size(), 20 << 20);
}

TEST_F(KafkaServerTest, TopicsGrowShrinkAndGo) {
  ASSERT_OK(server_->CreateTopic("topic", 1, {{"segment.bytes", "1048576"}}));
  EXPECT_TRUE(absl::IsAlreadyExists(server_->CreateTopic("topic", 1)));
  ASSERT_OK(server_->AddPartitions("topic", 3));
  ASSERT_OK(server_->Produce("topic", 2, {Value("a"), Value("b"), Value("c")}));
  ASSERT_OK(server_->DeleteRecords("topic", 2, 2));
  EXPECT_THAT(Values(server_->ReadTopic("topic")), ElementsAre("c"));
  EXPECT_EQ(server_->Offsets("topic", 2)->earliest, 2);
  ASSERT_OK(server_->DeleteTopic("topic"));
  EXPECT_TRUE(absl::IsNotFound(server_->ReadTopic("topic").status()));
  EXPECT_TRUE(absl::IsNotFound(server_->Produce("topic", 0, {Value("a")})));
  EXPECT_TRUE(absl::IsNotFound(server_->DeleteTopic("topic")));
  ASSERT_OK(server_->CreateTopic("topic", 1));
  EXPECT_THAT(Values(server_->ReadTopic("topic")), IsEmpty());
}

TEST_F(KafkaServerTest, TransactionsCommitAbortAndStayOpen) {
  ASSERT_OK(server_->CreateTopic("transactions", 1));
  ASSERT_OK(server_->ProduceTransaction("transactions", 0, {Value("a"), Value("b")}, true));
  ASSERT_OK(server_->ProduceTransaction("transactions", 0, {Value("no")}, false));
  EXPECT_THAT(Values(server_->ReadTopic("transactions")), ElementsAre("a", "b"));
  EXPECT_THAT(Values(server_->ReadTopic("transactions", false)), ElementsAre("a", "b", "no"));
  EXPECT_EQ(server_->Offsets("transactions", 0)->last_stable, 5);  // 3 records, 2 markers

  auto open = server_->BeginTransaction();
  ASSERT_TRUE(open.ok()) << open.status();
  ASSERT_OK((*open)->Produce("transactions", 0, {Value("c")}));
  ASSERT_OK(server_->Produce("transactions", 0, {Value("d")}));
  EXPECT_EQ(server_->Offsets("transactions", 0)->last_stable, 5);
  EXPECT_THAT(Values(server_->ReadTopic("transactions")), ElementsAre("a", "b"));
  ASSERT_OK((*open)->Commit());
  EXPECT_THAT(Values(server_->ReadTopic("transactions")), ElementsAre("a", "b", "c", "d"));
}

TEST_F(KafkaServerTest, NoGroupHasCommittedAnything) {
  ASSERT_OK(server_->CreateTopic("group", 1));
  const auto offset = server_->CommittedOffset("nobody", "group", 0);
  ASSERT_TRUE(offset.ok()) << offset.status();
  EXPECT_EQ(*offset, std::nullopt);
}

TEST_F(KafkaServerTest, KeepsItsDataAndPortWhenItComesBack) {
  const std::string brokers = server_->brokers();
  ASSERT_OK(server_->CreateTopic("restart", 1));
  ASSERT_OK(server_->Produce("restart", 0, {Value("before")}));
  ASSERT_OK(server_->Stop());
  ASSERT_OK(server_->Restart());
  ASSERT_OK(server_->Produce("restart", 0, {Value("between")}));
  ASSERT_OK(server_->Kill());
  ASSERT_OK(server_->Restart());
  ASSERT_OK(server_->Produce("restart", 0, {Value("after")}));
  EXPECT_THAT(Values(server_->ReadTopic("restart")), ElementsAre("before", "between", "after"));
  EXPECT_EQ(server_->brokers(), brokers);
}

TEST_F(KafkaServerTest, HangsWhilePaused) {
  ASSERT_OK(server_->CreateTopic("paused", 1));
  ASSERT_OK(server_->Pause());
  std::thread resume([] {
    absl::SleepFor(absl::Seconds(1));
    ASSERT_OK(server_->Resume());
  });
  const absl::Time start = absl::Now();
  absl::Status produced = absl::UnavailableError("not tried");
  while (absl::IsUnavailable(produced) && absl::Now() - start < absl::Seconds(30)) {
    produced = server_->Produce("paused", 0, {Value("a")});
  }
  resume.join();
  ASSERT_OK(produced);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(900));
}

TEST(KafkaServerStartTest, SaysThatTheJarsAreMissing) {
  const char* before = std::getenv("TIDEMARK_KAFKA_LIBS");
  const std::string saved = before == nullptr ? "" : before;
  ::setenv("TIDEMARK_KAFKA_LIBS", "/nonexistent", 1);
  const auto server = KafkaServer::Start();
  if (before == nullptr) {
    ::unsetenv("TIDEMARK_KAFKA_LIBS");
  } else {
    ::setenv("TIDEMARK_KAFKA_LIBS", saved.c_str(), 1);
  }
  EXPECT_TRUE(absl::IsNotFound(server.status()));
  EXPECT_THAT(server.status().ToString(), HasSubstr("scripts/setup"));
}

TEST(KafkaServerStartTest, SaysWhyTheBrokerEnds) {
  const auto server = KafkaServer::Start({.properties = {{"num.io.threads", "none"}}});
  EXPECT_TRUE(absl::IsUnavailable(server.status()));
  EXPECT_THAT(server.status().ToString(), HasSubstr("num.io.threads"));
}

}  // namespace
}  // namespace tidemark::testing
