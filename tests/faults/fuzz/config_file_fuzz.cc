#include <fmt/format.h>

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/faults/fuzz/judges.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/config.h"

namespace tidemark::testing {
namespace {

// One variable is there: NAME, with the value `value`.
std::optional<std::string> Variable(const std::string& name) {
  return name == "NAME" ? std::optional<std::string>("value") : std::nullopt;
}

std::string Text(const Config& config) {
  std::string text;
  const auto append = [&](std::string_view kind, const std::map<std::string, Setting>& settings) {
    for (const auto& [name, setting] : settings) {
      text += fmt::format("{}{}{}={}", text.empty() ? "" : "; ", kind, name, setting.value);
    }
  };
  append("", config.settings);
  append("kafka.", config.kafka);
  append("params.", config.params);
  return text.empty() ? "nothing" : text;
}

}  // namespace

// The file's settings; under the profile `prod` if it speaks of one.
std::string JudgeConfigFile(std::string_view bytes) {
  // One a process: a fuzzer calls this some thousand times a second.
  static const TempDir folder;
  const std::string path = folder.Path("job.yaml");
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const std::string profile = bytes.find("prod:") == std::string_view::npos ? "" : "prod";
  const absl::StatusOr<Config> config = ReadConfigFile(path, profile, &Variable);
  const bool known = config.ok() || absl::IsInvalidArgument(config.status());
  MustAgree(known ? "" : config.status().ToString(), "", "an error's code and InvalidArgument");
  if (config.ok()) return "accepted " + Text(*config);
  const std::string message(config.status().message());
  // What a person can read.
  MustAgree(message.find('\n') == std::string::npos && message.size() < 2000 ? "" : message, "",
            "a message and a sentence");
  return "refused " + message;
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeConfigFile);
