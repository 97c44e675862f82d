#include "tidemark/operators/formats/avro_encoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "operators/formats/avro_bytes.h"
#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

// A batch from rows of JSON, which is how the tests write values down.
RowBatch Rows(const Schema& schema, const std::vector<std::string>& rows) {
  const auto decoder = MakeDecoder(Json(schema));
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  TestRecords records(rows, true);
  std::vector<BadRecord> bad;
  RowBatch batch = (*decoder)->Decode(records.records(), false, &bad);
  EXPECT_TRUE(bad.empty()) << bad[0].detail;
  return Compact(batch);
}

std::string Refusal(const FormatSpec& spec, const Schema& rows) {
  const auto encoder = MakeEncoder(spec, rows);
  if (encoder.ok()) return "";
  EXPECT_TRUE(absl::IsInvalidArgument(encoder.status())) << encoder.status();
  return std::string(encoder.status().message());
}

FormatSpec Writer(std::string schema) {
  return Avro(Schema(), {.writer_schema = std::move(schema)});
}

// What one value of column `v` becomes in a record with the one field `v`, or the complaint.
std::string Encoded(const Schema& column, const std::string& value, const std::string& type) {
  const auto encoder =
      MakeEncoder(Writer(RecordSchema(fmt::format(R"({{"name":"v","type":{}}})", type))), column);
  if (!encoder.ok()) return std::string(encoder.status().message());
  std::string bytes;
  std::vector<size_t> ends;
  const absl::Status status =
      (*encoder)->Encode(Rows(column, {fmt::format(R"({{"v":{}}})", value)}), &bytes, &ends);
  if (!status.ok()) {
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    return std::string(status.message());
  }
  EXPECT_EQ(ends, std::vector<size_t>{bytes.size()});
  return bytes;
}

std::string Long(int64_t value) { return AvroBytes().Long(value).str(); }
std::string Bytes(std::string_view value) { return AvroBytes().Text(value).str(); }
std::string Logical(std::string_view type, std::string_view logical) {
  return fmt::format(R"({{"type":"{}","logicalType":"{}"}})", type, logical);
}

TEST(AvroEncoderTest, TheOrdersOfThePipeline) {
  const std::string schema =
      R"({"type":"record","name":"OrderRecord","namespace":"com.retail","fields":[
          {"name":"order_id","type":"int"},{"name":"customer_id","type":"int"},
          {"name":"amount","type":"double"},{"name":"created_at","type":"string"}]})";
  const Schema columns =
      Schema().Timestamp("created_at").Int64("order_id").Int32("customer_id").Double("amount");
  const auto encoder = MakeEncoder(Writer(schema), columns);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  RowBatch rows = Rows(
      columns,
      {R"({"created_at":"2025-01-02T10:15:22.123Z","order_id":1,"customer_id":2,"amount":3.5})",
       R"({"created_at":"2025-01-02T10:15:22Z","order_id":4,"customer_id":5,"amount":6})",
       R"({"created_at":"2025-01-02T10:15:23Z","order_id":7,"customer_id":8,"amount":9})"});
  rows.set_selection(Selection::Rows({0, 2}));
  std::string bytes = "before";
  std::vector<size_t> ends = {6};
  ASSERT_TRUE((*encoder)->Encode(rows, &bytes, &ends).ok());
  const std::string first =
      AvroBytes().Long(1).Long(2).Double(3.5).Text("2025-01-02T10:15:22.123Z").str();
  const std::string last = AvroBytes().Long(7).Long(8).Double(9).Text("2025-01-02T10:15:23Z").str();
  EXPECT_EQ(bytes, "before" + first + last);
  EXPECT_EQ(ends, (std::vector<size_t>{6, 6 + first.size(), bytes.size()}));
}

TEST(AvroEncoderTest, ConfluentFraming) {
  const std::string schema = RecordSchema(R"({"name":"a","type":"long"})");
  const FormatSpec given = Avro(Schema(), {.framing = AvroFraming::kConfluent,
                                           .writer_schema = schema,
                                           .written_schema_id = 0x01020304});
  const FormatSpec found = Avro(Schema(), {.framing = AvroFraming::kConfluent,
                                           .schemas_by_id = {{0x01020304, schema}},
                                           .written_schema_id = 0x01020304});
  const Schema columns = Schema().Int64("a");
  for (const FormatSpec& spec : {given, found}) {
    const auto encoder = MakeEncoder(spec, columns);
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    std::string bytes;
    std::vector<size_t> ends;
    ASSERT_TRUE(
        (*encoder)->Encode(Rows(columns, {R"({"a":5})", R"({"a":6})"}), &bytes, &ends).ok());
    EXPECT_EQ(bytes, Framed(0x01020304, Long(5)) + Framed(0x01020304, Long(6)));
  }
  const FormatSpec unknown = Avro(
      Schema(),
      {.framing = AvroFraming::kConfluent, .schemas_by_id = {{1, schema}}, .written_schema_id = 2});
  EXPECT_TRUE(absl::IsNotFound(MakeEncoder(unknown, columns).status()));
}

TEST(AvroEncoderTest, Numbers) {
  EXPECT_EQ(Encoded(Schema().Bool("v"), "true", "\"boolean\""), "\x01");
  EXPECT_EQ(Encoded(Schema().Int32("v"), "-7", "\"int\""), Long(-7));
  EXPECT_EQ(Encoded(Schema().Int32("v"), "-7", "\"long\""), Long(-7));
  EXPECT_EQ(Encoded(Schema().Int32("v"), "-7", "\"double\""), AvroBytes().Double(-7).str());
  EXPECT_EQ(Encoded(Schema().Int32("v"), "16777216", "\"float\""),
            AvroBytes().Float(16777216).str());
  EXPECT_EQ(Encoded(Schema().Int32("v"), "16777217", "\"float\""),
            "column 'v': the value 16777217 does not fit the Avro field of type float");
  EXPECT_EQ(Encoded(Schema().Int64("v"), "9223372036854775807", "\"long\""), Long(INT64_MAX));
  EXPECT_EQ(Encoded(Schema().Int64("v"), "-2147483648", "\"int\""), Long(INT32_MIN));
  EXPECT_EQ(Encoded(Schema().Int64("v"), "2147483648", "\"int\""),
            "column 'v': the value 2147483648 does not fit the Avro field of type int");
  EXPECT_EQ(Encoded(Schema().Int64("v"), "9007199254740992", "\"double\""),
            AvroBytes().Double(9007199254740992).str());
  EXPECT_EQ(Encoded(Schema().Int64("v"), "9007199254740993", "\"double\""),
            "column 'v': the value 9007199254740993 does not fit the Avro field of type double");
  EXPECT_EQ(Encoded(Schema().Double("v"), "0.1", "\"float\""), AvroBytes().Float(0.1F).str());
  EXPECT_EQ(Encoded(Schema().Double("v"), "\"NaN\"", "\"float\"").size(), 4u);
  EXPECT_EQ(Encoded(Schema().Double("v"), "1e39", "\"float\""),
            "column 'v': the value 1.0E39 does not fit the Avro field of type float");
}

TEST(AvroEncoderTest, Decimals) {
  const auto decimal = [](int precision, int scale) {
    return fmt::format(R"({{"type":"bytes","logicalType":"decimal","precision":{},"scale":{}}})",
                       precision, scale);
  };
  const Schema two = Schema().Decimal("v", 10, 2);
  EXPECT_EQ(Encoded(two, "12.34", decimal(10, 2)), Bytes("\x04\xd2"));
  EXPECT_EQ(Encoded(two, "-0.01", decimal(10, 2)), Bytes("\xff"));
  EXPECT_EQ(Encoded(two, "0", decimal(10, 2)), Bytes(std::string(1, '\0')));
  EXPECT_EQ(Encoded(two, "1.28", decimal(10, 2)), Bytes(std::string("\x00\x80", 2)));
  EXPECT_EQ(Encoded(two, "12.30", decimal(10, 1)), Bytes("\x7b"));
  EXPECT_EQ(Encoded(two, "12.34", decimal(10, 1)),
            "column 'v': the value 12.34 does not fit the Avro field of type bytes decimal(10,1)");
  EXPECT_EQ(Encoded(two, "12.34", decimal(3, 2)),
            "column 'v': the value 12.34 does not fit the Avro field of type bytes decimal(3,2)");
  EXPECT_EQ(
      Encoded(
          two, "-12.34",
          R"({"type":"fixed","name":"f","size":4,"logicalType":"decimal","precision":9,"scale":2})"),
      "\xff\xff\xfb\x2e");
  EXPECT_EQ(Encoded(two, "12.30", "\"string\""), Bytes("12.30"));
  EXPECT_EQ(Encoded(two, "1", "\"bytes\""),
            "column 'v' of type decimal(10,2) does not go into the Avro field of type bytes");
}

TEST(AvroEncoderTest, TextsAndTimes) {
  EXPECT_EQ(Encoded(Schema().String("v"), "\"\u00e9\"", "\"string\""), Bytes("\u00e9"));
  const std::string symbols = R"({"type":"enum","name":"e","symbols":["a","b"]})";
  EXPECT_EQ(Encoded(Schema().String("v"), "\"b\"", symbols), Long(1));
  EXPECT_EQ(Encoded(Schema().String("v"), "\"c\"", symbols),
            "column 'v': the value c does not fit the Avro field of type enum e");
  EXPECT_EQ(Encoded(Schema().Bytes("v"), "\"YWI=\"", "\"bytes\""), Bytes("ab"));
  const std::string fixed = R"({"type":"fixed","name":"f","size":2})";
  EXPECT_EQ(Encoded(Schema().Bytes("v"), "\"YWI=\"", fixed), "ab");
  EXPECT_EQ(Encoded(Schema().Bytes("v"), "\"YWJj\"", fixed),
            "column 'v': the value YWJj does not fit the Avro field of type fixed f");
  const std::string time = "\"1969-12-31T23:59:59.123456Z\"";
  const Schema column = Schema().Timestamp("v");
  EXPECT_EQ(Encoded(column, time, Logical("long", "timestamp-millis")), Long(-877));
  EXPECT_EQ(Encoded(column, time, Logical("long", "timestamp-micros")), Long(-876544));
  EXPECT_EQ(Encoded(column, time, Logical("long", "local-timestamp-nanos")), Long(-876544000));
  EXPECT_EQ(Encoded(column, time, "\"string\""), Bytes("1969-12-31T23:59:59.123456Z"));
  EXPECT_EQ(Encoded(column, "\"2300-01-01T00:00:00Z\"", Logical("long", "timestamp-nanos")),
            "column 'v': the value 2300-01-01T00:00:00Z does not fit the Avro field of type long "
            "timestamp-nanos");
  EXPECT_EQ(Encoded(column, time, "\"long\""),
            "column 'v' of type timestamp does not go into the Avro field of type long");
  EXPECT_EQ(
      Encoded(Schema().Int64("v"), "1", Logical("long", "timestamp-millis")),
      "column 'v' of type int64 does not go into the Avro field of type long timestamp-millis");
  EXPECT_EQ(Encoded(Schema().Date("v"), "\"1970-01-03\"", Logical("int", "date")), Long(2));
  EXPECT_EQ(Encoded(Schema().Date("v"), "\"1970-01-03\"", "\"string\""), Bytes("1970-01-03"));
}

TEST(AvroEncoderTest, NullsAndUnions) {
  EXPECT_EQ(Encoded(Schema().Int64("v"), "null", R"(["null","long"])"), Long(0));
  EXPECT_EQ(Encoded(Schema().Int64("v"), "3", R"(["null","long"])"), Long(1) + Long(3));
  EXPECT_EQ(Encoded(Schema().Int64("v"), "null", R"(["string","long","null"])"), Long(2));
  EXPECT_EQ(Encoded(Schema().Int64("v"), "3", R"(["string","long","null"])"), Long(1) + Long(3));
  EXPECT_EQ(Encoded(Schema().String("v"), "\"x\"", R"(["string","long","null"])"),
            Long(0) + Bytes("x"));
  EXPECT_EQ(
      Encoded(Schema().Int64("v"), "null", "\"long\""),
      "column 'v' is null, but the Avro field takes no null: long; make it a union with null, "
      "or filter such rows");
  EXPECT_EQ(Encoded(Schema().Bool("v"), "true", R"(["string","long"])"),
            "column 'v' of type bool does not go into the Avro field of type [string, long]");
}

TEST(AvroEncoderTest, FieldsAndColumnsMustMeet) {
  const std::string schema = RecordSchema(
      R"({"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null},
         {"name":"c","type":{"type":"array","items":"int"},"default":[1]})");
  Schema columns = Schema().Int64("a");
  for (const Field& field : KafkaColumns()) columns.Add(field);
  const auto encoder = MakeEncoder(Writer(schema), columns);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  std::string bytes;
  std::vector<size_t> ends;
  ASSERT_TRUE((*encoder)->Encode(Rows(columns, {R"({"a":5})"}), &bytes, &ends).ok());
  EXPECT_EQ(bytes, AvroBytes().Long(5).Long(0).Long(1).Long(1).Long(0).str());
  EXPECT_EQ(Refusal(Writer(schema), Schema().Int64("aa")),
            "the Avro field 'a' has no column and no default; did you mean 'aa'?");
  EXPECT_EQ(Refusal(Writer(schema), Schema().Int64("a").Int64("more")),
            "the Avro record 'r' has no field for the column 'more'; add the field, or leave "
            "the column out");
  EXPECT_EQ(Refusal(Writer(schema), Schema().Int64("a").String("c")),
            "column 'c' of type string does not go into the Avro field of type array of int");
  EXPECT_EQ(Refusal(Writer("\"long\""), Schema().Int64("a").Int64("b")),
            "rows of several columns can be written only as an Avro record, and the writer's "
            "schema is long");
  EXPECT_EQ(Refusal(Writer("\"long\""), Schema().String("a")),
            "column 'a' of type string does not go into the Avro field of type long");
  EXPECT_EQ(Refusal(Writer(""), Schema().Int64("a")),
            "rows can be written as Avro only with a writer's schema");
  EXPECT_TRUE(Refusal(Writer("{"), Schema().Int64("a"))
                  .starts_with("writer's schema: this is no Avro schema: "));
  FormatSpec bare;
  bare.name = "avro";
  EXPECT_EQ(Refusal(bare, Schema().Int64("a")),
            "the format 'avro' has no options; make it with Avro(...)");
}

}  // namespace
}  // namespace tidemark
