#include "tidemark/operators/transforms/transform.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

TEST(EventTimeStatsTest, AddJoinsChunks) {
  EventTimeStats a, b;
  a.count = 2;
  a.min = 5;
  a.max = 10;
  a.sum = 15;
  a.watermark_max = 5;
  a.future_rows = 1;
  b.count = 1;
  b.min = b.max = b.watermark_max = -3;
  b.sum = -3;
  b.future_rows = 2;
  a.Add(b);
  EXPECT_EQ(a.count, 3);
  EXPECT_EQ(a.min, -3);
  EXPECT_EQ(a.max, 10);
  EXPECT_EQ(a.sum, 12);
  EXPECT_EQ(a.watermark_max, 5);
  EXPECT_EQ(a.future_rows, 3);
  a.Add(EventTimeStats());
  EXPECT_EQ(a.min, -3);
  EXPECT_EQ(a.watermark_max, 5);
}

}  // namespace
}  // namespace tidemark
