#include "tidemark/operators/sources/polling_times.h"

#include <gtest/gtest.h>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

TEST(PollingTimesTest, WritesTimesAsServersReadThem) {
  for (const char* text : {"2025-01-02 10:15:22.123456", "1969-12-31 23:59:59.999999",
                           "0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"}) {
    EXPECT_EQ(ServerTimeText(*ParseTimestamp(text)), text);
  }
  EXPECT_EQ(ServerTimeText(INT64_MIN), "0001-01-01 00:00:00.000000");
  EXPECT_EQ(ServerTimeText(INT64_MAX), "9999-12-31 23:59:59.999999");
}

}  // namespace
}  // namespace tidemark
