#ifndef TIDEMARK_OPERATORS_SINKS_KAFKA_TRANSACTIONS_H_
#define TIDEMARK_OPERATORS_SINKS_KAFKA_TRANSACTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/rows/raw_records.h"

struct rd_kafka_s;
struct rd_kafka_error_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_s;

namespace tidemark {

/// Records that get into a topic all together with a group's offset, or not at all: a transactional
/// producer, whose offset (of partition 0 of the topic it writes) is what a sink keeps of itself.
///
/// One thread calls: TakeOver, then for each transaction Begin, Produce..., Commit; after any error
/// of those Abort, and TakeOver again. Cancel may come from any thread and is for good. Errors:
/// Unavailable = no broker answers, or it is not known whether the Commit went through: the offset
/// that TakeOver returns next tells; InvalidArgument and PermissionDenied = login, rights, or a
/// record that the topic does not take; NotFound = no such topic; FailedPrecondition = another
/// producer took over with the same id: from then on every call fails so; Cancelled.
class KafkaTransactions {
 public:
  struct Options {
    KafkaConnection connection;
    std::string topic;
    std::string id;  ///< the transactional id, and the group whose offset goes with the records
    std::string row_words = "row {} of the batch";  ///< how an error names a record
  };
  /// A record's key or value: null, or bytes that live until Produce returns.
  using Bytes = std::optional<std::string_view>;
  /// A record that came from somewhere, and keeps more of it than key and value.
  struct Record {
    Bytes key = std::nullopt;
    Bytes value = std::nullopt;
    RecordHeaders headers = {};
    std::optional<int32_t> partition = std::nullopt;     ///< nothing: by the key
    std::optional<int64_t> timestamp_ms = std::nullopt;  ///< nothing: now
  };

  /// Connects to nothing yet. InvalidArgument: wrong options.
  static absl::StatusOr<std::unique_ptr<KafkaTransactions>> Make(Options options);
  /// Aborts the open transaction if a broker answers within half a second (otherwise the next
  /// TakeOver does, or the transaction's time-out).
  ~KafkaTransactions();
  KafkaTransactions(const KafkaTransactions&) = delete;
  KafkaTransactions& operator=(const KafkaTransactions&) = delete;

  /// Makes the topic if there is none.
  absl::Status CreateTopic(int32_t partitions);

  bool ready() const { return producer_ != nullptr; }
  /// Makes this the producer with the id: what an earlier one left open is ended, and that one, if
  /// it still lives, can write no more. Returns the offset that the last committed transaction set.
  absl::StatusOr<std::optional<KafkaGroupOffset>> TakeOver();

  absl::Status Begin();
  /// Copies the record. `row` is what an error about it names.
  absl::Status Produce(Bytes key, Bytes value, int64_t row);
  absl::Status Produce(const Record& record, int64_t row);
  /// To be called now and then between records: what became of those before.
  absl::Status Serve() { return Served(0); }
  /// `offset.offset` >= 0.
  absl::Status Commit(const KafkaGroupOffset& offset);
  /// Ends a transaction that failed with `failure`, and the producer with it: returns what the
  /// caller should know, which is FailedPrecondition if that comes to light.
  absl::Status Abort(const absl::Status& failure);

  void Cancel() { client_->Cancel(); }
  bool cancelled() const { return client_->cancelled(); }

 private:
  struct Delivery;
  struct DestroyTopic {
    void operator()(rd_kafka_topic_s* topic) const;
  };
  using Call = rd_kafka_error_s* (*)(rd_kafka_s*, const KafkaGroupOffset&, const Options&);

  KafkaTransactions(Options options, std::unique_ptr<KafkaClient> client);
  absl::Status MakeProducer();
  absl::Status Transact(Call call, const KafkaGroupOffset& offset, const char* what);
  absl::Status Judge(int code, bool fatal, const std::string& text);
  template <typename Send>
  absl::Status Produce(size_t bytes, int64_t row, const Send& send);
  absl::Status Served(int wait_ms);
  absl::Status Flush();
  void Drop();
  static void OnDelivery(rd_kafka_s* handle, const rd_kafka_message_s* message, void* opaque);

  const Options options_;
  const std::chrono::milliseconds timeout_;  // a transaction's, at the brokers
  std::unique_ptr<KafkaClient> client_;
  std::unique_ptr<Delivery> delivery_;
  std::shared_ptr<KafkaHandle> producer_;
  std::unique_ptr<rd_kafka_topic_s, DestroyTopic> topic_;  // goes before its handle
  absl::Status fenced_;
  bool open_ = false;  // a transaction is
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_KAFKA_TRANSACTIONS_H_
