// The program `tidemark` as a person runs it, on checkpoints of a job with real servers.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using testing::Contains;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Lines;
using testing::MariaDbServer;
using ::testing::Not;
using testing::Process;
using testing::ProcessOptions;
using testing::ProcessResult;
using testing::ReadText;
using testing::WaitUntil;

constexpr char kJob[] = "registrations_per_store";
constexpr int64_t kRecords = 20'000;
constexpr char kReadParquet[] =
    "import pyarrow.parquet as pq, glob, json, sys\n"
    "for file in glob.glob(sys.argv[1] + '/part-*.parquet'):\n"
    "    for row in pq.read_table(file).to_pylist(): print(json.dumps(row, default=str))\n";

std::string Registration(int64_t i) {
  return fmt::format(
      R"({{"customer_id":{},"store_id":{},"created_at":"2025-01-06T{:02}:{:02}:{:02}Z"}})", i,
      i % 7, i / 14'400 % 24, i / 240 % 60, i / 4 % 60);
}

// A job's run: everything about it goes by this name.
struct JobRun {
  std::string name;
  std::string sink;  // mysql, json, kafka, parquet
  std::string topic = "registrations";
  std::string max_offsets = "1000";
};

class ToolTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = *std::move(kafka);
    auto database = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    ASSERT_TRUE(kafka_->CreateTopic("registrations", 1).ok());
    ASSERT_TRUE(kafka_->ProduceMany("registrations", 0, kRecords, &Registration).ok());
  }
  static void TearDownTestSuite() {
    kafka_.reset();
    database_.reset();
  }
  void SetUp() override { ASSERT_NE(database_, nullptr); }

  std::string Checkpoint(const JobRun& run) const { return folder_.Path(run.name + ".checkpoint"); }
  std::vector<std::string> Flags(const JobRun& run, const std::string& trigger) const {
    std::string sink = run.sink + ":" + folder_.Path(run.name + ".rows");
    if (run.sink == "mysql") sink = database_->url(run.name) + "?create_table=true";
    if (run.sink == "kafka") sink = "kafka:" + run.name + "?create_topic=true";
    return {"--brokers",
            kafka_->brokers(),
            "--topic",
            run.topic,
            "--trigger",
            trigger,
            "--sink",
            sink,
            "--checkpoint",
            Checkpoint(run),
            "--output-mode",
            run.sink == "parquet" ? "append" : "update",
            "--starting-offsets",
            "earliest",
            "--max-offsets-per-trigger",
            run.max_offsets,
            "--snapshot-every",
            "5"};
  }
  static JobFolder::Variables Password() {
    return {{"TIDEMARK_MYSQL_PASSWORD", database_->password()}};
  }
  ProcessResult RunJob(const JobRun& run) {
    return folder_.Run(kJob, Flags(run, "available-now"), Password());
  }
  void MustRun(const JobRun& run) {
    const ProcessResult result = RunJob(run);
    ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
  }
  std::unique_ptr<Process> Launch(const JobRun& run) {
    return folder_.Launch(kJob, Flags(run, "asap"), Password());
  }

  static ProcessResult Tool(std::vector<std::string> args) {
    args.insert(args.begin(), {TIDEMARK_TOOL, "checkpoint"});
    const auto result = testing::RunProcess({.args = std::move(args)}, absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }
  static std::string MustTool(std::vector<std::string> args) {
    const ProcessResult result = Tool(std::move(args));
    EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
    return result.stdout_text;
  }

  // What a reader of the sink has in the end, sorted: of a topic the last value of each key.
  std::vector<std::string> Rows(const JobRun& run) const {
    std::vector<std::string> rows;
    if (run.sink == "mysql") {
      const auto table = database_->Query("SELECT * FROM " + run.name);
      EXPECT_TRUE(table.ok()) << table.status();
      if (!table.ok()) return rows;
      for (const auto& row : *table) {
        std::string& text = rows.emplace_back();
        for (const auto& cell : row) text += cell.value_or("NULL") + "|";
      }
    } else if (run.sink == "kafka") {
      std::map<std::string, std::string> last;
      const auto records = kafka_->ReadTopic(run.name);
      EXPECT_TRUE(records.ok()) << records.status();
      if (!records.ok()) return rows;
      for (const KafkaRecord& record : *records) last[record.key.value()] = record.value.value();
      for (const auto& [key, value] : last) rows.push_back(key + "=" + value);
    } else if (run.sink == "parquet") {
      const auto read = testing::RunProcess(
          {.args = {"python3", "-c", kReadParquet, folder_.Path(run.name + ".rows")},
           .env = {{"PYTHONPATH", TIDEMARK_PYARROW}, {"PYTHONDONTWRITEBYTECODE", "1"}}},
          absl::Minutes(1));
      EXPECT_TRUE(read.ok() && read->exit_code == 0) << read.status();
      if (read.ok()) rows = Lines(read->stdout_text);
    } else {
      for (auto& [batch, lines] : testing::JsonBatches(folder_.Path(run.name + ".rows")))
        rows.insert(rows.end(), lines.begin(), lines.end());
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }
  // Another run over the same topic that nothing happens to.
  std::vector<std::string> Undisturbed(const JobRun& run) {
    JobRun other = run;
    other.name += "_undisturbed";
    MustRun(other);
    std::vector<std::string> rows = Rows(other);
    EXPECT_GE(rows.size(), 7u);
    return rows;
  }

  static inline std::unique_ptr<KafkaServer> kafka_;
  static inline std::unique_ptr<MariaDbServer> database_;
  JobFolder folder_;
};

TEST_F(ToolTest, ARewoundJobEndsAsAnUndisturbedOne) {
  const std::map<std::string, std::string> effects = {
      {"mysql", "its rows are written again, each over the one with the same key"},
      {"json", "the files of those batches are removed, by their manifests"},
      {"kafka", "its rows are sent again"},
      {"parquet", "the files of those batches are removed, by their manifests"}};
  for (const auto& [sink, effect] : effects) {
    if (sink == "parquet" && std::string(TIDEMARK_PYARROW).empty()) continue;
    JobRun run{"rewound_" + sink, sink};
    MustRun(run);
    const std::string checkpoint = Checkpoint(run);
    const std::string before = MustTool({"list", checkpoint});
    EXPECT_THAT(before,
                AllOf(HasSubstr("current"), HasSubstr("      19 "), HasSubstr("       9 ")));

    const std::string plan = MustTool({"rewind", checkpoint, "--to", "9"});
    EXPECT_THAT(plan, AllOf(HasSubstr("registrations          0           10,000  20,000   10,000"),
                            HasSubstr(effect), HasSubstr("Nothing was changed")));
    EXPECT_EQ(MustTool({"list", checkpoint}), before) << "a dry run";

    const std::string done = MustTool({"rewind", checkpoint, "--to", "9", "--yes"});
    EXPECT_THAT(done, AllOf(HasSubstr("rewound/1"), HasSubstr("Done"), HasSubstr("--undo")));
    EXPECT_THAT(MustTool({"show", checkpoint}),
                AllOf(HasSubstr("9 is committed"), HasSubstr("epoch      1")));
    EXPECT_EQ(Rows(run).empty(), false);
    // A folder is the log of its batches in update mode: there the cuts must be the same.
    if (sink != "json") run.max_offsets = "700";
    MustRun(run);
    EXPECT_EQ(Rows(run), Undisturbed({run.name, sink})) << sink;
    EXPECT_THAT(MustTool({"verify", checkpoint}), Not(HasSubstr("DAMAGED")));
    // Once it went on there is no way back to what it replaced.
    const ProcessResult undo = Tool({"rewind", checkpoint, "--undo", "--yes"});
    EXPECT_EQ(undo.exit_code, 4) << undo.stdout_text;
    EXPECT_THAT(undo.stderr_text, HasSubstr("has been used since it was rewound"));
  }
}

TEST_F(ToolTest, ARewindThatIsUndoneNeverWas) {
  const JobRun run{"undone", "mysql"};
  MustRun(run);
  const std::string checkpoint = Checkpoint(run);
  const std::string before = MustTool({"list", checkpoint});
  const std::vector<std::string> rows = Rows(run);
  EXPECT_EQ(Tool({"rewind", checkpoint, "--undo"}).exit_code, 2);
  MustTool({"rewind", checkpoint, "--to", "14", "--yes"});
  MustTool({"rewind", checkpoint, "--to", "9", "--yes"});
  EXPECT_THAT(MustTool({"rewind", checkpoint, "--undo"}), HasSubstr("Nothing was changed"));
  MustTool({"rewind", checkpoint, "--undo", "--yes"});
  MustTool({"rewind", checkpoint, "--undo", "--yes"});
  EXPECT_EQ(MustTool({"list", checkpoint}), before);
  MustRun(run);
  EXPECT_EQ(Rows(run), rows);
}

TEST_F(ToolTest, ACheckpointOfABackup) {
  for (const std::string sink : {"mysql", "json", "kafka"}) {
    const JobRun run{"backup_" + sink, sink, "topic_" + sink};
    ASSERT_TRUE(kafka_->CreateTopic(run.topic, 1).ok());
    ASSERT_TRUE(kafka_->ProduceMany(run.topic, 0, kRecords / 2, &Registration).ok());
    MustRun(run);
    const std::string checkpoint = Checkpoint(run);
    fs::copy(checkpoint, checkpoint + ".copy", fs::copy_options::recursive);
    ASSERT_TRUE(kafka_
                    ->ProduceMany(run.topic, 0, kRecords / 2,
                                  [](int64_t i) { return Registration(i + kRecords / 2); })
                    .ok());
    MustRun(run);
    const std::vector<std::string> rows = Rows(run);
    fs::rename(checkpoint, checkpoint + ".newer");
    fs::rename(checkpoint + ".copy", checkpoint);
    const ProcessResult refused = RunJob(run);
    EXPECT_EQ(refused.exit_code, 4) << refused.stderr_text;
    EXPECT_THAT(refused.stderr_text,
                AllOf(HasSubstr("do not belong together"), HasSubstr("the sink holds batches up"),
                      HasSubstr("tidemark checkpoint rewind")));
    EXPECT_EQ(Rows(run), rows) << "as it was";
    // What the message offers.
    MustTool({"rewind", checkpoint, "--to", "9", "--yes"});
    MustRun(run);
    EXPECT_EQ(Rows(run), Undisturbed(run)) << sink;
  }
}

TEST_F(ToolTest, TwoJobsOnCopiesOfOneCheckpoint) {
  for (const std::string sink : {"mysql", "json", "kafka"}) {
    const JobRun first{"copied_" + sink, sink, "copied_topic_" + sink};
    ASSERT_TRUE(kafka_->CreateTopic(first.topic, 1).ok());
    ASSERT_TRUE(kafka_->ProduceMany(first.topic, 0, kRecords / 2, &Registration).ok());
    MustRun(first);
    const std::string checkpoint = Checkpoint(first);
    fs::copy(checkpoint, checkpoint + ".copy", fs::copy_options::recursive);
    auto one = Launch(first);
    std::vector<std::string> flags = Flags(first, "asap");
    *std::find(flags.begin(), flags.end(), checkpoint) += ".copy";
    auto other = folder_.Launch(kJob, flags, Password());
    int64_t produced = kRecords / 2;
    ASSERT_TRUE(WaitUntil([&] {
      if (produced < kRecords) {
        EXPECT_TRUE(kafka_
                        ->ProduceMany(first.topic, 0, 200,
                                      [=](int64_t i) { return Registration(i + produced); })
                        .ok());
        produced += 200;
      }
      return !one->Running() || !other->Running();
    })) << one->Stderr()
        << other->Stderr();
    for (auto* job : {&one, &other}) {
      if ((*job)->Running()) {
        (*job)->Terminate(absl::Seconds(10));
        continue;
      }
      EXPECT_EQ(*(*job)->Wait(absl::Seconds(1)), 4) << (*job)->Stderr();
      EXPECT_THAT((*job)->Stderr(),
                  AnyOf(HasSubstr("belong together"), HasSubstr("by another process"),
                        HasSubstr("another instance of this query")));
    }
    while (produced < kRecords) {
      ASSERT_TRUE(kafka_
                      ->ProduceMany(first.topic, 0, 200,
                                    [=](int64_t i) { return Registration(i + produced); })
                      .ok());
      produced += 200;
    }
    // One of the two fits the sink, and ends with the right rows.
    const bool first_fits = RunJob(first).exit_code == 0;
    if (!first_fits) {
      fs::rename(checkpoint, checkpoint + ".refused");
      fs::rename(checkpoint + ".copy", checkpoint);
      MustRun(first);
    }
    std::vector<std::string> rows = Rows(first);
    if (sink == "json") {
      // The log of other batches than an undisturbed run's: the last of each key counts.
      EXPECT_FALSE(rows.empty());
      std::map<std::string, std::string> last;
      for (auto& [batch, lines] : testing::JsonBatches(folder_.Path(first.name + ".rows")))
        for (const std::string& line : lines) last[line.substr(0, line.rfind(','))] = line;
      std::map<std::string, std::string> expected;
      JobRun undisturbed = first;
      undisturbed.name += "_undisturbed";
      MustRun(undisturbed);
      for (auto& [batch, lines] : testing::JsonBatches(folder_.Path(undisturbed.name + ".rows")))
        for (const std::string& line : lines) expected[line.substr(0, line.rfind(','))] = line;
      EXPECT_EQ(last, expected);
    } else {
      EXPECT_EQ(rows, Undisturbed(first)) << sink;
    }
  }
}

TEST_F(ToolTest, WhileTheJobRuns) {
  const JobRun run{"running", "mysql"};
  MustRun(run);
  const std::string checkpoint = Checkpoint(run);
  auto job = Launch(run);
  ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stderr(), "Resumed from"); }));
  const std::string pid = std::to_string(job->pid());
  const ProcessResult listed = Tool({"list", checkpoint});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_THAT(listed.stdout_text, AllOf(HasSubstr("in use"), HasSubstr("      19 ")));
  EXPECT_THAT(listed.stderr_text, HasSubstr("in use by process " + pid));
  for (const std::vector<std::string>& refused : {std::vector<std::string>{"show", checkpoint},
                                                  {"export", checkpoint},
                                                  {"diff", checkpoint, "9"},
                                                  {"rewind", checkpoint, "--to", "9"},
                                                  {"rewind", checkpoint, "--to", "9", "--yes"},
                                                  {"rewind", checkpoint, "--undo"}}) {
    const ProcessResult result = Tool(refused);
    EXPECT_EQ(result.exit_code, 4) << result.stdout_text;
    EXPECT_THAT(result.stderr_text, HasSubstr("in use by process " + pid));
  }
  EXPECT_THAT(MustTool({"show", checkpoint, "19"}), HasSubstr("19 is committed"));
  EXPECT_THAT(MustTool({"verify", checkpoint}),
              AllOf(HasSubstr("not checked"), HasSubstr("whole")));
  EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
  EXPECT_THAT(MustTool({"list", checkpoint}), Not(HasSubstr("in use")));
}

TEST_F(ToolTest, WhatThereIs) {
  const JobRun run{"looked_at", "json"};
  MustRun(run);
  const std::string checkpoint = Checkpoint(run);
  EXPECT_THAT(MustTool({"list", checkpoint}),
              AllOf(HasSubstr("Kafka[registrations] -> JsonFiles["), HasSubstr("current")));
  EXPECT_THAT(MustTool({"list", checkpoint, "--json"}),
              AllOf(HasSubstr(R"({"copy":"19","batch":19,"epoch":0,"watermark":"2025-01-06T)")));
  const std::string shown = MustTool({"show", checkpoint});
  EXPECT_THAT(shown,
              AllOf(HasSubstr("NEXT OFFSET"), HasSubstr("20,000"), HasSubstr("watermark  2025"),
                    HasSubstr("registrations int64"), HasSubstr("store_id=store_id")));
  EXPECT_THAT(MustTool({"show", checkpoint, "19", "--json"}),
              AllOf(HasSubstr(R"("next_offset":20000)"), HasSubstr(R"("windows":[{"operator":0)")));

  // The groups that are open: what is left of the sum, window by window.
  int64_t registrations = 0;
  const std::vector<std::string> groups = Lines(MustTool({"export", checkpoint}));
  for (const std::string& line : groups) {
    EXPECT_THAT(line,
                AllOf(HasSubstr(R"({"window_start":"2025-01-06T)"), HasSubstr(R"("store_id":)")));
    registrations += std::stoll(line.substr(line.rfind(':') + 1));
  }
  EXPECT_GT(groups.size(), 7u);
  EXPECT_GT(registrations, 0);
  EXPECT_LT(registrations, kRecords);

  const std::string diff = MustTool({"diff", checkpoint, "9", "19", "--limit", "1"});
  EXPECT_THAT(diff, AllOf(HasSubstr("10,000  20,000"), HasSubstr("groups: "), HasSubstr(" added, "),
                          HasSubstr(R"(+ {"window_start":)"), HasSubstr(R"(- {"window_start":)")));
  EXPECT_THAT(MustTool({"diff", checkpoint, "current"}),
              HasSubstr("0 added, 0 changed, 0 removed, " + std::to_string(groups.size())));
}

TEST_F(ToolTest, DamageIsNamed) {
  const JobRun run{"damaged", "json"};
  MustRun(run);
  const std::string checkpoint = Checkpoint(run);
  EXPECT_THAT(MustTool({"verify", checkpoint}), HasSubstr("current  whole"));
  // Of a snapshot, and of nothing else: its files are linked, so a copy of the file takes its
  // place.
  std::string table;
  for (const auto& entry : fs::directory_iterator(checkpoint + "/snapshots/9")) {
    if (entry.path().extension() == ".sst") table = entry.path();
  }
  std::string bytes = ReadText(table);
  bytes[bytes.size() / 3] = static_cast<char>(bytes[bytes.size() / 3] ^ 4);
  fs::remove(table);
  std::ofstream(table, std::ios::binary) << bytes;
  const ProcessResult verified = Tool({"verify", checkpoint});
  EXPECT_EQ(verified.exit_code, 4) << verified.stdout_text;
  EXPECT_THAT(verified.stdout_text, AllOf(HasSubstr("current  whole"), HasSubstr("9  DAMAGED")));
  EXPECT_THAT(verified.stderr_text, AllOf(HasSubstr(fs::path(table).filename().string()),
                                          HasSubstr("no job needs this")));
  const ProcessResult rewind = Tool({"rewind", checkpoint, "--to", "9", "--yes"});
  EXPECT_EQ(rewind.exit_code, 4) << rewind.stdout_text;
  // The state itself: its message offers a snapshot, and the rewind to it works.
  const fs::path current = checkpoint + "/state";
  for (const auto& entry : fs::directory_iterator(current)) {
    if (entry.path().filename().string().starts_with("MANIFEST")) fs::resize_file(entry.path(), 10);
  }
  const ProcessResult broken = Tool({"show", checkpoint});
  EXPECT_EQ(broken.exit_code, 4) << broken.stdout_text;
  EXPECT_THAT(broken.stderr_text, HasSubstr("tidemark checkpoint rewind"));
  EXPECT_EQ(RunJob(run).exit_code, 4);
  EXPECT_THAT(MustTool({"rewind", checkpoint, "--to", "14", "--yes"}),
              HasSubstr("The current state cannot be read"));
  MustRun(run);
  EXPECT_EQ(Rows(run), Undisturbed(run));
}

// A query that was never restarted, without snapshots, into a sink that keeps no marker: all there
// is of it lies in the log.
TEST_F(ToolTest, ALostLogOrStateIsNoNewQuery) {
  const std::string checkpoint = folder_.Path("log.checkpoint");
  const std::vector<std::string> flags = {"--trigger",    "available-now",   "--sink",
                                          "null",         "--embedded-rows", "2000",
                                          "--checkpoint", checkpoint};
  ASSERT_EQ(folder_.Run(kJob, flags).exit_code, 0);
  fs::path log;
  for (const auto& entry : fs::directory_iterator(checkpoint + "/state")) {
    if (entry.path().extension() == ".log" && entry.file_size() > 0) log = entry.path();
  }
  ASSERT_FALSE(log.empty());
  const auto size = fs::file_size(log);
  const auto expect_refused = [&](const std::string& what) {
    const ProcessResult verified = Tool({"verify", checkpoint});
    EXPECT_EQ(verified.exit_code, 4) << verified.stdout_text;
    EXPECT_THAT(verified.stderr_text, HasSubstr(what));
    const ProcessResult started = folder_.Run(kJob, flags);
    EXPECT_EQ(started.exit_code, 4) << started.stderr_text;
    EXPECT_THAT(started.stderr_text, AllOf(HasSubstr(what), HasSubstr("start over in a new folder"),
                                           Not(HasSubstr("New query"))));
  };
  fs::resize_file(log, 0);
  expect_refused(log.filename().string());
  fs::resize_file(log, size);  // zeros
  expect_refused(log.filename().string());
  fs::remove_all(checkpoint + "/state");
  expect_refused(checkpoint);
}

TEST_F(ToolTest, WhatIsNotThere) {
  EXPECT_EQ(Tool({}).exit_code, 2);
  EXPECT_EQ(Tool({"show"}).exit_code, 2);
  EXPECT_EQ(Tool({"--help"}).exit_code, 0);
  EXPECT_THAT(Tool({"show", folder_.Path("nowhere")}).stderr_text, HasSubstr("no checkpoint in"));
  EXPECT_EQ(Tool({"show", folder_.Path("nowhere")}).exit_code, 2);
  EXPECT_FALSE(fs::exists(folder_.Path("nowhere")));
  fs::create_directory(folder_.Path("mine"));
  std::ofstream(folder_.Path("mine/thesis.txt")) << "text";
  const ProcessResult foreign = Tool({"verify", folder_.Path("mine")});
  EXPECT_EQ(foreign.exit_code, 4);
  EXPECT_THAT(foreign.stderr_text, HasSubstr("thesis.txt"));
  const JobRun run{"some", "json"};
  MustRun(run);
  const ProcessResult copy = Tool({"show", Checkpoint(run), "3"});
  EXPECT_EQ(copy.exit_code, 2);
  EXPECT_THAT(copy.stderr_text, HasSubstr("there are: current, 19, 14, 9"));
  const ProcessResult snapshot = Tool({"rewind", Checkpoint(run), "--to", "3"});
  EXPECT_EQ(snapshot.exit_code, 2);
  EXPECT_THAT(snapshot.stderr_text, HasSubstr("it keeps: 9, 14, 19"));
  EXPECT_EQ(Tool({"rewind", Checkpoint(run)}).exit_code, 2);
  EXPECT_EQ(Tool({"rewind", Checkpoint(run), "--to", "9", "--undo"}).exit_code, 2);
}

}  // namespace
}  // namespace tidemark
