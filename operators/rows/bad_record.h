#ifndef TIDEMARK_OPERATORS_ROWS_BAD_RECORD_H_
#define TIDEMARK_OPERATORS_ROWS_BAD_RECORD_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {

/// Why a record could not become a row (semantics, section 6).
enum class BadReason : uint8_t {
  kParseError,
  kInvalidUtf8,
  kWrongType,
  kOutOfRange,
  kTooLarge,
  kTooDeep,
  kNotAnObject,
  kNullValue,   ///< a tombstone: skipped and counted under every policy but `null`, never
                ///< dead-lettered, never fatal
  kExpression,  ///< an expression before the aggregate failed on the row
  // Confluent framing (semantics, section 7):
  kShortHeader,    ///< fewer bytes than the header has
  kWrongMagic,     ///< the first byte is not 0
  kUnknownSchema,  ///< nobody knows the schema id, or what it names is no Avro schema
};
inline constexpr size_t kBadReasonCount = 12;

/// `parse_error`, `invalid_utf8`, ...: the words of counters, messages and dead letters.
std::string_view BadReasonName(BadReason reason);

/// What a source does with bad records.
enum class BadRecordPolicy : uint8_t { kFail, kDrop, kNull, kDeadLetter };

/// One bad record of a chunk: `index` into RawRecords::records, and a few words about what was
/// wrong (field, value).
struct BadRecord {
  uint32_t index = 0;
  BadReason reason = BadReason::kParseError;
  std::string detail;
};

/// Bad records by reason.
struct BadRecordCounts {
  std::array<int64_t, kBadReasonCount> by_reason{};

  int64_t& operator[](BadReason reason) { return by_reason[static_cast<size_t>(reason)]; }
  int64_t operator[](BadReason reason) const { return by_reason[static_cast<size_t>(reason)]; }
  int64_t total() const {
    int64_t sum = 0;
    for (int64_t count : by_reason) sum += count;
    return sum;
  }
  void Add(const BadRecordCounts& other) {
    for (size_t i = 0; i < by_reason.size(); ++i) by_reason[i] += other.by_reason[i];
  }
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_BAD_RECORD_H_
