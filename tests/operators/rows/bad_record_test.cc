#include "tidemark/operators/rows/bad_record.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace tidemark {
namespace {

TEST(BadRecordTest, EveryReasonHasItsWord) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kBadReasonCount; ++i) {
    names.insert(BadReasonName(static_cast<BadReason>(i)));
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"parse_error", "invalid_utf8", "wrong_type",
                                               "out_of_range", "too_large", "too_deep",
                                               "not_an_object", "null_value", "expression",
                                               "short_header", "wrong_magic", "unknown_schema"}));
}

TEST(BadRecordTest, CountsAddUp) {
  BadRecordCounts counts;
  ++counts[BadReason::kParseError];
  counts[BadReason::kExpression] += 2;
  BadRecordCounts more;
  more[BadReason::kParseError] = 5;
  counts.Add(more);
  const BadRecordCounts& sums = counts;
  EXPECT_EQ(sums[BadReason::kParseError], 6);
  EXPECT_EQ(sums.total(), 8);
}

}  // namespace
}  // namespace tidemark
