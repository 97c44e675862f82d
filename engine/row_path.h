#ifndef TIDEMARK_ENGINE_ROW_PATH_H_
#define TIDEMARK_ENGINE_ROW_PATH_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tidemark/engine/batch_plan.h"
#include "tidemark/engine/planner.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/sinks/dead_letters.h"

namespace tidemark {

/// What went through the row path in one batch.
struct BatchStats {
  int64_t records = 0;
  int64_t bytes = 0;
  BadRecordCounts bad;
  int64_t late_rows = 0;
  int64_t null_event_time_rows = 0;
  EventTimeStats event_time;
  std::map<TopicPartition, int64_t>
      max_event_time_us;  ///< of the times that may move the watermark, by partition
};

/// From records to groups (or to rows, in a pipeline without an aggregate): `threads` workers
/// decode, transform and apply chunks that one thread hands in. What comes out depends on the
/// chunks alone, never on the threads.
///
/// One thread at a time calls Begin, Add for each chunk, then Finish (or Abandon); Release, Abandon
/// and the sizes may be called beside Add. The workers live as long as the object.
class RowPath {
 public:
  /// `plan` and `dead_letters` (which may be null) outlive the row path. The bytes of chunks
  /// waiting for a worker stay below `queue_bytes`, but for one chunk; those of rows prepared and
  /// held below four times that, but for a chunk a worker.
  RowPath(const BoundPlan* plan, BadRecordPolicy policy, DeadLetterWriter* dead_letters,
          int threads, size_t queue_bytes);
  ~RowPath();
  RowPath(const RowPath&) = delete;
  RowPath& operator=(const RowPath&) = delete;

  /// A batch starts; everything of the one before is forgotten. With `hold`, rows are decoded and
  /// prepared but kept out of the groups until Release: the tables belong to the batch before.
  void Begin(const BatchPlan& plan, bool hold = false);
  /// The tables are free: held rows are applied, and those that come are no longer held.
  void Release();
  bool holding() const { return holding_; }
  /// Hands a chunk to the workers; waits while the queue is full. Returns the first failure so far:
  /// a bad record under `fail` (InvalidArgument naming it), the store's or the dead letters'
  /// errors.
  absl::Status Add(RawRecords chunk);
  /// Waits until every chunk is through, and applies in order what had to wait for its turn. Not
  /// while rows are held.
  absl::Status Finish();
  /// Waits until the workers are idle and drops the rest, rows held too.
  void Abandon();

  /// After Finish.
  const BatchStats& stats() const { return stats_; }
  /// After Finish, without an aggregate, once: the rows, in the order (partition, chunk).
  std::vector<RowBatch> TakeRows();
  /// Bytes of rows kept so far in this batch: queued chunks, prepared rows, output rows. Any time,
  /// from any thread.
  size_t memory_bytes() const { return queued_bytes_.load() + kept_bytes_.load(); }

 private:
  using ChunkKey = std::pair<TopicPartition, int64_t>;

  void Work(Decoder* decoder);
  void WorkOn(RawRecords chunk, Decoder* decoder, std::unique_lock<std::mutex>* lock);
  void ApplyHeld(std::unique_lock<std::mutex>* lock);
  absl::Status Process(const RawRecords& chunk, Decoder* decoder);
  absl::Status Keep(const RawRecords& chunk, const RowBatch& batch, BatchStats* stats);
  absl::Status RejectRecords(const RawRecords& chunk, const std::vector<BadRecord>& bad,
                             BatchStats* stats);
  void Merge(const BatchStats& stats);
  void Fail(absl::Status status, const ChunkKey& key);

  const BoundPlan& bound_;
  const BadRecordPolicy policy_;
  DeadLetterWriter* const dead_letters_;
  const size_t queue_bytes_limit_;
  absl::Time batch_time_;
  int64_t late_before_ = kNoWatermark;

  std::mutex mutex_;  // guards everything up to the next blank line
  std::condition_variable work_;
  std::condition_variable room_;
  std::deque<RawRecords> queue_;
  int busy_ = 0;
  bool stopping_ = false;
  std::atomic<bool> holding_{false};
  std::deque<std::pair<ChunkKey, std::unique_ptr<PreparedRows>>> held_;
  size_t held_bytes_ = 0;
  absl::Status failure_;
  ChunkKey failed_at_;
  BatchStats stats_;
  std::map<ChunkKey, std::unique_ptr<PreparedRows>>
      waiting_;                        // order_matters: applied in order at the end
  std::map<ChunkKey, RowBatch> kept_;  // no aggregate

  std::mutex dead_letters_mutex_;
  std::atomic<size_t> queued_bytes_{0};
  std::atomic<size_t> kept_bytes_{0};
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::vector<std::thread> threads_;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_ROW_PATH_H_
