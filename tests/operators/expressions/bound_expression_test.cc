#include "tidemark/operators/expressions/bound_expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<uint32_t> RowsOf(const Selection& selection) {
  std::vector<uint32_t> rows;
  selection.ForEach([&](uint32_t row) { rows.push_back(row); });
  return rows;
}

TEST(BindTest, UnknownColumnsAreNamedWithTheNearest) {
  const Schema schema = Schema().Int64("store_id").String("email");
  EXPECT_THAT(TypeOf(Col("stor_id") + 1, schema),
              HasSubstr("unknown column 'stor_id', did you mean 'store_id'?; the columns are "
                        "[store_id int64, email string]"));
  EXPECT_THAT(TypeOf(Upper(Col("zzzzzzzz")), schema),
              testing::AllOf(HasSubstr("unknown column 'zzzzzzzz'; the"),
                             testing::Not(HasSubstr("did you mean"))));
  EXPECT_THAT(TypeOf(Col("Email"), schema), HasSubstr("did you mean 'email'"));
  EXPECT_EQ(Bind(Col("x"), schema).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(BindTest, CallsMadeByHandAreChecked) {
  EXPECT_THAT(TypeOf(Call("frobnicate", {Lit(1)})), HasSubstr("unknown function 'frobnicate'"));
  EXPECT_THAT(TypeOf(Call("add", {Lit(1)})), HasSubstr("add has 1 arguments; it takes 2"));
  EXPECT_THAT(TypeOf(Coalesce(std::vector<Expr>{})), HasSubstr("it takes 1 or more"));
}

TEST(BindTest, DepthIsBounded) {
  Expr deep = Col("a");
  for (int i = 0; i < 900; ++i) deep = deep + 1;
  const TestRows rows = TestRows().Int64s("a", {5});
  EXPECT_THAT(Evaluate(deep, rows), ElementsAre("905"));
  for (int i = 0; i < 200; ++i) deep = deep + 1;
  EXPECT_THAT(TypeOf(deep, rows.schema()), HasSubstr("nested more than 1000 deep"));
}

TEST(BindTest, ConstantsAreComputedOnce) {
  const auto constant = [](const Expr& expr) {
    return Bind(expr, Schema().Int64("a"))->constant() != nullptr;
  };
  EXPECT_TRUE(constant(Lit(1)));
  EXPECT_TRUE(constant(Lit(1) + 2 * Lit(3)));
  EXPECT_TRUE(constant(If(Lit(true), Lit(1), Lit(2))));
  EXPECT_TRUE(constant(RowKey(Lit("a"), NullOf(DataType::Int32()))));
  EXPECT_FALSE(constant(Col("a")));
  EXPECT_FALSE(constant(Col("a") + 1));
  EXPECT_FALSE(constant(Lit(1) / 0)) << "fails on each row instead";
  const TestRows rows = TestRows().Int64s("a", {1, 2});
  EXPECT_THAT(Evaluate(Lit(1) + 2, rows), ElementsAre("3", "3"));
  EXPECT_THAT(Evaluate(Lit(1) / 0, rows), ElementsAre("!division by zero", "!division by zero"));
  EXPECT_THAT(Evaluate(Lit("text"), rows), ElementsAre("text", "text"));
  EXPECT_THAT(Evaluate(NullOf(DataType::Date()), rows), ElementsAre("null", "null"));
}

TEST(BindTest, AColumnIsItself) {
  const TestRows rows = TestRows().Int64s("a", {1, 2}).Strings("b", {"x", "y"});
  const RowBatch batch = rows.batch();
  std::vector<ExpressionError> errors;
  EXPECT_EQ(Bind(Col("b"), rows.schema())->Evaluate(batch, Selection::All(2), &errors),
            batch.column_ptr(1));
}

TEST(BindTest, ErrorsAreAddedBehindThoseThatAreThere) {
  const TestRows rows = TestRows().Int64s("a", {0, 1, 0});
  std::vector<ExpressionError> errors = {{7, "before"}};
  Bind(1 / Col("a"), rows.schema())->Evaluate(rows.batch(), Selection::All(3), &errors);
  ASSERT_EQ(errors.size(), 3u);
  EXPECT_EQ(errors[0].row, 7u);
  EXPECT_EQ(errors[1].row, 0u);
  EXPECT_EQ(errors[2].row, 2u);
}

TEST(BindTest, ResultsOutliveTheBatch) {
  ColumnPtr result;
  {
    const TestRows rows = TestRows().Strings("s", {"a long text that is not stored inline", "b"});
    std::vector<ExpressionError> errors;
    const Expr expr = If(Length(Col("s")) > 3, Substring(Col("s"), 3, 9),
                         Coalesce(Concat(Col("s"), Lit("!")), Lit("none")));
    result = Bind(expr, rows.schema())->Evaluate(rows.batch(), Selection::All(2), &errors);
  }
  EXPECT_EQ(result->text(0), "long text");
  EXPECT_EQ(result->text(1), "b!");
}

TEST(BindTest, EmptyBatches) {
  const TestRows rows = TestRows().Int64s("a", {}).Strings("s", {});
  for (const Expr& expr :
       {Col("a") + 1, If(Col("a") > 0, Col("a"), Lit(1L)), Coalesce(Col("a"), Lit(1)),
        RowKey(Col("s"), Col("a")), Cast(Col("a"), DataType::String()), Upper(Col("s")),
        Hash(Col("a")), Lit(5), Col("s") == "x"}) {
    EXPECT_THAT(Evaluate(expr, rows), ElementsAre()) << expr.ToString();
  }
}

TEST(BindTest, ThreadsShareABoundExpression) {
  const TestRows rows =
      TestRows().Strings("s", std::vector<std::optional<std::string>>(1000, "abc"));
  const BoundExpression bound = *Bind(RowKey(Upper(Col("s")), Lit("x")), rows.schema());
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        std::vector<ExpressionError> errors;
        const ColumnPtr column = bound.Evaluate(rows.batch(), Selection::All(1000), &errors);
        for (size_t row = 0; row < 1000; ++row) right[t] += column->text(row) == "ABC|x";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(right, testing::Each(20'000));
}

TEST(ReferencedColumnsTest, EachOnceInOrder) {
  EXPECT_THAT(ReferencedColumns(If(Col("b") > Col("a"), Col("b"), Lit(1)).As("x")),
              ElementsAre("b", "a"));
  EXPECT_THAT(ReferencedColumns(Lit(1)), ElementsAre());
}

TEST(SelectTrueTest, NullIsNotTrue) {
  const RowBatch batch = TestRows().Bools("c", {1, 0, std::nullopt, 1}).batch();
  EXPECT_THAT(RowsOf(SelectTrue(batch.column(0), Selection::All(4))), ElementsAre(0, 3));
  EXPECT_THAT(RowsOf(SelectTrue(batch.column(0), Selection::Rows({1, 2, 3}))), ElementsAre(3));
  EXPECT_THAT(RowsOf(SelectTrue(batch.column(0), Selection::Rows({}))), ElementsAre());
  const RowBatch all = TestRows().Bools("c", {1, 1}).batch();
  EXPECT_TRUE(SelectTrue(all.column(0), Selection::All(2)).is_all());
  const RowBatch none = TestRows().Bools("c", {0, 0}).batch();
  EXPECT_TRUE(SelectTrue(none.column(0), Selection::All(2)).empty());
}

}  // namespace
}  // namespace tidemark
