#include "tests/servers/mariadb_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mysql.h>

#include <string>
#include <thread>

#include "absl/time/clock.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MariaDbServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = MariaDbServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  static MariaDbServer* server_;
};
MariaDbServer* MariaDbServerTest::server_ = nullptr;

#define ASSERT_OK(expression)                               \
  do {                                                      \
    const absl::Status assert_ok_status = (expression);     \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status; \
  } while (false)

TEST_F(MariaDbServerTest, ReturnsRowsWithNullsAndAnyBytes) {
  ASSERT_OK(
      server_->Exec("CREATE TABLE rows_test (id INT PRIMARY KEY, text VARBINARY(20));"
                    "INSERT INTO rows_test VALUES (1, NULL), (2, x'00FF27'), (3, '')"));
  const auto rows = server_->Query("SELECT * FROM rows_test ORDER BY id");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, ElementsAre(MariaDbRow{"1", std::nullopt},
                                 MariaDbRow{"2", std::string("\0\xff'", 3)}, MariaDbRow{"3", ""}));
}

TEST_F(MariaDbServerTest, SaysWhatTheServerRefuses) {
  const auto rows = server_->Query("SELECT nothing FROM nowhere");
  EXPECT_TRUE(absl::IsInvalidArgument(rows.status()));
  EXPECT_THAT(rows.status().ToString(), HasSubstr("1146"));
  EXPECT_TRUE(absl::IsInvalidArgument(server_->Exec("SELECT 1; SELECT nothing FROM nowhere")));
  EXPECT_TRUE(absl::IsInvalidArgument(server_->Query("SET @a = 1").status()));
}

TEST_F(MariaDbServerTest, TheUserHasTheDatabaseAndNothingElse) {
  EXPECT_EQ(server_->url("t"),
            "mysql://tidemark@127.0.0.1:" + std::to_string(server_->port()) + "/tidemark/t");
  MYSQL* mysql = mysql_init(nullptr);
  ASSERT_NE(mysql_real_connect(mysql, server_->host().c_str(), server_->user().c_str(),
                               server_->password().c_str(), server_->database().c_str(),
                               static_cast<unsigned>(server_->port()), nullptr, 0),
            nullptr)
      << mysql_error(mysql);
  EXPECT_EQ(mysql_query(mysql, "CREATE TABLE own (id INT PRIMARY KEY)"), 0) << mysql_error(mysql);
  EXPECT_NE(mysql_query(mysql, "CREATE DATABASE other"), 0);
  mysql_close(mysql);
}

TEST_F(MariaDbServerTest, KeepsItsDataAndPortWhenItComesBack) {
  const std::string url = server_->url();
  ASSERT_OK(
      server_->Exec("CREATE TABLE restart (id INT PRIMARY KEY); INSERT INTO restart VALUES (1)"));
  ASSERT_OK(server_->Stop());
  EXPECT_TRUE(absl::IsUnavailable(server_->Exec("DO 1")));
  ASSERT_OK(server_->Restart());
  ASSERT_OK(server_->Exec("INSERT INTO restart VALUES (2)"));
  ASSERT_OK(server_->Kill());
  ASSERT_OK(server_->Restart());
  ASSERT_OK(server_->Exec("INSERT INTO restart VALUES (3)"));
  EXPECT_THAT(*server_->Query("SELECT COUNT(*) FROM restart"), ElementsAre(MariaDbRow{"3"}));
  EXPECT_EQ(server_->url(), url);
}

TEST_F(MariaDbServerTest, HangsWhilePaused) {
  ASSERT_OK(server_->Pause());
  std::thread resume([] {
    absl::SleepFor(absl::Seconds(1));
    ASSERT_OK(server_->Resume());
  });
  const absl::Time start = absl::Now();
  const absl::Status status = server_->Exec("DO 1");
  resume.join();
  ASSERT_OK(status);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(900));
}

TEST(MariaDbServerStartTest, SaysWhyTheServerEnds) {
  const auto server = MariaDbServer::Start({.extra_args = {"--no-such-option"}});
  EXPECT_TRUE(absl::IsUnavailable(server.status()));
  EXPECT_THAT(server.status().ToString(), HasSubstr("no-such-option"));
}

}  // namespace
}  // namespace tidemark::testing
