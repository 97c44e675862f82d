#include "tidemark/operators/sources/polling_mirror.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

TEST(PollingMirrorTest, SaysHowFarItIs) {
  EXPECT_EQ(MirrorText({.source = "a\"b", .rows = 0, .last = std::nullopt}),
            "{\"source\":\"a\\\"b\",\"rows\":0}\n");
  EXPECT_EQ(MirrorText({.source = "t", .mode = PollingMode::kTimestamp, .rows = 2, .last = 1'500}),
            "{\"source\":\"t\",\"rows\":2,\"last_timestamp\":\"1970-01-01T00:00:00.001500Z\"}\n");
}

TEST(PollingMirrorTest, ReplacesTheFileAsAWhole) {
  testing::TempDir folder;
  const std::string path = folder.Path("state.json");
  ASSERT_TRUE(WriteMirrorFile(path, {.source = "t", .rows = 1, .last = 1}).ok());
  struct stat before = {};
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  ASSERT_TRUE(WriteMirrorFile(path, {.source = "t", .rows = 2, .last = 2}).ok());
  struct stat after = {};
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_NE(before.st_ino, after.st_ino) << "written over in place";
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "{\"source\":\"t\",\"rows\":2,\"last_id\":2}\n");
  EXPECT_NE(stat((path + ".tmp").c_str(), &after), 0);
  EXPECT_TRUE(absl::IsUnavailable(WriteMirrorFile(folder.path(), {.source = "t", .last = 1})));
}

}  // namespace
}  // namespace tidemark
