#ifndef TIDEMARK_OPERATORS_ROWS_RAW_RECORDS_H_
#define TIDEMARK_OPERATORS_ROWS_RAW_RECORDS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark {

/// One record as its source gave it. The views live as long as the RawRecords they are in.
struct RawRecord {
  std::string_view key;
  std::string_view value;
  int64_t offset = 0;
  int64_t timestamp_us = kNoTimestamp;  ///< the broker's or producer's timestamp, microseconds UTC
  bool has_key = false;
  bool has_value = false;  ///< false: a tombstone
  bool padded =
      false;  ///< the kRecordPadding bytes after `value` may be read (their content is unspecified)

  static constexpr int64_t kNoTimestamp = INT64_MIN;
};

/// Bytes that a padded record guarantees to be readable past its value: what a SIMD parser may
/// touch.
inline constexpr size_t kRecordPadding = 64;

/// Names and values, in their order; a name may come again, and a value may be null.
using RecordHeaders = std::vector<std::pair<std::string, std::optional<std::string>>>;

/// Keeps the bytes of records alive and finds what is rarely asked for. Implemented by sources.
class RecordOwner {
 public:
  virtual ~RecordOwner() = default;
  /// The headers of record `index` of the RawRecords that this owner was made for; empty by
  /// default. Thread-safe.
  virtual RecordHeaders Headers(size_t /*index*/) const { return {}; }
};

/// A chunk: consecutive records of one partition of one planned range, offsets ascending (gaps are
/// normal). Movable between threads; read-only once handed on.
struct RawRecords {
  std::string topic;
  int32_t partition = 0;
  int64_t chunk_index = 0;  ///< counted from the start of the planned range in this partition
  std::vector<RawRecord> records;
  std::shared_ptr<const RecordOwner>
      owner;         ///< shared with row batches whose text views point into the records
  size_t bytes = 0;  ///< keys and values together: what queues and budgets count

  RecordHeaders Headers(size_t index) const {
    return owner ? owner->Headers(index) : RecordHeaders{};
  }
};

/// A chunk ends after this many records, or when its bytes pass kMaxChunkBytes: both counted from
/// the start of the range, so that the same plan always gives the same chunks.
inline constexpr size_t kMaxChunkRecords = 8192;
inline constexpr size_t kMaxChunkBytes = size_t{8} << 20;

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_RAW_RECORDS_H_
