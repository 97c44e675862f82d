#ifndef TIDEMARK_OPERATORS_FORMATS_ROW_FORMAT_H_
#define TIDEMARK_OPERATORS_FORMATS_ROW_FORMAT_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/format.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark {

// The format `rows`: typed values without names, the way from a polled table to the decoder and
// into the checkpoint. A record is two state bits a column (CellState, lowest bits first, padded to
// bytes), then the values of the cells that have one, in the schema's order, little-endian, of the
// type's width (bool 1 byte, decimal 16); text is its length in 4 bytes and its bytes. The hidden
// Kafka columns are not in it. It has no version: who keeps such bytes keeps the version.

enum class CellState : uint8_t {
  kValue = 0,
  kNull = 1,
  kUnfit = 2,  ///< the source has a value that the column's type cannot hold: a bad record
};

/// The fields of a decoded schema that a record holds: all but the hidden Kafka columns.
std::vector<Field> StoredFields(const Schema& schema);

/// Writes records: Begin, then one call for each stored field in order, by its type. The caller
/// sees to both (a bool for a bool column, ...); nothing is checked. One thread at a time.
class RowWriter {
 public:
  explicit RowWriter(size_t stored_fields) : state_bytes_((stored_fields + 3) / 4) {}

  /// The record is appended to `bytes`, which outlives the writing of this record.
  void Begin(std::string* bytes) {
    bytes_ = bytes;
    states_at_ = bytes->size();
    field_ = 0;
    bytes->append(state_bytes_, '\0');
  }
  void Null() { SetState(CellState::kNull); }
  void Unfit() { SetState(CellState::kUnfit); }
  void Bool(bool value) { Fixed(static_cast<uint8_t>(value)); }
  void Int32(int32_t value) { Fixed(value); }  ///< also dates
  void Int64(int64_t value) { Fixed(value); }  ///< also timestamps
  void Double(double value) { Fixed(value); }
  void Decimal(Int128 unscaled) { Fixed(unscaled); }
  /// Strings and bytes; at most 4 GiB.
  void Text(std::string_view text) {
    Fixed(static_cast<uint32_t>(text.size()));
    bytes_->append(text);
  }

 private:
  template <typename T>
  void Fixed(T value) {
    char encoded[sizeof(T)];
    std::memcpy(encoded, &value, sizeof(T));
    bytes_->append(encoded, sizeof(T));
    ++field_;
  }
  void SetState(CellState state) {
    (*bytes_)[states_at_ + field_ / 4] |=
        static_cast<char>(static_cast<unsigned>(state) << (field_ % 4 * 2));
    ++field_;
  }

  const size_t state_bytes_;
  std::string* bytes_ = nullptr;
  size_t states_at_ = 0;
  size_t field_ = 0;
};

/// InvalidArgument: a hidden column of another type than KafkaColumns says.
absl::StatusOr<std::unique_ptr<Decoder>> MakeRowDecoder(const FormatSpec& spec);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_ROW_FORMAT_H_
