#include <cstdio>

#include "tidemark/engine/pipeline.h"

using namespace tidemark;

Query OrdersPerShop(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema().Int64("shop").Timestamp("created_at")))
      .WithWatermark("created_at", absl::Minutes(10))
      .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "shop")
      .Aggregate(Count().As("orders"))
      .WriteTo(job.Sink("orders_per_shop").Key("window_start", "shop"), OutputMode::kUpdate);
}

int main() {
  Job job;
  std::printf("nodes=%zu\n", OrdersPerShop(job).plan.nodes.size());
}
