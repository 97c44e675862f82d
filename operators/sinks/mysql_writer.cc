#include "tidemark/operators/sinks/mysql_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

// A request is large enough at this size; larger ones only cost memory.
constexpr size_t kRequestBytes = size_t{4} << 20;
constexpr size_t kMaxArrayRows = 16'384;
constexpr size_t kMaxTextRows = 4'096;
// Each row of a text DELETE is an OR: the optimiser works on the whole of it at once.
constexpr size_t kMaxTextDeletes = 500;
constexpr size_t kRequestOverhead = 64;
constexpr size_t kParameterOverhead = 2;

size_t RequestLimit(const MySqlConnection& connection) {
  const size_t limit = std::min(connection.max_allowed_packet(), kRequestBytes);
  return limit - std::min(limit, kRequestOverhead);
}

// The largest request that the server accepts at all: for a single row.
size_t HardLimit(const MySqlConnection& connection) {
  return connection.max_allowed_packet() -
         std::min(connection.max_allowed_packet(), kRequestOverhead);
}

absl::Status TooLarge(const MySqlConnection& connection, const std::string& row, size_t bytes) {
  return absl::InvalidArgumentError(fmt::format(
      "the row {} takes {} bytes, more than MySQL takes in one request: make the server's "
      "max_allowed_packet ({}) larger, or the row smaller",
      row, bytes, connection.max_allowed_packet()));
}

std::vector<std::string> QuotedNames(const Schema& schema, const std::vector<size_t>& columns) {
  std::vector<std::string> names;
  for (const size_t i : columns) names.push_back(QuoteMySqlName(schema.field(i).name));
  return names;
}

}  // namespace

MySqlWriter::MySqlWriter(const MySqlTable& table, const Schema& schema,
                         const MySqlRows::Layout& layout, MySqlSinkOptions::Write write,
                         bool use_arrays)
    : use_arrays_(use_arrays),
      write_(WriteStatement(table, schema, layout, write)),
      delete_(DeleteStatement(table, schema, layout)) {}

MySqlWriter::Statement MySqlWriter::WriteStatement(const MySqlTable& table, const Schema& schema,
                                                   const MySqlRows::Layout& layout,
                                                   MySqlSinkOptions::Write write) {
  const std::vector<std::string> names = QuotedNames(schema, layout.columns);
  const bool replace = write == MySqlSinkOptions::Write::kReplace;
  Statement statement;
  statement.columns = layout.columns;
  statement.head = fmt::format("{} INTO {} ({}) VALUES ", replace ? "REPLACE" : "INSERT",
                               table.QuotedName(), fmt::join(names, ","));
  for (size_t i = 0; i < names.size(); ++i) statement.before_value.push_back(i == 0 ? "" : ",");
  statement.between_rows = ",";
  statement.max_text_rows = kMaxTextRows;
  if (!replace) {
    std::vector<std::string> updates;
    for (size_t i = 0; i < names.size(); ++i) {
      const bool key =
          std::find(layout.key.begin(), layout.key.end(), layout.columns[i]) != layout.key.end();
      if (!key) updates.push_back(fmt::format("{0}=VALUES({0})", names[i]));
    }
    // With nothing but a key, the row that is there is the row.
    if (updates.empty()) updates.push_back(fmt::format("{0}={0}", names.front()));
    statement.tail = fmt::format(" ON DUPLICATE KEY UPDATE {}", fmt::join(updates, ","));
  }
  const std::vector<std::string> marks(names.size(), "?");
  statement.array_sql =
      fmt::format("{}({}){}", statement.head, fmt::join(marks, ","), statement.tail);
  return statement;
}

MySqlWriter::Statement MySqlWriter::DeleteStatement(const MySqlTable& table, const Schema& schema,
                                                    const MySqlRows::Layout& layout) {
  const std::vector<std::string> names = QuotedNames(schema, layout.key);
  Statement statement;
  statement.columns = layout.key;
  statement.head = fmt::format("DELETE FROM {} WHERE ", table.QuotedName());
  for (size_t i = 0; i < names.size(); ++i) {
    statement.before_value.push_back(fmt::format("{}{}=", i == 0 ? "" : " AND ", names[i]));
  }
  statement.between_rows = " OR ";
  statement.max_text_rows = kMaxTextDeletes;
  statement.array_sql = fmt::format("{}{}=?", statement.head, fmt::join(names, "=? AND "));
  return statement;
}

absl::Status MySqlWriter::Write(MySqlConnection& connection, MySqlRows& rows) {
  const absl::Status deleted = WriteAll(delete_, rows.deletes(), connection, rows);
  if (!deleted.ok()) return deleted;
  return WriteAll(write_, rows.writes(), connection, rows);
}

absl::Status MySqlWriter::WriteAll(const Statement& statement, const std::vector<Row>& which,
                                   MySqlConnection& connection, MySqlRows& rows) {
  const Row* const last = which.data() + which.size();
  for (const Row* begin = which.data(); begin != last;) {
    const Row* end = last;
    const absl::Status status = WriteSome(statement, begin, &end, connection, rows);
    if (absl::IsInvalidArgument(status) && !connection.lost() && connection.last_error() != 0) {
      return NameRefusedRow(status, statement, begin, end, connection, rows);
    }
    if (!status.ok()) return status;
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status MySqlWriter::WriteSome(const Statement& statement, const Row* begin, const Row** end,
                                    MySqlConnection& connection, MySqlRows& rows) {
  CrashPoint("sink between writes");
  return use_arrays_ && connection.takes_arrays()
             ? WriteArray(statement, begin, end, connection, rows)
             : WriteText(statement, begin, end, connection, rows);
}

absl::Status MySqlWriter::WriteArray(const Statement& statement, const Row* begin, const Row** end,
                                     MySqlConnection& connection, MySqlRows& rows) {
  const size_t parameter_bytes = kParameterOverhead * statement.columns.size();
  size_t bytes = parameter_bytes;
  const Row* at = begin;
  while (at != *end && at - begin < static_cast<ptrdiff_t>(kMaxArrayRows)) {
    const size_t row_bytes = rows.ArrayBytes(*at, statement.columns);
    if (at != begin && bytes + row_bytes > RequestLimit(connection)) break;
    if (parameter_bytes + row_bytes > HardLimit(connection)) {
      return TooLarge(connection, rows.NameOf(*at), parameter_bytes + row_bytes);
    }
    bytes += row_bytes;
    ++at;
  }
  *end = at;
  rows.FillParameters(begin, at, statement.columns, &parameters_);
  return connection.ExecuteArray(statement.array_sql, parameters_, static_cast<size_t>(at - begin));
}

absl::Status MySqlWriter::WriteText(const Statement& statement, const Row* begin, const Row** end,
                                    MySqlConnection& connection, const MySqlRows& rows) {
  sql_ = statement.head;
  const Row* at = begin;
  while (at != *end && at - begin < static_cast<ptrdiff_t>(statement.max_text_rows)) {
    const size_t before = sql_.size();
    if (at != begin) sql_ += statement.between_rows;
    sql_ += '(';
    for (size_t i = 0; i < statement.columns.size(); ++i) {
      sql_ += statement.before_value[i];
      rows.AppendLiteral(*at, statement.columns[i], &sql_);
    }
    sql_ += ')';
    if (at != begin && sql_.size() + statement.tail.size() > RequestLimit(connection)) {
      sql_.resize(before);
      break;
    }
    if (sql_.size() + statement.tail.size() > HardLimit(connection)) {
      return TooLarge(connection, rows.NameOf(*at), sql_.size() + statement.tail.size());
    }
    ++at;
  }
  *end = at;
  sql_ += statement.tail;
  return connection.Exec(sql_);
}

// The server says which column it refuses, but not reliably for which row: halve until one is left.
// Writing rows again inside the transaction changes nothing, and it will be rolled back.
absl::Status MySqlWriter::NameRefusedRow(const absl::Status& refusal, const Statement& statement,
                                         const Row* begin, const Row* end,
                                         MySqlConnection& connection, MySqlRows& rows) {
  absl::Status reason = refusal;
  while (end - begin > 1) {
    const Row* middle = begin + (end - begin) / 2;
    const Row* sent = middle;
    const absl::Status status = WriteSome(statement, begin, &sent, connection, rows);
    if (status.ok()) {
      begin = sent;
    } else if (absl::IsInvalidArgument(status)) {
      end = sent;
      reason = status;
    } else {
      return status;
    }
  }
  return absl::InvalidArgumentError(fmt::format(
      "the table refuses the row {}: {}", rows.NameOf(*begin), std::string(reason.message())));
}

}  // namespace tidemark
