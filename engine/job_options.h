#ifndef TIDEMARK_ENGINE_JOB_OPTIONS_H_
#define TIDEMARK_ENGINE_JOB_OPTIONS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/engine/config.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/query_options.h"

namespace tidemark {

/// The job's parameters: declared fallbacks, overruled by the config.
std::map<std::string, std::string> JobParameters(const Config& config,
                                                 const JobDefinition& definition);

/// Replaces what the config says in the one node that it concerns. InvalidArgument: a value that
/// does not fit, or a pipeline without such a node, or with two.
absl::Status ApplyToPlan(const Config& config, Plan* plan);

/// Where the query reads, writes and keeps its checkpoint, and how it runs: all but clock, logger
/// and progress. InvalidArgument: a value that does not fit.
absl::StatusOr<QueryOptions> MakeQueryOptions(const Config& config, const JobDefinition& definition,
                                              const Environment& environment);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_JOB_OPTIONS_H_
