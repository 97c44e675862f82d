#include "examples/orders_to_avro/orders_to_avro.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "orders_to_avro",
       .pipeline = &tidemark::examples::OrdersToAvro,
       .help = "Publishes what is inserted into the table new_orders as Avro records.",
       .table = tidemark::examples::NewOrdersTable(),
       .defaults = {{"sink-format", "avro"}}});
}
