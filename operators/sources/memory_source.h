#ifndef TIDEMARK_OPERATORS_SOURCES_MEMORY_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_MEMORY_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/sources/offsets_json.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// A topic in memory, for tests and small programs. It outlives the sources over it: a query
/// started again reads the same topic. Held by shared_ptr: the program that appends and the sources
/// that read share it. Thread-safe.
class MemoryTopic {
 public:
  explicit MemoryTopic(std::string name, int32_t partitions = 1);
  ~MemoryTopic();
  MemoryTopic(const MemoryTopic&) = delete;
  MemoryTopic& operator=(const MemoryTopic&) = delete;

  const std::string& name() const { return name_; }

  /// Copies the record to the end of the partition and returns its offset; nullopt is null (no key;
  /// a tombstone). A partition that is not there yet appears, and those below it.
  int64_t Append(int32_t partition, std::optional<std::string_view> key,
                 std::optional<std::string_view> value,
                 int64_t timestamp_us = RawRecord::kNoTimestamp, RecordHeaders headers = {});
  /// A gap: offsets that hold no record, as compaction and transactions leave them.
  void SkipOffsets(int32_t partition, int64_t count);
  /// At least this many partitions.
  void AddPartitions(int32_t total);
  /// Forgets the records below `offset`, as retention does. Chunks already read stay as they are.
  void DropBefore(int32_t partition, int64_t offset);
  /// The topic is deleted and made anew: as many partitions, empty, offsets from 0.
  void Recreate();
  /// [begin, end) of each partition, ascending.
  std::vector<AvailableRange> Available() const;

 private:
  friend class MemorySource;
  struct Block;
  struct Record;
  struct Partition {
    std::deque<Record> records;  // ascending offsets
    int64_t begin = 0;
    int64_t end = 0;
  };

  Partition& PartitionAt(int32_t partition);
  char* Allocate(size_t bytes);

  const std::string name_;
  mutable std::mutex mutex_;
  std::vector<Partition> partitions_;
  std::shared_ptr<Block>
      block_;  // where the next record's bytes go; shared with the records and chunks in it
};

struct MemorySourceOptions {
  std::string starting_offsets = "earliest";  ///< as ParseStartingOffsets
};

/// Reads a MemoryTopic. Every record is padded.
class MemorySource : public Source {
 public:
  static absl::StatusOr<std::unique_ptr<MemorySource>> Make(
      std::shared_ptr<MemoryTopic> topic, const MemorySourceOptions& options = {});

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
    int32_t partition = 0;
    int64_t next = 0;
    int64_t end = 0;
    int64_t chunk_index = 0;
  };

  MemorySource(std::shared_ptr<MemoryTopic> topic, StartingPosition position);
  absl::Status CheckCancelled() const;
  void NoteLosses(Range& range, const MemoryTopic::Partition& partition);
  RawRecords NextChunk(Range& range);

  const std::shared_ptr<MemoryTopic> topic_;
  const StartingPosition position_;
  std::deque<Range> ranges_;  // still to be read
  std::vector<DataLoss> losses_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_MEMORY_SOURCE_H_
