#ifndef TIDEMARK_OPERATORS_SOURCES_POSTGRES_POLLED_COLUMNS_H_
#define TIDEMARK_OPERATORS_SOURCES_POSTGRES_POLLED_COLUMNS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/clients/postgres_client.h"
#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sources/polling_options.h"

namespace tidemark {

/// A column of the polled table: what is selected for it, and how the server's binary value becomes
/// a cell.
struct PostgresPolledColumn {
  Field field;
  std::string sql;          ///< `"amount"::numeric`: of the one type that Append reads
  bool check_utf8 = false;  ///< the server does not see to it
  bool has_zone = false;    ///< Field::zone is to be applied
  absl::TimeZone zone = absl::UTCTimeZone();

  void Append(std::string_view value, RowWriter* writer) const;
};

/// A column of the key in timestamp modes, or the id.
struct PostgresKeyColumn {
  std::string name;
  bool is_integer = false;
};

/// What a polled table was found to be.
struct PostgresPolledShape {
  std::string table;                          ///< quoted, with its schema if one was given
  std::vector<PostgresPolledColumn> columns;  ///< the schema's, in order
  std::vector<PostgresKeyColumn> key;         ///< the id, or what tells rows of one time apart
  bool time_has_zone = false;                 ///< the timestamp column is a timestamptz
  /// Of the timestamp column, if its field has one and it is none.
  absl::TimeZone time_zone = absl::UTCTimeZone();
  /// The server's description of the columns: another one means that the table was changed.
  std::string signature;
};

/// `"orders"`, or `"shop"."orders"` of `shop.orders`.
std::string QuotePostgresTable(const std::string& table);
/// The statement that gives PostgresPolledShape::signature: one row, one column, NULL if there is
/// no such table.
std::string PostgresSignatureSql(const std::string& quoted_table);

/// Reads what the server says of the table and checks it against options and schema (`fields`: the
/// stored ones). InvalidArgument: one sentence about what does not fit.
absl::StatusOr<PostgresPolledShape> CheckPostgresPolledTable(PostgresConnection& connection,
                                                             const PollingOptions& options,
                                                             const std::vector<Field>& fields);

/// Microseconds since 1970 of a binary timestamp; INT64_MIN and INT64_MAX are the infinities.
/// Nothing if it does not fit.
std::optional<int64_t> PostgresTime(std::string_view value);
int64_t PostgresInt64(std::string_view value);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POSTGRES_POLLED_COLUMNS_H_
