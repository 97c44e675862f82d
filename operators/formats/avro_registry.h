#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_REGISTRY_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_REGISTRY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tidemark {

/// A schema registry (Confluent's REST interface) over HTTP. One thread at a time. Neither user nor
/// password, also of those in the URL, ever stand in a message.
class AvroRegistry {
 public:
  AvroRegistry(std::string url, std::string user, std::string password, absl::Duration patience);
  ~AvroRegistry();
  AvroRegistry(const AvroRegistry&) = delete;
  AvroRegistry& operator=(const AvroRegistry&) = delete;

  /// InvalidArgument: the URL is none of http:// or https://, or the patience is not between a
  /// millisecond and an hour. Asks nobody.
  absl::Status Check() const;

  /// The text of the schema with this id. Tries again (backoff 100 ms to 1 s) while the registry
  /// cannot be reached or answers 429 or 5xx, until `patience` has passed: Unavailable. NotFound:
  /// it does not know the id. InvalidArgument: the schema is of another kind than Avro, or needs
  /// other schemas. PermissionDenied: 401, 403. FailedPrecondition: any other answer, which no
  /// schema registry gives.
  absl::StatusOr<std::string> Fetch(uint32_t id);

 private:
  struct Answer {
    int64_t status = 0;
    std::string body;
  };
  // Unavailable, FailedPrecondition.
  absl::StatusOr<Answer> Get(const std::string& url, absl::Duration timeout) const;
  absl::StatusOr<std::string> ReadAnswer(uint32_t id, const Answer& answer) const;

  const std::string url_;    // without a user
  std::string credentials_;  // user:password, or empty
  const absl::Duration patience_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_REGISTRY_H_
