#include "examples/orders_to_avro/orders_to_avro.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(argc, argv,
                          {.name = "orders_avro_to_json",
                           .pipeline = &tidemark::examples::OrdersAvroToJson,
                           .help = "Writes the Avro records of orders_avro_topic as JSON files.",
                           .defaults = {{"format", "avro"}}});
}
