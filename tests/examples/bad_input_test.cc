// What people get wrong around the pipelines' jobs: schema files, tables, passwords and topics.
// Each is told in one sentence, and when it is put right the same command goes on without a row
// lost.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"
#include "tests/servers/postgres_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Lines;
using testing::MariaDbServer;
using ::testing::Not;
using testing::PostgresServer;
using testing::Process;
using testing::ProcessResult;
using testing::ReadText;
using ::testing::StartsWith;
using testing::WaitUntil;

using Flags = std::vector<std::string>;
using Variables = JobFolder::Variables;

constexpr char kWrong[] = "hunter2";
constexpr char kInsertNewOrder[] =
    "INSERT INTO new_orders (customer_id, amount) VALUES (7, 1.5), (8, 2.5)";
constexpr char kInsertOrder[] =
    "INSERT INTO orders (customer_name, restaurant_name, item, amount, order_status) "
    "VALUES ('Ada', 'Taj', 'Dal', 1.5, 'PLACED'), ('Bo', 'Roma', 'Pizza', 2.5, 'PLACED')";

Flags operator+(Flags flags, const Flags& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

const Flags kOnce = {"--trigger", "available-now"};

// The sentence of a job that ended with `exit_code`; there is one, and no password in it.
std::string Sentence(int exit_code, const std::string& stderr_text, int expected) {
  EXPECT_EQ(exit_code, expected) << stderr_text;
  EXPECT_THAT(stderr_text, Not(HasSubstr(kWrong)));
  std::vector<std::string> errors;
  for (const std::string& line : Lines(stderr_text)) {
    if (line.starts_with("error: ")) errors.push_back(line);
  }
  EXPECT_EQ(errors.size(), 1u) << stderr_text;
  return errors.empty() ? "" : errors[0];
}
std::string Sentence(const ProcessResult& result, int expected) {
  return Sentence(result.exit_code, result.stderr_text, expected);
}
std::string SentenceAtEnd(Process& job, int expected = 1) {
  const absl::StatusOr<int> code = job.Wait(absl::Seconds(40));
  EXPECT_TRUE(code.ok()) << code.status() << job.Stderr();
  return code.ok() ? Sentence(*code, job.Stderr(), expected) : "";
}

// A change of a polled table, what is inserted meanwhile, and how it is taken back.
struct TableChange {
  std::string change;
  std::string insert;
  std::string repair;
  std::string sentence;  // empty: the job goes on
};

class BadInputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = kafka->release();
    absl::StatusOr<std::unique_ptr<MariaDbServer>> mariadb =
        MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    ASSERT_TRUE(mariadb.ok()) << mariadb.status();
    mariadb_ = mariadb->release();
    absl::StatusOr<std::unique_ptr<PostgresServer>> postgres = PostgresServer::Start();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    postgres_ = postgres->release();
  }
  static void TearDownTestSuite() {
    delete std::exchange(kafka_, nullptr);
    delete std::exchange(mariadb_, nullptr);
    delete std::exchange(postgres_, nullptr);
  }

  // Both tables as the examples make them, with two orders each.
  void SetUp() override {
    ASSERT_TRUE(kafka_ != nullptr && mariadb_ != nullptr && postgres_ != nullptr);
    topic_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    MariaDb("DROP TABLE IF EXISTS new_orders, streaming_offsets");
    MariaDb(ReadText(Example("orders_to_avro/new_orders.sql")));
    MariaDb(kInsertNewOrder);
    Postgres("SET client_min_messages TO warning; DROP TABLE IF EXISTS orders");
    Postgres(ReadText(Example("food_orders/orders.sql")));
    Postgres("GRANT SELECT ON orders TO tidemark");
    Postgres(kInsertOrder);
  }

  static std::string Example(const std::string& path) {
    return std::string(TIDEMARK_SOURCE_DIR) + "/examples/" + path;
  }
  static void MariaDb(const std::string& sql) {
    const absl::Status done = mariadb_->Exec(sql);
    ASSERT_TRUE(done.ok()) << sql << ": " << done;
  }
  static void Postgres(const std::string& sql) {
    const absl::Status done = postgres_->Exec(sql);
    ASSERT_TRUE(done.ok()) << sql << ": " << done;
  }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.Path(name)) << text;
    return name;
  }

  static std::string PostgresUrl(const std::string& table = "orders") {
    return fmt::format("postgres://tidemark@127.0.0.1:{}/tidemark/{}", postgres_->port(), table);
  }
  Flags ToTopic() const {
    return {"--brokers", kafka_->brokers(), "--sink", "kafka:" + topic_ + "?create_topic=true"};
  }
  // The job of each table, but for its source and its end.
  Flags ToAvro(const std::string& schema = Example("orders_to_avro/order_record.avsc")) const {
    return ToTopic() + Flags{"--sink-avro-schema", schema, "--poll-interval", "50ms"};
  }
  Flags ToJson() const { return ToTopic() + Flags{"--poll-interval", "50ms"}; }

  static Variables MariaDbPassword(const std::string& password = mariadb_->password()) {
    return {{"TIDEMARK_MYSQL_PASSWORD", password}};
  }
  static Variables PostgresPassword(const std::string& password = postgres_->password()) {
    return {{"TIDEMARK_POSTGRES_PASSWORD", password}};
  }

  // The keys of the topic's records, which are the ids of their orders, sorted as numbers.
  std::vector<int64_t> Published() const {
    const absl::StatusOr<std::vector<KafkaRecord>> records = kafka_->ReadTopic(topic_);
    if (!records.ok()) return {};
    std::vector<int64_t> ids;
    for (const KafkaRecord& record : *records) ids.push_back(std::stoll(record.key.value_or("-1")));
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  template <typename Server>
  static std::vector<int64_t> Ids(Server& server, const std::string& table) {
    const auto rows = server.Query("SELECT order_id FROM " + table + " ORDER BY order_id");
    EXPECT_TRUE(rows.ok()) << rows.status();
    std::vector<int64_t> ids;
    for (size_t i = 0; rows.ok() && i < rows->size(); ++i) {
      ids.push_back(std::stoll(rows->at(i).at(0).value_or("-1")));
    }
    return ids;
  }

  // Polls `table` while it is changed and repaired: each row arrives once, whether the job goes on
  // or has to be started again.
  template <typename Server>
  void ChangeWhilePolling(Server& server, const std::string& table, const std::string& job_name,
                          const Flags& flags, const Variables& env,
                          const std::vector<TableChange>& changes) {
    std::unique_ptr<Process> job = folder_.Launch(job_name, flags, env);
    const auto all_arrive = [&] {
      const std::vector<int64_t> expected = Ids(server, table);
      ASSERT_FALSE(expected.empty());
      EXPECT_TRUE(WaitUntil([&] { return Published().size() >= expected.size(); }))
          << job->Stderr();
      EXPECT_EQ(Published(), expected) << job->Stderr();
    };
    const auto run = [&](const std::string& sql) {
      const absl::Status done = server.Exec(sql);
      EXPECT_TRUE(done.ok()) << sql << ": " << done;
    };
    all_arrive();
    for (const TableChange& change : changes) {
      SCOPED_TRACE(change.change);
      run(change.change);
      run(change.insert);
      if (change.sentence.empty()) {
        all_arrive();
        EXPECT_TRUE(job->Running()) << job->Stderr();
        continue;
      }
      EXPECT_THAT(SentenceAtEnd(*job), HasSubstr(change.sentence));
      run(change.repair);
      job = folder_.Launch(job_name, flags, env);
      all_arrive();
    }
    EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
  }

  static inline KafkaServer* kafka_ = nullptr;
  static inline MariaDbServer* mariadb_ = nullptr;
  static inline PostgresServer* postgres_ = nullptr;
  std::string topic_;
  JobFolder folder_;
};

TEST_F(BadInputTest, SchemaFiles) {
  std::string huge = R"({"type":"record","name":"R","fields":[)";
  while (huge.size() <= 1'048'576) huge += R"({"name":"a","type":"int"},)";
  std::string deep = "\"int\"";
  for (int i = 0; i < 3000; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  Write("not_json.avsc", "order_id int, amount double");
  Write("not_avro.avsc", R"({"order_id":1})");
  Write("endless.avsc",
        R"({"type":"record","name":"Order","fields":[{"name":"next","type":"Order"}]})");
  Write("deep.avsc", deep);
  Write("huge.avsc", huge);
  Write("empty.avsc", "");
  const std::vector<std::pair<std::string, std::string>> files = {
      {"not_json.avsc", "schema file not_json.avsc: this is no Avro schema: the JSON is wrong"},
      {"not_avro.avsc", "schema file not_avro.avsc: this is no Avro schema"},
      {"endless.avsc", "the record 'Order' contains itself"},
      {"deep.avsc", "nested too deep"},
      {"huge.avsc", "schema file huge.avsc: it has more than 1048576 bytes"},
      {"empty.avsc", "schema file empty.avsc: this is no Avro schema: it is empty"},
      {"missing.avsc", "there is no schema file missing.avsc"}};
  const Flags read = Flags{"--brokers",          kafka_->brokers(), "--topic", topic_,
                           "--starting-offsets", "earliest",        "--sink",  "json:out"} +
                     kOnce;
  const Flags source = Flags{"--source", mariadb_->url("new_orders")} + kOnce;
  for (const auto& [file, sentence] : files) {
    EXPECT_THAT(
        Sentence(folder_.Run("orders_to_avro", ToAvro(file) + source, MariaDbPassword()), 2),
        AllOf(StartsWith("error: --sink-avro-schema: "), HasSubstr(sentence)));
    EXPECT_THAT(
        Sentence(folder_.Run("orders_avro_to_json", read + Flags{"--avro-schema", file}), 2),
        AllOf(StartsWith("error: --avro-schema: "), HasSubstr(sentence)));
  }
  // Of a schema without some columns, or of no record, the first column that is missing is named.
  Write("int.avsc", "\"int\"");
  Write("other.avsc", R"({"type":"record","name":"R","fields":[{"name":"id","type":"int"}]})");
  EXPECT_THAT(
      Sentence(folder_.Run("orders_avro_to_json", read + Flags{"--avro-schema", "int.avsc"}), 2),
      HasSubstr("the Avro schema is no record but int"));
  EXPECT_THAT(
      Sentence(folder_.Run("orders_avro_to_json", read + Flags{"--avro-schema", "other.avsc"}), 2),
      HasSubstr("the Avro schema has no field 'order_id'"));
  EXPECT_THAT(
      Sentence(folder_.Run("orders_to_avro", ToAvro("int.avsc") + source, MariaDbPassword()), 2),
      HasSubstr("only as an Avro record"));
  EXPECT_THAT(
      Sentence(folder_.Run("orders_to_avro", ToAvro("other.avsc") + source, MariaDbPassword()), 2),
      HasSubstr("the Avro field 'id' has no column"));

  const ProcessResult right = folder_.Run("orders_to_avro", ToAvro() + source, MariaDbPassword());
  EXPECT_EQ(right.exit_code, 0) << right.stderr_text;
  const ProcessResult back =
      folder_.Run("orders_avro_to_json",
                  read + Flags{"--avro-schema", Example("orders_to_avro/order_record.avsc")});
  EXPECT_EQ(back.exit_code, 0) << back.stderr_text;
  const auto batches = testing::JsonBatches(folder_.Path("out"));
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches.begin()->second.size(), 2u);
}

TEST_F(BadInputTest, AMariaDbTableChangesWhileItIsPolled) {
  ChangeWhilePolling(
      *mariadb_, "new_orders", "orders_to_avro",
      ToAvro() + Flags{"--source", mariadb_->url("new_orders")}, MariaDbPassword(),
      {{"ALTER TABLE new_orders ADD COLUMN note TEXT FIRST", kInsertNewOrder, "", ""},
       {"ALTER TABLE new_orders MODIFY customer_id SMALLINT NOT NULL", kInsertNewOrder, "", ""},
       {"ALTER TABLE new_orders DROP COLUMN amount",
        "INSERT INTO new_orders (customer_id) VALUES (9)",
        "ALTER TABLE new_orders ADD COLUMN amount DOUBLE NOT NULL DEFAULT 1",
        "table tidemark.new_orders has no column 'amount'"},
       {"ALTER TABLE new_orders MODIFY amount VARCHAR(20)",
        "INSERT INTO new_orders (customer_id, amount) VALUES (9, 'many')",
        "UPDATE new_orders SET amount = '3' WHERE amount = 'many'; "
        "ALTER TABLE new_orders MODIFY amount DOUBLE NOT NULL",
        "'amount' of MySQL's table tidemark.new_orders is varchar(20), which does not fit double"},
       {"ALTER TABLE new_orders RENAME COLUMN customer_id TO client_id",
        "INSERT INTO new_orders (client_id, amount) VALUES (9, 1)",
        "ALTER TABLE new_orders RENAME COLUMN client_id TO customer_id",
        "has no column 'customer_id'"},
       {"ALTER TABLE new_orders RENAME COLUMN order_id TO number", kInsertNewOrder,
        "ALTER TABLE new_orders RENAME COLUMN number TO order_id", "has no id column 'order_id'"},
       {"RENAME TABLE new_orders TO old_orders",
        "INSERT INTO old_orders (customer_id, amount) VALUES (9, 1)",
        "RENAME TABLE old_orders TO new_orders", "has no table tidemark.new_orders"}});
}

TEST_F(BadInputTest, APostgresTableChangesWhileItIsPolled) {
  ChangeWhilePolling(
      *postgres_, "orders", "food_orders_producer", ToJson() + Flags{"--source", PostgresUrl()},
      PostgresPassword(),
      {{"ALTER TABLE orders ADD COLUMN note text", kInsertOrder, "", ""},
       {"ALTER TABLE orders ALTER COLUMN item TYPE varchar(50)", kInsertOrder, "", ""},
       {"ALTER TABLE orders DROP COLUMN item",
        "INSERT INTO orders (customer_name, restaurant_name, amount, order_status) "
        "VALUES ('Cy', 'Taj', 3, 'PLACED')",
        "ALTER TABLE orders ADD COLUMN item text NOT NULL DEFAULT 'Dal'",
        "table orders has no column 'item'"},
       {"ALTER TABLE orders ALTER COLUMN amount TYPE text", kInsertOrder,
        "ALTER TABLE orders ALTER COLUMN amount TYPE double precision USING amount::float8",
        "column 'amount' of PostgreSQL's table orders is text, which does not fit double"},
       {"ALTER TABLE orders RENAME COLUMN order_status TO status",
        "INSERT INTO orders (customer_name, restaurant_name, item, amount, status) "
        "VALUES ('Di', 'Taj', 'Dal', 3, 'PLACED')",
        "ALTER TABLE orders RENAME COLUMN status TO order_status", "has no column 'order_status'"},
       {"ALTER TABLE orders RENAME COLUMN created_at TO made_at", kInsertOrder,
        "ALTER TABLE orders RENAME COLUMN made_at TO created_at",
        "has no timestamp column 'created_at'"},
       {"ALTER TABLE orders RENAME TO old_orders",
        "INSERT INTO old_orders (customer_name, restaurant_name, item, amount, order_status) "
        "VALUES ('Ed', 'Taj', 'Dal', 3, 'PLACED')",
        "ALTER TABLE old_orders RENAME TO orders", "PostgreSQL has no table orders"}});
}

TEST_F(BadInputTest, TablesThatAreNotThereOrHaveNoCursor) {
  MariaDb("CREATE TABLE no_id (customer_id INT, amount DOUBLE, created_at TIMESTAMP)");
  MariaDb(
      "CREATE OR REPLACE TABLE no_key (order_id INT, customer_id INT, amount DOUBLE, "
      "created_at TIMESTAMP)");
  const std::string wanted = "tidemark@127.0.0.1:" + std::to_string(mariadb_->port());
  for (const auto& [url, sentence] : std::vector<std::pair<std::string, std::string>>{
           {mariadb_->url("no_id"),
            "MySQL's table tidemark.no_id has no id column 'order_id'; add"},
           {mariadb_->url("no_key"), "the id column 'order_id' of MySQL's table tidemark.no_key"},
           {mariadb_->url("nowhere"), "MySQL has no table tidemark.nowhere; check the name"},
           {"mysql://" + wanted + "/nowhere/new_orders", "may not use database 'nowhere'"}}) {
    EXPECT_THAT(Sentence(folder_.Run("orders_to_avro", ToAvro() + Flags{"--source", url} + kOnce,
                                     MariaDbPassword()),
                         2),
                HasSubstr(sentence));
  }
  // The same command, with the table put right.
  MariaDb(
      "DROP TABLE no_id; CREATE TABLE no_id LIKE new_orders; "
      "INSERT INTO no_id SELECT * FROM new_orders");
  const ProcessResult mended =
      folder_.Run("orders_to_avro", ToAvro() + Flags{"--source", mariadb_->url("no_id")} + kOnce,
                  MariaDbPassword());
  EXPECT_EQ(mended.exit_code, 0) << mended.stderr_text;
  EXPECT_EQ(Published(), Ids(*mariadb_, "new_orders"));

  topic_ += "2";
  Postgres(
      "CREATE TABLE no_time AS SELECT order_id, customer_name, "
      "restaurant_name, item, amount, order_status FROM orders; "
      "GRANT SELECT ON no_time TO tidemark");
  std::string elsewhere = PostgresUrl();
  elsewhere.replace(elsewhere.find("/tidemark/"), 10, "/nowhere/");
  for (const auto& [url, sentence] : std::vector<std::pair<std::string, std::string>>{
           {PostgresUrl("no_time"), "table no_time has no timestamp column 'created_at'; add"},
           {PostgresUrl("nowhere"), "PostgreSQL has no table nowhere; check the name"},
           {elsewhere, "has no database 'nowhere'; check its name"}}) {
    EXPECT_THAT(Sentence(folder_.Run("food_orders_producer",
                                     ToJson() + Flags{"--source", url} + kOnce, PostgresPassword()),
                         2),
                HasSubstr(sentence));
  }
  Postgres(
      "ALTER TABLE no_time ADD PRIMARY KEY (order_id), "
      "ADD COLUMN created_at timestamptz DEFAULT now()");
  const ProcessResult repaired =
      folder_.Run("food_orders_producer",
                  ToJson() + Flags{"--source", PostgresUrl("no_time")} + kOnce, PostgresPassword());
  EXPECT_EQ(repaired.exit_code, 0) << repaired.stderr_text;
  EXPECT_EQ(Published(), Ids(*postgres_, "orders"));
}

TEST_F(BadInputTest, WrongPasswordsAtTheSource) {
  const Flags mariadb = ToAvro() + Flags{"--source", mariadb_->url("new_orders")} + kOnce;
  const Flags postgres = ToJson() + Flags{"--source", PostgresUrl()} + kOnce;
  Write("secret", std::string(kWrong) + "\n");
  Write("job.yaml", "source_password: ${env:MY_SECRET}\n");
  // What a wrong password was taken from is named, and so is the place for one that is missing.
  const std::vector<std::pair<Variables, std::string>> places = {
      {{{"TIDEMARK_SOURCE_PASSWORD", kWrong}}, "the password in TIDEMARK_SOURCE_PASSWORD"},
      {{{"TIDEMARK_{}_PASSWORD", kWrong}}, "the password in TIDEMARK_{}_PASSWORD"},
      {{{"TIDEMARK_{}_PASSWORD_FILE", folder_.Path("secret")}},
       "the password in the file " + folder_.Path("secret") + " (TIDEMARK_{}_PASSWORD_FILE)"},
      {{}, "no password was given; put it in TIDEMARK_{}_PASSWORD, or in TIDEMARK_SOURCE_PASSWORD"},
      {{{"MY_SECRET", kWrong}}, "the password in job.yaml:1: source_password"}};
  const auto of = [](std::string text, const std::string& kind) {
    if (const size_t at = text.find("{}"); at != std::string::npos) text.replace(at, 2, kind);
    return text;
  };
  for (const auto& [variables, sentence] : places) {
    const Flags config =
        sentence.find("yaml") == std::string::npos ? Flags{} : Flags{"--config", "job.yaml"};
    Variables mysql_env;
    Variables postgres_env;
    for (const auto& [name, value] : variables) {
      mysql_env.emplace_back(of(name, "MYSQL"), value);
      postgres_env.emplace_back(of(name, "POSTGRES"), value);
    }
    EXPECT_THAT(Sentence(folder_.Run("orders_to_avro", mariadb + config, mysql_env), 2),
                AllOf(HasSubstr("refuses user 'tidemark'"), HasSubstr(of(sentence, "MYSQL"))));
    EXPECT_THAT(Sentence(folder_.Run("food_orders_producer", postgres + config, postgres_env), 2),
                AllOf(HasSubstr("user 'tidemark'"), HasSubstr(of(sentence, "POSTGRES"))));
  }
  const ProcessResult right = folder_.Run("orders_to_avro", mariadb, MariaDbPassword());
  EXPECT_EQ(right.exit_code, 0) << right.stderr_text;
  EXPECT_EQ(Published(), Ids(*mariadb_, "new_orders"));
  // Of a URL that is no good, what could be a password is not shown again.
  EXPECT_THAT(Sentence(folder_.Run("food_orders_producer",
                                   ToJson() + Flags{"--source", "postgresql://me:hunter2@h/d/t"}),
                       2),
              HasSubstr("'postgresql://...@h/d/t' is not"));
}

TEST_F(BadInputTest, WrongPasswordsAtTheSink) {
  MariaDb("DROP TABLE IF EXISTS counts");
  const Flags flags = {"--embedded-rows", "100",
                       "--sink",          mariadb_->url("counts") + "?create_table=true",
                       "--trigger",       "available-now"};
  const auto refused = [&](const Variables& env) {
    return Sentence(folder_.Run("registrations_per_store", flags, env), 2);
  };
  EXPECT_THAT(refused(MariaDbPassword(kWrong)),
              HasSubstr("the password in TIDEMARK_MYSQL_PASSWORD"));
  EXPECT_THAT(refused({{"TIDEMARK_SINK_PASSWORD", kWrong}}),
              HasSubstr("the password in TIDEMARK_SINK_PASSWORD"));
  EXPECT_THAT(refused({}), HasSubstr("put it in TIDEMARK_MYSQL_PASSWORD, or in "
                                     "TIDEMARK_SINK_PASSWORD"));
  const ProcessResult right = folder_.Run("registrations_per_store", flags, MariaDbPassword());
  EXPECT_EQ(right.exit_code, 0) << right.stderr_text;
  const auto sum = mariadb_->Query("SELECT SUM(registrations) FROM counts");
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->at(0).at(0), "100");
}

TEST_F(BadInputTest, APasswordThatIsChangedWhileTheJobRuns) {
  const Flags flags = ToAvro() + Flags{"--source", mariadb_->url("new_orders")};
  auto job = folder_.Launch("orders_to_avro", flags, MariaDbPassword());
  ASSERT_TRUE(WaitUntil([&] { return Published().size() == 2; })) << job->Stderr();
  MariaDb("ALTER USER tidemark IDENTIFIED BY 'another'; KILL USER tidemark");
  MariaDb(kInsertNewOrder);
  EXPECT_THAT(SentenceAtEnd(*job),
              AllOf(HasSubstr("refuses user 'tidemark'"), Not(HasSubstr(mariadb_->password()))));
  MariaDb("ALTER USER tidemark IDENTIFIED BY '" + mariadb_->password() + "'");
  const ProcessResult again = folder_.Run("orders_to_avro", flags + kOnce, MariaDbPassword());
  EXPECT_EQ(again.exit_code, 0) << again.stderr_text;
  EXPECT_EQ(Published(), Ids(*mariadb_, "new_orders"));
}

TEST_F(BadInputTest, TopicsThatAreNotThere) {
  // A source's.
  const std::string dead = topic_ + "-dead";
  const Flags read =
      Flags{"--brokers", kafka_->brokers(), "--starting-offsets", "earliest",
            "--sink",    "json:out",        "--bad-records",      "dead-letter:topic=" + dead} +
      kOnce;
  const Flags lake = read + Flags{"--topic", topic_};
  ASSERT_TRUE(kafka_->CreateTopic(dead, 1).ok());
  EXPECT_THAT(Sentence(folder_.Run("food_orders_lake", lake), 2),
              HasSubstr("has no topic " + topic_ + ": create it, or correct --topic"));
  EXPECT_THAT(Sentence(folder_.Run("food_orders_lake", read + Flags{"--topic", "no such"}), 2),
              HasSubstr("'no such' cannot be a topic's name"));
  ASSERT_TRUE(kafka_->DeleteTopic(dead).ok());

  // A sink's.
  Flags produce = ToJson() + Flags{"--source", PostgresUrl()} + kOnce;
  produce[3] = "kafka:" + topic_;
  EXPECT_THAT(Sentence(folder_.Run("food_orders_producer", produce, PostgresPassword()), 2),
              AllOf(HasSubstr("has no topic " + topic_ + ": create it, or add"),
                    HasSubstr("?create_topic=true")));
  ASSERT_TRUE(kafka_->CreateTopic(topic_, 1).ok());
  const ProcessResult produced = folder_.Run("food_orders_producer", produce, PostgresPassword());
  EXPECT_EQ(produced.exit_code, 0) << produced.stderr_text;
  EXPECT_EQ(Published(), Ids(*postgres_, "orders"));

  // That of dead letters is missed before the first bad record, and before the query begins.
  const ProcessResult no_letters = folder_.Run("food_orders_lake", lake);
  EXPECT_THAT(Sentence(no_letters, 2),
              HasSubstr("has no topic " + dead + " for dead letters: create it"));
  EXPECT_THAT(no_letters.stderr_text, Not(HasSubstr("New query")));
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("out")));
  ASSERT_TRUE(kafka_->CreateTopic(dead, 1).ok());
  ASSERT_TRUE(kafka_->Produce(topic_, 0, {{.value = "{broken"}}).ok());
  const ProcessResult filed = folder_.Run("food_orders_lake", lake);
  EXPECT_EQ(filed.exit_code, 0) << filed.stderr_text;
  EXPECT_EQ(testing::JsonBatches(folder_.Path("out"))[0].size(), 2u);
  const absl::StatusOr<std::vector<KafkaRecord>> letters = kafka_->ReadTopic(dead);
  ASSERT_TRUE(letters.ok()) << letters.status();
  ASSERT_EQ(letters->size(), 1u);
  EXPECT_EQ(letters->front().value, "{broken");
  // An existing query is told the same.
  ASSERT_TRUE(kafka_->DeleteTopic(dead).ok());
  EXPECT_THAT(Sentence(folder_.Run("food_orders_lake", lake), 2),
              HasSubstr("has no topic " + dead + " for dead letters"));
}

TEST_F(BadInputTest, TopicsThatAreDeletedWhileTheJobRuns) {
  const std::string in = topic_ + "-in";
  const Flags lake = {"--brokers",
                      kafka_->brokers(),
                      "--starting-offsets",
                      "earliest",
                      "--sink",
                      "json:out",
                      "--topic",
                      in,
                      "--trigger",
                      "200ms"};
  ASSERT_TRUE(kafka_->CreateTopic(in, 1).ok());
  auto reader = folder_.Launch("food_orders_lake", lake);
  const Flags produce = ToAvro() + Flags{"--source", mariadb_->url("new_orders")};
  auto writer = folder_.Launch("orders_to_avro", produce, MariaDbPassword());
  ASSERT_TRUE(WaitUntil([&] { return Published().size() == 2; })) << writer->Stderr();
  ASSERT_TRUE(WaitUntil([&] { return testing::Contains(reader->Stderr(), "New query"); }));
  ASSERT_TRUE(kafka_->DeleteTopic(in).ok());
  ASSERT_TRUE(kafka_->DeleteTopic(topic_).ok());
  MariaDb(kInsertNewOrder);
  EXPECT_THAT(SentenceAtEnd(*reader, 3),
              AllOf(HasSubstr("has no topic " + in), HasSubstr("has read from it before")));
  EXPECT_THAT(SentenceAtEnd(*writer, 1), HasSubstr("has no topic " + topic_ + ": create it"));
  // With a topic of the same name, but without what was in it, the batch under way is not written.
  ASSERT_TRUE(kafka_->CreateTopic(topic_, 1).ok());
  EXPECT_THAT(
      Sentence(folder_.Run("orders_to_avro", produce + kOnce, MariaDbPassword()), 4),
      HasSubstr("do not belong together: batch 1 is under way, but the sink knows nothing"));
}

}  // namespace
}  // namespace tidemark
