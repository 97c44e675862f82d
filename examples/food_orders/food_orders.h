#ifndef TIDEMARK_EXAMPLES_FOOD_ORDERS_FOOD_ORDERS_H_
#define TIDEMARK_EXAMPLES_FOOD_ORDERS_FOOD_ORDERS_H_

#include "tidemark/engine/job_runner.h"
#include "tidemark/engine/pipeline.h"

namespace tidemark::examples {

/// The rows of the polled table `orders`, as they are, to the topic food_orders_raw.
Query FoodOrdersProducer(Job& job);
/// The table is read by created_at.
PollingOptions FoodOrdersTable();

/// The topic's orders to the lake, with `date`, the day of created_at. Orders without order_id, or
/// whose amount is not at least the parameter `min_amount`, are bad records.
Query FoodOrdersLake(Job& job);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_FOOD_ORDERS_FOOD_ORDERS_H_
