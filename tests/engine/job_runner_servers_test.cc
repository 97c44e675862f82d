// RunJob through whole processes against a real Kafka broker and a real MariaDB: what happens when
// topics, records and servers are not as they should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using testing::Contains;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Lines;
using testing::MariaDbServer;
using ::testing::Not;
using testing::ProcessResult;
using testing::ReadText;
using testing::WaitUntil;

constexpr char kJob[] = "registrations_per_store";

std::string Registration(int64_t i) {
  return R"({"customer_id":)" + std::to_string(i) + R"(,"store_id":)" + std::to_string(i % 3) +
         R"(,"created_at":"2025-01-06T08:00:00Z"})";
}

class JobRunnerServersTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = kafka->release();
  }
  static void TearDownTestSuite() {
    delete kafka_;
    kafka_ = nullptr;
  }

  void SetUp() override {
    ASSERT_NE(kafka_, nullptr);
    topic_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  void Create(int32_t partitions = 1) {
    const absl::Status status = kafka_->CreateTopic(topic_, partitions);
    ASSERT_TRUE(status.ok()) << status;
  }
  void Produce(std::vector<std::optional<std::string>> values, int32_t partition = 0) {
    std::vector<KafkaRecord> records(values.size());
    for (size_t i = 0; i < values.size(); ++i) records[i].value = values[i];
    const absl::Status status = kafka_->Produce(topic_, partition, records);
    ASSERT_TRUE(status.ok()) << status;
  }

  std::vector<std::string> Flags(std::vector<std::string> more = {}) {
    std::vector<std::string> flags = {"--brokers", kafka_->brokers(),    "--topic",
                                      topic_,      "--starting-offsets", "earliest",
                                      "--trigger", "available-now"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }

  static std::string Error(const ProcessResult& result) {
    for (const std::string& line : Lines(result.stderr_text)) {
      if (line.starts_with("error: ")) return line;
    }
    return "no error in: " + result.stderr_text;
  }

  static inline KafkaServer* kafka_ = nullptr;
  std::string topic_;
  JobFolder folder_;
};

TEST_F(JobRunnerServersTest, AnUnknownTopic) {
  const ProcessResult unknown = folder_.Run(kJob, Flags());
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(Error(unknown), HasSubstr(topic_));
  EXPECT_EQ(folder_.Run(kJob, Flags({"--fail-on-data-loss", "false"})).exit_code, 2);
  // Nothing is left behind that the next start would take for a checkpoint.
  Create();
  Produce({Registration(1)});
  const ProcessResult first = folder_.Run(kJob, Flags());
  EXPECT_EQ(first.exit_code, 0) << first.stderr_text;
  EXPECT_THAT(first.stderr_text,
              HasSubstr("New query, checkpoint ./checkpoints/" + std::string(kJob) + "\n"));
  ASSERT_TRUE(kafka_->DeleteTopic(topic_).ok());
  const ProcessResult gone = folder_.Run(kJob, Flags());
  EXPECT_EQ(gone.exit_code, 3) << gone.stderr_text;
  EXPECT_THAT(Error(gone), AllOf(HasSubstr(topic_), HasSubstr("--fail-on-data-loss false")));
  // Without the guard there is nothing to read, until there is a topic of that name again.
  const ProcessResult allowed = folder_.Run(kJob, Flags({"--fail-on-data-loss", "false"}));
  EXPECT_EQ(allowed.exit_code, 0) << allowed.stderr_text;
  EXPECT_THAT(allowed.stderr_text,
              AllOf(HasSubstr("event=data_loss"), HasSubstr("Summary: rows=0 ")));
  Create();
  Produce({Registration(2), Registration(3)});
  const ProcessResult back = folder_.Run(kJob, Flags({"--fail-on-data-loss", "false"}));
  EXPECT_EQ(back.exit_code, 0) << back.stderr_text;
  EXPECT_THAT(back.stderr_text, HasSubstr("Summary: rows=2 "));
}

TEST_F(JobRunnerServersTest, ATopicMadeAnew) {
  Create();
  Produce({Registration(1), Registration(2), Registration(3)});
  ASSERT_EQ(folder_.Run(kJob, Flags()).exit_code, 0);
  ASSERT_TRUE(kafka_->DeleteTopic(topic_).ok());
  Create();
  Produce({Registration(7), Registration(8), Registration(9), Registration(10)});
  const ProcessResult anew = folder_.Run(kJob, Flags());
  EXPECT_EQ(anew.exit_code, 3) << anew.stderr_text;
  EXPECT_THAT(Error(anew), AllOf(HasSubstr("partition 0"), HasSubstr("--fail-on-data-loss false")));
  EXPECT_EQ(folder_.Run(kJob, Flags({"--fail-on-data-loss", "false"})).exit_code, 0);
}

// With as many records as were read of the first, and more, when the job looks again.
TEST_F(JobRunnerServersTest, ATopicMadeAnewWhileTheJobSleepsOrWatches) {
  int round = 0;
  for (const char* trigger : {"6 seconds", "1 second", "asap", "asap", "asap", "asap", "asap"}) {
    topic_ = "MadeAnew_" + std::to_string(++round);
    Create();
    Produce({Registration(1), Registration(2), Registration(4)});
    const std::vector<std::string> flags = {
        "--brokers", kafka_->brokers(), "--topic",      topic_, "--starting-offsets", "earliest",
        "--trigger", trigger,           "--checkpoint", topic_, "--num-rows",         "100"};
    auto job = folder_.Launch(kJob, flags);
    ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "Batch: 0"); })) << job->Stderr();
    ASSERT_TRUE(kafka_->DeleteTopic(topic_).ok());
    Create();
    Produce({Registration(0), Registration(3), Registration(6), Registration(9), Registration(12)});
    const absl::StatusOr<int> code = job->Wait(absl::Seconds(30));
    ASSERT_TRUE(code.ok()) << code.status() << job->Stderr();
    EXPECT_EQ(*code, 3) << job->Stderr();
    EXPECT_THAT(job->Stderr(), AllOf(HasSubstr("topic " + topic_ + " partition 0: wanted offset 3"),
                                     HasSubstr("--fail-on-data-loss false")));
    EXPECT_THAT(job->Stdout(), Not(HasSubstr("|       0|"))) << "nothing of the new one was read";
  }
}

TEST_F(JobRunnerServersTest, ATopicMadeAnewIsReadFromItsBeginningByARunningJob) {
  Create();
  Produce({Registration(1), Registration(2), Registration(4)});
  auto job = folder_.Launch(
      kJob, {"--brokers", kafka_->brokers(), "--topic", topic_, "--starting-offsets", "earliest",
             "--trigger", "5 seconds", "--fail-on-data-loss", "false", "--progress", "progress"});
  ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "Batch: 0"); })) << job->Stderr();
  ASSERT_TRUE(kafka_->DeleteTopic(topic_).ok());
  Create();
  Produce({Registration(0), Registration(3), Registration(6), Registration(9), Registration(12)});
  EXPECT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "|       0|            5|"); }))
      << job->Stdout() << job->Stderr();
  EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
  EXPECT_THAT(job->Stderr(), HasSubstr("event=data_loss"));
}

TEST_F(JobRunnerServersTest, OffsetsAgedOut) {
  Create();
  Produce({Registration(1), Registration(2)});
  ASSERT_EQ(folder_.Run(kJob, Flags()).exit_code, 0);
  Produce({Registration(3), Registration(4), Registration(5)});
  ASSERT_TRUE(kafka_->DeleteRecords(topic_, 0, 4).ok());
  const ProcessResult aged = folder_.Run(kJob, Flags());
  EXPECT_EQ(aged.exit_code, 3) << aged.stderr_text;
  EXPECT_THAT(Error(aged), AllOf(HasSubstr(topic_), HasSubstr("wanted offset 2"),
                                 HasSubstr("available from 4")));
  const ProcessResult goes_on = folder_.Run(kJob, Flags({"--fail-on-data-loss", "false"}));
  EXPECT_EQ(goes_on.exit_code, 0) << goes_on.stderr_text;
  EXPECT_THAT(goes_on.stderr_text, HasSubstr("Summary: rows=1 "));
}

TEST_F(JobRunnerServersTest, BadRecords) {
  Create(2);
  Produce({Registration(1)}, 0);
  Produce({Registration(2), "{broken", std::nullopt, R"({"store_id":"many"})", "\xff\xfe"}, 1);
  const ProcessResult fail = folder_.Run(kJob, Flags({"--bad-records", "fail"}));
  EXPECT_EQ(fail.exit_code, 1);
  EXPECT_THAT(Error(fail), AllOf(HasSubstr(topic_), HasSubstr("partition 1"), HasSubstr("offset 1"),
                                 HasSubstr("parse_error")));
  // The same checkpoint goes on under another policy; dead letters lie under it by default.
  const ProcessResult kept = folder_.Run(kJob, Flags({"--progress", "progress"}));
  EXPECT_EQ(kept.exit_code, 0) << kept.stderr_text;
  const std::string folder = folder_.Path("checkpoints/registrations_per_store/dead_letters");
  const std::vector<std::string> letters = Lines(ReadText(folder + "/dead-00000-000.jsonl"));
  ASSERT_EQ(letters.size(), 3u);
  EXPECT_THAT(letters[0], AllOf(HasSubstr(R"("partition":1,"offset":1,)"),
                                HasSubstr(R"("reason":"parse_error")")));
  EXPECT_THAT(
      ReadText(folder_.Path("progress")),
      HasSubstr(
          R"("badRecords":{"parse_error":1,"invalid_utf8":1,"wrong_type":1,"null_value":1})"));
  // And the checkpoint with the letters in it is used again.
  EXPECT_EQ(folder_.Run(kJob, Flags()).exit_code, 0);
}

TEST_F(JobRunnerServersTest, DeadLettersInAFolderAndATopic) {
  Create();
  Produce({"[1]"});
  ASSERT_EQ(folder_.Run(kJob, Flags({"--bad-records", "dead-letter:letters", "--checkpoint", "a"}))
                .exit_code,
            0);
  EXPECT_EQ(Lines(ReadText(folder_.Path("letters/dead-00000-000.jsonl"))).size(), 1u);

  ASSERT_TRUE(kafka_->CreateTopic("dead", 1).ok());
  const ProcessResult topic =
      folder_.Run(kJob, Flags({"--bad-records", "dead-letter:topic=dead", "--checkpoint", "b"}));
  EXPECT_EQ(topic.exit_code, 0) << topic.stderr_text;
  const absl::StatusOr<std::vector<KafkaRecord>> dead = kafka_->ReadTopic("dead");
  ASSERT_TRUE(dead.ok()) << dead.status();
  ASSERT_EQ(dead->size(), 1u);
  EXPECT_EQ(dead->front().value, "[1]");

  const ProcessResult none =
      folder_.Run(kJob, Flags({"--bad-records", "dead-letter:topic=nowhere", "--checkpoint", "c"}));
  EXPECT_EQ(none.exit_code, 2) << none.stderr_text;
  EXPECT_THAT(Error(none), HasSubstr("no topic nowhere for dead letters"));
}

TEST_F(JobRunnerServersTest, LargeAndDeepRecords) {
  Create();
  const std::string deep =
      R"({"customer_id":)" + std::string(5000, '[') + std::string(5000, ']') + "}";
  Produce({Registration(1), R"({"email":")" + std::string(20 << 20, 'x') + "\"}", deep,
           Registration(2)});
  const ProcessResult result =
      folder_.Run(kJob, Flags({"--bad-records", "drop", "--progress", "progress"}));
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_THAT(result.stderr_text, HasSubstr("Summary: rows=4 "));
  EXPECT_THAT(ReadText(folder_.Path("progress")),
              AllOf(HasSubstr(R"("too_large":1)"), HasSubstr(R"("too_deep":1)")));
}

TEST_F(JobRunnerServersTest, ABrokerThatComesBack) {
  Create();
  Produce({Registration(1)});
  auto job = folder_.Launch(kJob, {"--brokers", kafka_->brokers(), "--topic", topic_,
                                   "--starting-offsets", "earliest", "--trigger", "asap"});
  ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "Batch: 0"); })) << job->Stderr();
  ASSERT_TRUE(kafka_->Kill().ok());
  EXPECT_TRUE(WaitUntil([&] { return Contains(job->Stderr(), "event=retry"); })) << job->Stderr();
  ASSERT_TRUE(kafka_->Restart().ok());
  Produce({Registration(4)});
  EXPECT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "|       1|            2|"); }))
      << job->Stdout() << job->Stderr();
  EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
}

TEST_F(JobRunnerServersTest, ADatabaseThatIsNotThereYet) {
  absl::StatusOr<std::unique_ptr<MariaDbServer>> database = MariaDbServer::Start();
  ASSERT_TRUE(database.ok()) << database.status();
  MariaDbServer& server = **database;
  ASSERT_TRUE(server.Stop().ok());
  const std::vector<std::string> flags = {
      "--trigger", "available-now", "--embedded-rows",
      "20000",     "--sink",        server.url("totals") + "?create_table=true"};
  auto job = folder_.Launch(kJob, flags, {{"TIDEMARK_MYSQL_PASSWORD", server.password()}});
  ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stderr(), "event=retry"); })) << job->Stderr();
  EXPECT_TRUE(job->Running());
  ASSERT_TRUE(server.Restart().ok());
  const absl::StatusOr<int> code = job->Wait(absl::Seconds(60));
  ASSERT_TRUE(code.ok()) << code.status() << job->Stderr();
  EXPECT_EQ(*code, 0) << job->Stderr();
  const auto sum = server.Query("SELECT SUM(registrations) FROM totals");
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->at(0).at(0), "20000");

  // A password in a file, then a wrong one.
  std::ofstream(folder_.Path("password")) << server.password() << '\n';
  const JobFolder::Variables from_file = {
      {"TIDEMARK_MYSQL_PASSWORD_FILE", folder_.Path("password")}};
  EXPECT_EQ(folder_.Run(kJob, flags, from_file).exit_code, 0);
  std::vector<std::string> again = flags;
  again.insert(again.end(), {"--checkpoint", "other"});
  const ProcessResult wrong = folder_.Run(kJob, again, {{"TIDEMARK_MYSQL_PASSWORD", "wrong"}});
  EXPECT_EQ(wrong.exit_code, 2) << wrong.stderr_text;
  EXPECT_THAT(wrong.stderr_text, Not(HasSubstr(server.password())));
  // A table that does not fit.
  ASSERT_TRUE(server.Exec("CREATE TABLE unfit (store_id INT)").ok());
  std::vector<std::string> unfit = again;
  unfit[5] = server.url("unfit");
  const ProcessResult refused = folder_.Run(kJob, unfit, from_file);
  EXPECT_EQ(refused.exit_code, 2) << refused.stderr_text;
  EXPECT_THAT(Error(refused), HasSubstr("unfit"));
}

}  // namespace
}  // namespace tidemark
