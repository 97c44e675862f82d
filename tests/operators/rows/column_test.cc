#include "tidemark/operators/rows/column.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace tidemark {
namespace {

TEST(ArenaTest, NeverMovesWhatItHandedOut) {
  Arena arena(16);
  std::vector<std::string_view> views;
  for (int i = 0; i < 10'000; ++i) views.push_back(arena.Copy(std::to_string(i)));
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(views[static_cast<size_t>(i)], std::to_string(i));
  }
}

TEST(ArenaTest, TakesWhatIsLargerThanABlock) {
  Arena arena(16);
  const std::string large(5 << 20, 'x');
  const std::string_view small = arena.Copy("small");
  EXPECT_EQ(arena.Copy(large), large);
  EXPECT_EQ(arena.Copy("after"), "after");
  EXPECT_EQ(small, "small");
  EXPECT_GE(arena.memory_bytes(), large.size());
}

TEST(ArenaTest, BlocksGrowUpToABound) {
  Arena arena(4096);
  for (int i = 0; i < 5000; ++i) std::memset(arena.Allocate(1024), i, 1024);
  EXPECT_LE(arena.memory_bytes(), size_t{5000} * 1024 + (size_t{2} << 20));
}

TEST(ArenaTest, EmptyTextTakesNothing) {
  Arena arena;
  EXPECT_EQ(arena.Copy(""), "");
  EXPECT_EQ(arena.memory_bytes(), 0u);
}

TEST(ColumnTest, NoNullsUntilOneIsSet) {
  Column column(DataType::Int64(), 200);
  EXPECT_FALSE(column.has_nulls());
  EXPECT_EQ(column.null_bits(), nullptr);
  column.SetNotNull(5);
  EXPECT_FALSE(column.has_nulls());
  for (size_t row : {0u, 63u, 64u, 199u}) column.SetNull(row);
  for (size_t row = 0; row < 200; ++row) {
    EXPECT_EQ(column.IsNull(row), row == 0 || row == 63 || row == 64 || row == 199) << row;
  }
  EXPECT_EQ(column.null_bits()[0], uint64_t{1} << 63 | 1);
  column.SetNotNull(63);
  EXPECT_FALSE(column.IsNull(63));
  EXPECT_TRUE(column.IsNull(64));
}

TEST(ColumnTest, TextStartsEmpty) {
  const Column column(DataType::String(), 100);
  for (size_t row = 0; row < 100; ++row) EXPECT_EQ(column.text(row), "");
}

TEST(ColumnTest, DecimalsAreAligned) {
  Column column(DataType::Decimal(38, 0), 3);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(column.values<Int128>()) % alignof(Int128), 0u);
  column.mutable_values<Int128>()[2] = Int128{1} << 100;
  EXPECT_TRUE(column.values<Int128>()[2] == Int128{1} << 100);
}

TEST(ColumnTest, NoRows) {
  Column column(DataType::Double(), 0);
  EXPECT_EQ(column.size(), 0u);
  column.Truncate(5);
  EXPECT_EQ(column.size(), 0u);
}

TEST(ColumnTest, TruncateKeepsTheRowsBefore) {
  Column column(DataType::Int32(), 130);
  column.SetNull(3);
  column.SetNull(129);
  column.Truncate(64);
  EXPECT_EQ(column.size(), 64u);
  EXPECT_TRUE(column.IsNull(3));
  EXPECT_FALSE(column.IsNull(63));
  column.Truncate(100);
  EXPECT_EQ(column.size(), 64u);
}

TEST(ColumnTest, KeepsStorageAliveAndShares) {
  auto text = std::make_shared<std::string>("a text that is too long to be kept inside the object");
  const std::weak_ptr<std::string> watch = text;
  Column second(DataType::String(), 1);
  {
    Column first(DataType::String(), 1);
    first.mutable_values<std::string_view>()[0] = *text;
    first.AddStorage(text);
    second.mutable_values<std::string_view>()[0] = first.text(0).substr(2, 4);
    second.ShareStorage(first);
    text.reset();
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(second.text(0), "text");
}

TEST(ColumnTest, CopiesNullsOfAnother) {
  Column from(DataType::Int32(), 70);
  from.SetNull(69);
  Column to(DataType::Double(), 70);
  to.CopyNullsFrom(from);
  EXPECT_TRUE(to.IsNull(69));
  EXPECT_FALSE(to.IsNull(0));
}

}  // namespace
}  // namespace tidemark
