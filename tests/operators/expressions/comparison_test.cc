#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// All six operators over every pair of `values`, which are in ascending order and all different.
template <typename T>
void ExpectTotalOrder(DataType type, const std::vector<std::optional<T>>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const std::vector<std::optional<T>> same(values.size(), values[i]);
    const TestRows rows = TestRows().Add<T>("a", type, same).template Add<T>("b", type, values);
    const auto expect = [&](const Expr& expr, auto holds) {
      std::vector<std::string> expected;
      for (size_t j = 0; j < values.size(); ++j) expected.push_back(holds(i, j) ? "true" : "false");
      EXPECT_EQ(Evaluate(expr, rows), expected) << type.ToString() << " value " << i;
    };
    expect(Col("a") == Col("b"), [](size_t a, size_t b) { return a == b; });
    expect(Col("a") != Col("b"), [](size_t a, size_t b) { return a != b; });
    expect(Col("a") < Col("b"), [](size_t a, size_t b) { return a < b; });
    expect(Col("a") <= Col("b"), [](size_t a, size_t b) { return a <= b; });
    expect(Col("a") > Col("b"), [](size_t a, size_t b) { return a > b; });
    expect(Col("a") >= Col("b"), [](size_t a, size_t b) { return a >= b; });
  }
}

TEST(ComparisonTest, EveryTypeHasATotalOrder) {
  ExpectTotalOrder<uint8_t>(DataType::Bool(), {0, 1});
  ExpectTotalOrder<int32_t>(DataType::Int32(), {INT32_MIN, -1, 0, INT32_MAX});
  ExpectTotalOrder<int64_t>(DataType::Int64(), {INT64_MIN, -1, 0, INT64_MAX});
  ExpectTotalOrder<double>(DataType::Double(),
                           {-kInfinity, -1e308, -1.0, -5e-324, 0.0, 5e-324, 1.0, kInfinity, kNaN});
  ExpectTotalOrder<Int128>(DataType::Decimal(38, 2),
                           {-(Int128{1} << 120), -1, 0, Int128{1} << 120});
  ExpectTotalOrder<std::string>(DataType::String(),
                                {"", std::string("\0", 1), "A", "a", "aa", "b", "z", "\xC3\xA9",
                                 "\xEF\xBF\xBD", "\xF0\x9D\x84\x9E"});
  ExpectTotalOrder<std::string>(DataType::Bytes(), {"", "\x01", "\x7F", "\x80", "\xFF"});
  ExpectTotalOrder<int32_t>(DataType::Date(), {-1, 0, 20000});
  ExpectTotalOrder<int64_t>(DataType::Timestamp(), {INT64_MIN, 0, 1});
}

TEST(ComparisonTest, MinusZeroIsZero) {
  EXPECT_EQ(Value(Lit(-0.0) == 0.0), "true");
  EXPECT_EQ(Value(Lit(-0.0) < 0.0), "false");
  EXPECT_EQ(Value(Lit(-0.0) >= 0.0), "true");
}

TEST(ComparisonTest, NullsGiveNull) {
  const TestRows rows = TestRows().Strings("s", {"a", std::nullopt, ""});
  EXPECT_THAT(Evaluate(Col("s") == "a", rows), ElementsAre("true", "null", "false"));
  EXPECT_THAT(Evaluate(Col("s") != "a", rows), ElementsAre("false", "null", "true"));
  EXPECT_THAT(Evaluate(Col("s") == NullOf(DataType::String()), rows),
              ElementsAre("null", "null", "null"));
  EXPECT_THAT(Evaluate(NullOf(DataType::String()) < Col("s"), rows),
              ElementsAre("null", "null", "null"));
}

TEST(ComparisonTest, ALiteralMayStandOnEitherSide) {
  const TestRows rows = TestRows().Int64s("a", {4, 5, 6});
  EXPECT_THAT(Evaluate(Col("a") < 5, rows), ElementsAre("true", "false", "false"));
  EXPECT_THAT(Evaluate(5 < Col("a"), rows), ElementsAre("false", "false", "true"));
  EXPECT_THAT(Evaluate(5 >= Col("a"), rows), ElementsAre("true", "true", "false"));
  EXPECT_THAT(Evaluate(5 != Col("a"), rows), ElementsAre("true", "false", "true"));
}

TEST(ComparisonTest, NumbersAndTimesAreWidened) {
  const TestRows rows = TestRows()
                            .Int32s("i", {5})
                            .Int64s("l", {5})
                            .Doubles("d", {5.5})
                            .Add<Int128>("p", DataType::Decimal(5, 2), {500})
                            .Add<int32_t>("day", DataType::Date(), {1})
                            .Timestamps("t", {86'400'000'001});
  EXPECT_THAT(Evaluate(Col("i") == Col("l"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("l") < Col("d"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("p") == Col("i"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("l") >= Col("p"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("p") < Col("d"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("i") < 3000000000L, rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("p") == 5, rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("p") != DecimalLit("5.001"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("day") < Col("t"), rows), ElementsAre("true"));
  EXPECT_THAT(Evaluate(Col("day") == DateLit("1970-01-02"), rows), ElementsAre("true"));
}

TEST(ComparisonTest, TypesThatDoNotCompareAreNamedWithAdvice) {
  const Schema schema =
      Schema().String("s").Timestamp("t").Date("d").Int64("l").Bool("b").Bytes("x");
  EXPECT_THAT(
      TypeOf(Col("t") > "2025-01-02", schema),
      HasSubstr("greater cannot compare timestamp and string; write the time as TimestampLit("));
  EXPECT_THAT(TypeOf(Col("s") == Col("d"), schema),
              HasSubstr("cannot compare string and date; write the day as DateLit("));
  EXPECT_THAT(TypeOf(Col("s") == 1, schema), HasSubstr("cannot compare string and int32; convert"));
  EXPECT_THAT(TypeOf(Col("b") == 1, schema), HasSubstr("bool and int32"));
  EXPECT_THAT(TypeOf(Col("x") == "a", schema), HasSubstr("bytes and string"));
  EXPECT_THAT(TypeOf(Col("t") == Col("l"), schema), HasSubstr("timestamp and int64"));
}

TEST(ComparisonTest, OnlyTheSelectionIsCompared) {
  const TestRows rows = TestRows().Strings("s", {"a", "b", std::nullopt, "a"});
  EXPECT_THAT(Evaluate(Col("s") == "a", rows, Selection::Rows({1, 2, 3})),
              ElementsAre("false", "null", "true"));
}

}  // namespace
}  // namespace tidemark
