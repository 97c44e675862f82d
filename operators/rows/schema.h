#ifndef TIDEMARK_OPERATORS_ROWS_SCHEMA_H_
#define TIDEMARK_OPERATORS_ROWS_SCHEMA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// How a timestamp field is written in its source.
enum class TimeEncoding : uint8_t { kIso8601, kEpochSeconds, kEpochMillis, kEpochMicros };

/// One named column. `path`, `time_encoding` and `zone` matter to formats only.
struct Field {
  std::string name;
  DataType type;
  std::string
      path;  ///< JSON pointer of the value in the record; empty: the top-level member called `name`
  TimeEncoding time_encoding = TimeEncoding::kIso8601;
  std::string zone;     ///< IANA zone of timestamps written without one; empty: UTC
  bool hidden = false;  ///< can be named in expressions, but is not part of what a sink gets by
                        ///< default (kafka_offset, ...)

  friend bool operator==(const Field&, const Field&) = default;
};

/// The columns of a batch, in order; built fluently:
///   Schema().Int64("customer_id").Timestamp("created_at").EpochMillis().At("/payload/ts")
/// `At`, `EpochSeconds/Millis/Micros` and `Zone` apply to the field added last. A plain value;
/// mistakes (two fields of one name, an empty name, a bad decimal, a modifier that does not fit its
/// field) are reported by Validate in planning.
class Schema {
 public:
  Schema() = default;
  explicit Schema(std::vector<Field> fields) : fields_(std::move(fields)) {}

  Schema& Bool(std::string name) { return Add(std::move(name), DataType::Bool()); }
  Schema& Int32(std::string name) { return Add(std::move(name), DataType::Int32()); }
  Schema& Int64(std::string name) { return Add(std::move(name), DataType::Int64()); }
  Schema& Double(std::string name) { return Add(std::move(name), DataType::Double()); }
  Schema& Decimal(std::string name, uint8_t precision, uint8_t scale) {
    return Add(std::move(name), DataType::Decimal(precision, scale));
  }
  Schema& String(std::string name) { return Add(std::move(name), DataType::String()); }
  Schema& Bytes(std::string name) { return Add(std::move(name), DataType::Bytes()); }
  Schema& Date(std::string name) { return Add(std::move(name), DataType::Date()); }
  Schema& Timestamp(std::string name) { return Add(std::move(name), DataType::Timestamp()); }
  Schema& Add(std::string name, DataType type);
  Schema& Add(Field field);

  Schema& At(std::string json_pointer);
  Schema& EpochSeconds() { return Encoding(TimeEncoding::kEpochSeconds); }
  Schema& EpochMillis() { return Encoding(TimeEncoding::kEpochMillis); }
  Schema& EpochMicros() { return Encoding(TimeEncoding::kEpochMicros); }
  Schema& Zone(std::string iana_zone);

  size_t size() const { return fields_.size(); }
  const Field& field(size_t i) const { return fields_[i]; }
  const std::vector<Field>& fields() const { return fields_; }
  /// The index of the field of this name (names are case-sensitive).
  std::optional<size_t> Find(std::string_view name) const;
  /// The field whose name is nearest to `name` by edit distance, or empty: for messages about
  /// unknown columns.
  std::string Nearest(std::string_view name) const;
  /// `[customer_id int64, created_at timestamp]`.
  std::string ToString() const;
  /// What is wrong with this schema, in a person's words; empty if nothing.
  std::string Problem() const;

  friend bool operator==(const Schema& a, const Schema& b) { return a.fields_ == b.fields_; }

 private:
  Schema& Encoding(TimeEncoding encoding);

  std::vector<Field> fields_;
  std::string problem_;  // the first modifier that did not fit
};

/// The entry of `names` nearest to `name` by edit distance, or empty if none is near: "did you
/// mean".
std::string NearestName(std::string_view name, const std::vector<std::string>& names);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_SCHEMA_H_
