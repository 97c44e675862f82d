#ifndef TIDEMARK_ENGINE_JOB_CONNECTORS_H_
#define TIDEMARK_ENGINE_JOB_CONNECTORS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/engine/config.h"
#include "tidemark/engine/query_options.h"
#include "tidemark/operators/clients/database_address.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

// Where a job reads and writes, from its config: the parts of MakeQueryOptions that are about
// servers and folders. What does not fit is left in the reader.

/// The job's topic is inside the process: there is no broker, and no table either.
bool IsEmbedded(const Config& config, const JobDefinition& definition);

/// The properties of --kafka.
std::map<std::string, std::string> ClientProperties(const Config& config);

/// The password for `server`, of the kind `kind`: the secret `key` of the config
/// (`source-password`), else the variable TIDEMARK_<kind>_PASSWORD, else the first line of the file
/// that TIDEMARK_<kind>_PASSWORD_FILE names, else empty. InvalidArgument: that file cannot be read.
absl::Status ReadPassword(const Config& config, const std::string& key, const std::string& kind,
                          const Environment& environment, DatabaseAddress* server);

/// `url`, or what else was given for one, for messages: `mongo://...@host/db?...`, as a password
/// may stand before the @ or among the parameters.
std::string WithoutSecrets(const std::string& url);

void ReadInput(const Config& config, const JobDefinition& definition,
               const Environment& environment, ConfigReader* reader, QueryOptions* options);
void ReadOutput(const Config& config, const Environment& environment, ConfigReader* reader,
                QueryOptions* options);

/// InvalidArgument, with the place where it stands: `rows`, the pipeline's result, do not have the
/// columns that ?partition_by of --sink names. Asked before the sink is, which does not know the
/// place.
absl::Status CheckPartitions(const Config& config, const Schema& rows);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_JOB_CONNECTORS_H_
