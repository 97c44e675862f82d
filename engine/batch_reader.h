#ifndef TIDEMARK_ENGINE_BATCH_READER_H_
#define TIDEMARK_ENGINE_BATCH_READER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/engine/batch_plan.h"
#include "tidemark/engine/clock.h"
#include "tidemark/engine/logger.h"
#include "tidemark/engine/row_path.h"
#include "tidemark/engine/task_thread.h"
#include "tidemark/operators/sinks/dead_letters.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

struct BatchReaderOptions {
  std::shared_ptr<Clock> clock;
  std::shared_ptr<Logger> logger;
  absl::Duration give_up_after = absl::InfiniteDuration();  ///< of a source that stays away
  /// True when memory has no room for more of the batch. Called from the reader's thread, while
  /// rows are being applied.
  std::function<bool()> memory_full;
};

/// What a batch is read with.
struct ReadRequest {
  BatchPlan plan;
  std::vector<PlannedRange> ranges;  ///< what of the plan is there to be read
  bool hold = false;    ///< the tables are in use: rows are prepared only, until RowPath::Release
  bool may_cut = true;  ///< false: everything is read, however much memory it takes
};

/// What was read.
struct ReadOutcome {
  std::map<TopicPartition, LastRecord> last_records;
  std::map<TopicPartition, int64_t> delivered;  ///< by partition: one past the last record read
  bool cut = false;  ///< memory was short: only what was delivered belongs to the batch
};

/// Carries a batch's records from the source to the row path, on a thread of its own, so that the
/// next batch is read while the last one is written. One thread calls Start, then Wait (or Stop),
/// and between the two neither touches the source nor begins a batch of the row path.
class BatchReader {
 public:
  /// All of them outlive the reader; `dead_letters` may be null. Once `*cancelled`, reading ends
  /// with Cancelled.
  BatchReader(BatchReaderOptions options, Source* source, RowPath* row_path,
              DeadLetterWriter* dead_letters, const std::atomic<bool>* cancelled);
  /// Stops.
  ~BatchReader();

  /// The row path has begun the batch when this returns.
  void Start(ReadRequest request);
  bool reading() const { return reading_; }
  /// When everything is read and with the row path, which still has to Finish. Errors: the
  /// source's, the row path's, the dead letters'; Aborted after give_up_after; Unavailable if the
  /// batch must be read again.
  absl::StatusOr<ReadOutcome> Wait();
  /// Gives up what is being read; nothing is left in the row path.
  void Stop();

  /// Monotonic time of a partition's last record; nothing if none came yet.
  const std::map<TopicPartition, absl::Duration>& last_data() const { return last_data_; }

 private:
  absl::Status Read(const ReadRequest& request);
  absl::Status ReadChunks(const ReadRequest& request);

  const BatchReaderOptions options_;
  Source* const source_;
  RowPath* const row_path_;
  DeadLetterWriter* const dead_letters_;
  const std::atomic<bool>* const cancelled_;
  std::map<TopicPartition, absl::Duration> last_data_;
  ReadOutcome outcome_;
  bool reading_ = false;
  std::atomic<bool> stopping_{false};
  TaskThread thread_{"tide-read"};  // last: ends before what it uses
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_BATCH_READER_H_
