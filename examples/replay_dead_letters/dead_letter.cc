#include "examples/replay_dead_letters/dead_letter.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark::examples {
namespace {

constexpr std::string_view kBase64 = "_base64";

// `"value":"text"`, or `"value_base64":"..."` if the bytes are no text.
void AppendBytes(std::string_view name, std::string_view bytes, std::string* line) {
  const bool text = IsValidUtf8(bytes);
  *line += fmt::format("\"{}{}\":", name, text ? "" : kBase64);
  if (text) return AppendJsonString(bytes, line);
  *line += '"';
  AppendBase64(bytes, line);
  *line += '"';
}

absl::Status Wrong(std::string_view name, std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format("'{}' {}", name, problem));
}

absl::Status UnknownName(std::string_view name) {
  const std::vector<std::string> known = {"topic",  "partition",    "offset",     "reason",
                                          "detail", "value",        "key",        "headers",
                                          "time",   "value_base64", "key_base64", "timestamp"};
  const std::string nearest = NearestName(name, known);
  return Wrong(name,
               fmt::format("is nothing that a letter has{}",
                           nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
}

// The name without _base64, and whether it had that.
std::pair<std::string_view, bool> WithoutBase64(std::string_view name) {
  if (!name.ends_with(kBase64)) return {name, false};
  return {name.substr(0, name.size() - kBase64.size()), true};
}

}  // namespace

std::string DeadLetter::Origin() const { return fmt::format("{}/{}/{}", topic, partition, offset); }

std::string RepairableLine(const DeadLetter& letter) {
  std::string line = "{\"topic\":";
  AppendJsonString(letter.topic, &line);
  line += fmt::format(",\"partition\":{},\"offset\":{},", letter.partition, letter.offset);
  AppendBytes("value", letter.value, &line);
  line += ',';
  if (letter.key) {
    AppendBytes("key", *letter.key, &line);
  } else {
    line += "\"key\":null";
  }
  line += ",\"reason\":";
  AppendJsonString(letter.reason, &line);
  line += ",\"detail\":";
  AppendJsonString(letter.detail, &line);
  line += ",\"headers\":[";
  const char* separator = "";
  for (const auto& [name, value] : letter.headers) {
    line += std::exchange(separator, ",");
    line += "{\"key\":";
    AppendJsonString(name, &line);
    line += ',';
    if (value.has_value()) {
      AppendBytes("value", *value, &line);
    } else {
      line += "\"value\":null";
    }
    line += '}';
  }
  line += "],\"timestamp\":";
  if (letter.timestamp_us) {
    line += '"';
    AppendTimestamp(*letter.timestamp_us, &line);
    line += '"';
  } else {
    line += "null";
  }
  line += ",\"time\":";
  AppendJsonString(letter.time, &line);
  return line + "}";
}

absl::StatusOr<DeadLetter> DeadLetterReader::Read(std::string_view line, Form form) {
  if (const auto error = document_.Parse(line, /*padded=*/false)) {
    return absl::InvalidArgumentError(fmt::format("is no JSON object on one line ({}: {})",
                                                  BadReasonName(error->reason), error->detail));
  }
  DeadLetter letter;
  std::set<std::string> seen;
  absl::Status status = ForEachMember(0, [&](const std::string& name, uint32_t token) {
    const bool again = !seen.emplace(WithoutBase64(name).first).second;
    return again ? Wrong(name, "is given twice; keep one") : Take(name, token, form, &letter);
  });
  if (!status.ok()) return status;
  for (const char* needed : {"topic", "partition", "offset", "value"}) {
    if (!seen.contains(needed)) return Wrong(needed, "is missing");
  }
  if (letter.topic.empty()) return Wrong("topic", "is empty");
  if (letter.partition < 0 || letter.offset < 0) return Wrong("partition", "and offset begin at 0");
  return letter;
}

absl::Status DeadLetterReader::Take(std::string_view name, uint32_t token, Form form,
                                    DeadLetter* letter) {
  const bool null = document_.Kind(token) == 'n';
  if (name == "partition") return TakeNumber(name, token, &letter->partition);
  if (name == "offset") return TakeNumber(name, token, &letter->offset);
  if (name == "headers")
    return null ? absl::OkStatus() : TakeHeaders(token, form, &letter->headers);
  if (null && (name == "key" || name == "timestamp")) return absl::OkStatus();
  if (name == "timestamp") {
    const absl::StatusOr<std::string> text = Text(name, token);
    if (!text.ok()) return text.status();
    letter->timestamp_us = ParseTimestamp(*text);
    return letter->timestamp_us ? absl::OkStatus()
                                : Wrong(name, "is not a time such as 2025-01-02T10:15:22.123Z");
  }
  const auto [field, encoded] = WithoutBase64(name);
  if (field == "key" || field == "value") {
    if (null) {
      return Wrong(name, "is null; to give a letter up, delete its line");
    }
    const char kind = document_.Kind(token);
    const bool json = field == name && form == Form::kRepairable && (kind == '{' || kind == '[');
    absl::StatusOr<std::string> bytes =
        json ? std::string(document_.Text(token, document_.Skip(token)))
             : Bytes(name, token, encoded || form == Form::kStored);
    if (!bytes.ok()) return bytes.status();
    if (field == "key") {
      letter->key = *std::move(bytes);
    } else {
      letter->value = *std::move(bytes);
    }
    return absl::OkStatus();
  }
  std::string* const text = name == "topic"    ? &letter->topic
                            : name == "reason" ? &letter->reason
                            : name == "detail" ? &letter->detail
                            : name == "time"   ? &letter->time
                                               : nullptr;
  if (text == nullptr) return UnknownName(name);
  absl::StatusOr<std::string> read = Text(name, token);
  if (read.ok()) *text = *std::move(read);
  return read.status();
}

absl::Status DeadLetterReader::TakeHeaders(uint32_t token, Form form, RecordHeaders* headers) {
  if (document_.Kind(token) != '[') return Wrong("headers", "is not a list");
  for (uint32_t i = token + 1; document_.Kind(i) != ']'; i = document_.Skip(i)) {
    if (document_.Kind(i) == ',') ++i;
    if (document_.Kind(i) != '{') return Wrong("headers", "has an element that is no {key, value}");
    auto& header = headers->emplace_back();
    absl::Status status = ForEachMember(i, [&](const std::string& name, uint32_t value) {
      const auto [field, encoded] = WithoutBase64(name);
      const bool is_key = name == "key";
      if (!is_key && field != "value") return Wrong(name, "is nothing that a header has");
      if (!is_key && document_.Kind(value) == 'n') return absl::OkStatus();
      absl::StatusOr<std::string> bytes =
          Bytes(name, value, !is_key && (encoded || form == Form::kStored));
      if (!bytes.ok()) return bytes.status();
      if (is_key) {
        header.first = *std::move(bytes);
      } else {
        header.second = *std::move(bytes);
      }
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Visits name and value of each member of the object that begins at token `object`.
template <typename Visit>
absl::Status DeadLetterReader::ForEachMember(uint32_t object, const Visit& visit) const {
  for (uint32_t i = object + 1; document_.Kind(i) != '}';) {
    if (document_.Kind(i) == ',') ++i;
    absl::StatusOr<std::string> name = Text("a name", i);
    absl::Status status = name.ok() ? visit(*name, i + 2) : name.status();
    if (!status.ok()) return status;
    i = document_.Skip(i + 2);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DeadLetterReader::Text(std::string_view name, uint32_t token) const {
  if (document_.Kind(token) != '"') return Wrong(name, "is not a text in quotes");
  const std::string_view quoted = document_.Quoted(token);
  std::string text(quoted.size(), '\0');
  text.resize(UnescapeJson(quoted, text.data()));
  return text;
}

absl::StatusOr<std::string> DeadLetterReader::Bytes(std::string_view name, uint32_t token,
                                                    bool base64) const {
  absl::StatusOr<std::string> text = Text(name, token);
  if (!text.ok() || !base64) return text;
  std::optional<std::string> bytes = ParseBase64(*text);
  if (!bytes) return Wrong(name, "is not base64");
  return *std::move(bytes);
}

template <typename Number>
absl::Status DeadLetterReader::TakeNumber(std::string_view name, uint32_t token,
                                          Number* out) const {
  const std::string_view text = document_.Text(token, document_.Skip(token));
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size()
             ? absl::OkStatus()
             : Wrong(name, "is not a whole number");
}

}  // namespace tidemark::examples
