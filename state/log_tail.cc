#include "tidemark/state/log_tail.h"

#include <array>

namespace tidemark {
namespace {

// The format (db/log_format.h): blocks of fragments, each with a masked CRC32C of type and bytes, a
// length and a type. No fragment begins where its header would not fit in the block.
constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;
constexpr size_t kTypeAt = 6;
enum FragmentType : uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint32_t Crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
      table[i] = crc;
    }
    return table;
  }();
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

uint32_t Unsigned(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
  return value;
}

bool IsSound(std::string_view fragment) {
  const uint32_t crc = Crc32c(fragment.substr(kTypeAt));
  const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  return masked == Unsigned(fragment.substr(0, 4));
}

}  // namespace

std::optional<uint64_t> FindTornTail(std::string_view log) {
  const size_t zeros = log.find_last_not_of('\0') + 1;  // from there on
  size_t record = 0;
  bool in_record = false;
  for (size_t at = 0; at < zeros;) {
    const size_t left = kBlockBytes - at % kBlockBytes;
    if (left < kHeaderBytes) {
      at += left;
      continue;
    }
    if (log.size() - at < kHeaderBytes) return std::nullopt;  // a torn header is no damage to it
    const size_t size = kHeaderBytes + Unsigned(log.substr(at + 4, 2));
    const uint8_t type = static_cast<uint8_t>(log[at + kTypeAt]);
    if (!in_record) record = at;
    const bool fits = type >= kFull && type <= kLast && size <= left && size <= log.size() - at;
    if (!fits || !IsSound(log.substr(at, size))) {
      const bool runs_into_zeros = zeros < at + size && zeros < log.size();
      return runs_into_zeros ? std::optional<uint64_t>(record) : std::nullopt;
    }
    in_record = type == kFirst || type == kMiddle;
    at += size;
  }
  // All fragments are sound, but those of the last record that the zeros took.
  return in_record ? std::optional<uint64_t>(record) : std::nullopt;
}

}  // namespace tidemark
