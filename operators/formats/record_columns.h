#ifndef TIDEMARK_OPERATORS_FORMATS_RECORD_COLUMNS_H_
#define TIDEMARK_OPERATORS_FORMATS_RECORD_COLUMNS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// The hidden columns of a decoded schema that are not in the record's bytes but around them
/// (KafkaColumns in format.h): every format's decoder fills them through this. Immutable,
/// thread-safe.
class RecordColumns {
 public:
  /// The fields of `schema` that are hidden and named as one of KafkaColumns. InvalidArgument: such
  /// a field of another type.
  static absl::StatusOr<RecordColumns> Find(const Schema& schema);

  /// True for a field that Fill fills, so that the format must not.
  bool Owns(size_t field) const;

  /// Fills the columns: row i comes from records.records[rows[i]]. `columns` are the batch's, by
  /// field; texts are copied into `arena`, which the columns then keep. Headers are asked for only
  /// if kafka_headers is among the fields.
  void Fill(const RawRecords& records, const std::vector<uint32_t>& rows,
            const std::shared_ptr<Arena>& arena,
            const std::vector<std::shared_ptr<Column>>& columns) const;

 private:
  struct Source {
    size_t field;
    size_t kafka_column;  // in KafkaColumns()
  };
  std::vector<Source> sources_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_RECORD_COLUMNS_H_
