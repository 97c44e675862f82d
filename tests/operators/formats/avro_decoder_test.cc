#include "tidemark/operators/formats/avro_decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "operators/formats/avro_bytes.h"
#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

using std::literals::string_literals::operator""s;

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

// The value of column `v` that a record of the one field `v` of this type gives, or what is bad.
std::string Value(const Schema& column, const std::string& type, const std::string& datum) {
  const FormatSpec spec =
      Raw(column, RecordSchema(fmt::format(R"({{"name":"v","type":{}}})", type)));
  const std::string text = DecodeText(spec, {datum});
  // Beside others it is the same.
  std::string texts;
  for (int i = 0; i < 5; ++i) {
    texts += text.starts_with("bad 0 ") ? fmt::format("bad {} {}", i, text.substr(6)) : text;
  }
  EXPECT_EQ(DecodeText(spec, std::vector<std::string>(5, datum)), texts);
  if (text.starts_with("bad 0 ")) return text.substr(6, text.size() - 7);
  return text.substr(1, text.size() - 3);
}

std::string Long(int64_t value) { return AvroBytes().Long(value).str(); }
std::string Text(std::string_view value) { return AvroBytes().Text(value).str(); }
std::string Logical(std::string_view type, std::string_view logical) {
  return fmt::format(R"({{"type":"{}","logicalType":"{}"}})", type, logical);
}
constexpr const char* kDecimal4 =
    R"({"type":"bytes","logicalType":"decimal","precision":4,"scale":2})";

TEST(AvroDecoderTest, NumbersIntoColumns) {
  EXPECT_EQ(Value(Schema().Bool("v"), "\"boolean\"", "\x01"), "true");
  EXPECT_EQ(Value(Schema().Bool("v"), "\"boolean\"", "\x02"),
            "parse_error: field 'v': 2 is no boolean");
  for (int64_t value : {int64_t{0}, int64_t{-1}, int64_t{63}, int64_t{-65}, int64_t{INT32_MAX},
                        int64_t{INT32_MIN}}) {
    EXPECT_EQ(Value(Schema().Int32("v"), "\"int\"", Long(value)), std::to_string(value));
    EXPECT_EQ(Value(Schema().Int64("v"), "\"int\"", Long(value)), std::to_string(value));
    EXPECT_EQ(Value(Schema().Int32("v"), "\"long\"", Long(value)), std::to_string(value));
  }
  for (int shift = 0; shift < 64; ++shift) {
    for (const int64_t value : {INT64_MAX >> shift, INT64_MIN >> shift}) {
      EXPECT_EQ(Value(Schema().Int64("v"), "\"long\"", Long(value)), std::to_string(value));
    }
  }
  EXPECT_EQ(Value(Schema().Int32("v"), "\"long\"", Long(1LL << 31)),
            "out_of_range: field 'v': 2147483648 does not fit int32");
  EXPECT_EQ(Value(Schema().Int32("v"), "\"int\"", Long(1LL << 31)),
            "parse_error: field 'v': 2147483648 is no int of 32 bits");
  EXPECT_EQ(Value(Schema().Int64("v"), "\"int\"", Long(1LL << 31)),
            "parse_error: field 'v': 2147483648 is no int of 32 bits");
  EXPECT_EQ(Value(Schema().Double("v"), "\"int\"", Long(3)), "3.0");
  EXPECT_EQ(Value(Schema().Double("v"), "\"float\"", AvroBytes().Float(1.5).str()), "1.5");
  EXPECT_EQ(Value(Schema().Double("v"), "\"double\"", AvroBytes().Double(-0.1).str()), "-0.1");
  EXPECT_EQ(Value(Schema().Decimal("v", 5, 2), "\"long\"", Long(-123)), "-123.00");
  EXPECT_EQ(Value(Schema().Decimal("v", 5, 2), "\"long\"", Long(1000)),
            "out_of_range: field 'v': 1000 does not fit decimal(5,2)");
}

TEST(AvroDecoderTest, Decimals) {
  const Schema two = Schema().Decimal("v", 6, 2);
  EXPECT_EQ(Value(two, kDecimal4, Text(std::string("\x04\xd2"))), "12.34");
  EXPECT_EQ(Value(two, kDecimal4, Text("\xff")), "-0.01");
  EXPECT_EQ(Value(two, kDecimal4, Text(std::string(40, '\xff'))), "-0.01");
  EXPECT_EQ(Value(Schema().Decimal("v", 6, 1), kDecimal4, Text(std::string("\x04\xd7"))), "12.4");
  EXPECT_EQ(Value(Schema().Decimal("v", 6, 1), kDecimal4, Text(std::string("\xfb\x29"))), "-12.4");
  EXPECT_EQ(Value(Schema().Decimal("v", 8, 4), kDecimal4, Text(std::string("\x04\xd2"))),
            "12.3400");
  EXPECT_EQ(Value(two, kDecimal4, Text("")),
            "out_of_range: field 'v': a decimal of 0 bytes and scale 2 does not fit decimal(6,2)");
  EXPECT_EQ(Value(two, kDecimal4, Text(std::string(17, '\x01'))),
            "out_of_range: field 'v': a decimal of 17 bytes and scale 2 does not fit decimal(6,2)");
  const std::string fixed =
      R"({"type":"fixed","name":"f","size":3,"logicalType":"decimal","precision":6,"scale":3})";
  EXPECT_EQ(Value(Schema().Decimal("v", 6, 3), fixed, std::string("\x00\x04\xd2", 3)), "1.234");
  EXPECT_EQ(Value(Schema().String("v"), fixed, std::string("\xff\xff\xff", 3)), "\"-0.001\"");
}

TEST(AvroDecoderTest, Texts) {
  EXPECT_EQ(Value(Schema().String("v"), "\"string\"", Text("")), "\"\"");
  // Every size at which texts are looked through differently, with a byte that is not ASCII at
  // every place.
  for (size_t size = 1; size <= 70; ++size) {
    const std::string ascii(size, 'a');
    EXPECT_EQ(Value(Schema().String("v"), "\"string\"", Text(ascii)), "\"" + ascii + "\"");
    for (size_t i = 0; i < size; ++i) {
      std::string broken = ascii;
      broken[i] = '\xff';
      EXPECT_TRUE(Value(Schema().String("v"), "\"string\"", Text(broken))
                      .starts_with("invalid_utf8: field 'v': \""));
    }
  }
  EXPECT_EQ(Value(Schema().String("v"), "\"string\"", Text("\u20ac\n")), "\"\u20ac\\n\"");
  EXPECT_EQ(Value(Schema().String("v"), "\"bytes\"", Text("abc")), "\"abc\"");
  EXPECT_EQ(Value(Schema().String("v"), "\"bytes\"", Text("\xc3")),
            "invalid_utf8: field 'v': \"\\xc3\" is not UTF-8");
  EXPECT_EQ(Value(Schema().Bytes("v"), "\"string\"", Text("abc")), "\"YWJj\"");
  EXPECT_EQ(Value(Schema().Bytes("v"), R"({"type":"fixed","name":"f","size":2})", "ab"),
            "\"YWI=\"");
  EXPECT_EQ(Value(Schema().String("v"), R"({"type":"fixed","name":"f","size":2})", "ab"),
            "\"YWI=\"");
  EXPECT_EQ(
      Value(Schema().String("v"), R"({"type":"enum","name":"e","symbols":["a","b"]})", Long(1)),
      "\"b\"");
  EXPECT_EQ(
      Value(Schema().String("v"), R"({"type":"enum","name":"e","symbols":["a","b"]})", Long(2)),
      "parse_error: field 'v': it has number 2 of 2 symbols");
  EXPECT_EQ(Value(Schema().String("v"), Logical("string", "uuid"), Text("not checked")),
            "\"not checked\"");
  EXPECT_EQ(
      Value(Schema().String("v"), R"({"type":"fixed","name":"f","size":16,"logicalType":"uuid"})",
            "\x55\x0e\x84\x00\xe2\x9b\x41\xd4\xa7\x16\x44\x66\x55\x44\x00\x00"s),
      "\"550e8400-e29b-41d4-a716-446655440000\"");
  EXPECT_EQ(Value(Schema().String("v"), "\"long\"", Long(-7)), "\"-7\"");
  EXPECT_EQ(Value(Schema().String("v"), "\"boolean\"", "\x01"), "\"true\"");
  EXPECT_EQ(Value(Schema().String("v"), "\"double\"", AvroBytes().Double(NAN).str()), "\"NaN\"");
  EXPECT_EQ(Value(Schema().String("v"), Logical("int", "date"), Long(20090)), "\"2025-01-02\"");
}

TEST(AvroDecoderTest, Times) {
  const Schema time = Schema().Timestamp("v");
  constexpr int64_t kMillis = 1735812922123;
  constexpr const char* kExpected = "\"2025-01-02T10:15:22.123Z\"";
  EXPECT_EQ(Value(time, Logical("long", "timestamp-millis"), Long(kMillis)), kExpected);
  EXPECT_EQ(Value(time, Logical("long", "timestamp-micros"), Long(kMillis * 1000)), kExpected);
  EXPECT_EQ(Value(time, Logical("long", "timestamp-nanos"), Long(kMillis * 1'000'000 + 999)),
            kExpected);
  EXPECT_EQ(Value(time, Logical("long", "timestamp-nanos"), Long(-1)),
            "\"1969-12-31T23:59:59.999999Z\"");
  EXPECT_EQ(Value(time, Logical("long", "local-timestamp-millis"), Long(kMillis)), kExpected);
  EXPECT_EQ(Value(Schema().Timestamp("v").Zone("Europe/Berlin"),
                  Logical("long", "local-timestamp-micros"), Long((kMillis + 3'600'000) * 1000)),
            kExpected);
  EXPECT_EQ(Value(Schema().Timestamp("v").Zone("Europe/Berlin"),
                  Logical("long", "timestamp-millis"), Long(kMillis)),
            kExpected);
  EXPECT_EQ(Value(time, Logical("long", "timestamp-millis"), Long(INT64_MAX)),
            "out_of_range: field 'v': 9223372036854775807 does not fit timestamp");
  EXPECT_EQ(Value(Schema().Timestamp("v").EpochSeconds(), "\"int\"", Long(kMillis / 1000)),
            "\"2025-01-02T10:15:22Z\"");
  EXPECT_EQ(Value(Schema().Timestamp("v").EpochMillis(), "\"long\"", Long(kMillis)), kExpected);
  EXPECT_EQ(Value(Schema().Timestamp("v").EpochSeconds(), "\"long\"", Long(INT64_MAX)),
            "out_of_range: field 'v': 9223372036854775807 does not fit timestamp");
  EXPECT_EQ(Value(time, "\"string\"", Text("2025-01-02T10:15:22.123Z")), kExpected);
  EXPECT_EQ(Value(Schema().Timestamp("v").Zone("Europe/Berlin"), "\"string\"",
                  Text("2025-01-02 11:15:22.123")),
            kExpected);
  EXPECT_EQ(Value(time, "\"string\"", Text("soon\n")),
            "wrong_type: field 'v': \"soon\\x0a\" is no timestamp");
  EXPECT_EQ(Value(Schema().Date("v"), Logical("int", "date"), Long(-1)), "\"1969-12-31\"");
  EXPECT_EQ(Value(Schema().Date("v"), "\"string\"", Text("2025-01-02")), "\"2025-01-02\"");
  EXPECT_EQ(Value(Schema().Date("v"), "\"string\"", Text("2025-13-02")),
            "wrong_type: field 'v': \"2025-13-02\" is no date");
  // Their numbers, for those who want them.
  EXPECT_EQ(Value(Schema().Int32("v"), Logical("int", "time-millis"), Long(1000)), "1000");
  EXPECT_EQ(Value(Schema().Int64("v"), Logical("long", "timestamp-millis"), Long(5)), "5");
}

TEST(AvroDecoderTest, Unions) {
  const std::string general = R"(["null","int","string",{"type":"array","items":"int"}])";
  const Schema number = Schema().Int64("v");
  EXPECT_EQ(Value(number, general, AvroBytes().Long(0).str()), "null");
  EXPECT_EQ(Value(number, general, AvroBytes().Long(1).Long(5).str()), "5");
  EXPECT_EQ(Value(number, general, AvroBytes().Long(2).Text("x").str()),
            "wrong_type: field 'v': string does not go into a column of type int64");
  EXPECT_EQ(Value(number, general, AvroBytes().Long(4).str()),
            "parse_error: field 'v': it has number 4 of 4 branches");
  EXPECT_EQ(Value(number, general, AvroBytes().Long(-1).str()),
            "parse_error: field 'v': it has number -1 of 4 branches");
  EXPECT_EQ(Value(Schema().String("v"), general, AvroBytes().Long(1).Long(5).str()), "\"5\"");
  EXPECT_EQ(Value(Schema().String("v"), general,
                  AvroBytes().Long(3).Long(2).Long(5).Long(6).Long(0).str()),
            "\"[5,6]\"");
  EXPECT_EQ(Value(number, R"(["int","null"])", AvroBytes().Long(0).Long(5).str()), "5");
  EXPECT_EQ(Value(number, R"(["int","null"])", AvroBytes().Long(1).str()), "null");
  EXPECT_EQ(Value(number, R"(["int","null"])", AvroBytes().Long(2).str()),
            "parse_error: field 'v': it has number 2 of 2 branches");
  EXPECT_EQ(Value(number, R"(["int"])", AvroBytes().Long(0).Long(5).str()), "5");
  EXPECT_EQ(Value(number, "\"null\"", ""), "null");
}

TEST(AvroDecoderTest, NestedRecordsArraysAndMaps) {
  const std::string change = RecordSchema(
      R"({"name":"op","type":"string"},
         {"name":"before","type":["null",{"type":"record","name":"Row","fields":[
            {"name":"id","type":"long"},{"name":"tags","type":{"type":"array","items":"string"}},
            {"name":"more","type":{"type":"map","values":["null","double"]}}]}]},
         {"name":"after","type":["null","Row"]})");
  const Schema columns = Schema()
                             .Int64("id")
                             .At("/after/id")
                             .String("tags")
                             .At("/after/tags")
                             .String("more")
                             .At("/after/more")
                             .String("whole")
                             .At("/after")
                             .Int64("old_id")
                             .At("/before/id")
                             .String("op");
  const std::string row = AvroBytes()
                              .Long(9)
                              .Long(-2)
                              .Long(99)
                              .Text("a")
                              .Text("b\"")
                              .Long(0)
                              .Long(1)
                              .Text("k")
                              .Long(1)
                              .Double(0.5)
                              .Long(1)
                              .Text("l")
                              .Long(0)
                              .Long(0)
                              .str();
  // A block of negative count says its bytes first, here those of "a" and "b\"".
  std::string block = AvroBytes()
                          .Long(9)
                          .Long(-2)
                          .Long(5)
                          .Text("a")
                          .Text("b\"")
                          .Long(0)
                          .Long(1)
                          .Text("k")
                          .Long(1)
                          .Double(0.5)
                          .Long(1)
                          .Text("l")
                          .Long(0)
                          .Long(0)
                          .str();
  EXPECT_EQ(DecodeText(Raw(columns, change),
                       {AvroBytes().Text("c").Long(0).Long(1).Raw(block).str(),
                        AvroBytes().Text("d").Long(1).Raw(block).Long(0).str(),
                        AvroBytes().Text("u").Long(1).Raw(block).Long(1).Raw(block).str()}),
            R"([9,"[\"a\",\"b\\\"\"]","{\"k\":0.5,\"l\":null}",)"
            R"("{\"id\":9,\"tags\":[\"a\",\"b\\\"\"],\"more\":{\"k\":0.5,\"l\":null}}",null,"c"])"
            "\n"
            "[null,null,null,null,9,\"d\"]\n"
            R"([9,"[\"a\",\"b\\\"\"]","{\"k\":0.5,\"l\":null}",)"
            R"("{\"id\":9,\"tags\":[\"a\",\"b\\\"\"],\"more\":{\"k\":0.5,\"l\":null}}",9,"u"])"
            "\n");
  // Bytes that a block says and has not.
  EXPECT_TRUE(DecodeText(Raw(Schema().String("op"), change),
                         {AvroBytes().Text("c").Long(0).Long(1).Raw(row).str()})
                  .starts_with("bad 0 parse_error: field 'after': a block declares 99 bytes"));
  EXPECT_EQ(Refusal(Raw(Schema().String("x").At("/after/tags/0"), change)),
            "field 'x': 'after.tags' is an array of string, and a path cannot go into one; take it "
            "as a string, which gives its JSON text");
  EXPECT_EQ(Refusal(Raw(Schema().Int64("x").At("/after/tags"), change)),
            "field 'x': array of string does not go into a column of type int64");
  EXPECT_EQ(Refusal(Raw(Schema().Int64("x").At("/after/idd"), change)),
            "field 'x': the Avro schema has no field 'after.idd'; did you mean 'id'?");
  EXPECT_EQ(Refusal(Raw(Schema().Int64("x").At("/op/id"), change)),
            "field 'x': the Avro schema has no field 'op.id'; did you mean 'op'?");
}

TEST(AvroDecoderTest, RecursiveRecordsAreReadAsDeepAsIsSaid) {
  const std::string list =
      RecordSchema(R"({"name":"v","type":"int"},{"name":"next","type":["null","r"]})");
  std::string chain(1, '\x02');
  for (int i = 0; i < 400; ++i) chain += "\x02\x02";
  chain += '\0';
  FormatSpec spec = Raw(Schema().Int64("v").Int64("third").At("/next/next/v"), list);
  EXPECT_EQ(DecodeText(spec, {chain, std::string("\x02\x02\x04\0", 4)}), "[1,1]\n[1,null]\n");
  spec.max_depth = 100;
  EXPECT_EQ(DecodeText(spec, {chain}),
            "bad 0 too_deep: field 'next.next.next': it is nested deeper than 100 levels\n");
  FormatSpec text = Raw(Schema().String("next"), list);
  EXPECT_TRUE(DecodeText(text, {chain}).starts_with("[\"{\\\"v\\\":1,\\\"next\\\":{"));
  text.max_depth = 100;
  EXPECT_EQ(DecodeText(text, {chain}),
            "bad 0 too_deep: field 'next': it is nested deeper than 100 levels\n");
}

TEST(AvroDecoderTest, BytesThatAreNoDatum) {
  const FormatSpec spec = Raw(OrderColumns(), kOrder);
  const std::string good = AvroBytes().Long(7).Long(0).Double(1.5).Text("2025-01-02").str();
  std::string ten(10, '\xff');
  EXPECT_EQ(
      DecodeText(spec, {good + "x", "", good.substr(0, 5), ten,
                        AvroBytes().Long(7).Long(0).Double(1).Long(1000).Raw("abc").str(),
                        AvroBytes().Long(7).Long(0).Double(1).Long(-1).Raw("abc").str(), good}),
      "[7,null,1.5,\"2025-01-02T00:00:00Z\"]\n"
      "bad 0 parse_error: the datum: 1 more bytes follow it\n"
      "bad 1 parse_error: field 'order_id': the datum ends in it\n"
      "bad 2 parse_error: field 'amount': the datum ends in it\n"
      "bad 3 parse_error: field 'order_id': a number in it has more than 64 bits\n"
      "bad 4 parse_error: field 'created_at': it takes 1000 bytes and 3 are left\n"
      "bad 5 parse_error: field 'created_at': it takes -1 bytes and 3 are left\n");
}

// A length or count of nearly 2^63 must not be believed: not for a moment.
TEST(AvroDecoderTest, DeclaredSizesAreNotBelieved) {
  const std::string schema = RecordSchema(
      R"({"name":"a","type":{"type":"array","items":"long"}},
         {"name":"b","type":{"type":"array","items":"null"}},
         {"name":"c","type":{"type":"array","items":"double"}},
         {"name":"d","type":{"type":"map","values":"null"}})");
  for (const Schema& columns : {Schema().String("a").String("b").String("c").String("d"),
                                Schema().String("_corrupt_record")}) {
    const std::string empty(1, '\0');
    for (int64_t count : {INT64_MAX, INT64_MIN, INT64_MIN + 1, int64_t{1} << 61, int64_t{-5}}) {
      std::vector<std::string> datums;
      for (size_t field : {0, 2, 3}) {
        std::string datum;
        for (size_t i = 0; i < field; ++i) datum += empty;
        datums.push_back(datum + Long(count));
        datums.push_back(datum + Long(count) + "\x02\x02\x02");
      }
      const std::string text = DecodeText(Raw(columns, schema), datums);
      EXPECT_EQ(std::ranges::count(text, '\n'), 6);
      EXPECT_TRUE(text.starts_with("bad 0 parse_error: ")) << text;
    }
  }
  // Items of no bytes: as many as one likes are skipped, few are taken.
  const std::string nulls = std::string(1, '\0') + Long(INT64_MAX) + std::string(3, '\0');
  EXPECT_EQ(DecodeText(Raw(Schema().String("a"), schema), {nulls}), "[\"[]\"]\n");
  EXPECT_EQ(DecodeText(Raw(Schema().String("b").String("a"), schema), {nulls}),
            "bad 0 too_large: field 'b': an array has more than 1024 items that take no bytes\n");
  EXPECT_EQ(DecodeText(Raw(Schema().String("b"), schema),
                       {std::string(1, '\0') + Long(3) + std::string(3, '\0')}),
            "[\"[null,null,null]\"]\n");
}

TEST(AvroDecoderTest, TextsOfJsonAreBounded) {
  const std::string schema = RecordSchema(
      R"({"name":"a","type":{"type":"array","items":{"type":"enum","name":"e","symbols":["a_long_symbol"]}}},
         {"name":"b","type":"int"})");
  FormatSpec spec = Raw(Schema().String("a").Int64("b"), schema);
  spec.max_record_bytes = 1000;
  const std::string datum = Long(900) + std::string(901, '\0') + Long(5);
  EXPECT_EQ(DecodeText(spec, {datum}),
            "bad 0 too_large: field 'a': its JSON text has more than 1000 bytes\n");
  EXPECT_EQ(DecodeText(spec, {datum}, true),
            "[null,5]\nbad 0 too_large: field 'a': its JSON text has more than 1000 bytes\n");
  EXPECT_EQ(DecodeText(spec, {std::string(1001, '\0')}),
            "bad 0 too_large: the record has 1001 bytes; the limit is 1000\n");
}

TEST(AvroDecoderTest, BadRowsAreKeptIfAsked) {
  const std::string schema = RecordSchema(
      R"({"name":"a","type":"long"},{"name":"b","type":"string"},{"name":"c","type":["null","int","string"]})");
  const Schema columns = Schema().Int32("a").String("b").Int64("c").String("_corrupt_record");
  const auto datum = [](int64_t a, std::string_view b) {
    return AvroBytes().Long(a).Text(b).str();
  };
  const std::vector<std::string> datums = {datum(1, "x") + "\x02\x04",
                                           datum(1LL << 40, "y") + "\x02\x04",
                                           datum(2, "\xff") + "\x02\x06",
                                           datum(3, "z") + "\x04\x02q",
                                           datum(4, "t"),
                                           datum(5, "last") + std::string(1, '\0')};
  EXPECT_EQ(DecodeText(Raw(columns, schema), datums, true),
            "[1,\"x\",2,null]\n"
            "[null,\"y\",2,\"\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD@\\u0002y\\u0002\\u0004\"]\n"
            "[2,null,3,\"\\u0004\\u0002\uFFFD\\u0002\\u0006\"]\n"
            "[3,\"z\",null,\"\\u0006\\u0002z\\u0004\\u0002q\"]\n"
            "[null,null,null,\"\\b\\u0002t\"]\n"
            "[5,\"last\",null,null]\n"
            "bad 1 out_of_range: field 'a': 1099511627776 does not fit int32\n"
            "bad 2 invalid_utf8: field 'b': \"\\xff\" is not UTF-8\n"
            "bad 3 wrong_type: field 'c': string does not go into a column of type int64\n"
            "bad 4 parse_error: field 'c': the datum ends in it\n");
  EXPECT_EQ(DecodeText(Raw(columns, schema), datums),
            "[1,\"x\",2,null]\n"
            "[5,\"last\",null,null]\n"
            "bad 1 out_of_range: field 'a': 1099511627776 does not fit int32\n"
            "bad 2 invalid_utf8: field 'b': \"\\xff\" is not UTF-8\n"
            "bad 3 wrong_type: field 'c': string does not go into a column of type int64\n"
            "bad 4 parse_error: field 'c': the datum ends in it\n");
}

TEST(AvroDecoderTest, TombstonesAndHiddenColumns) {
  Schema columns = Schema().Int64("a");
  for (const Field& field : KafkaColumns()) columns.Add(field);
  const auto decoder = MakeDecoder(Raw(columns, RecordSchema(R"({"name":"a","type":"long"})")));
  ASSERT_TRUE(decoder.ok()) << decoder.status();
  TestRecords records({Long(1), Long(2), Long(3)}, true);
  records.records().topic = "t";
  records.records().records[1].has_value = false;
  std::vector<BadRecord> bad;
  EXPECT_EQ(tidemark::Text((*decoder)->Decode(records.records(), false, &bad), bad),
            "[1,null,\"t\",0,0,null,\"{}\"]\n[3,null,\"t\",0,2,null,\"{}\"]\n"
            "bad 1 null_value: the record has no value\n");
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_EQ(bad[0].reason, BadReason::kNullValue);
  bad.clear();
  EXPECT_EQ(tidemark::Text((*decoder)->Decode(records.records(), true, &bad), {}),
            "[1,null,\"t\",0,0,null,\"{}\"]\n[null,null,\"t\",0,1,null,\"{}\"]\n"
            "[3,null,\"t\",0,2,null,\"{}\"]\n");
}

class CountingOwner : public RecordOwner {};

// A type of a field, a column for it, and its values.
struct FieldOfBlock {
  const char* type;
  void (*add_column)(const std::string& name, Schema* columns);
  std::string (*draw)(std::mt19937_64* random);
};

int64_t DrawLong(std::mt19937_64* random) {
  return static_cast<int64_t>((*random)()) >> ((*random)() % 64);
}
std::string DrawInt(std::mt19937_64* random) {
  return Long(static_cast<int64_t>((*random)()) >> (32 + (*random)() % 32));
}
// Of few or many bytes, ASCII or not; now and then no UTF-8.
std::string DrawText(std::mt19937_64* random) {
  std::string text((*random)() % ((*random)() % 8 == 0 ? 200 : 40), 'a');
  if (!text.empty() && (*random)() % 4 == 0) text.replace((*random)() % text.size(), 1, "\u00e9");
  if (!text.empty() && (*random)() % 200 == 0) text[(*random)() % text.size()] = '\xff';
  return Text(text);
}

const FieldOfBlock kFieldsOfBlocks[] = {
    {"\"boolean\"", [](auto& name, Schema* columns) { columns->Bool(name); },
     [](auto* random) { return std::string(1, static_cast<char>((*random)() % 2)); }},
    {"\"int\"", [](auto& name, Schema* columns) { columns->Int32(name); }, DrawInt},
    {"\"int\"", [](auto& name, Schema* columns) { columns->Int64(name); }, DrawInt},
    {"\"long\"", [](auto& name, Schema* columns) { columns->Int64(name); },
     [](auto* random) { return Long(DrawLong(random)); }},
    {"\"long\"", [](auto& name, Schema* columns) { columns->Int32(name); },
     [](auto* random) { return Long(DrawLong(random) >> (20 + (*random)() % 44)); }},
    {"\"long\"", [](auto& name, Schema* columns) { columns->Timestamp(name).EpochMillis(); },
     [](auto* random) { return Long(DrawLong(random) >> 8); }},
    {"\"long\"", [](auto& name, Schema* columns) { columns->Timestamp(name).EpochMicros(); },
     [](auto* random) { return Long(DrawLong(random) >> 8); }},
    {R"({"type":"long","logicalType":"timestamp-millis"})",
     [](auto& name, Schema* columns) { columns->Timestamp(name); },
     [](auto* random) { return Long(DrawLong(random) >> 8); }},
    {R"({"type":"long","logicalType":"timestamp-micros"})",
     [](auto& name, Schema* columns) { columns->Timestamp(name); },
     [](auto* random) { return Long(DrawLong(random) >> 8); }},
    {R"({"type":"int","logicalType":"date"})",
     [](auto& name, Schema* columns) { columns->Date(name); },
     [](auto* random) { return Long(static_cast<int64_t>((*random)() % 60'000) - 30'000); }},
    {"\"float\"", [](auto& name, Schema* columns) { columns->Double(name); },
     [](auto* random) { return AvroBytes().Float(static_cast<float>(DrawLong(random))).str(); }},
    {"\"double\"", [](auto& name, Schema* columns) { columns->Double(name); },
     [](auto* random) { return AvroBytes().Double(static_cast<double>(DrawLong(random))).str(); }},
    {"\"string\"", [](auto& name, Schema* columns) { columns->String(name); }, DrawText},
    {"\"bytes\"", [](auto& name, Schema* columns) { columns->Bytes(name); }, DrawText},
    {R"({"type":"array","items":"int"})",
     [](auto& name, Schema* columns) { columns->String(name); },
     [](auto* random) { return Long(1) + DrawInt(random) + Long(0); }},
};

// A schema of some of them, many a union with null.
struct RandomRecord {
  std::string schema;
  Schema columns;
  std::vector<std::pair<const FieldOfBlock*, int>> fields;  // and null's branch, or none: -1

  explicit RandomRecord(std::mt19937_64* random) {
    std::string members;
    columns.String("_corrupt_record");
    for (uint64_t i = 0, n = 1 + (*random)() % 9; i < n; ++i) {
      const std::string name = fmt::format("f{}", i);
      const FieldOfBlock& field = kFieldsOfBlocks[(*random)() % std::size(kFieldsOfBlocks)];
      const int null = static_cast<int>((*random)() % 4) - 1;
      fields.emplace_back(&field, null < 2 ? null : -1);
      const std::string type = fields.back().second == 0 ? fmt::format("[\"null\",{}]", field.type)
                               : fields.back().second == 1
                                   ? fmt::format("[{},\"null\"]", field.type)
                                   : field.type;
      members += fmt::format(R"({}{{"name":"{}","type":{}}})", i > 0 ? "," : "", name, type);
      if ((*random)() % 3 != 0) field.add_column(name, &columns);
    }
    schema = RecordSchema(members);
  }

  std::string Draw(std::mt19937_64* random) const {
    std::string datum;
    for (const auto& [field, null] : fields) {
      const bool is_null = null >= 0 && (*random)() % 3 == 0;
      if (null >= 0) datum += Long(is_null ? null : 1 - null);
      if (!is_null) datum += field->draw(random);
    }
    return datum;
  }
};

// Records that lie padded are read side by side: one that is bad, or has another schema, or no
// value, or no padding, must not change what the others give.
TEST(AvroDecoderTest, RecordsSideBySideAreReadAsByThemselves) {
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 400; ++round) {
    const RandomRecord record(&random);
    const FormatSpec spec = Framing(record.columns, {{1, record.schema}, {2, record.schema}});
    const uint64_t oddness = std::array{0, 3, 30, 1000}[random() % 4];
    const auto is_odd = [&] { return oddness != 0 && random() % oddness == 0; };
    std::vector<std::string> values;
    for (uint64_t n = random() % 400; n > 0; --n) {
      std::string datum = record.Draw(&random);
      if (is_odd()) datum.resize(random() % (datum.size() + 2), '\x80');
      if (is_odd() && !datum.empty()) datum[random() % datum.size()] = static_cast<char>(random());
      values.push_back(Framed(is_odd() ? 2 : 1, datum));
      if (is_odd()) values.back().resize(random() % 8);
    }
    TestRecords alone(values, false);
    TestRecords beside(values, true);
    if (random() % 2 == 0) beside.records().owner = std::make_shared<CountingOwner>();
    for (size_t i = 0; i < values.size(); ++i) {
      if (is_odd()) beside.records().records[i].padded = false;
      const bool has_value = !is_odd();
      alone.records().records[i].has_value = has_value;
      beside.records().records[i].has_value = has_value;
    }
    const auto decoder = MakeDecoder(spec);
    ASSERT_TRUE(decoder.ok()) << decoder.status();
    const bool keeps = random() % 2 == 0;
    std::string texts[2];
    for (bool is_beside : {false, true}) {
      std::vector<BadRecord> bad;
      const RowBatch batch =
          (*decoder)->Decode((is_beside ? beside : alone).records(), keeps, &bad);
      texts[is_beside] = Text(batch, bad);
    }
    ASSERT_EQ(texts[0], texts[1]) << record.schema;
  }
}

TEST(AvroDecoderTest, TextStaysInTheRecordsOnlyIfTheyAreOwned) {
  const auto decoder =
      MakeDecoder(Raw(Schema().String("a"), RecordSchema(R"({"name":"a","type":"string"})")));
  for (bool owned : {false, true}) {
    TestRecords records({Text("hello")}, true);
    std::weak_ptr<const RecordOwner> watched;
    if (owned) {
      records.records().owner = std::make_shared<CountingOwner>();
      watched = records.records().owner;
    }
    std::vector<BadRecord> bad;
    const RowBatch batch = (*decoder)->Decode(records.records(), false, &bad);
    const std::string_view value = records.records().records[0].value;
    EXPECT_EQ(batch.column(0).text(0).data() == value.data() + 1, owned);
    records.records().owner = nullptr;
    EXPECT_EQ(watched.expired(), !owned);  // the batch keeps it
  }
}

TEST(AvroDecoderTest, OptionsThatDoNotFitAreRefused) {
  const Schema a = Schema().Int64("a");
  const std::string schema = RecordSchema(R"({"name":"a","type":"long"})");
  EXPECT_EQ(Refusal(Raw(a, "")),
            "raw Avro datums can be read only with the schema that they were written with; give "
            "the writer's schema");
  EXPECT_EQ(Refusal(Avro(a, {.writer_schema = schema, .schemas_by_id = {{1, schema}}})),
            "raw Avro datums name no schema ids, but schemas by id are given; say that the framing "
            "is Confluent's, or give only the writer's schema");
  EXPECT_EQ(
      Refusal(Framing(a, {})),
      "Avro records with Confluent framing name their schemas by id; give a schema registry's "
      "URL, a folder with <id>.avsc files, or the schemas by id");
  EXPECT_EQ(Refusal(Framing(a, {{7, "{}"}})),
            "schema 7: this is no Avro schema: an object in it has no \"type\"");
  EXPECT_EQ(Refusal(Raw(a, "\"long\"")),
            "the Avro schema is no record but long; columns are the fields of a record");
  EXPECT_TRUE(Refusal(Raw(a, "no")).starts_with("writer's schema: this is no Avro schema: "));
  EXPECT_TRUE(Refusal(Raw(a, schema, "no")).starts_with("reader's schema: this is no Avro schema"));
  EXPECT_EQ(Refusal(Avro(a, {.framing = AvroFraming::kConfluent, .registry_url = "registry:8081"})),
            "the schema registry's URL must begin with http:// or https://, as "
            "http://registry:8081");
  FormatSpec spec = Raw(a, schema);
  spec.max_depth = 5000;
  EXPECT_EQ(Refusal(spec), "max_depth is 5000; for Avro it must be 1 to 1024");
  spec = Raw(a, schema);
  spec.avro = nullptr;
  EXPECT_EQ(Refusal(spec), "the format 'avro' has no options; make it with Avro(...)");
  EXPECT_TRUE(Refusal(Raw(Schema().Timestamp("a").Zone("Mars/Base"), schema)).find("Mars/Base") !=
              std::string::npos);
  EXPECT_EQ(Refusal(Raw(Schema().Int64("_corrupt_record"), schema)),
            "the column '_corrupt_record' must be a string, not int64");
}

// Unions of records that all have the field, inside each other, double the program each time.
TEST(AvroDecoderTest, AProgramThatGrowsTooLargeIsRefused) {
  std::string type = "\"long\"";
  std::string path;
  for (int i = 0; i < 20; ++i) {
    type = fmt::format(R"([{{"type":"record","name":"a{0}","fields":[{{"name":"x","type":{1}}}]}},)"
                       R"({{"type":"record","name":"b{0}","fields":[{{"name":"x","type":{2}}}]}}])",
                       i, type, i == 0 ? "\"long\"" : fmt::format("[\"a{0}\",\"b{0}\"]", i - 1));
    path += "/x";
  }
  EXPECT_EQ(Refusal(Raw(Schema().Int64("x").At(path + "/x"),
                        RecordSchema(fmt::format(R"({{"name":"x","type":{}}})", type)))),
            "the Avro schema is too large: unions inside unions make more than 100000 steps of it");
}

TEST(AvroDecoderTest, Resolution) {
  const auto resolved = [](const Schema& columns, const std::string& writer,
                           const std::string& reader, const std::string& datum) {
    return DecodeText(Raw(columns, RecordSchema(writer), RecordSchema(reader)), {datum});
  };
  // Order, a field gone, an alias, defaults, promotions.
  EXPECT_EQ(resolved(Schema().Double("n").String("s").Int64("d").String("e").At("/q/x"),
                     R"({"name":"gone","type":"string"},{"name":"old","type":"bytes"},
                        {"name":"n","type":"int"})",
                     R"({"name":"n","type":"double"},
                        {"name":"s","type":"string","aliases":["old"]},
                        {"name":"d","type":"long","default":-9},
                        {"name":"q","type":{"type":"record","name":"q","fields":[
                            {"name":"x","type":["null","string"],"default":"dflt"}]},"default":{}})",
                     AvroBytes().Text("gone").Text("kept").Long(4).str()),
            "[4.0,\"kept\",-9,\"dflt\"]\n");
  // A default in the middle of nothing else: what follows is read from the datum again.
  EXPECT_EQ(resolved(Schema().String("a").Int64("b").String("c"),
                     R"({"name":"q","type":{"type":"record","name":"q","fields":[
                         {"name":"b","type":"long"}]}},{"name":"c","type":"string"})",
                     R"({"name":"q","type":{"type":"record","name":"q","fields":[
                         {"name":"b","type":"long"},{"name":"a","type":"string","default":"x"}]}},
                        {"name":"c","type":"string"},{"name":"a","type":"string","default":"top"},
                        {"name":"b","type":"int","default":3})",
                     AvroBytes().Long(8).Text("end").str()),
            "[\"top\",3,\"end\"]\n");
  EXPECT_EQ(resolved(Schema().String("q"),
                     R"({"name":"q","type":{"type":"record","name":"q","fields":[
                         {"name":"b","type":"long"},{"name":"z","type":"int"}]}})",
                     R"({"name":"q","type":{"type":"record","name":"p","aliases":["q"],"fields":[
                         {"name":"b","type":"double"},{"name":"a","type":"string","default":"x"}]}})",
                     AvroBytes().Long(8).Long(1).str()),
            R"(["{\"b\":8.0,\"a\":\"x\"}"])"
            "\n");
  // Enums: a symbol that the reader lacks becomes its default, or is bad.
  const std::string writer =
      R"({"name":"e","type":{"type":"enum","name":"e","symbols":["a","b"]}})";
  EXPECT_EQ(
      resolved(
          Schema().String("e"), writer,
          R"({"name":"e","type":{"type":"enum","name":"e","symbols":["b","c"],"default":"c"}})",
          Long(0)),
      "[\"c\"]\n");
  EXPECT_EQ(
      resolved(Schema().String("e"), writer,
               R"({"name":"e","type":{"type":"enum","name":"e","symbols":["b","c"]}})", Long(0)),
      "bad 0 wrong_type: field 'e': the reader has no symbol 'a'\n");
  EXPECT_EQ(
      resolved(Schema().String("e"), writer,
               R"({"name":"e","type":{"type":"enum","name":"e","symbols":["b","c"]}})", Long(1)),
      "[\"b\"]\n");
  // Unions on either side.
  EXPECT_EQ(resolved(Schema().Int64("u"), R"({"name":"u","type":"int"})",
                     R"({"name":"u","type":["null","long"]})", Long(5)),
            "[5]\n");
  EXPECT_EQ(resolved(Schema().Int64("u"), R"({"name":"u","type":["null","int"]})",
                     R"({"name":"u","type":"long"})", AvroBytes().Long(1).Long(5).str()),
            "[5]\n");
  EXPECT_EQ(resolved(Schema().Int64("u"), R"({"name":"u","type":["null","int"]})",
                     R"({"name":"u","type":"long"})", AvroBytes().Long(0).str()),
            "bad 0 wrong_type: field 'u': the writer's null cannot be read as the reader's long\n");
  // The writer's logical type says what the number means.
  EXPECT_EQ(resolved(Schema().Timestamp("t"),
                     R"({"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}})",
                     R"({"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}})",
                     Long(1000)),
            "[\"1970-01-01T00:00:01Z\"]\n");
  EXPECT_EQ(resolved(Schema().Timestamp("t"), R"({"name":"t","type":"long"})",
                     R"({"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}})",
                     Long(1000000)),
            "[\"1970-01-01T00:00:01Z\"]\n");
}

TEST(AvroDecoderTest, ResolutionThatFailsIsSaidAtOnce) {
  const auto refusal = [](const std::string& writer, const std::string& reader,
                          const Schema& columns = Schema().Int64("a")) {
    return Refusal(Raw(columns, RecordSchema(writer), RecordSchema(reader)));
  };
  const std::string a = R"({"name":"a","type":"long"})";
  EXPECT_EQ(refusal(a, a + R"(,{"name":"b","type":"int"})"),
            "the writer's record r lacks the field 'b', which has no default");
  EXPECT_EQ(refusal(a, a + R"(,{"name":"b","type":"int","default":"x"})"),
            "the writer's record r lacks the field 'b', its default \"x\" is no int");
  EXPECT_EQ(refusal(a, R"({"name":"a","type":"int"})"),
            "field 'a': the writer's long cannot be read as the reader's int");
  EXPECT_EQ(refusal(a, a, Schema().Int64("b")),
            "field 'b': the Avro schema has no field 'b'; did you mean 'a'?");
  EXPECT_EQ(refusal(a, R"({"name":"a","type":"double"})"),
            "field 'a': double does not go into a column of type int64");
  EXPECT_EQ(Refusal(Raw(Schema().Int64("a"), RecordSchema(a),
                        R"({"type":"record","name":"s","fields":[{"name":"a","type":"long"}]})")),
            "the writer's record r cannot be read as the reader's record s");
  EXPECT_EQ(
      Refusal(Raw(
          Schema().Int64("a"), RecordSchema(a),
          R"({"type":"record","name":"s","aliases":["r"],"fields":[{"name":"a","type":"long"}]})")),
      "");
}

TEST(AvroDecoderTest, EachFramedSchemaIsResolvedByItself) {
  const FormatSpec spec = Framing(
      Schema().Int64("a").String("b"),
      {{1, RecordSchema(R"({"name":"a","type":"int"})")},
       {2, RecordSchema(R"({"name":"a","type":"string"})")},
       {3, RecordSchema(R"({"name":"b","type":"string"},{"name":"a","type":"long"})")},
       {4, "\"int\""}},
      RecordSchema(R"({"name":"a","type":"long"},{"name":"b","type":"string","default":"-"})"));
  EXPECT_EQ(
      DecodeText(spec, {Framed(1, Long(5)), Framed(2, Text("x")), Framed(3, Text("y") + Long(6)),
                        Framed(2, Text("x")), Framed(4, Long(1)), Framed(1, Long(7))}),
      "[5,\"-\"]\n[6,\"y\"]\n[7,\"-\"]\n"
      "bad 1 wrong_type: schema 2: field 'a': the writer's string cannot be read as the reader's "
      "long\n"
      "bad 3 wrong_type: schema 2: field 'a': the writer's string cannot be read as the reader's "
      "long\n"
      "bad 4 wrong_type: schema 4: the writer's int cannot be read as the reader's record r\n");
}

TEST(AvroDecoderTest, MutatedDatumsNeverHarm) {
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const std::string schema = RecordSchema(
      R"({"name":"a","type":"long"},{"name":"b","type":["null","string"]},
         {"name":"c","type":{"type":"array","items":{"type":"map","values":["null","r","bytes"]}}},
         {"name":"d","type":{"type":"fixed","name":"f","size":5,"logicalType":"decimal",
          "precision":11,"scale":2}},{"name":"e","type":{"type":"enum","name":"e",
          "symbols":["x","y"]}},{"name":"g","type":["null","r"]},{"name":"h","type":"float"},
         {"name":"i","type":{"type":"int","logicalType":"date"}},{"name":"j","type":"boolean"})");
  const Schema columns = Schema()
                             .Int32("a")
                             .String("b")
                             .String("c")
                             .Decimal("d", 8, 1)
                             .String("e")
                             .String("g")
                             .Double("h")
                             .Date("i")
                             .Bool("j")
                             .String("deep")
                             .At("/g/c");
  const std::string inner = AvroBytes()
                                .Long(5)
                                .Long(0)
                                .Long(0)
                                .Raw("12345")
                                .Long(1)
                                .Long(0)
                                .Float(1)
                                .Long(3)
                                .Raw("\x01")
                                .str();
  const std::string good = AvroBytes()
                               .Long(-70000)
                               .Long(1)
                               .Text("some text that is not too short")
                               .Long(1)
                               .Long(2)
                               .Text("k")
                               .Long(1)
                               .Raw(inner)
                               .Text("l")
                               .Long(2)
                               .Text("bytes")
                               .Long(0)
                               .Long(0)
                               .Raw("\x00\x00\x00\x04\xd2"s)
                               .Long(0)
                               .Long(1)
                               .Raw(inner)
                               .Float(2)
                               .Long(20000)
                               .Raw("\x01")
                               .str();
  ASSERT_TRUE(DecodeText(Raw(columns, schema), {good}).starts_with("[-70000,"));
  for (int round = 0; round < 400; ++round) {
    std::vector<std::string> datums;
    for (int i = 0; i < 50; ++i) {
      std::string datum = good;
      for (uint64_t n = 1 + random() % 4; n > 0; --n) {
        const size_t at = random() % datum.size();
        switch (random() % 4) {
          case 0:
            datum[at] = static_cast<char>(random());
            break;
          case 1:
            datum.erase(at, 1 + random() % 8);
            break;
          case 2:
            datum.insert(at, Long(static_cast<int64_t>(random()) >> (random() % 64)));
            break;
          default:
            datum[at] = static_cast<char>(datum[at] ^ (1 << (random() % 8)));
        }
        if (datum.empty()) datum.push_back('x');
      }
      datums.push_back(std::move(datum));
    }
    // DecodeText checks that each record is a row or is listed, and that padding changes nothing.
    DecodeText(Raw(columns, schema), datums, round % 2 == 0);
  }
}

}  // namespace
}  // namespace tidemark
