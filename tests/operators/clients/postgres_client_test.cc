#include "tidemark/operators/clients/postgres_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "tests/servers/free_port.h"
#include "tests/servers/postgres_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::PostgresServer;

constexpr PostgresTimeouts kShort = {.connect = absl::Seconds(1), .answer = absl::Seconds(1)};

class PostgresClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = PostgresServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() { delete server_; }
  static DatabaseAddress Address() {
    return {server_->host(), server_->port(), server_->user(), server_->password(),
            server_->database()};
  }
  static std::unique_ptr<PostgresConnection> Connect(const PostgresTimeouts& timeouts = {},
                                                     const std::atomic<bool>* cancelled = nullptr) {
    auto connection = PostgresConnection::Connect(Address(), timeouts, cancelled);
    EXPECT_TRUE(connection.ok()) << connection.status();
    return *std::move(connection);
  }
  static absl::Status Refusal(const DatabaseAddress& address) {
    return PostgresConnection::Connect(address, kShort, nullptr).status();
  }

  static inline PostgresServer* server_ = nullptr;
};

TEST_F(PostgresClientTest, RunsStatementsAndReadsRows) {
  auto connection = Connect();
  EXPECT_TRUE(connection
                  ->Exec("CREATE TEMP TABLE c (a int, b text); INSERT INTO c VALUES (1, "
                         "NULL), (2, 'x')")
                  .ok());
  const auto rows = connection->Query("SELECT a, b FROM c ORDER BY a");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, ElementsAre(PostgresRow{"1", std::nullopt}, PostgresRow{"2", "x"}));
  const auto names = connection->Query("SELECT " + QuotePostgresText("it's\\ö") + " AS " +
                                       QuotePostgresName("a \"b\""));
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_EQ((*names)[0][0], "it's\\ö");
  const auto zone = connection->Query("SHOW TimeZone");
  ASSERT_TRUE(zone.ok());
  EXPECT_EQ((*zone)[0][0], "UTC");
}

TEST_F(PostgresClientTest, AStatementThatIsRefusedLeavesTheConnection) {
  auto connection = Connect();
  absl::Status status = connection->Exec("SELECT 1/0");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(connection->last_error(), "22012");
  status = connection->Query("SELECT * FROM nowhere").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(connection->last_error(), "42P01");
  EXPECT_TRUE(absl::IsInternal(connection->Query("SELEKT").status()));
  EXPECT_TRUE(connection->StartCopy("COPY nowhere TO STDOUT").code() ==
              absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(connection->lost());
  EXPECT_TRUE(connection->Exec("SELECT 1").ok());
}

TEST_F(PostgresClientTest, CopiesRowByRowAndMayStop) {
  auto connection = Connect();
  ASSERT_TRUE(connection->StartCopy("COPY (SELECT generate_series(1, 3)) TO STDOUT").ok());
  std::string all;
  while (true) {
    const auto data = connection->NextCopyData();
    ASSERT_TRUE(data.ok()) << data.status();
    if (!data->has_value()) break;
    all += **data;
  }
  EXPECT_EQ(all, "1\n2\n3\n");
  EXPECT_TRUE(connection->Exec("SELECT 1").ok());
  // An error on the way.
  ASSERT_TRUE(
      connection->StartCopy("COPY (SELECT 1/(g - 5000) FROM generate_series(1, 9000) g) TO STDOUT")
          .ok());
  absl::Status status;
  while (status.ok()) status = connection->NextCopyData().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_FALSE(connection->lost());
  ASSERT_TRUE(connection->StartCopy("COPY (SELECT generate_series(1, 9000000)) TO STDOUT").ok());
  ASSERT_TRUE(connection->NextCopyData().ok());
  connection->StopCopy();
  EXPECT_TRUE(connection->lost());
  EXPECT_TRUE(absl::IsUnavailable(connection->Exec("SELECT 1")));
}

TEST_F(PostgresClientTest, SaysWhyItCannotConnect) {
  DatabaseAddress address = Address();
  address.password = "0penSesame";
  address.password_place = "SEA_PASSWORD";
  EXPECT_THAT(Refusal(address).ToString(),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("refuses user 'tidemark'"),
                    HasSubstr("check the user and the password in SEA_PASSWORD"),
                    Not(HasSubstr("0penSesame"))));
  address.password = "";
  EXPECT_THAT(Refusal(address).ToString(),
              AllOf(HasSubstr("INVALID_ARGUMENT"),
                    HasSubstr("no password was given; put it in SEA_PASSWORD")));
  address = Address();
  address.database = "nowhere";
  EXPECT_THAT(Refusal(address).ToString(),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("has no database 'nowhere'")));
  address = Address();
  address.port = *testing::FreePort();
  EXPECT_THAT(Refusal(address).ToString(),
              AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("is the server running")));
}

TEST_F(PostgresClientTest, AServerThatEndsIsUnavailable) {
  auto connection = Connect();
  ASSERT_TRUE(server_->Stop().ok());
  absl::Status status;
  for (int i = 0; i < 3 && status.ok(); ++i) status = connection->Exec("SELECT 1");
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(absl::IsUnavailable(connection->Exec("SELECT 1")));
  EXPECT_TRUE(connection->lost());
  ASSERT_TRUE(server_->Restart().ok());
}

TEST_F(PostgresClientTest, NoCallWaitsPastItsTimeOrItsCancellation) {
  auto connection = Connect(kShort);
  const absl::Time start = absl::Now();
  absl::Status status = connection->Exec("SELECT pg_sleep(20)");
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_LT(absl::Now() - start, absl::Seconds(15)) << "the statement takes 20";
  EXPECT_TRUE(connection->lost());

  constexpr absl::Duration kSoon = absl::Milliseconds(150);
  // The fastest of some: a busy machine makes single ones slow.
  absl::Duration fastest = absl::InfiniteDuration();
  for (int tries = 0; tries < 5 && fastest >= kSoon; ++tries) {
    std::atomic<bool> cancelled = false;
    connection = Connect({}, &cancelled);
    absl::Time at;
    std::thread cancel([&] {
      absl::SleepFor(absl::Milliseconds(200));
      at = absl::Now();
      cancelled = true;
    });
    status = connection->Exec("SELECT pg_sleep(20)");
    const absl::Time ended = absl::Now();
    cancel.join();
    fastest = std::min(fastest, ended - at);
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_TRUE(absl::IsCancelled(PostgresConnection::Connect(Address(), {}, &cancelled).status()));
    connection.reset();  // it looks at `cancelled`
  }
  EXPECT_LT(fastest, kSoon);
}

}  // namespace
}  // namespace tidemark
