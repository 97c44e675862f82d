#include "tidemark/engine/query_execution.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "tidemark/engine/result_rows.h"
#include "tidemark/engine/uuid.h"
#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

constexpr int kSnapshotsKept = 3;
// Where they are a hundred batches apart or more: QueryOptions::snapshot_every.
constexpr int kManyBatches = 100;
constexpr absl::Duration kSnapshotPause = absl::Seconds(10);
// Kafka's brokers forget a group's offsets after 7 days by default.
constexpr absl::Duration kKeepMarkerEvery = absl::Hours(24);
constexpr absl::Duration kAcknowledgeAgainAfter = absl::Seconds(1);
constexpr absl::Duration kAcknowledgeWarningEvery = absl::Seconds(30);

// What a topic may be made again and filled in without our seeing it missing or too short: of
// pauses that a busy query makes all the time, one in so long is followed by a check.
constexpr absl::Duration kShortPause = absl::Milliseconds(200);
constexpr absl::Duration kLongPause = absl::Seconds(2);
constexpr absl::Duration kCheckAgainAfter = absl::Seconds(5);

std::string PartitionText(const TopicPartition& partition) {
  return fmt::format("topic {} partition {}", partition.topic, partition.partition);
}

// The partition as a whole, in the words of the sources and of FindLosses.
bool IsGone(const DataLoss& loss) {
  return loss.reason == "partition gone" || loss.reason == "the partition is gone";
}

bool HasNews(const std::map<TopicPartition, PartitionProgress>& positions,
             const std::vector<AvailableRange>& available) {
  return std::any_of(available.begin(), available.end(), [&](const AvailableRange& range) {
    const auto position = positions.find(range.partition);
    return position != positions.end() && position->second.next_offset != range.end;
  });
}

bool HasMore(const std::vector<AvailableRange>& available) {
  return std::any_of(available.begin(), available.end(),
                     [](const AvailableRange& range) { return range.more; });
}

}  // namespace

absl::StatusOr<std::unique_ptr<QueryExecution>> QueryExecution::Create(const Query& query,
                                                                       QueryOptions options) {
  if (options.clock == nullptr) options.clock = std::make_shared<SystemClock>();
  if (options.logger == nullptr) options.logger = std::make_shared<StderrLogger>();
  if (options.threads <= 0)
    options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (options.bad_records == BadRecordPolicy::kDeadLetter && !options.dead_letters) {
    return absl::InvalidArgumentError(
        "bad records go to dead letters, but QueryOptions::dead_letters says not where: set it, or "
        "another policy");
  }
  PlannerOptions planner;
  planner.bad_records = options.bad_records;
  planner.on_overflow = options.on_overflow;
  planner.sink_deletes = options.output.supports_deletes;
  absl::StatusOr<BoundPlan> bound = BindPlan(query.plan, planner);
  if (!bound.ok()) return bound.status();
  bound->fingerprint = fmt::format("source {}\n{}", options.input.fingerprint, bound->fingerprint);
  return std::unique_ptr<QueryExecution>(new QueryExecution(*std::move(bound), std::move(options)));
}

QueryExecution::QueryExecution(BoundPlan bound, QueryOptions options)
    : bound_(std::move(bound)),
      options_(std::move(options)),
      run_id_(RandomUuid()),
      start_time_(options_.clock->Monotonic()),
      marker_kept_at_(start_time_),
      shares_(options_.memory_limit),
      freed_memory_(options_.memory_limit),
      sizer_(static_cast<int64_t>(shares_.batch)),
      reports_(&bound_, &options_) {}

QueryExecution::~QueryExecution() {
  reader_.reset();
  cancel_source_ = nullptr;
  cancel_sink_ = nullptr;
}

void QueryExecution::Cancel(bool sink_too) {
  cancelled_ = true;
  if (Source* source = cancel_source_) source->Cancel();
  if (!sink_too) return;
  if (Sink* sink = cancel_sink_) sink->Cancel();
}

// ---- Start

absl::Status QueryExecution::Start() {
  if (cancelled_) return absl::CancelledError("stopped before the query started");
  if (checkpoint_ == nullptr) {
    if (absl::Status status = OpenCheckpoint(); !status.ok()) return status;
  }
  // Like source and sink: what is wrong with it is told before there is a checkpoint of the query.
  if (options_.bad_records == BadRecordPolicy::kDeadLetter && dead_letters_ == nullptr) {
    absl::StatusOr<std::unique_ptr<DeadLetterWriter>> writer = options_.dead_letters();
    if (!writer.ok()) return writer.status();
    dead_letters_ = *std::move(writer);
  }
  if (!source_open_) {
    if (absl::Status status = OpenSource(); !status.ok()) return status;
  }
  if (!sink_open_) {
    if (absl::Status status = OpenSink(); !status.ok()) return status;
  }
  if (row_path_ == nullptr) {
    row_path_ = std::make_unique<RowPath>(&bound_, options_.bad_records, dead_letters_.get(),
                                          options_.threads, shares_.queue);
    BatchReaderOptions reader{options_.clock, options_.logger, options_.give_up_after,
                              [this] { return MemoryFull(); }};
    reader_ = std::make_unique<BatchReader>(std::move(reader), source_.get(), row_path_.get(),
                                            dead_letters_.get(), &cancelled_);
  }
  if (new_query_) {
    options_.logger->Say(fmt::format("New query, checkpoint {}", options_.checkpoint.description));
  } else {
    planned_ = true;
    // The life before may have ended between the commit and this.
    to_acknowledge_.emplace();
    for (const auto& [partition, state] : progress_.partitions)
      (*to_acknowledge_)[partition] = state.next_offset;
    options_.logger->Say(fmt::format("Resumed from {} at batch {}", options_.checkpoint.description,
                                     progress_.batch_id + 1));
  }
  if (const std::string note = source_->start_note(); !note.empty()) options_.logger->Say(note);
  return absl::OkStatus();
}

absl::Status QueryExecution::OpenCheckpoint() {
  bool created = false;
  absl::StatusOr<std::unique_ptr<CheckpointStore>> store =
      options_.checkpoint.open(shares_.store, &created);
  if (!store.ok()) return store.status();
  auto checkpoint = std::make_unique<Checkpoint>(*std::move(store));
  absl::StatusOr<bool> loaded = checkpoint->Load();
  if (!loaded.ok()) return loaded.status();
  if (*loaded && checkpoint->fingerprint() != bound_.fingerprint) {
    return absl::FailedPreconditionError(
        fmt::format("the checkpoint {} belongs to another pipeline: {}; use the pipeline it was "
                    "made with, or another "
                    "checkpoint folder (--checkpoint DIR)",
                    options_.checkpoint.description,
                    FingerprintDifference(checkpoint->fingerprint(), bound_.fingerprint)));
  }
  if (!*loaded && sink_open_) {
    return absl::DataLossError(
        fmt::format("the checkpoint {} lost everything while the query ran; restore it from a "
                    "backup, or start over with a new checkpoint and an empty sink",
                    options_.checkpoint.description));
  }
  new_query_ = !*loaded;
  if (*loaded) progress_ = checkpoint->progress();
  // Positions moved past losses are back: those are found, and counted, again.
  check_identity_ = true;
  lost_offsets_ = 0;
  log_ends_.clear();
  other_logs_.clear();
  replay_pending_ = checkpoint->pending().has_value();
  if (progress_.query_id.empty()) progress_.query_id = RandomUuid();
  checkpoint_ = std::move(checkpoint);
  if (bound_.aggregation != nullptr) {
    WindowTableOptions table;
    table.layout = bound_.aggregation->slot_layout();
    table.memory_budget = shares_.tables;
    table_ = WindowTable::Create(&checkpoint_->store(), table);
    bound_.aggregation->Attach(table_.get());
  }
  return absl::OkStatus();
}

absl::Status QueryExecution::OpenSource() {
  if (source_ == nullptr) {
    SourceRequest request;
    request.topic = bound_.topic;
    request.query_id = progress_.query_id;
    request.queue_bytes = shares_.fetch;
    request.may_lack_topic = !options_.fail_on_data_loss;
    request.schema = &bound_.format.schema;
    absl::StatusOr<SourceState> source_state = checkpoint_->ReadSourceState();
    if (!source_state.ok()) return source_state.status();
    request.state = *std::move(source_state);
    request.saved_records = checkpoint_->pending_records();
    if (!new_query_) {
      request.committed.emplace();
      for (const auto& [partition, state] : progress_.partitions)
        (*request.committed)[partition] = state.next_offset;
    }
    if (checkpoint_->pending().has_value()) {
      for (const PlannedRange& range : checkpoint_->pending()->ranges)
        request.planned[range.partition] = range.end;
    }
    absl::StatusOr<std::unique_ptr<Source>> source = options_.input.make(request);
    if (!source.ok()) return source.status();
    source_ = *std::move(source);
    cancel_source_ = source_.get();
    if (cancelled_) source_->Cancel();
  }
  if (absl::Status status = source_->Open(); !status.ok()) {
    return new_query_ ? status : JudgeMissing(status);
  }
  if (new_query_) {
    absl::StatusOr<Offsets> starting = source_->StartingOffsets();
    if (!starting.ok()) return starting.status();
    for (const auto& [partition, offset] : *starting)
      progress_.partitions[partition].next_offset = offset;
    check_identity_ = false;
  } else {
    const absl::StatusOr<bool> same = CheckIdentity();
    if (!same.ok()) return same.status();
  }
  looked_at_ = options_.clock->Monotonic();
  source_open_ = true;
  return absl::OkStatus();
}

// Whether the partitions are those that were read before. Positions in others are moved to what
// there is now.
absl::StatusOr<bool> QueryExecution::CheckIdentity() {
  check_identity_ = true;  // until nothing is wrong: whoever looks ahead forgets what was
  std::map<TopicPartition, LastRecord> last_records;
  for (const auto& [partition, state] : progress_.partitions) last_records[partition] = state.last;
  absl::StatusOr<std::vector<DataLoss>> losses = source_->CheckIdentity(last_records);
  if (!losses.ok()) return JudgeMissing(losses.status());
  for (const DataLoss& loss : *losses) other_logs_.insert(loss.partition);
  if (absl::Status status = JudgeLosses(*losses, ""); !status.ok()) return status;
  check_identity_ = false;
  identity_checked_at_ = options_.clock->Monotonic();
  return losses->empty();
}

// A topic that has gone since the query began took what was not read yet with it.
absl::Status QueryExecution::JudgeMissing(const absl::Status& status) const {
  if (!absl::IsNotFound(status)) return status;
  return absl::OutOfRangeError(
      fmt::format("{}; the checkpoint {} has read from it before; to wait for a new one, and go on "
                  "without what was not read of the old one, use --fail-on-data-loss false",
                  std::string(status.message()), options_.checkpoint.description));
}

absl::Status QueryExecution::OpenSink() {
  if (sink_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Sink>> sink =
        options_.output.make(SinkRequest{bound_.delete_column});
    if (!sink.ok()) return sink.status();
    sink_ = *std::move(sink);
    cancel_sink_ = sink_.get();
  }
  SinkContext context{progress_.query_id, bound_.sink, *bound_.output, bound_.key_columns,
                      bound_.mode};
  if (absl::Status status = sink_->Open(context); !status.ok()) return status;
  // The checkpoint of a new query is made when source and sink are known to fit it, and before
  // anything is read.
  DescribeCheckpoint();
  if (new_query_ && checkpoint_->progress().query_id.empty()) {
    Offsets starting;
    for (const auto& [partition, state] : progress_.partitions)
      starting[partition] = state.next_offset;
    absl::Status status = checkpoint_->Create(progress_.query_id, bound_.fingerprint, starting);
    if (!status.ok()) {
      // Whether it was made is known when the store has been opened again.
      table_.reset();
      checkpoint_.reset();
      return status;
    }
    progress_ = checkpoint_->progress();
  }
  if (absl::Status status = CheckMarker(); !status.ok()) return status;
  sink_open_ = true;
  return absl::OkStatus();
}

void QueryExecution::DescribeCheckpoint() {
  checkpoint_->Describe({bound_.state_schema, source_->description(), sink_->description()});
}

absl::Status QueryExecution::CheckMarker() {
  if (!sink_->exactly_once()) return absl::OkStatus();
  absl::StatusOr<std::optional<SinkMarker>> read = sink_->ReadMarker();
  if (!read.ok()) return read.status();
  const std::optional<SinkMarker>& marker = *read;
  const std::optional<BatchPlan>& pending = checkpoint_->pending();
  const auto refuse = [&](std::string what) {
    return absl::FailedPreconditionError(
        fmt::format("the checkpoint {} and the sink {} do not belong together: {}; use the "
                    "checkpoint that wrote this sink, or a new "
                    "checkpoint and an empty sink",
                    options_.checkpoint.description, sink_->description(), what));
  };
  if (!marker.has_value()) {
    if (pending.has_value()) {
      return refuse(fmt::format("batch {} is under way, but the sink knows nothing of this query",
                                pending->batch_id));
    }
    if (progress_.batch_id >= 0) {
      options_.logger->Log(LogLevel::kWarning, "sink_without_marker",
                           {{"sink", sink_->description()},
                            {"committed_batch", std::to_string(progress_.batch_id)}});
    }
    SinkMarker first;
    first.query_id = progress_.query_id;
    first.sink = bound_.sink;
    first.epoch = progress_.epoch;
    first.batch_id = progress_.batch_id;
    return sink_->WriteMarker(first);
  }
  if (marker->epoch > progress_.epoch) {
    return refuse(fmt::format("the sink is at epoch {}, the checkpoint at {}", marker->epoch,
                              progress_.epoch));
  }
  // After a rewind the sink is still where the epoch before was, at that batch or past it.
  if (marker->epoch < progress_.epoch && marker->batch_id >= progress_.batch_id) {
    return absl::OkStatus();
  }
  if (marker->batch_id < progress_.batch_id) {
    return refuse(fmt::format("the sink holds batches up to {}, the checkpoint has committed {}",
                              marker->batch_id, progress_.batch_id));
  }
  if (marker->batch_id > progress_.batch_id + 1 ||
      (marker->batch_id == progress_.batch_id + 1 && !pending.has_value())) {
    return refuse(
        fmt::format("the sink holds batches up to {}, the checkpoint only {} (if it is an "
                    "older copy, `tidemark checkpoint rewind` to one of its snapshots "
                    "lets it write those batches again)",
                    marker->batch_id, progress_.batch_id));
  }
  // For the committed batch a sink without a marker got one, without a hash, at a start.
  const bool of_committed = marker->batch_id == progress_.batch_id;
  const std::optional<uint64_t> planned =
      of_committed ? checkpoint_->committed_hash() : std::optional<uint64_t>(pending->Hash());
  if (planned.has_value() && marker->plan_hash != *planned &&
      (marker->plan_hash != 0 || !of_committed)) {
    return refuse(fmt::format("the sink holds batch {} from another plan", marker->batch_id));
  }
  return absl::OkStatus();
}

absl::Status QueryExecution::Reload() {
  // Whatever was being written is decided by what the store holds when it is opened again.
  reader_->Stop();
  next_.reset();
  committer_.Wait().IgnoreError();
  ReportDurable();
  table_.reset();
  checkpoint_.reset();
  batch_.reset();
  committing_.reset();
  if (absl::Status status = OpenCheckpoint(); !status.ok()) return status;
  DescribeCheckpoint();
  reload_ = false;
  return absl::OkStatus();
}

// ---- A batch

absl::StatusOr<bool> QueryExecution::RunBatch() {
  if (reload_) {
    if (absl::Status status = Reload(); !status.ok()) return status;
  }
  if (!batch_.has_value()) {
    absl::StatusOr<bool> begun = BeginBatch();
    if (!begun.ok() || !*begun) return begun;
  }
  if (!batch_->rows_ready) {
    if (absl::Status status = FinishReading(); !status.ok()) {
      reload_ = true;
      return status;
    }
  }
  if (!batch_->in_sink) {
    // The batch before and this one's plan are durable before the sink gets anything.
    if (absl::Status status = Settle(); !status.ok()) return status;
    if (read_ahead_ && batch_->more && !next_.has_value()) BeginNext();
    // The finished rows are kept: after a failure the same call goes on here.
    if (absl::Status status = CommitSink(); !status.ok()) {
      reload_ |= !checkpoint_->store().failure().ok();
      return status;
    }
  }
  if (absl::Status status = CommitState(); !status.ok()) {
    reload_ = true;
    return status;
  }
  if (next_.has_value()) {
    row_path_->Release();
  } else if (!was_cut_) {
    if (absl::Status status = Settle(); !status.ok()) return status;
  }
  return true;
}

absl::StatusOr<bool> QueryExecution::BeginBatch() {
  if (next_.has_value()) {
    batch_ = std::exchange(next_, std::nullopt);
  } else {
    batch_ = Batch();
    const absl::StatusOr<bool> planned = Plan(&*batch_);
    if (!planned.ok() || !*planned) {
      const bool more = batch_->more;
      batch_.reset();
      if (planned.ok()) was_cut_ = more;
      if (absl::Status status = Settle(); !status.ok()) return status;
      freed_memory_.Release(options_.clock->Monotonic());
      if (planned.ok()) KeepMarker();
      return planned;
    }
    StartReading(*batch_, /*hold=*/false);
  }
  planned_ = true;
  was_cut_ = batch_->more;
  const absl::Duration started = options_.clock->Monotonic();
  LogPlan();
  batch_->report.durations.wal_commit = options_.clock->Monotonic() - started;
  return true;
}

// A sink's server may forget the marker of a query that has nothing to do for days.
void QueryExecution::KeepMarker() {
  const absl::Duration now = options_.clock->Monotonic();
  if (now - marker_kept_at_ < kKeepMarkerEvery) return;
  marker_kept_at_ = now;
  if (absl::Status status = sink_->KeepMarker(); !status.ok()) {
    options_.logger->Log(
        LogLevel::kWarning, "marker_not_kept",
        {{"sink", sink_->description()}, {"reason", std::string(status.message())}});
  }
}

// The next batch, if there is one, is planned and read while this one is written. What fails here
// is found again, and told, when it is the next one's turn.
void QueryExecution::BeginNext() {
  next_ = Batch();
  const absl::StatusOr<bool> planned = Plan(&*next_);
  if (planned.ok() && *planned) {
    StartReading(*next_, /*hold=*/bound_.aggregation != nullptr);
  } else {
    next_.reset();
  }
}

absl::Status QueryExecution::Settle() {
  absl::Status status = committer_.Wait();
  ReportDurable();
  if (cancelled_ && next_.has_value()) {
    reader_->Stop();
    next_.reset();
  }
  Acknowledge();
  reload_ |= !status.ok();
  return status;
}

void QueryExecution::LogPlan() {
  committer_.Submit([this, plan = batch_->plan, records = std::move(batch_->saved_records)] {
    CrashPoint("plan before log");
    absl::Status status = checkpoint_->LogPlan(plan, records);
    CrashPoint("plan after log");
    return status;
  });
}

std::vector<AvailableRange> QueryExecution::BoundByTrigger(std::vector<AvailableRange> available) {
  if (!bound_.trigger.ends()) return available;
  if (!final_offsets_.has_value()) {
    // A source that does not see its end yet is read until it does.
    if (HasMore(available)) return available;
    final_offsets_ = EndOffsets(available);
  }
  std::erase_if(available, [this](const AvailableRange& range) {
    return !final_offsets_->contains(range.partition);
  });
  for (AvailableRange& range : available)
    range.end = std::min(range.end, (*final_offsets_)[range.partition]);
  return available;
}

int64_t QueryExecution::RowLimit() const {
  if (bound_.trigger.kind == Trigger::Kind::kOnce) return sizer_.MemoryRows();
  if (options_.max_offsets_per_trigger > 0)
    return std::min(options_.max_offsets_per_trigger, sizer_.MemoryRows());
  return bound_.trigger.kind == Trigger::Kind::kInterval ? sizer_.MemoryRows()
                                                         : sizer_.TargetRows();
}

absl::StatusOr<bool> QueryExecution::Plan(Batch* batch) {
  batch->started = options_.clock->Monotonic();
  batch->report.timestamp = options_.clock->Now();
  if (absl::Status status = LookForNews(batch); !status.ok()) return status;
  const std::vector<AvailableRange> available = BoundByTrigger(batch->latest);
  const absl::Duration polled = options_.clock->Monotonic();
  batch->report.durations.latest_offset = polled - batch->started;

  if (replay_pending_) {
    if (absl::Status status = PlanAgain(batch); !status.ok()) return status;
    replay_pending_ = false;
    return true;
  }
  if (absl::Status status = JudgeLosses(FindLosses(progress_.partitions, batch->latest), "");
      !status.ok())
    return status;
  log_ends_ = EndOffsets(batch->latest);

  BatchPlan& plan = batch->plan;
  plan.batch_id = progress_.batch_id + 1;
  plan.epoch = progress_.epoch;
  plan.time_us = absl::ToUnixMicros(batch->report.timestamp);
  const std::vector<PlannedRange> everything = PlanRanges(progress_.partitions, available, 0);
  const int64_t limit = RowLimit();
  plan.ranges =
      limit == INT64_MAX ? everything : PlanRanges(progress_.partitions, available, limit);
  batch->more = plan.ranges != everything || HasMore(available);

  std::set<TopicPartition> idle;
  if (bound_.watermark.has_value() && bound_.watermark->per_partition) {
    const std::map<TopicPartition, absl::Duration>& last_data = reader_->last_data();
    for (const auto& [partition, state] : progress_.partitions) {
      const auto seen = last_data.find(partition);
      const absl::Duration silent = polled - (seen == last_data.end() ? start_time_ : seen->second);
      if (silent >= bound_.watermark->idle_timeout) idle.insert(partition);
    }
    for (const PlannedRange& range : everything) idle.erase(range.partition);
    plan.idle.assign(idle.begin(), idle.end());
  }
  plan.late_watermark_us = progress_.watermark_us;
  plan.watermark_us = NextWatermark(progress_, bound_.watermark, idle);

  if (plan.ranges.empty()) {
    const bool for_watermark =
        bound_.aggregation != nullptr && bound_.mode != OutputMode::kComplete &&
        bound_.trigger.kind != Trigger::Kind::kOnce && plan.watermark_us > plan.late_watermark_us;
    if (!for_watermark) {
      reports_.WarnOfRows();
      return false;
    }
  }
  batch->to_read = plan.ranges;
  absl::StatusOr<std::string> saved = source_->SaveRecords(plan.ranges);
  if (!saved.ok()) return saved.status();
  batch->saved_records = *std::move(saved);
  batch->lost_offsets = std::exchange(lost_offsets_, 0);
  batch->report.durations.query_planning = options_.clock->Monotonic() - polled;
  return true;
}

// What there is to read. A topic that was made again looks like the old one as soon as it has as
// many records: where it may have been, without our seeing it missing or too short, the last
// records are compared before anything of it is read.
absl::Status QueryExecution::LookForNews(Batch* batch) {
  const absl::Duration pause = batch->started - looked_at_;
  check_identity_ |=
      pause >= kLongPause ||
      (pause >= kShortPause && batch->started - identity_checked_at_ >= kCheckAgainAfter);
  absl::StatusOr<std::vector<AvailableRange>> latest = source_->Available();
  if (!latest.ok()) {
    check_identity_ = true;
    return JudgeMissing(latest.status());
  }
  looked_at_ = batch->started;
  if (check_identity_ && (replay_pending_ || HasNews(progress_.partitions, *latest))) {
    const absl::StatusOr<bool> same = CheckIdentity();
    if (!same.ok()) return same.status();
    if (!*same) latest = source_->Available();
    if (!latest.ok()) return JudgeMissing(latest.status());
  }
  batch->latest = *std::move(latest);
  return absl::OkStatus();
}

absl::Status QueryExecution::PlanAgain(Batch* batch) {
  batch->plan = *checkpoint_->pending();
  const BatchPlan& plan = batch->plan;
  batch->saved_records = checkpoint_->pending_records();
  batch->more = true;  // there may be more behind what was planned then
  std::string holds = "the sink keeps no record of its batches";
  if (sink_->exactly_once()) {
    absl::StatusOr<std::optional<SinkMarker>> marker = sink_->ReadMarker();
    if (!marker.ok()) return marker.status();
    if (marker->has_value() && (*marker)->epoch == plan.epoch &&
        (*marker)->batch_id == plan.batch_id) {
      batch->written = **marker;
    }
    holds = fmt::format("the sink {} it", batch->written.has_value() ? "holds" : "has nothing of");
  }

  // What is there must cover the ranges, from their starts up to their ends.
  std::map<TopicPartition, AvailableRange> available;
  for (const AvailableRange& range : batch->latest) available[range.partition] = range;
  std::vector<DataLoss> losses;
  std::vector<DataLoss> other_logs;
  for (PlannedRange range : plan.ranges) {
    // Planned of a log that another one has replaced: that one is read from its beginning, where
    // the position is now, by the next batch.
    const auto position = progress_.partitions.find(range.partition);
    const int64_t skipped =
        position == progress_.partitions.end() ? 0 : range.start - position->second.next_offset;
    if (skipped > 0 && !other_logs_.contains(range.partition)) {
      lost_offsets_ += skipped;  // judged when the batch was planned behind it
    } else if (skipped > 0) {
      other_logs.push_back({range.partition, range.start, range.end, "topic re-created"});
      batch->kept_positions.insert(range.partition);
      continue;
    }
    const auto found = available.find(range.partition);
    if (found == available.end()) {
      losses.push_back({range.partition, range.start, range.end, "the partition is gone"});
      continue;
    }
    const AvailableRange& now = found->second;
    if (now.begin > range.start) {
      losses.push_back(
          {range.partition, range.start, std::min(now.begin, range.end), "offsets aged out"});
    }
    if (now.end < range.end) {
      losses.push_back({range.partition, std::max(range.start, now.end), range.end,
                        "the log ends before it: the topic was re-created or cut"});
    }
    range.start = std::max(range.start, now.begin);
    range.end = std::min(range.end, now.end);
    batch->log_ends[range.partition] = now.end;
    if (range.start < range.end) batch->to_read.push_back(std::move(range));
  }
  const std::string advice = fmt::format("; batch {} was under way, {}", plan.batch_id, holds);
  for (const DataLoss& loss : other_logs) {
    if (absl::Status status = JudgeLoss(loss, advice); !status.ok()) return status;
  }
  if (absl::Status status = JudgeLosses(losses, advice); !status.ok()) return status;
  batch->lost_offsets = std::exchange(lost_offsets_, 0);
  return absl::OkStatus();
}

absl::Status QueryExecution::JudgeLoss(const DataLoss& loss, const std::string& advice) {
  const std::string what =
      fmt::format("{}: wanted offset {}, available from {}: {}{}", PartitionText(loss.partition),
                  loss.wanted, loss.available, loss.reason, advice);
  if (options_.fail_on_data_loss) {
    return absl::OutOfRangeError(
        fmt::format("data was lost: {}; to go on without it use --fail-on-data-loss false", what));
  }
  options_.logger->Log(LogLevel::kWarning, "data_loss", {{"what", what}});
  lost_offsets_ += CountLost(loss);
  return absl::OkStatus();
}

// Of a log that is gone as a whole, what it had when it was last looked at: nothing is known of one
// that was replaced while the query did not run.
int64_t QueryExecution::CountLost(const DataLoss& loss) const {
  if (loss.available > loss.wanted) return loss.available - loss.wanted;
  const auto end = log_ends_.find(loss.partition);
  return end == log_ends_.end() ? 0 : std::max<int64_t>(0, end->second - loss.wanted);
}

absl::Status QueryExecution::JudgeLosses(const std::vector<DataLoss>& losses,
                                         const std::string& advice) {
  for (const DataLoss& loss : losses) {
    if (absl::Status status = JudgeLoss(loss, advice); !status.ok()) return status;
    if (loss.available <= loss.wanted) log_ends_.erase(loss.partition);
    const auto position = progress_.partitions.find(loss.partition);
    if (position == progress_.partitions.end()) continue;
    if (IsGone(loss)) {
      progress_.partitions.erase(position);
    } else {
      position->second.next_offset = loss.available;
      position->second.last = LastRecord();
    }
  }
  return absl::OkStatus();
}

void QueryExecution::StartReading(const Batch& batch, bool hold) {
  // A batch that the sink has already must come out the same.
  const bool may_cut = !batch.written.has_value();
  reader_->Start({batch.plan, batch.to_read, hold, may_cut});
}

absl::Status QueryExecution::FinishReading() {
  const absl::Duration started = options_.clock->Monotonic();
  const absl::StatusOr<ReadOutcome> read = reader_->Wait();
  if (!read.ok()) return read.status();
  Acknowledge();
  if (read->cut) {
    if (absl::Status status = Cut(read->delivered); !status.ok()) return status;
  }
  const std::vector<DataLoss> losses = source_->TakeLosses();
  check_identity_ |= !losses.empty();
  if (absl::Status status = JudgeLosses(losses, ""); !status.ok()) return status;
  batch_->lost_offsets += std::exchange(lost_offsets_, 0);
  if (absl::Status status = row_path_->Finish(); !status.ok()) return status;
  if (dead_letters_ != nullptr) {
    if (absl::Status status = dead_letters_->Flush(); !status.ok()) return status;
  }
  batch_->stats = row_path_->stats();
  batch_->rows = row_path_->TakeRows();
  batch_->row_bytes = row_path_->memory_bytes();
  FinishProgress(read->last_records);
  batch_->rows_ready = true;
  batch_->report.durations.get_batch = options_.clock->Monotonic() - started;
  return absl::OkStatus();
}

absl::Status QueryExecution::Cut(const std::map<TopicPartition, int64_t>& delivered) {
  std::vector<PlannedRange> ranges;
  for (PlannedRange range : batch_->plan.ranges) {
    const auto end = delivered.find(range.partition);
    if (end == delivered.end()) continue;
    range.end = std::min(range.end, end->second);
    ranges.push_back(std::move(range));
  }
  absl::StatusOr<std::string> saved = source_->SaveRecords(ranges);
  if (!saved.ok()) return saved.status();
  batch_->saved_records = *std::move(saved);
  batch_->plan.ranges = std::move(ranges);
  batch_->more = was_cut_ = true;
  LogPlan();
  return absl::OkStatus();
}

void QueryExecution::FinishProgress(const std::map<TopicPartition, LastRecord>& last_records) {
  const BatchPlan& plan = batch_->plan;
  QueryProgress& after = batch_->after;
  after = progress_;
  after.batch_id = plan.batch_id;
  after.late_watermark_us = plan.late_watermark_us;
  after.watermark_us = plan.watermark_us;
  std::vector<PlannedRange> read;
  for (const PlannedRange& range : plan.ranges) {
    if (batch_->kept_positions.contains(range.partition)) continue;
    PartitionProgress& partition = after.partitions[range.partition];
    partition.next_offset = range.end;
    // A log that a re-run found to end earlier goes on from its end.
    if (const auto now = batch_->log_ends.find(range.partition); now != batch_->log_ends.end())
      partition.next_offset = std::min(range.end, now->second);
    if (const auto last = last_records.find(range.partition); last != last_records.end())
      partition.last = last->second;
    read.push_back({range.partition, range.start, partition.next_offset});
  }
  if (!read.empty()) {
    batch_->source_change = source_->StateAfter(read);
    after.source_state = std::move(batch_->source_change.head);
  }
  for (const auto& [partition, time] : batch_->stats.max_event_time_us) {
    int64_t& known = after.partitions[partition].max_event_time_us;
    known = std::max(known, time);
  }
  progress_ = after;
}

std::unique_ptr<RowStream> QueryExecution::Rows() {
  if (bound_.aggregation == nullptr) return KeptRows(&batch_->rows);
  Aggregation* aggregation = bound_.aggregation.get();
  const int64_t watermark = batch_->plan.watermark_us;
  switch (bound_.mode) {
    case OutputMode::kAppend:
      if (watermark == kNoWatermark) return NoRows();
      return AggregateRows([=] { return aggregation->Scan(INT64_MIN, watermark); },
                           &bound_.result_transforms);
    case OutputMode::kUpdate:
      return AggregateRows([=] { return aggregation->Touched(); }, &bound_.result_transforms);
    case OutputMode::kComplete:
      return AggregateRows([=] { return aggregation->Scan(INT64_MIN, WindowTable::kNoWindow); },
                           &bound_.result_transforms);
  }
  return NoRows();
}

absl::Status QueryExecution::CompareWithSink(RowStream& rows) {
  const SinkMarker& written = *batch_->written;
  while (true) {
    absl::StatusOr<const RowBatch*> next = rows.Next();
    if (!next.ok()) return next.status();
    if (*next == nullptr) break;
  }
  if (written.row_count == rows.row_count() && written.rows_hash == rows.rows_hash())
    return absl::OkStatus();
  const std::string what = fmt::format(
      "batch {} came out differently when it ran again: the sink {} holds {} rows of it, now there "
      "are {}",
      written.batch_id, sink_->description(), written.row_count, rows.row_count());
  if (options_.fail_on_data_loss) {
    return absl::OutOfRangeError(
        what + "; to go on with what the sink holds use --fail-on-data-loss false");
  }
  options_.logger->Log(LogLevel::kWarning, "batch_differs", {{"what", what}});
  return absl::OkStatus();
}

absl::Status QueryExecution::CommitSink() {
  const absl::Duration started = options_.clock->Monotonic();
  sink_bytes_ = bound_.aggregation == nullptr ? batch_->row_bytes : 0;
  std::unique_ptr<RowStream> rows = Rows();
  if (batch_->written.has_value()) {
    if (absl::Status status = CompareWithSink(*rows); !status.ok()) return status;
    batch_->report.sink.rows = batch_->written->row_count;
  } else {
    CrashPoint("sink before");
    absl::StatusOr<SinkMarker> marker =
        sink_->Commit({batch_->plan.batch_id, batch_->plan.epoch, batch_->plan.Hash()}, *rows);
    CrashPoint("sink after");
    if (!marker.ok()) return marker.status();
    batch_->report.sink.rows = marker->row_count;
  }
  batch_->report.sink.skipped_rows = sink_->TakeSkippedRows();
  batch_->in_sink = true;
  batch_->report.durations.add_batch = options_.clock->Monotonic() - started;
  return absl::OkStatus();
}

// By the last commit, which may have written what was not touched: at most twice as much.
size_t QueryExecution::ExpectedWrites() const {
  if (table_ == nullptr || last_writes_.groups == 0) return 0;
  constexpr double kSpare = 1.1;
  const double more =
      static_cast<double>(table_->groups_touched()) / static_cast<double>(last_writes_.groups);
  const double bytes = static_cast<double>(last_writes_.bytes) * std::min(more * kSpare, 2.0);
  return std::min(static_cast<size_t>(bytes), shares_.batch);
}

absl::Status QueryExecution::CommitState() {
  const absl::Duration started = options_.clock->Monotonic();
  std::unique_ptr<StoreWrites> writes = checkpoint_->store().NewWrites(ExpectedWrites());
  Checkpoint::ChangeSourceRows(batch_->source_change, writes.get());
  const bool closes = bound_.closes_groups && bound_.mode != OutputMode::kComplete;
  const int64_t closed_upto = closes ? batch_->plan.watermark_us : kNoWatermark;
  size_t batch_bytes = batch_->row_bytes;
  if (table_ != nullptr) {
    Progress::State state;
    state.rows_updated = table_->groups_touched();
    state.rows_removed = table_->groups_total();
    if (absl::Status status = table_->AppendWrites(closed_upto, writes.get()); !status.ok())
      return status;
    const size_t groups = static_cast<size_t>(std::max<int64_t>(1, table_->groups_in_memory()));
    batch_bytes += table_->memory_bytes() / groups * static_cast<size_t>(state.rows_updated) +
                   writes->byte_size();
    last_writes_ = {state.rows_updated, writes->byte_size()};
    table_->Committed(closed_upto);
    state.rows_total = table_->groups_total();
    state.rows_removed = std::max<int64_t>(0, state.rows_removed - state.rows_total);
    state.memory_bytes = static_cast<int64_t>(table_->memory_bytes());
    batch_->report.state = state;
  }
  committer_.Submit([this, writes = std::move(writes), after = batch_->after]() mutable {
    CrashPoint("state before commit");
    absl::Status status = checkpoint_->Commit(after, std::move(writes));
    CrashPoint("state after commit");
    return status;
  });
  const absl::Duration now = options_.clock->Monotonic();
  const absl::Duration spent = now - std::max(batch_->started, last_commit_at_);
  last_commit_at_ = now;
  sizer_.Observe(batch_->stats.records, absl::ToDoubleSeconds(spent),
                 static_cast<int64_t>(batch_bytes));
  batch_->report.durations.commit_offsets = now - started;
  batch_->rows.clear();
  sink_bytes_ = 0;
  committing_ = std::exchange(batch_, std::nullopt);
  const int64_t batch_id = committing_->plan.batch_id;

  const size_t limit = shares_.tables;
  const bool over = table_ != nullptr && table_->memory_bytes() > limit;
  const bool snapshot =
      options_.snapshot_every > 0 && (batch_id + 1) % options_.snapshot_every == 0 &&
      (options_.snapshot_every < kManyBatches || now - last_snapshot_at_ >= kSnapshotPause);
  freed_memory_.Release(now);
  if (!over && !snapshot) return absl::OkStatus();
  // Groups leave memory, and the store is copied, when the store has them.
  if (absl::Status status = Settle(); !status.ok()) return status;
  if (over) table_->Evict(limit / 4 * 3);
  if (snapshot) {
    last_snapshot_at_ = now;
    if (absl::Status status = checkpoint_->store().Snapshot(batch_id, kSnapshotsKept);
        !status.ok()) {
      options_.logger->Log(LogLevel::kWarning, "snapshot_failed",
                           {{"reason", std::string(status.message())}});
    }
  }
  return absl::OkStatus();
}

// The batch whose commit was being written, if it is durable now. A write that failed behind it
// (the next batch's plan) takes nothing from it.
void QueryExecution::ReportDurable() {
  if (committing_.has_value() && checkpoint_->progress().batch_id >= committing_->plan.batch_id) {
    Report();
  }
}

// The source is told when it is not being read, and again, also when there is nothing else to do,
// until it has kept it.
void QueryExecution::Acknowledge() {
  const absl::Duration now = options_.clock->Monotonic();
  if (!to_acknowledge_.has_value() || reader_->reading() || now < acknowledge_at_) return;
  CrashPoint("group before commit");
  const absl::Status status = source_->Acknowledge(*to_acknowledge_);
  CrashPoint("group after commit");
  if (status.ok()) {
    to_acknowledge_.reset();
    return;
  }
  if (absl::IsCancelled(status)) return;
  ++acknowledge_failures_;
  acknowledge_at_ = now + kAcknowledgeAgainAfter;
  std::erase_if(*to_acknowledge_, [this](const auto& offset) {
    return !progress_.partitions.contains(offset.first);
  });
  std::string reason(status.message());
  if (reason == acknowledge_warning_ && now < acknowledge_warned_at_ + kAcknowledgeWarningEvery)
    return;
  options_.logger->Log(LogLevel::kWarning, "acknowledge_failed",
                       {{"source", source_->description()}, {"reason", reason}});
  acknowledge_warning_ = std::move(reason);
  acknowledge_warned_at_ = now;
}

void QueryExecution::Report() {
  const Batch batch = *std::exchange(committing_, std::nullopt);
  for (const PlannedRange& range : batch.plan.ranges) {
    if (!to_acknowledge_.has_value()) to_acknowledge_.emplace();
    (*to_acknowledge_)[range.partition] = batch.after.partitions.at(range.partition).next_offset;
  }
  acknowledge_at_ = -absl::InfiniteDuration();
  Acknowledge();
  Progress report = batch.report;
  report.acknowledge_failures = std::exchange(acknowledge_failures_, 0);
  report.id = progress_.query_id;
  report.run_id = run_id_;
  report.name = options_.name;
  report.source.description = source_->description();
  report.sink.description = sink_->description();
  reports_.Add(std::move(report), {batch.plan, batch.stats, batch.after, batch.latest,
                                   batch.lost_offsets, batch.started});
}

absl::Status QueryExecution::Finish() { return sink_->Finish(); }

bool QueryExecution::MemoryFull() const {
  const size_t table = table_ == nullptr ? 0 : table_->memory_bytes();
  return table + sink_bytes_ + row_path_->memory_bytes() >
         shares_.tables + options_.memory_limit / 8;
}

int ExitCode(const absl::Status& status, bool planned) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return planned ? 1 : 2;
    case absl::StatusCode::kOutOfRange:
      return 3;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kFailedPrecondition:
      return 4;
    default:
      return 1;
  }
}

}  // namespace tidemark
