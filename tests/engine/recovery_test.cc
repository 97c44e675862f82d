// A query that is stopped at any moment and started again ends with the rows of one that never
// stopped; what does not belong together is refused; what is lost is judged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "operators/sources/timed_table.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/streaming_query.h"
#include "tidemark/engine/test_kit.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sources/polling_source.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TestKit::Pipeline Totals(OutputMode mode, absl::Duration window = absl::Seconds(60)) {
  return [=](Job& job) {
    return job.Source("orders")
        .Decode(Json(Schema().String("shop").Int64("amount").Double("price").Timestamp("at")))
        .WithWatermark("at", absl::Seconds(30))
        .GroupBy(TumblingWindow("at", window), "shop")
        .Aggregate(Count().As("orders"), Sum("amount").As("amount"), Sum("price").As("price"),
                   Max("shop").As("last"))
        .WriteTo(job.Sink("totals").Key("window_start", "shop"), mode);
  };
}

void AddOrders(TestKit& kit, int64_t from, int64_t count, int partitions = 1) {
  for (int64_t i = from; i < from + count; ++i) {
    std::minstd_rand random(static_cast<unsigned>(i * 7919 + 13));
    std::string time;
    AppendTimestamp((1'735'689'600 + i / 2 + static_cast<int64_t>(random() % 20)) * 1'000'000,
                    &time);
    kit.Add({{"shop", "shop " + std::to_string(random() % 9)},
             {"amount", static_cast<int64_t>(random() % 100)},
             {"price", static_cast<double>(random() % 1000) / 7},
             {"at", time}},
            static_cast<int32_t>(i % partitions));
  }
}

std::function<void(QueryOptions&)> Limit(int64_t offsets, int threads = 1) {
  return [=](QueryOptions& options) {
    options.max_offsets_per_trigger = offsets;
    options.threads = threads;
  };
}

TEST(Recovery, StoppedAfterAnyBatchItWritesTheSameBatches) {
  for (const OutputMode mode : {OutputMode::kAppend, OutputMode::kUpdate, OutputMode::kComplete}) {
    TestKit undisturbed(Totals(mode), {}, Limit(100));
    AddOrders(undisturbed, 0, 2000);
    ASSERT_TRUE(undisturbed.RunAll().ok());
    TestKit stopped(Totals(mode), {}, Limit(100));
    AddOrders(stopped, 0, 2000);
    while (true) {
      const absl::StatusOr<bool> ran = stopped.RunBatch();
      ASSERT_TRUE(ran.ok()) << ran.status();
      if (!*ran) break;
      stopped.Stop();
    }
    EXPECT_EQ(stopped.Batches(), undisturbed.Batches());
    EXPECT_GE(undisturbed.Batches().size(), 20u);
  }
}

// A bad record in the batch that is read ahead stops the query at that batch, not at the one that
// is being written.
TEST(Recovery, WhatFailsInABatchReadAheadIsThatBatchesFailure) {
  for (const bool ahead : {false, true}) {
    TestKit kit(Totals(OutputMode::kUpdate), {}, [](QueryOptions& options) {
      options.max_offsets_per_trigger = 100;
      options.bad_records = BadRecordPolicy::kFail;
    });
    AddOrders(kit, 0, 350);
    kit.AddRaw("broken");
    AddOrders(kit, 351, 49);
    absl::Status status;
    while (status.ok()) status = ahead ? kit.RunAll() : kit.RunBatch().status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("offset 350"));
    EXPECT_EQ(kit.Batches().size(), 3u);
    EXPECT_EQ(kit.LastProgress().batch_id, 2);
  }
}

TEST(Recovery, ThreadsAndPartitionsDoNotChangeAnything) {
  TestKit one(Totals(OutputMode::kUpdate), {}, Limit(0, 1));
  TestKit four(Totals(OutputMode::kUpdate), {}, Limit(0, 4));
  for (TestKit* kit : {&one, &four}) {
    kit->topic().AddPartitions(3);
    AddOrders(*kit, 0, 60'000, 3);
    ASSERT_TRUE(kit->RunAll().ok());
  }
  EXPECT_EQ(one.Batches(), four.Batches());
}

// A store whose commits fail from the n-th on, once: what was given to it before the failure may or
// may not have been applied.
class FailingStore : public CheckpointStore {
 public:
  FailingStore(std::unique_ptr<CheckpointStore> store, int* commits_left, bool applied)
      : store_(std::move(store)), commits_left_(commits_left), applied_(applied) {}
  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) override {
    return store_->GetMeta(name);
  }
  using CheckpointStore::NewWrites;
  std::unique_ptr<StoreWrites> NewWrites(size_t bytes) override { return store_->NewWrites(bytes); }
  absl::Status Commit(std::unique_ptr<StoreWrites> writes) override {
    if ((*commits_left_)-- != 0) return store_->Commit(std::move(writes));
    if (applied_) {
      EXPECT_TRUE(store_->Commit(std::move(writes)).ok());
    }
    return absl::UnavailableError("injected");
  }
  absl::Status MultiGetState(const std::vector<std::string_view>& keys,
                             std::vector<std::optional<std::string>>* values) override {
    return store_->MultiGetState(keys, values);
  }
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end,
                                              RangeDeletes deletes) override {
    return store_->NewStateCursor(begin, end, deletes);
  }
  absl::Status Snapshot(int64_t batch_id, int keep) override {
    return store_->Snapshot(batch_id, keep);
  }
  size_t memory_bytes() const override { return store_->memory_bytes(); }

 private:
  std::unique_ptr<CheckpointStore> store_;
  int* commits_left_;
  bool applied_;
};

// A store that is of no use, until it is opened again, from the moment that *broken says so.
class BreakingStore : public FailingStore {
 public:
  BreakingStore(std::unique_ptr<CheckpointStore> store, std::shared_ptr<bool> broken)
      : FailingStore(std::move(store), &commits_left_, false), broken_(std::move(broken)) {}
  absl::Status failure() const override {
    return *broken_ ? absl::UnavailableError("broken") : absl::OkStatus();
  }
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end,
                                              RangeDeletes deletes) override {
    if (*broken_) return std::make_unique<NoCursor>();
    return FailingStore::NewStateCursor(begin, end, deletes);
  }

 private:
  struct NoCursor : StateCursor {
    absl::StatusOr<bool> Next() override { return absl::UnavailableError("broken"); }
    std::string_view key() const override { return {}; }
    std::string_view value() const override { return {}; }
  };
  int commits_left_ = -1;
  const std::shared_ptr<bool> broken_;  // shared with the test
};

// Calls `before` each time it is given a batch.
class WatchedSink : public Sink {
 public:
  WatchedSink(std::unique_ptr<Sink> sink, std::function<void()> before)
      : sink_(std::move(sink)), before_(std::move(before)) {}
  std::string description() const override { return sink_->description(); }
  bool exactly_once() const override { return sink_->exactly_once(); }
  absl::Status Open(const SinkContext& context) override { return sink_->Open(context); }
  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override { return sink_->ReadMarker(); }
  absl::Status WriteMarker(const SinkMarker& marker) override { return sink_->WriteMarker(marker); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    before_();
    return sink_->Commit(batch, rows);
  }

 private:
  const std::unique_ptr<Sink> sink_;
  const std::function<void()> before_;
};

// A flush in the background may fail while the sink is given rows out of the store.
TEST(Recovery, AStoreThatBreaksWhileTheSinkReadsItIsOpenedAgain) {
  TestKit undisturbed(Totals(OutputMode::kComplete), {}, Limit(200));
  AddOrders(undisturbed, 0, 600);
  ASSERT_TRUE(undisturbed.RunAll().ok());
  std::shared_ptr<bool> broken;  // of the store that is open
  bool breaks = false;
  TestKit kit(Totals(OutputMode::kComplete), {}, [&](QueryOptions& options) {
    options.max_offsets_per_trigger = 200;
    options.checkpoint.open =
        [&, open = options.checkpoint.open](
            size_t bytes, bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
      absl::StatusOr<std::unique_ptr<CheckpointStore>> store = open(bytes, created);
      if (!store.ok()) return store;
      broken = std::make_shared<bool>(false);
      return std::make_unique<BreakingStore>(*std::move(store), broken);
    };
    options.output.make = [&, make = options.output.make](
                              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
      return std::make_unique<WatchedSink>(*make(request),
                                           [&] { *broken |= std::exchange(breaks, false); });
    };
  });
  AddOrders(kit, 0, 600);
  ASSERT_TRUE(kit.RunBatch().ok());
  kit.Stop();  // what there is lies in the store alone
  breaks = true;
  EXPECT_TRUE(absl::IsUnavailable(kit.RunBatch().status()));
  const absl::Status status = kit.RunAll();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(kit.Batches(), undisturbed.Batches());
}

// One batch by hand, or all, each read while the one before is written.
absl::StatusOr<bool> RunSome(TestKit& kit, bool ahead) {
  if (!ahead) return kit.RunBatch();
  if (absl::Status status = kit.RunAll(); !status.ok()) return status;
  return false;
}

class FailingCommits : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(ByHandAndAhead, FailingCommits, ::testing::Bool());

TEST_P(FailingCommits, AnyOneOfTheStateIsRiddenOut) {
  TestKit undisturbed(Totals(OutputMode::kAppend), {}, Limit(200));
  AddOrders(undisturbed, 0, 1000);
  ASSERT_TRUE(undisturbed.RunAll().ok());
  for (const bool applied : {false, true}) {
    // Until a run ends before its turn to fail: every commit has failed once then.
    int failing = 0;
    for (int commits_left = -1; commits_left < 0; ++failing) {
      ASSERT_LT(failing, 100);
      commits_left = failing;
      TestKit kit(Totals(OutputMode::kAppend), {}, [&](QueryOptions& options) {
        options.max_offsets_per_trigger = 200;
        options.checkpoint.open =
            [&, open = options.checkpoint.open](
                size_t bytes, bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
          absl::StatusOr<std::unique_ptr<CheckpointStore>> store = open(bytes, created);
          if (!store.ok()) return store;
          return std::make_unique<FailingStore>(*std::move(store), &commits_left, applied);
        };
      });
      AddOrders(kit, 0, 1000);
      int failures = 0;
      while (true) {
        const absl::StatusOr<bool> ran = RunSome(kit, GetParam());
        if (!ran.ok()) {
          ASSERT_TRUE(absl::IsUnavailable(ran.status())) << ran.status();
          ASSERT_LT(++failures, 3);
          continue;
        }
        if (!*ran) break;
      }
      EXPECT_EQ(failures, commits_left < 0 ? 1 : 0);
      EXPECT_EQ(kit.Batches(), undisturbed.Batches())
          << "commit " << failing << (applied ? " applied" : " lost");
    }
    EXPECT_GT(failing, 12);
  }
}

// The commit that makes the checkpoint: started again, the query must find itself there.
TEST(Recovery, AFirstCommitThatFailedIsMadeAgain) {
  TestKit undisturbed(Totals(OutputMode::kAppend), {}, Limit(200));
  AddOrders(undisturbed, 0, 1000);
  ASSERT_TRUE(undisturbed.RunAll().ok());
  for (const bool applied : {false, true}) {
    int commits_left = 0;
    QueryOptions used;
    TestKit kit(Totals(OutputMode::kAppend), {}, [&](QueryOptions& options) {
      options.max_offsets_per_trigger = 200;
      options.checkpoint.open =
          [&, open = options.checkpoint.open](
              size_t bytes, bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
        absl::StatusOr<std::unique_ptr<CheckpointStore>> store = open(bytes, created);
        if (!store.ok()) return store;
        return std::make_unique<FailingStore>(*std::move(store), &commits_left, applied);
      };
      used = options;
      options.checkpoint.open = [](size_t, bool*) { return absl::UnavailableError("not yet"); };
    });
    AddOrders(kit, 0, 1000);
    ASSERT_TRUE(absl::IsUnavailable(kit.Start()));
    Job job;
    auto execution = QueryExecution::Create(Totals(OutputMode::kAppend)(job), used);
    ASSERT_TRUE(execution.ok()) << execution.status();
    EXPECT_TRUE(absl::IsUnavailable((*execution)->Start()));
    EXPECT_TRUE((*execution)->Start().ok());
    EXPECT_TRUE((*execution)->RunBatch().ok());
    EXPECT_TRUE((*execution)->Settle().ok());
    execution->reset();
    execution = QueryExecution::Create(Totals(OutputMode::kAppend)(job), used);
    absl::Status status = (*execution)->Start();
    for (absl::StatusOr<bool> ran = true; status.ok() && *ran; status = ran.status()) {
      ran = (*execution)->RunBatch();
    }
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE((*execution)->Settle().ok());
    EXPECT_EQ(kit.Batches(), undisturbed.Batches()) << (applied ? "applied" : "lost");
  }
}

TEST(Recovery, ACheckpointEmptiedWhileTheQueryRunsIsNotBegunAgain) {
  int commits_left = 4;
  auto checkpoint = std::make_shared<MemoryCheckpoint>();
  TestKit kit(Totals(OutputMode::kAppend), {}, [&](QueryOptions& options) {
    options.max_offsets_per_trigger = 200;
    options.checkpoint.open =
        [&](size_t, bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
      absl::StatusOr<std::unique_ptr<CheckpointStore>> store = checkpoint->Open(created);
      if (!store.ok()) return store;
      return std::make_unique<FailingStore>(*std::move(store), &commits_left, false);
    };
  });
  AddOrders(kit, 0, 1000);
  EXPECT_TRUE(absl::IsUnavailable(kit.RunAll()));
  checkpoint = std::make_shared<MemoryCheckpoint>();
  const absl::Status status = kit.RunAll();
  EXPECT_EQ(ExitCode(status, true), 4) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("lost everything while the query ran"));
}

// A sink whose commit fails, before or after it has the rows.
class FailingSink : public Sink {
 public:
  FailingSink(std::unique_ptr<Sink> sink, int* commits_left, bool applied)
      : sink_(std::move(sink)), commits_left_(commits_left), applied_(applied) {}
  std::string description() const override { return sink_->description(); }
  bool exactly_once() const override { return sink_->exactly_once(); }
  absl::Status Open(const SinkContext& context) override { return sink_->Open(context); }
  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override { return sink_->ReadMarker(); }
  absl::Status WriteMarker(const SinkMarker& marker) override { return sink_->WriteMarker(marker); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    if ((*commits_left_)-- != 0) return sink_->Commit(batch, rows);
    if (applied_) {
      EXPECT_TRUE(sink_->Commit(batch, rows).ok());
    }
    return absl::UnavailableError("injected");
  }

 private:
  std::unique_ptr<Sink> sink_;
  int* commits_left_;
  bool applied_;
};

TEST_P(FailingCommits, AFailingSinkGetsEachBatchOnce) {
  TestKit undisturbed(Totals(OutputMode::kUpdate), {}, Limit(200));
  AddOrders(undisturbed, 0, 1000);
  ASSERT_TRUE(undisturbed.RunAll().ok());
  for (const bool applied : {false, true}) {
    for (const bool crash : {false, true}) {
      for (int failing = 0; failing < 6; ++failing) {
        int commits_left = failing;
        TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
          options.max_offsets_per_trigger = 200;
          options.output.make =
              [&, make = options.output.make](
                  const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
            return std::make_unique<FailingSink>(*make(request), &commits_left, applied);
          };
        });
        AddOrders(kit, 0, 1000);
        int failures = 0;
        while (true) {
          const absl::StatusOr<bool> ran = RunSome(kit, GetParam());
          if (!ran.ok()) {
            ASSERT_TRUE(absl::IsUnavailable(ran.status())) << ran.status();
            ASSERT_LT(++failures, 3);
            if (crash) kit.Stop();
            continue;
          }
          if (!*ran) break;
        }
        EXPECT_EQ(failures, 1);
        EXPECT_EQ(kit.Batches(), undisturbed.Batches()) << failing << applied << crash;
      }
    }
  }
}

class CountingSink : public FailingSink {
 public:
  CountingSink(std::unique_ptr<Sink> sink, int* never, int* kept)
      : FailingSink(std::move(sink), never, false), kept_(kept) {}
  absl::Status KeepMarker() override {
    ++*kept_;
    return absl::UnavailableError("injected: a warning, nothing more");
  }

 private:
  int* kept_;
};

TEST(Recovery, AnIdleQueryKeepsItsMarkerOnceADay) {
  int never = -1;
  int kept = 0;
  TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
    options.output.make = [&, make = options.output.make](
                              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
      return std::make_unique<CountingSink>(*make(request), &never, &kept);
    };
  });
  AddOrders(kit, 0, 10);
  ASSERT_TRUE(kit.RunAll().ok());
  for (int hour = 0; hour < 72; ++hour) {
    kit.clock().Advance(absl::Hours(1));
    ASSERT_FALSE(*kit.RunBatch());
  }
  EXPECT_EQ(kept, 3);
}

TEST(Checkpoint, AnotherPipelineIsRefusedNamingTheDifference) {
  auto checkpoint = std::make_shared<MemoryCheckpoint>();
  const auto share = [&](QueryOptions& options) {
    options.checkpoint = CheckpointInMemory(checkpoint);
  };
  TestKit first(Totals(OutputMode::kUpdate), {}, share);
  AddOrders(first, 0, 10);
  ASSERT_TRUE(first.RunAll().ok());
  first.Stop();
  TestKit second(Totals(OutputMode::kUpdate, absl::Seconds(120)), {}, share);
  const absl::Status status = second.Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("window=at/120000000us"));
  EXPECT_EQ(ExitCode(status, false), 4);
}

TEST(Checkpoint, AnotherSinkIsRefused) {
  // The checkpoint of one run with the (empty) sink of another: the sink lost what it had.
  auto checkpoint = std::make_shared<MemoryCheckpoint>();
  int commits_left = 1;
  const auto share = [&](QueryOptions& options) {
    options.checkpoint = CheckpointInMemory(checkpoint);
    options.max_offsets_per_trigger = 5;
    options.output.make = [&, make = options.output.make](
                              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
      return std::make_unique<FailingSink>(*make(request), &commits_left, false);
    };
  };
  TestKit first(Totals(OutputMode::kUpdate), {}, share);
  AddOrders(first, 0, 10);
  ASSERT_TRUE(first.RunBatch().ok());
  ASSERT_FALSE(first.RunBatch().ok());  // batch 1 is planned, and under way
  first.Stop();
  TestKit second(Totals(OutputMode::kUpdate), {}, share);
  AddOrders(second, 0, 10);
  const absl::Status status = second.Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("do not belong together"));
}

TEST(DataLoss, StopsOrGoesOnAsAsked) {
  for (const bool fail : {true, false}) {
    TestKit kit(Totals(OutputMode::kUpdate), {},
                [=](QueryOptions& options) { options.fail_on_data_loss = fail; });
    AddOrders(kit, 0, 100);
    ASSERT_TRUE(kit.RunAll().ok());
    AddOrders(kit, 100, 100);
    kit.topic().DropBefore(0, 150);
    const absl::StatusOr<bool> ran = kit.RunBatch();
    if (fail) {
      EXPECT_EQ(ExitCode(ran.status(), true), 3) << ran.status();
      EXPECT_THAT(std::string(ran.status().message()),
                  HasSubstr("topic orders partition 0: wanted offset 100, available from 150"));
    } else {
      ASSERT_TRUE(ran.ok()) << ran.status();
      EXPECT_EQ(kit.LastProgress().num_input_rows, 50);
      EXPECT_EQ(kit.LastProgress().source.lost_offsets, 50);
    }
  }
}

TEST(DataLoss, ARecreatedTopicIsSeenAtTheStart) {
  TestKit kit(Totals(OutputMode::kUpdate));
  AddOrders(kit, 0, 100);
  ASSERT_TRUE(kit.RunAll().ok());
  kit.Stop();
  kit.topic().Recreate();
  AddOrders(kit, 5000, 200);
  const absl::Status status = kit.Start();
  EXPECT_EQ(ExitCode(status, true), 3) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("topic orders partition 0"));
}

TEST(DataLoss, ARangeThatLeftTheLogBeforeItsReRun) {
  for (const bool fail : {true, false}) {
    for (const bool in_sink : {true, false}) {
      int commits_left = 1;
      TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
        options.fail_on_data_loss = fail;
        options.max_offsets_per_trigger = 100;
        options.output.make =
            [&, make = options.output.make](
                const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
          return std::make_unique<FailingSink>(*make(request), &commits_left, in_sink);
        };
      });
      AddOrders(kit, 0, 200);
      ASSERT_TRUE(kit.RunBatch().ok());
      ASSERT_FALSE(kit.RunBatch().ok());
      kit.Stop();
      kit.topic().DropBefore(0, 150);
      const absl::StatusOr<bool> ran = kit.RunBatch();
      if (fail) {
        EXPECT_EQ(ExitCode(ran.status(), true), 3) << ran.status();
        EXPECT_THAT(std::string(ran.status().message()),
                    HasSubstr(in_sink ? "the sink holds it" : "the sink has nothing of it"));
        continue;
      }
      ASSERT_TRUE(ran.ok() && *ran) << ran.status();
      EXPECT_EQ(kit.LastProgress().num_input_rows, 50);
      EXPECT_EQ(kit.LastProgress().source.lost_offsets, 50);
      EXPECT_EQ(kit.Batches().size(), 2u);
      EXPECT_EQ(kit.LastProgress().source.end.begin()->second, 200);
    }
  }
}

// A batch under way of a topic that another one has replaced: its range means nothing there.
TEST(DataLoss, ATopicMadeAgainBeforeAReRunIsReadFromItsBeginning) {
  for (const int64_t records : {130, 250}) {
    for (const bool in_sink : {true, false}) {
      SCOPED_TRACE(records);
      int commits_left = 1;
      TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
        options.fail_on_data_loss = false;
        options.max_offsets_per_trigger = 100;
        options.output.make =
            [&, make = options.output.make](
                const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
          return std::make_unique<FailingSink>(*make(request), &commits_left, in_sink);
        };
      });
      AddOrders(kit, 0, 200);
      ASSERT_TRUE(kit.RunBatch().ok());
      ASSERT_FALSE(kit.RunBatch().ok());
      kit.Stop();
      kit.topic().Recreate();
      AddOrders(kit, 5000, records);
      const absl::StatusOr<bool> ran = kit.RunBatch();
      ASSERT_TRUE(ran.ok() && *ran) << ran.status();
      EXPECT_EQ(kit.LastProgress().batch_id, 1);
      EXPECT_EQ(kit.LastProgress().num_input_rows, 0);
      EXPECT_EQ(kit.LastProgress().source.lost_offsets, 100);
      kit.Stop();
      int64_t read = 0;
      int64_t lost = 0;
      while (*kit.RunBatch()) {
        read += kit.LastProgress().num_input_rows;
        lost += kit.LastProgress().source.lost_offsets;
      }
      EXPECT_EQ(read, records);
      EXPECT_EQ(lost, 0);
    }
  }
}

TEST(DataLoss, BeforeABatchThatRunsAgainIsCountedOnceAllTheSame) {
  int commits_left = 1;
  TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
    options.fail_on_data_loss = false;
    options.output.make = [&, make = options.output.make](
                              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
      return std::make_unique<FailingSink>(*make(request), &commits_left, false);
    };
  });
  AddOrders(kit, 0, 100);
  ASSERT_TRUE(*kit.RunBatch());
  AddOrders(kit, 100, 100);
  kit.topic().DropBefore(0, 150);
  ASSERT_FALSE(kit.RunBatch().ok());
  kit.Stop();
  ASSERT_TRUE(*kit.RunBatch());
  EXPECT_EQ(kit.LastProgress().num_input_rows, 50);
  EXPECT_EQ(kit.LastProgress().source.lost_offsets, 50);
}

// What was planned of the new one already, before its first commit, is run again as it was.
TEST(DataLoss, AReRunOfTheFirstBatchOfATopicMadeAgain) {
  int commits_left = 1;
  TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
    options.fail_on_data_loss = false;
    options.max_offsets_per_trigger = 100;
    options.output.make = [&, make = options.output.make](
                              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
      return std::make_unique<FailingSink>(*make(request), &commits_left, false);
    };
  });
  AddOrders(kit, 0, 100);
  ASSERT_TRUE(kit.RunBatch().ok());
  kit.Stop();
  kit.topic().Recreate();
  AddOrders(kit, 5000, 250);
  ASSERT_FALSE(kit.RunBatch().ok());
  kit.Stop();
  int64_t read = 0;
  while (*kit.RunBatch()) read += kit.LastProgress().num_input_rows;
  EXPECT_EQ(read, 250);
}

// The sleep between two looks is long enough for the topic to be made again and filled past the
// offset; or the source was away for a moment.
TEST(DataLoss, ATopicMadeAgainWhileTheQueryRunsIsSeen) {
  for (const bool fail : {true, false}) {
    TestKit kit(Totals(OutputMode::kUpdate), {},
                [=](QueryOptions& options) { options.fail_on_data_loss = fail; });
    AddOrders(kit, 0, 100);
    ASSERT_TRUE(kit.RunAll().ok());
    kit.topic().Recreate();
    AddOrders(kit, 5000, 150);
    kit.clock().Advance(absl::Seconds(10));
    const absl::StatusOr<bool> ran = kit.RunBatch();
    if (fail) {
      EXPECT_EQ(ExitCode(ran.status(), true), 3) << ran.status();
      EXPECT_THAT(std::string(ran.status().message()),
                  HasSubstr("topic orders partition 0: wanted offset 100, available from 0"));
      continue;
    }
    ASSERT_TRUE(ran.ok() && *ran) << ran.status();
    EXPECT_EQ(kit.LastProgress().num_input_rows, 150);
    EXPECT_EQ(kit.LastProgress().source.lost_offsets, 0) << "all of the old one had been read";
  }
}

class CheckedSource : public Source {
 public:
  CheckedSource(std::unique_ptr<Source> source, int* checks)
      : source_(std::move(source)), checks_(checks) {}
  std::string description() const override { return source_->description(); }
  absl::Status Open() override { return source_->Open(); }
  absl::StatusOr<Offsets> StartingOffsets() override { return source_->StartingOffsets(); }
  absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>& last) override {
    ++*checks_;
    return source_->CheckIdentity(last);
  }
  absl::StatusOr<std::vector<AvailableRange>> Available() override {
    if (*checks_ < 0) return absl::UnavailableError("the topic is missing for the moment");
    return source_->Available();
  }
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
  int* checks_;
};

// A check costs a look at each partition: not at each batch of a busy query.
TEST(DataLoss, TopicsAreCheckedAfterPausesAndErrorsOnly) {
  int checks = 0;
  TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
    options.input.make =
        [&, make = options.input.make](
            const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
      return std::make_unique<CheckedSource>(*make(request), &checks);
    };
  });
  int64_t orders = 0;
  const auto run = [&](int batches, absl::Duration pause) {
    checks = 0;
    for (int i = 0; i < batches; ++i) {
      kit.clock().Advance(pause);
      AddOrders(kit, orders++, 1);
      ASSERT_TRUE(*kit.RunBatch());
    }
  };
  run(100, absl::Milliseconds(150));
  EXPECT_EQ(checks, 0);
  run(100, absl::Seconds(1));
  EXPECT_EQ(checks, 20);
  run(10, absl::Seconds(10));
  EXPECT_EQ(checks, 10);
  checks = 0;
  kit.clock().Advance(absl::Hours(1));
  EXPECT_FALSE(*kit.RunBatch());
  EXPECT_EQ(checks, 0) << "nothing new";
  run(1, absl::Milliseconds(1));
  EXPECT_EQ(checks, 1) << "the first after the pause";
  checks = -1;
  EXPECT_TRUE(absl::IsUnavailable(kit.RunBatch().status()));
  run(5, absl::Milliseconds(1));
  EXPECT_EQ(checks, 1) << "after an error";
}

class DoubtfulSource : public CheckedSource {
 public:
  DoubtfulSource(std::unique_ptr<Source> source, int* checks, bool* in_doubt)
      : CheckedSource(std::move(source), checks), in_doubt_(in_doubt) {}
  absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration timeout) override {
    if (std::exchange(*in_doubt_, false)) return absl::AbortedError("it was missing");
    return CheckedSource::Read(timeout);
  }

 private:
  bool* in_doubt_;
};

// No pause in which it could have been made again, but the source has seen it go.
TEST(DataLoss, ATopicThatTheSourceDoubtsIsCheckedBeforeItIsReadOn) {
  for (const bool made_again : {true, false}) {
    int checks = 0;
    bool in_doubt = false;
    TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
      options.input.make =
          [&, make = options.input.make](
              const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
        return std::make_unique<DoubtfulSource>(*make(request), &checks, &in_doubt);
      };
    });
    AddOrders(kit, 0, 100);
    ASSERT_TRUE(kit.RunAll().ok());
    if (made_again) kit.topic().Recreate();
    AddOrders(kit, made_again ? 5000 : 100, made_again ? 150 : 50);
    in_doubt = true;
    checks = 0;
    EXPECT_TRUE(absl::IsUnavailable(kit.RunBatch().status()));
    EXPECT_EQ(checks, 0);
    const absl::StatusOr<bool> again = kit.RunBatch();
    EXPECT_EQ(checks, 1);
    if (made_again) {
      EXPECT_EQ(ExitCode(again.status(), true), 3) << again.status();
    } else {
      ASSERT_TRUE(again.ok() && *again) << again.status();
      EXPECT_EQ(kit.LastProgress().num_input_rows, 50);
    }
  }
}

// As many records, then one more: also when there was nothing new in between.
TEST(DataLoss, ATopicMadeAgainWithAsManyRecordsIsSeenWithTheNextOne) {
  TestKit kit(Totals(OutputMode::kUpdate));
  AddOrders(kit, 0, 100);
  ASSERT_TRUE(kit.RunAll().ok());
  kit.topic().Recreate();
  AddOrders(kit, 5000, 100);
  kit.clock().Advance(absl::Seconds(10));
  EXPECT_FALSE(*kit.RunBatch());
  AddOrders(kit, 5100, 1);
  const absl::StatusOr<bool> ran = kit.RunBatch();
  EXPECT_EQ(ExitCode(ran.status(), true), 3) << ran.status();
}

TEST(DataLoss, IsCountedByWhatWasThereWhenItWasLastSeen) {
  TestKit kit(Totals(OutputMode::kUpdate), {}, [](QueryOptions& options) {
    options.fail_on_data_loss = false;
    options.max_offsets_per_trigger = 100;
  });
  AddOrders(kit, 0, 300);
  ASSERT_TRUE(*kit.RunBatch());
  kit.topic().Recreate();
  AddOrders(kit, 5000, 20);
  ASSERT_TRUE(*kit.RunBatch());
  EXPECT_EQ(kit.LastProgress().source.lost_offsets, 200);
  EXPECT_EQ(kit.LastProgress().num_input_rows, 20);
  AddOrders(kit, 5020, 20);
  ASSERT_TRUE(*kit.RunBatch());
  EXPECT_EQ(kit.LastProgress().source.lost_offsets, 0);
}

TEST(DataLoss, FoundWhileThereIsNothingToReadIsInTheNextReport) {
  TestKit kit(Totals(OutputMode::kAppend), {},
              [](QueryOptions& options) { options.fail_on_data_loss = false; });
  AddOrders(kit, 0, 100);
  ASSERT_TRUE(kit.RunAll().ok());
  AddOrders(kit, 100, 50);
  kit.topic().DropBefore(0, 150);
  EXPECT_FALSE(*kit.RunBatch());
  AddOrders(kit, 150, 10);
  ASSERT_TRUE(*kit.RunBatch());
  EXPECT_EQ(kit.LastProgress().num_input_rows, 10);
  EXPECT_EQ(kit.LastProgress().source.lost_offsets, 50);
}

class SnapshotCounter : public FailingStore {
 public:
  SnapshotCounter(std::unique_ptr<CheckpointStore> store, std::vector<int64_t>* snapshots)
      : FailingStore(std::move(store), &no_failure_, false), snapshots_(snapshots) {}
  absl::Status Snapshot(int64_t batch_id, int /*keep*/) override {
    snapshots_->push_back(batch_id);
    return absl::OkStatus();
  }

 private:
  int no_failure_ = -1;
  std::vector<int64_t>* snapshots_;
};

TEST(Snapshots, AreAsManyBatchesApartAsAskedAndFromAHundredOnTenSecondsToo) {
  for (const int every : {5, 100}) {
    std::vector<int64_t> snapshots;
    TestKit kit(Totals(OutputMode::kUpdate), {}, [&](QueryOptions& options) {
      options.snapshot_every = every;
      options.checkpoint.open =
          [&, open = options.checkpoint.open](
              size_t bytes, bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
        absl::StatusOr<std::unique_ptr<CheckpointStore>> store = open(bytes, created);
        if (!store.ok()) return store;
        return std::make_unique<SnapshotCounter>(*std::move(store), &snapshots);
      };
    });
    for (int batch = 0; batch < 500; ++batch) {
      if (batch == 250) kit.clock().Advance(absl::Seconds(10));
      AddOrders(kit, batch, batch + 1);
      ASSERT_TRUE(kit.RunBatch().value());
    }
    if (every == 5) {
      EXPECT_EQ(snapshots.size(), 100u);
    } else {
      EXPECT_THAT(snapshots, ElementsAre(99, 299));
    }
  }
}

TEST(BadRecords, EachPolicy) {
  const auto pipeline = [](Job& job) {
    return job.Source("t")
        .Decode(Json(Schema().Int64("id").String("_corrupt_record")))
        .WriteTo(job.Sink("s"), OutputMode::kAppend);
  };
  for (const BadRecordPolicy policy :
       {BadRecordPolicy::kFail, BadRecordPolicy::kDrop, BadRecordPolicy::kNull}) {
    TestKit kit(pipeline, {}, [=](QueryOptions& options) { options.bad_records = policy; });
    kit.AddRaw(R"({"id":1})");
    kit.AddRaw(R"({"id":)");
    kit.AddRaw(std::nullopt);
    const absl::StatusOr<bool> ran = kit.RunBatch();
    if (policy == BadRecordPolicy::kFail) {
      EXPECT_EQ(ExitCode(ran.status(), true), 1);
      EXPECT_THAT(std::string(ran.status().message()),
                  HasSubstr("topic t partition 0 offset 1: parse_error"));
      continue;
    }
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_EQ(kit.LastProgress().source.bad[BadReason::kParseError], 1);
    EXPECT_EQ(kit.LastProgress().source.bad[BadReason::kNullValue], 1);
    if (policy == BadRecordPolicy::kDrop) {
      EXPECT_THAT(kit.Rows(), ElementsAre(R"({"id":1,"_corrupt_record":null})"));
    } else {
      EXPECT_THAT(kit.Rows(), ElementsAre(R"({"id":1,"_corrupt_record":null})",
                                          R"({"id":null,"_corrupt_record":"{\"id\":"})",
                                          R"({"id":null,"_corrupt_record":null})"));
    }
  }
}

class FullDeadLetters : public DeadLetterWriter {
 public:
  absl::Status Begin(int64_t, int64_t) override { return absl::OkStatus(); }
  absl::Status Write(const RawRecords&, const BadRecord&, absl::Time) override {
    return absl::FailedPreconditionError("the dead letters have reached their limit");
  }
  absl::Status Flush() override { return absl::OkStatus(); }
};

TEST(BadRecords, DeadLettersNeedAPlaceWithRoom) {
  const auto pipeline = [](Job& job) {
    return job.Source("t")
        .Decode(Json(Schema().Int64("id")))
        .WriteTo(job.Sink("s"), OutputMode::kAppend);
  };
  TestKit nowhere(pipeline, {}, [](QueryOptions& options) {
    options.bad_records = BadRecordPolicy::kDeadLetter;
  });
  EXPECT_EQ(ExitCode(nowhere.Start(), false), 2);
  TestKit full(pipeline, {}, [](QueryOptions& options) {
    options.bad_records = BadRecordPolicy::kDeadLetter;
    options.dead_letters = [] {
      return absl::StatusOr<std::unique_ptr<DeadLetterWriter>>(std::make_unique<FullDeadLetters>());
    };
  });
  full.AddRaw("{");
  const absl::Status status = full.RunBatch().status();
  EXPECT_EQ(ExitCode(status, true), 1) << status;
}

// ---- Polled tables: rows come once, so what they leave in the checkpoint must be right

// A hundred rows a round, some with times of up to nearly a look-back (400 ms) ago.
void AddTimedRows(TimedTable::Content* rows, int64_t round) {
  std::minstd_rand random(static_cast<unsigned>(round) + 1);
  for (int64_t i = 0; i < 100; ++i) {
    const int64_t ago = random() % 3 == 0 ? static_cast<int64_t>(random() % 390'000) : 0;
    rows->insert(
        {2'000'000 + round * 100'000 + i * 10 - ago, static_cast<uint64_t>(round * 100 + i)});
  }
}

class PolledKit {
 public:
  using Open = std::function<absl::StatusOr<std::unique_ptr<CheckpointStore>>(
      std::unique_ptr<CheckpointStore>)>;
  explicit PolledKit(Open open, Trigger trigger = Trigger::Asap())
      : kit_(
            [trigger](Job& job) {
              return job.Source("orders")
                  .Decode(Rows(Schema().Int64("id")))
                  .WriteTo(job.Sink("ids"), OutputMode::kAppend, trigger);
            },
            {},
            [this, open = std::move(open)](QueryOptions& options) {
              options.max_offsets_per_trigger = 70;
              options.input = {
                  "timed", [rows = rows_](const SourceRequest& request) {
                    PollingOptions polling;
                    polling.mode = PollingMode::kTimestampAndId;
                    polling.look_back = absl::Milliseconds(400);
                    polling.poll_interval = absl::ZeroDuration();
                    PollingStart start{request.topic, *request.schema, request.committed,
                                       request.state, request.saved_records};
                    return PollingSource::Make(std::make_unique<TimedTable>(rows), polling, start);
                  }};
              options.checkpoint.open =
                  [open, store = options.checkpoint.open](
                      size_t bytes,
                      bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
                auto opened = store(bytes, created);
                if (!opened.ok()) return opened;
                return open(*std::move(opened));
              };
            }) {}

  TestKit& kit() { return kit_; }
  TimedTable::Content& rows() { return *rows_; }
  bool HasAll() const {
    size_t rows = 0;
    for (const auto& batch : kit_.Batches()) rows += batch.size();
    return rows >= rows_->size();
  }
  /// Each row once.
  void ExpectAll() {
    std::vector<std::string> rows;
    for (const auto& batch : kit_.Batches()) rows.insert(rows.end(), batch.begin(), batch.end());
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows.size(), rows_->size());
    EXPECT_EQ(std::adjacent_find(rows.begin(), rows.end()), rows.end()) << "a row came twice";
  }

 private:
  const std::shared_ptr<TimedTable::Content> rows_ = std::make_shared<TimedTable::Content>();
  TestKit kit_;
};

// Each commit of a run, of plans and of states, fails once, applied or not; the query goes on, or
// dies and starts again.
TEST_P(FailingCommits, OfAPolledTableLoseAndRepeatNoRow) {
  for (const bool applied : {false, true}) {
    for (const bool dies : {false, true}) {
      int failing = 0;
      for (int commits_left = -1; commits_left < 0; ++failing) {
        ASSERT_LT(failing, 200);
        commits_left = failing;
        PolledKit polled([&](std::unique_ptr<CheckpointStore> store) {
          return std::make_unique<FailingStore>(std::move(store), &commits_left, applied);
        });
        for (int64_t round = 0; round < 10; ++round) {
          AddTimedRows(&polled.rows(), round);
          // Until a pass has seen what the one before could not. The pause between two is twice as
          // long as the last one, which is long if the machine had other things to do.
          const absl::Time limit = absl::Now() + absl::Seconds(20);
          for (int idle = 0; idle < 4;) {
            const absl::StatusOr<bool> ran = RunSome(polled.kit(), GetParam());
            if (!ran.ok()) {
              ASSERT_TRUE(absl::IsUnavailable(ran.status())) << ran.status();
              if (dies) polled.kit().Stop();
            } else if (!*ran) {
              absl::SleepFor(absl::Microseconds(100));
              if (++idle == 4 && !polled.HasAll() && absl::Now() < limit) idle = 0;
            }
          }
          if (round % 3 == 2) polled.kit().Stop();
        }
        polled.ExpectAll();
        if (HasFailure()) {
          FAIL() << "commit " << failing << (applied ? " applied" : " lost") << dies;
        }
      }
      EXPECT_GT(failing, 30);
    }
  }
}

// What was planned before the crash is not all there is.
TEST(Recovery, AvailableNowOfAPolledTableGoesOnAfterTheBatchThatWasUnderWay) {
  // The query's beginning, its plan, what that made: none of it there, or just the last.
  for (int failing = 0; failing < 3; ++failing) {
    for (const bool applied : {false, true}) {
      int commits_left = failing;
      PolledKit polled(
          [&](std::unique_ptr<CheckpointStore> store) {
            return std::make_unique<FailingStore>(std::move(store), &commits_left, applied);
          },
          Trigger::AvailableNow());
      AddTimedRows(&polled.rows(), 0);
      ASSERT_TRUE(absl::IsUnavailable(polled.kit().RunAll()));
      polled.kit().Stop();
      AddTimedRows(&polled.rows(), 1);
      const absl::Status status = polled.kit().RunAll();
      ASSERT_TRUE(status.ok()) << status;
      polled.ExpectAll();
    }
  }
}

TEST(Checkpoint, ADamagedBlockOfAPolledTablesKeysIsRefused) {
  bool damage = false;
  PolledKit polled([&](std::unique_ptr<CheckpointStore> store) {
    if (damage) {
      const std::string begin("\x20\0\0\0", 4);
      const auto cursor = store->NewStateCursor(begin, "\x21");
      EXPECT_TRUE(*cursor->Next()) << "keys are remembered";
      auto writes = store->NewWrites();
      writes->PutState(cursor->key(), "damaged");
      EXPECT_TRUE(store->Commit(std::move(writes)).ok());
    }
    return store;
  });
  AddTimedRows(&polled.rows(), 0);
  ASSERT_TRUE(polled.kit().RunAll().ok());
  polled.kit().Stop();
  damage = true;
  const absl::Status status = polled.kit().RunAll();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(ExitCode(status, true), 4);
  EXPECT_THAT(std::string(status.message()), HasSubstr("of table orders cannot be read"));
}

// A Kafka topic cannot be called so, a polled table can.
TEST(Recovery, ATopicMayHaveAnyName) {
  for (const std::string name : {"web orders", "100%20 \n\t", "`a`\"'/../b", "\u00e9"}) {
    const auto pipeline = [&](Job& job) {
      return job.Source(name)
          .Decode(Json(Schema().Int64("id")))
          .GroupBy("id")
          .Aggregate(Count().As("n"))
          .WriteTo(job.Sink("s").Key("id"), OutputMode::kUpdate);
    };
    TestKit kit(pipeline);
    for (int i = 0; i < 3; ++i) {
      kit.Add({{"id", 1}});
      const absl::StatusOr<bool> ran = kit.RunBatch();
      ASSERT_TRUE(ran.ok()) << name << ": " << ran.status();
      kit.Stop();
    }
    EXPECT_THAT(kit.Rows(), ElementsAre(R"({"id":1,"n":3})")) << name;
  }
}

TEST(Memory, ABatchThatOutgrowsItIsCutAndNothingIsLost) {
  const auto pipeline = [](Job& job) {
    return job.Source("t")
        .Decode(Json(Schema().Int64("id")))
        .GroupBy("id")
        .Aggregate(Count().As("n"))
        .WriteTo(job.Sink("s").Key("id"), OutputMode::kUpdate);
  };
  TestKit kit(pipeline, {}, [](QueryOptions& options) { options.memory_limit = size_t{4} << 20; });
  constexpr int64_t kGroups = 150'000;
  for (int64_t i = 0; i < 2 * kGroups; ++i) kit.Add({{"id", i % kGroups}});
  // One by one: a batch that is read ahead may be through before its turn to be cut.
  while (true) {
    const absl::StatusOr<bool> ran = kit.RunBatch();
    ASSERT_TRUE(ran.ok()) << ran.status();
    if (!*ran) break;
  }
  EXPECT_GT(kit.Batches().size(), 2u);
  const std::map<std::string, std::string> table = kit.Table();
  EXPECT_EQ(table.size(), static_cast<size_t>(kGroups));
  for (const auto& [key, row] : table) ASSERT_THAT(row, HasSubstr("\"n\":2")) << key;
}

}  // namespace
}  // namespace tidemark
