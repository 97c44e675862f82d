#include "tidemark/operators/sinks/kafka_options.h"

#include <fmt/format.h>

#include <charconv>

namespace tidemark {
namespace {

constexpr std::string_view kScheme = "kafka:";
constexpr int32_t kMostPartitions = 100'000;

absl::Status Wrong(std::string_view target, std::string problem) {
  return absl::InvalidArgumentError(
      fmt::format("'{}': {}; write "
                  "kafka:TOPIC?create_topic=true&partitions=N&on_null_key=fail|skip|null",
                  target, problem));
}

// False: the value is none of the option's; nothing is known of the option if `*known` is false.
bool Set(std::string_view name, std::string_view value, KafkaSinkOptions* options, bool* known) {
  using OnNullKey = KafkaSinkOptions::OnNullKey;
  *known = true;
  if (name == "create_topic") {
    options->create_topic = value == "true";
    return value == "true" || value == "false";
  }
  if (name == "partitions") {
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, options->partitions);
    return error == std::errc() && at == end && options->partitions > 0 &&
           options->partitions <= kMostPartitions;
  }
  if (name == "on_null_key") {
    options->on_null_key = value == "skip"   ? OnNullKey::kSkip
                           : value == "null" ? OnNullKey::kNull
                                             : OnNullKey::kFail;
    return value == "fail" || value == "skip" || value == "null";
  }
  *known = false;
  return false;
}

}  // namespace

absl::StatusOr<KafkaSinkOptions> ParseKafkaTarget(std::string_view target) {
  KafkaSinkOptions options;
  if (!target.starts_with(kScheme)) return Wrong(target, "it does not begin with kafka:");
  std::string_view rest = target.substr(kScheme.size());
  const size_t question = rest.find('?');
  options.topic = rest.substr(0, question);
  if (options.topic.empty()) return Wrong(target, "the topic has no name");
  if (options.topic.find_first_of("/:&= ") != std::string::npos) {
    return Wrong(target, fmt::format("'{}' cannot be a topic's name", options.topic));
  }
  rest = question == std::string_view::npos ? "" : rest.substr(question + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = part.substr(0, equals);
    const std::string_view value = part.substr(std::min(equals + 1, part.size()));
    bool known = false;
    if (Set(name, value, &options, &known)) continue;
    return Wrong(target, known ? fmt::format("'{}' is no {}", value, name)
                               : fmt::format("there is no option '{}'", name));
  }
  if (options.partitions > 0 && !options.create_topic) {
    return Wrong(target, "partitions is for a topic that is made, with create_topic=true");
  }
  return options;
}

}  // namespace tidemark
