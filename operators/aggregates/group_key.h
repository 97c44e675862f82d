#ifndef TIDEMARK_OPERATORS_AGGREGATES_GROUP_KEY_H_
#define TIDEMARK_OPERATORS_AGGREGATES_GROUP_KEY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// Group keys of many rows: views into one buffer, and a stable hash of each.
struct GroupKeys {
  std::unique_ptr<char[]> bytes;
  size_t byte_size = 0;
  std::vector<std::string_view> keys;
  std::vector<uint64_t> hashes;
};

/// The columns of a group key as bytes that compare as the columns do, one after the other, null
/// first:
///   every column: 0x00 for null, 0x01 for a value, then
///   numbers, times, bool: OrderBits, big-endian (zeros for null)
///   text: the bytes with 0x00 written as 0x00 0xFF, then 0x00 0x00; nothing for null; as the last
///   column just the bytes.
/// Equal keys have equal bytes: -0.0 is 0.0, and there is one NaN. Const and thread-safe; a column
/// at a time.
class GroupKeyCodec {
 public:
  explicit GroupKeyCodec(std::vector<DataType> types);

  const std::vector<DataType>& types() const { return types_; }
  /// `int64,string`.
  std::string ToString() const;

  /// The keys of the given rows of `columns`, which have the codec's types.
  GroupKeys Encode(std::span<const ColumnPtr> columns, std::span<const uint32_t> rows) const;

  /// The columns back, one row a key, appended to `columns`. Text values are views into the keys or
  /// into `arena`; both live as long as `arena`, which the columns keep. DataLoss: a key that
  /// Encode did not make.
  absl::Status Decode(std::span<const std::string_view> keys, const std::shared_ptr<Arena>& arena,
                      std::vector<ColumnPtr>* columns) const;

 private:
  void EncodeFixedWidth(std::span<const ColumnPtr> columns, std::span<const uint32_t> rows,
                        GroupKeys* out) const;
  void EncodeRagged(std::span<const ColumnPtr> columns, std::span<const uint32_t> rows,
                    GroupKeys* out) const;

  std::vector<DataType> types_;
  bool has_text_ = false;
  size_t fixed_width_ = 0;  // bytes of flags and fixed-width values
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_GROUP_KEY_H_
