#include "tidemark/operators/formats/avro_encoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "tidemark/operators/formats/avro_schemas.h"
#include "tidemark/operators/formats/avro_walk.h"
#include "tidemark/operators/formats/avro_wire.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

using SchemaPtr = std::shared_ptr<const AvroSchema>;

// The wire form of a column's values.
enum class Write : uint8_t {
  kBool,
  kInt,   // an int32 or date column as int or long
  kLong,  // an int64 or timestamp column as long
  kLongAsInt,
  kFloat,
  kDouble,
  kText,  // as string or bytes
  kFixed,
  kEnum,
  kDecimal,
  kMillis,
  kNanos,
  kValueText,  // as a string, in its usual text
};

// One field of the record.
struct FieldWriter {
  static constexpr size_t kConstant = SIZE_MAX;
  size_t column = kConstant;
  std::string constant;  // without a column: what is written in every row
  std::string name;
  Write write = Write::kBool;
  const AvroType* type = nullptr;  // never a union
  std::string branch;              // before a value: the number of its branch, in a union
  std::string null_branch;         // instead of a null
  bool takes_null = false;
  std::unordered_map<std::string_view, int64_t> symbols;  // enum; views into the schema
};

std::optional<Write> WriteAsText(const Field& field) {
  switch (field.type.id) {
    case TypeId::kString:
      return Write::kText;
    case TypeId::kDecimal:
    case TypeId::kDate:
    case TypeId::kTimestamp:
      return Write::kValueText;
    default:
      return std::nullopt;
  }
}

std::optional<Write> WriteTimestamp(const AvroType& type) {
  switch (type.logical) {
    case AvroLogical::kTimestampMillis:
    case AvroLogical::kLocalTimestampMillis:
      return Write::kMillis;
    case AvroLogical::kTimestampMicros:
    case AvroLogical::kLocalTimestampMicros:
      return Write::kLong;
    case AvroLogical::kTimestampNanos:
    case AvroLogical::kLocalTimestampNanos:
      return Write::kNanos;
    default:
      return std::nullopt;
  }
}

std::optional<Write> WriteNumber(const Field& field, const AvroType& type) {
  const bool is_wide = field.type.id == TypeId::kInt64;
  if (field.type.id == TypeId::kDouble) {
    if (type.kind == AvroKind::kDouble) return Write::kDouble;
    if (type.kind == AvroKind::kFloat) return Write::kFloat;
    return std::nullopt;
  }
  // A number with a meaning (a date, a time) is not just any number.
  if (type.logical != AvroLogical::kNone) return std::nullopt;
  switch (type.kind) {
    case AvroKind::kInt:
      return is_wide ? Write::kLongAsInt : Write::kInt;
    case AvroKind::kLong:
      return is_wide ? Write::kLong : Write::kInt;
    case AvroKind::kDouble:
      return Write::kDouble;
    case AvroKind::kFloat:
      if (is_wide) return std::nullopt;
      return Write::kFloat;
    default:
      return std::nullopt;
  }
}

// How values of the column become values of the type, which is no union; nothing if they do not.
std::optional<Write> WriteOf(const Field& field, const AvroType& type) {
  if (type.kind == AvroKind::kString) return WriteAsText(field);
  switch (field.type.id) {
    case TypeId::kBool:
      if (type.kind == AvroKind::kBoolean) return Write::kBool;
      return std::nullopt;
    case TypeId::kInt32:
    case TypeId::kInt64:
    case TypeId::kDouble:
      return WriteNumber(field, type);
    case TypeId::kDecimal:
      if (type.logical == AvroLogical::kDecimal) return Write::kDecimal;
      return std::nullopt;
    case TypeId::kString:
      if (type.kind == AvroKind::kEnum) return Write::kEnum;
      return std::nullopt;
    case TypeId::kBytes:
      if (type.logical == AvroLogical::kDecimal) return std::nullopt;
      if (type.kind == AvroKind::kBytes) return Write::kText;
      if (type.kind == AvroKind::kFixed) return Write::kFixed;
      return std::nullopt;
    case TypeId::kDate:
      if (type.logical == AvroLogical::kDate) return Write::kInt;
      return std::nullopt;
    case TypeId::kTimestamp:
      return WriteTimestamp(type);
  }
  return std::nullopt;
}

// The fewest big-endian two's complement bytes, or as many as asked for; nothing if they do not
// suffice.
std::optional<std::string> DecimalBytes(Int128 value, std::optional<size_t> width) {
  std::string bytes(sizeof(value), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[bytes.size() - 1 - i] = static_cast<char>(static_cast<UInt128>(value) >> (8 * i));
  }
  const char sign = value < 0 ? '\xFF' : '\0';
  size_t begin = 0;
  while (begin + 1 < bytes.size() && bytes[begin] == sign &&
         ((bytes[begin + 1] ^ sign) & 0x80) == 0) {
    ++begin;
  }
  bytes.erase(0, begin);
  if (!width.has_value()) return bytes;
  if (bytes.size() > *width) return std::nullopt;
  return std::string(*width - bytes.size(), sign) + bytes;
}

class AvroEncoder : public Encoder {
 public:
  AvroEncoder(SchemaPtr schema, std::string header, std::vector<FieldWriter> fields)
      : schema_(std::move(schema)), header_(std::move(header)), fields_(std::move(fields)) {}

  absl::Status Encode(const RowBatch& rows, std::string* bytes,
                      std::vector<size_t>* ends) override {
    absl::Status status;
    rows.selection().ForEach([&](uint32_t row) {
      if (!status.ok()) return;
      bytes->append(header_);
      for (const FieldWriter& field : fields_) {
        if (!WriteField(field, rows, row, bytes)) [[unlikely]] {
          status = Complaint(field, rows, row);
          return;
        }
      }
      ends->push_back(bytes->size());
    });
    return status;
  }

 private:
  static bool WriteField(const FieldWriter& field, const RowBatch& rows, uint32_t row,
                         std::string* bytes);
  static bool WriteValue(const FieldWriter& field, const Column& column, uint32_t row,
                         std::string* bytes);
  static bool WriteFraction(const FieldWriter& field, const Column& column, uint32_t row,
                            std::string* bytes);
  static bool WriteDecimal(const FieldWriter& field, const Column& column, uint32_t row,
                           std::string* bytes);
  static bool WriteNanos(int64_t micros, std::string* bytes);
  static absl::Status Complaint(const FieldWriter& field, const RowBatch& rows, uint32_t row);

  const SchemaPtr schema_;  // keeps the types that the fields point to
  const std::string header_;
  const std::vector<FieldWriter> fields_;
};

bool AvroEncoder::WriteField(const FieldWriter& field, const RowBatch& rows, uint32_t row,
                             std::string* bytes) {
  if (field.column == FieldWriter::kConstant) {
    bytes->append(field.constant);
    return true;
  }
  const Column& column = rows.column(field.column);
  if (column.IsNull(row)) {
    bytes->append(field.null_branch);
    return field.takes_null;
  }
  bytes->append(field.branch);
  return WriteValue(field, column, row, bytes);
}

bool AvroEncoder::WriteValue(const FieldWriter& field, const Column& column, uint32_t row,
                             std::string* bytes) {
  switch (field.write) {
    case Write::kBool:
      bytes->push_back(static_cast<char>(column.values<uint8_t>()[row] != 0));
      return true;
    case Write::kInt:
      AppendAvroLong(column.values<int32_t>()[row], bytes);
      return true;
    case Write::kLong:
      AppendAvroLong(column.values<int64_t>()[row], bytes);
      return true;
    case Write::kLongAsInt: {
      const int64_t value = column.values<int64_t>()[row];
      AppendAvroLong(value, bytes);
      return value == static_cast<int32_t>(value);
    }
    case Write::kFloat:
    case Write::kDouble:
      return WriteFraction(field, column, row, bytes);
    case Write::kText:
      AppendAvroBytes(column.text(row), bytes);
      return true;
    case Write::kFixed:
      bytes->append(column.text(row));
      return column.text(row).size() == static_cast<size_t>(field.type->width);
    case Write::kEnum: {
      const auto symbol = field.symbols.find(column.text(row));
      if (symbol == field.symbols.end()) return false;
      AppendAvroLong(symbol->second, bytes);
      return true;
    }
    case Write::kDecimal:
      return WriteDecimal(field, column, row, bytes);
    case Write::kMillis:
      AppendAvroLong(FloorDiv(column.values<int64_t>()[row], 1000), bytes);
      return true;
    case Write::kNanos:
      return WriteNanos(column.values<int64_t>()[row], bytes);
    case Write::kValueText: {
      std::string text;
      AppendValueText(column, row, &text);
      AppendAvroBytes(text, bytes);
      return true;
    }
  }
  return false;
}

bool AvroEncoder::WriteFraction(const FieldWriter& field, const Column& column, uint32_t row,
                                std::string* bytes) {
  constexpr int64_t kMostInDouble = int64_t{1} << 53;
  constexpr int64_t kMostInFloat = int64_t{1} << 24;
  const bool is_float = field.write == Write::kFloat;
  double value;
  if (column.type().id == TypeId::kDouble) {
    value = column.values<double>()[row];
    const bool is_too_large =
        is_float && std::isfinite(value) && std::abs(value) > std::numeric_limits<float>::max();
    if (is_too_large) return false;
  } else {
    const int64_t number = column.type().id == TypeId::kInt32 ? column.values<int32_t>()[row]
                                                              : column.values<int64_t>()[row];
    const int64_t most = is_float ? kMostInFloat : kMostInDouble;
    if (number < -most || number > most) return false;
    value = static_cast<double>(number);
  }
  if (is_float) {
    AppendAvroRaw(static_cast<float>(value), bytes);
  } else {
    AppendAvroRaw(value, bytes);
  }
  return true;
}

bool AvroEncoder::WriteDecimal(const FieldWriter& field, const Column& column, uint32_t row,
                               std::string* bytes) {
  constexpr int kMostDigits = 38;
  const int from = column.type().scale;
  const AvroType& type = *field.type;
  const Int128 value = column.values<Int128>()[row];
  const std::optional<Int128> scaled =
      RescaleAvroDecimal(value, from, type.scale, std::min(type.precision, kMostDigits));
  if (!scaled.has_value()) return false;
  // Without digits lost.
  if (type.scale < from && RescaleAvroDecimal(*scaled, type.scale, from, kMostDigits) != value) {
    return false;
  }
  const bool is_fixed = type.kind == AvroKind::kFixed;
  const std::optional<std::string> wire = DecimalBytes(
      *scaled, is_fixed ? std::optional<size_t>(static_cast<size_t>(type.width)) : std::nullopt);
  if (!wire.has_value()) return false;
  if (is_fixed) {
    bytes->append(*wire);
  } else {
    AppendAvroBytes(*wire, bytes);
  }
  return true;
}

bool AvroEncoder::WriteNanos(int64_t micros, std::string* bytes) {
  int64_t nanos;
  if (__builtin_mul_overflow(micros, int64_t{1000}, &nanos)) return false;
  AppendAvroLong(nanos, bytes);
  return true;
}

absl::Status AvroEncoder::Complaint(const FieldWriter& field, const RowBatch& rows, uint32_t row) {
  constexpr size_t kMostShown = 64;
  const Column& column = rows.column(field.column);
  if (column.IsNull(row)) {
    return absl::InvalidArgumentError(
        fmt::format("column '{}' is null, but the Avro field takes no null: {}; make it a union "
                    "with null, or filter such rows",
                    field.name, field.type->ToString()));
  }
  std::string text;
  AppendValueText(column, row, &text);
  return absl::InvalidArgumentError(
      fmt::format("column '{}': the value {} does not fit the Avro field of type {}", field.name,
                  text.substr(0, kMostShown), field.type->ToString()));
}

// The first branch that can hold the column's values, and null's.
absl::StatusOr<FieldWriter> MakeWriter(const AvroType& type, size_t column, const Field& field) {
  FieldWriter writer;
  writer.column = column;
  writer.name = field.name;
  const bool is_union = type.kind == AvroKind::kUnion;
  const std::vector<const AvroType*> types =
      is_union ? type.types : std::vector<const AvroType*>{&type};
  for (size_t i = 0; i < types.size(); ++i) {
    std::string branch;
    if (is_union) AppendAvroLong(static_cast<int64_t>(i), &branch);
    if (types[i]->kind == AvroKind::kNull) {
      writer.takes_null = true;
      writer.null_branch = branch;
      continue;
    }
    const std::optional<Write> write = WriteOf(field, *types[i]);
    if (writer.type != nullptr || !write.has_value()) continue;
    writer.write = *write;
    writer.type = types[i];
    writer.branch = branch;
  }
  if (writer.type == nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("column '{}' of type {} does not go into the Avro field of type {}", field.name,
                    field.type.ToString(), type.ToString()));
  }
  for (size_t i = 0; i < writer.type->symbols.size(); ++i) {
    writer.symbols.emplace(writer.type->symbols[i], static_cast<int64_t>(i));
  }
  return writer;
}

// Of a record's fields; of any other type, one for the only column there is.
absl::StatusOr<std::vector<FieldWriter>> MakeWriters(const AvroType& root, const Schema& rows) {
  std::vector<FieldWriter> writers;
  if (root.kind != AvroKind::kRecord) {
    if (rows.size() != 1) {
      return absl::InvalidArgumentError(
          fmt::format("rows of several columns can be written only as an Avro record, and the "
                      "writer's schema is {}",
                      root.ToString()));
    }
    absl::StatusOr<FieldWriter> writer = MakeWriter(root, 0, rows.field(0));
    if (!writer.ok()) return writer.status();
    writers.push_back(*std::move(writer));
    return writers;
  }
  for (const AvroField& avro : root.fields) {
    if (const std::optional<size_t> column = rows.Find(avro.name); column.has_value()) {
      absl::StatusOr<FieldWriter> writer = MakeWriter(*avro.type, *column, rows.field(*column));
      if (!writer.ok()) return writer.status();
      writers.push_back(*std::move(writer));
    } else if (avro.default_datum.has_value()) {
      FieldWriter writer;
      writer.constant = *avro.default_datum;
      writers.push_back(std::move(writer));
    } else {
      const std::string nearest = rows.Nearest(avro.name);
      return absl::InvalidArgumentError(
          fmt::format("the Avro field '{}' has no column and no default{}", avro.name,
                      nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
    }
  }
  for (const Field& field : rows.fields()) {
    if (field.hidden ||
        std::ranges::find(root.fields, field.name, &AvroField::name) != root.fields.end()) {
      continue;
    }
    return absl::InvalidArgumentError(
        fmt::format("the Avro record '{}' has no field for the column '{}'; add the field, or "
                    "leave the column out",
                    root.name, field.name));
  }
  return writers;
}

absl::StatusOr<SchemaPtr> FindSchema(AvroSchemas* schemas) {
  const AvroOptions& options = schemas->options();
  if (!options.writer_schema.empty()) {
    absl::StatusOr<SchemaPtr> schema = AvroSchema::Parse(options.writer_schema);
    if (schema.ok()) return schema;
    return absl::InvalidArgumentError(
        fmt::format("writer's schema: {}", std::string(schema.status().message())));
  }
  if (options.framing == AvroFraming::kRaw) {
    return absl::InvalidArgumentError("rows can be written as Avro only with a writer's schema");
  }
  if (absl::Status status = schemas->Check(); !status.ok()) return status;
  absl::StatusOr<SchemaPtr> schema = schemas->Find(options.written_schema_id);
  if (absl::IsFailedPrecondition(schema.status())) {
    return absl::InvalidArgumentError(schema.status().message());
  }
  return schema;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeAvroEncoder(const FormatSpec& spec,
                                                         const Schema& rows) {
  if (spec.avro == nullptr) {
    return absl::InvalidArgumentError("the format 'avro' has no options; make it with Avro(...)");
  }
  const AvroOptions& options = spec.avro->options();
  absl::StatusOr<SchemaPtr> schema = FindSchema(spec.avro.get());
  if (!schema.ok()) return schema.status();
  absl::StatusOr<std::vector<FieldWriter>> writers = MakeWriters((*schema)->root(), rows);
  if (!writers.ok()) return writers.status();
  std::string header;
  if (options.framing == AvroFraming::kConfluent) {
    header.push_back('\0');
    for (int shift = 24; shift >= 0; shift -= 8) {
      header.push_back(static_cast<char>(options.written_schema_id >> shift));
    }
  }
  return std::make_unique<AvroEncoder>(*std::move(schema), std::move(header), *std::move(writers));
}

}  // namespace tidemark
