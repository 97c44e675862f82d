#ifndef TIDEMARK_OPERATORS_SINKS_MYSQL_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_MYSQL_SINK_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/sinks/mysql_options.h"
#include "tidemark/operators/sinks/mysql_rows.h"
#include "tidemark/operators/sinks/mysql_table.h"
#include "tidemark/operators/sinks/mysql_writer.h"
#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

/// Rows into a table of MySQL or MariaDB, exactly once: the net row of each key (the last one wins)
/// and the marker (table `tidemark_batches` of the same database) in one transaction a batch, whose
/// first statement locks the marker; so a COMMIT whose answer was lost is found by the next Commit
/// of the same batch. A table that was altered since the last batch is checked again before its
/// rows: InvalidArgument if it does not fit any more.
///
/// Commit takes a batch if the marker is of the batch before it (or, of an earlier epoch, of a
/// later batch: after a rewind); a sink without a marker takes none: WriteMarker first. A failure
/// leaves table and marker both as they were, or both written. Cancel is for good: each call after
/// it returns Cancelled. Rows of one batch that clash on another unique key than the pipeline's are
/// written in the order of the pipeline's key.
class MySqlSink final : public Sink {
 public:
  explicit MySqlSink(MySqlSinkOptions options);
  ~MySqlSink() override;

  std::string description() const override;
  bool exactly_once() const override { return true; }
  absl::Status Open(const SinkContext& context) override;
  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override;
  absl::Status WriteMarker(const SinkMarker& marker) override;
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override;
  void Cancel() override { cancelled_ = true; }
  int64_t TakeSkippedRows() override;

  /// Rows that a later row of the same batch and key replaced, over all batches.
  int64_t superseded_rows() const { return superseded_rows_; }

 private:
  // Rows of a batch whose COMMIT was sent, and is not answered yet.
  struct UnsureCounts {
    int64_t epoch;
    int64_t batch_id;
    int64_t superseded_rows;
    int64_t skipped_rows;
  };

  absl::Status PlanColumns(const SinkContext& context);
  void PlanWrites(const std::vector<size_t>& key);
  absl::Status CheckTable();
  absl::Status Connect();
  absl::Status SetWaits(MySqlConnection& connection) const;
  void Leave();
  absl::Status Begin();
  absl::Status Fail(const absl::Status& failure);
  absl::StatusOr<std::optional<SinkMarker>> LockMarker();
  absl::Status PutMarker(const SinkMarker& marker);
  absl::Status Gather(RowStream& stream, MySqlRows* rows);
  absl::Status CheckFollows(const std::optional<SinkMarker>& held, const SinkBatch& batch) const;
  absl::StatusOr<SinkMarker> CommitInTransaction(const SinkBatch& batch, RowStream& stream);
  void CountRows();

  const MySqlSinkOptions options_;
  std::atomic<bool> cancelled_ = false;
  SinkContext context_;
  MySqlTable table_;
  std::string shape_;  // LockMySqlTable's, of the table that was checked; empty until a batch
  MySqlRows::Layout layout_;
  std::unique_ptr<MySqlWriter> writer_;  // set once open
  std::unique_ptr<MySqlConnection> connection_;
  std::optional<MySqlConnection::Identity>
      left_;  // a connection given up, perhaps not by the server
  std::optional<UnsureCounts> unsure_;
  int64_t superseded_rows_ = 0;
  int64_t skipped_rows_ = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_MYSQL_SINK_H_
