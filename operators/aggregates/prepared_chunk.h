#ifndef TIDEMARK_OPERATORS_AGGREGATES_PREPARED_CHUNK_H_
#define TIDEMARK_OPERATORS_AGGREGATES_PREPARED_CHUNK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tidemark/operators/aggregates/accumulators.h"
#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/operators/aggregates/group_key.h"
#include "tidemark/operators/aggregates/window.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// Rows [begin, begin + count) of a chunk: all of one shard and window.
struct Run {
  int shard;
  int64_t window_end;
  size_t begin;
  size_t count;
};

/// The rows of a chunk by (shard, window), else in the order in which they came.
class PreparedChunk : public PreparedRows {
 public:
  size_t memory_bytes() const override;
  std::span<const Run> RunsOf(int shard) const {
    return {runs.data() + first_run[shard], first_run[shard + 1] - first_run[shard]};
  }

  std::vector<Run> runs;
  std::vector<size_t> first_run;  ///< of each shard, and the end
  size_t longest_run = 0;
  GroupKeys keys;                         ///< in the order of the runs
  std::vector<ArgumentValues> arguments;  ///< in the order of the runs
};

/// Puts rows with their keys into the order of the runs: makes the runs and the keys of `chunk`,
/// and returns the rows' batch indexes in that order.
std::vector<uint32_t> OrderByRun(const WindowedRows& rows, GroupKeys keys, const WindowTable& table,
                                 PreparedChunk* chunk);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_PREPARED_CHUNK_H_
