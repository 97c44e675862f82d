#include "examples/food_orders/food_orders.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "food_orders_producer",
       .pipeline = &tidemark::examples::FoodOrdersProducer,
       .help = "Publishes what is inserted into the table orders to the topic food_orders_raw.",
       .table = tidemark::examples::FoodOrdersTable()});
}
