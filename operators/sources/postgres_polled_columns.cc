#include "tidemark/operators/sources/postgres_polled_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

// The server counts from 2000-01-01.
constexpr int64_t kEpochMicros = 946'684'800'000'000;
constexpr int32_t kEpochDays = 10'957;
constexpr uint16_t kNumericNegative = 0x4000;
constexpr uint16_t kNumericSpecial = 0xC000;  // NaN and the infinities have both of its bits
constexpr int kNumericBase = 10'000;
constexpr int kNumericBaseDigits = 4;

// A column as the catalog describes it.
struct ServerColumn {
  std::string name;
  std::string type;              // of a domain the type beneath it, `int4`
  std::string type_text;         // `numeric(10,2)`, as people write it
  std::string category;          // pg_type.typcategory
  std::optional<int> precision;  // of a numeric that has one
  int scale = 0;
  bool not_null = false;
  bool readable = false;

  bool is_integer() const { return type == "int2" || type == "int4" || type == "int8"; }
};

struct ServerIndex {
  bool primary = false;
  std::vector<std::string> columns = {};
};

struct ServerTable {
  std::string name;  // as the user wrote it
  std::vector<ServerColumn> columns;
  std::vector<ServerIndex> unique_indexes;

  const ServerColumn* Find(std::string_view column) const {
    for (const ServerColumn& known : columns) {
      if (known.name == column) return &known;
    }
    return nullptr;
  }
};

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

template <typename T>
T BigEndian(std::string_view value) {
  T result = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    result = static_cast<T>(result << 8 | static_cast<unsigned char>(value[i]));
  }
  return result;
}

absl::StatusOr<std::string> FindTable(PostgresConnection& connection,
                                      const PollingOptions& options) {
  const auto found = connection.Query(
      fmt::format("SELECT c.oid, c.relkind, pg_is_in_recovery() FROM pg_class c WHERE c.oid = "
                  "to_regclass({})::oid",
                  QuotePostgresText(QuotePostgresTable(options.table))));
  if (!found.ok() && connection.last_error() != "42501") return found.status();
  if (!found.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("this user may not look into the schema of PostgreSQL's table {}; let an "
                    "administrator run: GRANT USAGE ON SCHEMA ... TO the user",
                    options.table));
  }
  if (found->empty()) {
    return absl::InvalidArgumentError(
        fmt::format("PostgreSQL has no table {}; check the name (schema.table if it is not on the "
                    "search path), or make the table",
                    options.table));
  }
  const PostgresRow& row = (*found)[0];
  if (row[1] != "r" && row[1] != "p") {
    return absl::InvalidArgumentError(
        fmt::format("PostgreSQL's {} is not a table; name a table to poll", options.table));
  }
  if (row[2] == "t" && options.mode == PollingMode::kId) {
    return absl::InvalidArgumentError(
        fmt::format("this PostgreSQL server is a standby, which does not show the transactions "
                    "under way on table {}; poll the primary, or by timestamp",
                    options.table));
  }
  return row[0].value_or("");
}

absl::StatusOr<ServerTable> ReadTable(PostgresConnection& connection, const std::string& oid,
                                      const PollingOptions& options) {
  ServerTable table;
  table.name = options.table;
  const auto columns = connection.Query(fmt::format(
      "SELECT a.attname, b.typname, format_type(a.atttypid, a.atttypmod), b.typcategory, "
      "CASE WHEN t.typbasetype = 0 THEN a.atttypmod ELSE t.typtypmod END, a.attnotnull, "
      "has_column_privilege(a.attrelid, a.attnum, 'SELECT') FROM pg_attribute a "
      "JOIN pg_type t ON t.oid = a.atttypid "
      "JOIN pg_type b ON b.oid = CASE WHEN t.typbasetype = 0 THEN t.oid ELSE t.typbasetype END "
      "WHERE a.attrelid = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
      oid));
  if (!columns.ok()) return columns.status();
  for (const PostgresRow& row : *columns) {
    ServerColumn column{row[0].value_or(""), row[1].value_or(""), row[2].value_or(""),
                        row[3].value_or(""), std::nullopt,        0,
                        row[5] == "t",       row[6] == "t"};
    int modifier = -1;
    const std::string& text = row[4].value_or("-1");
    std::from_chars(text.data(), text.data() + text.size(), modifier);
    if (column.type == "numeric" && modifier >= 4) {
      column.precision = ((modifier - 4) >> 16) & 0xFFFF;
      column.scale = (((modifier - 4) & 0x7FF) ^ 1024) - 1024;  // of 11 bits, with sign
    }
    table.columns.push_back(std::move(column));
  }
  const auto indexes = connection.Query(
      fmt::format("SELECT i.indexrelid, i.indisprimary, a.attname FROM pg_index i "
                  "CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) "
                  "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND "
                  "k.attnum > 0 WHERE i.indrelid = {} AND i.indisunique AND i.indisvalid AND "
                  "i.indpred IS NULL AND i.indimmediate AND k.place <= i.indnkeyatts "
                  "ORDER BY i.indisprimary DESC, i.indexrelid, k.place",
                  oid));
  if (!indexes.ok()) return indexes.status();
  std::string current;
  for (const PostgresRow& row : *indexes) {
    if (std::exchange(current, row[0].value_or("")) != row[0].value_or("")) {
      table.unique_indexes.push_back({.primary = row[1] == "t"});
    }
    // An expression has no name, and no column's values are told apart by it.
    table.unique_indexes.back().columns.push_back(row[2].value_or(""));
  }
  return table;
}

bool Fits(const ServerColumn& column, const DataType& type) {
  const std::string_view is = column.type;
  switch (type.id) {
    case TypeId::kBool:
      return is == "bool";
    case TypeId::kInt32:
      return is == "int2" || is == "int4";
    case TypeId::kInt64:
      return column.is_integer();
    case TypeId::kDouble:
      return IsOneOf(is, {"float4", "float8", "int2", "int4"});
    case TypeId::kDecimal: {
      const int digits = type.precision - type.scale;
      if (column.is_integer()) return digits >= (is == "int2" ? 5 : is == "int4" ? 10 : 19);
      // Without a precision of its own a numeric is looked at value by value.
      return is == "numeric" &&
             (!column.precision.has_value() ||
              (column.scale <= type.scale && *column.precision - column.scale <= digits));
    }
    case TypeId::kString:
      return column.category == "S" || column.category == "E" ||
             IsOneOf(is, {"uuid", "json", "jsonb", "xml", "inet", "cidr", "macaddr", "interval",
                          "time", "timetz"});
    case TypeId::kBytes:
      return is == "bytea";
    case TypeId::kDate:
      return is == "date";
    case TypeId::kTimestamp:
      return is == "timestamp" || is == "timestamptz";
  }
  return false;
}

// The type that a value is sent as. A cast keeps what is read apart from what a column may have
// been changed to a moment ago.
std::string_view WireType(const ServerColumn& column, const DataType& type) {
  switch (type.id) {
    case TypeId::kBool:
      return "bool";
    case TypeId::kInt32:
      return "int4";
    case TypeId::kInt64:
      return "int8";
    case TypeId::kDouble:
      return "float8";
    case TypeId::kDecimal:
      return "numeric";
    case TypeId::kString:
      return "text";
    case TypeId::kBytes:
      return "bytea";
    case TypeId::kDate:
      return "date";
    case TypeId::kTimestamp:
      return column.type == "timestamptz" ? "timestamptz" : "timestamp";
  }
  return "text";
}

absl::StatusOr<const ServerColumn*> FindColumn(const ServerTable& table, std::string_view what,
                                               const std::string& name) {
  const ServerColumn* const column = table.Find(name);
  if (column == nullptr) {
    std::vector<std::string> names;
    for (const ServerColumn& known : table.columns) names.push_back(known.name);
    const std::string nearest = NearestName(name, names);
    return absl::InvalidArgumentError(
        fmt::format("PostgreSQL's table {} has no {} '{}'{}", table.name, what, name,
                    nearest.empty() ? "; add it, or name another table"
                                    : fmt::format("; did you mean '{}'?", nearest)));
  }
  if (!column->readable) {
    return absl::InvalidArgumentError(
        fmt::format("this user may not read column '{}' of PostgreSQL's table {}; let an "
                    "administrator run: GRANT SELECT ON {} TO the user",
                    name, table.name, QuotePostgresTable(table.name)));
  }
  return column;
}

absl::StatusOr<PostgresPolledColumn> MatchColumn(const ServerTable& table, const Field& field,
                                                 bool check_utf8) {
  const absl::StatusOr<const ServerColumn*> found = FindColumn(table, "column", field.name);
  if (!found.ok()) return found.status();
  const ServerColumn& column = **found;
  if (!Fits(column, field.type)) {
    return absl::InvalidArgumentError(fmt::format(
        "column '{}' of PostgreSQL's table {} is {}, which does not fit {}; change one of them",
        column.name, table.name, column.type_text, field.type.ToString()));
  }
  PostgresPolledColumn polled;
  polled.field = field;
  polled.sql = fmt::format("{}::{}", QuotePostgresName(column.name), WireType(column, field.type));
  polled.check_utf8 = check_utf8 && field.type.id == TypeId::kString;
  polled.has_zone = column.type == "timestamp" && !field.zone.empty();
  const absl::StatusOr<absl::TimeZone> zone = LoadZone(field);
  if (!zone.ok()) return zone.status();
  polled.zone = *zone;
  return polled;
}

// True if no two rows have the same values in `columns`.
bool IsUnique(const ServerTable& table, const std::vector<std::string>& columns) {
  return std::any_of(
      table.unique_indexes.begin(), table.unique_indexes.end(), [&](const ServerIndex& index) {
        return std::all_of(index.columns.begin(), index.columns.end(), [&](const auto& part) {
          return std::find(columns.begin(), columns.end(), part) != columns.end();
        });
      });
}

absl::Status MatchId(const ServerTable& table, const PollingOptions& options,
                     PostgresPolledShape* shape) {
  const absl::StatusOr<const ServerColumn*> column =
      FindColumn(table, "id column", options.id_column);
  if (!column.ok()) return column.status();
  if (!(*column)->is_integer() || !(*column)->not_null || !IsUnique(table, {(*column)->name})) {
    return absl::InvalidArgumentError(
        fmt::format("the id column '{}' of PostgreSQL's table {} must be an integer, NOT NULL, and "
                    "the primary key or unique; poll by another one, or by timestamp",
                    options.id_column, table.name));
  }
  shape->key.push_back({(*column)->name, true});
  return absl::OkStatus();
}

// A session that draws ids in advance uses one long after it was drawn.
absl::Status CheckSequence(PostgresConnection& connection, const PollingOptions& options) {
  const auto cached = connection.Query(fmt::format(
      "SELECT s.seqcache FROM pg_sequence s WHERE s.seqcache > 1 AND s.seqrelid = "
      "pg_get_serial_sequence({}, {})::regclass",
      QuotePostgresText(QuotePostgresTable(options.table)), QuotePostgresText(options.id_column)));
  if (!cached.ok()) return cached.status();
  if (cached->empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "the sequence of id column '{}' of PostgreSQL's table {} draws {} ids in advance, so rows "
      "would be lost; run: ALTER SEQUENCE ... CACHE 1, or poll by timestamp",
      options.id_column, options.table, (*cached)[0][0].value_or("")));
}

absl::Status MatchTime(const ServerTable& table, const PollingOptions& options,
                       PostgresPolledShape* shape) {
  const absl::StatusOr<const ServerColumn*> time =
      FindColumn(table, "timestamp column", options.timestamp_column);
  if (!time.ok()) return time.status();
  if ((*time)->type != "timestamp" && (*time)->type != "timestamptz") {
    return absl::InvalidArgumentError(
        fmt::format("the timestamp column '{}' of PostgreSQL's table {} is {}; it must be "
                    "timestamp or timestamptz",
                    (*time)->name, table.name, (*time)->type_text));
  }
  shape->time_has_zone = (*time)->type == "timestamptz";
  std::vector<std::string> names;
  if (options.mode == PollingMode::kTimestampAndId) {
    names.push_back(options.id_column);
  } else if (!table.unique_indexes.empty() && table.unique_indexes[0].primary) {
    names = table.unique_indexes[0].columns;
  } else {
    return absl::InvalidArgumentError(
        fmt::format("PostgreSQL's table {} has no primary key, so rows with one {} cannot be told "
                    "apart; give it one, or poll by timestamp and id",
                    table.name, (*time)->name));
  }
  for (const std::string& name : names) {
    const absl::StatusOr<const ServerColumn*> column = FindColumn(table, "id column", name);
    if (!column.ok()) return column.status();
    if (!(*column)->is_integer() && (*column)->category != "S" &&
        !IsOneOf((*column)->type,
                 {"uuid", "bytea", "numeric", "date", "timestamp", "timestamptz"})) {
      return absl::InvalidArgumentError(
          fmt::format("column '{}' of PostgreSQL's table {} is {}, which cannot tell rows apart; "
                      "use another id_column",
                      name, table.name, (*column)->type_text));
    }
    shape->key.push_back({name, (*column)->is_integer()});
  }
  if (options.mode == PollingMode::kTimestampAndId &&
      (!table.Find(names[0])->not_null || !IsUnique(table, {names[0], (*time)->name}))) {
    return absl::InvalidArgumentError(
        fmt::format("rows of PostgreSQL's table {} with one {} may have the same '{}': it must be "
                    "NOT NULL, and unique alone or together with it",
                    table.name, (*time)->name, names[0]));
  }
  return absl::OkStatus();
}

// A binary numeric: digits of base 10,000, the first of weight 10,000^weight.
std::optional<Int128> UnscaledOf(std::string_view value, int precision, int scale) {
  constexpr size_t kHeaderBytes = 8;
  if (value.size() < kHeaderBytes) return std::nullopt;
  const size_t digits = BigEndian<uint16_t>(value);
  const int weight = BigEndian<int16_t>(value.substr(2));
  const uint16_t sign = BigEndian<uint16_t>(value.substr(4));
  if ((sign & kNumericSpecial) == kNumericSpecial) return std::nullopt;
  if (value.size() < kHeaderBytes + 2 * digits) return std::nullopt;
  const Int128 limit = [precision] {
    Int128 power = 1;
    for (int i = 0; i < precision; ++i) power *= 10;
    return power;
  }();
  Int128 result = 0;
  for (size_t i = 0; i < digits; ++i) {
    int digit = BigEndian<int16_t>(value.substr(kHeaderBytes + 2 * i));
    // Its last decimal digit counts 10^low in the unscaled value.
    int low = (weight - static_cast<int>(i)) * kNumericBaseDigits + scale;
    for (; low < 0 && digit != 0; ++low) {
      if (digit % 10 != 0) return std::nullopt;
      digit /= 10;
    }
    if (digit == 0) continue;
    Int128 part = digit;
    for (; low > 0; --low) {
      if (part >= limit) return std::nullopt;
      part *= 10;
    }
    result += part;
    if (result >= limit) return std::nullopt;
  }
  return (sign & kNumericNegative) != 0 ? -result : result;
}

}  // namespace

int64_t PostgresInt64(std::string_view value) {
  return static_cast<int64_t>(BigEndian<uint64_t>(value));
}

std::optional<int64_t> PostgresTime(std::string_view value) {
  const int64_t time = PostgresInt64(value);
  if (time == INT64_MIN || time == INT64_MAX) return time;
  int64_t micros = 0;
  if (__builtin_add_overflow(time, kEpochMicros, &micros)) return std::nullopt;
  return micros;
}

void PostgresPolledColumn::Append(std::string_view value, RowWriter* writer) const {
  switch (field.type.id) {
    case TypeId::kBool:
      return writer->Bool(value[0] != 0);
    case TypeId::kInt32:
      return writer->Int32(static_cast<int32_t>(BigEndian<uint32_t>(value)));
    case TypeId::kInt64:
      return writer->Int64(PostgresInt64(value));
    case TypeId::kDouble:
      return writer->Double(std::bit_cast<double>(BigEndian<uint64_t>(value)));
    case TypeId::kDecimal: {
      const std::optional<Int128> unscaled =
          UnscaledOf(value, field.type.precision, field.type.scale);
      return unscaled.has_value() ? writer->Decimal(*unscaled) : writer->Unfit();
    }
    case TypeId::kString:
      if (check_utf8 && !IsValidUtf8(value)) return writer->Unfit();
      return writer->Text(value);
    case TypeId::kBytes:
      return writer->Text(value);
    case TypeId::kDate: {
      const auto days = static_cast<int32_t>(BigEndian<uint32_t>(value));
      // The infinities are the two ends.
      if (days == INT32_MIN || days > INT32_MAX - kEpochDays) return writer->Unfit();
      return writer->Int32(days + kEpochDays);
    }
    case TypeId::kTimestamp: {
      std::optional<int64_t> time = PostgresTime(value);
      if (time == INT64_MIN || time == INT64_MAX) time.reset();
      if (time.has_value() && has_zone) time = LocalToUtc(*time, zone);
      return time.has_value() ? writer->Int64(*time) : writer->Unfit();
    }
  }
}

std::string QuotePostgresTable(const std::string& table) {
  const size_t dot = table.find('.');
  if (dot == std::string::npos) return QuotePostgresName(table);
  return fmt::format("{}.{}", QuotePostgresName(table.substr(0, dot)),
                     QuotePostgresName(table.substr(dot + 1)));
}

std::string PostgresSignatureSql(const std::string& quoted_table) {
  return fmt::format(
      "SELECT string_agg(format('%s %s %s', attname, atttypid, atttypmod), ', ' ORDER BY attnum) "
      "FROM pg_attribute WHERE attrelid = to_regclass({})::oid AND attnum > 0 AND NOT attisdropped",
      QuotePostgresText(quoted_table));
}

absl::StatusOr<PostgresPolledShape> CheckPostgresPolledTable(PostgresConnection& connection,
                                                             const PollingOptions& options,
                                                             const std::vector<Field>& fields) {
  PostgresPolledShape shape;
  shape.table = QuotePostgresTable(options.table);
  const auto signature = connection.Query(PostgresSignatureSql(shape.table));
  if (signature.ok()) shape.signature = (*signature)[0][0].value_or("");
  const absl::StatusOr<std::string> oid = FindTable(connection, options);
  if (!oid.ok()) return oid.status();
  const absl::StatusOr<ServerTable> table = ReadTable(connection, *oid, options);
  if (!table.ok()) return table.status();
  const absl::Status cursor = options.mode == PollingMode::kId ? MatchId(*table, options, &shape)
                                                               : MatchTime(*table, options, &shape);
  if (!cursor.ok()) return cursor;
  if (options.mode == PollingMode::kId) {
    if (absl::Status status = CheckSequence(connection, options); !status.ok()) return status;
  }
  const bool check_utf8 = connection.Setting("server_encoding") == "SQL_ASCII";
  for (const Field& field : fields) {
    absl::StatusOr<PostgresPolledColumn> column = MatchColumn(*table, field, check_utf8);
    if (!column.ok()) return column.status();
    if (column->has_zone && field.name == options.timestamp_column) shape.time_zone = column->zone;
    shape.columns.push_back(*std::move(column));
  }
  return shape;
}

}  // namespace tidemark
