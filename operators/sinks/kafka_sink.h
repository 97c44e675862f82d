#ifndef TIDEMARK_OPERATORS_SINKS_KAFKA_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_KAFKA_SINK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/operators/formats/encoder.h"
#include "tidemark/operators/sinks/kafka_options.h"
#include "tidemark/operators/sinks/kafka_transactions.h"
#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

/// Each row as a record of a Kafka topic, in the rows' order, exactly once for consumers that read
/// committed transactions only: a batch is one transaction, and its marker is an offset in it: of
/// group `tidemark-sink-<query id>-<sink>`, on the topic's partition 0, the batch's number + 1,
/// with the rest of the marker as metadata.
///
/// The key is the value of the key column as text (strings and bytes as they are), of several key
/// columns the JSON array of them, and null without any; with a key format it is what that makes of
/// the key columns: a JSON object, an Avro datum. Records with the same key come into the same
/// partition as those of Java clients (murmur2 of its bytes), those without anywhere.
///
/// Commit takes a batch if the marker is of the batch before it (or, of an earlier epoch, of a
/// later batch: after a rewind; its rows are then in the topic a second time); a sink without a
/// marker takes none: WriteMarker first. A failed Commit leaves an aborted transaction or none, or,
/// when the answer was lost, what the next Commit of the same batch finds out; so does a kill at
/// any moment. Brokers forget the marker a week after the last batch or KeepMarker
/// (offsets.retention.minutes), and with the topic. Only one instance writes: Open fences an
/// earlier one, which then fails with FailedPrecondition for good. So is Cancel.
///
/// InvalidArgument: wrong options, a null key that is not allowed, a record that the topic does not
/// take; NotFound: no such topic.
class KafkaSink final : public Sink {
 public:
  explicit KafkaSink(KafkaSinkOptions options);
  ~KafkaSink() override;

  std::string description() const override;
  bool exactly_once() const override { return true; }
  absl::Status Open(const SinkContext& context) override;
  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override;
  absl::Status WriteMarker(const SinkMarker& marker) override;
  absl::Status KeepMarker() override;
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override;
  void Cancel() override;
  int64_t TakeSkippedRows() override;

 private:
  // Rows skipped in a batch that may have been committed.
  struct UnsureSkips {
    int64_t epoch;
    int64_t batch_id;
    int64_t rows;
  };

  absl::Status PlanColumns(const SinkContext& context);
  absl::Status Ready();
  absl::Status PutMarker(const SinkMarker& marker);
  absl::Status CheckFollows(const SinkBatch& batch) const;
  absl::Status CommitRows(const SinkBatch& batch, RowStream& rows);
  absl::Status WriteRows(RowStream& rows);
  absl::Status WriteBatch(const RowBatch& batch);
  bool HasNullKey(const RowBatch& batch, uint32_t row) const;
  /// Whether a row that is written with a null in its key has no key at all then.
  bool null_makes_no_key() const { return key_columns_.size() == 1; }
  absl::Status EncodeKeys(const RowBatch& batch);
  KafkaTransactions::Bytes KeyText(const RowBatch& batch, uint32_t row);
  absl::StatusOr<SinkMarker> ParseMarker(const KafkaGroupOffset& offset) const;

  const KafkaSinkOptions options_;
  SinkContext context_;
  std::optional<size_t> delete_when_;  // columns of the rows, as all below
  std::vector<size_t> key_columns_;
  std::vector<size_t> value_columns_;
  std::shared_ptr<const Schema> value_schema_;
  std::unique_ptr<Encoder> encoder_;
  std::shared_ptr<const Schema> key_schema_;
  std::unique_ptr<Encoder> key_encoder_;  // null: keys are text

  std::mutex mutex_;  // for what Cancel uses: cancelled_, and transactions_ when Open sets it
  bool cancelled_ = false;
  std::unique_ptr<KafkaTransactions> transactions_;  // set once open
  std::optional<SinkMarker> held_;                   // while transactions_ are ready

  // Of the batch that is being written.
  int64_t row_ = 0;
  int64_t skipped_in_batch_ = 0;
  std::string key_;
  std::string keys_;  // by key_encoder_, of the rows that have one
  std::vector<size_t> key_ends_;
  std::string values_;
  std::vector<size_t> value_ends_;

  std::optional<UnsureSkips> unsure_;
  int64_t skipped_rows_ = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_KAFKA_SINK_H_
