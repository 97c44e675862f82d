#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/transforms/transform_rows.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const TestRows& Rows() {
  static const TestRows& rows = *new TestRows(
      TestRows().Int64s("n", {0, 1, INT64_MAX, std::nullopt}).Strings("s", {"a", "b", "c", "d"}));
  return rows;
}

std::string Refused(const std::vector<Expr>& columns) {
  const auto select = MakeSelect(columns, SchemaOf(Rows()), OnExpressionError::kRejectRow);
  EXPECT_EQ(select.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(select.status().message());
}

TEST(SelectTest, ColumnsAreNamedByTheirExpressions) {
  const auto select =
      *MakeSelect({Col("s"), Upper(Col("s")), (Col("n") % 10).As("digit"), Lit(1).As("one")},
                  SchemaOf(Rows()), OnExpressionError::kRejectRow);
  EXPECT_EQ(select->output_schema()->ToString(),
            "[s string, upper(s) string, digit int64, one int32]");
  RowBatch batch = Rows().batch();
  const ColumnPtr s = batch.column_ptr(1);
  ChunkStats stats;
  select->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("a|A|0|1", "b|B|1|1", "c|C|7|1", "d|D|null|1"));
  EXPECT_EQ(batch.column_ptr(0), s) << "a plain column is shared";
  EXPECT_EQ(batch.schema_ptr(), select->output_schema());
}

TEST(SelectTest, ARowThatFailsTwiceIsListedOnceAndRejected) {
  const auto select = *MakeSelect(
      {Col("s"), (1 / Col("n")).As("x"), (Col("n") + 1).As("y"), (2 % Col("n")).As("z")},
      SchemaOf(Rows()), OnExpressionError::kRejectRow);
  RowBatch batch = Rows().batch();
  ChunkStats stats;
  select->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("b|1.0|2|0", "d|null|null|null"));
  EXPECT_THAT(FailedTexts(stats), ElementsAre("0 x: division by zero", "2 y: overflow"));
}

TEST(SelectTest, UnderNullTheRowStays) {
  const auto select = *MakeSelect({Col("s"), (1 / Col("n")).As("x"), (Col("n") + 1).As("y")},
                                  SchemaOf(Rows()), OnExpressionError::kNull);
  RowBatch batch = Rows().batch();
  batch.set_selection(Selection::Rows({0, 2, 3}));
  ChunkStats stats;
  select->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch),
              ElementsAre("a|null|1", "c|1.0842021724855044E-19|null", "d|null|null"));
  EXPECT_THAT(FailedTexts(stats), ElementsAre("0 x: division by zero", "2 y: overflow"));
}

TEST(SelectTest, OnlySelectedRowsAreComputedAndTheOriginStays) {
  RawRecords records;
  records.records.resize(10);
  RowBatch batch = Rows().batch();
  batch.set_origin(
      &records, std::make_shared<const std::vector<uint32_t>>(std::vector<uint32_t>{1, 3, 5, 7}));
  batch.set_selection(Selection::Rows({1, 2}));
  ChunkStats stats;
  (*MakeSelect({(1 / Col("n")).As("x"), (Col("n") + 1).As("y")}, SchemaOf(Rows()),
               OnExpressionError::kRejectRow))
      ->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("1.0|2"));
  EXPECT_THAT(FailedTexts(stats), ElementsAre("5 y: overflow"));
  EXPECT_EQ(batch.records(), &records);
  EXPECT_EQ(batch.source_record(3), 7u);
}

TEST(SelectTest, RefusesTwoOfOneNameAndNone) {
  EXPECT_THAT(Refused({Col("n"), Col("s").As("n")}),
              HasSubstr("two columns are named 'n'; give one"));
  EXPECT_THAT(Refused({Col("n"), Col("n")}), HasSubstr("two columns are named 'n'"));
  EXPECT_THAT(Refused({}), HasSubstr("names no columns"));
  EXPECT_THAT(Refused({Col("t")}), HasSubstr("unknown column 't'"));
}

}  // namespace
}  // namespace tidemark
