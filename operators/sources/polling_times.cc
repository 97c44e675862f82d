#include "tidemark/operators/sources/polling_times.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kSecondsPerDay = 86'400;

}  // namespace

std::string ServerTimeText(int64_t micros) {
  static const int64_t first = DaysFromCivil(1, 1, 1) * kSecondsPerDay * kMicrosPerSecond;
  static const int64_t last = DaysFromCivil(10000, 1, 1) * kSecondsPerDay * kMicrosPerSecond - 1;
  micros = std::clamp(micros, first, last);
  const int64_t second = FloorDiv(micros, kMicrosPerSecond);
  const CivilDate date = CivilFromDays(FloorDiv(second, kSecondsPerDay));
  const int64_t of_day = FloorMod(second, kSecondsPerDay);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}", date.year, date.month, date.day,
                     of_day / 3600, of_day / 60 % 60, of_day % 60,
                     FloorMod(micros, kMicrosPerSecond));
}

}  // namespace tidemark
