#include "tidemark/operators/formats/utf8_repair.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

TEST(Utf8RepairTest, LeavesValidTextAlone) {
  for (const std::string text : {"", "abc", "Grüße €😀", "\x7f\x01"})
    EXPECT_EQ(RepairUtf8(text), text);
}

TEST(Utf8RepairTest, ReplacesEachByteThatIsNotPartOfACharacter) {
  EXPECT_EQ(RepairUtf8("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(RepairUtf8("\xC3"), "\uFFFD");
  EXPECT_EQ(RepairUtf8("é\xE2\x82z"), "é\uFFFD\uFFFDz");
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(RepairUtf8("\xF0\x9F\x98\x80\x80"), "😀\uFFFD");
}

TEST(Utf8RepairTest, RandomBytesBecomeValid) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (char& c : bytes)
      c = static_cast<char>(
          random() % 3 == 0 ? random() : "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80x"[random() % 10]);
    EXPECT_TRUE(IsValidUtf8(RepairUtf8(bytes)));
  }
}

}  // namespace
}  // namespace tidemark
