#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_DECODER_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_DECODER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/format.h"

namespace tidemark {

/// The decoder behind `Json(...)`: one JSON object a record (semantics, section 6; the rules for
/// each type are in json_field.h). Called by MakeDecoder, which has checked `spec.schema`.
/// InvalidArgument: two fields at one path, a bad pointer or zone, a limit that cannot be kept.
absl::StatusOr<std::unique_ptr<Decoder>> MakeJsonDecoder(const FormatSpec& spec);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_DECODER_H_
