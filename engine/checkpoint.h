#ifndef TIDEMARK_ENGINE_CHECKPOINT_H_
#define TIDEMARK_ENGINE_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/engine/batch_plan.h"
#include "tidemark/operators/sources/source.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {

/// What the checkpoint knows of one partition.
struct PartitionProgress {
  int64_t next_offset = 0;
  LastRecord last;
  int64_t max_event_time_us =
      INT64_MIN;  ///< greatest event time that may move the watermark; INT64_MIN: none yet
  friend bool operator==(const PartitionProgress&, const PartitionProgress&) = default;
};

/// The committed state of a query, all but the groups.
struct QueryProgress {
  std::string query_id;                      ///< a random UUID
  int64_t epoch = 0;                         ///< raised by a rewind
  int64_t batch_id = -1;                     ///< the last committed batch; -1: none yet
  int64_t late_watermark_us = kNoWatermark;  ///< W(N-1) of that batch
  int64_t watermark_us = kNoWatermark;       ///< W(N) of that batch
  std::map<TopicPartition, PartitionProgress> partitions;
  std::string source_state;  ///< SourceState::head there
};

/// What the checkpoint keeps for people who look into it; no batch depends on it.
struct CheckpointNotes {
  std::string state_schema;  ///< StateSchemaText; empty: no groups
  std::string source;        ///< as their descriptions name them
  std::string sink;
  friend bool operator==(const CheckpointNotes&, const CheckpointNotes&) = default;
};

/// The rows of the batch protocol (design, section 4) over a CheckpointStore: one logged plan, one
/// committed state, the fingerprint. One thread at a time.
class Checkpoint {
 public:
  /// Takes over the store. Call Load before anything else.
  explicit Checkpoint(std::unique_ptr<CheckpointStore> store) : store_(std::move(store)) {}

  /// Reads everything. False: the store is new, Create must follow. DataLoss: rows that do not
  /// read.
  absl::StatusOr<bool> Load();
  /// The first commit of a new query: its id, fingerprint and resolved starting offsets, synced.
  absl::Status Create(const std::string& query_id, const std::string& fingerprint,
                      const Offsets& starting_offsets);

  const QueryProgress& progress() const { return progress_; }
  const std::string& fingerprint() const { return fingerprint_; }
  /// The plan that was logged past the committed batch, if any.
  const std::optional<BatchPlan>& pending() const { return pending_; }
  /// The hash of the plan that made the committed batch; nothing: not known (no batch yet, or of a
  /// version that did not keep it).
  const std::optional<uint64_t>& committed_hash() const { return committed_hash_; }
  /// The records that were logged with the pending plan; empty: none.
  std::string pending_records() const { return pending_.has_value() ? logged_records_ : ""; }

  /// Of the committed batches: its head from progress(), its rows from the store.
  absl::StatusOr<SourceState> ReadSourceState() const;

  const CheckpointNotes& notes() const { return notes_; }
  /// The next Commit writes those that have changed.
  void Describe(CheckpointNotes notes) { notes_ = std::move(notes); }

  /// Makes what Load has read (a snapshot, copied) the state that `epoch` begins with: without a
  /// plan past it. For a rewind, before any batch of that epoch.
  absl::Status BeginEpoch(int64_t epoch);
  /// Whether a batch was planned since the epoch began.
  absl::StatusOr<bool> HasPlan() const;

  /// Logs the plan of batch progress().batch_id + 1, synced, with the records that a re-run could
  /// not read again (Source::SaveRecords); replaces a plan logged for the same batch.
  absl::Status LogPlan(const BatchPlan& plan, const std::string& records = "");
  /// `writes` (state changes, or none) and the new progress in one synced write. Only changed
  /// partitions are written.
  absl::Status Commit(const QueryProgress& progress, std::unique_ptr<StoreWrites> writes);

  /// Adds to a commit's writes what its batch makes of the source's rows; the head goes with the
  /// progress.
  static void ChangeSourceRows(const SourceStateChange& change, StoreWrites* writes);

  CheckpointStore& store() { return *store_; }

 private:
  std::unique_ptr<CheckpointStore> store_;
  QueryProgress progress_;
  std::string fingerprint_;
  std::optional<BatchPlan> pending_;
  std::optional<uint64_t> committed_hash_;
  CheckpointNotes notes_;
  CheckpointNotes stored_notes_;
  std::string logged_records_;  ///< with the last plan, whatever became of it
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_CHECKPOINT_H_
