#include "tidemark/operators/sources/generator_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tidemark {
namespace {

GeneratedRecord Numbers(uint64_t seed, int32_t partition, int64_t offset) {
  GeneratedRecord record;
  if (offset % 2 == 0) record.key = std::to_string(partition);
  record.value = std::to_string(seed) + ":" + std::to_string(offset);
  record.timestamp_ms = offset;
  return record;
}

TEST(GeneratorSourceTest, MakesTheSameRecordsForTheSamePlan) {
  GeneratorSource source({.topic = "g",
                          .generator = &Numbers,
                          .seed = 7,
                          .partitions = 2,
                          .rows_per_partition = 10'000});
  ASSERT_TRUE(source.Open().ok());
  EXPECT_EQ(*source.StartingOffsets(), (Offsets{{{"g", 0}, 0}, {{"g", 1}, 0}}));
  EXPECT_EQ(source.Available()->at(1).end, 10'000);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(source.StartRead({{{"g", 0}, 5, 10'000}, {{"g", 1}, 0, 1}}).ok());
    int64_t next = 5;
    for (const size_t expected : {kMaxChunkRecords, size_t{10'000} - 5 - kMaxChunkRecords}) {
      const RawRecords chunk = **source.Read(absl::ZeroDuration());
      EXPECT_EQ(chunk.records.size(), expected);
      for (const RawRecord& record : chunk.records) {
        ASSERT_EQ(record.offset, next);
        ASSERT_EQ(record.has_key, next % 2 == 0);
        ASSERT_EQ(record.key, next % 2 == 0 ? "0" : "");
        ASSERT_EQ(record.value, "7:" + std::to_string(next));
        ASSERT_EQ(record.timestamp_us, next * 1000);
        ASSERT_TRUE(record.padded);
        ++next;
      }
    }
    EXPECT_EQ((*source.Read(absl::ZeroDuration()))->partition, 1);
    EXPECT_TRUE(IsEndOfRanges(**source.Read(absl::ZeroDuration())));
    EXPECT_TRUE(IsEndOfRanges(**source.Read(absl::ZeroDuration()))) << "and again";
  }
}

TEST(GeneratorSourceTest, StopReadForgetsTheRest) {
  GeneratorSource source({.generator = &Numbers, .rows_per_partition = 100});
  ASSERT_TRUE(source.StartRead({{{"generated", 0}, 0, 100}}).ok());
  source.StopRead();
  EXPECT_TRUE(IsEndOfRanges(**source.Read(absl::ZeroDuration())));
}

TEST(GeneratorSourceTest, WhatItDoesNotHoldIsLost) {
  GeneratorSource source({.generator = &Numbers, .rows_per_partition = 10});
  ASSERT_TRUE(source.StartRead({{{"generated", 0}, 8, 12}, {{"generated", 1}, 0, 1}}).ok());
  EXPECT_EQ((*source.Read(absl::ZeroDuration()))->records.size(), 2u);
  const auto losses = source.TakeLosses();
  ASSERT_EQ(losses.size(), 2u);
  EXPECT_EQ(losses[0].wanted, 10);
  EXPECT_EQ(losses[1].reason, "partition gone");
}

TEST(GeneratorSourceTest, AnotherSeedIsAnotherTopic) {
  const std::map<TopicPartition, LastRecord> last = {
      {{"generated", 0}, LastGeneratedRecord(&Numbers, 1, 0, 4)}};
  GeneratorSource same({.generator = &Numbers, .seed = 1, .rows_per_partition = 10});
  EXPECT_TRUE(same.CheckIdentity(last)->empty());
  GeneratorSource other({.generator = &Numbers, .seed = 2, .rows_per_partition = 10});
  EXPECT_EQ(other.CheckIdentity(last)->at(0).reason, "topic re-created");
  GeneratorSource shorter({.generator = &Numbers, .seed = 1, .rows_per_partition = 4});
  EXPECT_EQ(shorter.CheckIdentity(last)->size(), 1u);
}

TEST(GeneratorSourceTest, RefusesToBeWithoutAGeneratorAndStopsWhenCancelled) {
  GeneratorSource source({});
  EXPECT_EQ(source.Open().code(), absl::StatusCode::kInvalidArgument);
  source.Cancel();
  EXPECT_EQ(source.Read(absl::ZeroDuration()).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace tidemark
