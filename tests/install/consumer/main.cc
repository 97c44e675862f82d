#include <cstdio>

#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/test_kit.h"

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
  TestKit kit(&OrdersPerShop);
  kit.Add({{"shop", 7}, {"created_at", "2025-01-02T10:01:00Z"}});
  kit.Add({{"shop", 7}, {"created_at", "2025-01-02T10:02:00Z"}});
  if (!kit.RunBatch().ok()) return 1;
  for (const std::string& row : kit.Rows()) std::printf("%s\n", row.c_str());
}
