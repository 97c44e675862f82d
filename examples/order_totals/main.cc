#include "examples/order_totals/order_totals.h"
#include "tidemark/engine/job_runner.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "order_totals",
       .pipeline = &tidemark::examples::OrderTotals,
       .generator = &tidemark::examples::FakeOrder,
       .help = "Sums the orders and items of each shop and region, in windows of five minutes.",
       .params = {{.name = "contact",
                   .help = "e-mail of who looks after the job; in every line of its log",
                   .in_logs = true}},
       .defaults = {{"truncate", "60"}}});
}
