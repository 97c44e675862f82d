#include "tidemark/state/checkpoint_rewind.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kDied = 77;

// Batches 1 to 4, of which 1 to 3 have snapshots: batch n has written its number and n state rows.
class CheckpointRewindTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int64_t batch_id = 1; batch_id <= 4; ++batch_id) {
      auto store = Open();
      auto writes = store->NewWrites();
      writes->PutMeta("batch", std::to_string(batch_id));
      writes->PutState("row " + std::to_string(batch_id), std::string(10'000, 'x'));
      ASSERT_TRUE(store->Commit(std::move(writes)).ok());
      if (batch_id == 4) continue;
      const absl::Status status = store->Snapshot(batch_id, 3);
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  std::string Path() const { return dir_.Path("ck"); }
  CheckpointFolder Folder() const { return CheckpointFolder(Path()); }
  std::unique_ptr<CheckpointStore> Open() const {
    bool created = false;
    auto store = OpenCheckpointStore(Path(), {}, &created);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  // `batch 4: 4 rows`, `batch 2: 2 rows, epoch 1`: of the database, or of a copy.
  static std::string Content(CheckpointStore& store) {
    int rows = 0;
    const auto cursor = store.NewStateCursor("row", "row~");
    while (cursor->Next().value()) ++rows;
    const auto epoch = store.GetMeta("epoch").value();
    return "batch " + store.GetMeta("batch").value().value_or("none") + ": " +
           std::to_string(rows) + " rows" + (epoch.has_value() ? ", epoch " + *epoch : "");
  }
  std::string Content() const { return Content(*Open()); }
  std::string ContentOf(const std::string& database) const {
    const auto copy = OpenCheckpointCopy(Path(), database, {});
    if (!copy.ok()) return std::string(copy.status().message());
    const absl::Status whole = (*copy)->VerifyChecksums();
    EXPECT_TRUE(whole.ok()) << whole;
    return Content(**copy);
  }
  absl::Status Rewind(int64_t batch_id, int64_t epoch) const {
    CheckpointFolder folder(Path());
    if (absl::Status status = folder.Lock(); !status.ok()) return status;
    return RewindCheckpoint(folder, batch_id, epoch, [&](std::unique_ptr<CheckpointStore> store) {
      auto writes = store->NewWrites();
      writes->PutMeta("epoch", std::to_string(epoch));
      return store->Commit(std::move(writes));
    });
  }
  absl::Status Undo(int64_t epoch) const {
    CheckpointFolder folder(Path());
    if (absl::Status status = folder.Lock(); !status.ok()) return status;
    return UndoRewind(folder, epoch);
  }
  std::vector<std::string> Rewinds() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(Path() + "/rewound", error))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  // Exit code of a process that rewinds, or undoes, and dies at its Nth call.
  int RunAndDie(const std::string& what, int at) const {
    const auto result = testing::RunProcess(
        {.args = {TIDEMARK_REWIND_PROCESS, Path(), what, "2", "1", std::to_string(at)}},
        absl::Seconds(60));
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->stderr_text, "");
    return result->exit_code;
  }
  void Save() { fs::copy(Path(), dir_.Path("saved"), fs::copy_options::recursive); }
  void Restore() {
    fs::remove_all(Path());
    fs::copy(dir_.Path("saved"), Path(), fs::copy_options::recursive);
  }

  testing::TempDir dir_;
};

TEST_F(CheckpointRewindTest, GoesBackAndKeepsWhatWasThere) {
  ASSERT_TRUE(Rewind(2, 1).ok());
  EXPECT_EQ(Content(), "batch 2: 2 rows, epoch 1");
  EXPECT_THAT(Folder().ListSnapshots(), ElementsAre(1, 2));
  EXPECT_EQ(ContentOf("snapshots/2"), "batch 2: 2 rows") << "a snapshot is never written to";
  EXPECT_THAT(Rewinds(), ElementsAre("1"));
  EXPECT_EQ(ContentOf("rewound/1/state"), "batch 4: 4 rows");
  EXPECT_EQ(ContentOf("rewound/1/snapshots/3"), "batch 3: 3 rows");
  // Again, and back in the opposite order.
  ASSERT_TRUE(Rewind(1, 2).ok());
  EXPECT_EQ(Content(), "batch 1: 1 rows, epoch 2");
  ASSERT_TRUE(Undo(2).ok());
  EXPECT_EQ(Content(), "batch 2: 2 rows, epoch 1");
  ASSERT_TRUE(Undo(1).ok());
  EXPECT_EQ(Content(), "batch 4: 4 rows");
  EXPECT_THAT(Folder().ListSnapshots(), ElementsAre(1, 2, 3));
  EXPECT_THAT(Rewinds(), IsEmpty());
}

TEST_F(CheckpointRewindTest, ADatabaseThatIsGoneIsReplaced) {
  fs::remove_all(Path() + "/state");
  ASSERT_TRUE(Rewind(3, 1).ok());
  EXPECT_EQ(Content(), "batch 3: 3 rows, epoch 1");
  EXPECT_THAT(Rewinds(), ElementsAre("1"));
}

TEST_F(CheckpointRewindTest, WhatFailsChangesNothing) {
  EXPECT_FALSE(Rewind(7, 1).ok()) << "no such snapshot";
  CheckpointFolder folder(Path());
  ASSERT_TRUE(folder.Lock().ok());
  const absl::Status status =
      RewindCheckpoint(folder, 2, 1, [](std::unique_ptr<CheckpointStore>) -> absl::Status {
        return absl::DataLossError("does not read");
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(Rewinds(), IsEmpty());
  EXPECT_THAT(folder.ListSnapshots(), ElementsAre(1, 2, 3));
  EXPECT_EQ(ContentOf("state"), "batch 4: 4 rows");
}

// Whoever opens the checkpoint next finds the old state or the new one, each with its snapshots.
TEST_F(CheckpointRewindTest, AProcessThatDiesOnTheWayLeavesTheOldStateOrTheNewOne) {
  Save();
  int old_states = 0;
  int new_states = 0;
  for (int at = 1;; ++at) {
    Restore();
    const int code = RunAndDie("rewind", at);
    const std::string content = Content();
    if (content == "batch 4: 4 rows") {
      ++old_states;
      EXPECT_THAT(Folder().ListSnapshots(), ElementsAre(1, 2, 3)) << at;
      EXPECT_THAT(Rewinds(), IsEmpty()) << at;
      EXPECT_EQ(ContentOf("snapshots/3"), "batch 3: 3 rows");
    } else {
      ++new_states;
      EXPECT_EQ(content, "batch 2: 2 rows, epoch 1") << at;
      EXPECT_THAT(Folder().ListSnapshots(), ElementsAre(1, 2)) << at;
      EXPECT_THAT(Rewinds(), ElementsAre("1")) << at;
      EXPECT_EQ(ContentOf("rewound/1/state"), "batch 4: 4 rows");
    }
    if (code == 0) break;
    ASSERT_EQ(code, kDied);
    ASSERT_LT(at, 500);
  }
  EXPECT_GT(old_states, 15);
  EXPECT_GT(new_states, 3);
}

TEST_F(CheckpointRewindTest, AProcessThatDiesWhileItUndoesLeavesTheOldStateOrTheNewOne) {
  ASSERT_TRUE(Rewind(2, 1).ok());
  Save();
  int old_states = 0;
  int new_states = 0;
  for (int at = 1;; ++at) {
    Restore();
    const int code = RunAndDie("undo", at);
    const std::string content = Content();
    if (content == "batch 4: 4 rows") {
      ++new_states;
      EXPECT_THAT(Folder().ListSnapshots(), ElementsAre(1, 2, 3)) << at;
      EXPECT_THAT(Rewinds(), IsEmpty()) << at;
    } else {
      ++old_states;
      EXPECT_EQ(content, "batch 2: 2 rows, epoch 1") << at;
      EXPECT_THAT(Folder().ListSnapshots(), ElementsAre(1, 2)) << at;
      EXPECT_THAT(Rewinds(), ElementsAre("1")) << at;
      EXPECT_EQ(ContentOf("rewound/1/state"), "batch 4: 4 rows");
    }
    if (code == 0) break;
    ASSERT_EQ(code, kDied);
    ASSERT_LT(at, 500);
  }
  EXPECT_GE(old_states, 3);
  EXPECT_GT(new_states, 5);
}

TEST_F(CheckpointRewindTest, ACopyIsOnlyRead) {
  const auto copy = OpenCheckpointCopy(Path(), "snapshots/3", {});
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ((*copy)->Commit((*copy)->NewWrites()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*copy)->Snapshot(9, 3).code(), absl::StatusCode::kFailedPrecondition);
  const auto meta = (*copy)->ReadAllMeta();
  ASSERT_TRUE(meta.ok());
  EXPECT_THAT(*meta, ElementsAre(std::pair<std::string, std::string>("batch", "3")));
  EXPECT_GT((*copy)->disk_bytes(), 1000);
  EXPECT_EQ(OpenCheckpointCopy(Path(), "snapshots/8", {}).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tidemark
