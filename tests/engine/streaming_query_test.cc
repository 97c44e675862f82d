#include "tidemark/engine/streaming_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <thread>

#include "absl/time/clock.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

class RecordingLogger : public Logger {
 public:
  std::string text() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }

 protected:
  void Write(std::string_view line) override {
    std::lock_guard<std::mutex> lock(mutex_);
    text_ += std::string(line) + "\n";
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// A running query over a topic in memory.
struct Running {
  std::shared_ptr<MemoryTopic> topic = std::make_shared<MemoryTopic>("events");
  std::shared_ptr<MemoryTable> table = std::make_shared<MemoryTable>();
  std::shared_ptr<RecordingLogger> logger = std::make_shared<RecordingLogger>();
  QueryOptions options;
  std::unique_ptr<StreamingQuery> query;

  Running() {
    options.input = MemoryInput(topic);
    options.output = MemoryOutput(table);
    options.checkpoint = CheckpointInMemory(std::make_shared<MemoryCheckpoint>());
    options.bad_records = BadRecordPolicy::kFail;
    options.logger = logger;
    options.threads = 1;
  }
  void Append(int64_t count) {
    for (int64_t i = 0; i < count; ++i) topic->Append(0, std::nullopt, R"({"id":1})");
  }
  void Begin(Trigger trigger) {
    Query pipeline = Job()
                         .Source("events")
                         .Decode(Json(Schema().Int64("id")))
                         .GroupBy("id")
                         .Aggregate(Count().As("n"))
                         .WriteTo(Job().Sink("counts").Key("id"), OutputMode::kUpdate, trigger);
    absl::StatusOr<std::unique_ptr<StreamingQuery>> started = Start(pipeline, options);
    ASSERT_TRUE(started.ok()) << started.status();
    query = *std::move(started);
  }
  bool WaitForRows(int64_t rows) const {
    for (int i = 0; i < 1000; ++i) {
      if (query->totals().rows >= rows) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool WaitForLog(std::string_view words) const {
    for (int i = 0; i < 1000; ++i) {
      if (logger->text().find(words) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
};

TEST(Triggers, AvailableNowEndsWithWhatWasThere) {
  Running running;
  running.Append(250);
  running.options.max_offsets_per_trigger = 100;
  running.Begin(Trigger::AvailableNow());
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_EQ(running.query->totals().rows, 250);
  EXPECT_EQ(running.query->totals().batches, 3);
}

TEST(Triggers, OnceTakesItAllInOneBatch) {
  Running running;
  running.Append(250);
  running.options.max_offsets_per_trigger = 100;
  running.Begin(Trigger::Once());
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_EQ(running.query->totals().rows, 250);
  EXPECT_EQ(running.query->totals().batches, 1);
}

TEST(Triggers, AsapGoesOnWithNewRows) {
  Running running;
  running.Begin(Trigger::Asap());
  running.Append(10);
  EXPECT_TRUE(running.WaitForRows(10));
  running.Append(5);
  EXPECT_TRUE(running.WaitForRows(15));
  running.query->Stop();
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_EQ(running.query->LastProgress()->sink.rows, 1);
}

TEST(Triggers, AnIntervalWaitsForItsTick) {
  Running running;
  running.Append(10);
  running.Begin(Trigger::Every(absl::Hours(1)));
  EXPECT_TRUE(running.WaitForRows(10));  // the first batch runs at once
  running.Append(10);
  EXPECT_EQ(running.query->AwaitTermination(absl::Milliseconds(200)), std::nullopt);
  EXPECT_EQ(running.query->totals().rows, 10);
  const absl::Time stopped = absl::Now();
  running.query->Stop();
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_LT(absl::Now() - stopped, absl::Seconds(20));
}

TEST(Triggers, ACutBatchIsFollowedAtOnce) {
  Running running;
  running.Append(1000);
  running.options.max_offsets_per_trigger = 100;
  running.Begin(Trigger::Every(absl::Hours(1)));
  EXPECT_TRUE(running.WaitForRows(1000));
}

// Fails the first calls of Open as a broker that is away does.
class AbsentSource : public Source {
 public:
  AbsentSource(std::unique_ptr<Source> source, std::atomic<int>* absences)
      : source_(std::move(source)), absences_(absences) {}
  std::string description() const override { return source_->description(); }
  absl::Status Open() override {
    if ((*absences_)-- > 0) return absl::UnavailableError("no broker answers at nowhere:1");
    return source_->Open();
  }
  absl::StatusOr<Offsets> StartingOffsets() override { return source_->StartingOffsets(); }
  absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>& last) override {
    return source_->CheckIdentity(last);
  }
  absl::StatusOr<std::vector<AvailableRange>> Available() override { return source_->Available(); }
  absl::Status StartRead(const std::vector<PlannedRange>& ranges) override {
    return source_->StartRead(ranges);
  }
  absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration timeout) override {
    return source_->Read(timeout);
  }
  void StopRead() override { source_->StopRead(); }
  std::vector<DataLoss> TakeLosses() override { return source_->TakeLosses(); }
  void Cancel() override { source_->Cancel(); }

 private:
  std::unique_ptr<Source> source_;
  std::atomic<int>* absences_;
};

void Hide(Running* running, std::atomic<int>* absences) {
  running->options.input.make =
      [absences, make = running->options.input.make](
          const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
    return std::make_unique<AbsentSource>(*make(request), absences);
  };
}

TEST(Retries, AnAbsentServerIsTriedAgainSayingWhy) {
  Running running;
  std::atomic<int> absences = 2;
  Hide(&running, &absences);
  running.Append(10);
  running.Begin(Trigger::AvailableNow());
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_EQ(running.query->totals().rows, 10);
  EXPECT_THAT(running.logger->text(), HasSubstr("no broker answers at nowhere:1"));
}

TEST(Retries, GivesUpWhenTold) {
  Running running;
  std::atomic<int> absences = 1'000'000;
  Hide(&running, &absences);
  running.options.give_up_after = absl::Milliseconds(300);
  running.Begin(Trigger::AvailableNow());
  const absl::Status status = running.query->AwaitTermination();
  EXPECT_EQ(ExitCode(status, running.query->planned()), 1) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no broker answers"));
}

TEST(Retries, AStopEndsThemAtOnceAndWell) {
  Running running;
  std::atomic<int> absences = 1'000'000;
  Hide(&running, &absences);
  running.Begin(Trigger::AvailableNow());
  EXPECT_TRUE(running.WaitForLog("no broker answers"));
  const absl::Time stopped = absl::Now();
  running.query->Stop();
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_LT(absl::Now() - stopped, absl::Seconds(1));
}

TEST(Retries, AreNeverFurtherApartThanFiveSecondsHoweverLongTheOutage) {
  for (int seed = 0; seed < 50; ++seed) {
    RetryBackoff backoff;
    for (int outage = 0; outage < 2; ++outage) {
      double expected_ms = 100;
      absl::Duration total;
      while (total < absl::Minutes(2)) {
        const absl::Duration pause = backoff.Next();
        EXPECT_LE(pause, absl::Milliseconds(expected_ms));
        EXPECT_GE(pause, absl::Milliseconds(expected_ms * 3 / 4));
        expected_ms = std::min(2 * expected_ms, 5000.0);
        total += pause;
      }
      EXPECT_EQ(expected_ms, 5000);
      backoff.Reset();
    }
  }
}

// A sink that cannot end well at once.
class UnfinishedSink : public Sink {
 public:
  UnfinishedSink(std::unique_ptr<Sink> sink, std::atomic<int>* failures)
      : sink_(std::move(sink)), failures_(failures) {}
  std::string description() const override { return sink_->description(); }
  bool exactly_once() const override { return sink_->exactly_once(); }
  absl::Status Open(const SinkContext& context) override { return sink_->Open(context); }
  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override { return sink_->ReadMarker(); }
  absl::Status WriteMarker(const SinkMarker& marker) override { return sink_->WriteMarker(marker); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    return sink_->Commit(batch, rows);
  }
  absl::Status Finish() override {
    if (--*failures_ >= 0) return absl::UnavailableError("the server is away");
    return sink_->Finish();
  }

 private:
  std::unique_ptr<Sink> sink_;
  std::atomic<int>* failures_;
};

TEST(Retries, TheEndOfTheSinkIsTriedAgainToo) {
  for (const bool gives_up : {false, true}) {
    Running running;
    std::atomic<int> failures = gives_up ? 1'000'000 : 2;
    running.options.output.make =
        [&failures, make = running.options.output.make](
            const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
      return std::make_unique<UnfinishedSink>(*make(request), &failures);
    };
    if (gives_up) running.options.give_up_after = absl::Milliseconds(300);
    running.Append(10);
    running.Begin(Trigger::AvailableNow());
    const absl::Status status = running.query->AwaitTermination();
    EXPECT_EQ(ExitCode(status, true), gives_up ? 1 : 0) << status;
    EXPECT_THAT(running.logger->text(), HasSubstr("the server is away"));
    EXPECT_EQ(running.query->totals().rows, 10);
    running.query.reset();
  }
}

// Its commits wait until they are cancelled.
class StuckSink : public Sink {
 public:
  std::string description() const override { return "Stuck"; }
  bool exactly_once() const override { return false; }
  absl::Status Open(const SinkContext&) override { return absl::OkStatus(); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch&, RowStream&) override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return cancelled_; });
    return absl::CancelledError("cancelled");
  }
  void Cancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
};

TEST(Stop, EndsWithinTenSecondsThoughTheSinkIsStuck) {
  Running running;
  running.options.output.make = [](const SinkRequest&) -> absl::StatusOr<std::unique_ptr<Sink>> {
    return std::make_unique<StuckSink>();
  };
  running.Append(10);
  running.Begin(Trigger::Asap());
  EXPECT_EQ(running.query->AwaitTermination(absl::Milliseconds(300)), std::nullopt);
  const absl::Time stopped = absl::Now();
  running.query->Stop();
  running.query->Stop();
  EXPECT_TRUE(running.query->AwaitTermination().ok());
  EXPECT_LT(absl::Now() - stopped, absl::Seconds(10));
}

TEST(Batches, AnEmptyOneIsCheap) {
  // The batch for the watermark alone: no rows, but the whole protocol.
  TestKit kit([](Job& job) {
    return job.Source("events")
        .Decode(Json(Schema().Timestamp("at")))
        .WithWatermark("at", absl::ZeroDuration())
        .GroupBy(TumblingWindow("at", absl::Seconds(1)))
        .Aggregate(Count().As("n"))
        .WriteTo(job.Sink("s"), OutputMode::kAppend);
  });
  // The fastest of some: a busy machine makes single ones slow.
  absl::Duration fastest = absl::InfiniteDuration();
  for (int second = 10; second < 40; ++second) {
    kit.Add({{"at", "2025-01-01T00:00:" + std::to_string(second) + "Z"}});
    ASSERT_TRUE(*kit.RunBatch());
    const absl::Time start = absl::Now();
    ASSERT_TRUE(*kit.RunBatch());
    fastest = std::min(fastest, absl::Now() - start);
    ASSERT_EQ(kit.LastProgress().num_input_rows, 0);
  }
  EXPECT_LT(fastest, absl::Milliseconds(2));
}

}  // namespace
}  // namespace tidemark
