#ifndef TIDEMARK_OPERATORS_FORMATS_FORMAT_H_
#define TIDEMARK_OPERATORS_FORMATS_FORMAT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/avro_options.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

class AvroSchemas;

/// What a pipeline's Decode says: a logical value, part of the plan and of its fingerprint.
struct FormatSpec {
  std::string name;  ///< `json`, `avro`
  Schema
      schema;  ///< decoded fields, then the hidden Kafka columns that the planner found to be used
  size_t max_record_bytes = size_t{16} << 20;
  size_t max_depth = 1024;
  /// `avro` only: the options, and the schemas looked up so far, which all copies of the spec, and
  /// so all workers, share. To change an option, call Avro() again.
  std::shared_ptr<AvroSchemas> avro;
};

/// `Json(Schema().Int64("id").String("name"))`.
FormatSpec Json(Schema schema);

/// `Avro(Schema().Int64("id").String("name"), {.writer_schema = text})`. A column is the record
/// field of its name, or, with At("/payload/after/id"), a field of a record in it; which Avro types
/// a column takes is written in avro_program.h.
FormatSpec Avro(Schema schema, AvroOptions options);

/// What of a format decides how bytes are read, beyond its name and columns, as text for the plan's
/// fingerprint: for Avro framing and schemas; empty for JSON.
std::string FormatFingerprint(const FormatSpec& spec);

/// What polled tables give (row_format.h): the columns are the table's.
FormatSpec Rows(Schema schema);

/// Turns chunks of bytes into row batches. One decoder belongs to one thread at a time; a pipeline
/// has one a worker.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Decodes every record of `records` into one batch of spec.schema, in order, and lists the
  /// records that could not be decoded in `bad` (ascending, each record at most once; detail says
  /// which field and why). A bad record gives no row, except under `keep_bad_rows` (policy `null`):
  /// then it gives a row whose unreadable fields are null (a broken document: all null; a column
  /// `_corrupt_record` of type string, if the schema has one, holds its raw text, and is null in
  /// good rows), and is still listed. Tombstones are listed with kNullValue and give a row of nulls
  /// only under `keep_bad_rows`. Text views may point into the records (the batch then shares
  /// records.owner) or into the batch's own arena. The batch's origin is set to `records`.
  virtual RowBatch Decode(const RawRecords& records, bool keep_bad_rows,
                          std::vector<BadRecord>* bad) = 0;
  /// Not OK if the last Decode was stopped by something that is no fault of the records (a schema
  /// registry that does not answer: Unavailable; that refuses us: PermissionDenied): its batch and
  /// list are then of no use, and the same records can be decoded again.
  virtual absl::Status status() const { return absl::OkStatus(); }
};

/// InvalidArgument: unknown format, a schema the format cannot give (two fields at one path, a bad
/// pointer, ...).
absl::StatusOr<std::unique_ptr<Decoder>> MakeDecoder(const FormatSpec& spec);

/// The hidden columns every format can add from the record itself: kafka_key bytes, kafka_topic
/// string, kafka_partition int32, kafka_offset int64, kafka_timestamp timestamp, kafka_headers
/// string (a JSON object of name: text).
const std::vector<Field>& KafkaColumns();

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_FORMAT_H_
