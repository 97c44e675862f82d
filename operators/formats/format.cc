#include "tidemark/operators/formats/format.h"

#include <fmt/format.h>

#include <utility>

#include "tidemark/operators/formats/avro_decoder.h"
#include "tidemark/operators/formats/avro_schemas.h"
#include "tidemark/operators/formats/json_decoder.h"
#include "tidemark/operators/formats/row_format.h"

namespace tidemark {
namespace {

// A schema that is none is refused elsewhere.
std::string CanonicalSchema(const std::string& text) {
  const auto schema = AvroSchema::Parse(text);
  return schema.ok() ? (*schema)->canonical() : text;
}

}  // namespace

FormatSpec Json(Schema schema) {
  FormatSpec spec;
  spec.name = "json";
  spec.schema = std::move(schema);
  return spec;
}

FormatSpec Avro(Schema schema, AvroOptions options) {
  FormatSpec spec;
  spec.name = "avro";
  spec.schema = std::move(schema);
  spec.avro = std::make_shared<AvroSchemas>(std::move(options));
  return spec;
}

FormatSpec Rows(Schema schema) {
  FormatSpec spec;
  spec.name = "rows";
  spec.schema = std::move(schema);
  return spec;
}

absl::StatusOr<std::unique_ptr<Decoder>> MakeDecoder(const FormatSpec& spec) {
  if (const std::string problem = spec.schema.Problem(); !problem.empty()) {
    return absl::InvalidArgumentError(fmt::format("the decoded schema is wrong: {}", problem));
  }
  if (spec.name == "avro") return MakeAvroDecoder(spec);
  if (spec.name == "json") return MakeJsonDecoder(spec);
  if (spec.name == "rows") return MakeRowDecoder(spec);
  return absl::InvalidArgumentError(
      fmt::format("there is no format '{}'; the formats are: avro, json", spec.name));
}

std::string FormatFingerprint(const FormatSpec& spec) {
  if (spec.avro == nullptr) return "";
  const AvroOptions& options = spec.avro->options();
  const bool is_raw = options.framing == AvroFraming::kRaw;
  std::string text = is_raw ? " raw" : " confluent";
  if (is_raw) text += " writer " + CanonicalSchema(options.writer_schema);
  if (!options.reader_schema.empty()) text += " reader " + CanonicalSchema(options.reader_schema);
  return text;
}

}  // namespace tidemark
