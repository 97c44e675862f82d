#include "tidemark/operators/rows/stable_hash.h"

#include <xxhash.h>

namespace tidemark {

uint64_t StableHash(std::string_view bytes, uint64_t seed) {
  return XXH64(bytes.data(), bytes.size(), seed);
}

}  // namespace tidemark
