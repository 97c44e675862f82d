#ifndef TIDEMARK_ENGINE_JOB_RUNNER_H_
#define TIDEMARK_ENGINE_JOB_RUNNER_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sources/polling_options.h"
#include "tidemark/operators/sources/record_generator.h"

namespace tidemark {

/// A parameter of a job's own: what Job::Param gives, from --param NAME=VALUE, TIDEMARK_PARAM,
/// `params:` in the config file, or `fallback`. Names that are not declared are refused.
struct JobParameter {
  std::string name;
  std::string help;
  std::string fallback = "";
  bool in_logs = false;    ///< every log line of the job carries it: a contact, a tenant
  bool is_number = false;  ///< what is no finite number is refused, with the place where it stands
};

/// A program that runs one pipeline.
struct JobDefinition {
  std::string name;
  Query (*pipeline)(Job&) = nullptr;
  RecordGenerator generator =
      nullptr;            ///< feeds the embedded broker; null: the job needs a real one
  std::string help = "";  ///< what the job does, in one sentence, for --help
  /// A job that polls a table (--source mysql://... or postgres://...) instead of reading a topic:
  /// how, unless flags say else. Its pipeline decodes Rows(...).
  std::optional<PollingOptions> table = std::nullopt;
  std::vector<JobParameter> params = {};
  std::map<std::string, std::string> defaults =
      {};  ///< flag (`truncate`) to the value it has in this job if nothing says else
};

/// The main function of a job: reads flags, environment and config file (design, section 6), runs
/// the query until it ends or is stopped, and returns the exit code (0, 1, 2, 3 or 4).
///
/// Call it first in main, before any thread is started: it blocks SIGINT and SIGTERM, the first of
/// which ends the query cleanly within 10 seconds and the second at once, and ignores SIGPIPE.
/// Results go to standard output; logs, the words `New query, ...`, `Resumed from ...`, `Summary:
/// ...` and `error: ...` to standard error.
int RunJob(int argc, char** argv, const JobDefinition& definition);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_JOB_RUNNER_H_
