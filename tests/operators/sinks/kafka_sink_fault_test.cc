// The Kafka sink when processes and brokers die, hang or answer too late.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>

#include "operators/sinks/kafka_fixture.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace {
enum class Answer { kAsItIs, kLost, kNeverSent };
std::atomic<Answer> commit_answer = Answer::kAsItIs;
}  // namespace

extern "C" {
rd_kafka_error_t* __real_rd_kafka_commit_transaction(rd_kafka_t*, int);
rd_kafka_error_t* __wrap_rd_kafka_commit_transaction(rd_kafka_t* handle, int timeout_ms) {
  const Answer answer = commit_answer.exchange(Answer::kAsItIs);
  rd_kafka_error_t* const error = answer == Answer::kNeverSent
                                      ? nullptr
                                      : __real_rd_kafka_commit_transaction(handle, timeout_ms);
  if (answer == Answer::kAsItIs || error != nullptr) return error;
  return rd_kafka_error_new(RD_KAFKA_RESP_ERR__TRANSPORT, "the answer was lost");
}
}

namespace tidemark {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::HookStream;
using testing::KafkaRecord;
using testing::MakeBatch;
using testing::Process;
using testing::ProcessOptions;

Schema Ids() { return Schema().Int64("id"); }

RowBatch Rows(int64_t from, int64_t count) {
  std::vector<testing::Row> rows;
  for (int64_t id = from; id < from + count; ++id) rows.push_back({id});
  return MakeBatch(Ids(), rows);
}

constexpr double kSoon = 0.15;  // seconds in which a cancelled call ends

class KafkaSinkFaultTest : public testing::KafkaSinkFixture {
 protected:
  void TearDown() override {
    commit_answer = Answer::kAsItIs;
    // Whatever the test did to it.
    if (server_ != nullptr) server_->Resume().IgnoreError();
  }

  // Each id from 0 on is in the topic once, and nothing else.
  void ExpectEachOnce(int64_t count) {
    std::vector<int64_t> ids;
    for (const KafkaRecord& record : Records(static_cast<size_t>(count)))
      ids.push_back(std::stoll(record.key.value_or("-1")));
    std::sort(ids.begin(), ids.end());
    for (int64_t id = 0; id < static_cast<int64_t>(ids.size()); ++id)
      ASSERT_EQ(ids[static_cast<size_t>(id)], id) << "lost or doubled";
  }

  // As the engine does: the same rows again, for a minute at most.
  static absl::StatusOr<SinkMarker> CommitAtLast(KafkaSink& sink, const SinkBatch& batch,
                                                 RowStream& rows) {
    absl::StatusOr<SinkMarker> marker = sink.Commit(batch, rows);
    for (int i = 0; i < 60 && absl::IsUnavailable(marker.status()); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      marker = sink.Commit(batch, rows);
    }
    return marker;
  }

  int RunVictim(int64_t batches, const std::string& moment, int batch) {
    auto process = Process::Start(VictimOptions(batches, moment, batch));
    EXPECT_TRUE(process.ok()) << process.status();
    const auto exit_code = (*process)->Wait(absl::Seconds(30));
    EXPECT_TRUE(exit_code.ok()) << exit_code.status();
    EXPECT_EQ((*process)->Stderr(), "");
    return exit_code.value_or(-1);
  }
  ProcessOptions VictimOptions(int64_t batches, const std::string& moment, int batch) {
    ProcessOptions options;
    options.args = {TIDEMARK_KAFKA_SINK_VICTIM, server_->brokers(),         topic_,
                    dir_.Path(topic_),          fmt::format("{}", batches), moment,
                    fmt::format("{}", batch)};
    return options;
  }

  testing::TempDir dir_;
};

constexpr int kKilled = 137;
constexpr int64_t kVictimBatchRows = 300;

TEST_F(KafkaSinkFaultTest, KilledBetweenAnyTwoSteps) {
  CreateTopic(3);
  constexpr int64_t kBatches = 130;
  int kills = 0;
  for (const int batch : {0, 1, 0, 2, 0, 1, 0}) {
    for (const char* moment : {"begin", "produce", "offsets", "commit", "committed", "returned"}) {
      ASSERT_EQ(RunVictim(kBatches, moment, batch), kKilled) << moment << " of batch " << batch;
      ++kills;
    }
  }
  EXPECT_GE(kills, 40);
  ASSERT_EQ(RunVictim(kBatches, "none", 0), 0);
  ASSERT_EQ(RunVictim(kBatches, "none", 0), 0) << "nothing left to do";
  ExpectEachOnce(kBatches * kVictimBatchRows);
}

TEST_F(KafkaSinkFaultTest, KilledAtRandomMoments) {
  CreateTopic(3);
  constexpr int64_t kBatches = 400;
  const unsigned seed = std::random_device{}();
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> life_ms(30, 500);
  int kills = 0;
  for (; kills < 20; ++kills) {
    auto process = Process::Start(VictimOptions(kBatches, "none", 0));
    ASSERT_TRUE(process.ok()) << process.status();
    if ((*process)->Wait(absl::Milliseconds(life_ms(random))).ok()) break;
    (*process)->Kill();
  }
  fmt::print("killed {} times (seed {})\n", kills, seed);
  EXPECT_GE(kills, 5);
  ASSERT_EQ(RunVictim(kBatches, "none", 0), 0) << "seed " << seed;
  ExpectEachOnce(kBatches * kVictimBatchRows);
}

TEST_F(KafkaSinkFaultTest, ACommitWhoseAnswerWasLost) {
  CreateTopic();
  KafkaSinkOptions options = Options();
  options.on_null_key = KafkaSinkOptions::OnNullKey::kSkip;
  KafkaSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(Ids(), {"id"})).ok());
  int64_t batch = 0;
  for (const Answer answer : {Answer::kLost, Answer::kNeverSent}) {
    commit_answer = answer;
    const std::vector<RowBatch> rows = {Rows(batch, 1), MakeBatch(Ids(), {{testing::Null()}})};
    const absl::Status status = Commit(sink, Batch(batch), rows).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("was sent and not answered"));
    EXPECT_EQ(sink.TakeSkippedRows(), 0);
    const auto marker = Commit(sink, Batch(batch), rows);
    ASSERT_TRUE(marker.ok()) << marker.status();
    EXPECT_EQ(marker->batch_id, batch);
    EXPECT_EQ(marker->row_count, 2);
    EXPECT_EQ(sink.TakeSkippedRows(), 1);
    ++batch;
  }
  ExpectEachOnce(2);
}

TEST_F(KafkaSinkFaultTest, AMarkerWhoseAnswerWasLost) {
  CreateTopic();
  const SinkContext context = Context(Ids());
  KafkaSink sink(Options());
  ASSERT_TRUE(sink.Open(context).ok());
  commit_answer = Answer::kLost;
  EXPECT_TRUE(absl::IsUnavailable(sink.WriteMarker(MarkerFor(context, 3))));
  EXPECT_EQ((*sink.ReadMarker())->batch_id, 3);
  EXPECT_TRUE(sink.WriteMarker(MarkerFor(context, 3)).ok());
}

TEST_F(KafkaSinkFaultTest, ABrokerThatStartsAgainInTheMiddleOfABatch) {
  CreateTopic(2);
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, Context(Ids(), {"id"})).ok());
  bool restarted = false;
  HookStream rows({Rows(0, 5'000), Rows(5'000, 5'000)}, [&](size_t at) {
    if (at != 1 || std::exchange(restarted, true)) return;
    const absl::Status status = server_->Restart();
    ASSERT_TRUE(status.ok()) << status;
  });
  const auto marker = CommitAtLast(sink, Batch(0), rows);
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 10'000);
  ASSERT_TRUE(Commit(sink, Batch(1), {Rows(10'000, 1)}).ok());
  ExpectEachOnce(10'001);
}

TEST_F(KafkaSinkFaultTest, ABrokerThatIsAwayForAWhile) {
  CreateTopic();
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, Context(Ids(), {"id"})).ok());
  bool killed = false;
  HookStream rows({Rows(0, 2'000), Rows(2'000, 2'000)}, [&](size_t at) {
    if (at == 1 && !std::exchange(killed, true)) {
      ASSERT_TRUE(server_->Kill().ok());
    }
  });
  for (int i = 0; i < 2; ++i) {
    absl::Status status;
    EXPECT_LT(SecondsOf([&] { status = sink.Commit(Batch(0), rows).status(); }), 25.0);
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("no Kafka broker answers at "));
  }
  ASSERT_TRUE(server_->Restart().ok());
  const auto marker = CommitAtLast(sink, Batch(0), rows);
  ASSERT_TRUE(marker.ok()) << marker.status();
  ExpectEachOnce(4'000);
}

TEST_F(KafkaSinkFaultTest, CancelEndsACallToASilentBroker) {
  CreateTopic();
  // The moment in a Commit of two batches: before its records are flushed, or before it begins.
  for (const size_t moment : {size_t{0}, size_t{2}}) {
    // The fastest of some: a busy machine makes single ones slow.
    double fastest = kSoon;
    for (int tries = 0; tries < 5 && fastest >= kSoon; ++tries) {
      SinkContext context = Context(Ids(), {"id"});
      context.sink = fmt::format("at-{}-{}", moment, tries);
      auto sink = std::make_unique<KafkaSink>(Options());
      ASSERT_TRUE(OpenNew(*sink, context).ok());
      std::atomic<bool> paused = false;
      HookStream rows({Rows(0, 2'000), Rows(2'000, 2'000)}, [&](size_t at) {
        if (at == moment) paused = server_->Pause().ok();
      });
      absl::Status status;
      std::thread commit([&] { status = sink->Commit(Batch(0), rows).status(); });
      while (!paused) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      fastest = SecondsOf([&] {
        sink->Cancel();
        commit.join();
      });
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_TRUE(absl::IsCancelled(sink->Commit(Batch(0), rows).status()));
      EXPECT_TRUE(absl::IsCancelled(sink->ReadMarker().status()));
      EXPECT_LT(SecondsOf([&] { sink.reset(); }), 9.0);
      ASSERT_TRUE(server_->Resume().ok());
    }
    EXPECT_LT(fastest, kSoon) << "at " << moment;
  }
  Records(0);
}

TEST_F(KafkaSinkFaultTest, CancelEndsOpen) {
  CreateTopic();
  ASSERT_TRUE(server_->Pause().ok());
  double fastest = kSoon;  // of some
  for (int tries = 0; tries < 5 && fastest >= kSoon; ++tries) {
    KafkaSink sink(Options());
    absl::Status status;
    std::thread open([&] { status = sink.Open(Context(Ids())); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    fastest = SecondsOf([&] {
      sink.Cancel();
      open.join();
    });
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  }
  EXPECT_LT(fastest, kSoon);
  KafkaSink before(Options());
  before.Cancel();
  EXPECT_TRUE(absl::IsCancelled(before.Open(Context(Ids()))));
}

TEST_F(KafkaSinkFaultTest, ACancelledBatchLeavesNoOpenTransaction) {
  CreateTopic();
  auto sink = std::make_unique<KafkaSink>(Options());
  ASSERT_TRUE(OpenNew(*sink, Context(Ids(), {"id"})).ok());
  HookStream rows({Rows(0, 2'000), Rows(2'000, 2'000)}, [&](size_t at) {
    if (at == 1) sink->Cancel();
  });
  EXPECT_TRUE(absl::IsCancelled(sink->Commit(Batch(0), rows).status()));
  sink.reset();
  // The last stable offset moves past it, so that other transactions are seen.
  ASSERT_TRUE(server_->ProduceTransaction(topic_, 0, {{.key = "0"}}, /*commit=*/true).ok());
  ExpectEachOnce(1);
}

TEST_F(KafkaSinkFaultTest, ATopicThatIsDeletedInTheMiddleOfABatch) {
  CreateTopic();
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, Context(Ids(), {"id"})).ok());
  bool deleted = false;
  HookStream rows({Rows(0, 2'000), Rows(2'000, 2'000)}, [&](size_t at) {
    if (at == 1 && !std::exchange(deleted, true)) {
      ASSERT_TRUE(server_->DeleteTopic(topic_).ok());
    }
  });
  absl::Status status = sink.Commit(Batch(0), rows).status();
  EXPECT_FALSE(status.ok());
  if (absl::IsUnavailable(status)) status = sink.Commit(Batch(0), rows).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST_F(KafkaSinkFaultTest, ATransactionThatTakesTooLongIsTriedAgain) {
  // A broker that looks for them often.
  auto server = testing::KafkaServer::Start(
      {.properties = {{"transaction.abort.timed.out.transaction.cleanup.interval.ms", "200"}}});
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_TRUE((*server)->CreateTopic("slow", 1).ok());
  KafkaSinkOptions options;
  options.brokers = (*server)->brokers();
  options.topic = "slow";
  options.properties = {{"transaction.timeout.ms", "1500"}};
  KafkaSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(Ids(), {"id"})).ok());
  bool slept = false;
  HookStream rows({Rows(0, 2'000), Rows(2'000, 2'000)}, [&](size_t at) {
    if (at == 1 && !std::exchange(slept, true))
      std::this_thread::sleep_for(std::chrono::milliseconds(2'500));
  });
  const absl::Status status = sink.Commit(Batch(0), rows).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("transaction.timeout.ms=1500"));
  const auto marker = CommitAtLast(sink, Batch(0), rows);
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 4'000);
}

}  // namespace
}  // namespace tidemark
