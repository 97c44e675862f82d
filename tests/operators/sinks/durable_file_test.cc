#include "tidemark/operators/sinks/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "servers/temp_dir.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DurableFileTest, HasItsNameOnlyWhenItIsPublished) {
  const testing::TempDir dir;
  absl::StatusOr<DurableFile> file = DurableFile::Create(dir.path(), "a.json");
  ASSERT_TRUE(file.ok());
  const std::string large(1'000'000, 'x');
  ASSERT_TRUE(file->Append("start").ok());
  ASSERT_TRUE(file->Append(large).ok());
  EXPECT_EQ(file->bytes(), 1'000'005);
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_THAT(*ListFolder(dir.path()), ElementsAre(".a.json.tmp"));
  DurableFile moved = *std::move(file);
  ASSERT_TRUE(moved.Publish().ok());
  EXPECT_EQ(moved.name(), "a.json");
  EXPECT_THAT(*ListFolder(dir.path()), ElementsAre("a.json"));
  EXPECT_EQ(*ReadSmallFile(dir.Path("a.json")), "start" + large);
  EXPECT_EQ(*FileBytes(dir.Path("a.json")), 1'000'005);
}

TEST(DurableFileTest, GoesIfItIsNotPublished) {
  const testing::TempDir dir;
  {
    absl::StatusOr<DurableFile> open = DurableFile::Create(dir.path(), "open");
    ASSERT_TRUE(open.ok());
    absl::StatusOr<DurableFile> synced = DurableFile::Create(dir.path(), "synced");
    ASSERT_TRUE(synced.ok() && synced->Append("x").ok() && synced->Sync().ok());
  }
  EXPECT_THAT(*ListFolder(dir.path()), IsEmpty());
}

TEST(DurableFileTest, ReplacesLeftoversAndOldVersions) {
  const testing::TempDir dir;
  std::ofstream(dir.Path(".a.tmp")) << "a longer leftover";
  std::ofstream(dir.Path("a")) << "an older version";
  absl::StatusOr<DurableFile> file = DurableFile::Create(dir.path(), "a");
  ASSERT_TRUE(file.ok() && file->Append("new").ok() && file->Sync().ok() && file->Publish().ok());
  EXPECT_EQ(*ReadSmallFile(dir.Path("a")), "new");
}

TEST(DurableFileTest, HiddenNamesReadBack) {
  EXPECT_EQ(DurableFile::HiddenName("a.json"), ".a.json.tmp");
  EXPECT_EQ(DurableFile::ShownName(".a.json.tmp"), "a.json");
  for (const char* name : {"a.json", ".a.json", "a.json.tmp", "", ".", ".tmp"}) {
    EXPECT_EQ(DurableFile::ShownName(name), "") << name;
  }
}

TEST(MakeFolderTest, MakesWhatIsMissingAbove) {
  const testing::TempDir dir;
  for (const char* name : {"a/b/c", "a/b/c", "d//e/", "a"}) {
    const absl::Status status = MakeFolder(dir.Path(name));
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(fs::is_directory(dir.Path(name))) << name;
  }
  EXPECT_TRUE(MakeFolder("/").ok());
  EXPECT_TRUE(MakeFolder(".").ok());
  std::ofstream(dir.Path("file")) << "";
  EXPECT_EQ(MakeFolder(dir.Path("file")).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeFolder(dir.Path("file/below")).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeFolder("").code(), absl::StatusCode::kInvalidArgument);
  fs::create_symlink(dir.Path("a"), dir.Path("link"));
  EXPECT_TRUE(MakeFolder(dir.Path("link")).ok());
}

TEST(FolderTest, WhatIsNotThere) {
  const testing::TempDir dir;
  EXPECT_THAT(*ListFolder(dir.Path("none")), IsEmpty());
  EXPECT_TRUE(RemoveFile(dir.Path("none")).ok());
  EXPECT_FALSE(FileBytes(dir.Path("none")).ok());
  EXPECT_FALSE(ReadSmallFile(dir.Path("none")).ok());
  EXPECT_FALSE(SyncFolder(dir.Path("none")).ok());
  EXPECT_FALSE(DurableFile::Create(dir.Path("none"), "a").ok());
  EXPECT_FALSE(RemoveFile(dir.path()).ok()) << "a folder is no file";
  EXPECT_FALSE(ReadSmallFile(dir.path()).ok());
}

TEST(ReadSmallFileTest, RefusesALargeOne) {
  const testing::TempDir dir;
  std::ofstream(dir.Path("large")) << "x";
  fs::resize_file(dir.Path("large"), (16 << 20) + 10'000);
  EXPECT_THAT(std::string(ReadSmallFile(dir.Path("large")).status().message()),
              HasSubstr("too large"));
}

TEST(FileErrorTest, SaysWhoCanHelp) {
  EXPECT_EQ(FileError(ENOSPC, "w", "p").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(FileError(EDQUOT, "w", "p").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(FileError(EIO, "w", "p").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(FileError(EACCES, "w", "p").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FileError(EROFS, "w", "p").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(FileError(EACCES, "cannot do it to", "/a/b").message()),
              HasSubstr("cannot do it to '/a/b': Permission denied; "));
}

}  // namespace
}  // namespace tidemark
