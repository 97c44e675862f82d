#include "tidemark/operators/formats/json_shape.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/formats/json_paths.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {
namespace {

constexpr size_t kPaths = 5;

JsonPaths MakePaths() {
  JsonPaths paths;
  EXPECT_TRUE(paths.Add({"id"}));
  EXPECT_TRUE(paths.Add({"a_rather_long_name"}));
  EXPECT_TRUE(paths.Add({"inner", "x"}));
  EXPECT_TRUE(paths.Add({"list", "1"}));
  EXPECT_TRUE(paths.Add({"inner"}));  // a container
  paths.Finish();
  return paths;
}

// Learns one document after another and asks about the next.
class Learned {
 public:
  explicit Learned(std::string_view text) : found_(kPaths + 1) { Learn(text); }

  void Learn(std::string_view text) {
    ASSERT_FALSE(document_.Parse(text, false).has_value()) << text;
    paths_.Locate(document_, found_.data());
    shape_.Learn(document_, found_.data(), kPaths);
  }

  bool Matches(std::string_view text) {
    padded_.assign(text);
    padded_.append(kRecordPadding, '"');
    return shape_.Matches({padded_.data(), text.size()});
  }

  bool MatchesInPlace(std::string_view text) { return shape_.Matches(text); }

  // What a match promises, against the checker and the look-up by name.
  void ExpectRight(std::string_view text) {
    ASSERT_FALSE(document_.Parse(text, false).has_value()) << text;
    paths_.Locate(document_, found_.data());
    for (size_t i = 0; i < kPaths; ++i) {
      const JsonText want = document_.Text(found_[i]);
      EXPECT_EQ(shape_.values()[i].text, want.text) << text;
      EXPECT_TRUE(shape_.values()[i].escaped || want.text.find('\\') == std::string_view::npos)
          << text;
    }
  }

 private:
  JsonDocument document_{16};
  JsonPaths paths_ = MakePaths();
  JsonShape shape_;
  std::vector<JsonValue> found_;
  std::string padded_;
};

constexpr std::string_view kRecord =
    R"({"id":7,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",-1.5e3]})";

TEST(JsonShape, RecordsWithOtherValuesMatch) {
  Learned learned(kRecord);
  for (std::string_view text :
       {kRecord,
        std::string_view(R"({"id":123456789,"a_rather_long_name":null,"inner":{"x":"\u00e9","y":[)"
                         R"(false,true]},"list":[0,""]})"),
        std::string_view(R"({"id":-0,"a_rather_long_name":"Zürich, 東京","inner":{"x":"{,}","y":[)"
                         R"(1e5,""]},"list":[12345678901234567890,4]})")}) {
    EXPECT_TRUE(learned.Matches(text)) << text;
    learned.ExpectRight(text);
  }
}

TEST(JsonShape, BlanksBelongToTheShape) {
  Learned learned(" { \"id\" : 1 , \"inner\": {\"x\": [ ]}}\n");
  EXPECT_TRUE(learned.Matches(" { \"id\" : 22 , \"inner\": {\"x\": [ ]}}\n"));
  learned.ExpectRight(" { \"id\" : 22 , \"inner\": {\"x\": [ ]}}\n");
  EXPECT_FALSE(learned.Matches(" { \"id\": 22 , \"inner\": {\"x\": [ ]}}\n"));
  EXPECT_FALSE(learned.Matches(" { \"id\" : 22 , \"inner\": {\"x\": [ ]}}"));
}

// The bytes behind a record are the next one's: they must not complete it.
TEST(JsonShape, NothingBehindTheTextCounts) {
  const std::string next = R"(6,"name":"some text that is longer than a block"}        )" +
                           std::string(kRecordPadding, ' ');
  Learned learned(R"({"id":5,"name":"some text that is longer than a block"})");
  const std::string whole = R"({"id":)" + next;
  for (size_t size = 0; size + kRecordPadding < whole.size(); ++size) {
    EXPECT_EQ(learned.MatchesInPlace({whole.data(), size}), size == 55) << size;
  }
}

TEST(JsonShape, OtherShapesDoNot) {
  Learned learned(kRecord);
  for (std::string_view text :
       {R"({"id":7,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a"]})",
        R"({"ID":7,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":7,"a_rather_long_nama":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":7,"b_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":7,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",{]})",
        R"({"id":7,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a":1]})",
        R"({"id":07,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":7,"a_rather_long_name":"\x","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        "{\"id\":7,\"a_rather_long_name\":\"te\xff\",\"inner\":{\"x\":1,\"y\":[1,2]},\"list\":[0,0]"
        "}",
        "{\"id\":7,\"a_rather_long_name\":\"te\t\",\"inner\":{\"x\":1,\"y\":[1,2]},\"list\":[0,0]}",
        R"({"id":-,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":1.,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":nul,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({"id":7,"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1}])",
        R"({"id":7;"a_rather_long_name":"text","inner":{"x":null,"y":[1,2]},"list":["a",1]})",
        R"({})"}) {
    EXPECT_FALSE(learned.Matches(text)) << text;
  }
}

TEST(JsonShape, OfTwoMembersOfOneNameTheLastCounts) {
  Learned learned(R"({"id":1,"id":2})");
  constexpr std::string_view kNext = R"({"id":3,"id":4})";
  EXPECT_TRUE(learned.Matches(kNext));
  learned.ExpectRight(kNext);
}

TEST(JsonShape, NewShapesAreLearnedMoreAndMoreRarelyAndAtOnceAfterAMatch) {
  Learned learned(R"({"a":1})");
  learned.Learn(R"({"b":1})");  // the second in a row: not at once
  EXPECT_TRUE(learned.Matches(R"({"a":2})"));
  learned.Learn(R"({"b":1})");  // a match came before
  EXPECT_TRUE(learned.Matches(R"({"b":2})"));
  EXPECT_FALSE(learned.Matches(R"({"a":2})"));
}

// Whatever bytes are changed: a match is never wrong.
TEST(JsonShape, AMatchIsAlwaysRight) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const std::string bytes = "{}[]:,\" \\0123456789eE+-.truefalsnidxy\n\xc3\xa9";
  Learned learned(kRecord);
  int matches = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text(kRecord);
    for (uint32_t edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.insert(at, 1, bytes[random() % bytes.size()]);
          break;
        default:
          text.erase(at, 1);
      }
    }
    if (!learned.Matches(text)) continue;
    ++matches;
    learned.ExpectRight(text);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  EXPECT_GT(matches, 1000);
}

}  // namespace
}  // namespace tidemark
