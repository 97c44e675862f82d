#include "tidemark/engine/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "tidemark/engine/flags.h"
#include "tidemark/engine/plan.h"
#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {
namespace {

// A list that is longer would hide the sentence it ends.
constexpr size_t kMostListed = 8;

// One NAME=VALUE into `config`; a name given before stays, as the stronger place comes first.
absl::Status AddPair(const Flag& flag, const std::string& text, const std::string& origin,
                     Config* config) {
  const size_t equals = text.find('=');
  if ((equals == std::string::npos || equals == 0) && origin == EnvironmentName(flag)) {
    // It may be the rest of a password with a ';' in it.
    return absl::InvalidArgumentError(
        fmt::format("{}: one of its parts is not NAME=VALUE; write it as NAME=VALUE;NAME=VALUE, "
                    "and values with "
                    "a ';' in the config file",
                    origin));
  }
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(
        fmt::format("{}: '{}' is not NAME=VALUE; write it as {}=VALUE", origin, text,
                    equals == 0 ? "NAME" : text));
  }
  std::string name = text.substr(0, equals);
  if (flag.name == "kafka" && name.starts_with("kafka.")) name = name.substr(6);
  if (flag.name == "kafka" && origin != EnvironmentName(flag) && IsKafkaSecret(name)) {
    return absl::InvalidArgumentError(fmt::format(
        "{} {}: a password on the command line is seen by everybody on the machine; set {} in the "
        "environment, or 'kafka: {{{}: ${{env:NAME}}}}' in the config file",
        origin, name,
        name == "sasl.password" ? "TIDEMARK_KAFKA_PASSWORD"
                                : fmt::format("{}='{}=...'", EnvironmentName(flag), name),
        name));
  }
  auto& pairs = flag.name == "kafka" ? config->kafka : config->params;
  pairs.emplace(std::move(name), Setting{text.substr(equals + 1), origin});
  return absl::OkStatus();
}

absl::Status ReadFlags(int argc, const char* const* argv, Config* config) {
  absl::StatusOr<std::map<std::string, std::vector<std::string>>> given =
      ParseCommandLine(argc, argv);
  if (!given.ok()) return given.status();
  for (const auto& [name, values] : *given) {
    const Flag& flag = *FindFlag(name);
    const std::string origin = "--" + name;
    if (flag.kind != Flag::Kind::kPairs) {
      config->settings.emplace(name, Setting{values.front(), origin});
      continue;
    }
    // Of a pair given twice the later one counts.
    for (auto value = values.rbegin(); value != values.rend(); ++value) {
      if (absl::Status status = AddPair(flag, *value, origin, config); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ReadSecretFile(const Flag& flag, const Environment& environment, Config* config) {
  const std::string name = EnvironmentName(flag) + "_FILE";
  const std::optional<std::string> path = environment(name);
  if (!path.has_value() || path->empty()) return absl::OkStatus();
  std::optional<std::string> secret = FirstLineOf(*path);
  if (!secret.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the file {} cannot be read, or is empty", name, *path));
  }
  config->settings.emplace(
      flag.name, Setting{*std::move(secret), fmt::format("the file {} ({})", *path, name)});
  return absl::OkStatus();
}

absl::Status ReadEnvironment(const Environment& environment, Config* config) {
  for (const Flag& flag : AllFlags()) {
    if (flag.kind == Flag::Kind::kSwitch) continue;
    const std::string name = EnvironmentName(flag);
    const std::optional<std::string> value = environment(name);
    if (!value.has_value() || value->empty()) {
      absl::Status status = flag.kind == Flag::Kind::kSecret
                                ? ReadSecretFile(flag, environment, config)
                                : absl::OkStatus();
      if (!status.ok()) return status;
      continue;
    }
    if (flag.kind != Flag::Kind::kPairs) {
      config->settings.emplace(flag.name, Setting{*value, name});
      continue;
    }
    size_t begin = 0;
    while (begin < value->size()) {
      const size_t end = std::min(value->find(';', begin), value->size());
      const std::string pair = value->substr(begin, end - begin);
      begin = end + 1;
      if (pair.empty()) continue;
      if (absl::Status status = AddPair(flag, pair, name, config); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ReadFile(const JobDefinition& definition, const Environment& environment,
                      Config* config) {
  const Setting* file = config->Find("config");
  const Setting* profile = config->Find("profile");
  if (file == nullptr && profile == nullptr) return absl::OkStatus();
  const std::string path =
      file != nullptr ? file->value
                      : fmt::format("examples/{}/{}.yaml", definition.name, definition.name);
  absl::StatusOr<Config> read =
      ReadConfigFile(path, profile == nullptr ? "" : profile->value, environment);
  if (!read.ok()) {
    const Setting* named = file != nullptr ? file : profile;
    if (!absl::IsNotFound(read.status())) return read.status();
    return absl::InvalidArgumentError(fmt::format(
        "{}: {}{}", named->origin, std::string(read.status().message()),
        file != nullptr
            ? ""
            : "; run it from the project's folder, or name the file with --config FILE"));
  }
  // `merge` keeps what is there already.
  config->settings.merge(read->settings);
  config->kafka.merge(read->kafka);
  config->params.merge(read->params);
  return absl::OkStatus();
}

absl::Status CheckParameters(const Config& config, const JobDefinition& definition) {
  std::vector<std::string> known;
  for (const JobParameter& parameter : definition.params) known.push_back(parameter.name);
  for (const auto& [name, setting] : config.params) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      return absl::InvalidArgumentError(fmt::format("{}: the job {} has no parameter '{}'{}",
                                                    setting.origin, definition.name, name,
                                                    known.empty() ? "" : DidYouMean(name, known)));
    }
    double number = 0;
    const JobParameter& parameter = definition.params[static_cast<size_t>(found - known.begin())];
    if (parameter.is_number &&
        (!absl::SimpleAtod(setting.value, &number) || !std::isfinite(number))) {
      return absl::InvalidArgumentError(
          fmt::format("{}: the parameter {} is '{}'; give it a number, as in 0.5", setting.origin,
                      name, setting.value));
    }
  }
  return absl::OkStatus();
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// The factor that a unit of memory stands for; 0: no such unit.
size_t MemoryUnit(std::string_view unit) {
  std::string lower(unit);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower.empty() || lower == "b") return 1;
  const size_t shift = std::string_view("kmgt").find(lower[0]);
  if (shift == std::string_view::npos) return 0;
  const std::string_view rest = std::string_view(lower).substr(1);
  if (rest != "" && rest != "b" && rest != "ib") return 0;
  return size_t{1} << (10 * (shift + 1));
}

}  // namespace

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<std::string> FirstLineOf(const std::string& path) {
  constexpr size_t kMaxBytes = size_t{64} << 10;
  std::ifstream file(path, std::ios::binary);
  std::string line(kMaxBytes + 1, '\0');
  // With a longer line, as a device's that never ends, it fails.
  if (!file || !file.getline(line.data(), static_cast<std::streamsize>(line.size()))) {
    return std::nullopt;
  }
  line.resize(static_cast<size_t>(file.gcount()) - (file.eof() ? 0 : 1));
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& known,
                       const std::string& prefix) {
  const std::string nearest = NearestName(word, known);
  if (!nearest.empty()) return fmt::format("; did you mean {}{}?", prefix, nearest);
  if (known.size() > kMostListed) return "; --help lists what there is";
  return fmt::format("; there is {}", fmt::join(known, ", "));
}

absl::StatusOr<Config> LoadConfig(int argc, const char* const* argv,
                                  const JobDefinition& definition, const Environment& environment) {
  Config config;
  if (absl::Status status = ReadFlags(argc, argv, &config); !status.ok()) return status;
  if (config.Find("help") != nullptr || config.Find("version") != nullptr) return config;
  if (absl::Status status = ReadEnvironment(environment, &config); !status.ok()) return status;
  if (absl::Status status = ReadFile(definition, environment, &config); !status.ok()) return status;
  if (const Setting* password = config.Find("kafka-password"))
    config.kafka.emplace("sasl.password", *password);
  for (const auto& [flag, value] : definition.defaults) {
    config.settings.emplace(
        flag, Setting{value, fmt::format("the default of --{} in {}", flag, definition.name)});
  }
  if (absl::Status status = CheckParameters(config, definition); !status.ok()) return status;
  return config;
}

// ---- ConfigReader

void ConfigReader::Fail(const Setting& setting, const std::string& problem) {
  if (status_.ok())
    status_ = absl::InvalidArgumentError(fmt::format("{}: {}", setting.origin, problem));
}

void ConfigReader::RefuseOnCommandLine(const std::vector<std::string>& flags,
                                       const std::string& problem) {
  for (const std::string& flag : flags) {
    const Setting* setting = config_.Find(flag);
    if (setting != nullptr && setting->origin == "--" + flag) Fail(*setting, problem);
  }
}

void ConfigReader::Text(const std::string& flag, std::string* out) {
  const Setting* setting = config_.Find(flag);
  if (setting == nullptr) return;
  if (setting->value.empty()) return Fail(*setting, "is empty; give a value, or leave it out");
  *out = setting->value;
}

void ConfigReader::Integer(const std::string& flag, int64_t least, int64_t most, int64_t* out) {
  const Setting* setting = config_.Find(flag);
  if (setting == nullptr) return;
  int64_t value = 0;
  if (!ParseNumber(setting->value, &value)) {
    return Fail(*setting, fmt::format("'{}' is not a whole number", setting->value));
  }
  if (value < least)
    return Fail(*setting, fmt::format("{} is too small; the least is {}", value, least));
  if (value > most)
    return Fail(*setting, fmt::format("{} is too large; the most is {}", value, most));
  *out = value;
}

void ConfigReader::Unsigned(const std::string& flag, uint64_t* out) {
  const Setting* setting = config_.Find(flag);
  if (setting == nullptr || ParseNumber(setting->value, out)) return;
  Fail(*setting,
       fmt::format("'{}' is not a whole number from 0 to {}", setting->value, UINT64_MAX));
}

void ConfigReader::Bool(const std::string& flag, bool* out) {
  size_t index = *out ? 0 : 1;
  OneOf(flag, {"true", "false"}, &index);
  *out = index == 0;
}

void ConfigReader::Bytes(const std::string& flag, size_t least, size_t* out) {
  const Setting* setting = config_.Find(flag);
  if (setting == nullptr) return;
  const std::string& text = setting->value;
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  size_t unit_begin = digits;
  while (unit_begin < text.size() && text[unit_begin] == ' ') ++unit_begin;
  const size_t unit = MemoryUnit(std::string_view(text).substr(unit_begin));
  size_t count = 0;
  if (unit == 0 || !ParseNumber(std::string_view(text).substr(0, digits), &count) ||
      count > SIZE_MAX / 2 / unit) {
    return Fail(
        *setting,
        fmt::format("'{}' is not an amount of memory; write it as 384MiB, 1GiB or 64m", text));
  }
  if (count * unit < least)
    return Fail(*setting, fmt::format("{} is too little; the least is {}MiB", text, least >> 20));
  *out = count * unit;
}

void ConfigReader::Duration(const std::string& flag, bool zero_allowed, absl::Duration* out) {
  const Setting* setting = config_.Find(flag);
  if (setting == nullptr) return;
  absl::StatusOr<absl::Duration> value = ParseDuration(setting->value);
  if (!value.ok()) return Fail(*setting, std::string(value.status().message()));
  if (*value == absl::ZeroDuration() && !zero_allowed) {
    return Fail(*setting,
                fmt::format("'{}' is no time at all; it must be longer than zero", setting->value));
  }
  *out = *value;
}

void ConfigReader::OneOf(const std::string& flag, const std::vector<std::string>& known,
                         size_t* out) {
  const Setting* setting = config_.Find(flag);
  if (setting == nullptr) return;
  const auto found = std::find(known.begin(), known.end(), setting->value);
  if (found != known.end()) {
    *out = static_cast<size_t>(found - known.begin());
    return;
  }
  Fail(*setting,
       fmt::format(
           "'{}' is none of {}{}", setting->value, fmt::join(known, ", "),
           NearestName(setting->value, known).empty() ? "" : DidYouMean(setting->value, known)));
}

}  // namespace tidemark
