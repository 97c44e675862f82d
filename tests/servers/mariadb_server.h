#ifndef TIDEMARK_TESTS_SERVERS_MARIADB_SERVER_H_
#define TIDEMARK_TESTS_SERVERS_MARIADB_SERVER_H_

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
using MariaDbRow = std::vector<std::optional<std::string>>;

struct MariaDbServerOptions {
  /// 1: a commit is on disk when it returns. 0 or 2: quicker, and a killed machine (not a killed
  /// server, with 2) may forget the last second.
  int flush_log_at_trx_commit = 1;
  /// More arguments of mariadbd, for example "--max-allowed-packet=65536"; they win over our own.
  std::vector<std::string> extra_args = {};
};

/// A real MariaDB server for one test: on a free loopback port, in a temporary folder, a child
/// process that ends with this object and with the test program; works as root and as anyone else.
//
/// It has a database `tidemark` and a user `tidemark` with a random password, who may do everything
/// in that database and nothing outside it. Query and Exec speak as an administrator, with that
/// database selected, each over a connection of its own.
//
/// Threading: Query and Exec from any thread, also while another one stops or kills the server
/// (they then fail); Stop, Kill, Restart, Pause and Resume from one thread at a time.
class MariaDbServer {
 public:
  /// Returns when the server answers (about 2 seconds). NotFound when it is not installed.
  static absl::StatusOr<std::unique_ptr<MariaDbServer>> Start(MariaDbServerOptions options = {});

  MariaDbServer(const MariaDbServer&) = delete;
  MariaDbServer& operator=(const MariaDbServer&) = delete;

  /// The same for the life of this object.
  const std::string& host() const { return host_; }
  int port() const { return port_; }
  const std::string& user() const { return user_; }
  const std::string& password() const { return password_; }
  const std::string& database() const { return database_; }
  /// "mysql://tidemark@127.0.0.1:PORT/tidemark", and "/TABLE" when a table is named: what --sink
  /// takes. The password is not in it.
  std::string url(std::string_view table = "") const;
  pid_t pid() const;
  /// The server's error log.
  std::string Log() const;

  /// One statement that returns rows. Unavailable when there is no connection (also one lost on the
  /// way); InvalidArgument, with the server's error number and text, when the server refuses.
  absl::StatusOr<std::vector<MariaDbRow>> Query(std::string_view sql);
  /// One or more statements, separated by semicolons; rows that they return are dropped.
  absl::Status Exec(std::string_view sql);

  /// Clean stop (SIGTERM; SIGKILL after 20 seconds).
  absl::Status Stop();
  /// SIGKILL: what a power cut leaves, but for the page cache.
  absl::Status Kill();
  /// Starts it again on the same port and data; kills it first if it runs.
  absl::Status Restart();
  /// SIGSTOP and SIGCONT: the server hangs, its connections stay open.
  absl::Status Pause();
  absl::Status Resume();

 private:
  explicit MariaDbServer(MariaDbServerOptions options);
  absl::Status Install();
  absl::Status Launch();
  absl::Status WaitUntilReady();
  absl::Status CheckAlive() const;

  const MariaDbServerOptions options_;
  TempDir dir_;
  std::string host_ = "127.0.0.1";
  int port_ = 0;
  std::string user_ = "tidemark";
  std::string password_;
  std::string database_ = "tidemark";
  std::string admin_password_;
  std::unique_ptr<Process> process_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_MARIADB_SERVER_H_
