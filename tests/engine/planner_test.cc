#include "tidemark/engine/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tidemark/engine/pipeline.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

Stream Events() {
  return Job().Source("events").Decode(
      Json(Schema().Int64("store_id").String("op").Timestamp("created_at")));
}

SinkTarget Out() { return Job().Sink("out"); }

std::string Mistake(const Query& query) {
  const absl::StatusOr<BoundPlan> bound = BindPlan(query.plan, PlannerOptions());
  if (bound.ok()) return "(no mistake)";
  EXPECT_EQ(bound.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(bound.status().message());
}

TEST(Planner, NamesAnUnknownColumnAndTheNearest) {
  const std::string text =
      Mistake(Events().Filter(Col("store_ip") == 1).WriteTo(Out(), OutputMode::kAppend));
  EXPECT_THAT(text, HasSubstr("store_ip"));
  EXPECT_THAT(text, HasSubstr("store_id"));
}

TEST(Planner, AppendWithAnAggregateNeedsAWatermark) {
  EXPECT_THAT(
      Mistake(Events().GroupBy("store_id").Aggregate(Count()).WriteTo(Out(), OutputMode::kAppend)),
      HasSubstr("needs a watermark"));
  EXPECT_THAT(Mistake(Events()
                          .WithWatermark("created_at", absl::Minutes(1))
                          .GroupBy("store_id")
                          .Aggregate(Count())
                          .WriteTo(Out(), OutputMode::kAppend)),
              HasSubstr("needs a window over the watermarked column 'created_at'"));
  EXPECT_EQ(Mistake(Events()
                        .WithWatermark("created_at", absl::Minutes(1))
                        .GroupBy("created_at")
                        .Aggregate(Count())
                        .WriteTo(Out(), OutputMode::kAppend)),
            "(no mistake)");
}

TEST(Planner, CompleteNeedsAnAggregate) {
  EXPECT_THAT(Mistake(Events().WriteTo(Out(), OutputMode::kComplete)),
              HasSubstr("complete needs an aggregate"));
}

TEST(Planner, KeyColumnsMustBeInTheOutput) {
  const std::string text =
      Mistake(Events()
                  .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "store_id")
                  .Aggregate(Count().As("n"))
                  .WriteTo(Out().Key("window_star", "store_id"), OutputMode::kUpdate));
  EXPECT_THAT(text, HasSubstr("'window_star'"));
  EXPECT_THAT(text, HasSubstr("did you mean 'window_start'"));
}

TEST(Planner, WindowsNeedATimestamp) {
  EXPECT_THAT(Mistake(Events()
                          .GroupBy(TumblingWindow("op", absl::Minutes(5)))
                          .Aggregate(Count())
                          .WriteTo(Out(), OutputMode::kUpdate)),
              HasSubstr("op"));
  EXPECT_NE(Mistake(Events()
                        .GroupBy(TumblingWindow("created_at", absl::ZeroDuration()))
                        .Aggregate(Count())
                        .WriteTo(Out(), OutputMode::kUpdate)),
            "(no mistake)");
}

TEST(Planner, ReportsSeveralMistakesAtOnce) {
  const std::string text = Mistake(Events()
                                       .Filter(Col("nope") == 1)
                                       .WithWatermark("created_at", -absl::Minutes(1))
                                       .GroupBy("store_id")
                                       .Aggregate(Count())
                                       .WriteTo(Out().Key("nothing"), OutputMode::kUpdate,
                                                Trigger::Every(absl::ZeroDuration())));
  EXPECT_THAT(text, HasSubstr("nope"));
  EXPECT_THAT(text, HasSubstr("negative"));
  EXPECT_THAT(text, HasSubstr("nothing"));
  EXPECT_THAT(text, HasSubstr("interval"));
}

TEST(Planner, StepsInTheWrongPlace) {
  EXPECT_THAT(Mistake(Job().Source("t").Filter(Col("a") == 1).WriteTo(Out(), OutputMode::kAppend)),
              HasSubstr("Decode()"));
  EXPECT_THAT(Mistake(Events().PerPartition(absl::Minutes(1)).WriteTo(Out(), OutputMode::kAppend)),
              HasSubstr("must follow WithWatermark()"));
  EXPECT_THAT(Mistake(Events()
                          .GroupBy("op")
                          .Aggregate(Count())
                          .WithWatermark("created_at", absl::Minutes(1))
                          .WriteTo(Out(), OutputMode::kUpdate)),
              HasSubstr("before the aggregate"));
  EXPECT_THAT(Mistake(Query()), HasSubstr("no sink"));
}

TEST(Planner, HiddenKafkaColumnsReachTheSinkOnlyIfSelected) {
  const absl::StatusOr<BoundPlan> used = BindPlan(
      Events().Filter(Col("kafka_partition") == 0).WriteTo(Out(), OutputMode::kAppend).plan,
      PlannerOptions());
  ASSERT_TRUE(used.ok()) << used.status();
  EXPECT_EQ(used->output->ToString(), "[store_id int64, op string, created_at timestamp]");
  const absl::StatusOr<BoundPlan> selected =
      BindPlan(Events().Select("op", "kafka_key").WriteTo(Out(), OutputMode::kAppend).plan,
               PlannerOptions());
  ASSERT_TRUE(selected.ok()) << selected.status();
  EXPECT_EQ(selected->output->ToString(), "[op string, kafka_key bytes]");
}

std::string FingerprintOf(const Query& query) {
  const absl::StatusOr<BoundPlan> bound = BindPlan(query.plan, PlannerOptions());
  EXPECT_TRUE(bound.ok()) << bound.status();
  return bound.ok() ? bound->fingerprint : "";
}

TEST(Fingerprint, CoversWhatChangesTheAnswerAndNothingElse) {
  const auto query = [](absl::Duration delay, absl::Duration window, const std::string& key,
                        OutputMode mode, Trigger trigger) {
    return Events()
        .WithWatermark("created_at", delay)
        .GroupBy(TumblingWindow("created_at", window), key)
        .Aggregate(Count().As("n"))
        .WriteTo(Out(), mode, trigger);
  };
  const std::string base = FingerprintOf(
      query(absl::Minutes(1), absl::Minutes(5), "store_id", OutputMode::kUpdate, Trigger::Asap()));
  // Free: the watermark's delay, the trigger.
  EXPECT_EQ(base, FingerprintOf(query(absl::Minutes(2), absl::Minutes(5), "store_id",
                                      OutputMode::kUpdate, Trigger::Every(absl::Seconds(1)))));
  const std::string window = FingerprintOf(
      query(absl::Minutes(1), absl::Minutes(6), "store_id", OutputMode::kUpdate, Trigger::Asap()));
  EXPECT_NE(base, window);
  EXPECT_THAT(FingerprintDifference(base, window), HasSubstr("window=created_at/360000000us"));
  EXPECT_NE(base, FingerprintOf(query(absl::Minutes(1), absl::Minutes(5), "op", OutputMode::kUpdate,
                                      Trigger::Asap())));
  EXPECT_NE(base, FingerprintOf(query(absl::Minutes(1), absl::Minutes(5), "store_id",
                                      OutputMode::kAppend, Trigger::Asap())));
}

TEST(Explain, PrintsALineANode) {
  const Query query =
      Events()
          .WithWatermark("created_at", absl::Minutes(10))
          .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "store_id")
          .Aggregate(Count().As("registrations"))
          .WriteTo(Out().Key("store_id"), OutputMode::kUpdate, Trigger::Every(absl::Seconds(10)));
  EXPECT_EQ(Explain(query.plan),
            " 1  Source events\n"
            " 2  Decode json [store_id int64, op string, created_at timestamp]\n"
            " 3  Watermark created_at delay 10 minutes, max future skew 1 hour\n"
            " 4  Aggregate by window(created_at, 5 minutes), store_id: count() AS registrations\n"
            " 5  Sink out key store_id, update mode, trigger 10 seconds\n");
}

TEST(Durations, ReadAsPeopleWriteThem) {
  EXPECT_EQ(*ParseDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("5 minutes"), absl::Minutes(5));
  EXPECT_EQ(*ParseDuration("1h"), absl::Hours(1));
  EXPECT_EQ(*ParseDuration("1 hour 30 minutes"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("0"), absl::ZeroDuration());
  for (const char* bad :
       {"", "5", "-5s", "5 parsecs", "s", "1.2.3s", "1h x", "99999999999999 weeks"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
  EXPECT_EQ(DurationText(absl::Seconds(90)), "90 seconds");
  EXPECT_EQ(DurationText(absl::Minutes(5)), "5 minutes");
}

}  // namespace
}  // namespace tidemark
