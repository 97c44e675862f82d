#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "tidemark/engine/config.h"
#include "tidemark/engine/flags.h"
#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

// Far more than a person writes.
constexpr size_t kMaxFileBytes = size_t{1} << 20;
// Of a path in a message.
constexpr size_t kMaxShownPath = 500;
// References of a value in one another.
constexpr int kMostNested = 8;

std::vector<std::string> KnownKeys(bool in_profile) {
  std::vector<std::string> keys;
  for (const Flag& flag : AllFlags()) {
    if (!flag.command_line_only) keys.push_back(flag.name == "param" ? "params" : ConfigKey(flag));
  }
  if (!in_profile) keys.push_back("profiles");
  return keys;
}

std::string_view Shape(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return "one value";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a map";
    default:
      return "nothing";
  }
}

// Where documents begin; nothing else of them.
class DocumentStarts : public YAML::EventHandler {
 public:
  int line() const { return line_; }  // of the last one, from 0

  void OnDocumentStart(const YAML::Mark& mark) override { line_ = mark.line; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int line_ = 0;
};

// Where a second document begins, from 0. (YAML::LoadAll never ends with some texts that are none.)
std::optional<int> LineAfterDocument(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return std::nullopt;
  return starts.line();
}

// Reads one file. What is wrong is said with its line.
class ConfigFile {
 public:
  ConfigFile(std::string path, const Environment& environment)
      : path_(std::move(path)), environment_(environment) {}

  absl::StatusOr<Config> Read(const std::string& text, const std::string& profile) {
    if (const std::optional<int> line = LineAfterDocument(text); line.has_value()) {
      return absl::InvalidArgumentError(fmt::format(
          "{}:{}: a second document begins; a config file is one document", path_, *line + 1));
    }
    const YAML::Node root = YAML::Load(text);
    Config everywhere;
    Config chosen;
    std::vector<std::string> profiles;
    if (root.IsDefined() && !root.IsNull()) {
      if (absl::Status status = ReadKeys(root, /*in_profile=*/false, &everywhere); !status.ok())
        return status;
      if (absl::Status status = ReadProfiles(root["profiles"], profile, &profiles, &chosen);
          !status.ok())
        return status;
    }
    const bool test = profile == "test";
    if (!profile.empty() && !test &&
        std::find(profiles.begin(), profiles.end(), profile) == profiles.end()) {
      for (std::string& name : profiles) name = Excerpt(name);
      return absl::InvalidArgumentError(
          fmt::format("{}: there is no profile '{}'{}", PlaceOfProfiles(root), profile,
                      profiles.empty() ? ", as it has none" : DidYouMean(profile, profiles)));
    }
    if (test) chosen.settings.emplace("brokers", Setting{"embedded", "--profile test"});
    chosen.settings.merge(everywhere.settings);
    chosen.kafka.merge(everywhere.kafka);
    chosen.params.merge(everywhere.params);
    return chosen;
  }

 private:
  std::string At(const YAML::Node& node) const {
    return fmt::format("{}:{}", path_, node.Mark().line + 1);
  }

  // The line of `profiles:`; the file alone, if it has none.
  std::string PlaceOfProfiles(const YAML::Node& root) const {
    if (root.IsMap()) {
      for (const auto& entry : root) {
        if (entry.first.Scalar() == "profiles") return At(entry.first);
      }
    }
    return path_;
  }

  absl::Status Wrong(const YAML::Node& node, const std::string& problem) const {
    return absl::InvalidArgumentError(fmt::format("{}: {}", At(node), problem));
  }

  absl::Status Twice(const YAML::Node& node, const std::string& name) const {
    return Wrong(node, fmt::format("'{}' is there twice; keep one", Excerpt(name)));
  }

  absl::Status CheckMap(const YAML::Node& map, const std::string& what) const {
    if (!map.IsMap()) {
      return Wrong(map, fmt::format("{} must be a map (name: value, a line each), not {}", what,
                                    Shape(map)));
    }
    std::set<std::string> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) return Wrong(entry.first, "a key must be a word");
      if (!seen.insert(entry.first.Scalar()).second) {
        return Twice(entry.first, entry.first.Scalar());
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadKeys(const YAML::Node& map, bool in_profile, Config* config) const {
    if (absl::Status status = CheckMap(map, in_profile ? "a profile" : "the file"); !status.ok())
      return status;
    for (const auto& entry : map) {
      const std::string key = entry.first.Scalar();
      if (key == "profiles" && !in_profile) continue;
      const Flag* flag = FlagOfKey(key);
      if (flag == nullptr) {
        return Wrong(entry.first, fmt::format("there is no key '{}'{}", Excerpt(key),
                                              DidYouMean(key, KnownKeys(in_profile))));
      }
      absl::Status status = flag->kind == Flag::Kind::kPairs
                                ? ReadPairs(*flag, entry.second, config)
                                : ReadValue(*flag, key, entry.second, config);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  static const Flag* FlagOfKey(const std::string& key) {
    for (const Flag& flag : AllFlags()) {
      if (flag.command_line_only) continue;
      if (key == (flag.name == "param" ? "params" : ConfigKey(flag))) return &flag;
    }
    return nullptr;
  }

  absl::Status ReadValue(const Flag& flag, const std::string& key, const YAML::Node& value,
                         Config* config) const {
    if (!value.IsScalar()) {
      return Wrong(value,
                   fmt::format("{} must be one value ({}), not {}", key, flag.value, Shape(value)));
    }
    const bool secret = flag.kind == Flag::Kind::kSecret;
    absl::StatusOr<std::string> text = Expand(value, secret);
    if (!text.ok()) return text.status();
    if (secret && !IsReference(value)) return WrittenSecret(value, key);
    config->settings.emplace(flag.name,
                             Setting{*std::move(text), fmt::format("{}: {}", At(value), key)});
    return absl::OkStatus();
  }

  static bool IsReference(const YAML::Node& value) {
    return value.Scalar().find("${") != std::string::npos;
  }
  absl::Status WrittenSecret(const YAML::Node& value, const std::string& key) const {
    return Wrong(value, fmt::format("{} does not belong into a file that is copied and shown; "
                                    "write {}: ${{env:NAME}} or {}: ${{file:PATH}}",
                                    key, key, key));
  }

  // What is left of a value's text while its references are looked up.
  struct Reading {
    std::string_view rest;
    int depth = 0;  // of references within one another
    bool look_up = true;
    bool secret = false;
  };

  // `${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}` anywhere in a value, also in PATH and
  // DEFAULT. A profile that is not chosen may name what this machine does not have: its values are
  // never looked up.
  absl::StatusOr<std::string> Expand(const YAML::Node& value, bool secret) const {
    Reading reading{value.Scalar(), 0, look_up_, secret};
    absl::StatusOr<std::string> text = ReadText(value, &reading);
    if (text.ok() && text->find('\0') != std::string::npos)
      return Wrong(value, "a value has a byte 0 in it");
    return text;
  }

  // Up to the end, or within a reference up to its `}`, which is taken too.
  absl::StatusOr<std::string> ReadText(const YAML::Node& value, Reading* reading) const {
    std::string text;
    std::string_view& rest = reading->rest;
    while (!rest.empty()) {
      if (reading->depth > 0 && rest.front() == '}') {
        rest.remove_prefix(1);
        return text;
      }
      if (!rest.starts_with("${")) {
        text += rest.front();
        rest.remove_prefix(1);
        continue;
      }
      if (++reading->depth > kMostNested) {
        return Wrong(value, fmt::format("more than {} references stand in one another; write the "
                                        "value plainly",
                                        kMostNested));
      }
      absl::StatusOr<std::string> found = ReadReference(value, reading);
      if (!found.ok()) return found.status();
      text += *found;
      --reading->depth;
    }
    return reading->depth > 0 ? NoReference(value) : absl::StatusOr<std::string>(std::move(text));
  }

  // What stands for the reference that begins here.
  absl::StatusOr<std::string> ReadReference(const YAML::Node& value, Reading* reading) const {
    std::string_view& rest = reading->rest;
    rest.remove_prefix(2);
    if (rest.starts_with("file:")) {
      rest.remove_prefix(5);
      absl::StatusOr<std::string> path = ReadText(value, reading);
      if (!path.ok()) return path;
      // Empty, too, if it is that of a variable that is not looked up.
      if (!reading->look_up) return std::string();
      if (path->empty()) return NoReference(value);
      if (std::optional<std::string> line = FirstLineOf(*path)) return *std::move(line);
      return Wrong(value,
                   fmt::format("the file {} cannot be read, is empty, or has a first line of "
                               "more than 64 KiB",
                               Excerpt(*path, kMaxShownPath)));
    }
    if (!rest.starts_with("env:")) return NoReference(value);
    rest.remove_prefix(4);
    const size_t end = std::min(rest.find('}'), rest.find(":-"));
    if (end == 0 || end == std::string_view::npos) return NoReference(value);
    const std::string name(rest.substr(0, end));
    rest.remove_prefix(end);
    std::optional<std::string> found = reading->look_up ? environment_(name) : "";
    if (rest.front() == '}') {
      rest.remove_prefix(1);
      if (found.has_value()) return *std::move(found);
      return Wrong(value, fmt::format("the environment variable {} is not set", Excerpt(name)));
    }
    if (reading->secret && reading->depth == 1) {
      return Wrong(value,
                   "a password has no default in a file that is copied and shown; take out what "
                   "follows ':-'");
    }
    rest.remove_prefix(2);
    const bool is_set = found.has_value() && !found->empty();
    const bool look_up = std::exchange(reading->look_up, reading->look_up && !is_set);
    absl::StatusOr<std::string> fallback = ReadText(value, reading);
    reading->look_up = look_up;
    if (!fallback.ok() || !is_set) return fallback;
    return *std::move(found);
  }

  absl::Status NoReference(const YAML::Node& value) const {
    return Wrong(value,
                 "'${' begins ${env:NAME}, ${env:NAME:-DEFAULT} or ${file:PATH}; none of them "
                 "stands here");
  }

  absl::Status ReadPairs(const Flag& flag, const YAML::Node& map, Config* config) const {
    const std::string what = flag.name == "kafka" ? "kafka" : "params";
    if (absl::Status status = CheckMap(map, what); !status.ok()) return status;
    for (const auto& entry : map) {
      std::string name = entry.first.Scalar();
      if (!entry.second.IsScalar()) {
        return Wrong(entry.second, fmt::format("{}.{} must be one value, not {}", what,
                                               Excerpt(name), Shape(entry.second)));
      }
      if (flag.name == "kafka" && IsKafkaSecret(name) && !IsReference(entry.second)) {
        return WrittenSecret(entry.second, name);
      }
      absl::StatusOr<std::string> text =
          Expand(entry.second, flag.name == "kafka" && IsKafkaSecret(name));
      if (!text.ok()) return text.status();
      Setting setting{*std::move(text), fmt::format("{}: {}", At(entry.second), what)};
      if (flag.name == "kafka") {
        if (name.starts_with("kafka.")) name = name.substr(6);
        if (!config->kafka.emplace(name, std::move(setting)).second) {
          return Twice(entry.first, name);
        }
      } else {
        config->params.emplace(std::move(name), std::move(setting));
      }
    }
    return absl::OkStatus();
  }

  // Every profile is checked, also those that are not chosen.
  absl::Status ReadProfiles(const YAML::Node& profiles, const std::string& profile,
                            std::vector<std::string>* names, Config* chosen) {
    if (!profiles.IsDefined() || profiles.IsNull()) return absl::OkStatus();
    if (absl::Status status = CheckMap(profiles, "profiles"); !status.ok()) return status;
    for (const auto& entry : profiles) {
      names->push_back(entry.first.Scalar());
      Config config;
      look_up_ = names->back() == profile;
      if (!entry.second.IsNull()) {
        if (absl::Status status = ReadKeys(entry.second, /*in_profile=*/true, &config);
            !status.ok())
          return status;
      }
      if (names->back() == profile) *chosen = std::move(config);
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const Environment& environment_;
  bool look_up_ = true;
};

}  // namespace

absl::StatusOr<Config> ReadConfigFile(const std::string& path, const std::string& profile,
                                      const Environment& environment) {
  std::ifstream file(path, std::ios::binary);
  // A folder opens, and fails to be read.
  if (file) file.peek();
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(
        fmt::format("the config file {} cannot be read: {}", path, std::strerror(errno)));
  }
  // No more than that, should the file be a device that never ends.
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the file is larger than {} bytes", path, kMaxFileBytes));
  }
  // The parser would take a byte 0 for the end.
  if (!IsValidUtf8(text) || text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the file is no text in UTF-8; save it as such", path));
  }
  try {
    return ConfigFile(path, environment).Read(text, profile);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: this is not YAML: {}", path,
                                                  error.mark.line + 1,
                                                  Excerpt(error.msg, kMaxShownPath)));
  }
}

}  // namespace tidemark
