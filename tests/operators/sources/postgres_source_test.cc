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
  static PostgresAddress Address(const Server& server, const std::string& password) {
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

}  // namespace
}  // namespace tidemark
