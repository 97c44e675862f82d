#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_SCHEMAS_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_SCHEMAS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/avro_options.h"
#include "tidemark/operators/formats/avro_schema.h"

namespace tidemark {

class AvroRegistry;

/// The options of one Avro format and the schemas that its records name by id: each looked up once
/// (in the options' map, the folder, the registry) and kept. Shared by all decoders of a pipeline;
/// thread-safe. While one thread waits for the registry, others that look for a schema wait with
/// it.
class AvroSchemas {
 public:
  explicit AvroSchemas(AvroOptions options);
  ~AvroSchemas();

  const AvroOptions& options() const { return options_; }
  /// InvalidArgument: options that contradict each other or lack something, a folder that is not
  /// there, a schema of the map that is none.
  absl::Status Check() const;

  /// The schema of an id. NotFound: nobody knows it (asked again after a while, should it come
  /// again). InvalidArgument: what it names is no Avro schema. Both say so for good, or nearly: the
  /// records are bad. Unavailable (the registry did not answer in time), PermissionDenied and
  /// FailedPrecondition (it refuses us, or is none): nothing can be said about the records.
  absl::StatusOr<std::shared_ptr<const AvroSchema>> Find(uint32_t id);

 private:
  struct Entry {
    absl::StatusOr<std::shared_ptr<const AvroSchema>> schema;
    std::chrono::steady_clock::time_point found_at;
  };
  absl::StatusOr<std::shared_ptr<const AvroSchema>> LookUp(uint32_t id);

  const AvroOptions options_;
  const std::unique_ptr<AvroRegistry> registry_;  // null: none
  std::mutex mutex_;
  std::unordered_map<uint32_t, Entry> found_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_SCHEMAS_H_
