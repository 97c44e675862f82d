#include "tidemark/state/state_codec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "fmt/format.h"

namespace tidemark {
namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers in slots and values are written as they lie in memory");

constexpr uint64_t kSignBit = uint64_t{1} << 63;

template <typename T>
void AppendBytes(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

constexpr size_t kWord = sizeof(uint64_t);
constexpr size_t kMaxVarint = 10;

char* AppendVarint(size_t value, char* out) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}

bool TakeVarint(std::string_view* bytes, size_t* value) {
  *value = 0;
  for (size_t i = 0; i < bytes->size() && i < kMaxVarint; ++i) {
    const auto byte = static_cast<unsigned char>((*bytes)[i]);
    *value |= static_cast<size_t>(byte & 0x7F) << (7 * i);
    if (byte >= 0x80) continue;
    bytes->remove_prefix(i + 1);
    return true;
  }
  return false;
}

// The width of a packed word: see PageWriter in the header.
unsigned PackedWidth(uint64_t word) {
  // Of a negative number its inverse has the zeros that its ones are.
  const uint64_t sign = static_cast<uint64_t>(static_cast<int64_t>(word) >> 63);
  const unsigned bytes = static_cast<unsigned>(71 - std::countl_zero(word ^ sign)) / 8;
  if (sign == 0 || bytes == kWord) return bytes;
  return kWord + std::max(1u, bytes);
}

size_t PackedBytes(unsigned width) { return width > kWord ? width - kWord : width; }

}  // namespace

std::string StateKeys::Key(uint32_t id, int64_t window_end) {
  std::string key;
  key.reserve(kWindowBytes);
  AppendBytes(__builtin_bswap32(id), &key);
  AppendBytes(__builtin_bswap64(static_cast<uint64_t>(window_end) ^ kSignBit), &key);
  return key;
}

std::string StateKeys::Pages(int64_t window_end, uint32_t shard) const {
  std::string key = WindowRuns(window_end);
  AppendBytes(__builtin_bswap32(shard), &key);
  return key;
}

std::string StateKeys::Page(int64_t window_end, uint32_t shard, uint64_t number) const {
  std::string key = Pages(window_end, shard);
  AppendBytes(__builtin_bswap64(number), &key);
  return key;
}

std::optional<uint64_t> StateKeys::ParsePageNumber(std::string_view key) {
  uint64_t number;
  if (key.size() != kWindowBytes + sizeof(uint32_t) + sizeof(number)) return std::nullopt;
  std::memcpy(&number, key.data() + kWindowBytes + sizeof(uint32_t), sizeof(number));
  return __builtin_bswap64(number);
}

std::string StateKeys::After(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  // Only the counts of operator 2^31 - 1 for kNoWindow are all ones: nothing lies above them but
  // longer keys, and there are none.
  if (prefix.empty()) return std::string(kWindowBytes + 1, '\xff');
  ++prefix.back();
  return prefix;
}

std::optional<int64_t> StateKeys::ParseCountKey(std::string_view key) {
  if (key.size() != kWindowBytes) return std::nullopt;
  uint64_t bits;
  std::memcpy(&bits, key.data() + sizeof(uint32_t), sizeof(bits));
  return static_cast<int64_t>(__builtin_bswap64(bits) ^ kSignBit);
}

std::optional<StateKeys::Parsed> StateKeys::Parse(std::string_view key) {
  uint32_t id;
  uint64_t bits;
  if (key.size() < kWindowBytes) return std::nullopt;
  std::memcpy(&id, key.data(), sizeof(id));
  std::memcpy(&bits, key.data() + sizeof(id), sizeof(bits));
  id = __builtin_bswap32(id);
  const auto is_index = [key] {
    return key.size() > kWindowBytes && (static_cast<unsigned char>(key[kWindowBytes]) & 0x80) != 0;
  };
  const Kind kind = (id & kCounts) != 0 ? Kind::kCount
                    : (id & kRuns) == 0 ? Kind::kGroup
                    : is_index()        ? Kind::kRunIndex
                                        : Kind::kPage;
  return Parsed{kind, id & ~(kCounts | kRuns),
                static_cast<int64_t>(__builtin_bswap64(bits) ^ kSignBit)};
}

std::string EncodeCount(int64_t count) {
  std::string value;
  AppendBytes(count, &value);
  return value;
}

std::optional<int64_t> DecodeCount(std::string_view value) {
  int64_t count;
  if (value.size() != sizeof(count)) return std::nullopt;
  std::memcpy(&count, value.data(), sizeof(count));
  if (count < 0) return std::nullopt;
  return count;
}

std::string_view EncodeSlot(const SlotLayout& layout, const std::byte* slot, std::string* buffer) {
  const char* bytes = reinterpret_cast<const char*>(slot);
  if (layout.blob_offsets.empty()) return {bytes, layout.width};
  buffer->clear();
  uint32_t copied = 0;
  for (uint32_t offset : layout.blob_offsets) {
    BlobRef blob;
    std::memcpy(&blob, slot + offset, sizeof(blob));
    buffer->append(bytes + copied, offset - copied);
    AppendBytes(blob.size, buffer);
    copied = offset + sizeof(BlobRef);
  }
  buffer->append(bytes + copied, layout.width - copied);
  for (uint32_t offset : layout.blob_offsets) {
    BlobRef blob;
    std::memcpy(&blob, slot + offset, sizeof(blob));
    buffer->append(blob.view());
  }
  return *buffer;
}

bool DecodeSlot(const SlotLayout& layout, std::string_view value, std::byte* slot) {
  const size_t blobs = layout.blob_offsets.size();
  const size_t fixed = layout.width - blobs * (sizeof(BlobRef) - sizeof(uint32_t));
  if (value.size() < fixed) return false;
  if (blobs == 0) {
    std::memcpy(slot, value.data(), layout.width);
    return value.size() == layout.width;
  }
  const char* from = value.data();
  const char* blob_bytes = value.data() + fixed;
  size_t blob_bytes_left = value.size() - fixed;
  uint32_t copied = 0;
  for (uint32_t offset : layout.blob_offsets) {
    std::memcpy(slot + copied, from, offset - copied);
    from += offset - copied;
    BlobRef blob;
    std::memcpy(&blob.size, from, sizeof(blob.size));
    from += sizeof(blob.size);
    if (blob.size > blob_bytes_left) return false;
    blob.data = blob.size > 0 ? blob_bytes : nullptr;
    blob_bytes += blob.size;
    blob_bytes_left -= blob.size;
    std::memcpy(slot + offset, &blob, sizeof(blob));
    copied = offset + sizeof(BlobRef);
  }
  std::memcpy(slot + copied, from, layout.width - copied);
  return blob_bytes_left == 0;
}

uint32_t PageBitsFor(size_t groups) {
  constexpr size_t kMostGroups = 512;
  constexpr size_t kMostBits = 20;
  const auto bits = std::bit_width(groups == 0 ? 0 : (groups - 1) / kMostGroups);
  return static_cast<uint32_t>(std::min<size_t>(static_cast<size_t>(bits), kMostBits));
}

std::string EncodeRunIndex(const StoredRun& run) {
  std::string value(1, static_cast<char>(run.page_bits));
  AppendBytes(run.groups, &value);
  return value;
}

std::optional<StoredRun> DecodeRunIndex(uint64_t first_page, std::string_view value) {
  StoredRun run;
  if (value.size() != 1 + sizeof(run.groups)) return std::nullopt;
  run.first_page = first_page;
  run.page_bits = static_cast<unsigned char>(value.front());
  std::memcpy(&run.groups, value.data() + 1, sizeof(run.groups));
  if (run.page_bits > 31 || run.groups < 0) return std::nullopt;
  return run;
}

void PageWriter::Append(uint32_t tag, std::string_view key, std::string_view value) {
  const size_t words = (value.size() + kWord - 1) / kWord;
  // Whole words are written, each over the end of the one before.
  const size_t most = sizeof(tag) + 2 * kMaxVarint + key.size() + words * kWord + words / 2 + 1;
  if (buffer_.size() < size_ + most + kWord) buffer_.resize(2 * (size_ + most + kWord));
  char* out = buffer_.data() + size_;
  std::memcpy(out, &tag, sizeof(tag));
  out = AppendVarint(key.size(), out + sizeof(tag));
  out = AppendVarint(value.size(), out);
  std::memcpy(out, key.data(), key.size());
  out += key.size();
  char* widths = nullptr;
  for (size_t i = 0; i < words; ++i) {
    uint64_t word = 0;
    const size_t left = value.size() - i * kWord;
    if (left >= kWord) [[likely]] {
      std::memcpy(&word, value.data() + i * kWord, kWord);
    } else {
      std::memcpy(&word, value.data() + i * kWord, left);
    }
    const unsigned width = PackedWidth(word);
    if (i % 2 == 0) {
      widths = out++;
      *widths = static_cast<char>(width);
    } else {
      *widths = static_cast<char>(*widths | width << 4);
    }
    std::memcpy(out, &word, kWord);
    out += width > kWord ? width - kWord : width;
  }
  size_ = static_cast<size_t>(out - buffer_.data());
}

bool PageReader::Next() {
  if (rest_.empty()) return false;
  damaged_ = true;
  size_t key_size;
  if (rest_.size() < sizeof(tag_)) return false;
  std::memcpy(&tag_, rest_.data(), sizeof(tag_));
  rest_.remove_prefix(sizeof(tag_));
  if (!TakeVarint(&rest_, &key_size) || !TakeVarint(&rest_, &value_size_)) return false;
  if (rest_.size() < key_size) return false;
  key_ = rest_.substr(0, key_size);
  rest_.remove_prefix(key_size);
  const size_t words = value_size_ / kWord + (value_size_ % kWord != 0);
  // Sixteen bytes come from one at least: a damaged size is seen before it is believed.
  if (rest_.size() < (words + 1) / 2) return false;
  size_t size = 0;
  for (size_t i = 0; i < words; i += 2) {
    if (size >= rest_.size()) return false;
    const auto widths = static_cast<unsigned char>(rest_[size]);
    size += 1 + PackedBytes(widths & 15) + (i + 1 < words ? PackedBytes(widths >> 4) : 0);
  }
  if (size > rest_.size()) return false;
  packed_ = rest_.substr(0, size);
  rest_.remove_prefix(size);
  damaged_ = false;
  return true;
}

std::optional<std::string_view> PageReader::Value(std::string* buffer) const {
  const size_t words = value_size_ / kWord + (value_size_ % kWord != 0);
  buffer->resize(words * kWord);
  const char* from = packed_.data();
  unsigned widths = 0;
  for (size_t i = 0; i < words; ++i) {
    widths = i % 2 == 0 ? static_cast<unsigned char>(*from++) : widths >> 4;
    const unsigned width = widths & 15;
    const size_t bytes = PackedBytes(width);
    uint64_t word = width > kWord ? ~uint64_t{0} : 0;
    std::memcpy(&word, from, bytes);
    std::memcpy(buffer->data() + i * kWord, &word, kWord);
    from += bytes;
  }
  // What fills the last word up is zeros.
  for (size_t i = value_size_; i < buffer->size(); ++i) {
    if ((*buffer)[i] != 0) return std::nullopt;
  }
  return std::string_view(*buffer).substr(0, value_size_);
}

absl::Status BadRowError(size_t size, const SlotLayout& layout) {
  return absl::DataLossError(
      fmt::format("a state row of {} bytes does not fit slots of {} bytes with {} strings: the "
                  "checkpoint is damaged or belongs to another query; restore a snapshot of it",
                  size, layout.width, layout.blob_offsets.size()));
}

}  // namespace tidemark
