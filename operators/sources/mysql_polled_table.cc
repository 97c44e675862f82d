#include "tidemark/operators/sources/mysql_polled_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sources/polling_mirror.h"
#include "tidemark/operators/sources/polling_times.h"

namespace tidemark {
namespace {

// Answers of the server that must lie within one grace time.
constexpr int kGraceSteps = 4;
constexpr size_t kGapsPerProbe = 256;
// While a gap holds everything up, what comes behind it is not read in vain.
constexpr size_t kRowsWhileStuck = 256;
constexpr std::chrono::milliseconds kCancelPoll(20);

enum ServerError : unsigned {
  kNoSuchColumn = 1054,
  kNoSelectRight = 1142,
  kNoColumnRight = 1143,
  kNoSuchTable = 1146,
  kNoSuchIndex = 1176,
  kLockWaitTimeout = 1205,   // MariaDB, of NOWAIT
  kLockNoWaitFailed = 3572,  // MySQL, of NOWAIT
};

bool ParseId(std::string_view text, int64_t* id) {
  const char* const end = text.data() + text.size();
  const std::from_chars_result parsed = std::from_chars(text.data(), end, *id);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

void Truncate(size_t size, PolledRows* rows) {
  rows->ends.resize(size);
  rows->positions.resize(size);
  rows->bytes.resize(size == 0 ? 0 : rows->ends.back());
}

// In SelectSql's statements the bare name may also be one of their results.
std::string Qualified(std::string_view column) { return "t." + QuoteMySqlName(column); }

// The zero date comes before all others.
int64_t ParseTime(std::string_view text) { return ParseTimestamp(text).value_or(INT64_MIN); }

std::string TimeLiteral(int64_t micros) {
  return micros == INT64_MIN ? "'0000-00-00 00:00:00'"
                             : fmt::format("'{}'", ServerTimeText(micros, true));
}

}  // namespace

MySqlPolledTable::MySqlPolledTable(MySqlSourceOptions options, std::vector<Field> fields)
    : options_(std::move(options)),
      polling_(options_.polling),
      fields_(std::move(fields)),
      writer_(fields_.size()) {}

std::string MySqlPolledTable::description() const {
  return fmt::format("MySQL[{}/{}/{}]", options_.server.HostPort(), options_.server.database,
                     polling_.table);
}

absl::Status MySqlPolledTable::Open() {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  return CheckTable();
}

absl::Status MySqlPolledTable::Connect() {
  absl::StatusOr<std::unique_ptr<MySqlConnection>> connection =
      MySqlConnection::Connect(options_.server, options_.timeouts, &cancelled_);
  if (!connection.ok()) return connection.status();
  absl::Status set = (*connection)->Exec("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
  if (set.ok()) connection_ = *std::move(connection);
  return set;
}

absl::Status MySqlPolledTable::CheckTable() {
  absl::StatusOr<MySqlPolledShape> shape =
      CheckMySqlPolledTable(*connection_, options_.server.database, polling_, fields_);
  if (!shape.ok()) return shape.status();
  shape_ = *std::move(shape);
  result_.clear();
  return absl::OkStatus();
}

// A statement that the server refuses is explained by what has become of the table.
absl::Status MySqlPolledTable::Explain(absl::Status failure) {
  switch (connection_->last_error()) {
    case kNoSuchColumn:
    case kNoSelectRight:
    case kNoColumnRight:
    case kNoSuchTable:
      break;
    case kNoSuchIndex:
      return FindIndexAgain();
    default:
      return failure;
  }
  absl::Status table = CheckTable();
  return table.ok() ? failure : table;
}

// The index was dropped, renamed or set aside while the table was read.
absl::Status MySqlPolledTable::FindIndexAgain() {
  const std::string gone = shape_.index;
  if (absl::Status status = CheckTable(); !status.ok()) return status;
  if (shape_.index == gone) {  // it is there, but not to be used
    if (polling_.mode == PollingMode::kId) {
      return absl::InvalidArgumentError(
          fmt::format("{}: the server does not use the index {} of the id column '{}'; make it "
                      "visible again, or poll by timestamp",
                      description(), gone, polling_.id_column));
    }
    shape_.index.clear();
  }
  return absl::UnavailableError(
      fmt::format("{}: the index {} is gone; {}", description(), gone,
                  shape_.index.empty() ? "the table is read without one, which may take long"
                                       : fmt::format("the table is read by {}", shape_.index)));
}

std::string MySqlPolledTable::SelectSql(const std::string& first_columns) const {
  std::string sql = "SELECT " + first_columns;
  for (const MySqlPolledColumn& column : shape_.columns) sql += ", " + column.sql;
  sql += fmt::format(" FROM {}.{} AS t", QuoteMySqlName(options_.server.database),
                     QuoteMySqlName(polling_.table));
  if (!shape_.index.empty()) sql += fmt::format(" FORCE INDEX ({})", shape_.index);
  return sql;
}

// The result's columns are those of the time when the table was checked, or it is checked again.
absl::Status MySqlPolledTable::CheckResult(const std::vector<MySqlResultColumn>& columns) {
  if (result_ == columns) return absl::OkStatus();
  const bool first = result_.empty();
  result_ = columns;
  if (first) return absl::OkStatus();
  connection_->StopRows();
  if (absl::Status status = Connect(); !status.ok()) return status;
  if (absl::Status status = CheckTable(); !status.ok()) return status;
  return absl::UnavailableError(
      fmt::format("{}: its columns were changed; they fit still", description()));
}

void MySqlPolledTable::AppendRow(const MySqlRowView& row, size_t first_column, PolledRows* rows) {
  writer_.Begin(&rows->bytes);
  for (size_t i = 0; i < shape_.columns.size(); ++i) {
    if (row.IsNull(first_column + i)) {
      writer_.Null();
    } else {
      shape_.columns[i].Append(row[first_column + i], &writer_);
    }
  }
  rows->ends.push_back(rows->bytes.size());
}

// ---- By id

absl::StatusOr<bool> MySqlPolledTable::PollIds(std::optional<int64_t> after, const Budget& budget,
                                               PolledRows* rows) {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Open(); !status.ok()) return status;
  }
  if (absl::Status status = NoteHighestId(); !status.ok()) return Explain(status);
  Budget reading = budget;
  if (stuck_) reading.rows = std::min(budget.rows, kRowsWhileStuck);
  std::vector<Gap> gaps;
  absl::StatusOr<bool> more = ReadIds(after, reading, rows, &gaps);
  // Mostly a gap at the beginning fills within a moment.
  while (more.ok() && !gaps.empty() && gaps[0].row == 0 && !IsSettled(gaps[0].last + 1)) {
    if (absl::Status status = WaitAStep(); !status.ok()) return status;
    reading.rows = std::min(budget.rows, kRowsWhileStuck);
    Truncate(0, rows);
    gaps.clear();
    more = ReadIds(after, reading, rows, &gaps);
  }
  if (!more.ok()) return Explain(more.status());
  if (connection_->lost()) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }

  const auto settled = std::find_if(gaps.begin(), gaps.end(),
                                    [this](const Gap& gap) { return !IsSettled(gap.last + 1); });
  const absl::StatusOr<size_t> open =
      FirstOpenGap(gaps, static_cast<size_t>(settled - gaps.begin()));
  if (!open.ok()) return Explain(open.status());
  const bool waits = *open < static_cast<size_t>(settled - gaps.begin());
  stuck_ = false;
  if (*open < gaps.size()) {
    const size_t kept = gaps[*open].row;
    stuck_ = kept == 0;
    // Behind a gap that is only too young there is more once it was waited for.
    more = kept > 0 && !waits;
    Truncate(kept, rows);
  }
  return more;
}

absl::StatusOr<bool> MySqlPolledTable::ReadIds(std::optional<int64_t> after, const Budget& budget,
                                               PolledRows* rows, std::vector<Gap>* gaps) {
  const std::string id = Qualified(shape_.key[0].name);
  const std::string where = after.has_value() ? fmt::format(" WHERE {} > {}", id, *after) : "";
  const auto columns = connection_->StartRows(
      fmt::format("{}{} ORDER BY {} LIMIT {}", SelectSql(id), where, id, budget.rows));
  if (!columns.ok()) return columns.status();
  if (absl::Status status = CheckResult(*columns); !status.ok()) return status;
  int64_t expected = after.has_value() ? *after + 1 : INT64_MIN;
  MySqlRowView row;
  while (true) {
    const absl::StatusOr<bool> got = connection_->NextRow(&row);
    if (!got.ok()) return got.status();
    if (!*got) return rows->size() == budget.rows;
    int64_t value = 0;
    if (row.IsNull(0) || !ParseId(row[0], &value)) {
      connection_->StopRows();
      return absl::InvalidArgumentError(
          fmt::format("{}: the id {} is not within int64", description(), row[0]));
    }
    if (value != expected) gaps->push_back({expected, value - 1, rows->size()});
    expected = value + 1;
    AppendRow(row, 1, rows);
    rows->positions.push_back({value, static_cast<uint64_t>(value)});
    if (rows->bytes.size() >= budget.bytes) {
      connection_->StopRows();
      return true;
    }
  }
}

// All ids below the highest one that is visible have been drawn.
absl::Status MySqlPolledTable::NoteHighestId() {
  const auto grace = absl::ToChronoNanoseconds(polling_.grace);
  const auto highest = connection_->Query(
      fmt::format("SELECT MAX({}) FROM {}.{}", QuoteMySqlName(shape_.key[0].name),
                  QuoteMySqlName(options_.server.database), QuoteMySqlName(polling_.table)));
  if (!highest.ok()) return highest.status();
  const Clock::time_point now = Clock::now();
  waited_ += std::min<std::chrono::nanoseconds>(now - last_answer_, grace / kGraceSteps);
  last_answer_ = now;
  const std::optional<std::string>& text = (*highest)[0][0];
  int64_t id = 0;
  if (!text.has_value() || !ParseId(*text, &id)) return absl::OkStatus();
  highest_ids_.push_back({waited_, id});
  // Of those that are old enough the last is the best.
  while (highest_ids_.size() > 1 && highest_ids_[1].at + grace <= waited_) highest_ids_.pop_front();
  return absl::OkStatus();
}

bool MySqlPolledTable::IsSettled(int64_t id) const {
  return !highest_ids_.empty() && highest_ids_[0].id >= id &&
         highest_ids_[0].at + absl::ToChronoNanoseconds(polling_.grace) <= waited_;
}

// A part of the grace time, after which the server has answered again.
absl::Status MySqlPolledTable::WaitAStep() {
  const Clock::time_point until =
      Clock::now() + absl::ToChronoNanoseconds(polling_.grace) / kGraceSteps;
  while (Clock::now() < until) {
    if (cancelled_) return absl::CancelledError("polling was stopped");
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(kCancelPoll, until - Clock::now()));
  }
  if (connection_->lost()) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  return NoteHighestId();
}

// The first of the `count` first gaps in which a row may still appear, or has appeared; `count` if
// all of them are empty for ever.
absl::StatusOr<size_t> MySqlPolledTable::FirstOpenGap(const std::vector<Gap>& gaps, size_t count) {
  for (size_t begin = 0; begin < count; begin += kGapsPerProbe) {
    const size_t end = std::min(count, begin + kGapsPerProbe);
    absl::StatusOr<Probe> probe = ProbeGaps(&gaps[begin], gaps.data() + end);
    if (!probe.ok()) return probe.status();
    if (*probe == Probe::kEmpty) continue;
    // The open one is in [low, high).
    size_t low = begin;
    size_t high = end;
    while (high - low > 1) {
      const size_t middle = low + (high - low) / 2;
      probe = ProbeGaps(&gaps[low], gaps.data() + middle);
      if (!probe.ok()) return probe.status();
      (*probe == Probe::kEmpty ? low : high) = middle;
    }
    return low;
  }
  return count;
}

absl::StatusOr<MySqlPolledTable::Probe> MySqlPolledTable::ProbeGaps(const Gap* begin,
                                                                    const Gap* end) {
  const std::string id = QuoteMySqlName(shape_.key[0].name);
  std::string ranges;
  for (const Gap* gap = begin; gap != end; ++gap) {
    ranges += fmt::format("{}{} BETWEEN {} AND {}", ranges.empty() ? "" : " OR ", id, gap->first,
                          gap->last);
  }
  const auto rows = connection_->Query(fmt::format(
      "SELECT {} FROM {}.{} FORCE INDEX ({}) WHERE {} LIMIT 1 {} NOWAIT", id,
      QuoteMySqlName(options_.server.database), QuoteMySqlName(polling_.table), shape_.index,
      ranges, connection_->is_mariadb() ? "LOCK IN SHARE MODE" : "FOR SHARE"));
  if (rows.ok()) return rows->empty() ? Probe::kEmpty : Probe::kCame;
  const unsigned error = connection_->last_error();
  if (error == kLockWaitTimeout || error == kLockNoWaitFailed) return Probe::kMayCome;
  return rows.status();
}

absl::StatusOr<std::optional<int64_t>> MySqlPolledTable::HighestDrawnId() {
  // MySQL otherwise says what it knew a day ago.
  if (!connection_->is_mariadb())
    connection_->Exec("SET SESSION information_schema_stats_expiry = 0").IgnoreError();
  const std::string& database = options_.server.database;
  const std::string& id = shape_.key[0].name;
  const auto next = connection_->Query(
      fmt::format("SELECT t.auto_increment FROM information_schema.tables AS t JOIN "
                  "information_schema.columns AS c ON c.table_schema = t.table_schema AND "
                  "c.table_name = t.table_name WHERE t.table_schema = {} AND t.table_name = {} AND "
                  "c.column_name = {} AND c.extra LIKE '%auto_increment%'",
                  QuoteMySqlText(database), QuoteMySqlText(polling_.table), QuoteMySqlText(id)));
  if (!next.ok()) return next.status();
  int64_t drawn = 0;
  if (next->empty() || !ParseId((*next)[0][0].value_or(""), &drawn))
    return std::optional<int64_t>();
  --drawn;
  const auto highest =
      connection_->Query(fmt::format("SELECT MAX({}) FROM {}.{}", QuoteMySqlName(id),
                                     QuoteMySqlName(database), QuoteMySqlName(polling_.table)));
  if (!highest.ok()) return Explain(highest.status());
  int64_t there = 0;
  if (ParseId((*highest)[0][0].value_or(""), &there)) drawn = std::max(drawn, there);
  return std::optional<int64_t>(drawn);
}

// ---- By timestamp

absl::StatusOr<std::optional<int64_t>> MySqlPolledTable::LatestTime() {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Open(); !status.ok()) return status;
  }
  const auto rows = connection_->Query(fmt::format(
      "SELECT MAX({}), UTC_TIMESTAMP(6) FROM {}.{}", QuoteMySqlName(polling_.timestamp_column),
      QuoteMySqlName(options_.server.database), QuoteMySqlName(polling_.table)));
  if (!rows.ok()) return Explain(rows.status());
  const MySqlRow& row = (*rows)[0];
  if (!row[0].has_value()) return std::optional<int64_t>();
  return std::optional<int64_t>(
      std::min(ParseTime(*row[0]), LocalTime(ParseTime(*row[1]), shape_.time_zone)));
}

absl::StatusOr<int64_t> MySqlPolledTable::ServerTime() {
  const auto rows = connection_->Query("SELECT UTC_TIMESTAMP(6)");
  if (!rows.ok()) return rows.status();
  return LocalTime(ParseTime((*rows)[0][0].value_or("")), shape_.time_zone);
}

// The rows from `place` on.
std::string MySqlPolledTable::PlaceSql(const TimePlace& place) const {
  const std::string time = Qualified(polling_.timestamp_column);
  if (!place.time.has_value()) return time + " IS NOT NULL";
  const std::string from = TimeLiteral(*place.time);
  std::string sql = fmt::format("{} >= {}", time, from);
  if (place.key.empty()) return sql;
  // Written out, because the server finds no index range in a comparison of rows.
  sql += fmt::format(" AND ({} > {}", time, from);
  std::string equal;
  for (size_t i = 0; i < shape_.key.size(); ++i) {
    const std::string name = Qualified(shape_.key[i].name);
    const std::string literal = shape_.key[i].LiteralOf(place.key[i]);
    sql += fmt::format(" OR ({}{} > {})", equal, name, literal);
    equal += fmt::format("{} = {} AND ", name, literal);
  }
  return sql + ")";
}

// Of a row that begins with the timestamp and the key.
RowPosition MySqlPolledTable::PositionOf(const MySqlRowView& row) {
  RowPosition position{ParseTime(row[0]), 0};
  int64_t id = 0;
  if (shape_.key.size() == 1 && shape_.key[0].literal == MySqlKeyColumn::Literal::kNumber &&
      ParseId(row[1], &id)) {
    position.key = static_cast<uint64_t>(id);
    return position;
  }
  key_bytes_.clear();
  for (size_t i = 0; i < shape_.key.size(); ++i) AppendKeyPart(row[1 + i], &key_bytes_);
  position.key = StableHash(key_bytes_);
  return position;
}

absl::StatusOr<bool> MySqlPolledTable::PollTimes(const SeenRows& seen, const Budget& budget,
                                                 TimePlace* place, PolledRows* rows) {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Open(); !status.ok()) return status;
  }
  std::string order = Qualified(polling_.timestamp_column);
  for (const MySqlKeyColumn& column : shape_.key) order += ", " + Qualified(column.name);
  const auto columns = connection_->StartRows(fmt::format(
      "{} WHERE {} ORDER BY {} LIMIT {}", SelectSql(order), PlaceSql(*place), order, budget.rows));
  if (!columns.ok()) return Explain(columns.status());
  if (absl::Status status = CheckResult(*columns); !status.ok()) return status;
  size_t read = 0;
  MySqlRowView row;
  while (true) {
    const absl::StatusOr<bool> got = connection_->NextRow(&row);
    if (!got.ok()) return got.status();
    if (!*got) return read == budget.rows;
    ++read;
    const RowPosition position = PositionOf(row);
    if (!seen.contains(position)) {
      AppendRow(row, 1 + shape_.key.size(), rows);
      rows->positions.push_back(position);
    }
    const bool full = rows->bytes.size() >= budget.bytes;
    if (read == budget.rows || full) {
      place->time = position.value;
      place->key.clear();
      for (size_t i = 0; i < shape_.key.size(); ++i) place->key.emplace_back(row[1 + i]);
    }
    if (full) {
      connection_->StopRows();
      return true;
    }
  }
}

// ---- The mirror

std::string MySqlPolledTable::MirrorName() const {
  return fmt::format("{}.{}", QuoteMySqlName(options_.server.database),
                     QuoteMySqlName(polling_.mirror.table));
}

std::string MySqlPolledTable::MakeMirrorSql() const {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS {} ({} VARCHAR(255) NOT NULL PRIMARY KEY, {} {} NOT NULL)",
      MirrorName(), QuoteMySqlName(polling_.mirror.source_column),
      QuoteMySqlName(polling_.mirror.offset_column),
      polling_.mode == PollingMode::kId ? "BIGINT" : "DATETIME(6)");
}

absl::Status MySqlPolledTable::MakeMirror() {
  if (connection_ == nullptr || connection_->lost()) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  if (!polling_.mirror.create_table || mirror_made_) return absl::OkStatus();
  absl::Status made = connection_->Exec(MakeMirrorSql());
  mirror_made_ = made.ok();
  return made;
}

absl::StatusOr<std::optional<int64_t>> MySqlPolledTable::OpenMirror() {
  if (absl::Status status = MakeMirror(); !status.ok()) return status;
  const PollingMirror& mirror = polling_.mirror;
  const auto rows = connection_->Query(fmt::format(
      "SELECT {} FROM {} WHERE {} = {}", QuoteMySqlName(mirror.offset_column), MirrorName(),
      QuoteMySqlName(mirror.source_column), QuoteMySqlText(mirror.source_name)));
  if (!rows.ok()) {
    switch (connection_->last_error()) {
      case kNoSuchTable:
        return MirrorTableStatus(MirrorFault::kNoTable, mirror, MakeMirrorSql());
      case kNoSuchColumn:
        return MirrorTableStatus(MirrorFault::kNoColumns, mirror, MakeMirrorSql());
      case kNoSelectRight:
      case kNoColumnRight:
        return MirrorTableStatus(MirrorFault::kNoRight, mirror, MakeMirrorSql());
      default:
        return rows.status();
    }
  }
  if (rows->empty() || !(*rows)[0][0].has_value()) return std::optional<int64_t>();
  const std::string& text = *(*rows)[0][0];
  std::optional<int64_t> offset;
  if (polling_.mode != PollingMode::kId) {
    if (text.starts_with("0000-00-00")) return std::optional<int64_t>();
    offset = ParseTimestamp(text);
  } else if (int64_t id = 0; ParseId(text, &id)) {
    offset = id;
  }
  if (!offset.has_value()) return MirrorValueStatus(mirror, polling_.mode, text);
  return offset;
}

absl::Status MySqlPolledTable::WriteMirror(int64_t offset) {
  if (absl::Status status = MakeMirror(); !status.ok()) return status;
  const PollingMirror& mirror = polling_.mirror;
  absl::Status written = connection_->Exec(fmt::format(
      "INSERT INTO {0} ({1}, {2}) VALUES ({3}, {4}) ON DUPLICATE KEY UPDATE {2} = VALUES({2})",
      MirrorName(), QuoteMySqlName(mirror.source_column), QuoteMySqlName(mirror.offset_column),
      QuoteMySqlText(mirror.source_name),
      polling_.mode == PollingMode::kId ? fmt::format("{}", offset) : TimeLiteral(offset)));
  if (!written.ok()) mirror_made_ = false;  // it may have been dropped
  return written;
}

}  // namespace tidemark
