// RunJob through whole processes that need no server: exit codes, printed words, signals, restarts.
#include "tidemark/engine/job_runner.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <simdjson.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/examples/job_program.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::JobFolder;
using testing::JsonBatches;
using testing::Lines;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::ReadText;
using ::testing::StartsWith;
using testing::WaitUntil;

constexpr char kJob[] = "registrations_per_store";
const std::vector<std::string> kShort = {"--trigger", "available-now", "--embedded-rows", "4000"};

std::vector<std::string> With(std::vector<std::string> flags,
                              const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// The `error: ` line, which must be there exactly once.
std::string Error(const ProcessResult& result) {
  std::string found;
  int count = 0;
  for (const std::string& line : Lines(result.stderr_text)) {
    if (line.starts_with("error: ")) {
      found = line.substr(7);
      ++count;
    }
  }
  EXPECT_EQ(count, 1) << result.stderr_text;
  return found;
}

class JobRunnerTest : public ::testing::Test {
 protected:
  JobFolder folder_;
};

// ---- Before the query starts ------------------------------------------------------------------

TEST_F(JobRunnerTest, WrongFlagsExitWith2AndDoNothing) {
  const ProcessResult result = folder_.Run(kJob, {"--windw", "5m"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.stderr_text, "error: --windw: there is no such flag; did you mean --window?\n");
  EXPECT_EQ(result.stdout_text, "");
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("checkpoints")));
}

TEST_F(JobRunnerTest, WrongValuesAndPlansExitWith2AndDoNothing) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--window", "5 parsecs"},
      {"--bad-records", "explode"},
      {"--sink", "paper"},
      {"--config", "none.yaml"},
      {"--profile", "test"},  // there is no examples/ here
      {"--progress", "no/such/folder/file"},
      {"--kafka", "no.such.property=1"},
      {"--kafka", "enable.auto.commit=true", "--brokers", "localhost:1"},
  };
  for (const std::vector<std::string>& flags : wrong) {
    const ProcessResult result = folder_.Run(kJob, With(kShort, flags));
    EXPECT_EQ(result.exit_code, 2) << flags[0] << ' ' << flags[1] << '\n' << result.stderr_text;
    EXPECT_NE(Error(result), "");
    EXPECT_EQ(result.stdout_text, "");
  }
  const ProcessResult plan = folder_.Run("op_counts", {"--output-mode", "append"});
  EXPECT_EQ(plan.exit_code, 2);
  EXPECT_THAT(Error(plan), HasSubstr("watermark"));
  const ProcessResult explain = folder_.Run("op_counts", {"--output-mode", "append", "--explain"});
  EXPECT_EQ(explain.exit_code, 2);
  std::ofstream(folder_.Path("job.yaml")) << "threads: 1\nsink: json:out?partition_by=shop_id\n";
  for (const char* more : {"--explain", "--threads=2"}) {
    const ProcessResult column = folder_.Run(kJob, With(kShort, {"--config", "job.yaml", more}));
    EXPECT_EQ(column.exit_code, 2);
    EXPECT_THAT(Error(column), AllOf(HasSubstr("job.yaml:2: sink: partition_by names the column "
                                               "'shop_id', which the result has not"),
                                     HasSubstr("store_id")));
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("out")));
}

TEST_F(JobRunnerTest, HelpVersionAndExplainGoToStandardOutput) {
  const ProcessResult help = folder_.Run(kJob, {"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.stdout_text, StartsWith("Usage: registrations_per_store"));
  EXPECT_EQ(help.stderr_text, "");
  const ProcessResult version = folder_.Run(kJob, {"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.stdout_text, ContainsRegex("registrations_per_store .*[0-9]+\\.[0-9]+"));
  const ProcessResult explain = folder_.Run(kJob, {"--explain", "--window", "7 minutes"});
  EXPECT_EQ(explain.exit_code, 0);
  EXPECT_THAT(explain.stdout_text, AllOf(HasSubstr("Source users_change_events"),
                                         HasSubstr("window(created_at, 7 minutes)")));
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("checkpoints")));
}

// ---- Words and progress -----------------------------------------------------------------------

TEST_F(JobRunnerTest, ASecondRunGoesOn) {
  const ProcessResult first = folder_.Run(kJob, kShort);
  EXPECT_EQ(first.exit_code, 0) << first.stderr_text;
  EXPECT_THAT(first.stderr_text,
              HasSubstr("New query, checkpoint ./checkpoints/registrations_per_store-embedded\n"));
  EXPECT_THAT(first.stderr_text,
              ContainsRegex("\nSummary: rows=4000 batches=11 rows_per_second=[0-9]+ late_rows=0 "
                            "checkpoint=./checkpoints/registrations_per_store-embedded\n"));
  EXPECT_THAT(first.stdout_text, StartsWith("-------------------------------------------\n"
                                            "Batch: 0\n"
                                            "-------------------------------------------\n"
                                            "+-------------------+"));
  const ProcessResult second = folder_.Run(kJob, kShort);
  EXPECT_EQ(second.exit_code, 0) << second.stderr_text;
  EXPECT_THAT(
      second.stderr_text,
      HasSubstr("Resumed from ./checkpoints/registrations_per_store-embedded at batch 11\n"));
  EXPECT_THAT(second.stderr_text, HasSubstr("Summary: rows=4000 "));
  EXPECT_THAT(second.stdout_text, AllOf(HasSubstr("Batch: 11\n"), Not(HasSubstr("Batch: 0\n"))));
}

TEST_F(JobRunnerTest, ProgressIsSparkShapedJson) {
  ASSERT_EQ(folder_.Run(kJob, With(kShort, {"--progress", "progress.jsonl"})).exit_code, 0);
  ASSERT_EQ(folder_.Run(kJob, With(kShort, {"--progress", "progress.jsonl"})).exit_code, 0);
  const std::vector<std::string> lines = Lines(ReadText(folder_.Path("progress.jsonl")));
  ASSERT_EQ(lines.size(), 22u) << "a second run appends";
  simdjson::dom::parser parser;
  std::string id, run_id;
  int64_t rows = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    simdjson::dom::element json;
    ASSERT_EQ(parser.parse(lines[i]).get(json), simdjson::SUCCESS) << lines[i];
    for (const char* key : {"id", "runId", "name", "timestamp", "batchId", "numInputRows",
                            "inputRowsPerSecond", "processedRowsPerSecond", "durationMs",
                            "eventTime", "stateOperators", "sources", "sink"}) {
      EXPECT_EQ(json[key].error(), simdjson::SUCCESS) << key << " in " << lines[i];
    }
    for (const char* key : {"latestOffset", "queryPlanning", "walCommit", "getBatch", "addBatch",
                            "commitOffsets", "triggerExecution"}) {
      EXPECT_TRUE(json["durationMs"][key].is_int64()) << key;
    }
    EXPECT_EQ(int64_t(json["batchId"]), static_cast<int64_t>(i));
    EXPECT_EQ(std::string_view(json["name"]), kJob);
    const bool last_of_run = i % 11 == 10;
    EXPECT_EQ(int64_t(json["numInputRows"]), last_of_run ? 0 : 400);
    rows += int64_t(json["numInputRows"]);
    for (const char* key : {"min", "avg", "max"}) {
      EXPECT_EQ(json["eventTime"][key].error() == simdjson::SUCCESS, !last_of_run) << key;
    }
    EXPECT_THAT(std::string(std::string_view(json["eventTime"]["watermark"])),
                ContainsRegex("^[0-9-]*T[0-9:]*\\.[0-9][0-9][0-9]Z$"));
    simdjson::dom::element source = json["sources"].at(0);
    EXPECT_EQ(int64_t(source["endOffset"]["users_change_events"]["3"]) +
                  int64_t(source["lag"]["users_change_events"]["3"]),
              int64_t(source["latestOffset"]["users_change_events"]["3"]));
    EXPECT_TRUE(json["stateOperators"].at(0)["numRowsDroppedByWatermark"].is_int64());
    if (i == 0) id = std::string_view(json["id"]);
    if (i == 0 || i == 11) {
      EXPECT_NE(std::string_view(json["runId"]), run_id);
      run_id = std::string_view(json["runId"]);
    }
    EXPECT_EQ(std::string_view(json["id"]), id);
    EXPECT_EQ(std::string_view(json["runId"]), run_id);
  }
  EXPECT_EQ(rows, 8000);
  const ProcessResult to_stderr = folder_.Run(kJob, With(kShort, {"--progress", "-"}));
  EXPECT_THAT(to_stderr.stderr_text, HasSubstr("\n{\"id\":\""));
}

TEST_F(JobRunnerTest, ParametersForLogsAreInTheLog) {
  const ProcessResult result =
      folder_.Run("order_totals", With(kShort, {"--param", "contact=ops@example.com"}));
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_THAT(result.stderr_text, ContainsRegex("event=start .*contact=ops@example.com"));
  const ProcessResult failed =
      folder_.Run("order_totals",
                  With(kShort, {"--param", "contact=ops@example.com", "--checkpoint", "/proc/no"}));
  EXPECT_EQ(failed.exit_code, 4);
  EXPECT_THAT(failed.stderr_text,
              ContainsRegex("level=error event=query_failed .*contact=ops@example.com"));
}

// ---- The checkpoint ---------------------------------------------------------------------------

TEST_F(JobRunnerTest, ALockedCheckpointExitsWith4NamingTheHolder) {
  auto holder = folder_.Launch(kJob, {"--trigger", "1 hour"});
  ASSERT_TRUE(WaitUntil([&] { return Contains(holder->Stdout(), "Batch: 0"); }))
      << holder->Stderr();
  const ProcessResult second = folder_.Run(kJob, kShort);
  EXPECT_EQ(second.exit_code, 4);
  EXPECT_THAT(Error(second), HasSubstr(std::to_string(holder->pid())));
  EXPECT_EQ(holder->Terminate(absl::Seconds(10)), 0) << holder->Stderr();
  EXPECT_EQ(folder_.Run(kJob, kShort).exit_code, 0);
}

TEST_F(JobRunnerTest, AForeignCheckpointExitsWith4) {
  std::filesystem::create_directory(folder_.Path("photos"));
  std::ofstream(folder_.Path("photos/cat.jpg")) << "meow";
  const ProcessResult photos = folder_.Run(kJob, With(kShort, {"--checkpoint", "photos"}));
  EXPECT_EQ(photos.exit_code, 4);
  EXPECT_THAT(Error(photos), HasSubstr("photos"));
  EXPECT_EQ(ReadText(folder_.Path("photos/cat.jpg")), "meow");

  ASSERT_EQ(folder_.Run(kJob, With(kShort, {"--checkpoint", "mine"})).exit_code, 0);
  const ProcessResult other = folder_.Run("op_counts", With(kShort, {"--checkpoint", "mine"}));
  EXPECT_EQ(other.exit_code, 4);
  EXPECT_THAT(Error(other), AllOf(HasSubstr("another pipeline"), HasSubstr("users_change_events")));
  const ProcessResult seed =
      folder_.Run(kJob, With(kShort, {"--checkpoint", "mine", "--seed", "2"}));
  EXPECT_EQ(seed.exit_code, 4);
  EXPECT_THAT(Error(seed), HasSubstr("seed"));
  const ProcessResult window =
      folder_.Run(kJob, With(kShort, {"--checkpoint", "mine", "--window", "1m"}));
  EXPECT_EQ(window.exit_code, 4);
  // What may change does not matter.
  EXPECT_EQ(folder_
                .Run(kJob, With(kShort, {"--checkpoint", "mine", "--watermark", "1m", "--threads",
                                         "1", "--num-rows", "2"}))
                .exit_code,
            0);
}

TEST_F(JobRunnerTest, AnUnwritableCheckpointExitsWith4) {
  std::ofstream(folder_.Path("file")) << "x";
  const ProcessResult result = folder_.Run(kJob, With(kShort, {"--checkpoint", "file/inside"}));
  EXPECT_EQ(result.exit_code, 4) << result.stderr_text;
  EXPECT_THAT(Error(result), HasSubstr("file/inside"));
}

TEST_F(JobRunnerTest, AnotherQuerysSinkExitsWith4) {
  ASSERT_EQ(folder_.Run(kJob, With(kShort, {"--sink", "json:out", "--checkpoint", "a"})).exit_code,
            0);
  const ProcessResult other =
      folder_.Run(kJob, With(kShort, {"--sink", "json:out", "--checkpoint", "b"}));
  EXPECT_EQ(other.exit_code, 4) << other.stderr_text;
  EXPECT_THAT(Error(other), HasSubstr("out"));
}

// ---- Signals ----------------------------------------------------------------------------------

TEST_F(JobRunnerTest, ASignalEndsTheJobCleanly) {
  for (const int signal : {SIGTERM, SIGINT}) {
    auto job = folder_.Launch(kJob, {"--embedded-rows", "4000", "--trigger", "1 hour"});
    ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "Batch: "); })) << job->Stderr();
    ASSERT_TRUE(job->Signal(signal).ok());
    const absl::StatusOr<int> code = job->Wait(absl::Seconds(30));
    ASSERT_TRUE(code.ok()) << code.status();
    EXPECT_EQ(*code, 0);
    EXPECT_THAT(job->Stderr(), AllOf(HasSubstr("\nSummary: rows="), Not(HasSubstr("error:"))));
  }
}

// A reader that takes nothing: the console cannot finish its batch.
class UnreadPipe {
 public:
  explicit UnreadPipe(const std::string& path) {
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    file_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  }
  ~UnreadPipe() { Close(); }
  bool Full() const {
    pollfd end = {.fd = file_, .events = POLLOUT, .revents = 0};
    return poll(&end, 1, 0) == 0;
  }
  // What a job has left in it goes.
  void Empty() const {
    int bytes = 0;
    ASSERT_EQ(ioctl(file_, FIONREAD, &bytes), 0);
    std::string text(static_cast<size_t>(bytes), '\0');
    ASSERT_EQ(read(file_, text.data(), text.size()), bytes);
  }
  void Close() {
    if (file_ >= 0) close(file_);
    file_ = -1;
  }

 private:
  int file_;
};

TEST_F(JobRunnerTest, TheFirstSignalEndsAStuckSinkTheSecondAtOnce) {
  const UnreadPipe pipe(folder_.Path("stdout"));
  const std::vector<std::string> flags = {"--window", "1s",         "--num-rows",
                                          "1000000",  "--progress", "progress"};
  for (const bool twice : {false, true}) {
    auto job = folder_.Launch(kJob, flags, {}, folder_.Path("stdout"));
    ASSERT_TRUE(WaitUntil([&] { return pipe.Full(); })) << job->Stderr();
    EXPECT_THAT(job->Stderr(), HasSubstr(twice ? "Resumed" : "New query"));
    EXPECT_EQ(ReadText(folder_.Path("progress")), "") << "the first batch fits into the pipe";
    ASSERT_TRUE(job->Signal(SIGTERM).ok());
    if (twice) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const auto start = std::chrono::steady_clock::now();
    if (twice) {
      ASSERT_TRUE(job->Signal(SIGINT).ok());
    }
    const absl::StatusOr<int> code = job->Wait(absl::Seconds(30));
    ASSERT_TRUE(code.ok()) << code.status() << job->Stderr();
    EXPECT_EQ(*code, twice ? 128 + SIGINT : 0) << job->Stderr();
    if (twice) {
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
    }
    pipe.Empty();
  }
  // And the checkpoint is fine.
  EXPECT_EQ(folder_.Run(kJob, With(kShort, {"--window", "1s"})).exit_code, 0);
}

TEST_F(JobRunnerTest, AReaderThatGoesAwayIsAnErrorNotASignal) {
  UnreadPipe pipe(folder_.Path("stdout"));
  auto job =
      folder_.Launch(kJob, {"--window", "1s", "--num-rows", "1000000"}, {}, folder_.Path("stdout"));
  ASSERT_TRUE(WaitUntil([&] { return pipe.Full(); })) << job->Stderr();
  pipe.Close();
  const absl::StatusOr<int> code = job->Wait(absl::Seconds(20));
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 1) << job->Stderr();
  EXPECT_THAT(job->Stderr(), HasSubstr("\nerror: "));
}

TEST_F(JobRunnerTest, AClosedOutputIsAnErrorNotAFileOfOurs) {
  ProcessResult result = folder_.Run(kJob, kShort);  // the words below need a finished checkpoint
  ASSERT_EQ(result.exit_code, 0);
  absl::StatusOr<ProcessResult> closed =
      testing::RunProcess({.args = {"/bin/sh", "-c",
                                    std::string(TIDEMARK_EXAMPLES_DIR) + "/" + kJob +
                                        " --trigger available-now --embedded-rows 4000 >&-"},
                           .working_dir = folder_.Path("")},
                          absl::Minutes(1));
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ(closed->exit_code, 1) << closed->stderr_text;
  EXPECT_THAT(closed->stderr_text, HasSubstr("\nerror: "));
}

TEST_F(JobRunnerTest, WithoutABrokerItKeepsTryingAndSaysSo) {
  const std::string brokers = "127.0.0.1:1";  // where no other test's server can come to be
  auto job = folder_.Launch(kJob, {"--brokers", brokers});
  ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stderr(), "event=retry"); })) << job->Stderr();
  EXPECT_THAT(job->Stderr(), AllOf(HasSubstr("level=warning"), HasSubstr(brokers)));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(job->Signal(SIGTERM).ok());
  const absl::StatusOr<int> code = job->Wait(absl::Seconds(30));
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0) << job->Stderr();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));

  const ProcessResult given_up = folder_.Run(kJob, {"--brokers", brokers, "--give-up-after", "1s"});
  EXPECT_EQ(given_up.exit_code, 1);
  EXPECT_THAT(Error(given_up), AllOf(HasSubstr("given up"), HasSubstr(brokers)));
}

// ---- Kills ------------------------------------------------------------------------------------

TEST_F(JobRunnerTest, KilledAndStartedAgainItWritesWhatAnUndisturbedRunWrites) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::vector<std::string> flags = {"--trigger", "available-now", "--max-offsets-per-trigger",
                                          "1000"};
  const auto run = [&](const std::string& name, const std::string& rows) {
    return With(flags, {"--sink", "json:" + name, "--checkpoint", name + "-checkpoint",
                        "--embedded-rows", rows});
  };
  int killed = 0;
  for (int i = 0; i < 12; ++i) {
    auto job = folder_.Launch(kJob, run("killed", "60000"));
    const auto wait = std::chrono::milliseconds(std::uniform_int_distribution<>(20, 400)(random));
    std::this_thread::sleep_for(wait);
    if (job->Kill() == 128 + SIGKILL) ++killed;
  }
  const ProcessResult last = folder_.Run(kJob, run("killed", "20000"));
  ASSERT_EQ(last.exit_code, 0) << last.stderr_text;
  EXPECT_GT(killed, 0);
  const auto batches = JsonBatches(folder_.Path("killed"));
  ASSERT_GE(batches.size(), 20u);

  // Each start adds rows to the log's end, so the undisturbed run is given as many as it takes.
  const ProcessResult undisturbed =
      folder_.Run(kJob, run("undisturbed", std::to_string(1000 * (batches.size() + 1))));
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.stderr_text;
  const auto expected = JsonBatches(folder_.Path("undisturbed"));
  // Batches without rows (after a run's end) shift what follows: compare those that have some.
  std::vector<std::vector<std::string>> got, wanted;
  for (const auto& [batch, rows] : batches) {
    if (!rows.empty()) got.push_back(rows);
  }
  for (const auto& [batch, rows] : expected) {
    if (!rows.empty()) wanted.push_back(rows);
  }
  ASSERT_LE(got.size(), wanted.size());
  wanted.resize(got.size());
  EXPECT_EQ(got, wanted);
}

}  // namespace
}  // namespace tidemark
