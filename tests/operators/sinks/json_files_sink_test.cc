#include "tidemark/operators/sinks/json_files_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/files_folder.h"
#include "operators/sinks/list_stream.h"
#include "servers/temp_dir.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using testing::ContextOf;
using ::testing::HasSubstr;
using testing::ListStream;
using testing::MakeBatch;
using testing::Null;
using testing::Row;

using testing::Files;
using testing::FilesFolder;
using testing::KillStates;

constexpr const char* kQuery = testing::kFilesQuery;

class JsonFilesSinkTest : public ::testing::Test {
 protected:
  static SinkContext Context() {
    return ContextOf(Schema().Int64("id").String("name"), kQuery, "out \"quoted\"");
  }
  static std::vector<Row> RowsOf(int64_t batch_id, int count) {
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) {
      rows.push_back({batch_id * 1000 + i, "name " + std::to_string(i)});
    }
    return rows;
  }
  static SinkBatch Batch(int64_t batch_id, int64_t epoch = 0) {
    return testing::FilesBatch(batch_id, epoch);
  }

  std::string folder() const { return folder_.path(); }
  std::string PathOf(const std::string& name) const { return folder_.Path(name); }

  std::unique_ptr<Sink> Make(JsonFilesOptions options = {}) const {
    return MakeJsonFilesSink(folder(), options);
  }
  std::unique_ptr<Sink> Opened(JsonFilesOptions options = {}) const {
    std::unique_ptr<Sink> sink = Make(options);
    const absl::Status status = sink->Open(Context());
    EXPECT_TRUE(status.ok()) << status;
    return sink;
  }
  static absl::StatusOr<SinkMarker> Commit(Sink* sink, const SinkBatch& batch, int count) {
    ListStream rows({MakeBatch(Context().schema, RowsOf(batch.batch_id, count))});
    return sink->Commit(batch, rows);
  }
  static void MustCommit(Sink* sink, const SinkBatch& batch, int count) {
    const absl::StatusOr<SinkMarker> marker = Commit(sink, batch, count);
    ASSERT_TRUE(marker.ok()) << marker.status();
    EXPECT_EQ(marker->batch_id, batch.batch_id);
    EXPECT_EQ(marker->row_count, count);
  }

  Files Snapshot() const { return folder_.Snapshot(); }
  void Restore(const Files& files) const { folder_.Restore(files); }
  void WriteFile(const std::string& name, const std::string& content) const {
    folder_.Write(name, content);
  }

 private:
  const FilesFolder folder_;
};

TEST_F(JsonFilesSinkTest, WritesPartsAndAManifest) {
  std::unique_ptr<Sink> sink = Opened();
  EXPECT_TRUE(sink->exactly_once());
  EXPECT_EQ(*sink->ReadMarker(), std::nullopt);
  const absl::StatusOr<SinkMarker> marker = Commit(sink.get(), Batch(12), 2);
  ASSERT_TRUE(marker.ok()) << marker.status();
  const Files files = Snapshot();
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files.at("part-00012-000-0123abcd.json"),
            "{\"id\":12000,\"name\":\"name 0\"}\n{\"id\":12001,\"name\":\"name 1\"}\n");
  EXPECT_EQ(
      files.at("_tidemark/00012.json"),
      "{\n"
      "  \"version\": 1,\n"
      "  \"query_id\": \"0123abcd-4567-4e89-8abc-def012345678\",\n"
      "  \"sink\": \"out \\\"quoted\\\"\",\n"
      "  \"epoch\": 0,\n"
      "  \"batch\": 12,\n"
      "  \"plan_hash\": \"000000000000abcc\",\n"
      "  \"row_count\": 2,\n"
      "  \"rows_hash\": \"" +
          [&] {
            char hex[17];
            std::snprintf(hex, sizeof(hex), "%016lx", marker->rows_hash);
            return std::string(hex);
          }() +
          "\",\n"
          "  \"files\": [\n"
          "    {\"name\": \"part-00012-000-0123abcd.json\", \"rows\": 2, \"bytes\": 58}\n"
          "  ]\n"
          "}\n");
  EXPECT_EQ(*sink->ReadMarker(), *marker);
  sink.reset();
  EXPECT_EQ(*Opened()->ReadMarker(), *marker) << "read back";
}

TEST_F(JsonFilesSinkTest, ValuesByTypeAndNullsLeftOut) {
  const Schema schema = Schema()
                            .Bool("b")
                            .Int32("i")
                            .Double("d")
                            .Decimal("dec", 10, 2)
                            .String("a \"key\"")
                            .Bytes("bin")
                            .Date("date")
                            .Timestamp("ts");
  const std::unique_ptr<Sink> sink = Make();
  ASSERT_TRUE(sink->Open(ContextOf(schema, kQuery)).ok());
  RowBatch batch =
      MakeBatch(schema, {{1, -5, 1.5, -1230, std::string("x\ny\"é"), std::string("\xFF", 1), 20'090,
                          int64_t{1'735'812'922'123'000}},
                         {0, 0, 0.0, 0, std::string("not selected"), std::string(), 0, 0},
                         {Null(), Null(), std::nan(""), Null(), Null(), Null(), Null(), 0},
                         {Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null()}});
  batch.set_selection(Selection::Rows({0, 2, 3}));
  ListStream rows({batch});
  ASSERT_TRUE(sink->Commit(Batch(0), rows).ok());
  EXPECT_EQ(Snapshot().at("part-00000-000-0123abcd.json"),
            "{\"b\":true,\"i\":-5,\"d\":1.5,\"dec\":-12.30,\"a \\\"key\\\"\":\"x\\ny\\\"é\","
            "\"bin\":\"/w==\",\"date\":\"2025-01-02\",\"ts\":\"2025-01-02T10:15:22.123Z\"}\n"
            "{\"d\":\"NaN\",\"ts\":\"1970-01-01T00:00:00Z\"}\n"
            "{}\n");
}

TEST_F(JsonFilesSinkTest, ABatchWithoutRowsHasAManifestOnly) {
  std::unique_ptr<Sink> sink = Opened();
  ListStream rows({});
  ASSERT_TRUE(sink->Commit(Batch(0), rows).ok());
  const Files files = Snapshot();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_THAT(files.at("_tidemark/00000.json"), HasSubstr("\"files\": []"));
  sink.reset();
  EXPECT_EQ((*Opened()->ReadMarker())->batch_id, 0);
}

TEST_F(JsonFilesSinkTest, LargeBatchesAreCutIntoParts) {
  const JsonFilesOptions options = {.max_part_bytes = 100};
  MustCommit(Opened(options).get(), Batch(0), 10);
  Files files = Snapshot();
  std::string all;
  int parts = 0;
  for (const auto& [name, content] : files) {
    if (!name.starts_with("part-")) continue;
    EXPECT_LT(content.size(), 200u) << name;
    EXPECT_EQ(content.back(), '\n');
    EXPECT_THAT(files["_tidemark/00000.json"],
                HasSubstr("\"" + name + "\", \"rows\": " +
                          std::to_string(std::count(content.begin(), content.end(), '\n')) +
                          ", \"bytes\": " + std::to_string(content.size())));
    all += content;
    ++parts;
  }
  EXPECT_EQ(parts, 3);
  EXPECT_TRUE(files.contains("part-00000-002-0123abcd.json"));
  Restore({});
  MustCommit(Opened().get(), Batch(0), 10);
  EXPECT_EQ(Snapshot().at("part-00000-000-0123abcd.json"), all);
}

TEST_F(JsonFilesSinkTest, NumbersGrowPastFiveDigits) {
  std::unique_ptr<Sink> sink = Opened();
  MustCommit(sink.get(), Batch(99'999), 1);
  MustCommit(sink.get(), Batch(100'000), 1);
  EXPECT_TRUE(Snapshot().contains("part-100000-000-0123abcd.json"));
  sink.reset();
  EXPECT_EQ((*Opened()->ReadMarker())->batch_id, 100'000);
}

TEST_F(JsonFilesSinkTest, PartitionsAreFolders) {
  std::unique_ptr<Sink> sink = Opened({.partition_by = {"name"}});
  SinkContext context = Context();
  ListStream rows({MakeBatch(context.schema, {{1, "a/b"}, {2, Null()}, {3, "a/b"}, {4, ""}})});
  ASSERT_TRUE(sink->Commit(Batch(0), rows).ok());
  const Files files = Snapshot();
  EXPECT_EQ(files.size(), 4u);
  EXPECT_EQ(files.at("name=a%2Fb/part-00000-000-0123abcd.json"), "{\"id\":1}\n{\"id\":3}\n");
  EXPECT_EQ(files.at("name=__HIVE_DEFAULT_PARTITION__/part-00000-001-0123abcd.json"),
            "{\"id\":2}\n");
  EXPECT_EQ(files.at("name=/part-00000-002-0123abcd.json"), "{\"id\":4}\n");
  // What a kill has left is removed there too, with the next batch.
  const std::string left = "name=x/part-00001-000-0123abcd.json";
  WriteFile(left, "{}\n");
  sink.reset();
  ListStream none({});
  ASSERT_TRUE(Opened({.partition_by = {"name"}})->Commit(Batch(1), none).ok());
  Files after = Snapshot();
  EXPECT_EQ(after.erase("_tidemark/00001.json"), 1u);
  EXPECT_TRUE(after == files);
  EXPECT_FALSE(fs::exists(PathOf("name=x")));
}

TEST_F(JsonFilesSinkTest, ABatchGivenAgainIsThereAlready) {
  MustCommit(Opened().get(), Batch(3), 2);
  const Files before = Snapshot();
  const std::unique_ptr<Sink> sink = Opened();
  ListStream rows({MakeBatch(Context().schema, RowsOf(9, 5))});
  const absl::StatusOr<SinkMarker> marker = sink->Commit(Batch(3), rows);
  ASSERT_TRUE(marker.ok());
  EXPECT_EQ(marker->row_count, 2) << "what it holds";
  EXPECT_EQ(rows.row_count(), 0);
  EXPECT_EQ(Snapshot(), before);
}

// Every state that a kill between two steps of Commit can leave: the batch is written again and the
// folder ends as if nothing had happened.
TEST_F(JsonFilesSinkTest, AKillBetweenAnyTwoStepsIsHealed) {
  const JsonFilesOptions options = {.max_part_bytes = 40};
  MustCommit(Opened(options).get(), Batch(0), 3);
  const Files before = Snapshot();
  MustCommit(Opened(options).get(), Batch(1), 5);
  const Files after = Snapshot();
  const std::vector<Files> states = KillStates(before, after);
  ASSERT_EQ(states.size(), 3u * 3u + 3u + 3u);
  for (const Files& killed : states) {
    Restore(killed);
    const std::unique_ptr<Sink> sink = Opened(options);
    EXPECT_EQ((*sink->ReadMarker())->batch_id, 0);
    MustCommit(sink.get(), Batch(1), 5);
    EXPECT_EQ(Snapshot(), after);
  }
  // The same states, but the batch that is written again has other cuts (fewer parts).
  for (const Files& killed : states) {
    Restore(killed);
    MustCommit(Opened().get(), Batch(1), 5);
    Files found = Snapshot();
    EXPECT_EQ(found.size(), before.size() + 2);
    EXPECT_TRUE(found.contains("part-00001-000-0123abcd.json"));
  }
}

// Not when the folder is opened: parts whose manifests were lost look the same.
TEST_F(JsonFilesSinkTest, LeftoversGoWithTheNextBatch) {
  MustCommit(Opened().get(), Batch(0), 1);
  Files before = Snapshot();
  WriteFile("part-00001-000-0123abcd.json", "{}\n");
  WriteFile("part-00007-012-0123abcd.json", "{}\n");
  WriteFile(".part-00000-000-0123abcd.json.tmp", "{");
  WriteFile(".part-00001-000-0123abcd.json.tmp", "{");
  const Files left = Snapshot();
  const std::unique_ptr<Sink> sink = Opened();
  EXPECT_EQ(Snapshot(), left);
  ListStream none({});
  ASSERT_TRUE(sink->Commit(Batch(1), none).ok());
  before["_tidemark/00001.json"] = Snapshot()["_tidemark/00001.json"];
  EXPECT_EQ(Snapshot(), before);
}

TEST_F(JsonFilesSinkTest, TwoProcessesDoNotWriteOneFolder) {
  std::unique_ptr<Sink> sink = Opened();
  const absl::Status status = Make()->Open(Context());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("by another process"));
  EXPECT_TRUE(sink->Open(Context()).ok()) << "again, after what may pass";
  sink.reset();
  Opened();
}

TEST_F(JsonFilesSinkTest, FilesOfOthersAreLeftAlone) {
  const Files others = {{"notes.txt", "mine"},
                        {"part-00000-000-ffffffff.json", "another query's"},
                        {"part-00001-00-0123abcd.json", "not our digits"},
                        {"part-00001-000-0123abcd.json.gz", "not our ending"},
                        {"part-00001-000-0123abcdef.json", "not our id"},
                        {"part-00000-3b6e4c5a-c000.json", "Spark's"},
                        {".part-00001-000-ffffffff.json.tmp", "another query's"},
                        {".part-00001-000-0123abcd.json", "not our ending"},
                        {"sub/part-00001-000-0123abcd.json", "not our folder"},
                        {"_tidemark/notes.json", "not a manifest"},
                        {"_tidemark/1.json", "not our digits"},
                        {"_tidemark/00001.json.bak", "not our ending"}};
  Restore(others);
  const std::unique_ptr<Sink> sink = Opened();
  EXPECT_EQ(*sink->ReadMarker(), std::nullopt);
  MustCommit(sink.get(), Batch(0), 1);
  MustCommit(sink.get(), Batch(1, 1), 1);
  Files found = Snapshot();
  for (const auto& [name, content] : others) EXPECT_EQ(found[name], content) << name;
  EXPECT_EQ(found.size(), others.size() + 4);
}

TEST_F(JsonFilesSinkTest, ADamagedManifestIsRefused) {
  MustCommit(Opened().get(), Batch(0), 1);
  const Files good = Snapshot();
  const std::string name = "_tidemark/00000.json";
  const std::string manifest = good.at(name);
  std::vector<std::string> damaged = {manifest + "x", std::string(200, '\0'), "{}", "[]"};
  for (size_t length = 0; length < manifest.size(); ++length) {
    damaged.push_back(manifest.substr(0, length));
  }
  for (const std::string& text : damaged) {
    WriteFile(name, text);
    const absl::Status status = Make()->Open(Context());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("_tidemark/00000.json' is damaged"));
  }
  WriteFile(name, manifest);
  WriteFile("_tidemark/00001.json", manifest);
  EXPECT_EQ(Make()->Open(Context()).code(), absl::StatusCode::kFailedPrecondition)
      << "the manifest of batch 0 under the name of batch 1";
  Files left = Snapshot();
  left.erase("_tidemark/00001.json");
  EXPECT_EQ(left, good) << "nothing was removed";
}

TEST_F(JsonFilesSinkTest, AnotherQuerysFolderIsRefusedAndUntouched) {
  MustCommit(Opened().get(), Batch(0), 1);
  ASSERT_TRUE(Opened()->Finish().ok());
  const Files before = Snapshot();
  SinkContext other_query = Context();
  other_query.query_id = "99999999-4567-4e89-8abc-def012345678";
  SinkContext other_sink = Context();
  other_sink.sink = "another";
  for (const SinkContext& other : {other_query, other_sink}) {
    const absl::Status status = Make()->Open(other);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("give another folder"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(other.query_id));
  }
  EXPECT_EQ(Snapshot(), before);
}

TEST_F(JsonFilesSinkTest, AFolderAheadOfTheCheckpointIsRefused) {
  {
    const std::unique_ptr<Sink> sink = Opened();
    for (int64_t batch = 0; batch < 4; ++batch) MustCommit(sink.get(), Batch(batch), 1);
  }
  const Files before = Snapshot();
  const std::unique_ptr<Sink> sink = Opened();
  EXPECT_EQ((*sink->ReadMarker())->batch_id, 3) << "the engine judges it";
  for (SinkBatch batch : {Batch(1), SinkBatch{.batch_id = 3, .epoch = 0, .plan_hash = 1}}) {
    const absl::Status status = Commit(sink.get(), batch, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("do not belong together"));
  }
  EXPECT_FALSE(sink->WriteMarker({kQuery, Context().sink, 0, 1, 0, 0, 0}).ok());
  EXPECT_EQ(Snapshot(), before);
}

TEST_F(JsonFilesSinkTest, TheMarkerOfAStartIsKept) {
  const SinkMarker marker = {kQuery, Context().sink, 0, -1, 0, 0, 0};
  ASSERT_TRUE(Opened()->WriteMarker(marker).ok());
  EXPECT_TRUE(Snapshot().contains("_tidemark/-0001.json"));
  std::unique_ptr<Sink> sink = Opened();
  EXPECT_EQ(*sink->ReadMarker(), marker);
  ASSERT_TRUE(sink->WriteMarker(marker).ok()) << "again";
  MustCommit(sink.get(), Batch(0), 1);
  sink.reset();
  EXPECT_EQ((*Opened()->ReadMarker())->batch_id, 0);
}

TEST_F(JsonFilesSinkTest, ALaterEpochTakesBackFromItsBatchOn) {
  const JsonFilesOptions options = {.max_part_bytes = 60};
  {
    const std::unique_ptr<Sink> sink = Opened(options);
    for (int64_t batch = 0; batch < 5; ++batch) MustCommit(sink.get(), Batch(batch), 4);
  }
  {
    // Rewound to batch 2: its rows stay, batches 3 and 4 go.
    const std::unique_ptr<Sink> sink = Opened(options);
    const SinkMarker marker = {kQuery, Context().sink, 1, 2, 0, 0, 0};
    const std::string kept = Snapshot().at("part-00002-001-0123abcd.json");
    ASSERT_TRUE(sink->WriteMarker(marker).ok());
    EXPECT_EQ(*sink->ReadMarker(), marker);
    const Files files = Snapshot();
    EXPECT_EQ(files.at("part-00002-001-0123abcd.json"), kept);
    EXPECT_THAT(files.at("_tidemark/00002.json"), HasSubstr("part-00002-001-0123abcd.json"));
    for (const auto& [name, content] : files) {
      EXPECT_THAT(name, ::testing::Not(HasSubstr("00003")));
      EXPECT_THAT(name, ::testing::Not(HasSubstr("00004")));
    }
  }
  // A commit of a later epoch does the same by itself.
  const std::unique_ptr<Sink> sink = Opened(options);
  MustCommit(sink.get(), Batch(1, 2), 1);
  const Files files = Snapshot();
  EXPECT_TRUE(files.contains("part-00001-000-0123abcd.json"));
  EXPECT_FALSE(files.contains("part-00001-001-0123abcd.json"));
  EXPECT_FALSE(files.contains("_tidemark/00002.json"));
  EXPECT_TRUE(files.contains("part-00000-001-0123abcd.json"));
}

TEST_F(JsonFilesSinkTest, SuccessIsThereOnlyWhileTheQueryIsDone) {
  std::unique_ptr<Sink> sink = Opened();
  MustCommit(sink.get(), Batch(0), 1);
  EXPECT_FALSE(Snapshot().contains("_SUCCESS"));
  ASSERT_TRUE(sink->Finish().ok());
  ASSERT_TRUE(sink->Finish().ok());
  EXPECT_EQ(Snapshot().at("_SUCCESS"), "");
  sink.reset();
  Opened();
  EXPECT_FALSE(Snapshot().contains("_SUCCESS"));
}

TEST_F(JsonFilesSinkTest, AFailedStreamLeavesNothingAndCanBeTriedAgain) {
  const std::unique_ptr<Sink> sink = Opened({.max_part_bytes = 1});
  ListStream rows(
      {MakeBatch(Context().schema, RowsOf(0, 3)), MakeBatch(Context().schema, RowsOf(1, 3))});
  rows.FailOnce(1, absl::UnavailableError("gone"));
  EXPECT_EQ(sink->Commit(Batch(0), rows).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Snapshot().empty());
  ASSERT_TRUE(rows.Rewind().ok());
  const absl::StatusOr<SinkMarker> marker = sink->Commit(Batch(0), rows);
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 6);
  EXPECT_EQ(Snapshot().size(), 7u);
}

TEST_F(JsonFilesSinkTest, AFailedManifestIsTakenBackBeforeTheNextTry) {
  std::unique_ptr<Sink> sink = Opened({.max_part_bytes = 60});
  MustCommit(sink.get(), Batch(0), 1);
  fs::create_directories(PathOf("_tidemark/00001.json"));
  EXPECT_EQ(Commit(sink.get(), Batch(1), 5).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*sink->ReadMarker())->batch_id, 0);
  fs::remove(PathOf("_tidemark/00001.json"));
  // As if the manifest had got its name, but not the sync of its folder.
  WriteFile("_tidemark/00001.json", "names parts that are about to go");
  MustCommit(sink.get(), Batch(1), 2);
  EXPECT_FALSE(Snapshot().contains("part-00001-001-0123abcd.json"));
  sink.reset();
  EXPECT_EQ((*Opened()->ReadMarker())->row_count, 2);
}

TEST_F(JsonFilesSinkTest, AFullDiskCanBeTriedAgain) {
  const std::unique_ptr<Sink> sink = Opened();
  const std::vector<Row> large(100, Row{1, std::string(20'000, 'x')});
  ListStream rows({MakeBatch(Context().schema, large)});
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {500'000, before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = sink->Commit(Batch(0), rows).status();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(Snapshot().empty());
  ASSERT_TRUE(rows.Rewind().ok());
  EXPECT_EQ(sink->Commit(Batch(0), rows)->row_count, 100);
}

TEST_F(JsonFilesSinkTest, AFolderThatCannotBeWrittenIsRefused) {
  const testing::TempDir dir;
  std::ofstream(dir.Path("file")) << "in the way";
  for (const std::string& path :
       {dir.Path("file"), dir.Path("file") + "/below", std::string("/proc/no/such/folder")}) {
    const absl::Status status = MakeJsonFilesSink(path)->Open(Context());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(std::string(status.message()), HasSubstr("give a folder"));
  }
}

TEST_F(JsonFilesSinkTest, AFolderThatGoesAwayIsAnError) {
  const std::unique_ptr<Sink> sink = Opened();
  fs::remove_all(folder());
  EXPECT_EQ(Commit(sink.get(), Batch(0), 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(sink->Finish().ok());
  ASSERT_TRUE(sink->Open(Context()).ok()) << "made again";
  MustCommit(sink.get(), Batch(0), 1);
}

// A process that commits batch after batch is killed at random moments and started again.
TEST_F(JsonFilesSinkTest, KilledAtRandomEveryRowIsThereOnce) {
  constexpr int64_t kBatches = 60;
  const JsonFilesOptions options = {.max_part_bytes = 500};
  const auto run = [&] {
    const std::unique_ptr<Sink> sink = Make(options);
    if (!sink->Open(Context()).ok()) return 1;
    const absl::StatusOr<std::optional<SinkMarker>> marker = sink->ReadMarker();
    // A repeat of the last one, as after a kill between the sink's and the store's commit.
    for (int64_t batch = marker->has_value() ? (*marker)->batch_id : 0; batch < kBatches; ++batch) {
      if (!Commit(sink.get(), Batch(batch), static_cast<int>(batch % 40)).ok()) return 1;
    }
    return 0;
  };
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  int kills = 0;
  int status = 0;
  for (bool done = false; !done;) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(run());
    // Often before it has done much, sometimes after several batches, whatever the disk.
    const uint64_t longest_us = random() % 2 == 0 ? 2'000 : 30'000;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % longest_us));
    if (kills < 40) kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, &status, 0), child);
    done = WIFEXITED(status);
    if (!done) ++kills;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const Files found = Snapshot();
  fs::remove_all(folder());
  const std::unique_ptr<Sink> sink = Opened(options);
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    MustCommit(sink.get(), Batch(batch), static_cast<int>(batch % 40));
  }
  EXPECT_TRUE(found == Snapshot()) << kills << " kills";
  EXPECT_GT(kills, 0);
}

}  // namespace
}  // namespace tidemark
