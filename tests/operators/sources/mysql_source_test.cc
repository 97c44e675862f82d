#include "tidemark/operators/sources/mysql_source.h"

#include "operators/sources/polling_tests.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

struct MariaDb {
  using Server = testing::MariaDbServer;
  using Connection = MySqlConnection;
  static constexpr char kId[] = "BIGINT AUTO_INCREMENT PRIMARY KEY";
  static constexpr char kTime[] = "DATETIME(6)";
  static constexpr char kNow[] = "UTC_TIMESTAMP(6)";
  static constexpr char kNowSeconds[] = "UTC_TIMESTAMP()";
  static constexpr char kWidenName[] = "ALTER TABLE t MODIFY COLUMN name VARCHAR(80)";
  static constexpr char kNameToInt[] = "ALTER TABLE t MODIFY COLUMN name INT";
  static constexpr char kForeignTable[] = "secrets";
  // The user may use the database, but not read this table.
  static constexpr char kMakeForeignTable[] =
      "CREATE TABLE IF NOT EXISTS secrets (id INT PRIMARY KEY, name TEXT);"
      "REVOKE ALL ON tidemark.* FROM 'tidemark'@'%'; GRANT SELECT ON tidemark.t TO 'tidemark'@'%'";
  static constexpr char kGrantAgain[] = "GRANT ALL ON tidemark.* TO 'tidemark'@'%'";

  static absl::StatusOr<std::unique_ptr<Server>> Start() {
    return Server::Start({.flush_log_at_trx_commit = 2});
  }
  static DatabaseAddress Address(const Server& server, const std::string& password) {
    return {server.host(), server.port(), server.user(), password, server.database()};
  }
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(const Server& server,
                                                             const std::atomic<bool>* cancelled) {
    return MySqlConnection::Connect(Address(server, server.password()), {}, cancelled);
  }
  static absl::StatusOr<std::unique_ptr<Source>> Make(const Server& server,
                                                      const PollingOptions& polling,
                                                      const std::string& password,
                                                      const PollingStart& start) {
    return MakeMySqlSource({Address(server, password), {}, polling}, start);
  }
};

INSTANTIATE_TYPED_TEST_SUITE_P(MariaDb, PollingTest, MariaDb);

class MySqlTypesTest : public PollingTest<MariaDb> {};

TEST_F(MySqlTypesTest, EveryTypeArrivesExactly) {
  ASSERT_OK(Exec(
      "CREATE TABLE t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, b TINYINT(1), bt BIT(1), "
      "t8 TINYINT, s16 SMALLINT UNSIGNED, m MEDIUMINT, i INT, iu INT UNSIGNED, l BIGINT, "
      "lu BIGINT UNSIGNED, f FLOAT, d DOUBLE, dc DECIMAL(38,10), dt DATE, dtm DATETIME(6), "
      "dt0 DATETIME, ts TIMESTAMP(3) NULL, y YEAR, c CHAR(5), v VARCHAR(40) CHARACTER SET utf8mb4, "
      "l1 VARCHAR(20) CHARACTER SET latin1, tx TEXT, e ENUM('red','green'), js JSON, "
      "bin BINARY(3), vb VARBINARY(10), bl BLOB)"));
  ASSERT_OK(Exec(
      "SET time_zone='+00:00'; INSERT INTO t VALUES "
      "(1, 1, b'1', -128, 65535, -8388608, -2147483648, 4294967295, -9223372036854775808, "
      "9223372036854775807, 0.1, 0.1, '-1234567890123456789012345678.0123456789', '1000-01-01', "
      "'1969-12-31 23:59:59.999999', '9999-12-31 23:59:59', '2025-01-02 10:15:22.123', 2025, 'ab "
      "', "
      "'\xF0\x9F\x98\x80\\'\\\\\\0', 'h\xC3\xA9', '', 'green', '{\"a\": 1}', x'0001FF', x'00', "
      "x''),"
      "(2, 0, b'0', 127, 0, 8388607, 2147483647, 0, 9223372036854775807, 0, 16777216, "
      "1.7976931348623157e308, '0.0000000001', '9999-12-31', '2024-02-29 00:00:00', "
      "'1970-01-01 00:00:00', '1970-01-01 00:00:01', 1901, '', 'x', '', 'y', 'red', '[]', "
      "x'414243', "
      "x'ff', x'00ff'),"
      "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
      "NULL, "
      "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"));
  const Schema schema = Schema()
                            .Int64("id")
                            .Bool("b")
                            .Bool("bt")
                            .Int32("t8")
                            .Int32("s16")
                            .Int32("m")
                            .Int32("i")
                            .Int64("iu")
                            .Int64("l")
                            .Decimal("lu", 20, 0)
                            .Double("f")
                            .Double("d")
                            .Decimal("dc", 38, 10)
                            .Date("dt")
                            .Timestamp("dtm")
                            .Timestamp("dt0")
                            .Timestamp("ts")
                            .Int32("y")
                            .String("c")
                            .String("v")
                            .String("l1")
                            .String("tx")
                            .String("e")
                            .String("js")
                            .Bytes("bin")
                            .Bytes("vb")
                            .Bytes("bl");
  PollingDriver driver = Driver(ById(), schema);
  ASSERT_OK(driver.RunUntil(3));
  ASSERT_EQ(driver.arrived().size(), 3u);
  EXPECT_THAT(driver.bad(), IsEmpty());
  EXPECT_THAT(
      driver.arrived()[0],
      ElementsAre("1", "true", "true", "-128", "65535", "-8388608", "-2147483648", "4294967295",
                  "-9223372036854775808", "9223372036854775807", "0.10000000149011612", "0.1",
                  "-1234567890123456789012345678.0123456789", "1000-01-01",
                  "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z", "2025-01-02T10:15:22.123Z",
                  "2025", "ab", std::string("\xF0\x9F\x98\x80'\\\0", 7), "h\xC3\xA9", "", "green",
                  "{\"a\": 1}", "AAH/", "AA==", ""));
  EXPECT_THAT(driver.arrived()[1],
              ElementsAre("2", "false", "false", "127", "0", "8388607", "2147483647", "0",
                          "9223372036854775807", "0", "1.6777216E7", "1.7976931348623157E308",
                          "0.0000000001", "9999-12-31", "2024-02-29T00:00:00Z",
                          "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z", "1901", "", "x", "", "y",
                          "red", "[]", "QUJD", "/w==", "AP8="));
  std::vector<std::string> nulls(schema.size(), "NULL");
  nulls[0] = "3";
  EXPECT_EQ(driver.arrived()[2], nulls);
}

TEST_F(MySqlTypesTest, ValuesThatDoNotFitAreBadRecordsAndZonesAreApplied) {
  ASSERT_OK(
      Exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, big BIGINT UNSIGNED, at DATETIME);"
           "SET sql_mode=''; INSERT INTO t (big, at) VALUES (18446744073709551615, '2025-07-01 "
           "12:00:00'), (1, '0000-00-00 00:00:00'), (2, '2025-01-01 12:00:00')"));
  PollingDriver driver =
      Driver(ById(), Schema().Int64("id").Int64("big").Timestamp("at").Zone("Europe/Berlin"));
  ASSERT_OK(driver.RunUntil(3));
  EXPECT_THAT(driver.arrived(),
              ElementsAre(Row{"1", "NULL", "2025-07-01T10:00:00Z"}, Row{"2", "1", "NULL"},
                          Row{"3", "2", "2025-01-01T11:00:00Z"}));
  EXPECT_THAT(driver.bad(), ElementsAre(HasSubstr("column 'big'"), HasSubstr("column 'at'")));
  // By a timestamp column with a zero date in it.
  PollingOptions options = ByTime();
  PollingDriver by_time = Driver(options, Schema().Int64("id"));
  ASSERT_OK(by_time.RunUntil(3));
  EXPECT_THAT(by_time.ArrivedIds(), ElementsAre(2, 3, 1));
}

TEST_F(MySqlTypesTest, OnlyATableOfTransactionsIsPolledById) {
  ASSERT_OK(Exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT) ENGINE=Aria"));
  EXPECT_THAT(OpenError(ById()), HasSubstr("needs InnoDB"));
  ASSERT_OK(
      Exec("DROP TABLE t; CREATE TABLE base (id INT PRIMARY KEY, name TEXT); CREATE VIEW t AS "
           "SELECT * FROM base"));
  EXPECT_THAT(OpenError(ById()), HasSubstr("is a view"));
  ASSERT_OK(Exec("DROP VIEW t; DROP TABLE base"));
}

// Dropped, renamed or set aside while the table is read: it goes on with what there is.
TEST_F(MySqlTypesTest, AnIndexThatGoesAwayLosesNothing) {
  ASSERT_OK(MakeTable());
  ASSERT_OK(Exec("ALTER TABLE t ADD INDEX first (at, id)"));
  PollingDriver driver = Driver(ByTime());
  size_t rows = 0;
  for (const char* change :
       {"SELECT 1", "ALTER TABLE t DROP INDEX first", "ALTER TABLE t ADD INDEX second (at, id)",
        "ALTER TABLE t ADD INDEX third (at)", "ALTER TABLE t RENAME INDEX second TO fourth",
        "ALTER TABLE t DROP INDEX fourth", "ALTER TABLE t ALTER INDEX third IGNORED"}) {
    SCOPED_TRACE(change);
    ASSERT_OK(Exec(change));
    ASSERT_OK(
        Exec("INSERT INTO t (at, name) VALUES (UTC_TIMESTAMP(6), 'x'), (UTC_TIMESTAMP(6), "
             "'y')"));
    rows += 2;
    ASSERT_OK(driver.RunUntil(rows));
    if (rows == 6) driver.Crash();
  }
  RunSome(driver);
  EXPECT_EQ(Sorted(driver.ArrivedIds()), CommittedIds());

  ASSERT_OK(
      Exec("DROP TABLE t; CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT, name VARCHAR(40), "
           "UNIQUE KEY first (id))"));
  PollingDriver by_id = Driver(ById());
  ASSERT_OK(Exec("INSERT INTO t (id, name) VALUES (1, 'a'), (5, 'b')"));
  ASSERT_OK(by_id.RunUntil(2));
  ASSERT_OK(Exec("ALTER TABLE t RENAME INDEX first TO second"));
  ASSERT_OK(Exec("INSERT INTO t (id, name) VALUES (10, 'c')"));
  ASSERT_OK(by_id.RunUntil(3));
  EXPECT_THAT(by_id.ArrivedIds(), ElementsAre(1, 5, 10));
  ASSERT_OK(Exec("ALTER TABLE t DROP INDEX second, ADD INDEX plain (id)"));
  ASSERT_OK(Exec("INSERT INTO t (name) VALUES ('d')"));
  EXPECT_THAT(by_id.RunUntil(4).ToString(), HasSubstr("must be an integer, NOT NULL, and the "));
}

// Every id is behind a gap.
TEST_F(MySqlTypesTest, IdsThatAreDrawnInStepsArrive) {
  ASSERT_OK(MakeTable());
  ASSERT_OK(
      Exec("SET auto_increment_increment=2; INSERT INTO t (name) SELECT seq FROM seq_1_to_20000"));
  PollingDriver driver = Driver(ById());
  ASSERT_OK(driver.RunUntil(20'000));
  EXPECT_EQ(driver.ArrivedIds(), CommittedIds());
}

}  // namespace
}  // namespace tidemark
