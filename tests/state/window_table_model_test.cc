// A table and a plain map taken through the same random life.
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "state/window_table_kit.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

using testing::Commit;
using testing::GoodHash;
using testing::kNothingCloses;
using testing::kNoWindow;
using testing::Slot;
using testing::SlotOptions;
using testing::Upsert;

struct Value {
  int64_t count = 0;
  int64_t sum = 0;
  int64_t last = 0;
  std::string first;
  std::string second;
  friend bool operator==(const Value&, const Value&) = default;
};
using GroupName = std::pair<int64_t, std::string>;
using Model = std::map<GroupName, Value>;

std::ostream& operator<<(std::ostream& out, const Value& value) {
  return out << value.count << "," << value.sum << "," << value.first.size() << ","
             << value.second.size();
}

/// A table and its model taken through the same random life.
class RandomLife {
 public:
  using OpenFn = std::function<std::unique_ptr<CheckpointStore>()>;

  RandomLife(unsigned seed, OpenFn open) : random_(seed), open_(std::move(open)) {
    weak_hash_ = Chance(4);
    shards_ = 1 + static_cast<int>(random_() % 9);
    max_keys_ = Chance(3) ? 20 : 1500;
    Restart();
  }

  void Step() {
    switch (random_() % 20) {
      case 0:
        return Restart();
      case 1:
        return Discard();
      case 2:
      case 3:
        return table_->Evict(random_() % (table_->memory_bytes() + 1));
      case 4:
      case 5:
        return CheckTouched();
      case 6:
      case 7:
        return CheckScan();
      case 8:
      case 9:
      case 10:
        return CommitBatch();
      default:
        return UpsertRows();
    }
  }

  void CheckCounts() const {
    ASSERT_EQ(table_->groups_total(), static_cast<int64_t>(model_.size()));
    ASSERT_EQ(table_->groups_touched(), static_cast<int64_t>(touched_.size()));
    ASSERT_LE(table_->groups_in_memory(), table_->groups_total());
    ASSERT_GE(table_->groups_in_memory(), table_->groups_touched());
  }

 private:
  bool Chance(unsigned one_in) { return random_() % one_in == 0; }

  uint64_t Hash(std::string_view key) const {
    const uint64_t hash = GoodHash(key);
    return weak_hash_ ? (hash & 7) | (hash & (uint64_t{3} << 40)) : hash;
  }
  int64_t RandomWindow() {
    if (Chance(10)) return kNoWindow;
    return closed_upto_ + 1 + static_cast<int64_t>(random_() % 6);
  }
  std::string RandomKey() {
    const auto number = random_() % max_keys_;
    switch (number % 5) {
      case 0:
        return fmt::format("{:08}", number);
      case 1:
        return std::string(number / 5 % 60, 'p');  // also the empty key
      case 2:
        return std::string(number % 40, '\0') + std::to_string(number);
      case 3:
        return fmt::format("{}{}", std::string(30 + number % 300, 'l'), number);
      default: {
        std::string key(8, '\0');
        const uint64_t big_endian = __builtin_bswap64(number);
        std::memcpy(key.data(), &big_endian, sizeof(big_endian));
        return key;
      }
    }
  }

  static Value ValueOf(const std::byte* bytes) {
    Slot slot;
    std::memcpy(&slot, bytes, sizeof(slot));
    return {slot.count, slot.sum, slot.last, std::string(slot.first.view()),
            std::string(slot.second.view())};
  }

  void Restart() {
    table_.reset();
    store_.reset();
    store_ = open_();
    WindowTableOptions options = SlotOptions();
    options.shards = shards_;
    // Rows, runs, or from runs to rows; another one after each restart.
    constexpr size_t kBudgets[] = {0, SIZE_MAX, size_t{40} << 10};
    options.memory_budget = kBudgets[random_() % 3];
    table_ = WindowTable::Create(store_.get(), options);
    model_ = committed_;
    touched_.clear();
  }

  void Discard() {
    table_->Discard();
    model_ = committed_;
    touched_.clear();
  }

  void UpsertRows() {
    const int64_t window_end = RandomWindow();
    std::map<int, std::vector<std::string>> by_shard;
    const size_t rows = random_() % (Chance(10) ? 3000 : 100);
    for (size_t i = 0; i < rows; ++i) {
      std::string key = RandomKey();
      by_shard[table_->ShardOf(Hash(key))].push_back(std::move(key));
    }
    for (const auto& [shard, keys] : by_shard) {
      std::vector<uint64_t> hashes;
      for (const std::string& key : keys) hashes.push_back(Hash(key));
      const std::vector<std::string_view> views(keys.begin(), keys.end());
      std::vector<std::byte*> slots(keys.size());
      const absl::Status status = table_->Upsert(shard, window_end, hashes, views, slots.data());
      ASSERT_TRUE(status.ok()) << status;
      for (size_t i = 0; i < keys.size(); ++i) {
        Value& value = model_[{window_end, keys[i]}];
        touched_.insert({window_end, keys[i]});
        ASSERT_EQ(ValueOf(slots[i]), value) << window_end << " " << keys[i];
        Change(shard, window_end, slots[i], &value);
      }
    }
  }

  void Change(int shard, int64_t window_end, std::byte* bytes, Value* value) {
    auto* slot = reinterpret_cast<Slot*>(bytes);
    value->count = ++slot->count;
    value->sum = slot->sum += static_cast<int64_t>(random_() % 1000) - 500;
    value->last = slot->last = static_cast<int64_t>(random_());
    if (Chance(4)) {
      value->first = std::string(random_() % (Chance(20) ? 5000 : 40), 'f');
      table_->SetBlob(shard, window_end, &slot->first, value->first);
    }
    if (Chance(8)) {
      value->second = std::to_string(random_());
      table_->SetBlob(shard, window_end, &slot->second, value->second);
    }
  }

  void CheckCursor(GroupCursor* cursor, const Model& want) {
    for (const auto& [name, value] : want) {
      const auto has_group = cursor->Next();
      ASSERT_TRUE(has_group.ok()) << has_group.status();
      ASSERT_TRUE(*has_group);
      ASSERT_EQ(cursor->window_end(), name.first);
      ASSERT_EQ(cursor->key(), name.second);
      ASSERT_EQ(ValueOf(cursor->slot()), value);
    }
    ASSERT_FALSE(cursor->Next().value());
  }

  void CheckTouched() {
    Model want;
    for (const GroupName& name : touched_) want[name] = model_.at(name);
    CheckCursor(table_->Touched().get(), want);
  }

  void CheckScan() {
    int64_t after = RandomWindow() - 2;
    int64_t upto = RandomWindow();
    if (Chance(3)) {
      after = kNothingCloses;
      upto = kNoWindow;
    }
    Model want;
    for (const auto& [name, value] : model_) {
      if (after < name.first && name.first <= upto) want[name] = value;
    }
    CheckCursor(table_->Scan(after, upto).get(), want);
  }

  void CommitBatch() {
    int64_t closed_upto = kNothingCloses;
    if (Chance(2)) closed_upto = closed_upto_ += static_cast<int64_t>(random_() % 3);
    auto writes = store_->NewWrites();
    ASSERT_TRUE(table_->AppendWrites(closed_upto, writes.get()).ok());
    if (Chance(5)) {  // the commit is tried again
      writes = store_->NewWrites();
      ASSERT_TRUE(table_->AppendWrites(closed_upto, writes.get()).ok());
    }
    ASSERT_TRUE(store_->Commit(std::move(writes)).ok());
    std::erase_if(model_, [&](const auto& group) { return group.first.first <= closed_upto; });
    committed_ = model_;
    touched_.clear();
    if (Chance(8)) return Discard();  // the process took the commit for failed
    table_->Committed(closed_upto);
  }

  std::mt19937_64 random_;
  OpenFn open_;
  bool weak_hash_;
  int shards_;
  uint64_t max_keys_;
  int64_t closed_upto_ = -20;
  Model model_;
  Model committed_;
  std::set<GroupName> touched_;
  std::unique_ptr<CheckpointStore> store_;
  std::unique_ptr<WindowTable> table_;
};

void Live(unsigned seed, int steps, RandomLife::OpenFn open) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  RandomLife life(seed, std::move(open));
  for (int step = 0; step < steps; ++step) {
    life.Step();
    life.CheckCounts();
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(WindowTableModelTest, AnyLifeInFrontOfAStoreInMemory) {
  for (int round = 0; round < 40; ++round) {
    MemoryCheckpoint checkpoint;
    Live(std::random_device()(), 150, [&] {
      bool created = false;
      return checkpoint.Open(&created).value();
    });
    if (HasFatalFailure()) return;
  }
}

TEST(WindowTableModelTest, AnyLifeInFrontOfAStoreOnDisk) {
  for (int round = 0; round < 3; ++round) {
    testing::TempDir folder;
    Live(std::random_device()(), 200, [&] {
      CheckpointStoreOptions options;
      options.memory_bytes = size_t{4} << 20;
      bool created = false;
      return OpenCheckpointStore(folder.Path("ck"), options, &created).value();
    });
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace tidemark
