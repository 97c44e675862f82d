#include "tidemark/engine/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace tidemark {

absl::Time SystemClock::Now() const { return absl::Now(); }

absl::Duration SystemClock::Monotonic() const {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace tidemark
