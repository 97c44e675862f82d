#include "tidemark/state/window_table.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "state/window_table_kit.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/state_codec.h"

namespace tidemark {
namespace {

using testing::Commit;
using testing::Count;
using testing::CountOptions;
using ::testing::ElementsAre;
using testing::GoodHash;
using ::testing::HasSubstr;
using testing::kNothingCloses;
using testing::kNoWindow;
using testing::NumberedKeys;
using testing::ReadCounts;
using testing::RecordedWrites;
using testing::ScanCounts;
using testing::Slot;
using testing::SlotOptions;
using testing::Upsert;
using testing::WindowTableTest;

// ---- Groups ----

TEST_F(WindowTableTest, ANewGroupIsAllZeroAndEqualKeysShareASlot) {
  const auto slots = Upsert(table_.get(), 10, {"a", "b", "a", "", ""});
  EXPECT_EQ(slots[0], slots[2]);
  EXPECT_EQ(slots[3], slots[4]);
  EXPECT_NE(slots[0], slots[1]);
  EXPECT_NE(slots[0], slots[3]);
  for (std::byte* slot : slots) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(slot) % 16, 0u);
    EXPECT_EQ(*reinterpret_cast<int64_t*>(slot), 0);
  }
  EXPECT_EQ(Upsert(table_.get(), 10, {"a"})[0], slots[0]);
  EXPECT_NE(Upsert(table_.get(), 20, {"a"})[0], slots[0]);
  EXPECT_EQ(table_->groups_touched(), 4);
  EXPECT_EQ(table_->groups_total(), 4);
  EXPECT_EQ(table_->groups_in_memory(), 4);
}

TEST_F(WindowTableTest, SlotsStayWhereTheyAreWhileTheTableGrows) {
  const auto first = Upsert(table_.get(), 10, NumberedKeys(0, 100));
  for (size_t i = 0; i < first.size(); ++i)
    *reinterpret_cast<int64_t*>(first[i]) = static_cast<int64_t>(i);
  Upsert(table_.get(), 10, NumberedKeys(100, 100000));
  const auto again = Upsert(table_.get(), 10, NumberedKeys(0, 100));
  EXPECT_EQ(first, again);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(*reinterpret_cast<int64_t*>(first[i]), static_cast<int64_t>(i));
  }
}

TEST_F(WindowTableTest, KeysOfOneHashAreDifferentGroups) {
  constexpr auto kOneHash = [](std::string_view) -> uint64_t { return 42; };
  std::vector<std::string> keys = NumberedKeys(0, 500);
  for (size_t size = 0; size < 70; ++size) keys.push_back(std::string(size, 'x'));
  for (size_t size = 1; size < 70; ++size) {  // differ in the last, the first or a middle byte
    for (size_t at : {size - 1, size_t{0}, size / 2}) {
      std::string key(size, 'x');
      key[at] = 'y';
      keys.push_back(key);
    }
  }
  keys.push_back(std::string("nul\0a", 5));
  keys.push_back(std::string("nul\0b", 5));
  const std::set<std::string> different(keys.begin(), keys.end());
  const auto slots = Upsert(table_.get(), 10, keys, kOneHash);
  EXPECT_EQ(std::set<std::byte*>(slots.begin(), slots.end()).size(), different.size());
  EXPECT_EQ(table_->groups_total(), static_cast<int64_t>(different.size()));
}

TEST_F(WindowTableTest, KeysOfMegabytesAreKept) {
  const std::string a(3 << 20, 'k');
  const std::string b = a + "b";
  Count(table_.get(), 10, {a, b, a});
  EXPECT_GT(table_->memory_bytes(), size_t{6} << 20);
  CommitBatch();
  Reopen();
  Count(table_.get(), 10, {b});
  EXPECT_EQ(ScanCounts(table_.get()),
            (std::map<std::string, int64_t>{{"10:" + a, 2}, {"10:" + b, 2}}));
}

TEST_F(WindowTableTest, UpsertOfNothingMakesNothing) {
  const size_t before = table_->memory_bytes();
  EXPECT_TRUE(table_->Upsert(0, 10, {}, {}, nullptr).ok());
  EXPECT_EQ(table_->memory_bytes(), before);
}

TEST_F(WindowTableTest, AnEmptyLayoutKeepsKeysOnly) {
  WindowTableOptions options = CountOptions();
  options.layout.width = 0;
  Reopen(options);
  Upsert(table_.get(), 10, {"a", "b", "a"});
  CommitBatch();
  Reopen(options);
  Upsert(table_.get(), 10, {"b", "c"});
  EXPECT_EQ(table_->groups_total(), 3);
}

// ---- Order ----

TEST_F(WindowTableTest, CursorsGoByWindowThenKey) {
  for (int64_t window_end : {kNoWindow, int64_t{5}, int64_t{-5}, int64_t{0}}) {
    Upsert(table_.get(), window_end, {"b", "", "\xff", "a", "aa", std::string("a\0", 2)});
  }
  CommitBatch();
  Upsert(table_.get(), 5, {"zz", "b"});
  const auto walk = [](std::unique_ptr<GroupCursor> cursor) {
    std::vector<std::pair<int64_t, std::string>> groups;
    while (cursor->Next().value()) groups.emplace_back(cursor->window_end(), cursor->key());
    return groups;
  };
  EXPECT_THAT(walk(table_->Touched()),
              ElementsAre(std::pair(5, std::string("b")), std::pair(5, std::string("zz"))));
  auto all = walk(table_->Scan(kNothingCloses, kNoWindow));
  EXPECT_EQ(all.size(), 25u);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(all[0].first, -5);
  EXPECT_EQ(walk(table_->Scan(-5, 5)).size(), 13u);  // after is excluded, upto included
  EXPECT_TRUE(walk(table_->Scan(5, 5)).empty());
  EXPECT_EQ(walk(table_->Scan(5, kNoWindow)).size(), 6u);
  Reopen();
  auto from_store = walk(table_->Scan(kNothingCloses, kNoWindow));
  EXPECT_EQ(from_store.size(), 24u);
  EXPECT_TRUE(std::is_sorted(from_store.begin(), from_store.end()));
}

// ---- What reaches the store ----

TEST_F(WindowTableTest, RowsHaveTheDocumentedBytes) {
  Reopen(SlotOptions());
  auto* slot = reinterpret_cast<Slot*>(Upsert(table_.get(), 1, {"key"})[0]);
  slot->count = 7;
  slot->last = -1;
  table_->SetBlob(table_->ShardOf(GoodHash("key")), 1, &slot->first, "xyz");
  RecordedWrites writes;
  ASSERT_TRUE(table_->AppendWrites(kNothingCloses, &writes).ok());
  ASSERT_EQ(writes.puts.size(), 2u);
  EXPECT_EQ(writes.puts[0].first, std::string("\0\0\0\x03\x80\0\0\0\0\0\0\x01key", 15));
  EXPECT_EQ(writes.puts[0].second,
            std::string("\x07\0\0\0\0\0\0\0"                // count
                        "\x03\0\0\0"                        // size of the first string
                        "\0\0\0\0\0\0\0\0"                  // sum
                        "\0\0\0\0"                          // size of the second
                        "\xff\xff\xff\xff\xff\xff\xff\xff"  // last
                        "xyz",
                        35));
  EXPECT_EQ(writes.puts[1].first, std::string("\x80\0\0\x03\x80\0\0\0\0\0\0\x01", 12));
  EXPECT_EQ(writes.puts[1].second, std::string("\x01\0\0\0\0\0\0\0", 8));
  EXPECT_TRUE(writes.ranges.empty());
}

TEST_F(WindowTableTest, WritesAreTheTouchedGroupsOfOpenWindowsInKeyOrder) {
  Count(table_.get(), 20, NumberedKeys(0, 1000));
  Count(table_.get(), -20, NumberedKeys(0, 1000));
  CommitBatch();
  Count(table_.get(), 20, NumberedKeys(500, 600));
  Count(table_.get(), -20, {"b", "a", "c"});
  Count(table_.get(), -30, {"late"});
  RecordedWrites writes;
  ASSERT_TRUE(table_->AppendWrites(-30, &writes).ok());
  EXPECT_EQ(writes.puts.size(), 104u);  // and one count, as 20 has no new group
  EXPECT_TRUE(std::is_sorted(writes.puts.begin(), writes.puts.end()));
  EXPECT_TRUE(writes.ranges.empty());  // -30 was never stored
  // Asked again, as after a failed commit: the same.
  RecordedWrites again;
  ASSERT_TRUE(table_->AppendWrites(-30, &again).ok());
  EXPECT_EQ(again.puts, writes.puts);
}

TEST_F(WindowTableTest, ARangeIsDeletedOnlyIfAClosingWindowIsStored) {
  Count(table_.get(), 10, {"a"});
  Count(table_.get(), 20, {"a"});
  CommitBatch(10);  // 10 appears and closes in one batch
  for (int64_t closed_upto : {int64_t{10}, int64_t{19}}) {
    RecordedWrites writes;
    ASSERT_TRUE(table_->AppendWrites(closed_upto, &writes).ok());
    EXPECT_TRUE(writes.ranges.empty());
    EXPECT_TRUE(writes.puts.empty());
    CommitBatch(closed_upto);
  }
  RecordedWrites writes;
  ASSERT_TRUE(table_->AppendWrites(25, &writes).ok());
  EXPECT_EQ(writes.ranges.size(), 3u);  // groups, counts and runs
  CommitBatch(25);
  RecordedWrites after;
  ASSERT_TRUE(table_->AppendWrites(30, &after).ok());
  EXPECT_TRUE(after.ranges.empty());
  const auto left =
      store_->NewStateCursor("", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
  EXPECT_FALSE(left->Next().value());
}

TEST_F(WindowTableTest, ClosingEverythingSparesOtherOperators) {
  WindowTableOptions next = CountOptions();
  next.operator_id = 1;
  const auto other = WindowTable::Create(watched_.get(), next);
  Count(other.get(), kNothingCloses + 1, {"o"});
  Count(other.get(), kNoWindow, {"o"});
  Commit(watched_.get(), other.get());
  Count(table_.get(), kNoWindow, {"a"});
  Count(table_.get(), kNothingCloses + 1, {"a"});
  CommitBatch();
  CommitBatch(kNoWindow);
  EXPECT_EQ(table_->groups_total(), 0);
  Reopen();
  EXPECT_EQ(table_->groups_total(), 0);
  EXPECT_EQ(
      ReadCounts(WindowTable::Create(watched_.get(), next)->Scan(kNothingCloses, kNoWindow).get())
          .size(),
      2u);
}

// ---- Look-ups ----

TEST_F(WindowTableTest, OnlyWindowsThatMayHaveMoreInTheStoreAreLookedUp) {
  Count(table_.get(), 10, NumberedKeys(0, 1000));
  CommitBatch();
  Count(table_.get(), 10, NumberedKeys(500, 1500));
  CommitBatch();
  EXPECT_EQ(watched_->keys_looked_up, 0u);  // all of it is in memory: a miss is certain
  Reopen();
  EXPECT_EQ(table_->groups_total(), 1500);
  EXPECT_EQ(table_->groups_in_memory(), 0);
  Count(table_.get(), 20, NumberedKeys(0, 1000));
  EXPECT_EQ(watched_->keys_looked_up, 0u);  // never stored
  std::vector<std::string> keys = NumberedKeys(1400, 1600);
  for (const std::string& key : NumberedKeys(1400, 1600)) keys.push_back(key);  // once looked up
  Count(table_.get(), 10, keys);
  EXPECT_EQ(watched_->keys_looked_up, 200u);
  EXPECT_EQ(table_->groups_total(), 2600);
  Count(table_.get(), 10, keys);
  EXPECT_EQ(watched_->keys_looked_up, 200u);
  const auto counts = ScanCounts(table_.get());
  EXPECT_EQ(counts.at("10:00001400"), 5);
  EXPECT_EQ(counts.at("10:00001599"), 4);
  EXPECT_EQ(counts.at("10:00000000"), 1);
  EXPECT_EQ(counts.at("10:00000700"), 2);
}

TEST_F(WindowTableTest, WindowsWhollyInMemoryAreScannedWithoutTheStore) {
  Count(table_.get(), 10, NumberedKeys(0, 100));
  CommitBatch();
  const size_t before = watched_->cursors;
  EXPECT_EQ(ScanCounts(table_.get()).size(), 100u);
  EXPECT_EQ(watched_->cursors, before);
}

TEST_F(WindowTableTest, LookUpsGoInBlocks) {
  Count(table_.get(), 10, NumberedKeys(0, 10000));
  CommitBatch();
  Reopen(CountOptions(/*shards=*/1));
  watched_->look_ups = 0;
  Count(table_.get(), 10, NumberedKeys(0, 10000));
  EXPECT_EQ(watched_->keys_looked_up, 10000u);
  EXPECT_EQ(watched_->look_ups, (10000u + 255u) / 256u);
}

// ---- Giving up, failing ----

TEST_F(WindowTableTest, DiscardGoesBackToWhatWasCommitted) {
  Count(table_.get(), 10, {"a", "b"});
  CommitBatch();
  Count(table_.get(), 10, {"a", "c"});
  Count(table_.get(), 20, {"d"});
  EXPECT_EQ(table_->groups_total(), 4);
  table_->Discard();
  EXPECT_EQ(table_->groups_total(), 2);
  EXPECT_EQ(table_->groups_touched(), 0);
  EXPECT_EQ(table_->groups_in_memory(), 0);
  EXPECT_EQ(ScanCounts(table_.get()), (std::map<std::string, int64_t>{{"10:a", 1}, {"10:b", 1}}));
  Count(table_.get(), 10, {"a", "c"});
  CommitBatch();
  EXPECT_EQ(ScanCounts(table_.get()),
            (std::map<std::string, int64_t>{{"10:a", 2}, {"10:b", 1}, {"10:c", 1}}));
}

TEST_F(WindowTableTest, AfterDiscardACommitThatDidHappenCounts) {
  Count(table_.get(), 10, {"a"});
  auto writes = watched_->NewWrites();
  ASSERT_TRUE(table_->AppendWrites(kNothingCloses, writes.get()).ok());
  ASSERT_TRUE(watched_->Commit(std::move(writes)).ok());
  table_->Discard();  // as if the commit had been reported as failed
  EXPECT_EQ(table_->groups_total(), 1);
  Count(table_.get(), 10, {"a"});
  EXPECT_EQ(ScanCounts(table_.get()), (std::map<std::string, int64_t>{{"10:a", 2}}));
}

TEST_F(WindowTableTest, TheStoresErrorsComeOutAndPass) {
  Count(table_.get(), 10, {"a"});
  CommitBatch();
  watched_->failure = absl::UnavailableError("disk asleep");
  table_->Discard();
  std::vector<uint64_t> hashes = {GoodHash("a")};
  std::vector<std::string_view> keys = {"a"};
  std::byte* slot = nullptr;
  const int shard = table_->ShardOf(hashes[0]);
  EXPECT_EQ(table_->Upsert(shard, 10, hashes, keys, &slot), watched_->failure);
  watched_->failure = absl::OkStatus();
  Upsert(table_.get(), 20, {"z"});  // loads the list of windows
  watched_->failure = absl::UnavailableError("disk asleep again");
  EXPECT_EQ(table_->Upsert(shard, 10, hashes, keys, &slot), watched_->failure);
  EXPECT_EQ(table_->Scan(kNothingCloses, kNoWindow)->Next().status(), watched_->failure);
  watched_->failure = absl::OkStatus();
  table_->Discard();
  Count(table_.get(), 10, {"a"});
  EXPECT_EQ(ScanCounts(table_.get()), (std::map<std::string, int64_t>{{"10:a", 2}}));
}

TEST_F(WindowTableTest, RowsThatDoNotFitAreDataLoss) {
  Reopen(SlotOptions());
  Upsert(table_.get(), 10, {"a"});
  RecordedWrites writes;
  ASSERT_TRUE(table_->AppendWrites(kNothingCloses, &writes).ok());
  CommitBatch();
  std::string longer_string = writes.puts[0].second;
  longer_string[8] = 1;  // says that there is a byte of text
  for (const std::string& value :
       {std::string(), std::string("short"), writes.puts[0].second + "x", longer_string}) {
    auto damage = store_->NewWrites();
    damage->PutState(writes.puts[0].first, value);
    ASSERT_TRUE(store_->Commit(std::move(damage)).ok());
    Reopen(SlotOptions());
    EXPECT_EQ(table_->Scan(kNothingCloses, kNoWindow)->Next().status().code(),
              absl::StatusCode::kDataLoss);
    const std::vector<uint64_t> hashes = {GoodHash("a")};
    const std::vector<std::string_view> keys = {"a"};
    std::byte* slot = nullptr;
    EXPECT_EQ(table_->Upsert(table_->ShardOf(hashes[0]), 10, hashes, keys, &slot).code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST_F(WindowTableTest, ADamagedCountIsDataLoss) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {std::string("\x80\0\0\0\x80\0\0\0\0\0\0\x01", 12), "three"},
           {std::string("\x80\0\0\0\x80\0\0\0\0\0\0\x01", 12), std::string(8, '\xff')},
           {std::string("\x80\0\0\0\x80\0\0\0\0\0\0\x01x", 13), std::string(8, '\0')}}) {
    auto damage = store_->NewWrites();
    damage->PutState(key, value);
    ASSERT_TRUE(store_->Commit(std::move(damage)).ok());
    Reopen();
    const std::vector<uint64_t> hashes = {GoodHash("a")};
    const std::vector<std::string_view> keys = {"a"};
    std::byte* slot = nullptr;
    EXPECT_EQ(table_->Upsert(table_->ShardOf(hashes[0]), 10, hashes, keys, &slot).code(),
              absl::StatusCode::kDataLoss);
    auto mend = store_->NewWrites();
    mend->DeleteState(key);
    ASSERT_TRUE(store_->Commit(std::move(mend)).ok());
  }
}

// ---- Strings ----

TEST_F(WindowTableTest, StringsGrowShrinkAndSurvive) {
  Reopen(SlotOptions());
  const int shard = table_->ShardOf(GoodHash("k"));
  auto* slot = reinterpret_cast<Slot*>(Upsert(table_.get(), 10, {"k"})[0]);
  EXPECT_EQ(slot->first.view(), "");
  for (size_t size : {5u, 0u, 17u, 16u, 1000u, 3u, 100000u, 70000u, 0u, 40u}) {
    const std::string text(size, static_cast<char>('a' + size % 26));
    table_->SetBlob(shard, 10, &slot->first, text);
    EXPECT_EQ(slot->first.view(), text);
  }
  table_->SetBlob(shard, 10, &slot->second, slot->first.view());
  table_->SetBlob(shard, 10, &slot->first, slot->first.view().substr(3));  // of itself
  EXPECT_EQ(slot->first.size, 37u);
  EXPECT_EQ(slot->second.size, 40u);
  CommitBatch();
  Reopen(SlotOptions());
  slot = reinterpret_cast<Slot*>(Upsert(table_.get(), 10, {"k"})[0]);
  EXPECT_EQ(slot->first.size, 37u);
  EXPECT_EQ(slot->second.view(), std::string(40, 'a' + 40 % 26));
}

TEST_F(WindowTableTest, GarbageOfGrowingStringsIsBounded) {
  Reopen(SlotOptions());
  std::vector<std::string> keys = NumberedKeys(0, 100);
  const auto slots = Upsert(table_.get(), 10, keys);
  size_t live = 0;
  for (size_t size = 1; size <= 4000; size += 37) {
    live = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      auto* slot = reinterpret_cast<Slot*>(slots[i]);
      table_->SetBlob(table_->ShardOf(GoodHash(keys[i])), 10, &slot->first, std::string(size, 'x'));
      live += size;
    }
  }
  EXPECT_GT(table_->memory_bytes(), live);
  EXPECT_LT(table_->memory_bytes(), live * 3);
}

// ---- Memory ----

TEST_F(WindowTableTest, TheColdestGroupsLeaveFirst) {
  Count(table_.get(), 10, NumberedKeys(0, 20000));
  CommitBatch();
  Count(table_.get(), 10, NumberedKeys(10000, 20000));
  CommitBatch();
  Count(table_.get(), 10, NumberedKeys(15000, 20000));
  CommitBatch();
  const size_t full = table_->memory_bytes();
  table_->Evict(full);
  EXPECT_EQ(table_->groups_in_memory(), 20000);  // it fits
  table_->Evict(full * 9 / 10);
  EXPECT_LE(table_->memory_bytes(), full * 9 / 10);
  EXPECT_GT(table_->groups_in_memory(), 11000);  // down to three quarters of that, not less
  EXPECT_LT(table_->groups_in_memory(), 16000);
  EXPECT_EQ(table_->groups_total(), 20000);
  Count(table_.get(), 10, NumberedKeys(15000, 20000));
  Count(table_.get(), 10, NumberedKeys(10000, 15000));
  EXPECT_EQ(watched_->keys_looked_up, 0u);
  Count(table_.get(), 10, NumberedKeys(0, 10000));
  EXPECT_GT(watched_->keys_looked_up, 4000u);
  CommitBatch();
  EXPECT_EQ(table_->groups_total(), 20000);
  EXPECT_EQ(ScanCounts(table_.get()).at("10:00000000"), 2);
  EXPECT_EQ(ScanCounts(table_.get()).at("10:00019999"), 4);
}

TEST_F(WindowTableTest, DirtyGroupsAreNeverEvicted) {
  Count(table_.get(), 10, NumberedKeys(0, 1000));
  Count(table_.get(), 20, NumberedKeys(0, 1000));
  CommitBatch();
  Count(table_.get(), 20, NumberedKeys(0, 2000));
  table_->Evict(0);
  EXPECT_EQ(table_->groups_in_memory(), 2000);
  CommitBatch();
  Reopen();
  EXPECT_EQ(table_->groups_total(), 3000);
  EXPECT_EQ(ScanCounts(table_.get()).at("20:00000001"), 2);
}

TEST_F(WindowTableTest, EvictionOfTheLastBatchAndOfEverythingWorks) {
  for (int64_t window_end = 0; window_end < 500; ++window_end) {
    Count(table_.get(), window_end, NumberedKeys(0, 5));
  }
  Count(table_.get(), kNoWindow, NumberedKeys(0, 10000));
  CommitBatch();
  const size_t full = table_->memory_bytes();
  for (const size_t target : {full / 2, full / 10, full / 50}) {
    table_->Evict(target);
    EXPECT_LE(table_->memory_bytes(), target);
  }
  table_->Evict(0);
  EXPECT_EQ(table_->groups_in_memory(), 0);
  EXPECT_EQ(table_->groups_total(), 12500);
  EXPECT_LT(table_->memory_bytes(), 20000u);  // the list of stored windows
  EXPECT_EQ(ScanCounts(table_.get()).size(), 12500u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they keep freed memory

size_t ResidentBytes() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(WindowTableTest, MemoryBytesAreTrueAndEvictedMemoryIsReturned) {
  // The store here keeps its rows in memory too, so nothing is committed to it: only marked.
  for (const size_t key_size : {8u, 60u}) {
    Reopen();
    const size_t before = ResidentBytes();
    const size_t counted_before = table_->memory_bytes();
    for (int i = 0; i < 200; ++i) {
      const auto keys = NumberedKeys(i * 5000, (i + 1) * 5000, key_size);
      Count(table_.get(), i % 3, keys);
    }
    table_->Committed(kNothingCloses);
    const auto counted = static_cast<double>(table_->memory_bytes() - counted_before);
    const auto resident = static_cast<double>(ResidentBytes() - before);
    EXPECT_GT(counted, 60e6);
    EXPECT_GT(counted, resident * 0.85) << key_size;
    EXPECT_LT(counted, resident * 1.3) << key_size;
    table_->Evict(size_t{4} << 20);
    EXPECT_LT(ResidentBytes(), before + (size_t{12} << 20)) << key_size;
  }
}

#endif

TEST_F(WindowTableTest, ClosingWindowsFreesTheirMemory) {
  const size_t before = table_->memory_bytes();
  for (int64_t window_end = 1; window_end <= 20; ++window_end) {
    Count(table_.get(), window_end, NumberedKeys(0, 3000, 40));
    CommitBatch(window_end - 2);
  }
  EXPECT_EQ(table_->groups_in_memory(), 6000);
  EXPECT_EQ(table_->groups_total(), 6000);
  CommitBatch(20);
  EXPECT_EQ(table_->memory_bytes(), before);
  EXPECT_EQ(table_->groups_total(), 0);
}

TEST_F(WindowTableTest, ASmallWindowIsSmall) {
  const size_t before = table_->memory_bytes();
  for (int64_t window_end = 0; window_end < 1000; ++window_end)
    Count(table_.get(), window_end, {"k"});
  EXPECT_LT((table_->memory_bytes() - before) / 1000, 700u);
}

// ---- Threads ----

TEST_F(WindowTableTest, ShardsAreUpdatedByManyThreadsAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kBatches = 6;
  const std::vector<std::string> keys = NumberedKeys(0, 4000);
  for (int batch = 0; batch < kBatches; ++batch) {
    if (batch == 3) Reopen();  // then they look groups up in the store, and load its windows
    std::atomic<bool> done = false;
    std::thread reader([&] {
      while (!done) {
        EXPECT_GE(table_->memory_bytes(), 0u);
        EXPECT_GE(table_->groups_touched() + table_->groups_in_memory(), 0);
        std::this_thread::yield();
      }
    });
    std::vector<std::thread> writers;
    for (int t = 0; t < kThreads; ++t) {
      writers.emplace_back([&, t] {
        for (int shard = t; shard < table_->shards(); shard += kThreads) {
          std::vector<uint64_t> hashes;
          std::vector<std::string_view> views;
          for (const std::string& key : keys) {
            if (table_->ShardOf(GoodHash(key)) != shard) continue;
            hashes.push_back(GoodHash(key));
            views.push_back(key);
          }
          std::vector<std::byte*> slots(views.size());
          for (int64_t window_end = batch; window_end < batch + 3; ++window_end) {
            ASSERT_TRUE(table_->Upsert(shard, window_end, hashes, views, slots.data()).ok());
            for (std::byte* slot : slots) ++*reinterpret_cast<int64_t*>(slot);
          }
        }
      });
    }
    for (std::thread& writer : writers) writer.join();
    done = true;
    reader.join();
    EXPECT_EQ(table_->groups_touched(), 12000);
    CommitBatch(batch - 1);
    if (batch == 4) table_->Evict(table_->memory_bytes() / 2);
  }
  const auto counts = ScanCounts(table_.get());
  EXPECT_EQ(counts.size(), 12000u);
  for (const auto& [group, count] : counts) {
    EXPECT_EQ(count, group.starts_with("5:") ? 3 : group.starts_with("6:") ? 2 : 1) << group;
  }
}

}  // namespace
}  // namespace tidemark
