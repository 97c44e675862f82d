#include <cstdio>

#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/test_kit.h"
#include "tidemark/operators/sinks/parquet_sink.h"

using namespace tidemark;

Query OrdersPerShop(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema().Int64("shop").Timestamp("created_at")))
      .WithWatermark("created_at", absl::Minutes(10))
      .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "shop")
      .Aggregate(Count().As("orders"))
      .WriteTo(job.Sink("orders_per_shop").Key("window_start", "shop"), OutputMode::kUpdate);
}

// True if Arrow is found where the library was installed.
bool CanWriteParquet(const char* folder) {
  SinkContext context;
  context.query_id = "0123abcd-4567-4e89-8abc-def012345678";
  context.schema = Schema().Int64("id");
  const absl::Status status = MakeParquetSink(folder)->Open(context);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok();
}

int main(int argc, char** argv) {
  if (argc > 1) return CanWriteParquet(argv[1]) ? 0 : 1;
  TestKit kit(&OrdersPerShop);
  kit.Add({{"shop", 7}, {"created_at", "2025-01-02T10:01:00Z"}});
  kit.Add({{"shop", 7}, {"created_at", "2025-01-02T10:02:00Z"}});
  if (!kit.RunBatch().ok()) return 1;
  for (const std::string& row : kit.Rows()) std::printf("%s\n", row.c_str());
}
