#include "tidemark/operators/aggregates/aggregate.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

TEST(AggregateTest, NamesAreSparks) {
  EXPECT_EQ(Count().Name(), "count");
  EXPECT_EQ(Count("c").Name(), "count(c)");
  EXPECT_EQ(Sum("quantity").Name(), "sum(quantity)");
  EXPECT_EQ(Min("x").Name(), "min(x)");
  EXPECT_EQ(Max("x").Name(), "max(x)");
  EXPECT_EQ(Avg("x").Name(), "avg(x)");
}

TEST(AggregateTest, AliasChangesTheNameAndNotTheCanonicalText) {
  const Aggregate aggregate = Sum("quantity").As("total_quantity");
  EXPECT_EQ(aggregate.Name(), "total_quantity");
  EXPECT_EQ(aggregate.ToString(), Sum("quantity").ToString());
  EXPECT_NE(aggregate.ToString(), Sum("price").ToString());
  EXPECT_NE(Count().ToString(), Count("quantity").ToString());
}

TEST(AggregateTest, TumblingWindowHoldsItsParts) {
  const WindowSpec window = TumblingWindow("created_at", absl::Minutes(5), absl::Minutes(1));
  EXPECT_EQ(window.time_column, "created_at");
  EXPECT_EQ(window.size, absl::Minutes(5));
  EXPECT_EQ(window.offset, absl::Minutes(1));
  EXPECT_EQ(TumblingWindow("t", absl::Minutes(5)).offset, absl::ZeroDuration());
}

}  // namespace
}  // namespace tidemark
