#include "tidemark/operators/formats/format.h"

#include <gtest/gtest.h>

#include <string>

namespace tidemark {
namespace {

TEST(FormatTest, JsonIsAPlainValue) {
  const FormatSpec spec = Json(Schema().Int64("id"));
  EXPECT_EQ(spec.name, "json");
  EXPECT_EQ(spec.schema, Schema().Int64("id"));
  EXPECT_EQ(spec.max_record_bytes, size_t{16} << 20);
  EXPECT_EQ(spec.max_depth, 1024u);
}

TEST(FormatTest, AnUnknownFormatIsRefused) {
  FormatSpec spec = Json(Schema().Int64("id"));
  spec.name = "xml";
  const auto decoder = MakeDecoder(spec);
  EXPECT_TRUE(absl::IsInvalidArgument(decoder.status()));
  EXPECT_EQ(std::string(decoder.status().message()),
            "there is no format 'xml'; the formats are: avro, json");
}

TEST(FormatTest, AWrongSchemaIsRefused) {
  for (const Schema& schema : {Schema(), Schema().Int64("a").String("a"),
                               Schema().Decimal("d", 39, 0), Schema().Int64("")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(MakeDecoder(Json(schema)).status())) << schema.ToString();
  }
}

}  // namespace
}  // namespace tidemark
