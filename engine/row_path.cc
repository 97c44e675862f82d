#include "tidemark/engine/row_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/engine/task_thread.h"
#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

absl::Status BadRecordFailure(const RawRecords& chunk, const BadRecord& bad) {
  return absl::InvalidArgumentError(
      fmt::format("bad record: topic {} partition {} offset {}: {}: {}; to go on without such "
                  "records use --bad-records dead-letter, drop "
                  "or null",
                  chunk.topic, chunk.partition, chunk.records[bad.index].offset,
                  BadReasonName(bad.reason), bad.detail));
}

}  // namespace

RowPath::RowPath(const BoundPlan* plan, BadRecordPolicy policy, DeadLetterWriter* dead_letters,
                 int threads, size_t queue_bytes)
    : bound_(*plan), policy_(policy), dead_letters_(dead_letters), queue_bytes_limit_(queue_bytes) {
  for (int i = 0; i < std::max(1, threads); ++i) {
    // Planning made a decoder of this format already: it cannot fail here.
    decoders_.push_back(*MakeDecoder(bound_.format));
    threads_.emplace_back([this, i, decoder = decoders_.back().get()] {
      NameThisThread(fmt::format("tide-work-{}", i));
      Work(decoder);
    });
  }
}

RowPath::~RowPath() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void RowPath::Begin(const BatchPlan& plan, bool hold) {
  Abandon();
  std::lock_guard<std::mutex> lock(mutex_);
  holding_ = hold;
  failure_ = absl::OkStatus();
  stats_ = BatchStats();
  batch_time_ = absl::FromUnixMicros(plan.time_us);
  const bool drop_late = bound_.closes_groups && bound_.mode != OutputMode::kComplete;
  late_before_ = drop_late ? plan.late_watermark_us : kNoWatermark;
}

void RowPath::Release() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    holding_ = false;
  }
  work_.notify_all();
}

absl::Status RowPath::Add(RawRecords chunk) {
  std::unique_lock<std::mutex> lock(mutex_);
  room_.wait(lock, [this] {
    return !failure_.ok() || queue_.empty() || queued_bytes_ < queue_bytes_limit_;
  });
  if (!failure_.ok()) return failure_;
  queued_bytes_ += chunk.bytes;
  queue_.push_back(std::move(chunk));
  work_.notify_one();
  return absl::OkStatus();
}

absl::Status RowPath::Finish() {
  std::unique_lock<std::mutex> lock(mutex_);
  room_.wait(
      lock, [this] { return busy_ == 0 && ((queue_.empty() && held_.empty()) || !failure_.ok()); });
  if (!failure_.ok()) return failure_;
  for (auto& [key, rows] : waiting_) {
    if (absl::Status status = bound_.aggregation->Apply(*rows); !status.ok()) return status;
    kept_bytes_ -= rows->memory_bytes();
    rows.reset();
  }
  waiting_.clear();
  return bound_.aggregation == nullptr ? absl::OkStatus() : bound_.aggregation->CheckOverflow();
}

std::vector<RowBatch> RowPath::TakeRows() {
  std::vector<RowBatch> rows;
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [key, batch] : kept_) rows.push_back(std::move(batch));
  kept_.clear();
  return rows;
}

void RowPath::Abandon() {
  std::unique_lock<std::mutex> lock(mutex_);
  queue_.clear();
  queued_bytes_ = 0;
  room_.notify_all();
  room_.wait(lock, [this] { return busy_ == 0; });
  queue_.clear();
  queued_bytes_ = 0;
  held_.clear();
  held_bytes_ = 0;
  kept_bytes_ = 0;
  waiting_.clear();
  kept_.clear();
}

void RowPath::Work(Decoder* decoder) {
  const size_t held_limit = 4 * queue_bytes_limit_;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_.wait(lock, [&] {
      const bool held_work = !holding_ && !held_.empty();
      const bool new_work = !queue_.empty() && (!holding_ || held_bytes_ < held_limit);
      return stopping_ || held_work || new_work;
    });
    if (stopping_) return;
    ++busy_;
    if (!holding_ && !held_.empty()) {
      ApplyHeld(&lock);
    } else {
      RawRecords chunk = std::move(queue_.front());
      queue_.pop_front();
      WorkOn(std::move(chunk), decoder, &lock);
    }
    --busy_;
    room_.notify_all();
  }
}

void RowPath::WorkOn(RawRecords chunk, Decoder* decoder, std::unique_lock<std::mutex>* lock) {
  const bool skip = !failure_.ok();
  lock->unlock();
  room_.notify_all();
  absl::Status status = skip ? absl::OkStatus() : Process(chunk, decoder);
  const ChunkKey key{{chunk.topic, chunk.partition}, chunk.chunk_index};
  const size_t bytes = chunk.bytes;
  chunk = RawRecords();
  lock->lock();
  queued_bytes_ -= std::min<size_t>(bytes, queued_bytes_);
  if (!status.ok()) Fail(std::move(status), key);
}

void RowPath::ApplyHeld(std::unique_lock<std::mutex>* lock) {
  auto [key, rows] = std::move(held_.front());
  held_.pop_front();
  const bool skip = !failure_.ok();
  lock->unlock();
  absl::Status status = skip ? absl::OkStatus() : bound_.aggregation->Apply(*rows);
  const size_t bytes = rows->memory_bytes();
  rows.reset();
  lock->lock();
  held_bytes_ -= bytes;
  kept_bytes_ -= bytes;
  if (!status.ok()) Fail(std::move(status), key);
}

// Of several failures the one of the earliest chunk is told, so that it reads the same each time.
void RowPath::Fail(absl::Status status, const ChunkKey& key) {
  if (!failure_.ok() && failed_at_ <= key) return;
  failure_ = std::move(status);
  failed_at_ = key;
}

absl::Status RowPath::Process(const RawRecords& chunk, Decoder* decoder) {
  BatchStats stats;
  stats.records = static_cast<int64_t>(chunk.records.size());
  stats.bytes = static_cast<int64_t>(chunk.bytes);
  std::vector<BadRecord> bad;
  RowBatch batch = decoder->Decode(chunk, policy_ == BadRecordPolicy::kNull, &bad);
  CrashPoint("decode middle");
  if (absl::Status status = decoder->status(); !status.ok()) return status;
  if (absl::Status status = RejectRecords(chunk, bad, &stats); !status.ok()) return status;

  ChunkStats chunk_stats;
  for (const std::unique_ptr<Transform>& transform : bound_.transforms)
    transform->Apply(&batch, &chunk_stats);
  if (absl::Status status = RejectRecords(chunk, chunk_stats.failed, &stats); !status.ok())
    return status;
  stats.event_time = chunk_stats.event_time;
  if (chunk_stats.event_time.watermark_max != INT64_MIN) {
    stats.max_event_time_us[{chunk.topic, chunk.partition}] = chunk_stats.event_time.watermark_max;
  }
  if (absl::Status status = Keep(chunk, batch, &stats); !status.ok()) return status;
  CrashPoint("aggregate middle");
  Merge(stats);
  return absl::OkStatus();
}

absl::Status RowPath::Keep(const RawRecords& chunk, const RowBatch& batch, BatchStats* stats) {
  const ChunkKey key{{chunk.topic, chunk.partition}, chunk.chunk_index};
  if (bound_.aggregation == nullptr) {
    if (batch.selection().empty()) return absl::OkStatus();
    RowBatch rows = Compact(batch);
    kept_bytes_ += rows.memory_bytes() + chunk.bytes;
    std::lock_guard<std::mutex> lock(mutex_);
    kept_.emplace(key, std::move(rows));
    return absl::OkStatus();
  }
  std::unique_ptr<PreparedRows> rows = bound_.aggregation->Prepare(batch, late_before_);
  std::vector<BadRecord> failed;
  for (const ExpressionError& error : rows->errors) {
    failed.push_back({batch.source_record(error.row), BadReason::kExpression, error.what});
  }
  if (absl::Status status = RejectRecords(chunk, failed, stats); !status.ok()) return status;
  stats->late_rows = rows->late_rows;
  stats->null_event_time_rows = rows->null_event_time_rows;
  const bool in_order = bound_.aggregation->order_matters();
  if (!in_order && !holding_) return bound_.aggregation->Apply(*rows);
  const size_t bytes = rows->memory_bytes();
  kept_bytes_ += bytes;
  std::lock_guard<std::mutex> lock(mutex_);
  if (in_order) {
    waiting_.emplace(key, std::move(rows));
  } else {
    held_.emplace_back(key, std::move(rows));
    held_bytes_ += bytes;
  }
  return absl::OkStatus();
}

absl::Status RowPath::RejectRecords(const RawRecords& chunk, const std::vector<BadRecord>& bad,
                                    BatchStats* stats) {
  for (const BadRecord& record : bad) {
    ++stats->bad[record.reason];
    if (record.reason == BadReason::kNullValue) continue;
    if (policy_ == BadRecordPolicy::kFail) return BadRecordFailure(chunk, record);
    if (policy_ != BadRecordPolicy::kDeadLetter) continue;
    std::lock_guard<std::mutex> lock(dead_letters_mutex_);
    const absl::Status status = dead_letters_->Write(chunk, record, batch_time_);
    // A full folder is no fault of the checkpoint's: the query has failed (exit 1).
    if (absl::IsFailedPrecondition(status)) return absl::AbortedError(status.message());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void RowPath::Merge(const BatchStats& stats) {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.records += stats.records;
  stats_.bytes += stats.bytes;
  stats_.bad.Add(stats.bad);
  stats_.late_rows += stats.late_rows;
  stats_.null_event_time_rows += stats.null_event_time_rows;
  stats_.event_time.Add(stats.event_time);
  for (const auto& [partition, time] : stats.max_event_time_us) {
    auto [entry, inserted] = stats_.max_event_time_us.emplace(partition, time);
    if (!inserted) entry->second = std::max(entry->second, time);
  }
}

}  // namespace tidemark
