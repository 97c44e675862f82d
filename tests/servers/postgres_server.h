#ifndef TIDEMARK_TESTS_SERVERS_POSTGRES_SERVER_H_
#define TIDEMARK_TESTS_SERVERS_POSTGRES_SERVER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark::testing {

/// One row of a result: the text of each value, nullopt for NULL.
using PostgresServerRow = std::vector<std::optional<std::string>>;

struct PostgresServerOptions {
  /// More arguments of postgres, for example "-c", "max_connections=20"; they win over our own.
  std::vector<std::string> extra_args = {};
};

/// A real PostgreSQL server for one test: on a free loopback port, in a temporary folder, a child
/// process that ends with this object and with the test program. It refuses to run as root, so
/// under root it runs as the user `postgres`. It syncs nothing: a killed server loses nothing, a
/// killed machine would.
//
/// It has a database `tidemark` and a user `tidemark` with a random password, who owns that
/// database. Query and Exec speak as an administrator in it, each over a connection of its own.
//
/// Threading: Query and Exec from any thread, also while another one stops or kills the server
/// (they then fail); Stop, Kill and Restart from one thread at a time.
class PostgresServer {
 public:
  /// Returns when the server answers (about 3 seconds). NotFound when it is not installed.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start(PostgresServerOptions options = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// The same for the life of this object.
  const std::string& host() const { return host_; }
  int port() const { return port_; }
  const std::string& user() const { return user_; }
  const std::string& password() const { return password_; }
  const std::string& database() const { return database_; }
  pid_t pid() const;
  /// The server's log.
  std::string Log() const;

  /// One statement that returns rows. Unavailable when there is no connection (also one lost on the
  /// way); InvalidArgument, with the server's text, when the server refuses.
  absl::StatusOr<std::vector<PostgresServerRow>> Query(std::string_view sql);
  /// One or more statements, separated by semicolons, as one transaction; rows that they return are
  /// dropped.
  absl::Status Exec(std::string_view sql);

  /// Ends the connections and stops (SIGINT; SIGKILL after 20 seconds).
  absl::Status Stop();
  /// SIGKILL: what a power cut leaves, but for the page cache.
  absl::Status Kill();
  /// Starts it again on the same port and data; kills it first if it runs.
  absl::Status Restart();

 private:
  explicit PostgresServer(PostgresServerOptions options);
  absl::Status Install();
  absl::Status Launch();
  absl::Status WaitUntilReady(const std::string& database);
  absl::Status MakeDatabase();
  std::vector<std::string> Program(const std::string& name) const;

  const PostgresServerOptions options_;
  TempDir dir_;
  std::string bin_dir_;
  std::string host_ = "127.0.0.1";
  int port_ = 0;
  std::string user_ = "tidemark";
  std::string password_;
  std::string database_ = "tidemark";
  std::string admin_password_;
  std::unique_ptr<Process> process_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_POSTGRES_SERVER_H_
