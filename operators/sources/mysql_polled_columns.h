#ifndef TIDEMARK_OPERATORS_SOURCES_MYSQL_POLLED_COLUMNS_H_
#define TIDEMARK_OPERATORS_SOURCES_MYSQL_POLLED_COLUMNS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sources/polling_options.h"

namespace tidemark {

/// A column of the polled table: what is selected for it, and how the server's text becomes a cell.
struct MySqlPolledColumn {
  Field field;
  std::string sql;        ///< `amount`, or an expression that loses nothing on the way
  bool has_zone = false;  ///< Field::zone is to be applied
  absl::TimeZone zone = absl::UTCTimeZone();

  void Append(std::string_view text, RowWriter* writer) const;
};

/// A column of the key in timestamp modes, or the id.
struct MySqlKeyColumn {
  enum class Literal : uint8_t { kNumber, kText, kBytes };
  std::string name;
  Literal literal = Literal::kText;

  std::string LiteralOf(std::string_view text) const;
};

/// What a polled table was found to be.
struct MySqlPolledShape {
  std::vector<MySqlPolledColumn> columns;  ///< the schema's, in order
  std::vector<MySqlKeyColumn> key;         ///< the id, or what tells rows of one timestamp apart
  /// Of the timestamp column, if its field has one and the server knows of none.
  absl::TimeZone time_zone = absl::UTCTimeZone();
  std::string index;  ///< the one that gives the order, quoted; empty: there is none
};

/// Reads what the server says of the table and checks it against options and schema (`fields`: the
/// stored ones). InvalidArgument: one sentence about what does not fit.
absl::StatusOr<MySqlPolledShape> CheckMySqlPolledTable(MySqlConnection& connection,
                                                       const std::string& database,
                                                       const PollingOptions& options,
                                                       const std::vector<Field>& fields);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_MYSQL_POLLED_COLUMNS_H_
