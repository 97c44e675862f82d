#ifndef TIDEMARK_OPERATORS_SOURCES_RECORD_GENERATOR_H_
#define TIDEMARK_OPERATORS_SOURCES_RECORD_GENERATOR_H_

#include <cstdint>
#include <optional>
#include <string>

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

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_RECORD_GENERATOR_H_
