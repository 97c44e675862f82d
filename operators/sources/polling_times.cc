#include "tidemark/operators/sources/polling_times.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kSecondsPerDay = 86'400;

}  // namespace

std::optional<int64_t> LocalToUtc(int64_t local_us, const absl::TimeZone& zone) {
  const int64_t local_second = FloorDiv(local_us, kMicrosPerSecond);
  const absl::CivilSecond civil = absl::CivilSecond(1970, 1, 1) + local_second;
  const int64_t utc_second = absl::ToUnixSeconds(zone.At(civil).pre);
  int64_t micros = 0;
  if (__builtin_mul_overflow(utc_second, kMicrosPerSecond, &micros) ||
      __builtin_add_overflow(micros, FloorMod(local_us, kMicrosPerSecond), &micros)) {
    return std::nullopt;
  }
  return micros;
}

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
