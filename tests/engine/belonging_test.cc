// A checkpoint and a sink that do not belong together: restored from backups of either, copied,
// rewound. It ends with a refusal that leaves the sink as it was, or with the rows of a query that
// nobody disturbed; never with rows left out or counted twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "tests/servers/temp_dir.h"
#include "tidemark/engine/checkpoint.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/query_execution.h"
#include "tidemark/engine/test_kit.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/state/checkpoint_rewind.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

TestKit::Pipeline Totals(OutputMode mode) {
  return [=](Job& job) {
    return job.Source("orders")
        .Decode(Json(Schema().String("shop").Int64("amount").Timestamp("at")))
        .WithWatermark("at", absl::Seconds(30))
        .GroupBy(TumblingWindow("at", absl::Seconds(60)), "shop")
        .Aggregate(Count().As("orders"), Sum("amount").As("amount"))
        .WriteTo(job.Sink("totals").Key("window_start", "shop"), mode);
  };
}

void AddOrders(TestKit& kit, int64_t from, int64_t count) {
  for (int64_t i = from; i < from + count; ++i) {
    std::minstd_rand random(static_cast<unsigned>(i * 7919 + 13));
    std::string time;
    AppendTimestamp((1'735'689'600 + i + static_cast<int64_t>(random() % 20)) * 1'000'000, &time);
    kit.Add({{"shop", "shop " + std::to_string(random() % 5)},
             {"amount", static_cast<int64_t>(random() % 100)},
             {"at", time}});
  }
}

// A query with its checkpoint and its files in folders, which can be copied. Each start is a new
// process's: its clock shows another time.
class Disturbed {
 public:
  static constexpr int64_t kBatch = 100;
  static constexpr int64_t kOrders = 1000;

  explicit Disturbed(OutputMode mode, bool fail_on_data_loss = true)
      : mode_(mode), fail_on_data_loss_(fail_on_data_loss) {}

  std::string Path(const std::string& name) const { return dir_.Path(name); }
  std::unique_ptr<TestKit> Kit(const std::string& checkpoint = "checkpoint",
                               const std::string& sink = "sink", int64_t limit = kBatch) {
    auto kit = std::make_unique<TestKit>(
        Totals(mode_), std::map<std::string, std::string>(), [=, this](QueryOptions& options) {
          options.max_offsets_per_trigger = limit;
          options.fail_on_data_loss = fail_on_data_loss_;
          options.snapshot_every = 3;
          options.threads = 1;
          options.checkpoint = ::tidemark::CheckpointFolder(Path(checkpoint));
          options.output = JsonFilesOutput(Path(sink));
        });
    AddOrders(*kit, 0, kOrders);
    kit->clock().Advance(absl::Milliseconds(++starts_));
    return kit;
  }
  void Run(int batches) {
    const auto kit = Kit();
    for (int i = 0; i < batches; ++i) ASSERT_TRUE(*kit->RunBatch());
  }
  void RunAll(int64_t limit = kBatch) {
    const auto kit = Kit("checkpoint", "sink", limit);
    const absl::Status status = kit->RunAll();
    ASSERT_TRUE(status.ok()) << status;
  }
  // A plan that is durable, and whose sink fails: a batch under way.
  void PlanOne() {
    const auto kit = Kit();
    ASSERT_TRUE(kit->Start().ok());
    fs::rename(Path("sink"), Path("sink.away"));
    EXPECT_FALSE(kit->RunBatch().ok());
    fs::rename(Path("sink.away"), Path("sink"));
  }

  void Copy(const std::string& from, const std::string& to) {
    fs::remove_all(Path(to));
    fs::copy(Path(from), Path(to), fs::copy_options::recursive);
  }
  // The rows of the sink's manifests, batch by batch.
  std::vector<std::string> Rows() const {
    std::vector<std::string> rows;
    for (const std::string& name : Parts()) {
      std::ifstream file(Path("sink/" + name));
      for (std::string line; std::getline(file, line);) rows.push_back(line);
    }
    return rows;
  }
  std::set<std::string> Parts() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(Path("sink"))) {
      const std::string name = entry.path().filename();
      if (name.starts_with("part-")) names.insert(name);
    }
    return names;
  }

  // Whether a start ends with exit code 4, saying `what`, and leaves the sink as it was.
  void ExpectRefused(const std::string& what) {
    const std::vector<std::string> before = Rows();
    const auto kit = Kit();
    const absl::Status status = kit->RunAll();
    EXPECT_EQ(ExitCode(status, true), 4) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    EXPECT_EQ(Rows(), before);
  }

  absl::Status Rewind(int64_t batch_id, int64_t epoch) {
    class CheckpointFolder folder(Path("checkpoint"));
    if (absl::Status status = folder.Lock(); !status.ok()) return status;
    return RewindCheckpoint(folder, batch_id, epoch,
                            [epoch](std::unique_ptr<CheckpointStore> store) -> absl::Status {
                              Checkpoint checkpoint(std::move(store));
                              const absl::StatusOr<bool> loaded = checkpoint.Load();
                              return loaded.ok() ? checkpoint.BeginEpoch(epoch) : loaded.status();
                            });
  }

 private:
  const OutputMode mode_;
  const bool fail_on_data_loss_;
  int starts_ = 0;
  testing::TempDir dir_;
};

std::vector<std::string> Undisturbed(OutputMode mode) {
  Disturbed query(mode);
  query.RunAll();
  return query.Rows();
}

class Belonging : public ::testing::TestWithParam<OutputMode> {};
INSTANTIATE_TEST_SUITE_P(Modes, Belonging,
                         ::testing::Values(OutputMode::kAppend, OutputMode::kUpdate,
                                           OutputMode::kComplete));

TEST_P(Belonging, ACheckpointOfABackupIsRefused) {
  for (const int ahead : {1, 2}) {
    Disturbed query(GetParam());
    query.Run(4);
    query.Copy("checkpoint", "backup");
    query.Run(ahead);
    query.Copy("backup", "checkpoint");
    query.ExpectRefused("the sink holds batches up to " + std::to_string(3 + ahead) +
                        ", the checkpoint only 3");
    // The backup's own snapshot, of batch 2, is a way to use it.
    ASSERT_TRUE(query.Rewind(2, 1).ok());
    query.RunAll();
    EXPECT_EQ(query.Rows(), Undisturbed(GetParam()));
  }
}

TEST_P(Belonging, ABackupWithABatchUnderWay) {
  // The sink went on by that batch alone, from the same plan: they do belong together.
  Disturbed query(GetParam());
  query.Run(4);
  query.PlanOne();
  query.Copy("checkpoint", "backup");
  query.Run(1);
  query.Copy("backup", "checkpoint");
  query.RunAll();
  EXPECT_EQ(query.Rows(), Undisturbed(GetParam()));
  // By one more: they do not.
  query.Copy("backup", "checkpoint");
  query.ExpectRefused("the checkpoint only 3");
}

TEST_P(Belonging, ASinkWithTheBatchFromAnotherPlan) {
  Disturbed query(GetParam());
  query.Run(4);
  query.Copy("checkpoint", "backup");
  query.PlanOne();
  query.Copy("checkpoint", "planned");
  query.Copy("backup", "checkpoint");
  query.Run(1);  // batch 4 again, planned at another time
  query.Copy("planned", "checkpoint");
  query.ExpectRefused("batch 4 from another plan");
}

TEST_P(Belonging, ASinkOfABackupIsRefused) {
  Disturbed query(GetParam());
  query.Run(3);
  query.Copy("sink", "backup");
  query.Run(2);
  query.Copy("backup", "sink");
  query.ExpectRefused("the sink holds batches up to 2, the checkpoint has committed 4");
  // A higher epoch does not make up for lost batches.
  Disturbed rewound(GetParam());
  rewound.Run(1);
  rewound.Copy("sink", "backup");
  rewound.Run(6);
  rewound.Copy("backup", "sink");
  ASSERT_TRUE(rewound.Rewind(5, 1).ok());
  rewound.ExpectRefused("the sink holds batches up to 0, the checkpoint has committed 5");
}

TEST_P(Belonging, ASinkThatLostItsMarkerKeepsItsRows) {
  Disturbed query(GetParam());
  query.Run(4);
  fs::remove_all(query.Path("sink/_tidemark"));
  query.RunAll();
  EXPECT_EQ(query.Rows(), Undisturbed(GetParam()));

  Disturbed under_way(GetParam());
  under_way.Run(4);
  under_way.PlanOne();
  fs::remove_all(under_way.Path("sink/_tidemark"));
  under_way.ExpectRefused("batch 4 is under way, but the sink knows nothing of this query");

  // The newest record alone: the sink seems to be behind.
  Disturbed behind(GetParam());
  behind.Run(4);
  fs::remove(behind.Path("sink/_tidemark/00003.json"));
  behind.ExpectRefused("the sink holds batches up to 2, the checkpoint has committed 3");
}

TEST_P(Belonging, TwoCopiesOfOneCheckpointDoNotWriteTogether) {
  Disturbed query(GetParam());
  query.Run(4);
  query.Copy("checkpoint", "copy");
  {
    const auto first = query.Kit();
    ASSERT_TRUE(*first->RunBatch());
    const auto second = query.Kit("copy");
    const absl::Status status = second->Start();
    EXPECT_EQ(ExitCode(status, false), 4) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is being written by another process"));
    ASSERT_TRUE(first->RunAll().ok());
  }
  EXPECT_EQ(query.Rows(), Undisturbed(GetParam()));
  // Nor one after the other.
  query.Copy("copy", "checkpoint");
  query.ExpectRefused("the checkpoint only 3");
}

// Two copies that each went on by as many batches, with a sink each: the numbers fit, the plans do
// not. Also with a batch under way on top of it.
TEST_P(Belonging, TwoHistoriesOfTheSameLengthAreToldApart) {
  for (const bool under_way : {false, true}) {
    Disturbed query(GetParam());
    query.Run(4);
    query.Copy("checkpoint", "copy");
    query.Copy("sink", "sink copy");
    query.Run(2);
    {
      const auto other = query.Kit("copy", "sink copy");
      for (int i = 0; i < 2; ++i) ASSERT_TRUE(*other->RunBatch());
    }
    if (under_way) query.PlanOne();
    query.Copy("sink", "its own");
    query.Copy("sink copy", "sink");
    query.ExpectRefused("the sink holds batch 5 from another plan");
    query.Copy("its own", "sink");
    query.RunAll();
    EXPECT_EQ(query.Rows(), Undisturbed(GetParam()));
  }
}

TEST_P(Belonging, ARewoundQueryEndsAsAnUndisturbedOne) {
  const std::vector<std::string> expected = Undisturbed(GetParam());
  Disturbed query(GetParam());
  query.RunAll();
  for (const int64_t epoch : {1, 2}) {
    ASSERT_TRUE(query.Rewind(5, epoch).ok());
    query.Run(2);
    query.RunAll();
    EXPECT_EQ(query.Rows(), expected) << epoch;
  }
  // Cut otherwise, complete and append end alike (update mode's files are the log of its batches).
  ASSERT_TRUE(query.Rewind(5, 3).ok());
  query.RunAll(/*limit=*/70);
  if (GetParam() == OutputMode::kAppend) {
    std::vector<std::string> rows = query.Rows();
    std::vector<std::string> sorted = expected;
    std::sort(rows.begin(), rows.end());
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(rows, sorted);
  }
}

TEST_P(Belonging, ARewindCanBeUndone) {
  Disturbed query(GetParam());
  query.Run(7);
  query.PlanOne();
  ASSERT_TRUE(query.Rewind(2, 1).ok());
  {
    class CheckpointFolder folder(query.Path("checkpoint"));
    ASSERT_TRUE(folder.Lock().ok());
    EXPECT_EQ(ListRewinds(folder), std::vector<int64_t>{1});
    EXPECT_EQ(folder.ListSnapshots(), std::vector<int64_t>{2});
    ASSERT_TRUE(UndoRewind(folder, 1).ok());
    EXPECT_EQ(ListRewinds(folder), std::vector<int64_t>{});
    EXPECT_EQ(folder.ListSnapshots(), (std::vector<int64_t>{2, 5}));
  }
  query.RunAll();
  EXPECT_EQ(query.Rows(), Undisturbed(GetParam()));
}

// Range lost before the re-run, sink with and without the batch: recovery_test. Here: another
// record at an offset of the batch under way.
TEST(ReRun, ABatchThatComesOutDifferently) {
  for (const bool fail : {true, false}) {
    Disturbed query(OutputMode::kUpdate, fail);
    query.Run(4);
    query.PlanOne();
    query.Copy("checkpoint", "planned");
    query.Run(1);
    query.Copy("planned", "checkpoint");
    const std::vector<std::string> before = query.Rows();
    const auto kit = query.Kit();
    kit->topic().Recreate();
    AddOrders(*kit, 0, 4 * Disturbed::kBatch);
    AddOrders(*kit, 5000, 6 * Disturbed::kBatch);
    const absl::StatusOr<bool> ran = kit->RunBatch();
    EXPECT_EQ(query.Rows(), before) << "the sink holds the batch: it stays";
    if (fail) {
      EXPECT_EQ(ExitCode(ran.status(), true), 3) << ran.status();
      EXPECT_THAT(std::string(ran.status().message()),
                  AllOf(HasSubstr("batch 4 came out differently"), HasSubstr("holds"),
                        HasSubstr("--fail-on-data-loss false")));
    } else {
      EXPECT_TRUE(ran.ok() && *ran) << ran.status();
    }
  }
}

}  // namespace
}  // namespace tidemark
