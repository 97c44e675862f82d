#include "tidemark/operators/sinks/mysql_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;

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

TEST(MySqlOptionsTest, DecodesPercents) {
  const auto options = ParseMySqlUrl("mysql://m%40e%3a@h/s%2Fhop/t%c3%B6tals%25?wr%69te=up%73ert");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.user, "m@e:");
  EXPECT_EQ(options->server.database, "s/hop");
  EXPECT_EQ(options->table, "tötals%");
  EXPECT_EQ(options->write, MySqlSinkOptions::Write::kUpsert);
  EXPECT_THAT(Refusal("mysql://me@h/shop/t%2"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(Refusal("mysql://me@h/shop/t%zz"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(Refusal("mysql://me@h/shop/t%+1"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(Refusal("mysql://me@h/shop/t%00"), HasSubstr("zero byte"));
}

TEST(MySqlOptionsTest, TakesIpv6InBrackets) {
  const auto options = ParseMySqlUrl("mysql://me@[::1]:3307/shop/totals");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.host, "::1");
  EXPECT_EQ(options->server.port, 3307);
  EXPECT_EQ(options->server.HostPort(), "[::1]:3307");
  EXPECT_EQ(ParseMySqlUrl("mysql://me@[::1]/shop/totals")->server.port, 3306);
  EXPECT_THAT(Refusal("mysql://me@::1:3307/shop/totals"), HasSubstr("brackets"));
  EXPECT_THAT(Refusal("mysql://me@[::1/shop/totals"), HasSubstr("without ']'"));
  EXPECT_THAT(Refusal("mysql://me@[::1]x/shop/totals"), HasSubstr("after its host"));
}

TEST(MySqlOptionsTest, RefusesAPasswordWithAdvice) {
  for (const char* url : {"mysql://me:secret@h/shop/totals", "mysql://me:@h/shop/totals",
                          "mysql://me@h/shop/totals?password=secret"}) {
    const std::string refusal = Refusal(url);
    EXPECT_THAT(refusal, HasSubstr("TIDEMARK_MYSQL_PASSWORD_FILE"));
    EXPECT_EQ(refusal.find("secret"), std::string::npos);
  }
}

TEST(MySqlOptionsTest, SaysWhatIsMissing) {
  EXPECT_THAT(Refusal("postgres://me@h/shop/totals"), HasSubstr("does not begin with mysql://"));
  EXPECT_THAT(Refusal("mysql://h/shop/totals"), HasSubstr("names no user"));
  EXPECT_THAT(Refusal("mysql://@h/shop/totals"), HasSubstr("names no user"));
  EXPECT_THAT(Refusal("mysql://me@/shop/totals"), HasSubstr("names no host"));
  EXPECT_THAT(Refusal("mysql://me@:3306/shop/totals"), HasSubstr("names no host"));
  EXPECT_THAT(Refusal("mysql://me@h"), HasSubstr("names no table"));
  EXPECT_THAT(Refusal("mysql://me@h/shop"), HasSubstr("names no table"));
  EXPECT_THAT(Refusal("mysql://me@h/shop/"), HasSubstr("names no table"));
  EXPECT_THAT(Refusal("mysql://me@h//totals"), HasSubstr("names no database"));
  EXPECT_THAT(Refusal("mysql://me@h/shop/totals/x"), HasSubstr("more than a database and a table"));
}

TEST(MySqlOptionsTest, RefusesBadPorts) {
  for (const char* port : {"", "0", "65536", "99999999999", "-1", "3306x", " 3306"}) {
    EXPECT_THAT(Refusal("mysql://me@h:" + std::string(port) + "/shop/totals"),
                HasSubstr("not a number from 1 to 65535"));
  }
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
