#include "tidemark/operators/formats/avro_program.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080ULL;

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Most texts, and most are short: whole words, the last of which may overlap the one before.
bool IsAscii(std::string_view text) {
  const char* at = text.data();
  const size_t size = text.size();
  if (size >= 8) {
    uint64_t seen = Load<uint64_t>(at + size - 8);
    for (size_t i = 0; i + 8 < size; i += 8) seen |= Load<uint64_t>(at + i);
    return (seen & kHighBits) == 0;
  }
  uint64_t seen = 0;
  if (size >= 4) {
    seen = Load<uint32_t>(at) | Load<uint32_t>(at + size - 4);
  } else if (size > 0) {
    seen = static_cast<uint8_t>(at[0]) | static_cast<uint8_t>(at[size / 2]) |
           static_cast<uint8_t>(at[size - 1]);
  }
  return (seen & kHighBits) == 0;
}

bool IsText(std::string_view text) { return IsAscii(text) || IsValidUtf8(text); }

template <typename T>
T& Slot(AvroOutput* output, uint32_t column, size_t row) {
  return output->columns[column]->mutable_values<T>()[row];
}

void StoreNull(Column* column, size_t row) {
  column->SetNull(row);
  if (column->type().is_text()) column->mutable_values<std::string_view>()[row] = {};
}

// In one line.
std::string Excerpt(std::string_view text) {
  constexpr size_t kMaxBytes = 64;
  std::string excerpt;
  for (char c : text.substr(0, kMaxBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F) {
      excerpt += fmt::format("\\x{:02x}", byte);
    } else {
      excerpt += c;
    }
  }
  return text.size() > kMaxBytes ? excerpt + "..." : excerpt;
}

int64_t MicrosFactor(TimeEncoding encoding) {
  switch (encoding) {
    case TimeEncoding::kEpochSeconds:
      return 1'000'000;
    case TimeEncoding::kEpochMillis:
      return 1'000;
    default:
      return 1;
  }
}

}  // namespace

std::string AvroProgram::PlaceOf(const Instruction& instruction) const {
  const std::string& place = places_[static_cast<size_t>(&instruction - code_.data())];
  return place.empty() ? "the datum" : fmt::format("field '{}'", place);
}

const AvroColumn& AvroProgram::ColumnOf(const Instruction& instruction) const {
  return *std::ranges::find(columns_, instruction.column, &AvroColumn::column);
}

bool AvroProgram::Broken(const Instruction& instruction, std::string detail, State* state) const {
  state->outcome = AvroOutcome::kBroken;
  *state->problem = {BadReason::kParseError, fmt::format("{}: {}", PlaceOf(instruction), detail)};
  return false;
}

bool AvroProgram::Fault(const Instruction& instruction, State* state) const {
  return Broken(instruction, AvroFaultText(state->cursor), state);
}

// The first of several counts.
bool AvroProgram::BadValue(const Instruction& instruction, BadReason reason, std::string detail,
                           State* state) const {
  StoreNull(state->output->columns[instruction.column].get(), state->row);
  if (state->outcome == AvroOutcome::kGood) {
    state->outcome = AvroOutcome::kBadValue;
    *state->problem = {reason,
                       fmt::format("field '{}': {}", ColumnOf(instruction).field.name, detail)};
  }
  return true;
}

inline bool AvroProgram::StoreText(const Instruction& instruction, std::string_view text,
                                   State* state) const {
  Slot<std::string_view>(state->output, instruction.column, state->row) =
      state->may_view ? text : state->output->arena->Copy(text);
  return true;
}

inline bool AvroProgram::StoreString(const Instruction& instruction, std::string_view text,
                                     State* state) const {
  if (!IsText(text)) [[unlikely]] {
    return BadValue(instruction, BadReason::kInvalidUtf8,
                    fmt::format("\"{}\" is not UTF-8", Excerpt(text)), state);
  }
  return StoreText(instruction, text, state);
}

inline bool AvroProgram::TakeTime(const Instruction& instruction, int64_t value,
                                  State* state) const {
  std::optional<int64_t> micros;
  if (instruction.op == Op::kEpoch) {
    int64_t product;
    const int64_t factor = MicrosFactor(columns_[instruction.arg].field.time_encoding);
    if (!__builtin_mul_overflow(value, factor, &product)) micros = product;
  } else {
    micros = AvroTimestampMicros(value, instruction.logical);
    if (instruction.op == Op::kLocalTimestamp && micros.has_value()) {
      micros = LocalToUtc(*micros, columns_[instruction.arg].zone);
    }
  }
  if (!micros.has_value()) [[unlikely]] {
    return BadValue(instruction, BadReason::kOutOfRange,
                    fmt::format("{} does not fit timestamp", value), state);
  }
  Slot<int64_t>(state->output, instruction.column, state->row) = *micros;
  return true;
}

inline bool AvroProgram::TakeNumber(const Instruction& instruction, State* state) const {
  int64_t value;
  if (!state->cursor.ReadLong(&value)) [[unlikely]]
    return Fault(instruction, state);
  const bool fits = value == static_cast<int32_t>(value);
  if (instruction.is_int != 0 && !fits) [[unlikely]]
    return Broken(instruction, fmt::format("{} is no int of 32 bits", value), state);
  switch (instruction.op) {
    case Op::kInt32:
      if (!fits) [[unlikely]] {
        return BadValue(instruction, BadReason::kOutOfRange,
                        fmt::format("{} does not fit int32", value), state);
      }
      [[fallthrough]];
    case Op::kDate:
      Slot<int32_t>(state->output, instruction.column, state->row) = static_cast<int32_t>(value);
      return true;
    case Op::kInt64:
      Slot<int64_t>(state->output, instruction.column, state->row) = value;
      return true;
    case Op::kLongToDouble:
      Slot<double>(state->output, instruction.column, state->row) = static_cast<double>(value);
      return true;
    case Op::kLongToDecimal: {
      const DataType& type = state->output->columns[instruction.column]->type();
      const std::optional<Int128> number = RescaleAvroDecimal(value, 0, type.scale, type.precision);
      if (!number.has_value()) {
        return BadValue(instruction, BadReason::kOutOfRange,
                        fmt::format("{} does not fit {}", value, type.ToString()), state);
      }
      Slot<Int128>(state->output, instruction.column, state->row) = *number;
      return true;
    }
    default:
      return TakeTime(instruction, value, state);
  }
}

bool AvroProgram::TakeBytes(const Instruction& instruction, State* state) const {
  const AvroStep* step = instruction.op == Op::kDecimal ? steps_[instruction.arg] : nullptr;
  std::string_view bytes;
  bool is_read;
  if (instruction.op == Op::kBytes || (step != nullptr && step->writer->kind == AvroKind::kBytes)) {
    is_read = state->cursor.ReadBytes(&bytes);
  } else {
    is_read = state->cursor.ReadFixed(
        step == nullptr ? instruction.arg : static_cast<uint64_t>(step->writer->width), &bytes);
  }
  if (!is_read) return Fault(instruction, state);
  if (instruction.op == Op::kFixedUuid) {
    state->output->text.clear();
    AppendUuid(bytes, &state->output->text);
    Slot<std::string_view>(state->output, instruction.column, state->row) =
        state->output->arena->Copy(state->output->text);
    return true;
  }
  if (step == nullptr) return StoreText(instruction, bytes, state);
  const DataType& type = state->output->columns[instruction.column]->type();
  std::optional<Int128> value = AvroDecimal(bytes);
  if (value.has_value()) {
    value = RescaleAvroDecimal(*value, step->scale, type.scale, type.precision);
  }
  if (!value.has_value()) {
    return BadValue(instruction, BadReason::kOutOfRange,
                    fmt::format("a decimal of {} bytes and scale {} does not fit {}", bytes.size(),
                                step->scale, type.ToString()),
                    state);
  }
  Slot<Int128>(state->output, instruction.column, state->row) = *value;
  return true;
}

bool AvroProgram::TakeText(const Instruction& instruction, State* state) const {
  const AvroStep& step = *steps_[instruction.arg];
  const AvroCursor begin = state->cursor;
  state->output->text.clear();
  AvroProblem problem;
  AvroOutcome outcome =
      AppendAvroJson(step, true, limits_, &state->cursor, &state->output->text, &problem);
  if (outcome == AvroOutcome::kGood) {
    Slot<std::string_view>(state->output, instruction.column, state->row) =
        state->output->arena->Copy(state->output->text);
  } else if (outcome == AvroOutcome::kBadValue) {
    BadValue(instruction, problem.reason, std::move(problem.detail), state);
    state->cursor = begin;
    outcome = SkipAvroValue(*step.writer, limits_, &state->cursor, &problem);
  }
  if (outcome == AvroOutcome::kBroken) {
    state->outcome = outcome;
    *state->problem = {problem.reason, fmt::format("{}: {}", PlaceOf(instruction), problem.detail)};
    return false;
  }
  if (instruction.op == Op::kPeekText) state->cursor = begin;
  return true;
}

bool AvroProgram::TakeIso(const Instruction& instruction, State* state) const {
  std::string_view text;
  if (!state->cursor.ReadBytes(&text)) return Fault(instruction, state);
  const bool is_date = instruction.op == Op::kIsoDate;
  if (is_date) {
    if (const std::optional<int32_t> days = ParseDate(text); days.has_value()) {
      Slot<int32_t>(state->output, instruction.column, state->row) = *days;
      return true;
    }
  } else {
    const AvroColumn& column = columns_[instruction.arg];
    bool has_zone = false;
    std::optional<int64_t> micros = ParseTimestamp(text, &has_zone);
    if (micros.has_value() && !has_zone && !column.field.zone.empty()) {
      micros = LocalToUtc(*micros, column.zone);
    }
    if (micros.has_value()) {
      Slot<int64_t>(state->output, instruction.column, state->row) = *micros;
      return true;
    }
  }
  return BadValue(instruction, BadReason::kWrongType,
                  fmt::format("\"{}\" is no {}", Excerpt(text), is_date ? "date" : "timestamp"),
                  state);
}

inline bool AvroProgram::Take(const Instruction& instruction, State* state) const {
  switch (instruction.op) {
    case Op::kString: {
      std::string_view text;
      if (!state->cursor.ReadBytes(&text)) [[unlikely]]
        return Fault(instruction, state);
      return StoreString(instruction, text, state);
    }
    case Op::kFloat: {
      float value;
      if (!state->cursor.ReadRaw(&value)) [[unlikely]]
        return Fault(instruction, state);
      Slot<double>(state->output, instruction.column, state->row) = value;
      return true;
    }
    case Op::kDouble:
      return state->cursor.ReadRaw(&Slot<double>(state->output, instruction.column, state->row)) ||
             Fault(instruction, state);
    case Op::kBool: {
      uint8_t value;
      if (!state->cursor.ReadRaw(&value)) [[unlikely]]
        return Fault(instruction, state);
      if (value > 1) [[unlikely]]
        return Broken(instruction, fmt::format("{} is no boolean", value), state);
      Slot<uint8_t>(state->output, instruction.column, state->row) = value;
      return true;
    }
    case Op::kBytes:
    case Op::kFixed:
    case Op::kFixedUuid:
    case Op::kDecimal:
      return TakeBytes(instruction, state);
    case Op::kEnum:
    case Op::kText:
    case Op::kPeekText:
      return TakeText(instruction, state);
    case Op::kIsoDate:
    case Op::kIsoTimestamp:
      return TakeIso(instruction, state);
    default:
      return TakeNumber(instruction, state);
  }
}

AvroOutcome AvroProgram::Run(std::string_view datum, size_t row, AvroOutput* output,
                             AvroProblem* problem) const {
  State state{.cursor = AvroCursor(datum),
              .row = row,
              .output = output,
              .problem = problem,
              .may_view = output->keeps_records};
  AvroCursor outer(datum);
  for (const Instruction* next = code_.data();;) {
    const Instruction& instruction = *next++;
    switch (instruction.op) {
      case Op::kSkipLong:
        if (!state.cursor.SkipLong()) [[unlikely]]
          return Fault(instruction, &state), state.outcome;
        continue;
      case Op::kSkipBytes:
        if (!state.cursor.SkipBytes()) [[unlikely]]
          return Fault(instruction, &state), state.outcome;
        continue;
      case Op::kSkipWidth:
        if (!state.cursor.Skip(instruction.arg)) [[unlikely]]
          return Fault(instruction, &state), state.outcome;
        continue;
      case Op::kSkipValue:
        if (SkipAvroValue(*types_[instruction.arg], limits_, &state.cursor, problem) !=
            AvroOutcome::kGood) {
          problem->detail = fmt::format("{}: {}", PlaceOf(instruction), problem->detail);
          return AvroOutcome::kBroken;
        }
        continue;
      case Op::kNull:
        StoreNull(output->columns[instruction.column].get(), row);
        continue;
      case Op::kOptional:
      case Op::kUnion: {
        int64_t branch;
        if (!state.cursor.ReadLong(&branch)) [[unlikely]]
          return Fault(instruction, &state), state.outcome;
        const bool is_optional = instruction.op == Op::kOptional;
        const uint64_t count = is_optional ? 2 : instruction.column;
        if (static_cast<uint64_t>(branch) >= count) [[unlikely]] {
          Broken(instruction, fmt::format("it has number {} of {} branches", branch, count),
                 &state);
          return state.outcome;
        }
        if (!is_optional) {
          next = code_.data() + branches_[instruction.arg + static_cast<uint64_t>(branch)];
        } else if (branch == instruction.is_int) {
          StoreNull(output->columns[instruction.column].get(), row);
          next = code_.data() + instruction.arg;
        }
        continue;
      }
      case Op::kJump:
        next = code_.data() + instruction.arg;
        continue;
      case Op::kFail:
        if (state.outcome == AvroOutcome::kGood) {
          state.outcome = AvroOutcome::kBadValue;
          *problem = {BadReason::kWrongType,
                      fmt::format("{}: {}", PlaceOf(instruction), failures_[instruction.arg])};
        }
        continue;
      case Op::kBeginDefault:
        outer = state.cursor;
        state.cursor = AvroCursor(*defaults_[instruction.arg]);
        state.may_view = false;
        continue;
      case Op::kEndDefault:
        state.cursor = outer;
        state.may_view = output->keeps_records;
        continue;
      case Op::kEnd:
        if (state.cursor.left() > 0) [[unlikely]] {
          Broken(instruction, fmt::format("{} more bytes follow it", state.cursor.left()), &state);
        }
        return state.outcome;
      default:
        if (!Take(instruction, &state)) [[unlikely]]
          return state.outcome;
    }
  }
}

}  // namespace tidemark
