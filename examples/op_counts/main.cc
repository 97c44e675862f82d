#include "examples/op_counts/op_counts.h"
#include "tidemark/engine/job_runner.h"

int main(int argc, char** argv) {
  return tidemark::RunJob(
      argc, argv,
      {.name = "op_counts",
       .pipeline = &tidemark::examples::OpCounts,
       .generator = &tidemark::examples::FakeOrderChange,
       .help = "Counts the changes of the orders table by kind, and sums their quantities."});
}
