#include "tidemark/operators/clients/postgres_client.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kCancelPoll(50);
// Text that reads back as the same value, whatever the server's and the user's defaults are.
constexpr char kSessionSql[] =
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; "
    "SET extra_float_digits = 1; SET bytea_output = 'hex'; SET standard_conforming_strings = on; "
    "SET client_min_messages = 'error'";

// What an SQLSTATE means for whoever tries again.
absl::StatusCode CodeOf(std::string_view state) {
  const std::string_view kind = state.substr(0, 2);
  if (kind == "53") {
    // Of these only the number of connections passes by itself soon.
    return state == "53300" ? absl::StatusCode::kUnavailable : absl::StatusCode::kResourceExhausted;
  }
  // Connection, operator intervention, deadlock or serialisation, locks, the server's own errors.
  for (const std::string_view passing : {"08", "57", "40", "55", "58", "XX"}) {
    if (kind == passing) return absl::StatusCode::kUnavailable;
  }
  return state == "42601" ? absl::StatusCode::kInternal : absl::StatusCode::kInvalidArgument;
}

// The first line of a message of libpq, without its severity.
std::string FirstLine(const char* message) {
  std::string text = message == nullptr ? "" : message;
  text.resize(std::min(text.find('\n'), text.size()));
  const size_t severity = text.find(":  ");
  return severity == std::string::npos ? text : text.substr(severity + 3);
}

// `28P01` of `FATAL:  28P01: password authentication failed`: libpq has no other way to say why a
// connection was refused.
std::string StateIn(std::string_view message) {
  for (size_t at = message.find(":  "); at != std::string_view::npos;
       at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, 5);
    const bool is_state = state.size() == 5 && std::all_of(state.begin(), state.end(), [](char c) {
                            return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                          });
    if (is_state && message.substr(at + 8, 1) == ":") return std::string(state);
  }
  return "";
}

}  // namespace

void PostgresConnection::ClearResult::operator()(pg_result* result) const { PQclear(result); }

PostgresConnection::PostgresConnection(const DatabaseAddress& address,
                                       const PostgresTimeouts& timeouts,
                                       const std::atomic<bool>* cancelled)
    : host_port_(address.HostPort()), timeouts_(timeouts), cancelled_(cancelled) {}

PostgresConnection::~PostgresConnection() {
  PQfreemem(copy_data_);
  PQfinish(connection_);
}

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Connect(
    const DatabaseAddress& address, const PostgresTimeouts& timeouts,
    const std::atomic<bool>* cancelled) {
  std::unique_ptr<PostgresConnection> connection(
      new PostgresConnection(address, timeouts, cancelled));
  absl::Status status = connection->Start(address);
  if (status.ok()) status = connection->Exec(kSessionSql);
  if (!status.ok()) return status;
  return connection;
}

absl::Status PostgresConnection::Start(const DatabaseAddress& address) {
  if (cancelled()) return absl::CancelledError("connecting to PostgreSQL was cancelled");
  const std::string port = fmt::format("{}", address.port);
  const char* const names[] = {
      "host",       "port", "user", "password", "dbname", "client_encoding", "application_name",
      "gssencmode", nullptr};
  const char* const values[] = {address.host.c_str(),
                                port.c_str(),
                                address.user.c_str(),
                                address.password.c_str(),
                                address.database.c_str(),
                                "UTF8",
                                "tidemark",
                                "disable",
                                nullptr};
  connection_ = PQconnectStartParams(names, values, 0);
  if (connection_ == nullptr) {
    return absl::ResourceExhaustedError("no memory for a PostgreSQL connection");
  }
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);
  const auto deadline =
      std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(timeouts_.connect);
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
         state != PGRES_POLLING_FAILED) {
    const auto left = deadline - std::chrono::steady_clock::now();
    const absl::Status ready =
        Wait(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, absl::FromChrono(left));
    if (absl::IsCancelled(ready)) return ready;
    if (!ready.ok()) {
      return absl::UnavailableError(
          fmt::format("cannot connect to PostgreSQL at {}: no answer within {}; is the server "
                      "running, and are host and port right?",
                      host_port_, absl::FormatDuration(timeouts_.connect)));
    }
    state = PQconnectPoll(connection_);
  }
  if (state != PGRES_POLLING_OK) return ConnectFailure(address);
  return PQsetnonblocking(connection_, 1) == 0 ? absl::OkStatus() : LostConnection();
}

absl::Status PostgresConnection::ConnectFailure(const DatabaseAddress& address) {
  const std::string message = PQerrorMessage(connection_);
  lost_ = true;
  last_error_ = StateIn(message);
  std::string reason = FirstLine(message.c_str());
  if (!last_error_.empty())
    reason = reason.substr(std::min(reason.find(last_error_), reason.size()));
  if (last_error_ == "28P01" || last_error_ == "28000") {
    return absl::InvalidArgumentError(fmt::format("PostgreSQL at {} refuses user '{}': {}; {}",
                                                  host_port_, address.user, reason,
                                                  address.LoginAdvice()));
  }
  if (last_error_ == "3D000") {
    return absl::InvalidArgumentError(
        fmt::format("PostgreSQL at {} has no database '{}'; check its name, or make it:\nCREATE "
                    "DATABASE {};",
                    host_port_, address.database, QuotePostgresName(address.database)));
  }
  if (last_error_ == "42501") {
    return absl::InvalidArgumentError(fmt::format(
        "user '{}' may not use database '{}' of PostgreSQL at {}: {}; let an administrator "
        "run:\nGRANT CONNECT ON DATABASE {} TO {};",
        address.user, address.database, host_port_, reason, QuotePostgresName(address.database),
        QuotePostgresName(address.user)));
  }
  // libpq's own refusals (no password given to a server that wants one) have no state.
  if (PQconnectionNeedsPassword(connection_) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("PostgreSQL at {} wants a password of user '{}'; {}", host_port_, address.user,
                    address.LoginAdvice()));
  }
  const absl::StatusCode code =
      last_error_.empty() ? absl::StatusCode::kUnavailable : CodeOf(last_error_);
  return absl::Status(code, fmt::format("cannot connect to PostgreSQL at {}: {}; is the server "
                                        "running, and are host and port right?",
                                        host_port_, reason));
}

// Until the socket is ready.
absl::Status PostgresConnection::Wait(short events, absl::Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  pollfd socket = {};
  socket.fd = PQsocket(connection_);
  socket.events = events;
  while (true) {
    if (cancelled()) {
      lost_ = true;
      return absl::CancelledError("waiting for PostgreSQL was cancelled");
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      lost_ = true;
      return absl::UnavailableError(fmt::format("PostgreSQL at {} has not answered within {}",
                                                host_port_,
                                                absl::FormatDuration(timeouts_.answer)));
    }
    const int ready = ::poll(&socket, 1, static_cast<int>(std::min(left, kCancelPoll).count()));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return LostConnection();
  }
}

absl::Status PostgresConnection::LostConnection() {
  lost_ = true;
  return absl::UnavailableError(fmt::format("the connection to PostgreSQL at {} is lost: {}",
                                            host_port_, FirstLine(PQerrorMessage(connection_))));
}

absl::Status PostgresConnection::ResultFailure(const pg_result* result) {
  const char* const state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* const text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state == nullptr || PQstatus(connection_) == CONNECTION_BAD) lost_ = true;
  last_error_ = state == nullptr ? "" : state;
  if (state == nullptr) return LostConnection();
  // The server ends the connection after these.
  lost_ |= last_error_.starts_with("57P") || last_error_.starts_with("08");
  return absl::Status(CodeOf(last_error_), fmt::format("PostgreSQL at {}: error {}: {}", host_port_,
                                                       last_error_, text == nullptr ? "" : text));
}

absl::Status PostgresConnection::Send(const std::string& sql) {
  last_error_.clear();
  if (cancelled()) return absl::CancelledError("waiting for PostgreSQL was cancelled");
  if (lost_ || PQsendQuery(connection_, sql.c_str()) == 0) return LostConnection();
  while (true) {
    const int left = PQflush(connection_);
    if (left == 0) return absl::OkStatus();
    if (left < 0) return LostConnection();
    // A server that answers before it has read all must be listened to.
    if (absl::Status status = Wait(POLLOUT | POLLIN, timeouts_.answer); !status.ok()) return status;
    if (PQconsumeInput(connection_) == 0) return LostConnection();
  }
}

// The next result of what was sent; null at the end.
absl::StatusOr<PostgresConnection::Result> PostgresConnection::NextResult() {
  while (PQisBusy(connection_) != 0) {
    if (absl::Status status = Wait(POLLIN, timeouts_.answer); !status.ok()) return status;
    if (PQconsumeInput(connection_) == 0) return LostConnection();
  }
  return Result(PQgetResult(connection_));
}

// Takes the results that are left, so that the next statement may be sent.
absl::Status PostgresConnection::Finish() {
  absl::Status status;
  while (true) {
    const absl::StatusOr<Result> result = NextResult();
    if (!result.ok()) return result.status();
    if (*result == nullptr) return status;
    const ExecStatusType kind = PQresultStatus(result->get());
    if (kind == PGRES_FATAL_ERROR) status.Update(ResultFailure(result->get()));
    if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT || kind == PGRES_COPY_BOTH) {
      lost_ = true;
      return absl::InternalError("this statement copies data, which nobody takes");
    }
  }
}

absl::Status PostgresConnection::Exec(const std::string& sql) {
  const absl::Status sent = Send(sql);
  return sent.ok() ? Finish() : sent;
}

absl::StatusOr<std::vector<PostgresRow>> PostgresConnection::Query(const std::string& sql) {
  if (absl::Status sent = Send(sql); !sent.ok()) return sent;
  const absl::StatusOr<Result> result = NextResult();
  if (!result.ok()) return result.status();
  const PGresult* const rows = result->get();
  const ExecStatusType kind = PQresultStatus(rows);
  absl::Status status;
  if (kind == PGRES_FATAL_ERROR) {
    status = ResultFailure(rows);
  } else if (kind != PGRES_TUPLES_OK) {
    status =
        absl::InternalError(fmt::format("this statement returns no rows: {}", sql.substr(0, 200)));
  }
  if (!lost_) status.Update(Finish());
  if (!status.ok()) return status;
  std::vector<PostgresRow> values;
  for (int i = 0; i < PQntuples(rows); ++i) {
    PostgresRow& row = values.emplace_back(static_cast<size_t>(PQnfields(rows)));
    for (int j = 0; j < PQnfields(rows); ++j) {
      if (PQgetisnull(rows, i, j) != 0) continue;
      row[static_cast<size_t>(j)].emplace(PQgetvalue(rows, i, j),
                                          static_cast<size_t>(PQgetlength(rows, i, j)));
    }
  }
  return values;
}

absl::Status PostgresConnection::StartCopy(const std::string& sql) {
  if (absl::Status sent = Send(sql); !sent.ok()) return sent;
  const absl::StatusOr<Result> result = NextResult();
  if (!result.ok()) return result.status();
  if (PQresultStatus(result->get()) == PGRES_COPY_OUT) {
    copying_ = true;
    return absl::OkStatus();
  }
  absl::Status status = PQresultStatus(result->get()) == PGRES_FATAL_ERROR
                            ? ResultFailure(result->get())
                            : absl::InternalError("this statement copies nothing");
  if (!lost_) status.Update(Finish());
  return status;
}

absl::StatusOr<std::optional<std::string_view>> PostgresConnection::NextCopyData() {
  PQfreemem(copy_data_);
  copy_data_ = nullptr;
  while (copying_) {
    const int size = PQgetCopyData(connection_, &copy_data_, 1);
    if (size > 0) {
      return std::optional<std::string_view>({copy_data_, static_cast<size_t>(size)});
    }
    if (size < 0) {
      copying_ = false;
      if (size == -2) return LostConnection();
      if (absl::Status status = Finish(); !status.ok()) return status;
      break;
    }
    absl::Status status = Wait(POLLIN, timeouts_.answer);
    if (status.ok() && PQconsumeInput(connection_) == 0) status = LostConnection();
    if (!status.ok()) {
      copying_ = false;
      return status;
    }
  }
  return std::optional<std::string_view>();
}

void PostgresConnection::StopCopy() {
  if (!std::exchange(copying_, false)) return;
  lost_ = true;
}

std::string PostgresConnection::Setting(const char* name) const {
  const char* const value = PQparameterStatus(connection_, name);
  return value == nullptr ? "" : value;
}

std::string QuotePostgresName(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += c;
    quoted += c;
  }
  quoted += '"';
  return quoted;
}

std::string QuotePostgresText(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += c;
    quoted += c;
  }
  quoted += '\'';
  return quoted;
}

}  // namespace tidemark
