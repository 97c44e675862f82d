#ifndef TIDEMARK_EXAMPLES_REPLAY_DEAD_LETTERS_REPLAY_DEAD_LETTERS_H_
#define TIDEMARK_EXAMPLES_REPLAY_DEAD_LETTERS_REPLAY_DEAD_LETTERS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/clients/kafka_client.h"

namespace tidemark::examples {

// The way back of records that a job put aside (--bad-records dead-letter): exported to a file of a
// line each, repaired there by a person, sent to the topic they came from. Errors of both ways:
// InvalidArgument and NotFound = what the user gave, file and line first; Unavailable = no broker.

struct ExportOptions {
  std::string folder = {};  ///< the job's dead-*.jsonl files, or
  std::string topic = {};   ///< its topic of dead letters
  KafkaConnection kafka = {};
  std::string to = {};                   ///< a file that is not there yet
  std::vector<std::string> except = {};  ///< files of lines: the letters they have are left out
};
struct ExportedLetters {
  int64_t letters = 0;
  int64_t repeats = 0;  ///< a topic may hold a letter twice
  int64_t excepted = 0;
  std::map<std::string, int64_t> by_topic = {};
  std::map<std::string, int64_t> by_reason = {};
};
absl::StatusOr<ExportedLetters> ExportDeadLetters(const ExportOptions& options);

struct SendOptions {
  std::string file = {};
  std::string topic = {};  ///< empty: each letter to the topic and partition it came from
  KafkaConnection kafka = {};
  int64_t lines_per_transaction = 1000;
  bool new_timestamps = false;  ///< records get the time of sending, not the one they had
  absl::Duration patience = absl::Seconds(30);  ///< without a broker
};
struct SentLetters {
  int64_t letters = 0;
  int64_t sent_before = 0;  ///< of those, by an earlier run
};
/// Sends each line once, whatever ends it: a transaction holds some lines and the number of lines
/// done, as an offset of a group that is named after the file's first letter. Sent again, it goes
/// on where the last committed transaction ended, whatever has become of the lines behind; one that
/// was sent and differs by now, or is gone, is refused. Brokers forget the number a week after
/// (offsets.retention.minutes).
/// Nothing is sent unless every line is good. `progress` hears of each transaction: topic, lines
/// done, lines in all. Result: by topic.
absl::StatusOr<std::map<std::string, SentLetters>> SendLetters(
    const SendOptions& options,
    const std::function<void(const std::string&, int64_t, int64_t)>& progress);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_REPLAY_DEAD_LETTERS_REPLAY_DEAD_LETTERS_H_
