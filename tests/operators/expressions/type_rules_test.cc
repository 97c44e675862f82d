#include "tidemark/operators/expressions/type_rules.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr DataType D(uint8_t precision, uint8_t scale) {
  return DataType::Decimal(precision, scale);
}

TEST(TypeRulesTest, CommonTypesAreSparks) {
  const DataType i32 = DataType::Int32(), i64 = DataType::Int64(), f64 = DataType::Double();
  const DataType date = DataType::Date(), time = DataType::Timestamp(), text = DataType::String();
  struct {
    DataType a, b, common;
  } cases[] = {
      {i32, i32, i32},
      {i32, i64, i64},
      {i64, f64, f64},
      {i32, f64, f64},
      {date, time, time},
      {D(10, 2), f64, f64},
      {i32, D(5, 2), D(12, 2)},
      {i64, D(5, 2), D(22, 2)},
      {D(10, 2), D(8, 5), D(13, 5)},
      {D(38, 0), D(38, 38), D(38, 38)},
      {text, text, text},
      {D(3, 1), D(3, 1), D(3, 1)},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(CommonType(c.a, c.b), c.common) << c.a.ToString() << " " << c.b.ToString();
    EXPECT_EQ(CommonType(c.b, c.a), c.common) << c.a.ToString() << " " << c.b.ToString();
  }
  for (const DataType& other : {i32, i64, f64, D(3, 1), date, time, DataType::Bytes()}) {
    EXPECT_FALSE(CommonType(text, other)) << other.ToString();
    EXPECT_FALSE(CommonType(other, DataType::Bool())) << other.ToString();
  }
  EXPECT_FALSE(CommonType(time, i64));
}

TEST(TypeRulesTest, DecimalResultsAreSparks) {
  EXPECT_EQ(DecimalSum(D(10, 2), D(5, 3)), D(12, 3));
  EXPECT_EQ(DecimalSum(D(38, 10), D(38, 10)), D(38, 9));
  EXPECT_EQ(DecimalSum(D(38, 0), D(38, 0)), D(38, 0));
  EXPECT_EQ(DecimalProduct(D(10, 2), D(5, 3)), D(16, 5));
  EXPECT_EQ(DecimalProduct(D(38, 10), D(38, 10)), D(38, 6));
  EXPECT_EQ(DecimalProduct(D(20, 2), D(20, 2)), D(38, 4));
  EXPECT_EQ(DecimalQuotient(D(10, 2), D(5, 3)), D(19, 8));
  EXPECT_EQ(DecimalQuotient(D(38, 10), D(38, 10)), D(38, 6));
  EXPECT_EQ(DecimalRemainder(D(10, 2), D(5, 3)), D(5, 3));
}

}  // namespace
}  // namespace tidemark
