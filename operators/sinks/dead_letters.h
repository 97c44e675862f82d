#ifndef TIDEMARK_OPERATORS_SINKS_DEAD_LETTERS_H_
#define TIDEMARK_OPERATORS_SINKS_DEAD_LETTERS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {

/// Where bad records go under the policy `dead-letter`. They belong to their batch: a batch that
/// runs again replaces its own (files) or sends them again (topic, with headers that tell repeats).
/// One thread at a time. Errors: ResourceExhausted = disk full (try again); FailedPrecondition =
/// the folder's limit is reached, the query must stop; Unavailable = the topic's broker is away.
class DeadLetterWriter {
 public:
  virtual ~DeadLetterWriter() = default;
  /// A batch starts (perhaps again): what an earlier try left is forgotten.
  virtual absl::Status Begin(int64_t epoch, int64_t batch_id) = 0;
  /// Adds one record; `time` is the batch's, from its plan.
  virtual absl::Status Write(const RawRecords& records, const BadRecord& bad, absl::Time time) = 0;
  /// Everything written since Begin is durable when this returns OK. Called before the sink's
  /// commit.
  virtual absl::Status Flush() = 0;
};

/// Files `<folder>/dead-<batch, 5 digits>-<seq, 3 digits>.jsonl` (semantics, section 6), one JSON
/// object a line:
///   {"topic","partition","offset","timestamp","key","headers":[{"key","value"}],"value","reason",
///    "detail","time"}
/// key, value and header values in base64, null if the record has none; detail in a person's words.
/// A file gets its name when it is complete and on disk. The folder is made when the first record
/// comes. Refuses to grow past `max_bytes` in all. InvalidArgument: the folder cannot be read.
absl::StatusOr<std::unique_ptr<DeadLetterWriter>> MakeFileDeadLetters(const std::string& folder,
                                                                      int64_t max_bytes = int64_t{1}
                                                                                          << 30);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_DEAD_LETTERS_H_
