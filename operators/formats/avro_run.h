#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_RUN_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_RUN_H_

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {

/// The columns being filled from one chunk.
struct AvroOutput {
  std::vector<std::shared_ptr<Column>> columns;
  std::vector<std::byte*> values;  ///< of each column, its first value
  std::shared_ptr<Arena> arena;
  bool keeps_records = false;  ///< text columns keep the records' bytes: views may point into them
  std::string text;            ///< scratch

  template <typename T>
  T* Values(uint32_t column, size_t row) {
    return reinterpret_cast<T*>(values[column]) + row;
  }
};

/// Consecutive records of a chunk, to be read into consecutive rows.
struct AvroRun {
  static constexpr size_t kHeaderBytes = 5;
  static constexpr size_t kMaxBlockRecords = 64;

  const RawRecord* next = nullptr;
  const RawRecord* end = nullptr;
  size_t row = 0;  ///< of the next record
  size_t max_record_bytes = 0;
  /// What stands before each datum: nothing, or the kHeaderBytes of a framed schema id.
  std::string_view header;
  size_t block_records = kMaxBlockRecords;  ///< read side by side; fewer after a bad one

  /// Whether a record is one of this run: with a value, not too large, with this header.
  bool Owns(const RawRecord& record) const {
    const std::string_view value = record.value;
    if (!record.has_value | (value.size() > max_record_bytes)) return false;
    return header.empty() || (value.size() >= kHeaderBytes &&
                              std::memcmp(value.data(), header.data(), kHeaderBytes) == 0);
  }
  std::string_view DatumOf(const RawRecord& record) const {
    return record.value.substr(header.size());
  }
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_RUN_H_
