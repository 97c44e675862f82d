#include "examples/customers_cdc/customers_cdc.h"
#include "tidemark/engine/job_runner.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(argc, argv,
                          {.name = "customers_cdc",
                           .pipeline = &tidemark::examples::CustomersCdc,
                           .generator = &tidemark::examples::FakeCustomerChange,
                           .help = "Shows the changes of the customers table as they come.",
                           .defaults = {{"truncate", "false"}}});
}
