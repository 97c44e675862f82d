#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kNull = std::nullopt;

TEST(LogicTest, ThreeValues) {
  const TestRows rows = TestRows()
                            .Bools("a", {1, 1, 1, 0, 0, 0, kNull, kNull, kNull})
                            .Bools("b", {1, 0, kNull, 1, 0, kNull, 1, 0, kNull});
  EXPECT_THAT(
      Evaluate(Col("a") && Col("b"), rows),
      ElementsAre("true", "false", "null", "false", "false", "false", "null", "false", "null"));
  EXPECT_THAT(Evaluate(Col("a") || Col("b"), rows),
              ElementsAre("true", "true", "true", "true", "false", "null", "true", "null", "null"));
  EXPECT_THAT(Evaluate(!Col("a"), rows), ElementsAre("false", "false", "false", "true", "true",
                                                     "true", "null", "null", "null"));
  EXPECT_THAT(
      Evaluate(Col("a") && true, rows),
      ElementsAre("true", "true", "true", "false", "false", "false", "null", "null", "null"));
  EXPECT_THAT(
      Evaluate(false || Col("a"), rows),
      ElementsAre("true", "true", "true", "false", "false", "false", "null", "null", "null"));
  EXPECT_THAT(Evaluate(Col("a") && Col("b"), rows, Selection::Rows({2, 4, 8})),
              ElementsAre("null", "false", "null"));
}

TEST(LogicTest, TheRightSideIsComputedOnlyWhereItMatters) {
  const TestRows rows = TestRows().Int64s("n", {0, 2, kNull});
  EXPECT_THAT(Evaluate(Col("n") != 0 && 10 / Col("n") > 1.0, rows),
              ElementsAre("false", "true", "null"));
  EXPECT_THAT(Evaluate(Col("n") == 0 || 10 / Col("n") > 1.0, rows),
              ElementsAre("true", "true", "null"));
  // The left side is always computed, and a failure there is one, whatever the right side says.
  EXPECT_THAT(Evaluate(10 / Col("n") > 1.0 && Col("n") != 0, rows),
              ElementsAre("!division by zero", "true", "null"));
  EXPECT_THAT(Evaluate(10 / Col("n") > 1.0 && Lit(false), rows),
              ElementsAre("!division by zero", "false", "false"));
}

TEST(LogicTest, BothSidesFailingIsOneFailure) {
  const TestRows rows = TestRows().Int64s("n", {0, 1});
  const absl::StatusOr<BoundExpression> bound =
      Bind(10 / Col("n") > 1.0 && 10 % Col("n") > 1, rows.schema());
  ASSERT_TRUE(bound.ok());
  std::vector<ExpressionError> errors;
  bound->Evaluate(rows.batch(), Selection::All(2), &errors);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].row, 0u);
}

TEST(LogicTest, TakesBoolsOnly) {
  const Schema schema = Schema().Int64("n").Bool("b");
  EXPECT_THAT(TypeOf(Col("n") && Col("b"), schema),
              HasSubstr("and takes conditions (bool), not int64 and bool; compare"));
  EXPECT_THAT(TypeOf(Col("b") || Col("n"), schema), HasSubstr("or takes conditions"));
  EXPECT_THAT(TypeOf(!Col("n"), schema), HasSubstr("not takes conditions (bool), not int64"));
}

}  // namespace
}  // namespace tidemark
