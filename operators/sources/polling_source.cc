#include "tidemark/operators/sources/polling_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "tidemark/operators/sources/polling_mirror.h"
#include "tidemark/operators/sources/polling_times.h"

namespace tidemark {
namespace {

// Polls in memory whose batches are not committed: the running batch, the next, and one to spare.
constexpr int64_t kPollsInMemory = 3;
// A pass over the look-back is repeated after this many times its length at the earliest.
constexpr int kPassPause = 2;

class PollsOwner : public RecordOwner {
 public:
  void Keep(const std::shared_ptr<const PolledRows>& rows) { polls_.push_back(rows); }

 private:
  std::vector<std::shared_ptr<const PolledRows>> polls_;
};

absl::Status Damaged(const std::string& topic) {
  return absl::DataLossError(fmt::format(
      "the checkpoint's rows or cursor of table {} cannot be read; go back to a snapshot", topic));
}

}  // namespace

std::string PollingFingerprint(const PollingOptions& options) {
  const std::string table = options.table.empty() ? "table" : "table " + options.table;
  switch (options.mode) {
    case PollingMode::kId:
      return fmt::format("{} by id {}", table, options.id_column);
    case PollingMode::kTimestamp:
      return fmt::format("{} by timestamp {}", table, options.timestamp_column);
    case PollingMode::kTimestampAndId:
      break;
  }
  return fmt::format("{} by timestamp {} and id {}", table, options.timestamp_column,
                     options.id_column);
}

absl::StatusOr<std::unique_ptr<PollingSource>> PollingSource::Make(
    std::unique_ptr<PollingTable> table, PollingOptions options, const PollingStart& start) {
  if (options.max_rows < 1 || options.max_bytes < 1) {
    return absl::InvalidArgumentError(
        fmt::format("a poll of {} rows and {} bytes takes nothing: max_rows and max_bytes must be "
                    "at least 1",
                    options.max_rows, options.max_bytes));
  }
  if (options.poll_interval < absl::ZeroDuration() || options.look_back < absl::ZeroDuration() ||
      options.grace < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("poll_interval, look_back and grace must not be negative");
  }
  std::string topic = options.table.empty() ? start.topic : options.table;
  std::unique_ptr<PollingSource> source(
      new PollingSource(std::move(table), std::move(options), std::move(topic)));
  if (absl::Status status = source->Restore(start); !status.ok()) return status;
  return source;
}

PollingSource::PollingSource(std::unique_ptr<PollingTable> table, PollingOptions options,
                             std::string topic)
    : table_(std::move(table)), options_(std::move(options)), partition_{std::move(topic), 0} {}

PollingSource::~PollingSource() {
  if (!ahead_.valid()) return;
  table_->Cancel();
  ahead_.wait();
}

absl::Status PollingSource::Restore(const PollingStart& start) {
  if (IsOldCursor(start.state.head)) {
    return absl::FailedPreconditionError(fmt::format(
        "the checkpoint's cursor of table {} was written by an older Tidemark and cannot be read "
        "any more; go on with that version, or begin with a new checkpoint folder",
        partition_.topic));
  }
  if (!start.state.head.empty()) {
    const std::optional<PollingCursor> cursor = DecodeCursor(start.state.head);
    if (!cursor.has_value()) return Damaged(partition_.topic);
    committed_ = *cursor;
  }
  int64_t offset = 0;
  if (start.committed.has_value()) {
    const auto found = start.committed->find(partition_);
    if (found != start.committed->end()) offset = found->second;
  }
  if (offset != committed_.offset) {
    return absl::DataLossError(
        fmt::format("the checkpoint's offset {} of table {} and its cursor, at row {}, do not "
                    "belong together; go back to a snapshot",
                    offset, partition_.topic, committed_.offset));
  }
  const RowPosition seen_from{committed_.seen_from(), 0};
  std::vector<RowPosition> block;
  for (const auto& [key, value] : start.state.rows) {
    if (!DecodeSeenBlock(key, value, &block)) return Damaged(partition_.topic);
    block.erase(block.begin(), std::lower_bound(block.begin(), block.end(), seen_from));
    seen_.Insert(std::move(block));
  }
  if (!start.saved_records.empty()) {
    std::optional<Polls> polls = DecodePolls(start.saved_records);
    if (!polls.has_value()) return Damaged(partition_.topic);
    polls_ = *std::move(polls);
    if (!polls_.empty() && polls_.front()->first_offset != offset) {
      return Damaged(partition_.topic);
    }
    // The batch that was planned with them runs first; there may be more by now.
    skip_poll_ = more_ = !polls_.empty();
  }
  const PollingCursor reached = CursorAt(polled_end());
  last_id_ = reached.last;
  if (options_.mode == PollingMode::kId || !reached.last.has_value()) return absl::OkStatus();
  for (const auto& rows : polls_) seen_.Insert(rows->positions);
  in_pass_ = more_ = resumed_pass_ = true;
  place_.time = reached.last;
  look_back_from_ = reached.look_back_from;
  return absl::OkStatus();
}

// What is called between two Available has the table to itself.
void PollingSource::WaitForTable() const {
  if (ahead_.valid()) ahead_.wait();
}

absl::Status PollingSource::Open() {
  WaitForTable();
  if (absl::Status status = table_->Open(); !status.ok()) return status;
  if (options_.mirror.table.empty()) return absl::OkStatus();
  const absl::StatusOr<std::optional<int64_t>> mirrored = table_->OpenMirror();
  if (!mirrored.ok()) return mirrored.status();
  const bool begun = committed_.last.has_value() || !polls_.empty();
  if (begun || !mirrored->has_value()) return absl::OkStatus();
  return BeginAt(**mirrored);
}

// A query that has read nothing yet goes on where the mirror table says that another one was.
absl::Status PollingSource::BeginAt(int64_t mirrored) {
  const std::string& topic = partition_.topic;
  const std::string& mirror = options_.mirror.table;
  if (options_.mode == PollingMode::kId) {
    const absl::StatusOr<std::optional<int64_t>> drawn = table_->HighestDrawnId();
    if (!drawn.ok()) return drawn.status();
    if (drawn->has_value() && **drawn < mirrored) {
      return absl::InvalidArgumentError(
          fmt::format("the table {} (--offset-table) says that {} was read up to id {}, but its "
                      "ids go only to {}: it was made anew; delete that row of {}, or set it to "
                      "the id to begin after",
                      mirror, topic, mirrored, **drawn, mirror));
    }
    last_id_ = mirrored;
    start_note_ =
        fmt::format("Table {} is read from after id {}, as {} says", topic, mirrored, mirror);
    return absl::OkStatus();
  }
  const absl::StatusOr<int64_t> now = table_->ServerTime();
  if (!now.ok()) return now.status();
  const std::string time = ServerTimeText(mirrored, true);
  if (mirrored > *now) {
    return absl::InvalidArgumentError(
        fmt::format("the table {} (--offset-table) says that {} was read up to {}, which is in the "
                    "future, so rows before it may not have been; set it to the time to begin "
                    "with, or delete that row",
                    mirror, topic, time));
  }
  look_back_from_ = LookBackFrom(mirrored, absl::ZeroDuration(), table_->time_zone());
  start_note_ = fmt::format("Table {} is read from {} on, as {} says", topic, time, mirror);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DataLoss>> PollingSource::CheckIdentity(
    const std::map<TopicPartition, LastRecord>& /*last_records*/) {
  std::vector<DataLoss> losses;
  if (options_.mode != PollingMode::kId || !last_id_.has_value() || identity_checked_)
    return losses;
  const absl::StatusOr<std::optional<int64_t>> drawn = table_->HighestDrawnId();
  if (!drawn.ok()) return drawn.status();
  identity_checked_ = true;
  if (!drawn->has_value() || **drawn >= *last_id_) return losses;
  losses.push_back({partition_, committed_.offset, committed_.offset,
                    fmt::format("the table was made anew: it was read up to id {}, and its ids now "
                                "go only to {}",
                                *last_id_, **drawn)});
  last_id_.reset();
  return losses;
}

int64_t PollingSource::polled_end() const {
  return polls_.empty() ? committed_.offset : polls_.back()->end_offset();
}

bool PollingSource::MayPoll() const {
  int64_t rows = 0;
  size_t bytes = 0;
  for (const auto& poll : polls_) {
    rows += static_cast<int64_t>(poll->size());
    bytes += poll->bytes.size();
  }
  if (rows > (kPollsInMemory - 1) * options_.max_rows ||
      bytes > (kPollsInMemory - 1) * options_.max_bytes) {
    return false;
  }
  return more_ || Clock::now() >= next_poll_;
}

absl::StatusOr<std::vector<AvailableRange>> PollingSource::Available() {
  if (cancelled_) return absl::CancelledError("polling was stopped");
  identity_checked_ = true;  // at a start only: from here on the cursor is ahead of the commits
  if (!std::exchange(skip_poll_, false) && (ahead_.valid() || MayPoll())) {
    absl::Status status = Keep(ahead_.valid() ? ahead_.get() : Poll(NextBudget()));
    if (!status.ok()) return status;
    if (more_ && MayPoll()) PollAhead();
  }
  return std::vector<AvailableRange>{{partition_, committed_.offset, polled_end(), more_}};
}

void PollingSource::PollAhead() {
  try {
    ahead_ = std::async(std::launch::async, [this, budget = NextBudget()] { return Poll(budget); });
  } catch (const std::system_error&) {
    // No thread to be had: the next Available polls.
  }
}

// So many rows that they will hardly outgrow max_bytes: cutting a result short costs the
// connection.
PollingTable::Budget PollingSource::NextBudget() const {
  const size_t fitting = row_bytes_ == 0 ? SIZE_MAX : options_.max_bytes / row_bytes_;
  return {std::clamp(fitting, size_t{1}, static_cast<size_t>(options_.max_rows)),
          options_.max_bytes};
}

PollingSource::Polled PollingSource::Poll(const PollingTable::Budget& budget) {
  const Clock::time_point started = Clock::now();
  Polled polled{.more = false, .rows = std::make_shared<PolledRows>(), .ended = {}, .took = {}};
  polled.more = options_.mode == PollingMode::kId
                    ? table_->PollIds(last_id_, budget, polled.rows.get())
                    : PollByTime(budget, polled.rows.get());
  polled.ended = Clock::now();
  polled.took = polled.ended - started;
  return polled;
}

absl::Status PollingSource::Keep(Polled polled) {
  if (!polled.more.ok()) return polled.more.status();
  more_ = *polled.more;
  next_poll_ = polled.ended + absl::ToChronoNanoseconds(options_.poll_interval);
  if (options_.mode != PollingMode::kId) {
    next_poll_ = std::max(next_poll_, polled.ended + kPassPause * polled.took);
    seen_.DropBefore(committed_.seen_from());
  }
  const std::shared_ptr<PolledRows> rows = std::move(polled.rows);
  if (rows->size() == 0) return absl::OkStatus();
  rows->first_offset = polled_end();
  row_bytes_ = rows->bytes.size() / rows->size() + 1;
  rows->bytes.append(kRecordPadding, '\0');
  last_id_ = rows->positions.back().value;
  if (options_.mode != PollingMode::kId) {
    seen_.Insert(rows->positions);
  }
  polls_.push_back(rows);
  return absl::OkStatus();
}

// A pass goes over the table in the order of time, in as many polls as it takes. A row that it does
// not see commits after its beginning, so its timestamp is at most a look-back before that, and the
// next pass, which begins there, finds it. That goes for one resumed after a restart as well, whose
// beginning was in the life before.
absl::StatusOr<bool> PollingSource::PollByTime(const PollingTable::Budget& budget,
                                               PolledRows* rows) {
  if (!in_pass_) {
    const absl::StatusOr<std::optional<int64_t>> latest = table_->LatestTime();
    if (!latest.ok()) return latest.status();
    if (!latest->has_value()) return false;
    place_ = {look_back_from_, {}};
    const int64_t from = LookBackFrom(**latest, options_.look_back, table_->time_zone());
    look_back_from_ = std::max(from, look_back_from_.value_or(from));
    in_pass_ = true;
  }
  rows->look_back_from = look_back_from_;
  PollingTable::TimePlace place = place_;
  absl::StatusOr<bool> more = true;
  // Pages that hold mostly what is known already are not worth a batch.
  while (*more && rows->size() <= budget.rows / 2 && rows->bytes.size() <= budget.bytes / 2) {
    more = table_->PollTimes(seen_, {budget.rows - rows->size(), budget.bytes}, &place, rows);
    if (!more.ok()) return more.status();
  }
  place_ = std::move(place);
  in_pass_ = *more;
  return *more || std::exchange(resumed_pass_, false);
}

PollingCursor PollingSource::CursorAt(int64_t offset) const {
  PollingCursor cursor = committed_;
  for (const auto& rows : polls_) {
    const int64_t count = offset - rows->first_offset;
    if (count > 0) cursor.Advance(*rows, std::min(static_cast<size_t>(count), rows->size()));
  }
  // Of a table that was made anew the ids begin again.
  if (options_.mode == PollingMode::kId) cursor.highest = cursor.last;
  return cursor;
}

absl::StatusOr<std::string> PollingSource::SaveRecords(const std::vector<PlannedRange>& ranges) {
  for (const PlannedRange& range : ranges) {
    if (range.partition == partition_ && range.start < range.end) {
      return EncodePolls(polls_, range.start, range.end);
    }
  }
  return std::string();
}

// The new keys as one block, whatever the number of those remembered; what has left the look-back
// goes by time.
SourceStateChange PollingSource::StateAfter(const std::vector<PlannedRange>& ranges) const {
  int64_t start = committed_.offset;
  int64_t end = start;
  for (const PlannedRange& range : ranges) {
    if (range.partition != partition_) continue;
    start = range.start;
    end = range.end;
  }
  const PollingCursor before = CursorAt(start);
  const PollingCursor after = CursorAt(end);
  SourceStateChange change;
  change.head = EncodeCursor(after);
  if (options_.mode == PollingMode::kId) return change;
  const int64_t from = after.seen_from();
  if (before.last.has_value() && before.seen_from() < from) {
    change.remove_begin = SeenBlockTime(before.seen_from());
    change.remove_end = SeenBlockTime(from);
  }
  std::vector<RowPosition> block;
  for (const auto& rows : polls_) {
    for (int64_t offset = std::max(start, rows->first_offset);
         offset < std::min(end, rows->end_offset()); ++offset) {
      const RowPosition& position =
          rows->positions[static_cast<size_t>(offset - rows->first_offset)];
      if (position.value >= from) block.push_back(position);
    }
  }
  if (block.empty()) return change;
  std::sort(block.begin(), block.end());
  change.added.push_back(EncodeSeenBlock(start, block));
  return change;
}

absl::Status PollingSource::StartRead(const std::vector<PlannedRange>& ranges) {
  if (cancelled_) return absl::CancelledError("polling was stopped");
  next_ = end_ = chunk_index_ = 0;
  for (const PlannedRange& range : ranges) {
    if (range.start >= range.end) continue;
    if (range.partition != partition_ || range.start < committed_.offset ||
        range.end > polled_end()) {
      return absl::InternalError(fmt::format(
          "rows {} to {} of {} are asked for; in memory are {} to {} of {}", range.start, range.end,
          range.partition.topic, committed_.offset, polled_end(), partition_.topic));
    }
    next_ = range.start;
    end_ = range.end;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RawRecords>> PollingSource::Read(absl::Duration /*timeout*/) {
  if (cancelled_) return absl::CancelledError("polling was stopped");
  if (next_ >= end_) return std::optional<RawRecords>(EndOfRanges());
  RawRecords chunk;
  chunk.topic = partition_.topic;
  chunk.chunk_index = chunk_index_++;
  chunk.records.reserve(std::min(static_cast<size_t>(end_ - next_), kMaxChunkRecords));
  auto owner = std::make_shared<PollsOwner>();
  for (const auto& rows : polls_) {
    if (next_ >= rows->end_offset()) continue;
    owner->Keep(rows);
    for (; next_ < std::min(end_, rows->end_offset()) && !ChunkIsFull(chunk); ++next_) {
      RawRecord& record = chunk.records.emplace_back();
      record.value = rows->row(static_cast<size_t>(next_ - rows->first_offset));
      record.offset = next_;
      record.has_value = true;
      record.padded = true;
      chunk.bytes += record.value.size();
    }
    if (next_ >= end_ || ChunkIsFull(chunk)) break;
  }
  chunk.owner = std::move(owner);
  return std::optional<RawRecords>(std::move(chunk));
}

absl::Status PollingSource::Acknowledge(const Offsets& offsets) {
  const auto found = offsets.find(partition_);
  if (found == offsets.end() || found->second > polled_end()) return absl::OkStatus();
  if (found->second > committed_.offset) {
    committed_ = CursorAt(found->second);
    std::erase_if(polls_,
                  [this](const auto& rows) { return rows->end_offset() <= committed_.offset; });
    if (!ahead_.valid()) seen_.DropBefore(committed_.seen_from());
  }
  return WriteMirrors(committed_);
}

absl::Status PollingSource::WriteMirrors(const PollingCursor& cursor) {
  if (!cursor.highest.has_value()) return absl::OkStatus();
  absl::Status status;
  if (!options_.mirror.table.empty()) {
    WaitForTable();
    status = table_->WriteMirror(*cursor.highest);
  }
  if (!options_.mirror.file.empty()) {
    const std::string& name = options_.mirror.source_name;
    status.Update(
        WriteMirrorFile(options_.mirror.file, {.source = name.empty() ? partition_.topic : name,
                                               .mode = options_.mode,
                                               .rows = cursor.offset,
                                               .last = cursor.highest}));
  }
  return status;
}

void PollingSource::Cancel() {
  cancelled_ = true;
  table_->Cancel();
}

}  // namespace tidemark
