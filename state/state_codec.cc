#include "tidemark/state/state_codec.h"

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
  const uint32_t head[] = {tag, static_cast<uint32_t>(key.size()),
                           static_cast<uint32_t>(value.size())};
  run->append(reinterpret_cast<const char*>(head), sizeof(head));
  run->append(key);
  run->append(value);
}

bool TakeFromRun(std::string_view* run, uint32_t* tag, std::string_view* key,
                 std::string_view* value) {
  uint32_t head[3];
  if (run->size() < sizeof(head)) return false;
  std::memcpy(head, run->data(), sizeof(head));
  run->remove_prefix(sizeof(head));
  if (run->size() < size_t{head[1]} + head[2]) return false;
  *tag = head[0];
  *key = run->substr(0, head[1]);
  *value = run->substr(head[1], head[2]);
  run->remove_prefix(size_t{head[1]} + head[2]);
  return true;
}

absl::Status BadRowError(size_t size, const SlotLayout& layout) {
  return absl::DataLossError(
      fmt::format("a state row of {} bytes does not fit slots of {} bytes with {} strings: the "
                  "checkpoint is damaged or belongs to another query; restore a snapshot of it",
                  size, layout.width, layout.blob_offsets.size()));
}

}  // namespace tidemark
