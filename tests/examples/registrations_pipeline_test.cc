// The registrations pipeline on real servers: feeder, trigger, producer, topic, consumer, table;
// both jobs are killed in the middle.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using testing::Contains;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaServer;
using testing::MariaDbServer;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::RunProcess;
using testing::WaitUntil;

const std::string kHere = std::string(TIDEMARK_SOURCE_DIR) + "/examples/registrations_per_store";

class RegistrationsPipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = *std::move(kafka);
    absl::StatusOr<std::unique_ptr<MariaDbServer>> database = MariaDbServer::Start();
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    // The commands find these servers where they would find those of scripts/services.
    std::ofstream(folder_.Path("mysql.password")) << database_->password();
    env_ = {{"TIDEMARK_SERVICES_DIR", folder_.Path("")},
            {"TIDEMARK_KAFKA_PORT", fmt::format("{}", kafka_->port())},
            {"TIDEMARK_MYSQL_PORT", fmt::format("{}", database_->port())}};
    const ProcessResult tables = Shell(
        fmt::format("{}/scripts/services mysql < {}/sql/schema.sql", TIDEMARK_SOURCE_DIR, kHere));
    ASSERT_EQ(tables.exit_code, 0) << tables.stderr_text;
  }

  ProcessResult Shell(const std::string& command) {
    absl::StatusOr<ProcessResult> result =
        RunProcess({.args = {"bash", "-c", command}, .env = env_}, absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }
  ProcessResult Verify(int wait_s) {
    return Shell(fmt::format("{}/verify --wait {}", kHere, wait_s));
  }

  std::unique_ptr<Process> Producer() {
    return folder_.Launch("users_change_events_producer",
                          {"--config", kHere + "/registrations_per_store.yaml", "--profile",
                           "producer", "--poll-interval", "50ms", "--trigger", "asap"},
                          env_);
  }
  std::unique_ptr<Process> Consumer() {
    return folder_.Launch("registrations_per_store",
                          {"--config", kHere + "/registrations_per_store.yaml", "--profile",
                           "pipeline", "--trigger", "100ms"},
                          env_);
  }
  std::vector<std::string> FeederFlags(const std::string& count) const {
    return {"--server", database_->url(), "--count", count, "--every", "40ms", "--seed", "7"};
  }
  size_t Published() {
    const auto records = kafka_->ReadTopic("users_change_events");
    return records.ok() ? records->size() : 0;
  }

  JobFolder folder_;
  JobFolder::Variables env_;
  std::unique_ptr<KafkaServer> kafka_;
  std::unique_ptr<MariaDbServer> database_;
};

TEST_F(RegistrationsPipeline, NothingIsLostOrTwiceWhenTheJobsAreKilled) {
  std::unique_ptr<Process> producer = Producer();
  ASSERT_TRUE(
      WaitUntil([&] { return Published() == 0 && Contains(producer->Stderr(), "New query"); }));
  std::unique_ptr<Process> consumer = Consumer();
  const std::unique_ptr<Process> feeder =
      folder_.Launch("feed_customers", FeederFlags("3000"), env_);
  const auto seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  for (int kill = 0; kill < 6; ++kill) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300 + random() % 700));
    std::unique_ptr<Process>& job = kill % 2 == 0 ? producer : consumer;
    EXPECT_EQ(job->Kill(), 137) << job->Stderr();
    job = kill % 2 == 0 ? Producer() : Consumer();
  }
  const absl::StatusOr<int> fed = feeder->Wait(absl::Minutes(1));
  ASSERT_TRUE(fed.ok()) << fed.status();
  EXPECT_EQ(*fed, 0) << feeder->Stderr();
  EXPECT_THAT(feeder->Stderr(), HasSubstr("Registered 3000 customers"));

  const ProcessResult good = Verify(60);
  EXPECT_EQ(good.exit_code, 0) << good.stdout_text << producer->Stderr() << consumer->Stderr();
  EXPECT_THAT(good.stdout_text,
              AllOf(HasSubstr("OK | trigger | 3000 events of 3000 customers with an address"),
                    HasSubstr("OK | topic | 3000 messages"), HasSubstr("OK | latest_cdc_timestamp"),
                    HasSubstr("3000 registrations"), Not(HasSubstr("FAIL"))));
  const auto stores = database_->Query(
      "SELECT COUNT(DISTINCT store_id), COUNT(DISTINCT email), COUNT(DISTINCT address_id) FROM "
      "customer");
  ASSERT_TRUE(stores.ok()) << stores.status();
  EXPECT_EQ((*stores)[0][0], "5");
  EXPECT_EQ((*stores)[0][1], "3000");
  EXPECT_EQ((*stores)[0][2], "3000");

  // A feeder that runs again adds other people, and the jobs take them up.
  EXPECT_EQ(folder_.Run("feed_customers", FeederFlags("50"), env_).exit_code, 0);
  EXPECT_EQ(Verify(30).exit_code, 0);
  EXPECT_EQ(producer->Terminate(absl::Seconds(15)), 0) << producer->Stderr();
  EXPECT_EQ(consumer->Terminate(absl::Seconds(15)), 0) << consumer->Stderr();

  // What is wrong is said, part by part.
  ASSERT_TRUE(kafka_
                  ->Produce("users_change_events", 0,
                            {{.key = "1",
                              .value = R"({"customer_id":1,"store_id":1,"first_name":"A",)"
                                       R"("last_name":"B","email":"e",)"
                                       R"("created_at":"2025-01-06T08:01:00Z"})"}})
                  .ok());
  ASSERT_TRUE(database_
                  ->Exec("UPDATE latest_cdc_timestamp SET latest_timestamp = '2025-01-01'; "
                         "DELETE FROM registrations_per_store LIMIT 1; "
                         "DELETE FROM users_change_events LIMIT 1")
                  .ok());
  const ProcessResult bad = Verify(0);
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.stdout_text,
              AllOf(HasSubstr("FAIL | trigger | 1 events missing"), HasSubstr("FAIL | topic | "),
                    HasSubstr("too many"), HasSubstr("FAIL | latest_cdc_timestamp"),
                    HasSubstr("FAIL | registrations_per_store"), Not(HasSubstr("OK |"))));
}

TEST_F(RegistrationsPipeline, VerifyTakesWhatTheTablesAllow) {
  ASSERT_TRUE(
      database_
          ->Exec("INSERT INTO address (address, district, city_id, phone) VALUES "
                 "('1 Main Street', 'd', 1, '5'); "
                 "INSERT INTO customer (store_id, first_name, last_name, email, "
                 "address_id, create_date) VALUES (1, 'A\\tB', 'C\\\\D\\nE', NULL, 1, NOW()), "
                 "(2, 'Zoë', '', '|', 1, NOW())")
          .ok());
  const std::unique_ptr<Process> producer = Producer();
  ASSERT_TRUE(WaitUntil([&] { return Published() == 2; })) << producer->Stderr();
  ASSERT_TRUE(kafka_->Produce("users_change_events", 0, {{.key = "1", .value = "no JSON"}}).ok());
  const std::unique_ptr<Process> consumer = Consumer();
  const ProcessResult good = Verify(30);
  EXPECT_EQ(good.exit_code, 0) << good.stdout_text << good.stderr_text << consumer->Stderr();
  EXPECT_THAT(good.stdout_text,
              AllOf(HasSubstr("OK | trigger | 2 events"),
                    HasSubstr("OK | topic | 2 messages, each event once; 1 others are no events"),
                    HasSubstr("2 counts, 2 registrations")));
  // Each part that cannot be read is a line, the others are there too.
  ASSERT_TRUE(database_->Exec("DROP TABLE registrations_per_store").ok());
  const ProcessResult bad = Verify(0);
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.stdout_text, AllOf(HasSubstr("OK | trigger"), HasSubstr("OK | topic"),
                                     HasSubstr("FAIL | registrations_per_store | RuntimeError: ")));
  EXPECT_EQ(bad.stderr_text, "");
}

TEST_F(RegistrationsPipeline, TheFeederSaysWhatIsWrong) {
  const auto error = [&](std::vector<std::string> flags, JobFolder::Variables env) {
    const ProcessResult result = folder_.Run("feed_customers", flags, env);
    EXPECT_NE(result.exit_code, 0);
    return result.stderr_text;
  };
  EXPECT_THAT(error({"--server", "mysql://nobody"}, env_), HasSubstr("mysql://USER@HOST:PORT/DB"));
  EXPECT_THAT(error({"--every", "soon"}, env_), HasSubstr("'soon' is not a time"));
  EXPECT_THAT(error({"--count", "-1"}, env_), HasSubstr("--count"));
  EXPECT_THAT(error(FeederFlags("1"), {{"TIDEMARK_MYSQL_PASSWORD", "wrong"}}),
              HasSubstr("tidemark"));
  EXPECT_THAT(error(FeederFlags("1"), {{"TIDEMARK_MYSQL_PASSWORD", std::nullopt},
                                       {"TIDEMARK_MYSQL_PASSWORD_FILE", "/nowhere"}}),
              HasSubstr("/nowhere cannot be read"));
  ASSERT_TRUE(database_->Exec("DROP TABLE customer").ok());
  EXPECT_THAT(error(FeederFlags("1"), env_), HasSubstr("customer"));
}

}  // namespace
}  // namespace tidemark
