#include "tidemark/operators/sources/offsets_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace tidemark {
namespace {

using ::testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(OffsetsJsonTest, WritesSparksFormInCanonicalOrder) {
  EXPECT_EQ(OffsetsToJson({}), "{}");
  EXPECT_EQ(OffsetsToJson({{{"b", 10}, 1}, {{"b", 2}, 7}, {{"a", 0}, 0}}),
            R"({"a":{"0":0},"b":{"2":7,"10":1}})");
  EXPECT_EQ(OffsetsToJson({{{"q\"\\\n", 0}, 5}}), R"({"q\"\\\u000a":{"0":5}})");
}

TEST(OffsetsJsonTest, ReadsItBackWithBlanksAnywhere) {
  const auto offsets = OffsetsFromJson(" {\"t\" : { \"1\":23 ,\t\"0\": -2},\n\"u\":{\"0\":-1}} ");
  ASSERT_TRUE(offsets.ok()) << offsets.status();
  EXPECT_EQ(*offsets, (Offsets{{{"t", 0}, -2}, {{"t", 1}, 23}, {{"u", 0}, -1}}));
}

TEST(OffsetsJsonTest, EverythingWrittenIsReadBackTheSame) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    Offsets offsets;
    for (uint64_t i = random() % 5; i > 0; --i) {
      std::string topic;
      for (uint64_t c = 1 + random() % 6; c > 0; --c)
        topic += static_cast<char>(1 + random() % 127);
      offsets[{topic, static_cast<int32_t>(random() % 12)}] = static_cast<int64_t>(random() >> 1);
    }
    const auto read = OffsetsFromJson(OffsetsToJson(offsets));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, offsets);
  }
}

TEST(OffsetsJsonTest, RefusesEverythingElseAndSaysWhere) {
  const std::string bad[] = {"",
                             "{",
                             "[]",
                             "null",
                             R"({"t":23})",
                             R"({"t":{"0":"23"}})",
                             R"({"t":{"0":23.5}})",
                             R"({"t":{"0":1e3}})",
                             R"({"t":{"0":-3}})",
                             R"({"t":{"0":9223372036854775808}})",
                             R"({"t":{"x":1}})",
                             R"({"t":{"-1":1}})",
                             R"({"t":{"4294967296":1}})",
                             R"({"t":{"0":1,"0":2}})",
                             R"({"t":{"0":1},"t":{"0":1}})",
                             R"({"t":{"0":1}} x)",
                             R"({"t":{"0":1},})",
                             R"({"t":{"0":1})",
                             R"({"t":{"0" 1}})",
                             R"({"t)",
                             R"({"t\)",
                             R"({"t\u00)",
                             R"({"t\u00ff":{"0":1}})"};
  for (const std::string& text : bad) {
    const auto read = OffsetsFromJson(text);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(Message(read.status()), HasSubstr("at character")) << text;
  }
  EXPECT_THAT(Message(OffsetsFromJson(R"({"t":{"0":1,"0":2}})").status()),
              HasSubstr("partition 0 of topic t is named twice"));
}

TEST(StartingOffsetsTest, ReadsTheThreeForms) {
  EXPECT_EQ(ParseStartingOffsets("earliest")->everywhere, kEarliestOffset);
  EXPECT_EQ(ParseStartingOffsets("latest")->everywhere, kLatestOffset);
  EXPECT_EQ(ParseStartingOffsets(R"({"t":{"0":5}})")->offsets, (Offsets{{{"t", 0}, 5}}));
  for (const char* bad : {"", "Earliest", "first", "{}", " {", "23"}) {
    EXPECT_EQ(ParseStartingOffsets(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_THAT(Message(ParseStartingOffsets("first").status()), HasSubstr("earliest, latest or"));
}

TEST(StartingOffsetsTest, ResolvesAgainstWhatIsThere) {
  const std::vector<AvailableRange> available = {{{"t", 0}, 10, 20}, {{"t", 1}, 0, 0}};
  EXPECT_EQ(*ResolveStartingOffsets(*ParseStartingOffsets("earliest"), available),
            (Offsets{{{"t", 0}, 10}, {{"t", 1}, 0}}));
  EXPECT_EQ(*ResolveStartingOffsets(*ParseStartingOffsets("latest"), available),
            (Offsets{{{"t", 0}, 20}, {{"t", 1}, 0}}));
  EXPECT_EQ(*ResolveStartingOffsets(*ParseStartingOffsets(R"({"t":{"0":-1,"1":-2}})"), available),
            (Offsets{{{"t", 0}, 20}, {{"t", 1}, 0}}));
  EXPECT_EQ(*ResolveStartingOffsets(*ParseStartingOffsets(R"({"t":{"0":3,"1":0}})"), available),
            (Offsets{{{"t", 0}, 3}, {{"t", 1}, 0}}))
      << "aged out is the engine's to judge";
}

TEST(StartingOffsetsTest, RefusesMissingForeignAndFutureOffsets) {
  const std::vector<AvailableRange> available = {{{"t", 0}, 10, 20}, {{"t", 1}, 0, 0}};
  const std::pair<const char*, const char*> cases[] = {
      {R"({"t":{"0":15}})", "leave out partition 1 of topic t"},
      {R"({"t":{"0":15,"1":0,"2":0}})", "name topic t partition 2, which is not there"},
      {R"({"t":{"0":15,"1":0},"u":{"0":0}})", "name topic u partition 0"},
      {R"({"t":{"0":21,"1":0}})", "21 of topic t partition 0 is past its end (20)"}};
  for (const auto& [text, words] : cases) {
    const auto resolved = ResolveStartingOffsets(*ParseStartingOffsets(text), available);
    EXPECT_EQ(resolved.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(Message(resolved.status()), HasSubstr(words));
  }
}

}  // namespace
}  // namespace tidemark
