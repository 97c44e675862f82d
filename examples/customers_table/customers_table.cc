#include "examples/customers_table/customers_table.h"

namespace tidemark::examples {

Query CustomersTable(Job& job) {
  return job.Source("customers_cdc")
      .Decode(Json(Schema().Int64("id").String("name").String("email").String("op")))
      .Select("id", "name", "email", Col("op").As("last_op"))
      .WriteTo(job.Sink("customers_table").Key("id").DeleteWhen(Col("last_op") == "delete"),
               OutputMode::kAppend, Trigger::Every(absl::Seconds(1)));
}

}  // namespace tidemark::examples
