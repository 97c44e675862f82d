#include "tidemark/operators/rows/schema.h"

#include <gtest/gtest.h>

#include <string>

namespace tidemark {
namespace {

TEST(SchemaTest, FieldsInOrderWithTheirModifiers) {
  const Schema schema = Schema()
                            .Int64("id")
                            .At("/payload/after/id")
                            .Timestamp("ts")
                            .EpochMillis()
                            .At("/ts_ms")
                            .Timestamp("local")
                            .Zone("Europe/Berlin")
                            .Decimal("price", 10, 2);
  EXPECT_EQ(schema.Problem(), "");
  ASSERT_EQ(schema.size(), 4u);
  EXPECT_EQ(schema.field(0).path, "/payload/after/id");
  EXPECT_EQ(schema.field(1).time_encoding, TimeEncoding::kEpochMillis);
  EXPECT_EQ(schema.field(1).path, "/ts_ms");
  EXPECT_EQ(schema.field(2).zone, "Europe/Berlin");
  EXPECT_EQ(schema.field(2).time_encoding, TimeEncoding::kIso8601);
  EXPECT_EQ(schema.ToString(), "[id int64, ts timestamp, local timestamp, price decimal(10,2)]");
}

TEST(SchemaTest, FindsNamesCaseSensitively) {
  const Schema schema = Schema().Int64("customer_id").String("name");
  EXPECT_EQ(schema.Find("name"), 1u);
  EXPECT_EQ(schema.Find("Name"), std::nullopt);
  EXPECT_EQ(schema.Find(""), std::nullopt);
}

TEST(SchemaTest, NearestNameIsNearOrNothing) {
  const Schema schema = Schema().Int64("customer_id").String("name").Timestamp("created_at");
  EXPECT_EQ(schema.Nearest("custmer_id"), "customer_id");
  EXPECT_EQ(schema.Nearest("nmae"), "name");
  EXPECT_EQ(schema.Nearest("created"), "created_at");
  EXPECT_EQ(schema.Nearest("zzzzzzzzzz"), "");
  EXPECT_EQ(Schema().Nearest("x"), "");
}

TEST(SchemaTest, EqualOnlyIfEveryFieldIs) {
  EXPECT_EQ(Schema().Int64("a"), Schema().Int64("a"));
  EXPECT_FALSE(Schema().Int64("a") == Schema().Int32("a"));
  EXPECT_FALSE(Schema().Int64("a") == Schema().Int64("a").At("/b"));
  EXPECT_FALSE(Schema().Decimal("a", 10, 2) == Schema().Decimal("a", 10, 3));
}

TEST(SchemaTest, ProblemsAreNamed) {
  EXPECT_EQ(Schema().Problem(), "the schema has no fields");
  EXPECT_EQ(Schema().Int64("").Problem(), "a field has an empty name");
  EXPECT_EQ(Schema().Int64("a").String("a").Problem(), "two fields are named 'a'");
  for (const Schema& schema :
       {Schema().Decimal("p", 0, 0), Schema().Decimal("p", 39, 2), Schema().Decimal("p", 5, 6)}) {
    EXPECT_NE(schema.Problem().find("is no decimal"), std::string::npos) << schema.Problem();
  }
  EXPECT_EQ(Schema().Decimal("p", 38, 38).Decimal("q", 1, 0).Problem(), "");
  EXPECT_NE(Schema().Int64("a").At("payload/a").Problem().find("JSON pointer"), std::string::npos);
}

TEST(SchemaTest, ModifiersMustFitTheirField) {
  EXPECT_NE(Schema().At("/a").Int64("a").Problem(), "");
  EXPECT_NE(Schema().EpochMillis().Int64("a").Problem(), "");
  EXPECT_NE(Schema().Int64("a").EpochMillis().Problem(), "");
  EXPECT_NE(Schema().Int64("a").EpochSeconds().Problem(), "");
  EXPECT_NE(Schema().Date("a").EpochMicros().Problem(), "");
  EXPECT_NE(Schema().String("a").Zone("UTC").Problem(), "");
}

TEST(DataTypeTest, NamesAndWidths) {
  EXPECT_EQ(DataType::Decimal(10, 2).ToString(), "decimal(10,2)");
  EXPECT_EQ(DataType::Bytes().ToString(), "bytes");
  EXPECT_EQ(DataType::Bool().width(), 1u);
  EXPECT_EQ(DataType::Date().width(), 4u);
  EXPECT_EQ(DataType::Timestamp().width(), 8u);
  EXPECT_EQ(DataType::Decimal(1, 0).width(), 16u);
  EXPECT_EQ(DataType::String().width(), sizeof(std::string_view));
}

}  // namespace
}  // namespace tidemark
