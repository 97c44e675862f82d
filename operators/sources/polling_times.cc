#include "tidemark/operators/sources/polling_times.h"

#include <fmt/format.h>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kSecondsPerDay = 86'400;

}  // namespace

std::string ServerTimeText(int64_t micros, bool has_year_zero) {
  const int64_t second = FloorDiv(micros, kMicrosPerSecond);
  const CivilDate date = CivilFromDays(FloorDiv(second, kSecondsPerDay));
  const int64_t of_day = FloorMod(second, kSecondsPerDay);
  const bool before_christ = date.year <= 0 && !has_year_zero;
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}{}",
                     before_christ ? 1 - date.year : date.year, date.month, date.day, of_day / 3600,
                     of_day / 60 % 60, of_day % 60, FloorMod(micros, kMicrosPerSecond),
                     before_christ ? " BC" : "");
}

}  // namespace tidemark
