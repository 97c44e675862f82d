#include "tidemark/operators/formats/zoned_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tidemark/operators/rows/text.h"

namespace tidemark {

absl::StatusOr<absl::TimeZone> LoadZone(const Field& field) {
  absl::TimeZone zone = absl::UTCTimeZone();
  if (!field.zone.empty() && !absl::LoadTimeZone(field.zone, &zone)) {
    return absl::InvalidArgumentError(
        fmt::format("field '{}': there is no time zone '{}' on this machine; give an IANA name, as "
                    "Europe/Berlin",
                    field.name, field.zone));
  }
  return zone;
}

std::optional<int64_t> LocalToUtc(int64_t local_us, const absl::TimeZone& zone) {
  constexpr int64_t kMicrosPerSecond = 1'000'000;
  const int64_t second = FloorDiv(local_us, kMicrosPerSecond);
  const absl::CivilSecond civil = absl::CivilSecond() + second;
  const int64_t utc_second = absl::ToUnixSeconds(zone.At(civil).pre);
  int64_t micros;
  if (__builtin_mul_overflow(utc_second, kMicrosPerSecond, &micros) ||
      __builtin_add_overflow(micros, FloorMod(local_us, kMicrosPerSecond), &micros)) {
    return std::nullopt;
  }
  return micros;
}

// A valid time with the year 2000 (a leap year) in its place.
bool IsFarTime(std::string_view text) {
  const std::string_view unsigned_text =
      text.substr(!text.empty() && (text[0] == '+' || text[0] == '-'));
  const size_t digits = std::min(unsigned_text.find('-'), unsigned_text.size());
  if (digits < 5 || !std::ranges::all_of(unsigned_text.substr(0, digits),
                                         [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  return ParseTimestamp("2000" + std::string(unsigned_text.substr(digits))).has_value();
}

}  // namespace tidemark
