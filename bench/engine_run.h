#ifndef TIDEMARK_BENCH_ENGINE_RUN_H_
#define TIDEMARK_BENCH_ENGINE_RUN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bench/totals.h"
#include "tidemark/engine/query_options.h"

namespace tidemark {

/// What one run of a program gave: of the engine or of what it is compared with.
struct RunFigures {
  int64_t rows = 0;
  double seconds = 0;
  int64_t batches = 0;
  int64_t state_bytes = 0;  ///< the most that the tables took
  Answer answer;
  /// One line, for the process that started this one.
  std::string ToText() const;
  static std::optional<RunFigures> FromText(const std::string& text);
};

/// Where a topic of a broker is read from, from its beginning.
Input TopicInput(const std::string& brokers);

/// Runs `query` to its end, into an answer sink; the rest of `options` as it is given. Its progress
/// lines go to standard error if TIDEMARK_BENCH_PROGRESS is set. The time is that from the start to
/// the last commit.
absl::StatusOr<RunFigures> RunToAnswer(const Query& query, QueryOptions options,
                                       bool text_keys = false);

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_ENGINE_RUN_H_
