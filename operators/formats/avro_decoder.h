#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_DECODER_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_DECODER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/format.h"

namespace tidemark {

/// The decoder behind `Avro(...)`: one datum a record (semantics, section 7; what each column takes
/// is written in avro_program.h). Called by MakeDecoder, which has checked `spec.schema`. Nothing
/// is asked over the network here; Decode does so when it first meets an id.
///
/// A column that the schema does not have is refused here if that schema is known here (the
/// reader's, or else a raw datum's); with Confluent framing and no reader's schema it is null in
/// the records whose schema lacks it. A writer's schema that cannot be resolved makes its records
/// bad (wrong_type). Texts that are not taken are not checked to be UTF-8.
///
/// InvalidArgument: no schema, or one that is none; a source of schemas that does not go with the
/// framing; columns that the schema cannot fill.
absl::StatusOr<std::unique_ptr<Decoder>> MakeAvroDecoder(const FormatSpec& spec);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_DECODER_H_
