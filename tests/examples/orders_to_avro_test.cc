// The pipeline orders_to_avro: its jobs, config and scripts from a real MariaDB through a real
// Kafka broker into files, killed on the way. The script verify, which reads every part through
// other programs than ours, is the judge.
#include "examples/orders_to_avro/orders_to_avro.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Lines;
using testing::MariaDbServer;
using ::testing::MatchesRegex;
using testing::Process;
using testing::ProcessResult;
using testing::ReadText;
using testing::WaitUntil;

constexpr char kConfig[] = "examples/orders_to_avro/orders_to_avro.yaml";

class OrdersToAvroPipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = *std::move(kafka);
    absl::StatusOr<std::unique_ptr<MariaDbServer>> database = MariaDbServer::Start();
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    // The project's folder as a person has it, but for the ports.
    for (const std::string part : {"examples", "scripts"}) {
      std::filesystem::copy(std::string(TIDEMARK_SOURCE_DIR) + "/" + part, folder_.Path(part),
                            std::filesystem::copy_options::recursive);
    }
    std::string config = ReadText(folder_.Path(kConfig));
    Replace("127.0.0.1:${env:TIDEMARK_KAFKA_PORT:-29092}", kafka_->brokers(), &config);
    Replace("127.0.0.1:${env:TIDEMARK_MYSQL_PORT:-23306}",
            fmt::format("127.0.0.1:{}", database_->port()), &config);
    std::ofstream(folder_.Path(kConfig)) << config;
    std::filesystem::create_directories(folder_.Path("services"));
    std::ofstream(folder_.Path("services/mysql.password")) << database_->password() << '\n';
  }

  static void Replace(const std::string& what, const std::string& by, std::string* text) {
    const size_t at = text->find(what);
    ASSERT_NE(at, std::string::npos) << what;
    text->replace(at, what.size(), by);
  }

  ProcessResult Script(const std::string& name, const std::vector<std::string>& flags = {}) {
    testing::ProcessOptions options;
    options.args = {folder_.Path("examples/orders_to_avro/" + name)};
    options.args.insert(options.args.end(), flags.begin(), flags.end());
    options.env = {{"TIDEMARK_PROGRAMS", TIDEMARK_EXAMPLES_DIR},
                   {"TIDEMARK_SERVICES_DIR", folder_.Path("services")},
                   {"TIDEMARK_MYSQL_PORT", std::to_string(database_->port())}};
    options.working_dir = folder_.Path("");
    absl::StatusOr<ProcessResult> result = RunProcess(std::move(options), absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }
  void Insert(int count) {
    const ProcessResult inserted = Script("insert_orders", {std::to_string(count)});
    ASSERT_EQ(inserted.exit_code, 0) << inserted.stderr_text;
    EXPECT_EQ(inserted.stdout_text, fmt::format("Inserted {} orders into new_orders\n", count));
  }
  std::unique_ptr<Process> ToAvro() {
    return folder_.Launch("orders_to_avro", {"--config", kConfig, "--profile", "orders_to_avro",
                                             "--poll-interval", "200ms"});
  }
  static std::vector<std::string> ToJson(std::vector<std::string> more = {}) {
    std::vector<std::string> flags = {"--config", kConfig, "--profile", "orders_avro_to_json"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }
  std::string One(const std::string& sql) {
    const auto rows = database_->Query(sql);
    return rows.ok() && !rows->empty() ? rows->at(0).at(0).value_or("") : "";
  }
  // The mirror comes after the batch's commit.
  void WaitForOffset() {
    EXPECT_TRUE(WaitUntil([&] {
      return One("SELECT last_order_id FROM streaming_offsets") ==
             One("SELECT MAX(order_id) FROM new_orders");
    })) << One("SELECT last_order_id FROM streaming_offsets");
  }

  JobFolder folder_;
  std::unique_ptr<KafkaServer> kafka_;
  std::unique_ptr<MariaDbServer> database_;
};

TEST_F(OrdersToAvroPipeline, ATableWhoseIdsNobodyDrawsIsFedToo) {
  ASSERT_TRUE(database_
                  ->Exec("CREATE TABLE new_orders (order_id INT PRIMARY KEY, customer_id INT, "
                         "amount DOUBLE, created_at TIMESTAMP)")
                  .ok());
  Insert(0);
  Insert(150);
  Insert(7);
  const std::unique_ptr<Process> job = ToAvro();
  Insert(100);
  const ProcessResult verified = Script("verify");
  EXPECT_EQ(verified.exit_code, 0) << verified.stdout_text << verified.stderr_text;
  EXPECT_THAT(verified.stdout_text, HasSubstr("OK | topic | 257 Avro records"));
  EXPECT_EQ(One("SELECT MAX(order_id) FROM new_orders"), "257");
}

TEST_F(OrdersToAvroPipeline, KilledAgainAndAgainEveryOrderArrivesOnce) {
  Insert(0);
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::minstd_rand random(seed);
  std::unique_ptr<Process> job = ToAvro();
  for (int round = 0; round < 4; ++round) {
    // An order whose transaction ends after later orders'.
    std::thread late([&] {
      const absl::Status done = database_->Exec(
          "BEGIN; INSERT INTO new_orders (customer_id, amount) VALUES (99, 0.5); "
          "SELECT SLEEP(1); COMMIT");
      EXPECT_TRUE(done.ok()) << done;
    });
    Insert(150);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 1200));
    EXPECT_EQ(job->Kill(), 137) << job->Stderr();
    job = ToAvro();
    late.join();
  }
  WaitForOffset();
  // A process that has only just been started does not know signals yet.
  ASSERT_TRUE(WaitUntil([&] { return job->Stderr().find("Resumed from") != std::string::npos; }));
  EXPECT_EQ(job->Terminate(absl::Seconds(15)), 0) << job->Stderr();

  std::unique_ptr<Process> files = folder_.Launch(
      "orders_avro_to_json", ToJson({"--max-offsets-per-trigger", "20", "--trigger", "asap"}));
  ASSERT_TRUE(WaitUntil([&] {
    return std::filesystem::exists(folder_.Path("stream/json/_tidemark/00002.json"));
  })) << files->Stderr();
  EXPECT_EQ(files->Kill(), 137) << files->Stderr();
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("stream/json/_SUCCESS")));
  // It runs the job to its end.
  const ProcessResult verified = Script("verify");
  EXPECT_EQ(verified.exit_code, 0) << verified.stdout_text << verified.stderr_text;
  EXPECT_THAT(Lines(verified.stdout_text),
              ElementsAre("OK | database | 604 rows in new_orders",
                          HasSubstr("OK | offset | streaming_offsets holds [['new_orders', '"),
                          "OK | topic | 604 Avro records in orders_avro_topic, 0 differ from the "
                          "database",
                          "OK | rejected | 0 orders kept in checkpoints/orders_to_avro/"
                          "dead_letters; 0 have a null",
                          "OK | files | 604 orders in stream/json, 0 differ from the database; "
                          "_SUCCESS is there"));
  ASSERT_TRUE(database_->Exec("UPDATE new_orders SET amount = 1 WHERE order_id = 1").ok());
  const ProcessResult failed = Script("verify", {"--wait", "0"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.stdout_text, AllOf(HasSubstr("OK | database"), HasSubstr("OK | offset"),
                                        HasSubstr("FAIL | topic"), HasSubstr("FAIL | files")));

  // What verify does not look at: the keys, and how a line is written.
  const auto records = kafka_->ReadTopic("orders_avro_topic");
  ASSERT_TRUE(records.ok()) << records.status();
  std::set<std::string> keys;
  for (const KafkaRecord& record : *records) keys.insert(record.key.value_or("none"));
  EXPECT_EQ(keys.size(), 604u);
  EXPECT_TRUE(keys.contains(One("SELECT MAX(order_id) FROM new_orders")));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.Path("stream/json"))) {
    if (!entry.path().filename().string().starts_with("part-")) continue;
    EXPECT_THAT(Lines(ReadText(entry.path())).at(0),
                MatchesRegex(R"(\{"order_id":[0-9]+,"customer_id":[0-9]+,"amount":[0-9.]+,)"
                             R"("created_at":"20..-..-..T..:..:..\....Z"\})"));
  }
}

// The table allows null where the record does not.
TEST_F(OrdersToAvroPipeline, AnOrderWithANullIsPutAsideAndHoldsUpNobody) {
  ASSERT_TRUE(database_
                  ->Exec("CREATE TABLE new_orders (order_id INT PRIMARY KEY, customer_id INT, "
                         "amount DOUBLE, created_at TIMESTAMP); "
                         "INSERT INTO new_orders VALUES (1, NULL, 5, '2025-01-02 10:15:22'), "
                         "(2, 7, NULL, '2025-01-02 10:15:22'), (3, 7, 5, NULL), "
                         "(4, 7, 2.5, '2025-01-02 10:15:22')")
                  .ok());
  std::unique_ptr<Process> job = ToAvro();
  WaitForOffset();
  ASSERT_TRUE(database_->Exec("INSERT INTO new_orders VALUES (5, NULL, NULL, NULL)").ok());
  WaitForOffset();
  ASSERT_TRUE(
      database_->Exec("INSERT INTO new_orders VALUES (6, 8, 1, '2025-01-02 10:15:23')").ok());
  WaitForOffset();
  EXPECT_EQ(job->Terminate(absl::Seconds(15)), 0) << job->Stderr();
  EXPECT_THAT(job->Stderr(), HasSubstr("bad_records=4"));

  const ProcessResult verified = Script("verify");
  EXPECT_EQ(verified.exit_code, 0) << verified.stderr_text;
  EXPECT_THAT(verified.stdout_text,
              AllOf(HasSubstr("OK | database | 6 rows in new_orders, 4 of them with a null"),
                    HasSubstr("OK | topic | 2 Avro records in orders_avro_topic, 0 differ"),
                    HasSubstr("OK | rejected | 4 orders kept in checkpoints/orders_to_avro/"
                              "dead_letters; 4 have a null"),
                    HasSubstr("OK | files | 2 orders in stream/json, 0 differ")));
  std::string letters;
  for (const auto& entry : std::filesystem::directory_iterator(
           folder_.Path("checkpoints/orders_to_avro/dead_letters"))) {
    letters += ReadText(entry.path());
  }
  EXPECT_THAT(letters, AllOf(HasSubstr("rule broken: customer_id is not null"),
                             HasSubstr("rule broken: amount is not null"),
                             HasSubstr("rule broken: created_at is not null")));
}

TEST_F(OrdersToAvroPipeline, WrongValuesAreOneSentence) {
  const std::vector<std::string> flags = {"--config", kConfig, "--profile", "orders_to_avro"};
  const ProcessResult missing = folder_.Run("orders_to_avro", flags);
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.stderr_text, HasSubstr("MySQL has no table tidemark.new_orders"));
  Insert(3);
  std::filesystem::remove(folder_.Path("examples/orders_to_avro/order_record.avsc"));
  const ProcessResult schema = folder_.Run("orders_to_avro", flags);
  EXPECT_EQ(schema.exit_code, 2);
  EXPECT_THAT(schema.stderr_text,
              AllOf(HasSubstr("orders_to_avro.yaml:"), HasSubstr("order_record.avsc")));
  EXPECT_EQ(Script("insert_orders", {"many"}).exit_code, 2);
}

}  // namespace
}  // namespace tidemark
