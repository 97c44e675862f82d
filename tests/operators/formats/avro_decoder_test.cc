#include "tidemark/operators/formats/avro_decoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "operators/formats/avro_bytes.h"
#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

constexpr const char* kOrder = R"({"type":"record","name":"OrderRecord","namespace":"com.retail",
  "fields":[{"name":"order_id","type":"int"},{"name":"customer_id","type":["null","int"]},
            {"name":"amount","type":"double"},{"name":"created_at","type":"string"}]})";

Schema OrderColumns() {
  return Schema().Int64("order_id").Int32("customer_id").Double("amount").Timestamp("created_at");
}

FormatSpec Raw(Schema schema, std::string writer, std::string reader = "") {
  return Avro(std::move(schema),
              {.writer_schema = std::move(writer), .reader_schema = std::move(reader)});
}

FormatSpec Framing(Schema schema, std::map<uint32_t, std::string> schemas,
                   std::string reader = "") {
  return Avro(std::move(schema), {.framing = AvroFraming::kConfluent,
                                  .reader_schema = std::move(reader),
                                  .schemas_by_id = std::move(schemas)});
}

std::string Refusal(const FormatSpec& spec) {
  const auto decoder = MakeDecoder(spec);
  if (decoder.ok()) return "";
  EXPECT_TRUE(absl::IsInvalidArgument(decoder.status())) << decoder.status();
  return std::string(decoder.status().message());
}

TEST(AvroDecoderTest, RawDatums) {
  EXPECT_EQ(
      DecodeText(
          Raw(OrderColumns(), kOrder),
          {AvroBytes().Long(7).Long(1).Long(-3).Double(1.5).Text("2025-01-02T10:15:22.123Z").str(),
           AvroBytes().Long(8).Long(0).Double(2).Text("2025-01-02 00:00:00").str()}),
      "[7,-3,1.5,\"2025-01-02T10:15:22.123Z\"]\n"
      "[8,null,2.0,\"2025-01-02T00:00:00Z\"]\n");
}

TEST(AvroDecoderTest, FramedDatums) {
  const std::string old = RecordSchema(R"({"name":"a","type":"int"})");
  const std::string next =
      RecordSchema(R"({"name":"b","type":"string"},{"name":"a","type":"long"})");
  const FormatSpec spec = Framing(Schema().Int64("a").String("b"), {{1, old}, {0x01020304, next}});
  EXPECT_EQ(DecodeText(spec, {Framed(1, AvroBytes().Long(5).str()),
                              Framed(0x01020304, AvroBytes().Text("x").Long(6).str()),
                              Framed(1, AvroBytes().Long(7).str())}),
            "[5,null]\n[6,\"x\"]\n[7,null]\n");
}

TEST(AvroDecoderTest, ThreeErrorsOfTheHeader) {
  const FormatSpec spec =
      Framing(Schema().Int64("a"), {{1, RecordSchema(R"({"name":"a","type":"int"})")}});
  EXPECT_EQ(DecodeText(spec, {std::string("\0\0\0\0", 4), "", "{\"a\":1}", Framed(2, "\x02"),
                              Framed(1, "\x02")}),
            "[1]\n"
            "bad 0 short_header: the record has 4 bytes; the header, a byte 0 and a schema id, has "
            "5\n"
            "bad 1 short_header: the record has 0 bytes; the header, a byte 0 and a schema id, has "
            "5\n"
            "bad 2 wrong_magic: the first byte is 123, not 0; was this written without a schema "
            "id?\n"
            "bad 3 unknown_schema: nobody knows the schema id 2\n");
}

TEST(AvroDecoderTest, ColumnsThatTheSchemaCannotFill) {
  EXPECT_EQ(Refusal(Raw(Schema().Int64("ordr_id"), kOrder)),
            "field 'ordr_id': the Avro schema has no field 'ordr_id'; did you mean 'order_id'?");
  EXPECT_EQ(Refusal(Raw(Schema().Int64("amount"), kOrder)),
            "field 'amount': double does not go into a column of type int64");
  EXPECT_EQ(Refusal(Raw(Schema().Timestamp("order_id"), kOrder)),
            "field 'order_id': int does not go into a column of type timestamp; say in which unit "
            "it counts: EpochSeconds(), EpochMillis() or EpochMicros()");
  EXPECT_EQ(Refusal(Raw(Schema().Int64("a").At("/order_id").Int64("b").At("/order_id"), kOrder)),
            "field 'b': another field is read from the same place, /order_id; read it once and "
            "select it twice");
}

}  // namespace
}  // namespace tidemark
