#include "tidemark/operators/rows/stable_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace tidemark {
namespace {

TEST(StableHashTest, IsXxHash64ForEver) {
  EXPECT_EQ(StableHash(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(StableHash("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(StableHash("abc"), 0x44BC2CF5AD770999u);
  EXPECT_NE(StableHash("abc", 1), StableHash("abc"));
  EXPECT_NE(StableHash(std::string(1, '\0')), StableHash(""));
}

TEST(StableHashTest, IntegersMixEveryBit) {
  EXPECT_EQ(StableHashInt(0), 0u);
  EXPECT_EQ(StableHashInt(1), 0xB456BCFC34C2CB2Cu);
  for (int bit = 0; bit < 64; ++bit) {
    const int changed =
        __builtin_popcountll(StableHashInt(42) ^ StableHashInt(42 ^ uint64_t{1} << bit));
    EXPECT_GT(changed, 10) << bit;
  }
}

}  // namespace
}  // namespace tidemark
