#ifndef TIDEMARK_ENGINE_QUERY_OPTIONS_H_
#define TIDEMARK_ENGINE_QUERY_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/engine/clock.h"
#include "tidemark/engine/logger.h"
#include "tidemark/engine/progress.h"
#include "tidemark/operators/aggregates/aggregate.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/sinks/dead_letters.h"
#include "tidemark/operators/sinks/sink.h"
#include "tidemark/operators/sources/source.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {

/// What a source is made for.
struct SourceRequest {
  std::string topic;
  std::string query_id;
  std::optional<Offsets> committed;  ///< the checkpoint's offsets; nothing for a new query
  size_t queue_bytes = 0;            ///< for records fetched ahead
  bool may_lack_topic = false;       ///< a topic that is gone is a loss, no error
  Offsets planned;  ///< where a batch that was planned before the restart, and not finished, ends
  const Schema* schema = nullptr;  ///< the decoded columns: what a polled table is asked for
  SourceState state;               ///< as the committed batches left it (Source::StateAfter)
  std::string saved_records;       ///< Source::SaveRecords of that planned batch; empty: none
};

/// Where rows come from: how to make the source, and its part of the fingerprint. Made by the
/// functions in connectors.h.
struct Input {
  std::string fingerprint;  ///< `kafka`, `embedded seed=7`, `memory`
  std::function<absl::StatusOr<std::unique_ptr<Source>>(const SourceRequest&)> make;
};

/// What a sink is made for.
struct SinkRequest {
  std::string delete_column;  ///< a hidden bool column of the rows; empty: none
};

/// Where results go.
struct Output {
  bool supports_deletes = false;
  std::function<absl::StatusOr<std::unique_ptr<Sink>>(const SinkRequest&)> make;
};

/// Where offsets and state are kept.
struct CheckpointLocation {
  std::string description;  ///< the folder, as messages show it
  std::function<absl::StatusOr<std::unique_ptr<CheckpointStore>>(size_t memory_bytes,
                                                                 bool* created)>
      open;
};

/// Everything about running a query that is not its plan.
struct QueryOptions {
  std::string name = "query";
  Input input;
  Output output;
  CheckpointLocation checkpoint;

  BadRecordPolicy bad_records = BadRecordPolicy::kDeadLetter;
  /// Makes the writer of dead letters; needed under kDeadLetter.
  std::function<absl::StatusOr<std::unique_ptr<DeadLetterWriter>>()> dead_letters;
  OverflowPolicy on_overflow = OverflowPolicy::kFail;

  int64_t max_offsets_per_trigger = 0;  ///< 0: no limit
  bool fail_on_data_loss = true;
  int threads = 0;  ///< workers; 0: as many as the machine has cores
  size_t memory_limit = size_t{512} << 20;
  /// Batches between two snapshots; 0: never. From 100 on also 10 seconds at least: of batches that
  /// take milliseconds a hundred are not worth one, and each holds up a batch.
  int snapshot_every = 100;
  absl::Duration give_up_after = absl::InfiniteDuration();

  std::shared_ptr<Clock> clock;  ///< null: the machine's. Shared with the test that moves it.
  std::shared_ptr<Logger>
      logger;  ///< null: standard error. Shared with the program that logs elsewhere.
  /// Called after each batch, from the query's thread.
  std::function<void(const Progress&)> on_progress;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_QUERY_OPTIONS_H_
