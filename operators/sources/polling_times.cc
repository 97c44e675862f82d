#include "tidemark/operators/sources/polling_times.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kSecondsPerDay = 86'400;
// Changes of the clock that are looked at: those further away are behind all that is looked for.
constexpr int kClockChanges = 3;

int64_t MinusSaturated(int64_t time, int64_t duration) {
  return time < INT64_MIN + duration ? INT64_MIN : time - duration;
}

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

int64_t LocalTime(int64_t utc, const absl::TimeZone& zone) {
  int64_t local = 0;
  const int64_t offset = zone.At(absl::FromUnixMicros(utc)).offset * kMicrosPerSecond;
  return __builtin_add_overflow(utc, offset, &local) ? utc : local;
}

int64_t LookBackFrom(int64_t latest, absl::Duration look_back, const absl::TimeZone& zone) {
  int64_t from = MinusSaturated(latest, absl::ToInt64Microseconds(look_back));
  if (zone == absl::UTCTimeZone()) return from;
  const std::optional<int64_t> utc = LocalToUtc(latest, zone);
  if (!utc.has_value()) return from;
  absl::Time moment = absl::FromUnixMicros(*utc) - look_back;
  from = std::min(from, LocalTime(absl::ToUnixMicros(moment), zone));
  absl::TimeZone::CivilTransition change;
  for (int i = 0; i < kClockChanges && zone.NextTransition(moment, &change); ++i) {
    from = std::min(from, (change.to - absl::CivilSecond()) * kMicrosPerSecond);
    moment = zone.At(change.to).trans;
  }
  return from;
}

}  // namespace tidemark
