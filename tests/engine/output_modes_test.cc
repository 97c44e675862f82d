// The rules of semantics.md, sections 1 to 3, through whole pipelines: what a batch writes in each
// mode, which rows are late, when windows leave. The batches are those that Spark 4.0 writes for
// the same input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Query CountsPerStore(Job&, OutputMode mode) {
  return Job()
      .Source("events")
      .Decode(Json(Schema().Int64("store").Timestamp("at")))
      .WithWatermark("at", absl::Seconds(30))
      .GroupBy(TumblingWindow("at", absl::Seconds(60)), "store")
      .Aggregate(Count().As("n"))
      .WriteTo(Job().Sink("counts").Key("window_start", "store"), mode);
}

TestKit::Pipeline Counts(OutputMode mode) {
  return [mode](Job& job) { return CountsPerStore(job, mode); };
}

void AddEvent(TestKit& kit, int64_t store, const std::string& time) {
  kit.Add({{"store", store}, {"at", "2025-01-01T" + time + "Z"}});
}

std::string Row(const std::string& minute, int64_t store, int64_t n) {
  const int next = std::stoi(minute.substr(3)) + 1;
  const std::string end = minute.substr(0, 3) + (next < 10 ? "0" : "") + std::to_string(next);
  return R"({"window_start":"2025-01-01T)" + minute + R"(:00Z","window_end":"2025-01-01T)" + end +
         R"(:00Z","store":)" + std::to_string(store) + R"(,"n":)" + std::to_string(n) + "}";
}

// Runs the next batch, which must have something to do.
std::vector<std::string> Batch(TestKit& kit) {
  const absl::StatusOr<bool> ran = kit.RunBatch();
  EXPECT_TRUE(ran.ok()) << ran.status();
  EXPECT_TRUE(ran.ok() && *ran) << "nothing to do";
  return kit.Rows();
}

void ExpectNothingToDo(TestKit& kit) {
  const absl::StatusOr<bool> ran = kit.RunBatch();
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_FALSE(*ran);
}

TEST(UpdateMode, WritesEachGroupThatReceivedRows) {
  TestKit kit(Counts(OutputMode::kUpdate));
  AddEvent(kit, 1, "10:00:10");
  AddEvent(kit, 2, "10:00:20");
  AddEvent(kit, 1, "10:00:30");
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 2), Row("10:00", 2, 1)));
  // The watermark rose from none: one batch without rows runs, and writes nothing.
  EXPECT_THAT(Batch(kit), IsEmpty());
  ExpectNothingToDo(kit);
  AddEvent(kit, 2, "10:00:40");
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 2, 2)));
}

TEST(UpdateMode, WritesNothingWhenAWindowCloses) {
  TestKit kit(Counts(OutputMode::kUpdate));
  AddEvent(kit, 1, "10:00:10");
  AddEvent(kit, 1, "10:05:00");
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 1), Row("10:05", 1, 1)));
  EXPECT_EQ(kit.LastProgress().state->rows_total, 2);
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_EQ(kit.LastProgress().state->rows_removed, 1);
  EXPECT_EQ(kit.LastProgress().state->rows_total, 1);
}

TEST(AppendMode, WritesGroupsWhenTheirWindowCloses) {
  TestKit kit(Counts(OutputMode::kAppend));
  AddEvent(kit, 1, "10:00:10");
  AddEvent(kit, 2, "10:00:20");
  AddEvent(kit, 1, "10:01:29");
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_THAT(Batch(kit), IsEmpty());  // W = 10:00:59 does not reach 10:01:00
  AddEvent(kit, 1, "10:01:30");
  EXPECT_THAT(Batch(kit), IsEmpty());  // still W = 10:00:59
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 1), Row("10:00", 2, 1)));  // W = 10:01:00
  ExpectNothingToDo(kit);
}

TEST(AppendMode, CountsRowsOfTheBatchThatClosesTheirWindow) {
  TestKit kit(Counts(OutputMode::kAppend));
  AddEvent(kit, 1, "10:00:10");
  AddEvent(kit, 1, "10:02:00");
  EXPECT_THAT(Batch(kit), IsEmpty());  // runs with no watermark, and raises it to 10:01:30
  // The next batch closes the window by W(1) = 10:01:30, but drops late rows by W(0) = none: this
  // row counts.
  AddEvent(kit, 1, "10:00:50");
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 2)));
  EXPECT_EQ(kit.LastProgress().state->rows_dropped_by_watermark, 0);
  // From then on it is late.
  AddEvent(kit, 1, "10:00:55");
  AddEvent(kit, 1, "10:01:55");
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_EQ(kit.LastProgress().state->rows_dropped_by_watermark, 1);
}

TEST(AppendMode, AnOlderRowWhoseWindowIsOpenIsNotLate) {
  TestKit kit(Counts(OutputMode::kAppend));
  AddEvent(kit, 1, "10:01:20");  // W = 10:00:50
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_THAT(Batch(kit), IsEmpty());
  AddEvent(kit, 1, "10:00:05");  // older than the watermark, its window still open
  EXPECT_THAT(Batch(kit), IsEmpty());
  AddEvent(kit, 1, "10:01:40");
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 1)));
}

TEST(CompleteMode, WritesEveryGroupEveryTimeAndDropsNothing) {
  TestKit kit(Counts(OutputMode::kComplete));
  AddEvent(kit, 1, "10:00:10");
  AddEvent(kit, 1, "10:10:00");
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 1), Row("10:10", 1, 1)));
  ExpectNothingToDo(kit);  // no batch for the watermark alone
  AddEvent(kit, 1, "10:00:20");
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 2), Row("10:10", 1, 1)));
  EXPECT_EQ(kit.LastProgress().state->rows_dropped_by_watermark, 0);
}

TEST(Watermark, RowsWithoutEventTimeAreInNoWindow) {
  TestKit kit(Counts(OutputMode::kUpdate));
  AddEvent(kit, 1, "10:00:10");
  kit.Add({{"store", 1}, {"at", nullptr}});
  kit.Add({{"store", 1}});
  EXPECT_THAT(Batch(kit), ElementsAre(Row("10:00", 1, 1)));
  EXPECT_EQ(kit.LastProgress().state->rows_without_event_time, 2);
}

TEST(Watermark, WorksBefore1970) {
  TestKit kit(Counts(OutputMode::kAppend));
  kit.Add({{"store", 1}, {"at", "1969-12-31T23:58:30Z"}});
  kit.Add({{"store", 1}, {"at", "1969-12-31T23:59:59.5Z"}});
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_THAT(
      Batch(kit),
      ElementsAre(R"({"window_start":"1969-12-31T23:58:00Z","window_end":"1969-12-31T23:59:00Z",)"
                  R"("store":1,"n":1})"));
}

TEST(Watermark, ATimeFarAheadOfItsRecordDoesNotMoveIt) {
  TestKit kit(Counts(OutputMode::kAppend));
  const int64_t now = absl::ToUnixMicros(kit.clock().Now());  // 2025-01-01T00:00:00Z
  kit.Add({{"store", 1}, {"at", "2025-01-01T00:00:10Z"}}, 0, now);
  kit.Add({{"store", 1}, {"at", "2093-01-01T00:00:00Z"}}, 0, now);
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_EQ(kit.LastProgress().event_time->future_rows, 1);
  EXPECT_THAT(Batch(kit), IsEmpty());
  AddEvent(kit, 1, "00:00:20");
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_EQ(kit.LastProgress().state->rows_dropped_by_watermark, 0);
  EXPECT_EQ(kit.LastProgress().state->rows_total, 2);
}

TEST(Watermark, FiltersBeforeItKeepRowsFromItFiltersAfterItDoNot) {
  const auto pipeline = [](bool before) {
    return [before](Job& job) {
      Stream stream = job.Source("events").Decode(Json(Schema().Int64("store").Timestamp("at")));
      const Expr keep = Col("store") == 1;
      stream = before ? stream.Filter(keep).WithWatermark("at", absl::ZeroDuration())
                      : stream.WithWatermark("at", absl::ZeroDuration()).Filter(keep);
      return stream.GroupBy(TumblingWindow("at", absl::Seconds(60)))
          .Aggregate(Count().As("n"))
          .WriteTo(job.Sink("counts"), OutputMode::kAppend);
    };
  };
  for (const bool before : {true, false}) {
    TestKit kit(pipeline(before));
    AddEvent(kit, 1, "00:00:10");
    AddEvent(kit, 2, "00:05:00");
    EXPECT_THAT(Batch(kit), IsEmpty());
    const std::vector<std::string> second = Batch(kit);
    EXPECT_EQ(second.size(), before ? 0 : 1) << "filter " << (before ? "before" : "after");
  }
}

TEST(PerPartition, TheSlowestPartitionHoldsTheWatermarkUntilItIsIdle) {
  TestKit kit([](Job& job) {
    return job.Source("events")
        .Decode(Json(Schema().Int64("store").Timestamp("at")))
        .WithWatermark("at", absl::ZeroDuration())
        .PerPartition(absl::Seconds(60))
        .GroupBy(TumblingWindow("at", absl::Seconds(60)), "store")
        .Aggregate(Count().As("n"))
        .WriteTo(job.Sink("counts"), OutputMode::kAppend);
  });
  kit.topic().AddPartitions(2);
  kit.Add({{"store", 1}, {"at", "2025-01-01T00:00:10Z"}}, 0);
  kit.Add({{"store", 2}, {"at", "2025-01-01T00:00:20Z"}}, 1);
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_THAT(Batch(kit), IsEmpty());
  kit.Add({{"store", 1}, {"at", "2025-01-01T00:10:00Z"}}, 0);
  EXPECT_THAT(Batch(kit), IsEmpty());
  EXPECT_THAT(Batch(kit), IsEmpty());  // rose from 00:00:10 to 00:00:20, where partition 1 stands
  ExpectNothingToDo(kit);
  kit.clock().Advance(absl::Seconds(61));
  kit.Add({{"store", 1}, {"at", "2025-01-01T00:10:01Z"}}, 0);
  EXPECT_THAT(Batch(kit), ElementsAre(Row("00:00", 1, 1), Row("00:00", 2, 1)));
}

TEST(WithoutAggregate, RowsPassInOrder) {
  TestKit kit([](Job& job) {
    return job.Source("events")
        .Decode(Json(Schema().Int64("id").String("op")))
        .Filter(Col("op") != "delete")
        .Select("id", (Col("id") * 2).As("twice"), "kafka_offset")
        .WriteTo(job.Sink("rows"), OutputMode::kAppend);
  });
  for (int64_t id : {3, 1, 2}) kit.Add({{"id", id}, {"op", "insert"}});
  kit.Add({{"id", 9}, {"op", "delete"}});
  EXPECT_THAT(Batch(kit), ElementsAre(R"({"id":3,"twice":6,"kafka_offset":0})",
                                      R"({"id":1,"twice":2,"kafka_offset":1})",
                                      R"({"id":2,"twice":4,"kafka_offset":2})"));
  ExpectNothingToDo(kit);
}

TEST(AfterAggregate, FilterAndColumnsApplyToResults) {
  TestKit kit([](Job& job) {
    return job.Source("events")
        .Decode(Json(Schema().String("shop").Int64("amount")))
        .GroupBy("shop")
        .Aggregate(Sum("amount"), Avg("amount").As("mean"), Min("amount").As("low"),
                   Max("amount").As("high"))
        .Filter(Col("sum(amount)") > 5)
        .WithColumn("key", RowKey(Col("shop"), Col("low")))
        .WriteTo(job.Sink("shops").Key("key"), OutputMode::kComplete);
  });
  kit.Add({{"shop", "a|b"}, {"amount", 4}});
  kit.Add({{"shop", "a|b"}, {"amount", 3}});
  kit.Add({{"shop", nullptr}, {"amount", 6}});
  kit.Add({{"shop", "c"}, {"amount", 5}});
  kit.Add({{"shop", "c"}, {"amount", nullptr}});
  EXPECT_THAT(
      Batch(kit),
      ElementsAre(
          R"~({"shop":null,"sum(amount)":6,"mean":6.0,"low":6,"high":6,"key":"\\N|6"})~",
          R"~({"shop":"a|b","sum(amount)":7,"mean":3.5,"low":3,"high":4,"key":"a\\|b|3"})~"));
}

TEST(AfterAggregate, AFailingExpressionNamesTheGroup) {
  TestKit kit([](Job& job) {
    return job.Source("events")
        .Decode(Json(Schema().String("shop").Int64("amount")))
        .GroupBy("shop")
        .Aggregate(Sum("amount").As("total"))
        .WithColumn("share", Lit(100) % Col("total"))
        .WriteTo(job.Sink("shops"), OutputMode::kUpdate);
  });
  kit.Add({{"shop", "berlin"}, {"amount", 0}});
  const absl::Status status = kit.RunBatch().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("berlin"));
}

}  // namespace
}  // namespace tidemark
