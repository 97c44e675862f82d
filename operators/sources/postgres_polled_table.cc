#include "tidemark/operators/sources/postgres_polled_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sources/polling_mirror.h"
#include "tidemark/operators/sources/polling_times.h"

namespace tidemark {
namespace {

// The signature, flags and extension of COPY's binary format, before the first row.
constexpr size_t kCopyHeaderBytes = 19;
constexpr std::chrono::milliseconds kWritersPoll(10);

// SQLSTATEs.
constexpr char kNoSuchSchema[] = "3F000";
constexpr char kNoRight[] = "42501";
constexpr char kNoSuchColumn[] = "42703";
constexpr char kNoSuchCast[] = "42846";
constexpr char kNoSuchTable[] = "42P01";

// In SelectSql's statements the bare name may also be one of their results.
std::string Qualified(std::string_view column) { return "t." + QuotePostgresName(column); }

// Of PostgresTime, where the two ends are the infinities.
std::string TimeText(int64_t micros) {
  if (micros == INT64_MIN) return "-infinity";
  return micros == INT64_MAX ? "infinity" : ServerTimeText(micros, false);
}

// Splits a row of COPY's binary format; false at the trailer, or if it is none with so many values.
bool SplitRow(std::string_view data, std::vector<std::string_view>* values) {
  const auto take_number = [&data](int bytes) {
    int64_t number = static_cast<signed char>(data[0]) < 0 ? -1 : 0;
    for (int i = 0; i < bytes; ++i) {
      number = static_cast<int64_t>(static_cast<uint64_t>(number) << 8 |
                                    static_cast<unsigned char>(data[static_cast<size_t>(i)]));
    }
    data.remove_prefix(static_cast<size_t>(bytes));
    return number;
  };
  if (data.size() < 2 || take_number(2) != static_cast<int64_t>(values->size())) return false;
  for (std::string_view& value : *values) {
    if (data.size() < 4) return false;
    const int64_t size = take_number(4);
    value = {};
    if (size < 0) continue;
    if (data.size() < static_cast<size_t>(size)) return false;
    value = data.substr(0, static_cast<size_t>(size));
    data.remove_prefix(static_cast<size_t>(size));
  }
  return true;
}

}  // namespace

PostgresPolledTable::PostgresPolledTable(PostgresSourceOptions options, std::vector<Field> fields)
    : options_(std::move(options)),
      polling_(options_.polling),
      fields_(std::move(fields)),
      writer_(fields_.size()) {}

std::string PostgresPolledTable::description() const {
  return fmt::format("PostgreSQL[{}/{}/{}]", options_.server.HostPort(), options_.server.database,
                     polling_.table);
}

absl::Status PostgresPolledTable::Open() {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  return CheckTable();
}

absl::Status PostgresPolledTable::Connect() {
  absl::StatusOr<std::unique_ptr<PostgresConnection>> connection =
      PostgresConnection::Connect(options_.server, options_.timeouts, &cancelled_);
  if (!connection.ok()) return connection.status();
  connection_ = *std::move(connection);
  return absl::OkStatus();
}

absl::Status PostgresPolledTable::CheckTable() {
  absl::StatusOr<PostgresPolledShape> shape =
      CheckPostgresPolledTable(*connection_, polling_, fields_);
  if (!shape.ok()) return shape.status();
  shape_ = *std::move(shape);
  return absl::OkStatus();
}

// Connected, to a table that is as it was when it was checked.
absl::Status PostgresPolledTable::Ready() {
  if (connection_ == nullptr || connection_->lost()) return Open();
  const auto signature = connection_->Query(PostgresSignatureSql(shape_.table));
  if (!signature.ok()) return signature.status();
  if ((*signature)[0][0].value_or("") == shape_.signature) return absl::OkStatus();
  return CheckTable();
}

// A statement that the server refuses is explained by what has become of the table.
absl::Status PostgresPolledTable::Explain(absl::Status failure) {
  if (!absl::IsInvalidArgument(failure) || connection_->lost()) return failure;
  absl::Status table = CheckTable();
  return table.ok() ? failure : table;
}

std::string PostgresPolledTable::SelectSql(const std::string& first_columns) const {
  std::string sql = "SELECT " + first_columns;
  for (const PostgresPolledColumn& column : shape_.columns) sql += ", " + column.sql;
  return sql + " FROM " + shape_.table + " AS t";
}

// Calls on_row() for each row, whose values are then in `values_`, until it says false, which costs
// the connection. The number of rows read.
template <typename OnRow>
absl::StatusOr<size_t> PostgresPolledTable::Copy(const std::string& select, size_t columns,
                                                 OnRow&& on_row) {
  absl::Status started =
      connection_->StartCopy(fmt::format("COPY ({}) TO STDOUT (FORMAT BINARY)", select));
  if (!started.ok()) return Explain(std::move(started));
  values_.resize(columns);
  size_t rows = 0;
  bool header = true;
  while (true) {
    const auto data = connection_->NextCopyData();
    if (!data.ok()) return Explain(data.status());
    if (!data->has_value()) return rows;
    std::string_view bytes = **data;
    if (std::exchange(header, false)) bytes.remove_prefix(std::min(kCopyHeaderBytes, bytes.size()));
    if (bytes.size() <= 2) continue;  // the trailer
    if (!SplitRow(bytes, &values_)) {
      connection_->StopCopy();
      return absl::InternalError(fmt::format("{}: unreadable binary row", description()));
    }
    ++rows;
    if (!on_row()) {
      connection_->StopCopy();
      return rows;
    }
  }
}

void PostgresPolledTable::AppendRow(const std::string_view* values, PolledRows* rows) {
  writer_.Begin(&rows->bytes);
  for (const PostgresPolledColumn& column : shape_.columns) {
    if (values->data() == nullptr) {
      writer_.Null();
    } else {
      column.Append(*values, &writer_);
    }
    ++values;
  }
  rows->ends.push_back(rows->bytes.size());
}

// ---- By id

absl::StatusOr<bool> PostgresPolledTable::PollIds(std::optional<int64_t> after,
                                                  const Budget& budget, PolledRows* rows) {
  if (absl::Status status = Ready(); !status.ok()) return status;
  const absl::StatusOr<bool> settled = IsSettled(after);
  if (!settled.ok()) return settled.status();
  if (!*settled) return false;
  const std::string id = Qualified(shape_.key[0].name);
  const std::string from = after.has_value() ? fmt::format("{} > {} AND ", id, *after) : "";
  const absl::StatusOr<size_t> read =
      Copy(fmt::format("{} WHERE {}{} <= {} ORDER BY {} LIMIT {}", SelectSql(id + "::int8"), from,
                       id, *highest_, id, budget.rows),
           1 + shape_.columns.size(), [&] {
             const int64_t value = PostgresInt64(values_[0]);
             AppendRow(&values_[1], rows);
             rows->positions.push_back({value, static_cast<uint64_t>(value)});
             return rows->bytes.size() < budget.bytes;
           });
  if (!read.ok()) return read.status();
  if (*read == budget.rows || rows->bytes.size() >= budget.bytes) return true;
  highest_.reset();
  return false;
}

// True if everything up to `highest_` that may come has come, and there may be something after
// `after`. Waits for the transactions under way for as long as `grace`.
absl::StatusOr<bool> PostgresPolledTable::IsSettled(std::optional<int64_t> after) {
  if (!highest_.has_value()) {
    // In this order: who draws an id below the highest that is visible holds the lock already.
    const auto highest = connection_->Query(
        fmt::format("SELECT max({}) FROM {}", QuotePostgresName(shape_.key[0].name), shape_.table));
    if (!highest.ok()) return Explain(highest.status());
    const std::optional<std::string>& text = (*highest)[0][0];
    if (!text.has_value()) return false;
    int64_t value = 0;
    std::from_chars(text->data(), text->data() + text->size(), value);
    if (after.has_value() && value <= *after) return false;
    const auto writers = connection_->Query(fmt::format(
        "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = "
        "'RowExclusiveLock' AND granted AND database = (SELECT oid FROM pg_database WHERE datname "
        "= current_database()) AND (relation = to_regclass({0}) OR relation IN (SELECT relid FROM "
        "pg_partition_tree(to_regclass({0}))))",
        QuotePostgresText(shape_.table)));
    if (!writers.ok()) return writers.status();
    highest_ = value;
    writers_.clear();
    for (const PostgresRow& row : *writers) writers_.push_back(row[0].value_or(""));
  }
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(polling_.grace);
  while (true) {
    const absl::StatusOr<bool> gone = WritersAreGone();
    if (!gone.ok() || *gone || std::chrono::steady_clock::now() >= end) return gone;
    if (cancelled_) return absl::CancelledError("polling was stopped");
    std::this_thread::sleep_for(kWritersPoll);
  }
}

absl::StatusOr<bool> PostgresPolledTable::WritersAreGone() {
  if (writers_.empty()) return true;
  std::string list;
  for (const std::string& writer : writers_) {
    list += (list.empty() ? "" : ", ") + QuotePostgresText(writer);
  }
  // A transaction holds a lock on its own virtual id to its end; a prepared one has none, but keeps
  // those on its tables.
  const auto left = connection_->Query(fmt::format(
      "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE virtualtransaction IN ({})", list));
  if (!left.ok()) return left.status();
  writers_.clear();
  for (const PostgresRow& row : *left) writers_.push_back(row[0].value_or(""));
  return writers_.empty();
}

// A sequence that never drew, beside rows, is not where their ids come from (a replica, a copy).
absl::StatusOr<std::optional<int64_t>> PostgresPolledTable::HighestDrawnId() {
  const std::string& id = shape_.key[0].name;
  const auto rows = connection_->Query(fmt::format(
      "SELECT greatest(coalesce(last, seqstart - seqincrement), (SELECT max({0}) FROM {1})) "
      "FROM (SELECT *, CASE WHEN may_ask THEN pg_sequence_last_value(seqrelid::regclass) END AS "
      "last FROM (SELECT *, has_sequence_privilege(seqrelid, 'USAGE, SELECT') AS may_ask "
      "FROM pg_sequence WHERE seqincrement > 0 "
      "AND seqrelid = pg_get_serial_sequence({2}, {3})::regclass) AS a) AS b "
      "WHERE may_ask AND (last IS NOT NULL OR NOT EXISTS (SELECT FROM {1}))",
      QuotePostgresName(id), shape_.table, QuotePostgresText(shape_.table), QuotePostgresText(id)));
  if (!rows.ok()) return Explain(rows.status());
  if (rows->empty() || !(*rows)[0][0].has_value()) return std::optional<int64_t>();
  const std::string& text = *(*rows)[0][0];
  int64_t drawn = 0;
  std::from_chars(text.data(), text.data() + text.size(), drawn);
  return std::optional<int64_t>(drawn);
}

// ---- By timestamp

absl::StatusOr<std::optional<int64_t>> PostgresPolledTable::LatestTime() {
  if (absl::Status status = Ready(); !status.ok()) return status;
  const std::string time = QuotePostgresName(polling_.timestamp_column);
  std::optional<int64_t> latest;
  // In UTC, so now() is that for either type.
  const absl::StatusOr<size_t> read = Copy(
      fmt::format("SELECT highest::{1}, now()::{1} FROM (SELECT max({0}) AS highest FROM {2}) AS m",
                  time, TimeType(), shape_.table),
      2, [&] {
        if (values_[0].data() == nullptr) return true;
        latest =
            std::min(PostgresTime(values_[0]).value_or(INT64_MAX),
                     LocalTime(PostgresTime(values_[1]).value_or(INT64_MAX), shape_.time_zone));
        return true;
      });
  if (!read.ok()) return read.status();
  return latest;
}

absl::StatusOr<int64_t> PostgresPolledTable::ServerTime() {
  const auto rows = connection_->Query("SELECT now()::timestamp::text");
  if (!rows.ok()) return rows.status();
  return LocalTime(ParseTimestamp((*rows)[0][0].value_or("")).value_or(INT64_MAX),
                   shape_.time_zone);
}

// The rows from `place` on.
std::string PostgresPolledTable::PlaceSql(const TimePlace& place, const std::string& order) const {
  const std::string time = Qualified(polling_.timestamp_column);
  if (!place.time.has_value()) return time + " IS NOT NULL";
  const std::string from =
      fmt::format("{}::{}", QuotePostgresText(TimeText(*place.time)), TimeType());
  std::string sql = fmt::format("{} >= {}", time, from);
  if (place.key.empty()) return sql;
  std::string values = from;
  for (const std::string& value : place.key) values += ", " + QuotePostgresText(value);
  return sql + fmt::format(" AND ({}) > ({})", order, values);
}

// Of the row at hand, which begins with the timestamp and the key.
RowPosition PostgresPolledTable::Position() {
  RowPosition position{PostgresTime(values_[0]).value_or(INT64_MAX), 0};
  if (shape_.key.size() == 1 && shape_.key[0].is_integer) {
    int64_t id = 0;
    std::from_chars(values_[1].data(), values_[1].data() + values_[1].size(), id);
    position.key = static_cast<uint64_t>(id);
    return position;
  }
  key_bytes_.clear();
  for (size_t i = 0; i < shape_.key.size(); ++i) AppendKeyPart(values_[1 + i], &key_bytes_);
  position.key = StableHash(key_bytes_);
  return position;
}

absl::StatusOr<bool> PostgresPolledTable::PollTimes(const SeenRows& seen, const Budget& budget,
                                                    TimePlace* place, PolledRows* rows) {
  if (absl::Status status = Ready(); !status.ok()) return status;
  const size_t key_size = shape_.key.size();
  std::string order = Qualified(polling_.timestamp_column);
  std::string first = fmt::format("{}::{}", order, TimeType());
  for (const PostgresKeyColumn& column : shape_.key) {
    order += ", " + Qualified(column.name);
    first += fmt::format(", {}::text", Qualified(column.name));
  }
  size_t count = 0;
  bool full = false;
  const absl::StatusOr<size_t> read =
      Copy(fmt::format("{} WHERE {} ORDER BY {} LIMIT {}", SelectSql(first),
                       PlaceSql(*place, order), order, budget.rows),
           1 + key_size + shape_.columns.size(), [&] {
             const RowPosition position = Position();
             if (!seen.contains(position)) {
               AppendRow(&values_[1 + key_size], rows);
               rows->positions.push_back(position);
             }
             full = rows->bytes.size() >= budget.bytes;
             if (++count == budget.rows || full) {
               place->time = position.value;
               place->key.assign(values_.begin() + 1,
                                 values_.begin() + 1 + static_cast<std::ptrdiff_t>(key_size));
             }
             return !full;
           });
  if (!read.ok()) return read.status();
  return *read == budget.rows || full;
}

// ---- The mirror

std::string PostgresPolledTable::MakeMirrorSql() const {
  return fmt::format("CREATE TABLE IF NOT EXISTS {} ({} text PRIMARY KEY, {} {} NOT NULL)",
                     QuotePostgresTable(polling_.mirror.table),
                     QuotePostgresName(polling_.mirror.source_column),
                     QuotePostgresName(polling_.mirror.offset_column),
                     polling_.mode == PollingMode::kId ? "bigint" : "timestamp");
}

absl::Status PostgresPolledTable::MakeMirror() {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  if (!polling_.mirror.create_table || mirror_made_) return absl::OkStatus();
  absl::Status made = connection_->Exec(MakeMirrorSql());
  mirror_made_ = made.ok();
  return made;
}

absl::StatusOr<std::optional<int64_t>> PostgresPolledTable::OpenMirror() {
  if (absl::Status status = MakeMirror(); !status.ok()) return status;
  const PollingMirror& mirror = polling_.mirror;
  const bool by_id = polling_.mode == PollingMode::kId;
  const auto rows = connection_->Query(fmt::format(
      "SELECT {}::{}::text FROM {} WHERE {} = {}", QuotePostgresName(mirror.offset_column),
      by_id ? "bigint" : "timestamp", QuotePostgresTable(mirror.table),
      QuotePostgresName(mirror.source_column), QuotePostgresText(mirror.source_name)));
  if (!rows.ok()) {
    const std::string& error = connection_->last_error();
    if (error == kNoSuchTable || error == kNoSuchSchema)
      return MirrorTableStatus(MirrorFault::kNoTable, mirror, MakeMirrorSql());
    if (error == kNoSuchColumn || error == kNoSuchCast)
      return MirrorTableStatus(MirrorFault::kNoColumns, mirror, MakeMirrorSql());
    if (error == kNoRight) return MirrorTableStatus(MirrorFault::kNoRight, mirror, MakeMirrorSql());
    return rows.status();
  }
  if (rows->empty() || !(*rows)[0][0].has_value()) return std::optional<int64_t>();
  const std::string& text = *(*rows)[0][0];
  if (text == "-infinity") return std::optional<int64_t>();
  if (text == "infinity") return std::optional<int64_t>(INT64_MAX);
  std::optional<int64_t> offset;
  if (by_id) {
    int64_t id = 0;
    std::from_chars(text.data(), text.data() + text.size(), id);
    offset = id;
  } else {
    offset = ParseTimestamp(text);
  }
  if (!offset.has_value()) return MirrorValueStatus(mirror, polling_.mode, text);
  return offset;
}

absl::Status PostgresPolledTable::WriteMirror(int64_t offset) {
  if (absl::Status status = MakeMirror(); !status.ok()) return status;
  const PollingMirror& mirror = polling_.mirror;
  absl::Status written = connection_->Exec(fmt::format(
      "INSERT INTO {0} ({1}, {2}) VALUES ({3}, {4}) ON CONFLICT ({1}) DO UPDATE SET {2} = "
      "excluded.{2}",
      QuotePostgresTable(mirror.table), QuotePostgresName(mirror.source_column),
      QuotePostgresName(mirror.offset_column), QuotePostgresText(mirror.source_name),
      polling_.mode == PollingMode::kId ? fmt::format("{}", offset)
                                        : QuotePostgresText(TimeText(offset))));
  if (!written.ok()) mirror_made_ = false;  // it may have been dropped
  return written;
}

}  // namespace tidemark
