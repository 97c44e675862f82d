#ifndef TIDEMARK_EXAMPLES_REGISTRATIONS_PER_STORE_REGISTRATIONS_PER_STORE_H_
#define TIDEMARK_EXAMPLES_REGISTRATIONS_PER_STORE_REGISTRATIONS_PER_STORE_H_

#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sources/record_generator.h"

namespace tidemark::examples {

/// How many customers registered at each store in each window: window_start, window_end, store_id,
/// registrations.
Query RegistrationsPerStore(Job& job);

/// A made-up registration: five stores, up to 90 seconds out of order, and a few that come far too
/// late.
GeneratedRecord FakeCustomer(uint64_t seed, int32_t partition, int64_t offset);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_REGISTRATIONS_PER_STORE_REGISTRATIONS_PER_STORE_H_
