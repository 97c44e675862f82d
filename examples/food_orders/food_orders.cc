#include "examples/food_orders/food_orders.h"

#include <fmt/format.h>

#include <cmath>

#include "absl/strings/numbers.h"
#include "examples/require.h"

namespace tidemark::examples {
namespace {

Schema OrderColumns() {
  return Schema()
      .Int64("order_id")
      .String("customer_name")
      .String("restaurant_name")
      .String("item")
      .Double("amount")
      .String("order_status")
      .Timestamp("created_at");
}

}  // namespace

PollingOptions FoodOrdersTable() {
  PollingOptions table;
  table.mode = PollingMode::kTimestamp;
  table.timestamp_column = "created_at";
  table.poll_interval = absl::Seconds(5);
  return table;
}

Query FoodOrdersProducer(Job& job) {
  return job.Source("orders")
      .Decode(Rows(OrderColumns()))
      .WriteTo(job.Sink("food_orders_raw").Key("order_id"), OutputMode::kAppend);
}

Query FoodOrdersLake(Job& job) {
  const std::string limit = job.Param("min_amount", "0");
  double min_amount = 0;
  const bool is_number = absl::SimpleAtod(limit, &min_amount) && std::isfinite(min_amount);
  const Expr order_id = Col("order_id");
  const Expr amount = Col("amount");
  Query query = job.Source("food_orders_raw")
                    .Decode(Json(OrderColumns()))
                    .WithColumn("order_id", Require(order_id, IsNotNull(order_id),
                                                    DataType::Int64(), "order_id is not null"))
                    .WithColumn("amount", Require(amount, amount >= min_amount, DataType::Double(),
                                                  fmt::format("amount >= {}", min_amount)))
                    .WithColumn("date", Cast(Col("created_at"), DataType::Date()))
                    .WriteTo(job.Sink("food_orders"), OutputMode::kAppend);
  if (!is_number) {
    query.plan.problems.push_back(
        fmt::format("the parameter min_amount is '{}'; give it a number, as in 0.5", limit));
  }
  return query;
}

}  // namespace tidemark::examples
