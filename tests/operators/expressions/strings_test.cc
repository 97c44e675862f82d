#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "operators/expressions/evaluate.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// 1, 2, 3 and 4 bytes.
const std::string kWide = "a\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E";

TEST(StringsTest, UpperAndLowerChangeAsciiLettersOnly) {
  const TestRows rows = TestRows().Strings("s", {"abc XYZ 09 @[`{", "", std::nullopt, kWide + "Z",
                                                 "\xC3\xBC"
                                                 "ber"});
  EXPECT_THAT(Evaluate(Upper(Col("s")), rows),
              ElementsAre("ABC XYZ 09 @[`{", "", "null", "A" + kWide.substr(1) + "Z",
                          "\xC3\xBC"
                          "BER"));
  EXPECT_THAT(Evaluate(Lower(Col("s")), rows),
              ElementsAre("abc xyz 09 @[`{", "", "null", kWide + "z",
                          "\xC3\xBC"
                          "ber"));
  EXPECT_THAT(Evaluate(Lower(Col("s")), rows, Selection::Rows({3})), ElementsAre(kWide + "z"));
}

TEST(StringsTest, EveryByteKeepsItsPlaceInUpperAndLower) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const std::string upper = Value(Upper(Lit(all))), lower = Value(Lower(Lit(all)));
  for (int c = 0; c < 256; ++c) {
    EXPECT_EQ(upper[c], c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : all[c]);
    EXPECT_EQ(lower[c], c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : all[c]);
  }
}

TEST(StringsTest, ConcatIsNullIfAnyValueIs) {
  const TestRows rows = TestRows().Strings("s", {"a", "", std::nullopt}).Int64s("n", {1, -2, 3});
  EXPECT_THAT(Evaluate(Concat(Col("s"), Lit("-"), Col("n")), rows),
              ElementsAre("a-1", "--2", "null"));
  EXPECT_THAT(Evaluate(Concat(Col("s")), rows), ElementsAre("a", "", "null"));
  EXPECT_THAT(Evaluate(Concat(Col("s"), Col("s")), rows), ElementsAre("aa", "", "null"));
  EXPECT_THAT(Evaluate(Concat(Col("s"), Lit("x")), rows), ElementsAre("ax", "x", "null"));
  EXPECT_EQ(Value(Concat(Lit(true), Lit(1.5), DateLit("2025-01-02"), DecimalLit("1.0"))),
            "true1.52025-01-021.0");
}

TEST(StringsTest, SubstringIsSparks) {
  const auto sub = [](const std::string& text, int32_t position, int32_t length) {
    return Value(Substring(Lit(text), position, length));
  };
  EXPECT_EQ(sub("Spark SQL", 5, 1), "k");
  EXPECT_EQ(sub("Spark SQL", 0, 5), "Spark");
  EXPECT_EQ(sub("Spark SQL", 1, 5), "Spark");
  EXPECT_EQ(sub("Spark SQL", -3, 3), "SQL");
  EXPECT_EQ(sub("Spark SQL", -3, 2), "SQ");
  EXPECT_EQ(sub("Spark SQL", 7, 100), "SQL");
  EXPECT_EQ(sub("Spark SQL", 10, 1), "");
  EXPECT_EQ(sub("Spark SQL", 3, 0), "");
  EXPECT_EQ(sub("Spark SQL", 3, -1), "");
  EXPECT_EQ(sub("abc", -5, 3), "a") << "starts two before the text, and counts from there";
  EXPECT_EQ(sub("abc", -5, 2), "");
  EXPECT_EQ(sub("abc", -5, INT32_MAX), "abc");
  EXPECT_EQ(sub("abc", INT32_MIN, INT32_MAX), "ab");  // from -2147483645 to 2
  EXPECT_EQ(sub("abc", INT32_MAX, INT32_MAX), "");
  EXPECT_EQ(sub("abc", 2, INT32_MIN), "");
  EXPECT_EQ(sub("", 1, 1), "");
  EXPECT_EQ(sub("", -1, 1), "");
  EXPECT_EQ(Value(Substring(Lit("abc"), 2)), "bc");
  EXPECT_EQ(Value(Substring(Lit("abc"), -2)), "bc");
}

TEST(StringsTest, SubstringCountsCodePoints) {
  const auto sub = [](int32_t position, int32_t length) {
    return Value(Substring(Lit(kWide), position, length));
  };
  EXPECT_EQ(sub(2, 1), "\xC3\xA9");
  EXPECT_EQ(sub(3, 2), "\xE2\x82\xAC\xF0\x9D\x84\x9E");
  EXPECT_EQ(sub(-1, 1), "\xF0\x9D\x84\x9E");
  EXPECT_EQ(sub(-2, 1), "\xE2\x82\xAC");
}

TEST(StringsTest, SubstringOfColumns) {
  const TestRows rows = TestRows()
                            .Strings("s", {"abc", "xyz", std::nullopt, "w"})
                            .Int32s("p", {1, -1, 1, std::nullopt});
  EXPECT_THAT(Evaluate(Substring(Col("s"), Col("p"), Lit(2)), rows),
              ElementsAre("ab", "z", "null", "null"));
  EXPECT_THAT(TypeOf(Substring(Col("s"), Lit(1L), Lit(1)), rows.schema()),
              HasSubstr("substring has a position and length of int64 and int32"));
}

TEST(StringsTest, LengthIsInCodePointsOrBytes) {
  const TestRows rows = TestRows()
                            .Strings("s", {kWide, "", std::nullopt})
                            .Add<std::string>("x", DataType::Bytes(), {kWide, "", std::nullopt});
  EXPECT_THAT(Evaluate(Length(Col("s")), rows), ElementsAre("4", "0", "null"));
  EXPECT_THAT(Evaluate(Length(Col("x")), rows), ElementsAre("10", "0", "null"));
  EXPECT_EQ(TypeOf(Length(Col("s")), rows.schema()), "int32");
}

TEST(StringsTest, WrongTypesAreNamed) {
  const Schema schema = Schema().Int64("n").Bytes("x");
  EXPECT_THAT(TypeOf(Upper(Col("n")), schema),
              HasSubstr("upper(n): upper takes a string, not int64"));
  EXPECT_THAT(TypeOf(Lower(Col("x")), schema), HasSubstr("not bytes"));
  EXPECT_THAT(TypeOf(Length(Col("n")), schema), HasSubstr("length takes a string"));
  EXPECT_THAT(TypeOf(Substring(Col("n"), 1), schema), HasSubstr("substring takes a string"));
}

}  // namespace
}  // namespace tidemark
