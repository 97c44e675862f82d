#ifndef TIDEMARK_ENGINE_FLAGS_H_
#define TIDEMARK_ENGINE_FLAGS_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/engine/job_runner.h"

namespace tidemark {

/// A flag that every job has. The same name with `_` for `-` is a key of the config file, in
/// capitals behind `TIDEMARK_` an environment variable.
struct Flag {
  /// kSwitch: no value; kPairs: NAME=VALUE, may be repeated (a map in the config file); the others:
  /// one value. kSecret: never on the command line, where everybody sees it, and in the config file
  /// only as `${env:NAME}` or `${file:PATH}`.
  enum class Kind { kText, kSwitch, kPairs, kSecret };
  std::string name;   ///< without dashes
  std::string value;  ///< how --help names the value
  std::string help;
  std::string group;  ///< its heading in --help
  Kind kind = Kind::kText;
  bool command_line_only = false;
};

/// All of them, in the order of --help.
const std::vector<Flag>& AllFlags();
const Flag* FindFlag(std::string_view name);

std::string EnvironmentName(const Flag& flag);  ///< `TIDEMARK_MAX_OFFSETS_PER_TRIGGER`
std::string ConfigKey(const Flag& flag);        ///< `max_offsets_per_trigger`

/// The values given on the command line, by flag. InvalidArgument: an unknown flag (the message
/// names the nearest one), a value that is missing, a flag given twice that may not be.
absl::StatusOr<std::map<std::string, std::vector<std::string>>> ParseCommandLine(
    int argc, const char* const* argv);

/// The text of --help.
std::string HelpText(const JobDefinition& definition);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_FLAGS_H_
