#ifndef TIDEMARK_OPERATORS_CLIENTS_MYSQL_CLIENT_H_
#define TIDEMARK_OPERATORS_CLIENTS_MYSQL_CLIENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/clients/database_address.h"

struct st_mysql;
struct st_mysql_res;
struct st_mysql_stmt;

namespace tidemark {

/// How long a call waits for the server before it gives the connection up.
struct MySqlTimeouts {
  absl::Duration connect = absl::Seconds(5);
  absl::Duration answer = absl::Seconds(30);
};

/// One row of a small result, as text; nullopt is NULL.
using MySqlRow = std::vector<std::optional<std::string>>;

/// What the server says of a result's column.
struct MySqlResultColumn {
  std::string name;
  int type = 0;  ///< enum_field_types
  unsigned flags = 0;
  unsigned long length = 0;
  unsigned decimals = 0;
  unsigned charset = 0;
  friend bool operator==(const MySqlResultColumn&, const MySqlResultColumn&) = default;
};
/// A row of a large result, as text; values[i] is null for NULL. Lives until the next call.
struct MySqlRowView {
  const char* const* values = nullptr;
  const unsigned long* lengths = nullptr;

  bool IsNull(size_t i) const { return values[i] == nullptr; }
  std::string_view operator[](size_t i) const { return {values[i], lengths[i]}; }
};

/// The values of one parameter of ExecuteArray, one a row; only the vector of its kind is filled
/// (`texts` with `lengths`). The bytes behind `texts` are the caller's and live until ExecuteArray
/// returns.
struct MySqlParameter {
  enum class Kind : uint8_t { kInt64, kDouble, kText, kBytes, kDecimal };
  Kind kind = Kind::kInt64;
  std::vector<int64_t> ints = {};
  std::vector<double> doubles = {};
  std::vector<const char*> texts = {};
  std::vector<unsigned long> lengths = {};
  std::vector<char> nulls = {};  ///< 1 where the value is NULL

  void Clear();
};

/// A connection, always TCP, also for `localhost`: in UTC, strict SQL mode, utf8mb4, autocommit.
/// Made by Connect; one thread at a time. After an error with `lost()` true it is only good for
/// being destroyed (the server rolls an open transaction back).
///
/// No call waits past its timeout, and each ends within 100 ms (name resolution excepted) once
/// `*cancelled` is true. Errors: Unavailable, ResourceExhausted = try again later, on a new
/// connection if lost(); InvalidArgument = the server refuses the statement, its values or the
/// user; Cancelled; Internal = our bug.
class MySqlConnection {
 public:
  /// `cancelled` (may be null) outlives the connection; any thread may set it.
  static absl::StatusOr<std::unique_ptr<MySqlConnection>> Connect(
      const DatabaseAddress& address, const MySqlTimeouts& timeouts,
      const std::atomic<bool>* cancelled);
  ~MySqlConnection();
  MySqlConnection(const MySqlConnection&) = delete;
  MySqlConnection& operator=(const MySqlConnection&) = delete;

  /// One statement without rows.
  absl::Status Exec(std::string_view sql);
  /// One statement with a result that fits memory easily.
  absl::StatusOr<std::vector<MySqlRow>> Query(std::string_view sql);
  /// A result of any size, row by row: StartRows, NextRow until it says false; or StopRows, which
  /// gives the connection up if rows are left. No other call in between.
  absl::StatusOr<std::vector<MySqlResultColumn>> StartRows(std::string_view sql);
  absl::StatusOr<bool> NextRow(MySqlRowView* row);
  void StopRows();
  /// Runs `sql`, with a `?` for each parameter, once for each of `rows` rows, in one request. The
  /// statement is prepared at its first use and kept, so callers use few different ones. Only if
  /// takes_arrays(). The request takes at most 64 bytes, 2 a parameter, and for each value 10 and
  /// the bytes of its text.
  absl::Status ExecuteArray(const std::string& sql, const std::vector<MySqlParameter>& parameters,
                            size_t rows);

  /// Which of the server's connections this is; an id alone is given again after a restart.
  struct Identity {
    std::string id;
    std::string host;  ///< where the server sees it come from; empty if it does not say
  };
  const Identity& identity() const { return identity_; }
  /// Ends another connection of the same user, if the server still has it: one that we have lost
  /// and that the server has not missed, so that its transaction keeps its locks.
  absl::Status End(const Identity& other);

  bool is_mariadb() const { return is_mariadb_; }
  /// True if the server knows MariaDB's bulk protocol, which ExecuteArray needs.
  bool takes_arrays() const { return takes_arrays_; }
  /// The server's limit for one request, bytes.
  size_t max_allowed_packet() const { return max_allowed_packet_; }
  bool lost() const { return lost_; }
  /// The server's (or the client library's, CR_...) number of the last error, 0 if none.
  unsigned last_error() const { return last_error_; }

 private:
  struct CloseStatement {
    void operator()(st_mysql_stmt* statement) const;
  };
  using Statement = std::unique_ptr<st_mysql_stmt, CloseStatement>;

  MySqlConnection(const DatabaseAddress& address, const MySqlTimeouts& timeouts,
                  const std::atomic<bool>* cancelled);
  absl::Status Start(const DatabaseAddress& address);
  absl::Status ReadServer();
  absl::StatusOr<st_mysql_stmt*> Prepare(const std::string& sql);
  absl::Status SendQuery(std::string_view sql);
  template <typename Continue>
  void Await(int wanted, absl::Duration timeout, Continue&& go_on);
  int WaitForServer(int wanted, absl::Duration timeout);
  bool cancelled() const { return cancelled_ != nullptr && cancelled_->load(); }
  absl::Status Failure();
  absl::Status Failure(st_mysql_stmt* statement);
  absl::Status Failure(unsigned code, std::string_view sql_state, std::string_view text);
  absl::Status ConnectFailure(const DatabaseAddress& address);

  const std::string host_port_;
  const MySqlTimeouts timeouts_;
  const std::atomic<bool>* const cancelled_;
  st_mysql* mysql_ = nullptr;
  st_mysql_res* rows_ = nullptr;  // between StartRows and the last row
  std::map<std::string, Statement> statements_;
  bool is_mariadb_ = false;
  bool takes_arrays_ = false;
  size_t max_allowed_packet_ = 0;
  Identity identity_;
  bool lost_ = false;
  bool timed_out_ = false;
  unsigned last_error_ = 0;
};

/// `name` in backticks, backticks in it doubled.
std::string QuoteMySqlName(std::string_view name);
/// Appends `text` as a string literal: for connections made by MySqlConnection.
void AppendMySqlText(std::string_view text, std::string* sql);
std::string QuoteMySqlText(std::string_view text);
/// Appends `bytes` as a binary literal: `x'00FF'`.
void AppendMySqlBytes(std::string_view bytes, std::string* sql);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_CLIENTS_MYSQL_CLIENT_H_
