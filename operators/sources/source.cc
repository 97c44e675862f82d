#include "tidemark/operators/sources/source.h"

#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {

uint64_t RecordHash(const RawRecord& record) {
  const uint64_t key = record.has_key ? StableHash(record.key, 1) : 0;
  return record.has_value ? StableHash(record.value, key + 1) : StableHashInt(key + 2);
}

}  // namespace tidemark
