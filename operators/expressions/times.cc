#include <fmt/format.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerMinute = 60 * kMicrosPerSecond;
constexpr int64_t kMicrosPerHour = 60 * kMicrosPerMinute;
constexpr int64_t kMicrosPerDay = 24 * kMicrosPerHour;

constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kWeekdays = {  // from 1970-01-01 on
    "Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"};

bool IsTime(const DataType& type) {
  return type == DataType::Timestamp() || type == DataType::Date();
}

absl::Status NotATime(const CallSite& call, const DataType& type) {
  return BindError(call, fmt::format("takes a timestamp or a date, not {}", type.ToString()),
                   "convert the argument with Cast(..., DataType::Timestamp())");
}

/// The value of a literal string argument.
std::optional<std::string> ConstantText(const BoundExpression& arg) {
  const Column* constant = arg.constant();
  if (constant == nullptr || arg.type() != DataType::String() || constant->IsNull(0)) return {};
  return std::string(constant->text(0));
}

// ---- DateFormat

/// A run of one pattern letter, or (letter 0) a text written as it is.
struct PatternPart {
  char letter = 0;
  int count = 0;
  std::string text;
};
using DatePattern = std::vector<PatternPart>;

struct LetterRule {
  char letter;
  int max_count;
};
constexpr LetterRule kLetters[] = {{'y', 6}, {'M', 4}, {'d', 2}, {'H', 2}, {'h', 2},
                                   {'m', 2}, {'s', 2}, {'S', 9}, {'E', 4}, {'a', 1}};

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// The problem with the pattern, or empty.
std::string ParsePattern(std::string_view pattern, DatePattern* parts) {
  const auto add_text = [&](char c) {
    if (parts->empty() || parts->back().letter != 0) parts->emplace_back();
    parts->back().text.push_back(c);
  };
  for (size_t i = 0; i < pattern.size();) {
    const char c = pattern[i];
    if (c == '\'') {
      const size_t open = i++;
      if (i < pattern.size() && pattern[i] == '\'') {  // '' is a quote
        add_text('\'');
        ++i;
        continue;
      }
      while (true) {
        if (i >= pattern.size()) {
          return fmt::format("has a quote without an end at position {}", open + 1);
        }
        if (pattern[i] != '\'') {
          add_text(pattern[i++]);
        } else if (i + 1 < pattern.size() && pattern[i + 1] == '\'') {
          add_text('\'');
          i += 2;
        } else {
          ++i;
          break;
        }
      }
    } else if (IsLetter(c)) {
      size_t end = i;
      while (end < pattern.size() && pattern[end] == c) ++end;
      const int count = static_cast<int>(end - i);
      const LetterRule* rule = nullptr;
      for (const LetterRule& candidate : kLetters) {
        if (candidate.letter == c) rule = &candidate;
      }
      if (rule == nullptr || count > rule->max_count) {
        return fmt::format("does not know '{}'", pattern.substr(i, end - i));
      }
      parts->push_back({c, count, ""});
      i = end;
    } else if (c == '[' || c == ']' || c == '{' || c == '}' || c == '#') {
      return fmt::format("does not know '{}' outside quotes", c);
    } else {
      add_text(c);
      ++i;
    }
  }
  return "";
}

void AppendPadded(int64_t value, int width, std::string* out) {
  char digits[20];
  int size = 0;
  do {
    digits[size++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0);
  for (int i = size; i < width; ++i) out->push_back('0');
  while (size > 0) out->push_back(digits[--size]);
}

void AppendYear(int64_t proleptic_year, int count, std::string* out) {
  const int64_t year = proleptic_year > 0 ? proleptic_year : 1 - proleptic_year;  // of its era
  if (count == 2) {
    AppendPadded(year % 100, 2, out);
    return;
  }
  constexpr std::array<int64_t, 7> kPadEnd = {0, 0, 0, 0, 10'000, 100'000, 1'000'000};
  if (count >= 4 && year >= kPadEnd[count]) out->push_back('+');
  AppendPadded(year, count, out);
}

void AppendFormatted(int64_t micros, const DatePattern& pattern, std::string* out) {
  const int64_t days = FloorDiv(micros, kMicrosPerDay);
  const int64_t of_day = FloorMod(micros, kMicrosPerDay);
  const CivilDate date = CivilFromDays(days);
  const int64_t hour = of_day / kMicrosPerHour;
  for (const PatternPart& part : pattern) {
    switch (part.letter) {
      case 0:
        out->append(part.text);
        break;
      case 'y':
        AppendYear(date.year, part.count, out);
        break;
      case 'M':
        if (part.count <= 2) {
          AppendPadded(date.month, part.count, out);
        } else {
          const std::string_view name = kMonths[date.month - 1];
          out->append(part.count == 3 ? name.substr(0, 3) : name);
        }
        break;
      case 'd':
        AppendPadded(date.day, part.count, out);
        break;
      case 'H':
        AppendPadded(hour, part.count, out);
        break;
      case 'h':
        AppendPadded((hour + 11) % 12 + 1, part.count, out);
        break;
      case 'm':
        AppendPadded(of_day / kMicrosPerMinute % 60, part.count, out);
        break;
      case 's':
        AppendPadded(of_day / kMicrosPerSecond % 60, part.count, out);
        break;
      case 'S': {
        int64_t fraction = of_day % kMicrosPerSecond * 1000;
        for (int digits = part.count; digits < 9; ++digits) fraction /= 10;
        AppendPadded(fraction, part.count, out);
        break;
      }
      case 'E': {
        const std::string_view name = kWeekdays[static_cast<size_t>(FloorMod(days, 7))];
        out->append(part.count == 4 ? name : name.substr(0, 3));
        break;
      }
      case 'a':
        out->append(hour < 12 ? "AM" : "PM");
        break;
    }
  }
}

// ---- Truncate

enum class TimeUnit : uint8_t { kSecond, kMinute, kHour, kDay, kWeek, kMonth, kQuarter, kYear };
constexpr std::pair<std::string_view, TimeUnit> kUnits[] = {
    {"second", TimeUnit::kSecond},   {"minute", TimeUnit::kMinute}, {"hour", TimeUnit::kHour},
    {"day", TimeUnit::kDay},         {"week", TimeUnit::kWeek},     {"month", TimeUnit::kMonth},
    {"quarter", TimeUnit::kQuarter}, {"year", TimeUnit::kYear}};

constexpr const char* kTooEarly = "the time cut down does not fit a timestamp";

/// Units of one length, counted from `origin`.
Kernel FixedUnitKernel(int64_t length, int64_t origin) {
  return [=](const KernelCall& call) {
    const int64_t* values = call.args[0]->values<int64_t>();
    int64_t* out = call.out->mutable_values<int64_t>();
    ForEachValidRow(call.rows, *call.out, [&](size_t row) {
      // INT64_MIN - origin would wrap, but not its place in the unit.
      const int64_t past = FloorMod(FloorMod(values[row], length) - origin, length);
      if (__builtin_sub_overflow(values[row], past, &out[row])) call.Fail(row, kTooEarly);
    });
  };
}

/// The first day of every n-th month, counted from January.
Kernel MonthsKernel(unsigned months) {
  return [=](const KernelCall& call) {
    const int64_t* values = call.args[0]->values<int64_t>();
    int64_t* out = call.out->mutable_values<int64_t>();
    ForEachValidRow(call.rows, *call.out, [&](size_t row) {
      const CivilDate date = CivilFromDays(FloorDiv(values[row], kMicrosPerDay));
      const unsigned month = (date.month - 1) / months * months + 1;
      const int64_t days = DaysFromCivil(date.year, month, 1);
      if (__builtin_mul_overflow(days, kMicrosPerDay, &out[row])) call.Fail(row, kTooEarly);
    });
  };
}

Kernel TruncateKernel(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kSecond:
      return FixedUnitKernel(kMicrosPerSecond, 0);
    case TimeUnit::kMinute:
      return FixedUnitKernel(kMicrosPerMinute, 0);
    case TimeUnit::kHour:
      return FixedUnitKernel(kMicrosPerHour, 0);
    case TimeUnit::kDay:
      return FixedUnitKernel(kMicrosPerDay, 0);
    case TimeUnit::kWeek:
      return FixedUnitKernel(7 * kMicrosPerDay, 4 * kMicrosPerDay);
    case TimeUnit::kMonth:
      return MonthsKernel(1);
    case TimeUnit::kQuarter:
      return MonthsKernel(3);
    case TimeUnit::kYear:
      return MonthsKernel(12);
  }
  return nullptr;
}

std::string Lowercase(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return text;
}

}  // namespace

absl::StatusOr<BoundExpression> BindDateFormat(const CallSite& call) {
  if (!IsTime(call.type(0))) return NotATime(call, call.type(0));
  const std::optional<std::string> text = ConstantText(call.args[1]);
  if (!text) {
    return BindError(call, "has a pattern that is not a literal text",
                     "write the pattern as in DateFormat(Col(\"t\"), \"yyyy-MM-dd\")");
  }
  auto pattern = std::make_shared<DatePattern>();
  const std::string problem = ParsePattern(*text, pattern.get());
  if (!problem.empty()) {
    return BindError(call, fmt::format("{} in the pattern '{}'", problem, *text),
                     "the letters are yyyy MM MMM MMMM dd HH hh mm ss S to SSSSSSSSS EEE EEEE a; "
                     "put text in single quotes");
  }
  const auto kernel = [pattern](const KernelCall& kernel_call) {
    const int64_t* values = kernel_call.args[0]->values<int64_t>();
    TextWriter writer(kernel_call.rows);
    ForEachValidRow(kernel_call.rows, *kernel_call.out,
                    [&](size_t row) { AppendFormatted(values[row], *pattern, writer.Begin(row)); });
    writer.Finish(kernel_call.out);
  };
  return StrictCall(DataType::String(), {ImplicitCast(call.args[0], DataType::Timestamp())},
                    kernel);
}

absl::StatusOr<BoundExpression> BindDateTrunc(const CallSite& call) {
  if (!IsTime(call.type(1))) return NotATime(call, call.type(1));
  const std::optional<std::string> name = ConstantText(call.args[0]);
  for (const auto& [unit_name, unit] : kUnits) {
    if (name && Lowercase(*name) == unit_name) {
      return StrictCall(DataType::Timestamp(), {ImplicitCast(call.args[1], DataType::Timestamp())},
                        TruncateKernel(unit));
    }
  }
  return BindError(call, fmt::format("does not know the unit '{}'", name.value_or("")),
                   "the units are second, minute, hour, day, week, month, quarter, year");
}

}  // namespace tidemark
