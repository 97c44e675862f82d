#ifndef TIDEMARK_ENGINE_CLOCK_H_
#define TIDEMARK_ENGINE_CLOCK_H_

#include "absl/time/time.h"

namespace tidemark {

/// Where the engine gets its time from. Thread-safe. Results never depend on it but through a
/// logged plan.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall time: batch times, trigger ticks.
  virtual absl::Time Now() const = 0;
  /// Time since some fixed point, never jumping: durations, idleness.
  virtual absl::Duration Monotonic() const = 0;
};

/// The machine's clocks.
class SystemClock : public Clock {
 public:
  absl::Time Now() const override;
  absl::Duration Monotonic() const override;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_CLOCK_H_
