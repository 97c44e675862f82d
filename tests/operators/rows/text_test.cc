#include "tidemark/operators/rows/text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "operators/rows/make_batch.h"

namespace tidemark {
namespace {

using testing::MakeBatch;
using testing::Null;

constexpr int64_t kDay = int64_t{86'400} * 1'000'000;

std::string TimestampText(int64_t micros) {
  std::string text;
  AppendTimestamp(micros, &text);
  return text;
}

std::string DateText(int32_t days) {
  std::string text;
  AppendDate(days, &text);
  return text;
}

std::string DoubleText(double value) {
  std::string text;
  AppendDouble(value, &text);
  return text;
}

std::string DecimalText(Int128 unscaled, int scale) {
  std::string text;
  AppendDecimal(unscaled, scale, &text);
  return text;
}

std::string JsonText(std::string_view value) {
  std::string text;
  AppendJsonString(value, &text);
  return text;
}

std::string Base64Text(std::string_view bytes) {
  std::string text;
  AppendBase64(bytes, &text);
  return text;
}

Int128 TenTo(int exponent) {
  Int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

TEST(TimestampTextTest, FractionHasNoneThreeOrSixDigits) {
  EXPECT_EQ(TimestampText(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(TimestampText(1'735'812'922'000'000), "2025-01-02T10:15:22Z");
  EXPECT_EQ(TimestampText(1'735'812'922'123'000), "2025-01-02T10:15:22.123Z");
  EXPECT_EQ(TimestampText(1'735'812'922'100'000), "2025-01-02T10:15:22.100Z");
  EXPECT_EQ(TimestampText(1'735'812'922'123'456), "2025-01-02T10:15:22.123456Z");
  EXPECT_EQ(TimestampText(1'735'812'922'000'001), "2025-01-02T10:15:22.000001Z");
}

TEST(TimestampTextTest, BeforeTheEpochAndFarYears) {
  EXPECT_EQ(TimestampText(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(TimestampText(253'402'300'800'000'000), "+10000-01-01T00:00:00Z");
  EXPECT_EQ(TimestampText(-62'167'219'200'000'001), "-0001-12-31T23:59:59.999999Z");
  EXPECT_EQ(TimestampText(std::numeric_limits<int64_t>::max()), "+294247-01-10T04:00:54.775807Z");
  EXPECT_EQ(TimestampText(std::numeric_limits<int64_t>::min()), "-290308-12-21T19:59:05.224192Z");
}

TEST(ParseTimestampTest, ZonesAndSeparators) {
  const int64_t expected = 1'735'812'922'123'000;
  for (const char* text : {"2025-01-02T10:15:22.123Z", "2025-01-02t10:15:22.123z",
                           "2025-01-02 10:15:22.123Z", "2025-01-02T12:15:22.123+02:00",
                           "2025-01-02T12:15:22.123+0200", "2025-01-02T12:15:22.123+02",
                           "2025-01-01T23:45:22.123-10:30", "2025-01-02T10:15:22.123-00:00",
                           "2025-01-03T10:14:22.123+23:59", "+2025-01-02T10:15:22.123Z"}) {
    bool has_zone = false;
    EXPECT_EQ(ParseTimestamp(text, &has_zone), expected) << text;
    EXPECT_TRUE(has_zone) << text;
  }
}

TEST(ParseTimestampTest, WithoutZoneSaysSo) {
  bool has_zone = true;
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15:22.123", &has_zone), 1'735'812'922'123'000);
  EXPECT_FALSE(has_zone);
  has_zone = true;
  EXPECT_EQ(ParseTimestamp("2025-01-02", &has_zone), 1'735'776'000'000'000);
  EXPECT_FALSE(has_zone);
  // Java leaves out seconds that are zero.
  has_zone = true;
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15", &has_zone), 1'735'812'900'000'000);
  EXPECT_FALSE(has_zone);
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15Z", &has_zone), 1'735'812'900'000'000);
  EXPECT_TRUE(has_zone);
  EXPECT_EQ(ParseTimestamp("2025-01-02", nullptr), 1'735'776'000'000'000);
}

TEST(ParseTimestampTest, FractionIsCutTowardsThePast) {
  const int64_t second = 1'735'812'922'000'000;
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15:22.1Z"), second + 100'000);
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15:22.000001Z"), second + 1);
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15:22.1234567Z"), second + 123'456);
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15:22.999999999Z"), second + 999'999);
  EXPECT_EQ(ParseTimestamp("1969-12-31T23:59:59.9999999Z"), -1);
  EXPECT_EQ(ParseTimestamp("2025-01-02T10:15:22.0000000000Z"), std::nullopt) << "ten digits";
}

TEST(ParseTimestampTest, RefusesWhatIsNoTime) {
  for (const char* text : {"",
                           "2",
                           "2025",
                           "2025-01",
                           "2025-1-2",
                           "2025-01-0",
                           "2025-01-02T",
                           "2025-01-02T1",
                           "2025-01-02T10",
                           "2025-01-02T10:1",
                           "2025-01-02T10:15:",
                           "2025-01-02T10:15:2",
                           "2025-01-02T10:15:22.",
                           "2025-01-02T10:15:22.Z",
                           "2025-01-02T10:15.5Z",
                           "2025-01-02T10:15:22,5Z",
                           "2025-01-02T10:15:22.123ZZ",
                           "2025-01-02T10:15:22.123Z ",
                           " 2025-01-02T10:15:22.123Z",
                           "2025-01-02X10:15:22Z",
                           "2025-01-02Z",
                           "2025/01/02T10:15:22Z",
                           "2025-01-02T10-15-22Z",
                           "2025-13-01T00:00:00Z",
                           "2025-00-01T00:00:00Z",
                           "2025-01-00T00:00:00Z",
                           "2025-01-32T00:00:00Z",
                           "2025-04-31T00:00:00Z",
                           "2025-02-29T00:00:00Z",
                           "1900-02-29T00:00:00Z",
                           "2025-01-02T24:00:00Z",
                           "2025-01-02T25:00:00Z",
                           "2025-01-02T10:60:00Z",
                           "2016-12-31T23:59:60Z",
                           "2025-01-02T10:15:22+24:00",
                           "2025-01-02T10:15:22+02:60",
                           "2025-01-02T10:15:22+2",
                           "2025-01-02T10:15:22+020",
                           "2025-01-02T10:15:22+02:0",
                           "2025-01-02T10:15:22+02:000",
                           "2025-01-02T10:15:22+",
                           "2025-01-02T10:15:22UTC",
                           "2025-01-02T10:15:22+02-00",
                           "\xD9\xA2"
                           "25-01-02T10:15:22Z",
                           "+999-01-01",
                           "+0000002025-01-02",
                           "+-2025-01-02",
                           "-",
                           "+",
                           "+2025",
                           "+294247-01-10T04:00:54.775808Z",
                           "-290308-12-21T19:59:05.224191Z",
                           "+999999999-12-31T00:00:00Z",
                           "-999999999-01-01T00:00:00Z"}) {
    EXPECT_EQ(ParseTimestamp(text), std::nullopt) << text;
  }
}

TEST(ParseTimestampTest, NeverReadsPastTheView) {
  const std::string text = "2025-01-02T10:15:22.123+02:00";
  for (size_t length = 0; length <= text.size(); ++length) {
    const std::vector<char> exact(text.begin(), text.begin() + static_cast<ptrdiff_t>(length));
    const auto parsed = ParseTimestamp({exact.data(), exact.size()});
    const bool whole = length == 10 || length == 16 || length == 19 || (length > 20 && length < 24);
    EXPECT_EQ(parsed.has_value(), whole || length == 26 || length == 29) << length;
  }
}

TEST(ParseTimestampTest, LeapDays) {
  EXPECT_TRUE(ParseTimestamp("2024-02-29T00:00:00Z").has_value());
  EXPECT_TRUE(ParseTimestamp("2000-02-29T00:00:00Z").has_value());
  EXPECT_TRUE(ParseTimestamp("0000-02-29T00:00:00Z").has_value());
}

TEST(ParseTimestampTest, TheEndsOfInt64) {
  EXPECT_EQ(ParseTimestamp("+294247-01-10T04:00:54.775807Z"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseTimestamp("-290308-12-21T19:59:05.224192Z"), std::numeric_limits<int64_t>::min());
}

TEST(ParseTimestampTest, ReadsBackWhatIsWritten) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200'000; ++i) {
    int64_t micros = static_cast<int64_t>(random());
    if (i % 2 == 0) micros %= 100 * 365 * kDay;
    if (i % 3 == 0) micros -= FloorMod(micros, 1000);
    bool has_zone = false;
    ASSERT_EQ(ParseTimestamp(TimestampText(micros), &has_zone), micros);
    ASSERT_TRUE(has_zone);
  }
}

TEST(CivilDateTest, AgreesWithACountOfDays) {
  int64_t days = DaysFromCivil(-400, 1, 1);
  for (int64_t year = -400; year <= 2800; ++year) {
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const unsigned lengths[] = {31, leap ? 29u : 28u, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (unsigned month = 1; month <= 12; ++month) {
      for (unsigned day = 1; day <= lengths[month - 1]; ++day, ++days) {
        ASSERT_EQ(DaysFromCivil(year, month, day), days);
        const CivilDate date = CivilFromDays(days);
        ASSERT_TRUE(date.year == year && date.month == month && date.day == day) << days;
      }
    }
  }
  EXPECT_EQ(DaysFromCivil(1970, 1, 1), 0);
}

TEST(DateTextTest, WritesAndReads) {
  EXPECT_EQ(DateText(0), "1970-01-01");
  EXPECT_EQ(DateText(-1), "1969-12-31");
  EXPECT_EQ(DateText(2'932'897), "+10000-01-01");
  EXPECT_EQ(DateText(-719'529), "-0001-12-31");
  EXPECT_EQ(ParseDate("2025-01-02"), 20'090);
  EXPECT_EQ(ParseDate("2025-02-29"), std::nullopt);
  EXPECT_EQ(ParseDate("2025-01-02T00:00:00"), std::nullopt);
  EXPECT_EQ(ParseDate("2025-01-02 "), std::nullopt);
  EXPECT_EQ(ParseDate("+6000000-01-01"), std::nullopt) << "does not fit int32 days";
  for (int32_t days : {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
    EXPECT_EQ(ParseDate(DateText(days)), days);
  }
}

TEST(DoubleTextTest, WritesAsJavaDoes) {
  // As Double.toString writes them since JDK 19 (older ones sometimes add a digit).
  EXPECT_EQ(DoubleText(0.0), "0.0");
  EXPECT_EQ(DoubleText(-0.0), "-0.0");
  EXPECT_EQ(DoubleText(1), "1.0");
  EXPECT_EQ(DoubleText(-1.5), "-1.5");
  EXPECT_EQ(DoubleText(100), "100.0");
  EXPECT_EQ(DoubleText(0.001), "0.001");
  EXPECT_EQ(DoubleText(9.99e-4), "9.99E-4");
  EXPECT_EQ(DoubleText(9999999), "9999999.0");
  EXPECT_EQ(DoubleText(9999999.999), "9999999.999");
  EXPECT_EQ(DoubleText(1e7), "1.0E7");
  EXPECT_EQ(DoubleText(12345678.9), "1.23456789E7");
  EXPECT_EQ(DoubleText(1e10), "1.0E10");
  EXPECT_EQ(DoubleText(-1e-5), "-1.0E-5");
  EXPECT_EQ(DoubleText(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(DoubleText(1e100), "1.0E100");
  EXPECT_EQ(DoubleText(2e23), "2.0E23");
  EXPECT_EQ(DoubleText(std::numeric_limits<double>::max()), "1.7976931348623157E308");
  EXPECT_EQ(DoubleText(std::numeric_limits<double>::min()), "2.2250738585072014E-308");
  EXPECT_EQ(DoubleText(std::numeric_limits<double>::denorm_min()), "4.9E-324");
  EXPECT_EQ(DoubleText(2e-323), "2.0E-323");
  EXPECT_EQ(DoubleText(std::nan("")), "NaN");
  EXPECT_EQ(DoubleText(-std::nan("")), "NaN");
  EXPECT_EQ(DoubleText(HUGE_VAL), "Infinity");
  EXPECT_EQ(DoubleText(-HUGE_VAL), "-Infinity");
}

TEST(DoubleTextTest, ReadsBackAsTheSameDouble) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200'000; ++i) {
    uint64_t bits = random();
    if (i % 10 == 0) bits &= 0x800FFFFFFFFFFFFF;  // subnormal
    const double value = std::bit_cast<double>(bits);
    if (std::isnan(value) || std::isinf(value)) continue;
    ASSERT_EQ(std::bit_cast<uint64_t>(std::strtod(DoubleText(value).c_str(), nullptr)), bits);
  }
}

TEST(DecimalTextTest, PlainNumbers) {
  EXPECT_EQ(DecimalText(-1230, 2), "-12.30");
  EXPECT_EQ(DecimalText(0, 0), "0");
  EXPECT_EQ(DecimalText(0, 3), "0.000");
  EXPECT_EQ(DecimalText(5, 1), "0.5");
  EXPECT_EQ(DecimalText(-5, 3), "-0.005");
  EXPECT_EQ(DecimalText(42, 0), "42");
  EXPECT_EQ(DecimalText(TenTo(38) - 1, 0), std::string(38, '9'));
  EXPECT_EQ(DecimalText(1 - TenTo(38), 38), "-0." + std::string(38, '9'));
  EXPECT_EQ(DecimalText(TenTo(19), 19), "1." + std::string(19, '0'));
}

TEST(ParseDecimalTest, PlainAndScientific) {
  EXPECT_EQ(ParseDecimal("12.3", 10, 2), Int128{1230});
  EXPECT_EQ(ParseDecimal("-12.30", 10, 2), Int128{-1230});
  EXPECT_EQ(ParseDecimal("+7", 10, 0), Int128{7});
  EXPECT_EQ(ParseDecimal("1.5e3", 10, 1), Int128{15'000});
  EXPECT_EQ(ParseDecimal("1500E-3", 10, 1), Int128{15});
  EXPECT_EQ(ParseDecimal(".5", 3, 2), Int128{50});
  EXPECT_EQ(ParseDecimal("5.", 3, 2), Int128{500});
  EXPECT_EQ(ParseDecimal("000000000000000000000000000000000000000000000001", 1, 0), Int128{1});
  EXPECT_EQ(ParseDecimal("0e999999999999999999999", 1, 0), Int128{0});
  EXPECT_EQ(ParseDecimal("1e-999999999999999999999", 1, 0), Int128{0});
  EXPECT_EQ(ParseDecimal("0." + std::string(5000, '0') + "1e5001", 1, 0), Int128{1});
  EXPECT_EQ(ParseDecimal(std::string(38, '9'), 38, 0), TenTo(38) - 1);
  EXPECT_EQ(ParseDecimal("-0." + std::string(38, '9'), 38, 38), 1 - TenTo(38));
}

TEST(ParseDecimalTest, RoundsHalfUp) {
  EXPECT_EQ(ParseDecimal("0.125", 5, 2), Int128{13});
  EXPECT_EQ(ParseDecimal("-0.125", 5, 2), Int128{-13});
  EXPECT_EQ(ParseDecimal("0.12499999999999999999", 5, 2), Int128{12});
  EXPECT_EQ(ParseDecimal("0.5", 1, 0), Int128{1});
  EXPECT_EQ(ParseDecimal("0.05", 1, 0), Int128{0});
  EXPECT_EQ(ParseDecimal("5e-1", 1, 0), Int128{1});
  EXPECT_EQ(ParseDecimal("9.94", 2, 1), Int128{99});
  EXPECT_EQ(ParseDecimal("9.95", 2, 1), std::nullopt) << "rounds up to 10.0: three digits";
}

TEST(ParseDecimalTest, RefusesWhatIsNoNumberOrTooLong) {
  for (const char* text : {"", "+", "-", ".", "e5", ".e5", "1e", "1e+", "1e-", "1 ", " 1", "1.2.3",
                           "0x10", "NaN", "Infinity", "1,5", "--1", "1e5.0", "1_000"}) {
    EXPECT_EQ(ParseDecimal(text, 38, 10), std::nullopt) << text;
  }
  EXPECT_EQ(ParseDecimal("100", 2, 0), std::nullopt);
  EXPECT_EQ(ParseDecimal("1", 2, 2), std::nullopt);
  EXPECT_EQ(ParseDecimal("1e38", 38, 0), std::nullopt);
  EXPECT_EQ(ParseDecimal("1e999999999999999999999", 38, 0), std::nullopt);
  EXPECT_EQ(ParseDecimal(std::string(39, '9'), 38, 0), std::nullopt);
  EXPECT_EQ(ParseDecimal(std::string(100'000, '9'), 38, 0), std::nullopt);
}

TEST(ParseDecimalTest, ReadsBackWhatIsWritten) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 100'000; ++i) {
    const int precision = static_cast<int>(random() % 38) + 1;
    const int scale = static_cast<int>(random() % static_cast<uint64_t>(precision + 1));
    const UInt128 bits = static_cast<UInt128>(random()) << 64 | random();
    Int128 value = static_cast<Int128>(bits % static_cast<UInt128>(TenTo(precision)));
    if (i % 2 == 0) value = -value;
    const std::string text = DecimalText(value, scale);
    ASSERT_TRUE(ParseDecimal(text, precision, scale) == value) << text;
  }
}

TEST(Base64Test, WritesAndReads) {
  // RFC 4648, section 10.
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(Base64Text(bytes), text);
    EXPECT_EQ(ParseBase64(text), bytes);
  }
  const std::string all("\x00\xFF\xFE\xFB\xEF", 5);
  EXPECT_EQ(Base64Text(all), "AP/+++8=");
  EXPECT_EQ(ParseBase64("AP/+++8="), all);
}

TEST(Base64Test, RefusesWhatNobodyWrites) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zm=v", "Zm9v=", "Zm9 ",
                           "Zm9v\n", "Zm-_", "Zh==", "Zm9="}) {
    EXPECT_EQ(ParseBase64(text), std::nullopt) << text;
  }
}

TEST(JsonTextTest, EscapesWhatRfc8259Asks) {
  EXPECT_EQ(JsonText(""), R"("")");
  EXPECT_EQ(JsonText("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(JsonText("\b\f\n\r\t"), R"("\b\f\n\r\t")");
  EXPECT_EQ(JsonText(std::string("\x00\x01\x1f\x7f", 4)), "\"\\u0000\\u0001\\u001f\x7f\"");
  EXPECT_EQ(JsonText("\"\"é😀\""), "\"\\\"\\\"é😀\\\"\"");
}

TEST(JsonTextTest, ValuesByType) {
  const Schema schema = Schema()
                            .Bool("b")
                            .Int32("i")
                            .Int64("l")
                            .Double("d")
                            .Decimal("dec", 10, 2)
                            .String("s")
                            .Bytes("bin")
                            .Date("date")
                            .Timestamp("ts");
  const RowBatch batch =
      MakeBatch(schema, {{1, -5, std::numeric_limits<int64_t>::min(), 1e10, -1230,
                          std::string("a\"b"), std::string("\xff", 1), -1, 1'000},
                         {0, 0, 0, std::nan(""), 0, std::string(), std::string(), 0, 0},
                         {Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null()},
                         {0, 0, 0, -HUGE_VAL, 0, std::string(), std::string(), 0, 0}});
  const auto json = [&](size_t row) {
    std::string text;
    for (size_t i = 0; i < schema.size(); ++i) {
      AppendJsonValue(batch.column(i), row, &text);
      text += ' ';
    }
    return text;
  };
  EXPECT_EQ(json(0),
            "true -5 -9223372036854775808 1.0E10 -12.30 \"a\\\"b\" \"/w==\" \"1969-12-31\" "
            "\"1970-01-01T00:00:00.001Z\" ");
  EXPECT_EQ(json(1), R"(false 0 0 "NaN" 0.00 "" "" "1970-01-01" "1970-01-01T00:00:00Z" )");
  EXPECT_EQ(json(2), "null null null null null null null null null ");
  EXPECT_NE(json(3).find("\"-Infinity\""), std::string::npos);
  std::string plain;
  for (size_t i = 0; i < schema.size(); ++i) AppendValueText(batch.column(i), 0, &plain);
  EXPECT_EQ(plain,
            "true-5-92233720368547758081.0E10-12.30a\"b/w==1969-12-311970-01-01T00:00:00.001Z");
}

TEST(Utf8Test, AcceptsWhatIsWellFormed) {
  for (const char* text : {"", "plain ascii, longer than eight bytes", "é", "\u0080\u07FF\u0800",
                           "\uD7FF\uE000\uFFFF", "\U00010000\U0010FFFF", "12345678é12345678"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << text;
  }
}

TEST(Utf8Test, RefusesWhatIsNot) {
  for (std::string text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3\x28", "\xE0\x80\x80", "\xE0\x9F\xBF",
        "\xE2\x82", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
        "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    for (const char* before : {"", "a", "12345678", "1234567"}) {
      EXPECT_FALSE(IsValidUtf8(before + text)) << before << text;
      EXPECT_FALSE(IsValidUtf8(before + text + "12345678")) << before << text;
    }
  }
}

TEST(ExcerptTest, IsShortAndInOneLine) {
  EXPECT_EQ(Excerpt(""), "");
  EXPECT_EQ(Excerpt("a\n\x7f\tb"), "a\\x0a\\x7f\\x09b");
  EXPECT_EQ(Excerpt("\u00e9\u20ac", 2), "\u00e9\u20ac");
  EXPECT_EQ(Excerpt("\u00e9\u20acx", 2), "\u00e9\u20ac...");
  EXPECT_EQ(Excerpt("\u00e9\xff"), "\\xc3\\xa9\\xff");
  EXPECT_EQ(Excerpt(std::string(65, 'x')), std::string(64, 'x') + "...");
  EXPECT_EQ(Excerpt(std::string(1, '\0')), "\\x00");
}

TEST(DecimalTest, RoundsDown) {
  const auto down = [](std::string_view text) {
    return ParseDecimal(text, 38, 2, Rounding::kDown);
  };
  EXPECT_EQ(down("1.999999"), Int128{199});
  EXPECT_EQ(down(std::string("1.99") + std::string(500, '0')), Int128{199});
  EXPECT_EQ(down("-1.990"), Int128{-199});
  EXPECT_EQ(down("-1.9901"), Int128{-200});
  EXPECT_EQ(down("-1e-400"), Int128{-1});
  EXPECT_EQ(down("-0e-400"), Int128{0});
  EXPECT_EQ(down("1e-400"), Int128{0});
  EXPECT_EQ(down("-0.00"), Int128{0});
  EXPECT_EQ(ParseDecimal("-9.99", 1, 0, Rounding::kDown), std::nullopt);
  EXPECT_EQ(ParseDecimal("9.99", 1, 0, Rounding::kDown), Int128{9});
}

TEST(FloorTest, NegativeNumerators) {
  EXPECT_EQ(FloorDiv(-1, 5), -1);
  EXPECT_EQ(FloorMod(-1, 5), 4);
  EXPECT_EQ(FloorDiv(-5, 5), -1);
  EXPECT_EQ(FloorMod(-5, 5), 0);
  EXPECT_EQ(FloorDiv(7, 5), 1);
  EXPECT_EQ(FloorMod(7, 5), 2);
  EXPECT_EQ(FloorDiv(std::numeric_limits<int64_t>::min(), 1), std::numeric_limits<int64_t>::min());
}

}  // namespace
}  // namespace tidemark
