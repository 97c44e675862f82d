#include "examples/registrations_per_store/registrations_per_store.h"
#include "tidemark/engine/job_runner.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "registrations_per_store",
       .pipeline = &tidemark::examples::RegistrationsPerStore,
       .generator = &tidemark::examples::FakeCustomer,
       .help = "Counts the customers that register at each store, in windows of five minutes."});
}
