// Passwords planted in every way a job takes one, then searched in everything a job leaves behind:
// logs, progress, --explain, error texts, checkpoints, results, command lines. Real servers that
// want them, and refuse others.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <thread>

#include "tests/faults/fault_fold.h"
#include "tests/faults/fault_report.h"
#include "tests/servers/free_port.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"
#include "tests/servers/postgres_server.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using Variables = std::vector<std::pair<std::string, std::optional<std::string>>>;

// A password whose middle stands nowhere else; what stands around it is what urls, lists and shells
// cut at.
struct Secret {
  std::string core;
  std::string text() const { return fmt::format("p;'{}&/#", core); }
};
Secret NewSecret() {
  std::random_device random;
  return {fmt::format("{:08x}{:08x}", random(), random())};
}

// The forms in which a text may show.
std::vector<std::string> FormsOf(const std::string& core) {
  std::vector<std::string> forms = {core};
  std::string upper;
  std::string hex;
  for (const char c : core) {
    upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  forms.push_back(upper);
  forms.push_back(hex);
  // Base64 of a text with it inside: wherever it begins, these letters come of it alone.
  for (size_t before = 0; before < 3; ++before) {
    std::string base64;
    AppendBase64(std::string(before, 'x') + core, &base64);
    forms.push_back(base64.substr(4, base64.size() - 8));
  }
  return forms;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class SecretsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    servers_ = new Servers;
    auto kafka = KafkaServer::Start({.login = {{"app", servers_->kafka_secret.text()}}});
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    servers_->kafka = *std::move(kafka);
    auto mariadb = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    ASSERT_TRUE(mariadb.ok()) << mariadb.status();
    servers_->mariadb = *std::move(mariadb);
    ASSERT_TRUE(servers_->mariadb
                    ->Exec(fmt::format("CREATE USER app@'%' IDENTIFIED BY '{}';"
                                       "GRANT ALL ON tidemark.* TO app@'%'",
                                       Quoted(servers_->mysql_secret.text())))
                    .ok());
    auto postgres = PostgresServer::Start();
    ASSERT_TRUE(postgres.ok()) << postgres.status();
    servers_->postgres = *std::move(postgres);
    ASSERT_TRUE(
        servers_->postgres
            ->Exec(fmt::format(
                "CREATE ROLE app LOGIN PASSWORD '{}';"
                "CREATE TABLE users_change_events (event_id bigint PRIMARY KEY, customer_id "
                "int NOT NULL, store_id int NOT NULL, first_name text NOT NULL, last_name "
                "text NOT NULL, email text, created_at timestamp NOT NULL);"
                "CREATE TABLE latest_cdc_timestamp (source text PRIMARY KEY, latest_timestamp "
                "timestamp NOT NULL);"
                "GRANT ALL ON users_change_events, latest_cdc_timestamp TO app;"
                "INSERT INTO users_change_events SELECT i, i, 1, 'a', 'b', 'c', "
                "timestamp '2025-01-06 08:00:00' + i * interval '1 second' FROM "
                "generate_series(1, 100) i",
                Quoted(servers_->postgres_secret.text())))
            .ok());
    ASSERT_TRUE(servers_->kafka->CreateTopic("faults", 1).ok());
    std::vector<KafkaRecord> records;
    for (int64_t id = 0; id < 200; ++id) {
      const FaultRecord record{id, fmt::format("n{}", id % 5), id, kFaultStartUs + id * 1'000'000};
      records.push_back({.value = id % 50 == 7 ? "no order" : record.Json()});
    }
    ASSERT_TRUE(servers_->kafka->Produce("faults", 0, records).ok());
    for (const char* topic : {"results", "dead"})
      ASSERT_TRUE(servers_->kafka->CreateTopic(topic, 1).ok());
  }
  static void TearDownTestSuite() {
    ReportFault(servers_->outcome);
    delete servers_;
    servers_ = nullptr;
  }
  void SetUp() override {
    ASSERT_NE(servers_, nullptr);
    ASSERT_NE(servers_->postgres, nullptr);
    // What the operator keeps aside is not what jobs leave behind.
    Write(kept_.Path("kafka"), servers_->kafka_secret.text() + "\n");
    Write(kept_.Path("mysql"), servers_->mysql_secret.text() + "\n");
    Write(kept_.Path("postgres"), servers_->postgres_secret.text() + "\r\nmore\n");
  }

  static std::string Quoted(std::string text) {
    for (size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 2)
      text.insert(at, 1, '\'');
    return text;
  }
  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  // Everything there is to find is searched for in `text`, which is of `where`.
  static void Search(const std::string& where, const std::string& text) {
    for (const Secret* secret : servers_->All()) {
      ++servers_->outcome.injected;
      bool found = false;
      for (const std::string& form : FormsOf(secret->core)) {
        const size_t at = text.find(form);
        if (at == std::string::npos) continue;
        found = true;
        ADD_FAILURE() << where << " shows a password: ..."
                      << text.substr(at - std::min<size_t>(at, 100), 200);
        break;
      }
      ++(found ? servers_->outcome.wrong_rows : servers_->outcome.survived);
    }
  }
  // Every byte of every file, and their names.
  void SearchFolder() {
    int files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      std::string all = entry.path().string();
      if (entry.is_regular_file()) all.append(1, '\n').append(Contents(entry.path()));
      Search(entry.path(), all);
      ++files;
    }
    EXPECT_GT(files, 0);
  }

  ProcessOptions Options(const std::string& program, const std::vector<std::string>& flags,
                         const Variables& env) {
    ProcessOptions options;
    options.args = {program};
    options.args.insert(options.args.end(), flags.begin(), flags.end());
    options.env = env;
    options.working_dir = folder_.path();
    return options;
  }
  ProcessResult Run(const std::string& program, const std::vector<std::string>& flags,
                    const Variables& env = {}) {
    const absl::StatusOr<ProcessResult> result =
        RunProcess(Options(program, flags, env), absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    Search("standard output", result->stdout_text);
    Search("standard error", result->stderr_text);
    return *result;
  }
  // It must end with `code`, say `words`, and no password.
  void Refused(const std::vector<std::string>& flags, const Variables& env, int code,
               const std::string& words, const std::string& program = TIDEMARK_FAULT_JOB) {
    const ProcessResult result = Run(program, flags, env);
    EXPECT_EQ(result.exit_code, code) << result.stderr_text;
    EXPECT_THAT(result.stderr_text, HasSubstr(words));
  }

  static std::string Sink(int port = 0) {
    return fmt::format("mysql://app@127.0.0.1:{}/tidemark/totals?create_table=true",
                       port == 0 ? servers_->mariadb->port() : port);
  }
  static std::string Table(int port = 0) {
    return fmt::format("postgres://app@127.0.0.1:{}/tidemark/users_change_events",
                       port == 0 ? servers_->postgres->port() : port);
  }
  // Flags of a job that reads behind the login, and writes everything it can.
  static std::vector<std::string> Flags(const std::string& trigger,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--brokers",
                                      servers_->kafka->login_brokers(),
                                      "--kafka",
                                      "security.protocol=sasl_plaintext",
                                      "--kafka",
                                      "sasl.mechanism=PLAIN",
                                      "--kafka",
                                      "sasl.username=app",
                                      "--starting-offsets",
                                      "earliest",
                                      "--trigger",
                                      trigger,
                                      "--progress",
                                      "progress.json",
                                      "--snapshot-every",
                                      "1"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }
  Variables Passwords() const {
    return {{"TIDEMARK_KAFKA_PASSWORD", servers_->kafka_secret.text()},
            {"TIDEMARK_MYSQL_PASSWORD", servers_->mysql_secret.text()},
            {"TIDEMARK_POSTGRES_PASSWORD", servers_->postgres_secret.text()}};
  }

  struct Servers {
    Secret kafka_secret = NewSecret();
    Secret mysql_secret = NewSecret();
    Secret postgres_secret = NewSecret();
    Secret registry_secret = NewSecret();
    Secret wrong = NewSecret();  // no server takes it
    std::unique_ptr<KafkaServer> kafka;
    std::unique_ptr<MariaDbServer> mariadb;
    std::unique_ptr<PostgresServer> postgres;
    FaultOutcome outcome{.fault = "secrets: places searched for passwords"};
    std::vector<const Secret*> All() const {
      return {&kafka_secret, &mysql_secret, &postgres_secret, &registry_secret, &wrong};
    }
  };
  static Servers* servers_;
  TempDir folder_;  // the jobs' working folder
  TempDir kept_;    // password files
};
SecretsTest::Servers* SecretsTest::servers_ = nullptr;

// The search finds what it looks for: else all the rest proves nothing.
TEST_F(SecretsTest, TheSearchFindsThem) {
  const std::string core = servers_->kafka_secret.core;
  for (size_t before = 0; before < 5; ++before) {
    std::string base64;
    AppendBase64(std::string(before, 'y') + servers_->kafka_secret.text(), &base64);
    bool found = false;
    for (const std::string& form : FormsOf(core)) found |= base64.find(form) != std::string::npos;
    EXPECT_TRUE(found) << before;
  }
}

TEST_F(SecretsTest, JobsThatRunShowNone) {
  const Variables env = Passwords();
  // From the environment; a job that goes on, seen from outside.
  {
    auto job = Process::Start(Options(
        TIDEMARK_FAULT_JOB, Flags("1 second", {"--sink", Sink(), "--checkpoint", "a"}), env));
    ASSERT_TRUE(job.ok()) << job.status();
    bool written = false;
    for (int i = 0; i < 1500 && !written; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      written = std::filesystem::exists(folder_.Path("progress.json")) &&
                Contents(folder_.Path("progress.json")).find("batchId") != std::string::npos;
    }
    EXPECT_TRUE(written) << (*job)->Stderr();
    Search("the command line", Contents(fmt::format("/proc/{}/cmdline", (*job)->pid())));
    SearchFolder();
    EXPECT_EQ((*job)->Terminate(absl::Seconds(20)), 0) << (*job)->Stderr();
    EXPECT_THAT((*job)->Stderr(), HasSubstr("bad_records=4"));
    Search("standard error", (*job)->Stderr());
    Search("standard output", (*job)->Stdout());
  }
  // From files that the environment names; the client's own log is on.
  const Variables files = {{"TIDEMARK_KAFKA_PASSWORD_FILE", kept_.Path("kafka")},
                           {"TIDEMARK_MYSQL_PASSWORD_FILE", kept_.Path("mysql")},
                           {"TIDEMARK_POSTGRES_PASSWORD_FILE", kept_.Path("postgres")}};
  ProcessResult result = Run(
      TIDEMARK_FAULT_JOB,
      Flags("available-now", {"--sink", "json:rows", "--checkpoint", "b", "--kafka", "debug=all"}),
      files);
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  // From the config file, and topics behind the login on every side.
  Write(folder_.Path("job.yaml"),
        fmt::format("kafka:\n  sasl.password: ${{env:BROKER_KEY}}\nprofiles:\n"
                    "  mysql:\n    sink: {}\n    sink_password: ${{file:{}}}\n"
                    "  kafka:\n    sink: kafka:results\n    kafka_password: ${{file:{}}}\n",
                    Sink(), kept_.Path("mysql"), kept_.Path("kafka")));
  for (const char* profile : {"mysql", "kafka"}) {
    for (const char* more : {"--explain", "--threads=1"}) {
      result = Run(TIDEMARK_FAULT_JOB,
                   Flags("available-now", {"--config", "job.yaml", "--profile", profile,
                                           "--checkpoint", fmt::format("c-{}", profile), more,
                                           "--bad-records", "dead-letter:topic=dead"}),
                   {{"BROKER_KEY", servers_->kafka_secret.text()}});
      EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
    }
  }
  // A table behind a password, published to a topic behind another.
  std::vector<std::string> publish =
      Flags("available-now", {"--source", Table(), "--sink", "kafka:results", "--sink-brokers",
                              servers_->kafka->login_brokers(), "--checkpoint", "d"});
  publish.erase(std::find(publish.begin(), publish.end(), "--starting-offsets"),
                std::find(publish.begin(), publish.end(), "--trigger"));
  publish.erase(std::find(publish.begin(), publish.end(), "--brokers"),
                std::find(publish.begin(), publish.end(), "--kafka"));
  result = Run(TIDEMARK_TABLE_JOB, publish, files);
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  // Dead letters out of a topic behind the login.
  result = Run(TIDEMARK_REPLAY_JOB,
               {"export", "--dead-letter-topic", "dead", "--to", "letters.jsonl", "--brokers",
                servers_->kafka->login_brokers(), "--kafka", "security.protocol=sasl_plaintext",
                "--kafka", "sasl.mechanism=PLAIN", "--kafka", "sasl.username=app"},
               files);
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  SearchFolder();
  const auto rows = servers_->mariadb->Query("SELECT SUM(records) FROM tidemark.totals");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)[0][0], "196") << "the jobs really ran";
}

TEST_F(SecretsTest, PasswordsThatServersRefuseAreNotShown) {
  const std::string wrong = servers_->wrong.text();
  const Variables all_wrong = {{"TIDEMARK_KAFKA_PASSWORD", wrong},
                               {"TIDEMARK_MYSQL_PASSWORD", wrong},
                               {"TIDEMARK_POSTGRES_PASSWORD", wrong}};
  Refused(Flags("available-now", {"--sink", "null", "--give-up-after", "2s"}), all_wrong, 2,
          "refuses the login");
  Variables env = Passwords();
  env[1].second = wrong;
  Refused(Flags("available-now", {"--sink", Sink()}), env, 2, "TIDEMARK_MYSQL_PASSWORD");
  Refused({"--source", Table(), "--sink", "null", "--trigger", "available-now"}, all_wrong, 2,
          "TIDEMARK_POSTGRES_PASSWORD", TIDEMARK_TABLE_JOB);
  SearchFolder();
}

TEST_F(SecretsTest, PasswordsForServersThatAreAwayAreNotShown) {
  const absl::StatusOr<int> nobody = FreePort();
  ASSERT_TRUE(nobody.ok());
  Variables env = Passwords();
  env.emplace_back("TIDEMARK_AVRO_REGISTRY_PASSWORD", servers_->registry_secret.text());
  const std::string nowhere = fmt::format("127.0.0.1:{}", *nobody);
  std::vector<std::string> flags =
      Flags("available-now", {"--sink", "null", "--give-up-after", "1s"});
  flags[1] = nowhere;
  Refused(flags, env, 1, "no Kafka broker answers at " + nowhere);
  Refused(Flags("available-now", {"--sink", Sink(*nobody), "--give-up-after", "1s"}), env, 1,
          "given up after");
  Refused({"--source", Table(*nobody), "--sink", "null", "--trigger", "available-now",
           "--give-up-after", "1s"},
          env, 1, "given up after", TIDEMARK_TABLE_JOB);
  // A record with a schema id: the registry is asked.
  ASSERT_TRUE(servers_->kafka->CreateTopic("framed", 1).ok());
  ASSERT_TRUE(
      servers_->kafka->Produce("framed", 0, {{.value = std::string("\0\0\0\0\7abc", 8)}}).ok());
  Refused(Flags("available-now", {"--topic", "framed", "--format", "avro", "--avro-registry",
                                  "http://" + nowhere, "--avro-registry-user", "app", "--sink",
                                  "null", "--give-up-after", "1s", "--checkpoint", "framed"}),
          env, 1, "schema registry");
  SearchFolder();
}

TEST_F(SecretsTest, PasswordsWhereNoneBelongAreRefusedUnseen) {
  const std::string core = servers_->wrong.core;
  const std::string advice = "seen by everybody on the machine; set TIDEMARK_KAFKA_PASSWORD";
  for (const char* name : {"sasl.password", "kafka.sasl.password", "SASL.Password"}) {
    Refused({"--kafka", fmt::format("{}={}", name, core)}, {}, 2, "seen by everybody");
  }
  Refused({"--kafka", "sasl.password=" + core}, {}, 2, advice);
  Refused({"--kafka", "ssl.key.password=" + core}, {}, 2, "TIDEMARK_KAFKA='ssl.key.password=...'");
  Refused({"--sink-password", core}, {}, 2, "seen by everybody");
  Refused({"--kafka-password=" + core}, {}, 2, "TIDEMARK_KAFKA_PASSWORD");
  // Misspelt.
  Refused({"--brokers", "127.0.0.1:1", "--kafka", "sasl.pasword=" + core}, {}, 2,
          "option kafka.sasl.pasword: No such configuration property");
  const auto sink = [](const std::string& url) {
    return std::vector<std::string>{"--brokers", "127.0.0.1:1", "--sink", url};
  };
  Refused(sink(fmt::format("mysql://app:{}@127.0.0.1/tidemark/t", core)), {}, 2,
          "the MySQL URL holds a password");
  for (const char* name : {"password", "passwd", "pwd", "user"}) {
    Refused(sink(fmt::format("mysql://app@127.0.0.1/tidemark/t?{}={}", name, core)), {}, 2,
            "--sink: ");
  }
  Refused(sink(fmt::format("jdbc:mysql://127.0.0.1/tidemark?user=app&password={}", core)), {}, 2,
          "'jdbc:mysql://127.0.0.1/tidemark?...' is none of");
  Refused(sink(fmt::format("mongodb://app:{}@127.0.0.1/t", core)), {}, 2,
          "'mongodb://...@127.0.0.1/t' is none of");
  for (const char* scheme : {"postgres", "mysql", "oracle"}) {
    Refused({"--source", fmt::format("{}://app:{}@127.0.0.1/tidemark/t", scheme, core)}, {}, 2,
            "--source: ", TIDEMARK_TABLE_JOB);
  }
  Refused({"--format", "avro", "--avro-registry", fmt::format("http://app:{}@127.0.0.1:1", core)},
          {}, 2, "--avro-registry: the URL holds a login");
  // A ';' in TIDEMARK_KAFKA ends a property.
  Refused({"--brokers", "127.0.0.1:1"}, {{"TIDEMARK_KAFKA", "sasl.password=a;" + core}}, 2,
          "TIDEMARK_KAFKA: one of its parts is not NAME=VALUE");
  Refused({"--brokers", "127.0.0.1:1"},
          {{"TIDEMARK_KAFKA", fmt::format("ssl.key.pem={};security.protocol=ssl", core)}}, 2,
          "ssl.key.pem");
  Refused({"send", "nothing", "--brokers", "127.0.0.1:1", "--kafka", "sasl.password=" + core}, {},
          2, advice, TIDEMARK_REPLAY_JOB);

  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"kafka:\n  sasl.password: {}\n", "sasl.password does not belong into a file"},
           {"kafka:\n  kafka.ssl.keystore.password: {}\n", "does not belong into a file"},
           {"kafka_password: {}\n", "kafka_password does not belong into a file"},
           {"sink_password: {}\n", "sink_password does not belong into a file"},
           {"sink_password: [{}]\n", "sink_password must be one value"},
           {"kafka:\n  sasl.password: [{}]\n", "kafka.sasl.password must be one value"},
           {"kafka: [{}\n", "this is not YAML"},
           {"sink_password: '${{{}}}'\n", "none of them stands here"}}) {
    Write(kept_.Path("job.yaml"), fmt::format(fmt::runtime(text), core));
    Refused({"--config", kept_.Path("job.yaml")}, {}, 2, words);
  }
  Write(kept_.Path("empty"), "");
  Refused({"--brokers", "127.0.0.1:1"}, {{"TIDEMARK_KAFKA_PASSWORD_FILE", kept_.Path("empty")}}, 2,
          "TIDEMARK_KAFKA_PASSWORD_FILE: the file");
}

}  // namespace
}  // namespace tidemark::testing
