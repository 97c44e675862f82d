#include "tidemark/operators/sinks/mysql_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Refusal(std::string_view url) {
  const auto options = ParseMySqlUrl(url);
  EXPECT_TRUE(absl::IsInvalidArgument(options.status())) << url;
  return options.ok() ? "" : std::string(options.status().message());
}

TEST(MySqlOptionsTest, ReadsEveryPart) {
  const auto options = ParseMySqlUrl(
      "mysql://me@db.example:3307/shop/totals?create_table=true&write=upsert&on_null_key=skip");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.user, "me");
  EXPECT_EQ(options->server.host, "db.example");
  EXPECT_EQ(options->server.port, 3307);
  EXPECT_EQ(options->server.database, "shop");
  EXPECT_EQ(options->table, "totals");
  EXPECT_TRUE(options->create_table);
  EXPECT_EQ(options->write, MySqlSinkOptions::Write::kUpsert);
  EXPECT_EQ(options->on_null_key, MySqlSinkOptions::OnNullKey::kSkip);
  EXPECT_EQ(options->server.HostPort(), "db.example:3307");
}

TEST(MySqlOptionsTest, Defaults) {
  const auto options = ParseMySqlUrl("mysql://me@localhost/shop/totals");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.port, 3306);
  EXPECT_FALSE(options->create_table);
  EXPECT_EQ(options->write, MySqlSinkOptions::Write::kReplace);
  EXPECT_EQ(options->on_null_key, MySqlSinkOptions::OnNullKey::kFail);
  EXPECT_EQ(options->server.password, "");
  const auto same = ParseMySqlUrl(
      "mysql://me@localhost/shop/totals?create_table=false&write=replace&on_null_key=fail");
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_FALSE(same->create_table);
}

TEST(MySqlOptionsTest, RefusesAUrlWithItsOwnAdvice) {
  EXPECT_THAT(Refusal("mysql://me:secret@h/shop/totals"),
              AllOf(HasSubstr("the MySQL URL holds a password"),
                    HasSubstr("TIDEMARK_MYSQL_PASSWORD_FILE"), Not(HasSubstr("secret"))));
  EXPECT_THAT(Refusal("mysql://me@h/shop"),
              HasSubstr("the MySQL URL names no table; write "
                        "mysql://USER@HOST:PORT/DB/TABLE?create_table=true&write="));
}

TEST(MySqlOptionsTest, RefusesParametersItDoesNotKnow) {
  EXPECT_THAT(Refusal("mysql://me@h/s/t?create_tabel=true"),
              HasSubstr("did you mean 'create_table'?"));
  EXPECT_THAT(Refusal("mysql://me@h/s/t?zzzzzzzzzzzzzzzzzz=1"), HasSubstr("unknown parameter"));
  EXPECT_THAT(Refusal("mysql://me@h/s/t?write=insert"), HasSubstr("must be replace or upsert"));
  EXPECT_THAT(Refusal("mysql://me@h/s/t?create_table"), HasSubstr("must be false or true"));
  EXPECT_THAT(Refusal("mysql://me@h/s/t?on_null_key=drop"), HasSubstr("must be fail or skip"));
  EXPECT_THAT(Refusal("mysql://me@h/s/t?write=upsert&write=replace"), HasSubstr("twice"));
}

}  // namespace
}  // namespace tidemark
