#include "tidemark/operators/sources/seen_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace tidemark {
namespace {

std::vector<RowPosition> Rows(int64_t first, int64_t count, int64_t step_us = 10) {
  std::vector<RowPosition> rows;
  for (int64_t i = first; i < first + count; ++i) {
    rows.push_back({1'735'689'600'000'000 + i * step_us, static_cast<uint64_t>(i)});
  }
  return rows;
}

TEST(SeenRowsTest, AnEmptySetKnowsNothing) {
  SeenRows seen;
  EXPECT_FALSE(seen.contains({0, 0}));
  seen.DropBefore(INT64_MAX);
  seen.Insert({});
  EXPECT_EQ(seen.size(), 0u);
  EXPECT_EQ(seen.memory_bytes(), 0u);
}

// Against a std::set: batches anywhere, of one time and of many, with extremes, and times dropped.
TEST(SeenRowsTest, KnowsWhatWasInsertedAndNothingElse) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    SeenRows seen;
    std::set<RowPosition> expected;
    int64_t dropped = INT64_MIN;
    const int64_t times = round % 2 == 0 ? 50 : 1'000'000;
    const uint64_t keys = round % 3 == 0 ? 100 : UINT64_MAX;
    const auto any = [&]() -> RowPosition {
      if (random() % 1000 == 0) return {INT64_MAX, UINT64_MAX};
      const auto time = static_cast<int64_t>(random() % static_cast<uint64_t>(times));
      return {std::max(dropped, time), random() % keys};
    };
    if (round % 4 == 0) {
      seen.Insert({{INT64_MIN, 0}});
      expected.insert({INT64_MIN, 0});
    }
    for (int step = 0; step < 60; ++step) {
      std::vector<RowPosition> rows(random() % (step % 10 == 0 ? 3000 : 40));
      for (RowPosition& row : rows) row = any();
      if (step % 7 == 0) std::sort(rows.begin(), rows.end());
      expected.insert(rows.begin(), rows.end());
      seen.Insert(rows);
      if (step % 15 == 14) {
        dropped = std::max(dropped, static_cast<int64_t>(random() % static_cast<uint64_t>(times)));
        seen.DropBefore(dropped);
        expected.erase(expected.begin(), expected.lower_bound({dropped, 0}));
        // A chunk may hold some that are older.
        EXPECT_LE(seen.size(), expected.size() + 256);
      } else if (dropped == INT64_MIN) {
        EXPECT_EQ(seen.size(), expected.size());
      }
      for (int i = 0; i < 200; ++i) {
        const RowPosition position = any();
        ASSERT_EQ(seen.contains(position), expected.contains(position));
      }
    }
    for (const RowPosition& position : expected) ASSERT_TRUE(seen.contains(position));
    for (const RowPosition& position : expected) {
      const RowPosition neighbour{position.value, position.key + 1};
      ASSERT_EQ(seen.contains(neighbour), expected.contains(neighbour));
    }
  }
}

TEST(SeenRowsTest, ARowTakesAFewBytes) {
  SeenRows ids;
  for (int64_t batch = 0; batch < 20; ++batch) ids.Insert(Rows(batch * 50'000, 50'000));
  EXPECT_EQ(ids.size(), 1'000'000u);
  EXPECT_LT(ids.memory_bytes(), 3'000'000u);
  // Rows that come a few at a time are not kept worse.
  SeenRows few;
  for (int64_t batch = 0; batch < 10'000; ++batch) few.Insert(Rows(batch * 10, 10, 1000));
  EXPECT_LT(few.memory_bytes(), 400'000u);
  std::mt19937_64 random(1);
  std::vector<RowPosition> rows = Rows(0, 100'000, 1000);
  for (RowPosition& row : rows) row.key = random();
  SeenRows hashes;
  hashes.Insert(rows);
  EXPECT_LT(hashes.memory_bytes(), 1'300'000u);
}

TEST(SeenRowsTest, WhatIsDroppedTakesNoMemory) {
  SeenRows seen;
  size_t most = 0;
  for (int64_t batch = 0; batch < 200; ++batch) {
    const std::vector<RowPosition> rows = Rows(batch * 1000, 1000);
    seen.Insert(rows);
    seen.DropBefore(rows.front().value - 50'000);
    most = std::max(most, seen.memory_bytes());
  }
  EXPECT_LT(most, 40'000u);
  seen.DropBefore(INT64_MAX);
  EXPECT_LE(seen.size(), 256u);
}

}  // namespace
}  // namespace tidemark
