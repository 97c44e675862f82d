#ifndef TIDEMARK_EXAMPLES_CUSTOMERS_CDC_CUSTOMERS_CDC_H_
#define TIDEMARK_EXAMPLES_CUSTOMERS_CDC_CUSTOMERS_CDC_H_

#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sources/record_generator.h"

namespace tidemark::examples {

/// The changes of the customers table as they come: id, name, email, op.
Query CustomersCdc(Job& job);

/// A made-up change: most are inserts, the others change or delete an earlier customer.
GeneratedRecord FakeCustomerChange(uint64_t seed, int32_t partition, int64_t offset);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_CUSTOMERS_CDC_CUSTOMERS_CDC_H_
