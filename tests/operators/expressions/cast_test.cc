#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kTooBig = "!the value does not fit the type";
constexpr const char* kNoNumber = "!the text is not a number";
constexpr DataType D(uint8_t precision, uint8_t scale) {
  return DataType::Decimal(precision, scale);
}

struct CastCase {
  Expr value;
  DataType type;
  std::string result;
};

void Check(const std::vector<CastCase>& cases) {
  for (const CastCase& c : cases) {
    SCOPED_TRACE(c.value.ToString() + " to " + c.type.ToString());
    EXPECT_EQ(Value(Cast(c.value, c.type)), c.result);
    EXPECT_EQ(Value(TryCast(c.value, c.type)), c.result[0] == '!' ? "null" : c.result);
    const Expr null = NullOf(Bind(c.value, Schema())->type());
    EXPECT_EQ(Value(Cast(null, c.type)), "null");
  }
}

TEST(CastTest, FromNumbers) {
  const DataType i32 = DataType::Int32(), i64 = DataType::Int64(), f64 = DataType::Double();
  const DataType boolean = DataType::Bool(), time = DataType::Timestamp();
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Check({
      {Lit(5), i64, "5"},
      {Lit(5), f64, "5.0"},
      {Lit(0), boolean, "false"},
      {Lit(-3), boolean, "true"},
      {Lit(5), D(3, 1), "5.0"},
      {Lit(100), D(3, 1), kTooBig},
      {Lit(INT32_MIN), D(10, 0), "-2147483648"},
      {Lit(INT64_MIN), D(19, 0), "-9223372036854775808"},
      {Lit(INT64_MIN), D(38, 19), "-9223372036854775808.0000000000000000000"},
      {Lit(INT64_MIN), D(38, 20), kTooBig},
      {Lit(60), time, "1970-01-01T00:01:00Z"},
      {Lit(-1L), time, "1969-12-31T23:59:59Z"},
      {Lit(INT64_MAX), time, kTooBig},
      {Lit(2147483647L), i32, "2147483647"},
      {Lit(2147483648L), i32, kTooBig},
      {Lit(-2147483649L), i32, kTooBig},
      {Lit(1.9), i32, "1"},
      {Lit(-1.9), i64, "-1"},
      {Lit(-0.5), i64, "0"},
      {Lit(2147483647.9), i32, "2147483647"},
      {Lit(2147483648.0), i32, kTooBig},
      {Lit(-2147483648.9), i32, "-2147483648"},
      {Lit(9223372036854775808.0), i64, kTooBig},
      {Lit(-9223372036854775808.0), i64, "-9223372036854775808"},
      {Lit(kNaN), i64, kTooBig},
      {Lit(kInfinity), i32, kTooBig},
      {Lit(kNaN), boolean, "true"},
      {Lit(-0.0), boolean, "false"},
      {Lit(0.1), D(3, 2), "0.10"},
      {Lit(2.675), D(3, 2), "2.68"},
      {Lit(-2.675), D(3, 2), "-2.68"},
      {Lit(1e30), D(38, 2), "1000000000000000000000000000000.00"},
      {Lit(9.995), D(3, 2), kTooBig},
      {Lit(kNaN), D(3, 2), kTooBig},
      {Lit(-kInfinity), D(38, 0), kTooBig},
      {Lit(true), i32, "1"},
      {Lit(false), i64, "0"},
      {Lit(true), f64, "1.0"},
      {Lit(true), D(1, 0), "1"},
      {Lit(true), D(1, 1), kTooBig},
      {DecimalLit("1.95"), i32, "1"},
      {DecimalLit("-1.95"), i64, "-1"},
      {DecimalLit("2147483648"), i32, kTooBig},
      {DecimalLit("9223372036854775807.9"), i64, "9223372036854775807"},
      {DecimalLit("9223372036854775808"), i64, kTooBig},
      {DecimalLit("0.00"), boolean, "false"},
      {DecimalLit("0.01"), boolean, "true"},
      {DecimalLit("1.25"), f64, "1.25"},
      {DecimalLit("1.25"), D(5, 1), "1.3"},
      {DecimalLit("1.25"), D(5, 4), "1.2500"},
      {DecimalLit("99.9"), D(2, 0), kTooBig},
  });
}

TEST(CastTest, FromText) {
  const DataType i32 = DataType::Int32(), i64 = DataType::Int64(), f64 = DataType::Double();
  const DataType boolean = DataType::Bool(), time = DataType::Timestamp(), date = DataType::Date();
  Check({
      {Lit("12"), i32, "12"},
      {Lit(" \t-12\n"), i64, "-12"},
      {Lit("+7"), i32, "7"},
      {Lit("007"), i32, "7"},
      {Lit(""), i32, kNoNumber},
      {Lit(" "), i32, kNoNumber},
      {Lit("+"), i32, kNoNumber},
      {Lit("+-7"), i32, kNoNumber},
      {Lit("1 2"), i32, kNoNumber},
      {Lit("1.0"), i32, kNoNumber},
      {Lit("1e3"), i64, kNoNumber},
      {Lit("0x10"), i64, kNoNumber},
      {Lit("2147483648"), i32, kTooBig},
      {Lit("-9223372036854775808"), i64, "-9223372036854775808"},
      {Lit("9223372036854775808"), i64, kTooBig},
      {Lit("99999999999999999999999"), i64, kTooBig},
      {Lit("1.5"), f64, "1.5"},
      {Lit("-.5"), f64, "-0.5"},
      {Lit("1e3"), f64, "1000.0"},
      {Lit("+2."), f64, "2.0"},
      {Lit("NaN"), f64, "NaN"},
      {Lit("-Infinity"), f64, "-Infinity"},
      {Lit("inf"), f64, "Infinity"},
      {Lit("nan(1)"), f64, kNoNumber},
      {Lit("1e400"), f64, kTooBig},
      {Lit("1,5"), f64, kNoNumber},
      {Lit("--1"), f64, kNoNumber},
      {Lit("-"), f64, kNoNumber},
      {Lit(""), f64, kNoNumber},
      {Lit("0x1p3"), f64, kNoNumber},
      {Lit("4.9e-324"), f64, "4.9E-324"},
      {Lit("12.345"), D(5, 2), "12.35"},
      {Lit("1e2"), D(5, 2), "100.00"},
      {Lit("1000"), D(5, 2), "!the text is not a decimal that fits the type"},
      {Lit("x"), D(5, 2), "!the text is not a decimal that fits the type"},
      {Lit("TRUE"), boolean, "true"},
      {Lit(" no "), boolean, "false"},
      {Lit("1"), boolean, "true"},
      {Lit("2"), boolean, "!the text is not a bool"},
      {Lit(""), boolean, "!the text is not a bool"},
      {Lit("2025-01-02 10:15:22"), time, "2025-01-02T10:15:22Z"},
      {Lit("2025-01-02T10:15:22.123456+02:00"), time, "2025-01-02T08:15:22.123456Z"},
      {Lit("soon"), time, "!the text is not a timestamp"},
      {Lit("2024-02-29"), date, "2024-02-29"},
      {Lit("2025-02-29"), date, "!the text is not a date"},
      {Lit("aGk="), DataType::Bytes(), "aGk="},
      {Lit("?"), DataType::Bytes(), "!the text is not base64"},
      {Lit("same"), DataType::String(), "same"},
  });
}

TEST(CastTest, ToTextAndTimes) {
  const DataType text = DataType::String(), time = DataType::Timestamp(), date = DataType::Date();
  const Expr moment = TimestampLit("1969-12-31T23:59:59.5Z");
  Check({
      {Lit(-5), text, "-5"},
      {Lit(1.0), text, "1.0"},
      {Lit(false), text, "false"},
      {DecimalLit("1.50"), text, "1.50"},
      {moment, text, "1969-12-31T23:59:59.500Z"},
      {DateLit("2025-01-02"), text, "2025-01-02"},
      {Cast(Lit("aGk="), DataType::Bytes()), text, "aGk="},
      {moment, date, "1969-12-31"},
      {moment, DataType::Int64(), "-1"},
      {DateLit("2025-01-02"), time, "2025-01-02T00:00:00Z"},
  });
}

TEST(CastTest, DatesPastTheTimestampsFail) {
  const TestRows rows = TestRows().Add<int32_t>("d", DataType::Date(), {INT32_MAX, INT32_MIN, 0});
  EXPECT_THAT(Evaluate(Cast(Col("d"), DataType::Timestamp()), rows),
              ElementsAre(kTooBig, kTooBig, "1970-01-01T00:00:00Z"));
  EXPECT_THAT(Evaluate(DateFormat(Col("d"), "yyyy"), rows), ElementsAre(kTooBig, kTooBig, "1970"));
}

TEST(CastTest, OfColumnsWithNullsAndFailures) {
  const TestRows rows = TestRows().Strings("s", {"1", std::nullopt, "x", "40000000000"});
  EXPECT_THAT(Evaluate(Cast(Col("s"), DataType::Int32()), rows),
              ElementsAre("1", "null", kNoNumber, kTooBig));
  EXPECT_THAT(Evaluate(TryCast(Col("s"), DataType::Int32()), rows),
              ElementsAre("1", "null", "null", "null"));
  EXPECT_THAT(Evaluate(Cast(TryCast(Col("s"), DataType::Int64()), DataType::String()), rows),
              ElementsAre("1", "null", "null", "40000000000"));
  EXPECT_THAT(Evaluate(Cast(Col("s"), DataType::Int32()), rows, Selection::Rows({0, 3})),
              ElementsAre("1", kTooBig));
}

TEST(CastTest, WhatCannotBeConvertedIsABindError) {
  const Schema schema = Schema().Bytes("x").Date("d").Timestamp("t").Double("f");
  EXPECT_THAT(TypeOf(Cast(Col("x"), DataType::Int64()), schema),
              HasSubstr("CAST(x AS BIGINT): cast cannot convert bytes to int64"));
  EXPECT_THAT(TypeOf(Cast(Col("d"), DataType::Int32()), schema), HasSubstr("date to int32"));
  EXPECT_THAT(TypeOf(Cast(Col("t"), DataType::Bool()), schema), HasSubstr("timestamp to bool"));
  EXPECT_THAT(TypeOf(TryCast(Col("f"), DataType::Timestamp()), schema),
              HasSubstr("try_cast cannot convert double to timestamp"));
  EXPECT_THAT(TypeOf(Cast(Col("f"), D(39, 0)), schema), HasSubstr("a precision of 1 to 38"));
  EXPECT_THAT(TypeOf(Cast(Col("f"), D(3, 4)), schema), HasSubstr("asks for decimal(3,4)"));
  EXPECT_EQ(TypeOf(Cast(Col("f"), DataType::Double()), schema), "double");
}

}  // namespace
}  // namespace tidemark
