// What a row costs in the window tables, and what a commit of dirty groups costs.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "fmt/format.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/window_table.h"

namespace tidemark {
namespace {

constexpr int kShards = 8;
constexpr size_t kChunkRows = 8192;
constexpr int64_t kWindow = 60'000'000;

uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

/// Rows of 9-byte keys (a null mark and a big-endian int64), as the aggregation makes them: cut
/// into chunks, and in a chunk sorted by shard.
class Rows {
 public:
  Rows(const WindowTable& table, size_t keys, size_t rows) : key_bytes_(rows * kKeyBytes) {
    std::mt19937_64 random(7);
    std::vector<uint64_t> ids(rows);
    for (uint64_t& id : ids) id = random() % keys;
    for (size_t begin = 0; begin < rows; begin += kChunkRows) {
      const size_t end = std::min(begin + kChunkRows, rows);
      std::stable_sort(
          ids.begin() + static_cast<ptrdiff_t>(begin), ids.begin() + static_cast<ptrdiff_t>(end),
          [&](uint64_t a, uint64_t b) { return table.ShardOf(Mix(a)) < table.ShardOf(Mix(b)); });
    }
    for (size_t i = 0; i < rows; ++i) {
      char* key = key_bytes_.data() + i * kKeyBytes;
      const uint64_t big_endian = __builtin_bswap64(ids[i] ^ (uint64_t{1} << 63));
      key[0] = 1;
      std::memcpy(key + 1, &big_endian, sizeof(big_endian));
      hashes_.push_back(Mix(ids[i]));
      keys_.emplace_back(key, kKeyBytes);
    }
    slots_.resize(kChunkRows);
  }

  /// Counts each row in its group.
  void Count(WindowTable* table, benchmark::State* state) {
    for (size_t begin = 0; begin < keys_.size();) {
      const int shard = table->ShardOf(hashes_[begin]);
      const size_t chunk_end = std::min((begin / kChunkRows + 1) * kChunkRows, keys_.size());
      size_t end = begin + 1;
      while (end < chunk_end && table->ShardOf(hashes_[end]) == shard) ++end;
      const std::span hashes(hashes_.data() + begin, end - begin);
      const std::span keys(keys_.data() + begin, end - begin);
      const absl::Status status = table->Upsert(shard, kWindow, hashes, keys, slots_.data());
      if (!status.ok()) state->SkipWithError(status.ToString().c_str());
      for (size_t i = 0; i < end - begin; ++i) ++*reinterpret_cast<int64_t*>(slots_[i]);
      begin = end;
    }
  }

 private:
  static constexpr size_t kKeyBytes = 9;
  std::vector<char> key_bytes_;
  std::vector<uint64_t> hashes_;
  std::vector<std::string_view> keys_;
  std::vector<std::byte*> slots_;
};

WindowTableOptions CountOptions() {
  WindowTableOptions options;
  options.layout.width = 8;
  options.shards = kShards;
  return options;
}

class Folder {
 public:
  Folder() : path_(fmt::format("{}/state_bench_{}", Parent(), getpid())) {}
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  static std::string Parent() {
    const char* folder = std::getenv("TMPDIR");
    return folder != nullptr ? folder : "/tmp";
  }
  std::string path_;
};

std::unique_ptr<CheckpointStore> OpenStore(const Folder& folder, benchmark::State* state) {
  bool created = false;
  auto store = OpenCheckpointStore(folder.path(), {}, &created);
  if (store.ok()) return std::move(store).value();
  state->SkipWithError(store.status().ToString().c_str());
  return nullptr;
}

void Commit(CheckpointStore* store, WindowTable* table, benchmark::State* state) {
  auto writes = store->NewWrites();
  absl::Status status = table->AppendWrites(INT64_MIN, writes.get());
  if (status.ok()) status = store->Commit(std::move(writes));
  if (!status.ok()) state->SkipWithError(status.ToString().c_str());
  table->Committed(INT64_MIN);
}

/// A row into groups that are all in memory.
void BM_Upsert(benchmark::State& state) {
  MemoryCheckpoint checkpoint;
  bool created = false;
  auto store = checkpoint.Open(&created).value();
  const auto table = WindowTable::Create(store.get(), CountOptions());
  const auto keys = static_cast<size_t>(state.range(0));
  Rows rows(*table, keys, std::max<size_t>(1'000'000, 2 * keys));
  rows.Count(table.get(), &state);
  int64_t counted = 0;
  for (auto _ : state) {
    rows.Count(table.get(), &state);
    counted += static_cast<int64_t>(std::max<size_t>(1'000'000, 2 * keys));
  }
  state.SetItemsProcessed(counted);
  state.counters["bytes_per_group"] =
      static_cast<double>(table->memory_bytes()) / static_cast<double>(table->groups_in_memory());
}
BENCHMARK(BM_Upsert)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->Arg(5'000'000)->Unit(
    benchmark::kMillisecond);

/// A commit in which all groups are dirty: sorted, put, synced.
void BM_Commit(benchmark::State& state) {
  const Folder folder;
  const auto store = OpenStore(folder, &state);
  if (store == nullptr) return;
  const auto table = WindowTable::Create(store.get(), CountOptions());
  const auto keys = static_cast<size_t>(state.range(0));
  Rows rows(*table, keys, keys * 8);
  int64_t committed = 0;
  for (auto _ : state) {
    state.PauseTiming();
    rows.Count(table.get(), &state);
    committed += table->groups_touched();
    state.ResumeTiming();
    Commit(store.get(), table.get(), &state);
  }
  state.SetItemsProcessed(committed);
}
BENCHMARK(BM_Commit)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMillisecond)->UseRealTime();

/// The sorted walk over a batch's groups.
void BM_Touched(benchmark::State& state) {
  MemoryCheckpoint checkpoint;
  bool created = false;
  auto store = checkpoint.Open(&created).value();
  const auto table = WindowTable::Create(store.get(), CountOptions());
  const auto keys = static_cast<size_t>(state.range(0));
  Rows rows(*table, keys, keys * 8);
  rows.Count(table.get(), &state);
  for (auto _ : state) {
    int64_t sum = 0;
    const auto cursor = table->Touched();
    while (cursor->Next().value()) sum += static_cast<int64_t>(cursor->key().size());
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * table->groups_touched());
}
BENCHMARK(BM_Touched)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

/// A batch without rows.
void BM_EmptyCommit(benchmark::State& state) {
  const Folder folder;
  const auto store = OpenStore(folder, &state);
  if (store == nullptr) return;
  const auto table = WindowTable::Create(store.get(), CountOptions());
  for (auto _ : state) Commit(store.get(), table.get(), &state);
}
BENCHMARK(BM_EmptyCommit)->Unit(benchmark::kMillisecond)->UseRealTime();

/// A row into groups that must come from the store first (after a restart).
void BM_UpsertAfterRestart(benchmark::State& state) {
  const Folder folder;
  const auto store = OpenStore(folder, &state);
  if (store == nullptr) return;
  const auto table = WindowTable::Create(store.get(), CountOptions());
  Rows rows(*table, 100'000, 800'000);
  rows.Count(table.get(), &state);
  Commit(store.get(), table.get(), &state);
  int64_t loaded = 0;
  for (auto _ : state) {
    state.PauseTiming();
    table->Discard();
    state.ResumeTiming();
    rows.Count(table.get(), &state);
    loaded += table->groups_in_memory();
  }
  state.SetItemsProcessed(loaded);
}
BENCHMARK(BM_UpsertAfterRestart)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace tidemark
