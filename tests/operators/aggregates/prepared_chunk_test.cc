#include "tidemark/operators/aggregates/prepared_chunk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "operators/aggregates/fake_window_table.h"

namespace tidemark {
namespace {

TEST(PreparedChunkTest, RunsAreByShardAndWindowAndKeepTheRowsOrder) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (const size_t windows : {1, 2, 300}) {
    for (const int shards : {1, 3, 8}) {
      const FakeWindowTable table(SlotLayout(), shards);
      WindowedRows rows;
      GroupKeys keys;
      for (size_t i = 0; i < windows; ++i) {
        rows.window_ends.push_back(static_cast<int64_t>(i) * 10);
      }
      std::vector<std::string> texts;
      for (uint32_t i = 0; i < 1000; ++i) texts.push_back("row " + std::to_string(i));
      for (uint32_t i = 0; i < 1000; ++i) {
        rows.rows.push_back(i * 2);
        if (windows > 1) rows.windows.push_back(static_cast<uint32_t>(random() % windows));
        keys.keys.push_back(texts[i]);
        keys.hashes.push_back(random());
      }
      const GroupKeys given{nullptr, 0, keys.keys, keys.hashes};
      PreparedChunk chunk;
      const std::vector<uint32_t> order = OrderByRun(rows, std::move(keys), table, &chunk);

      ASSERT_EQ(order.size(), 1000u);
      ASSERT_EQ(chunk.first_run.size(), static_cast<size_t>(shards) + 1);
      size_t covered = 0;
      size_t longest = 0;
      for (int shard = 0; shard < shards; ++shard) {
        int64_t window_before = INT64_MIN;
        for (const tidemark::Run& run : chunk.RunsOf(shard)) {
          EXPECT_EQ(run.shard, shard);
          EXPECT_EQ(run.begin, covered);
          EXPECT_GT(run.count, 0u);
          EXPECT_GT(run.window_end, window_before);
          window_before = run.window_end;
          for (size_t i = run.begin; i < run.begin + run.count; ++i) {
            const uint32_t row = order[i] / 2;
            EXPECT_EQ(table.ShardOf(given.hashes[row]), shard);
            EXPECT_EQ(rows.window_ends[windows > 1 ? rows.windows[row] : 0], run.window_end);
            EXPECT_EQ(chunk.keys.keys[i], given.keys[row]);
            EXPECT_EQ(chunk.keys.hashes[i], given.hashes[row]);
            if (i > run.begin) {
              EXPECT_GT(order[i], order[i - 1]);
            }
          }
          covered += run.count;
          longest = std::max(longest, run.count);
        }
      }
      EXPECT_EQ(covered, 1000u);
      EXPECT_EQ(chunk.longest_run, longest);
    }
  }
}

TEST(PreparedChunkTest, NoRowsAreNoRuns) {
  const FakeWindowTable table(SlotLayout(), 4);
  PreparedChunk chunk;
  EXPECT_TRUE(OrderByRun(WindowedRows(), GroupKeys(), table, &chunk).empty());
  EXPECT_TRUE(chunk.runs.empty());
  for (int shard = 0; shard < 4; ++shard) EXPECT_TRUE(chunk.RunsOf(shard).empty());
}

}  // namespace
}  // namespace tidemark
