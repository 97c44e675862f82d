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

TEST(FormatTest, TheFingerprintHoldsWhatOfAnAvroSchemaMatters) {
  const Schema a = Schema().Int64("a");
  const auto record = [](const std::string& doc, const std::string& type) {
    return R"({"type":"record","name":"r","doc":")" + doc + R"(","fields":[{"name":"a","type":")" +
           type + "\"}]}";
  };
  const std::string raw = FormatFingerprint(Avro(a, {.writer_schema = record("x", "int")}));
  EXPECT_EQ(raw,
            R"( raw writer {"name":"r","type":"record","fields":[{"name":"a","type":"int"}]})");
  EXPECT_EQ(FormatFingerprint(Avro(a, {.writer_schema = record("y", "int")})), raw);
  EXPECT_NE(FormatFingerprint(Avro(a, {.writer_schema = record("x", "long")})), raw);
  EXPECT_NE(FormatFingerprint(Avro(
                a, {.writer_schema = record("x", "int"), .reader_schema = record("x", "long")})),
            raw);
  // Where schemas come from may change.
  EXPECT_EQ(FormatFingerprint(
                Avro(a, {.framing = AvroFraming::kConfluent, .registry_url = "http://one"})),
            " confluent");
  EXPECT_EQ(FormatFingerprint(Json(a)), "");
}

}  // namespace
}  // namespace tidemark
