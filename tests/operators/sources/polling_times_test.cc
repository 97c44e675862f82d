#include "tidemark/operators/sources/polling_times.h"

#include <gtest/gtest.h>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

TEST(PollingTimesTest, WritesTimesAsServersReadThem) {
  for (const char* text : {"2025-01-02 10:15:22.123456", "1969-12-31 23:59:59.999999",
                           "0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"}) {
    EXPECT_EQ(ServerTimeText(*ParseTimestamp(text), true), text);
    EXPECT_EQ(ServerTimeText(*ParseTimestamp(text), false), text);
  }
  EXPECT_EQ(ServerTimeText(*ParseTimestamp("+12025-01-02 00:00:00"), true),
            "12025-01-02 00:00:00.000000");
  EXPECT_EQ(ServerTimeText(*ParseTimestamp("-0043-03-15 12:00:00"), false),
            "0044-03-15 12:00:00.000000 BC");
  EXPECT_EQ(ServerTimeText(*ParseTimestamp("0000-01-01 00:00:00"), true),
            "0000-01-01 00:00:00.000000");
  EXPECT_EQ(ServerTimeText(*ParseTimestamp("0000-01-01 00:00:00"), false),
            "0001-01-01 00:00:00.000000 BC");
}

}  // namespace
}  // namespace tidemark
