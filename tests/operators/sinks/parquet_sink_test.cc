#include "tidemark/operators/sinks/parquet_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/files_folder.h"
#include "operators/sinks/list_stream.h"
#include "tests/servers/process.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using testing::ContextOf;
using testing::Files;
using testing::FilesBatch;
using testing::FilesFolder;
using ::testing::HasSubstr;
using testing::KillStates;
using testing::ListStream;
using testing::MakeBatch;
using testing::Null;
using testing::Process;
using testing::Row;

// What a reader of its own finds: the files' columns, then the rows as JSON, each a line.
std::string ReadWith(const std::string& reader, const std::string& folder,
                     const std::string& partition_by = "") {
  const auto process =
      Process::Start({.args = {"/usr/bin/python3", TIDEMARK_READ_PARQUET, reader, folder,
                               "--partition-by", partition_by},
                      .env = {{"PYTHONPATH", TIDEMARK_PYARROW}, {"PYTHONDONTWRITEBYTECODE", "1"}}});
  if (!process.ok()) return process.status().ToString();
  const absl::StatusOr<int> exit_code = (*process)->Wait(absl::Seconds(60));
  EXPECT_TRUE(exit_code.ok() && *exit_code == 0) << reader << ": " << (*process)->Stderr();
  return (*process)->Stdout();
}

class ParquetSinkTest : public ::testing::Test {
 protected:
  static Schema RowSchema() { return Schema().Int64("id").String("name").String("shop"); }
  static SinkContext Context(Schema schema = RowSchema()) {
    return ContextOf(std::move(schema), testing::kFilesQuery, "lake");
  }
  static std::vector<Row> RowsOf(int64_t batch_id, int count) {
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) {
      rows.push_back(
          {batch_id * 1000 + i, "name " + std::to_string(i), "shop " + std::to_string(i % 3)});
    }
    return rows;
  }
  static ParquetOptions ByShop() { return {.partition_by = {"shop"}}; }

  std::unique_ptr<Sink> Opened(ParquetOptions options = ByShop(),
                               const SinkContext& context = Context()) const {
    std::unique_ptr<Sink> sink = MakeParquetSink(folder_.path(), std::move(options));
    const absl::Status status = sink->Open(context);
    EXPECT_TRUE(status.ok()) << status;
    return sink;
  }
  static absl::StatusOr<SinkMarker> Commit(Sink* sink, const SinkBatch& batch, int count) {
    ListStream rows({MakeBatch(RowSchema(), RowsOf(batch.batch_id, count))});
    return sink->Commit(batch, rows);
  }
  static void MustCommit(Sink* sink, const SinkBatch& batch, int count) {
    const absl::StatusOr<SinkMarker> marker = Commit(sink, batch, count);
    ASSERT_TRUE(marker.ok()) << marker.status();
    EXPECT_EQ(marker->row_count, count);
  }
  // Batch 0 with these rows.
  void MustWrite(const Schema& schema, const std::vector<Row>& rows, ParquetOptions options) {
    const std::unique_ptr<Sink> sink = Opened(std::move(options), Context(schema));
    ListStream stream({MakeBatch(schema, rows)});
    const absl::StatusOr<SinkMarker> marker = sink->Commit(FilesBatch(0), stream);
    ASSERT_TRUE(marker.ok()) << marker.status();
  }

  const FilesFolder folder_;
};

TEST_F(ParquetSinkTest, EveryTypeIsReadBackByOthers) {
  const Schema schema = Schema()
                            .Bool("b")
                            .Int32("i")
                            .Int64("l")
                            .Double("d")
                            .Decimal("m", 10, 2)
                            .Decimal("n", 38, 10)
                            .Decimal("o", 5, 0)
                            .String("s")
                            .Bytes("y")
                            .Date("t")
                            .Timestamp("u");
  const Int128 large = (Int128{4'000'000'000'000'000'000} * 2'000'000'000'000'000'000) + 7;
  MustWrite(
      schema,
      {{1, 7, int64_t{7}, 1.5, -1230, large, 99'999, "Zürich\n\"", std::string("\0\xFF", 2), 20'090,
        int64_t{1'735'812'922'123'456}},
       {0, std::numeric_limits<int>::min(), std::numeric_limits<int64_t>::min(), -0.25,
        int64_t{9'999'999'999}, -large, -99'999, "", "", -719'162, int64_t{-1}},
       {Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null()}},
      {});
  const std::string rows =
      "{\"b\": false, \"d\": -0.25, \"i\": -2147483648, \"l\": -9223372036854775808, "
      "\"m\": \"99999999.99\", \"n\": \"-800000000000000000000000000.0000000007\", "
      "\"o\": \"-99999\", \"s\": \"\", \"t\": \"0001-01-01\", "
      "\"u\": \"1969-12-31T23:59:59.999999+00:00\", \"y\": \"\"}\n"
      "{\"b\": null, \"d\": null, \"i\": null, \"l\": null, \"m\": null, \"n\": null, "
      "\"o\": null, \"s\": null, \"t\": null, \"u\": null, \"y\": null}\n"
      "{\"b\": true, \"d\": 1.5, \"i\": 7, \"l\": 7, \"m\": \"-12.30\", "
      "\"n\": \"800000000000000000000000000.0000000007\", \"o\": \"99999\", "
      "\"s\": \"Z\\u00fcrich\\n\\\"\", \"t\": \"2025-01-02\", "
      "\"u\": \"2025-01-02T10:15:22.123456+00:00\", \"y\": \"00ff\"}\n";
  EXPECT_EQ(ReadWith("pyarrow", folder_.path()),
            "b: bool, i: int32, l: int64, d: double, m: decimal128(10, 2), "
            "n: decimal128(38, 10), o: decimal128(5, 0), s: string, y: binary, "
            "t: date32[day], u: timestamp[us, tz=UTC]\n" +
                rows);
  EXPECT_EQ(ReadWith("duckdb", folder_.path()),
            "b: BOOLEAN, i: INTEGER, l: BIGINT, d: DOUBLE, m: DECIMAL(10,2), "
            "n: DECIMAL(38,10), o: DECIMAL(5,0), s: VARCHAR, y: BLOB, "
            "t: DATE, u: TIMESTAMP WITH TIME ZONE\n" +
                rows);
}

TEST_F(ParquetSinkTest, DoublesThatAreNoNumbersAreReadBack) {
  const double inf = std::numeric_limits<double>::infinity();
  MustWrite(Schema().Double("d"), {{std::nan("")}, {inf}, {-inf}, {5e-324}}, {});
  EXPECT_EQ(ReadWith("pyarrow", folder_.path()),
            "d: double\n{\"d\": -Infinity}\n{\"d\": 5e-324}\n{\"d\": Infinity}\n{\"d\": NaN}\n");
}

TEST_F(ParquetSinkTest, HostilePartitionValuesAreReadBackByOthers) {
  const Schema schema = Schema().Int64("id").Date("day").String("p");
  const std::vector<std::string> values = {
      "plain", "a/b", "../..", "..", "%2F", "x=y", "Zürich 北", "a b+c", "tab\there", "\"quoted\""};
  std::vector<Row> rows;
  std::vector<std::string> lines;
  for (size_t i = 0; i < values.size(); ++i) {
    rows.push_back({static_cast<int64_t>(i), 20'090, values[i]});
  }
  rows.push_back({int64_t{100}, Null(), Null()});
  MustWrite(schema, rows, {.partition_by = {"day", "p"}});
  EXPECT_TRUE(fs::is_directory(folder_.Path("day=2025-01-02/p=..%2F..")));
  EXPECT_TRUE(fs::is_directory(
      folder_.Path("day=__HIVE_DEFAULT_PARTITION__/p=__HIVE_DEFAULT_PARTITION__")));
  const std::string expected =
      "{\"day\": \"2025-01-02\", \"id\": 0, \"p\": \"plain\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 1, \"p\": \"a/b\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 2, \"p\": \"../..\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 3, \"p\": \"..\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 4, \"p\": \"%2F\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 5, \"p\": \"x=y\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 6, \"p\": \"Z\\u00fcrich \\u5317\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 7, \"p\": \"a b+c\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 8, \"p\": \"tab\\there\"}\n"
      "{\"day\": \"2025-01-02\", \"id\": 9, \"p\": \"\\\"quoted\\\"\"}\n"
      "{\"day\": null, \"id\": 100, \"p\": null}\n";
  EXPECT_EQ(ReadWith("pyarrow", folder_.path(), "day,p"), "id: int64\n" + expected);
  EXPECT_EQ(ReadWith("duckdb", folder_.path(), "day,p"), "id: BIGINT\n" + expected);
}

TEST_F(ParquetSinkTest, AnEmptyStringIsNotNull) {
  MustWrite(Schema().Int64("id").String("p"),
            {{1, ""}, {2, Null()}, {3, "__HIVE_DEFAULT_PARTITION__"}}, {.partition_by = {"p"}});
  EXPECT_EQ(ListFolder(folder_.Path("p="))->size(), 1u);
  EXPECT_EQ(ListFolder(folder_.Path("p=__HIVE_DEFAULT_PARTITION__"))->size(), 1u);
  EXPECT_EQ(ListFolder(folder_.Path("p=%5F_HIVE_DEFAULT_PARTITION__"))->size(), 1u);
}

TEST_F(ParquetSinkTest, TheManifestNamesEveryFile) {
  MustCommit(Opened().get(), FilesBatch(12), 5);
  const Files files = folder_.Snapshot();
  ASSERT_EQ(files.size(), 4u);
  const auto bytes = [&](const std::string& name) { return std::to_string(files.at(name).size()); };
  EXPECT_THAT(
      files.at("_tidemark/00012.json"),
      HasSubstr("  \"partition_by\": [\"shop\"],\n  \"files\": [\n"
                "    {\"name\": \"shop=shop 0/part-00012-000-0123abcd.parquet\", \"rows\": 2, "
                "\"bytes\": " +
                bytes("shop=shop 0/part-00012-000-0123abcd.parquet") +
                "},\n"
                "    {\"name\": \"shop=shop 1/part-00012-001-0123abcd.parquet\", \"rows\": 2, "
                "\"bytes\": " +
                bytes("shop=shop 1/part-00012-001-0123abcd.parquet") +
                "},\n"
                "    {\"name\": \"shop=shop 2/part-00012-002-0123abcd.parquet\", \"rows\": 1, "
                "\"bytes\": " +
                bytes("shop=shop 2/part-00012-002-0123abcd.parquet") + "}\n  ]\n}\n"));
  EXPECT_EQ(Opened()->ReadMarker()->value().row_count, 5);
}

TEST_F(ParquetSinkTest, ABatchWithoutRowsIsAManifest) {
  std::unique_ptr<Sink> sink = Opened();
  ListStream none({});
  ASSERT_TRUE(sink->Commit(FilesBatch(0), none).ok());
  EXPECT_EQ(folder_.Snapshot().size(), 1u);
  sink.reset();
  EXPECT_EQ((*Opened()->ReadMarker())->batch_id, 0);
}

TEST_F(ParquetSinkTest, RowGroupsAndFilesAreBounded) {
  ParquetOptions options = {.max_part_bytes = 3'000, .max_row_group_rows = 100};
  const std::unique_ptr<Sink> sink = Opened(options);
  std::vector<Row> rows;
  std::mt19937_64 random(1);
  for (int64_t i = 0; i < 2'000; ++i) {
    rows.push_back({static_cast<int64_t>(random()), std::to_string(random()), "x"});
  }
  RowBatch batch = MakeBatch(RowSchema(), rows);
  std::vector<uint32_t> odd;
  for (uint32_t i = 1; i < 2'000; i += 2) odd.push_back(i);
  batch.set_selection(Selection::Rows(odd));
  ListStream stream({batch, batch});
  ASSERT_TRUE(sink->Commit(FilesBatch(0), stream).ok());
  // 100 rows of about 30 incompressible bytes fill a part.
  const Files files = folder_.Snapshot();
  EXPECT_GE(files.size(), 11u);
  for (const auto& [name, content] : files) {
    EXPECT_LT(content.size(), 12'000u) << name;
  }
  const std::string read = ReadWith("duckdb", folder_.path());
  EXPECT_EQ(std::ranges::count(read, '\n'), 1 + 2'000);
  EXPECT_THAT(read, HasSubstr("\"id\": " + std::to_string(std::get<int64_t>(rows[1][0])) + ","));
}

TEST_F(ParquetSinkTest, LongTextFillsARowGroup) {
  ParquetOptions options = {.max_row_group_bytes = 1'000'000};
  options.max_part_bytes = 1;
  const std::unique_ptr<Sink> sink = Opened(options);
  ListStream stream(
      {MakeBatch(RowSchema(), std::vector<Row>(50, Row{1, std::string(100'000, 'x'), Null()}))});
  ASSERT_TRUE(sink->Commit(FilesBatch(0), stream).ok());
  EXPECT_EQ(folder_.Snapshot().size(), 1 + 5u) << "ten rows a row group, one of those a part";
}

TEST_F(ParquetSinkTest, OnlyAppendModeIsTaken) {
  for (OutputMode mode : {OutputMode::kUpdate, OutputMode::kComplete}) {
    SinkContext context = Context();
    context.mode = mode;
    const absl::Status status = MakeParquetSink(folder_.path())->Open(context);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("append mode only"));
  }
  EXPECT_FALSE(fs::exists(folder_.path()));
}

TEST_F(ParquetSinkTest, PartitionColumnsThatDoNotFitAreRefused) {
  for (const std::vector<std::string>& by :
       {std::vector<std::string>{"shopp"}, {"shop", "shop"}, {"id", "name", "shop"}}) {
    const absl::Status status =
        MakeParquetSink(folder_.path(), {.partition_by = by})->Open(Context());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("partition_by names"));
  }
  EXPECT_FALSE(fs::exists(folder_.path()));
}

TEST_F(ParquetSinkTest, OtherPartitionsThanTheFoldersAreRefused) {
  MustCommit(Opened().get(), FilesBatch(0), 3);
  const Files before = folder_.Snapshot();
  for (const ParquetOptions& options : {ParquetOptions{}, {.partition_by = {"shop", "name"}}}) {
    const absl::Status status = MakeParquetSink(folder_.path(), options)->Open(Context());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("is partitioned by [\"shop\"]"));
  }
  EXPECT_TRUE(folder_.Snapshot() == before);
}

TEST_F(ParquetSinkTest, AKillBetweenAnyTwoStepsIsHealed) {
  MustCommit(Opened().get(), FilesBatch(0), 2);
  const Files before = folder_.Snapshot();
  MustCommit(Opened().get(), FilesBatch(1), 5);
  const Files after = folder_.Snapshot();
  const std::vector<Files> states = KillStates(before, after);
  ASSERT_EQ(states.size(), 3u * 3u + 3u + 3u);
  for (const Files& killed : states) {
    folder_.Restore(killed);
    const std::unique_ptr<Sink> sink = Opened();
    EXPECT_EQ((*sink->ReadMarker())->batch_id, 0);
    MustCommit(sink.get(), FilesBatch(1), 5);
    EXPECT_TRUE(folder_.Snapshot() == after);
  }
  for (const Files& killed : states) {
    folder_.Restore(killed);
    ListStream none({});
    ASSERT_TRUE(Opened()->Commit(FilesBatch(1), none).ok());
    Files found = folder_.Snapshot();
    found.erase("_tidemark/00001.json");
    EXPECT_TRUE(found == before);
    EXPECT_FALSE(fs::exists(folder_.Path("shop=shop 2"))) << "no folder is left empty";
  }
  // Whoever reads in such a moment sees whole files.
  folder_.Restore(states.at(8));
  EXPECT_EQ(std::ranges::count(ReadWith("pyarrow", folder_.path(), "shop"), '\n'), 1 + 2);
  EXPECT_EQ(std::ranges::count(ReadWith("duckdb", folder_.path(), "shop"), '\n'), 1 + 2);
}

TEST_F(ParquetSinkTest, FilesOfOthersAreLeftAlone) {
  const Files others = {{"shop=x/part-00001-000-ffffffff.parquet", "another query's"},
                        {"shop=x/notes.txt", "mine"},
                        {"shop=file", "no folder"},
                        {"other=x/part-00001-000-0123abcd.parquet", "not our column"},
                        {"shop=x/deep=y/part-00001-000-0123abcd.parquet", "too deep"}};
  folder_.Restore(others);
  const std::unique_ptr<Sink> sink = Opened();
  MustCommit(sink.get(), FilesBatch(0), 1);
  Files found = folder_.Snapshot();
  for (const auto& [name, content] : others) EXPECT_EQ(found[name], content) << name;
}

TEST_F(ParquetSinkTest, ALaterEpochTakesBackFilesAndFolders) {
  {
    const std::unique_ptr<Sink> sink = Opened();
    MustCommit(sink.get(), FilesBatch(0), 2);
    MustCommit(sink.get(), FilesBatch(1), 5);
    MustCommit(sink.get(), FilesBatch(2), 5);
  }
  const std::unique_ptr<Sink> sink = Opened();
  ASSERT_TRUE(sink->WriteMarker({testing::kFilesQuery, "lake", 1, 0, 0, 0, 0}).ok());
  EXPECT_EQ(folder_.Snapshot().size(), 3u);
  EXPECT_FALSE(fs::exists(folder_.Path("shop=shop 2")));
  EXPECT_EQ(std::ranges::count(ReadWith("pyarrow", folder_.path(), "shop"), '\n'), 1 + 2);
}

TEST_F(ParquetSinkTest, AFailedStreamLeavesNothingAndCanBeTriedAgain) {
  const std::unique_ptr<Sink> sink = Opened({.partition_by = {"shop"}, .max_row_group_rows = 1});
  ListStream rows({MakeBatch(RowSchema(), RowsOf(0, 9)), MakeBatch(RowSchema(), RowsOf(1, 9))});
  rows.FailOnce(1, absl::UnavailableError("gone"));
  EXPECT_EQ(sink->Commit(FilesBatch(0), rows).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(folder_.Snapshot().empty());
  ASSERT_TRUE(rows.Rewind().ok());
  const absl::StatusOr<SinkMarker> marker = sink->Commit(FilesBatch(0), rows);
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 18);
  EXPECT_EQ(std::ranges::count(ReadWith("pyarrow", folder_.path(), "shop"), '\n'), 1 + 18);
}

// The disk is full at each of several sizes: while a row group is written, and at a file's end.
TEST_F(ParquetSinkTest, AFullDiskCanBeTriedAgain) {
  const std::unique_ptr<Sink> sink = Opened({.max_row_group_rows = 1'000});
  std::vector<Row> large;
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    large.push_back({static_cast<int64_t>(random()), std::to_string(random()), "x"});
  }
  ListStream rows({MakeBatch(RowSchema(), large)});
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  for (rlim_t bytes : {0, 3, 4'096, 100'000, 300'000}) {
    const rlimit small = {bytes, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const absl::Status status = sink->Commit(FilesBatch(0), rows).status();
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("make room"));
    EXPECT_TRUE(folder_.Snapshot().empty()) << bytes;
    ASSERT_TRUE(rows.Rewind().ok());
  }
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(sink->Commit(FilesBatch(0), rows)->row_count, 20'000);
  EXPECT_EQ(std::ranges::count(ReadWith("pyarrow", folder_.path()), '\n'), 1 + 20'000);
}

// A process that commits batch after batch is killed at random moments and started again.
TEST_F(ParquetSinkTest, KilledAtRandomEveryRowIsThereOnce) {
  constexpr int64_t kBatches = 40;
  const auto run = [&] {
    const std::unique_ptr<Sink> sink = MakeParquetSink(folder_.path(), ByShop());
    if (!sink->Open(Context()).ok()) return 1;
    const absl::StatusOr<std::optional<SinkMarker>> marker = sink->ReadMarker();
    for (int64_t batch = marker->has_value() ? (*marker)->batch_id : 0; batch < kBatches; ++batch) {
      if (!Commit(sink.get(), FilesBatch(batch), static_cast<int>(batch % 20)).ok()) return 1;
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
    std::this_thread::sleep_for(std::chrono::microseconds(10'000 + random() % 60'000));
    if (kills < 30) kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, &status, 0), child);
    done = WIFEXITED(status);
    if (!done) ++kills;
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_GT(kills, 0);
  const Files found = folder_.Snapshot();
  const std::string read = ReadWith("duckdb", folder_.path(), "shop");
  fs::remove_all(folder_.path());
  const std::unique_ptr<Sink> sink = Opened();
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    MustCommit(sink.get(), FilesBatch(batch), static_cast<int>(batch % 20));
  }
  EXPECT_TRUE(found == folder_.Snapshot()) << kills << " kills";
  EXPECT_EQ(std::ranges::count(read, '\n'), 1 + 2 * 190);
}

}  // namespace
}  // namespace tidemark
