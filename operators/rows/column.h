#ifndef TIDEMARK_OPERATORS_ROWS_COLUMN_H_
#define TIDEMARK_OPERATORS_ROWS_COLUMN_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// Bump allocator for the bytes of one batch's strings; never moves what it handed out. Not
/// thread-safe.
class Arena {
 public:
  explicit Arena(size_t first_block_bytes = 4096) : next_block_bytes_(first_block_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// `size` uninitialised bytes, unaligned, that live as long as the arena.
  char* Allocate(size_t size) {
    if (size > left_) [[unlikely]]
      NewBlock(size);
    char* result = at_;
    at_ += size;
    left_ -= size;
    return result;
  }
  std::string_view Copy(std::string_view text) {
    if (text.empty()) return {};
    char* to = Allocate(text.size());
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }
  /// Bytes taken from the system.
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  void NewBlock(size_t at_least);

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* at_ = nullptr;
  size_t left_ = 0;
  size_t next_block_bytes_;
  size_t memory_bytes_ = 0;
};

/// One typed column: `size` values and null bits. Values under a null bit are unspecified (but
/// initialised for text: an empty view). Text values are views into storage that the column keeps
/// alive (AddStorage). Filled by one thread, then shared read-only between batches as `ColumnPtr`
/// (a projection shares its columns with the batch it came from).
class Column {
 public:
  /// Numeric values start uninitialised, text as empty views; no value is null.
  Column(DataType type, size_t size);

  const DataType& type() const { return type_; }
  size_t size() const { return size_; }

  /// T is the C++ type that TypeId names in brackets.
  template <typename T>
  const T* values() const {
    return reinterpret_cast<const T*>(data_.get());
  }
  template <typename T>
  T* mutable_values() {
    return reinterpret_cast<T*>(data_.get());
  }
  std::string_view text(size_t row) const { return values<std::string_view>()[row]; }

  bool has_nulls() const { return !null_bits_.empty(); }
  bool IsNull(size_t row) const {
    return has_nulls() && ((null_bits_[row >> 6] >> (row & 63)) & 1) != 0;
  }
  void SetNull(size_t row) {
    if (null_bits_.empty()) null_bits_.resize((size_ + 63) / 64, 0);
    null_bits_[row >> 6] |= uint64_t{1} << (row & 63);
  }
  /// Row `row` + i becomes null if bit i is set.
  void SetNulls(size_t row, uint64_t nulls) {
    if (null_bits_.empty()) null_bits_.resize((size_ + 63) / 64, 0);
    const size_t shift = row & 63;
    null_bits_[row >> 6] |= nulls << shift;
    const uint64_t rest = shift == 0 ? 0 : nulls >> (64 - shift);
    if (rest != 0) null_bits_[(row >> 6) + 1] |= rest;
  }
  void SetNotNull(size_t row) {
    if (has_nulls()) null_bits_[row >> 6] &= ~(uint64_t{1} << (row & 63));
  }
  /// Null bits, 64 rows a word, lowest bit first; nullptr if no value is null.
  const uint64_t* null_bits() const { return has_nulls() ? null_bits_.data() : nullptr; }
  void CopyNullsFrom(const Column& other) { null_bits_ = other.null_bits_; }
  /// Also null where `other`, of the same size, is null.
  void AddNullsFrom(const Column& other) {
    if (!has_nulls()) {
      null_bits_ = other.null_bits_;
    } else if (other.has_nulls()) {
      for (size_t i = 0; i < null_bits_.size(); ++i) null_bits_[i] |= other.null_bits_[i];
    }
  }

  /// Keeps the bytes behind text values alive as long as this column (shared: several columns view
  /// one batch's buffer).
  void AddStorage(std::shared_ptr<const void> storage) { storage_.push_back(std::move(storage)); }
  /// Keeps alive whatever `other` keeps alive: for columns whose text views point into other's
  /// storage.
  void ShareStorage(const Column& other) {
    storage_.insert(storage_.end(), other.storage_.begin(), other.storage_.end());
  }
  /// Forgets rows from `size` on (at most the current size): a decoder that skipped records ends
  /// with fewer rows.
  void Truncate(size_t size);
  size_t memory_bytes() const { return size_ * type_.width() + null_bits_.size() * 8; }

 private:
  struct AlignedDelete {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{16}); }
  };
  DataType type_;
  size_t size_;
  std::unique_ptr<std::byte[], AlignedDelete> data_;
  std::vector<uint64_t> null_bits_;
  std::vector<std::shared_ptr<const void>> storage_;
};

using ColumnPtr = std::shared_ptr<const Column>;

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_COLUMN_H_
