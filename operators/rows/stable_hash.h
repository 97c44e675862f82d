#ifndef TIDEMARK_OPERATORS_ROWS_STABLE_HASH_H_
#define TIDEMARK_OPERATORS_ROWS_STABLE_HASH_H_

#include <cstdint>
#include <string_view>

namespace tidemark {

/// xxHash64 of the bytes: the same for ever, on every machine. For sharding, markers and the `Hash`
/// function.
uint64_t StableHash(std::string_view bytes, uint64_t seed = 0);

/// A fast mixer for one fixed-width value (murmur3's finaliser); stable too.
constexpr uint64_t StableHashInt(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_STABLE_HASH_H_
