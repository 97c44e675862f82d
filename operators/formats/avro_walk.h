#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_WALK_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_WALK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tidemark/operators/formats/avro_step.h"
#include "tidemark/operators/formats/avro_wire.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// What became of one value.
enum class AvroOutcome : uint8_t {
  kGood,
  kBadValue,  ///< this value cannot be had; where it ends is known, or can be found by skipping it
  kBroken,    ///< the bytes are no datum of the schema: nothing after this place can be read
};

/// Why, for kBadValue and kBroken; built only then.
struct AvroProblem {
  BadReason reason = BadReason::kParseError;
  std::string detail;
};

/// Bounds of a walk.
struct AvroLimits {
  size_t max_depth = 1024;  ///< records, arrays, maps and unions inside each other
  size_t max_text_bytes = 16 << 20;
};

/// Values that take no bytes (null, an empty record, ...) are taken from arrays and maps only up to
/// this count: a chunk of 8,192 records of some bytes each must not become gigabytes of text.
inline constexpr int64_t kMaxEmptyItems = 1'024;

/// Moves the cursor past a value of `type`, without looking at what it says. kGood or kBroken.
AvroOutcome SkipAvroValue(const AvroType& type, const AvroLimits& limits, AvroCursor* cursor,
                          AvroProblem* problem);

/// Appends a value as the JSON of the reader's type: records by the reader's names, their members
/// in the order written and then those with defaults; dates, times and decimals as everywhere
/// (rows/text.h), bytes as base64, NaN as "NaN". `bare`: a string without its quotes. After
/// kBadValue the cursor and `out` are of no use.
AvroOutcome AppendAvroJson(const AvroStep& step, bool bare, const AvroLimits& limits,
                           AvroCursor* cursor, std::string* out, AvroProblem* problem);

/// What a cursor that failed has to say.
std::string AvroFaultText(const AvroCursor& cursor);

/// The number that big-endian two's complement bytes say; nothing if they are none or do not fit.
std::optional<Int128> AvroDecimal(std::string_view bytes);
/// `value` of scale `from` with scale `to`, rounded half up (away from zero); nothing if it then
/// has more than `precision` digits.
std::optional<Int128> RescaleAvroDecimal(Int128 value, int from, int to, int precision);
/// Of a value of this logical type, microseconds; nothing if they do not fit.
std::optional<int64_t> AvroTimestampMicros(int64_t value, AvroLogical logical);
/// The text of 16 bytes: 550e8400-e29b-41d4-a716-446655440000.
void AppendUuid(std::string_view bytes, std::string* out);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_WALK_H_
