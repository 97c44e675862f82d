#ifndef TIDEMARK_BENCH_HAND_FED_QUERY_H_
#define TIDEMARK_BENCH_HAND_FED_QUERY_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/totals.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/query_execution.h"

namespace tidemark {

struct HandFedOptions {
  size_t memory_limit = size_t{512} << 20;
  OutputMode mode = OutputMode::kUpdate;
  int threads = 2;
  int snapshot_every = 0;
};

/// The query of totals.h over a checkpoint on disk, given rows by hand and run a batch at a time:
/// for what depends on the state there is and not on where rows come from. One thread.
class HandFedQuery {
 public:
  /// `row`: row i of the topic.
  HandFedQuery(std::function<TotalsRow(int64_t)> row, HandFedOptions options);
  ~HandFedQuery();

  /// From the checkpoint, if it ran before.
  absl::Status Start();
  /// As a crash would.
  void Stop();
  /// Adds the next rows and runs batches until there is nothing to do, the last commit durable.
  absl::Status Feed(int64_t rows);

  int64_t fed() const;
  /// What the last batch with results wrote.
  const Answer& answer() const { return answer_; }
  /// Of the batches of the last Feed.
  const std::vector<Progress>& batches() const { return batches_; }
  /// Of the last Feed: all of it, what its sink took, and what came after the sink: the commit.
  double feed_seconds() const { return feed_seconds_; }
  double sink_seconds() const { return sink_seconds_; }
  double commit_seconds() const { return commit_seconds_; }
  std::string checkpoint() const { return folder_.Path("checkpoint"); }

 private:
  struct Topic;
  class TopicSource;
  class TimedSink;

  const HandFedOptions options_;
  const testing::TempDir folder_;
  const std::shared_ptr<Topic> topic_;  ///< shared with its source
  Answer answer_;
  std::vector<Progress> batches_;
  double feed_seconds_ = 0;
  double sink_seconds_ = 0;
  double commit_seconds_ = 0;
  std::chrono::steady_clock::time_point sink_done_;
  std::unique_ptr<QueryExecution> execution_;
};

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_HAND_FED_QUERY_H_
