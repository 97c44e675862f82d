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

int64_t Micros(const char* text) { return *ParseTimestamp(text); }

TEST(PollingTimesTest, ALookBackReachesOverChangesOfTheClock) {
  absl::TimeZone york;
  ASSERT_TRUE(absl::LoadTimeZone("America/New_York", &york));
  const auto from = [&](const char* latest) {
    return ServerTimeText(LookBackFrom(Micros(latest), absl::Minutes(10), york), true);
  };
  EXPECT_EQ(from("2024-07-01 12:00:00"), "2024-07-01 11:50:00.000000");
  // At 2:00 it is 1:00 again.
  EXPECT_EQ(from("2024-11-03 00:59:00"), "2024-11-03 00:49:00.000000");
  EXPECT_EQ(from("2024-11-03 01:05:00"), "2024-11-03 00:55:00.000000");
  EXPECT_EQ(from("2024-11-03 01:59:59.5"), "2024-11-03 01:00:00.000000");
  EXPECT_EQ(from("2024-11-03 02:05:00"), "2024-11-03 01:55:00.000000");
  EXPECT_EQ(from("2024-11-03 03:05:00"), "2024-11-03 02:55:00.000000");
  // After 1:59 comes 3:00; a time in between is none of a clock's.
  EXPECT_EQ(from("2024-03-10 03:05:00"), "2024-03-10 01:55:00.000000");
  EXPECT_EQ(from("2024-03-10 02:30:00"), "2024-03-10 02:20:00.000000");
  EXPECT_EQ(LookBackFrom(INT64_MIN, absl::Minutes(10), york), INT64_MIN);
  EXPECT_EQ(LookBackFrom(INT64_MAX, absl::Microseconds(1), absl::UTCTimeZone()), INT64_MAX - 1);
  EXPECT_EQ(LocalTime(Micros("2024-07-01 12:00:00"), york), Micros("2024-07-01 08:00:00"));
  EXPECT_EQ(LocalTime(INT64_MIN, york), INT64_MIN);
}

}  // namespace
}  // namespace tidemark
