#include "tidemark/operators/sinks/memory_sink.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"

namespace tidemark {
namespace {

using testing::ContextOf;
using testing::ListStream;
using testing::MakeBatch;

SinkContext Context(const std::string& query_id = "11111111-aaaa",
                    const std::string& sink = "out") {
  return ContextOf(Schema().Int64("a").String("s"), query_id, sink);
}

ListStream Rows(int64_t value) {
  return ListStream(
      {MakeBatch(Context().schema, {{value, std::string("one")}}),
       MakeBatch(Context().schema, {{value, std::string("two")}, {value, testing::Null()}})});
}

std::unique_ptr<Sink> OpenSink(std::shared_ptr<MemoryTable> table) {
  std::unique_ptr<Sink> sink = MakeMemorySink(std::move(table));
  EXPECT_TRUE(sink->Open(Context()).ok());
  return sink;
}

absl::StatusOr<SinkMarker> Commit(Sink* sink, SinkBatch batch, int64_t value) {
  ListStream rows = Rows(value);
  return sink->Commit(batch, rows);
}

std::vector<int64_t> FirstValues(const MemoryTable& table) {
  std::vector<int64_t> values;
  for (const MemoryBatch& batch : table.Batches()) {
    values.push_back(batch.rows.at(0).column(0).values<int64_t>()[0]);
  }
  return values;
}

TEST(MemorySinkTest, KeepsRowsThatOutliveTheStream) {
  const auto table = std::make_shared<MemoryTable>();
  const std::unique_ptr<Sink> sink = OpenSink(table);
  EXPECT_TRUE(sink->exactly_once());
  EXPECT_EQ(*sink->ReadMarker(), std::nullopt);
  ASSERT_TRUE(Commit(sink.get(), {.batch_id = 0, .plan_hash = 5}, 42).ok());
  const std::vector<MemoryBatch> batches = table->Batches();
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].marker.row_count, 3);
  ASSERT_EQ(batches[0].rows.size(), 2u);
  EXPECT_EQ(batches[0].rows[0].column(1).text(0), "one");
  EXPECT_EQ(batches[0].rows[1].column(1).text(0), "two");
  EXPECT_TRUE(batches[0].rows[1].column(1).IsNull(1));
  EXPECT_EQ(table->schema(), Context().schema);
}

TEST(MemorySinkTest, ABatchGivenAgainIsThereAlready) {
  const auto table = std::make_shared<MemoryTable>();
  const std::unique_ptr<Sink> sink = OpenSink(table);
  const absl::StatusOr<SinkMarker> first = Commit(sink.get(), {.batch_id = 0, .plan_hash = 5}, 1);
  ListStream again = Rows(2);
  EXPECT_EQ(*sink->Commit({.batch_id = 0, .plan_hash = 5}, again), *first);
  EXPECT_EQ(again.row_count(), 0) << "the rows are not even read";
  EXPECT_EQ(FirstValues(*table), (std::vector<int64_t>{1}));
}

TEST(MemorySinkTest, ARestartedQueryFindsItsMarker) {
  const auto table = std::make_shared<MemoryTable>();
  const absl::StatusOr<SinkMarker> marker = Commit(OpenSink(table).get(), {.batch_id = 3}, 1);
  const std::unique_ptr<Sink> restarted = OpenSink(table);
  EXPECT_EQ(*restarted->ReadMarker(), *marker);
  ASSERT_TRUE(Commit(restarted.get(), {.batch_id = 4}, 2).ok());
  EXPECT_EQ(FirstValues(*table), (std::vector<int64_t>{1, 2}));
}

TEST(MemorySinkTest, AFailedCommitLeavesNothing) {
  const auto table = std::make_shared<MemoryTable>();
  const std::unique_ptr<Sink> sink = OpenSink(table);
  ListStream rows = Rows(1);
  rows.FailOnce(1, absl::UnavailableError("gone"));
  EXPECT_EQ(sink->Commit({.batch_id = 0}, rows).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(table->Batches().empty());
  EXPECT_EQ(table->marker(), std::nullopt);
  ASSERT_TRUE(rows.Rewind().ok());
  EXPECT_EQ(sink->Commit({.batch_id = 0}, rows)->row_count, 3);
}

TEST(MemorySinkTest, AnotherQuerysTableIsRefused) {
  const auto table = std::make_shared<MemoryTable>();
  ASSERT_TRUE(Commit(OpenSink(table).get(), {.batch_id = 0}, 1).ok());
  for (const SinkContext& other : {Context("22222222-bbbb"), Context("11111111-aaaa", "other")}) {
    EXPECT_EQ(MakeMemorySink(table)->Open(other).code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(MemorySinkTest, RefusesWhatDoesNotBelongTogether) {
  const auto table = std::make_shared<MemoryTable>();
  const std::unique_ptr<Sink> sink = OpenSink(table);
  ASSERT_TRUE(Commit(sink.get(), {.batch_id = 5, .plan_hash = 1}, 1).ok());
  EXPECT_EQ(Commit(sink.get(), {.batch_id = 5, .plan_hash = 2}, 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Commit(sink.get(), {.batch_id = 4, .plan_hash = 1}, 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(sink->WriteMarker({"11111111-aaaa", "out", 0, 2, 0, 0, 0}).ok());
  EXPECT_EQ(FirstValues(*table), (std::vector<int64_t>{1}));
}

TEST(MemorySinkTest, ALaterEpochReplacesFromItsBatchOn) {
  const auto table = std::make_shared<MemoryTable>();
  const std::unique_ptr<Sink> sink = OpenSink(table);
  for (int64_t batch = 0; batch < 4; ++batch) {
    ASSERT_TRUE(Commit(sink.get(), {.batch_id = batch}, batch).ok());
  }
  ASSERT_TRUE(Commit(sink.get(), {.batch_id = 2, .epoch = 1}, 20).ok());
  EXPECT_EQ(FirstValues(*table), (std::vector<int64_t>{0, 1, 20}));
  const SinkMarker marker = {"11111111-aaaa", "out", 2, 0, 0, 0, 0};
  ASSERT_TRUE(sink->WriteMarker(marker).ok());
  EXPECT_EQ(FirstValues(*table), (std::vector<int64_t>{0}));
  EXPECT_EQ(*sink->ReadMarker(), marker);
}

TEST(MemorySinkTest, CanBeReadWhileItIsWritten) {
  const auto table = std::make_shared<MemoryTable>();
  const std::unique_ptr<Sink> sink = OpenSink(table);
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    size_t seen = 0;
    while (!stop) {
      const std::vector<MemoryBatch> batches = table->Batches();
      EXPECT_GE(batches.size(), seen);
      seen = batches.size();
      for (const MemoryBatch& batch : batches) EXPECT_EQ(batch.rows[1].column(1).text(0), "two");
    }
  });
  for (int64_t batch = 0; batch < 200; ++batch) {
    ASSERT_TRUE(Commit(sink.get(), {.batch_id = batch}, batch).ok());
  }
  stop = true;
  reader.join();
  EXPECT_EQ(table->Batches().size(), 200u);
}

}  // namespace
}  // namespace tidemark
