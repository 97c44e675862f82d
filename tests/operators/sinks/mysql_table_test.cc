#include "tidemark/operators/sinks/mysql_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/sinks/mysql_fixture.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MakeBatch;
using testing::MariaDbRow;
using testing::Row;

Schema EveryType() {
  return Schema()
      .String("s")
      .Bool("b")
      .Int32("i")
      .Int64("l")
      .Double("d")
      .Decimal("dec", 20, 4)
      .Bytes("bin")
      .Date("day")
      .Timestamp("ts");
}

// The statement that a refusal gives.
std::string AdviceIn(const absl::Status& refusal) {
  const std::string message(refusal.message());
  const size_t at = message.find(":\n");
  return at == std::string::npos ? "" : message.substr(at + 2);
}

class MySqlTableTest : public testing::MySqlFixture {
 protected:
  static absl::Status Open(const Schema& schema, std::vector<std::string> key) {
    MySqlSink sink(Options());
    return sink.Open(Context(schema, std::move(key)));
  }
  // The table is refused with these words, and the statement given makes it fit.
  static void ExpectMended(const Schema& schema, std::vector<std::string> key,
                           const std::string& words) {
    const absl::Status refusal = Open(schema, key);
    ASSERT_TRUE(absl::IsInvalidArgument(refusal)) << refusal;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr(words));
    const std::string advice = AdviceIn(refusal);
    ASSERT_NE(advice, "") << refusal;
    Exec(advice);
    const absl::Status again = Open(schema, key);
    EXPECT_TRUE(again.ok()) << again << "\nafter " << advice;
  }
};

TEST_F(MySqlTableTest, AnAbsentTable) {
  ExpectMended(EveryType(), {"s"}, "has no table tidemark.t");
  Exec("DROP TABLE t");
  ExpectMended(EveryType(), {"bin", "ts", "dec", "d", "b", "i", "l", "day", "s"},
               "put create_table=true into the URL");
}

TEST_F(MySqlTableTest, CreatesATableThatItAccepts) {
  for (const std::vector<std::string>& key :
       {std::vector<std::string>{"s"}, {"bin"}, {"ts", "s"}, {"d", "dec"}, {"s", "bin", "l"}}) {
    MySqlSink sink(CreateOptions());
    const absl::Status opened = sink.Open(Context(EveryType(), key));
    ASSERT_TRUE(opened.ok()) << opened;
    ASSERT_TRUE(sink.Open(Context(EveryType(), key)).ok());
    Exec("DROP TABLE t");
  }
}

TEST_F(MySqlTableTest, KeysOfManyTextsFitTheIndex) {
  for (const size_t texts : {1, 3, 4, 8, 14}) {
    Schema schema;
    std::vector<std::string> key;
    for (size_t i = 0; i < texts; ++i) {
      key.push_back(fmt::format("k{}", i));
      schema.Add(key.back(), i % 2 == 0 ? DataType::String() : DataType::Bytes());
    }
    for (const char* name : {"x", "y"}) {
      key.push_back(name);
      schema.Decimal(name, 38, 10);
    }
    MySqlSink sink(CreateOptions());
    const absl::Status opened = sink.Open(Context(schema, key));
    EXPECT_TRUE(opened.ok()) << texts << ": " << opened;
    Exec("DROP TABLE IF EXISTS t");
  }
}

TEST_F(MySqlTableTest, NoKey) {
  const Schema schema = Schema().Int64("a").Int64("b").Int64("n");
  Exec("CREATE TABLE t (a BIGINT, b BIGINT, n BIGINT)");
  ExpectMended(schema, {"b", "a"}, "has no primary or unique key (b, a)");
  Exec("DROP TABLE t; CREATE TABLE t (a BIGINT NOT NULL PRIMARY KEY, b BIGINT NOT NULL, n BIGINT)");
  ExpectMended(schema, {"a", "b"}, "has no primary or unique key (a, b)");
  Exec("DROP TABLE t; CREATE TABLE t (a BIGINT, b BIGINT, n BIGINT, PRIMARY KEY (a, b, n))");
  ExpectMended(schema, {"a", "b"}, "has no primary or unique key (a, b)");
  Exec("DROP TABLE t; CREATE TABLE t (a BIGINT NOT NULL, b BIGINT NOT NULL, n BIGINT, KEY (a, b))");
  ExpectMended(schema, {"a", "b"}, "has no primary or unique key (a, b)");
}

TEST_F(MySqlTableTest, AKeyInAnotherOrderOrCaseIsTheKey) {
  Exec("CREATE TABLE t (B BIGINT, A BIGINT, n BIGINT, PRIMARY KEY (B, A))");
  EXPECT_TRUE(Open(Schema().Int64("a").Int64("b").Int64("n"), {"a", "b"}).ok());
}

TEST_F(MySqlTableTest, AUniqueKeyIsEnoughIfItIsNotNull) {
  Exec("CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, a BIGINT, n BIGINT, UNIQUE (a))");
  ExpectMended(Schema().Int64("a").Int64("n"), {"a"}, "key column a may be NULL");
  Exec("DROP TABLE t");
  Exec(
      "CREATE TABLE t (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, UNIQUE (a))");
  ExpectMended(Schema().String("a"), {"a"}, "key column a may be NULL");
  Exec("DROP TABLE t; CREATE TABLE t (a VARBINARY(20), UNIQUE (a))");
  ExpectMended(Schema().Bytes("a"), {"a"}, "key column a may be NULL");
}

TEST_F(MySqlTableTest, APrefixOfAColumnIsNoKey) {
  Exec(
      "CREATE TABLE t (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, "
      "UNIQUE (a(10)))");
  ExpectMended(Schema().String("a"), {"a"}, "has no primary or unique key (a)");
}

TEST_F(MySqlTableTest, TextKeysThatTheTableWouldMix) {
  for (const char* type :
       {"VARCHAR(50)", "VARCHAR(50) COLLATE utf8mb4_bin",
        "VARCHAR(50) COLLATE utf8mb4_unicode_nopad_ci", "CHAR(50) COLLATE utf8mb4_nopad_bin",
        "VARCHAR(50) COLLATE utf8mb4_general_ci"}) {
    Exec(fmt::format("CREATE TABLE t (a {} NOT NULL PRIMARY KEY, n BIGINT)", type));
    ExpectMended(Schema().String("a").Int64("n"), {"a"}, "its column a is");
    Exec("DROP TABLE t");
  }
  for (const char* type : {"VARCHAR(50) COLLATE utf8mb4_nopad_bin", "VARBINARY(50)",
                           "VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_nopad_bin"}) {
    Exec(fmt::format("CREATE TABLE t (a {} NOT NULL PRIMARY KEY, n BIGINT)", type));
    EXPECT_TRUE(Open(Schema().String("a").Int64("n"), {"a"}).ok()) << type;
    Exec("DROP TABLE t");
  }
}

TEST_F(MySqlTableTest, TypesThatDoNotHoldEveryValue) {
  struct Case {
    DataType type;
    std::vector<const char*> unfit;
    std::vector<const char*> fit;
  };
  const std::vector<Case> cases = {
      {DataType::Bool(), {"VARCHAR(5)", "DOUBLE"}, {"BOOLEAN", "TINYINT UNSIGNED", "INT"}},
      {DataType::Int32(),
       {"SMALLINT", "INT UNSIGNED", "VARCHAR(20)", "FLOAT"},
       {"INT", "INT(3)", "BIGINT"}},
      {DataType::Int64(), {"INT", "BIGINT UNSIGNED", "DOUBLE", "TEXT"}, {"BIGINT", "BIGINT(5)"}},
      {DataType::Double(),
       {"FLOAT", "DOUBLE(10,2)", "DOUBLE UNSIGNED", "DECIMAL(10,2)"},
       {"DOUBLE", "REAL"}},
      {DataType::Decimal(10, 2),
       {"DECIMAL(10,3)", "DECIMAL(9,2)", "DECIMAL(10,1)", "DOUBLE", "DECIMAL(10,2) UNSIGNED"},
       {"DECIMAL(10,2)", "DECIMAL(12,4)", "NUMERIC(65,30)"}},
      {DataType::String(),
       {"INT", "ENUM('a','b')", "BINARY(5)"},
       {"VARCHAR(5)", "TEXT", "LONGTEXT", "VARBINARY(9)", "JSON"}},
      {DataType::Bytes(),
       {"TEXT", "VARCHAR(50)", "BINARY(5)"},
       {"VARBINARY(5)", "BLOB", "LONGBLOB"}},
      {DataType::Date(), {"VARCHAR(10)", "YEAR", "DATETIME(6)"}, {"DATE"}},
      {DataType::Timestamp(),
       {"TIMESTAMP(6) NULL", "DATETIME", "DATETIME(3)", "VARCHAR(30)", "DATE", "TIME(6)"},
       {"DATETIME(6)"}},
  };
  for (const Case& c : cases) {
    const Schema schema = Schema().Int64("k").Add("v", c.type);
    for (const char* sql : c.unfit) {
      SCOPED_TRACE(c.type.ToString() + " into " + sql);
      Exec(fmt::format("CREATE TABLE t (k BIGINT PRIMARY KEY, v {})", sql));
      ExpectMended(schema, {"k"}, "its column v is");
      Exec("DROP TABLE t");
    }
    for (const char* sql : c.fit) {
      Exec(fmt::format("CREATE TABLE t (k BIGINT PRIMARY KEY, v {})", sql));
      const absl::Status opened = Open(schema, {"k"});
      EXPECT_TRUE(opened.ok()) << c.type.ToString() << " into " << sql << ": " << opened;
      Exec("DROP TABLE t");
    }
  }
}

TEST_F(MySqlTableTest, SaysThatTimestampsEnd) {
  Exec("CREATE TABLE t (k BIGINT PRIMARY KEY, v TIMESTAMP(6) NULL)");
  ExpectMended(Schema().Int64("k").Timestamp("v"), {"k"}, "ends in the year 2038");
}

TEST_F(MySqlTableTest, MissingAndExtraColumns) {
  const Schema schema = Schema().Int64("k").Int64("v");
  Exec("CREATE TABLE t (k BIGINT PRIMARY KEY)");
  ExpectMended(schema, {"k"}, "has no column v for the rows' int64");
  Exec("ALTER TABLE t ADD note VARCHAR(9) NOT NULL");
  ExpectMended(schema, {"k"},
               "column note, which the rows do not have, has neither a default nor NULL");
  Exec(
      "ALTER TABLE t ADD x INT NOT NULL DEFAULT 3, ADD y INT NULL, ADD z BIGINT AS (k + 1) STORED, "
      "ADD w BIGINT AS (k + 2) VIRTUAL, ADD at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP");
  EXPECT_TRUE(Open(schema, {"k"}).ok());
  ExpectMended(Schema().Int64("k").Int64("v").Int64("z"), {"k"}, "computes by itself");
  Exec(
      "DROP TABLE t; CREATE TABLE t (other INT NOT NULL, k BIGINT NOT NULL, v BIGINT, PRIMARY KEY "
      "(other, k))");
  ExpectMended(schema, {"k"}, "column other, which the rows do not have");
}

TEST_F(MySqlTableTest, EverythingWrongIsSaidAndMendedAtOnce) {
  Exec(
      "CREATE TABLE t (s VARCHAR(30), i SMALLINT, ts TIMESTAMP NULL, extra INT NOT NULL) "
      "ENGINE=MyISAM");
  ExpectMended(EveryType(), {"s", "ts"}, "its engine is MyISAM, which has no transactions");
}

TEST_F(MySqlTableTest, AViewIsRefused) {
  Exec("CREATE TABLE u (k BIGINT PRIMARY KEY, v BIGINT); CREATE VIEW t AS SELECT * FROM u");
  const absl::Status refusal = Open(Schema().Int64("k").Int64("v"), {"k"});
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("is a view"));
  EXPECT_THAT(AdviceIn(refusal), HasSubstr("CREATE TABLE `tidemark`.`t`"));
}

TEST_F(MySqlTableTest, NamesThatNeedQuotes) {
  const Schema schema = Schema().String("a`b").Int64("select").Int64("x y");
  MySqlSinkOptions options = CreateOptions("we`ird ta'ble");
  MySqlSink sink(options);
  const SinkContext context = Context(schema, {"a`b"});
  const absl::Status opened = OpenNew(sink, context);
  ASSERT_TRUE(opened.ok()) << opened;
  const auto marker = Commit(sink, Batch(0), {MakeBatch(schema, {{"it's", 1, 2}})});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_THAT(Query("SELECT * FROM `we``ird ta'ble`"), ElementsAre(MariaDbRow{"it's", "1", "2"}));
}

TEST_F(MySqlTableTest, TheMarkerTable) {
  Exec("CREATE TABLE t (k BIGINT PRIMARY KEY)");
  Exec(
      "CREATE TABLE tidemark_batches (query_id VARCHAR(64), sink VARCHAR(150), epoch BIGINT, "
      "batch_id BIGINT, "
      "plan_hash BIGINT UNSIGNED, row_count BIGINT, rows_hash BIGINT UNSIGNED, PRIMARY KEY "
      "(query_id, sink)) "
      "ENGINE=MyISAM");
  ExpectMended(Schema().Int64("k"), {"k"}, "is not InnoDB");
  Exec("ALTER TABLE tidemark_batches DROP PRIMARY KEY, ADD KEY (query_id)");
  ExpectMended(Schema().Int64("k"), {"k"}, "has no primary key (query_id, sink)");
  MySqlSink sink(Options("Tidemark_Batches"));
  const absl::Status refusal = sink.Open(Context(Schema().Int64("k"), {"k"}));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal)) << refusal;
}

TEST_F(MySqlTableTest, RightsThatAreMissingAreSaidWithTheStatement) {
  Exec(
      "CREATE TABLE t (k BIGINT PRIMARY KEY); CREATE OR REPLACE USER poor@'%' IDENTIFIED BY 'p'; "
      "GRANT SELECT, INSERT, DELETE ON tidemark.t TO poor@'%'");
  MySqlSinkOptions options = Options();
  options.server.user = "poor";
  options.server.password = "p";
  MySqlSink sink(options);
  const absl::Status refusal = sink.Open(Context(Schema().Int64("k"), {"k"}));
  ASSERT_TRUE(absl::IsInvalidArgument(refusal)) << refusal;
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("let an administrator run:\nCREATE TABLE"));
  Exec(AdviceIn(refusal));
  Exec("GRANT SELECT, INSERT, UPDATE ON tidemark.tidemark_batches TO poor@'%'");
  const absl::Status opened = sink.Open(Context(Schema().Int64("k"), {"k"}));
  EXPECT_TRUE(opened.ok()) << opened;
  Exec("REVOKE SELECT ON tidemark.t FROM poor@'%'");
  const absl::Status unseen = sink.Open(Context(Schema().Int64("k"), {"k"}));
  EXPECT_TRUE(absl::IsInvalidArgument(unseen)) << unseen;
  EXPECT_THAT(std::string(unseen.message()), HasSubstr("SELECT command denied"));
}

}  // namespace
}  // namespace tidemark
