#include "tidemark/operators/aggregates/accumulators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "tidemark/operators/aggregates/fixed_type.h"

namespace tidemark {
namespace {

constexpr int kMaxDecimalDigits = 38;
constexpr int kSumExtraDigits = 10;
constexpr int kAverageExtraDigits = 4;

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <typename T>
void Store(T value, std::byte* to) {
  std::memcpy(to, &value, sizeof(T));
}

constexpr Int128 PowerOfTen(int exponent) {
  Int128 result = 1;
  for (int i = 0; i < exponent; ++i) result *= 10;
  return result;
}

// The count of wraps sticks at its ends, so that a sum that far out never comes back as a wrong
// number.
constexpr int32_t kMaxWraps = std::numeric_limits<int32_t>::max();

template <typename S>
int32_t AddChecked(S value, std::byte* sum_at, std::byte* wraps_at) {
  S sum = Load<S>(sum_at);
  const bool wrapped = __builtin_add_overflow(sum, value, &sum);
  Store(sum, sum_at);
  int32_t wraps = Load<int32_t>(wraps_at);
  if (wrapped) [[unlikely]] {
    if (wraps != kMaxWraps && wraps != -kMaxWraps) wraps += value < 0 ? -1 : 1;
    Store(wraps, wraps_at);
  }
  return wraps;
}

template <typename U>
void KeepGreater(U bits, std::byte* at) {
  if (bits > Load<U>(at)) Store(bits, at);
}

Int128 Magnitude(Int128 value) { return value < 0 ? -value : value; }

// sum / count with `extra_digits` more digits, rounded half away from zero as Spark does; nothing
// if it needs more than `precision` digits.
std::optional<Int128> AverageDecimal(Int128 sum, int64_t count, int extra_digits, int precision) {
  const Int128 factor = PowerOfTen(extra_digits);
  Int128 result = 0;
  if (__builtin_mul_overflow(sum / count, factor, &result)) return std::nullopt;
  const Int128 rest = sum % count * factor;
  Int128 digits = rest / count;
  if (Magnitude(rest % count) * 2 >= count) digits += sum < 0 ? -1 : 1;
  if (__builtin_add_overflow(result, digits, &result)) return std::nullopt;
  const Int128 limit = PowerOfTen(precision);
  if (result >= limit || result <= -limit) return std::nullopt;
  return result;
}

DataType SumType(DataType type) {
  if (type.is_integer()) return DataType::Int64();
  if (type.id == TypeId::kDouble) return type;
  return DataType::Decimal(
      static_cast<uint8_t>(std::min(kMaxDecimalDigits, type.precision + kSumExtraDigits)),
      type.scale);
}

DataType AverageType(DataType type) {
  if (type.id != TypeId::kDecimal) return DataType::Double();
  return DataType::Decimal(
      static_cast<uint8_t>(std::min(kMaxDecimalDigits, type.precision + kAverageExtraDigits)),
      static_cast<uint8_t>(std::min(kMaxDecimalDigits, type.scale + kAverageExtraDigits)));
}

template <typename T>
void GatherFixed(const Column& column, std::span<const uint32_t> rows, ArgumentValues* out) {
  const size_t bytes = rows.size() * sizeof(T);
  out->values = std::make_unique_for_overwrite<std::byte[]>(bytes);
  out->memory_bytes += bytes;
  T* to = reinterpret_cast<T*>(out->values.get());
  const T* from = column.values<T>();
  for (size_t i = 0; i < rows.size(); ++i) to[i] = from[rows[i]];
}

void GatherTexts(const Column& column, std::span<const uint32_t> rows, ArgumentValues* out) {
  size_t bytes = 0;
  for (uint32_t row : rows) bytes += column.IsNull(row) ? 0 : column.text(row).size();
  out->text = std::make_unique_for_overwrite<char[]>(bytes);
  out->memory_bytes += bytes + rows.size() * sizeof(std::string_view);
  out->values = std::make_unique_for_overwrite<std::byte[]>(rows.size() * sizeof(std::string_view));
  auto* to = reinterpret_cast<std::string_view*>(out->values.get());
  char* next = out->text.get();
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string_view text =
        column.IsNull(rows[i]) ? std::string_view() : column.text(rows[i]);
    if (!text.empty()) std::memcpy(next, text.data(), text.size());
    new (&to[i]) std::string_view(next, text.size());
    next += text.size();
  }
}

}  // namespace

ArgumentValues GatherValues(const Column& column, std::span<const uint32_t> rows) {
  ArgumentValues result;
  if (column.has_nulls()) {
    result.nulls = std::make_unique_for_overwrite<uint8_t[]>(rows.size());
    result.memory_bytes += rows.size();
    for (size_t i = 0; i < rows.size(); ++i) result.nulls[i] = column.IsNull(rows[i]) ? 1 : 0;
  }
  if (column.type().is_text()) {
    GatherTexts(column, rows, &result);
  } else {
    WithFixedType(column.type(), [&]<typename T>(T) { GatherFixed<T>(column, rows, &result); });
  }
  return result;
}

// ---- planning

absl::StatusOr<Accumulators> Accumulators::Create(const std::vector<Aggregate>& aggregates,
                                                  const Schema& input) {
  if (aggregates.empty()) {
    return absl::InvalidArgumentError(
        "an aggregation has no aggregates: give it one, for example Count()");
  }
  Accumulators result;
  for (const Aggregate& aggregate : aggregates) {
    if (absl::Status status = result.Add(aggregate, input); !status.ok()) return status;
  }
  result.PlaceFields();
  return result;
}

// Until PlaceFields, an offset of 0 marks what is wanted.
absl::Status Accumulators::Add(const Aggregate& aggregate, const Schema& input) {
  const AggregateFunction function = aggregate.function();
  if (function == AggregateFunction::kCountRows) {
    rows_ = 0;
    outputs_.push_back({function, DataType::Int64()});
    return absl::OkStatus();
  }
  absl::StatusOr<BoundExpression> bound = Bind(*aggregate.argument(), input);
  if (!bound.ok()) {
    return absl::Status(bound.status().code(), fmt::format("{}: {}", aggregate.ToString(),
                                                           std::string(bound.status().message())));
  }
  const DataType type = bound->type();
  const bool adds = function == AggregateFunction::kSum || function == AggregateFunction::kAvg;
  if (adds && !type.is_numeric()) {
    return absl::InvalidArgumentError(
        fmt::format("{} needs a number, but its argument is {}: cast it to a number first",
                    aggregate.ToString(), type.ToString()));
  }
  const size_t index = AddArgument(*aggregate.argument(), *std::move(bound));
  Argument& argument = arguments_[index];
  DataType result = type;
  switch (function) {
    case AggregateFunction::kCountRows:
      break;
    case AggregateFunction::kCount:
      argument.count = 0;
      result = DataType::Int64();
      break;
    case AggregateFunction::kAvg:
      argument.count = 0;
      argument.sum = 0;
      result = AverageType(type);
      argument.always_check |=
          result.id == TypeId::kDecimal && type.precision + kAverageExtraDigits > kMaxDecimalDigits;
      break;
    case AggregateFunction::kSum:
      argument.sum = 0;
      result = SumType(type);
      break;
    case AggregateFunction::kMin:
      argument.min = 0;
      break;
    case AggregateFunction::kMax:
      argument.max = 0;
      break;
  }
  outputs_.push_back({function, result, index});
  return absl::OkStatus();
}

size_t Accumulators::AddArgument(const Expr& expr, BoundExpression bound) {
  const std::string text = expr.ToString();
  for (size_t i = 0; i < arguments_.size(); ++i) {
    if (arguments_[i].text == text) return i;
  }
  Argument argument;
  argument.type = bound.type();
  argument.text = text;
  if (argument.type.id == TypeId::kDecimal) {
    argument.sum_limit = PowerOfTen(SumType(argument.type).precision);
  }
  arguments_.push_back(std::move(argument));
  expressions_.push_back(std::move(bound));
  return arguments_.size() - 1;
}

// Gives each field its place, the widest first, so that nothing is padded but the end.
void Accumulators::PlaceFields() {
  uint32_t end = 0;
  auto place = [&end](uint32_t width, uint32_t* offset) {
    if (*offset == kNone) return;
    *offset = end;
    end += width;
  };
  place(sizeof(int64_t), &rows_);
  for (Argument& argument : arguments_) {
    place(sizeof(int64_t), &argument.count);
    if (argument.type.id == TypeId::kDecimal) {
      place(sizeof(Int128), &argument.sum);
    } else {
      place(sizeof(int64_t), &argument.sum);
    }
  }
  for (uint32_t width : {16u, 8u}) {
    for (Argument& argument : arguments_) {
      if (argument.type.width() != width) continue;
      for (uint32_t* field : {&argument.min, &argument.max}) {
        if (*field == kNone) continue;
        place(width, field);
        if (argument.type.is_text()) layout_.blob_offsets.push_back(*field);
      }
    }
  }
  for (Argument& argument : arguments_) {
    if (argument.sum == kNone || argument.type.id == TypeId::kDouble) continue;
    argument.wraps = 0;
    place(sizeof(int32_t), &argument.wraps);
  }
  for (uint32_t width : {4u, 1u}) {
    for (Argument& argument : arguments_) {
      if (argument.type.width() != width) continue;
      place(width, &argument.min);
      place(width, &argument.max);
    }
  }
  uint32_t bits = 0;
  for (Argument& argument : arguments_) {
    if (argument.count != kNone) continue;
    argument.seen = end + bits / 8;
    argument.seen_mask = static_cast<uint8_t>(1u << (bits % 8));
    ++bits;
  }
  constexpr uint32_t kAlignment = 8;
  layout_.width = (end + (bits + 7) / 8 + kAlignment - 1) / kAlignment * kAlignment;
}

std::string Accumulators::ToString() const {
  std::string result = rows_ == kNone ? "" : "rows";
  for (const Argument& argument : arguments_) {
    if (!result.empty()) result += ',';
    result += argument.type.ToString() + ":" + (argument.count == kNone ? "seen" : "count");
    if (argument.sum != kNone) result += "+sum";
    if (argument.min != kNone) result += "+min";
    if (argument.max != kNone) result += "+max";
  }
  return result;
}

bool Accumulators::order_matters() const {
  return std::any_of(arguments_.begin(), arguments_.end(), [](const Argument& argument) {
    return argument.sum != kNone && argument.type.id == TypeId::kDouble;
  });
}

bool Accumulators::can_overflow() const {
  return std::any_of(arguments_.begin(), arguments_.end(),
                     [](const Argument& argument) { return argument.wraps != kNone; });
}

// ---- updating

// One pass over the rows of an argument. What is kept is the same for all rows, so its branches are
// always predicted.
struct Accumulators::Updater {
  const Argument& argument;
  const ArgumentValues& values;
  size_t begin;
  std::span<std::byte* const> slots;

  // True if the argument had a value in this slot before.
  static bool MarkSeen(const Argument& a, std::byte* slot) {
    if (a.count != kNone) {
      const int64_t count = Load<int64_t>(slot + a.count);
      Store(count + 1, slot + a.count);
      return count != 0;
    }
    const uint8_t seen = Load<uint8_t>(slot + a.seen);
    Store(static_cast<uint8_t>(seen | a.seen_mask), slot + a.seen);
    return (seen & a.seen_mask) != 0;
  }

  template <typename T>
  bool Fixed() const {
    return values.nulls == nullptr ? FixedRows<T, false>() : FixedRows<T, true>();
  }

  template <typename T, bool kNulls>
  bool FixedRows() const {
    const Argument a = argument;
    const T* value_at = reinterpret_cast<const T*>(values.values.get()) + begin;
    const uint8_t* null_at = kNulls ? values.nulls.get() + begin : nullptr;
    bool may_overflow = a.always_check;
    for (size_t i = 0; i < slots.size(); ++i) {
      if (kNulls && null_at[i] != 0) continue;
      std::byte* slot = slots[i];
      const T value = value_at[i];
      MarkSeen(a, slot);
      if (a.sum != kNone) may_overflow |= AddToSum(a, value, slot);
      if (a.max != kNone) KeepGreater(OrderBits(value), slot + a.max);
      if (a.min != kNone) {
        KeepGreater(static_cast<OrderBitsOf<T>>(~OrderBits(value)), slot + a.min);
      }
    }
    return may_overflow;
  }

  template <typename T>
  static bool AddToSum(const Argument& a, T value, std::byte* slot) {
    if constexpr (std::is_same_v<T, double>) {
      Store(Load<double>(slot + a.sum) + value, slot + a.sum);
      return false;
    } else if constexpr (std::is_same_v<T, Int128>) {
      const int32_t wraps = AddChecked(value, slot + a.sum, slot + a.wraps);
      const Int128 sum = Load<Int128>(slot + a.sum);
      return wraps != 0 || sum >= a.sum_limit || sum <= -a.sum_limit;
    } else {
      return AddChecked(int64_t{value}, slot + a.sum, slot + a.wraps) != 0;
    }
  }

  void Texts(const UpdateTarget& target) const {
    const auto* value_at = reinterpret_cast<const std::string_view*>(values.values.get()) + begin;
    for (size_t i = 0; i < slots.size(); ++i) {
      if (values.nulls != nullptr && values.nulls[begin + i] != 0) continue;
      std::byte* slot = slots[i];
      const bool first = !MarkSeen(argument, slot);
      if (argument.min != kNone) {
        auto* blob = reinterpret_cast<BlobRef*>(slot + argument.min);
        if (first || value_at[i] < blob->view()) Set(target, blob, value_at[i]);
      }
      if (argument.max != kNone) {
        auto* blob = reinterpret_cast<BlobRef*>(slot + argument.max);
        if (first || value_at[i] > blob->view()) Set(target, blob, value_at[i]);
      }
    }
  }

  static void Set(const UpdateTarget& target, BlobRef* blob, std::string_view bytes) {
    target.table->SetBlob(target.shard, target.window_end, blob, bytes);
  }
};

bool Accumulators::Update(std::span<const ArgumentValues> arguments, size_t begin,
                          std::span<std::byte* const> slots, const UpdateTarget& target) const {
  if (rows_ != kNone) {
    for (std::byte* slot : slots) Store(Load<int64_t>(slot + rows_) + 1, slot + rows_);
  }
  bool may_overflow = false;
  for (size_t i = 0; i < arguments_.size(); ++i) {
    const Updater updater{arguments_[i], arguments[i], begin, slots};
    if (arguments_[i].type.is_text()) {
      updater.Texts(target);
    } else {
      WithFixedType(arguments_[i].type, [&]<typename T>(T) { may_overflow |= updater.Fixed<T>(); });
    }
  }
  return may_overflow;
}

// ---- results

bool Accumulators::HasValue(const Argument& argument, const std::byte* slot) {
  if (argument.count != kNone) return Load<int64_t>(slot + argument.count) != 0;
  return (Load<uint8_t>(slot + argument.seen) & argument.seen_mask) != 0;
}

inline bool Accumulators::Overflows(const Output& output, const std::byte* slot) const {
  const bool adds =
      output.function == AggregateFunction::kSum || output.function == AggregateFunction::kAvg;
  const Argument& a = arguments_[output.argument];
  if (!adds || a.wraps == kNone) return false;
  const int32_t wraps = Load<int32_t>(slot + a.wraps);
  if (a.type.is_integer()) {
    if (output.function == AggregateFunction::kSum) return wraps != 0;
    return wraps == kMaxWraps || wraps == -kMaxWraps;
  }
  return DecimalOverflows(output, slot, wraps);
}

bool Accumulators::DecimalOverflows(const Output& output, const std::byte* slot,
                                    int32_t wraps) const {
  const Argument& a = arguments_[output.argument];
  const Int128 sum = Load<Int128>(slot + a.sum);
  if (wraps != 0 || sum >= a.sum_limit || sum <= -a.sum_limit) return true;
  if (output.function == AggregateFunction::kSum || !HasValue(a, slot)) return false;
  return !AverageDecimal(sum, Load<int64_t>(slot + a.count), output.type.scale - a.type.scale,
                         output.type.precision)
              .has_value();
}

std::optional<size_t> Accumulators::FirstOverflow(const std::byte* slot) const {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].function != AggregateFunction::kCountRows && Overflows(outputs_[i], slot)) {
      return i;
    }
  }
  return std::nullopt;
}

ColumnPtr Accumulators::Results(size_t aggregate, const std::byte* slots, size_t count,
                                const std::shared_ptr<const void>& texts) const {
  const Output& output = outputs_[aggregate];
  auto column = std::make_shared<Column>(output.type, count);
  if (output.type.is_text()) column->AddStorage(texts);
  switch (output.function) {
    case AggregateFunction::kCountRows:
    case AggregateFunction::kCount: {
      const uint32_t at = output.function == AggregateFunction::kCountRows
                              ? rows_
                              : arguments_[output.argument].count;
      for (size_t i = 0; i < count; ++i) {
        column->mutable_values<int64_t>()[i] = Load<int64_t>(slots + i * layout_.width + at);
      }
      break;
    }
    case AggregateFunction::kSum:
      FillSums(output, slots, count, column.get());
      break;
    case AggregateFunction::kAvg:
      FillAverages(output, slots, count, column.get());
      break;
    case AggregateFunction::kMin:
    case AggregateFunction::kMax:
      FillExtremes(output, slots, count, column.get());
      break;
  }
  return column;
}

void Accumulators::FillSums(const Output& output, const std::byte* slots, size_t count,
                            Column* column) const {
  const Argument& argument = arguments_[output.argument];
  for (size_t i = 0; i < count; ++i) {
    const std::byte* slot = slots + i * layout_.width;
    if (!HasValue(argument, slot) || Overflows(output, slot)) column->SetNull(i);
    if (output.type.id == TypeId::kDecimal) {
      column->mutable_values<Int128>()[i] = Load<Int128>(slot + argument.sum);
    } else {
      std::memcpy(column->mutable_values<int64_t>() + i, slot + argument.sum, sizeof(int64_t));
    }
  }
}

void Accumulators::FillAverages(const Output& output, const std::byte* slots, size_t count,
                                Column* column) const {
  const Argument& a = arguments_[output.argument];
  for (size_t i = 0; i < count; ++i) {
    const std::byte* slot = slots + i * layout_.width;
    if (!HasValue(a, slot) || Overflows(output, slot)) {
      column->SetNull(i);
      std::memset(column->mutable_values<std::byte>() + i * output.type.width(), 0,
                  output.type.width());
      continue;
    }
    const int64_t values = Load<int64_t>(slot + a.count);
    if (output.type.id == TypeId::kDecimal) {
      column->mutable_values<Int128>()[i] =
          *AverageDecimal(Load<Int128>(slot + a.sum), values, output.type.scale - a.type.scale,
                          output.type.precision);
      continue;
    }
    double sum = 0;
    if (a.type.id == TypeId::kDouble) {
      sum = Load<double>(slot + a.sum);
    } else {
      constexpr Int128 kWrap = Int128{1} << 64;
      sum =
          static_cast<double>(Load<int64_t>(slot + a.sum) + Load<int32_t>(slot + a.wraps) * kWrap);
    }
    column->mutable_values<double>()[i] = sum / static_cast<double>(values);
  }
}

void Accumulators::FillExtremes(const Output& output, const std::byte* slots, size_t count,
                                Column* column) const {
  const Argument& argument = arguments_[output.argument];
  const bool is_min = output.function == AggregateFunction::kMin;
  const uint32_t at = is_min ? argument.min : argument.max;
  for (size_t i = 0; i < count; ++i) {
    if (!HasValue(argument, slots + i * layout_.width)) column->SetNull(i);
  }
  if (output.type.is_text()) {
    auto* values = column->mutable_values<std::string_view>();
    for (size_t i = 0; i < count; ++i) {
      values[i] = Load<BlobRef>(slots + i * layout_.width + at).view();
    }
    return;
  }
  WithFixedType(output.type, [&]<typename T>(T) {
    T* values = column->mutable_values<T>();
    for (size_t i = 0; i < count; ++i) {
      const auto bits = Load<OrderBitsOf<T>>(slots + i * layout_.width + at);
      values[i] = FromOrderBits<T>(is_min ? static_cast<OrderBitsOf<T>>(~bits) : bits);
    }
  });
}

}  // namespace tidemark
