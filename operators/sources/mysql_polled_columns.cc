#include "tidemark/operators/sources/mysql_polled_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <utility>

#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

// A column as information_schema describes it.
struct ServerColumn {
  std::string name;
  std::string data_type;    // `int`
  std::string column_type;  // `int(10) unsigned`
  int precision = 0;
  int scale = 0;
  bool nullable = false;

  bool is_unsigned() const { return column_type.find("unsigned") != std::string::npos; }
};

struct ServerIndex {
  std::string name;
  bool unique = false;
  std::vector<std::string> columns = {};  // whole ones; a part of a column ends the list
  bool whole = true;
};

struct ServerTable {
  std::string display_name;
  std::string engine;
  std::vector<ServerColumn> columns;
  std::vector<ServerIndex> indexes;

  const ServerColumn* Find(std::string_view name) const;
};

bool SameName(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

int ToInt(const std::optional<std::string>& text) {
  int value = 0;
  if (text.has_value()) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

const ServerColumn* ServerTable::Find(std::string_view name) const {
  for (const ServerColumn& column : columns) {
    if (SameName(column.name, name)) return &column;
  }
  return nullptr;
}

// What may be read of the table, before what it looks like: without the right to see a table
// information_schema has nothing to say of it.
absl::Status CheckReadable(MySqlConnection& connection, const std::string& database,
                           const std::string& table) {
  const std::string quoted = fmt::format("{}.{}", QuoteMySqlName(database), QuoteMySqlName(table));
  const auto rows = connection.Query(fmt::format("SELECT 1 FROM {} LIMIT 0", quoted));
  if (rows.ok()) return absl::OkStatus();
  switch (connection.last_error()) {
    case 1146:  // no such table
      return absl::InvalidArgumentError(fmt::format(
          "MySQL has no table {}.{}; check the name, or make the table", database, table));
    case 1142:  // no right to it
    case 1143:
      return absl::InvalidArgumentError(fmt::format(
          "this user may not read MySQL's {}.{}; let an administrator run: GRANT SELECT ON {} TO "
          "the user",
          database, table, quoted));
    default:
      return rows.status();
  }
}

absl::StatusOr<ServerTable> ReadTable(MySqlConnection& connection, const std::string& database,
                                      const std::string& table) {
  ServerTable found;
  found.display_name = fmt::format("{}.{}", database, table);
  const std::string where = fmt::format("WHERE table_schema = {} AND table_name = {}",
                                        QuoteMySqlText(database), QuoteMySqlText(table));
  const auto tables =
      connection.Query("SELECT engine, table_type FROM information_schema.tables " + where);
  if (!tables.ok()) return tables.status();
  if (tables->empty() || (*tables)[0][1].value_or("") != "BASE TABLE") {
    return absl::InvalidArgumentError(
        fmt::format("MySQL's {} is a view; name a table to poll", found.display_name));
  }
  found.engine = (*tables)[0][0].value_or("");
  const auto columns = connection.Query(
      "SELECT column_name, data_type, column_type, numeric_precision, numeric_scale, is_nullable "
      "FROM information_schema.columns " +
      where + " ORDER BY ordinal_position");
  if (!columns.ok()) return columns.status();
  for (const MySqlRow& row : *columns) {
    found.columns.push_back({row[0].value_or(""), row[1].value_or(""), row[2].value_or(""),
                             ToInt(row[3]), ToInt(row[4]), row[5].value_or("") == "YES"});
  }
  const auto indexes = connection.Query(
      "SELECT index_name, non_unique, column_name, sub_part FROM information_schema.statistics " +
      where + " ORDER BY index_name = 'PRIMARY' DESC, index_name, seq_in_index");
  if (!indexes.ok()) return indexes.status();
  for (const MySqlRow& row : *indexes) {
    if (found.indexes.empty() || found.indexes.back().name != row[0].value_or("")) {
      found.indexes.push_back({.name = row[0].value_or(""), .unique = row[1].value_or("1") == "0"});
    }
    ServerIndex& index = found.indexes.back();
    index.whole &= row[2].has_value() && !row[3].has_value();
    if (index.whole) index.columns.push_back(*row[2]);
  }
  return found;
}

bool IsInteger(const ServerColumn& column) {
  return IsOneOf(column.data_type, {"tinyint", "smallint", "mediumint", "int", "bigint", "year"});
}

// Decimal digits that any value of an integer column takes.
int IntegerDigits(const ServerColumn& column) {
  if (column.data_type == "tinyint") return 3;
  if (column.data_type == "smallint") return 5;
  if (column.data_type == "year") return 4;
  if (column.data_type == "mediumint") return 8;
  if (column.data_type == "int") return 10;
  return column.is_unsigned() ? 20 : 19;
}

// Whether each value of the column is one of `type`; a bigint unsigned in an int64 is looked at
// value by value.
bool Fits(const ServerColumn& column, const DataType& type) {
  const std::string_view is = column.data_type;
  switch (type.id) {
    case TypeId::kBool:
      return is == "tinyint" || column.column_type == "bit(1)";
    case TypeId::kInt32:
      return IsInteger(column) && is != "bigint" && !(is == "int" && column.is_unsigned());
    case TypeId::kInt64:
      return IsInteger(column);
    case TypeId::kDouble:
      return is == "float" || is == "double" || (IsInteger(column) && is != "bigint");
    case TypeId::kDecimal:
      if (IsInteger(column)) return IntegerDigits(column) <= type.precision - type.scale;
      return is == "decimal" && column.scale <= type.scale &&
             column.precision - column.scale <= type.precision - type.scale;
    case TypeId::kString:
      return IsOneOf(is, {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum",
                          "set", "json", "uuid", "inet4", "inet6", "time"});
    case TypeId::kBytes:
      return IsOneOf(is, {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"});
    case TypeId::kDate:
      return is == "date";
    case TypeId::kTimestamp:
      return is == "datetime" || is == "timestamp";
  }
  return false;
}

absl::Status NoColumn(const ServerTable& table, std::string_view what, const std::string& name) {
  std::vector<std::string> names;
  for (const ServerColumn& column : table.columns) names.push_back(column.name);
  const std::string nearest = NearestName(name, names);
  return absl::InvalidArgumentError(
      fmt::format("MySQL's table {} has no {} '{}'{}", table.display_name, what, name,
                  nearest.empty() ? "; add it, or name another table"
                                  : fmt::format("; did you mean '{}'?", nearest)));
}

absl::StatusOr<MySqlPolledColumn> MatchColumn(const ServerTable& table, const Field& field) {
  const ServerColumn* column = table.Find(field.name);
  if (column == nullptr) return NoColumn(table, "column", field.name);
  if (!Fits(*column, field.type)) {
    return absl::InvalidArgumentError(
        fmt::format("column '{}' of MySQL's table {} is {}, which does not fit {}; change one of "
                    "them",
                    column->name, table.display_name, column->column_type, field.type.ToString()));
  }
  MySqlPolledColumn polled;
  polled.field = field;
  polled.sql = QuoteMySqlName(column->name);
  // As text a float has 6 digits only, as a double all it needs; a bit is a byte.
  if (column->data_type == "float") polled.sql += "+0e0";
  if (column->data_type == "bit") polled.sql += "+0";
  polled.has_zone = column->data_type == "datetime" && !field.zone.empty();
  const absl::StatusOr<absl::TimeZone> zone = LoadZone(field);
  if (!zone.ok()) return zone.status();
  polled.zone = *zone;
  return polled;
}

absl::StatusOr<MySqlKeyColumn> MatchKey(const ServerTable& table, std::string_view what,
                                        const std::string& name) {
  const ServerColumn* column = table.Find(name);
  if (column == nullptr) return NoColumn(table, what, name);
  const std::string_view is = column->data_type;
  MySqlKeyColumn key;
  key.name = column->name;
  if (IsInteger(*column) || is == "decimal") {
    key.literal = MySqlKeyColumn::Literal::kNumber;
  } else if (IsOneOf(is, {"binary", "varbinary", "tinyblob", "blob"})) {
    key.literal = MySqlKeyColumn::Literal::kBytes;
  } else if (!IsOneOf(is, {"char", "varchar", "tinytext", "text", "date", "datetime", "timestamp",
                           "uuid"})) {
    return absl::InvalidArgumentError(
        fmt::format("column '{}' of MySQL's table {} is {}, which cannot tell rows apart; use "
                    "another id_column",
                    column->name, table.display_name, column->column_type));
  }
  return key;
}

// True if no two rows have the same values in `columns`.
bool IsUnique(const ServerTable& table, const std::vector<std::string>& columns) {
  return std::any_of(table.indexes.begin(), table.indexes.end(), [&](const ServerIndex& index) {
    return index.unique && index.whole &&
           std::all_of(index.columns.begin(), index.columns.end(), [&](const auto& part) {
             return std::any_of(columns.begin(), columns.end(),
                                [&](const auto& name) { return SameName(name, part); });
           });
  });
}

std::string IndexOf(const ServerTable& table, std::string_view column) {
  for (const ServerIndex& index : table.indexes) {
    if (!index.columns.empty() && SameName(index.columns[0], column)) {
      return QuoteMySqlName(index.name);
    }
  }
  return "";
}

absl::Status MatchId(const ServerTable& table, const PollingOptions& options,
                     MySqlPolledShape* shape) {
  absl::StatusOr<MySqlKeyColumn> key = MatchKey(table, "id column", options.id_column);
  if (!key.ok()) return key.status();
  const ServerColumn& column = *table.Find(options.id_column);
  if (table.engine != "InnoDB") {
    return absl::InvalidArgumentError(
        fmt::format("MySQL's table {} has the engine {}; polling by id needs InnoDB, whose locks "
                    "tell which rows may still come",
                    table.display_name, table.engine));
  }
  if (!IsInteger(column) || column.nullable || !IsUnique(table, {column.name})) {
    return absl::InvalidArgumentError(
        fmt::format("the id column '{}' of MySQL's table {} must be an integer, NOT NULL, and the "
                    "primary key or a unique key; poll by another one, or by timestamp",
                    column.name, table.display_name));
  }
  shape->index = IndexOf(table, column.name);
  shape->key.push_back(*std::move(key));
  return absl::OkStatus();
}

absl::Status MatchTime(const ServerTable& table, const PollingOptions& options,
                       MySqlPolledShape* shape) {
  const ServerColumn* time = table.Find(options.timestamp_column);
  if (time == nullptr) return NoColumn(table, "timestamp column", options.timestamp_column);
  if (!IsOneOf(time->data_type, {"datetime", "timestamp"})) {
    return absl::InvalidArgumentError(
        fmt::format("the timestamp column '{}' of MySQL's table {} is {}; it must be DATETIME or "
                    "TIMESTAMP",
                    time->name, table.display_name, time->column_type));
  }
  std::vector<std::string> names;
  if (options.mode == PollingMode::kTimestampAndId) {
    names.push_back(options.id_column);
    if (table.Find(options.id_column) != nullptr && !IsUnique(table, {names[0], time->name})) {
      return absl::InvalidArgumentError(
          fmt::format("rows of MySQL's table {} with one {} may have the same '{}': it must be "
                      "the primary key or part of a unique key with it",
                      table.display_name, time->name, options.id_column));
    }
  } else if (!table.indexes.empty() && table.indexes[0].name == "PRIMARY") {
    names = table.indexes[0].columns;
  }
  if (names.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("MySQL's table {} has no primary key, so rows with one {} cannot be told "
                    "apart; give it one, or poll by timestamp and id",
                    table.display_name, time->name));
  }
  for (const std::string& name : names) {
    absl::StatusOr<MySqlKeyColumn> key = MatchKey(table, "id column", name);
    if (!key.ok()) return key.status();
    shape->key.push_back(*std::move(key));
  }
  shape->index = IndexOf(table, time->name);
  return absl::OkStatus();
}

template <typename T>
bool Parse(std::string_view text, T* value) {
  return std::from_chars(text.data(), text.data() + text.size(), *value).ec == std::errc();
}

}  // namespace

void MySqlPolledColumn::Append(std::string_view text, RowWriter* writer) const {
  switch (field.type.id) {
    case TypeId::kBool:
      return writer->Bool(text != "0");
    case TypeId::kInt32: {
      int32_t value = 0;
      return Parse(text, &value) ? writer->Int32(value) : writer->Unfit();
    }
    case TypeId::kInt64: {
      int64_t value = 0;
      return Parse(text, &value) ? writer->Int64(value) : writer->Unfit();
    }
    case TypeId::kDouble: {
      double value = 0;
      return Parse(text, &value) ? writer->Double(value) : writer->Unfit();
    }
    case TypeId::kDecimal: {
      const std::optional<Int128> value =
          ParseDecimal(text, field.type.precision, field.type.scale);
      return value.has_value() ? writer->Decimal(*value) : writer->Unfit();
    }
    case TypeId::kString:
    case TypeId::kBytes:
      return writer->Text(text);
    case TypeId::kDate: {
      const std::optional<int32_t> value = ParseDate(text);
      return value.has_value() ? writer->Int32(*value) : writer->Unfit();
    }
    case TypeId::kTimestamp: {
      std::optional<int64_t> value = ParseTimestamp(text);
      if (value.has_value() && has_zone) value = LocalToUtc(*value, zone);
      return value.has_value() ? writer->Int64(*value) : writer->Unfit();
    }
  }
}

std::string MySqlKeyColumn::LiteralOf(std::string_view text) const {
  std::string sql;
  switch (literal) {
    case Literal::kNumber:
      sql = text;
      break;
    case Literal::kText:
      AppendMySqlText(text, &sql);
      break;
    case Literal::kBytes:
      AppendMySqlBytes(text, &sql);
      break;
  }
  return sql;
}

absl::StatusOr<MySqlPolledShape> CheckMySqlPolledTable(MySqlConnection& connection,
                                                       const std::string& database,
                                                       const PollingOptions& options,
                                                       const std::vector<Field>& fields) {
  if (absl::Status status = CheckReadable(connection, database, options.table); !status.ok())
    return status;
  const absl::StatusOr<ServerTable> table = ReadTable(connection, database, options.table);
  if (!table.ok()) return table.status();
  MySqlPolledShape shape;
  const absl::Status cursor = options.mode == PollingMode::kId ? MatchId(*table, options, &shape)
                                                               : MatchTime(*table, options, &shape);
  if (!cursor.ok()) return cursor;
  for (const Field& field : fields) {
    absl::StatusOr<MySqlPolledColumn> column = MatchColumn(*table, field);
    if (!column.ok()) return column.status();
    if (column->has_zone && SameName(field.name, options.timestamp_column))
      shape.time_zone = column->zone;
    shape.columns.push_back(*std::move(column));
  }
  return shape;
}

}  // namespace tidemark
