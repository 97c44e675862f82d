#include "tidemark/operators/sinks/mysql_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

#include "tidemark/operators/sinks/sink_columns.h"
#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

// READ COMMITTED: only rows are locked, no gaps between them. A lock wait ends before our own
// patience does.
constexpr char kIsolationSql[] = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
constexpr char kWaitsSql[] =
    "SET SESSION innodb_lock_wait_timeout = {0}, lock_wait_timeout = {0}, wait_timeout = 2147483";
// A transaction whose client has vanished without a word holds its locks no longer than this:
// MariaDB ends it, any server ends an idle connection.
constexpr char kIdleTransactionSql[] =
    "SET SESSION idle_transaction_timeout = {0}, idle_readonly_transaction_timeout = {0}, "
    "idle_write_transaction_timeout = {0}";
constexpr char kIdleSql[] = "SET SESSION wait_timeout = {}";
constexpr int64_t kIdleSlackSeconds = 2;
constexpr unsigned kUnknownVariable = 1193;

int64_t AnswerSeconds(const MySqlTimeouts& timeouts) {
  return std::max<int64_t>(1, absl::ToInt64Seconds(timeouts.answer));
}

int64_t LockWaitSeconds(const MySqlTimeouts& timeouts) {
  return std::max<int64_t>(1, AnswerSeconds(timeouts) / 3);
}

template <typename Int>
bool ParseInt(const std::optional<std::string>& text, Int* value) {
  if (!text) return false;
  const auto end = text->data() + text->size();
  const auto [at, error] = std::from_chars(text->data(), end, *value);
  return error == std::errc() && at == end;
}

bool SameLetters(const std::string& a, const std::string& b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

MySqlSink::MySqlSink(MySqlSinkOptions options) : options_(std::move(options)) {}
MySqlSink::~MySqlSink() = default;

std::string MySqlSink::description() const {
  return fmt::format("MySQL[{}.{}]", options_.server.database, options_.table);
}

absl::Status MySqlSink::Open(const SinkContext& context) {
  writer_.reset();
  Leave();
  absl::Status status = PlanColumns(context);
  if (status.ok()) status = Connect();
  if (!status.ok()) return status;
  const auto key = CheckMySqlTable(*connection_, table_, options_.create_table);
  if (!key.ok()) return Fail(key.status());
  status = CheckMarkerTable(*connection_, table_.database);
  if (!status.ok()) return Fail(status);
  // What its description says is for the first batch to check: here nothing keeps it as it is.
  const auto shown = LockMySqlTable(*connection_, table_);
  if (!shown.ok()) return Fail(shown.status());
  shape_.clear();
  PlanWrites(*key);
  return absl::OkStatus();
}

// `key`: the table's key columns in the order of its index.
void MySqlSink::PlanWrites(const std::vector<size_t>& key) {
  for (size_t i = 0; i < key.size(); ++i) layout_.key[i] = layout_.columns[key[i]];
  writer_ = std::make_unique<MySqlWriter>(table_, context_.schema, layout_, options_.write,
                                          options_.use_arrays);
}

// The table is still one that fits, and stays so until the transaction ends.
absl::Status MySqlSink::CheckTable() {
  const absl::StatusOr<std::string> shape = LockMySqlTable(*connection_, table_);
  if (shape.ok() && *shape == shape_) return absl::OkStatus();
  if (!shape.ok() && !absl::IsInvalidArgument(shape.status())) return shape.status();
  const auto key = CheckMySqlTable(*connection_, table_, /*create_table=*/false);
  if (!key.ok()) return key.status();
  const absl::Status markers = CheckMarkerTable(*connection_, table_.database);
  if (!markers.ok()) return markers;
  if (!shape.ok()) return shape.status();
  PlanWrites(*key);
  shape_ = *shape;
  return absl::OkStatus();
}

absl::Status MySqlSink::PlanColumns(const SinkContext& context) {
  context_ = context;
  table_ = {
      .database = options_.server.database, .table = options_.table, .columns = {}, .key = {}};
  layout_ = {};
  layout_.skip_null_keys = options_.on_null_key == MySqlSinkOptions::OnNullKey::kSkip;
  if (SameLetters(table_.table, kMarkerTable)) {
    return absl::InvalidArgumentError(
        fmt::format("the table {} is where MySQL sinks keep what they have written; name another",
                    kMarkerTable));
  }
  if (!options_.delete_when_column.empty()) {
    const auto column =
        FindColumn(context.schema, options_.delete_when_column, "column of deletes");
    if (!column.ok()) return column.status();
    if (context.schema.field(*column).type != DataType::Bool()) {
      return absl::InvalidArgumentError(
          fmt::format("the column of deletes {} is {}; it must be bool",
                      options_.delete_when_column, context.schema.field(*column).type.ToString()));
    }
    layout_.delete_when = *column;
  }
  if (context.key_columns.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} needs key columns, so that a row that comes again replaces itself: name "
                    "them with .Key(...)",
                    description()));
  }
  for (size_t i = 0; i < context.schema.size(); ++i) {
    const Field& field = context.schema.field(i);
    if (i == layout_.delete_when || field.hidden) continue;
    for (const Field& other : table_.columns) {
      if (SameLetters(other.name, field.name)) {
        return absl::InvalidArgumentError(
            fmt::format("the columns {} and {} would be one in MySQL, where letter case does not "
                        "count; rename one",
                        other.name, field.name));
      }
    }
    table_.columns.push_back(field);
    layout_.columns.push_back(i);
  }
  for (const std::string& name : context.key_columns) {
    const auto column = FindColumn(context.schema, name, "key column");
    if (!column.ok()) return column.status();
    const auto written = std::find(layout_.columns.begin(), layout_.columns.end(), *column);
    const auto index = static_cast<size_t>(written - layout_.columns.begin());
    if (written == layout_.columns.end() || table_.IsKey(index)) {
      return absl::InvalidArgumentError(fmt::format(
          "the key column {} is {}", name,
          written == layout_.columns.end() ? "not written to the table" : "named twice"));
    }
    table_.key.push_back(index);
    layout_.key.push_back(*column);
  }
  return absl::OkStatus();
}

absl::Status MySqlSink::Connect() {
  Leave();
  auto connection = MySqlConnection::Connect(options_.server, options_.timeouts, &cancelled_);
  if (!connection.ok()) return connection.status();
  absl::Status status = SetWaits(**connection);
  if (status.ok() && left_) status = (*connection)->End(*left_);
  if (!status.ok()) return status;
  left_.reset();
  connection_ = std::move(*connection);
  return absl::OkStatus();
}

absl::Status MySqlSink::SetWaits(MySqlConnection& connection) const {
  absl::Status status = connection.Exec(kIsolationSql);
  if (status.ok()) {
    status = connection.Exec(fmt::format(kWaitsSql, LockWaitSeconds(options_.timeouts)));
  }
  if (!status.ok()) return status;
  const int64_t idle = AnswerSeconds(options_.timeouts) + kIdleSlackSeconds;
  status = connection.Exec(fmt::format(kIdleTransactionSql, idle));
  if (status.ok() || connection.last_error() != kUnknownVariable) return status;
  return connection.Exec(fmt::format(kIdleSql, idle));
}

// The server may not have missed a connection that was lost on the way: the next one ends it.
void MySqlSink::Leave() {
  if (connection_ != nullptr) left_ = connection_->identity();
  connection_.reset();
}

absl::Status MySqlSink::Begin() {
  if (writer_ == nullptr) return absl::InternalError("the MySQL sink is not open");
  // A connection that the server has closed meanwhile is no failure: nothing was under way on it.
  if (connection_ != nullptr && connection_->Exec("START TRANSACTION").ok())
    return absl::OkStatus();
  const absl::Status connected = Connect();
  return connected.ok() ? connection_->Exec("START TRANSACTION") : connected;
}

// Ends the transaction; the next call begins with a new connection unless this one is surely as
// before.
absl::Status MySqlSink::Fail(const absl::Status& failure) {
  if (connection_ != nullptr && (connection_->lost() || !connection_->Exec("ROLLBACK").ok()))
    Leave();
  return failure;
}

// Waits for a COMMIT of this marker that is still running, of a connection that we have lost.
absl::StatusOr<std::optional<SinkMarker>> MySqlSink::LockMarker() {
  const auto rows = connection_->Query(fmt::format(
      "SELECT epoch, batch_id, plan_hash, row_count, rows_hash FROM {} WHERE query_id = {} AND "
      "sink = {} FOR UPDATE",
      kMarkerTable, QuoteMySqlText(context_.query_id), QuoteMySqlText(context_.sink)));
  if (!rows.ok()) return rows.status();
  if (rows->empty()) return std::nullopt;
  const MySqlRow& row = rows->front();
  SinkMarker marker{.query_id = context_.query_id, .sink = context_.sink};
  if (!ParseInt(row[0], &marker.epoch) || !ParseInt(row[1], &marker.batch_id) ||
      !ParseInt(row[2], &marker.plan_hash) || !ParseInt(row[3], &marker.row_count) ||
      !ParseInt(row[4], &marker.rows_hash)) {
    return absl::FailedPreconditionError(
        fmt::format("the row of query {} and sink {} in {}.{} is not one that this sink wrote",
                    context_.query_id, context_.sink, table_.database, kMarkerTable));
  }
  return marker;
}

absl::Status MySqlSink::PutMarker(const SinkMarker& marker) {
  return connection_->Exec(fmt::format(
      "INSERT INTO {} (query_id, sink, epoch, batch_id, plan_hash, row_count, "
      "rows_hash) VALUES ({}, {}, {}, {}, {}, "
      "{}, {}) ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), batch_id = "
      "VALUES(batch_id), plan_hash = "
      "VALUES(plan_hash), row_count = VALUES(row_count), rows_hash = VALUES(rows_hash)",
      kMarkerTable, QuoteMySqlText(context_.query_id), QuoteMySqlText(context_.sink), marker.epoch,
      marker.batch_id, marker.plan_hash, marker.row_count, marker.rows_hash));
}

absl::StatusOr<std::optional<SinkMarker>> MySqlSink::ReadMarker() {
  const absl::Status begun = Begin();
  if (!begun.ok()) return Fail(begun);
  auto marker = LockMarker();
  if (!marker.ok()) return Fail(marker.status());
  const absl::Status ended = connection_->Exec("ROLLBACK");
  if (!ended.ok()) return Fail(ended);
  return marker;
}

absl::Status MySqlSink::WriteMarker(const SinkMarker& marker) {
  if (marker.query_id != context_.query_id || marker.sink != context_.sink) {
    return absl::InternalError(
        fmt::format("a marker of query {}, sink {} was given to query {}, sink {}", marker.query_id,
                    marker.sink, context_.query_id, context_.sink));
  }
  const absl::Status begun = Begin();
  if (!begun.ok()) return Fail(begun);
  const auto held = LockMarker();
  if (!held.ok()) return Fail(held.status());
  const auto holds =
      HoldsBatch(*held, {marker.batch_id, marker.epoch, marker.plan_hash}, description());
  if (!holds.ok()) return Fail(holds.status());
  absl::Status status = *holds ? absl::OkStatus() : PutMarker(marker);
  if (status.ok()) status = connection_->Exec("COMMIT");
  return status.ok() ? status : Fail(status);
}

// A batch that this sink does not hold is the one after the marker's, or repeats what an earlier
// epoch wrote.
absl::Status MySqlSink::CheckFollows(const std::optional<SinkMarker>& held,
                                     const SinkBatch& batch) const {
  if (held && held->batch_id >= batch.batch_id - 1) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} has lost what it was given: {}.{} holds {} of query {}, sink {}, but batch {} was to be "
      "written; bring the "
      "database back to where it was, or start from a new checkpoint",
      description(), table_.database, kMarkerTable,
      held ? fmt::format("batch {} of epoch {}", held->batch_id, held->epoch) : "nothing",
      context_.query_id, context_.sink, batch.batch_id));
}

absl::StatusOr<SinkMarker> MySqlSink::Commit(const SinkBatch& batch, RowStream& rows) {
  const absl::Status begun = Begin();
  if (!begun.ok()) return Fail(begun);
  absl::StatusOr<SinkMarker> marker = CommitInTransaction(batch, rows);
  if (!marker.ok()) return Fail(marker.status());
  return marker;
}

// Reads all rows of the batch. However long that takes, the server hears of us meanwhile: it ends
// transactions that say nothing.
absl::Status MySqlSink::Gather(RowStream& stream, MySqlRows* rows) {
  using Clock = std::chrono::steady_clock;
  const auto interval = std::chrono::milliseconds(
      absl::ToInt64Milliseconds(absl::Seconds(AnswerSeconds(options_.timeouts)) / 3));
  Clock::time_point heard = Clock::now();
  while (true) {
    const absl::StatusOr<const RowBatch*> next = stream.Next();
    if (!next.ok()) return next.status();
    if (*next == nullptr) return rows->Settle();
    absl::Status status = rows->Add(**next);
    if (status.ok() && Clock::now() - heard >= interval) {
      status = connection_->Exec("DO 0");
      heard = Clock::now();
    }
    if (!status.ok()) return status;
  }
}

absl::StatusOr<SinkMarker> MySqlSink::CommitInTransaction(const SinkBatch& batch,
                                                          RowStream& stream) {
  const auto held = LockMarker();
  if (!held.ok()) return held.status();
  const auto holds = HoldsBatch(*held, batch, description());
  if (!holds.ok()) return holds.status();
  if (*holds) {
    if (unsure_ && unsure_->epoch == batch.epoch && unsure_->batch_id == batch.batch_id)
      CountRows();
    const absl::Status ended = connection_->Exec("ROLLBACK");
    if (!ended.ok()) return ended;
    return **held;
  }
  unsure_.reset();
  absl::Status status = CheckFollows(*held, batch);
  if (status.ok()) status = CheckTable();
  if (status.ok()) status = stream.Rewind();
  if (!status.ok()) return status;
  MySqlRows rows(layout_);
  status = Gather(stream, &rows);
  if (status.ok()) status = writer_->Write(*connection_, rows);
  if (!status.ok()) return status;
  const SinkMarker marker = MarkerOf(context_, batch, stream);
  status = PutMarker(marker);
  if (!status.ok()) return status;
  unsure_ = {batch.epoch, batch.batch_id, rows.superseded_rows(), rows.skipped_rows()};
  CrashPoint("sink before commit");
  status = connection_->Exec("COMMIT");
  CrashPoint("sink after commit");
  if (!status.ok()) {
    // Whether it went through, the marker will tell.
    return absl::IsCancelled(status)
               ? status
               : absl::UnavailableError(fmt::format("batch {} was sent to {} and not answered: {}",
                                                    batch.batch_id, description(),
                                                    std::string(status.message())));
  }
  CountRows();
  return marker;
}

void MySqlSink::CountRows() {
  superseded_rows_ += unsure_->superseded_rows;
  skipped_rows_ += unsure_->skipped_rows;
  unsure_.reset();
}

int64_t MySqlSink::TakeSkippedRows() { return std::exchange(skipped_rows_, 0); }

}  // namespace tidemark
