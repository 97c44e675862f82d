#include "tidemark/operators/aggregates/accumulators.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "operators/aggregates/cells.h"
#include "operators/aggregates/fake_window_table.h"

namespace tidemark {
namespace {

std::vector<uint32_t> AllRows(size_t count) {
  std::vector<uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(GatherValuesTest, CopiesTheRowsInTheirOrderWithTheirText) {
  ArgumentValues values;
  {
    const ColumnPtr column = MakeColumn(
        DataType::String(), {std::string("first"), kNull, std::string(""), std::string("last")});
    const std::vector<uint32_t> rows = {3, 1, 2, 3};
    values = GatherValues(*column, rows);
  }  // the column's bytes are gone
  const auto* texts = reinterpret_cast<const std::string_view*>(values.values.get());
  EXPECT_EQ(texts[0], "last");
  EXPECT_EQ(texts[2], "");
  EXPECT_EQ(texts[3], "last");
  ASSERT_NE(values.nulls, nullptr);
  EXPECT_EQ(values.nulls[0], 0);
  EXPECT_EQ(values.nulls[1], 1);
  EXPECT_GE(values.memory_bytes, 4 * sizeof(std::string_view) + 8);
}

TEST(AccumulatorsTest, TheSameArgumentIsEvaluatedOnce) {
  const Schema schema = Schema().Int64("x").Int64("y");
  const auto accumulators =
      *Accumulators::Create({Sum("x"), Avg("x").As("a"), Count("x"), Max("y"), Min("x")}, schema);
  EXPECT_EQ(accumulators.arguments().size(), 2u);
  EXPECT_EQ(accumulators.ToString(), "int64:count+sum+min,int64:seen+max");
}

TEST(AccumulatorsTest, FieldsDoNotOverlapAndBlobsAreAligned) {
  const Schema schema = Schema()
                            .Bool("b")
                            .Int32("i")
                            .Int64("l")
                            .Double("d")
                            .Decimal("n", 20, 2)
                            .String("s")
                            .Bytes("y")
                            .Date("a")
                            .Timestamp("t");
  std::vector<Aggregate> aggregates;
  for (const Field& field : schema.fields()) {
    aggregates.insert(aggregates.end(), {Min(field.name), Max(field.name)});
    if (field.type.is_numeric()) aggregates.insert(aggregates.end(), {Sum(field.name)});
  }
  const auto accumulators = *Accumulators::Create(aggregates, schema);
  EXPECT_EQ(accumulators.layout().blob_offsets.size(), 4u);
  EXPECT_TRUE(std::is_sorted(accumulators.layout().blob_offsets.begin(),
                             accumulators.layout().blob_offsets.end()));
  for (uint32_t offset : accumulators.layout().blob_offsets) EXPECT_EQ(offset % 8, 0u);
  // One row of values: each aggregate's result is the value, whatever the others wrote.
  const CellRow row = {int64_t{1}, int64_t{-7},         int64_t{1} << 40,     -2.5,
                       Int128{99}, std::string("text"), std::string("\0", 1), int64_t{-3},
                       int64_t{5}};
  FakeWindowTable table(accumulators.layout());
  std::byte* slot = nullptr;
  const uint64_t hash = 0;
  const std::string_view key;
  ASSERT_TRUE(table.Upsert(0, 1, {&hash, 1}, {&key, 1}, &slot).ok());
  const RowBatch batch = MakeBatch(std::make_shared<const Schema>(schema), {row});
  std::vector<ArgumentValues> values;
  for (const ColumnPtr& column : batch.columns()) {
    values.push_back(GatherValues(*column, AllRows(1)));
  }
  EXPECT_FALSE(accumulators.Update(values, 0, {&slot, 1}, {&table, 0, 1}));
  for (size_t i = 0, a = 0; i < schema.size(); ++i) {
    for (int n = schema.field(i).type.is_numeric() ? 3 : 2; n > 0; --n, ++a) {
      const ColumnPtr result = accumulators.Results(a, slot, 1, nullptr);
      EXPECT_TRUE(Compare(CellAt(*result, 0), row[i]) == 0) << aggregates[a].Name();
    }
  }
}

TEST(AccumulatorsTest, AllZeroIsTheEmptyGroup) {
  const Schema schema = Schema().Int64("x").String("s").Decimal("d", 5, 1);
  const auto accumulators =
      *Accumulators::Create({Count(), Count("x"), Sum("x"), Min("x"), Avg("d"), Max("s")}, schema);
  const std::vector<std::byte> zeros(accumulators.layout().width);
  EXPECT_EQ(accumulators.FirstOverflow(zeros.data()), std::nullopt);
  for (size_t i = 0; i < accumulators.size(); ++i) {
    const Cell result = CellAt(*accumulators.Results(i, zeros.data(), 1, nullptr), 0);
    EXPECT_EQ(ToText(result), i < 2 ? "0" : "NULL") << i;
  }
}

// A sum that went past its type's end 2^31 times cannot be made in a test, but its slot can.
TEST(AccumulatorsTest, ASumTooFarOutToCountItsWrapsStaysOut) {
  const Schema schema = Schema().Int64("x");
  const auto accumulators = *Accumulators::Create({Avg("x")}, schema);
  ASSERT_EQ(accumulators.layout().width, 24u);  // count, sum, wraps
  for (const int sign : {1, -1}) {
    const int64_t far = sign > 0 ? INT64_MAX : INT64_MIN;
    const int32_t wraps = sign * (std::numeric_limits<int32_t>::max() - 1);
    alignas(16) std::byte slot[24] = {};
    std::memcpy(slot + 8, &far, sizeof(far));
    std::memcpy(slot + 16, &wraps, sizeof(wraps));
    const auto add = [&](int64_t value) {
      std::vector<ArgumentValues> values;
      values.push_back(GatherValues(*MakeColumn(DataType::Int64(), {value}), AllRows(1)));
      std::byte* at = slot;
      return accumulators.Update(values, 0, {&at, 1}, {nullptr, 0, 0});
    };
    EXPECT_EQ(accumulators.FirstOverflow(slot), std::nullopt);
    EXPECT_TRUE(add(far));
    EXPECT_EQ(accumulators.FirstOverflow(slot), 0u);
    EXPECT_TRUE(accumulators.Results(0, slot, 1, nullptr)->IsNull(0));
    for (int i = 0; i < 10; ++i) add(sign > 0 ? INT64_MIN : INT64_MAX);
    EXPECT_EQ(accumulators.FirstOverflow(slot), 0u);
  }
}

}  // namespace
}  // namespace tidemark
