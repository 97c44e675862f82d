#include "tidemark/operators/formats/encoder.h"

#include <fmt/format.h>

#include "tidemark/operators/formats/avro_encoder.h"
#include "tidemark/operators/formats/json_encoder.h"

namespace tidemark {

absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(const FormatSpec& spec, const Schema& rows) {
  if (spec.name == "avro") return MakeAvroEncoder(spec, rows);
  if (spec.name == "json") return MakeJsonEncoder(spec, rows);
  return absl::InvalidArgumentError(
      fmt::format("rows cannot be written as '{}'; the formats are: avro, json", spec.name));
}

}  // namespace tidemark
