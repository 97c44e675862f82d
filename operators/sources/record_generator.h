#ifndef TIDEMARK_OPERATORS_SOURCES_RECORD_GENERATOR_H_
#define TIDEMARK_OPERATORS_SOURCES_RECORD_GENERATOR_H_

#include <cstdint>
#include <optional>
#include <string>

#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {

/// One made-up record.
struct GeneratedRecord {
  std::optional<std::string> key;
  std::string value;
  int64_t timestamp_ms =
      0;  ///< becomes the record's Kafka timestamp: its event time, or a little later
};

/// A job's generator: a pure function, the same record for the same arguments for ever, event time
/// included: the embedded broker forgets its records at the end of the process and is refilled by
/// calling this again. Thread-safe.
using RecordGenerator = GeneratedRecord (*)(uint64_t seed, int32_t partition, int64_t offset);

/// Random numbers for a generator: the same ones for the same record, for ever.
class RecordRandom {
 public:
  RecordRandom(uint64_t seed, int32_t partition, int64_t offset)
      : state_(StableHashInt(StableHashInt(seed + 1) + static_cast<uint64_t>(partition)) ^
               StableHashInt(static_cast<uint64_t>(offset) + 0x9e3779b97f4a7c15)) {}
  /// From 0 to `bound` - 1.
  int64_t Below(int64_t bound) {
    state_ += 0x9e3779b97f4a7c15;
    return static_cast<int64_t>(StableHashInt(state_) % static_cast<uint64_t>(bound));
  }

 private:
  uint64_t state_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_RECORD_GENERATOR_H_
