#include "tidemark/operators/sinks/mysql_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace tidemark {
namespace {

// InnoDB's limit for an index in the row format DYNAMIC, its default.
constexpr size_t kMaxIndexBytes = 3072;
constexpr size_t kBytesPerCharacter = 4;
constexpr size_t kLongestTextKey = 255;

bool SameName(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [&](char x, char y) { return lower(x) == lower(y); });
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::string_view KeyCollation(bool is_mariadb) {
  return is_mariadb ? "utf8mb4_nopad_bin" : "utf8mb4_0900_bin";
}

// Characters (bytes for binary columns, a quarter of it) of each text column of the key, so that
// the index fits.
size_t TextKeyLength(const MySqlTable& table) {
  size_t fixed_bytes = 0;
  size_t texts = 0;
  for (const size_t i : table.key) {
    const DataType& type = table.columns[i].type;
    if (type.is_text()) {
      ++texts;
    } else {
      fixed_bytes += type.width() + 1;
    }
  }
  const size_t left = kMaxIndexBytes - std::min(fixed_bytes, kMaxIndexBytes) - 2 * texts;
  return texts == 0 ? kLongestTextKey
                    : std::clamp<size_t>(left / (texts * kBytesPerCharacter), 1, kLongestTextKey);
}

// The column type that fits every value of `column`, with NOT NULL for keys.
std::string ColumnSql(const MySqlTable& table, size_t column, bool is_mariadb) {
  const DataType& type = table.columns[column].type;
  const bool key = table.IsKey(column);
  const std::string_view null = key ? " NOT NULL" : "";
  switch (type.id) {
    case TypeId::kBool:
      return fmt::format("BOOLEAN{}", null);
    case TypeId::kInt32:
      return fmt::format("INT{}", null);
    case TypeId::kInt64:
      return fmt::format("BIGINT{}", null);
    case TypeId::kDouble:
      return fmt::format("DOUBLE{}", null);
    case TypeId::kDecimal:
      return fmt::format("DECIMAL({},{}){}", type.precision, type.scale, null);
    case TypeId::kDate:
      return fmt::format("DATE{}", null);
    case TypeId::kTimestamp:
      return fmt::format("DATETIME(6){}", null);
    case TypeId::kString:
      return key ? fmt::format("VARCHAR({}) CHARACTER SET utf8mb4 COLLATE {} NOT NULL",
                               TextKeyLength(table), KeyCollation(is_mariadb))
                 : "LONGTEXT CHARACTER SET utf8mb4";
    case TypeId::kBytes:
      return key ? fmt::format("VARBINARY({}) NOT NULL", TextKeyLength(table) * kBytesPerCharacter)
                 : "LONGBLOB";
  }
  return {};
}

std::string KeyList(const MySqlTable& table) {
  std::string list;
  for (const size_t i : table.key) {
    if (!list.empty()) list += ", ";
    list += QuoteMySqlName(table.columns[i].name);
  }
  return list;
}

std::string KeyNames(const MySqlTable& table) {
  std::vector<std::string_view> names;
  for (const size_t i : table.key) names.push_back(table.columns[i].name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// A column as the server describes it.
struct ServerColumn {
  std::string name;
  std::string data_type;    // varchar
  std::string column_type;  // varchar(20)
  std::string collation;
  std::string extra;
  bool nullable = false;
  bool has_default = false;
  int precision = 0;
  int scale = -1;           // -1: none
  int time_precision = -1;  // -1: none

  bool generated() const {
    return extra.find("VIRTUAL") != std::string::npos ||
           extra.find("STORED") != std::string::npos ||
           extra.find("PERSISTENT") != std::string::npos;
  }
};

struct ServerIndexColumn {
  std::string column;
  bool whole = true;  // not a prefix of the column
};

struct ServerTable {
  std::string engine;
  std::string kind;
  std::vector<ServerColumn> columns;
  std::map<std::string, std::vector<ServerIndexColumn>> unique_indexes;

  const ServerColumn* Find(std::string_view name) const {
    for (const ServerColumn& column : columns) {
      if (SameName(column.name, name)) return &column;
    }
    return nullptr;
  }
};

std::string TextAt(const MySqlRow& row, size_t i) { return row[i].value_or(""); }
int IntAt(const MySqlRow& row, size_t i, int if_null) {
  return row[i] ? std::atoi(row[i]->c_str()) : if_null;
}

absl::StatusOr<std::optional<ServerTable>> ReadTable(MySqlConnection& connection,
                                                     const std::string& database,
                                                     const std::string& table) {
  const std::string where = fmt::format("WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                                        QuoteMySqlText(database), QuoteMySqlText(table));
  const auto tables = connection.Query(
      "SELECT COALESCE(ENGINE, ''), TABLE_TYPE FROM information_schema.TABLES " + where);
  if (!tables.ok()) return tables.status();
  if (tables->empty()) return std::nullopt;
  ServerTable result;
  result.engine = TextAt((*tables)[0], 0);
  result.kind = TextAt((*tables)[0], 1);
  const auto columns = connection.Query(
      "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COLLATION_NAME, EXTRA, IS_NULLABLE, "
      "COLUMN_DEFAULT, "
      "NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION FROM information_schema.COLUMNS " +
      where + " ORDER BY ORDINAL_POSITION");
  if (!columns.ok()) return columns.status();
  for (const MySqlRow& row : *columns) {
    result.columns.push_back({.name = TextAt(row, 0),
                              .data_type = TextAt(row, 1),
                              .column_type = TextAt(row, 2),
                              .collation = TextAt(row, 3),
                              .extra = TextAt(row, 4),
                              .nullable = TextAt(row, 5) == "YES",
                              .has_default = row[6].has_value(),
                              .precision = IntAt(row, 7, 0),
                              .scale = IntAt(row, 8, -1),
                              .time_precision = IntAt(row, 9, -1)});
  }
  const auto indexes = connection.Query(
      "SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), SUB_PART FROM information_schema.STATISTICS " +
      where + " AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX");
  if (!indexes.ok()) return indexes.status();
  for (const MySqlRow& row : *indexes) {
    result.unique_indexes[TextAt(row, 0)].push_back({TextAt(row, 1), !row[2].has_value()});
  }
  return result;
}

// Gathers what does not fit, and the clauses of the one ALTER TABLE that mends it.
class Misfits {
 public:
  void Add(std::string problem, std::string clause) {
    problems_.push_back(std::move(problem));
    if (!clause.empty()) clauses_.push_back(std::move(clause));
  }
  absl::Status ToStatus(const MySqlTable& table) const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("MySQL table {} does not fit: {}; this makes it fit:\nALTER TABLE {} {};",
                    table.DisplayName(), fmt::join(problems_, "; "), table.QuotedName(),
                    fmt::join(clauses_, ", ")));
  }

 private:
  std::vector<std::string> problems_;
  std::vector<std::string> clauses_;
};

bool IsSigned(const ServerColumn& column) {
  return column.column_type.find("unsigned") == std::string::npos;
}

// Why the server's column cannot hold every value of `type`; empty if it can.
std::string TypeProblem(const ServerColumn& column, const DataType& type) {
  const std::string_view is = column.data_type;
  switch (type.id) {
    case TypeId::kBool:
      if (IsOneOf(is, {"tinyint", "smallint", "mediumint", "int", "bigint"})) return {};
      break;
    case TypeId::kInt32:
      if (IsOneOf(is, {"int", "bigint"}) && IsSigned(column)) return {};
      break;
    case TypeId::kInt64:
      if (is == "bigint" && IsSigned(column)) return {};
      break;
    case TypeId::kDouble:
      if (is == "double" && IsSigned(column) && column.scale < 0) return {};
      break;
    case TypeId::kDecimal:
      if (is == "decimal" && IsSigned(column) && column.scale >= type.scale &&
          column.precision - column.scale >= type.precision - type.scale) {
        return {};
      }
      break;
    case TypeId::kDate:
      if (is == "date") return {};
      break;
    case TypeId::kTimestamp:
      if (is == "datetime" && column.time_precision == 6) return {};
      if (is == "timestamp") return "which ends in the year 2038";
      if (is == "datetime") return "which does not hold microseconds";
      break;
    case TypeId::kString:
      if (IsOneOf(is, {"varchar", "char", "tinytext", "text", "mediumtext", "longtext", "json",
                       "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})) {
        return {};
      }
      break;
    case TypeId::kBytes:
      if (IsOneOf(is, {"varbinary", "tinyblob", "blob", "mediumblob", "longblob"})) return {};
      if (is == "binary") return "which pads values with zero bytes";
      break;
  }
  return fmt::format("which does not hold every {}", type.ToString());
}

// Why the server would take different text keys for one (or cannot index them whole); empty if it
// tells them apart.
std::string TextKeyProblem(const ServerColumn& column, const DataType& type) {
  if (column.data_type == "varbinary" || !type.is_text()) return {};
  if (column.data_type != "varchar") return "which no key can tell apart by its exact bytes";
  if (EndsWith(column.collation, "_nopad_bin") || EndsWith(column.collation, "_0900_bin"))
    return {};
  return fmt::format("with the collation {}, for which keys like 'a', 'A' and 'a ' may be the same",
                     column.collation);
}

void CheckColumn(const ServerTable& server, const MySqlTable& table, size_t i, bool is_mariadb,
                 Misfits* misfits) {
  const Field& field = table.columns[i];
  const std::string fitting =
      fmt::format("{} {}", QuoteMySqlName(field.name), ColumnSql(table, i, is_mariadb));
  const ServerColumn* column = server.Find(field.name);
  if (column == nullptr) {
    misfits->Add(
        fmt::format("it has no column {} for the rows' {}", field.name, field.type.ToString()),
        "ADD COLUMN " + fitting);
    return;
  }
  std::string problem = TypeProblem(*column, field.type);
  if (problem.empty() && table.IsKey(i)) problem = TextKeyProblem(*column, field.type);
  if (problem.empty() && column->generated()) problem = "which the server computes by itself";
  if (!problem.empty()) {
    misfits->Add(fmt::format("its column {} is {}, {}", column->name, column->column_type, problem),
                 "MODIFY COLUMN " + fitting);
  } else if (table.IsKey(i) && column->nullable) {
    const std::string collate = column->collation.empty() ? "" : " COLLATE " + column->collation;
    misfits->Add(
        fmt::format("its key column {} may be NULL, and NULLs are never equal", column->name),
        fmt::format("MODIFY COLUMN {} {}{} NOT NULL", QuoteMySqlName(column->name),
                    column->column_type, collate));
  }
}

bool InRows(const MySqlTable& table, std::string_view name) {
  return std::any_of(table.columns.begin(), table.columns.end(),
                     [&](const Field& field) { return SameName(field.name, name); });
}

// The key's columns in the order of `index`, if it is made of exactly those, whole.
std::optional<std::vector<size_t>> KeyOrder(const std::vector<ServerIndexColumn>& index,
                                            const MySqlTable& table) {
  if (index.size() != table.key.size()) return std::nullopt;
  std::vector<size_t> order;
  for (const ServerIndexColumn& part : index) {
    for (const size_t i : table.key) {
      if (part.whole && SameName(part.column, table.columns[i].name)) order.push_back(i);
    }
  }
  if (order.size() != index.size()) return std::nullopt;
  return order;
}

std::optional<std::vector<size_t>> FindKey(const ServerTable& server, const MySqlTable& table) {
  // The primary key first: rows lie in its order.
  const auto primary = server.unique_indexes.find("PRIMARY");
  if (primary != server.unique_indexes.end()) {
    auto order = KeyOrder(primary->second, table);
    if (order) return order;
  }
  for (const auto& [name, index] : server.unique_indexes) {
    auto order = KeyOrder(index, table);
    if (order) return order;
  }
  return std::nullopt;
}

// True if the server needs a value for this column and no row has one.
bool NeedsValue(const ServerColumn& column, const MySqlTable& table) {
  return !InRows(table, column.name) && !column.nullable && !column.has_default &&
         !column.generated() && column.extra.find("auto_increment") == std::string::npos;
}

void CheckKey(const ServerTable& server, const MySqlTable& table, Misfits* misfits) {
  const auto primary = server.unique_indexes.find("PRIMARY");
  bool primary_needs_value = false;
  for (const ServerColumn& column : server.columns) {
    if (!NeedsValue(column, table)) continue;
    if (primary != server.unique_indexes.end()) {
      for (const ServerIndexColumn& part : primary->second) {
        primary_needs_value |= part.column == column.name;
      }
    }
    misfits->Add(
        fmt::format("its column {}, which the rows do not have, has neither a default nor NULL",
                    column.name),
        fmt::format("MODIFY COLUMN {} {} NULL", QuoteMySqlName(column.name), column.column_type));
  }
  if (primary_needs_value) {
    misfits->Add("its primary key has a column that the rows do not have", "DROP PRIMARY KEY");
  }
  if (!FindKey(server, table)) {
    const bool primary_free = primary_needs_value || primary == server.unique_indexes.end();
    misfits->Add(
        fmt::format("it has no primary or unique key ({})", KeyNames(table)),
        fmt::format("ADD {} ({})", primary_free ? "PRIMARY KEY" : "UNIQUE KEY", KeyList(table)));
  }
}

absl::Status NoTable(const MySqlConnection& connection, const MySqlTable& table) {
  return absl::InvalidArgumentError(
      fmt::format("MySQL has no table {} (or this user may not see it); make it, or put "
                  "create_table=true into the "
                  "URL:\n{};",
                  table.DisplayName(), CreateTableSql(table, connection.is_mariadb())));
}

// What SHOW CREATE TABLE says, without the counter that each new row moves.
absl::StatusOr<std::string> Description(MySqlConnection& connection, const std::string& name) {
  constexpr std::string_view kCounter = " AUTO_INCREMENT=";
  const auto shown = connection.Query("SHOW CREATE TABLE " + name);
  if (!shown.ok()) return shown.status();
  std::string text = shown->empty() || (*shown)[0].size() < 2 ? "" : TextAt((*shown)[0], 1);
  const size_t counter = text.rfind(kCounter);
  if (counter != std::string::npos) {
    const size_t end = text.find_first_not_of("0123456789", counter + kCounter.size());
    text.erase(counter, end == std::string::npos ? end : end - counter);
  }
  return text;
}

}  // namespace

bool MySqlTable::IsKey(size_t column) const {
  return std::find(key.begin(), key.end(), column) != key.end();
}

std::string MySqlTable::QuotedName() const {
  return fmt::format("{}.{}", QuoteMySqlName(database), QuoteMySqlName(table));
}

std::string MySqlTable::DisplayName() const { return fmt::format("{}.{}", database, table); }

std::string CreateTableSql(const MySqlTable& table, bool is_mariadb) {
  std::string sql = fmt::format("CREATE TABLE {} (\n", table.QuotedName());
  for (size_t i = 0; i < table.columns.size(); ++i) {
    sql += fmt::format("  {} {},\n", QuoteMySqlName(table.columns[i].name),
                       ColumnSql(table, i, is_mariadb));
  }
  return sql + fmt::format("  PRIMARY KEY ({})\n) ENGINE=InnoDB", KeyList(table));
}

absl::StatusOr<std::vector<size_t>> CheckMySqlTable(MySqlConnection& connection,
                                                    const MySqlTable& table, bool create_table) {
  auto server = ReadTable(connection, table.database, table.table);
  if (server.ok() && !server->has_value()) {
    if (!create_table) return NoTable(connection, table);
    const absl::Status made = connection.Exec(CreateTableSql(table, connection.is_mariadb()));
    // Somebody may have made it at the same moment.
    constexpr unsigned kTableExists = 1050;
    if (!made.ok() && connection.last_error() != kTableExists) return made;
    server = ReadTable(connection, table.database, table.table);
    if (server.ok() && !server->has_value()) return NoTable(connection, table);
  }
  if (!server.ok()) return server.status();
  const ServerTable& found = **server;
  if (found.kind.find("VIEW") != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("MySQL's {} is a view; name a table, for example one made with:\n{};",
                    table.DisplayName(), CreateTableSql(table, connection.is_mariadb())));
  }
  Misfits misfits;
  if (found.engine != "InnoDB") {
    misfits.Add(fmt::format("its engine is {}, which has no transactions", found.engine),
                "ENGINE=InnoDB");
  }
  for (size_t i = 0; i < table.columns.size(); ++i) {
    CheckColumn(found, table, i, connection.is_mariadb(), &misfits);
  }
  CheckKey(found, table, &misfits);
  absl::Status fits = misfits.ToStatus(table);
  if (!fits.ok()) return fits;
  return *FindKey(found, table);
}

absl::StatusOr<std::string> LockMySqlTable(MySqlConnection& connection, const MySqlTable& table) {
  // No row, but the lock on its description, and the one that writing takes: to ask for more later
  // could be a deadlock with an ALTER TABLE that waits.
  const absl::Status locked =
      connection.Query(fmt::format("SELECT 1 FROM {} LIMIT 0 FOR UPDATE", table.QuotedName()))
          .status();
  if (!locked.ok()) return locked;
  absl::StatusOr<std::string> shape = Description(connection, table.QuotedName());
  if (!shape.ok()) return shape;
  const absl::StatusOr<std::string> markers =
      Description(connection, fmt::format("{}.{}", QuoteMySqlName(table.database), kMarkerTable));
  if (!markers.ok()) return markers;
  return *shape + "\n" + *markers;
}

absl::Status CheckMarkerTable(MySqlConnection& connection, const std::string& database) {
  const std::string name = fmt::format("{}.{}", QuoteMySqlName(database), kMarkerTable);
  const auto server = ReadTable(connection, database, kMarkerTable);
  if (!server.ok()) return server.status();
  if (server->has_value()) {
    const auto refuse = [&](std::string_view problem, std::string_view clause) {
      return absl::InvalidArgumentError(
          fmt::format("MySQL table {}.{}, which keeps what each query has written, {}; run:\nALTER "
                      "TABLE {} {};",
                      database, kMarkerTable, problem, name, clause));
    };
    if ((*server)->engine != "InnoDB") return refuse("is not InnoDB", "ENGINE=InnoDB");
    const Schema key = Schema().String("query_id").String("sink");
    const MySqlTable markers = {.database = database,
                                .table = kMarkerTable,
                                .columns = {key.field(0), key.field(1)},
                                .key = {0, 1}};
    if (FindKey(**server, markers)) return absl::OkStatus();
    return refuse("has no primary key (query_id, sink)", "ADD PRIMARY KEY (query_id, sink)");
  }
  const std::string sql = fmt::format(
      "CREATE TABLE IF NOT EXISTS {} (\n  query_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE {} "
      "NOT NULL,\n"
      "  sink VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {} NOT NULL,\n  epoch BIGINT NOT NULL,\n"
      "  batch_id BIGINT NOT NULL,\n  plan_hash BIGINT UNSIGNED NOT NULL,\n  row_count BIGINT NOT "
      "NULL,\n"
      "  rows_hash BIGINT UNSIGNED NOT NULL,\n  PRIMARY KEY (query_id, sink)\n) ENGINE=InnoDB",
      name, KeyCollation(connection.is_mariadb()), KeyCollation(connection.is_mariadb()));
  const absl::Status made = connection.Exec(sql);
  if (!absl::IsInvalidArgument(made)) return made;
  return absl::InvalidArgumentError(
      fmt::format("the table that keeps what each query has written cannot be made ({}); let an "
                  "administrator run:\n{};",
                  std::string(made.message()), sql));
}

}  // namespace tidemark
