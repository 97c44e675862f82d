// The process dies at every named point of the batch protocol, in every output mode, with every
// exactly-once sink; again at random while it recovers, once or twice; and is then left alone. What
// other programs than ours then find in the sink must be what an undisturbed run over the same
// topic with the same cuts leaves there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <random>

#include "tests/faults/fault_ground.h"
#include "tests/faults/fault_report.h"

namespace tidemark::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRecordsPerPartition = 1'500;
constexpr int32_t kPartitions = 2;
constexpr int kSigkilled = 128 + 9;

// Every point that a run must pass; what is not here, or not passed, fails the test.
const std::vector<std::string> kPoints = {
    "plan before log",     "plan after log",     "read middle",         "decode middle",
    "aggregate middle",    "sink before",        "sink between rows",   "sink between writes",
    "sink before commit",  "sink commit sent",   "sink after commit",   "sink after",
    "state before commit", "state after commit", "group before commit", "group after commit",
    "snapshot middle",     "purge middle"};

// Deaths of processes that were recovering from one.
constexpr char kAgain[] = "crash: again while it recovers";

struct Case {
  std::string mode;
  std::string sink;
};

std::string RecordOf(int32_t partition, int64_t i) {
  const int64_t id = i * kPartitions + partition;
  const int64_t ms = i * 40 - (id * 7919) % 3'000;  // up to three seconds out of order
  return fmt::format(R"({{"id":{},"name":"n{}","amount":{},"created_at":{}}})", id, id % 7,
                     (id * 31) % 1'000 - 300,
                     fmt::format("\"2025-01-06T08:{:02}:{:02}.{:03}Z\"", 1 + (ms + 60'000) / 60'000,
                                 (ms + 60'000) / 1'000 % 60, (ms + 60'000) % 1'000));
}

class CrashPointsTest : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<FaultGround>> ground = FaultGround::Start();
    ASSERT_TRUE(ground.ok()) << ground.status();
    ground_ = ground->release();
    ASSERT_TRUE(ground_->kafka().CreateTopic("faults", kPartitions).ok());
    for (int32_t partition = 0; partition < kPartitions; ++partition) {
      const absl::Status loaded =
          ground_->kafka().ProduceMany("faults", partition, kRecordsPerPartition,
                                       [&](int64_t i) { return RecordOf(partition, i); });
      ASSERT_TRUE(loaded.ok()) << loaded;
    }
    outcomes_ = new std::map<std::string, FaultOutcome>;
    seed_ = FaultSeed();
    fmt::print("seed {}\n", seed_);
  }
  static void TearDownTestSuite() {
    for (const std::string& point : kPoints) ReportFault((*outcomes_)[point]);
    ReportFault((*outcomes_)[kAgain]);
    delete outcomes_;
    delete ground_;
  }

  FaultRun RunNamed(const std::string& suffix) const {
    const auto& [mode, sink] = GetParam();
    return {fmt::format("{}_{}_{}", mode, sink, suffix), "faults", sink, mode};
  }

  // Runs the job to its end, or to its death at `crash_at`.
  int Run(const FaultRun& run, const std::string& crash_at, const std::string& counts = "") {
    ProcessOptions options =
        ground_->Options(run, {"--max-offsets-per-trigger", "400", "--snapshot-every", "1"});
    options.env.push_back({"TIDEMARK_CRASH_AT", crash_at});
    options.env.push_back({"TIDEMARK_CRASH_COUNTS", counts});
    const absl::StatusOr<ProcessResult> result = RunProcess(std::move(options), absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return -1;
    said_ = result->stderr_text;
    return result->exit_code;
  }

  static std::map<std::string, int64_t> Counts(const std::string& path) {
    std::map<std::string, int64_t> counts;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const size_t colon = line.rfind(':');
      counts[line.substr(0, colon)] = std::stoll(line.substr(colon + 1));
    }
    return counts;
  }

  int64_t Below(int64_t limit) { return std::uniform_int_distribution<int64_t>(1, limit)(random_); }

  // Dies at `at`, then once or twice more at some point of the recovery, then is left alone. A run
  // that has little left to do may end before it comes to that point: those are counted.
  void Die(const FaultRun& run, const std::string& at, const std::vector<std::string>& expected,
           FaultOutcome* outcome) {
    const absl::Status prepared = ground_->Prepare(run);
    ASSERT_TRUE(prepared.ok()) << prepared;
    ASSERT_EQ(Run(run, at), kSigkilled) << "at " << at << ": " << said_;
    int64_t deaths_again = 0;
    std::string story = at;
    for (int64_t again = Below(2); again > 0; --again) {
      const std::string& other = kPoints[static_cast<size_t>(Below(kPoints.size())) - 1];
      const std::string then = fmt::format("{}:{}", other, Below(3));
      story += ", " + then;
      const int exit_code = Run(run, then);
      ASSERT_TRUE(exit_code == kSigkilled || exit_code == 0) << story << ": " << said_;
      ++wanted_again_;
      deaths_again += exit_code == kSigkilled ? 1 : 0;
      if (exit_code == 0) break;  // it has ended: there is nothing left to die in
    }
    died_again_ += deaths_again;
    FaultOutcome& again = (*outcomes_)[kAgain];
    again.fault = kAgain;
    again.injected += deaths_again;
    ++outcome->injected;
    const Clock::time_point start = Clock::now();
    ASSERT_EQ(Run(run, ""), 0) << "after " << story << ": " << said_;
    outcome->worst_recovery =
        std::max(outcome->worst_recovery, absl::FromChrono(Clock::now() - start));
    const auto rows = ground_->Rows(run);
    ASSERT_TRUE(rows.ok()) << rows.status();
    const bool right = outcome->Compare(expected, *rows);
    EXPECT_TRUE(right) << "after dying at " << story << ", seed " << seed_;
    if (!right) return;
    ++outcome->survived;
    again.survived += deaths_again;
  }

  static FaultGround* ground_;
  static std::map<std::string, FaultOutcome>* outcomes_;
  static uint64_t seed_;
  std::mt19937_64 random_;
  int64_t wanted_again_ = 0;  // deaths in a recovery, and how many of them came
  int64_t died_again_ = 0;
  std::string said_;  // by the last run
};

FaultGround* CrashPointsTest::ground_ = nullptr;
std::map<std::string, FaultOutcome>* CrashPointsTest::outcomes_ = nullptr;
uint64_t CrashPointsTest::seed_ = 0;

TEST_P(CrashPointsTest, LeaveNoTrace) {
  const FaultRun undisturbed = RunNamed("undisturbed");
  random_.seed(seed_ ^ std::hash<std::string>()(undisturbed.name));
  ASSERT_TRUE(ground_->Prepare(undisturbed).ok());
  const std::string counted = ground_->Path(undisturbed.name + ".counts");
  ASSERT_EQ(Run(undisturbed, "", counted), 0) << said_;
  const std::map<std::string, int64_t> counts = Counts(counted);
  const absl::StatusOr<std::vector<std::string>> expected = ground_->Rows(undisturbed);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_GT(expected->size(), 20u);

  const int64_t seeds = FaultScale(1, 5);
  for (size_t p = 0; p < kPoints.size(); ++p) {
    const std::string& point = kPoints[p];
    ASSERT_TRUE(counts.contains(point)) << point << " is never passed";
    FaultOutcome& outcome = (*outcomes_)[point];
    outcome.fault = "crash: " + point;
    for (int64_t seed = 0; seed < seeds; ++seed) {
      const std::string at = fmt::format("{}:{}", point, Below(counts.at(point)));
      ASSERT_NO_FATAL_FAILURE(
          Die(RunNamed(fmt::format("{}_{}", p, seed)), at, *expected, &outcome));
    }
  }
  fmt::print("{} of {} deaths during a recovery came\n", died_again_, wanted_again_);
  EXPECT_GT(died_again_ * 2, wanted_again_) << "too few died again, seed " << seed_;
}

INSTANTIATE_TEST_SUITE_P(Sinks, CrashPointsTest,
                         ::testing::Values(Case{"append", "mysql"}, Case{"update", "mysql"},
                                           Case{"complete", "mysql"}, Case{"append", "json"},
                                           Case{"update", "json"}, Case{"complete", "json"},
                                           Case{"append", "kafka"}, Case{"update", "kafka"},
                                           Case{"complete", "kafka"}, Case{"append", "parquet"}),
                         [](const auto& tested) {
                           return tested.param.mode + "_" + tested.param.sink;
                         });

}  // namespace
}  // namespace tidemark::testing
