#ifndef TIDEMARK_OPERATORS_SINKS_MYSQL_OPTIONS_H_
#define TIDEMARK_OPERATORS_SINKS_MYSQL_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tidemark/operators/clients/mysql_client.h"

namespace tidemark {

/// What a MySQL sink is told; ParseMySqlUrl fills all but the password, the column of deletes and
/// the time-outs.
struct MySqlSinkOptions {
  /// kReplace deletes every row that clashes on any unique key; kUpsert is ON DUPLICATE KEY UPDATE,
  /// which keeps the table's columns that the rows do not have.
  enum class Write : uint8_t { kReplace, kUpsert };
  enum class OnNullKey : uint8_t { kFail, kSkip };

  DatabaseAddress server;
  std::string table;
  bool create_table = false;
  Write write = Write::kReplace;
  OnNullKey on_null_key = OnNullKey::kFail;
  /// A bool column of the rows that is not written: where it is true, the table's row of that key
  /// is deleted instead. Empty: none.
  std::string delete_when_column;
  /// Off: multi-row statements also where the server takes arrays (what MySQL gets anyway; for
  /// proxies that know no bulk protocol).
  bool use_arrays = true;
  MySqlTimeouts timeouts;
};

/// `mysql://USER@HOST:PORT/DB/TABLE?create_table=true&write=replace|upsert&on_null_key=fail|skip`,
/// parts percent-encoded, an IPv6 host in brackets, the port 3306 if left out. InvalidArgument says
/// what is wrong; a password is refused (it would be seen in process lists and logs).
absl::StatusOr<MySqlSinkOptions> ParseMySqlUrl(std::string_view url);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_MYSQL_OPTIONS_H_
