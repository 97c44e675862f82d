#ifndef TIDEMARK_OPERATORS_SINKS_MYSQL_TABLE_H_
#define TIDEMARK_OPERATORS_SINKS_MYSQL_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// The table that rows go to: which of the rows' columns are written, and which of those are the
/// key. A plain value.
struct MySqlTable {
  std::string database;
  std::string table;
  std::vector<Field> columns;
  std::vector<size_t> key;  ///< indexes into `columns`

  bool IsKey(size_t column) const;
  std::string QuotedName() const;   ///< `` `shop`.`totals` ``
  std::string DisplayName() const;  ///< `shop.totals`
};

/// The statement that makes a table that fits: text keys short enough for an index, times in
/// microseconds, InnoDB.
std::string CreateTableSql(const MySqlTable& table, bool is_mariadb);

/// Checks that the server's table can take the rows (semantics, section 8): it exists, is InnoDB,
/// has a primary or unique key of exactly the key columns, whose values the server tells apart as
/// we do, and each column can hold every value of its type. With `create_table` a table that is not
/// there is made first. Returns the key's columns in the order of the table's index.
/// InvalidArgument: one sentence of what does not fit, then the statement that makes it fit.
absl::StatusOr<std::vector<size_t>> CheckMySqlTable(MySqlConnection& connection,
                                                    const MySqlTable& table, bool create_table);

/// Inside a transaction: from here to its end nobody can alter the table (nor the table of markers,
/// if a statement has used it). Returns how the server describes the two: while that text is the
/// same, so are columns, keys and engines. InvalidArgument: the server refuses to show them.
absl::StatusOr<std::string> LockMySqlTable(MySqlConnection& connection, const MySqlTable& table);

/// The table of markers, in the same database; made if it is not there.
inline constexpr char kMarkerTable[] = "tidemark_batches";
absl::Status CheckMarkerTable(MySqlConnection& connection, const std::string& database);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_MYSQL_TABLE_H_
