#include "tidemark/state/checkpoint_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Content = CheckpointFolder::Content;

class CheckpointFolderTest : public ::testing::Test {
 protected:
  std::string Path() const { return temp_.Path("ck"); }
  void Write(const std::string& name, const std::string& text = "") {
    std::filesystem::create_directories(Path());
    std::ofstream(Path() + "/" + name) << text;
  }
  void MakeFolder(const std::string& name) {
    std::filesystem::create_directories(Path() + "/" + name);
  }

  testing::TempDir temp_;
};

TEST_F(CheckpointFolderTest, MissingEmptyAndHalfMadeAreNothing) {
  CheckpointFolder folder(Path());
  EXPECT_EQ(folder.Inspect().value(), Content::kNothing);
  MakeFolder("");
  EXPECT_EQ(folder.Inspect().value(), Content::kNothing);
  Write("lock", "123\n");
  MakeFolder("state.new");
  MakeFolder("dead_letters");
  MakeFolder("lost+found");
  MakeFolder("snapshots");
  EXPECT_EQ(folder.Inspect().value(), Content::kNothing);
  MakeFolder("state");
  EXPECT_EQ(folder.Inspect().value(), Content::kDatabase);
}

TEST_F(CheckpointFolderTest, SomebodysFilesAreRefusedByName) {
  Write("thesis.txt");
  const auto content = CheckpointFolder(Path()).Inspect();
  EXPECT_EQ(content.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(content.status().message()), HasSubstr("thesis.txt"));
}

TEST_F(CheckpointFolderTest, AnotherProgramsLockFileIsRefused) {
  for (const std::string text :
       {"yarn lockfile v1", "0123", "-5", "12 34", "99999999999999999999"}) {
    Write("lock", text);
    EXPECT_EQ(CheckpointFolder(Path()).Inspect().status().code(),
              absl::StatusCode::kFailedPrecondition)
        << text;
  }
  std::filesystem::remove(Path() + "/lock");
  std::filesystem::create_symlink("/etc/hostname", Path() + "/lock");
  EXPECT_EQ(CheckpointFolder(Path()).Inspect().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(CheckpointFolderTest, SnapshotsWithoutDatabaseAreDataLossAndNameTheNewest) {
  MakeFolder("snapshots/99");
  MakeFolder("snapshots/100");
  const auto content = CheckpointFolder(Path()).Inspect();
  EXPECT_EQ(content.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(content.status().message()), HasSubstr("rewind " + Path() + " --to 100"));
}

TEST_F(CheckpointFolderTest, AQueryThatHasBegunWithoutItsDatabaseIsDataLoss) {
  MakeFolder("state");
  Write("lock", "123\n");
  EXPECT_FALSE(CheckpointFolder(Path()).has_begun());
  ASSERT_TRUE(CheckpointFolder(Path()).MarkBegun().ok());
  ASSERT_TRUE(CheckpointFolder(Path()).MarkBegun().ok());
  EXPECT_TRUE(CheckpointFolder(Path()).has_begun());
  EXPECT_EQ(CheckpointFolder(Path()).Inspect().value(), Content::kDatabase);
  std::filesystem::remove(Path() + "/state");
  for (const char* text : {"a Tidemark query has begun here\n", ""}) {
    Write("begun", text);
    const auto content = CheckpointFolder(Path()).Inspect();
    EXPECT_EQ(content.status().code(), absl::StatusCode::kDataLoss) << content.status();
    EXPECT_THAT(std::string(content.status().message()),
                AllOf(HasSubstr(Path() + "/state is missing"), HasSubstr("a query has begun here"),
                      HasSubstr("restore " + Path() + " from a backup")));
  }
  Write("begun", "my novel\n");
  EXPECT_EQ(CheckpointFolder(Path()).Inspect().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(CheckpointFolderTest, ANoteOfTheLastCommitIsReadWholeOrNotAtAll) {
  MakeFolder("state");
  CheckpointFolder folder(Path());
  EXPECT_EQ(folder.NotedCommit(), std::nullopt);
  for (const uint64_t commit : {uint64_t{1}, uint64_t{999}, UINT64_MAX, uint64_t{7}}) {
    folder.NoteCommit(commit);
    EXPECT_EQ(CheckpointFolder(Path()).NotedCommit(), commit);
  }
  std::string note;
  std::getline(std::ifstream(folder.commit_note()), note, '\0');
  for (size_t i = 0; i < note.size(); ++i) {
    std::string damaged = note;
    damaged[i] ^= 1;
    Write("state/last_commit", damaged);
    EXPECT_EQ(folder.NotedCommit(), std::nullopt) << damaged;
    Write("state/last_commit", note.substr(0, i));
    EXPECT_EQ(folder.NotedCommit(), std::nullopt) << i;
  }
}

TEST_F(CheckpointFolderTest, MakesParentsAndTakesASlashAtTheEnd) {
  CheckpointFolder folder(Path() + "/a/b/");
  ASSERT_TRUE(folder.Make().ok());
  EXPECT_TRUE(std::filesystem::is_directory(Path() + "/a/b"));
  ASSERT_TRUE(folder.Make().ok());
}

TEST_F(CheckpointFolderTest, AFileInTheWayOfAParentIsNamed) {
  Write("file");
  CheckpointFolder folder(Path() + "/file/deeper");
  absl::Status status = folder.Inspect().status();
  if (status.ok()) status = folder.Make();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST_F(CheckpointFolderTest, SecondLockIsRefusedNamingTheHolderUntilItGoes) {
  CheckpointFolder second(Path());
  {
    CheckpointFolder first(Path());
    ASSERT_TRUE(first.Make().ok());
    ASSERT_TRUE(first.Lock().ok());
    const absl::Status status = second.Lock();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("process " + std::to_string(getpid())));
  }
  EXPECT_TRUE(second.Lock().ok());
}

TEST_F(CheckpointFolderTest, LockOfADeadProcessDoesNotBlock) {
  Write("lock", "1999999999\n");
  CheckpointFolder folder(Path());
  ASSERT_TRUE(folder.Lock().ok());
  std::string holder;
  std::ifstream(Path() + "/lock") >> holder;
  EXPECT_EQ(holder, std::to_string(getpid()));
}

TEST_F(CheckpointFolderTest, SnapshotNamesAreDigitsOnlyAndLeftoversGo) {
  for (const char* name : {"3", "20", "007", "4.new", "5.new.tmp", "6.removed", "notes.txt"}) {
    MakeFolder(std::string("snapshots/") + name);
  }
  CheckpointFolder folder(Path());
  EXPECT_THAT(folder.ListSnapshots(), ElementsAre(3, 20));
  ASSERT_TRUE(folder.RemoveUnfinishedSnapshots().ok());
  for (const char* name : {"4.new", "5.new.tmp", "6.removed"}) {
    EXPECT_FALSE(std::filesystem::exists(folder.snapshots() + "/" + name)) << name;
  }
  EXPECT_TRUE(std::filesystem::exists(folder.snapshots() + "/notes.txt"));
  ASSERT_TRUE(folder.RemoveSnapshot(3).ok());
  EXPECT_THAT(folder.ListSnapshots(), ElementsAre(20));
}

TEST_F(CheckpointFolderTest, AdviceSkipsSnapshotsThatShareTheDamagedFile) {
  MakeFolder("snapshots/1");
  MakeFolder("snapshots/2");
  MakeFolder("state");
  Write("snapshots/2/000009.sst");
  CheckpointFolder folder(Path());
  EXPECT_THAT(folder.RestoreAdvice(""), HasSubstr("snapshot of batch 2"));
  // Missing in the database: the snapshot's is sound.
  EXPECT_THAT(folder.RestoreAdvice("000009.sst"), HasSubstr("snapshot of batch 2"));
  const auto link = [this](const std::string& from, const std::string& to) {
    std::filesystem::create_hard_link(Path() + from, Path() + to);
  };
  link("/snapshots/2/000009.sst", "/state/000009.sst");
  EXPECT_THAT(folder.RestoreAdvice("000009.sst"), HasSubstr("snapshot of batch 1"));
  link("/snapshots/2/000009.sst", "/snapshots/1/000009.sst");
  EXPECT_THAT(folder.RestoreAdvice("000009.sst"), HasSubstr("no snapshot"));
}

}  // namespace
}  // namespace tidemark
