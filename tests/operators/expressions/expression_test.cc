#include "tidemark/operators/expressions/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "operators/expressions/evaluate.h"
#include "tidemark/operators/expressions/functions.h"

namespace tidemark {
namespace {

// What must not compile. `Can...<T>` asks whether the use with a T compiles.
template <typename T>
concept CanCompare = requires(Expr e, T v) {
  e == v;
  v != e;
  e < v;
  v <= e;
  e > v;
  v >= e;
};
template <typename T>
concept CanCompareAtAll = requires(Expr e, T v) {
  e == v;
}
|| requires(Expr e, T v) { v == e; }
|| requires(Expr e, T v) { e < v; }
|| requires(Expr e, T v) { v > e; };
template <typename T>
concept CanCalculate = requires(Expr e, T v) {
  e + v;
  v - e;
  e* v;
  v / e;
  e % v;
};
template <typename T>
concept CanCalculateAtAll = requires(Expr e, T v) {
  e + v;
}
|| requires(Expr e, T v) { v + e; }
|| requires(Expr e, T v) { e / v; }
|| requires(Expr e, T v) { v % e; };
template <typename T>
concept CanJoin = requires(Expr e, T v) {
  e&& v;
  v || e;
};
template <typename T>
concept CanJoinAtAll = requires(Expr e, T v) {
  e&& v;
}
|| requires(Expr e, T v) { v&& e; }
|| requires(Expr e, T v) { e || v; }
|| requires(Expr e, T v) { v || e; };
template <typename T>
concept CanLit = requires(T v) {
  Lit(v);
};
template <typename T>
concept CanAssign = requires(Expr e, T v) {
  e = v;
};
template <typename T>
concept CanAssignToTemporary = requires(T v) {
  Col("a") = v;
};
template <typename T>
concept CanBeArgument = requires(Expr e, T v) {
  If(v, e, e);
}
|| requires(Expr e, T v) { If(e, v, e); }
|| requires(T v) { Upper(v); }
|| requires(Expr e, T v) { Concat(e, v); }
|| requires(T v) { IsNull(v); }
|| requires(Expr e, T v) { Coalesce(e, v); }
|| requires(Expr e, T v) { RowKey(e, v); }
|| requires(Expr e, T v) { TryDivide(e, v); }
|| requires(T v) { Cast(v, DataType::String()); };

struct NotAValue {};
enum Plain { kPlain };

static_assert(CanCompare<Expr> && CanCompare<bool> && CanCompare<int> && CanCompare<double>);
static_assert(CanCompare<short> && CanCompare<unsigned> && CanCompare<long long>);
static_assert(CanCompare<const char*> && CanCompare<std::string> && CanCompare<std::string_view>);
static_assert(CanCompare<const char (&)[7]>);
static_assert(!CanCompareAtAll<uint64_t> && !CanCompareAtAll<Int128>);
static_assert(!CanCompareAtAll<char> && !CanCompareAtAll<wchar_t> && !CanCompareAtAll<char32_t>);
static_assert(!CanCompareAtAll<float> && !CanCompareAtAll<long double>);
static_assert(!CanCompareAtAll<std::nullptr_t> && !CanCompareAtAll<int*>);
static_assert(!CanCompareAtAll<NotAValue> && !CanCompareAtAll<Plain>);

static_assert(CanCalculate<Expr> && CanCalculate<int> && CanCalculate<int64_t>);
static_assert(CanCalculate<double> && CanCalculate<uint8_t>);
static_assert(!CanCalculateAtAll<bool> && !CanCalculateAtAll<const char*>);
static_assert(!CanCalculateAtAll<uint64_t> && !CanCalculateAtAll<char>);
static_assert(!CanCalculateAtAll<std::string> && !CanCalculateAtAll<float>);

static_assert(CanJoin<Expr> && CanJoin<bool>);
static_assert(!CanJoinAtAll<int> && !CanJoinAtAll<const char*> && !CanJoinAtAll<double>);
static_assert(!CanJoinAtAll<std::nullptr_t> && !CanJoinAtAll<std::string>);

static_assert(CanLit<bool> && CanLit<int> && CanLit<double> && CanLit<const char*>);
static_assert(!CanLit<uint64_t> && !CanLit<char> && !CanLit<float> && !CanLit<std::nullptr_t>);
static_assert(!CanLit<Expr> && !CanLit<void*>);

static_assert(CanAssign<Expr> && !CanAssign<int> && !CanAssign<const char*>);
static_assert(!CanAssignToTemporary<int> && !CanAssignToTemporary<const char*>);
static_assert(!CanAssignToTemporary<Expr>, "Col(\"a\") = Col(\"b\") is a mistyped ==");

static_assert(CanBeArgument<Expr>);
static_assert(!CanBeArgument<const char*> && !CanBeArgument<std::string> && !CanBeArgument<int>);
static_assert(!CanBeArgument<bool> && !CanBeArgument<double>);

static_assert(!std::is_convertible_v<const char*, Expr> && !std::is_convertible_v<int, Expr>);
static_assert(!std::is_convertible_v<Expr, bool>, "if (Col(\"a\") == 1) must not compile");
static_assert(!std::is_constructible_v<Expr, const char*> && !std::is_constructible_v<Expr, int>);

TEST(ExprTest, LiteralsTakeTheTypeOfTheirCppType) {
  EXPECT_EQ(TypeOf(Lit(true)), "bool");
  EXPECT_EQ(TypeOf(Lit(int8_t{1})), "int32");
  EXPECT_EQ(TypeOf(Lit(uint8_t{200})), "int32");
  EXPECT_EQ(TypeOf(Lit(uint16_t{1})), "int32");
  EXPECT_EQ(TypeOf(Lit(1)), "int32");
  EXPECT_EQ(TypeOf(Lit(1u)), "int64");
  EXPECT_EQ(TypeOf(Lit(1L)), "int64");
  EXPECT_EQ(TypeOf(Lit(1LL)), "int64");
  EXPECT_EQ(TypeOf(Lit(1.0)), "double");
  EXPECT_EQ(TypeOf(Lit("x")), "string");
  EXPECT_EQ(TypeOf(Lit(std::string("x"))), "string");
  EXPECT_EQ(TypeOf(Lit(std::string_view("x"))), "string");
  EXPECT_EQ(Value(Lit(uint32_t{4294967295u})), "4294967295");
  EXPECT_EQ(Value(Lit(INT64_MIN)), "-9223372036854775808");
  EXPECT_EQ(Value(Lit(std::string("a\0b", 3))), std::string("a\0b", 3));
}

TEST(ExprTest, ATextBesideAnOperatorIsALiteralAndNeverABool) {
  EXPECT_EQ((Col("op") == "delete").ToString(), "equal(op, 'delete')");
  EXPECT_EQ(("delete" != Col("op")).ToString(), "not_equal('delete', op)");
  const char* text = "delete";
  EXPECT_EQ((Col("op") == text).ToString(), "equal(op, 'delete')");
}

TEST(ExprTest, ToStringIsCanonical) {
  EXPECT_EQ((Col("a") + 5).ToString(), "add(a, 5)");
  EXPECT_EQ((Col("a") + 5L).ToString(), "add(a, 5L)");
  EXPECT_EQ((Col("a") + 5.0).ToString(), "add(a, 5.0D)");
  EXPECT_EQ((-Col("a") * 2).ToString(), "multiply(negate(a), 2)");
  EXPECT_EQ((!(Col("a") && true)).ToString(), "not(and(a, true))");
  EXPECT_EQ(Cast(Col("a"), DataType::Decimal(10, 2)).ToString(), "cast(a, decimal(10,2))");
  EXPECT_EQ(TryCast(Col("a"), DataType::Int64()).ToString(), "try_cast(a, int64)");
  EXPECT_EQ(NullOf(DataType::String()).ToString(), "null(string)");
  EXPECT_EQ(DecimalLit("-00.50").ToString(), "decimal(2,2) '-0.50'");
  EXPECT_EQ(DateLit("2025-01-02").ToString(), "date '2025-01-02'");
  EXPECT_EQ(TimestampLit("2025-01-02T10:15:22.5+01:00").ToString(),
            "timestamp '2025-01-02T09:15:22.500Z'");
  EXPECT_EQ(TimestampLit(absl::FromUnixSeconds(0)).ToString(), "timestamp '1970-01-01T00:00:00Z'");
  EXPECT_EQ((Col("a") + 1).As("b").ToString(), "add(a, 1) as b");
  EXPECT_EQ((Col("a").As("x") + 1).ToString(), "add(a, 1)");
  EXPECT_EQ(Truncate("hour", Col("t")).ToString(), "date_trunc('hour', t)");
}

TEST(ExprTest, ToStringKeepsDifferentExpressionsApart) {
  EXPECT_NE(Col("a'").ToString(), Col("a").ToString());
  EXPECT_EQ(Col("a b").ToString(), "`a b`");
  EXPECT_EQ(Col("a`b\\").ToString(), "`a\\`b\\\\`");
  EXPECT_EQ(Col("").ToString(), "``");
  EXPECT_EQ(Col("1").ToString(), "`1`");
  EXPECT_NE(Lit("1").ToString(), Lit(1).ToString());
  EXPECT_EQ(Lit("it's \\").ToString(), "'it\\'s \\\\'");
  EXPECT_NE(Concat(Lit("a', 'b")).ToString(), Concat(Lit("a"), Lit("b")).ToString());
  EXPECT_EQ(Col("a").As("x y").ToString(), "a as `x y`");
}

TEST(ExprTest, NamesAreSparks) {
  EXPECT_EQ(Col("a").Name(), "a");
  EXPECT_EQ(Col("a").As("b").Name(), "b");
  EXPECT_EQ((Col("a") + Col("b")).Name(), "(a + b)");
  EXPECT_EQ((Col("a") % 2 >= 1).Name(), "((a % 2) >= 1)");
  EXPECT_EQ((Col("op") == "delete").Name(), "(op = delete)");
  EXPECT_EQ((Col("op") != "delete").Name(), "(NOT (op = delete))");
  EXPECT_EQ((Col("a") || !Col("b")).Name(), "(a OR (NOT b))");
  EXPECT_EQ((-Col("a")).Name(), "(- a)");
  EXPECT_EQ(Upper(Col("name")).Name(), "upper(name)");
  EXPECT_EQ(Cast(Col("a"), DataType::Int64()).Name(), "CAST(a AS BIGINT)");
  EXPECT_EQ(TryCast(Col("a"), DataType::Decimal(5, 2)).Name(), "TRY_CAST(a AS DECIMAL(5,2))");
  EXPECT_EQ(IsNull(Col("a")).Name(), "(a IS NULL)");
  EXPECT_EQ(IsNotNull(Col("a")).Name(), "(a IS NOT NULL)");
  EXPECT_EQ(If(Col("c"), Lit(1), NullOf(DataType::Int32())).Name(), "(IF(c, 1, NULL))");
  EXPECT_EQ(Coalesce(Col("a"), Lit(0)).Name(), "coalesce(a, 0)");
  EXPECT_EQ((Col("a") + 1).As("x").As("y").Name(), "y");
}

TEST(ExprTest, CopiesShareTheTreeAndAsLeavesTheOriginalAlone) {
  const Expr a = Col("a");
  const Expr b = a.As("b");
  EXPECT_EQ(a.Name(), "a");
  Expr c = a;
  c = b;
  EXPECT_EQ(&c.node(), &b.node());
}

TEST(ExprTest, LiteralsThatCannotBeReadFailAtBind) {
  EXPECT_EQ(TypeOf(TimestampLit("2025-13-01T00:00:00Z")),
            "the timestamp literal '2025-13-01T00:00:00Z' is not one; write "
            "TimestampLit(\"2025-01-02T10:15:22Z\")");
  EXPECT_EQ(TypeOf(Col("a") < DateLit("yesterday"), Schema().Date("a")),
            "the date literal 'yesterday' is not one; write DateLit(\"2025-01-02\")");
  for (const char* text : {"", "-", "1e5", "1.2.3", "abc", " 1", "1,5", "--1",
                           "123456789012345678901234567890123456789"}) {
    EXPECT_THAT(TypeOf(DecimalLit(text)), testing::HasSubstr("with at most 38 digits")) << text;
  }
}

TEST(ExprTest, DecimalLiteralsHaveTheDigitsAsWritten) {
  EXPECT_EQ(TypeOf(DecimalLit("12.30")), "decimal(4,2)");
  EXPECT_EQ(TypeOf(DecimalLit("0")), "decimal(1,0)");
  EXPECT_EQ(TypeOf(DecimalLit("0.001")), "decimal(3,3)");
  EXPECT_EQ(TypeOf(DecimalLit("007")), "decimal(1,0)");
  EXPECT_EQ(TypeOf(DecimalLit("+5.")), "decimal(1,0)");
  EXPECT_EQ(Value(DecimalLit("-.5")), "-0.5");
  EXPECT_EQ(Value(DecimalLit("-0.00")), "0.00");
  EXPECT_EQ(Value(DecimalLit("99999999999999999999999999999999999999")),
            "99999999999999999999999999999999999999");
}

}  // namespace
}  // namespace tidemark
