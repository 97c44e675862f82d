#include "examples/op_counts/op_counts.h"

#include <fmt/format.h>

#include <array>

namespace tidemark::examples {
namespace {

constexpr int64_t kStartMs = 1'736'150'400'000;  // 2025-01-06T08:00:00Z
constexpr int64_t kStepMs = 250;                 // between two changes of a partition
constexpr std::array kProducts = {"bicycle", "lamp", "bell", "saddle", "pump"};

}  // namespace

Query OpCounts(Job& job) {
  return job.Source("orders_cdc")
      .Decode(Json(Schema().Int64("order_id").String("product").Int64("quantity").String("op")))
      .GroupBy("op")
      .Aggregate(Count().As("event_count"), Sum("quantity").As("total_quantity"))
      .WriteTo(job.Sink("op_counts").Key("op"), OutputMode::kComplete,
               Trigger::Every(absl::Seconds(10)));
}

GeneratedRecord FakeOrderChange(uint64_t seed, int32_t partition, int64_t offset) {
  RecordRandom random(seed, partition, offset);
  const int64_t kind = offset == 0 ? 0 : random.Below(10);
  const char* op = kind < 6 ? "insert" : kind < 9 ? "update" : "delete";
  const int64_t order = kind < 6 ? offset : random.Below(offset);
  const int64_t id = 1 + order * 1000 + partition;
  const char* product = kProducts[static_cast<size_t>(id) % kProducts.size()];
  const int64_t quantity = kind < 9 ? 1 + random.Below(5) : 0;
  return {std::to_string(id),
          fmt::format(R"({{"order_id":{},"product":"{}","quantity":{},"op":"{}"}})", id, product,
                      quantity, op),
          kStartMs + offset * kStepMs};
}

}  // namespace tidemark::examples
