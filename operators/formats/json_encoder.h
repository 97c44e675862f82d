#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_ENCODER_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_ENCODER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/encoder.h"

namespace tidemark {

/// One JSON object a row, its members in the order of the columns, nulls left out, values as
/// AppendJsonValue writes them (semantics, section 4). Of the spec nothing is needed but its name.
/// Cannot fail.
absl::StatusOr<std::unique_ptr<Encoder>> MakeJsonEncoder(const FormatSpec& spec,
                                                         const Schema& rows);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_ENCODER_H_
