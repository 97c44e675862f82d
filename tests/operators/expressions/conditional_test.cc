#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kNull = std::nullopt;

TEST(ConditionalTest, IfTakesOneOfTwo) {
  const TestRows rows = TestRows().Bools("c", {1, 0, kNull}).Strings("s", {"a", "b", kNull});
  EXPECT_THAT(Evaluate(If(Col("c"), Col("s"), Lit("other")), rows),
              ElementsAre("a", "other", "other"));
  EXPECT_THAT(Evaluate(If(!Col("c"), Col("s"), NullOf(DataType::String())), rows),
              ElementsAre("null", "b", "null"));
  EXPECT_THAT(Evaluate(If(Lit(true), Col("s"), Lit("x")), rows), ElementsAre("a", "b", "null"));
  EXPECT_THAT(Evaluate(If(NullOf(DataType::Bool()), Col("s"), Lit("x")), rows),
              ElementsAre("x", "x", "x"));
  EXPECT_THAT(Evaluate(If(Col("c"), Col("s"), Lit("o")), rows, Selection::Rows({0, 2})),
              ElementsAre("a", "o"));
}

TEST(ConditionalTest, IfAndCoalesceOfEveryType) {
  const TestRows rows = TestRows()
                            .Bools("c", {1, 0})
                            .Bools("n", {kNull, 1})
                            .Bools("bool", {1, 0})
                            .Int32s("i", {1, 2})
                            .Int64s("l", {3, 4})
                            .Doubles("d", {0.5, 1.5})
                            .Strings("s", {"x", "y"})
                            .Add<Int128>("p", DataType::Decimal(3, 1), {15, 25})
                            .Add<int32_t>("day", DataType::Date(), {0, 1})
                            .Timestamps("t", {0, 1})
                            .Add<std::string>("x", DataType::Bytes(), {"\x01", "\x02"});
  for (const char* name : {"bool", "i", "l", "d", "s", "p", "day", "t", "x"}) {
    const Expr value = Col(name);
    const DataType type = Bind(value, rows.schema())->type();
    const std::vector<std::string> plain = Evaluate(value, rows);
    EXPECT_THAT(Evaluate(If(Col("c"), value, NullOf(type)), rows), ElementsAre(plain[0], "null"));
    EXPECT_THAT(Evaluate(If(Col("c"), NullOf(type), value), rows), ElementsAre("null", plain[1]));
    EXPECT_EQ(Evaluate(Coalesce(NullOf(type), If(Col("c"), value, NullOf(type)), value), rows),
              plain);
    EXPECT_THAT(Evaluate(IsNull(value), rows), ElementsAre("false", "false"));
  }
}

TEST(ConditionalTest, OnlyTheTakenValueIsComputed) {
  const TestRows rows = TestRows().Int64s("n", {0, 4, kNull});
  EXPECT_THAT(Evaluate(If(Col("n") == 0, Lit(-1.0), 8 / Col("n")), rows),
              ElementsAre("-1.0", "2.0", "null"));
  EXPECT_THAT(Evaluate(If(Col("n") != 0, 8 / Col("n"), Lit(-1.0)), rows),
              ElementsAre("-1.0", "2.0", "-1.0"));
  EXPECT_THAT(Evaluate(Coalesce(Col("n"), Lit(1L) % 0), rows),
              ElementsAre("0", "4", "!division by zero"));
  EXPECT_THAT(Evaluate(If(1 / Col("n") > 0.5, Lit(1), Lit(2)), rows),
              ElementsAre("!division by zero", "2", "2"));
}

TEST(ConditionalTest, AFailedRowIsNullWhateverIsAroundIt) {
  const TestRows rows = TestRows().Int64s("n", {0, 1});
  EXPECT_THAT(Evaluate(Coalesce(1 / Col("n"), Lit(0.0)), rows),
              ElementsAre("!division by zero", "1.0"));
  EXPECT_THAT(Evaluate(IsNull(1 / Col("n")), rows), ElementsAre("!division by zero", "false"));
  EXPECT_THAT(Evaluate(RowKey(1 / Col("n")), rows), ElementsAre("!division by zero", "1.0"));
  EXPECT_THAT(Evaluate(Hash(1 / Col("n")) == Hash(1 / Col("n")), rows),
              ElementsAre("!division by zero", "true"));
}

TEST(ConditionalTest, CoalesceTakesTheFirstThatIsNotNull) {
  const TestRows rows = TestRows()
                            .Int32s("a", {1, kNull, kNull, kNull})
                            .Int64s("b", {10, 20, kNull, kNull})
                            .Int32s("c", {100, 200, 300, kNull});
  EXPECT_EQ(TypeOf(Coalesce(Col("a"), Col("b")), rows.schema()), "int64");
  EXPECT_THAT(Evaluate(Coalesce(Col("a"), Col("b"), Col("c")), rows),
              ElementsAre("1", "20", "300", "null"));
  EXPECT_THAT(Evaluate(Coalesce(Col("a"), Lit(0.5)), rows),
              ElementsAre("1.0", "0.5", "0.5", "0.5"));
  EXPECT_THAT(Evaluate(Coalesce(Col("a")), rows), ElementsAre("1", "null", "null", "null"));
  EXPECT_THAT(Evaluate(Coalesce(Col("a"), Col("b")), rows, Selection::Rows({1, 3})),
              ElementsAre("20", "null"));
}

TEST(ConditionalTest, NullTests) {
  const TestRows rows = TestRows().Strings("s", {"", kNull});
  EXPECT_THAT(Evaluate(IsNull(Col("s")), rows), ElementsAre("false", "true"));
  EXPECT_THAT(Evaluate(IsNotNull(Col("s")), rows), ElementsAre("true", "false"));
  EXPECT_EQ(Value(IsNull(NullOf(DataType::Int64()))), "true");
}

TEST(ConditionalTest, WrongTypesAreNamed) {
  const Schema schema = Schema().Int64("n").String("s");
  EXPECT_THAT(TypeOf(If(Col("n"), Lit(1), Lit(2)), schema),
              HasSubstr("if has a condition of type int64"));
  EXPECT_THAT(TypeOf(If(Col("n") > 0, Col("s"), Lit(2)), schema), HasSubstr("string and int32"));
  EXPECT_THAT(TypeOf(Coalesce(Col("n"), Col("n"), Col("s")), schema),
              HasSubstr("int64 and string"));
}

}  // namespace
}  // namespace tidemark
