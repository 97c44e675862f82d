#ifndef TIDEMARK_ENGINE_BATCH_PLANNING_H_
#define TIDEMARK_ENGINE_BATCH_PLANNING_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "tidemark/engine/checkpoint.h"
#include "tidemark/engine/plan.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

// What the next batch does, decided from values alone: no clock, no source, no store.

/// Positions that the source can no longer serve, judged against what it has now: partitions gone,
/// offsets aged out, a log that ends before what was already read (re-created).
std::vector<DataLoss> FindLosses(const std::map<TopicPartition, PartitionProgress>& positions,
                                 const std::vector<AvailableRange>& available);

/// One past the last readable offset of each partition.
Offsets EndOffsets(const std::vector<AvailableRange>& available);

/// Splits `limit` offsets (0: no limit) over the partitions that have something to read, each in
/// proportion to what it has, rounded up below 1 and down above, as Spark's Kafka source does.
/// Positions past `available` read nothing; a partition without a position starts at its beginning.
/// Without empty ranges; ascending.
std::vector<PlannedRange> PlanRanges(const std::map<TopicPartition, PartitionProgress>& positions,
                                     const std::vector<AvailableRange>& available, int64_t limit);

/// The watermark after the committed batch (semantics, section 1): greatest event time less the
/// delay, over all partitions, or the least of the partitions' that are not `idle`. Never below the
/// committed batch's; kNoWatermark without one.
int64_t NextWatermark(const QueryProgress& progress, const std::optional<WatermarkNode>& watermark,
                      const std::set<TopicPartition>& idle);

/// How many rows the next batch should have, from how fast the last ones went: about a second of
/// work, and no more bytes than the memory limit leaves room for. Used by one thread.
class BatchSizer {
 public:
  /// `max_bytes`: what the rows of one batch may take.
  explicit BatchSizer(int64_t max_bytes) : max_bytes_(max_bytes) {}
  /// A batch of `rows` took `seconds`, and `bytes` of memory.
  void Observe(int64_t rows, double seconds, int64_t bytes);
  /// At most this many rows keep the batch inside the memory; INT64_MAX while nothing is known.
  int64_t MemoryRows() const;
  /// About one second of work, and not more than MemoryRows.
  int64_t TargetRows() const;

 private:
  int64_t max_bytes_;
  double rows_per_second_ = 0;
  double bytes_per_row_ = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_BATCH_PLANNING_H_
