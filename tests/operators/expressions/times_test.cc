#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Format(const char* time, const char* pattern) {
  return Value(DateFormat(TimestampLit(time), pattern));
}
std::string Cut(const char* unit, const char* time) {
  return Value(Truncate(unit, TimestampLit(time)));
}

TEST(DateFormatTest, EachLetterAsJava) {
  const char* time = "2025-01-02T03:04:05.006789Z";
  EXPECT_EQ(Format(time, "yyyy-MM-dd HH:mm:ss"), "2025-01-02 03:04:05");
  EXPECT_EQ(Format(time, "y yy yyy yyyyy"), "2025 25 2025 02025");
  EXPECT_EQ(Format(time, "M MM MMM MMMM"), "1 01 Jan January");
  EXPECT_EQ(Format(time, "d dd"), "2 02");
  EXPECT_EQ(Format(time, "H HH h hh m mm s ss"), "3 03 3 03 4 04 5 05");
  EXPECT_EQ(Format(time, "S SS SSS SSSS SSSSSS SSSSSSSSS"), "0 00 006 0067 006789 006789000");
  EXPECT_EQ(Format(time, "E EE EEE EEEE"), "Thu Thu Thu Thursday");
  EXPECT_EQ(Format(time, "a"), "AM");
  EXPECT_EQ(Format(time, ""), "");
}

TEST(DateFormatTest, TwelveHourClock) {
  EXPECT_EQ(Format("2025-01-02T00:30:00Z", "h hh a"), "12 12 AM");
  EXPECT_EQ(Format("2025-01-02T11:59:59Z", "h a"), "11 AM");
  EXPECT_EQ(Format("2025-01-02T12:00:00Z", "h a"), "12 PM");
  EXPECT_EQ(Format("2025-01-02T23:00:00Z", "h a"), "11 PM");
}

TEST(DateFormatTest, TextInQuotesAndSigns) {
  const char* time = "2025-01-02T03:04:05Z";
  EXPECT_EQ(Format(time, "yyyy'T'HH"), "2025T03");
  EXPECT_EQ(Format(time, "'it''s' yyyy"), "it's 2025");
  EXPECT_EQ(Format(time, "HH''mm"), "03'04");
  EXPECT_EQ(Format(time, "dd.MM/yyyy,(HH)\xC3\xA9"), "02.01/2025,(03)\xC3\xA9");
  EXPECT_EQ(Format(time, "'[a]'"), "[a]");
}

TEST(DateFormatTest, YearsFarAway) {
  EXPECT_EQ(Format("1969-12-31T23:59:59.999999Z", "yyyy-MM-dd HH:mm:ss.SSSSSS EEE"),
            "1969-12-31 23:59:59.999999 Wed");
  const TestRows rows = TestRows().Timestamps("t", {INT64_MAX, INT64_MIN, 253402300800'000'000});
  EXPECT_THAT(Evaluate(DateFormat(Col("t"), "yyyy-MM-dd"), rows),
              ElementsAre("+294247-01-10", "+290309-12-21", "+10000-01-01"));
  EXPECT_THAT(Evaluate(DateFormat(Col("t"), "y yyyyy"), rows),
              ElementsAre("294247 +294247", "290309 +290309", "10000 10000"));
}

TEST(DateFormatTest, NullsDatesAndSelections) {
  const TestRows rows = TestRows()
                            .Timestamps("t", {0, std::nullopt, 86'400'000'000})
                            .Add<int32_t>("d", DataType::Date(), {0, 31, std::nullopt});
  EXPECT_THAT(Evaluate(DateFormat(Col("t"), "dd"), rows), ElementsAre("01", "null", "02"));
  EXPECT_THAT(Evaluate(DateFormat(Col("d"), "MMM HH"), rows),
              ElementsAre("Jan 00", "Feb 00", "null"));
  EXPECT_THAT(Evaluate(DateFormat(Col("t"), "dd"), rows, Selection::Rows({2})), ElementsAre("02"));
}

TEST(DateFormatTest, WrongPatternsAreBindErrors) {
  const Schema schema = Schema().Timestamp("t").String("s");
  for (const char* pattern : {"YYYY", "yyyy-MM-ddTHH", "n", "VV", "z", "Z", "X", "u", "D", "k", "L",
                              "MMMMM", "ddd", "HHH", "SSSSSSSSSS", "yyyyyyy", "EEEEE", "aa"}) {
    EXPECT_THAT(TypeOf(DateFormat(Col("t"), pattern), schema),
                HasSubstr("date_format does not know"))
        << pattern;
  }
  EXPECT_THAT(TypeOf(DateFormat(Col("t"), "yyyy'x"), schema),
              HasSubstr("a quote without an end at position 5"));
  EXPECT_THAT(TypeOf(DateFormat(Col("t"), "'x''"), schema), HasSubstr("a quote without an end"));
  for (const char* pattern : {"[yyyy]", "{", "}", "#"}) {
    EXPECT_THAT(TypeOf(DateFormat(Col("t"), pattern), schema), HasSubstr("outside quotes"))
        << pattern;
  }
  EXPECT_THAT(TypeOf(DateFormat(Col("s"), "yyyy"), schema),
              HasSubstr("takes a timestamp or a date, not string"));
  EXPECT_THAT(TypeOf(Call("date_format", {Col("t"), Col("s")}), schema),
              HasSubstr("not a literal text"));
}

TEST(TruncateTest, EachUnit) {
  const char* time = "2025-08-14T13:47:58.123456Z";  // a Thursday
  EXPECT_EQ(Cut("second", time), "2025-08-14T13:47:58Z");
  EXPECT_EQ(Cut("minute", time), "2025-08-14T13:47:00Z");
  EXPECT_EQ(Cut("hour", time), "2025-08-14T13:00:00Z");
  EXPECT_EQ(Cut("day", time), "2025-08-14T00:00:00Z");
  EXPECT_EQ(Cut("week", time), "2025-08-11T00:00:00Z");
  EXPECT_EQ(Cut("month", time), "2025-08-01T00:00:00Z");
  EXPECT_EQ(Cut("quarter", time), "2025-07-01T00:00:00Z");
  EXPECT_EQ(Cut("year", time), "2025-01-01T00:00:00Z");
  EXPECT_EQ(Cut("WEEK", time), "2025-08-11T00:00:00Z");
}

TEST(TruncateTest, BordersAndTimesBefore1970) {
  EXPECT_EQ(Cut("week", "2025-08-11T00:00:00Z"), "2025-08-11T00:00:00Z");
  EXPECT_EQ(Cut("week", "2025-08-10T23:59:59.999999Z"), "2025-08-04T00:00:00Z");
  EXPECT_EQ(Cut("week", "1970-01-01T00:00:00Z"), "1969-12-29T00:00:00Z");
  EXPECT_EQ(Cut("second", "1969-12-31T23:59:59.999999Z"), "1969-12-31T23:59:59Z");
  EXPECT_EQ(Cut("year", "1969-12-31T23:59:59Z"), "1969-01-01T00:00:00Z");
  EXPECT_EQ(Cut("quarter", "2024-03-31T23:59:59Z"), "2024-01-01T00:00:00Z");
  EXPECT_EQ(Cut("quarter", "2024-04-01T00:00:00Z"), "2024-04-01T00:00:00Z");
  EXPECT_EQ(Cut("quarter", "2024-12-31T00:00:00Z"), "2024-10-01T00:00:00Z");
}

TEST(TruncateTest, WhatDoesNotFitFails) {
  const TestRows rows = TestRows().Timestamps("t", {INT64_MIN, INT64_MAX, std::nullopt});
  for (const char* unit : {"second", "minute", "hour", "day", "week", "month", "quarter", "year"}) {
    const std::vector<std::string> values = Evaluate(Truncate(unit, Col("t")), rows);
    EXPECT_EQ(values[0], "!the time cut down does not fit a timestamp") << unit;
    EXPECT_THAT(values[1], HasSubstr("294247-01-")) << unit;
    EXPECT_EQ(values[2], "null");
  }
}

TEST(TruncateTest, DatesAndWrongUnits) {
  EXPECT_EQ(Value(Truncate("month", DateLit("2025-08-14"))), "2025-08-01T00:00:00Z");
  const Schema schema = Schema().Timestamp("t").Int64("n").String("s");
  EXPECT_THAT(TypeOf(Truncate("fortnight", Col("t")), schema),
              HasSubstr("does not know the unit 'fortnight'; the units are second, minute"));
  EXPECT_THAT(TypeOf(Truncate("", Col("t")), schema), HasSubstr("the unit ''"));
  EXPECT_THAT(TypeOf(Truncate("day", Col("n")), schema),
              HasSubstr("takes a timestamp or a date, not int64"));
  EXPECT_THAT(TypeOf(Call("date_trunc", {Col("s"), Col("t")}), schema),
              HasSubstr("does not know the unit"));
}

}  // namespace
}  // namespace tidemark
