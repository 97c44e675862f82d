#include "tidemark/operators/formats/json_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "operators/rows/make_batch.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MakeBatch;
using testing::Null;

std::vector<std::string> Records(const RowBatch& rows, const std::string& before = "") {
  auto encoder = MakeEncoder(Json({}), rows.schema());
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  std::string bytes = before;
  std::vector<size_t> ends;
  EXPECT_TRUE((*encoder)->Encode(rows, &bytes, &ends).ok());
  std::vector<std::string> records;
  size_t begin = before.size();
  for (const size_t end : ends) {
    records.push_back(bytes.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, bytes.size());
  EXPECT_EQ(bytes.substr(0, before.size()), before);
  return records;
}

TEST(JsonEncoderTest, EveryTypeAsItsText) {
  const Schema schema = Schema()
                            .Bool("b")
                            .Int32("i")
                            .Int64("l")
                            .Double("d")
                            .Decimal("dec", 38, 2)
                            .String("s")
                            .Bytes("bin")
                            .Date("day")
                            .Timestamp("ts");
  EXPECT_THAT(
      Records(MakeBatch(
          schema, {{1, INT32_MIN, INT64_MIN, 0.1, Int128{-1230}, std::string("a\"\\\n\x01\xC3\xA9"),
                    std::string("\0\xFF", 2), -1, int64_t{1'500}}})),
      ElementsAre(R"({"b":true,"i":-2147483648,"l":-9223372036854775808,"d":0.1,"dec":-12.30,)"
                  "\"s\":\"a\\\"\\\\\\n\\u0001\xC3\xA9\","
                  R"("bin":"AP8=","day":"1969-12-31","ts":"1970-01-01T00:00:00.001500Z"})"));
}

TEST(JsonEncoderTest, NumbersThatJsonHasNotAreStrings) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_THAT(Records(MakeBatch(Schema().Double("d"),
                                {{std::numeric_limits<double>::quiet_NaN()}, {inf}, {-inf}})),
              ElementsAre(R"({"d":"NaN"})", R"({"d":"Infinity"})", R"({"d":"-Infinity"})"));
}

TEST(JsonEncoderTest, NullsAreLeftOutWhereverTheyStand) {
  const Schema schema = Schema().Int64("a").String("b").Int64("c");
  EXPECT_THAT(Records(MakeBatch(schema, {{Null(), std::string("x"), 1},
                                         {1, Null(), 2},
                                         {1, std::string(), Null()},
                                         {Null(), Null(), Null()},
                                         {Null(), Null(), 3}})),
              ElementsAre(R"({"b":"x","c":1})", R"({"a":1,"c":2})", R"({"a":1,"b":""})", "{}",
                          R"({"c":3})"));
}

TEST(JsonEncoderTest, OnlySelectedRowsAndAfterWhatIsThere) {
  RowBatch batch = MakeBatch(Schema().Int64("a"), {{1}, {2}, {3}, {4}});
  batch.set_selection(Selection::Rows({1, 3}));
  EXPECT_THAT(Records(batch, "before"), ElementsAre(R"({"a":2})", R"({"a":4})"));
  batch.set_selection(Selection::Rows({}));
  EXPECT_THAT(Records(batch, "before"), ElementsAre());
}

TEST(JsonEncoderTest, NamesAreEscaped) {
  EXPECT_THAT(Records(MakeBatch(Schema().Int64("a\"b").Int64("\xC3\xA9"), {{1, 2}})),
              ElementsAre("{\"a\\\"b\":1,\"\xC3\xA9\":2}"));
}

TEST(JsonEncoderTest, NoColumns) {
  EXPECT_THAT(Records(MakeBatch(Schema(), {{}, {}})), ElementsAre("{}", "{}"));
}

TEST(EncoderTest, AnUnknownFormatIsNamed) {
  FormatSpec unknown = Json({});
  unknown.name = "xml";
  const auto encoder = MakeEncoder(unknown, Schema().Int64("a"));
  EXPECT_TRUE(absl::IsInvalidArgument(encoder.status()));
  EXPECT_THAT(std::string(encoder.status().message()), HasSubstr("'xml'"));
}

}  // namespace
}  // namespace tidemark
