#include "tidemark/operators/rows/column.h"

#include <algorithm>
#include <new>

namespace tidemark {

void Arena::NewBlock(size_t at_least) {
  constexpr size_t kMaxBlockBytes = size_t{1} << 20;
  const size_t size = std::max(at_least, next_block_bytes_);
  next_block_bytes_ = std::min(next_block_bytes_ * 2, kMaxBlockBytes);
  blocks_.emplace_back(new char[size]);
  at_ = blocks_.back().get();
  left_ = size;
  memory_bytes_ += size;
}

Column::Column(DataType type, size_t size)
    : type_(type),
      size_(size),
      data_(static_cast<std::byte*>(
          ::operator new[](std::max<size_t>(1, size* type.width()), std::align_val_t{16}))) {
  if (type.is_text()) {
    std::string_view* texts = mutable_values<std::string_view>();
    for (size_t i = 0; i < size; ++i) new (&texts[i]) std::string_view();
  }
}

void Column::Truncate(size_t size) {
  size_ = std::min(size_, size);
  if (has_nulls()) null_bits_.resize((size_ + 63) / 64);
}

}  // namespace tidemark
