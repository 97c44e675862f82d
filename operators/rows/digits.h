#ifndef TIDEMARK_OPERATORS_ROWS_DIGITS_H_
#define TIDEMARK_OPERATORS_ROWS_DIGITS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tidemark {

// Up to eight ASCII digits at a time in a 64-bit word, without a branch for each: numbers of random
// length would otherwise cost a mispredicted branch each. (Method: Daniel Lemire, "Quickly parsing
// eight digits".)
static_assert(std::endian::native == std::endian::little);

/// The `count` (1 to 8) bytes at `p`, last one highest, with '0' in front of them. 8 bytes from `p`
/// on must be readable.
inline uint64_t LoadDigits(const char* p, size_t count) {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  const unsigned shift = static_cast<unsigned>(8 * (8 - count));
  // Shifted twice, as one shift by 64 is undefined.
  return word << shift | uint64_t{0x3030303030303030} >> 1 >> (63 - shift);
}

inline bool AreDigits(uint64_t word) {
  return ((word & 0xF0F0F0F0F0F0F0F0) | ((word + 0x0606060606060606) & 0xF0F0F0F0F0F0F0F0) >> 4) ==
         0x3333333333333333;
}

/// The number that eight digits make.
inline uint64_t DigitsValue(uint64_t word) {
  word -= 0x3030303030303030;
  word = word * 10 + (word >> 8);  // pairs, in every second byte
  constexpr uint64_t kMask = 0x000000FF000000FF;
  constexpr uint64_t kHundreds = 100 + (uint64_t{1'000'000} << 32);
  constexpr uint64_t kOnes = 1 + (uint64_t{10'000} << 32);
  return ((word & kMask) * kHundreds + ((word >> 16) & kMask) * kOnes) >> 32;
}

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_DIGITS_H_
