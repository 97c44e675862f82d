#include "tests/servers/mariadb_server.h"

#include <fmt/format.h>
#include <mysql.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/servers/free_port.h"

namespace tidemark::testing {
namespace {

constexpr int kMaxStartAttempts = 3;
constexpr absl::Duration kInstallTimeout = absl::Seconds(120);
constexpr absl::Duration kStartTimeout = absl::Seconds(60);
constexpr absl::Duration kStopTimeout = absl::Seconds(20);
constexpr absl::Duration kPollInterval = absl::Milliseconds(20);
constexpr unsigned kConnectTimeoutSeconds = 5;
constexpr size_t kLogTailBytes = 2'000;
constexpr char kAdmin[] = "tidemark_test_admin";
// Client errors (CR_...) are 2000 and above: the server was not reached or was lost on the way.
constexpr unsigned kFirstClientError = 2000;
constexpr unsigned kLastClientError = 2999;

struct CloseConnection {
  void operator()(MYSQL* connection) const { mysql_close(connection); }
};
using Connection = std::unique_ptr<MYSQL, CloseConnection>;

absl::Status LastError(MYSQL* connection) {
  const unsigned code = mysql_errno(connection);
  const std::string message = fmt::format("MariaDB error {}: {}", code, mysql_error(connection));
  return code >= kFirstClientError && code <= kLastClientError
             ? absl::UnavailableError(message)
             : absl::InvalidArgumentError(message);
}

absl::StatusOr<Connection> Connect(const std::string& host, int port, const std::string& password,
                                   const std::string& database) {
  Connection connection(mysql_init(nullptr));
  if (connection == nullptr) return absl::InternalError("mysql_init failed");
  unsigned timeout = kConnectTimeoutSeconds;
  mysql_options(connection.get(), MYSQL_OPT_CONNECT_TIMEOUT, &timeout);
  mysql_options(connection.get(), MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (mysql_real_connect(connection.get(), host.c_str(), kAdmin, password.c_str(), database.c_str(),
                         static_cast<unsigned>(port), nullptr,
                         CLIENT_MULTI_STATEMENTS) == nullptr) {
    return LastError(connection.get());
  }
  return connection;
}

std::string RandomPassword() {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::random_device random;
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string password;
  for (int i = 0; i < 24; ++i) password += kLetters[letter(random)];
  return password;
}

// Sizes of a small server; the same for making the data folder and for running on it.
// A server that starts deletes what others have of temporary tables in the same folder.
std::vector<std::string> CommonArgs(const std::string& dir, const std::string& data_dir) {
  return {"--no-defaults",
          fmt::format("--datadir={}", data_dir),
          fmt::format("--tmpdir={}", dir),
          "--innodb-log-file-size=32M",
          "--innodb-buffer-pool-size=64M",
          "--innodb-data-file-path=ibdata1:10M:autoextend",
          "--aria-pagecache-buffer-size=8M",
          "--key-buffer-size=1M"};
}

}  // namespace

MariaDbServer::MariaDbServer(MariaDbServerOptions options)
    : options_(std::move(options)),
      password_(RandomPassword()),
      admin_password_(RandomPassword()) {}

absl::StatusOr<std::unique_ptr<MariaDbServer>> MariaDbServer::Start(MariaDbServerOptions options) {
  std::unique_ptr<MariaDbServer> server(new MariaDbServer(std::move(options)));
  absl::Status status = server->Install();
  if (!status.ok()) return status;
  for (int attempt = 0; attempt < kMaxStartAttempts; ++attempt) {
    const absl::StatusOr<int> port = FreePort();
    if (!port.ok()) return port.status();
    server->port_ = *port;
    status = server->Launch();
    if (status.ok()) return server;
    // Only a port that was taken meanwhile is worth another try.
    if (server->Log().find("Address already in use") == std::string::npos) break;
  }
  return status;
}

absl::Status MariaDbServer::Install() {
  std::vector<std::string> args = {"mariadb-install-db"};
  for (std::string& arg : CommonArgs(dir_.path(), dir_.Path("data")))
    args.push_back(std::move(arg));
  // Durability begins with the server that runs on the folder, not with its making. Forced, because
  // it would else refuse a machine whose own name cannot be looked up.
  args.insert(args.end(), {"--force", "--auth-root-authentication-method=socket", "--skip-test-db",
                           "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"});
  if (::geteuid() == 0) args.push_back("--user=root");
  const absl::StatusOr<ProcessResult> result =
      RunProcess({.args = std::move(args), .working_dir = dir_.path()}, kInstallTimeout);
  if (absl::IsNotFound(result.status())) {
    return absl::NotFoundError("mariadb-install-db is not installed: run scripts/setup");
  }
  if (!result.ok()) return result.status();
  if (result->exit_code != 0) {
    return absl::InternalError(fmt::format("mariadb-install-db ended with exit code {}:\n{}{}",
                                           result->exit_code, result->stdout_text,
                                           result->stderr_text));
  }
  // Run at every start of the server.
  std::ofstream init(dir_.Path("init.sql"));
  init << fmt::format("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4;\n", database_)
       << fmt::format("CREATE USER IF NOT EXISTS '{}'@'%' IDENTIFIED BY '{}';\n", user_, password_)
       << fmt::format("GRANT ALL ON {}.* TO '{}'@'%';\n", database_, user_)
       << fmt::format("CREATE USER IF NOT EXISTS '{}'@'%' IDENTIFIED BY '{}';\n", kAdmin,
                      admin_password_)
       << fmt::format("GRANT ALL ON *.* TO '{}'@'%' WITH GRANT OPTION;\n", kAdmin);
  init.close();
  return init ? absl::OkStatus() : absl::InternalError("cannot write MariaDB's init file");
}

absl::Status MariaDbServer::Launch() {
  // Debian keeps the server in sbin, which a normal user's PATH may lack.
  std::vector<std::string> args = {::access("/usr/sbin/mariadbd", X_OK) == 0 ? "/usr/sbin/mariadbd"
                                                                             : "mariadbd"};
  for (std::string& arg : CommonArgs(dir_.path(), dir_.Path("data")))
    args.push_back(std::move(arg));
  args.insert(
      args.end(),
      {fmt::format("--port={}", port_), fmt::format("--bind-address={}", host_),
       // Relative to the data folder: a socket's path may have 107 characters only.
       "--socket=mariadb.sock", "--pid-file=mariadb.pid",
       fmt::format("--init-file={}", dir_.Path("init.sql")), "--skip-name-resolve",
       "--character-set-server=utf8mb4", "--max-allowed-packet=64M",
       fmt::format("--innodb-flush-log-at-trx-commit={}", options_.flush_log_at_trx_commit)});
  if (::geteuid() == 0) args.push_back("--user=root");
  args.insert(args.end(), options_.extra_args.begin(), options_.extra_args.end());
  absl::StatusOr<std::unique_ptr<Process>> process =
      Process::Start({.args = std::move(args),
                      .working_dir = dir_.path(),
                      .stdout_path = dir_.Path("stdout"),
                      .stderr_path = dir_.Path("stderr")});
  if (!process.ok()) {
    return absl::IsNotFound(process.status())
               ? absl::NotFoundError("mariadbd is not installed: run scripts/setup")
               : process.status();
  }
  process_ = std::move(*process);
  return WaitUntilReady();
}

absl::Status MariaDbServer::CheckAlive() const {
  if (process_->Running()) return absl::OkStatus();
  const std::string log = Log();
  return absl::UnavailableError(
      fmt::format("the MariaDB server has ended; its last words:\n{}",
                  log.substr(log.size() - std::min(log.size(), kLogTailBytes))));
}

absl::Status MariaDbServer::WaitUntilReady() {
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (true) {
    const absl::Status alive = CheckAlive();
    if (!alive.ok()) return alive;
    const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, database_);
    if (connection.ok()) return absl::OkStatus();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(fmt::format(
          "the MariaDB server does not answer after {}: {}", absl::FormatDuration(kStartTimeout),
          std::string(connection.status().message())));
    }
    absl::SleepFor(kPollInterval);
  }
}

std::string MariaDbServer::url(std::string_view table) const {
  return fmt::format("mysql://{}@{}:{}/{}{}{}", user_, host_, port_, database_,
                     table.empty() ? "" : "/", table);
}

pid_t MariaDbServer::pid() const { return process_->pid(); }
std::string MariaDbServer::Log() const {
  return process_ == nullptr ? "" : process_->Stdout() + process_->Stderr();
}

absl::StatusOr<std::vector<MariaDbRow>> MariaDbServer::Query(std::string_view sql) {
  const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, database_);
  if (!connection.ok()) return connection.status();
  MYSQL* const mysql = connection->get();
  if (mysql_real_query(mysql, sql.data(), sql.size()) != 0) return LastError(mysql);
  MYSQL_RES* const result = mysql_store_result(mysql);
  if (result == nullptr) {
    return mysql_errno(mysql) != 0
               ? LastError(mysql)
               : absl::InvalidArgumentError(fmt::format("returns no rows, use Exec: {}", sql));
  }
  std::vector<MariaDbRow> rows;
  const unsigned columns = mysql_num_fields(result);
  while (const MYSQL_ROW values = mysql_fetch_row(result)) {
    const unsigned long* lengths = mysql_fetch_lengths(result);
    MariaDbRow& row = rows.emplace_back(columns);
    for (unsigned i = 0; i < columns; ++i) {
      if (values[i] != nullptr) row[i] = std::string(values[i], lengths[i]);
    }
  }
  mysql_free_result(result);
  return rows;
}

absl::Status MariaDbServer::Exec(std::string_view sql) {
  const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, database_);
  if (!connection.ok()) return connection.status();
  MYSQL* const mysql = connection->get();
  if (mysql_real_query(mysql, sql.data(), sql.size()) != 0) return LastError(mysql);
  while (true) {
    if (MYSQL_RES* const result = mysql_store_result(mysql)) mysql_free_result(result);
    if (mysql_errno(mysql) != 0) return LastError(mysql);
    const int next = mysql_next_result(mysql);  // 0: there is one; -1: that was all
    if (next < 0) return absl::OkStatus();
    if (next > 0) return LastError(mysql);
  }
}

absl::Status MariaDbServer::Stop() {
  process_->Terminate(kStopTimeout);
  return absl::OkStatus();
}

absl::Status MariaDbServer::Kill() {
  process_->Kill();
  return absl::OkStatus();
}

absl::Status MariaDbServer::Restart() {
  process_->Kill();
  return Launch();
}

absl::Status MariaDbServer::Pause() { return process_->Signal(SIGSTOP); }
absl::Status MariaDbServer::Resume() { return process_->Signal(SIGCONT); }

}  // namespace tidemark::testing
