#ifndef TIDEMARK_OPERATORS_SOURCES_GENERATOR_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_GENERATOR_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/sources/record_generator.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

struct GeneratorSourceOptions {
  std::string topic = "generated";
  RecordGenerator generator = nullptr;
  uint64_t seed = 0;
  int32_t partitions = 1;
  int64_t rows_per_partition = 0;
};

/// Records made up as they are read, straight into chunks: for benchmarks and tests. Partition p
/// holds the offsets [0, rows_per_partition), always; a query begins at 0. Every record is padded.
class GeneratorSource : public Source {
 public:
  explicit GeneratorSource(GeneratorSourceOptions options);

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
  void Cancel() override { cancelled_ = true; }

 private:
  struct Range {
    PlannedRange planned;
    int64_t next = 0;
    int64_t chunk_index = 0;
  };

  absl::Status CheckCancelled() const;
  RawRecords NextChunk(Range& range) const;

  const GeneratorSourceOptions options_;
  std::deque<Range> ranges_;  // still to be read
  std::vector<DataLoss> losses_;
  std::atomic<bool> cancelled_ = false;
};

/// What is remembered of this record once a source has read it.
LastRecord LastGeneratedRecord(RecordGenerator generator, uint64_t seed, int32_t partition,
                               int64_t offset);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_GENERATOR_SOURCE_H_
