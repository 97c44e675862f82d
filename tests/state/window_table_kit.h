#ifndef TIDEMARK_TESTS_STATE_WINDOW_TABLE_KIT_H_
#define TIDEMARK_TESTS_STATE_WINDOW_TABLE_KIT_H_

// What the tests of window tables share: layouts, a store that counts and can fail, and a table
// that is filled, committed and opened again.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/window_table.h"

namespace tidemark::testing {

inline constexpr int64_t kNoWindow = WindowTable::kNoWindow;
inline constexpr int64_t kNothingCloses = std::numeric_limits<int64_t>::min();

inline uint64_t GoodHash(std::string_view key) {
  uint64_t hash = 1469598103934665603u;
  for (char byte : key) hash = (hash ^ static_cast<uint8_t>(byte)) * 1099511628211u;
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 33);
}

/// The accumulators of these tests: numbers around two strings.
struct Slot {
  int64_t count;
  BlobRef first;
  int64_t sum;
  BlobRef second;
  int64_t last;
};
static_assert(sizeof(Slot) == 56);

inline WindowTableOptions SlotOptions() {
  WindowTableOptions options;
  options.operator_id = 3;
  options.layout.width = sizeof(Slot);
  options.layout.blob_offsets = {offsetof(Slot, first), offsetof(Slot, second)};
  options.memory_budget = 0;  // a row a group from the start
  return options;
}

inline WindowTableOptions CountOptions(int shards = 8) {
  WindowTableOptions options;
  options.layout.width = sizeof(int64_t);
  options.shards = shards;
  options.memory_budget = 0;  // a row a group from the start
  return options;
}

/// With memory enough for runs.
inline WindowTableOptions RunOptions() {
  WindowTableOptions options = CountOptions(/*shards=*/1);
  options.memory_budget = SIZE_MAX;
  return options;
}

/// A store that counts and can be made to fail.
class WatchedStore : public CheckpointStore {
 public:
  explicit WatchedStore(CheckpointStore* store) : store_(store) {}
  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) override {
    return store_->GetMeta(name);
  }
  using CheckpointStore::NewWrites;
  std::unique_ptr<StoreWrites> NewWrites(size_t bytes) override { return store_->NewWrites(bytes); }
  absl::Status Commit(std::unique_ptr<StoreWrites> writes) override {
    return store_->Commit(std::move(writes));
  }
  absl::Status MultiGetState(const std::vector<std::string_view>& sorted_keys,
                             std::vector<std::optional<std::string>>* values) override {
    if (!failure.ok()) return failure;
    EXPECT_TRUE(std::is_sorted(sorted_keys.begin(), sorted_keys.end()));
    EXPECT_EQ(std::adjacent_find(sorted_keys.begin(), sorted_keys.end()), sorted_keys.end());
    EXPECT_LE(sorted_keys.size(), 256u);
    ++look_ups;
    keys_looked_up += sorted_keys.size();
    return store_->MultiGetState(sorted_keys, values);
  }
  using CheckpointStore::NewStateCursor;
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end,
                                              RangeDeletes deletes) override {
    ++cursors;
    if (!failure.ok()) return std::make_unique<FailedCursor>(failure);
    return store_->NewStateCursor(begin, end, deletes);
  }
  absl::Status Snapshot(int64_t batch_id, int keep) override {
    return store_->Snapshot(batch_id, keep);
  }
  size_t memory_bytes() const override { return store_->memory_bytes(); }

  absl::Status failure;
  std::atomic<size_t> look_ups = 0;
  std::atomic<size_t> keys_looked_up = 0;
  std::atomic<size_t> cursors = 0;

 private:
  class FailedCursor : public StateCursor {
   public:
    explicit FailedCursor(absl::Status status) : status_(std::move(status)) {}
    absl::StatusOr<bool> Next() override { return status_; }
    std::string_view key() const override { return {}; }
    std::string_view value() const override { return {}; }

   private:
    absl::Status status_;
  };

  CheckpointStore* store_;
};

/// Keeps what is written, in order.
class RecordedWrites : public StoreWrites {
 public:
  void PutMeta(std::string_view, std::string_view) override { ADD_FAILURE(); }
  void DeleteMeta(std::string_view) override { ADD_FAILURE(); }
  void PutState(std::string_view key, std::string_view value) override {
    puts.emplace_back(key, value);
  }
  void DeleteState(std::string_view) override { ADD_FAILURE(); }
  void DeleteStateRange(std::string_view begin, std::string_view end) override {
    ranges.emplace_back(begin, end);
  }
  size_t byte_size() const override { return 0; }

  std::vector<std::pair<std::string, std::string>> puts;
  std::vector<std::pair<std::string, std::string>> ranges;
};

/// Finds or makes the groups, whatever their shards; the hash of each key is `hash`'s.
inline std::vector<std::byte*> Upsert(WindowTable* table, int64_t window_end,
                                      const std::vector<std::string>& keys,
                                      uint64_t (*hash)(std::string_view) = &GoodHash) {
  std::vector<std::byte*> slots(keys.size());
  for (int shard = 0; shard < table->shards(); ++shard) {
    std::vector<size_t> rows;
    std::vector<uint64_t> hashes;
    std::vector<std::string_view> views;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (table->ShardOf(hash(keys[i])) != shard) continue;
      rows.push_back(i);
      hashes.push_back(hash(keys[i]));
      views.push_back(keys[i]);
    }
    std::vector<std::byte*> shard_slots(rows.size());
    const absl::Status status = table->Upsert(shard, window_end, hashes, views, shard_slots.data());
    EXPECT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < rows.size(); ++i) slots[rows[i]] = shard_slots[i];
  }
  return slots;
}

inline void Count(WindowTable* table, int64_t window_end, const std::vector<std::string>& keys) {
  for (std::byte* slot : Upsert(table, window_end, keys)) ++*reinterpret_cast<int64_t*>(slot);
}

inline void Commit(CheckpointStore* store, WindowTable* table,
                   int64_t closed_upto = kNothingCloses) {
  auto writes = store->NewWrites();
  ASSERT_TRUE(table->AppendWrites(closed_upto, writes.get()).ok());
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  table->Committed(closed_upto);
}

inline std::map<std::string, int64_t> ReadCounts(GroupCursor* cursor) {
  std::map<std::string, int64_t> counts;
  while (true) {
    const auto has_group = cursor->Next();
    EXPECT_TRUE(has_group.ok()) << has_group.status();
    if (!has_group.ok() || !*has_group) return counts;
    counts[fmt::format("{}:{}", cursor->window_end(), cursor->key())] =
        *reinterpret_cast<const int64_t*>(cursor->slot());
  }
}

inline std::map<std::string, int64_t> ScanCounts(WindowTable* table) {
  return ReadCounts(table->Scan(kNothingCloses, kNoWindow).get());
}

inline std::vector<std::string> NumberedKeys(int begin, int end, size_t width = 8) {
  std::vector<std::string> keys;
  for (int i = begin; i < end; ++i) keys.push_back(fmt::format("{:0{}}", i, width));
  return keys;
}

class WindowTableTest : public ::testing::Test {
 protected:
  WindowTableTest() { Reopen(); }
  /// As after a restart of the process.
  void Reopen(WindowTableOptions options = CountOptions()) {
    table_.reset();
    watched_.reset();
    store_.reset();
    bool created = false;
    store_ = checkpoint_.Open(&created).value();
    watched_ = std::make_unique<WatchedStore>(store_.get());
    table_ = WindowTable::Create(watched_.get(), std::move(options));
  }
  void CommitBatch(int64_t closed_upto = kNothingCloses) {
    Commit(watched_.get(), table_.get(), closed_upto);
  }

  MemoryCheckpoint checkpoint_;
  std::unique_ptr<CheckpointStore> store_;
  std::unique_ptr<WatchedStore> watched_;
  std::unique_ptr<WindowTable> table_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_STATE_WINDOW_TABLE_KIT_H_
