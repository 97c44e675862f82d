#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/transforms/transform_rows.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const TestRows& Rows() {
  static const TestRows& rows = *new TestRows(
      TestRows().Int64s("n", {0, 1, 2, std::nullopt, 4}).Strings("s", {"a", "b", "c", "d", "e"}));
  return rows;
}

TEST(FilterTest, NarrowsTheSelectionAndCopiesNothing) {
  const auto filter = *MakeFilter(Col("n") >= 1, SchemaOf(Rows()), OnExpressionError::kRejectRow);
  RowBatch batch = Rows().batch();
  const RowBatch before = batch;
  ChunkStats stats;
  filter->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("1|b", "2|c", "4|e"));
  EXPECT_EQ(batch.num_rows(), 5u);
  EXPECT_EQ(batch.column_ptr(0), before.column_ptr(0));
  EXPECT_EQ(batch.schema_ptr(), before.schema_ptr());
  EXPECT_EQ(*filter->output_schema(), Rows().schema());

  const auto second = *MakeFilter(Col("s") != "c", SchemaOf(Rows()), OnExpressionError::kRejectRow);
  second->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("1|b", "4|e"));
  EXPECT_TRUE(stats.failed.empty());
}

TEST(FilterTest, KeepsAllOrNothing) {
  ChunkStats stats;
  RowBatch batch = Rows().batch();
  (*MakeFilter(Lit(true), SchemaOf(Rows()), OnExpressionError::kRejectRow))->Apply(&batch, &stats);
  EXPECT_TRUE(batch.selection().is_all());
  (*MakeFilter(NullOf(DataType::Bool()), SchemaOf(Rows()), OnExpressionError::kRejectRow))
      ->Apply(&batch, &stats);
  EXPECT_TRUE(batch.selection().empty());
  (*MakeFilter(1 / Col("n") > 0, SchemaOf(Rows()), OnExpressionError::kRejectRow))
      ->Apply(&batch, &stats);
  EXPECT_TRUE(stats.failed.empty()) << "rows that have left are not computed";
}

TEST(FilterTest, FailedRowsLeaveAndAreListed) {
  for (const OnExpressionError on_error :
       {OnExpressionError::kRejectRow, OnExpressionError::kNull}) {
    const auto filter = *MakeFilter(4 / Col("n") > 1.0, SchemaOf(Rows()), on_error);
    RowBatch batch = Rows().batch();
    ChunkStats stats;
    filter->Apply(&batch, &stats);
    EXPECT_THAT(RowTexts(batch), ElementsAre("1|b", "2|c"))
        << "null is not true under either policy";
    EXPECT_THAT(FailedTexts(stats), ElementsAre("0 ((4 / n) > 1.0): division by zero"));
  }
}

TEST(FilterTest, FailedRowsAreNamedByTheirRecord) {
  RawRecords records;
  records.records.resize(9);
  RowBatch batch = Rows().batch();
  batch.set_origin(&records, std::make_shared<const std::vector<uint32_t>>(
                                 std::vector<uint32_t>{3, 4, 6, 7, 8}));
  ChunkStats stats;
  (*MakeFilter(4 / Col("n") > 1.0, SchemaOf(Rows()), OnExpressionError::kRejectRow))
      ->Apply(&batch, &stats);
  EXPECT_THAT(FailedTexts(stats), ElementsAre("3 ((4 / n) > 1.0): division by zero"));
  EXPECT_EQ(batch.records(), &records);
}

TEST(FilterTest, RefusesWhatIsNoCondition) {
  const auto refused = [](const Expr& condition) {
    const auto filter = MakeFilter(condition, SchemaOf(Rows()), OnExpressionError::kRejectRow);
    EXPECT_EQ(filter.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(filter.status().message());
  };
  EXPECT_THAT(refused(Col("n") + 1), HasSubstr("Filter((n + 1)): the condition is of type int64"));
  EXPECT_THAT(refused(Col("m") == 1), HasSubstr("unknown column 'm', did you mean"));
}

}  // namespace
}  // namespace tidemark
