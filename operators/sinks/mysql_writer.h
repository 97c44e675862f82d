#ifndef TIDEMARK_OPERATORS_SINKS_MYSQL_WRITER_H_
#define TIDEMARK_OPERATORS_SINKS_MYSQL_WRITER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/sinks/mysql_options.h"
#include "tidemark/operators/sinks/mysql_rows.h"
#include "tidemark/operators/sinks/mysql_table.h"

namespace tidemark {

/// Sends the rows of a batch in few large requests: arrays bound to one prepared statement where
/// the server takes them, else statements with many rows; each request under the server's
/// max_allowed_packet. One thread.
class MySqlWriter {
 public:
  MySqlWriter(const MySqlTable& table, const Schema& schema, const MySqlRows::Layout& layout,
              MySqlSinkOptions::Write write, bool use_arrays);

  /// Deletes, then writes, inside the caller's transaction. InvalidArgument, naming the row: the
  /// table refuses one, or it is larger than a request may be. Other errors as MySqlConnection's.
  /// After any error the transaction must be rolled back.
  absl::Status Write(MySqlConnection& connection, MySqlRows& rows);

 private:
  using Row = MySqlRows::Row;

  // One statement: for an array, and as the pieces of a text for several rows.
  struct Statement {
    std::vector<size_t> columns;  // of the rows' schema, in the order of the parameters
    std::string array_sql;
    std::string head;
    std::vector<std::string> before_value;
    std::string_view between_rows;
    std::string tail;
    size_t max_text_rows = 0;
  };

  static Statement WriteStatement(const MySqlTable& table, const Schema& schema,
                                  const MySqlRows::Layout& layout, MySqlSinkOptions::Write write);
  static Statement DeleteStatement(const MySqlTable& table, const Schema& schema,
                                   const MySqlRows::Layout& layout);
  absl::Status WriteAll(const Statement& statement, const std::vector<Row>& which,
                        MySqlConnection& connection, MySqlRows& rows);
  // Sends as many of the rows as fit one request and returns their number; `*end` is set to it
  // before it is sent.
  absl::Status WriteArray(const Statement& statement, const Row* begin, const Row** end,
                          MySqlConnection& connection, MySqlRows& rows);
  absl::Status WriteText(const Statement& statement, const Row* begin, const Row** end,
                         MySqlConnection& connection, const MySqlRows& rows);
  absl::Status WriteSome(const Statement& statement, const Row* begin, const Row** end,
                         MySqlConnection& connection, MySqlRows& rows);
  absl::Status NameRefusedRow(const absl::Status& refusal, const Statement& statement,
                              const Row* begin, const Row* end, MySqlConnection& connection,
                              MySqlRows& rows);

  const bool use_arrays_;
  const Statement write_;
  const Statement delete_;
  // Kept for their memory.
  std::string sql_;
  std::vector<MySqlParameter> parameters_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_MYSQL_WRITER_H_
