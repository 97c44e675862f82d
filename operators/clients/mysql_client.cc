#include "tidemark/operators/clients/mysql_client.h"

#include <errmsg.h>
#include <fmt/format.h>
#include <mysql.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kCancelPoll(50);
// MARIADB_CLIENT_STMT_BULK_OPERATIONS (1 << 34) among the extended capabilities, which start at
// bit 32.
constexpr unsigned kBulkOperations = 1U << 2;
constexpr char kSessionSql[] =
    "SET SESSION sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO,"
    "NO_ENGINE_SUBSTITUTION', time_zone='+00:00', autocommit=1";

enum ServerError : unsigned {
  kDiskFull = 1021,
  kReadError = 1024,
  kWriteError = 1026,
  kRecordChanged = 1020,
  kStorageEngineError = 1030,
  kOutOfMemory = 1037,
  kOutOfSortMemory = 1038,
  kTooManyConnections = 1040,
  kOutOfResources = 1041,
  kBadHost = 1042,
  kBadHandshake = 1043,
  kDatabaseAccessDenied = 1044,
  kAccessDenied = 1045,
  kUnknownDatabase = 1049,
  kServerShutdown = 1053,
  kSyntax = 1064,
  kNoSuchThread = 1094,
  kTableFull = 1114,
  kHostBlocked = 1129,
  kCannotCreateThread = 1135,
  kErrorDuringCommit = 1180,
  kErrorDuringRollback = 1181,
  kTooManyUserConnections = 1203,
  kLockWaitTimeout = 1205,
  kTooManyLocks = 1206,
  kUserLimit = 1226,
  kUnsupportedLogin = 1251,
  kOptionPreventsStatement = 1290,  // read-only, among others
  kQueryInterrupted = 1317,
  kTableDefinitionChanged = 1412,
  kTooManyStatements = 1461,
  kNeedsPreparingAgain = 1615,
  kTooManyTransactions = 1637,
  kAccessDeniedNoPassword = 1698,
  kReadOnlyTransaction = 1792,
  kReadOnlyMode = 1836,
  kTemporaryFileError = 1878,
  kConnectionKilled = 1927,
  kStatementTimeout = 1969,
  kQueryTimeout = 3024,
  kSessionKilled = 3169,
  kClientInactive = 4031,
};

// What the server's own files report (a full disk, no more files, no memory) has the numbers of its
// file layer.
constexpr unsigned kLastFileError = 119;

bool IsClientError(unsigned code) {
  return (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) ||
         (code >= CR_EVENT_CREATE_FAILED && code <= CR_MARIADB_LAST_ERROR);
}

// Connections: none left, cut, being closed, a packet that is too large, a Galera node that is not
// ready.
bool IsOfConnection(std::string_view sql_state) { return sql_state.substr(0, 2) == "08"; }

bool EndsConnection(unsigned code, std::string_view sql_state) {
  return IsClientError(code) || IsOfConnection(sql_state) || code == kConnectionKilled ||
         code == kSessionKilled || code == kClientInactive;
}

absl::StatusCode CodeOfClient(unsigned code) {
  switch (code) {
    case CR_SECURE_AUTH:
    case CR_AUTH_PLUGIN_CANNOT_LOAD:
    case CR_AUTH_PLUGIN_ERR:
    case CR_ERR_LOAD_PLUGIN:
      return absl::StatusCode::kInvalidArgument;
    case CR_OUT_OF_MEMORY:
    case CR_SOCKET_CREATE_ERROR:
      return absl::StatusCode::kResourceExhausted;
    // What the network, or who stands in between, may do to a conversation.
    case CR_UNKNOWN_ERROR:
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case CR_IPSOCK_ERROR:
    case CR_UNKNOWN_HOST:
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_HANDSHAKE_ERR:
    case CR_SERVER_LOST:
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_SSL_CONNECTION_ERROR:
    case CR_MALFORMED_PACKET:
    case CR_SERVER_LOST_EXTENDED:
    case CR_STMT_CLOSED:
    case CR_ERR_NET_READ:
    case CR_ERR_NET_WRITE:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusCode CodeOf(unsigned code, std::string_view sql_state) {
  if (IsClientError(code)) return CodeOfClient(code);
  if (code <= kLastFileError) {
    return code == 0 ? absl::StatusCode::kUnavailable : absl::StatusCode::kResourceExhausted;
  }
  switch (code) {
    case kDiskFull:
    case kReadError:
    case kWriteError:
    case kStorageEngineError:
    case kOutOfMemory:
    case kOutOfSortMemory:
    case kOutOfResources:
    case kTableFull:
    case kCannotCreateThread:
    case kTooManyLocks:
    case kTooManyStatements:
    case kTooManyTransactions:
    case kTemporaryFileError:
      return absl::StatusCode::kResourceExhausted;
    // Who is refused at the door gets no SQL state.
    case kTooManyConnections:
    case kBadHost:
    case kBadHandshake:
    case kServerShutdown:
    case kHostBlocked:
    case kRecordChanged:
    case kErrorDuringCommit:
    case kErrorDuringRollback:
    case kTooManyUserConnections:
    case kLockWaitTimeout:
    case kUserLimit:
    case kOptionPreventsStatement:
    case kQueryInterrupted:
    case kTableDefinitionChanged:
    case kNeedsPreparingAgain:
    case kReadOnlyTransaction:
    case kReadOnlyMode:
    case kConnectionKilled:
    case kStatementTimeout:
    case kQueryTimeout:
    case kSessionKilled:
    case kClientInactive:
      return absl::StatusCode::kUnavailable;
    case kUnsupportedLogin:
      return absl::StatusCode::kInvalidArgument;
    case kSyntax:
      return absl::StatusCode::kInternal;
    default:
      break;
  }
  // Also of servers that give a number of their own to a deadlock, a failed certification, a
  // switch to another node.
  const bool rolled_back = sql_state.substr(0, 2) == "40";
  return IsOfConnection(sql_state) || rolled_back ? absl::StatusCode::kUnavailable
                                                  : absl::StatusCode::kInvalidArgument;
}

// The library prepares itself at its first use, which is not safe from two threads at once.
bool LibraryReady() {
  static const bool ready = mysql_library_init(0, nullptr, nullptr) == 0;
  return ready;
}

MYSQL_BIND BindOf(const MySqlParameter& parameter) {
  // The library takes what it reads by pointers to non-const.
  MYSQL_BIND bind = {};
  bind.u.indicator = const_cast<char*>(parameter.nulls.data());
  switch (parameter.kind) {
    case MySqlParameter::Kind::kInt64:
      bind.buffer_type = MYSQL_TYPE_LONGLONG;
      bind.buffer = const_cast<int64_t*>(parameter.ints.data());
      break;
    case MySqlParameter::Kind::kDouble:
      bind.buffer_type = MYSQL_TYPE_DOUBLE;
      bind.buffer = const_cast<double*>(parameter.doubles.data());
      break;
    case MySqlParameter::Kind::kText:
    case MySqlParameter::Kind::kBytes:
    case MySqlParameter::Kind::kDecimal:
      bind.buffer_type = parameter.kind == MySqlParameter::Kind::kText    ? MYSQL_TYPE_STRING
                         : parameter.kind == MySqlParameter::Kind::kBytes ? MYSQL_TYPE_BLOB
                                                                          : MYSQL_TYPE_NEWDECIMAL;
      bind.buffer = const_cast<char**>(const_cast<const char**>(parameter.texts.data()));
      bind.length = const_cast<unsigned long*>(parameter.lengths.data());
      break;
  }
  return bind;
}

}  // namespace

static_assert(STMT_INDICATOR_NONE == 0 && STMT_INDICATOR_NULL == 1);

void MySqlParameter::Clear() {
  ints.clear();
  doubles.clear();
  texts.clear();
  lengths.clear();
  nulls.clear();
}

void MySqlConnection::CloseStatement::operator()(st_mysql_stmt* statement) const {
  mysql_stmt_close(statement);
}

MySqlConnection::MySqlConnection(const DatabaseAddress& address, const MySqlTimeouts& timeouts,
                                 const std::atomic<bool>* cancelled)
    : host_port_(address.HostPort()), timeouts_(timeouts), cancelled_(cancelled) {}

MySqlConnection::~MySqlConnection() {
  if (mysql_ == nullptr) return;
  StopRows();
  // Saying goodbye to a server that hangs would wait for it.
  if (lost_) ::shutdown(static_cast<int>(mysql_get_socket(mysql_)), SHUT_RDWR);
  // Statements outlive the connection by a moment: without one, closing them sends nothing.
  mysql_close(mysql_);
}

absl::StatusOr<std::unique_ptr<MySqlConnection>> MySqlConnection::Connect(
    const DatabaseAddress& address, const MySqlTimeouts& timeouts,
    const std::atomic<bool>* cancelled) {
  std::unique_ptr<MySqlConnection> connection(new MySqlConnection(address, timeouts, cancelled));
  absl::Status status = connection->Start(address);
  if (status.ok()) status = connection->Exec(kSessionSql);
  if (status.ok()) status = connection->ReadServer();
  if (!status.ok()) return status;
  return connection;
}

absl::Status MySqlConnection::Start(const DatabaseAddress& address) {
  if (cancelled()) return absl::CancelledError("connecting to MySQL was cancelled");
  if (!LibraryReady() || (mysql_ = mysql_init(nullptr)) == nullptr) {
    return absl::ResourceExhaustedError("no memory for a MySQL connection");
  }
  const unsigned protocol = MYSQL_PROTOCOL_TCP;
  const unsigned no_files = 0;
  mysql_optionsv(mysql_, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_optionsv(mysql_, MYSQL_OPT_LOCAL_INFILE, &no_files);
  mysql_optionsv(mysql_, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_optionsv(mysql_, MYSQL_OPT_NONBLOCK, nullptr);
  MYSQL* connected = nullptr;
  Await(mysql_real_connect_start(&connected, mysql_, address.host.c_str(), address.user.c_str(),
                                 address.password.c_str(), address.database.c_str(),
                                 static_cast<unsigned>(address.port), nullptr, 0),
        timeouts_.connect,
        [&](int events) { return mysql_real_connect_cont(&connected, mysql_, events); });
  return connected == nullptr ? ConnectFailure(address) : absl::OkStatus();
}

absl::Status MySqlConnection::ReadServer() {
  unsigned capabilities = 0;
  is_mariadb_ = mariadb_connection(mysql_) != 0;
  mariadb_get_infov(mysql_, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES, &capabilities);
  takes_arrays_ = is_mariadb_ && (capabilities & kBulkOperations) != 0;
  const absl::StatusOr<std::vector<MySqlRow>> rows = Query(
      "SELECT @@max_allowed_packet, CONNECTION_ID(), (SELECT HOST FROM "
      "information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())");
  if (!rows.ok()) return rows.status();
  if (rows->empty()) return absl::UnavailableError("MySQL does not say what it takes");
  const MySqlRow& row = rows->front();
  const std::string text = row[0].value_or("");
  std::from_chars(text.data(), text.data() + text.size(), max_allowed_packet_);
  identity_ = {row[1].value_or(""), row[2].value_or("")};
  return absl::OkStatus();
}

absl::Status MySqlConnection::End(const Identity& other) {
  // Behind a proxy that has ids of its own, nothing can be said of any.
  if (other.host.empty()) return absl::OkStatus();
  const auto found =
      Query(fmt::format("SELECT ID FROM information_schema.PROCESSLIST WHERE ID = {} AND HOST = {}",
                        other.id, QuoteMySqlText(other.host)));
  if (!found.ok()) return found.status();
  if (found->empty()) return absl::OkStatus();
  const absl::Status killed = Exec(fmt::format("KILL CONNECTION {}", other.id));
  return last_error_ == kNoSuchThread ? absl::OkStatus() : killed;
}

template <typename Continue>
void MySqlConnection::Await(int wanted, absl::Duration timeout, Continue&& go_on) {
  while (wanted != 0) wanted = go_on(WaitForServer(wanted, timeout));
}

// What happened of `wanted`. Past the timeout, or cancelled, the connection is cut, so that the
// library's call ends.
int MySqlConnection::WaitForServer(int wanted, absl::Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(timeout);
  pollfd socket = {};
  socket.fd = static_cast<int>(mysql_get_socket(mysql_));
  if ((wanted & MYSQL_WAIT_READ) != 0) socket.events |= POLLIN;
  if ((wanted & MYSQL_WAIT_WRITE) != 0) socket.events |= POLLOUT;
  if ((wanted & MYSQL_WAIT_EXCEPT) != 0) socket.events |= POLLPRI;
  while (!lost_ && !cancelled()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    timed_out_ = left.count() <= 0;
    if (timed_out_) break;
    const int ready = ::poll(&socket, 1, static_cast<int>(std::min(left, kCancelPoll).count()));
    if (ready > 0) {
      int events = 0;
      if ((socket.revents & POLLOUT) != 0) events |= MYSQL_WAIT_WRITE;
      if ((socket.revents & POLLIN) != 0) events |= MYSQL_WAIT_READ;
      if ((socket.revents & POLLPRI) != 0) events |= MYSQL_WAIT_EXCEPT;
      // An error or hang-up alone: let the library try, and read it.
      return events != 0 ? events : wanted & ~MYSQL_WAIT_TIMEOUT;
    }
    if (ready < 0 && errno != EINTR) break;
  }
  lost_ = true;
  ::shutdown(socket.fd, SHUT_RDWR);
  return MYSQL_WAIT_TIMEOUT;
}

absl::Status MySqlConnection::Failure() {
  return Failure(mysql_errno(mysql_), mysql_sqlstate(mysql_), mysql_error(mysql_));
}

absl::Status MySqlConnection::Failure(st_mysql_stmt* statement) {
  return Failure(mysql_stmt_errno(statement), mysql_stmt_sqlstate(statement),
                 mysql_stmt_error(statement));
}

absl::Status MySqlConnection::Failure(unsigned code, std::string_view sql_state,
                                      std::string_view text) {
  last_error_ = code;
  lost_ = lost_ || EndsConnection(code, sql_state);
  if (cancelled()) return absl::CancelledError("waiting for MySQL was cancelled");
  if (timed_out_) {
    return absl::UnavailableError(fmt::format("MySQL at {} has not answered within {}", host_port_,
                                              absl::FormatDuration(timeouts_.answer)));
  }
  return absl::Status(CodeOf(code, sql_state),
                      fmt::format("MySQL at {}: error {}: {}", host_port_, code, text));
}

absl::Status MySqlConnection::ConnectFailure(const DatabaseAddress& address) {
  const unsigned code = mysql_errno(mysql_);
  const std::string text = mysql_error(mysql_);
  absl::Status failure = Failure();
  lost_ = true;
  if (absl::IsCancelled(failure)) return failure;
  switch (code) {
    case kAccessDenied:
    case kAccessDeniedNoPassword:
      return absl::InvalidArgumentError(fmt::format("MySQL at {} refuses user '{}': {}; {}",
                                                    host_port_, address.user, text,
                                                    address.LoginAdvice()));
    case kUnknownDatabase:
      return absl::InvalidArgumentError(
          fmt::format("MySQL at {} has no database '{}'; check the URL, or make it:\nCREATE "
                      "DATABASE {};",
                      host_port_, address.database, QuoteMySqlName(address.database)));
    case kDatabaseAccessDenied:
      return absl::InvalidArgumentError(fmt::format(
          "user '{}' may not use database '{}' of MySQL at {}: {}; check the URL, or let an "
          "administrator run:\nGRANT ALL ON {}.* TO {};",
          address.user, address.database, host_port_, text, QuoteMySqlName(address.database),
          QuoteMySqlText(address.user)));
    default:
      break;
  }
  const std::string reason =
      timed_out_ ? fmt::format("no answer within {}", absl::FormatDuration(timeouts_.connect))
                 : fmt::format("error {}: {}", code, text);
  return absl::Status(failure.code(),
                      fmt::format("cannot connect to MySQL at {}: {}; is the server running, and "
                                  "are host and port right?",
                                  host_port_, reason));
}

absl::Status MySqlConnection::SendQuery(std::string_view sql) {
  if (lost_ || cancelled()) return Failure(CR_SERVER_GONE_ERROR, "08S01", "the connection is lost");
  last_error_ = 0;
  int failed = 0;
  const int waits_for = mysql_real_query_start(&failed, mysql_, sql.data(), sql.size());
  if (sql == "COMMIT") CrashPoint("sink commit sent");
  Await(waits_for, timeouts_.answer,
        [&](int events) { return mysql_real_query_cont(&failed, mysql_, events); });
  return failed != 0 ? Failure() : absl::OkStatus();
}

absl::Status MySqlConnection::Exec(std::string_view sql) {
  const absl::Status sent = SendQuery(sql);
  if (!sent.ok()) return sent;
  if (mysql_field_count(mysql_) != 0) {
    lost_ = true;  // its rows are unread
    return absl::InternalError(fmt::format("this statement returns rows: {}", sql.substr(0, 200)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<MySqlRow>> MySqlConnection::Query(std::string_view sql) {
  const absl::Status sent = SendQuery(sql);
  if (!sent.ok()) return sent;
  MYSQL_RES* result = nullptr;
  Await(mysql_store_result_start(&result, mysql_), timeouts_.answer,
        [&](int events) { return mysql_store_result_cont(&result, mysql_, events); });
  if (result == nullptr) {
    if (mysql_errno(mysql_) != 0) return Failure();
    return absl::InternalError(
        fmt::format("this statement returns no rows: {}", sql.substr(0, 200)));
  }
  const unsigned columns = mysql_num_fields(result);
  std::vector<MySqlRow> rows;
  while (const MYSQL_ROW values = mysql_fetch_row(result)) {
    const unsigned long* lengths = mysql_fetch_lengths(result);
    MySqlRow& row = rows.emplace_back(columns);
    for (unsigned i = 0; i < columns; ++i) {
      if (values[i] != nullptr) row[i].emplace(values[i], lengths[i]);
    }
  }
  mysql_free_result(result);
  return rows;
}

absl::StatusOr<std::vector<MySqlResultColumn>> MySqlConnection::StartRows(std::string_view sql) {
  const absl::Status sent = SendQuery(sql);
  if (!sent.ok()) return sent;
  rows_ = mysql_use_result(mysql_);
  if (rows_ == nullptr) {
    if (mysql_errno(mysql_) != 0) return Failure();
    return absl::InternalError(
        fmt::format("this statement returns no rows: {}", sql.substr(0, 200)));
  }
  std::vector<MySqlResultColumn> columns;
  const MYSQL_FIELD* const fields = mysql_fetch_fields(rows_);
  for (unsigned i = 0; i < mysql_num_fields(rows_); ++i) {
    columns.push_back({std::string(fields[i].name, fields[i].name_length),
                       static_cast<int>(fields[i].type), fields[i].flags, fields[i].length,
                       fields[i].decimals, fields[i].charsetnr});
  }
  return columns;
}

absl::StatusOr<bool> MySqlConnection::NextRow(MySqlRowView* row) {
  if (rows_ == nullptr) return false;
  MYSQL_ROW values = nullptr;
  Await(mysql_fetch_row_start(&values, rows_), timeouts_.answer,
        [&](int events) { return mysql_fetch_row_cont(&values, rows_, events); });
  if (values == nullptr) {
    const unsigned code = mysql_errno(mysql_);
    if (code == 0 && !lost_) {
      mysql_free_result(rows_);
      rows_ = nullptr;
      return false;
    }
    absl::Status failure = Failure();
    StopRows();
    return failure;
  }
  row->values = values;
  row->lengths = mysql_fetch_lengths(rows_);
  return true;
}

void MySqlConnection::StopRows() {
  if (rows_ == nullptr) return;
  // Freeing a result reads what is left of it.
  lost_ = true;
  ::shutdown(static_cast<int>(mysql_get_socket(mysql_)), SHUT_RDWR);
  mysql_free_result(rows_);
  rows_ = nullptr;
}

absl::StatusOr<st_mysql_stmt*> MySqlConnection::Prepare(const std::string& sql) {
  const auto known = statements_.find(sql);
  if (known != statements_.end()) return known->second.get();
  Statement statement(mysql_stmt_init(mysql_));
  if (statement == nullptr) return absl::ResourceExhaustedError("no memory for a MySQL statement");
  int failed = 0;
  Await(mysql_stmt_prepare_start(&failed, statement.get(), sql.data(), sql.size()),
        timeouts_.answer,
        [&](int events) { return mysql_stmt_prepare_cont(&failed, statement.get(), events); });
  if (failed != 0) {
    return Failure(statement.get());
  }
  return statements_.emplace(sql, std::move(statement)).first->second.get();
}

absl::Status MySqlConnection::ExecuteArray(const std::string& sql,
                                           const std::vector<MySqlParameter>& parameters,
                                           size_t rows) {
  if (lost_ || cancelled()) return Failure(CR_SERVER_GONE_ERROR, "08S01", "the connection is lost");
  last_error_ = 0;
  const absl::StatusOr<MYSQL_STMT*> prepared = Prepare(sql);
  if (!prepared.ok()) return prepared.status();
  MYSQL_STMT* const statement = *prepared;
  std::vector<MYSQL_BIND> binds;
  for (const MySqlParameter& parameter : parameters) binds.push_back(BindOf(parameter));
  const unsigned array_size = static_cast<unsigned>(rows);
  if (mysql_stmt_param_count(statement) != binds.size() ||
      mysql_stmt_attr_set(statement, STMT_ATTR_ARRAY_SIZE, &array_size) != 0 ||
      mysql_stmt_bind_param(statement, binds.data()) != 0) {
    return absl::InternalError(fmt::format("cannot bind {} parameters to {}: {}", binds.size(), sql,
                                           mysql_stmt_error(statement)));
  }
  int failed = 0;
  Await(mysql_stmt_execute_start(&failed, statement), timeouts_.answer,
        [&](int events) { return mysql_stmt_execute_cont(&failed, statement, events); });
  return failed != 0 ? Failure(statement) : absl::OkStatus();
}

std::string QuoteMySqlName(std::string_view name) {
  std::string quoted = "`";
  for (const char c : name) {
    if (c == '`') quoted += c;
    quoted += c;
  }
  quoted += '`';
  return quoted;
}

void AppendMySqlText(std::string_view text, std::string* sql) {
  *sql += '\'';
  for (const char c : text) {
    switch (c) {
      case '\0':
        *sql += "\\0";
        break;
      case '\'':
      case '\\':
        *sql += '\\';
        *sql += c;
        break;
      default:
        *sql += c;
    }
  }
  *sql += '\'';
}

std::string QuoteMySqlText(std::string_view text) {
  std::string quoted;
  AppendMySqlText(text, &quoted);
  return quoted;
}

void AppendMySqlBytes(std::string_view bytes, std::string* sql) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  *sql += "x'";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    *sql += kDigits[byte >> 4];
    *sql += kDigits[byte & 15];
  }
  *sql += '\'';
}

}  // namespace tidemark
