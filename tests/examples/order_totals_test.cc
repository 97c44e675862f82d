#include "examples/order_totals/order_totals.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaServer;
using testing::MariaDbServer;
using testing::ProcessResult;

TEST(OrderTotals, SumsPerShopRegionAndWindow) {
  TestKit kit(&examples::OrderTotals);
  const auto add = [&](int64_t shop, const char* region, int64_t count, const char* at) {
    kit.Add({{"itemid", 1},
             {"orderid", 1},
             {"shopid", shop},
             {"region", region},
             {"count", count},
             {"created_at", at}});
  };
  add(1, "north", 2, "2025-01-06T08:01:00Z");
  add(1, "north", 3, "2025-01-06T08:02:00Z");
  add(1, "so|uth", 1, "2025-01-06T08:02:00Z");
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(
      kit.Batches()[0],
      ElementsAre(
          R"({"rowkey":"2025-01-06T08:00:00Z|1|north","window_start":"2025-01-06T08:00:00Z",)"
          R"("window_end":"2025-01-06T08:05:00Z","shopid":1,"region":"north","orders":2,"items":5})",
          R"({"rowkey":"2025-01-06T08:00:00Z|1|so\\|uth","window_start":"2025-01-06T08:00:00Z",)"
          R"("window_end":"2025-01-06T08:05:00Z","shopid":1,"region":"so|uth","orders":1,"items":1})"));
}

TEST(OrderTotals, TheGeneratorIsAPureFunction) {
  TestKit kit(&examples::OrderTotals);
  for (int64_t offset = 0; offset < 1000; ++offset) {
    const GeneratedRecord record = examples::FakeOrder(3, 1, offset);
    EXPECT_EQ(record.value, examples::FakeOrder(3, 1, offset).value);
    kit.AddRaw(record.value);
  }
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_EQ(kit.LastProgress().source.bad.total(), 0);
  EXPECT_GE(kit.Table().size(), 6u);
}

class OrderTotalsJob : public ::testing::Test {
 protected:
  // As if run from the project's folder.
  void SetUp() override {
    std::filesystem::create_directory_symlink(std::string(TIDEMARK_SOURCE_DIR) + "/examples",
                                              folder_.Path("examples"));
  }
  JobFolder folder_;
};

TEST_F(OrderTotalsJob, ProfileTestNeedsNothing) {
  const ProcessResult result =
      folder_.Run("order_totals", {"--profile", "test", "--embedded-rows", "5000"});
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_THAT(result.stderr_text,
              AllOf(ContainsRegex("event=start .*contact=orders-team@example.com"),
                    HasSubstr("Summary: rows=5000 ")));
  EXPECT_THAT(result.stdout_text, HasSubstr("|2025-01-06T08:00:00Z|1|north|"));
}

TEST_F(OrderTotalsJob, EveryJobsProfilesCanBeRead) {
  for (const char* job :
       {"registrations_per_store", "customers_cdc", "op_counts", "order_totals"}) {
    const ProcessResult test = folder_.Run(job, {"--profile", "test", "--embedded-rows", "100"});
    EXPECT_EQ(test.exit_code, 0) << test.stderr_text;
    const ProcessResult prod = folder_.Run(job, {"--profile", "prod", "--explain"});
    EXPECT_EQ(prod.exit_code, 0) << prod.stderr_text;
    EXPECT_THAT(prod.stdout_text, HasSubstr("Input kafka"));
  }
}

// Orders and items by row key, folded from the topic's records.
std::map<std::string, std::pair<int64_t, int64_t>> Fold(
    const std::vector<testing::KafkaRecord>& records) {
  std::map<std::string, std::pair<int64_t, int64_t>> totals;
  simdjson::dom::parser parser;
  for (const testing::KafkaRecord& record : records) {
    simdjson::dom::element order;
    EXPECT_EQ(parser.parse(*record.value).get(order), simdjson::SUCCESS);
    absl::Time at;
    std::string problem;
    EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full,
                                std::string(std::string_view(order["created_at"])), &at, &problem));
    const absl::Time start =
        absl::UnixEpoch() + absl::Floor(at - absl::UnixEpoch(), absl::Minutes(5));
    const std::string key =
        fmt::format("{}|{}|{}", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", start, absl::UTCTimeZone()),
                    int64_t(order["shopid"]), std::string_view(order["region"]));
    totals[key].first += 1;
    totals[key].second += int64_t(order["count"]);
  }
  return totals;
}

TEST_F(OrderTotalsJob, ProfileProdKeepsTheTableUpToDate) {
  absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
  ASSERT_TRUE(kafka.ok()) << kafka.status();
  absl::StatusOr<std::unique_ptr<MariaDbServer>> database = MariaDbServer::Start();
  ASSERT_TRUE(database.ok()) << database.status();
  ASSERT_TRUE((*kafka)->CreateTopic("orders", 3).ok());
  const JobFolder::Variables env = {{"TIDEMARK_MYSQL_PASSWORD", (*database)->password()}};
  const auto produce = [&](const std::string& count, const std::string& seed,
                           const std::string& start) {
    const ProcessResult result =
        folder_.Run("order_producer", {"--brokers", (*kafka)->brokers(), "--rate", "20", "--count",
                                       count, "--seed", seed, "--start", start});
    EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
    EXPECT_THAT(result.stderr_text, HasSubstr("Produced " + count + " orders"));
  };
  const auto run = [&] {
    const ProcessResult result =
        folder_.Run("order_totals",
                    {"--profile", "prod", "--brokers", (*kafka)->brokers(), "--sink",
                     (*database)->url("order_totals") + "?create_table=true", "--trigger",
                     "available-now", "--max-offsets-per-trigger", "15"},
                    env);
    EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
    const auto rows = (*database)->Query("SELECT rowkey, orders, items FROM order_totals");
    EXPECT_TRUE(rows.ok()) << rows.status();
    std::map<std::string, std::pair<int64_t, int64_t>> table;
    for (const testing::MariaDbRow& row : *rows)
      table[*row[0]] = {std::stoll(*row[1]), std::stoll(*row[2])};
    const auto records = (*kafka)->ReadTopic("orders");
    EXPECT_TRUE(records.ok()) << records.status();
    EXPECT_EQ(table, Fold(*records));
    return table.size();
  };
  produce("60", "1", "2025-01-06T08:04:59Z");
  const size_t groups = run();
  EXPECT_GE(groups, 6u);
  // The same windows again, and new ones.
  produce("40", "2", "2025-01-06T08:05:00Z");
  produce("40", "3", "2025-01-06T08:12:00Z");
  EXPECT_GT(run(), groups);
}

// The same orders as JSON and as Avro; the job that reads Avro is killed on the way.
TEST_F(OrderTotalsJob, AvroGivesTheSameTotals) {
  absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
  ASSERT_TRUE(kafka.ok()) << kafka.status();
  absl::StatusOr<std::unique_ptr<MariaDbServer>> database = MariaDbServer::Start();
  ASSERT_TRUE(database.ok()) << database.status();
  const auto produce = [&](const std::string& topic, const std::string& format) {
    ASSERT_TRUE((*kafka)->CreateTopic(topic, 2).ok());
    const ProcessResult result =
        folder_.Run("order_producer",
                    {"--brokers", (*kafka)->brokers(), "--rate", "2000", "--count", "3000",
                     "--topic", topic, "--format", format, "--start", "2025-01-06T08:04:59Z"});
    ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
  };
  produce("orders", "json");
  produce("orders_avro", "avro");
  std::filesystem::create_directories(folder_.Path("services"));
  std::ofstream(folder_.Path("services/mysql.password")) << (*database)->password() << '\n';
  const auto flags = [&](const std::string& trigger) {
    return std::vector<std::string>{"--profile",
                                    "pipeline_avro",
                                    "--brokers",
                                    (*kafka)->brokers(),
                                    "--sink",
                                    (*database)->url("order_totals_avro") + "?create_table=true",
                                    "--max-offsets-per-trigger",
                                    "100",
                                    "--trigger",
                                    trigger};
  };
  const auto job = folder_.Launch("order_totals", flags("asap"));
  ASSERT_TRUE(testing::WaitUntil([&] {
    const auto rows = (*database)->Query("SELECT batch_id FROM tidemark_batches");
    return rows.ok() && !rows->empty() && std::stoll(*rows->at(0).at(0)) >= 3;
  })) << job->Stderr();
  EXPECT_EQ(job->Kill(), 137) << job->Stderr();
  const ProcessResult last = folder_.Run("order_totals", flags("available-now"));
  ASSERT_EQ(last.exit_code, 0) << last.stderr_text;
  EXPECT_THAT(last.stderr_text, HasSubstr("Resumed from checkpoints/order_totals_avro"));

  const auto rows = (*database)->Query("SELECT rowkey, orders, items FROM order_totals_avro");
  ASSERT_TRUE(rows.ok()) << rows.status();
  std::map<std::string, std::pair<int64_t, int64_t>> table;
  for (const testing::MariaDbRow& row : *rows)
    table[*row[0]] = {std::stoll(*row[1]), std::stoll(*row[2])};
  const auto records = (*kafka)->ReadTopic("orders");
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->size(), 3000u);
  EXPECT_EQ(table, Fold(*records));
}

TEST_F(OrderTotalsJob, TheProducerRefusesWrongFlags) {
  const ProcessResult nobody =
      folder_.Run("order_producer", {"--count", "1"}, {{"TIDEMARK_KAFKA_PORT", "1"}});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.stderr_text, HasSubstr("127.0.0.1:1"));
  EXPECT_EQ(folder_.Run("order_producer", {"--brokers", "x:1", "--rate", "0"}).exit_code, 2);
  EXPECT_EQ(folder_.Run("order_producer", {"--brokers", "x:1", "--start", "soon"}).exit_code, 2);
  EXPECT_EQ(folder_.Run("order_producer", {"--brokers", "x:1", "--format", "xml"}).exit_code, 2);
  EXPECT_EQ(folder_.Run("order_producer", {"--help"}).exit_code, 0);
}

}  // namespace
}  // namespace tidemark
