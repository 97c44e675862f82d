#include "tidemark/operators/aggregates/group_key.h"

#include <cstring>
#include <optional>

#include "tidemark/operators/aggregates/fixed_type.h"
#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {
namespace {

constexpr char kNullFlag = 0;
constexpr char kValueFlag = 1;
constexpr size_t kTerminatorSize = 2;

template <typename U>
U SwapToBigEndian(U value) {
  if constexpr (sizeof(U) == 1) {
    return value;
  } else if constexpr (sizeof(U) == 4) {
    return __builtin_bswap32(value);
  } else if constexpr (sizeof(U) == 8) {
    return __builtin_bswap64(value);
  } else {
    return (static_cast<U>(__builtin_bswap64(static_cast<uint64_t>(value))) << 64) |
           __builtin_bswap64(static_cast<uint64_t>(value >> 64));
  }
}

// Where the next column of key i is written: keys of one width, or a cursor for each.
struct StridedCursor {
  char* at;
  size_t stride;
  char* Take(size_t i, size_t) const { return at + i * stride; }
};
struct RaggedCursor {
  char** at;
  char* Take(size_t i, size_t size) const {
    char* result = at[i];
    at[i] += size;
    return result;
  }
};

template <typename T, bool kNulls, typename Cursor>
void EncodeFixed(const Column& column, std::span<const uint32_t> rows, Cursor cursor) {
  const T* values = column.values<T>();
  for (size_t i = 0; i < rows.size(); ++i) {
    const uint32_t row = rows[i];
    char* to = cursor.Take(i, 1 + sizeof(T));
    const bool null = kNulls && column.IsNull(row);
    to[0] = null ? kNullFlag : kValueFlag;
    const auto bits = SwapToBigEndian(null ? OrderBitsOf<T>{0} : OrderBits(values[row]));
    std::memcpy(to + 1, &bits, sizeof(bits));
  }
}

template <typename Cursor>
void EncodeFixed(const Column& column, std::span<const uint32_t> rows, Cursor cursor) {
  WithFixedType(column.type(), [&]<typename T>(T) {
    if (column.has_nulls()) {
      EncodeFixed<T, true>(column, rows, cursor);
    } else {
      EncodeFixed<T, false>(column, rows, cursor);
    }
  });
}

size_t CountZeros(std::string_view text) {
  size_t zeros = 0;
  for (char c : text) zeros += c == '\0' ? 1 : 0;
  return zeros;
}

char* AppendEscaped(std::string_view text, char* to) {
  while (true) {
    const void* zero = text.empty() ? nullptr : std::memchr(text.data(), '\0', text.size());
    const size_t plain =
        zero == nullptr ? text.size() : static_cast<const char*>(zero) - text.data();
    if (plain > 0) std::memcpy(to, text.data(), plain);
    to += plain;
    *to++ = '\0';
    if (zero == nullptr) break;
    *to++ = '\xff';
    text.remove_prefix(plain + 1);
  }
  *to++ = '\0';
  return to;
}

// Bytes of the text of `column` in each key, added to `sizes`.
void AddTextSizes(const Column& column, std::span<const uint32_t> rows, bool last, size_t* sizes) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (column.IsNull(rows[i])) continue;
    const std::string_view text = column.text(rows[i]);
    sizes[i] += text.size() + (last ? 0 : CountZeros(text) + kTerminatorSize);
  }
}

void EncodeText(const Column& column, std::span<const uint32_t> rows, bool last, char** at) {
  for (size_t i = 0; i < rows.size(); ++i) {
    char* to = at[i];
    const bool null = column.IsNull(rows[i]);
    *to++ = null ? kNullFlag : kValueFlag;
    if (!null) {
      const std::string_view text = column.text(rows[i]);
      if (last) {
        if (!text.empty()) std::memcpy(to, text.data(), text.size());
        to += text.size();
      } else {
        to = AppendEscaped(text, to);
      }
    }
    at[i] = to;
  }
}

absl::Status BadKey() {
  return absl::DataLossError("the checkpoint holds a group key that does not fit its columns");
}

// Takes `size` bytes off the front of `key`.
const char* TakeBytes(size_t size, std::string_view* key) {
  if (key->size() < size) return nullptr;
  const char* result = key->data();
  key->remove_prefix(size);
  return result;
}

template <typename T>
bool DecodeFixed(std::span<std::string_view> keys, Column* column) {
  T* values = column->mutable_values<T>();
  for (size_t i = 0; i < keys.size(); ++i) {
    const char* from = TakeBytes(1 + sizeof(T), &keys[i]);
    if (from == nullptr) return false;
    OrderBitsOf<T> bits;
    std::memcpy(&bits, from + 1, sizeof(bits));
    values[i] = FromOrderBits<T>(SwapToBigEndian(bits));
    if (from[0] == kNullFlag) column->SetNull(i);
  }
  return true;
}

// Takes an escaped text with its terminator off the front of `key`; copies only if a zero was
// escaped.
std::optional<std::string_view> TakeEscaped(std::string_view* key, Arena* arena) {
  const char* begin = key->data();
  size_t end = 0;
  size_t zeros = 0;
  while (true) {
    const size_t zero = key->find('\0', end);
    if (zero == std::string_view::npos || zero + 1 >= key->size()) return std::nullopt;
    end = zero + kTerminatorSize;
    if ((*key)[zero + 1] == '\0') break;
    ++zeros;
  }
  const size_t escaped_size = end - kTerminatorSize;
  key->remove_prefix(end);
  if (zeros == 0) return std::string_view(begin, escaped_size);
  char* to = arena->Allocate(escaped_size - zeros);
  const std::string_view text(to, escaped_size - zeros);
  for (size_t i = 0; i < escaped_size; ++i) {
    *to++ = begin[i];
    if (begin[i] == '\0') ++i;
  }
  return text;
}

bool DecodeText(std::span<std::string_view> keys, bool last, Arena* arena, Column* column) {
  std::string_view* values = column->mutable_values<std::string_view>();
  for (size_t i = 0; i < keys.size(); ++i) {
    const char* flag = TakeBytes(1, &keys[i]);
    if (flag == nullptr) return false;
    if (*flag == kNullFlag) {
      column->SetNull(i);
    } else if (last) {
      values[i] = keys[i];
      keys[i] = {};
    } else {
      const std::optional<std::string_view> text = TakeEscaped(&keys[i], arena);
      if (!text.has_value()) return false;
      values[i] = *text;
    }
  }
  return true;
}

template <typename U>
void HashOneInteger(const std::vector<std::string_view>& keys, uint64_t* hashes) {
  for (size_t i = 0; i < keys.size(); ++i) {
    U bits;
    std::memcpy(&bits, keys[i].data() + 1, sizeof(bits));
    hashes[i] = StableHashInt(bits);
  }
}

}  // namespace

GroupKeyCodec::GroupKeyCodec(std::vector<DataType> types) : types_(std::move(types)) {
  for (const DataType& type : types_) {
    has_text_ |= type.is_text();
    fixed_width_ += 1 + (type.is_text() ? 0 : type.width());
  }
}

std::string GroupKeyCodec::ToString() const {
  std::string result;
  for (const DataType& type : types_) {
    if (!result.empty()) result += ',';
    result += type.ToString();
  }
  return result;
}

GroupKeys GroupKeyCodec::Encode(std::span<const ColumnPtr> columns,
                                std::span<const uint32_t> rows) const {
  GroupKeys result;
  result.keys.resize(rows.size());
  result.hashes.resize(rows.size());
  if (has_text_) {
    EncodeRagged(columns, rows, &result);
  } else {
    EncodeFixedWidth(columns, rows, &result);
  }
  if (!has_text_ && fixed_width_ == 1 + sizeof(uint64_t)) {
    HashOneInteger<uint64_t>(result.keys, result.hashes.data());
  } else if (!has_text_ && fixed_width_ == 1 + sizeof(uint32_t)) {
    HashOneInteger<uint32_t>(result.keys, result.hashes.data());
  } else {
    for (size_t i = 0; i < rows.size(); ++i) result.hashes[i] = StableHash(result.keys[i]);
  }
  return result;
}

void GroupKeyCodec::EncodeFixedWidth(std::span<const ColumnPtr> columns,
                                     std::span<const uint32_t> rows, GroupKeys* out) const {
  out->byte_size = rows.size() * fixed_width_;
  out->bytes = std::make_unique_for_overwrite<char[]>(out->byte_size);
  StridedCursor cursor{out->bytes.get(), fixed_width_};
  for (size_t i = 0; i < rows.size(); ++i) out->keys[i] = {cursor.Take(i, 0), fixed_width_};
  for (const ColumnPtr& column : columns) {
    EncodeFixed(*column, rows, cursor);
    cursor.at += 1 + column->type().width();
  }
}

void GroupKeyCodec::EncodeRagged(std::span<const ColumnPtr> columns, std::span<const uint32_t> rows,
                                 GroupKeys* out) const {
  std::vector<size_t> sizes(rows.size(), fixed_width_);
  for (size_t c = 0; c < columns.size(); ++c) {
    if (types_[c].is_text()) {
      AddTextSizes(*columns[c], rows, c + 1 == columns.size(), sizes.data());
    }
  }
  out->byte_size = 0;
  for (size_t size : sizes) out->byte_size += size;
  out->bytes = std::make_unique_for_overwrite<char[]>(out->byte_size);
  std::vector<char*> at(rows.size());
  char* next = out->bytes.get();
  for (size_t i = 0; i < rows.size(); ++i) {
    out->keys[i] = {next, sizes[i]};
    at[i] = next;
    next += sizes[i];
  }
  for (size_t c = 0; c < columns.size(); ++c) {
    if (types_[c].is_text()) {
      EncodeText(*columns[c], rows, c + 1 == columns.size(), at.data());
    } else {
      EncodeFixed(*columns[c], rows, RaggedCursor{at.data()});
    }
  }
}

absl::Status GroupKeyCodec::Decode(std::span<const std::string_view> keys,
                                   const std::shared_ptr<Arena>& arena,
                                   std::vector<ColumnPtr>* columns) const {
  std::vector<std::string_view> rest(keys.begin(), keys.end());
  for (size_t c = 0; c < types_.size(); ++c) {
    auto column = std::make_shared<Column>(types_[c], keys.size());
    bool fits = false;
    if (types_[c].is_text()) {
      fits = DecodeText(rest, c + 1 == types_.size(), arena.get(), column.get());
      column->AddStorage(arena);
    } else {
      WithFixedType(types_[c], [&]<typename T>(T) { fits = DecodeFixed<T>(rest, column.get()); });
    }
    if (!fits) return BadKey();
    columns->push_back(std::move(column));
  }
  for (std::string_view left : rest) {
    if (!left.empty()) return BadKey();
  }
  return absl::OkStatus();
}

}  // namespace tidemark
