#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/transforms/transform_rows.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const TestRows& Rows() {
  static const TestRows& rows =
      *new TestRows(TestRows().Int64s("n", {0, 2, std::nullopt}).Strings("s", {"a", "b", "c"}));
  return rows;
}

TEST(WithColumnTest, AddsAtTheEnd) {
  const auto with =
      *MakeWithColumn("double", Col("n") * 2, SchemaOf(Rows()), OnExpressionError::kRejectRow);
  EXPECT_EQ(with->output_schema()->ToString(), "[n int64, s string, double int64]");
  RowBatch batch = Rows().batch();
  ChunkStats stats;
  with->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("0|a|0", "2|b|4", "null|c|null"));
}

TEST(WithColumnTest, ReplacesInPlaceWithAnotherType) {
  const auto with = *MakeWithColumn("n", Concat(Col("s"), Col("n")), SchemaOf(Rows()),
                                    OnExpressionError::kRejectRow);
  EXPECT_EQ(with->output_schema()->ToString(), "[n string, s string]");
  RowBatch batch = Rows().batch();
  ChunkStats stats;
  with->Apply(&batch, &stats);
  EXPECT_THAT(RowTexts(batch), ElementsAre("a0|a", "b2|b", "null|c"));
}

TEST(WithColumnTest, FailedRowsByPolicy) {
  const Expr value = 1 / Col("n");
  ChunkStats stats;
  RowBatch rejected = Rows().batch();
  (*MakeWithColumn("x", value, SchemaOf(Rows()), OnExpressionError::kRejectRow))
      ->Apply(&rejected, &stats);
  EXPECT_THAT(RowTexts(rejected), ElementsAre("2|b|0.5", "null|c|null"));
  EXPECT_THAT(FailedTexts(stats), ElementsAre("0 x = (1 / n): division by zero"));
  RowBatch kept = Rows().batch();
  (*MakeWithColumn("x", value, SchemaOf(Rows()), OnExpressionError::kNull))->Apply(&kept, &stats);
  EXPECT_THAT(RowTexts(kept), ElementsAre("0|a|null", "2|b|0.5", "null|c|null"));
  EXPECT_EQ(stats.failed.size(), 2u);
}

TEST(WithColumnTest, AHiddenColumnThatIsReplacedIsVisible) {
  Field hidden;
  hidden.name = "kafka_offset";
  hidden.type = DataType::Int64();
  hidden.hidden = true;
  const auto schema = std::make_shared<const Schema>(Schema().Add(hidden));
  const auto with =
      *MakeWithColumn("kafka_offset", Col("kafka_offset"), schema, OnExpressionError::kNull);
  EXPECT_FALSE(with->output_schema()->field(0).hidden);
}

TEST(WithColumnTest, Refuses) {
  EXPECT_THAT(std::string(MakeWithColumn("x", Col("q"), SchemaOf(Rows()), OnExpressionError::kNull)
                              .status()
                              .message()),
              HasSubstr("unknown column 'q'"));
  EXPECT_THAT(std::string(MakeWithColumn("", Col("n"), SchemaOf(Rows()), OnExpressionError::kNull)
                              .status()
                              .message()),
              HasSubstr("name is empty"));
}

}  // namespace
}  // namespace tidemark
