#ifndef TIDEMARK_ENGINE_BATCH_PLAN_H_
#define TIDEMARK_ENGINE_BATCH_PLAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// No watermark yet.
inline constexpr int64_t kNoWatermark = INT64_MIN;

/// Everything that decides what a batch does, logged before the batch reads anything: running a
/// plan again gives the same rows. (Semantics, section 1: late rows are judged by W(N-1), windows
/// close by W(N).)
struct BatchPlan {
  int64_t batch_id = 0;
  int64_t epoch = 0;
  int64_t time_us = 0;  ///< the batch's time: what current-time functions and dead letters show
  int64_t late_watermark_us = kNoWatermark;  ///< W(N-1)
  int64_t watermark_us = kNoWatermark;       ///< W(N)
  std::vector<PlannedRange> ranges;          ///< without empty ones, ascending by partition
  std::vector<TopicPartition> idle;          ///< left out of a per-partition watermark

  /// Canonical text, a line a fact; what the checkpoint keeps.
  std::string Encode() const;
  /// DataLoss if the text is not a plan.
  static absl::StatusOr<BatchPlan> Decode(std::string_view text);
  /// Of the canonical text: what sinks remember of the plan.
  uint64_t Hash() const;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_BATCH_PLAN_H_
