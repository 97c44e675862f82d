// Event times and clocks that lie: rows far in the future, partitions that fall silent, a wall
// clock that jumps. None of them may change what the other rows make.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "tests/faults/fault_fold.h"
#include "tests/faults/fault_report.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/streaming_query.h"
#include "tidemark/engine/test_kit.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using SteadyClock = std::chrono::steady_clock;

constexpr int kPartitions = 3;
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kHourUs = 3'600 * kSecondUs;

// The machine's time, and whatever error a test adds to it.
class LyingClock : public Clock {
 public:
  absl::Time Now() const override { return real_.Now() + absl::Microseconds(error_us_.load()); }
  absl::Duration Monotonic() const override { return real_.Monotonic(); }
  void SetError(absl::Duration error) { error_us_ = absl::ToInt64Microseconds(error); }

 private:
  SystemClock real_;
  std::atomic<int64_t> error_us_ = 0;
};

struct Shape {
  OutputMode mode = OutputMode::kUpdate;
  absl::Duration max_future_skew = absl::Hours(1);
  absl::Duration idle_timeout = absl::ZeroDuration();  // zero: one watermark over all partitions
  Trigger trigger = Trigger::Asap();
};

// What fault_job does.
Query Totals(Job& job, const Shape& shape) {
  Stream events =
      job.Source("events")
          .Decode(Json(Schema().Int64("id").String("name").Int64("amount").Timestamp("created_at")))
          .WithWatermark("created_at", absl::Seconds(5))
          .MaxFutureSkew(shape.max_future_skew);
  if (shape.idle_timeout > absl::ZeroDuration()) events = events.PerPartition(shape.idle_timeout);
  return events.GroupBy(TumblingWindow("created_at", absl::Seconds(10)), "name")
      .Aggregate(Count().As("records"), Sum("amount").As("total"), Max("id").As("last_id"))
      .Select("window_start", "name", "records", "total", "last_id")
      .WriteTo(job.Sink("totals").Key("window_start", "name"), shape.mode, shape.trigger);
}
TestKit::Pipeline PipelineOf(const Shape& shape) {
  return [shape](Job& job) { return Totals(job, shape); };
}

// A record of its own partition, a second after the one before: nothing is late.
FaultRecord RecordOf(int64_t id) {
  return {id, fmt::format("n{}", id % 7), id % 1'000 - 300,
          kFaultStartUs + id / kPartitions * kSecondUs};
}
int32_t PartitionOf(int64_t id) { return static_cast<int32_t>(id % kPartitions); }

void Append(MemoryTopic& topic, const FaultRecord& record, int64_t timestamp_us) {
  topic.Append(PartitionOf(record.id), std::nullopt, record.Json(), timestamp_us);
}

std::vector<std::string> Values(const std::map<std::string, std::string>& table) {
  std::vector<std::string> rows;
  for (const auto& [key, row] : table) rows.push_back(row);
  return rows;
}

// ---- Rows far in the future

// Each further ahead than an hour, and up to the last time that there is.
int64_t FutureTime(std::minstd_rand& random, int64_t now_us) {
  switch (random() % 4) {
    case 0:
      return now_us + kHourUs + 1 + static_cast<int64_t>(random() % 1'000) * kSecondUs;
    case 1:
      return now_us + 24 * 365 * kHourUs;
    case 2:
      return 253'402'300'799 * kSecondUs;  // the end of the year 9999
    default:
      return now_us + static_cast<int64_t>(random() % 1'000'000) * kHourUs + 2 * kHourUs;
  }
}

struct FutureRun {
  FaultFold fold;
  std::map<std::string, std::string> table;
  int64_t injected = 0;
  int64_t counted = 0;  // as progress says
  int64_t late = 0;
};

FutureRun RunWithFutureRows(uint64_t seed, const Shape& shape) {
  std::minstd_rand random(seed);
  FutureRun run;
  TestKit kit(PipelineOf(shape));
  kit.topic().AddPartitions(kPartitions);
  int64_t id = 0;
  for (int batch = 0; batch < 30; ++batch) {
    for (const int64_t end = id + 1 + static_cast<int64_t>(random() % 60); id < end; ++id) {
      FaultRecord record = RecordOf(id);
      const int64_t timestamp_us = record.time_us + static_cast<int64_t>(random() % kSecondUs);
      if (random() % 20 == 0) {
        record.time_us = FutureTime(random, timestamp_us);
        ++run.injected;
      }
      Append(kit.topic(), record, timestamp_us);
      run.fold.Add(record);
    }
    if (random() % 5 == 0) kit.Stop();  // and on from the checkpoint
    while (true) {
      const absl::StatusOr<bool> ran = kit.RunBatch();
      EXPECT_TRUE(ran.ok()) << ran.status();
      if (!ran.ok() || !*ran) break;
      run.counted += kit.LastProgress().event_time->future_rows;
      run.late += kit.LastProgress().state->rows_dropped_by_watermark;
    }
  }
  run.table = kit.Table();
  return run;
}

TEST(PoisonedTime, RowsInTheFutureCloseNoWindows) {
  const uint64_t seed = FaultSeed();
  fmt::print("TIDEMARK_FAULTS_SEED={}\n", seed);
  FaultOutcome outcome{.fault = "time: rows far in the future"};
  for (int64_t i = 0; i < FaultScale(20, 1'000); ++i) {
    const FutureRun run = RunWithFutureRows(seed + static_cast<uint64_t>(i), {});
    outcome.injected += run.injected;
    const bool right = outcome.Compare(run.fold.Rows("json"), Values(run.table));
    EXPECT_TRUE(right) << "seed " << seed + static_cast<uint64_t>(i);
    EXPECT_EQ(run.counted, run.injected) << "rows in the future are counted";
    EXPECT_EQ(run.late, 0);
    if (right && run.counted == run.injected && run.late == 0) outcome.survived += run.injected;
  }
  ReportFault(outcome);
}

// Without the limit the same rows do their harm: the test above can fail.
TEST(PoisonedTime, WithoutALimitTheyCloseThem) {
  const FutureRun run = RunWithFutureRows(7, {.max_future_skew = absl::ZeroDuration()});
  EXPECT_GT(run.injected, 0);
  EXPECT_EQ(run.counted, 0);
  EXPECT_GT(run.late, 0);
  EXPECT_NE(Values(run.table), run.fold.Rows("json"));
}

// The greatest time there is breaks no arithmetic: not the watermark's, not the averages'.
TEST(PoisonedTime, TheLastMomentOfAllIsATimeToo) {
  TestKit kit(PipelineOf({}), {}, [](QueryOptions& options) {
    options.bad_records = BadRecordPolicy::kDrop;  // no window holds them
  });
  for (int i = 0; i < 2; ++i) {
    kit.Add(
        {{"id", i}, {"name", "n"}, {"amount", 1}, {"created_at", "+294247-01-10T04:00:54.775807Z"}},
        0, kFaultStartUs);
  }
  const absl::StatusOr<bool> ran = kit.RunBatch();
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_EQ(kit.LastProgress().event_time->future_rows, 2);
  EXPECT_EQ(kit.LastProgress().event_time->max_us, INT64_MAX);
  EXPECT_GT(*kit.LastProgress().event_time->avg_us, INT64_MAX - kHourUs);
}

class KeptLog : public Logger {
 public:
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 protected:
  void Write(std::string_view line) override {
    const std::lock_guard lock(mutex_);
    text_.append(line).append(1, '\n');
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// The log warns of them, and of bad records, without being flooded; the summary counts them.
TEST(PoisonedTime, TheLogTellsOfThem) {
  const auto topic = std::make_shared<MemoryTopic>("events");
  const auto log = std::make_shared<KeptLog>();
  constexpr int kRows = 50;
  for (int id = 0; id < kRows; ++id) {
    FaultRecord record = RecordOf(id * kPartitions);
    record.time_us += 2 * kHourUs;
    Append(*topic, record, record.time_us - 2 * kHourUs);
    topic->Append(0, std::nullopt, "no record");
  }
  QueryOptions options;
  options.input = MemoryInput(topic);
  options.output = MemoryOutput(std::make_shared<MemoryTable>());
  options.checkpoint = CheckpointInMemory(std::make_shared<MemoryCheckpoint>());
  options.bad_records = BadRecordPolicy::kDrop;
  options.max_offsets_per_trigger = 2;
  options.logger = log;
  Job job;
  const absl::StatusOr<std::unique_ptr<StreamingQuery>> query =
      Start(Totals(job, {.trigger = Trigger::AvailableNow()}), options);
  ASSERT_TRUE(query.ok()) << query.status();
  ASSERT_TRUE((*query)->AwaitTermination().ok());
  EXPECT_EQ((*query)->totals().future_rows, kRows);
  EXPECT_EQ((*query)->totals().bad_records, kRows);
  const std::string text = log->text();
  EXPECT_THAT(text, HasSubstr("level=warning event=future_rows rows=1 max_future_skew=\"1 hour\" "
                              "batch=0\n"));
  EXPECT_THAT(text, HasSubstr("level=warning event=bad_records records=1 policy=drop batch=0\n"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), kRows / 2);
}

// ---- Partitions that fall silent

// In append mode a window comes out when the watermark has passed it, and not before. The partition
// `silent` ends early; the others must not wait for it for longer than the time-out, nor shorter.
TEST(PoisonedTime, ASilentPartitionHoldsNothingBack) {
  FaultOutcome outcome{.fault = "time: a partition falls silent"};
  const Shape shape{.mode = OutputMode::kAppend, .idle_timeout = absl::Seconds(60)};
  for (int32_t silent = 0; silent < kPartitions; ++silent) {
    TestKit kit(PipelineOf(shape));
    kit.topic().AddPartitions(kPartitions);
    FaultFold fold;
    const auto add = [&](int64_t begin, int64_t end, bool all) {
      for (int64_t id = begin; id < end; ++id) {
        const FaultRecord record = RecordOf(id);
        if (!all && PartitionOf(id) == silent) continue;
        Append(kit.topic(), record, record.time_us);
        fold.Add(record);
      }
    };
    const auto rows = [&] {
      std::vector<std::string> all;
      for (const auto& batch : kit.Batches()) all.insert(all.end(), batch.begin(), batch.end());
      return all;
    };
    add(0, 90, /*all=*/true);  // 30 seconds of every partition
    ASSERT_TRUE(kit.RunAll().ok());
    add(90, 900, /*all=*/false);  // 270 seconds of the others
    ASSERT_TRUE(kit.RunAll().ok());
    const size_t held_back = rows().size();
    EXPECT_LE(held_back, 2 * 7u) << "only what lies before the silent partition's last row";
    kit.clock().Advance(absl::Seconds(59));
    ASSERT_TRUE(kit.RunAll().ok());
    EXPECT_EQ(rows().size(), held_back) << "it may still come";
    kit.clock().Advance(absl::Seconds(2));
    ASSERT_TRUE(kit.RunAll().ok());
    // All others are silent too by now, and the last that was said of them stands.
    add(900, 903, /*all=*/false);
    ASSERT_TRUE(kit.RunAll().ok());
    add(903, 906, /*all=*/false);
    ASSERT_TRUE(kit.RunAll().ok());
    // The rows of the last windows are still to come: the watermark is at 296 s.
    const int64_t watermark_us = RecordOf(899).time_us - 5 * kSecondUs;
    FaultFold closed;
    for (int64_t id = 0; id < 900; ++id) {
      const FaultRecord record = RecordOf(id);
      if (id >= 90 && PartitionOf(id) == silent) continue;
      const int64_t end_us = record.time_us / (10 * kSecondUs) * (10 * kSecondUs) + 10 * kSecondUs;
      if (end_us <= watermark_us) closed.Add(record);
    }
    ++outcome.injected;
    const bool right = outcome.Compare(closed.Rows("json"), rows());
    EXPECT_TRUE(right) << "silent partition " << silent;
    if (right) ++outcome.survived;

    // It comes back: what is late by now is dropped and counted, what is not counts.
    FaultRecord late = RecordOf(90 + silent);
    FaultRecord fresh = RecordOf(903 + silent);
    Append(kit.topic(), late, late.time_us);
    Append(kit.topic(), fresh, fresh.time_us);
    const absl::StatusOr<bool> ran = kit.RunBatch();
    ASSERT_TRUE(ran.ok() && *ran) << ran.status();
    EXPECT_EQ(kit.LastProgress().state->rows_dropped_by_watermark, 1);
    EXPECT_EQ(kit.LastProgress().state->rows_updated, 1);
  }
  ReportFault(outcome);
}

// ---- A wall clock that jumps

absl::Duration Jump(std::minstd_rand& random) {
  constexpr absl::Duration kSizes[] = {absl::Milliseconds(1), absl::Seconds(1), absl::Hours(1),
                                       absl::Hours(24 * 365 * 40)};
  const absl::Duration size = kSizes[random() % 4] * static_cast<int64_t>(random() % 100) / 100;
  return random() % 2 == 0 ? size : -size;
}

// The same input, cuts and crashes, with the clock as it is and with one that jumps.
std::vector<std::vector<std::string>> RunByHand(uint64_t seed, const Shape& shape, bool lying,
                                                int64_t* jumps) {
  std::minstd_rand random(seed);
  const auto clock = std::make_shared<LyingClock>();
  TestKit kit(PipelineOf(shape), {}, [clock](QueryOptions& options) { options.clock = clock; });
  kit.topic().AddPartitions(kPartitions);
  int64_t id = 0;
  for (int batch = 0; batch < 40; ++batch) {
    for (const int64_t end = id + static_cast<int64_t>(random() % 60); id < end; ++id) {
      const FaultRecord record = RecordOf(id);
      Append(kit.topic(), record, record.time_us);
    }
    const absl::Duration error = Jump(random);
    if (lying) {
      clock->SetError(error);
      ++*jumps;
    }
    if (random() % 5 == 0) kit.Stop();
    const absl::StatusOr<bool> ran = kit.RunBatch();
    EXPECT_TRUE(ran.ok()) << ran.status();
  }
  EXPECT_TRUE(kit.RunAll().ok());
  return kit.Batches();
}

TEST(PoisonedTime, AClockThatJumpsChangesNoBatch) {
  const uint64_t seed = FaultSeed();
  fmt::print("TIDEMARK_FAULTS_SEED={}\n", seed);
  FaultOutcome outcome{.fault = "time: the wall clock jumps between batches"};
  for (int64_t i = 0; i < FaultScale(6, 300); ++i) {
    for (const OutputMode mode :
         {OutputMode::kAppend, OutputMode::kUpdate, OutputMode::kComplete}) {
      const uint64_t round = seed + static_cast<uint64_t>(i);
      int64_t jumps = 0;
      const auto calm = RunByHand(round, {.mode = mode}, /*lying=*/false, &jumps);
      const auto shaken = RunByHand(round, {.mode = mode}, /*lying=*/true, &jumps);
      outcome.injected += jumps;
      EXPECT_EQ(calm, shaken) << "seed " << round;
      std::vector<std::string> expected;
      std::vector<std::string> found;
      for (size_t batch = 0; batch < std::max(calm.size(), shaken.size()); ++batch) {
        const auto numbered = [batch](const auto& batches, std::vector<std::string>* rows) {
          if (batch >= batches.size()) return;
          for (const std::string& row : batches[batch])
            rows->push_back(fmt::format("{} {}", batch, row));
        };
        numbered(calm, &expected);
        numbered(shaken, &found);
      }
      if (outcome.Compare(expected, found) && calm == shaken) outcome.survived += jumps;
    }
  }
  ReportFault(outcome);
}

// The last row of each window and name.
std::vector<std::string> LatestRows(const MemoryTable& table) {
  std::map<std::string, std::string> latest;
  for (const MemoryBatch& batch : table.Batches()) {
    for (const RowBatch& rows : batch.rows) {
      rows.selection().ForEach([&](uint32_t row) {
        std::string key;
        std::string text = "{";
        for (size_t i = 0; i < rows.schema().size(); ++i) {
          if (i > 0) text += ',';
          text += fmt::format("\"{}\":", rows.schema().field(i).name);
          AppendJsonValue(rows.column(i), row, &text);
          if (i == 1) key = text;
        }
        latest[key] = text + "}";
      });
    }
  }
  return Values(latest);
}

// A query with an interval trigger, while the clock is set back and forth: every record is in the
// results soon after it came.
TEST(PoisonedTime, NoTriggerHangsWhenTheClockJumps) {
  const uint64_t seed = FaultSeed();
  fmt::print("TIDEMARK_FAULTS_SEED={}\n", seed);
  std::minstd_rand random(seed);
  FaultOutcome outcome{.fault = "time: the wall clock jumps under a trigger"};
  const auto clock = std::make_shared<LyingClock>();
  const auto topic = std::make_shared<MemoryTopic>("events");
  const auto table = std::make_shared<MemoryTable>();
  topic->AddPartitions(kPartitions);
  QueryOptions options;
  options.input = MemoryInput(topic, {.starting_offsets = "earliest"});
  options.output = MemoryOutput(table);
  options.checkpoint = CheckpointInMemory(std::make_shared<MemoryCheckpoint>());
  options.bad_records = BadRecordPolicy::kFail;
  options.clock = clock;
  options.threads = 1;
  Job job;
  const absl::StatusOr<std::unique_ptr<StreamingQuery>> query =
      Start(Totals(job, {.trigger = Trigger::Every(absl::Milliseconds(50))}), options);
  ASSERT_TRUE(query.ok()) << query.status();
  FaultFold fold;
  const int64_t rounds = FaultScale(60, 2'000);
  for (int64_t id = 0; id < rounds; ++id) {
    // While the query waits for its tick, and while it runs.
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
    clock->SetError(Jump(random));
    ++outcome.injected;
    const FaultRecord record = RecordOf(id);
    Append(*topic, record, record.time_us);
    fold.Add(record);
    const auto since = SteadyClock::now();
    while ((*query)->totals().rows <= id && SteadyClock::now() - since < std::chrono::seconds(20))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const absl::Duration took = absl::FromChrono(SteadyClock::now() - since);
    outcome.worst_recovery = std::max(outcome.worst_recovery, took);
    ASSERT_GT((*query)->totals().rows, id) << "the trigger hangs after a jump, seed " << seed;
    ++outcome.survived;
  }
  EXPECT_LT(outcome.worst_recovery, absl::Seconds(5));
  (*query)->Stop();
  ASSERT_TRUE((*query)->AwaitTermination().ok());
  EXPECT_TRUE(outcome.Compare(fold.Rows("json"), LatestRows(*table)));
  ReportFault(outcome);
}

}  // namespace
}  // namespace tidemark::testing
