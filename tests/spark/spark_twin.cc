// Our half of scripts/compare-with-spark: the pipelines that compare_with_spark.py also writes for
// Spark.
#include "tidemark/engine/job_runner.h"

namespace tidemark::testing {
namespace {

Query SparkTwin(Job& job) {
  const Stream decoded = job.Source("twin").Decode(
      Json(Schema().Int64("id").String("name").Int64("amount").Timestamp("at")));
  const SinkTarget sink = job.Sink("twin");
  const std::string shape = job.Param("shape");
  if (shape == "plain" || shape == "filtered") {
    const Stream kept = shape == "plain" ? decoded : decoded.Filter(Col("amount") > 0);
    return kept.Select("id", "name", "amount", "at")
        .WriteTo(sink, OutputMode::kAppend, Trigger::AvailableNow());
  }
  const GroupedStream groups = shape == "windowed"
                                   ? decoded.WithWatermark("at", absl::Seconds(30))
                                         .GroupBy(TumblingWindow("at", absl::Minutes(1)), "name")
                                   : decoded.GroupBy("name");
  return groups
      .Aggregate(Count().As("n"), Sum("amount").As("total"), Min("amount").As("least"),
                 Max("amount").As("most"), Avg("amount").As("mean"))
      .WriteTo(sink, OutputMode::kUpdate, Trigger::AvailableNow());
}

}  // namespace
}  // namespace tidemark::testing

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "spark_twin",
       .pipeline = &tidemark::testing::SparkTwin,
       .help = "Counts and sums by name, for the comparison with Spark.",
       .params = {{.name = "shape", .help = "windowed, flat, plain or filtered"}}});
}
