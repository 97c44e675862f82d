#include "tidemark/operators/sources/polling_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "operators/sources/polling_driver.h"
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
  absl::StatusOr<std::optional<int64_t>> LatestTime() override { return std::optional<int64_t>(); }
  absl::StatusOr<bool> PollTimes(const SeenRows&, const Budget&, TimePlace*, PolledRows*) override {
    return false;
  }
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
  const std::string state = driver.state();
  driver.Crash();
  driver.set_state("damaged");
  EXPECT_TRUE(absl::IsDataLoss(driver.Start())) << driver.Start();
  driver.set_state("");
  EXPECT_THAT(driver.Start().ToString(), HasSubstr("do not belong together"));
  driver.set_state(state);
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

}  // namespace
}  // namespace tidemark
