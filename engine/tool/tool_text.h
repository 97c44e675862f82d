#ifndef TIDEMARK_ENGINE_TOOL_TOOL_TEXT_H_
#define TIDEMARK_ENGINE_TOOL_TOOL_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

// How the program writes things for people, and JSON.

/// `1,234,567`.
std::string NumberText(int64_t number);
/// `12.1 MiB`.
std::string BytesText(int64_t bytes);
/// `2025-01-02T10:15:22Z`; `none` for INT64_MIN.
std::string TimeText(int64_t time_us);
/// `1 group`, `12 groups`: the word takes an s.
std::string CountText(int64_t count, std::string_view word);

/// Lines of cells under a head, in columns as wide as their widest cell. Cells that begin with a
/// digit or a minus stand to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head) { Add(std::move(head)); }
  void Add(std::vector<std::string> line) { lines_.push_back(std::move(line)); }
  /// Each line indented by two blanks.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> lines_;
};

/// A JSON object, built from its members; values are JSON.
class JsonObject {
 public:
  JsonObject& Json(std::string_view name, std::string_view value);
  JsonObject& Text(std::string_view name, std::string_view value);
  JsonObject& Number(std::string_view name, int64_t value);
  /// An ISO time; null for INT64_MIN.
  JsonObject& Time(std::string_view name, int64_t time_us);
  std::string ToString() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};
std::string JsonArray(const std::vector<std::string>& values);

/// Row `row` as a JSON object, nulls as null.
std::string RowJson(const RowBatch& batch, uint32_t row);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TOOL_TOOL_TEXT_H_
