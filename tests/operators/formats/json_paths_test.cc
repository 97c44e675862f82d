#include "tidemark/operators/formats/json_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tidemark {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Names(const std::string& pointer) {
  return JsonPaths::ParsePointer(pointer).value();
}

TEST(JsonPathsTest, Pointers) {
  EXPECT_THAT(Names("/a"), ElementsAre("a"));
  EXPECT_THAT(Names("/payload/after/id"), ElementsAre("payload", "after", "id"));
  EXPECT_THAT(Names("/"), ElementsAre(""));
  EXPECT_THAT(Names("//a/"), ElementsAre("", "a", ""));
  EXPECT_THAT(Names("/a~1b/c~0d/~01"), ElementsAre("a/b", "c~d", "~1"));
  EXPECT_THAT(Names("/ü/0"), ElementsAre("ü", "0"));
  for (const char* wrong : {"", "a", "a/b", "/~", "/~2", "/a~/b", "/a/b~"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(JsonPaths::ParsePointer(wrong).status())) << wrong;
  }
}

TEST(JsonPathsTest, APathIsAddedOnce) {
  JsonPaths paths;
  EXPECT_TRUE(paths.Add({"a", "b"}));
  EXPECT_FALSE(paths.Add({"a", "b"}));
  EXPECT_TRUE(paths.Add({"a"}));
  EXPECT_TRUE(paths.Add({"a", "b", "c"}));
  EXPECT_FALSE(paths.Add({"a"}));
}

TEST(JsonPathsTest, FindsEachPathsValue) {
  JsonPaths paths;
  ASSERT_TRUE(paths.Add({"b"}));
  ASSERT_TRUE(paths.Add({"a", "1", "x"}));
  ASSERT_TRUE(paths.Add({"a"}));
  ASSERT_TRUE(paths.Add({"none"}));
  paths.Finish();
  JsonDocument document(16);
  JsonValue found[5];
  ASSERT_FALSE(document.Parse(R"({ "z" : {"b":0} , "a":[7, {"x" : 5 } ], "b" : "text" })", false)
                   .has_value());
  paths.Locate(document, found);
  EXPECT_EQ(document.Text(found[0]).text, "\"text\"");
  EXPECT_EQ(document.Text(found[1]).text, "5");
  EXPECT_EQ(document.Text(found[2]).text, R"([7, {"x" : 5 } ])");
  EXPECT_EQ(found[3].next, 0u);
  ASSERT_FALSE(document.Parse("{}", false).has_value());
  paths.Locate(document, found);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(found[i].next, 0u);
}

// Canonical array indexes only: 01 is a member's name.
TEST(JsonPathsTest, ElementsOfArrays) {
  JsonPaths paths;
  for (const char* name : {"0", "01", "12", "-", "-1", "+0", ""})
    ASSERT_TRUE(paths.Add({"a", name}));
  paths.Finish();
  JsonDocument document(16);
  JsonValue found[8];
  ASSERT_FALSE(document.Parse(R"({"a":[0,1,2,3,4,5,6,7,8,9,10,11,[12]]})", false).has_value());
  paths.Locate(document, found);
  EXPECT_EQ(document.Text(found[0]).text, "0");
  EXPECT_EQ(document.Text(found[2]).text, "[12]");
  for (size_t i : {1, 3, 4, 5, 6}) EXPECT_EQ(found[i].next, 0u) << i;
}

}  // namespace
}  // namespace tidemark
