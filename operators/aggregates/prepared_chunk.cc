#include "tidemark/operators/aggregates/prepared_chunk.h"

#include <algorithm>
#include <utility>

namespace tidemark {
size_t PreparedChunk::memory_bytes() const {
  size_t bytes = sizeof(*this) + runs.size() * sizeof(Run) + first_run.size() * sizeof(size_t) +
                 keys.byte_size + errors.size() * sizeof(ExpressionError) +
                 keys.keys.size() * (sizeof(std::string_view) + sizeof(uint64_t));
  for (const ArgumentValues& argument : arguments) bytes += argument.memory_bytes;
  return bytes;
}

std::vector<uint32_t> OrderByRun(const WindowedRows& rows, GroupKeys keys, const WindowTable& table,
                                 PreparedChunk* chunk) {
  const size_t count = rows.rows.size();
  const size_t windows = rows.window_ends.size();
  const size_t buckets = windows * static_cast<size_t>(table.shards());
  std::vector<uint32_t> bucket_of(count);
  std::vector<uint32_t> next(buckets + 1, 0);
  for (size_t i = 0; i < count; ++i) {
    const size_t shard = static_cast<size_t>(table.ShardOf(keys.hashes[i]));
    const size_t bucket = shard * windows + (rows.windows.empty() ? 0 : rows.windows[i]);
    bucket_of[i] = static_cast<uint32_t>(bucket);
    ++next[bucket + 1];
  }

  chunk->first_run.assign(1, 0);
  for (int shard = 0; shard < table.shards(); ++shard) {
    for (size_t window = 0; window < windows; ++window) {
      const size_t bucket = static_cast<size_t>(shard) * windows + window;
      const uint32_t begin = next[bucket];
      const uint32_t size = next[bucket + 1];
      next[bucket + 1] += begin;
      if (size == 0) continue;
      chunk->runs.push_back({shard, rows.window_ends[window], begin, size});
      chunk->longest_run = std::max<size_t>(chunk->longest_run, size);
    }
    chunk->first_run.push_back(chunk->runs.size());
  }

  std::vector<uint32_t> order(count);
  chunk->keys.keys.resize(count);
  chunk->keys.hashes.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const uint32_t to = next[bucket_of[i]]++;
    order[to] = rows.rows[i];
    chunk->keys.keys[to] = keys.keys[i];
    chunk->keys.hashes[to] = keys.hashes[i];
  }
  chunk->keys.bytes = std::move(keys.bytes);
  chunk->keys.byte_size = keys.byte_size;
  return order;
}

}  // namespace tidemark
