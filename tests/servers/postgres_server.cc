#include "tests/servers/postgres_server.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <system_error>
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
constexpr size_t kLogTailBytes = 2'000;
constexpr char kAdmin[] = "tidemark_test_admin";
constexpr char kSystemUser[] = "postgres";

struct CloseConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, CloseConnection>;
struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

absl::StatusOr<Connection> Connect(const std::string& host, int port, const std::string& password,
                                   const std::string& database) {
  const std::string port_text = fmt::format("{}", port);
  const char* const names[] = {"host", "port", "user", "password", "dbname", "connect_timeout",
                               nullptr};
  const char* const values[] = {
      host.c_str(), port_text.c_str(), kAdmin, password.c_str(), database.c_str(), "5", nullptr};
  Connection connection(PQconnectdbParams(names, values, 0));
  if (connection == nullptr) return absl::InternalError("PQconnectdbParams failed");
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    return absl::UnavailableError(PQerrorMessage(connection.get()));
  }
  return connection;
}

absl::StatusOr<Result> Run(PGconn* connection, std::string_view sql) {
  Result result(PQexec(connection, std::string(sql).c_str()));
  const ExecStatusType kind = PQresultStatus(result.get());
  if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK || kind == PGRES_EMPTY_QUERY) {
    return result;
  }
  const std::string message = PQerrorMessage(connection);
  return PQstatus(connection) == CONNECTION_OK ? absl::InvalidArgumentError(message)
                                               : absl::UnavailableError(message);
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

// The newest version that is installed; Debian keeps the server's programs out of PATH.
std::string FindBinDir() {
  int newest = 0;
  std::string found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    const int version = std::atoi(entry.path().filename().c_str());
    const std::string bin = (entry.path() / "bin").string();
    if (version > newest && ::access((bin + "/postgres").c_str(), X_OK) == 0) {
      newest = version;
      found = bin + "/";
    }
  }
  return found;
}

}  // namespace

PostgresServer::PostgresServer(PostgresServerOptions options)
    : options_(std::move(options)),
      bin_dir_(FindBinDir()),
      password_(RandomPassword()),
      admin_password_(RandomPassword()) {}

PostgresServer::~PostgresServer() {
  // Killed, it would leave its shared memory behind.
  if (process_ != nullptr && process_->Running()) Stop().IgnoreError();
}

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Start(
    PostgresServerOptions options) {
  std::unique_ptr<PostgresServer> server(new PostgresServer(std::move(options)));
  absl::Status status = server->Install();
  if (!status.ok()) return status;
  for (int attempt = 0; attempt < kMaxStartAttempts; ++attempt) {
    const absl::StatusOr<int> port = FreePort();
    if (!port.ok()) return port.status();
    server->port_ = *port;
    status = server->Launch();
    if (status.ok()) status = server->MakeDatabase();
    if (status.ok()) return server;
    // Only a port that was taken meanwhile is worth another try.
    if (server->Log().find("Address already in use") == std::string::npos) break;
  }
  return status;
}

// The program with what gives root's rights up, in the same process, so that its pid is ours and it
// ends with us.
std::vector<std::string> PostgresServer::Program(const std::string& name) const {
  std::vector<std::string> args;
  if (::geteuid() == 0) {
    args = {"setpriv", fmt::format("--reuid={}", kSystemUser),
            fmt::format("--regid={}", kSystemUser), "--init-groups", "--pdeathsig=KILL"};
  }
  args.push_back(bin_dir_ + name);
  return args;
}

absl::Status PostgresServer::Install() {
  const absl::Status missing =
      absl::NotFoundError("PostgreSQL's server is not installed: run scripts/setup");
  if (::geteuid() == 0) {
    const passwd* const user = ::getpwnam(kSystemUser);
    if (user == nullptr) return missing;
    if (::chown(dir_.path().c_str(), user->pw_uid, user->pw_gid) != 0) {
      return absl::InternalError("cannot give the server's folder to its user");
    }
  }
  std::ofstream(dir_.Path("password")) << admin_password_ << "\n";
  std::filesystem::permissions(dir_.Path("password"), std::filesystem::perms(0644));
  std::vector<std::string> args = Program("initdb");
  args.insert(args.end(), {"--pgdata=" + dir_.Path("data"), fmt::format("--username={}", kAdmin),
                           "--pwfile=" + dir_.Path("password"), "--auth=scram-sha-256",
                           "--encoding=UTF8", "--locale=C", "--no-sync"});
  const absl::StatusOr<ProcessResult> result =
      RunProcess({.args = std::move(args), .working_dir = dir_.path()}, kInstallTimeout);
  if (absl::IsNotFound(result.status())) return missing;
  if (!result.ok()) return result.status();
  if (result->exit_code != 0) {
    return absl::InternalError(fmt::format("initdb ended with exit code {}:\n{}{}",
                                           result->exit_code, result->stdout_text,
                                           result->stderr_text));
  }
  return absl::OkStatus();
}

absl::Status PostgresServer::Launch() {
  std::vector<std::string> args = Program("postgres");
  for (const std::string& setting :
       {fmt::format("listen_addresses={}", host_), fmt::format("port={}", port_),
        std::string("unix_socket_directories="), std::string("fsync=off"),
        std::string("shared_buffers=64MB"), std::string("max_connections=50"),
        std::string("max_prepared_transactions=10"), std::string("logging_collector=off")}) {
    args.insert(args.end(), {"-c", setting});
  }
  args.insert(args.end(), {"-D", dir_.Path("data")});
  args.insert(args.end(), options_.extra_args.begin(), options_.extra_args.end());
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (true) {
    const size_t logged = Log().size();
    absl::StatusOr<std::unique_ptr<Process>> process =
        Process::Start({.args = args,
                        .working_dir = dir_.path(),
                        .stdout_path = dir_.Path("stdout"),
                        .stderr_path = dir_.Path("stderr")});
    if (!process.ok()) return process.status();
    process_ = std::move(*process);
    absl::Status status = WaitUntilReady("postgres");
    // What is left of a killed server takes a moment to go.
    const bool too_early = Log().substr(logged).find("shared memory block") != std::string::npos;
    if (status.ok() || !too_early || absl::Now() > deadline) return status;
    absl::SleepFor(kPollInterval);
  }
}

absl::Status PostgresServer::WaitUntilReady(const std::string& database) {
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (true) {
    if (!process_->Running()) {
      const std::string log = Log();
      return absl::UnavailableError(
          fmt::format("the PostgreSQL server has ended; its last words:\n{}",
                      log.substr(log.size() - std::min(log.size(), kLogTailBytes))));
    }
    const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, database);
    if (connection.ok()) return absl::OkStatus();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(fmt::format(
          "the PostgreSQL server does not answer after {}: {}", absl::FormatDuration(kStartTimeout),
          std::string(connection.status().message())));
    }
    absl::SleepFor(kPollInterval);
  }
}

absl::Status PostgresServer::MakeDatabase() {
  const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, "postgres");
  if (!connection.ok()) return connection.status();
  for (const std::string& sql :
       {fmt::format("CREATE ROLE {} LOGIN PASSWORD '{}'", user_, password_),
        fmt::format("CREATE DATABASE {} OWNER {}", database_, user_)}) {
    const absl::StatusOr<Result> made = Run(connection->get(), sql);
    if (!made.ok()) return made.status();
  }
  return absl::OkStatus();
}

pid_t PostgresServer::pid() const { return process_->pid(); }
std::string PostgresServer::Log() const {
  return process_ == nullptr ? "" : process_->Stdout() + process_->Stderr();
}

absl::StatusOr<std::vector<PostgresServerRow>> PostgresServer::Query(std::string_view sql) {
  const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, database_);
  if (!connection.ok()) return connection.status();
  const absl::StatusOr<Result> result = Run(connection->get(), sql);
  if (!result.ok()) return result.status();
  const PGresult* const found = result->get();
  std::vector<PostgresServerRow> rows;
  for (int i = 0; i < PQntuples(found); ++i) {
    PostgresServerRow& row = rows.emplace_back(static_cast<size_t>(PQnfields(found)));
    for (int j = 0; j < PQnfields(found); ++j) {
      if (PQgetisnull(found, i, j) == 0) row[static_cast<size_t>(j)] = PQgetvalue(found, i, j);
    }
  }
  return rows;
}

absl::Status PostgresServer::Exec(std::string_view sql) {
  const absl::StatusOr<Connection> connection = Connect(host_, port_, admin_password_, database_);
  if (!connection.ok()) return connection.status();
  return Run(connection->get(), sql).status();
}

absl::Status PostgresServer::Stop() {
  if (process_->Signal(SIGINT).ok() && process_->Wait(kStopTimeout).ok()) return absl::OkStatus();
  process_->Kill();
  return absl::OkStatus();
}

absl::Status PostgresServer::Kill() {
  process_->Kill();
  return absl::OkStatus();
}

absl::Status PostgresServer::Restart() {
  process_->Kill();
  return Launch();
}

}  // namespace tidemark::testing
