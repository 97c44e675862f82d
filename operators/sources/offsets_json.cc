#include "tidemark/operators/sources/offsets_json.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr std::string_view kForm = R"({"topic":{"0":23,"1":42}})";
// Of a wrong text in its message.
constexpr size_t kShown = 200;

void AppendQuoted(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

// Reads the one form that offsets have; nothing else of JSON is accepted.
class OffsetsParser {
 public:
  explicit OffsetsParser(std::string_view text) : text_(text) {}

  absl::StatusOr<Offsets> Parse() {
    const bool read = ParseObject([this](std::string topic) { return ParsePartitions(topic); });
    if (!read || !AtEnd()) {
      return absl::InvalidArgumentError(
          fmt::format("offsets: {} at character {} of '{}'; the form is {}", error_, error_at_ + 1,
                      Excerpt(text_, kShown), kForm));
    }
    return std::move(offsets_);
  }

 private:
  bool ParsePartitions(const std::string& topic) {
    if (topic.empty()) return Fail("a topic without a name");
    if (!topics_.insert(topic).second) {
      return Fail(fmt::format("topic {} is named twice", Excerpt(topic)));
    }
    return ParseObject([this, &topic](const std::string& name) {
      int32_t partition = 0;
      const char* const end = name.data() + name.size();
      const auto [rest, code] = std::from_chars(name.data(), end, partition);
      // One way to write a number: no zeros before it, no sign.
      if (code != std::errc() || rest != end || partition < 0 ||
          fmt::to_string(partition) != name) {
        return Fail(fmt::format("'{}' is not a partition's number", Excerpt(name)));
      }
      const std::optional<int64_t> offset = ParseOffset();
      if (!offset.has_value()) return false;
      if (!offsets_.emplace(TopicPartition{topic, partition}, *offset).second) {
        return Fail(
            fmt::format("partition {} of topic {} is named twice", partition, Excerpt(topic)));
      }
      return true;
    });
  }

  // `{"name":value,...}`; `parse_value` is called behind each colon.
  template <typename ParseValue>
  bool ParseObject(ParseValue parse_value) {
    if (!Expect('{')) return false;
    if (Accept('}')) return true;
    do {
      std::string name;
      if (!ParseString(name) || !Expect(':') || !parse_value(std::move(name))) return false;
    } while (Accept(','));
    return Expect('}');
  }

  bool ParseString(std::string& out) {
    if (!Expect('"')) return false;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') {
        if (!ParseEscape(out)) return false;
      } else if (static_cast<unsigned char>(text_[at_]) < 0x20) {
        return Fail("a control character in a name");
      } else {
        out += text_[at_++];
      }
    }
    if (at_ == text_.size()) return Fail("a name that does not end");
    ++at_;
    return IsValidUtf8(out) || Fail("a name that is not UTF-8");
  }

  bool ParseEscape(std::string& out) {
    const std::string_view rest = text_.substr(at_ + 1);
    if (rest.starts_with('"') || rest.starts_with('\\') || rest.starts_with('/')) {
      out += rest[0];
      at_ += 2;
      return true;
    }
    unsigned code = 0;
    if (rest.size() >= 5 && rest[0] == 'u' &&
        std::from_chars(&rest[1], &rest[1] + 4, code, 16).ptr == &rest[1] + 4 && code < 0x80) {
      out += static_cast<char>(code);
      at_ += 6;
      return true;
    }
    return Fail("an escape that no topic's name needs");
  }

  std::optional<int64_t> ParseOffset() {
    SkipBlanks();
    int64_t offset = 0;
    const char* const begin = text_.data() + at_;
    const auto [rest, code] = std::from_chars(begin, text_.data() + text_.size(), offset);
    if (code != std::errc() || offset < kEarliestOffset ||
        fmt::to_string(offset) != std::string_view(begin, static_cast<size_t>(rest - begin))) {
      Fail("no offset (a whole number, -1 for latest, -2 for earliest)");
      return std::nullopt;
    }
    at_ += static_cast<size_t>(rest - begin);
    return offset;
  }

  bool AtEnd() {
    SkipBlanks();
    return at_ == text_.size() || Fail("text behind the end");
  }

  bool Accept(char c) {
    SkipBlanks();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool Expect(char c) { return Accept(c) || Fail(fmt::format("no '{}'", c)); }

  void SkipBlanks() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  // Remembers the first thing that is wrong.
  bool Fail(std::string what) {
    if (error_.empty()) {
      error_ = std::move(what);
      error_at_ = at_;
    }
    return false;
  }

  const std::string_view text_;
  size_t at_ = 0;
  Offsets offsets_;
  std::set<std::string> topics_;
  std::string error_;
  size_t error_at_ = 0;
};

}  // namespace

std::string OffsetsToJson(const Offsets& offsets) {
  std::string out = "{";
  const std::string* topic = nullptr;
  for (const auto& [partition, offset] : offsets) {
    if (topic == nullptr || *topic != partition.topic) {
      if (topic != nullptr) out += "},";
      AppendQuoted(partition.topic, out);
      out += ":{";
      topic = &partition.topic;
    } else {
      out += ',';
    }
    out += fmt::format("\"{}\":{}", partition.partition, offset);
  }
  out += topic != nullptr ? "}}" : "}";
  return out;
}

absl::StatusOr<Offsets> OffsetsFromJson(std::string_view text) {
  return OffsetsParser(text).Parse();
}

absl::StatusOr<StartingPosition> ParseStartingOffsets(std::string_view text) {
  if (text == "earliest") return StartingPosition{.everywhere = kEarliestOffset, .offsets = {}};
  if (text == "latest") return StartingPosition{.everywhere = kLatestOffset, .offsets = {}};
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') {
    return absl::InvalidArgumentError(fmt::format(
        "starting offsets '{}': write earliest, latest or offsets as {} (-1 latest, -2 earliest)",
        Excerpt(text, kShown), kForm));
  }
  absl::StatusOr<Offsets> offsets = OffsetsFromJson(text);
  if (!offsets.ok()) {
    return absl::InvalidArgumentError(fmt::format(
        "starting {}",
        std::string_view(offsets.status().message().data(), offsets.status().message().size())));
  }
  if (offsets->empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "starting offsets '{}' name no partition; the form is {}", Excerpt(text, kShown), kForm));
  }
  return StartingPosition{.offsets = *std::move(offsets)};
}

absl::StatusOr<Offsets> ResolveStartingOffsets(const StartingPosition& position,
                                               const std::vector<AvailableRange>& available) {
  Offsets resolved;
  for (const AvailableRange& range : available) {
    int64_t offset = position.everywhere;
    if (!position.offsets.empty()) {
      const auto given = position.offsets.find(range.partition);
      if (given == position.offsets.end()) {
        return absl::InvalidArgumentError(fmt::format(
            "starting offsets leave out partition {} of topic {}: give every partition an offset "
            "(-1 latest, -2 earliest)",
            range.partition.partition, range.partition.topic));
      }
      offset = given->second;
    }
    if (offset == kLatestOffset) offset = range.end;
    if (offset == kEarliestOffset) offset = range.begin;
    if (offset > range.end) {
      return absl::InvalidArgumentError(fmt::format(
          "starting offset {} of topic {} partition {} is past its end ({}): give one up to {}",
          offset, range.partition.topic, range.partition.partition, range.end, range.end));
    }
    resolved.emplace(range.partition, offset);
  }
  for (const auto& [partition, offset] : position.offsets) {
    if (!resolved.contains(partition)) {
      return absl::InvalidArgumentError(
          fmt::format("starting offsets name topic {} partition {}, which is not there: name "
                      "exactly the partitions "
                      "that are read",
                      partition.topic, partition.partition));
    }
  }
  return resolved;
}

}  // namespace tidemark
