#ifndef TIDEMARK_OPERATORS_CLIENTS_POSTGRES_CLIENT_H_
#define TIDEMARK_OPERATORS_CLIENTS_POSTGRES_CLIENT_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/clients/database_address.h"

struct pg_conn;
struct pg_result;

namespace tidemark {

/// How long a call waits for the server before it gives the connection up.
struct PostgresTimeouts {
  absl::Duration connect = absl::Seconds(5);
  absl::Duration answer = absl::Seconds(60);
};

/// One row of a small result, as text; nullopt is NULL.
using PostgresRow = std::vector<std::optional<std::string>>;

/// A connection: in UTC, UTF-8, ISO dates, autocommit. Made by Connect; one thread at a time. After
/// an error with `lost()` true it is only good for being destroyed.
///
/// No call waits past its timeout, and each ends within 100 ms (name resolution excepted) once
/// `*cancelled` is true. Errors: Unavailable, ResourceExhausted = try again later, on a new
/// connection if lost(); InvalidArgument = the server refuses the statement, its values or the
/// user; Cancelled; Internal = our bug.
class PostgresConnection {
 public:
  /// `cancelled` (may be null) outlives the connection; any thread may set it.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Connect(
      const DatabaseAddress& address, const PostgresTimeouts& timeouts,
      const std::atomic<bool>* cancelled);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  /// One statement, or several separated by semicolons, without rows.
  absl::Status Exec(const std::string& sql);
  /// One statement with a result that fits memory easily.
  absl::StatusOr<std::vector<PostgresRow>> Query(const std::string& sql);

  /// A result of any size, row by row: `COPY (SELECT ...) TO STDOUT (FORMAT BINARY)`, then
  /// NextCopyData until it gives nothing; or StopCopy, which gives the connection up if data is
  /// left. No other call in between. The bytes live until the next call.
  absl::Status StartCopy(const std::string& sql);
  absl::StatusOr<std::optional<std::string_view>> NextCopyData();
  void StopCopy();

  bool lost() const { return lost_; }
  /// The SQLSTATE of the last error, empty if there was none or none is known.
  const std::string& last_error() const { return last_error_; }
  /// A setting that the server reports, for example `server_encoding`; empty if it does not.
  std::string Setting(const char* name) const;

 private:
  struct ClearResult {
    void operator()(pg_result* result) const;
  };
  using Result = std::unique_ptr<pg_result, ClearResult>;

  PostgresConnection(const DatabaseAddress& address, const PostgresTimeouts& timeouts,
                     const std::atomic<bool>* cancelled);
  absl::Status Start(const DatabaseAddress& address);
  absl::Status ConnectFailure(const DatabaseAddress& address);
  absl::Status Send(const std::string& sql);
  absl::StatusOr<Result> NextResult();
  absl::Status Finish();
  absl::Status Wait(short events, absl::Duration timeout);
  absl::Status LostConnection();
  absl::Status ResultFailure(const pg_result* result);
  bool cancelled() const { return cancelled_ != nullptr && cancelled_->load(); }

  const std::string host_port_;
  const PostgresTimeouts timeouts_;
  const std::atomic<bool>* const cancelled_;
  pg_conn* connection_ = nullptr;
  char* copy_data_ = nullptr;
  bool copying_ = false;
  bool lost_ = false;
  std::string last_error_;
};

/// `name` in double quotes, those in it doubled.
std::string QuotePostgresName(std::string_view name);
/// `text` as a string literal: for connections made by PostgresConnection.
std::string QuotePostgresText(std::string_view text);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_CLIENTS_POSTGRES_CLIENT_H_
