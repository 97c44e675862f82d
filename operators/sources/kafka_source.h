#ifndef TIDEMARK_OPERATORS_SOURCES_KAFKA_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_KAFKA_SOURCE_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/sources/offsets_json.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

class KafkaClient;
class KafkaReader;

struct KafkaSourceOptions {
  std::string brokers = {};  ///< `HOST:PORT,...`
  std::vector<std::string> topics = {};
  std::string starting_offsets = "latest";  ///< as ParseStartingOffsets
  /// Any of the client's options, under librdkafka's names without `kafka.`: they win over ours.
  /// Refused are those that the reading depends on (auto commit and offset store, offset reset,
  /// end-of-partition) and the brokers.
  std::map<std::string, std::string> properties = {};
  std::string group_id =
      "tidemark";  ///< whose offsets Acknowledge commits; `group.id` among the properties wins
  size_t queue_bytes = size_t{64} << 20;  ///< fetched ahead, all partitions together
  bool missing_topics_are_empty = false;  ///< a topic that is gone has no partitions
};

/// Reads topics of a Kafka cluster (semantics, section 5). Only committed transactions by default.
/// The records of a chunk are librdkafka's own messages: nothing is copied.
///
/// Available asks the partitions' leaders (one round trip), except that an answer stays good for 20
/// ms while the fetches show no new end of the log; the partitions themselves are asked for once a
/// second, and those that are gone are left out. A topic that the brokers no longer know is
/// NotFound after 3 seconds of their saying so (after 2 in Open): a broker that starts knows no
/// topic for a moment. With `missing_topics_are_empty` it then has no partitions, until it is back,
/// and only StartingOffsets says NotFound. Likewise an end before what was read is believed after 5
/// seconds; until then nothing is new; Unavailable says once that it is past it again, so that who
/// reads on calls CheckIdentity first, and at most every 5 seconds that there are newer records
/// where older ones were read. Read waits when brokers are away, and says Unavailable for
/// each 10 seconds in which nothing came (PermissionDenied if brokers refuse to let it read all
/// that time); reading goes on at the next call. It is Aborted when a partition was missing, or did
/// not hold an offset that it holds now, since the last StartRead. Offsets that left the log,
/// partitions that are gone and logs that end before the range are losses. The destructor takes
/// less than 2 seconds, brokers or not.
class KafkaSource : public Source {
 public:
  /// InvalidArgument for options that are wrong; connects to nothing.
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Make(KafkaSourceOptions options);
  ~KafkaSource() override;

  std::string description() const override;
  absl::Status Open() override;
  absl::StatusOr<Offsets> StartingOffsets() override;
  absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>& last_records) override;
  absl::StatusOr<std::vector<AvailableRange>> Available() override;
  absl::Status StartRead(const std::vector<PlannedRange>& ranges) override;
  absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration timeout) override;
  void StopRead() override;
  std::vector<DataLoss> TakeLosses() override;
  absl::Status Acknowledge(const Offsets& offsets) override;
  void Cancel() override;

  /// The offset past the last record taken from the broker's connection, in a finished chunk or
  /// not; -1 if the partition was never read.
  int64_t position(const TopicPartition& partition) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Known {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t planned = -1;                          // the end of the last range that was asked for
    std::optional<int64_t> high_watermark;         // when `end` was asked for
    std::optional<Clock::time_point> short_since;  // the log ends before `planned`
  };

  KafkaSource(KafkaSourceOptions options, StartingPosition position,
              std::unique_ptr<KafkaClient> client, std::unique_ptr<KafkaReader> reader);
  absl::Status RefreshPartitions(Clock::duration patience);
  absl::Status RefreshOffsets(bool beginnings_too);
  absl::Status AwaitOffsets(const std::map<TopicPartition, LastRecord>& last_records);
  bool NothingChanged() const;
  std::string InDoubt(const TopicPartition& where, std::string_view why) const;
  absl::Status NoteShortLogs();
  absl::Status CompareTimes();
  std::vector<AvailableRange> KnownRanges() const;
  absl::Status JudgeOutOfRange();
  absl::Status JudgeSilence();
  absl::StatusOr<std::map<TopicPartition, LastRecord>> ReadAgain(
      const std::vector<PlannedRange>& ranges);
  absl::Status SilenceStatus(KafkaReader& reader);
  absl::Status CheckCancelled() const;

  const KafkaSourceOptions options_;
  const StartingPosition position_;
  const std::unique_ptr<KafkaClient> client_;
  const std::unique_ptr<KafkaReader> reader_;
  std::map<TopicPartition, Known> partitions_;
  std::vector<DataLoss> losses_;
  std::optional<Clock::time_point> topic_missing_since_;
  Clock::time_point partitions_asked_;
  Clock::time_point beginnings_asked_;
  Clock::time_point ends_asked_;
  Clock::time_point times_asked_;
  Clock::time_point doubted_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_KAFKA_SOURCE_H_
