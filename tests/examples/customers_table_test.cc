// Changes typed or piped in, published line by line, and merged into a table by id; the job is
// killed in the middle.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <fstream>
#include <map>
#include <random>

#include "examples/customers_cdc/customers_cdc.h"
#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::MariaDbServer;
using testing::Process;
using testing::ProcessResult;
using testing::RunProcess;
using testing::WaitUntil;

using Customers = std::map<int64_t, std::string>;

// What is left of each customer when the topic's records are applied one by one.
Customers Replay(const std::vector<KafkaRecord>& records) {
  Customers customers;
  simdjson::dom::parser parser;
  for (const KafkaRecord& record : records) {
    simdjson::dom::element change;
    EXPECT_EQ(parser.parse(*record.value).get(change), simdjson::SUCCESS);
    const int64_t id = change["id"];
    EXPECT_EQ(record.key, std::to_string(id));
    const std::string_view op = change["op"];
    if (op == "delete") {
      customers.erase(id);
    } else {
      customers[id] = fmt::format("{}|{}|{}", std::string_view(change["name"]),
                                  std::string_view(change["email"]), op);
    }
  }
  return customers;
}

class CustomersTable : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = *std::move(kafka);
  }
  void StartDatabase() {
    absl::StatusOr<std::unique_ptr<MariaDbServer>> database = MariaDbServer::Start();
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    env_ = {{"TIDEMARK_MYSQL_PASSWORD", database_->password()}};
  }

  // `lines` piped into publish_lines.
  ProcessResult Publish(const std::string& lines, const std::string& flags) {
    const std::string path = folder_.Path("lines.jsonl");
    std::ofstream(path) << lines;
    absl::StatusOr<ProcessResult> result =
        RunProcess({.args = {"bash", "-c",
                             fmt::format("{}/publish_lines --brokers {} {} < {}",
                                         TIDEMARK_EXAMPLES_DIR, kafka_->brokers(), flags, path)}},
                   absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }
  // What the pipeline's command says of these servers.
  std::string Verify() {
    std::ofstream(folder_.Path("mysql.password")) << database_->password();
    const absl::StatusOr<ProcessResult> result =
        RunProcess({.args = {std::string(TIDEMARK_SOURCE_DIR) + "/examples/customers_table/verify",
                             "--wait", "0"},
                    .env = {{"TIDEMARK_SERVICES_DIR", folder_.Path("")},
                            {"TIDEMARK_KAFKA_PORT", fmt::format("{}", kafka_->port())},
                            {"TIDEMARK_MYSQL_PORT", fmt::format("{}", database_->port())}}},
                   absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return "";
    EXPECT_EQ(result->exit_code, result->stdout_text.starts_with("OK") ? 0 : 1);
    return result->stdout_text;
  }
  std::unique_ptr<Process> Job() {
    return folder_.Launch("customers_table",
                          {"--brokers", kafka_->brokers(), "--starting-offsets", "earliest",
                           "--sink", database_->url("customers") + "?create_table=true",
                           "--trigger", "asap", "--max-offsets-per-trigger", "100"},
                          env_);
  }
  Customers Table() {
    Customers customers;
    const auto rows = database_->Query("SELECT id, name, email, last_op FROM customers");
    if (!rows.ok()) return customers;
    for (const testing::MariaDbRow& row : *rows)
      customers[std::stoll(*row[0])] = fmt::format("{}|{}|{}", *row[1], *row[2], *row[3]);
    return customers;
  }

  JobFolder folder_;
  JobFolder::Variables env_;
  std::unique_ptr<KafkaServer> kafka_;
  std::unique_ptr<MariaDbServer> database_;
};

TEST_F(CustomersTable, TheTableIsWhatTheChangesLeaveThoughTheJobIsKilled) {
  StartDatabase();
  std::string lines;
  const auto publish = [&](int64_t from, int64_t to) {
    lines.clear();
    for (int64_t offset = from; offset < to; ++offset)
      lines += examples::FakeCustomerChange(3, 0, offset).value + "\n";
    const ProcessResult result = Publish(lines, "--topic customers_cdc --key id --partitions 3");
    EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
    EXPECT_THAT(result.stderr_text, HasSubstr(fmt::format("Published {} lines", to - from)));
  };
  publish(0, 2000);
  const auto seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  std::unique_ptr<Process> job = Job();
  for (int round = 1; round <= 6; ++round) {
    if (round % 2 == 0) publish(1000 + round * 1000, 2000 + round * 1000);
    ASSERT_TRUE(WaitUntil([&] {
      return Contains(job->Stderr(), " ./checkpoints/") || !job->Running();
    })) << "round "
        << round << ": " << job->Stderr();
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
    EXPECT_EQ(job->Kill(), 137) << job->Stderr();
    job = Job();
  }
  const absl::StatusOr<std::vector<KafkaRecord>> records = kafka_->ReadTopic("customers_cdc");
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->size(), 5000u);
  const Customers expected = Replay(*records);
  EXPECT_GT(expected.size(), 1000u);
  EXPECT_TRUE(WaitUntil([&] { return Table() == expected; })) << job->Stderr();

  // The last event of a key wins, also when a batch has several, and a deleted row may come back.
  ASSERT_EQ(Publish(R"({"id":-1,"name":"A","email":"a","op":"insert"})"
                    "\n"
                    R"({"id":-1,"name":"A","email":"a","op":"delete"})"
                    "\n"
                    R"({"id":-2,"name":"B","email":"b","op":"delete"})"
                    "\n"
                    R"({"id":-2,"name":"B","email":"b2","op":"insert"})"
                    "\n"
                    R"({"id":-3,"name":"C","email":"c","op":"insert"})"
                    "\n"
                    R"({"id":-3,"name":"C","email":"c3","op":"update"})"
                    "\n",
                    "--topic customers_cdc --key id")
                .exit_code,
            0);
  Customers more = expected;
  more[-2] = "B|b2|insert";
  more[-3] = "C|c3|update";
  EXPECT_TRUE(WaitUntil([&] { return Table() == more; })) << job->Stderr();
  EXPECT_EQ(job->Terminate(absl::Seconds(15)), 0) << job->Stderr();

  EXPECT_EQ(Verify(),
            fmt::format("OK | customers | {} rows, what 5006 changes leave\n", more.size()));
  ASSERT_TRUE(database_->Exec("UPDATE customers SET name = 'other' WHERE id = -3").ok());
  EXPECT_THAT(Verify(), HasSubstr("FAIL | customers | 1 rows differ, such as id -3"));
}

TEST_F(CustomersTable, VerifyTakesWhatTheJobTakes) {
  StartDatabase();
  ASSERT_TRUE(kafka_->CreateTopic("customers_cdc", 1).ok());
  std::vector<KafkaRecord> records;
  for (const char* value :
       {R"({"id":1,"name":"A","op":"insert"})",
        R"({"id":2,"name":"B\t\\","email":"b","op":"insert"})",
        R"({"id":3,"name":"C","email":"c","op":"insert","more":[1]})",
        "{\n  \"id\": 4,\n  \"name\": 7, \"email\": null\n}",  // without op, on several lines
        R"({"id":"one","name":"A","email":"a","op":"delete"})", "no JSON", "[1]",
        R"({"id":1.0,"op":"delete"})", R"({"id":2,"op":"update","name":"B"})"}) {
    records.push_back({.key = "1", .value = value});
  }
  records.push_back({.key = "1", .value = std::nullopt});
  ASSERT_TRUE(kafka_->Produce("customers_cdc", 0, records).ok());
  const std::unique_ptr<Process> job = Job();
  std::string said;
  EXPECT_TRUE(WaitUntil([&] { return Contains(said = Verify(), "OK |"); }))
      << said << job->Stderr();
  EXPECT_EQ(said,
            "OK | customers | 4 rows, what 5 changes leave; 5 other messages are no changes\n");
  ASSERT_TRUE(database_->Exec("DROP TABLE customers").ok());
  EXPECT_THAT(Verify(), HasSubstr("FAIL | customers | RuntimeError: "));
  EXPECT_EQ(kafka_->Stop(), absl::OkStatus());
  EXPECT_THAT(Verify(), HasSubstr("FAIL | customers | "));
}

TEST_F(CustomersTable, LinesThatAreNoMessagesAreNamedAndNotSent) {
  const ProcessResult result = Publish(
      "{\"id\":1}\n\nnot "
      "json\n{\"name\":\"x\"}\n[1]\n{\"id\":\"two\"}\r\n{\"id\":null}\n{\"id\":3}",
      "--topic lines --key id --partitions 1");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(
      result.stderr_text,
      AllOf(HasSubstr("line 3 is not sent: not a JSON object"),
            HasSubstr("line 4 is not sent: its field 'id', the key, is missing"),
            HasSubstr("line 5 is not sent: not a JSON object"), HasSubstr("line 7 is not sent"),
            HasSubstr("Published 3 lines to lines"), HasSubstr("4 lines were not sent")));
  const absl::StatusOr<std::vector<KafkaRecord>> records = kafka_->ReadTopic("lines");
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 3u);
  EXPECT_EQ((*records)[0].key, "1");
  EXPECT_EQ((*records)[1].key, "two");
  EXPECT_EQ((*records)[1].value, R"({"id":"two"})");
  EXPECT_EQ((*records)[2].key, "3");
  // Without a key field the records have none.
  EXPECT_EQ(Publish("{\"id\":1}\n", "--topic lines").exit_code, 0);
  EXPECT_EQ((*kafka_->ReadTopic("lines"))[3].key, std::nullopt);
}

TEST_F(CustomersTable, ATopicThatIsNotThereIsNotMadeUnasked) {
  const ProcessResult result = Publish("{\"id\":1}\n", "--topic typo --key id");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.stderr_text, AllOf(HasSubstr("topic typo"), HasSubstr("--partitions N")));
  EXPECT_EQ(Publish("", "--key id").exit_code, 2);
}

}  // namespace
}  // namespace tidemark
