#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "servers/temp_dir.h"
#include "tidemark/operators/sinks/dead_letters.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using Files = std::map<std::string, std::string>;

class OwnerWithHeaders : public RecordOwner {
 public:
  RecordHeaders Headers(size_t index) const override {
    if (index != 1) return {};
    return {{"trace", "abc"},
            {"trace", std::string("\xFF\x00", 2)},
            {"bad\xFF", ""},
            {"none", std::nullopt}};
  }
};

class FileDeadLettersTest : public ::testing::Test {
 protected:
  FileDeadLettersTest() {
    records_.topic = "users \"x\"";
    records_.partition = 3;
    records_.owner = std::make_shared<OwnerWithHeaders>();
    RawRecord broken;
    broken.value = "{\"a\":";
    broken.has_value = true;
    broken.offset = 41;
    broken.timestamp_us = 1'735'812'922'123'000;
    RawRecord other;
    other.key = std::string_view("\x00k", 2);
    other.has_key = true;
    other.value = "\xFF\xFE";
    other.has_value = true;
    other.offset = 42;
    records_.records = {broken, other};
  }

  std::string folder() const { return dir_.Path("dead_letters"); }
  std::unique_ptr<DeadLetterWriter> Make(int64_t max_bytes = 1 << 30) const {
    absl::StatusOr<std::unique_ptr<DeadLetterWriter>> writer =
        MakeFileDeadLetters(folder(), max_bytes);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  absl::Status Write(DeadLetterWriter* writer, uint32_t index = 0) const {
    return writer->Write(records_, {index, BadReason::kParseError, "no value"},
                         absl::FromUnixSeconds(1'735'812'930));
  }
  // A batch of `letters` bad records.
  void RunBatch(DeadLetterWriter* writer, int64_t batch_id, int letters) const {
    ASSERT_TRUE(writer->Begin(0, batch_id).ok());
    for (int i = 0; i < letters; ++i) ASSERT_TRUE(Write(writer).ok());
    ASSERT_TRUE(writer->Flush().ok());
  }
  // Lines by file.
  std::map<std::string, int64_t> Lines() const {
    std::map<std::string, int64_t> lines;
    for (const auto& [name, content] : Snapshot()) {
      lines[name] = std::count(content.begin(), content.end(), '\n');
    }
    return lines;
  }
  Files Snapshot() const {
    Files files;
    if (!fs::exists(folder())) return files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder())) {
      std::ifstream in(entry.path(), std::ios::binary);
      files[entry.path().filename().string()] = std::string(std::istreambuf_iterator<char>(in), {});
    }
    return files;
  }

  const testing::TempDir dir_;
  RawRecords records_;
};

TEST_F(FileDeadLettersTest, OneLineARecord) {
  const std::unique_ptr<DeadLetterWriter> writer = Make();
  ASSERT_TRUE(writer->Begin(0, 7).ok());
  ASSERT_TRUE(Write(writer.get(), 0).ok());
  ASSERT_TRUE(writer
                  ->Write(records_, {1, BadReason::kInvalidUtf8, "field 'a\n': \xFFx"},
                          absl::FromUnixSeconds(0))
                  .ok());
  ASSERT_TRUE(writer->Flush().ok());
  EXPECT_EQ(Snapshot().at("dead-00007-000.jsonl"),
            "{\"topic\":\"users \\\"x\\\"\",\"partition\":3,\"offset\":41,"
            "\"timestamp\":\"2025-01-02T10:15:22.123Z\",\"key\":null,\"headers\":[],"
            "\"value\":\"eyJhIjo=\",\"reason\":\"parse_error\",\"detail\":\"no value\","
            "\"time\":\"2025-01-02T10:15:30Z\"}\n"
            "{\"topic\":\"users \\\"x\\\"\",\"partition\":3,\"offset\":42,\"timestamp\":null,"
            "\"key\":\"AGs=\",\"headers\":[{\"key\":\"trace\",\"value\":\"YWJj\"},"
            "{\"key\":\"trace\",\"value\":\"/"
            "wA=\"},{\"key\":\"bad\uFFFD\",\"value\":\"\"},{\"key\":\"none\",\"value\":null}],"
            "\"value\":\"//4=\",\"reason\":\"invalid_utf8\","
            "\"detail\":\"field 'a\\n': \uFFFDx\",\"time\":\"1970-01-01T00:00:00Z\"}\n");
}

TEST_F(FileDeadLettersTest, NoBadRecordsNoFolder) {
  const std::unique_ptr<DeadLetterWriter> writer = Make();
  RunBatch(writer.get(), 0, 0);
  EXPECT_FALSE(fs::exists(folder()));
}

TEST_F(FileDeadLettersTest, NothingIsSeenBeforeFlush) {
  const std::unique_ptr<DeadLetterWriter> writer = Make();
  ASSERT_TRUE(writer->Begin(0, 0).ok());
  ASSERT_TRUE(Write(writer.get()).ok());
  EXPECT_EQ(Lines().count("dead-00000-000.jsonl"), 0u);
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(writer->Flush().ok()) << "nothing new";
  EXPECT_EQ(Lines(), (std::map<std::string, int64_t>{{"dead-00000-000.jsonl", 1}}));
  ASSERT_TRUE(Write(writer.get()).ok());
  ASSERT_TRUE(writer->Flush().ok());
  EXPECT_EQ(Lines(), (std::map<std::string, int64_t>{{"dead-00000-000.jsonl", 1},
                                                     {"dead-00000-001.jsonl", 1}}));
}

TEST_F(FileDeadLettersTest, ABatchThatRunsAgainReplacesItsOwn) {
  const std::unique_ptr<DeadLetterWriter> writer = Make();
  RunBatch(writer.get(), 0, 2);
  RunBatch(writer.get(), 1, 5);
  RunBatch(writer.get(), 1, 3);
  EXPECT_EQ(Lines(), (std::map<std::string, int64_t>{{"dead-00000-000.jsonl", 2},
                                                     {"dead-00001-000.jsonl", 3}}));
  // Again, in another process, and now without bad records.
  RunBatch(Make().get(), 1, 0);
  EXPECT_EQ(Lines(), (std::map<std::string, int64_t>{{"dead-00000-000.jsonl", 2}}));
}

TEST_F(FileDeadLettersTest, AnInterruptedTryIsForgotten) {
  {
    const std::unique_ptr<DeadLetterWriter> writer = Make();
    ASSERT_TRUE(writer->Begin(0, 1).ok());
    ASSERT_TRUE(Write(writer.get()).ok());
    ASSERT_TRUE(writer->Begin(0, 1).ok());
    ASSERT_TRUE(Write(writer.get()).ok());
    ASSERT_TRUE(writer->Flush().ok());
    ASSERT_TRUE(Write(writer.get()).ok());
  }
  EXPECT_EQ(Lines(), (std::map<std::string, int64_t>{{"dead-00001-000.jsonl", 1}}));
  // What a kill leaves: a hidden file, and a published one of a batch that was not committed.
  std::ofstream(folder() + "/.dead-00001-001.jsonl.tmp") << "{";
  std::ofstream(folder() + "/notes.txt") << "mine";
  RunBatch(Make().get(), 1, 4);
  EXPECT_EQ(Lines(),
            (std::map<std::string, int64_t>{{"dead-00001-000.jsonl", 4}, {"notes.txt", 0}}));
}

TEST_F(FileDeadLettersTest, TheLimitStopsTheQuery) {
  RunBatch(Make().get(), 0, 1);
  const int64_t line = static_cast<int64_t>(Snapshot().at("dead-00000-000.jsonl").size());
  fs::remove_all(folder());

  RunBatch(Make(3 * line).get(), 0, 2);
  const std::unique_ptr<DeadLetterWriter> writer = Make(3 * line);
  RunBatch(writer.get(), 1, 1);
  ASSERT_TRUE(writer->Begin(0, 2).ok());
  const absl::Status status = Write(writer.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("offset 41"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("start the query again"));
  // What a batch replaces does not count.
  RunBatch(writer.get(), 1, 1);
  ASSERT_TRUE(writer->Begin(0, 2).ok());
  EXPECT_FALSE(Write(writer.get()).ok());
  // Nor what a person took away, after a restart.
  fs::remove(folder() + "/dead-00000-000.jsonl");
  RunBatch(Make(3 * line).get(), 2, 2);
}

TEST_F(FileDeadLettersTest, UnflushedLettersCountTowardsTheLimit) {
  const std::unique_ptr<DeadLetterWriter> writer = Make(1000);
  ASSERT_TRUE(writer->Begin(0, 0).ok());
  absl::Status status;
  int written = 0;
  while ((status = Write(writer.get())).ok() && written < 100) ++written;
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_GT(written, 2);
  EXPECT_LT(written, 10);
}

TEST_F(FileDeadLettersTest, AFullDiskCanBeTriedAgain) {
  const std::unique_ptr<DeadLetterWriter> writer = Make();
  ASSERT_TRUE(writer->Begin(0, 0).ok());
  const std::string large(100'000, 'x');
  records_.records[0].value = large;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {200'000, before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  absl::Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = Write(writer.get());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  RunBatch(writer.get(), 0, 10);
  EXPECT_EQ(Lines(), (std::map<std::string, int64_t>{{"dead-00000-000.jsonl", 10}}));
}

TEST_F(FileDeadLettersTest, AFolderThatCannotBeReadOrMadeIsRefused) {
  std::ofstream(dir_.Path("file")) << "in the way";
  EXPECT_EQ(MakeFileDeadLetters(dir_.Path("file")).status().code(),
            absl::StatusCode::kInvalidArgument);
  const absl::StatusOr<std::unique_ptr<DeadLetterWriter>> writer =
      MakeFileDeadLetters("/proc/no/such/folder");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Begin(0, 0).ok());
  EXPECT_EQ(Write(writer->get()).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tidemark
