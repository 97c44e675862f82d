#include "tidemark/operators/aggregates/aggregation.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "tidemark/operators/aggregates/accumulators.h"
#include "tidemark/operators/aggregates/group_key.h"
#include "tidemark/operators/aggregates/group_layout.h"
#include "tidemark/operators/aggregates/prepared_chunk.h"
#include "tidemark/operators/aggregates/result_batches.h"
#include "tidemark/operators/aggregates/window.h"

namespace tidemark {
namespace {

// The event time of a group-by: where it is in the input, and the windows it falls into.
struct EventTime {
  size_t column;
  EventWindows windows;
  bool closes;  // the watermark is on this column
};

absl::StatusOr<size_t> FindTimeColumn(const std::string& name, const Schema& input) {
  absl::StatusOr<BoundExpression> bound = Bind(Col(name), input);
  if (!bound.ok()) return bound.status();
  if (bound->type().id != TypeId::kTimestamp) {
    return absl::InvalidArgumentError(
        fmt::format("the window is over {}, which is {}, not a timestamp: declare it as one in the "
                    "schema, or cast it before the group-by",
                    name, bound->type().ToString()));
  }
  return *input.Find(name);
}

// The key that is the watermarked column itself.
std::optional<size_t> FindTimeKey(const AggregationSpec& spec, const Schema& input) {
  if (spec.window.has_value() || !spec.watermark_column.has_value()) return std::nullopt;
  for (size_t i = 0; i < spec.keys.size(); ++i) {
    const ExprNode& node = spec.keys[i].node();
    if (node.kind != ExprKind::kColumn || node.name != *spec.watermark_column) continue;
    const std::optional<size_t> column = input.Find(node.name);
    if (column.has_value() && input.field(*column).type.id == TypeId::kTimestamp) return i;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<EventTime>> PlanEventTime(const AggregationSpec& spec,
                                                       std::optional<size_t> time_key,
                                                       const Schema& input) {
  if (spec.window.has_value()) {
    absl::StatusOr<size_t> column = FindTimeColumn(spec.window->time_column, input);
    if (!column.ok()) return column.status();
    absl::StatusOr<EventWindows> windows = EventWindows::Tumbling(*spec.window);
    if (!windows.ok()) return windows.status();
    const bool closes =
        !spec.watermark_column.has_value() || *spec.watermark_column == spec.window->time_column;
    return EventTime{*column, *windows, closes};
  }
  if (time_key.has_value()) {
    return EventTime{*input.Find(*spec.watermark_column), EventWindows::EachTime(), true};
  }
  return std::nullopt;
}

absl::Status CheckNames(const Schema& output) {
  for (size_t i = 0; i < output.size(); ++i) {
    if (*output.Find(output.field(i).name) == i) continue;
    return absl::InvalidArgumentError(
        fmt::format("two columns of the aggregation are called {}: give one another name with "
                    ".As(\"...\")",
                    output.field(i).name));
  }
  return absl::OkStatus();
}

class GroupByAggregation : public Aggregation {
 public:
  GroupByAggregation(std::shared_ptr<const GroupLayout> layout, std::optional<EventTime> event_time,
                     std::vector<BoundExpression> keys, bool null_on_expression_error)
      : layout_(std::move(layout)),
        event_time_(event_time),
        keys_(std::move(keys)),
        null_on_expression_error_(null_on_expression_error) {}

  const std::shared_ptr<const Schema>& output_schema() const override { return layout_->output; }
  const SlotLayout& slot_layout() const override { return layout_->accumulators.layout(); }
  std::string state_layout() const override;
  bool order_matters() const override { return layout_->accumulators.order_matters(); }
  bool closes_groups() const override { return event_time_.has_value() && event_time_->closes; }

  void Attach(WindowTable* table) override;
  std::unique_ptr<PreparedRows> Prepare(const RowBatch& batch, int64_t late_before) const override;
  absl::Status Apply(const PreparedRows& rows) override;
  absl::Status CheckOverflow() override;
  std::unique_ptr<ResultCursor> Results(std::unique_ptr<GroupCursor> groups) const override {
    return std::make_unique<ResultBatches>(layout_, std::move(groups));
  }
  std::unique_ptr<ResultCursor> Touched() override { return Results(table_->Touched()); }
  std::unique_ptr<ResultCursor> Scan(int64_t after, int64_t upto) override {
    return Results(table_->Scan(after, upto));
  }

 private:
  struct alignas(64) ShardLock {
    std::mutex mutex;
  };

  WindowedRows FindRows(const RowBatch& batch, int64_t late_before, PreparedChunk* chunk) const;
  absl::Status ApplyRuns(const PreparedChunk& chunk, std::span<const Run> runs, std::byte** slots);

  std::shared_ptr<const GroupLayout> layout_;  // shared with cursors
  std::optional<EventTime> event_time_;
  std::vector<BoundExpression> keys_;  // without the time key
  bool null_on_expression_error_;

  WindowTable* table_ = nullptr;
  std::unique_ptr<ShardLock[]> locks_;
  std::atomic<uint32_t> next_first_shard_{0};
  std::atomic<bool> may_have_overflowed_{false};
};

std::string GroupByAggregation::state_layout() const {
  std::string key = layout_->codec.ToString();
  if (event_time_.has_value()) {
    const std::string time = layout_->time_key.has_value() ? "time" : "window";
    key = key.empty() ? time : time + "," + key;
  }
  return fmt::format("key({}) slots({}) v1", key, layout_->accumulators.ToString());
}

void GroupByAggregation::Attach(WindowTable* table) {
  table_ = table;
  locks_ = std::make_unique<ShardLock[]>(static_cast<size_t>(table->shards()));
}

WindowedRows GroupByAggregation::FindRows(const RowBatch& batch, int64_t late_before,
                                          PreparedChunk* chunk) const {
  if (event_time_.has_value()) {
    return AssignWindows(event_time_->windows, batch.column(event_time_->column), batch.selection(),
                         event_time_->closes ? late_before : INT64_MIN, &chunk->errors);
  }
  WindowedRows result;
  result.rows.resize(batch.selection().size());
  size_t next = 0;
  batch.selection().ForEach([&](uint32_t row) { result.rows[next++] = row; });
  result.window_ends.push_back(WindowTable::kNoWindow);
  return result;
}

// One error a row, rows ascending.
void KeepFirstErrors(std::vector<ExpressionError>* errors) {
  std::stable_sort(
      errors->begin(), errors->end(),
      [](const ExpressionError& a, const ExpressionError& b) { return a.row < b.row; });
  const auto last = std::unique(
      errors->begin(), errors->end(),
      [](const ExpressionError& a, const ExpressionError& b) { return a.row == b.row; });
  errors->erase(last, errors->end());
}

// Both are ascending.
void RemoveFailedRows(const std::vector<ExpressionError>& errors, WindowedRows* rows) {
  size_t kept = 0;
  auto error = errors.begin();
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    while (error != errors.end() && error->row < rows->rows[i]) ++error;
    if (error != errors.end() && error->row == rows->rows[i]) continue;
    rows->rows[kept] = rows->rows[i];
    if (!rows->windows.empty()) rows->windows[kept] = rows->windows[i];
    ++kept;
  }
  rows->rows.resize(kept);
  if (!rows->windows.empty()) rows->windows.resize(kept);
}

std::vector<ColumnPtr> EvaluateAll(const std::vector<BoundExpression>& expressions,
                                   const RowBatch& batch, const Selection& rows,
                                   std::vector<ExpressionError>* errors) {
  std::vector<ColumnPtr> columns;
  columns.reserve(expressions.size());
  for (const BoundExpression& expression : expressions) {
    columns.push_back(expression.Evaluate(batch, rows, errors));
  }
  return columns;
}

std::unique_ptr<PreparedRows> GroupByAggregation::Prepare(const RowBatch& batch,
                                                          int64_t late_before) const {
  auto chunk = std::make_unique<PreparedChunk>();
  WindowedRows rows = FindRows(batch, late_before, chunk.get());
  chunk->late_rows = rows.late_rows;
  chunk->null_event_time_rows = rows.null_rows;

  const Selection selection = rows.rows.size() == batch.num_rows()
                                  ? Selection::All(batch.num_rows())
                                  : Selection::Rows(rows.rows);
  const std::vector<ColumnPtr> keys = EvaluateAll(keys_, batch, selection, &chunk->errors);
  const std::vector<ColumnPtr> arguments =
      EvaluateAll(layout_->accumulators.arguments(), batch, selection, &chunk->errors);
  if (!chunk->errors.empty()) {
    KeepFirstErrors(&chunk->errors);
    if (!null_on_expression_error_) RemoveFailedRows(chunk->errors, &rows);
  }

  GroupKeys group_keys = layout_->codec.Encode(keys, rows.rows);
  const std::vector<uint32_t> order = OrderByRun(rows, std::move(group_keys), *table_, chunk.get());
  for (const ColumnPtr& argument : arguments) {
    chunk->arguments.push_back(GatherValues(*argument, order));
  }
  return chunk;
}

absl::Status GroupByAggregation::Apply(const PreparedRows& rows) {
  const auto& chunk = static_cast<const PreparedChunk&>(rows);
  const auto slots = std::make_unique_for_overwrite<std::byte*[]>(chunk.longest_run);
  // Threads begin at different shards, and leave the ones in use for later.
  const uint32_t shards = static_cast<uint32_t>(table_->shards());
  const uint32_t first = next_first_shard_.fetch_add(1, std::memory_order_relaxed);
  std::vector<int> in_use;
  for (uint32_t i = 0; i < shards; ++i) {
    const int shard = static_cast<int>((first + i) % shards);
    const std::span<const Run> runs = chunk.RunsOf(shard);
    if (runs.empty()) continue;
    const std::unique_lock<std::mutex> lock(locks_[shard].mutex, std::try_to_lock);
    if (!lock.owns_lock()) {
      in_use.push_back(shard);
    } else if (absl::Status status = ApplyRuns(chunk, runs, slots.get()); !status.ok()) {
      return status;
    }
  }
  for (const int shard : in_use) {
    const std::lock_guard<std::mutex> lock(locks_[shard].mutex);
    absl::Status status = ApplyRuns(chunk, chunk.RunsOf(shard), slots.get());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status GroupByAggregation::ApplyRuns(const PreparedChunk& chunk, std::span<const Run> runs,
                                           std::byte** slots) {
  bool may_have_overflowed = false;
  for (const Run& run : runs) {
    absl::Status status = table_->Upsert(
        run.shard, run.window_end, std::span(chunk.keys.hashes).subspan(run.begin, run.count),
        std::span(chunk.keys.keys).subspan(run.begin, run.count), slots);
    if (!status.ok()) return status;
    may_have_overflowed |= layout_->accumulators.Update(
        chunk.arguments, run.begin, {slots, run.count}, {table_, run.shard, run.window_end});
  }
  if (may_have_overflowed) may_have_overflowed_.store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status GroupByAggregation::CheckOverflow() {
  if (!may_have_overflowed_.exchange(false) || !layout_->fail_on_overflow) {
    return absl::OkStatus();
  }
  const std::unique_ptr<GroupCursor> groups = table_->Touched();
  while (true) {
    absl::StatusOr<bool> more = groups->Next();
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    if (auto overflow = layout_->accumulators.FirstOverflow(groups->slot())) {
      return layout_->OverflowError(*overflow, groups->window_end(), groups->key());
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Aggregation>> Aggregation::Create(
    const AggregationSpec& spec, std::shared_ptr<const Schema> input,
    bool null_on_expression_error) {
  const std::optional<size_t> time_key = FindTimeKey(spec, *input);
  absl::StatusOr<std::optional<EventTime>> event_time = PlanEventTime(spec, time_key, *input);
  if (!event_time.ok()) return event_time.status();
  absl::StatusOr<Accumulators> accumulators = Accumulators::Create(spec.aggregates, *input);
  if (!accumulators.ok()) return accumulators.status();

  auto output = std::make_shared<Schema>();
  if (spec.window.has_value()) output->Timestamp("window_start").Timestamp("window_end");
  std::vector<BoundExpression> keys;
  std::vector<DataType> key_types;
  for (size_t i = 0; i < spec.keys.size(); ++i) {
    absl::StatusOr<BoundExpression> key = Bind(spec.keys[i], *input);
    if (!key.ok()) return key.status();
    output->Add(spec.keys[i].Name(), key->type());
    if (i == time_key) continue;
    key_types.push_back(key->type());
    keys.push_back(*std::move(key));
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < spec.aggregates.size(); ++i) {
    names.push_back(spec.aggregates[i].Name());
    output->Add(names.back(), accumulators->type(i));
  }
  if (absl::Status status = CheckNames(*output); !status.ok()) return status;

  std::optional<EventWindows> windows;
  if (event_time->has_value()) windows = (*event_time)->windows;
  const bool fails = spec.on_overflow == OverflowPolicy::kFail && accumulators->can_overflow();
  auto layout = std::make_shared<const GroupLayout>(
      GroupLayout{std::move(names), windows, time_key, GroupKeyCodec(std::move(key_types)),
                  *std::move(accumulators), fails, std::move(output)});
  return std::make_unique<GroupByAggregation>(std::move(layout), *event_time, std::move(keys),
                                              null_on_expression_error);
}

}  // namespace tidemark
