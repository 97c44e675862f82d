#include "tidemark/operators/aggregates/prepared_chunk.h"

#include <algorithm>
#include <numeric>

namespace tidemark {
namespace {

// The positions in `order`, stably sorted by bucket_of[position], which is below `buckets`.
std::vector<uint32_t> SortByBucket(const std::vector<uint32_t>& order,
                                   const std::vector<uint32_t>& bucket_of, size_t buckets) {
  std::vector<uint32_t> next(buckets + 1, 0);
  for (uint32_t position : order) ++next[bucket_of[position] + 1];
  for (size_t b = 1; b <= buckets; ++b) next[b] += next[b - 1];
  std::vector<uint32_t> sorted(order.size());
  for (uint32_t position : order) sorted[next[bucket_of[position]]++] = position;
  return sorted;
}

template <typename T>
void Reorder(const std::vector<uint32_t>& order, std::vector<T>* values) {
  std::vector<T> result(order.size());
  for (size_t i = 0; i < order.size(); ++i) result[i] = (*values)[order[i]];
  *values = std::move(result);
}

}  // namespace

size_t PreparedChunk::memory_bytes() const {
  size_t bytes = sizeof(*this) + runs.size() * sizeof(Run) + first_run.size() * sizeof(size_t) +
                 keys.byte_size + errors.size() * sizeof(ExpressionError) +
                 keys.keys.size() * (sizeof(std::string_view) + sizeof(uint64_t));
  for (const ArgumentValues& argument : arguments) bytes += argument.memory_bytes;
  return bytes;
}

std::vector<uint32_t> OrderByRun(const WindowedRows& rows, const WindowTable& table,
                                 PreparedChunk* chunk) {
  const size_t count = rows.rows.size();
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  const bool one_window = rows.window_ends.size() <= 1;
  if (!one_window) order = SortByBucket(order, rows.windows, rows.window_ends.size());
  std::vector<uint32_t> shards(count);
  for (size_t i = 0; i < count; ++i) {
    shards[i] = static_cast<uint32_t>(table.ShardOf(chunk->keys.hashes[i]));
  }
  order = SortByBucket(order, shards, static_cast<size_t>(table.shards()));

  chunk->first_run.assign(1, 0);
  size_t i = 0;
  for (int shard = 0; shard < table.shards(); ++shard) {
    while (i < count && shards[order[i]] == static_cast<uint32_t>(shard)) {
      const uint32_t window = one_window ? 0 : rows.windows[order[i]];
      const size_t begin = i;
      while (i < count && shards[order[i]] == static_cast<uint32_t>(shard) &&
             (one_window || rows.windows[order[i]] == window)) {
        ++i;
      }
      chunk->runs.push_back({shard, rows.window_ends[window], begin, i - begin});
      chunk->longest_run = std::max(chunk->longest_run, i - begin);
    }
    chunk->first_run.push_back(chunk->runs.size());
  }

  Reorder(order, &chunk->keys.hashes);
  Reorder(order, &chunk->keys.keys);
  for (uint32_t& position : order) position = rows.rows[position];
  return order;
}

}  // namespace tidemark
