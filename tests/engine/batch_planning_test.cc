#include "tidemark/engine/batch_planning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tidemark/engine/batch_plan.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TopicPartition P(int32_t partition) { return {"t", partition}; }

std::map<TopicPartition, PartitionProgress> At(std::initializer_list<int64_t> offsets) {
  std::map<TopicPartition, PartitionProgress> positions;
  int32_t partition = 0;
  for (int64_t offset : offsets) positions[P(partition++)].next_offset = offset;
  return positions;
}

TEST(PlanRanges, WithoutALimitTakesEverything) {
  EXPECT_THAT(PlanRanges(At({5, 7}), {{P(0), 0, 10}, {P(1), 0, 7}}, 0),
              ElementsAre(PlannedRange{P(0), 5, 10}));
}

TEST(PlanRanges, SharesTheLimitAsSparkDoes) {
  // 10 of 3 + 97 available: 0.3 rounds up to 1, 9.7 rounds down to 9.
  EXPECT_THAT(PlanRanges(At({0, 0}), {{P(0), 0, 3}, {P(1), 0, 97}}, 10),
              ElementsAre(PlannedRange{P(0), 0, 1}, PlannedRange{P(1), 0, 9}));
  // A partition with next to nothing is not starved.
  EXPECT_THAT(PlanRanges(At({0, 0}), {{P(0), 0, 1}, {P(1), 0, 1'000'000}}, 100),
              ElementsAre(PlannedRange{P(0), 0, 1}, PlannedRange{P(1), 0, 99}));
}

TEST(PlanRanges, ANewPartitionStartsAtItsBeginning) {
  EXPECT_THAT(PlanRanges(At({5}), {{P(0), 0, 5}, {P(1), 3, 9}}, 0),
              ElementsAre(PlannedRange{P(1), 3, 9}));
}

TEST(FindLosses, JudgesEachPosition) {
  EXPECT_THAT(FindLosses(At({5, 5}), {{P(0), 5, 5}, {P(1), 0, 9}}), IsEmpty());
  const std::vector<DataLoss> losses = FindLosses(At({5, 5, 5}), {{P(0), 6, 9}, {P(1), 0, 4}});
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_EQ(losses[0].reason, "offsets aged out");
  EXPECT_EQ(losses[0].wanted, 5);
  EXPECT_EQ(losses[0].available, 6);
  EXPECT_THAT(losses[1].reason, ::testing::HasSubstr("re-created"));
  EXPECT_EQ(losses[2].reason, "the partition is gone");
}

TEST(NextWatermark, IsTheGreatestTimeLessTheDelayAndNeverFalls) {
  WatermarkNode node{"at", absl::Microseconds(10)};
  QueryProgress progress;
  EXPECT_EQ(NextWatermark(progress, node, {}), kNoWatermark);
  progress.partitions[P(0)].max_event_time_us = 100;
  progress.partitions[P(1)].max_event_time_us = 50;
  EXPECT_EQ(NextWatermark(progress, node, {}), 90);
  progress.watermark_us = 95;
  EXPECT_EQ(NextWatermark(progress, node, {}), 95);
  progress.partitions[P(0)].max_event_time_us = INT64_MIN + 3;
  EXPECT_EQ(NextWatermark(progress, std::nullopt, {}), kNoWatermark);
}

TEST(NextWatermark, PerPartitionTakesTheLeastOfThoseThatAreNotIdle) {
  WatermarkNode node{"at", absl::Microseconds(10), true, absl::Seconds(1)};
  QueryProgress progress;
  progress.partitions[P(0)].max_event_time_us = 100;
  progress.partitions[P(1)];
  EXPECT_EQ(NextWatermark(progress, node, {}),
            kNoWatermark);  // partition 1 has produced nothing yet
  EXPECT_EQ(NextWatermark(progress, node, {P(1)}), 90);
  progress.watermark_us = 90;
  EXPECT_EQ(NextWatermark(progress, node, {P(0), P(1)}), 90);
}

TEST(BatchSizer, AimsAtASecondAndStaysInsideTheMemory) {
  BatchSizer sizer(1'000'000);
  EXPECT_EQ(sizer.MemoryRows(), INT64_MAX);
  EXPECT_EQ(sizer.TargetRows(), 10'000);
  EXPECT_EQ(BatchSizer(32 << 20).TargetRows(), 65'536);
  EXPECT_EQ(BatchSizer(int64_t{1} << 30).TargetRows(), 200'000);
  sizer.Observe(100'000, 0.1, 400'000);
  EXPECT_EQ(sizer.MemoryRows(), 250'000);
  EXPECT_EQ(sizer.TargetRows(), 250'000);
  sizer.Observe(20'000, 1.0, 80'000);
  EXPECT_LE(sizer.TargetRows(), 250'000);
}

TEST(BatchPlan, ReadsBackWhatItWrote) {
  BatchPlan plan;
  plan.batch_id = 7;
  plan.epoch = 1;
  plan.time_us = -5;
  plan.late_watermark_us = kNoWatermark;
  plan.watermark_us = 12;
  plan.ranges = {{{"other.topic-1", 3}, 5, INT64_MAX}, {P(0), 1, 2}};
  plan.idle = {P(4)};
  const absl::StatusOr<BatchPlan> read = BatchPlan::Decode(plan.Encode());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Encode(), plan.Encode());
  EXPECT_EQ(read->Hash(), plan.Hash());
  EXPECT_EQ(read->ranges, plan.ranges);
}

TEST(BatchPlan, DamagedTextIsDataLoss) {
  BatchPlan plan;
  plan.ranges = {{P(0), 1, 2}};
  const std::string text = plan.Encode();
  for (size_t cut = 0; cut < text.size(); ++cut) {
    const absl::StatusOr<BatchPlan> read = BatchPlan::Decode(text.substr(0, cut));
    // A cut at a line's end leaves a shorter plan; the store's checksums guard against that.
    if (cut > 0 && text[cut - 1] == '\n') continue;
    EXPECT_TRUE(absl::IsDataLoss(read.status())) << cut;
  }
  EXPECT_TRUE(absl::IsDataLoss(BatchPlan::Decode("plan 2 0 0 0 0 0\n").status()));
  EXPECT_TRUE(
      absl::IsDataLoss(BatchPlan::Decode("plan 1 0 0 0 0 99999999999999999999\n").status()));
}

}  // namespace
}  // namespace tidemark
