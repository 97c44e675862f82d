#include "tidemark/operators/formats/format.h"

#include <fmt/format.h>

#include <utility>

#include "tidemark/operators/formats/json_decoder.h"
#include "tidemark/operators/formats/row_format.h"

namespace tidemark {

FormatSpec Json(Schema schema) {
  FormatSpec spec;
  spec.name = "json";
  spec.schema = std::move(schema);
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
  if (spec.name == "json") return MakeJsonDecoder(spec);
  if (spec.name == "rows") return MakeRowDecoder(spec);
  return absl::InvalidArgumentError(
      fmt::format("there is no format '{}'; the formats are: json", spec.name));
}

}  // namespace tidemark
