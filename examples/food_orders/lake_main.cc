#include "examples/food_orders/food_orders.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "food_orders_lake",
       .pipeline = &tidemark::examples::FoodOrdersLake,
       .help = "Checks the orders of food_orders_raw and files them by day, as Parquet.",
       .params = {{.name = "min_amount",
                   .help = "the least amount of an order",
                   .fallback = "0",
                   .is_number = true}}});
}
