#include "tidemark/operators/sinks/files_manifest.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

// Takes `word` off the front of `*text`.
bool Take(std::string_view word, std::string_view* text) {
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

template <typename T>
bool TakeNumber(std::string_view* text, T* number, int base = 10) {
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, *number, base);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(stop - text->data()));
  return true;
}

bool TakeUntil(char stop, std::string_view* text, std::string* taken) {
  const size_t end = text->find(stop);
  if (end == std::string_view::npos) return false;
  *taken = text->substr(0, end);
  text->remove_prefix(end);
  return true;
}

}  // namespace

std::string ManifestName(int64_t batch_id) { return fmt::format("{:05}.json", batch_id); }

std::string PartName(int64_t batch_id, int64_t seq, std::string_view query_id,
                     std::string_view ending) {
  return fmt::format("part-{:05}-{:03}-{}.{}", batch_id, seq, query_id.substr(0, 8), ending);
}

std::optional<int64_t> ManifestBatch(std::string_view name) {
  std::string_view rest = name;
  int64_t batch_id = 0;
  if (!TakeNumber(&rest, &batch_id) || name != ManifestName(batch_id)) return std::nullopt;
  return batch_id;
}

std::optional<int64_t> PartBatch(std::string_view name, std::string_view query_id) {
  std::string_view rest = name;
  int64_t batch_id = 0;
  int64_t seq = 0;
  if (!Take("part-", &rest) || !TakeNumber(&rest, &batch_id) || !Take("-", &rest) ||
      !TakeNumber(&rest, &seq)) {
    return std::nullopt;
  }
  const bool is_part = name == PartName(batch_id, seq, query_id, "json") ||
                       name == PartName(batch_id, seq, query_id, "parquet");
  return is_part ? std::optional(batch_id) : std::nullopt;
}

std::string ManifestText(const FilesManifest& manifest) {
  const SinkMarker& marker = manifest.marker;
  std::string sink;
  AppendJsonString(marker.sink, &sink);
  std::string text = fmt::format(
      "{{\n  \"version\": 1,\n  \"query_id\": \"{}\",\n  \"sink\": {},\n  \"epoch\": {},\n"
      "  \"batch\": {},\n  \"plan_hash\": \"{:016x}\",\n  \"row_count\": {},\n"
      "  \"rows_hash\": \"{:016x}\",\n",
      marker.query_id, sink, marker.epoch, marker.batch_id, marker.plan_hash, marker.row_count,
      marker.rows_hash);
  if (!manifest.partition_by.empty()) {
    text += fmt::format("  \"partition_by\": {},\n", manifest.partition_by);
  }
  text += "  \"files\": [";
  const char* separator = "\n";
  for (const FilePart& part : manifest.parts) {
    text += fmt::format("{}    {{\"name\": \"{}\", \"rows\": {}, \"bytes\": {}}}", separator,
                        part.name, part.rows, part.bytes);
    separator = ",\n";
  }
  text += manifest.parts.empty() ? "]\n}\n" : "\n  ]\n}\n";
  return text;
}

std::optional<FilesManifest> ParseManifest(std::string_view text, const std::string& sink) {
  FilesManifest manifest;
  SinkMarker& marker = manifest.marker;
  std::string sink_text;
  if (!Take("{\n  \"version\": 1,\n  \"query_id\": \"", &text) ||
      !TakeUntil('"', &text, &marker.query_id) || !Take("\",\n  \"sink\": ", &text) ||
      !TakeUntil('\n', &text, &sink_text) || !Take("\n  \"epoch\": ", &text) ||
      !TakeNumber(&text, &marker.epoch) || !Take(",\n  \"batch\": ", &text) ||
      !TakeNumber(&text, &marker.batch_id) || !Take(",\n  \"plan_hash\": \"", &text) ||
      !TakeNumber(&text, &marker.plan_hash, 16) || !Take("\",\n  \"row_count\": ", &text) ||
      !TakeNumber(&text, &marker.row_count) || !Take(",\n  \"rows_hash\": \"", &text) ||
      !TakeNumber(&text, &marker.rows_hash, 16) || !Take("\",\n", &text)) {
    return std::nullopt;
  }
  if (Take("  \"partition_by\": ", &text)) {
    if (!TakeUntil('\n', &text, &manifest.partition_by) || !manifest.partition_by.ends_with(',')) {
      return std::nullopt;
    }
    manifest.partition_by.pop_back();
    Take("\n", &text);
  }
  if (!Take("  \"files\": [", &text)) return std::nullopt;
  std::string own_sink;
  AppendJsonString(sink, &own_sink);
  if (sink_text == own_sink + ",") marker.sink = sink;
  while (Take(manifest.parts.empty() ? "\n    {\"name\": \"" : ",\n    {\"name\": \"", &text)) {
    FilePart part;
    if (!TakeUntil('"', &text, &part.name) || !Take("\", \"rows\": ", &text) ||
        !TakeNumber(&text, &part.rows) || !Take(", \"bytes\": ", &text) ||
        !TakeNumber(&text, &part.bytes) || !Take("}", &text)) {
      return std::nullopt;
    }
    manifest.parts.push_back(std::move(part));
  }
  if (text != (manifest.parts.empty() ? "]\n}\n" : "\n  ]\n}\n")) return std::nullopt;
  return manifest;
}

}  // namespace tidemark
