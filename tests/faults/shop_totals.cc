#include "tests/faults/shop_totals.h"

#include <fmt/format.h>

#include <random>

#include "tidemark/operators/rows/text.h"

namespace tidemark::testing {

TestKit::Pipeline ShopTotals(OutputMode mode, Trigger trigger) {
  return [=](Job& job) {
    return job.Source("orders")
        .Decode(Json(Schema().String("shop").Int64("amount").Timestamp("at")))
        .WithWatermark("at", absl::Seconds(20))
        .GroupBy(TumblingWindow("at", absl::Minutes(1)), "shop")
        .Aggregate(Count().As("orders"), Sum("amount").As("amount"), Max("shop").As("last"))
        .WriteTo(job.Sink("totals").Key("window_start", "shop"), mode, trigger);
  };
}

void AddOrders(MemoryTopic& topic, int64_t from, int64_t count, unsigned shops) {
  for (int64_t i = from; i < from + count; ++i) {
    std::minstd_rand random(static_cast<unsigned>(i * 7919 + 13));
    random.discard(1);
    std::string at;
    AppendTimestamp((1'735'689'600 + i + static_cast<int64_t>(random() % 40)) * 1'000'000, &at);
    topic.Append(0, std::nullopt,
                 fmt::format(R"({{"shop":"shop {}","amount":{},"at":"{}"}})", random() % shops,
                             random() % 1000, at));
  }
}

std::vector<std::string> RowsOf(const MemoryTable& table) {
  std::vector<std::string> rows;
  for (const MemoryBatch& batch : table.Batches()) {
    for (const RowBatch& part : batch.rows) {
      part.selection().ForEach([&](uint32_t row) {
        std::string text = fmt::format("batch {}:", batch.marker.batch_id);
        for (size_t i = 0; i < part.schema().size(); ++i) {
          text += ' ';
          AppendJsonValue(part.column(i), row, &text);
        }
        rows.push_back(std::move(text));
      });
    }
  }
  return rows;
}

}  // namespace tidemark::testing
