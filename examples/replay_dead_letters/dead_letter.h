#ifndef TIDEMARK_EXAMPLES_REPLAY_DEAD_LETTERS_DEAD_LETTER_H_
#define TIDEMARK_EXAMPLES_REPLAY_DEAD_LETTERS_DEAD_LETTER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/json_document.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark::examples {

/// A record that a job could not read, and why.
struct DeadLetter {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
  std::optional<int64_t> timestamp_us = std::nullopt;
  std::optional<std::string> key = std::nullopt;
  RecordHeaders headers = {};
  std::string value;
  std::string reason = {};
  std::string detail = {};
  std::string time = {};

  /// `orders/0/41`: where the record was. No two letters of one job share it.
  std::string Origin() const;
};

/// A letter as a person repairs it: one line of JSON, bytes as text where they are UTF-8 (`value`),
/// else base64 (`value_base64`); likewise the key and the headers' values.
std::string RepairableLine(const DeadLetter& letter);

/// Reads letters, a line each. One thread.
class DeadLetterReader {
 public:
  /// kStored: as jobs write them to dead-*.jsonl, bytes in base64. kRepairable: as RepairableLine;
  /// a value may also be a JSON object or array, which then is its own text.
  enum class Form { kStored, kRepairable };

  DeadLetterReader() : document_(kMaxDepth) {}

  /// InvalidArgument: what is wrong with the line, in a person's words.
  absl::StatusOr<DeadLetter> Read(std::string_view line, Form form);

 private:
  static constexpr size_t kMaxDepth = 1024;

  absl::Status Take(std::string_view name, uint32_t token, Form form, DeadLetter* letter);
  absl::Status TakeHeaders(uint32_t token, Form form, RecordHeaders* headers);
  template <typename Visit>
  absl::Status ForEachMember(uint32_t object, const Visit& visit) const;
  absl::StatusOr<std::string> Text(std::string_view name, uint32_t token) const;
  absl::StatusOr<std::string> Bytes(std::string_view name, uint32_t token, bool base64) const;
  template <typename Number>
  absl::Status TakeNumber(std::string_view name, uint32_t token, Number* out) const;

  JsonDocument document_;
};

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_REPLAY_DEAD_LETTERS_DEAD_LETTER_H_
