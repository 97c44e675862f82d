#ifndef TIDEMARK_OPERATORS_FORMATS_FORMAT_H_
#define TIDEMARK_OPERATORS_FORMATS_FORMAT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// What a pipeline's Decode says: a logical value, part of the plan and of its fingerprint.
struct FormatSpec {
  std::string name;  ///< `json` (later `avro`)
  Schema
      schema;  ///< decoded fields, then the hidden Kafka columns that the planner found to be used
  size_t max_record_bytes = size_t{16} << 20;
  size_t max_depth = 1024;
};

/// `Json(Schema().Int64("id").String("name"))`.
FormatSpec Json(Schema schema);
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
