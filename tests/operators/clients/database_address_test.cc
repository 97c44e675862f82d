#include "tidemark/operators/clients/database_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

constexpr TableUrlKind kKind = {.scheme = "sea",
                                .server = "SeaDB",
                                .default_port = 7000,
                                .shape = "sea://USER@HOST:PORT/DB/TABLE",
                                .password_place = "SEA_PASSWORD"};

TableUrl Parsed(std::string_view url) {
  absl::StatusOr<TableUrl> parsed = ParseTableUrl(url, kKind);
  EXPECT_TRUE(parsed.ok()) << url << ": " << parsed.status();
  return parsed.ok() ? *std::move(parsed) : TableUrl();
}

std::string Refusal(std::string_view url) {
  const auto parsed = ParseTableUrl(url, kKind);
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.status())) << url;
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

TEST(DatabaseAddressTest, ReadsEveryPart) {
  const TableUrl url = Parsed("sea://me@db.example:3307/shop/totals?b=2&a=x%26y&&c&d=");
  EXPECT_EQ(url.server.user, "me");
  EXPECT_EQ(url.server.host, "db.example");
  EXPECT_EQ(url.server.port, 3307);
  EXPECT_EQ(url.server.password, "");
  EXPECT_EQ(url.server.database, "shop");
  EXPECT_EQ(url.table, "totals");
  EXPECT_THAT(url.parameters,
              ElementsAre(Pair("b", "2"), Pair("a", "x&y"), Pair("c", ""), Pair("d", "")));
  EXPECT_EQ(url.server.HostPort(), "db.example:3307");
  EXPECT_EQ(Parsed("sea://me@h/d/t").server.port, 7000);
}

TEST(DatabaseAddressTest, DecodesPercents) {
  const TableUrl url = Parsed("sea://m%40e%3a@h/s%2Fhop/t%c3%B6tals%25?wr%69te=up%73ert");
  EXPECT_EQ(url.server.user, "m@e:");
  EXPECT_EQ(url.server.database, "s/hop");
  EXPECT_EQ(url.table, "tötals%");
  EXPECT_THAT(url.parameters, ElementsAre(Pair("write", "upsert")));
  EXPECT_THAT(Refusal("sea://me@h/shop/t%2"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(Refusal("sea://me@h/shop/t%zz"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(Refusal("sea://me@h/shop/t%+1"), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(Refusal("sea://me@h/shop/t%00"), HasSubstr("zero byte"));
}

TEST(DatabaseAddressTest, TakesIpv6InBrackets) {
  const TableUrl url = Parsed("sea://me@[::1]:3307/shop/totals");
  EXPECT_EQ(url.server.host, "::1");
  EXPECT_EQ(url.server.port, 3307);
  EXPECT_EQ(url.server.HostPort(), "[::1]:3307");
  EXPECT_EQ(Parsed("sea://me@[::1]/shop/totals").server.port, 7000);
  EXPECT_THAT(Refusal("sea://me@::1:3307/shop/totals"), HasSubstr("brackets"));
  EXPECT_THAT(Refusal("sea://me@[::1/shop/totals"), HasSubstr("without ']'"));
  EXPECT_THAT(Refusal("sea://me@[::1]x/shop/totals"), HasSubstr("after its host"));
}

TEST(DatabaseAddressTest, RefusesAPasswordWithAdvice) {
  for (const char* url :
       {"sea://me:secret@h/shop/totals", "sea://me:@h/shop/totals",
        "sea://me:s3@secret@h/shop/totals", "sea://me@h/shop/totals?password=secret"}) {
    EXPECT_THAT(Refusal(url), AllOf(HasSubstr("the SeaDB URL holds a password"),
                                    HasSubstr("set SEA_PASSWORD"), Not(HasSubstr("secret"))));
  }
}

TEST(DatabaseAddressTest, SaysWhatIsMissing) {
  EXPECT_EQ(Refusal("mysql://me@h/shop/totals"),
            "the SeaDB URL does not begin with sea://; write sea://USER@HOST:PORT/DB/TABLE");
  EXPECT_THAT(Refusal(""), HasSubstr("does not begin with sea://"));
  EXPECT_THAT(Refusal("sea://"), HasSubstr("names no user"));
  EXPECT_THAT(Refusal("sea://h/shop/totals"), HasSubstr("names no user"));
  EXPECT_THAT(Refusal("sea://@h/shop/totals"), HasSubstr("names no user"));
  EXPECT_THAT(Refusal("sea://me@/shop/totals"), HasSubstr("names no host"));
  EXPECT_THAT(Refusal("sea://me@:3306/shop/totals"), HasSubstr("names no host"));
  EXPECT_THAT(Refusal("sea://me@h"), HasSubstr("names no table"));
  EXPECT_THAT(Refusal("sea://me@h/shop"), HasSubstr("names no table"));
  EXPECT_THAT(Refusal("sea://me@h/shop/"), HasSubstr("names no table"));
  EXPECT_THAT(Refusal("sea://me@h//totals"), HasSubstr("names no database"));
  EXPECT_THAT(Refusal("sea://me@h/shop/totals/x"), HasSubstr("more than a database and a table"));
  EXPECT_THAT(Refusal("sea://me@h/s/t?a=1&b=2&a=3"), HasSubstr("the parameter 'a' twice"));
}

TEST(DatabaseAddressTest, RefusesBadPorts) {
  for (const char* port : {"", "0", "65536", "99999999999", "-1", "3306x", " 3306"}) {
    EXPECT_THAT(Refusal("sea://me@h:" + std::string(port) + "/shop/totals"),
                HasSubstr("not a number from 1 to 65535"));
  }
}

}  // namespace
}  // namespace tidemark
