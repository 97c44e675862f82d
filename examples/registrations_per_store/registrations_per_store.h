#ifndef TIDEMARK_EXAMPLES_REGISTRATIONS_PER_STORE_REGISTRATIONS_PER_STORE_H_
#define TIDEMARK_EXAMPLES_REGISTRATIONS_PER_STORE_REGISTRATIONS_PER_STORE_H_

#include <cstdint>
#include <string>

#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sources/record_generator.h"

namespace tidemark::examples {

/// How many customers registered at each store in each window: window_start, window_end, store_id,
/// registrations.
Query RegistrationsPerStore(Job& job);

/// What the trigger logged in the table users_change_events, as JSON to the topic of that name;
/// key: customer_id.
Query PublishUserChanges(Job& job);

/// A made-up person, the same for the same arguments for ever; `email` is another for each.
struct Person {
  std::string first_name;
  std::string last_name;
  std::string email;
  int64_t store_id = 0;
};
Person MakePerson(uint64_t seed, int64_t number);

/// A made-up registration: five stores, up to 90 seconds out of order, and a few that come far too
/// late.
GeneratedRecord FakeCustomer(uint64_t seed, int32_t partition, int64_t offset);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_REGISTRATIONS_PER_STORE_REGISTRATIONS_PER_STORE_H_
