#ifndef TIDEMARK_ENGINE_QUERY_EXECUTION_H_
#define TIDEMARK_ENGINE_QUERY_EXECUTION_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/engine/batch_planning.h"
#include "tidemark/engine/batch_reader.h"
#include "tidemark/engine/batch_reports.h"
#include "tidemark/engine/checkpoint.h"
#include "tidemark/engine/memory_limit.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/planner.h"
#include "tidemark/engine/progress.h"
#include "tidemark/engine/query_options.h"
#include "tidemark/engine/row_path.h"
#include "tidemark/engine/task_thread.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// A query, step by step: the batch protocol of design, section 4, without a thread or a trigger of
/// its own (StreamingQuery has those; the test kit steps it by hand).
///
/// One thread calls Start until it is OK, then RunBatch for ever; after an error that is_transient,
/// the same call again goes on from where it was. Cancel may be called from any thread.
class QueryExecution {
 public:
  /// Binds the plan. InvalidArgument lists the plan's mistakes. Opens nothing.
  static absl::StatusOr<std::unique_ptr<QueryExecution>> Create(const Query& query,
                                                                QueryOptions options);
  ~QueryExecution();

  /// Opens checkpoint, source and sink, and checks that they belong together. A new query's
  /// starting offsets are committed.
  absl::Status Start();
  /// Runs the next batch, if there is something to do: false if not. Where there is more to read
  /// already (was_cut), the batch's commit goes on beside the next call, which waits for it before
  /// its sink gets anything; Settle waits for it at once.
  absl::StatusOr<bool> RunBatch();
  /// From now on a batch that leaves something unread has the next one planned and read while it
  /// is written. That one is then fixed before RunBatch is called for it: not for who puts rows and
  /// batches in order by hand.
  void ReadAhead(bool on) { read_ahead_ = on; }
  /// Returns when the batches run so far are durable and reported. Transient errors as those of
  /// RunBatch.
  absl::Status Settle();
  /// The query ended by itself.
  absl::Status Finish();
  /// Calls in progress return Cancelled soon: at once while reading, after `Cancel(true)` also
  /// while the sink is being written.
  void Cancel(bool sink_too);

  const BoundPlan& plan() const { return bound_; }
  /// The last call left something unread, because of a bound or because the source does not have it
  /// yet: run again at once, or soon if there was nothing to do.
  bool was_cut() const { return was_cut_ || next_.has_value(); }
  /// True once a batch was planned or resumed: what InvalidArgument means then (exit 1 instead of
  /// 2).
  bool planned() const { return planned_; }
  const RunTotals& totals() const { return reports_.totals(); }
  const std::optional<Progress>& last_progress() const { return reports_.last(); }

  static bool is_transient(const absl::Status& status) {
    return status.code() == absl::StatusCode::kUnavailable ||
           status.code() == absl::StatusCode::kResourceExhausted;
  }

 private:
  // What a batch in the making has, until it is committed. It then stays as `committing_` until
  // that is durable.
  struct Batch {
    BatchPlan plan;
    std::string saved_records;          ///< what the source wants kept with the plan
    std::vector<PlannedRange> to_read;  ///< the plan's ranges, less what a re-run finds to be gone
    Offsets log_ends;  ///< a re-run: where the logs end now, of the planned partitions
    std::set<TopicPartition>
        kept_positions;  ///< a re-run: of planned partitions whose log is another one now
    std::optional<SinkMarker>
        written;  ///< a re-run whose batch the sink has already: what it holds
    std::vector<AvailableRange> latest;  ///< what there was when it was planned
    bool more = false;                   ///< something was left unread because of a bound
    QueryProgress after;                 ///< what the commit will write
    SourceStateChange source_change;     ///< and of the source's rows
    BatchStats stats;
    std::vector<RowBatch> rows;  ///< without an aggregate
    size_t row_bytes = 0;        ///< of rows prepared or kept
    int64_t lost_offsets = 0;
    bool rows_ready = false;  ///< read, aggregated: only sink and commit are left
    bool in_sink = false;     ///< the sink has it: only the commit is left
    Progress report;
    absl::Duration started;
  };

  QueryExecution(BoundPlan bound, QueryOptions options);

  absl::Status OpenCheckpoint();
  absl::Status OpenSource();
  absl::StatusOr<bool> CheckIdentity();
  absl::Status JudgeMissing(const absl::Status& status) const;
  absl::Status OpenSink();
  void DescribeCheckpoint();
  absl::Status CheckMarker();
  absl::Status Reload();

  absl::StatusOr<bool> Plan(Batch* batch);
  absl::Status LookForNews(Batch* batch);
  absl::Status PlanAgain(Batch* batch);
  std::vector<AvailableRange> BoundByTrigger(std::vector<AvailableRange> available);
  absl::Status JudgeLoss(const DataLoss& loss, const std::string& advice);
  absl::Status JudgeLosses(const std::vector<DataLoss>& losses, const std::string& advice);
  int64_t CountLost(const DataLoss& loss) const;
  int64_t RowLimit() const;
  absl::StatusOr<bool> BeginBatch();
  void KeepMarker();
  void BeginNext();
  void StartReading(const Batch& batch, bool hold);
  absl::Status FinishReading();
  absl::Status Cut(const std::map<TopicPartition, int64_t>& delivered);
  void FinishProgress(const std::map<TopicPartition, LastRecord>& last_records);
  std::unique_ptr<RowStream> Rows();
  absl::Status CommitSink();
  absl::Status CompareWithSink(RowStream& rows);
  size_t ExpectedWrites() const;
  absl::Status CommitState();
  void ReportDurable();
  void Report();
  void Acknowledge();
  void LogPlan();
  bool MemoryFull() const;

  const BoundPlan bound_;
  QueryOptions options_;
  const std::string run_id_;

  std::unique_ptr<Checkpoint>
      checkpoint_;  ///< after Start used by committer_ only, but for its store's reads
  std::unique_ptr<WindowTable> table_;
  std::unique_ptr<DeadLetterWriter> dead_letters_;
  std::unique_ptr<RowPath> row_path_;
  std::unique_ptr<Source> source_;
  std::unique_ptr<BatchReader> reader_;
  std::unique_ptr<Sink> sink_;
  TaskThread committer_{"tide-commit"};
  bool new_query_ = false;
  bool source_open_ = false;
  bool sink_open_ = false;
  bool reload_ =
      false;  ///< the tables and the store in memory cannot be trusted: open the store again first

  QueryProgress progress_;  ///< after the last batch read: where the next plan begins. Positions
                            ///< moved past losses
  bool check_identity_ = true;  ///< before anything new is read
  absl::Duration looked_at_;    ///< when what there is to read was last seen
  Offsets log_ends_;            ///< then
  absl::Duration identity_checked_at_ = -absl::InfiniteDuration();
  std::set<TopicPartition> other_logs_;  ///< those that are no longer what the checkpoint knows
  int64_t lost_offsets_ = 0;             ///< found, and not in a batch's report yet
  absl::Duration start_time_;
  absl::Duration marker_kept_at_;
  std::optional<Offsets> final_offsets_;  ///< where available-now and once end
  std::optional<Batch> batch_;
  std::optional<Batch> next_;  ///< planned, and being read, while batch_ is written
  std::optional<Batch> committing_;
  std::optional<Offsets> to_acknowledge_;  ///< durable, but the source does not know it yet
  absl::Duration acknowledge_at_ = -absl::InfiniteDuration();  ///< not before
  int64_t acknowledge_failures_ = 0;
  std::string acknowledge_warning_;  ///< the last one logged, and when
  absl::Duration acknowledge_warned_at_ = -absl::InfiniteDuration();
  std::atomic<size_t> sink_bytes_{0};  ///< of rows that the sink is given
  bool read_ahead_ = false;
  bool replay_pending_ =
      false;  ///< the checkpoint holds a plan past its committed batch, which must run first
  const MemoryShares shares_;
  FreedMemory freed_memory_;
  BatchSizer sizer_;
  bool was_cut_ = false;
  bool planned_ = false;
  BatchReports reports_;
  struct {
    int64_t groups = 0;
    size_t bytes = 0;
  } last_writes_;
  absl::Duration last_commit_at_ = -absl::InfiniteDuration();
  absl::Duration last_snapshot_at_ = -absl::InfiniteDuration();
  std::atomic<bool> cancelled_{false};
  std::atomic<Source*> cancel_source_{nullptr};
  std::atomic<Sink*> cancel_sink_{nullptr};
};

/// The exit code of a program whose query ended with `status` (design, section 6). `planned`:
/// QueryExecution::planned.
int ExitCode(const absl::Status& status, bool planned);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_QUERY_EXECUTION_H_
