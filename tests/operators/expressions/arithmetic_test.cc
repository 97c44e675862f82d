#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr const char* kOverflow = "!overflow";
constexpr const char* kZero = "!division by zero";

TEST(ArithmeticTest, ResultTypesAreSparks) {
  const Schema schema = Schema().Int32("i").Int64("l").Double("d").Decimal("p", 10, 2);
  EXPECT_EQ(TypeOf(Col("i") + 1, schema), "int32");
  EXPECT_EQ(TypeOf(Col("i") * 1L, schema), "int64");
  EXPECT_EQ(TypeOf(Col("i") - Col("l"), schema), "int64");
  EXPECT_EQ(TypeOf(Col("i") / Col("l"), schema), "double");
  EXPECT_EQ(TypeOf(Col("l") % 7, schema), "int64");
  EXPECT_EQ(TypeOf(Col("l") + 0.5, schema), "double");
  EXPECT_EQ(TypeOf(Col("p") * 0.5, schema), "double");
  EXPECT_EQ(TypeOf(-Col("i"), schema), "int32");
  EXPECT_EQ(TypeOf(-Col("p"), schema), "decimal(10,2)");
  EXPECT_EQ(TypeOf(Col("p") + Col("i"), schema), "decimal(13,2)");
  EXPECT_EQ(TypeOf(Col("p") + Col("l"), schema), "decimal(23,2)");
  EXPECT_EQ(TypeOf(Col("p") * 10, schema), "decimal(13,2)");  // a literal has its digits only
  EXPECT_EQ(TypeOf(-7 * Col("p"), schema), "decimal(12,2)");
  EXPECT_EQ(TypeOf(TryDivide(Col("i"), Col("i")), schema), "double");
}

TEST(ArithmeticTest, Int64AtTheEdges) {
  const TestRows rows = TestRows()
                            .Int64s("a", {INT64_MAX, INT64_MIN, INT64_MIN, 7, -7, std::nullopt})
                            .Int64s("b", {1, -1, 1, -2, 2, 0});
  EXPECT_THAT(Evaluate(Col("a") + Col("b"), rows),
              ElementsAre(kOverflow, kOverflow, "-9223372036854775807", "5", "-5", "null"));
  EXPECT_THAT(
      Evaluate(Col("a") - Col("b"), rows),
      ElementsAre("9223372036854775806", "-9223372036854775807", kOverflow, "9", "-9", "null"));
  EXPECT_THAT(
      Evaluate(Col("a") * Col("b"), rows),
      ElementsAre("9223372036854775807", kOverflow, "-9223372036854775808", "-14", "-14", "null"));
  EXPECT_THAT(Evaluate(Col("a") / Col("b"), rows),
              ElementsAre("9.223372036854776E18", "9.223372036854776E18", "-9.223372036854776E18",
                          "-3.5", "-3.5", "null"));
  EXPECT_THAT(Evaluate(Col("a") % Col("b"), rows), ElementsAre("0", "0", "0", "1", "-1", "null"));
  EXPECT_THAT(Evaluate(-Col("a"), rows),
              ElementsAre("-9223372036854775807", kOverflow, kOverflow, "-7", "7", "null"));
}

TEST(ArithmeticTest, Int32OverflowsAtInt32) {
  const TestRows rows = TestRows().Int32s("a", {INT32_MAX, INT32_MIN, 5});
  EXPECT_THAT(Evaluate(Col("a") + 1, rows), ElementsAre(kOverflow, "-2147483647", "6"));
  EXPECT_THAT(Evaluate(1 + Col("a"), rows), ElementsAre(kOverflow, "-2147483647", "6"));
  EXPECT_THAT(Evaluate(Col("a") + 1L, rows), ElementsAre("2147483648", "-2147483647", "6"));
  EXPECT_THAT(Evaluate(-Col("a"), rows), ElementsAre("-2147483647", kOverflow, "-5"));
  EXPECT_THAT(Evaluate(Col("a") * -1, rows), ElementsAre("-2147483647", kOverflow, "-5"));
  EXPECT_THAT(Evaluate(Col("a") % -1, rows), ElementsAre("0", "0", "0"));
  EXPECT_THAT(Evaluate(10 - Col("a"), rows), ElementsAre("-2147483637", kOverflow, "5"));
}

TEST(ArithmeticTest, DivisionByZeroFailsForEveryType) {
  const TestRows rows = TestRows().Int64s("a", {1, 0, std::nullopt}).Doubles("d", {1.5, 0, -0.0});
  EXPECT_THAT(Evaluate(1 / Col("a"), rows), ElementsAre("1.0", kZero, "null"));
  EXPECT_THAT(Evaluate(1 % Col("a"), rows), ElementsAre("0", kZero, "null"));
  EXPECT_THAT(Evaluate(3.0 / Col("d"), rows), ElementsAre("2.0", kZero, kZero));
  EXPECT_THAT(Evaluate(3.0 % Col("d"), rows), ElementsAre("0.0", kZero, kZero));
  EXPECT_THAT(Evaluate(DecimalLit("1.0") / Col("a"), rows),
              ElementsAre("1.0000000000000000000000", kZero, "null"));
  EXPECT_THAT(Evaluate(DecimalLit("1.0") % Col("a"), rows), ElementsAre("0.0", kZero, "null"));
  EXPECT_EQ(Value(Lit(1) / 0), kZero);
}

TEST(ArithmeticTest, ANullArgumentHidesAFailureOfTheOperationOnly) {
  const TestRows rows = TestRows().Int64s("n", {std::nullopt}).Int64s("z", {0});
  EXPECT_THAT(Evaluate(Col("n") / Col("z"), rows), ElementsAre("null"));
  EXPECT_THAT(Evaluate(Col("n") + 1 / Col("z"), rows), ElementsAre(kZero));
}

TEST(ArithmeticTest, Doubles) {
  const TestRows rows = TestRows().Doubles("a", {1.5, kNaN, kInfinity, -0.0, std::nullopt, 1e308});
  EXPECT_THAT(Evaluate(Col("a") + Col("a"), rows),
              ElementsAre("3.0", "NaN", "Infinity", "-0.0", "null", "Infinity"));
  EXPECT_THAT(Evaluate(Col("a") - Col("a"), rows),
              ElementsAre("0.0", "NaN", "NaN", "0.0", "null", "0.0"));
  EXPECT_THAT(Evaluate(-Col("a"), rows),
              ElementsAre("-1.5", "NaN", "-Infinity", "0.0", "null", "-1.0E308"));
  EXPECT_EQ(Value(Lit(-7.5) % Lit(2.0)), "-1.5");
  EXPECT_EQ(Value(Lit(7.5) % Lit(-2.0)), "1.5");
}

TEST(ArithmeticTest, TryGivesNullForItsOwnFailuresOnly) {
  const TestRows rows = TestRows().Int64s("a", {INT64_MAX, 4, std::nullopt}).Int64s("z", {0, 2, 0});
  EXPECT_THAT(Evaluate(TryAdd(Col("a"), Lit(1)), rows), ElementsAre("null", "5", "null"));
  EXPECT_THAT(Evaluate(TrySubtract(Lit(-2), Col("a")), rows), ElementsAre("null", "-6", "null"));
  EXPECT_THAT(Evaluate(TryMultiply(Col("a"), Lit(2)), rows), ElementsAre("null", "8", "null"));
  EXPECT_THAT(Evaluate(TryDivide(Col("a"), Col("z")), rows), ElementsAre("null", "2.0", "null"));
  EXPECT_THAT(Evaluate(TryAdd(Col("a") * 2, Lit(1)), rows), ElementsAre(kOverflow, "9", "null"));
  EXPECT_EQ(Value(TryDivide(DecimalLit("1"), DecimalLit("0"))), "null");
}

TEST(ArithmeticTest, OnlyTheSelectionIsComputed) {
  const TestRows rows = TestRows().Int64s("a", {1, INT64_MAX, 3, INT64_MAX});
  EXPECT_THAT(Evaluate(Col("a") + 1, rows, Selection::Rows({0, 2})), ElementsAre("2", "4"));
  EXPECT_THAT(Evaluate(Col("a") + 1, rows, Selection::Rows({1, 2})), ElementsAre(kOverflow, "4"));
  EXPECT_THAT(Evaluate(Col("a") + 1, rows, Selection::Rows({})), ElementsAre());
}

TEST(ArithmeticTest, DecimalsOfColumns) {
  const TestRows rows =
      TestRows().Add<Int128>("p", DataType::Decimal(4, 2), {9999, -150, 0, std::nullopt});
  EXPECT_THAT(Evaluate(Col("p") + 1, rows), ElementsAre("100.99", "-0.50", "1.00", "null"));
  EXPECT_THAT(Evaluate(1 - Col("p"), rows), ElementsAre("-98.99", "2.50", "1.00", "null"));
  EXPECT_THAT(Evaluate(Col("p") * Col("p"), rows),
              ElementsAre("9998.0001", "2.2500", "0.0000", "null"));
  EXPECT_THAT(Evaluate(Col("p") / 4, rows),
              ElementsAre("24.997500", "-0.375000", "0.000000", "null"));
  EXPECT_THAT(Evaluate(Col("p") % DecimalLit("0.7"), rows),
              ElementsAre("0.59", "-0.10", "0.00", "null"));
  EXPECT_THAT(Evaluate(Col("p") * 0.5, rows), ElementsAre("49.995", "-0.75", "0.0", "null"));
}

TEST(ArithmeticTest, WrongTypesAreNamed) {
  const Schema schema = Schema().String("s").Bool("b").Timestamp("t").Date("d");
  EXPECT_THAT(TypeOf(Col("s") + 1, schema),
              HasSubstr("(s + 1): add takes numbers, not string and int32"));
  EXPECT_THAT(TypeOf(-Col("b"), schema), HasSubstr("negate takes numbers, not bool"));
  EXPECT_THAT(TypeOf(Col("t") - Col("t"), schema), HasSubstr("timestamp and timestamp"));
  EXPECT_THAT(TypeOf(Col("d") + 1, schema), HasSubstr("Cast("));
}

}  // namespace
}  // namespace tidemark
