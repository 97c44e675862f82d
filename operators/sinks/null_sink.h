#ifndef TIDEMARK_OPERATORS_SINKS_NULL_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_NULL_SINK_H_

#include <memory>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

/// Takes every row, counts and hashes it, and keeps nothing: for benchmarks. At least once; never
/// fails.
std::unique_ptr<Sink> MakeNullSink();

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_NULL_SINK_H_
