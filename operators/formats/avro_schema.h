#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_SCHEMA_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_SCHEMA_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tidemark {

/// What stands on the wire for a value (Avro 1.11, "Schema Declaration").
enum class AvroKind : uint8_t {
  kNull,
  kBoolean,
  kInt,
  kLong,
  kFloat,
  kDouble,
  kBytes,
  kString,
  kFixed,
  kEnum,
  kArray,
  kMap,
  kUnion,
  kRecord,
};

/// What a value means; unknown logical types, and those that do not fit their kind, are kNone, as
/// Avro asks.
enum class AvroLogical : uint8_t {
  kNone,
  kDate,
  kTimestampMillis,
  kTimestampMicros,
  kTimestampNanos,
  kLocalTimestampMillis,
  kLocalTimestampMicros,
  kLocalTimestampNanos,
  kDecimal,
  kUuid,
};

struct AvroType;

struct AvroField {
  std::string name;
  const AvroType* type = nullptr;
  std::vector<std::string> aliases;
  /// The default as a datum of `type`.
  std::optional<std::string> default_datum;
  /// Why a default that is written in the schema is none.
  std::string default_problem;
};

/// One type of a schema; which members count depends on `kind`.
struct AvroType {
  AvroKind kind = AvroKind::kNull;
  AvroLogical logical = AvroLogical::kNone;
  int precision = 0;                     ///< decimal
  int scale = 0;                         ///< decimal
  std::string name;                      ///< record, enum, fixed: with its namespace
  std::vector<std::string> aliases;      ///< record, enum, fixed: with their namespaces
  std::vector<AvroField> fields;         ///< record
  std::vector<std::string> symbols;      ///< enum
  std::optional<size_t> default_symbol;  ///< enum
  std::vector<const AvroType*> types;    ///< union: its branches; array, map: of their values
  /// Bytes of every value, if all have as many; else kVariable. Of fixed: its size.
  int64_t width = kVariable;

  static constexpr int64_t kVariable = -1;
  /// For messages: `long`, `com.retail.OrderRecord`, `array of string`, `[null, string]`,
  /// `long timestamp-millis`.
  std::string ToString() const;
};

/// A parsed schema. Immutable; its types live as long as it does.
class AvroSchema {
 public:
  /// Bounds: larger schemas are refused.
  static constexpr size_t kMaxTextBytes = size_t{1} << 20;
  static constexpr size_t kMaxTypes = 4096;
  static constexpr size_t kMaxNesting = 256;  ///< of the JSON text

  /// InvalidArgument, in one sentence: not JSON, not Avro, too large, or a record that contains
  /// itself always, so that no value of it can be written. (A record that contains itself by way of
  /// a union, an array or a map is fine.)
  static absl::StatusOr<std::shared_ptr<const AvroSchema>> Parse(std::string_view text);

  const AvroType& root() const { return *root_; }
  /// The schema as JSON in one way of writing it, without blanks and what readers do not look at
  /// (doc, order, unknown properties): equal if two schemas mean the same to us.
  const std::string& canonical() const { return canonical_; }

 private:
  friend class AvroSchemaParser;
  AvroSchema() = default;

  std::deque<AvroType> types_;  // never move
  const AvroType* root_ = nullptr;
  std::string canonical_;
};

/// `OrderRecord` of `com.retail.OrderRecord`.
std::string_view UnqualifiedAvroName(std::string_view name);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_SCHEMA_H_
