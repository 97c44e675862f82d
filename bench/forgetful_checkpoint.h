#ifndef TIDEMARK_BENCH_FORGETFUL_CHECKPOINT_H_
#define TIDEMARK_BENCH_FORGETFUL_CHECKPOINT_H_

#include "tidemark/engine/query_options.h"

namespace tidemark {

/// Keeps the meta rows in memory and drops the state: what a run without a checkpoint is compared
/// by. Only for runs whose state fits in memory, as nothing can be looked up.
CheckpointLocation ForgetfulCheckpoint();

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_FORGETFUL_CHECKPOINT_H_
