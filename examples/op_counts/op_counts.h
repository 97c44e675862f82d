#ifndef TIDEMARK_EXAMPLES_OP_COUNTS_OP_COUNTS_H_
#define TIDEMARK_EXAMPLES_OP_COUNTS_OP_COUNTS_H_

#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sources/record_generator.h"

namespace tidemark::examples {

/// How many changes of each kind there were, and the quantities in them: op, event_count,
/// total_quantity.
Query OpCounts(Job& job);

/// A made-up change of an order; a delete has quantity 0.
GeneratedRecord FakeOrderChange(uint64_t seed, int32_t partition, int64_t offset);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_OP_COUNTS_OP_COUNTS_H_
