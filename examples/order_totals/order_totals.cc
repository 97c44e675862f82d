#include "examples/order_totals/order_totals.h"

#include <fmt/format.h>

#include <array>

#include "tidemark/operators/rows/text.h"

namespace tidemark::examples {
namespace {

constexpr int64_t kStartMs = 1'736'150'400'000;  // 2025-01-06T08:00:00Z
constexpr int64_t kStepMs = 120;                 // between two orders of a partition
constexpr int64_t kLongestDelayMs = 60'000;
constexpr std::array kRegions = {"north", "south", "west"};

// Avro's int and long: zigzag, seven bits a byte, the lowest first.
void AppendLong(int64_t value, std::string* datum) {
  uint64_t rest = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  for (; rest > 0x7F; rest >>= 7) datum->push_back(static_cast<char>(rest | 0x80));
  datum->push_back(static_cast<char>(rest));
}

}  // namespace

Query OrderTotals(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema()
                       .Int64("itemid")
                       .Int64("orderid")
                       .Int64("shopid")
                       .String("region")
                       .Int64("count")
                       .Timestamp("created_at")))
      .WithWatermark("created_at", absl::Minutes(10))
      .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "shopid", "region")
      .Aggregate(Count().As("orders"), Sum("count").As("items"))
      .Select(RowKey(Col("window_start"), Col("shopid"), Col("region")).As("rowkey"),
              "window_start", "window_end", "shopid", "region", "orders", "items")
      .WriteTo(job.Sink("order_totals").Key("rowkey"), OutputMode::kUpdate,
               Trigger::Every(absl::Seconds(10)));
}

Order MakeOrder(uint64_t seed, int32_t partition, int64_t offset) {
  RecordRandom random(seed, partition, offset);
  Order order;
  order.orderid = 1 + offset * 1000 + partition;
  order.itemid = 1 + random.Below(500);
  order.shopid = 1 + random.Below(2);
  order.region = kRegions[static_cast<size_t>(random.Below(kRegions.size()))];
  order.count = 1 + random.Below(4);
  order.delay_ms = random.Below(kLongestDelayMs);
  return order;
}

std::string Order::Json(int64_t now_ms) const {
  std::string created;
  AppendTimestamp((now_ms - delay_ms) * 1000, &created);
  return fmt::format(
      R"({{"itemid":{},"orderid":{},"shopid":{},"region":"{}","count":{},"created_at":"{}"}})",
      itemid, orderid, shopid, region, count, created);
}

std::string Order::Avro(int64_t now_ms) const {
  std::string datum;
  AppendLong(itemid, &datum);
  AppendLong(orderid, &datum);
  AppendLong(shopid, &datum);
  AppendLong(static_cast<int64_t>(region.size()), &datum);
  datum += region;
  AppendLong(count, &datum);
  AppendLong(now_ms - delay_ms, &datum);
  return datum;
}

GeneratedRecord FakeOrder(uint64_t seed, int32_t partition, int64_t offset) {
  const Order order = MakeOrder(seed, partition, offset);
  const int64_t now_ms = kStartMs + offset * kStepMs;
  return {std::to_string(order.orderid), order.Json(now_ms), now_ms};
}

}  // namespace tidemark::examples
