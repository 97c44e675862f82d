#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_OPTIONS_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_OPTIONS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tidemark {

/// What stands before a datum: nothing, or Confluent's byte 0 and schema id (4 bytes, big-endian).
enum class AvroFraming : uint8_t { kRaw, kConfluent };

/// How Avro records are read and written: a plain value, given to `Avro(...)` in format.h. Schemas
/// are JSON text.
struct AvroOptions {
  AvroFraming framing = AvroFraming::kRaw;
  /// Read: the schema that raw datums were written with (with Confluent framing: not used).
  /// Written: the schema of what is written.
  std::string writer_schema = {};
  /// Read: the schema that datums are resolved to, by Avro's rules, before columns are taken from
  /// them; empty: columns are taken from what was written.
  std::string reader_schema = {};

  // Where the schemas of Confluent ids come from; the first that knows the id counts.
  std::map<uint32_t, std::string> schemas_by_id = {};
  std::string schema_folder = {};  ///< holds `<id>.avsc`
  std::string registry_url = {};   ///< asked for `<registry_url>/schemas/ids/<id>`
  std::string registry_user = {};  ///< HTTP basic authentication, with the password; empty: none
  std::string registry_password = {};
  /// How long a registry that does not answer is asked again (backoff 100 ms to 1 s) before
  /// decoding stops with Unavailable; one request gets at most as much.
  absl::Duration registry_patience = absl::Seconds(5);

  /// Written with Confluent framing: the id of the schema of what is written.
  uint32_t written_schema_id = 0;
};

/// The text of a schema file, for AvroOptions. InvalidArgument in one sentence: no such file, too
/// large, not an Avro schema.
absl::StatusOr<std::string> ReadAvroSchemaFile(const std::string& path);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_OPTIONS_H_
