// The pipeline food_orders: its rules in the test kit; its jobs, config and scripts from a real
// PostgreSQL through a real Kafka broker into files, killed on the way. verify_pipeline, which
// reads every part through other programs than ours, is the judge.
#include "examples/food_orders/food_orders.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/postgres_server.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaServer;
using testing::Lines;
using testing::PostgresServer;
using testing::Process;
using testing::ProcessResult;
using testing::ReadText;
using ::testing::StartsWith;
using testing::WaitUntil;

constexpr char kConfig[] = "examples/food_orders/configs/orders_stream.yml";

std::string Order(const std::string& id, const std::string& amount) {
  return fmt::format(
      R"({{"order_id":{},"customer_name":"Ada","restaurant_name":"Taj","item":"Dal",)"
      R"("amount":{},"order_status":"PLACED","created_at":"2026-03-29T23:59:59.5Z"}})",
      id, amount);
}

void DropBadRecords(QueryOptions& options) { options.bad_records = BadRecordPolicy::kDrop; }

TEST(FoodOrdersLake, ChecksOrdersAndAddsTheirDate) {
  TestKit kit(&examples::FoodOrdersLake, {}, &DropBadRecords);
  kit.AddRaw(Order("1", "12.5"));
  kit.AddRaw(Order("null", "3"));
  kit.AddRaw(Order("2", "-0.01"));
  kit.AddRaw(Order("3", "null"));
  kit.AddRaw(Order("4", "0"));
  kit.AddRaw(Order("null", "-1"));
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(kit.Rows(),
              ElementsAre(AllOf(HasSubstr(R"("order_id":1,)"), HasSubstr(R"("amount":12.5,)"),
                                HasSubstr(R"("date":"2026-03-29")")),
                          HasSubstr(R"("order_id":4,)")));
  EXPECT_EQ(kit.LastProgress().source.bad.total(), 4);
}

TEST(FoodOrdersLake, TheLimitIsAParameter) {
  TestKit kit(&examples::FoodOrdersLake, {{"min_amount", "5.5"}}, &DropBadRecords);
  kit.AddRaw(Order("1", "5.5"));
  kit.AddRaw(Order("2", "5.4"));
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(kit.Rows(), ElementsAre(HasSubstr(R"("order_id":1,)")));
  TestKit wrong(&examples::FoodOrdersLake, {{"min_amount", "little"}});
  EXPECT_THAT(std::string(wrong.Start().message()), HasSubstr("min_amount is 'little'"));
}

class FoodOrdersPipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = *std::move(kafka);
    absl::StatusOr<std::unique_ptr<PostgresServer>> postgres = PostgresServer::Start();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = *std::move(postgres);
    // The project's folder as a person has it, but for the ports.
    std::filesystem::copy(std::string(TIDEMARK_SOURCE_DIR) + "/examples", folder_.Path("examples"),
                          std::filesystem::copy_options::recursive);
    std::string config = ReadText(folder_.Path(kConfig));
    Replace("127.0.0.1:${env:TIDEMARK_KAFKA_PORT:-29092}", kafka_->brokers(), &config);
    Replace("127.0.0.1:${env:TIDEMARK_POSTGRES_PORT:-25432}",
            fmt::format("127.0.0.1:{}", postgres_->port()), &config);
    std::ofstream(folder_.Path(kConfig)) << config;
    std::filesystem::create_directories(folder_.Path("services"));
    std::ofstream(folder_.Path("services/postgres.password")) << postgres_->password() << '\n';
    std::filesystem::create_directories(folder_.Path("output"));
  }

  static void Replace(const std::string& what, const std::string& by, std::string* text) {
    const size_t at = text->find(what);
    ASSERT_NE(at, std::string::npos) << what;
    text->replace(at, what.size(), by);
  }

  ProcessResult Script(const std::string& name, const std::vector<std::string>& flags) {
    testing::ProcessOptions options;
    options.args = {folder_.Path("examples/food_orders/" + name)};
    options.args.insert(options.args.end(), flags.begin(), flags.end());
    options.env = {{"TIDEMARK_PYARROW", TIDEMARK_PYARROW}};
    options.working_dir = folder_.Path("");
    absl::StatusOr<ProcessResult> result = RunProcess(std::move(options), absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }
  void Insert(int count, int bad, int seed) {
    const ProcessResult inserted =
        Script("insert_test_orders", {"--count", std::to_string(count), "--bad",
                                      std::to_string(bad), "--seed", std::to_string(seed)});
    ASSERT_EQ(inserted.exit_code, 0) << inserted.stderr_text;
    EXPECT_THAT(inserted.stdout_text, StartsWith(fmt::format("Inserted {} orders", count)));
  }
  std::unique_ptr<Process> Producer() {
    return folder_.Launch("food_orders_producer", {"--config", kConfig, "--profile", "producer",
                                                   "--poll-interval", "200ms"});
  }
  std::unique_ptr<Process> Lake() {
    return folder_.Launch("food_orders_lake",
                          {"--config", kConfig, "--profile", "lake", "--trigger", "300ms"});
  }

  JobFolder folder_;
  std::unique_ptr<KafkaServer> kafka_;
  std::unique_ptr<PostgresServer> postgres_;
};

TEST_F(FoodOrdersPipeline, KilledAgainAndAgainEveryOrderArrivesOnce) {
  Insert(0, 0, 1);
  const ProcessResult first =
      folder_.Run("food_orders_producer",
                  {"--config", kConfig, "--profile", "producer", "--trigger", "available-now"});
  ASSERT_EQ(first.exit_code, 0) << first.stderr_text;

  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::minstd_rand random(seed);
  std::unique_ptr<Process> producer = Producer();
  std::unique_ptr<Process> lake = Lake();
  for (int round = 0; round < 4; ++round) {
    Insert(150, 2, round);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 800));
    ASSERT_EQ(producer->Kill(), 137) << producer->Stderr();
    producer = Producer();
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 800));
    ASSERT_EQ(lake->Kill(), 137) << lake->Stderr();
    lake = Lake();
  }
  const ProcessResult verified = Script("verify_pipeline", {"--wait", "60"});
  EXPECT_EQ(verified.exit_code, 0)
      << verified.stdout_text << verified.stderr_text << producer->Stderr() << lake->Stderr();
  const std::vector<std::string> lines = Lines(verified.stdout_text);
  EXPECT_THAT(lines,
              ElementsAre(HasSubstr("OK | database | 600 rows in orders"),
                          HasSubstr("OK | topic | 600 messages in food_orders_raw, 600 distinct"),
                          HasSubstr("OK | lake | 592 rows in"),
                          HasSubstr("OK | rejected | 8 messages kept in output/rejected"),
                          HasSubstr("OK | state file | output/orders_offset.json: 600 rows"),
                          StartsWith("OK | checkpoint | ")));
  EXPECT_EQ(producer->Terminate(absl::Seconds(15)), 0) << producer->Stderr();
  EXPECT_EQ(lake->Terminate(absl::Seconds(15)), 0) << lake->Stderr();

  // What is wrong is seen, part by part.
  std::filesystem::path part;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder_.Path("output/records"))) {
    if (entry.path().extension() == ".parquet") part = entry.path();
  }
  EXPECT_THAT(part.parent_path().filename().string(), StartsWith("date=20"));
  std::filesystem::copy(part, part.parent_path() / "part-copy.parquet");
  std::ofstream(folder_.Path("output/orders_offset.json")) << R"({"source":"orders","rows":1})";
  Insert(1, 0, 9);
  const ProcessResult failed = Script("verify_pipeline", {"--wait", "0"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.stdout_text,
              AllOf(HasSubstr("OK | database | 601"), HasSubstr("FAIL | topic"),
                    HasSubstr("FAIL | lake"), HasSubstr("OK | rejected"),
                    HasSubstr("FAIL | state file"), HasSubstr("OK | checkpoint")));
  ASSERT_TRUE(postgres_->Stop().ok());
  EXPECT_THAT(Script("verify_pipeline", {"--wait", "0"}).stdout_text,
              HasSubstr("FAIL | database | "));
}

TEST_F(FoodOrdersPipeline, WrongValuesAreOneSentence) {
  const ProcessResult missing =
      folder_.Run("food_orders_producer", {"--config", kConfig, "--profile", "producer"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.stderr_text, HasSubstr("PostgreSQL has no table orders"));
  const ProcessResult topic =
      folder_.Run("food_orders_lake", {"--config", kConfig, "--profile", "lake"});
  EXPECT_EQ(topic.exit_code, 2);
  EXPECT_THAT(topic.stderr_text, HasSubstr("food_orders_raw"));
  const ProcessResult limit = folder_.Run(
      "food_orders_lake", {"--config", kConfig, "--profile", "lake", "--param", "min_amount=x"});
  EXPECT_EQ(limit.exit_code, 2);
  EXPECT_THAT(limit.stderr_text, HasSubstr("min_amount is 'x'"));
  std::ofstream(folder_.Path("services/postgres.password")) << "wrong\n";
  const ProcessResult password =
      folder_.Run("food_orders_producer", {"--config", kConfig, "--profile", "producer"});
  EXPECT_EQ(password.exit_code, 2);
  EXPECT_EQ(Script("insert_test_orders", {"--count", "1"}).exit_code, 1);
}

}  // namespace
}  // namespace tidemark
