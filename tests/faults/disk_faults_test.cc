// A query over a disk that fails at any one of its operations, or loses its power, ends with the
// rows of a query over a good disk, and never starts again from nothing.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "rocksdb/env.h"
#include "tests/faults/fault_report.h"
#include "tests/faults/faulty_file_system.h"
#include "tests/faults/shop_totals.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/streaming_query.h"
#include "tidemark/state/rocksdb_env.h"

namespace tidemark {
namespace {

using testing::AddOrders;
using testing::DiskFault;
using testing::FaultOutcome;
using testing::FaultScale;
using testing::FaultSeed;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RowsOf;
using testing::ShopTotals;

constexpr int64_t kOrdersPerBatch = 60;
// Batches that a run has: before the fault, with it, and after all is over.
constexpr int64_t kBatchesBefore = 3;
constexpr int64_t kBatchesDuring = 5;
constexpr int64_t kBatches = 7;

/// A query whose checkpoint lies on a faulty disk; its topic and its sink are safe.
class DiskRun {
 public:
  explicit DiskRun(OutputMode mode)
      : disk_(std::make_shared<FaultyFileSystem>(temp_.Path("disk"), temp_.Path("graveyard"))),
        env_(rocksdb::NewCompositeEnv(disk_)),
        kit_(ShopTotals(mode), {}, [this](QueryOptions& options) { Change(options); }) {
    std::filesystem::create_directory(temp_.Path("disk"));
    std::filesystem::create_directory(temp_.Path("graveyard"));
  }

  void Change(QueryOptions& options) {
    options.max_offsets_per_trigger = kOrdersPerBatch;
    options.snapshot_every = 2;
    options.output = MemoryOutput(table_);
    options.checkpoint.description = "on the faulty disk";
    options.checkpoint.open = [this](size_t memory_bytes, bool* created) {
      return OpenCheckpointStoreIn(env_.get(), temp_.Path("disk/checkpoint"),
                                   CheckpointStoreOptions{memory_bytes}, created);
    };
  }
  /// The topic has so many batches' orders from now on.
  void FillUpTo(int64_t batches) { FillUpTo(kit_.topic(), batches); }
  void FillUpTo(MemoryTopic& topic, int64_t batches) {
    AddOrders(topic, batches_ * kOrdersPerBatch, (batches - batches_) * kOrdersPerBatch);
    batches_ = batches;
  }
  FaultyFileSystem& disk() { return *disk_; }
  TestKit& kit() { return kit_; }
  const MemoryTable& table() const { return *table_; }

 private:
  testing::TempDir temp_;
  std::shared_ptr<FaultyFileSystem> disk_;
  std::unique_ptr<rocksdb::Env> env_;
  std::shared_ptr<MemoryTable> table_ = std::make_shared<MemoryTable>();
  TestKit kit_;
  int64_t batches_ = 0;
};

/// The rows of a run whose topic is filled in these steps.
std::vector<std::string> UndisturbedRows(OutputMode mode, std::vector<int64_t> fills) {
  DiskRun run(mode);
  for (const int64_t batches : fills) {
    run.FillUpTo(batches);
    const absl::Status status = run.kit().RunAll();
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_GT(run.table().Batches().size(), static_cast<size_t>(kBatches));
  return RowsOf(run.table());
}

/// What came of one fault: OK if the query got over it.
absl::Status Judge(DiskRun& run, const absl::Status& status,
                   const std::vector<std::string>& expected, absl::Duration recovery,
                   FaultOutcome* outcome) {
  outcome->worst_recovery = std::max(outcome->worst_recovery, recovery);
  if (!status.ok()) return status;
  if (!outcome->Compare(expected, RowsOf(run.table()))) {
    return absl::InternalError("the sink has other rows than after an undisturbed run");
  }
  const std::vector<std::string> misuses = run.disk().misuses();
  if (!misuses.empty()) return absl::InternalError(misuses.front());
  ++outcome->survived;
  return absl::OkStatus();
}

// ---- Every operation of a start, of a recovery and of the batches after it

struct Fault {
  std::string name;
  DiskFault fault;
  bool sticky;
};

class FailingOperations : public ::testing::TestWithParam<Fault> {
 protected:
  /// Runs all there is, trying again as a query does, the process now and then starting anew. A
  /// sticky fault ends after a while. Gives the first error that would end the query.
  static absl::Status RunOn(DiskRun& run, bool restarts, absl::Duration* recovery) {
    constexpr int kStickyErrors = 3;
    std::optional<absl::Time> healed;
    for (int errors = 0; errors <= kStickyErrors + 1;) {
      const absl::Status status = run.kit().RunAll();
      if (healed.has_value()) *recovery = absl::Now() - *healed;
      if (status.ok() || !QueryExecution::is_transient(status)) return status;
      ++errors;
      if (errors == 1 || errors == kStickyErrors) healed = absl::Now();
      if (errors == kStickyErrors) run.disk().Heal();
      if (restarts) run.kit().Stop();
    }
    return absl::InternalError("it does not recover");
  }
};

INSTANTIATE_TEST_SUITE_P(Disk, FailingOperations,
                         ::testing::Values(Fault{"EIO once", DiskFault::kIoError, false},
                                           Fault{"EIO sticky", DiskFault::kIoError, true},
                                           Fault{"ENOSPC once", DiskFault::kNoSpace, false},
                                           Fault{"ENOSPC sticky", DiskFault::kNoSpace, true},
                                           Fault{"short write once", DiskFault::kShortWrite, false},
                                           Fault{"short write sticky", DiskFault::kShortWrite,
                                                 true}),
                         [](const auto& test) {
                           std::string name = test.param.name;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

TEST_P(FailingOperations, AreRiddenOut) {
  const auto& [name, fault, sticky] = GetParam();
  const uint64_t seed = FaultSeed();
  fmt::print("seed {}\n", seed);
  std::mt19937_64 random(seed);
  // Each has about as many on the small scale: an EIO meets the most operations.
  const int64_t step = FaultScale(fault == DiskFault::kIoError   ? 20
                                  : fault == DiskFault::kNoSpace ? 10
                                                                 : 6,
                                  1);
  FaultOutcome outcome{.fault = "disk: " + name};
  for (const OutputMode mode : {OutputMode::kAppend, OutputMode::kUpdate}) {
    for (const bool resumed : {false, true}) {
      std::vector<int64_t> fills = {kBatchesDuring, kBatches};
      if (resumed) fills.insert(fills.begin(), kBatchesBefore);
      const std::vector<std::string> expected = UndisturbedRows(mode, fills);
      for (int64_t n = static_cast<int64_t>(random() % static_cast<uint64_t>(step));; n += step) {
        DiskRun run(mode);
        if (resumed) {
          run.FillUpTo(kBatchesBefore);
          ASSERT_TRUE(run.kit().RunAll().ok());
          run.kit().Stop();
        }
        run.FillUpTo(kBatchesDuring);
        run.disk().FailAt(n, fault, sticky);
        absl::Duration recovery;
        absl::Status status = RunOn(run, random() % 2 == 0, &recovery);
        run.disk().Heal();
        if (run.disk().failed().empty()) break;
        ++outcome.injected;
        const bool cut = random() % 3 == 0;
        if (status.ok() && cut) {
          // What was acknowledged after the fault is durable.
          run.kit().Stop();
          run.disk().LosePower(random);
        }
        run.FillUpTo(kBatches);
        // What failed in the background may show only now.
        if (status.ok()) status = RunOn(run, /*restarts=*/false, &recovery);
        status = Judge(run, status, expected, recovery, &outcome);
        EXPECT_TRUE(status.ok()) << status << "\nafter a failure of operation " << n << ", "
                                 << run.disk().failed() << (resumed ? ", resumed" : ", new")
                                 << (cut ? ", then a power cut" : "");
      }
    }
  }
  EXPECT_GT(outcome.injected, 10);
  ReportFault(outcome);
}

// ---- Power

TEST(PowerLoss, KeepsAllThatWasAcknowledged) {
  const uint64_t seed = FaultSeed();
  fmt::print("seed {}\n", seed);
  std::mt19937_64 random(seed);
  const OutputMode modes[] = {OutputMode::kAppend, OutputMode::kUpdate};
  const std::vector<std::string> expected[] = {UndisturbedRows(modes[0], {kBatches}),
                                               UndisturbedRows(modes[1], {kBatches})};
  // About as many as a whole run has that change the disk.
  constexpr uint64_t kOperations = 150;
  FaultOutcome outcome{.fault = "disk: power loss"};
  for (int64_t trial = 0; trial < FaultScale(50, 500); ++trial) {
    DiskRun run(modes[trial % 2]);
    run.FillUpTo(kBatches);
    absl::Status status;
    std::string failed;
    // It may fail again early, while the query recovers.
    const uint64_t cuts = 1 + random() % 3;
    for (uint64_t cut = 0; cut < cuts && status.ok(); ++cut) {
      run.disk().FailAt(static_cast<int64_t>(random() % (cut == 0 ? kOperations : 40)),
                        DiskFault::kPowerLoss, /*sticky=*/true);
      status = run.kit().RunAll();
      if (QueryExecution::is_transient(status)) status = absl::OkStatus();
      failed += run.disk().failed() + "; ";
      run.kit().Stop();
      run.disk().LosePower(random);
      ++outcome.injected;
      ++outcome.survived;
    }
    --outcome.survived;
    const absl::Time start = absl::Now();
    if (status.ok()) status = run.kit().RunAll();
    status = Judge(run, status, expected[trial % 2], absl::Now() - start, &outcome);
    EXPECT_TRUE(status.ok()) << status << "\nafter power losses at: " << failed << "trial "
                             << trial;
  }
  ReportFault(outcome);
}

// ---- A full disk, seen from outside

class LinesLogger : public Logger {
 public:
  int64_t Count(std::string_view part) const {
    const std::lock_guard lock(mutex_);
    return std::count_if(lines_.begin(), lines_.end(), [part](const std::string& line) {
      return line.find(part) != std::string::npos;
    });
  }

 protected:
  void Write(std::string_view line) override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

TEST(FullDisk, TheQueryWaitsAndGoesOnWhenThereIsSpace) {
  const std::vector<std::string> expected = UndisturbedRows(OutputMode::kUpdate, {kBatches});
  for (const int64_t n : {0, 20, 60}) {
    SCOPED_TRACE(n);
    DiskRun run(OutputMode::kUpdate);
    const auto topic = std::make_shared<MemoryTopic>("orders");
    run.FillUpTo(*topic, kBatches);
    const auto logger = std::make_shared<LinesLogger>();
    QueryOptions options;
    run.Change(options);
    options.input = MemoryInput(topic);
    options.bad_records = BadRecordPolicy::kFail;
    options.logger = logger;
    run.disk().FailAt(n, DiskFault::kNoSpace, /*sticky=*/true);
    Job job;
    auto query = Start(ShopTotals(OutputMode::kUpdate, Trigger::AvailableNow())(job), options);
    ASSERT_TRUE(query.ok()) << query.status();
    while (logger->Count("event=retry") < 3) {
      ASSERT_FALSE((*query)->AwaitTermination(absl::Milliseconds(5)).has_value());
    }
    EXPECT_GE(logger->Count("free some space on its disk"), 1);
    const std::vector<std::string> before = RowsOf(run.table());
    EXPECT_LT(before.size(), expected.size());
    run.disk().Heal();
    const absl::Status status = (*query)->AwaitTermination();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(RowsOf(run.table()), expected);
    EXPECT_EQ(logger->Count("New query"), 1);
    EXPECT_THAT(run.disk().misuses(), IsEmpty());
  }
}

}  // namespace
}  // namespace tidemark

// RocksDB 7.8.3 forgets the new memtable where it cannot make the log that belongs to it.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:rocksdb::DBImpl::SwitchMemtable\n";
}
