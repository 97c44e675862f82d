#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_ENCODER_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_ENCODER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/encoder.h"

namespace tidemark {

/// The encoder behind `Avro(...)`: each row as a record of `writer_schema` (or, with Confluent
/// framing and no `writer_schema`, of the schema of id `written_schema_id`, looked up here).
/// Columns and record fields meet by name; hidden columns are left out unless the record has a
/// field of their name. Called by MakeEncoder.
///
/// What a column becomes (in a union: the first branch that can hold it; nulls go to the union's
/// null, and are an error where there is none):
///   bool       boolean
///   int32      int, long, double; float (past 2^24 either way: an error)
///   int64      long; int (a value past 32 bits is an error); double (past 2^53 either way: an
///   error) double     double; float (an error if the value is too large for one) decimal    bytes
///   or fixed with a decimal logical type (an error if digits would be lost);
///              string
///   string     string; enum (an error if it is no symbol)
///   bytes      bytes; fixed (an error if it has another size)
///   date       int with logical type date; string (2025-01-02)
///   timestamp  long with a timestamp or local-timestamp (UTC) logical type, micros past its
///              precision cut towards the past; string (2025-01-02T10:15:22.123Z)
/// A field without a column gets its default. Rows of one column may also be written as its value
/// alone, with a schema that is no record: how Kafka's keys often are.
///
/// InvalidArgument: no schema, not a record though there are several columns, a field with neither
/// column nor default, a column without a field, types that do not fit. NotFound, Unavailable,
/// PermissionDenied: from looking up the schema.
absl::StatusOr<std::unique_ptr<Encoder>> MakeAvroEncoder(const FormatSpec& spec,
                                                         const Schema& rows);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_ENCODER_H_
