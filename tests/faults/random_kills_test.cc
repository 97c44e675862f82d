// A topic is fed all the time, and the job that reads it is killed with SIGKILL at random moments,
// 10 to 500 ms apart. What the sink holds at the end must be the fold that the feeder keeps.
//
// Half of the kills are timed from the start of the process, so that they meet the recovery too;
// the others from the moment when it has recovered, so that they meet batches.
//
// TIDEMARK_SOAK_HOURS=N goes on for N hours instead of a number of kills (scripts/soak).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>

#include "tests/faults/fault_fold.h"
#include "tests/faults/fault_ground.h"
#include "tests/faults/fault_report.h"

namespace tidemark::testing {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int64_t kStepUs = 2'000;          // of event time between two records
constexpr int64_t kDisorderUs = 4'000'000;  // less than the job's watermark delay
constexpr int64_t kRecordsAtOnce = 400;

// Feeds a topic of one partition and keeps what must come out.
class Feeder {
 public:
  Feeder(KafkaServer& kafka, std::string topic, uint64_t seed)
      : kafka_(kafka), topic_(std::move(topic)), random_(seed), thread_([this] { Feed(); }) {}
  ~Feeder() { Stop().IgnoreError(); }

  // Ends the feeding with a record that closes all windows before it.
  absl::Status Stop() {
    if (!thread_.joinable()) return status_;
    stopping_ = true;
    thread_.join();
    if (status_.ok())
      status_ = kafka_.Produce(topic_, 0, {{.value = Record(3'600'000'000, "end")}});
    return status_;
  }

  // Once stopped. Of closed windows only: without the last record's.
  std::vector<std::string> Expected(const std::string& sink, bool closed_only) {
    if (closed_only) fold_.Forget("end");
    return fold_.Rows(sink);
  }
  int64_t records() const { return next_id_; }

 private:
  void Feed() {
    while (!stopping_ && status_.ok()) {
      std::vector<KafkaRecord> records;
      for (int64_t i = 0; i < kRecordsAtOnce; ++i) {
        const int64_t late_us = std::uniform_int_distribution<int64_t>(0, kDisorderUs)(random_);
        const std::string name = fmt::format("n{}", random_() % 9);
        records.push_back({.value = Record(-late_us, name)});
      }
      status_ = kafka_.Produce(topic_, 0, records);
      std::this_thread::sleep_for(milliseconds(20));
    }
  }

  std::string Record(int64_t delay_us, const std::string& name) {
    const int64_t id = next_id_++;
    const FaultRecord record{id, name, static_cast<int64_t>(random_() % 2'000) - 700,
                             std::max(kFaultStartUs, kFaultStartUs + id * kStepUs + delay_us)};
    fold_.Add(record);
    return record.Json();
  }

  KafkaServer& kafka_;
  const std::string topic_;
  std::mt19937_64 random_;
  int64_t next_id_ = 0;
  FaultFold fold_;
  absl::Status status_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

struct Kills {
  std::string sink;
  std::string mode;
  int64_t small;
  int64_t full;
};

class RandomKillsTest : public ::testing::TestWithParam<Kills> {};

TEST_P(RandomKillsTest, LeaveTheFeedersOwnFold) {
  const Kills& kills = GetParam();
  absl::StatusOr<std::unique_ptr<FaultGround>> started = FaultGround::Start();
  ASSERT_TRUE(started.ok()) << started.status();
  FaultGround& ground = **started;
  const FaultRun run{"killed", "fed", kills.sink, kills.mode};
  ASSERT_TRUE(ground.kafka().CreateTopic("fed", 1).ok());
  ASSERT_TRUE(ground.Prepare(run).ok());

  const uint64_t seed = FaultSeed();
  fmt::print("seed {}\n", seed);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int> life_ms(10, 500);
  const char* hours = std::getenv("TIDEMARK_SOAK_HOURS");
  const int64_t wanted =
      hours != nullptr ? std::numeric_limits<int64_t>::max() : FaultScale(kills.small, kills.full);
  const Clock::time_point end =
      hours == nullptr
          ? Clock::time_point::max()
          : Clock::now() +
                milliseconds(static_cast<int64_t>(std::strtod(hours, nullptr) * 3'600'000));

  FaultOutcome outcome;
  outcome.fault = fmt::format("SIGKILL at random: {} {}", kills.mode, kills.sink);
  Feeder feeder(ground.kafka(), "fed", seed);
  while (outcome.injected < wanted && Clock::now() < end) {
    absl::StatusOr<std::unique_ptr<Process>> process =
        Process::Start(ground.Options(run, {"--trigger", "asap", "--snapshot-every", "10"}));
    ASSERT_TRUE(process.ok()) << process.status();
    const Clock::time_point start = Clock::now();
    if (outcome.injected % 2 == 1) {
      while ((*process)->Running() &&
             (*process)->Stderr().find("checkpoint") == std::string::npos &&
             (*process)->Stderr().find("Resumed") == std::string::npos) {
        std::this_thread::sleep_for(milliseconds(2));
      }
      outcome.worst_recovery =
          std::max(outcome.worst_recovery, absl::FromChrono(Clock::now() - start));
    }
    ASSERT_TRUE((*process)->Wait(absl::Milliseconds(life_ms(random))).status().code() ==
                absl::StatusCode::kDeadlineExceeded)
        << "ended by itself after " << outcome.injected << " kills: " << (*process)->Stderr();
    (*process)->Kill();
    ++outcome.injected;
  }
  const absl::Status fed = feeder.Stop();
  ASSERT_TRUE(fed.ok()) << fed;
  const absl::StatusOr<ProcessResult> last =
      RunProcess(ground.Options(run, {"--trigger", "available-now"}), absl::Minutes(5));
  ASSERT_TRUE(last.ok()) << last.status();
  ASSERT_EQ(last->exit_code, 0) << last->stderr_text;

  const absl::StatusOr<std::vector<std::string>> rows = ground.Rows(run);
  ASSERT_TRUE(rows.ok()) << rows.status();
  const std::vector<std::string> expected =
      feeder.Expected(kills.sink, /*closed_only=*/kills.mode == "append");
  EXPECT_TRUE(outcome.Compare(expected, *rows)) << "seed " << seed;
  outcome.survived = ::testing::Test::HasFailure() ? 0 : outcome.injected;
  fmt::print("{} {}: {} records, {} kills, lost {}, duplicate {}, wrong {} rows of {}\n",
             kills.mode, kills.sink, feeder.records(), outcome.injected, outcome.lost_rows,
             outcome.duplicate_rows, outcome.wrong_rows, expected.size());
  ReportFault(outcome);
}

INSTANTIATE_TEST_SUITE_P(Sinks, RandomKillsTest,
                         ::testing::Values(Kills{"mysql", "update", 100, 500},
                                           Kills{"json", "append", 50, 250},
                                           Kills{"kafka", "append", 50, 250}),
                         [](const auto& tested) {
                           return tested.param.mode + "_" + tested.param.sink;
                         });

}  // namespace
}  // namespace tidemark::testing
