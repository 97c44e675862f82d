#include "tidemark/operators/sources/postgres_source.h"

#include "operators/sources/polling_tests.h"
#include "tests/servers/postgres_server.h"

namespace tidemark {
namespace {

struct Postgres {
  using Server = testing::PostgresServer;
  using Connection = PostgresConnection;
  static constexpr char kId[] = "BIGSERIAL PRIMARY KEY";
  static constexpr char kTime[] = "timestamp";
  static constexpr char kNow[] = "clock_timestamp() AT TIME ZONE 'UTC'";
  static constexpr char kNowSeconds[] =
      "date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC')";
  static constexpr char kWidenName[] = "ALTER TABLE t ALTER COLUMN name TYPE VARCHAR(80)";
  static constexpr char kNameToInt[] = "ALTER TABLE t ALTER COLUMN name TYPE INT USING name::int";
  static constexpr char kForeignTable[] = "secrets";
  static constexpr char kMakeForeignTable[] =
      "CREATE TABLE IF NOT EXISTS secrets (id INT PRIMARY KEY, name TEXT)";
  static constexpr char kGrantAgain[] = "SELECT 1";

  static absl::StatusOr<std::unique_ptr<Server>> Start() {
    auto server = Server::Start();
    if (!server.ok()) return server.status();
    // Tables belong to the administrator; the user may read and write those of the tests, but not
    // `secrets`, which is made later.
    absl::Status granted = (*server)->Exec(
        "GRANT ALL ON SCHEMA public TO tidemark;"
        "CREATE FUNCTION grant_new() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF to_regclass('t') IS NOT NULL THEN GRANT ALL ON t TO tidemark; "
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tidemark; END IF; END $$;"
        "CREATE EVENT TRIGGER grant_new ON ddl_command_end WHEN TAG IN ('CREATE TABLE') "
        "EXECUTE FUNCTION grant_new()");
    if (!granted.ok()) return granted;
    return server;
  }
  static DatabaseAddress Address(const Server& server, const std::string& password) {
    return {server.host(), server.port(), server.user(), password, server.database()};
  }
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(const Server& server,
                                                             const std::atomic<bool>* cancelled) {
    return PostgresConnection::Connect(Address(server, server.password()), {}, cancelled);
  }
  static absl::StatusOr<std::unique_ptr<Source>> Make(const Server& server,
                                                      const PollingOptions& polling,
                                                      const std::string& password,
                                                      const PollingStart& start) {
    return MakePostgresSource({Address(server, password), {}, polling}, start);
  }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Postgres, PollingTest, Postgres);

class PostgresTypesTest : public PollingTest<Postgres> {};

TEST_F(PostgresTypesTest, EveryTypeArrivesExactly) {
  ASSERT_OK(
      Exec("DROP TABLE IF EXISTS t; DROP DOMAIN IF EXISTS amount; DROP TYPE IF EXISTS colour;"
           "CREATE TYPE colour AS ENUM ('red', 'green');"
           "CREATE DOMAIN amount AS numeric(10,2)"));
  ASSERT_OK(Exec(
      "CREATE TABLE t (id SERIAL PRIMARY KEY, b bool, s smallint, i int, l bigint, f real, "
      "d double precision, dc numeric(38,10), am amount, nu numeric, dt date, ts timestamp, "
      "tz timestamptz, tx text, v varchar(20), c char(5), u uuid, j jsonb, e colour, by bytea)"));
  ASSERT_OK(Exec(
      "SET timezone='Asia/Tokyo'; INSERT INTO t VALUES "
      "(1, true, -32768, -2147483648, -9223372036854775808, 0.1, 0.1, "
      "-1234567890123456789012345678.0123456789, 12345678.90, 100000.5, '1000-01-01', "
      "'1969-12-31 23:59:59.999999', '2025-01-02 10:15:22.123+02', E'\xF0\x9F\x98\x80''\\\\', '', "
      "'ab', '123e4567-e89b-12d3-a456-426614174000', '{\"a\": 1}', 'green', '\\x0001ff'),"
      "(2, false, 32767, 2147483647, 9223372036854775807, 16777216, 1.7976931348623157e308, "
      "0.0000000001, -0.01, -0.001, '9999-12-31', '2024-02-29', '1970-01-01 00:00:00+00', 'x', "
      "'y', "
      "'', '00000000-0000-0000-0000-000000000000', '[]', 'red', ''),"
      "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
      "NULL, "
      "NULL, NULL, NULL, NULL)"));
  const Schema schema = Schema()
                            .Int32("id")
                            .Bool("b")
                            .Int32("s")
                            .Int32("i")
                            .Int64("l")
                            .Double("f")
                            .Double("d")
                            .Decimal("dc", 38, 10)
                            .Decimal("am", 12, 4)
                            .Decimal("nu", 20, 3)
                            .Date("dt")
                            .Timestamp("ts")
                            .Timestamp("tz")
                            .String("tx")
                            .String("v")
                            .String("c")
                            .String("u")
                            .String("j")
                            .String("e")
                            .Bytes("by");
  PollingDriver driver = Driver(ById(), schema);
  ASSERT_OK(driver.RunUntil(3));
  ASSERT_EQ(driver.arrived().size(), 3u);
  EXPECT_THAT(driver.bad(), IsEmpty());
  EXPECT_THAT(
      driver.arrived()[0],
      ElementsAre("1", "true", "-32768", "-2147483648", "-9223372036854775808",
                  "0.10000000149011612", "0.1", "-1234567890123456789012345678.0123456789",
                  "12345678.9000", "100000.500", "1000-01-01", "1969-12-31T23:59:59.999999Z",
                  "2025-01-02T08:15:22.123Z", "\xF0\x9F\x98\x80'\\", "", "ab",
                  "123e4567-e89b-12d3-a456-426614174000", "{\"a\": 1}", "green", "AAH/"));
  EXPECT_THAT(driver.arrived()[1],
              ElementsAre("2", "false", "32767", "2147483647", "9223372036854775807", "1.6777216E7",
                          "1.7976931348623157E308", "0.0000000001", "-0.0100", "-0.001",
                          "9999-12-31", "2024-02-29T00:00:00Z", "1970-01-01T00:00:00Z", "x", "y",
                          "", "00000000-0000-0000-0000-000000000000", "[]", "red", ""));
  std::vector<std::string> nulls(schema.size(), "NULL");
  nulls[0] = "3";
  EXPECT_EQ(driver.arrived()[2], nulls);
}

TEST_F(PostgresTypesTest, ValuesThatDoNotFitAreBadRecordsAndZonesAreApplied) {
  ASSERT_OK(Exec("CREATE TABLE t (id SERIAL PRIMARY KEY, n numeric, dt date, at timestamp)"));
  ASSERT_OK(Exec(
      "INSERT INTO t (n, dt, at) VALUES ('NaN', '2025-01-01', '2025-07-01 12:00:00'), (1.001, "
      "'2025-01-01', '2025-01-01 12:00:00'), (12345678901, '2025-01-01', NULL), (1, 'infinity', "
      "NULL), (1, NULL, '-infinity'), (1, NULL, 'infinity'), (-99999999.99, NULL, NULL)"));
  PollingDriver driver = Driver(
      ById(),
      Schema().Int64("id").Decimal("n", 10, 2).Date("dt").Timestamp("at").Zone("Europe/Berlin"));
  ASSERT_OK(driver.RunUntil(7));
  EXPECT_THAT(driver.bad(), ElementsAre(HasSubstr("column 'n'"), HasSubstr("column 'n'"),
                                        HasSubstr("column 'n'"), HasSubstr("column 'dt'"),
                                        HasSubstr("column 'at'"), HasSubstr("column 'at'")));
  ASSERT_EQ(driver.arrived().size(), 7u);
  EXPECT_EQ(driver.arrived()[0][3], "2025-07-01T10:00:00Z");
  EXPECT_EQ(driver.arrived()[1][3], "2025-01-01T11:00:00Z");
  EXPECT_EQ(driver.arrived()[6][1], "-99999999.99");
  // By a timestamp column with infinities in it: rows without a time never arrive.
  PollingDriver by_time = Driver(ByTime(), Schema().Int64("id"));
  ASSERT_OK(by_time.RunUntil(4));
  by_time.Crash();
  RunSome(by_time);
  EXPECT_THAT(by_time.ArrivedIds(), ElementsAre(5, 2, 1, 6));
}

TEST_F(PostgresTypesTest, TimesWithZoneAreACursorToo) {
  ASSERT_OK(Exec("CREATE TABLE t (id UUID PRIMARY KEY, at timestamptz)"));
  ASSERT_OK(
      Exec("INSERT INTO t SELECT gen_random_uuid(), '2025-01-01 00:00:00+03' FROM "
           "generate_series(1, 50)"));
  PollingOptions options = ByTime();
  options.max_rows = 7;
  PollingDriver driver = Driver(options, Schema().String("id").Timestamp("at"));
  for (int i = 0; driver.arrived().size() < 50 && i < 100; ++i) {
    RunSome(driver, 1);
    if (i % 2 == 0) driver.Crash();
  }
  RunSome(driver);
  std::set<Row> distinct(driver.arrived().begin(), driver.arrived().end());
  EXPECT_EQ(driver.arrived().size(), 50u);
  EXPECT_EQ(distinct.size(), 50u);
  EXPECT_EQ(driver.arrived()[0][1], "2024-12-31T21:00:00Z");
}

TEST_F(PostgresTypesTest, TimesFarAwayAreReadPageByPage) {
  ASSERT_OK(MakeTable());
  ASSERT_OK(
      Exec("INSERT INTO t (at, name) VALUES ('12025-01-01', 'e'), ('12025-01-01', 'f'), "
           "('12025-01-02', 'g'), ('0044-03-15 BC', 'b'), ('0044-03-15 BC', 'c'), ('-infinity', "
           "'a'), ('0001-01-01', 'd'), ('infinity', 'h'), ('infinity', 'i')"));
  PollingOptions options = ByTime();
  options.max_rows = 1;
  PollingDriver driver = Driver(options, Schema().String("name"));
  ASSERT_OK(driver.RunUntil(9));
  RunSome(driver, 5);
  std::string names;
  for (const Row& row : driver.arrived()) names += row[0];
  EXPECT_EQ(names, "abcdefghi");
}

TEST_F(PostgresTypesTest, PreparedTransactionsAndPartitionsAreWaitedFor) {
  ASSERT_OK(Exec("CREATE TABLE t (id BIGSERIAL PRIMARY KEY, name TEXT) PARTITION BY RANGE (id)"));
  ASSERT_OK(
      Exec("CREATE TABLE IF NOT EXISTS t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000000);"
           "GRANT ALL ON t_1 TO tidemark"));
  PollingDriver driver = Driver(ById());
  auto session = Session();
  ASSERT_OK(session->Exec("BEGIN"));
  ASSERT_OK(session->Exec("INSERT INTO t_1 (id, name) VALUES (nextval('t_id_seq'), 'direct')"));
  ASSERT_OK(session->Exec("PREPARE TRANSACTION 'late'"));
  ASSERT_OK(Exec("INSERT INTO t (name) VALUES ('b')"));
  RunSome(driver, 4);
  EXPECT_THAT(driver.arrived(), IsEmpty());
  ASSERT_OK(session->Exec("COMMIT PREPARED 'late'"));
  ASSERT_OK(driver.RunUntil(2));
  EXPECT_THAT(driver.ArrivedIds(), ElementsAre(1, 2));
}

TEST_F(PostgresTypesTest, RefusesWhatWouldLoseRows) {
  ASSERT_OK(MakeTable());
  ASSERT_OK(Exec("ALTER SEQUENCE t_id_seq CACHE 20"));
  EXPECT_THAT(OpenError(ById()), HasSubstr("draws 20 ids in advance"));
  ASSERT_OK(Exec("CREATE VIEW v AS SELECT * FROM t"));
  PollingOptions options = ById();
  options.table = "v";
  EXPECT_THAT(OpenError(options), HasSubstr("is not a table"));
  ASSERT_OK(Exec("DROP VIEW v"));
  options.table = "nowhere.t";
  EXPECT_THAT(OpenError(options), HasSubstr("has no table nowhere.t"));
}

}  // namespace
}  // namespace tidemark
