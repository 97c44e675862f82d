#ifndef TIDEMARK_OPERATORS_SOURCES_KAFKA_READER_H_
#define TIDEMARK_OPERATORS_SOURCES_KAFKA_READER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/sources/source.h"

struct rd_kafka_message_s;

namespace tidemark {

struct KafkaReaderOptions {
  KafkaConnection connection = {};
  std::string group_id = {};
  size_t queue_bytes =
      size_t{64} << 20;  ///< fetched but not yet asked for, all partitions together
};

/// Reads planned ranges of partitions into chunks; KafkaSource decides what to do when something is
/// missing. Handles are assigned once and kept while ranges go on where the last ones ended, so
/// that what they fetched ahead is not lost; ranges that begin elsewhere take fresh ones (5 ms),
/// because librdkafka 2.0.2 aborts on a second assign. There are two, each with every other
/// partition: a handle has one request in flight a broker, and would do nothing while it waits.
/// Each partition has a queue of its own, from which only the range's records are taken: what lies
/// behind the range stays with librdkafka, within queue_bytes. One thread calls everything but
/// Wake.
class KafkaReader {
 public:
  /// Options that KafkaHandle takes; `partitions` share the memory.
  static KafkaHandle::Options HandleOptions(const KafkaReaderOptions& options, size_t partitions);

  /// `client` is for the background task that keeps librdkafka fetching; it outlives the reader.
  KafkaReader(KafkaReaderOptions options, KafkaClient* client);
  ~KafkaReader();
  KafkaReader(const KafkaReader&) = delete;
  KafkaReader& operator=(const KafkaReader&) = delete;

  absl::Status Start(const std::vector<PlannedRange>& ranges);
  /// Takes what has been fetched; if there is nothing, waits for it until `timeout` or Wake.
  void Poll(std::chrono::milliseconds timeout);
  /// The next finished chunk.
  std::optional<RawRecords> TakeChunk();
  /// True when every range is read; chunks may be left to take.
  bool done() const { return reading_count_ == 0; }
  /// Ends the ranges. Records that were not taken as chunks are kept for ranges that begin there.
  void Stop();

  /// A range that is still being read.
  struct Unfinished {
    TopicPartition partition;
    int64_t next = 0;  ///< the next offset to come
    int64_t end = 0;
    bool out_of_range =
        false;  ///< the broker says that it does not hold `next`: nothing comes until SkipTo
  };
  std::vector<Unfinished> unfinished() const;
  bool out_of_range() const;
  /// A partition that was missing for a while: what comes of it now may be another topic's of that
  /// name. The next Start takes that as looked into.
  std::optional<TopicPartition> interrupted() const;
  /// Reading goes on at `offset`, which may be past the range's end.
  absl::Status SkipTo(const TopicPartition& partition, int64_t offset);
  /// The range ends before `end`, if it does not yet.
  void CutRange(const TopicPartition& partition, int64_t end);

  /// The offset past the last record taken from librdkafka, chunk or no chunk; -1 for a partition
  /// that is not read.
  int64_t position(const TopicPartition& partition) const;
  /// What a log must still be like to be the one that was read: no record before `end` is newer
  /// than `timestamp_ms`. Nothing if too little was read to say.
  struct Past {
    int64_t end = 0;  ///< one past the last record in a chunk
    int64_t timestamp_ms = -1;
  };
  std::optional<Past> past(const TopicPartition& partition) const;
  /// The end of the log as the last fetch showed it (with transactions still open); nothing if it
  /// is not known.
  std::optional<int64_t> HighWatermark(const TopicPartition& partition) const;
  /// How long nothing has come.
  std::chrono::steady_clock::duration silence() const { return Clock::now() - last_arrival_; }
  void ResetSilence() { last_arrival_ = Clock::now(); }
  /// PermissionDenied, if that was the last answer for a range that is still being read. Brokers
  /// may say so for a moment while rights are being changed.
  absl::Status refusal() const;
  /// What the handles' threads last reported; empty if nothing, or if something came since.
  std::string last_error() const;

  /// From any thread: ends a wait in Poll.
  void Wake();

 private:
  using Clock = std::chrono::steady_clock;
  class ChunkOwner;
  struct Partition;
  struct ReadyChunk {
    RawRecords chunk;
    std::shared_ptr<ChunkOwner> owner;
    Partition* partition = nullptr;
  };
  /// Lets Poll sleep until one of the queues has something.
  struct Signal {
    std::mutex mutex;
    std::condition_variable changed;
    int64_t count = 0;
  };

  bool Continues(const std::vector<PlannedRange>& ranges) const;
  absl::Status Connect();
  /// Before the queues go: which partitions they say were missing.
  void NoteInterruptions();
  /// Every kHandles-th partition from `first` on, to the newest handle.
  absl::Status Assign(size_t first);
  void Disconnect();
  void Begin(Partition& partition, const PlannedRange& range);
  size_t Consume(Partition& partition);
  void TakeError(Partition& partition, const rd_kafka_message_s& message);
  void Append(Partition& partition, rd_kafka_message_s* message);
  void FinishChunk(Partition& partition);
  void FinishRange(Partition& partition);
  void KeepFetching();
  Partition* Find(const TopicPartition& where) const;

  const KafkaReaderOptions options_;
  KafkaClient* const client_;
  Signal signal_;
  std::vector<std::shared_ptr<KafkaHandle>> handles_;
  std::vector<std::unique_ptr<Partition>> partitions_;
  std::deque<ReadyChunk> ready_;
  std::vector<rd_kafka_message_s*> batch_;
  size_t reading_count_ = 0;
  size_t turn_ = 0;            // of the partition that is asked first
  size_t consumed_bytes_ = 0;  // since last_wake_
  Clock::time_point last_wake_;
  Clock::time_point last_arrival_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_KAFKA_READER_H_
