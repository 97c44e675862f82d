#include "tests/servers/postgres_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

#define ASSERT_OK(expression)                    \
  do {                                           \
    const absl::Status ok_status = (expression); \
    ASSERT_TRUE(ok_status.ok()) << ok_status;    \
  } while (false)

TEST(PostgresServerTest, RunsSqlAndSurvivesStopAndKill) {
  const auto server = PostgresServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  PostgresServer& postgres = **server;
  ASSERT_OK(postgres.Exec("CREATE TABLE t (id INT, name TEXT); INSERT INTO t VALUES (1, NULL)"));
  const auto rows = postgres.Query("SELECT id, name FROM t");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, ElementsAre(PostgresServerRow{"1", std::nullopt}));
  EXPECT_TRUE(absl::IsInvalidArgument(postgres.Exec("SELEKT")));

  ASSERT_OK(postgres.Stop());
  EXPECT_TRUE(absl::IsUnavailable(postgres.Exec("SELECT 1")));
  ASSERT_OK(postgres.Restart());
  ASSERT_OK(postgres.Exec("INSERT INTO t VALUES (2, 'b')"));
  ASSERT_OK(postgres.Kill());
  ASSERT_OK(postgres.Restart());
  const auto count = postgres.Query("SELECT count(*) FROM t");
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_THAT(*count, ElementsAre(PostgresServerRow{"2"}));
}

TEST(PostgresServerTest, SaysWhyTheServerEnds) {
  const auto server = PostgresServer::Start({.extra_args = {"--no-such-option"}});
  EXPECT_TRUE(absl::IsUnavailable(server.status()));
  EXPECT_THAT(server.status().ToString(), HasSubstr("no-such-option"));
}

}  // namespace
}  // namespace tidemark::testing
