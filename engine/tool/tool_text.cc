#include "tidemark/engine/tool/tool_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "tidemark/operators/rows/text.h"

namespace tidemark {

std::string NumberText(int64_t number) {
  std::string text = std::to_string(number);
  const ptrdiff_t first = number < 0 ? 1 : 0;
  for (ptrdiff_t at = static_cast<ptrdiff_t>(text.size()) - 3; at > first; at -= 3) {
    text.insert(static_cast<size_t>(at), 1, ',');
  }
  return text;
}

std::string BytesText(int64_t bytes) {
  if (bytes < 1024) return CountText(bytes, "byte");
  double value = static_cast<double>(bytes) / 1024;
  const char* unit = "KiB";
  for (const char* greater : {"MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = greater;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

std::string TimeText(int64_t time_us) {
  if (time_us == INT64_MIN) return "none";
  std::string text;
  AppendTimestamp(time_us, &text);
  return text;
}

std::string CountText(int64_t count, std::string_view word) {
  return fmt::format("{} {}{}", NumberText(count), word, count == 1 ? "" : "s");
}

namespace {

size_t Width(std::string_view cell) {
  return static_cast<size_t>(std::count_if(cell.begin(), cell.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

bool IsNumber(std::string_view cell) {
  return !cell.empty() && cell.find_first_not_of("-0123456789,") == std::string_view::npos;
}

}  // namespace

std::string TextTable::ToString() const {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& line : lines_) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
  }
  std::string text;
  for (size_t number = 0; number < lines_.size(); ++number) {
    const std::vector<std::string>& line = lines_[number];
    std::string written = "  ";
    for (size_t i = 0; i < line.size(); ++i) {
      // A head stands as the column below it.
      const std::string& cell =
          number == 0 && lines_.size() > 1 && i < lines_[1].size() ? lines_[1][i] : line[i];
      const std::string blanks(widths[i] - Width(line[i]), ' ');
      written += IsNumber(cell) ? blanks + line[i] : line[i] + blanks;
      written += "  ";
    }
    written.erase(written.find_last_not_of(' ') + 1);
    text += written + "\n";
  }
  return text;
}

JsonObject& JsonObject::Json(std::string_view name, std::string_view value) {
  if (!members_.empty()) members_ += ',';
  AppendJsonString(name, &members_);
  members_ += ':';
  members_ += value;
  return *this;
}

JsonObject& JsonObject::Text(std::string_view name, std::string_view value) {
  std::string json;
  AppendJsonString(value, &json);
  return Json(name, json);
}

JsonObject& JsonObject::Number(std::string_view name, int64_t value) {
  return Json(name, std::to_string(value));
}

JsonObject& JsonObject::Time(std::string_view name, int64_t time_us) {
  return time_us == INT64_MIN ? Json(name, "null") : Text(name, TimeText(time_us));
}

std::string JsonArray(const std::vector<std::string>& values) {
  return fmt::format("[{}]", fmt::join(values, ","));
}

std::string RowJson(const RowBatch& batch, uint32_t row) {
  std::string json = "{";
  for (size_t i = 0; i < batch.columns().size(); ++i) {
    if (i > 0) json += ',';
    AppendJsonString(batch.schema().field(i).name, &json);
    json += ':';
    AppendJsonValue(batch.column(i), row, &json);
  }
  return json + "}";
}

}  // namespace tidemark
