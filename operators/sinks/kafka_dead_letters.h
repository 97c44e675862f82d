#ifndef TIDEMARK_OPERATORS_SINKS_KAFKA_DEAD_LETTERS_H_
#define TIDEMARK_OPERATORS_SINKS_KAFKA_DEAD_LETTERS_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tidemark/operators/sinks/dead_letters.h"

namespace tidemark {

struct KafkaDeadLettersOptions {
  std::string brokers = {};  ///< `HOST:PORT,...`
  std::string topic = {};    ///< must exist
  /// Any of the client's options, under librdkafka's names without `kafka.`.
  std::map<std::string, std::string> properties = {};
};

/// Bad records to a Kafka topic, at least once: a batch that runs again sends its own again. A
/// letter has the record's key, value and headers as they were, and headers of ours, all text:
/// `tidemark.topic`, `tidemark.partition`, `tidemark.offset`, `tidemark.epoch` (these four tell
/// repeats), `tidemark.batch`, `tidemark.timestamp` (the record's, if it had one),
/// `tidemark.reason`, `tidemark.detail`, `tidemark.time` (the batch's).
/// Begin forgets what was written and not sent yet, and makes a producer that has failed for good
/// (a right withdrawn, a sequence broken) anew. Flush waits 3 seconds at most; after
/// Unavailable it may be called again and goes on waiting for the same letters. Errors besides
/// DeadLetterWriter's: NotFound = no such topic; PermissionDenied = the user may not write it;
/// InvalidArgument = a letter larger than the topic takes, or wrong options (from Make); they stay
/// until the next Begin.
absl::StatusOr<std::unique_ptr<DeadLetterWriter>> MakeKafkaDeadLetters(
    const KafkaDeadLettersOptions& options);

/// Asks the brokers for the topic, for five seconds at most: before a query starts, as a writer
/// finds out only with the first letter. NotFound = no such topic; else as above.
absl::Status CheckDeadLetterTopic(const KafkaDeadLettersOptions& options);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_KAFKA_DEAD_LETTERS_H_
