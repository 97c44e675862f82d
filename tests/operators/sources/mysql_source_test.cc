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
  static MySqlAddress Address(const Server& server, const std::string& password) {
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

}  // namespace
}  // namespace tidemark
