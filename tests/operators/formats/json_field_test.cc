#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

using ::testing::StartsWith;

Schema V(DataType type) { return Schema().Add("v", type); }

std::string Int32(const std::string& v) { return DecodeValue(V(DataType::Int32()), v); }
std::string Int64(const std::string& v) { return DecodeValue(V(DataType::Int64()), v); }
std::string Double(const std::string& v) { return DecodeValue(V(DataType::Double()), v); }
std::string String(const std::string& v) { return DecodeValue(V(DataType::String()), v); }
std::string Time(const std::string& v) { return DecodeValue(V(DataType::Timestamp()), v); }
std::string Decimal(int precision, int scale, const std::string& v) {
  return DecodeValue(
      V(DataType::Decimal(static_cast<uint8_t>(precision), static_cast<uint8_t>(scale))), v);
}

TEST(JsonFieldTest, NullIsNullForEveryType) {
  for (DataType type : {DataType::Bool(), DataType::Int32(), DataType::Int64(), DataType::Double(),
                        DataType::Decimal(10, 2), DataType::String(), DataType::Bytes(),
                        DataType::Date(), DataType::Timestamp()}) {
    EXPECT_EQ(DecodeValue(V(type), "null"), "null") << type.ToString();
    EXPECT_EQ(DecodeText(V(type), {"{}"}), "[null]\n") << type.ToString();
  }
  EXPECT_EQ(DecodeValue(Schema().Timestamp("v").EpochMillis(), "null"), "null");
}

TEST(JsonFieldTest, Bools) {
  const Schema schema = V(DataType::Bool());
  EXPECT_EQ(DecodeValue(schema, "true"), "true");
  EXPECT_EQ(DecodeValue(schema, "false"), "false");
  for (const char* wrong : {"1", "0", "\"true\"", "[]", "{}"}) {
    EXPECT_EQ(DecodeValue(schema, wrong),
              std::string("wrong_type: field 'v': ") + wrong + " is no bool");
  }
}

TEST(JsonFieldTest, IntegersAtTheirLimits) {
  EXPECT_EQ(Int64("0"), "0");
  EXPECT_EQ(Int64("-0"), "0");
  EXPECT_EQ(Int64("9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(Int64("-9223372036854775808"), "-9223372036854775808");
  for (int digits = 1; digits <= 18; ++digits) {
    const std::string number =
        std::string("123456789012345678").substr(0, static_cast<size_t>(digits));
    EXPECT_EQ(Int64(number), number);
    EXPECT_EQ(Int64(std::string("-") + number), std::string("-") + number);
    EXPECT_EQ(Int64(std::string(static_cast<size_t>(digits), '9')),
              std::string(static_cast<size_t>(digits), '9'));
  }
  for (const char* large : {"9223372036854775808", "-9223372036854775809", "18446744073709551615",
                            "18446744073709551616", "123456789012345678901234567890"}) {
    EXPECT_EQ(Int64(large),
              std::string("out_of_range: field 'v': ") + large + " does not fit int64");
  }
  EXPECT_EQ(Int32("2147483647"), "2147483647");
  EXPECT_EQ(Int32("-2147483648"), "-2147483648");
  EXPECT_EQ(Int32("2147483648"), "out_of_range: field 'v': 2147483648 does not fit int32");
  EXPECT_EQ(Int32("-2147483649"), "out_of_range: field 'v': -2147483649 does not fit int32");
  EXPECT_THAT(Int32("9223372036854775808"), StartsWith("out_of_range"));
}

TEST(JsonFieldTest, AnIntegerHasNoFractionAndNoExponent) {
  for (const char* wrong : {"1.0", "1.5", "1e3", "1E3", "-1.0", "0.0", "123456789012345678901.5",
                            "1e400", "\"1\"", "true", "[1]", "{\"a\":1}", "\"\""}) {
    EXPECT_EQ(Int64(wrong), std::string("wrong_type: field 'v': ") + wrong + " is no int64");
    EXPECT_EQ(Int32(wrong), std::string("wrong_type: field 'v': ") + wrong + " is no int32");
  }
}

TEST(JsonFieldTest, Doubles) {
  EXPECT_EQ(Double("1.5"), "1.5");
  EXPECT_EQ(Double("3"), "3.0");
  EXPECT_EQ(Double("-0.0"), "-0.0");
  EXPECT_EQ(Double("-0"), "-0.0");
  EXPECT_EQ(Double("0.1"), "0.1");
  EXPECT_EQ(Double("123456789012345678901234567890"), "1.2345678901234568E29");
  EXPECT_EQ(Double("18446744073709551616"), "1.8446744073709552E19");
  EXPECT_EQ(Double("1.7976931348623157e308"), "1.7976931348623157E308");
  EXPECT_EQ(Double("5e-324"), "4.9E-324");
  EXPECT_EQ(Double("1e-400"), "0.0");
  EXPECT_EQ(Double("-1e-400"), "-0.0");
  EXPECT_EQ(Double("0e999999999999"), "0.0");
  EXPECT_EQ(Double(std::string("1") + std::string(300, '0')), "1.0E300");
  EXPECT_EQ(Double(std::string("0.") + std::string(400, '0') + "1"), "0.0");
  for (const std::string& large :
       {std::string("1e400"), std::string("-1e400"), std::string("1.7976931348623159e308"),
        "1" + std::string(400, '0'), std::string("1e99999999999999999999")}) {
    EXPECT_THAT(Double(large),
                StartsWith(std::string("out_of_range: field 'v': ") + large.substr(0, 64)));
  }
}

TEST(JsonFieldTest, DoublesThatAreNoNumbersComeAsStrings) {
  EXPECT_EQ(Double("\"NaN\""), "\"NaN\"");
  EXPECT_EQ(Double("\"Na\\u004e\""), "\"NaN\"");
  for (const char* infinity : {"\"Infinity\"", "\"+Infinity\"", "\"+INF\""}) {
    EXPECT_EQ(Double(infinity), "\"Infinity\"");
  }
  EXPECT_EQ(Double("\"-Infinity\""), "\"-Infinity\"");
  EXPECT_EQ(Double("\"-INF\""), "\"-Infinity\"");
  for (const char* wrong : {"\"nan\"", "\"1.5\"", "\"\"", "true", "[]"}) {
    EXPECT_EQ(Double(wrong), std::string("wrong_type: field 'v': ") + wrong + " is no double");
  }
  for (const char* bare : {"NaN", "Infinity", "-Infinity"}) {
    EXPECT_THAT(Double(bare), StartsWith("parse_error"));
  }
}

TEST(JsonFieldTest, DecimalsAreExact) {
  EXPECT_EQ(Decimal(38, 18, "12345678901234567890.123456789012345678"),
            "12345678901234567890.123456789012345678");
  EXPECT_EQ(Decimal(38, 0, "99999999999999999999999999999999999999"),
            "99999999999999999999999999999999999999");
  EXPECT_EQ(Decimal(38, 0, "-99999999999999999999999999999999999999"),
            "-99999999999999999999999999999999999999");
  EXPECT_EQ(Decimal(10, 2, "0.1"), "0.10");
  EXPECT_EQ(Decimal(10, 2, "1.005"), "1.01");
  EXPECT_EQ(Decimal(10, 2, "-1.005"), "-1.01");
  EXPECT_EQ(Decimal(10, 2, "1.0049999999999999999999999999999999999999999999999"), "1.00");
  EXPECT_EQ(Decimal(10, 2, "1e3"), "1000.00");
  EXPECT_EQ(Decimal(10, 2, "1.5E-1"), "0.15");
  EXPECT_EQ(Decimal(10, 2, "1e-999999999"), "0.00");
  EXPECT_EQ(Decimal(10, 2, "0e999999999"), "0.00");
  EXPECT_EQ(Decimal(4, 2, "99.99"), "99.99");
  EXPECT_EQ(Decimal(10, 2, "\"12.34\""), "12.34");
  EXPECT_EQ(Decimal(10, 2, "\"12.3\\u0034\""), "12.34");
}

TEST(JsonFieldTest, DecimalsThatDoNotFit) {
  for (const std::string& large :
       {std::string("100.00"), std::string("99.995"), std::string("-100"), std::string("1e2"),
        std::string("1e999999999"), std::string("1") + std::string(60, '0'), std::string("\"100\""),
        std::string("1e400")}) {
    EXPECT_EQ(Decimal(4, 2, large),
              std::string("out_of_range: field 'v': ") + large + " does not fit decimal(4,2)");
  }
  EXPECT_THAT(Decimal(38, 0, "100000000000000000000000000000000000000"),
              StartsWith("out_of_range"));
  for (const char* wrong : {"\"abc\"", "\"\"", "\"1.2.3\"", "\"NaN\"", "\"Infinity\"", "\"inf\"",
                            "\"1 \"", "true", "[]", "{}"}) {
    EXPECT_EQ(Decimal(4, 2, wrong),
              std::string("wrong_type: field 'v': ") + wrong + " is no decimal(4,2)");
  }
}

TEST(JsonFieldTest, Strings) {
  EXPECT_EQ(String("\"\""), "\"\"");
  EXPECT_EQ(String("\"Grüße €😀\""), "\"Grüße €😀\"");
  EXPECT_EQ(String(R"("a\"b\\c\/d\b\f\n\r\te")"), R"("a\"b\\c/d\b\f\n\r\te")");
  EXPECT_EQ(String(R"("\u0041\u00e9\u20AC\ud83d\uDE00")"), "\"Aé€😀\"");
  EXPECT_EQ(String(R"("a\u0000b")"), R"("a\u0000b")");
  EXPECT_EQ(String(R"("\\u0041")"), R"("\\u0041")");
  EXPECT_EQ(String(R"("\\\\\"")"), R"("\\\\\"")");
}

TEST(JsonFieldTest, OtherValuesInAStringColumnAreTheirText) {
  EXPECT_EQ(String("1"), "\"1\"");
  EXPECT_EQ(String("-0.00"), "\"-0.00\"");
  EXPECT_EQ(String("1.50"), "\"1.50\"");
  EXPECT_EQ(String("1e400"), "\"1e400\"");
  EXPECT_EQ(String("123456789012345678901234567890"), "\"123456789012345678901234567890\"");
  EXPECT_EQ(String("true"), "\"true\"");
  EXPECT_EQ(String(" [ ] "), "\"[]\"");
  EXPECT_EQ(String("{}"), "\"{}\"");
  EXPECT_EQ(String("[ 1 , \"a b\" ,\n{ \"c\" :\t[ null , 1e400 ] } ]"),
            R"("[1,\"a b\",{\"c\":[null,1e400]}]")");
  EXPECT_EQ(String(R"({ "a\u0041" : "x \" , y" })"), R"("{\"a\\u0041\":\"x \\\" , y\"}")");
}

TEST(JsonFieldTest, BytesAreBase64) {
  const Schema schema = V(DataType::Bytes());
  EXPECT_EQ(DecodeValue(schema, "\"\""), "\"\"");
  EXPECT_EQ(DecodeValue(schema, "\"AAH/\""), "\"AAH/\"");
  EXPECT_EQ(DecodeValue(schema, "\"AAH\\/\""), "\"AAH/\"");
  EXPECT_EQ(DecodeValue(schema, "\"YQ==\""), "\"YQ==\"");
  for (const char* wrong : {"\"a\"", "\"????\"", "1", "[]", "true"}) {
    EXPECT_EQ(DecodeValue(schema, wrong),
              std::string("wrong_type: field 'v': ") + wrong + " is no bytes");
  }
}

TEST(JsonFieldTest, Dates) {
  const Schema schema = V(DataType::Date());
  EXPECT_EQ(DecodeValue(schema, "\"2025-01-02\""), "\"2025-01-02\"");
  EXPECT_EQ(DecodeValue(schema, "\"1969-12-31\""), "\"1969-12-31\"");
  EXPECT_EQ(DecodeValue(schema, "\"2024-02-29\""), "\"2024-02-29\"");
  for (const char* wrong :
       {"\"2025-02-29\"", "\"2025-13-01\"", "\"x\"", "\"\"", "20250102", "{}", "\"2025-01-02x\""}) {
    EXPECT_EQ(DecodeValue(schema, wrong),
              std::string("wrong_type: field 'v': ") + wrong + " is no date");
  }
}

TEST(JsonFieldTest, TimestampsInIso8601) {
  EXPECT_EQ(Time("\"2025-01-02T10:15:22Z\""), "\"2025-01-02T10:15:22Z\"");
  EXPECT_EQ(Time("\"2025-01-02T10:15:22.123456789Z\""), "\"2025-01-02T10:15:22.123456Z\"");
  EXPECT_EQ(Time("\"2025-01-02 10:15:22.1+02:00\""), "\"2025-01-02T08:15:22.100Z\"");
  EXPECT_EQ(Time("\"2025-01-02T10:15:22\""), "\"2025-01-02T10:15:22Z\"");
  EXPECT_EQ(Time("\"2025-01-02\""), "\"2025-01-02T00:00:00Z\"");
  EXPECT_EQ(Time("\"1969-12-31T23:59:59.999999Z\""), "\"1969-12-31T23:59:59.999999Z\"");
  EXPECT_EQ(Time("\"2025-01-02T10\\u003a15:22Z\""), "\"2025-01-02T10:15:22Z\"");
  for (const char* wrong :
       {"\"\"", "\"yesterday\"", "\"2025-01-02T25:00:00Z\"", "\"2025-02-30T00:00:00Z\"",
        "1735812922", "1.5", "true", "[]", "\"1000000-13-01T00:00:00Z\""}) {
    EXPECT_EQ(Time(wrong), std::string("wrong_type: field 'v': ") + wrong + " is no timestamp");
  }
}

TEST(JsonFieldTest, TimestampsThatDoNotFitInMicroseconds) {
  for (const char* far : {"\"+300000-01-01T00:00:00Z\"", "\"-300000-01-01T00:00:00Z\"",
                          "\"294247-01-10T04:00:54.775808Z\"", "\"999999-12-31T23:59:59Z\""}) {
    EXPECT_EQ(Time(far),
              std::string("out_of_range: field 'v': ") + far + " does not fit timestamp");
  }
}

TEST(JsonFieldTest, TimestampsWithoutZoneAreInTheFieldsZone) {
  const Schema schema = Schema().Timestamp("v").Zone("Europe/Berlin");
  EXPECT_EQ(DecodeValue(schema, "\"2025-01-02T10:15:22.5\""), "\"2025-01-02T09:15:22.500Z\"");
  EXPECT_EQ(DecodeValue(schema, "\"2025-07-02T10:15:22\""), "\"2025-07-02T08:15:22Z\"");
  EXPECT_EQ(DecodeValue(schema, "\"2025-07-02T10:15:22Z\""), "\"2025-07-02T10:15:22Z\"");
  EXPECT_EQ(DecodeValue(schema, "\"2025-07-02T10:15:22+00:00\""), "\"2025-07-02T10:15:22Z\"");
  // Skipped by the change to summer time: 02:30 with the offset before, +01:00.
  EXPECT_EQ(DecodeValue(schema, "\"2025-03-30T02:30:00\""), "\"2025-03-30T01:30:00Z\"");
  // Repeated by the change back: the first one, +02:00.
  EXPECT_EQ(DecodeValue(schema, "\"2025-10-26T02:30:00\""), "\"2025-10-26T00:30:00Z\"");
  EXPECT_EQ(DecodeValue(schema, "\"1960-01-01T00:00:00.000001\""),
            "\"1959-12-31T23:00:00.000001Z\"");
  const auto decoder = MakeDecoder(Json(Schema().Timestamp("v").Zone("Europe/Atlantis")));
  ASSERT_FALSE(decoder.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(decoder.status()));
  EXPECT_THAT(std::string(decoder.status().message()), testing::HasSubstr("Europe/Atlantis"));
}

TEST(JsonFieldTest, TimestampsAsNumbers) {
  const Schema seconds = Schema().Timestamp("v").EpochSeconds();
  const Schema millis = Schema().Timestamp("v").EpochMillis();
  const Schema micros = Schema().Timestamp("v").EpochMicros();
  EXPECT_EQ(DecodeValue(seconds, "1735812922"), "\"2025-01-02T10:15:22Z\"");
  EXPECT_EQ(DecodeValue(seconds, "1735812922.123456"), "\"2025-01-02T10:15:22.123456Z\"");
  EXPECT_EQ(DecodeValue(seconds, "1.735812922e9"), "\"2025-01-02T10:15:22Z\"");
  EXPECT_EQ(DecodeValue(seconds, "0.9999999"), "\"1970-01-01T00:00:00.999999Z\"");
  EXPECT_EQ(DecodeValue(seconds, "-0.0000001"), "\"1969-12-31T23:59:59.999999Z\"");
  EXPECT_EQ(DecodeValue(seconds, "-1"), "\"1969-12-31T23:59:59Z\"");
  EXPECT_EQ(DecodeValue(seconds, "-0.5"), "\"1969-12-31T23:59:59.500Z\"");
  EXPECT_EQ(DecodeValue(seconds, "1e-400"), "\"1970-01-01T00:00:00Z\"");
  EXPECT_EQ(DecodeValue(millis, "1735812922123"), "\"2025-01-02T10:15:22.123Z\"");
  EXPECT_EQ(DecodeValue(millis, "1735812922123.4567"), "\"2025-01-02T10:15:22.123456Z\"");
  EXPECT_EQ(DecodeValue(micros, "1735812922123456"), "\"2025-01-02T10:15:22.123456Z\"");
  EXPECT_EQ(DecodeValue(micros, "-1.5"), "\"1969-12-31T23:59:59.999998Z\"");
  EXPECT_THAT(DecodeValue(micros, "9223372036854775807"),
              StartsWith("\"+294247-01-10T04:00:54.775807Z"));
  for (const char* large : {"9223372036855", "-9223372036855", "9223372036854.775808", "1e30",
                            "1e400", "99999999999999999999"}) {
    EXPECT_EQ(DecodeValue(seconds, large),
              std::string("out_of_range: field 'v': ") + large + " does not fit timestamp");
  }
  EXPECT_THAT(DecodeValue(micros, "9223372036854775808"), StartsWith("out_of_range"));
  EXPECT_THAT(DecodeValue(millis, "9223372036854776"), StartsWith("out_of_range"));
  for (const char* wrong : {"\"1735812922\"", "\"2025-01-02T10:15:22Z\"", "true", "[1]"}) {
    EXPECT_EQ(DecodeValue(seconds, wrong),
              std::string("wrong_type: field 'v': ") + wrong + " is no timestamp");
  }
}

TEST(JsonFieldTest, ComplaintsAreShortAndInOneLine) {
  EXPECT_EQ(Int64(std::string("\"") + std::string(100, 'x') + "\""),
            "wrong_type: field 'v': \"" + std::string(63, 'x') + "... is no int64");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ä";
  EXPECT_EQ(Int64(std::string("\"") + umlauts + "\""),
            std::string("wrong_type: field 'v': \"") + umlauts.substr(0, 126) + "... is no int64");
  EXPECT_EQ(Int64("[1,\n\t2]"), "wrong_type: field 'v': [1,\\x0a\\x092] is no int64");
  EXPECT_EQ(Int64("\"\x7f\""), "wrong_type: field 'v': \"\\x7f\" is no int64");
}

}  // namespace
}  // namespace tidemark
