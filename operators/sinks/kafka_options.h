#ifndef TIDEMARK_OPERATORS_SINKS_KAFKA_OPTIONS_H_
#define TIDEMARK_OPERATORS_SINKS_KAFKA_OPTIONS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/format.h"

namespace tidemark {

/// What a Kafka sink is told; ParseKafkaTarget fills topic, create_topic, partitions and
/// on_null_key.
struct KafkaSinkOptions {
  /// A null in a key column: the query fails, naming the row; the row is skipped and counted; or
  /// the record has a null key (among several key columns: a null within the key,
  /// which a JSON object leaves out and Avro needs a union with null for).
  enum class OnNullKey : uint8_t { kFail, kSkip, kNull };

  std::string brokers = {};  ///< `HOST:PORT,...`
  std::string topic = {};
  /// Any of the client's options, under librdkafka's names without `kafka.`.
  std::map<std::string, std::string> properties = {};
  /// How a row becomes a record's value: by MakeEncoder, of all columns that are not hidden.
  FormatSpec format = Json({});
  /// How the key columns become a record's key: by MakeEncoder, of those columns alone, in the
  /// order of .Key(...). Nothing: as text, which KafkaSink tells of.
  std::optional<FormatSpec> key_format = {};
  OnNullKey on_null_key = OnNullKey::kFail;
  bool create_topic = false;  ///< if there is none
  int32_t partitions = 0;     ///< of a topic that is made; 0: the cluster's default
  /// A bool column of the rows that is not written: where it is true, the record is a tombstone (a
  /// null value under the row's key). Empty: none.
  std::string delete_when_column = {};
};

/// `kafka:TOPIC?create_topic=true&partitions=4&on_null_key=fail|skip|null`. InvalidArgument says
/// what is wrong.
absl::StatusOr<KafkaSinkOptions> ParseKafkaTarget(std::string_view target);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_KAFKA_OPTIONS_H_
