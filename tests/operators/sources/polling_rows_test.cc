#include "tidemark/operators/sources/polling_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace tidemark {
namespace {

using ::testing::ElementsAre;

std::shared_ptr<PolledRows> Poll(int64_t first_offset, const std::vector<RowPosition>& positions,
                                 std::optional<int64_t> look_back_from = std::nullopt) {
  auto rows = std::make_shared<PolledRows>();
  rows->first_offset = first_offset;
  rows->look_back_from = look_back_from;
  for (const RowPosition& position : positions) {
    rows->bytes += "row " + std::to_string(position.value);
    rows->ends.push_back(rows->bytes.size());
    rows->positions.push_back(position);
  }
  rows->bytes.append(kRecordPadding, '\0');
  return rows;
}

TEST(PollingRowsTest, ACursorIsReadBackAsItWas) {
  PollingCursor cursor;
  EXPECT_TRUE(DecodeCursor(EncodeCursor(cursor)).has_value());
  cursor.offset = 1'000'000'000'000;
  cursor.last = INT64_MIN;
  cursor.look_back_from = INT64_MAX;
  cursor.highest = -1;
  const auto read = DecodeCursor(EncodeCursor(cursor));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->offset, cursor.offset);
  EXPECT_EQ(read->last, cursor.last);
  EXPECT_EQ(read->look_back_from, cursor.look_back_from);
  EXPECT_EQ(read->highest, cursor.highest);
}

TEST(PollingRowsTest, ABlockOfSeenRowsIsReadBackAsItWas) {
  const std::vector<RowPosition> seen = {
      {INT64_MIN, 0}, {-1, UINT64_MAX}, {0, 5}, {0, 6}, {INT64_MAX, 1}};
  for (size_t count = 1; count <= seen.size(); ++count) {
    const std::vector<RowPosition> some(seen.begin(), seen.begin() + static_cast<int64_t>(count));
    const auto [key, value] = EncodeSeenBlock(1'000'000'000'000, some);
    std::vector<RowPosition> read = {{7, 7}};
    ASSERT_TRUE(DecodeSeenBlock(key, value, &read));
    EXPECT_EQ(read, some);
    // The key belongs to it.
    const std::string other = EncodeSeenBlock(1'000'000'000'000, {{77, 0}}).first;
    EXPECT_FALSE(DecodeSeenBlock(other, value, &read));
  }
  std::vector<RowPosition> none;
  EXPECT_FALSE(DecodeSeenBlock(SeenBlockTime(0), EncodePositions(nullptr, nullptr), &none));
}

TEST(PollingRowsTest, BlocksLieInTheOrderOfTheirTimes) {
  std::string before;
  for (const int64_t time :
       {INT64_MIN, int64_t{-256}, int64_t{-1}, int64_t{0}, int64_t{255}, int64_t{256}, INT64_MAX}) {
    const std::string begin = SeenBlockTime(time);
    const std::string key = EncodeSeenBlock(1, {{time, 3}}).first;
    EXPECT_LT(before, begin);
    EXPECT_LE(begin, key);
    before = key;
  }
}

TEST(PollingRowsTest, RowsAreReadBackAsTheyWere) {
  const std::vector<std::shared_ptr<const PolledRows>> polls = {
      Poll(10, {{1, 1}, {5, 5}}), Poll(12, {{-7, 3}}, -100), Poll(13, {{8, 8}, {9, 9}})};
  const auto read = DecodePolls(EncodePolls(polls, 11, 14));
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), 3u);
  EXPECT_EQ((*read)[0]->first_offset, 11);
  EXPECT_EQ((*read)[0]->row(0), "row 5");
  EXPECT_EQ((*read)[1]->row(0), "row -7");
  EXPECT_EQ((*read)[1]->look_back_from, -100);
  EXPECT_THAT((*read)[2]->positions, ElementsAre(RowPosition{8, 8}));
  EXPECT_EQ((*read)[2]->end_offset(), 14);
}

TEST(PollingRowsTest, DamagedBytesAreNoticedOrHarmless) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string state = EncodeCursor(PollingCursor());
  const auto [key, block] = EncodeSeenBlock(9, {{1, 2}, {3, 4}, {1000, 5}});
  std::vector<RowPosition> positions;
  const std::string saved = EncodePolls({Poll(0, {{1, 1}, {2, 2}, {3, 3}})}, 0, 3);
  EXPECT_FALSE(DecodeCursor("").has_value());
  EXPECT_FALSE(DecodePolls("").has_value());
  for (size_t size = 0; size < state.size(); ++size) {
    EXPECT_FALSE(DecodeCursor(state.substr(0, size)).has_value());
  }
  for (size_t size = 0; size < block.size(); ++size) {
    EXPECT_FALSE(DecodeSeenBlock(key, block.substr(0, size), &positions));
    EXPECT_FALSE(DecodeSeenBlock(key.substr(0, 7), block, &positions));
  }
  for (size_t size = 2; size < saved.size(); ++size) {
    EXPECT_FALSE(DecodePolls(saved.substr(0, size)).has_value());
  }
  for (int i = 0; i < 20'000; ++i) {
    std::string broken = i % 3 == 0 ? state : i % 3 == 1 ? saved : block;
    broken[random() % broken.size()] = static_cast<char>(random());
    DecodeCursor(broken);
    DecodePolls(broken);
    if (DecodeSeenBlock(key, broken, &positions)) {
      EXPECT_EQ(positions.back().value, 1000);
    }
  }
}

}  // namespace
}  // namespace tidemark
