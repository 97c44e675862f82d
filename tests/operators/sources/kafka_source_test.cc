#include "tidemark/operators/sources/kafka_source.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <thread>

#include "tests/servers/kafka_server.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::KafkaRecord;
using testing::KafkaServer;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Everything that was read of each partition, and how it was cut.
struct Collected {
  std::map<int32_t, std::vector<int64_t>> offsets;
  std::map<int32_t, std::vector<std::string>> values;
  std::vector<std::pair<int32_t, size_t>> chunks;
  absl::Status status;
};

Collected Collect(Source& source, const std::vector<PlannedRange>& ranges,
                  absl::Duration patience = absl::Seconds(30)) {
  Collected all;
  all.status = source.StartRead(ranges);
  const absl::Time deadline = absl::Now() + patience;
  while (all.status.ok()) {
    auto chunk = source.Read(absl::Milliseconds(200));
    if (!chunk.ok()) {
      all.status = chunk.status();
    } else if (!chunk->has_value()) {
      if (absl::Now() > deadline)
        all.status = absl::DeadlineExceededError("the range does not end");
    } else if (IsEndOfRanges(**chunk)) {
      break;
    } else {
      const int32_t partition = (*chunk)->partition;
      all.chunks.emplace_back(partition, (*chunk)->records.size());
      for (const RawRecord& record : (*chunk)->records) {
        all.offsets[partition].push_back(record.offset);
        all.values[partition].emplace_back(record.value);
      }
    }
  }
  return all;
}

std::vector<int64_t> Numbers(int64_t begin, int64_t end) {
  std::vector<int64_t> numbers;
  for (int64_t i = begin; i < end; ++i) numbers.push_back(i);
  return numbers;
}

std::string PerPartition(const std::string& topic, const std::string& offsets) {
  return fmt::format(R"({{"{}":{{{}}}}})", topic, offsets);
}

std::vector<KafkaRecord> Values(int64_t begin, int64_t end) {
  std::vector<KafkaRecord> records;
  for (int64_t i = begin; i < end; ++i) records.push_back({.value = fmt::format("v{}", i)});
  return records;
}

// One broker for the whole program; each test has topics of its own.
class KafkaSourceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = KafkaServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(server_, nullptr); }

  std::string NewTopic(int32_t partitions, const std::map<std::string, std::string>& config = {}) {
    const std::string name = fmt::format("topic{}", ++topics_);
    const absl::Status status = server_->CreateTopic(name, partitions, config);
    EXPECT_TRUE(status.ok()) << status;
    return name;
  }
  static void Produce(const std::string& topic, int32_t partition,
                      const std::vector<KafkaRecord>& records) {
    const absl::Status status = server_->Produce(topic, partition, records);
    ASSERT_TRUE(status.ok()) << status;
  }
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Make(const std::string& topic,
                                                           KafkaSourceOptions options = {}) {
    if (options.brokers.empty()) options.brokers = server_->brokers();
    options.topics = {topic};
    return KafkaSource::Make(options);
  }
  static std::unique_ptr<KafkaSource> Opened(const std::string& topic,
                                             const KafkaSourceOptions& options = {}) {
    auto source = Make(topic, options);
    EXPECT_TRUE(source.ok()) << source.status();
    const absl::Status status = (*source)->Open();
    EXPECT_TRUE(status.ok()) << status;
    return *std::move(source);
  }

  static KafkaServer* server_;
  static int topics_;
};
KafkaServer* KafkaSourceTest::server_ = nullptr;
int KafkaSourceTest::topics_ = 0;

TEST_F(KafkaSourceTest, GivesKeysValuesTimestampsHeadersAndTombstones) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0,
          {{.key = "k",
            .value = "v",
            .headers = {{"a", "1"}, {"b", std::nullopt}},
            .timestamp_ms = 1'234},
           {.key = "gone", .value = std::nullopt},
           {.key = std::nullopt, .value = ""}});
  auto source = Opened(topic);
  EXPECT_EQ(source->description(), fmt::format("Kafka[{}]", topic));
  ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, 3}}).ok());
  RawRecords chunk;
  while (chunk.records.empty()) {
    auto read = source->Read(absl::Seconds(5));
    ASSERT_TRUE(read.ok()) << read.status();
    if (read->has_value()) chunk = *std::move(*read);
    ASSERT_FALSE(IsEndOfRanges(chunk));
  }
  source.reset();  // the chunk keeps its bytes
  ASSERT_EQ(chunk.records.size(), 3u);
  EXPECT_EQ(chunk.topic, topic);
  EXPECT_EQ(chunk.chunk_index, 0);
  EXPECT_EQ(chunk.bytes, 6u);
  EXPECT_EQ(chunk.records[0].key, "k");
  EXPECT_EQ(chunk.records[0].value, "v");
  EXPECT_EQ(chunk.records[0].timestamp_us, 1'234'000);
  EXPECT_EQ(chunk.Headers(0), (RecordHeaders{{"a", "1"}, {"b", std::nullopt}}));
  EXPECT_TRUE(chunk.Headers(2).empty());
  EXPECT_TRUE(chunk.records[1].has_key);
  EXPECT_FALSE(chunk.records[1].has_value);
  EXPECT_FALSE(chunk.records[2].has_key);
  EXPECT_TRUE(chunk.records[2].has_value);
  EXPECT_EQ(chunk.records[2].value, "");
  EXPECT_GT(chunk.records[2].timestamp_us, 0);
}

TEST_F(KafkaSourceTest, StartingOffsetsInEachForm) {
  const std::string topic = NewTopic(2);
  Produce(topic, 0, Values(0, 10));
  ASSERT_TRUE(server_->DeleteRecords(topic, 0, 4).ok());
  const auto resolve = [&](const std::string& text) {
    return Opened(topic, {.starting_offsets = text})->StartingOffsets();
  };
  EXPECT_EQ(*resolve("earliest"), (Offsets{{{topic, 0}, 4}, {{topic, 1}, 0}}));
  EXPECT_EQ(*resolve("latest"), (Offsets{{{topic, 0}, 10}, {{topic, 1}, 0}}));
  EXPECT_EQ(*resolve(PerPartition(topic, R"("0":7,"1":-1)")),
            (Offsets{{{topic, 0}, 7}, {{topic, 1}, 0}}));
  EXPECT_EQ(*resolve(PerPartition(topic, R"("0":-2,"1":-2)")),
            (Offsets{{{topic, 0}, 4}, {{topic, 1}, 0}}));
  EXPECT_EQ(resolve(PerPartition(topic, R"("0":7)")).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(resolve(PerPartition(topic, R"("0":11,"1":0)")).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Make(topic, {.starting_offsets = "soon"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(KafkaSourceTest, EmptyTopicAndEmptyRanges) {
  const std::string topic = NewTopic(2);
  auto source = Opened(topic);
  const auto available = source->Available();
  ASSERT_TRUE(available.ok()) << available.status();
  ASSERT_EQ(available->size(), 2u);
  EXPECT_EQ(available->at(1).partition, (TopicPartition{topic, 1}));
  EXPECT_EQ(available->at(1).end, 0);
  EXPECT_TRUE(Collect(*source, {{{topic, 0}, 0, 0}, {{topic, 1}, 0, 0}}).chunks.empty());
  Produce(topic, 1, Values(0, 1));
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 0}, {{topic, 1}, 0, 1}}).offsets[1], Numbers(0, 1));
}

TEST_F(KafkaSourceTest, ChunksDependOnTheRangeAlone) {
  const std::string topic = NewTopic(2);
  for (int32_t p = 0; p < 2; ++p) {
    ASSERT_TRUE(
        server_->ProduceMany(topic, p, 30'000, [](int64_t i) { return std::to_string(i); }).ok());
  }
  const auto max = static_cast<int64_t>(kMaxChunkRecords);
  for (int round = 0; round < 2; ++round) {
    auto source = Opened(topic, {.queue_bytes = round == 0 ? size_t{64} << 20 : size_t{1}});
    const Collected all = Collect(*source, {{{topic, 0}, 11, 30'000}, {{topic, 1}, 0, 2 * max}});
    ASSERT_TRUE(all.status.ok()) << all.status;
    EXPECT_EQ(all.offsets.at(0), Numbers(11, 30'000));
    EXPECT_EQ(all.offsets.at(1), Numbers(0, 2 * max));
    std::map<int32_t, std::vector<size_t>> sizes;
    for (const auto& [partition, size] : all.chunks) sizes[partition].push_back(size);
    EXPECT_EQ(sizes[0], (std::vector<size_t>{kMaxChunkRecords, kMaxChunkRecords, kMaxChunkRecords,
                                             30'000 - 11 - 3 * kMaxChunkRecords}));
    EXPECT_EQ(sizes[1], (std::vector<size_t>{kMaxChunkRecords, kMaxChunkRecords}));
  }
}

TEST_F(KafkaSourceTest, RangesThatGoOnAreReadOnceEach) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  const std::string topic = NewTopic(3);
  constexpr int64_t kTotal = 20'000;
  for (int32_t p = 0; p < 3; ++p) {
    ASSERT_TRUE(
        server_->ProduceMany(topic, p, kTotal, [](int64_t i) { return std::to_string(i); }).ok());
  }
  auto source = Opened(topic);
  std::vector<int64_t> at(3, 0);
  while (at[0] + at[1] + at[2] < 3 * kTotal) {
    std::vector<PlannedRange> ranges;
    for (int32_t p = 0; p < 3; ++p) {
      const int64_t end = std::min<int64_t>(kTotal, at[p] + static_cast<int64_t>(random() % 2'000));
      ranges.push_back({{topic, p}, at[p], end});
    }
    Collected all = Collect(*source, ranges);
    ASSERT_TRUE(all.status.ok()) << all.status;
    for (int32_t p = 0; p < 3; ++p) {
      ASSERT_EQ(all.offsets[p], Numbers(ranges[p].start, ranges[p].end));
      at[p] = ranges[p].end;
    }
  }
}

TEST_F(KafkaSourceTest, StoppedRangesAreReadAgainFromAnywhere) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 random(seed);
  const std::string topic = NewTopic(2);
  constexpr int64_t kTotal = 60'000;
  for (int32_t p = 0; p < 2; ++p) {
    ASSERT_TRUE(
        server_->ProduceMany(topic, p, kTotal, [](int64_t i) { return std::to_string(i); }).ok());
  }
  auto source = Opened(topic);
  for (int round = 0; round < 30; ++round) {
    const int64_t start = static_cast<int64_t>(random() % kTotal);
    std::vector<int64_t> next(2, start);
    ASSERT_TRUE(source->StartRead({{{topic, 0}, start, kTotal}, {{topic, 1}, start, kTotal}}).ok());
    std::vector<RawRecords> kept;
    for (uint64_t chunks = random() % 4; chunks > 0;) {
      auto chunk = source->Read(absl::Seconds(1));
      ASSERT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk->has_value()) continue;
      if (IsEndOfRanges(**chunk)) break;
      for (const RawRecord& record : (*chunk)->records)
        ASSERT_EQ(record.offset, next[(*chunk)->partition]++);
      kept.push_back(*std::move(*chunk));
      --chunks;
    }
    source->StopRead();
    // Cut: goes on where the chunks ended.
    std::vector<PlannedRange> rest;
    for (int32_t p = 0; p < 2; ++p)
      rest.push_back({{topic, p}, next[p], std::min(kTotal, next[p] + 3'000)});
    Collected all = Collect(*source, rest);
    ASSERT_TRUE(all.status.ok()) << all.status;
    for (int32_t p = 0; p < 2; ++p) ASSERT_EQ(all.offsets[p], Numbers(rest[p].start, rest[p].end));
    for (const RawRecords& chunk : kept) {
      for (const RawRecord& record : chunk.records)
        ASSERT_EQ(record.value, std::to_string(record.offset));
    }
  }
}

TEST_F(KafkaSourceTest, GapsOfTransactions) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 3));  // 0..2
  ASSERT_TRUE(
      server_->ProduceTransaction(topic, 0, Values(3, 6), false).ok());  // 3..5 aborted, 6 control
  ASSERT_TRUE(server_->ProduceTransaction(topic, 0, Values(7, 9), true).ok());  // 7..8, 9 control
  ASSERT_TRUE(server_->ProduceTransaction(topic, 0, Values(10, 2'000), false)
                  .ok());  // 10..1999, 2000 control
  auto source = Opened(topic);
  EXPECT_EQ(source->Available()->at(0).end, 2'001);
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 2'001}}).offsets[0],
            (std::vector<int64_t>{0, 1, 2, 7, 8}));
  // Ranges that begin and end in gaps, going on and from anywhere.
  auto again = Opened(topic);
  EXPECT_EQ(Collect(*again, {{{topic, 0}, 0, 4}}).offsets[0], Numbers(0, 3));
  EXPECT_EQ(Collect(*again, {{{topic, 0}, 4, 8}}).offsets[0], Numbers(7, 8));
  EXPECT_EQ(Collect(*again, {{{topic, 0}, 8, 10}}).offsets[0], Numbers(8, 9));
  EXPECT_TRUE(Collect(*again, {{{topic, 0}, 10, 1'000}}).chunks.empty());
  EXPECT_TRUE(Collect(*again, {{{topic, 0}, 1'000, 2'001}}).chunks.empty());
  EXPECT_TRUE(Collect(*again, {{{topic, 0}, 2'000, 2'001}}).chunks.empty())
      << "a control record alone";
  EXPECT_TRUE(Collect(*again, {{{topic, 0}, 5, 7}}).chunks.empty());
  EXPECT_TRUE(source->TakeLosses().empty());
  EXPECT_TRUE(again->TakeLosses().empty());
}

TEST_F(KafkaSourceTest, AnOpenTransactionIsNotAvailable) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 2));
  auto source = Opened(topic);
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 2}}).offsets[0], Numbers(0, 2));
  auto transaction = server_->BeginTransaction();
  ASSERT_TRUE(transaction.ok()) << transaction.status();
  ASSERT_TRUE((*transaction)->Produce(topic, 0, Values(2, 4)).ok());
  absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(source->Available()->at(0).end, 2);
  ASSERT_TRUE((*transaction)->Commit().ok());
  // The broker answers first and makes the records stable afterwards.
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (source->Available()->at(0).end == 2 && absl::Now() < limit)
    absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(source->Available()->at(0).end, 5);
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 2, 5}}).offsets[0], Numbers(2, 4));
}

TEST_F(KafkaSourceTest, AvailableSeesNewRecordsSoonAndIsCheap) {
  const std::string topic = NewTopic(4);
  Produce(topic, 0, Values(0, 5));
  auto source = Opened(topic);
  Collect(*source,
          {{{topic, 0}, 0, 5}, {{topic, 1}, 0, 0}, {{topic, 2}, 0, 0}, {{topic, 3}, 0, 0}});
  double fastest = 2;
  for (int tries = 0; tries < 5 && fastest >= 2; ++tries) {
    fastest = SecondsOf([&] {
      for (int i = 0; i < 200; ++i) ASSERT_TRUE(source->Available().ok());
    });
  }
  std::printf("Available: %.3f ms a call\n", fastest * 1e3 / 200);
  EXPECT_LT(fastest, 2.0);
  Produce(topic, 2, Values(0, 1));
  // The fastest of some: a busy machine makes single ones slow.
  double waited = 1;
  for (int64_t end = 0; end < 5 && waited >= 0.2; ++end) {
    if (end > 0) Produce(topic, 2, Values(end, end + 1));
    waited = SecondsOf([&] {
      while (source->Available()->at(2).end == end) absl::SleepFor(absl::Milliseconds(1));
    });
  }
  EXPECT_LT(waited, 0.2);
}

TEST_F(KafkaSourceTest, NewPartitionsAreFoundAndStartAtTheirBeginning) {
  const std::string topic = NewTopic(1);
  auto source = Opened(topic);
  ASSERT_EQ(source->Available()->size(), 1u);
  ASSERT_TRUE(server_->AddPartitions(topic, 3).ok());
  Produce(topic, 2, Values(0, 4));
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (source->Available()->size() < 3 && absl::Now() < deadline)
    absl::SleepFor(absl::Milliseconds(50));
  const auto available = source->Available();
  ASSERT_EQ(available->size(), 3u);
  EXPECT_EQ(available->at(2).begin, 0);
  EXPECT_EQ(available->at(2).end, 4);
  EXPECT_EQ(Collect(*source, {{{topic, 2}, 0, 4}}).offsets[2], Numbers(0, 4));
}

TEST_F(KafkaSourceTest, RecordsDeletedBeforeReadingAreALoss) {
  const std::string topic = NewTopic(2);
  Produce(topic, 0, Values(0, 100));
  Produce(topic, 1, Values(0, 100));
  auto source = Opened(topic);
  ASSERT_TRUE(server_->DeleteRecords(topic, 0, 40).ok());
  const Collected all = Collect(*source, {{{topic, 0}, 10, 100}, {{topic, 1}, 0, 100}});
  ASSERT_TRUE(all.status.ok()) << all.status;
  EXPECT_EQ(all.offsets.at(0), Numbers(40, 100));
  EXPECT_EQ(all.offsets.at(1), Numbers(0, 100));
  const auto losses = source->TakeLosses();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].partition, (TopicPartition{topic, 0}));
  EXPECT_EQ(losses[0].wanted, 10);
  EXPECT_EQ(losses[0].available, 40);
  EXPECT_EQ(losses[0].reason, "offsets aged out");
  // A range all of which is gone is empty, and reading goes on behind it.
  EXPECT_TRUE(Collect(*source, {{{topic, 0}, 5, 20}}).chunks.empty());
  EXPECT_EQ(source->TakeLosses().at(0).available, 20);
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 50, 60}}).offsets[0], Numbers(50, 60));
}

TEST_F(KafkaSourceTest, RecordsDeletedWhileReadingAreALoss) {
  const std::string topic = NewTopic(1, {{"segment.bytes", "1048576"}});
  ASSERT_TRUE(server_
                  ->ProduceMany(topic, 0, 400'000,
                                [](int64_t i) { return std::to_string(i) + std::string(100, 'x'); })
                  .ok());
  auto source = Opened(topic, {.queue_bytes = size_t{1} << 20});
  ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, 400'000}}).ok());
  int64_t next = 0;
  int64_t lost = 0;
  bool deleted = false;
  while (true) {
    auto chunk = source->Read(absl::Seconds(1));
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (!chunk->has_value()) continue;
    if (IsEndOfRanges(**chunk)) break;
    for (const RawRecord& record : (*chunk)->records) {
      if (record.offset != next) lost += record.offset - next;
      ASSERT_GE(record.offset, next);
      next = record.offset + 1;
    }
    if (!deleted) {
      ASSERT_TRUE(server_->DeleteRecords(topic, 0, 300'000).ok());
      deleted = true;
    }
  }
  EXPECT_EQ(next, 400'000);
  const auto losses = source->TakeLosses();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].available, 300'000);
  EXPECT_EQ(losses[0].available - losses[0].wanted, lost);
}

TEST_F(KafkaSourceTest, RecognisesARecreatedTopic) {
  const std::string topic = NewTopic(2);
  Produce(topic, 0, Values(0, 20));
  LastRecord last;
  {
    auto source = Opened(topic);
    ASSERT_TRUE(source->StartRead({{{topic, 0}, 9, 10}}).ok());
    while (last.offset < 0) {
      auto chunk = source->Read(absl::Seconds(1));
      ASSERT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk->has_value()) continue;
      const RawRecord& record = (*chunk)->records.at(0);
      last = {record.offset, record.timestamp_us, RecordHash(record)};
    }
  }
  const std::map<TopicPartition, LastRecord> known = {{{topic, 0}, last},
                                                      {{topic, 1}, LastRecord{}}};
  EXPECT_TRUE(Opened(topic)->CheckIdentity(known)->empty());
  auto source = Opened(topic);
  EXPECT_TRUE(source->CheckIdentity(known)->empty());
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 10, 20}}).offsets[0], Numbers(10, 20));
  EXPECT_EQ(source->CheckIdentity({{{topic, 5}, last}})->at(0).reason, "partition gone");

  ASSERT_TRUE(server_->DeleteRecords(topic, 0, 15).ok());
  EXPECT_TRUE(Opened(topic)->CheckIdentity(known)->empty()) << "aged out cannot be judged";

  ASSERT_TRUE(server_->DeleteTopic(topic).ok());
  ASSERT_TRUE(server_->CreateTopic(topic, 2).ok());
  auto judged = Opened(topic)->CheckIdentity(known);
  ASSERT_EQ(judged->size(), 1u) << "the log ends before the record";
  EXPECT_EQ(judged->at(0).wanted, 10);
  EXPECT_EQ(judged->at(0).available, 0);
  Produce(topic, 0, Values(100, 120));
  judged = Opened(topic)->CheckIdentity(known);
  ASSERT_EQ(judged->size(), 1u) << "another record";
  EXPECT_EQ(judged->at(0).reason, "topic re-created");
}

TEST_F(KafkaSourceTest, ATopicRecreatedWhileRunningEndsBeforeWhatWasRead) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 20));
  auto source = Opened(topic);
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 20}}).offsets[0], Numbers(0, 20));
  ASSERT_TRUE(server_->DeleteTopic(topic).ok());
  ASSERT_TRUE(server_->CreateTopic(topic, 1).ok());
  Produce(topic, 0, Values(0, 5));
  int64_t end = 20;
  const double believed = SecondsOf([&] {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (end == 20 && absl::Now() < deadline) {
      const auto available = source->Available();
      if (available.ok()) end = available->at(0).end;
      absl::SleepFor(absl::Milliseconds(50));
    }
  });
  EXPECT_EQ(end, 5) << "seen to end before what was read: the engine judges";
  EXPECT_GT(believed, 4.0) << "a change of leader looks the same for a moment";
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 5}}).offsets[0], Numbers(0, 5));
}

// Past it again: whether it is the same topic is for CheckIdentity to say, which leaves alone one
// that is too short for the moment.
TEST_F(KafkaSourceTest, ATopicRecreatedAndRefilledIsNotTakenForTheOldOne) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 20));
  auto source = Opened(topic);
  ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, 20}}).ok());
  LastRecord last;
  while (last.offset < 19) {
    auto chunk = source->Read(absl::Seconds(1));
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (!chunk->has_value()) continue;
    const RawRecord& record = (*chunk)->records.back();
    last = {record.offset, record.timestamp_us, RecordHash(record)};
  }
  const std::map<TopicPartition, LastRecord> known = {{{topic, 0}, last}};
  EXPECT_TRUE(source->CheckIdentity(known)->empty());
  ASSERT_TRUE(server_->DeleteTopic(topic).ok());
  ASSERT_TRUE(server_->CreateTopic(topic, 1).ok());
  Produce(topic, 0, Values(0, 5));
  const auto look =
      [&](const std::function<bool(const absl::StatusOr<std::vector<AvailableRange>>&)>& is) {
        const absl::Time deadline = absl::Now() + absl::Seconds(4);
        while (absl::Now() < deadline) {
          if (is(source->Available())) return true;
          absl::SleepFor(absl::Milliseconds(20));
        }
        return false;
      };
  ASSERT_TRUE(look([](const auto& ranges) { return ranges.ok() && ranges->at(0).end == 20; }));
  absl::SleepFor(absl::Milliseconds(100));
  ASSERT_TRUE(look([](const auto& ranges) { return ranges.ok() && ranges->at(0).end == 20; }));
  EXPECT_TRUE(absl::IsUnavailable(source->CheckIdentity(known).status()));
  Produce(topic, 0, Values(5, 40));
  absl::Status said;
  ASSERT_TRUE(look([&](const auto& ranges) {
    if (!ranges.ok()) said = ranges.status();
    return ranges.ok() && ranges->at(0).end == 40;
  }));
  EXPECT_TRUE(absl::IsUnavailable(said)) << said;
  const auto losses = source->CheckIdentity(known);
  ASSERT_TRUE(losses.ok()) << losses.status();
  ASSERT_EQ(losses->size(), 1u);
  EXPECT_EQ(losses->front().available, 0);
  EXPECT_EQ(source->Available()->at(0).end, 40);
  EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 40}}).offsets[0], Numbers(0, 40));
}

// So quickly that nobody asked meanwhile where it ends: the connection that reads it has seen it
// go.
TEST_F(KafkaSourceTest, ATopicRecreatedBehindTheReadersBackIsNotReadOn) {
  for (const int32_t partitions_then : {1, 2}) {
    const std::string topic = NewTopic(1);
    Produce(topic, 0, Values(0, 20));
    auto source = Opened(topic);
    EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 20}}).offsets[0], Numbers(0, 20));
    ASSERT_TRUE(server_->DeleteTopic(topic).ok());
    ASSERT_TRUE(server_->CreateTopic(topic, partitions_then).ok());
    absl::SleepFor(absl::Milliseconds(300));
    Produce(topic, 0, Values(100, 140));
    std::vector<PlannedRange> ranges = {{{topic, 0}, 20, 40}};
    if (partitions_then > 1) {
      const absl::Time deadline = absl::Now() + absl::Seconds(10);
      while (absl::Now() < deadline) {
        const auto available = source->Available();
        if (available.ok() && available->size() == 2) break;
        absl::SleepFor(absl::Milliseconds(50));
      }
      ranges.push_back({{topic, 1}, 0, 0});
    }
    const Collected read = Collect(*source, ranges);
    EXPECT_TRUE(absl::IsAborted(read.status)) << read.status;
    EXPECT_THAT(Message(read.status), HasSubstr(topic + " partition 0"));
    EXPECT_TRUE(read.offsets.empty());
    // Whoever has looked, and wants it, gets it.
    EXPECT_EQ(Collect(*source, {{{topic, 0}, 20, 40}}).offsets[0], Numbers(20, 40));
  }
}

// Nothing was seen of it but what there is now.
TEST_F(KafkaSourceTest, NewerRecordsWhereOlderOnesWereReadAreDoubtedOnce) {
  for (const bool made_again : {true, false}) {
    const std::string topic = NewTopic(1);
    Produce(topic, 0, Values(0, 20));
    auto source = Opened(topic);
    EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 20}}).offsets[0], Numbers(0, 20));
    if (made_again) {
      ASSERT_TRUE(server_->DeleteTopic(topic).ok());
      ASSERT_TRUE(server_->CreateTopic(topic, 1).ok());
      Produce(topic, 0, Values(0, 20));
    }
    Produce(topic, 0, Values(20, 40));
    absl::SleepFor(absl::Milliseconds(30));
    const auto available = source->Available();
    if (made_again) {
      ASSERT_TRUE(absl::IsUnavailable(available.status())) << available.status();
      EXPECT_THAT(Message(available.status()), HasSubstr(topic + " partition 0"));
      absl::SleepFor(absl::Milliseconds(30));
      EXPECT_EQ(source->Available()->at(0).end, 40);
    } else {
      ASSERT_TRUE(available.ok()) << available.status();
      EXPECT_EQ(available->at(0).end, 40);
      EXPECT_EQ(Collect(*source, {{{topic, 0}, 20, 40}}).offsets[0], Numbers(20, 40));
    }
  }
}

// A running query asks now and then.
TEST_F(KafkaSourceTest, ComparingTheLastRecordsIsQuick) {
  const std::string topic = NewTopic(4);
  std::map<TopicPartition, LastRecord> last;
  for (int32_t p = 0; p < 4; ++p) {
    Produce(topic, p, Values(0, 2000));
    last[{topic, p}] = {.offset = 1999};
  }
  auto source = Opened(topic);
  double fastest = 10;
  for (int i = 0; i < 5; ++i) {
    fastest =
        std::min(fastest, SecondsOf([&] { ASSERT_EQ(source->CheckIdentity(last)->size(), 4u); }));
  }
  fmt::print("{:.1f} ms\n", fastest * 1e3);
  EXPECT_LT(fastest, 0.5);
}

TEST_F(KafkaSourceTest, LossesOfAReadThatWasGivenUpAreNotToldTwice) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 20));
  auto source = Opened(topic);
  const std::vector<PlannedRange> ranges = {{{topic, 0}, 0, 20}, {{topic, 7}, 0, 9}};
  ASSERT_TRUE(source->StartRead(ranges).ok());
  source->StopRead();
  ASSERT_TRUE(source->StartRead(ranges).ok());
  const std::vector<DataLoss> losses = source->TakeLosses();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].available - losses[0].wanted, 9);
}

TEST_F(KafkaSourceTest, ADeletedTopicIsNotFound) {
  const std::string topic = NewTopic(1);
  auto source = Opened(topic);
  ASSERT_TRUE(server_->DeleteTopic(topic).ok());
  absl::Status status;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (!absl::IsNotFound(status) && absl::Now() < deadline) {
    status = source->Available().status();
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST_F(KafkaSourceTest, ATopicThatMayBeMissingHasNoPartitionsUntilItIsBack) {
  const std::string topic = NewTopic(2);
  auto source = Opened(topic, {.missing_topics_are_empty = true});
  EXPECT_EQ(source->Available()->size(), 2u);
  ASSERT_TRUE(server_->DeleteTopic(topic).ok());
  const auto partitions_become = [&](size_t count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (absl::Now() < deadline) {
      const auto available = source->Available();
      if (available.ok() && available->size() == count) return true;
      EXPECT_TRUE(available.ok() || absl::IsUnavailable(available.status())) << available.status();
      absl::SleepFor(absl::Milliseconds(50));
    }
    return false;
  };
  EXPECT_TRUE(partitions_become(0));
  const auto losses = source->CheckIdentity({{{topic, 1}, LastRecord{.offset = 3}}});
  ASSERT_TRUE(losses.ok()) << losses.status();
  ASSERT_EQ(losses->size(), 1u);
  EXPECT_EQ(losses->front().partition.partition, 1);
  // A query that begins now, and one that goes on.
  auto later = Make(topic, {.missing_topics_are_empty = true});
  ASSERT_TRUE(later.ok()) << later.status();
  ASSERT_TRUE((*later)->Open().ok());
  EXPECT_TRUE(absl::IsNotFound((*later)->StartingOffsets().status()));
  ASSERT_TRUE(server_->CreateTopic(topic, 3).ok());
  EXPECT_TRUE(partitions_become(3));
}

TEST_F(KafkaSourceTest, APlannedRangePastTheLogsEndIsCutAsALoss) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 5));
  auto source = Opened(topic);
  const Collected all = Collect(*source, {{{topic, 0}, 3, 9}});
  ASSERT_TRUE(all.status.ok()) << all.status;
  EXPECT_EQ(all.offsets.at(0), Numbers(3, 5));
  const auto losses = source->TakeLosses();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].wanted, 5);
  EXPECT_EQ(losses[0].available, 9);
  // The start itself past the end: out of range, said at once.
  auto other = Opened(topic);
  const double seconds = SecondsOf([&] {
    EXPECT_TRUE(Collect(*other, {{{topic, 0}, 7, 9}}).chunks.empty());
  });
  EXPECT_LT(seconds, 20.0);
  EXPECT_EQ(other->TakeLosses().at(0).wanted, 7);
}

TEST_F(KafkaSourceTest, UnknownTopicIsNotFoundWithinSeconds) {
  auto source = Make("nobody-made-this");
  ASSERT_TRUE(source.ok());
  absl::Status status;
  EXPECT_LT(SecondsOf([&] { status = (*source)->Open(); }), 15.0);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("has no topic nobody-made-this"));
}

TEST_F(KafkaSourceTest, NoBrokerSaysWhoDoesNotAnswerAndWhy) {
  auto source = Make("t", {.brokers = "127.0.0.1:1"});
  ASSERT_TRUE(source.ok());
  absl::Status status;
  EXPECT_LT(SecondsOf([&] { status = (*source)->Open(); }), 15.0);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("no Kafka broker answers at 127.0.0.1:1: "));
  EXPECT_THAT(Message(status), HasSubstr("Connection refused; trying again"));
  EXPECT_LT(SecondsOf([&] { source->reset(); }), 10.0);
}

TEST_F(KafkaSourceTest, WrongOptionsAreRefusedByName) {
  const auto refuse = [&](const std::string& name, const std::string& value) {
    const auto made = Make("t", {.properties = {{name, value}}});
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << name;
    return Message(made.status());
  };
  EXPECT_THAT(refuse("fetch.wait.max.millis", "5"), HasSubstr("kafka.fetch.wait.max.millis"));
  EXPECT_THAT(refuse("fetch.wait.max.ms", "soon"), HasSubstr("kafka.fetch.wait.max.ms = 'soon'"));
  EXPECT_THAT(refuse("enable.auto.commit", "true"), HasSubstr("the engine sets it itself"));
  EXPECT_THAT(refuse("bootstrap.servers", "x:1"), HasSubstr("--brokers"));
  EXPECT_TRUE(Make("t", {.properties = {{"fetch.min.bytes", "2"}, {"group.id", "mine"}}}).ok());
  EXPECT_EQ(KafkaSource::Make({.brokers = "", .topics = {"t"}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(KafkaSource::Make({.brokers = "x:1", .topics = {}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(KafkaSourceTest, CancelEndsAWaitSoon) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 1));
  // Seconds from the cancellation to the end of the wait.
  const auto cancel_during = [](Source& cancelled, const std::function<absl::Status()>& wait) {
    std::chrono::steady_clock::time_point at;
    std::thread other([&] {
      absl::SleepFor(absl::Milliseconds(300));
      at = std::chrono::steady_clock::now();
      cancelled.Cancel();
    });
    absl::Status status;
    while (status.ok()) status = wait();
    const auto returned = std::chrono::steady_clock::now();
    other.join();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    return std::chrono::duration<double>(returned - at).count();
  };
  // The fastest of some: a busy machine makes single ones slow.
  double fastest = 0.1;
  for (int tries = 0; tries < 5 && fastest >= 0.1; ++tries) {
    auto source = Opened(topic);
    ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, 5}}).ok());
    fastest = cancel_during(*source, [&] { return source->Read(absl::Seconds(20)).status(); });
    EXPECT_EQ(source->Available().status().code(), absl::StatusCode::kCancelled);
  }
  EXPECT_LT(fastest, 0.1);

  fastest = 0.1;
  for (int tries = 0; tries < 5 && fastest >= 0.1; ++tries) {
    auto nobody = Make("t", {.brokers = "127.0.0.1:1"});
    fastest = cancel_during(**nobody, [&] {
      const absl::Status status = (*nobody)->Open();
      return absl::IsUnavailable(status) ? absl::OkStatus() : status;
    });
  }
  EXPECT_LT(fastest, 0.1);
}

TEST_F(KafkaSourceTest, CommitsToTheGroup) {
  const std::string topic = NewTopic(2);
  auto source = Opened(topic, {.group_id = "tidemark-q1"});
  Collect(*source, {{{topic, 0}, 0, 0}});
  std::vector<double> seconds;
  for (int64_t i = 1; i <= 20; ++i) {
    seconds.push_back(SecondsOf([&] {
      source->Acknowledge({{{topic, 0}, i}, {{topic, 1}, 2 * i}}).IgnoreError();
    }));
    absl::SleepFor(absl::Milliseconds(20));
  }
  // A busy machine makes single ones slow, not most.
  std::sort(seconds.begin(), seconds.end());
  EXPECT_LT(seconds[10], 0.02);
  source.reset();
  const auto committed = server_->CommittedOffset("tidemark-q1", topic, 1);
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->value_or(-1), 40);
}

TEST_F(KafkaSourceTest, GoesOnAfterTheBrokerWasAway) {
  const std::string topic = NewTopic(2);
  constexpr int64_t kTotal = 300'000;
  for (int32_t p = 0; p < 2; ++p) {
    ASSERT_TRUE(
        server_
            ->ProduceMany(topic, p, kTotal,
                          [](int64_t i) { return std::to_string(i) + std::string(80, '.'); })
            .ok());
  }
  auto source = Opened(topic, {.queue_bytes = size_t{2} << 20});
  ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, kTotal}, {{topic, 1}, 0, kTotal}}).ok());
  std::vector<int64_t> next(2, 0);
  int chunks = 0;
  int unavailable = 0;
  while (true) {
    auto chunk = source->Read(absl::Seconds(1));
    if (!chunk.ok()) {
      ASSERT_TRUE(absl::IsUnavailable(chunk.status())) << chunk.status();
      ++unavailable;
      continue;
    }
    if (!chunk->has_value()) continue;
    if (IsEndOfRanges(**chunk)) break;
    for (const RawRecord& record : (*chunk)->records) {
      ASSERT_EQ(record.offset, next[(*chunk)->partition]++);
    }
    if (++chunks == 3) {
      ASSERT_TRUE(server_->Kill().ok());
      EXPECT_TRUE(absl::IsUnavailable(source->Available().status()) ||
                  absl::IsUnavailable(source->Available().status()));
      EXPECT_LT(SecondsOf([&] {
                  source->Acknowledge({{{topic, 0}, 1}}).IgnoreError();
                }),
                1.0)
          << "it waits for nobody";
      std::thread([&] {
        absl::SleepFor(absl::Seconds(1));
        ASSERT_TRUE(server_->Restart().ok());
      }).join();
    }
  }
  EXPECT_EQ(next[0], kTotal);
  EXPECT_EQ(next[1], kTotal);
  EXPECT_TRUE(source->TakeLosses().empty());
  std::printf("Unavailable while away: %d\n", unavailable);
}

TEST_F(KafkaSourceTest, ASilentBrokerHoldsUpNeitherCancelNorTheEnd) {
  const std::string topic = NewTopic(1);
  Produce(topic, 0, Values(0, 3));
  auto source = Opened(topic);
  Collect(*source, {{{topic, 0}, 0, 3}});
  ASSERT_TRUE(server_->Pause().ok());
  absl::Status status;
  EXPECT_LT(SecondsOf([&] {
              status = source->Available().status();
              if (status.ok()) status = source->Available().status();
            }),
            25.0);
  source->Acknowledge({{{topic, 0}, 3}}).IgnoreError();
  EXPECT_LT(SecondsOf([&] { source.reset(); }), 10.0);
  ASSERT_TRUE(server_->Resume().ok());
}

// With its queues full, librdkafka 2.0.2 sleeps for a second unless it is woken: this took 8
// seconds.
TEST_F(KafkaSourceTest, ASlowReaderIsNotHeldUp) {
  const std::string topic = NewTopic(2);
  constexpr int64_t kTotal = 150'000;
  for (int32_t p = 0; p < 2; ++p) {
    const absl::Status produced = server_->ProduceMany(
        topic, p, kTotal, [](int64_t i) { return std::to_string(i) + std::string(200, '.'); });
    ASSERT_TRUE(produced.ok()) << produced;
  }
  double fastest = 3;  // of some: a busy machine makes single ones slow
  for (int tries = 0; tries < 5 && fastest >= 3; ++tries) {
    auto source = Opened(topic, {.queue_bytes = size_t{8} << 20});
    int64_t records = 0;
    fastest = SecondsOf([&] {
      ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, kTotal}, {{topic, 1}, 0, kTotal}}).ok());
      while (true) {
        auto chunk = source->Read(absl::Seconds(1));
        ASSERT_TRUE(chunk.ok()) << chunk.status();
        if (!chunk->has_value()) continue;
        if (IsEndOfRanges(**chunk)) break;
        records += static_cast<int64_t>((*chunk)->records.size());
        absl::SleepFor(absl::Milliseconds(10));
      }
    });
    EXPECT_EQ(records, 2 * kTotal);
  }
  EXPECT_LT(fastest, 3.0);
  std::printf("slow reader: %.2f s\n", fastest);
}

TEST_F(KafkaSourceTest, PartitionsThatWereIdleNeedNoNewConnection) {
  // The fastest of some: a busy machine makes single ones slow.
  double fastest = 0.005;
  for (int tries = 0; tries < 5 && fastest >= 0.005; ++tries) {
    const std::string topic = NewTopic(3);
    Produce(topic, 0, Values(0, 10));
    auto source = Opened(topic);
    EXPECT_EQ(Collect(*source, {{{topic, 0}, 0, 10}}).offsets[0], Numbers(0, 10));
    Produce(topic, 2, Values(0, 10));
    absl::SleepFor(absl::Milliseconds(200));  // time to fetch it ahead
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (source->Available()->at(2).end < 10 && absl::Now() < deadline)
      absl::SleepFor(absl::Milliseconds(10));
    EXPECT_EQ(source->Available()->at(2).end, 10);
    fastest = SecondsOf([&] {
      EXPECT_EQ(Collect(*source, {{{topic, 2}, 0, 10}}).offsets[2], Numbers(0, 10));
    });
  }
  EXPECT_LT(fastest, 0.005);
}

// What the source costs above a loop that does nothing with what it gets.
TEST_F(KafkaSourceTest, ThroughputBesideARawLoop) {
  const std::string topic = NewTopic(2);
  constexpr int64_t kTotal = 500'000;
  for (int32_t p = 0; p < 2; ++p) {
    ASSERT_TRUE(
        server_
            ->ProduceMany(topic, p, kTotal,
                          [](int64_t i) { return std::to_string(i) + std::string(140, '.'); })
            .ok());
  }
  const auto cpu_ns = [] {
    return static_cast<double>(clock()) * 1e9 / CLOCKS_PER_SEC / (2.0 * kTotal);
  };
  for (int round = 0; round < 3; ++round) {
    auto source = Opened(topic);
    int64_t records = 0;
    int64_t padded = 0;
    const double cpu_before = cpu_ns();
    const double ours = SecondsOf([&] {
      ASSERT_TRUE(source->StartRead({{{topic, 0}, 0, kTotal}, {{topic, 1}, 0, kTotal}}).ok());
      while (true) {
        auto chunk = source->Read(absl::Seconds(1));
        ASSERT_TRUE(chunk.ok()) << chunk.status();
        if (!chunk->has_value()) continue;
        if (IsEndOfRanges(**chunk)) break;
        records += static_cast<int64_t>((*chunk)->records.size());
        for (const RawRecord& record : (*chunk)->records) padded += record.padded ? 1 : 0;
      }
    });
    const double cpu_between = cpu_ns();
    source.reset();
    EXPECT_EQ(records, 2 * kTotal);

    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    const std::pair<const char*, std::string> properties[] = {
        {"bootstrap.servers", server_->brokers()}, {"group.id", "raw"},
        {"queued.min.messages", "10000000"},       {"fetch.wait.max.ms", "10"},
        {"fetch.message.max.bytes", "4194304"},    {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"}};
    for (const auto& [name, value] : properties)
      rd_kafka_conf_set(conf, name, value.c_str(), nullptr, 0);
    rd_kafka_t* const handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
    rd_kafka_topic_partition_list_t* const list = rd_kafka_topic_partition_list_new(2);
    for (int32_t p = 0; p < 2; ++p)
      rd_kafka_topic_partition_list_add(list, topic.c_str(), p)->offset = 0;
    const double cpu_raw_before = cpu_ns();
    const double raw = SecondsOf([&] {
      rd_kafka_assign(handle, list);
      rd_kafka_queue_t* const queue = rd_kafka_queue_get_consumer(handle);
      std::vector<rd_kafka_message_t*> batch(4096);
      for (int64_t got = 0; got < 2 * kTotal;) {
        const ssize_t count = rd_kafka_consume_batch_queue(queue, 5, batch.data(), batch.size());
        for (ssize_t i = 0; i < count; ++i) rd_kafka_message_destroy(batch[static_cast<size_t>(i)]);
        got += std::max<ssize_t>(count, 0);
      }
      rd_kafka_queue_destroy(queue);
    });
    const double cpu_raw_after = cpu_ns();
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    std::printf(
        "source %.2f M/s (%.0f ns CPU each), raw loop %.2f M/s (%.0f ns), ratio %.2f, padded %.1f "
        "%%\n",
        2e-6 * kTotal / ours, cpu_between - cpu_before, 2e-6 * kTotal / raw,
        cpu_raw_after - cpu_raw_before, raw / ours,
        100.0 * static_cast<double>(padded) / (2.0 * kTotal));
  }
}

}  // namespace
}  // namespace tidemark
