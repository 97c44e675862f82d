#ifndef TIDEMARK_OPERATORS_SOURCES_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_SOURCE_H_

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

/// The next offset to read of each partition. Ordered, so that its text is canonical.
using Offsets = std::map<TopicPartition, int64_t>;

/// Part of a batch's plan: read [start, end) of this partition. start == end: nothing.
struct PlannedRange {
  TopicPartition partition;
  int64_t start = 0;
  int64_t end = 0;
  friend bool operator==(const PlannedRange&, const PlannedRange&) = default;
};

/// What a partition holds now: records may be read from `begin` on; `end` is one past the last
/// readable one (Kafka: the log's start and the last stable offset).
struct AvailableRange {
  TopicPartition partition;
  int64_t begin = 0;
  int64_t end = 0;
  bool more = false;  ///< a polled table has more rows than these, to be seen by asking again
};

/// The last record read of a partition, remembered in the checkpoint to recognise a topic that was
/// made anew.
struct LastRecord {
  int64_t offset = -1;  ///< -1: none read yet
  int64_t timestamp_us = RawRecord::kNoTimestamp;
  uint64_t hash = 0;  ///< RecordHash of the record
  friend bool operator==(const LastRecord&, const LastRecord&) = default;
};
/// StableHash over key and value (null told from empty).
uint64_t RecordHash(const RawRecord& record);

/// Offsets that can no longer be read: [wanted, available) of a partition.
struct DataLoss {
  TopicPartition partition;
  int64_t wanted = 0;
  int64_t available = 0;
  std::string reason;  ///< `offsets aged out`, `topic re-created`, `partition gone`, ...
};

/// What a source that is not read by offsets alone (a table that is polled) must know to go on, as
/// the checkpoint keeps it: a head that each batch replaces, and rows that stay as they are until
/// they are removed, so that a batch writes what is new and not all there is.
struct SourceState {
  std::string head;                                       ///< empty: none yet
  std::vector<std::pair<std::string, std::string>> rows;  ///< key and value, by key
};
/// What a batch makes of it: first rows of earlier batches go, then its own come.
struct SourceStateChange {
  std::string head;
  std::string remove_begin;  ///< rows with keys in [remove_begin, remove_end) go
  std::string remove_end;
  std::vector<std::pair<std::string, std::string>> added;  ///< key and value
};

/// Where records come from. One thread at a time calls everything but Cancel, in this order:
///   Open; for a new query StartingOffsets, else CheckIdentity; then for ever Available, StartRead,
///   Read until it says the ranges are done (or StopRead), Acknowledge.
/// Errors: Unavailable = try again (broker away); NotFound / InvalidArgument = the user's options
/// (unknown topic); Cancelled = Cancel was called; anything lost is reported by TakeLosses, not as
/// an error: the engine judges it.
class Source {
 public:
  virtual ~Source() = default;

  /// What progress shows, e.g. `Kafka[users_change_events]`.
  virtual std::string description() const = 0;

  /// Connects and checks that what is to be read exists. May be called again after Unavailable.
  virtual absl::Status Open() = 0;

  /// The offsets a new query starts from, with earliest and latest resolved to numbers, for each
  /// existing partition.
  virtual absl::StatusOr<Offsets> StartingOffsets() = 0;

  /// What people should know of where reading starts, as a line of the log; empty: nothing.
  virtual std::string start_note() const { return ""; }

  /// At a restart, and later before something new is read, where what there is may have been made
  /// anew meanwhile (Available failed, or was not called for long): reads each partition's last
  /// record again and returns those partitions that are not the ones the checkpoint knows (another
  /// record at that offset, or the log ends before it). What cannot be judged passes.
  virtual absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>& last_records) = 0;

  /// What can be read now, of every partition there is (new ones included), ascending.
  virtual absl::StatusOr<std::vector<AvailableRange>> Available() = 0;

  /// For sources whose records cannot be read again by their offsets (a table that is polled): the
  /// records of these ranges, in bytes of the source's own, which the checkpoint keeps with the
  /// batch's plan: a re-run after a restart gets them back (SourceRequest::saved_records). Called
  /// between Available and StartRead, and again with shorter ranges for a batch that was cut.
  /// Empty: the ranges say it all.
  virtual absl::StatusOr<std::string> SaveRecords(const std::vector<PlannedRange>& ranges) {
    (void)ranges;
    return std::string();
  }
  /// How the batch of these ranges, which begin where the one before ended, changes what such a
  /// source must know to go on (the table's cursor, the keys seen of late): kept with the commit of
  /// that batch, and all of it given back at the next start (SourceRequest::state). Called when the
  /// ranges have been read; may be called again, and says the same, until they are acknowledged.
  virtual SourceStateChange StateAfter(const std::vector<PlannedRange>& ranges) const {
    (void)ranges;
    return {};
  }

  /// Begins to read the ranges, or again from any offset not yet acknowledged. Where they continue
  /// the ranges read before, read-ahead records are kept.
  virtual absl::Status StartRead(const std::vector<PlannedRange>& ranges) = 0;
  /// The next chunk of any partition, as soon as it is full or its range ends; each partition's
  /// chunks come in order. Nothing if none is ready within `timeout`. A chunk without records and
  /// partition -1 says that all ranges are done. After Unavailable, reading goes on at the next
  /// call. Aborted: what comes next may be of another log of that name (the topic was missing
  /// meanwhile): the batch is given up, and planned or read again after CheckIdentity.
  virtual absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration timeout) = 0;
  /// Forgets the rest of the ranges: the batch was cut or given up.
  virtual void StopRead() = 0;
  /// What turned out to be gone since the last call: within the ranges being read, reading goes on
  /// at `available`.
  virtual std::vector<DataLoss> TakeLosses() { return {}; }

  /// Everything up to `offsets` is committed: a batch that ends there, or what the checkpoint says
  /// at a restart. Best effort: a failure is counted and logged, and the same offsets, or later
  /// ones, come again within seconds.
  virtual absl::Status Acknowledge(const Offsets& offsets) {
    (void)offsets;
    return absl::OkStatus();
  }

  /// From any thread, also a signal watcher's: calls in progress and later ones return Cancelled
  /// soon (100 ms).
  virtual void Cancel() = 0;
};

/// The rule of raw_records.h by which every source ends its chunks.
inline bool ChunkIsFull(const RawRecords& chunk) {
  return chunk.records.size() >= kMaxChunkRecords || chunk.bytes >= kMaxChunkBytes;
}

/// The chunk by which Read says that everything was read.
inline RawRecords EndOfRanges() {
  RawRecords end;
  end.partition = -1;
  return end;
}
inline bool IsEndOfRanges(const RawRecords& chunk) { return chunk.partition < 0; }

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_SOURCE_H_
