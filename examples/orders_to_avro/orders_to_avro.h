#ifndef TIDEMARK_EXAMPLES_ORDERS_TO_AVRO_ORDERS_TO_AVRO_H_
#define TIDEMARK_EXAMPLES_ORDERS_TO_AVRO_ORDERS_TO_AVRO_H_

#include "tidemark/engine/job_runner.h"
#include "tidemark/engine/pipeline.h"

namespace tidemark::examples {

/// The rows of the polled table `new_orders` as OrderRecords, created_at as text with milliseconds.
/// A row with a null, which the record does not know, is a bad record.
Query OrdersToAvro(Job& job);
/// The table is read by order_id; how far shows the table streaming_offsets.
PollingOptions NewOrdersTable();

/// The OrderRecords of the topic, as they are.
Query OrdersAvroToJson(Job& job);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_ORDERS_TO_AVRO_ORDERS_TO_AVRO_H_
