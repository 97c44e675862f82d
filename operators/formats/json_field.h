#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_FIELD_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_FIELD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/formats/json_document.h"
#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {

/// What became of one value.
enum class JsonOutcome : uint8_t { kStored, kNull, kWrongType, kOutOfRange };

/// One decoded field: reads a JSON value as the field's type. The rules (null and a missing value
/// are null everywhere):
///   bool       true, false
///   int32/64   a number without fraction and exponent (1.0 is wrong_type, as in Spark); too large:
///   out_of_range double     any number, rounded to the nearest double; past the largest double:
///   out_of_range; also the strings NaN,
///              Infinity, +Infinity, -Infinity, +INF, -INF, as in Spark
///   decimal    any number, from its written digits, rounded half up to the scale; also a string
///   that holds one, as in Spark;
///              more digits than the precision: out_of_range
///   string     a string; any other value as its JSON text without blanks between the tokens
///   bytes      a string of base64
///   date       a string, 2025-01-02
///   timestamp  a string of ISO 8601 (without zone: the field's zone, by default UTC; a local time
///   that a clock change skips
///              or repeats counts by the offset before the change); or, if the field says so, a
///              number of seconds, milliseconds or microseconds since 1970, cut towards the past at
///              the microsecond
/// Everything else is wrong_type. One field belongs to one thread (it keeps buffers).
class JsonField {
 public:
  /// InvalidArgument: an unknown time zone.
  static absl::StatusOr<JsonField> Make(const Field& field);

  /// Writes `value`, of a valid document, to `row` of `column`; nothing is written unless kStored.
  /// Text is copied into `arena`.
  JsonOutcome Store(const JsonText& value, Arena* arena, Column* column, size_t row);

  /// `field 'price': "abc" is no double`, for a value that Store refused; at most 64 characters of
  /// the value, control characters escaped.
  std::string Complaint(std::string_view value, JsonOutcome outcome) const;

 private:
  JsonField(const Field& field, absl::TimeZone zone) : field_(field), zone_(zone) {}

  JsonOutcome StoreDecimal(const JsonText& value, Int128* out);
  JsonOutcome StoreBytes(const JsonText& value, Arena* arena, std::string_view* out);
  JsonOutcome StoreTimestamp(const JsonText& value, int64_t* out);
  JsonOutcome StoreDate(const JsonText& value, int32_t* out);
  JsonOutcome StoreDouble(const JsonText& value, double* out);
  std::string_view StringOf(const JsonText& value);

  Field field_;
  absl::TimeZone zone_;
  std::string unescaped_;
  ParsedDay day_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_FIELD_H_
