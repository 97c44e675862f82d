#include "tidemark/operators/sources/memory_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace tidemark {
namespace {

std::unique_ptr<MemorySource> SourceOver(const std::shared_ptr<MemoryTopic>& topic,
                                         const std::string& starting = "earliest") {
  auto source = MemorySource::Make(topic, {.starting_offsets = starting});
  EXPECT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE((*source)->Open().ok());
  return *std::move(source);
}

std::vector<RawRecords> ReadAll(Source& source, const std::vector<PlannedRange>& ranges) {
  EXPECT_TRUE(source.StartRead(ranges).ok());
  std::vector<RawRecords> chunks;
  while (true) {
    auto chunk = source.Read(absl::Seconds(1));
    EXPECT_TRUE(chunk.ok() && chunk->has_value());
    if (!chunk.ok() || !chunk->has_value() || IsEndOfRanges(**chunk)) return chunks;
    chunks.push_back(*std::move(*chunk));
  }
}

TEST(MemorySourceTest, GivesRecordsAsAppended) {
  auto topic = std::make_shared<MemoryTopic>("t", 2);
  EXPECT_EQ(topic->Append(1, "k", "v", 5'000, {{"h", "1"}}), 0);
  EXPECT_EQ(topic->Append(1, std::nullopt, std::nullopt), 1);
  EXPECT_EQ(topic->Append(1, "", ""), 2);
  auto source = SourceOver(topic);
  EXPECT_EQ(source->description(), "Memory[t]");
  const auto chunks = ReadAll(*source, {{{"t", 1}, 0, 3}, {{"t", 0}, 0, 0}});
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].topic, "t");
  EXPECT_EQ(chunks[0].partition, 1);
  EXPECT_EQ(chunks[0].bytes, 2u);
  const auto& records = chunks[0].records;
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].key, "k");
  EXPECT_EQ(records[0].value, "v");
  EXPECT_EQ(records[0].timestamp_us, 5'000);
  EXPECT_TRUE(records[0].padded);
  EXPECT_EQ(chunks[0].Headers(0), (RecordHeaders{{"h", "1"}}));
  EXPECT_TRUE(chunks[0].Headers(1).empty());
  EXPECT_FALSE(records[1].has_key);
  EXPECT_FALSE(records[1].has_value);
  EXPECT_EQ(records[1].timestamp_us, RawRecord::kNoTimestamp);
  EXPECT_TRUE(records[2].has_key);
  EXPECT_TRUE(records[2].has_value);
  EXPECT_EQ(RecordHash(records[1]) == RecordHash(records[2]), false) << "null is not empty";
}

TEST(MemorySourceTest, ChunksAreCutFromTheRangesStart) {
  auto topic = std::make_shared<MemoryTopic>("t");
  const auto total = static_cast<int64_t>(kMaxChunkRecords) * 2 + 10;
  for (int64_t i = 0; i < total; ++i) topic->Append(0, std::nullopt, std::to_string(i));
  auto source = SourceOver(topic);
  const auto chunks = ReadAll(*source, {{{"t", 0}, 3, total}});
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].records.size(), kMaxChunkRecords);
  EXPECT_EQ(chunks[1].records.size(), kMaxChunkRecords);
  EXPECT_EQ(chunks[2].records.size(), 7u);
  EXPECT_EQ(chunks[0].records[0].offset, 3);
  EXPECT_EQ(chunks[2].chunk_index, 2);
  EXPECT_EQ(chunks[2].records[6].value, std::to_string(total - 1));
}

TEST(MemorySourceTest, ChunksEndByBytes) {
  auto topic = std::make_shared<MemoryTopic>("t");
  const std::string big(kMaxChunkBytes / 2 + 1, 'x');
  for (int i = 0; i < 3; ++i) topic->Append(0, std::nullopt, big);
  auto source = SourceOver(topic);
  const auto chunks = ReadAll(*source, {{{"t", 0}, 0, 3}});
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].records.size(), 2u);
}

TEST(MemorySourceTest, GapsAndRangesThatEndInOne) {
  auto topic = std::make_shared<MemoryTopic>("t");
  topic->Append(0, std::nullopt, "a");
  topic->SkipOffsets(0, 5);
  topic->Append(0, std::nullopt, "b");
  topic->SkipOffsets(0, 3);
  auto source = SourceOver(topic);
  EXPECT_EQ(source->Available()->at(0).end, 10);
  EXPECT_EQ(ReadAll(*source, {{{"t", 0}, 0, 4}}).at(0).records.size(), 1u);
  EXPECT_EQ(ReadAll(*source, {{{"t", 0}, 4, 10}}).at(0).records[0].value, "b");
  EXPECT_TRUE(ReadAll(*source, {{{"t", 0}, 7, 10}}).empty());
  EXPECT_TRUE(source->TakeLosses().empty());
}

TEST(MemorySourceTest, ChunksOutliveDroppedRecordsAndTheTopic) {
  auto topic = std::make_shared<MemoryTopic>("t");
  topic->Append(0, std::nullopt, "kept");
  auto source = SourceOver(topic);
  auto chunks = ReadAll(*source, {{{"t", 0}, 0, 1}});
  topic->DropBefore(0, 1);
  source.reset();
  topic.reset();
  EXPECT_EQ(chunks[0].records[0].value, "kept");
}

TEST(MemorySourceTest, LossesAreReportedOnceAndReadingGoesOn) {
  auto topic = std::make_shared<MemoryTopic>("t");
  for (int i = 0; i < 6; ++i) topic->Append(0, std::nullopt, std::to_string(i));
  topic->DropBefore(0, 4);
  auto source = SourceOver(topic);
  const auto chunks = ReadAll(*source, {{{"t", 0}, 1, 8}, {{"t", 7}, 0, 2}});
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].records.size(), 2u);
  const auto losses = source->TakeLosses();
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_EQ(losses[0].reason, "partition gone");
  EXPECT_EQ(losses[1].reason, "offsets aged out");
  EXPECT_EQ(losses[1].wanted, 1);
  EXPECT_EQ(losses[1].available, 4);
  EXPECT_EQ(losses[2].wanted, 6);
  EXPECT_EQ(losses[2].available, 8);
  EXPECT_TRUE(source->TakeLosses().empty());
}

TEST(MemorySourceTest, RecognisesARecreatedTopic) {
  auto topic = std::make_shared<MemoryTopic>("t");
  for (int i = 0; i < 3; ++i) topic->Append(0, "k", std::to_string(i), i);
  auto source = SourceOver(topic);
  const RawRecord record = ReadAll(*source, {{{"t", 0}, 2, 3}}).at(0).records[0];
  const LastRecord last{record.offset, record.timestamp_us, RecordHash(record)};
  const std::map<TopicPartition, LastRecord> known = {{{"t", 0}, last}};
  EXPECT_TRUE(source->CheckIdentity(known)->empty());
  EXPECT_TRUE(source->CheckIdentity({{{"t", 0}, LastRecord{}}})->empty()) << "nothing read yet";
  topic->DropBefore(0, 3);
  EXPECT_TRUE(source->CheckIdentity(known)->empty()) << "aged out cannot be judged";
  topic->Recreate();
  EXPECT_EQ(source->CheckIdentity(known)->size(), 1u) << "the log ends before it";
  for (int i = 0; i < 5; ++i) topic->Append(0, "k", "other", i);
  EXPECT_EQ(source->CheckIdentity(known)->at(0).reason, "topic re-created");
  EXPECT_EQ(source->CheckIdentity({{{"t", 3}, last}})->at(0).reason, "partition gone");
}

TEST(MemorySourceTest, CancelEndsEverything) {
  auto topic = std::make_shared<MemoryTopic>("t");
  auto source = SourceOver(topic);
  source->Cancel();
  EXPECT_EQ(source->Open().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(source->Available().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(source->StartRead({}).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(source->Read(absl::ZeroDuration()).status().code(), absl::StatusCode::kCancelled);
}

TEST(MemorySourceTest, RefusesWrongStartingOffsets) {
  EXPECT_EQ(MemorySource::Make(std::make_shared<MemoryTopic>("t"), {.starting_offsets = "x"})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MemorySourceTest, AppendingWhileReading) {
  auto topic = std::make_shared<MemoryTopic>("t");
  constexpr int64_t kTotal = 50'000;
  std::thread writer([&] {
    for (int64_t i = 0; i < kTotal; ++i) topic->Append(0, std::nullopt, std::to_string(i));
  });
  auto source = SourceOver(topic);
  int64_t next = 0;
  while (next < kTotal) {
    const int64_t end = source->Available()->at(0).end;
    for (const RawRecords& chunk : ReadAll(*source, {{{"t", 0}, next, end}})) {
      for (const RawRecord& record : chunk.records) ASSERT_EQ(record.value, std::to_string(next++));
    }
  }
  writer.join();
}

}  // namespace
}  // namespace tidemark
