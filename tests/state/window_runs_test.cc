// Runs: what commits write of tables that are wholly in memory, and what a restart makes of them.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "state/window_table_kit.h"
#include "tidemark/state/state_codec.h"

namespace tidemark {
namespace {

using testing::Commit;
using testing::Count;
using testing::kNothingCloses;
using testing::kNoWindow;
using testing::NumberedKeys;
using testing::RunOptions;
using testing::ScanCounts;

using WindowRunsTest = testing::WindowTableTest;

/// The rows of the store that are neither groups nor counts.
int64_t StoredRuns(CheckpointStore* store) {
  const StateKeys keys(0);
  const auto rows =
      store->NewStateCursor(keys.WindowRuns(INT64_MIN), keys.WindowsRunsEnd(kNoWindow));
  int64_t count = 0;
  while (rows->Next().value()) ++count;
  return count;
}

TEST_F(WindowRunsTest, RunsAreReadBackInOrderAndStayFew) {
  Reopen(RunOptions());
  const std::vector<std::string> keys = NumberedKeys(0, 1000);
  for (int batch = 0; batch < 200; ++batch) {
    Count(table_.get(), 10, keys);
    CommitBatch();
  }
  EXPECT_GT(StoredRuns(store_.get()), 0);
  EXPECT_LE(StoredRuns(store_.get()), 8);  // a page and an index row each
  Reopen(RunOptions());
  EXPECT_EQ(table_->groups_total(), 1000);
  Count(table_.get(), 10, {keys[7]});
  EXPECT_EQ(table_->groups_in_memory(), 1);
  const std::map<std::string, int64_t> counts = ScanCounts(table_.get());
  EXPECT_EQ(counts.size(), 1000u);
  EXPECT_EQ(counts.at("10:" + keys[7]), 201);
  EXPECT_EQ(counts.at("10:" + keys[8]), 200);
  CommitBatch(/*closed_upto=*/10);
  EXPECT_EQ(StoredRuns(store_.get()), 0);
  EXPECT_EQ(table_->groups_total(), 0);
}

TEST_F(WindowRunsTest, AfterARestartRunsAreLookedUpUntilReadingThemIsLess) {
  Reopen(RunOptions());
  const std::vector<std::string> keys = NumberedKeys(0, 40'000);
  for (int part = 0; part < 4; ++part) {
    Count(table_.get(), 10, {keys.begin() + part * 10'000, keys.begin() + (part + 1) * 10'000});
    Count(table_.get(), 20, {keys[static_cast<size_t>(part)]});
    CommitBatch();
  }
  std::map<std::string, int64_t> expected;
  for (const std::string& key : keys) expected["10:" + key] = 1;
  for (size_t part = 0; part < 4; ++part) expected["20:" + keys[part]] = 1;
  const auto count = [&](const std::vector<std::string>& some) {
    Count(table_.get(), 10, some);
    for (const std::string& key : some) ++expected["10:" + key];
  };
  // Of all runs, some twice in a batch, one that is new.
  const std::vector<std::string> few = {keys[5], keys[10'005], keys[39'999], "new", keys[5]};
  for (int life = 0; life < 3; ++life) {
    Reopen(RunOptions());
    EXPECT_EQ(table_->groups_total(), 40'004 + (life > 0));
    count(few);
    EXPECT_EQ(table_->groups_in_memory(), 4);
    EXPECT_EQ(table_->groups_total(), 40'005);
    CommitBatch();
    count({keys[6], keys[5]});
    EXPECT_EQ(table_->groups_in_memory(), 5);
    CommitBatch();
  }
  EXPECT_EQ(ScanCounts(table_.get()), expected);
  Reopen(RunOptions());
  for (size_t begin = 0; begin < keys.size(); begin += 1000) {
    const auto first = keys.begin() + static_cast<ptrdiff_t>(begin);
    count({first, first + 1000});
    if (begin == 9000) {
      EXPECT_EQ(table_->groups_in_memory(), 40'001);
    }
  }
  CommitBatch();
  Reopen(RunOptions());
  EXPECT_EQ(ScanCounts(table_.get()), expected);
}

TEST_F(WindowRunsTest, RunsOfAFewLookedUpGroupsAreReplacedInTheEnd) {
  Reopen(RunOptions());
  const std::vector<std::string> keys = NumberedKeys(0, 2000);
  Count(table_.get(), 10, keys);
  CommitBatch();
  Reopen(RunOptions());
  for (int batch = 0; batch < 100; ++batch) {
    Count(table_.get(), 10, {keys.begin(), keys.begin() + 100});
    CommitBatch();
  }
  EXPECT_EQ(table_->groups_in_memory(), 2000);
  EXPECT_LE(StoredRuns(store_.get()), 100);
  Reopen(RunOptions());
  EXPECT_EQ(ScanCounts(table_.get()).at("10:" + keys[0]), 101);
  EXPECT_EQ(ScanCounts(table_.get()).at("10:" + keys[100]), 1);
}

TEST_F(WindowRunsTest, RunsWithoutAnIndexAreReadAsOlderVersionsWroteThem) {
  Reopen(RunOptions());
  const std::vector<std::string> keys = NumberedKeys(0, 3000);
  Count(table_.get(), 10, keys);
  CommitBatch();
  Count(table_.get(), 10, {keys[0]});
  CommitBatch();
  const StateKeys rows(0);
  auto writes = store_->NewWrites();
  writes->DeleteStateRange(rows.RunIndexes(10, 0), rows.RunIndexesEnd(10, 0));
  ASSERT_TRUE(store_->Commit(std::move(writes)).ok());
  for (int life = 0; life < 2; ++life) {
    Reopen(RunOptions());
    Count(table_.get(), 10, {keys[0], keys[2999]});
    EXPECT_EQ(ScanCounts(table_.get()).at("10:" + keys[0]), 3);
    EXPECT_EQ(ScanCounts(table_.get()).at("10:" + keys[2999]), 2);
    EXPECT_EQ(ScanCounts(table_.get()).size(), 3000u);
  }
}

TEST_F(WindowRunsTest, AMissingPageOrADamagedIndexIsDataLoss) {
  const StateKeys rows(0);
  const std::vector<std::string> keys = NumberedKeys(0, 3000);
  const std::vector<std::function<void(int64_t, StoreWrites*)>> damages = {
      [&](int64_t end, StoreWrites* writes) { writes->DeleteState(rows.Page(end, 0, 0)); },
      [&](int64_t end, StoreWrites* writes) { writes->PutState(rows.Page(end, 0, 7), "\x01"); },
      [&](int64_t end, StoreWrites* writes) {
        writes->PutState(rows.RunIndex(end, 0, 0), "short");
      },
      [&](int64_t end, StoreWrites* writes) {
        writes->PutState(rows.RunIndex(end, 0, 0),
                         EncodeRunIndex({.page_bits = 31, .groups = 3000}));
      },
      [&](int64_t end, StoreWrites* writes) {
        writes->PutState(rows.RunIndex(end, 0, 0),
                         EncodeRunIndex({.page_bits = 3, .groups = 2999}));
      }};
  int64_t end = 10;
  for (const auto& damage : damages) {
    Reopen(RunOptions());
    Count(table_.get(), ++end, keys);
    CommitBatch();
    auto writes = store_->NewWrites();
    damage(end, writes.get());
    ASSERT_TRUE(store_->Commit(std::move(writes)).ok());
    Reopen(RunOptions());
    EXPECT_TRUE(absl::IsDataLoss(table_->Scan(end - 1, end)->Next().status())) << end;
  }
}

TEST_F(WindowRunsTest, RunsLeaveMemoryWholeAndComeBack) {
  Reopen(RunOptions());
  const std::vector<std::string> keys = NumberedKeys(0, 20'000);
  Count(table_.get(), 10, keys);
  Count(table_.get(), 20, keys);
  CommitBatch();
  table_->Evict(table_->memory_bytes() * 2 / 3);
  EXPECT_EQ(table_->groups_in_memory(), 20'000);
  EXPECT_EQ(table_->groups_total(), 40'000);
  Count(table_.get(), 10, {keys[0]});
  EXPECT_EQ(ScanCounts(table_.get()).at("10:" + keys[0]), 2);
  EXPECT_EQ(ScanCounts(table_.get()).size(), 40'000u);
}

TEST_F(WindowRunsTest, RunsBecomeRowsWhenMemoryRunsShort) {
  Reopen(RunOptions());
  const std::vector<std::string> keys = NumberedKeys(0, 5000);
  Count(table_.get(), 10, keys);
  CommitBatch();
  EXPECT_GT(StoredRuns(store_.get()), 0);
  WindowTableOptions options = RunOptions();
  options.memory_budget = 1;
  Reopen(options);
  Count(table_.get(), 10, {keys[1]});
  CommitBatch();
  EXPECT_EQ(StoredRuns(store_.get()), 0);
  table_->Evict(0);
  EXPECT_EQ(table_->groups_in_memory(), 0);
  EXPECT_EQ(ScanCounts(table_.get()).at("10:" + keys[1]), 2);
  EXPECT_EQ(ScanCounts(table_.get()).size(), 5000u);
}

TEST_F(WindowRunsTest, ADamagedRunIsDataLoss) {
  Reopen(RunOptions());
  Count(table_.get(), 10, {"a", "b"});
  CommitBatch();
  const StateKeys keys(0);
  const auto rows = store_->NewStateCursor(keys.WindowRuns(10), keys.WindowsRunsEnd(10));
  ASSERT_TRUE(rows->Next().value());
  const std::string key(rows->key());
  const std::string value(rows->value());
  for (size_t size = 1; size < value.size(); ++size) {
    if (size * 2 == value.size()) continue;  // a whole group
    std::unique_ptr<StoreWrites> writes = store_->NewWrites();
    writes->PutState(key, std::string_view(value).substr(0, size));
    ASSERT_TRUE(store_->Commit(std::move(writes)).ok());
    Reopen(RunOptions());
    EXPECT_TRUE(absl::IsDataLoss(table_->Scan(kNothingCloses, kNoWindow)->Next().status())) << size;
  }
}

}  // namespace
}  // namespace tidemark
