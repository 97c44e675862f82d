// The query whose process the fault tests end: windows of ten seconds over `faults`, all kinds of
// accumulators. `--output-mode` and `--sink` choose the rest.
#include "tidemark/engine/job_runner.h"

namespace tidemark::testing {
namespace {

Query FaultTotals(Job& job) {
  return job.Source("faults")
      .Decode(Json(Schema().Int64("id").String("name").Int64("amount").Timestamp("created_at")))
      .WithWatermark("created_at", absl::Seconds(5))
      .GroupBy(TumblingWindow("created_at", absl::Seconds(10)), "name")
      .Aggregate(Count().As("records"), Sum("amount").As("total"), Max("id").As("last_id"))
      .Select("window_start", "name", "records", "total", "last_id")
      .WriteTo(job.Sink("totals").Key("window_start", "name"), OutputMode::kUpdate,
               Trigger::AvailableNow());
}

}  // namespace
}  // namespace tidemark::testing

int main(int argc, char** argv) {
  return tidemark::RunJob(argc, argv,
                          {.name = "fault_job",
                           .pipeline = &tidemark::testing::FaultTotals,
                           .help = "Counts and sums by name, in windows of ten seconds."});
}
