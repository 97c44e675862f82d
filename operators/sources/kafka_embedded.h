#ifndef TIDEMARK_OPERATORS_SOURCES_KAFKA_EMBEDDED_H_
#define TIDEMARK_OPERATORS_SOURCES_KAFKA_EMBEDDED_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/sources/kafka_source.h"
#include "tidemark/operators/sources/record_generator.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

struct EmbeddedKafkaOptions {
  std::string topic = {};
  RecordGenerator generator =
      nullptr;  ///< records of up to 2 MiB; timestamps not 0 (to Kafka that means "now")
  uint64_t seed = 0;
  int32_t partitions = 4;
  int64_t rows = 200'000;  ///< how many more there are in this run, all partitions together
  std::optional<Offsets> committed = {};  ///< the checkpoint's; nothing for a new query
  Offsets planned = {};  ///< the ends of a batch that was planned before and not finished
  std::string starting_offsets = "earliest";           ///< `latest` is the same: a new log is empty
  std::map<std::string, std::string> properties = {};  ///< as KafkaSourceOptions
  size_t queue_bytes = size_t{64} << 20;
};

/// Kafka without a server: librdkafka's mock cluster in this process, filled by a thread from the
/// job's generator and read through a KafkaSource, so that a demo takes the same way as production.
///
/// The cluster forgets everything with the process and keeps 5 MiB of a partition, while offsets go
/// on from run to run. So the log is a pure function of (seed, partition, offset), and the cluster
/// holds a stretch of it: the broker's offset 0 is the offset at which reading begins (`base`),
/// offsets seen outside are base + the broker's, and the producer stays within 2 MiB a partition
/// ahead of what has been read. Ranges that do not go on where the last ones ended get a new
/// cluster with another base (about 50 ms). The log ends at the committed offsets plus `rows`,
/// spread over the partitions, or where a plan of an earlier run says.
class EmbeddedKafkaSource : public Source {
 public:
  explicit EmbeddedKafkaSource(EmbeddedKafkaOptions options);
  ~EmbeddedKafkaSource() override;

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
  void Cancel() override;

 private:
  class Broker;
  struct Partition {
    int64_t base = 0;      // the offset that is the broker's 0
    int64_t position = 0;  // the next offset to go out
    int64_t log_end = 0;
  };

  absl::Status CheckCancelled() const;
  bool Has(const TopicPartition& partition) const;
  absl::Status Restart();

  const EmbeddedKafkaOptions options_;
  std::vector<Partition> partitions_;
  std::unique_ptr<Broker> broker_;
  std::mutex mutex_;
  std::unique_ptr<KafkaSource> source_;  // replaced under mutex_: Cancel comes from other threads
  std::atomic<bool> cancelled_ = false;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_KAFKA_EMBEDDED_H_
