#include "tidemark/engine/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

namespace tidemark {
namespace {

struct Unit {
  std::string_view name;
  absl::Duration length;
};

// Longest first, so that DurationText finds the largest unit that divides.
const std::array<Unit, 6>& Units() {
  static const std::array<Unit, 6> units = {{{"week", absl::Hours(24 * 7)},
                                             {"day", absl::Hours(24)},
                                             {"hour", absl::Hours(1)},
                                             {"minute", absl::Minutes(1)},
                                             {"second", absl::Seconds(1)},
                                             {"millisecond", absl::Milliseconds(1)}}};
  return units;
}

std::optional<absl::Duration> UnitLength(std::string_view word) {
  for (const Unit& unit : Units()) {
    if (word == unit.name || (word.size() == unit.name.size() + 1 && word.back() == 's' &&
                              word.starts_with(unit.name))) {
      return unit.length;
    }
  }
  if (word == "ms") return absl::Milliseconds(1);
  if (word == "s" || word == "sec" || word == "secs") return absl::Seconds(1);
  if (word == "m" || word == "min" || word == "mins") return absl::Minutes(1);
  if (word == "h") return absl::Hours(1);
  if (word == "d") return absl::Hours(24);
  return std::nullopt;
}

std::string KeyList(const std::vector<Expr>& keys) {
  std::string text;
  for (const Expr& key : keys) {
    if (!text.empty()) text += ", ";
    text += key.ToString();
    if (key.Name() != key.ToString()) text += " AS " + key.Name();
  }
  return text;
}

struct ExplainNode {
  std::string operator()(const SourceNode& node) const {
    return fmt::format("Source {}", node.topic);
  }
  std::string operator()(const DecodeNode& node) const {
    return fmt::format("Decode {} {}", node.format.name, node.format.schema.ToString());
  }
  std::string operator()(const FilterNode& node) const {
    return fmt::format("Filter {}", node.condition.ToString());
  }
  std::string operator()(const SelectNode& node) const {
    return fmt::format("Select {}", KeyList(node.columns));
  }
  std::string operator()(const WithColumnNode& node) const {
    return fmt::format("WithColumn {} = {}", node.name, node.value.ToString());
  }
  std::string operator()(const WatermarkNode& node) const {
    std::string text = fmt::format("Watermark {} delay {}", node.column, DurationText(node.delay));
    if (node.per_partition)
      text += fmt::format(", per partition, idle timeout {}", DurationText(node.idle_timeout));
    if (node.max_future_skew != absl::ZeroDuration()) {
      text += fmt::format(", max future skew {}", DurationText(node.max_future_skew));
    }
    return text;
  }
  std::string operator()(const AggregateNode& node) const {
    std::string text = "Aggregate ";
    if (node.window.has_value()) {
      text += fmt::format("by window({}, {}", node.window->time_column,
                          DurationText(node.window->size));
      if (node.window->offset != absl::ZeroDuration()) {
        text += fmt::format(", offset {}", DurationText(node.window->offset));
      }
      text += node.keys.empty() ? "): " : "), ";
    } else if (!node.keys.empty()) {
      text += "by ";
    }
    if (!node.keys.empty()) text += KeyList(node.keys) + ": ";
    for (size_t i = 0; i < node.aggregates.size(); ++i) {
      if (i > 0) text += ", ";
      text += node.aggregates[i].ToString();
      if (node.aggregates[i].Name() != node.aggregates[i].ToString())
        text += " AS " + node.aggregates[i].Name();
    }
    return text;
  }
  std::string operator()(const SinkNode& node) const {
    std::string text = fmt::format("Sink {}", node.name);
    if (!node.key_columns.empty())
      text += fmt::format(" key {}", fmt::join(node.key_columns, ", "));
    if (node.delete_when.has_value())
      text += fmt::format(" delete when {}", node.delete_when->ToString());
    return text +
           fmt::format(", {} mode, trigger {}", OutputModeName(node.mode), node.trigger.ToString());
  }
};

}  // namespace

std::string Trigger::ToString() const {
  switch (kind) {
    case Kind::kInterval:
      return DurationText(interval);
    case Kind::kAsap:
      return "asap";
    case Kind::kAvailableNow:
      return "available-now";
    case Kind::kOnce:
      return "once";
  }
  return "asap";
}

absl::Status Plan::NoNode(const std::string& flag) {
  return absl::InvalidArgumentError(
      fmt::format("{} does not apply: the pipeline has no step that it could change", flag));
}

absl::Status Plan::TwoNodes(const std::string& flag) {
  return absl::InvalidArgumentError(fmt::format(
      "{} does not apply: the pipeline has more than one step that it could change", flag));
}

std::string Explain(const Plan& plan) {
  std::string text;
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    text += fmt::format("{:>2}  {}\n", i + 1, std::visit(ExplainNode(), plan.nodes[i]));
  }
  return text;
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not a duration; write it as 90s, 5 minutes, 1h or 250ms", text));
  };
  absl::Duration total;
  size_t at = 0;
  bool any = false;
  while (true) {
    while (at < text.size() && text[at] == ' ') ++at;
    if (at == text.size()) break;
    const size_t digits = at;
    while (at < text.size() &&
           (std::isdigit(static_cast<unsigned char>(text[at])) != 0 || text[at] == '.'))
      ++at;
    const std::string number(text.substr(digits, at - digits));
    while (at < text.size() && text[at] == ' ') ++at;
    const size_t letters = at;
    while (at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0) ++at;
    std::string word(text.substr(letters, at - letters));
    for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (number.empty() || std::count(number.begin(), number.end(), '.') > 1 || number == "." ||
        number.size() > 15) {
      return bad();
    }
    const double count = std::stod(number);
    // A bare 0 needs no unit.
    if (word.empty() && count == 0) {
      any = true;
      continue;
    }
    const std::optional<absl::Duration> unit = UnitLength(word);
    if (!unit.has_value()) return bad();
    total += count == std::floor(count) ? static_cast<int64_t>(count) * *unit : count * *unit;
    any = true;
  }
  // Windows and delays are counted in microseconds: keep well inside their int64.
  if (!any || total > absl::Hours(24) * 366 * 10000) return bad();
  return total;
}

std::string DurationText(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "none";
  if (duration == absl::ZeroDuration()) return "0 seconds";
  for (const Unit& unit : Units()) {
    absl::Duration rest;
    const int64_t count = absl::IDivDuration(duration, unit.length, &rest);
    if (rest == absl::ZeroDuration())
      return fmt::format("{} {}{}", count, unit.name, count == 1 ? "" : "s");
  }
  return fmt::format("{} milliseconds", absl::ToDoubleMilliseconds(duration));
}

}  // namespace tidemark
