#include "tidemark/operators/sources/kafka_embedded.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "tidemark/operators/sources/generator_source.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

constexpr char kTopic[] = "made";

GeneratedRecord Customers(uint64_t seed, int32_t partition, int64_t offset) {
  GeneratedRecord record;
  if (offset % 3 == 0) record.key = fmt::format("k{}", offset);
  record.value = fmt::format(R"({{"seed":{},"partition":{},"offset":{},"text":"{:a>120}"}})", seed,
                             partition, offset, "");
  record.timestamp_ms = 1'700'000'000'000 + offset;
  return record;
}

GeneratedRecord BigOnes(uint64_t, int32_t, int64_t offset) {
  GeneratedRecord record;
  record.value = std::string(1'900'000, static_cast<char>('a' + offset % 26));
  record.timestamp_ms = 1 + offset;
  return record;
}

TopicPartition At(int32_t partition) { return {kTopic, partition}; }

// Reads the ranges and checks every record against the generator. Returns the number of chunks.
int64_t ReadAndCheck(Source& source, uint64_t seed, const std::vector<PlannedRange>& ranges,
                     RecordGenerator generator = &Customers) {
  std::map<int32_t, int64_t> next;
  for (const PlannedRange& range : ranges) next[range.partition.partition] = range.start;
  const absl::Status started = source.StartRead(ranges);
  EXPECT_TRUE(started.ok()) << started;
  int64_t chunks = 0;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (started.ok() && absl::Now() < deadline) {
    auto chunk = source.Read(absl::Milliseconds(100));
    EXPECT_TRUE(chunk.ok()) << chunk.status();
    if (!chunk.ok()) break;
    if (!chunk->has_value()) continue;
    if (IsEndOfRanges(**chunk)) {
      for (const PlannedRange& range : ranges)
        EXPECT_EQ(next[range.partition.partition], range.end);
      return chunks;
    }
    ++chunks;
    const int32_t partition = (*chunk)->partition;
    for (const RawRecord& record : (*chunk)->records) {
      const GeneratedRecord expected = generator(seed, partition, next[partition]);
      if (record.offset != next[partition] || record.value != expected.value ||
          record.has_key != expected.key.has_value() || record.key != expected.key.value_or("") ||
          record.timestamp_us != expected.timestamp_ms * 1000) {
        ADD_FAILURE() << "partition " << partition << " offset " << record.offset << ", expected "
                      << next[partition];
        return chunks;
      }
      ++next[partition];
    }
  }
  ADD_FAILURE() << "the ranges do not end";
  return chunks;
}

std::vector<PlannedRange> WholeLog(Source& source, const Offsets& from) {
  std::vector<PlannedRange> ranges;
  const auto available = source.Available();
  for (const AvailableRange& range : *available) {
    ranges.push_back({range.partition, from.at(range.partition), range.end});
  }
  return ranges;
}

TEST(EmbeddedKafkaSourceTest, ANewQueryReadsItsRowsAndNoMore) {
  EmbeddedKafkaSource source({.topic = kTopic, .generator = &Customers, .seed = 5, .rows = 10'003});
  ASSERT_TRUE(source.Open().ok());
  EXPECT_EQ(source.description(), "EmbeddedKafka[made]");
  const auto starting = source.StartingOffsets();
  ASSERT_TRUE(starting.ok()) << starting.status();
  EXPECT_EQ(*starting, (Offsets{{At(0), 0}, {At(1), 0}, {At(2), 0}, {At(3), 0}}));
  const auto available = source.Available();
  int64_t rows = 0;
  for (const AvailableRange& range : *available) rows += range.end;
  EXPECT_EQ(rows, 10'003);
  EXPECT_EQ(ReadAndCheck(source, 5, WholeLog(source, *starting)), 4);
  EXPECT_TRUE(source.TakeLosses().empty());
}

TEST(EmbeddedKafkaSourceTest, FarMoreThanTheBrokerKeeps) {
  constexpr int64_t kRows = 400'000;  // 75 MB; the broker keeps 5 MiB of each partition
  EmbeddedKafkaSource source(
      {.topic = kTopic, .generator = &Customers, .seed = 1, .partitions = 2, .rows = kRows});
  const auto begin = std::chrono::steady_clock::now();
  // One range of 200,000 records: chunks of 8,192 are larger than what the producer may be ahead.
  ReadAndCheck(source, 1, WholeLog(source, *source.StartingOffsets()));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%.0f k rows/s, generated, through the broker and checked\n", kRows / seconds / 1e3);
  EXPECT_TRUE(source.TakeLosses().empty());
}

TEST(EmbeddedKafkaSourceTest, GoesOnBatchByBatch) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  EmbeddedKafkaSource source(
      {.topic = kTopic, .generator = &Customers, .seed = seed, .rows = 40'000});
  Offsets at = *source.StartingOffsets();
  for (int64_t left = 40'000; left > 0;) {
    std::vector<PlannedRange> ranges;
    const auto available = source.Available();
    for (const AvailableRange& range : *available) {
      const int64_t start = at[range.partition];
      const int64_t end = std::min(range.end, start + static_cast<int64_t>(random() % 1'000));
      ranges.push_back({range.partition, start, end});
      at[range.partition] = end;
      left -= end - start;
    }
    ReadAndCheck(source, seed, ranges);
  }
}

TEST(EmbeddedKafkaSourceTest, ARestartGoesOnFromTheCommittedOffsets) {
  const Offsets committed = {
      {At(0), 123'456'789}, {At(1), 7}, {At(2), 0}};  // the fourth was never read
  EmbeddedKafkaSource source(
      {.topic = kTopic, .generator = &Customers, .seed = 9, .rows = 4'000, .committed = committed});
  ASSERT_TRUE(source.Open().ok());
  EXPECT_TRUE(source
                  .CheckIdentity({{At(0), LastGeneratedRecord(&Customers, 9, 0, 123'456'788)},
                                  {At(1), LastGeneratedRecord(&Customers, 9, 1, 6)},
                                  {At(2), LastRecord{}}})
                  ->empty());
  EXPECT_EQ(source.Available()->at(0).end, 123'457'789);
  EXPECT_EQ(source.Available()->at(3).end, 1'000);
  Offsets from = committed;
  from[At(3)] = 0;
  ReadAndCheck(source, 9, WholeLog(source, from));
}

TEST(EmbeddedKafkaSourceTest, AnotherSeedIsRecognised) {
  EmbeddedKafkaSource source({.topic = kTopic, .generator = &Customers, .seed = 9});
  const auto losses = source.CheckIdentity({{At(0), LastGeneratedRecord(&Customers, 8, 0, 4)},
                                            {At(7), LastGeneratedRecord(&Customers, 9, 7, 4)}});
  ASSERT_EQ(losses->size(), 2u);
  EXPECT_EQ(losses->at(0).reason, "topic re-created");
  EXPECT_EQ(losses->at(1).reason, "partition gone");
}

TEST(EmbeddedKafkaSourceTest, APlanIsReadAgainAfterItWasGivenUp) {
  EmbeddedKafkaSource source(
      {.topic = kTopic, .generator = &Customers, .seed = 3, .partitions = 2, .rows = 200'000});
  const std::vector<PlannedRange> plan = WholeLog(source, *source.StartingOffsets());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(source.StartRead(plan).ok());
    std::vector<int64_t> next(2, 0);
    std::vector<RawRecords> kept;  // an engine may hold chunks while it gives up
    while (kept.size() < 6) {
      auto chunk = source.Read(absl::Milliseconds(100));
      ASSERT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk->has_value()) continue;
      next[static_cast<size_t>((*chunk)->partition)] = (*chunk)->records.back().offset + 1;
      kept.push_back(*std::move(*chunk));
    }
    source.StopRead();
    if (round == 1) {  // cut to what was read, then the rest
      ReadAndCheck(source, 3, {{At(0), next[0], 60'000}, {At(1), next[1], 60'000}});
    }
  }
  ReadAndCheck(source, 3, plan);
}

TEST(EmbeddedKafkaSourceTest, APlanOfALongerRunIsKept) {
  EmbeddedKafkaSource source({.topic = kTopic,
                              .generator = &Customers,
                              .partitions = 1,
                              .rows = 10,
                              .committed = Offsets{{At(0), 100}}});
  ReadAndCheck(source, 0, {{At(0), 100, 500}});
  EXPECT_EQ(source.Available()->at(0).end, 500);
}

TEST(EmbeddedKafkaSourceTest, RecordsAlmostAsLargeAsWhatMayBeAhead) {
  EmbeddedKafkaSource source({.topic = kTopic, .generator = &BigOnes, .partitions = 1, .rows = 12});
  ReadAndCheck(source, 0, {{At(0), 0, 12}}, &BigOnes);
}

GeneratedRecord TooBig(uint64_t, int32_t, int64_t) {
  GeneratedRecord record;
  record.value = std::string(2'200'000, 'x');
  record.timestamp_ms = 1;
  return record;
}

TEST(EmbeddedKafkaSourceTest, ARecordThatTheBrokerWouldForgetIsRefused) {
  EmbeddedKafkaSource source({.topic = kTopic, .generator = &TooBig, .partitions = 1, .rows = 2});
  ASSERT_TRUE(source.StartRead({{At(0), 0, 2}}).ok());
  absl::Status status;
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  while (status.ok() && absl::Now() < deadline) {
    status = source.Read(absl::Milliseconds(50)).status();
  }
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("has 2200000 bytes; the embedded broker takes up to"));
}

TEST(EmbeddedKafkaSourceTest, RefusesWhatCannotBe) {
  EXPECT_THAT(std::string(EmbeddedKafkaSource({.topic = kTopic}).Open().message()),
              HasSubstr("has no generator"));
  EmbeddedKafkaSource none({.topic = kTopic, .generator = &Customers, .rows = -1});
  EXPECT_EQ(none.Open().code(), absl::StatusCode::kInvalidArgument);
  EmbeddedKafkaSource nowhere({.topic = kTopic, .generator = &Customers, .starting_offsets = "x"});
  EXPECT_EQ(nowhere.StartingOffsets().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(nowhere.StartRead({{At(9), 0, 1}}).code(), absl::StatusCode::kInvalidArgument);
  EmbeddedKafkaSource option(
      {.topic = kTopic, .generator = &Customers, .properties = {{"no.such", "1"}}});
  EXPECT_EQ(option.StartRead({{At(0), 0, 1}}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(EmbeddedKafkaSourceTest, CancelEndsAWaitSoon) {
  double fastest = 0.1;  // of some: a busy machine makes single ones slow
  for (int tries = 0; tries < 5 && fastest >= 0.1; ++tries) {
    EmbeddedKafkaSource source({.topic = kTopic, .generator = &Customers, .rows = 1'000'000});
    ASSERT_TRUE(source.StartRead(WholeLog(source, *source.StartingOffsets())).ok());
    std::chrono::steady_clock::time_point at;
    std::thread other([&] {
      absl::SleepFor(absl::Milliseconds(200));
      at = std::chrono::steady_clock::now();
      source.Cancel();
    });
    absl::Status status;
    while (status.ok()) status = source.Read(absl::Seconds(10)).status();
    const auto returned = std::chrono::steady_clock::now();
    other.join();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    fastest = std::chrono::duration<double>(returned - at).count();
    EXPECT_EQ(source.StartRead({}).code(), absl::StatusCode::kCancelled);
  }
  EXPECT_LT(fastest, 0.1);
}

}  // namespace
}  // namespace tidemark
