#include "tidemark/operators/sources/polling_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "operators/sources/polling_driver.h"
#include "operators/sources/timed_table.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A table of the ids [0, count).
class CountingTable : public PollingTable {
 public:
  explicit CountingTable(int64_t count) : count_(count) {}

  std::string description() const override { return "Counting"; }
  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<bool> PollIds(std::optional<int64_t> after, const Budget& budget,
                               PolledRows* rows) override {
    RowWriter writer(1);
    int64_t id = after.value_or(-1) + 1;
    for (; id < count_ && rows->size() < budget.rows; ++id) {
      writer.Begin(&rows->bytes);
      writer.Int64(id);
      rows->ends.push_back(rows->bytes.size());
      rows->positions.push_back({id, static_cast<uint64_t>(id)});
    }
    return id < count_;
  }
  absl::StatusOr<std::optional<int64_t>> HighestDrawnId() override {
    return std::optional<int64_t>(count_ - 1);
  }
  absl::StatusOr<std::optional<int64_t>> LatestTime() override { return std::optional<int64_t>(); }
  absl::StatusOr<int64_t> ServerTime() override { return absl::InternalError("by id only"); }
  absl::TimeZone time_zone() const override { return absl::UTCTimeZone(); }
  absl::StatusOr<bool> PollTimes(const SeenRows&, const Budget&, TimePlace*, PolledRows*) override {
    return false;
  }
  absl::StatusOr<std::optional<int64_t>> OpenMirror() override { return std::optional<int64_t>(); }
  absl::Status WriteMirror(int64_t) override { return absl::UnavailableError("away"); }
  void Cancel() override {}

 private:
  const int64_t count_;
};

PollingDriver Driver(int64_t count, PollingOptions options) {
  return PollingDriver(Schema().Int64("id"), [=](const PollingStart& start) {
    return PollingSource::Make(std::make_unique<CountingTable>(count), options, start);
  });
}

PollingOptions Options(int64_t max_rows) {
  PollingOptions options;
  options.max_rows = max_rows;
  options.poll_interval = absl::ZeroDuration();
  return options;
}

TEST(PollingSourceTest, ABatchMayEndWithinAPollAndSpanSeveral) {
  PollingDriver driver = Driver(100, Options(10));
  ASSERT_TRUE(driver.Start().ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(driver.source()->Available().ok());
  std::vector<int64_t> expected;
  for (int64_t id = 0; id < 100; ++id) expected.push_back(id);
  for (int i = 0; driver.arrived().size() < 100 && i < 100; ++i) {
    ASSERT_TRUE(driver.RunBatch(i == 0 ? 25 : 7).ok());
    if (i % 4 == 1) driver.Crash();
  }
  EXPECT_EQ(driver.ArrivedIds(), expected);
}

TEST(PollingSourceTest, ChunksAreCutFromTheRangesStart) {
  PollingDriver driver = Driver(20'000, Options(6'000));
  ASSERT_TRUE(driver.Start().ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(driver.source()->Available().ok());
  const TopicPartition table{"stream", 0};
  ASSERT_TRUE(driver.source()->StartRead({{table, 1'000, 12'000}}).ok());
  std::vector<size_t> sizes;
  while (true) {
    const auto chunk = driver.source()->Read(absl::Seconds(1));
    ASSERT_TRUE(chunk.ok());
    if (IsEndOfRanges(**chunk)) break;
    EXPECT_EQ((*chunk)->chunk_index, static_cast<int64_t>(sizes.size()));
    EXPECT_EQ((*chunk)->topic, "stream");
    EXPECT_EQ((*chunk)->records[0].timestamp_us, RawRecord::kNoTimestamp);
    sizes.push_back((*chunk)->records.size());
  }
  EXPECT_THAT(sizes, ElementsAre(kMaxChunkRecords, 11'000 - kMaxChunkRecords));
}

// A table whose polls are counted, may be held up or fail, and are alone with it.
class WatchedTable : public CountingTable {
 public:
  struct Watch {
    std::atomic<int> polls = 0;
    std::atomic<int> held_poll = 0;  // from this one on; 0: none
    std::atomic<int> failing_poll = 0;
    std::atomic<int> mirrored = 0;
    std::atomic<bool> in_use = false;
    std::atomic<bool> cancelled = false;

    bool Held() const { return held_poll > 0 && polls >= held_poll && !cancelled; }
    bool WaitForPolls(int count) const {
      for (int i = 0; i < 5'000 && polls < count; ++i) absl::SleepFor(absl::Milliseconds(1));
      return polls >= count;
    }
  };
  WatchedTable(int64_t count, std::shared_ptr<Watch> watch)
      : CountingTable(count), watch_(std::move(watch)) {}

  absl::StatusOr<bool> PollIds(std::optional<int64_t> after, const Budget& budget,
                               PolledRows* rows) override {
    EXPECT_FALSE(watch_->in_use.exchange(true));
    const int poll = ++watch_->polls;
    while (watch_->Held()) absl::SleepFor(absl::Milliseconds(1));
    absl::StatusOr<bool> more = CountingTable::PollIds(after, budget, rows);
    if (poll == watch_->failing_poll) more = absl::UnavailableError("lost on the way");
    if (watch_->cancelled) more = absl::CancelledError("stopped");
    watch_->in_use = false;
    return more;
  }
  absl::Status WriteMirror(int64_t) override {
    EXPECT_FALSE(watch_->in_use);
    ++watch_->mirrored;
    return absl::OkStatus();
  }
  void Cancel() override { watch_->cancelled = true; }

 private:
  const std::shared_ptr<Watch> watch_;
};

PollingDriver Watched(int64_t count, const std::shared_ptr<WatchedTable::Watch>& watch) {
  PollingOptions options = Options(10);
  options.mirror.table = "offsets";
  return PollingDriver(Schema().Int64("id"), [=](const PollingStart& start) {
    return PollingSource::Make(std::make_unique<WatchedTable>(count, watch), options, start);
  });
}

TEST(PollingSourceTest, WhereThereIsMoreTheNextPollGoesOnByItself) {
  const auto watch = std::make_shared<WatchedTable::Watch>();
  PollingDriver driver = Watched(100, watch);
  ASSERT_TRUE(driver.Start().ok());
  ASSERT_TRUE(*driver.Plan());
  EXPECT_TRUE(watch->WaitForPolls(2)) << "while the first batch is under way";
  auto rows = driver.ReadPlanned();
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->size(), 10u) << "what was polled ahead is not there before it is asked for";
  driver.Commit(*std::move(rows));
  ASSERT_TRUE(driver.Acknowledge().ok());
  ASSERT_TRUE(driver.RunUntil(100).ok());
  std::vector<int64_t> expected;
  for (int64_t id = 0; id < 100; ++id) expected.push_back(id);
  EXPECT_EQ(driver.ArrivedIds(), expected);
  EXPECT_EQ(watch->polls, 10);
}

TEST(PollingSourceTest, PollsAheadAreBounded) {
  const auto watch = std::make_shared<WatchedTable::Watch>();
  PollingDriver driver = Watched(1'000, watch);
  ASSERT_TRUE(driver.Start().ok());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(driver.source()->Available().ok());
  EXPECT_EQ(watch->polls, 3);
}

TEST(PollingSourceTest, TheMirrorWaitsForThePollAhead) {
  const auto watch = std::make_shared<WatchedTable::Watch>();
  watch->held_poll = 2;
  PollingDriver driver = Watched(100, watch);
  ASSERT_TRUE(driver.Start().ok());
  ASSERT_TRUE(*driver.Plan());
  ASSERT_TRUE(watch->WaitForPolls(2));
  auto rows = driver.ReadPlanned();
  ASSERT_TRUE(rows.ok());
  driver.Commit(*std::move(rows));
  std::thread let_go([&] {
    absl::SleepFor(absl::Milliseconds(50));
    watch->held_poll = 0;
  });
  EXPECT_TRUE(driver.Acknowledge().ok());
  EXPECT_EQ(watch->mirrored, 1);
  let_go.join();
}

TEST(PollingSourceTest, APollAheadThatFailsIsToldWhenItIsAskedForAndDoneAgain) {
  const auto watch = std::make_shared<WatchedTable::Watch>();
  watch->failing_poll = 2;
  PollingDriver driver = Watched(25, watch);
  ASSERT_TRUE(driver.Start().ok());
  ASSERT_TRUE(*driver.Plan());
  ASSERT_TRUE(watch->WaitForPolls(2));
  auto rows = driver.ReadPlanned();
  ASSERT_TRUE(rows.ok());
  driver.Commit(*std::move(rows));
  ASSERT_TRUE(driver.Acknowledge().ok());
  EXPECT_TRUE(absl::IsUnavailable(driver.source()->Available().status()));
  ASSERT_TRUE(driver.RunUntil(25).ok());
  EXPECT_EQ(driver.arrived().size(), 25u);
  EXPECT_EQ(driver.ArrivedIds().back(), 24);
}

TEST(PollingSourceTest, APollAheadEndsWithTheSource) {
  const auto watch = std::make_shared<WatchedTable::Watch>();
  watch->held_poll = 2;
  PollingDriver driver = Watched(100, watch);
  ASSERT_TRUE(driver.Start().ok());
  ASSERT_TRUE(*driver.Plan());
  ASSERT_TRUE(watch->WaitForPolls(2));
  driver.Crash();
  EXPECT_FALSE(watch->in_use);
}

TEST(PollingSourceTest, PollsNoOftenerThanAskedFor) {
  PollingOptions options = Options(10);
  options.poll_interval = absl::Hours(1);
  PollingDriver driver = Driver(25, options);
  ASSERT_TRUE(driver.Start().ok());
  for (const int64_t end : {10, 20, 25, 25}) {
    const auto available = driver.source()->Available();
    ASSERT_TRUE(available.ok());
    EXPECT_EQ((*available)[0].end, end);
    EXPECT_EQ((*available)[0].more, end < 25);
  }
}

TEST(PollingSourceTest, RefusesACheckpointThatIsNotItsOwn) {
  PollingDriver driver = Driver(100, Options(10));
  ASSERT_TRUE(driver.RunBatch(5).ok());
  const std::string head = driver.head();
  driver.Crash();
  driver.set_head("damaged");
  EXPECT_TRUE(absl::IsDataLoss(driver.Start())) << driver.Start();
  driver.set_head("");
  EXPECT_THAT(driver.Start().ToString(), HasSubstr("do not belong together"));
  driver.set_head("\x01" + head.substr(1));
  EXPECT_TRUE(absl::IsFailedPrecondition(driver.Start())) << driver.Start();
  EXPECT_THAT(driver.Start().ToString(), HasSubstr("written by an older Tidemark"));
  driver.set_head(head);
  driver.set_saved("damaged");
  EXPECT_TRUE(absl::IsDataLoss(driver.Start())) << driver.Start();
  driver.set_saved("");
  EXPECT_TRUE(driver.Start().ok());
}

TEST(PollingSourceTest, RefusesOptionsThatTakeNothing) {
  for (const auto& change : std::vector<void (*)(PollingOptions*)>{
           [](PollingOptions* options) { options->max_rows = 0; },
           [](PollingOptions* options) { options->max_bytes = 0; },
           [](PollingOptions* options) { options->look_back = -absl::Seconds(1); }}) {
    PollingOptions options = Options(10);
    change(&options);
    EXPECT_TRUE(absl::IsInvalidArgument(Driver(1, options).Start()));
  }
}

TEST(PollingSourceTest, AMirrorThatFailsIsReportedAndTheOtherIsWritten) {
  testing::TempDir folder;
  PollingOptions options = Options(10);
  options.mirror.table = "offsets";
  options.mirror.file = folder.Path("missing/state.json");
  PollingDriver driver = Driver(3, options);
  const auto both = driver.RunBatch();
  EXPECT_TRUE(absl::IsUnavailable(both.status())) << both.status();
  EXPECT_EQ(driver.arrived().size(), 3u) << "the batch is committed";

  options.mirror.file = folder.Path("state.json");
  PollingDriver file = Driver(3, options);
  EXPECT_TRUE(absl::IsUnavailable(file.RunBatch().status()));
  std::ifstream state(folder.Path("state.json"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(state), {}),
            "{\"source\":\"stream\",\"rows\":3,\"last_id\":2}\n");
}

// ---- What is remembered of a look-back

constexpr int64_t kLookBackUs = 1'000'000;

PollingDriver ByTime(std::shared_ptr<TimedTable::Content> rows, int64_t max_rows) {
  PollingOptions options = Options(max_rows);
  options.mode = PollingMode::kTimestampAndId;
  options.look_back = absl::Microseconds(kLookBackUs);
  return PollingDriver(Schema().Int64("id"), [=](const PollingStart& start) {
    return PollingSource::Make(std::make_unique<TimedTable>(rows), options, start);
  });
}

// Rows come with times of up to nearly a look-back ago, batches end anywhere, and the process dies
// at any of their ends, or between plan and commit.
TEST(PollingSourceTest, RowsOfTheLookBackArriveOnceWhateverDies) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const unsigned crash_every : {1u, 2u, 7u}) {
    const auto rows = std::make_shared<TimedTable::Content>();
    PollingDriver driver = ByTime(rows, 40);
    int64_t now = 0;
    uint64_t id = 0;
    for (int batch = 0; batch < 400; ++batch) {
      now += static_cast<int64_t>(random() % 50'000);
      for (size_t i = random() % 40; i > 0; --i) {
        const auto ago =
            static_cast<int64_t>(random() % (random() % 4 == 0 ? kLookBackUs - 1000 : 1000));
        // Some of one time, which a batch's end may part.
        rows->insert({std::max(now - ago, int64_t{0}) / 1000 * 1000, id++});
      }
      if (driver.source() == nullptr) {
        ASSERT_TRUE(driver.Start().ok());
      }
      const auto planned = driver.Plan(1 + static_cast<int64_t>(random() % 60));
      ASSERT_TRUE(planned.ok()) << planned.status();
      if (!*planned) {
        ASSERT_TRUE(driver.Acknowledge().ok());
        continue;
      }
      if (random() % (2 * crash_every) == 0) {  // the plan runs again
        driver.Crash();
        ASSERT_TRUE(driver.Start().ok());
        ASSERT_TRUE(driver.Plan().ok());
      }
      auto read = driver.ReadPlanned();
      ASSERT_TRUE(read.ok()) << read.status();
      driver.Commit(*std::move(read));
      if (random() % 2 == 0) {
        ASSERT_TRUE(driver.Acknowledge().ok());
      }
      if (random() % crash_every == 0) driver.Crash();
    }
    if (driver.source() != nullptr) {
      ASSERT_TRUE(driver.Acknowledge().ok());
    }
    ASSERT_TRUE(driver.RunUntil(id).ok());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(driver.RunBatch().ok());
    std::vector<int64_t> ids = driver.ArrivedIds();
    std::sort(ids.begin(), ids.end());
    ASSERT_EQ(ids.size(), id);
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end()) << "a row came twice";
  }
}

// A batch writes its own keys, however many are remembered, and what has left the look-back goes.
TEST(PollingSourceTest, ABatchWritesItsOwnKeysAndOldOnesGo) {
  const auto rows = std::make_shared<TimedTable::Content>();
  PollingDriver driver = ByTime(rows, 1000);
  size_t most_blocks = 0;
  size_t arrived = 0;
  for (int64_t batch = 0; batch < 300; ++batch) {
    for (int64_t i = 0; i < 100; ++i) {
      const int64_t id = batch * 100 + i;
      rows->insert({id * 100, static_cast<uint64_t>(id)});  // a look-back is 100 batches long
    }
    arrived += 100;
    ASSERT_TRUE(driver.RunUntil(arrived).ok());
    EXPECT_LT(driver.written_bytes(), 100u * 4 + 60);
    most_blocks = std::max(most_blocks, driver.state_rows().size());
  }
  EXPECT_GT(most_blocks, 90u);
  EXPECT_LT(most_blocks, 110u);
  driver.Crash();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(driver.RunBatch().ok());
  EXPECT_EQ(driver.arrived().size(), arrived);
}

// The first pass over an old table leaves nothing behind but the look-back's keys.
TEST(PollingSourceTest, RowsBeforeTheLookBackAreNotKept) {
  const auto rows = std::make_shared<TimedTable::Content>();
  for (int64_t id = 0; id < 10'000; ++id) {
    rows->insert({id * kLookBackUs / 100, static_cast<uint64_t>(id)});
  }
  PollingDriver driver = ByTime(rows, 500);
  while (driver.arrived().size() < 9'000) {
    ASSERT_TRUE(driver.RunBatch().ok());
    EXPECT_LE(driver.state_rows().size(), 1u);
    EXPECT_LT(driver.written_bytes(), 100u);
    driver.Crash();
  }
  ASSERT_TRUE(driver.RunUntil(10'000).ok());
  driver.Crash();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(driver.RunBatch().ok());
  EXPECT_EQ(driver.arrived().size(), 10'000u);
}

// A row exactly a look-back old is read once more, by the pass that begins with it.
TEST(PollingSourceTest, ARowAtTheLookBacksEdgeIsRemembered) {
  const auto rows = std::make_shared<TimedTable::Content>();
  PollingDriver driver = ByTime(rows, 100);
  for (const int64_t id : {0, 1, 2, 3}) {
    rows->insert({id * kLookBackUs, static_cast<uint64_t>(id)});
    ASSERT_TRUE(driver.RunUntil(static_cast<size_t>(id) + 1).ok());
    driver.Crash();
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(driver.RunBatch().ok());
      absl::SleepFor(absl::Microseconds(20));  // passes have a pause between them
    }
  }
  EXPECT_THAT(driver.ArrivedIds(), ElementsAre(0, 1, 2, 3));
}

TEST(PollingSourceTest, WhatABatchMakesOfTheStateDependsOnItsRangeOnly) {
  const auto rows = std::make_shared<TimedTable::Content>();
  for (int64_t id = 0; id < 100; ++id) rows->insert({id * 10, static_cast<uint64_t>(id)});
  PollingDriver driver = ByTime(rows, 30);
  ASSERT_TRUE(driver.Start().ok());
  ASSERT_TRUE(driver.source()->Available().ok());
  const TopicPartition table{"stream", 0};
  const auto text = [&](int64_t start, int64_t end) {
    const SourceStateChange change = driver.source()->StateAfter({{table, start, end}});
    std::string all = change.head + "|" + change.remove_begin + "|" + change.remove_end;
    for (const auto& [key, value] : change.added) all += "|" + key + "|" + value;
    return all;
  };
  const std::string first = text(0, 12);
  const std::string second = text(12, 30);
  ASSERT_TRUE(driver.source()->Available().ok());  // the next poll is there
  EXPECT_EQ(text(0, 12), first);
  EXPECT_EQ(text(12, 30), second);
  ASSERT_TRUE(driver.source()->Acknowledge({{table, 12}}).ok());
  EXPECT_EQ(text(12, 30), second);
}

TEST(PollingSourceTest, ADamagedBlockOfKeysIsNoticed) {
  const auto rows = std::make_shared<TimedTable::Content>();
  for (int64_t id = 0; id < 100; ++id) rows->insert({id * 10, static_cast<uint64_t>(id)});
  PollingDriver driver = ByTime(rows, 100);
  ASSERT_TRUE(driver.RunUntil(100).ok());
  driver.Crash();
  const std::map<std::string, std::string> good = driver.state_rows();
  ASSERT_FALSE(good.empty());
  const auto& [key, value] = *good.begin();
  for (const auto& [bad_key, bad_value] :
       {std::pair(key, value.substr(0, value.size() - 1)), std::pair(key, std::string()),
        std::pair(key, value + "x"), std::pair(std::string("key"), value)}) {
    driver.state_rows() = {{bad_key, bad_value}};
    const absl::Status status = driver.Start();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(status.ToString(), HasSubstr("go back to a snapshot"));
  }
  driver.state_rows() = good;
  EXPECT_TRUE(driver.Start().ok());
}

}  // namespace
}  // namespace tidemark
