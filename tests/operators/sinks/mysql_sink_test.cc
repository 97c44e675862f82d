#include "tidemark/operators/sinks/mysql_sink.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <random>
#include <utility>

#include "operators/sinks/mysql_fixture.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeBatch;
using testing::MariaDbRow;
using testing::Null;
using testing::Row;

Schema Totals() { return Schema().Timestamp("window_start").String("store").Int64("n"); }

// Each test of rows runs both ways of sending them.
class MySqlSinkTest : public testing::MySqlFixture, public ::testing::WithParamInterface<bool> {
 protected:
  static MySqlSinkOptions With(MySqlSinkOptions options) {
    options.use_arrays = GetParam();
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(, MySqlSinkTest, ::testing::Bool(),
                         [](const auto& way) { return way.param ? "Arrays" : "Text"; });

TEST_P(MySqlSinkTest, CreatesTheTableAndWritesNetRowsInOneTransaction) {
  MySqlSink sink(With(CreateOptions()));
  const SinkContext context = Context(Totals(), {"window_start", "store"});
  EXPECT_EQ(sink.description(), "MySQL[tidemark.t]");
  ASSERT_TRUE(OpenNew(sink, context).ok());
  const auto marker = Commit(sink, Batch(0),
                             {MakeBatch(Totals(), {{60'000'000, "b", 1}, {0, "a", 2}, {0, "b", 3}}),
                              MakeBatch(Totals(), {{0, "a", 4}, {60'000'000, "b", Null()}})});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 5);
  EXPECT_EQ(sink.superseded_rows(), 2);
  EXPECT_THAT(Query("SELECT * FROM t ORDER BY 1, 2"),
              ElementsAre(MariaDbRow{"1970-01-01 00:00:00.000000", "a", "4"},
                          MariaDbRow{"1970-01-01 00:00:00.000000", "b", "3"},
                          MariaDbRow{"1970-01-01 00:01:00.000000", "b", std::nullopt}));
  const auto held = sink.ReadMarker();
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(**held, *marker);
}

TEST_P(MySqlSinkTest, ReplaceAndUpsertOverExistingRows) {
  const Schema schema = Schema().Int64("k").Int64("v");
  for (const bool upsert : {false, true}) {
    Exec("DROP TABLE IF EXISTS tidemark_batches");
    Exec(
        "CREATE OR REPLACE TABLE t (k BIGINT PRIMARY KEY, v BIGINT, note VARCHAR(9) DEFAULT "
        "'new')");
    Exec("INSERT INTO t VALUES (1, 10, 'old'), (2, 20, 'old')");
    MySqlSinkOptions options = With(Options());
    if (upsert) options.write = MySqlSinkOptions::Write::kUpsert;
    MySqlSink sink(options);
    ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
    ASSERT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema, {{3, 31}, {1, 11}})}).ok());
    EXPECT_THAT(Query("SELECT * FROM t ORDER BY k"),
                ElementsAre(MariaDbRow{"1", "11", upsert ? "old" : "new"},
                            MariaDbRow{"2", "20", "old"}, MariaDbRow{"3", "31", "new"}));
  }
}

// A table that is altered between two batches.
class AlteredTable {
 public:
  static constexpr char kMade[] =
      "CREATE OR REPLACE TABLE t (store VARCHAR(20) CHARACTER SET utf8mb4 COLLATE "
      "utf8mb4_nopad_bin, at DATETIME(6), n BIGINT, PRIMARY KEY (store))";
  static Schema Rows() { return Schema().String("store").Timestamp("at").Int64("n"); }
  static RowBatch First() { return MakeBatch(Rows(), {{"a", 1, 1}, {"b", 2, 2}}); }
  static RowBatch Second() { return MakeBatch(Rows(), {{"b", 20, 20}, {"c", 30, 30}}); }
};
constexpr char kAlteredRows[] = "SELECT store, at, n FROM t ORDER BY store";

TEST_P(MySqlSinkTest, ATableThatIsAlteredToOneThatDoesNotFitGetsNoRowMore) {
  struct Alteration {
    const char* sql;
    const char* words;
  };
  constexpr Alteration kAlterations[] = {
      {"ALTER TABLE t DROP PRIMARY KEY", "it has no primary or unique key (store)"},
      {"ALTER TABLE t MODIFY store VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci "
       "NOT NULL",
       "its column store is varchar(20), with the collation utf8mb4_general_ci"},
      {"ALTER TABLE t MODIFY at DATETIME", "its column at is datetime, which does not hold micro"},
      {"ALTER TABLE t ENGINE=MyISAM", "its engine is MyISAM, which has no transactions"},
      {"ALTER TABLE t DROP COLUMN n", "it has no column n"},
      {"ALTER TABLE tidemark_batches DROP PRIMARY KEY", "no primary key (query_id, sink)"},
      {"ALTER TABLE tidemark_batches ENGINE=Aria", "is not InnoDB"},
      {"DROP TABLE t", "MySQL has no table tidemark.t"}};
  for (const bool upsert : {false, true}) {
    for (const auto& [sql, words] : kAlterations) {
      SCOPED_TRACE(fmt::format("{} {}", upsert, sql));
      Exec("DROP TABLE IF EXISTS tidemark_batches");
      Exec(AlteredTable::kMade);
      MySqlSinkOptions options = With(Options());
      if (upsert) options.write = MySqlSinkOptions::Write::kUpsert;
      MySqlSink sink(options);
      ASSERT_TRUE(OpenNew(sink, Context(AlteredTable::Rows(), {"store"})).ok());
      ASSERT_TRUE(Commit(sink, Batch(0), {AlteredTable::First()}).ok());
      Exec(sql);
      const auto refused = Commit(sink, Batch(1), {AlteredTable::Second()});
      ASSERT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
      const std::string message(refused.status().message());
      EXPECT_THAT(message, HasSubstr(words));
      EXPECT_EQ(Query("SELECT MAX(batch_id) FROM tidemark_batches")[0][0], "0");
      Exec(message.substr(message.find(":\n") + 2));
      if (std::string_view(sql).starts_with("ALTER TABLE")) {
        EXPECT_EQ(Query("SELECT COUNT(*) FROM t")[0][0], "2") << "not one row of batch 1";
      }
      const auto written = Commit(sink, Batch(1), {AlteredTable::Second()});
      ASSERT_TRUE(written.ok()) << written.status();
      EXPECT_EQ(Query("SELECT COUNT(*), MAX(at) FROM t WHERE n >= 20")[0],
                (MariaDbRow{"2", "1970-01-01 00:00:00.000030"}));
      EXPECT_EQ(Query("SELECT COUNT(*) FROM tidemark_batches")[0][0], "1");
    }
  }
}

TEST_P(MySqlSinkTest, ATableThatIsAlteredAndStillFitsGetsItsRows) {
  for (const bool upsert : {false, true}) {
    for (const char* sql :
         {"ALTER TABLE t ADD COLUMN note VARCHAR(9) DEFAULT 'new' FIRST",
          "ALTER TABLE t ADD INDEX by_n (n)", "ALTER TABLE t MODIFY store VARBINARY(30) NOT NULL",
          "ALTER TABLE t DROP PRIMARY KEY, ADD COLUMN id BIGINT PRIMARY KEY AUTO_INCREMENT FIRST, "
          "ADD UNIQUE KEY (store)"}) {
      SCOPED_TRACE(fmt::format("{} {}", upsert, sql));
      Exec("DROP TABLE IF EXISTS tidemark_batches");
      Exec(AlteredTable::kMade);
      MySqlSinkOptions options = With(Options());
      if (upsert) options.write = MySqlSinkOptions::Write::kUpsert;
      MySqlSink sink(options);
      ASSERT_TRUE(OpenNew(sink, Context(AlteredTable::Rows(), {"store"})).ok());
      ASSERT_TRUE(Commit(sink, Batch(0), {AlteredTable::First()}).ok());
      Exec(sql);
      for (int batch = 1; batch < 3; ++batch) {
        const auto written = Commit(sink, Batch(batch), {AlteredTable::Second()});
        ASSERT_TRUE(written.ok()) << written.status();
      }
      EXPECT_THAT(Query(kAlteredRows),
                  ElementsAre(MariaDbRow{"a", "1970-01-01 00:00:00.000001", "1"},
                              MariaDbRow{"b", "1970-01-01 00:00:00.000020", "20"},
                              MariaDbRow{"c", "1970-01-01 00:00:00.000030", "30"}));
    }
  }
}

// Does something before its first rows, in mid batch.
class HookedStream final : public testing::ListStream {
 public:
  HookedStream(std::vector<RowBatch> batches, std::function<void()> hook)
      : ListStream(std::move(batches)), hook_(std::move(hook)) {}

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    if (hook_) std::exchange(hook_, nullptr)();
    return ListStream::DoNext();
  }

 private:
  std::function<void()> hook_;
};

TEST_P(MySqlSinkTest, NobodyAltersTheTableInMidBatch) {
  Exec(AlteredTable::kMade);
  MySqlSink sink(With(Options()));
  ASSERT_TRUE(OpenNew(sink, Context(AlteredTable::Rows(), {"store"})).ok());
  HookedStream stream({AlteredTable::First()}, [] {
    for (const char* table : {"t", "tidemark_batches"}) {
      const absl::Status altered = server_->Exec(
          fmt::format("SET lock_wait_timeout = 0; ALTER TABLE {} DROP PRIMARY KEY", table));
      EXPECT_THAT(std::string(altered.message()), HasSubstr("1205"));
    }
  });
  const auto marker = sink.Commit(Batch(0), stream);
  ASSERT_TRUE(marker.ok()) << marker.status();
  Exec("ALTER TABLE t DROP PRIMARY KEY");
  EXPECT_TRUE(absl::IsInvalidArgument(Commit(sink, Batch(1), {AlteredTable::First()}).status()));
}

TEST_P(MySqlSinkTest, UpsertOfKeysAlone) {
  const Schema schema = Schema().Int64("k");
  MySqlSinkOptions options = With(CreateOptions());
  options.write = MySqlSinkOptions::Write::kUpsert;
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
  for (int batch = 0; batch < 2; ++batch) {
    const auto marker = Commit(sink, Batch(batch), {MakeBatch(schema, {{1}, {batch}})});
    EXPECT_TRUE(marker.ok()) << marker.status();
  }
  EXPECT_THAT(Query("SELECT k FROM t ORDER BY k"), ElementsAre(MariaDbRow{"0"}, MariaDbRow{"1"}));
}

TEST_P(MySqlSinkTest, EveryTypeComesBackExactly) {
  const Schema schema = Schema()
                            .Int64("k")
                            .Bool("b")
                            .Int32("i")
                            .Int64("l")
                            .Double("d")
                            .Decimal("dec", 38, 6)
                            .String("s")
                            .Bytes("bin")
                            .Date("day")
                            .Timestamp("ts");
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const std::string text =
      std::string("\0", 1) +
      "'\"\\\n\r\x1a\t%_ \xC3\xA9 \xE6\xB5\xB7 \xF0\x9F\x90\x9F \xF4\x8F\xBF\xBF";
  Int128 decimal = 1;
  for (int i = 0; i < 38; ++i) decimal *= 10;
  --decimal;
  const double tiny = std::numeric_limits<double>::denorm_min();
  const double huge = std::numeric_limits<double>::max();
  MySqlSink sink(With(CreateOptions()));
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
  const auto marker = Commit(
      sink, Batch(0),
      {MakeBatch(schema,
                 {{0, 1, INT32_MIN, INT64_MIN, 0.1, decimal, text, bytes, -1, int64_t{-1}},
                  {1, 0, INT32_MAX, INT64_MAX, huge, Int128{-decimal}, std::string(), std::string(),
                   -354285, int64_t{-354285} * 86'400'000'000},
                  {2, 0, 0, 0, tiny, Int128{0}, std::string("x"), std::string("y"), 2932896,
                   int64_t{2932897} * 86'400'000'000 - 1},
                  {3, Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null()},
                  {4, 1, 1, 1, 5e-324 * 3, Int128{1}, std::string(70'000, 'z'),
                   std::string(70'000, '\0'), 0, 0}})});
  ASSERT_TRUE(marker.ok()) << marker.status();
  const auto rows = Query("SELECT b, i, l, `dec`, s, bin, day, ts FROM t ORDER BY k");
  ASSERT_EQ(rows.size(), 5U);
  const std::string nines(32, '9');
  EXPECT_THAT(rows[0], ElementsAre("1", "-2147483648", "-9223372036854775808", nines + ".999999",
                                   text, bytes, "1969-12-31", "1969-12-31 23:59:59.999999"));
  EXPECT_THAT(rows[1],
              ElementsAre("0", "2147483647", "9223372036854775807", "-" + nines + ".999999", "", "",
                          "1000-01-01", "1000-01-01 00:00:00.000000"));
  EXPECT_THAT(rows[2], ElementsAre("0", "0", "0", "0.000000", "x", "y", "9999-12-31",
                                   "9999-12-31 23:59:59.999999"));
  for (const auto& value : rows[3]) EXPECT_EQ(value, std::nullopt);
  EXPECT_EQ(rows[4][4], std::string(70'000, 'z'));
  EXPECT_EQ(rows[4][5], std::string(70'000, '\0'));
  const auto doubles = Query("SELECT d FROM t WHERE d IS NOT NULL ORDER BY k");
  EXPECT_EQ(std::strtod(doubles[0][0]->c_str(), nullptr), 0.1);
  EXPECT_EQ(std::strtod(doubles[1][0]->c_str(), nullptr), huge);
  EXPECT_EQ(std::strtod(doubles[2][0]->c_str(), nullptr), tiny);
  EXPECT_EQ(std::strtod(doubles[3][0]->c_str(), nullptr), 5e-324 * 3);
}

TEST_P(MySqlSinkTest, TextKeysThatDifferInAnyByteStayApart) {
  const Schema schema = Schema().String("k").Bytes("b").Int64("v");
  const std::vector<std::string> keys = {"a",
                                         "A",
                                         "a ",
                                         " a",
                                         "\xC3\xA1",
                                         "",
                                         " ",
                                         std::string("a\0", 2),
                                         std::string("\0", 1),
                                         "a\xCC\x81",
                                         "\xF0\x9F\x90\x9F",
                                         "\xF0\x9F\x90\xA0",
                                         "\\",
                                         "'",
                                         "ss",
                                         "\xC3\x9F"};
  std::vector<Row> rows;
  for (const std::string& k : keys) {
    for (const std::string& b : keys) rows.push_back({k, b, static_cast<int>(rows.size())});
  }
  MySqlSink sink(With(CreateOptions()));
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k", "b"})).ok());
  for (int batch = 0; batch < 2; ++batch) {
    const auto marker = Commit(sink, Batch(batch), {MakeBatch(schema, rows)});
    ASSERT_TRUE(marker.ok()) << marker.status();
    const auto held = Query("SELECT k, b FROM t ORDER BY v");
    ASSERT_EQ(held.size(), rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(held[i][0], keys[i / keys.size()]);
      EXPECT_EQ(held[i][1], keys[i % keys.size()]);
    }
  }
  EXPECT_EQ(sink.superseded_rows(), 0);
}

TEST_P(MySqlSinkTest, DeletesRowsWhereTheConditionHolds) {
  const Schema schema =
      Schema().Int64("k").Decimal("n", 38, 1).String("s").Bool("gone").Timestamp("ts");
  MySqlSinkOptions options = With(CreateOptions());
  options.delete_when_column = "gone";
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k", "n", "s", "ts"})).ok());
  const Int128 large = (Int128{1} << 120) + 1;  // neighbours would be one as doubles
  const Int128 larger = large + 1;
  std::vector<Row> rows;
  for (int i = 0; i < 2'000; ++i) rows.push_back({i, large, "it's", 0, int64_t{1'234'567} * i});
  rows.push_back({5, larger, "it's", Null(), int64_t{1'234'567} * 5});
  auto marker = Commit(sink, Batch(0), {MakeBatch(schema, rows)});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(Query("SELECT COUNT(*) FROM t")[0][0], "2001");
  rows.pop_back();
  for (Row& row : rows) row[3] = 1;
  rows.push_back({7, large, "it's", 0, int64_t{1'234'567} * 7});  // written again: the last wins
  rows.push_back({8, large, "it's", 0, int64_t{1'234'567} * 8});
  rows.push_back({8, large, "it's", 1, int64_t{1'234'567} * 8});  // and deleted again
  rows.push_back({9'999, large, "it's", 1, 0});                   // never there
  marker = Commit(sink, Batch(1), {MakeBatch(schema, rows)});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(Query("SELECT k, n - POW(2, 120) * 0 FROM t ORDER BY k").size(), 2U);
  EXPECT_THAT(Query("SELECT k FROM t ORDER BY k"), ElementsAre(MariaDbRow{"5"}, MariaDbRow{"7"}));
  EXPECT_EQ(Query("SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_NAME = 't'")[0][0],
            "4");
}

TEST_P(MySqlSinkTest, ANullInTheKeyFailsOrIsSkipped) {
  const Schema schema = Schema().Int64("k").String("s").Int64("v");
  MySqlSinkOptions options = With(CreateOptions());
  const SinkContext context = Context(schema, {"k", "s"});
  const std::vector<RowBatch> rows = {
      MakeBatch(schema, {{1, "a", 1}, {7, Null(), 2}, {Null(), "a", 3}})};
  {
    MySqlSink sink(options);
    ASSERT_TRUE(OpenNew(sink, context).ok());
    const auto refused = Commit(sink, Batch(0), rows);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr("the row k=7, s=NULL has a null in its key column s"));
    EXPECT_THAT(Query("SELECT * FROM t"), IsEmpty());
  }
  options.on_null_key = MySqlSinkOptions::OnNullKey::kSkip;
  MySqlSink sink(options);
  ASSERT_TRUE(sink.Open(context).ok());
  ASSERT_TRUE(Commit(sink, Batch(0), rows).ok());
  EXPECT_EQ(Query("SELECT COUNT(*) FROM t")[0][0], "1");
  EXPECT_EQ(sink.TakeSkippedRows(), 2);
  EXPECT_EQ(sink.TakeSkippedRows(), 0);
}

TEST_P(MySqlSinkTest, RowsThatTheTableRefusesAreNamed) {
  const Schema schema =
      Schema().Int64("k").String("s").Double("d").Timestamp("ts").Date("day").Int64("ref");
  Exec("CREATE TABLE parent (id BIGINT PRIMARY KEY); INSERT INTO parent VALUES (1)");
  Exec(
      "CREATE TABLE t (k BIGINT PRIMARY KEY, s VARCHAR(5) CHARACTER SET latin1 NOT NULL, d DOUBLE "
      "CHECK (d < 9), "
      "ts DATETIME(6), day DATE, ref BIGINT, FOREIGN KEY (ref) REFERENCES parent (id))");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const int64_t year_10000 = int64_t{2932897} * 86'400'000'000;
  struct Case {
    Row bad;
    const char* words;
  };
  const std::vector<Case> cases = {
      {{555, "too long", 0.0, 0, 0, 1}, "1406"},
      {{555, Null(), 0.0, 0, 0, 1}, "1048"},
      {{555, "\xF0\x9F\x90\x9F", 0.0, 0, 0, 1}, "1366"},
      {{555, "a", 10.0, 0, 0, 1}, "4025"},
      {{555, "a", 0.0, 0, 0, 2}, "1452"},
      {{555, "a", nan, 0, 0, 1}, "d=NaN, which cannot be written"},
      {{555, "a", -infinity, 0, 0, 1}, "no infinity"},
      {{555, "a", 0.0, year_10000, 0, 1}, "years are 1000 to 9999"},
      {{555, "a", 0.0, int64_t{-354285} * 86'400'000'000 - 1, 0, 1}, "years are 1000 to 9999"},
      {{555, "a", 0.0, 0, 2932897, 1}, "years are 1000 to 9999"},
      {{555, "a", 0.0, 0, -354286, 1}, "years are 1000 to 9999"},
  };
  MySqlSink sink(With(Options()));
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
  for (const Case& c : cases) {
    std::vector<Row> rows;
    for (int k = 0; k < 1'000; ++k) rows.push_back({k, "a", 1.0, 0, 0, 1});
    rows[555] = c.bad;
    const auto refused = Commit(sink, Batch(0), {MakeBatch(schema, rows)});
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("the row k=555"));
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(c.words));
    EXPECT_THAT(Query("SELECT * FROM t"), IsEmpty());
  }
  const auto marker =
      Commit(sink, Batch(0), {MakeBatch(schema, {{1, "\xC3\xA9", 1.0, 0, 0, Null()}})});
  EXPECT_TRUE(marker.ok()) << marker.status();
}

TEST_P(MySqlSinkTest, RequestsStayUnderTheServersLimit) {
  const Schema schema = Schema().Int64("k").String("s");
  Exec("SET GLOBAL max_allowed_packet = 65536");
  MySqlSink sink(With(CreateOptions()));
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
  // Quotes double in a text, which must be counted.
  std::vector<Row> rows;
  for (int k = 0; k < 200; ++k)
    rows.push_back({k, std::string(static_cast<size_t>(k) * 150, '\'')});
  auto marker = Commit(sink, Batch(0), {MakeBatch(schema, rows)});
  EXPECT_TRUE(marker.ok()) << marker.status();
  int batch = 1;
  for (const size_t size : {65'300U, 65'400U, 65'480U, 65'536U, 70'000U, 1'000'000U}) {
    const auto large =
        Commit(sink, Batch(batch), {MakeBatch(schema, {{1, "x"}, {77, std::string(size, 'y')}})});
    if (large.ok()) {
      ++batch;
      EXPECT_LT(size, 65'536U);
    } else {
      // Never a lost connection.
      EXPECT_GT(size, 65'300U);
      EXPECT_TRUE(absl::IsInvalidArgument(large.status())) << large.status();
      EXPECT_THAT(std::string(large.status().message()), HasSubstr("the row k=77 takes"));
      EXPECT_THAT(std::string(large.status().message()), HasSubstr("max_allowed_packet (65536)"));
    }
  }
  Exec("SET GLOBAL max_allowed_packet = 67108864");
  EXPECT_EQ(Query("SELECT SUM(LENGTH(s)) FROM t WHERE k <> 77 AND k <> 1")[0][0],
            std::to_string(150 * (199 * 200 / 2 - 77 - 1)));
}

TEST_P(MySqlSinkTest, HiddenColumnsAreNotWritten) {
  Schema schema = Schema().Int64("k");
  Field offset;
  offset.name = "kafka_offset";
  offset.hidden = true;
  schema.Add(offset);
  MySqlSink sink(With(CreateOptions()));
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
  ASSERT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema, {{1, 2}})}).ok());
  EXPECT_THAT(Query("SELECT * FROM t"), ElementsAre(MariaDbRow{"1"}));
}

TEST_P(MySqlSinkTest, OnlySelectedRowsAreWritten) {
  const Schema schema = Schema().Int64("k");
  MySqlSink sink(With(CreateOptions()));
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"k"})).ok());
  RowBatch batch = MakeBatch(schema, {{0}, {1}, {2}, {3}});
  batch.set_selection(Selection::Rows({1, 3}));
  ASSERT_TRUE(Commit(sink, Batch(0), {batch}).ok());
  EXPECT_THAT(Query("SELECT k FROM t ORDER BY k"), ElementsAre(MariaDbRow{"1"}, MariaDbRow{"3"}));
}

// A hundred random batches over few keys of every kind, against a map.
TEST_P(MySqlSinkTest, RandomBatchesLeaveTheLastRowOfEachKey) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const Schema schema = Schema().Decimal("a", 20, 2).String("b").Int32("c").Int64("v").Bool("gone");
  MySqlSinkOptions options = With(CreateOptions());
  options.delete_when_column = "gone";
  if (pick(2) == 1) options.write = MySqlSinkOptions::Write::kUpsert;
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"c", "a", "b"})).ok());
  std::map<std::string, int> model;
  int value = 0;
  for (int batch = 0; batch < 100; ++batch) {
    std::vector<RowBatch> batches;
    for (int part = pick(3); part > 0; --part) {
      std::vector<Row> rows;
      for (int row = 1 + pick(50); row > 0; --row) {
        const int a = pick(5) - 2;
        const std::string b(static_cast<size_t>(pick(3)), pick(2) == 0 ? '\0' : 'z');
        const int c = pick(3) - 1;
        const bool gone = pick(4) == 0;
        rows.push_back({a, b, c, ++value, gone ? 1 : 0});
        const std::string key = fmt::format("{} {} {}", c, a, b);
        if (gone) {
          model.erase(key);
        } else {
          model[key] = value;
        }
      }
      batches.push_back(MakeBatch(schema, rows));
    }
    const auto marker = Commit(sink, Batch(batch), batches);
    ASSERT_TRUE(marker.ok()) << marker.status();
  }
  std::map<std::string, int> held;
  for (const MariaDbRow& row : Query("SELECT c, CAST(a * 100 AS SIGNED), b, v FROM t")) {
    held[fmt::format("{} {} {}", *row[0], *row[1], *row[2])] = std::stoi(*row[3]);
  }
  EXPECT_EQ(held, model);
}

class MySqlMarkerTest : public testing::MySqlFixture {
 protected:
  const Schema schema_ = Schema().Int64("k").Int64("v");
  const SinkContext context_ = Context(schema_, {"k"});
  MySqlSink sink_{CreateOptions()};
};

TEST_F(MySqlMarkerTest, ThereIsNoneAtFirstAndBatchesNeedOne) {
  ASSERT_TRUE(sink_.Open(context_).ok());
  const auto none = sink_.ReadMarker();
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
  const auto refused = Commit(sink_, Batch(0), {MakeBatch(schema_, {{1, 1}})});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("holds nothing of query"));
  EXPECT_THAT(Query("SELECT * FROM t"), IsEmpty());
}

TEST_F(MySqlMarkerTest, ABatchGivenAgainIsThereAlready) {
  ASSERT_TRUE(OpenNew(sink_, context_).ok());
  const auto first = Commit(sink_, Batch(0), {MakeBatch(schema_, {{1, 1}})});
  ASSERT_TRUE(first.ok()) << first.status();
  const auto again = Commit(sink_, Batch(0), {MakeBatch(schema_, {{1, 99}, {2, 99}})});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, *first);
  EXPECT_THAT(Query("SELECT * FROM t"), ElementsAre(MariaDbRow{"1", "1"}));
  // Also after a restart.
  MySqlSink restarted(CreateOptions());
  ASSERT_TRUE(restarted.Open(context_).ok());
  const auto held = restarted.ReadMarker();
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(**held, *first);
  EXPECT_EQ(*Commit(restarted, Batch(0), {}), *first);
}

TEST_F(MySqlMarkerTest, BatchesThatDoNotFollowAreRefused) {
  ASSERT_TRUE(OpenNew(sink_, context_).ok());
  for (int batch = 0; batch < 5; ++batch) {
    ASSERT_TRUE(Commit(sink_, Batch(batch), {MakeBatch(schema_, {{batch, 0}})}).ok());
  }
  struct Case {
    SinkBatch batch;
    const char* words;
  };
  for (const Case& c :
       {Case{Batch(4, 8), "has this batch from another plan"},
        {Batch(3), "is ahead of the checkpoint: it holds batch 4 of epoch 0"},
        {Batch(0), "is ahead of the checkpoint"},
        {Batch(5, 7, -1), "is ahead of the checkpoint"},
        {Batch(6),
         "has lost what it was given: tidemark.tidemark_batches holds batch 4 of epoch 0"},
        {Batch(100), "but batch 100 was to be written"}}) {
    const auto refused = Commit(sink_, c.batch, {MakeBatch(schema_, {{9, 9}})});
    EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(c.words));
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(sink_.WriteMarker(MarkerOf(context_, 2))));
  EXPECT_EQ(Query("SELECT COUNT(*) FROM t WHERE k = 9")[0][0], "0");
  EXPECT_TRUE(Commit(sink_, Batch(5), {}).ok());
}

TEST_F(MySqlMarkerTest, ARewoundQueryWritesOverWhatCameLater) {
  ASSERT_TRUE(OpenNew(sink_, context_).ok());
  for (int batch = 0; batch < 5; ++batch) {
    ASSERT_TRUE(Commit(sink_, Batch(batch), {MakeBatch(schema_, {{batch, 0}})}).ok());
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(Commit(sink_, Batch(6, 7, 1), {}).status()));
  const auto marker = Commit(sink_, Batch(2, 9, 1), {MakeBatch(schema_, {{2, 1}})});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->epoch, 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(Commit(sink_, Batch(3, 7, 0), {}).status()));
  EXPECT_TRUE(Commit(sink_, Batch(3, 9, 1), {}).ok());
  EXPECT_EQ(Query("SELECT v FROM t WHERE k = 2")[0][0], "1");
}

TEST_F(MySqlMarkerTest, QueriesAndSinksHaveTheirOwn) {
  ASSERT_TRUE(OpenNew(sink_, context_).ok());
  SinkContext other = context_;
  other.sink = "it's \\ other \xF0\x9F\x90\x9F";
  MySqlSink second(CreateOptions());
  ASSERT_TRUE(second.Open(other).ok());
  EXPECT_FALSE(second.ReadMarker()->has_value());
  SinkMarker marker = MarkerOf(other, 41);
  marker.plan_hash = UINT64_MAX;
  marker.rows_hash = UINT64_MAX - 1;
  marker.row_count = INT64_MAX;
  ASSERT_TRUE(second.WriteMarker(marker).ok());
  EXPECT_EQ(**second.ReadMarker(), marker);
  EXPECT_EQ((*sink_.ReadMarker())->batch_id, -1);
  EXPECT_TRUE(absl::IsInternal(second.WriteMarker(MarkerOf(context_, 1))));
}

TEST_F(MySqlMarkerTest, AStreamThatFailsLeavesNothing) {
  ASSERT_TRUE(OpenNew(sink_, context_).ok());
  testing::ListStream stream({MakeBatch(schema_, {{1, 1}}), MakeBatch(schema_, {{2, 2}})});
  stream.FailOnce(1, absl::DataLossError("broken state"));
  EXPECT_TRUE(absl::IsDataLoss(sink_.Commit(Batch(0), stream).status()));
  const auto marker = sink_.Commit(Batch(0), stream);
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 2);
  EXPECT_EQ(Query("SELECT COUNT(*) FROM t")[0][0], "2");
}

TEST_F(MySqlMarkerTest, WhatCannotBePlannedIsRefusedAtOpen) {
  const auto refusal = [&](const Schema& schema, std::vector<std::string> key,
                           const std::string& gone = "") {
    MySqlSinkOptions options = CreateOptions();
    options.delete_when_column = gone;
    MySqlSink sink(options);
    const absl::Status status = sink.Open(Context(schema, std::move(key)));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal(schema_, {}), HasSubstr(".Key(...)"));
  EXPECT_THAT(refusal(Schema().Int64("store_id"), {"store_ib"}),
              HasSubstr("did you mean store_id?"));
  EXPECT_THAT(refusal(schema_, {"k", "k"}), HasSubstr("named twice"));
  EXPECT_THAT(refusal(Schema().Int64("a").Int64("A"), {"a"}),
              HasSubstr("letter case does not count"));
  EXPECT_THAT(refusal(schema_, {"k"}, "v"), HasSubstr("must be bool"));
  EXPECT_THAT(refusal(schema_, {"k"}, "w"), HasSubstr("column of deletes w is not among"));
  EXPECT_THAT(refusal(Schema().Int64("k").Bool("b"), {"b"}, "b"),
              HasSubstr("not written to the table"));
  MySqlSink closed(CreateOptions());
  EXPECT_TRUE(absl::IsInternal(closed.ReadMarker().status()));
}

}  // namespace
}  // namespace tidemark
