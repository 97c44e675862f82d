#ifndef TIDEMARK_ENGINE_STREAMING_QUERY_H_
#define TIDEMARK_ENGINE_STREAMING_QUERY_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/engine/query_execution.h"

namespace tidemark {

/// The pauses between tries of what fails for a while: 100 ms, then each twice as long as the one
/// before, up to 5 s; each cut by up to a quarter at random, never drawn out. So whatever a query
/// waits for has been back for 5 s at most when it is tried again.
class RetryBackoff {
 public:
  static constexpr int kFirstMs = 100;
  static constexpr int kLongestMs = 5'000;
  /// The next pause. After Reset, as after what was tried went well: the first one.
  absl::Duration Next();
  void Reset() { next_ms_ = kFirstMs; }

 private:
  double next_ms_ = kFirstMs;
  std::minstd_rand jitter_{std::random_device{}()};
};

/// A query running on a thread of its own, as its trigger says, riding out errors that pass. Made
/// by Start. All methods may be called from any thread; the destructor stops the query.
class StreamingQuery {
 public:
  ~StreamingQuery();

  /// Asks the query to end and returns at once: a batch being read is dropped (it runs again at the
  /// next start), one being written to the sink is finished, if that takes no longer than 5
  /// seconds. Safe to call at any time, more than once.
  void Stop();
  /// Waits until the query has ended; OK for a stop or an end by itself.
  absl::Status AwaitTermination();
  /// As above, but at most `timeout`: nothing if it still runs.
  std::optional<absl::Status> AwaitTermination(absl::Duration timeout);

  /// The progress of the last committed batch, if there was one.
  std::optional<Progress> LastProgress() const;
  RunTotals totals() const;
  /// True once a batch was planned or resumed (see ExitCode).
  bool planned() const;

 private:
  friend absl::StatusOr<std::unique_ptr<StreamingQuery>> Start(const Query& query,
                                                               QueryOptions options);
  StreamingQuery() = default;

  void Run();
  absl::Status RunToEnd();
  absl::Status Retry(const absl::Status& reason);
  /// Calls it until it does not fail of what passes.
  absl::Status WithRetries(const std::function<absl::Status()>& call);
  /// False if the query was asked to stop.
  bool Wait(absl::Duration duration);

  std::unique_ptr<QueryExecution> execution_;
  std::shared_ptr<Clock> clock_;    ///< shared with the caller's options
  std::shared_ptr<Logger> logger_;  ///< shared with the caller's options
  absl::Duration give_up_after_;
  RetryBackoff backoff_;
  std::optional<absl::Duration> failing_since_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::optional<absl::Status> ended_;
  std::optional<Progress> last_progress_;
  RunTotals totals_;
  bool planned_ = false;
  std::thread thread_;
  std::thread stopper_;
};

/// Plans the query and starts it. InvalidArgument lists the plan's mistakes; whatever goes wrong
/// later ends the query and is AwaitTermination's answer. Transient errors are tried again without
/// end (RetryBackoff), or for options.give_up_after.
absl::StatusOr<std::unique_ptr<StreamingQuery>> Start(const Query& query, QueryOptions options);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_STREAMING_QUERY_H_
