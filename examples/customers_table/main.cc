#include "examples/customers_cdc/customers_cdc.h"
#include "examples/customers_table/customers_table.h"
#include "tidemark/engine/job_runner.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "customers_table",
       .pipeline = &tidemark::examples::CustomersTable,
       .generator = &tidemark::examples::FakeCustomerChange,
       .help = "Merges the changes of the customers table into a table of MySQL, by id."});
}
