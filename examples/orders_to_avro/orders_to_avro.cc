#include "examples/orders_to_avro/orders_to_avro.h"

#include "examples/require.h"

namespace tidemark::examples {
namespace {

// The Avro record knows no null; the table may.
Expr NotNull(const std::string& column, DataType type) {
  return Require(Col(column), IsNotNull(Col(column)), type, column + " is not null");
}

}  // namespace

PollingOptions NewOrdersTable() {
  PollingOptions table;
  table.mode = PollingMode::kId;
  table.id_column = "order_id";
  table.mirror.table = "streaming_offsets";
  table.mirror.offset_column = "last_order_id";
  table.mirror.create_table = true;
  return table;
}

Query OrdersToAvro(Job& job) {
  return job.Source("new_orders")
      .Decode(Rows(
          Schema().Int32("order_id").Int32("customer_id").Double("amount").Timestamp("created_at")))
      .WithColumn("customer_id", NotNull("customer_id", DataType::Int32()))
      .WithColumn("amount", NotNull("amount", DataType::Double()))
      .WithColumn("created_at", DateFormat(NotNull("created_at", DataType::Timestamp()),
                                           "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"))
      .WriteTo(job.Sink("orders_avro_topic").Key("order_id"), OutputMode::kAppend);
}

Query OrdersAvroToJson(Job& job) {
  // That the records are Avro, and of which schema, is said by --format and --avro-schema.
  return job.Source("orders_avro_topic")
      .Decode(Json(
          Schema().Int32("order_id").Int32("customer_id").Double("amount").String("created_at")))
      .WriteTo(job.Sink("orders").Key("order_id"), OutputMode::kAppend);
}

}  // namespace tidemark::examples
