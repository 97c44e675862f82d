#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Schema AB() { return Schema().Int64("a").String("b"); }

// The reason for which one document is bad, or empty.
std::string Reason(const std::string& document) {
  const std::string text = DecodeText(AB(), {document});
  if (!text.starts_with("bad 0 ")) return "";
  return text.substr(6, text.find(':') - 6);
}

std::string Nested(size_t depth, const std::string& innermost) {
  // The object itself is the first level.
  return fmt::format("{{\"x\":{}{}{}}}", std::string(depth - 1, '['), innermost,
                     std::string(depth - 1, ']'));
}

std::string MakeError(const Schema& schema) {
  const auto decoder = MakeDecoder(Json(schema));
  if (decoder.ok()) return "";
  EXPECT_TRUE(absl::IsInvalidArgument(decoder.status())) << decoder.status();
  return std::string(decoder.status().message());
}

TEST(JsonDecoderTest, OneObjectARecord) {
  EXPECT_EQ(DecodeText(AB(), {R"({"a":1,"b":"x"})", R"( { "b" : "y" , "a" : 2 } )", "{}",
                              "\t\r\n{\"c\":[{\"a\":7}],\"b\":null}\n"}),
            "[1,\"x\"]\n[2,\"y\"]\n[null,null]\n[null,null]\n");
  EXPECT_EQ(DecodeText(AB(), {}), "");
}

TEST(JsonDecoderTest, BrokenDocuments) {
  for (const char* broken : {"",
                             " ",
                             "\n\t ",
                             "{",
                             "}",
                             "{\"a\"",
                             "{\"a\":",
                             "{\"a\":1",
                             "{\"a\":1,",
                             "{\"a\":1,}",
                             "{,}",
                             "{\"a\" 1}",
                             "{\"a\":1 \"b\":2}",
                             "{a:1}",
                             "{'a':1}",
                             "{\"a\":1}}",
                             "{\"a\":1}{\"a\":2}",
                             "{\"a\":1} x",
                             "{\"a\":1},",
                             "{\"a\":01}",
                             "{\"a\":+1}",
                             "{\"a\":1.}",
                             "{\"a\":.5}",
                             "{\"a\":-}",
                             "{\"a\":1e}",
                             "{\"a\":1e+}",
                             "{\"a\":0x10}",
                             "{\"a\":1_000}",
                             "{\"a\":--1}",
                             "{\"a\":1-2}",
                             "{\"a\":tru}",
                             "{\"a\":TRUE}",
                             "{\"a\":truefalse}",
                             "{\"a\":nul}",
                             "{\"a\":NaN}",
                             "{\"a\":undefined}",
                             "{\"b\":\"x}",
                             "{\"b\":\"\n\"}",
                             "{\"b\":\"\t\"}",
                             "{\"b\":\"\\x\"}",
                             "{\"b\":\"\\u12\"}",
                             "{\"b\":\"\\u12g4\"}",
                             "{\"b\":\"\\\"}",
                             "{\"a\":[1,2}",
                             "{\"a\":[1,]}",
                             "{\"a\":[,1]}",
                             "{\"a\":[1 2]}",
                             "{\"a\":{]}",
                             "[",
                             "]",
                             "[1",
                             "[1}",
                             "{\"a\":1]",
                             "/**/{}",
                             "{}//",
                             "{\"a\":\\\"x\"}",
                             "{\"a\":1\"b\":2}",
                             "{\"a\":12x}",
                             "{\"a\":1true}",
                             "{1:2}",
                             "{null:2}",
                             "{\"a\"::1}",
                             "{\"a\":1,,\"b\":2}",
                             "12 13",
                             "\"x",
                             "tru",
                             "nullx",
                             "{\"b\":\"x\"y}",
                             "{\"b\":\"x\"1}",
                             "{\"b\":\"x\"\"y\"}",
                             "{\"b\"x:1}",
                             "{\"b\"\"c\":1}",
                             "{\"b\":x\"y\"}",
                             "{\"a\":1\"\"}",
                             "{\"a\":true\"\"}",
                             "{\"a\":true\\}",
                             "{\"a\":\x0b"
                             "1}",
                             "{\"a\":1\x0b}",
                             "{\"b\":\"x\"\\}",
                             "\"x\"y",
                             "{\"b\":\"x\"\\\"y\"}"}) {
    EXPECT_EQ(Reason(broken), "parse_error") << broken;
  }
  EXPECT_EQ(Reason(std::string("{\"a\":1}\0", 8)), "parse_error");
  EXPECT_EQ(Reason(std::string("{\"b\":\"\0\"}", 9)), "parse_error");
  EXPECT_EQ(Reason(std::string("\0", 1)), "parse_error");
}

TEST(JsonDecoderTest, AByteOrderMarkIsAParseError) {
  EXPECT_EQ(DecodeText(AB(), {"\xEF\xBB\xBF{\"a\":1}"}),
            "bad 0 parse_error: the document begins with a byte order mark\n");
  EXPECT_EQ(Reason("\xEF\xBB\xBF"), "parse_error");
}

TEST(JsonDecoderTest, LoneSurrogatesAreParseErrorsEverywhere) {
  for (const char* lone : {R"(\ud800)", R"(\udc00)", R"(\ud800\u0041)", R"(\ud800x)",
                           R"(\udbff\ud800)", R"(\ud800\n)", R"(\udfff\ud800)", R"(x\uDC00)"}) {
    EXPECT_EQ(Reason(std::string("{\"b\":\"") + std::string(lone) + "\"}"), "parse_error") << lone;
    EXPECT_EQ(Reason(std::string("{\"other\":\"") + std::string(lone) + "\"}"), "parse_error")
        << lone;
    EXPECT_EQ(Reason(std::string("{\"") + std::string(lone) + "\":1}"), "parse_error") << lone;
    EXPECT_EQ(Reason(std::string("{\"x\":[[\"") + std::string(lone) + "\"]]}"), "parse_error")
        << lone;
  }
}

TEST(JsonDecoderTest, InvalidUtf8InKeysAndValues) {
  for (const char* invalid : {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                              "\xE2\x82", "\x80", "\xF8\x88\x80\x80\x80"}) {
    EXPECT_EQ(Reason(std::string("{\"b\":\"") + std::string(invalid) + "\"}"), "invalid_utf8");
    EXPECT_EQ(Reason(std::string("{\"") + std::string(invalid) + "\":1}"), "invalid_utf8");
    EXPECT_EQ(Reason(std::string("{\"other\":[\"") + std::string(invalid) + "\"]}"),
              "invalid_utf8");
  }
  EXPECT_EQ(Reason("{\"b\":\"\xF0\x9F\x98\x80\"}"), "");
}

TEST(JsonDecoderTest, NotAnObject) {
  for (const char* other : {"1", "-1.5e3", "1e400", "123456789012345678901234567890", "\"x\"",
                            "true", "false", "null", "[]", "[{\"a\":1}]", " [1] ", " 12 "}) {
    EXPECT_EQ(Reason(other), "not_an_object") << other;
  }
}

TEST(JsonDecoderTest, NestingUpToTheLimit) {
  for (const char* innermost : {"", "1", "{}", "\"]\""}) {
    const size_t own = std::string(innermost) == "{}" ? 1 : 0;
    EXPECT_EQ(Reason(Nested(1024 - own, innermost)), "") << innermost;
    EXPECT_EQ(Reason(Nested(1025 - own, innermost)), "too_deep") << innermost;
  }
  EXPECT_EQ(Reason(Nested(5000, "")), "too_deep");
  EXPECT_EQ(Reason(Nested(100'000, "1")), "too_deep");
  EXPECT_EQ(Reason(std::string(5000, '[')), "parse_error");
  std::string objects;
  for (int i = 0; i < 1024; ++i) objects += "{\"a\":";
  EXPECT_EQ(Reason(objects + "1" + std::string(1024, '}')), "wrong_type");
  EXPECT_EQ(Reason(objects + "{}" + std::string(1024, '}')), "too_deep");

  FormatSpec spec = Json(AB());
  spec.max_depth = 2;
  EXPECT_EQ(DecodeText(spec, {"{\"b\":[]}", "{\"b\":{}}", "{\"b\":[1]}", "{\"b\":[[]]}",
                              "{\"b\":[{}]}", "{\"c\":[{\"a\":1}]}"}),
            "[null,\"[]\"]\n[null,\"{}\"]\n[null,\"[1]\"]\n"
            "bad 3 too_deep: the document is nested too deep\n"
            "bad 4 too_deep: the document is nested too deep\n"
            "bad 5 too_deep: the document is nested too deep\n");
  spec.max_depth = 1;
  EXPECT_EQ(DecodeText(spec, {"{\"a\":1}", "{}", "{\"b\":[]}"}),
            "[1,null]\n[null,null]\nbad 2 too_deep: the document is nested too deep\n");
}

TEST(JsonDecoderTest, RecordsUpToTheLimitOfBytes) {
  FormatSpec spec = Json(AB());
  spec.max_record_bytes = 20;
  EXPECT_EQ(DecodeText(spec, {"{\"a\":1}             ", "{\"a\":1}              ",
                              "{                    "}),
            "[1,null]\nbad 1 too_large: the record has 21 bytes; the limit is 20\n"
            "bad 2 too_large: the record has 21 bytes; the limit is 20\n");
}

TEST(JsonDecoderTest, LargeRecords) {
  const std::string large(20'000'000, 'x');
  EXPECT_EQ(Reason(std::string("{\"b\":\"") + large + "\"}"), "too_large");
  const std::string fits =
      std::string("{\"b\":\"") + large.substr(0, (size_t{16} << 20) - 14) + "\",\"a\":1}";
  ASSERT_EQ(fits.size(), size_t{16} << 20);
  const std::string text = DecodeText(AB(), {"{\"a\":1}", fits, "{\"a\":2}", fits + " "});
  EXPECT_THAT(text, StartsWith("[1,null]\n[1,\"xxx"));
  EXPECT_THAT(text.substr(text.size() - 100), HasSubstr("[2,null]\nbad 3 too_large"));
}

TEST(JsonDecoderTest, HugeNumbersHarmOnlyTheFieldThatWantsThem) {
  const std::string huge = std::string("1") + std::string(400, '0');
  EXPECT_EQ(DecodeText(AB(), {std::string("{\"x\":") + huge + ",\"a\":1}",
                              "{\"a\":1,\"x\":[{\"y\":-1e400}]}", "{\"a\":1e400}",
                              "{\"a\":99999999999999999999,\"x\":1e999}", "{\"b\":1e999}",
                              "{\"a\":2,\"x\":1e999,\"y\":\"1e\"}"}),
            "[1,null]\n[1,null]\n[null,\"1e999\"]\n[2,null]\n"
            "bad 2 wrong_type: field 'a': 1e400 is no int64\n"
            "bad 3 out_of_range: field 'a': 99999999999999999999 does not fit int64\n");
  for (const char* broken :
       {"{\"x\":1e400,\"a\":01}", "{\"x\":1e400,\"a\":1.}", "{\"x\":1e400", "{\"x\":1e400,}",
        "{\"x\":1e400x}", "{\"x\":1e400 1}", "{\"x\":1e400,\"b\":\"\\ud800\"}", "{\"x\":1e400e}",
        "{\"x\":1e400,\"y\":tru}", "{\"x\":1e400,\"y\\\":1}", "{\"x\":1e400,\\\"y\":1}",
        "{\"x\":00000000000000000000000000001}"}) {
    EXPECT_EQ(Reason(broken), "parse_error") << broken;
  }
  EXPECT_EQ(Reason(std::string("{\"x\":1e400,\"y\":\"\xFF\"}")), "invalid_utf8");
  EXPECT_EQ(Reason(Nested(1025, "1e400")), "too_deep");
  EXPECT_EQ(Reason(Nested(1024, "1e400")), "");
  EXPECT_EQ(Reason(std::string("{\"x\":1") + std::string(1'000'000, '0') + "}"), "");
}

TEST(JsonDecoderTest, TheLastOfSeveralMembersOfOneNameCounts) {
  EXPECT_EQ(
      DecodeText(AB(), {R"({"a":1,"b":"x","a":2,"b":"y"})", R"({"a":1,"a":null})",
                        R"({"a":"x","a":3})", R"({"\u0061":1,"a":4})", R"({"a":1,"\u0061":5})",
                        R"({"a":6,"x":{"a":7}})", R"({"a":1,"a":"x"})"}),
      "[2,\"y\"]\n[null,null]\n[3,null]\n[4,null]\n[5,null]\n[6,null]\n"
      "bad 6 wrong_type: field 'a': \"x\" is no int64\n");
}

TEST(JsonDecoderTest, Paths) {
  const Schema schema = Schema()
                            .Int64("id")
                            .At("/payload/after/id")
                            .String("op")
                            .At("/payload/op")
                            .Int64("version")
                            .At("/version")
                            .String("odd")
                            .At("/a~1b/c~0d/")
                            .Int64("second")
                            .At("/items/1/n")
                            .String("payload")
                            .At("/payload");
  EXPECT_EQ(
      DecodeText(schema,
                 {R"({"payload":{"op":"c","after":{"id":7,"x":[1]}},"version":3})",
                  R"({"items":[{"n":1},{"n":2},{"n":3}],"a/b":{"c~d":{"":"here"}}})",
                  R"({"items":{"1":{"n":4},"0":5},"a/b":{"c~d":{"x":"there"}}})",
                  R"({"payload":null,"items":[],"a/b":1})", R"({"payload":5,"items":[1,2]})",
                  R"({"payload":{"after":null,"op":null},"items":[[],{"n":8}]})",
                  R"({"payload":{"after":"x"},"items":[1]})", R"({"id":1,"op":"x","second":2})"}),
      "[7,\"c\",3,null,null,\"{\\\"op\\\":\\\"c\\\",\\\"after\\\":{\\\"id\\\":7,\\\"x\\\":[1]}}\"]"
      "\n"
      "[null,null,null,\"here\",2,null]\n"
      "[null,null,null,null,4,null]\n"
      "[null,null,null,null,null,null]\n"
      "[null,null,null,null,null,\"5\"]\n"
      "[null,null,null,null,8,\"{\\\"after\\\":null,\\\"op\\\":null}\"]\n"
      "[null,null,null,null,null,\"{\\\"after\\\":\\\"x\\\"}\"]\n"
      "[null,null,null,null,null,null]\n");
}

TEST(JsonDecoderTest, DuplicatesOnAPath) {
  const Schema schema = Schema().Int64("x").At("/p/x").Int64("y").At("/p/q/y");
  EXPECT_EQ(
      DecodeText(
          schema,
          {R"({"p":{"x":1,"q":{"y":2}},"p":{"x":3}})", R"({"p":{"x":1,"q":{"y":2}},"p":null})",
           R"({"p":{"x":1,"q":{"y":2},"q":{}}})", R"({"p":{"q":{"y":1,"y":2},"x":"bad","x":4}})",
           R"({"p":5,"p":{"x":6}})", R"({"p":{"x":1,"q":{"y":2}},"p":[{"x":9}]})"}),
      "[3,null]\n[null,null]\n[1,null]\n[4,2]\n[6,null]\n[null,null]\n");
}

TEST(JsonDecoderTest, NamesAreComparedInFull) {
  const std::string long_name = "a_very_long_name_that_differs_in_the_middle_only_1_and_has_an_end";
  const std::string other_name =
      "a_very_long_name_that_differs_in_the_middle_only_2_and_has_an_end";
  Schema schema;
  std::string document = "{";
  std::string expected = "[";
  for (const std::string& name :
       {std::string("a"), std::string("A"), std::string("b\\n"), std::string("12345678"),
        std::string("123456789"), std::string("1234567"), std::string("1234567890123456"),
        std::string("12345678901234567"), long_name, std::string("grüße"),
        std::string("with \"quotes\""), std::string("nul\0l", 5)}) {
    schema.Int64(name);
    expected += expected.size() > 1 ? ",1" : "1";
    if (document.size() > 1) document += ',';
    AppendJsonString(name, &document);
    document += ":1";
  }
  const std::string others =
      R"({"aa":2,"":2,"b\n":2,"12345679":2,"123456788":2,"1234567x90123456":2,"12345678x01234567":2,")" +
      other_name + R"(":2,"GRÜSSE":2,"nul":2,"nul\u0000":2,"with \\\"quotes\\\"":2})";
  std::string nulls = "[null";
  for (size_t i = 1; i < schema.size(); ++i) nulls += ",null";
  EXPECT_EQ(DecodeText(schema, {document + "}", others}), expected + "]\n" + nulls + "]\n");
}

TEST(JsonDecoderTest, ManyFieldsInAnyOrder) {
  constexpr int kFields = 500;
  Schema schema;
  std::string expected = "[";
  std::string forwards = "{";
  std::string backwards = "{";
  for (int i = 0; i < kFields; ++i) {
    const int back = kFields - 1 - i;
    const char* comma = i > 0 ? "," : "";
    schema.Int64(fmt::format("field_{}", i));
    expected += fmt::format("{}{}", comma, i);
    forwards += fmt::format("{}\"field_{}\":{}", comma, i, i);
    backwards += fmt::format("{}\"field_{}\" : {}", comma, back, back);
  }
  EXPECT_EQ(DecodeText(schema, {forwards + "}", backwards + "}"}),
            expected + "]\n" + expected + "]\n");
}

TEST(JsonDecoderTest, BadRecordsLeaveNoTraceInTheRowsAfterThem) {
  const Schema schema = Schema().String("s").Int64("n").Double("d");
  EXPECT_EQ(DecodeText(schema, {R"({"s":null,"d":null,"n":"x"})", R"({"s":"a","n":1,"d":1})",
                                R"({"s":"old","n":[]})", "{}", R"({"n":1.5})",
                                R"({"s":"b","n":2,"d":2})", "broken"}),
            "[\"a\",1,1.0]\n[null,null,null]\n[\"b\",2,2.0]\n"
            "bad 0 wrong_type: field 'n': \"x\" is no int64\n"
            "bad 2 wrong_type: field 'n': [] is no int64\n"
            "bad 4 wrong_type: field 'n': 1.5 is no int64\n"
            "bad 6 parse_error: the structure is broken: a comma, brace, name or value is missing "
            "or too many\n");
}

TEST(JsonDecoderTest, KeptBadRowsHaveNullsWhereNothingCouldBeRead) {
  const Schema schema = Schema().Int64("n").String("_corrupt_record").String("s").Int32("small");
  EXPECT_EQ(
      DecodeText(schema,
                 {R"({"n":1,"s":"good","small":1})", R"({"n":"x","s":"kept","small":99999999999})",
                  "bro\tken", "[1]", R"({"n":2,"_corrupt_record":"mine"})", "{\"s\":\"\xFF\"}"},
                 /*keep_bad_rows=*/true),
      "[1,null,\"good\",1]\n"
      "[null,\"{\\\"n\\\":\\\"x\\\",\\\"s\\\":\\\"kept\\\",\\\"small\\\":99999999999}\",\"kept\","
      "null]\n"
      "[null,\"bro\\tken\",null,null]\n"
      "[null,\"[1]\",null,null]\n"
      "[2,null,null,null]\n"
      "[null,\"{\\\"s\\\":\\\"\uFFFD\\\"}\",null,null]\n"
      "bad 1 wrong_type: field 'n': \"x\" is no int64\n"
      "bad 2 parse_error: the structure is broken: a comma, brace, name or value is missing or too "
      "many\n"
      "bad 3 not_an_object: the document is not a JSON object\n"
      "bad 5 invalid_utf8: the document is not valid UTF-8\n");
  EXPECT_EQ(DecodeText(schema, {"x", R"({"n":1})"}).substr(0, 20), "[1,null,null,null]\nb");
}

TEST(JsonDecoderTest, Tombstones) {
  const auto decoder = MakeDecoder(Json(Schema().Int64("a").String("_corrupt_record")));
  TestRecords records({"{\"a\":1}", "", "{\"a\":2}"}, false);
  records.records().records[1].has_value = false;
  for (bool keep : {false, true}) {
    std::vector<BadRecord> bad;
    const RowBatch batch = (*decoder)->Decode(records.records(), keep, &bad);
    EXPECT_EQ(Text(batch, bad), std::string("[1,null]\n") + (keep ? "[null,null]\n" : "") +
                                    "[2,null]\nbad 1 null_value: the record has no value\n");
    EXPECT_EQ(batch.source_record(0), 0u);
    EXPECT_EQ(batch.source_record(1), keep ? 1u : 2u);
  }
}

TEST(JsonDecoderTest, TextsOutliveTheRecordsAndTheDecoder) {
  auto records = std::make_unique<TestRecords>(
      std::vector<std::string>{R"({"s":"first","b":[1, 2]})", R"({"s":"sec\u006fnd"})"}, true);
  auto decoder = *MakeDecoder(Json(Schema().String("s").String("b")));
  std::vector<BadRecord> bad;
  std::vector<ColumnPtr> columns = decoder->Decode(records->records(), false, &bad).columns();
  records.reset();
  decoder.reset();
  const ColumnPtr only = columns[0];
  EXPECT_EQ(columns[1]->text(0), "[1,2]");
  columns.clear();
  EXPECT_EQ(only->text(0), "first");
  EXPECT_EQ(only->text(1), "second");
}

TEST(JsonDecoderTest, RefusesWhatItCannotRead) {
  EXPECT_THAT(MakeError(Schema().Int64("a").String("b").At("/a")),
              HasSubstr("field 'b': another field is read from the same place, /a"));
  EXPECT_THAT(MakeError(Schema().Int64("a").At("/x/y").String("b").At("/x/y")),
              HasSubstr("same place, /x/y"));
  EXPECT_THAT(MakeError(Schema().Int64("a").At("/x~")),
              HasSubstr("field 'a': '/x~' is no JSON pointer"));
  EXPECT_THAT(MakeError(Schema().Int64("a").At("/x~2")), HasSubstr("'~' must be followed by 0"));
  EXPECT_THAT(MakeError(Schema().Int64("a").At("x")), HasSubstr("must be a JSON pointer"));
  EXPECT_THAT(MakeError(Schema()), HasSubstr("no fields"));
  EXPECT_THAT(MakeError(Schema().Int64("_corrupt_record")),
              HasSubstr("must be a string, not int64"));
  EXPECT_EQ(MakeError(Schema().Int64("a").At("/x").String("b").At("/x/y")), "");
  EXPECT_EQ(MakeError(Schema().String("_corrupt_record")), "");
}

TEST(JsonDecoderTest, RefusesLimitsThatCannotBeKept) {
  for (size_t bytes : {size_t{0}, (size_t{1} << 30) + 1}) {
    FormatSpec spec = Json(AB());
    spec.max_record_bytes = bytes;
    EXPECT_TRUE(absl::IsInvalidArgument(MakeDecoder(spec).status()));
  }
  for (size_t depth : {size_t{0}, size_t{100'001}}) {
    FormatSpec spec = Json(AB());
    spec.max_depth = depth;
    EXPECT_TRUE(absl::IsInvalidArgument(MakeDecoder(spec).status()));
  }
}

}  // namespace
}  // namespace tidemark
