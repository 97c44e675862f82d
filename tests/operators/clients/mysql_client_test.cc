#include "tidemark/operators/clients/mysql_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/servers/cutting_proxy.h"
#include "tests/servers/free_port.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using testing::CuttingProxy;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MariaDbServer;
using Clock = std::chrono::steady_clock;

constexpr MySqlTimeouts kShort = {.connect = absl::Seconds(1), .answer = absl::Seconds(1)};

class MySqlClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  static DatabaseAddress Address() {
    return {.host = server_->host(),
            .port = server_->port(),
            .user = server_->user(),
            .password = server_->password(),
            .database = server_->database()};
  }
  static std::unique_ptr<MySqlConnection> Connect(const MySqlTimeouts& timeouts = {}) {
    auto connection = MySqlConnection::Connect(Address(), timeouts, nullptr);
    EXPECT_TRUE(connection.ok()) << connection.status();
    return connection.ok() ? std::move(*connection) : nullptr;
  }
  static absl::Status Refusal(const DatabaseAddress& address,
                              const MySqlTimeouts& timeouts = kShort) {
    return MySqlConnection::Connect(address, timeouts, nullptr).status();
  }

  // A server that is told to pause may answer once more before it does.
  static absl::Status FirstFailure(const std::function<absl::Status()>& call) {
    absl::Status status;
    while (status.ok()) status = call();
    return status;
  }

  static inline MariaDbServer* server_ = nullptr;
};

TEST_F(MySqlClientTest, TheSessionIsStrictUtcAndUtf8) {
  const auto connection = Connect();
  const auto rows = connection->Query(
      "SELECT @@time_zone, @@character_set_client, @@character_set_connection, @@autocommit, "
      "@@sql_mode");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT((*rows)[0],
              ElementsAre("+00:00", "utf8mb4", "utf8mb4", "1",
                          ::testing::Optional(AllOf(HasSubstr("STRICT_ALL_TABLES"),
                                                    HasSubstr("NO_AUTO_VALUE_ON_ZERO")))));
  EXPECT_TRUE(connection->is_mariadb());
  EXPECT_TRUE(connection->takes_arrays());
  EXPECT_EQ(connection->max_allowed_packet(), size_t{64} << 20);
}

TEST_F(MySqlClientTest, LocalhostIsTcpWithThisPort) {
  DatabaseAddress address = Address();
  address.host = "localhost";
  EXPECT_TRUE(Refusal(address).ok());
  address.port = *testing::FreePort();
  EXPECT_THAT(std::string(Refusal(address).message()),
              HasSubstr("localhost:" + std::to_string(address.port)));
}

TEST_F(MySqlClientTest, AnAbsentServerIsUnavailable) {
  DatabaseAddress address = Address();
  address.port = *testing::FreePort();
  const absl::Status refusal = Refusal(address);
  EXPECT_TRUE(absl::IsUnavailable(refusal)) << refusal;
  EXPECT_THAT(std::string(refusal.message()),
              AllOf(HasSubstr(address.HostPort()), HasSubstr("is the server running")));
  address.host = "no-such-host.invalid";
  EXPECT_TRUE(absl::IsUnavailable(Refusal(address))) << Refusal(address);
}

TEST_F(MySqlClientTest, WhoMayNotIsInvalidArgumentWithAdvice) {
  DatabaseAddress address = Address();
  address.password = "wr0ng";
  address.password_place = "SEA_PASSWORD";
  absl::Status refusal = Refusal(address);
  EXPECT_TRUE(absl::IsInvalidArgument(refusal)) << refusal;
  EXPECT_THAT(std::string(refusal.message()),
              AllOf(HasSubstr("check the user and the password in SEA_PASSWORD"),
                    ::testing::Not(HasSubstr("wr0ng"))));
  address.password = "";
  EXPECT_THAT(std::string(Refusal(address).message()),
              HasSubstr("no password was given; put it in SEA_PASSWORD"));
  address = Address();
  address.database = "elsewhere";
  refusal = Refusal(address);
  EXPECT_TRUE(absl::IsInvalidArgument(refusal)) << refusal;
  EXPECT_THAT(std::string(refusal.message()),
              HasSubstr("GRANT ALL ON `elsewhere`.* TO 'tidemark'"));
  ASSERT_TRUE(server_->Exec("GRANT ALL ON nowhere.* TO tidemark@'%'").ok());
  address.database = "nowhere";
  refusal = Refusal(address);
  EXPECT_TRUE(absl::IsInvalidArgument(refusal)) << refusal;
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("CREATE DATABASE `nowhere`;"));
}

// One that is too many is told so when it has logged in; past the administrator's place too, it is
// told at the door, without an SQL state.
TEST_F(MySqlClientTest, TooManyConnectionsIsUnavailable) {
  for (const size_t open_before : {size_t{0}, size_t{15}}) {
    std::vector<std::unique_ptr<MySqlConnection>> open;
    for (size_t i = 0; i < open_before; ++i) open.push_back(Connect());
    ASSERT_TRUE(server_->Exec("SET GLOBAL max_connections = 10").ok());
    absl::Status refusal;
    while (refusal.ok() && open.size() < 20) {
      auto connection = MySqlConnection::Connect(Address(), MySqlTimeouts(), nullptr);
      refusal = connection.status();
      if (connection.ok()) open.push_back(std::move(*connection));
    }
    EXPECT_TRUE(absl::IsUnavailable(refusal)) << refusal;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr("1040"));
    open.clear();
    // The server takes a moment to see that they have gone.
    absl::Status back;
    for (int i = 0; i < 1'000; ++i) {
      back = server_->Exec("SET GLOBAL max_connections = 150");
      if (back.ok()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_TRUE(back.ok()) << back;
  }
}

TEST_F(MySqlClientTest, AReadOnlyServerIsUnavailable) {
  ASSERT_TRUE(server_->Exec("CREATE TABLE ro (a INT); SET GLOBAL read_only = 1").ok());
  const absl::Status refusal = Connect()->Exec("INSERT INTO ro VALUES (1)");
  ASSERT_TRUE(server_->Exec("SET GLOBAL read_only = 0").ok());
  EXPECT_TRUE(absl::IsUnavailable(refusal)) << refusal;
}

TEST_F(MySqlClientTest, ErrorsOfTheStatementLeaveTheConnectionUsable) {
  const auto connection = Connect();
  EXPECT_TRUE(absl::IsInternal(connection->Exec("SELEKT 1")));
  EXPECT_EQ(connection->last_error(), 1064U);
  EXPECT_TRUE(absl::IsInvalidArgument(connection->Exec("DELETE FROM nothing_there")));
  EXPECT_TRUE(absl::IsInternal(connection->Query("SET @x = 1").status()));
  EXPECT_FALSE(connection->lost());
  const auto rows = connection->Query("SELECT 1, NULL, '', 'a\\0b'");
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT((*rows)[0], ElementsAre("1", std::nullopt, "", std::string("a\0b", 3)));
  EXPECT_TRUE(absl::IsInternal(connection->Exec("SELECT 1")));
  EXPECT_TRUE(connection->lost());
  EXPECT_TRUE(absl::IsUnavailable(connection->Exec("SET @x = 1")));
}

TEST_F(MySqlClientTest, WhatMayPassIsWorthAnotherTry) {
  struct Case {
    unsigned code;
    const char* sql_state;
    absl::StatusCode status;
    bool lost = false;
  };
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
  constexpr auto kRefused = absl::StatusCode::kInvalidArgument;
  constexpr Case kCases[] = {
      // Connections.
      {1040, "08004", kUnavailable, true},
      {1040, "HY000", kUnavailable},  // as at the door
      {1042, "HY000", kUnavailable},
      {1043, "HY000", kUnavailable},
      {1053, "HY000", kUnavailable},
      {1042, "08S01", kUnavailable, true},
      {1043, "08S01", kUnavailable, true},
      {1047, "08S01", kUnavailable, true},
      {1053, "08S01", kUnavailable, true},
      {1152, "08S01", kUnavailable, true},
      {1153, "08S01", kUnavailable, true},
      {1156, "08S01", kUnavailable, true},
      {1157, "08S01", kUnavailable, true},
      {1158, "08S01", kUnavailable, true},
      {1159, "08S01", kUnavailable, true},
      {1160, "08S01", kUnavailable, true},
      {1161, "08S01", kUnavailable, true},
      {1184, "08S01", kUnavailable, true},
      {1189, "08S01", kUnavailable, true},
      {1190, "08S01", kUnavailable, true},
      {1927, "70100", kUnavailable, true},
      {3169, "HY000", kUnavailable, true},
      {4031, "HY000", kUnavailable, true},
      // Transactions.
      {1020, "HY000", kUnavailable},
      {1180, "HY000", kUnavailable},
      {1205, "HY000", kUnavailable},
      {1213, "40001", kUnavailable},
      {1290, "HY000", kUnavailable},
      {1317, "70100", kUnavailable},
      {1412, "HY000", kUnavailable},
      {1615, "HY000", kUnavailable},
      {3101, "40000", kUnavailable},
      {9999, "40001", kUnavailable},
      // Disks, files, memory.
      {3, "HY000", kExhausted},
      {1021, "HY000", kExhausted},
      {1024, "HY000", kExhausted},
      {1026, "HY000", kExhausted},
      {1030, "HY000", kExhausted},
      {1041, "HY000", kExhausted},
      {1114, "HY000", kExhausted},
      {1206, "HY000", kExhausted},
      {1461, "42000", kExhausted},
      {1637, "HY000", kExhausted},
      {1878, "HY000", kExhausted},
      // What stays.
      {1044, "42000", kRefused},
      {1048, "23000", kRefused},
      {1054, "42S22", kRefused},
      {1142, "42000", kRefused},
      {1146, "42S02", kRefused},
      {1251, "08004", kRefused, true},
      {1264, "22003", kRefused},
      {1406, "22001", kRefused},
      {1644, "45000", kRefused},
      {1064, "42000", absl::StatusCode::kInternal},
  };
  for (const auto& [code, sql_state, status, lost] : kCases) {
    const auto connection = Connect();
    const absl::Status said = connection->Exec("SIGNAL SQLSTATE '" + std::string(sql_state) +
                                               "' SET MYSQL_ERRNO = " + std::to_string(code) +
                                               ", MESSAGE_TEXT = 'as if'");
    EXPECT_EQ(said.code(), status) << code << ": " << said;
    EXPECT_EQ(connection->last_error(), code) << said;
    EXPECT_EQ(connection->lost(), lost) << code;
  }
}

TEST_F(MySqlClientTest, AConversationThatIsOutOfStepBeginsAnew) {
  const auto connection = Connect();
  ASSERT_TRUE(connection->StartRows("SELECT 1 UNION SELECT 2").ok());
  const absl::Status said = connection->Exec("DO 0");
  EXPECT_TRUE(absl::IsUnavailable(said)) << said;
  EXPECT_EQ(connection->last_error(), 2014U) << said;
  EXPECT_TRUE(connection->lost());
}

TEST_F(MySqlClientTest, QuotedTextAndNamesComeBackAsTheyWere) {
  const auto connection = Connect();
  std::string all;
  for (int i = 0; i < 128; ++i) all += static_cast<char>(i);
  all += "'\\'\\\\\"`%_\xF0\x9F\x90\x9F";
  const auto text =
      connection->Query("SELECT " + QuoteMySqlText(all) + " AS " + QuoteMySqlName("a`b"));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ((*text)[0][0], all);
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  std::string sql = "SELECT ";
  AppendMySqlBytes(bytes, &sql);
  EXPECT_EQ((*connection->Query(sql))[0][0], bytes);
}

TEST_F(MySqlClientTest, ArraysCarryEveryKindAndNull) {
  const auto connection = Connect();
  ASSERT_TRUE(
      connection->Exec("CREATE TABLE arrays (i BIGINT, d DOUBLE, t TEXT, b BLOB, n DECIMAL(38,3))")
          .ok());
  std::vector<MySqlParameter> parameters(5);
  const std::string binary("\xFF\0\x01", 3);
  parameters[0] = {.ints = {INT64_MIN, INT64_MAX, 0}, .nulls = {0, 0, 1}};
  parameters[1] = {
      .kind = MySqlParameter::Kind::kDouble, .doubles = {-0.1, 1e308, 0}, .nulls = {0, 0, 1}};
  parameters[2] = {.kind = MySqlParameter::Kind::kText,
                   .texts = {"", "x", ""},
                   .lengths = {0, 1, 0},
                   .nulls = {0, 0, 1}};
  parameters[3] = {.kind = MySqlParameter::Kind::kBytes,
                   .texts = {binary.data(), "", ""},
                   .lengths = {3, 0, 0},
                   .nulls = {0, 0, 1}};
  parameters[4] = {.kind = MySqlParameter::Kind::kDecimal,
                   .texts = {"-12345678901234567890123456789012345.678", "0", ""},
                   .lengths = {40, 1, 0},
                   .nulls = {0, 0, 1}};
  const std::string sql = "INSERT INTO arrays VALUES (?,?,?,?,?)";
  const absl::Status sent = connection->ExecuteArray(sql, parameters, 3);
  ASSERT_TRUE(sent.ok()) << sent;
  const auto rows = connection->Query("SELECT * FROM arrays");
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT(*rows, ElementsAre(ElementsAre("-9223372036854775808", "-0.1", "", binary,
                                             "-12345678901234567890123456789012345.678"),
                                 ElementsAre("9223372036854775807", "1e308", "x", "", "0.000"),
                                 ElementsAre(std::nullopt, std::nullopt, std::nullopt, std::nullopt,
                                             std::nullopt)));
  parameters.pop_back();
  EXPECT_TRUE(absl::IsInternal(connection->ExecuteArray(sql, parameters, 3)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      connection->ExecuteArray("INSERT INTO nothing VALUES (?)", parameters, 3)));
}

TEST_F(MySqlClientTest, AKilledConnectionIsLost) {
  const auto connection = Connect();
  const std::string id = *(*connection->Query("SELECT CONNECTION_ID()"))[0][0];
  ASSERT_TRUE(server_->Exec("KILL " + id).ok());
  const absl::Status lost = connection->Exec("SET @x = 1");
  EXPECT_TRUE(absl::IsUnavailable(lost)) << lost;
  EXPECT_TRUE(connection->lost());
}

TEST_F(MySqlClientTest, ASilentServerIsLeftAfterTheTimeout) {
  const auto connection = Connect(kShort);
  ASSERT_TRUE(server_->Pause().ok());
  const auto start = Clock::now();
  const absl::Status late = FirstFailure([&] { return connection->Exec("SET @x = 1"); });
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("has not answered within 1s"));
  const absl::Status refusal = Refusal(Address());  // the kernel connects, the server says nothing
  EXPECT_TRUE(absl::IsUnavailable(refusal)) << refusal;
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("no answer within 1s"));
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(9));
  ASSERT_TRUE(server_->Resume().ok());
}

TEST_F(MySqlClientTest, CancelEndsEveryWait) {
  constexpr Clock::duration kSoon = std::chrono::milliseconds(200);
  for (const bool connecting : {false, true}) {
    // The fastest of some: a busy machine makes single ones slow.
    Clock::duration fastest = Clock::duration::max();
    for (int tries = 0; tries < 5 && fastest >= kSoon; ++tries) {
      std::atomic<bool> cancelled = false;
      auto connection = MySqlConnection::Connect(Address(), {}, &cancelled);
      ASSERT_TRUE(connection.ok());
      ASSERT_TRUE(server_->Pause().ok());
      Clock::time_point at;
      std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        at = Clock::now();
        cancelled = true;
      });
      const absl::Status status = FirstFailure([&] {
        return connecting ? MySqlConnection::Connect(Address(), {}, &cancelled).status()
                          : (*connection)->Exec("SET @x = 1");
      });
      const auto end = Clock::now();
      canceller.join();
      fastest = std::min(fastest, end - at);
      ASSERT_TRUE(server_->Resume().ok());
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_TRUE(absl::IsCancelled((*connection)->Exec("SET @x = 1")));
      EXPECT_TRUE(absl::IsCancelled(MySqlConnection::Connect(Address(), {}, &cancelled).status()));
    }
    EXPECT_LT(fastest, kSoon) << (connecting ? "connecting" : "waiting for an answer");
  }
}

TEST_F(MySqlClientTest, AnAnswerThatIsCutIsLost) {
  CuttingProxy proxy(server_->port());
  DatabaseAddress address = Address();
  address.port = proxy.port();
  auto connection = MySqlConnection::Connect(address, kShort, nullptr);
  ASSERT_TRUE(connection.ok()) << connection.status();
  proxy.CutAfter("cut here", true);
  EXPECT_TRUE(absl::IsUnavailable((*connection)->Query("SELECT 'cut here'").status()));
  EXPECT_TRUE((*connection)->lost());
}

}  // namespace
}  // namespace tidemark
