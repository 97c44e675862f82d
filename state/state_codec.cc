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

// The width of a packed word: see AppendToRun in the header.
unsigned PackedWidth(uint64_t word) {
  const unsigned ones_left = static_cast<unsigned>(71 - std::countl_one(word)) / 8;
  if (ones_left < kWord) return kWord + std::max(1u, ones_left);
  return static_cast<unsigned>(71 - std::countl_zero(word)) / 8;
}

}  // namespace

std::string StateKeys::Key(uint32_t id, int64_t window_end) {
  std::string key;
  key.reserve(kWindowBytes);
  AppendBytes(__builtin_bswap32(id), &key);
  AppendBytes(__builtin_bswap64(static_cast<uint64_t>(window_end) ^ kSignBit), &key);
  return key;
}

std::string StateKeys::Runs(int64_t window_end, uint32_t shard) const {
  std::string key = WindowRuns(window_end);
  AppendBytes(__builtin_bswap32(shard), &key);
  return key;
}

std::string StateKeys::Run(int64_t window_end, uint32_t shard, uint64_t number) const {
  std::string key = Runs(window_end, shard);
  AppendBytes(__builtin_bswap64(number), &key);
  return key;
}

std::optional<uint64_t> StateKeys::ParseRunKey(std::string_view key) {
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

void AppendToRun(uint32_t tag, std::string_view key, std::string_view value, std::string* run) {
  const size_t begin = run->size();
  const size_t words = (value.size() + kWord - 1) / kWord;
  // Whole words are written, each over the end of the one before.
  const size_t most = sizeof(tag) + 2 * kMaxVarint + key.size() + words * kWord + words / 2 + 1;
  if (run->capacity() < begin + most + kWord) run->reserve(2 * (begin + most + kWord));
  run->resize(begin + most + kWord);
  char* out = run->data() + begin;
  std::memcpy(out, &tag, sizeof(tag));
  out = AppendVarint(key.size(), out + sizeof(tag));
  out = AppendVarint(value.size(), out);
  std::memcpy(out, key.data(), key.size());
  out += key.size();
  char* widths = nullptr;
  for (size_t i = 0; i < words; ++i) {
    uint64_t word = 0;
    const size_t left = value.size() - i * kWord;
    std::memcpy(&word, value.data() + i * kWord, std::min(left, kWord));
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
  run->resize(static_cast<size_t>(out - run->data()));
}

bool TakeFromRun(std::string_view* run, uint32_t* tag, std::string_view* key,
                 std::string_view* value, std::string* buffer) {
  size_t key_size;
  size_t value_size;
  if (run->size() < sizeof(*tag)) return false;
  std::memcpy(tag, run->data(), sizeof(*tag));
  run->remove_prefix(sizeof(*tag));
  if (!TakeVarint(run, &key_size) || !TakeVarint(run, &value_size)) return false;
  if (run->size() < key_size) return false;
  *key = run->substr(0, key_size);
  run->remove_prefix(key_size);
  // Sixteen bytes come from one at least: a damaged size is seen before it is allocated.
  const size_t words = value_size / kWord + (value_size % kWord != 0);
  if (run->size() < (words + 1) / 2) return false;
  buffer->resize(words * kWord);
  unsigned widths = 0;
  for (size_t i = 0; i < words; ++i) {
    if (i % 2 == 0) {
      if (run->empty()) return false;
      widths = static_cast<unsigned char>(run->front());
      run->remove_prefix(1);
    }
    const unsigned width = i % 2 == 0 ? widths & 15 : widths >> 4;
    const size_t bytes = width > kWord ? width - kWord : width;
    uint64_t word = width > kWord ? ~uint64_t{0} : 0;
    if (run->size() < bytes) return false;
    std::memcpy(&word, run->data(), bytes);
    std::memcpy(buffer->data() + i * kWord, &word, kWord);
    run->remove_prefix(bytes);
  }
  *value = std::string_view(*buffer).substr(0, value_size);
  return true;
}

absl::Status BadRowError(size_t size, const SlotLayout& layout) {
  return absl::DataLossError(
      fmt::format("a state row of {} bytes does not fit slots of {} bytes with {} strings: the "
                  "checkpoint is damaged or belongs to another query; restore a snapshot of it",
                  size, layout.width, layout.blob_offsets.size()));
}

}  // namespace tidemark
