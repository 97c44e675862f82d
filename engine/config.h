#ifndef TIDEMARK_ENGINE_CONFIG_H_
#define TIDEMARK_ENGINE_CONFIG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/engine/job_runner.h"

namespace tidemark {

/// One value as it was given, and where: `--window`, `TIDEMARK_WINDOW`, `prod.yaml:3: window`.
/// Messages begin with the origin.
struct Setting {
  std::string value;
  std::string origin;
};

/// What a job was told, from the strongest place that says something: flag, environment, config
/// file. What none of them says stays as the code has it.
struct Config {
  std::map<std::string, Setting> settings;  ///< by flag
  std::map<std::string, Setting> kafka;     ///< --kafka, by key, without `kafka.`
  std::map<std::string, Setting> params;    ///< --param, by name

  const Setting* Find(const std::string& flag) const {
    const auto found = settings.find(flag);
    return found == settings.end() ? nullptr : &found->second;
  }
};

/// An environment variable's value, if it is set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
/// The process's own.
std::optional<std::string> ProcessEnvironment(const std::string& name);

/// What stands in a file for one password: its first line. Nothing: there is none, or it has more
/// than 64 KiB.
std::optional<std::string> FirstLineOf(const std::string& path);

/// Reads everything. `--profile NAME` without `--config` reads `examples/<job>/<job>.yaml`; the
/// profile `test` means the embedded broker unless it names another. InvalidArgument, in one
/// sentence that names the place and the nearest known word: unknown flags, keys, parameters and
/// profiles, values of the wrong shape, an unreadable file. After --help and --version nothing else
/// is read.
absl::StatusOr<Config> LoadConfig(int argc, const char* const* argv,
                                  const JobDefinition& definition, const Environment& environment);

/// The same for values the config file holds, by flag; called by LoadConfig. `profile` may be
/// empty. In every value `${env:NAME}` stands for that environment variable, `${env:NAME:-DEFAULT}`
/// for DEFAULT if it is not set or empty, and `${file:PATH}` for the first line of that file.
absl::StatusOr<Config> ReadConfigFile(const std::string& path, const std::string& profile,
                                      const Environment& environment);

/// `no such flag; did you mean --window?`: the end of a message about `word`, which is none of
/// `known`. Without a near one it lists `known`, if they are few.
std::string DidYouMean(const std::string& word, const std::vector<std::string>& known,
                       const std::string& prefix = "");

/// Turns texts into values, and remembers the first that does not fit. What was not given leaves
/// its output as it is.
class ConfigReader {
 public:
  explicit ConfigReader(const Config& config) : config_(config) {}

  void Text(const std::string& flag, std::string* out);
  void Integer(const std::string& flag, int64_t least, int64_t most, int64_t* out);
  void Unsigned(const std::string& flag, uint64_t* out);
  void Bool(const std::string& flag, bool* out);
  /// `384MiB`, `1GiB`, `64m`, `1048576`; binary multiples, whatever the spelling.
  void Bytes(const std::string& flag, size_t least, size_t* out);
  void Duration(const std::string& flag, bool zero_allowed, absl::Duration* out);
  /// The value's place in `known`.
  void OneOf(const std::string& flag, const std::vector<std::string>& known, size_t* out);
  /// Flags that nothing would use, if they were given on the command line. In the environment and
  /// the config file, which jobs and profiles share, they wait for one that does.
  void RefuseOnCommandLine(const std::vector<std::string>& flags, const std::string& problem);
  /// Mistakes that somebody else found.
  void Fail(const Setting& setting, const std::string& problem);

  void FailWith(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  const absl::Status& status() const { return status_; }

 private:
  const Config& config_;
  absl::Status status_;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_CONFIG_H_
