#include "tidemark/operators/formats/avro_program.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080ULL;
// Fewer are not worth a block. As many begin one after a record that was not good, as more such
// may follow.
constexpr size_t kFewRecords = 4;

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// As most texts are, and short. Words, of which the last may overlap those before.
inline bool IsAscii(std::string_view text) {
  const char* const at = text.data();
  const char* const end = at + text.size();
  const size_t size = text.size();
  uint64_t seen = 0;
  if (size > 32) {
    for (const char* word = at; word < end - 8; word += 8) seen |= Load<uint64_t>(word);
    seen |= Load<uint64_t>(end - 8);
  } else if (size >= 16) {
    seen = Load<uint64_t>(at) | Load<uint64_t>(at + 8) | Load<uint64_t>(end - 16) |
           Load<uint64_t>(end - 8);
  } else if (size >= 8) {
    seen = Load<uint64_t>(at) | Load<uint64_t>(end - 8);
  } else if (size >= 4) {
    seen = Load<uint32_t>(at) | Load<uint32_t>(end - 4);
  } else if (size > 0) {
    seen = static_cast<uint8_t>(at[0]) | static_cast<uint8_t>(at[size / 2]) |
           static_cast<uint8_t>(end[-1]);
  }
  return (seen & kHighBits) == 0;
}

bool IsText(std::string_view text) { return IsAscii(text) || IsValidUtf8(text); }

template <typename T>
T& Slot(AvroOutput* output, uint32_t column, size_t row) {
  return *output->Values<T>(column, row);
}

void StoreNull(Column* column, size_t row) {
  column->SetNull(row);
  if (column->type().is_text()) column->mutable_values<std::string_view>()[row] = {};
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

AvroOutcome AvroProgram::Break(const Instruction& instruction, std::string detail,
                               AvroProblem* problem) const {
  *problem = {BadReason::kParseError, fmt::format("{}: {}", PlaceOf(instruction), detail)};
  return AvroOutcome::kBroken;
}

bool AvroProgram::Broken(const Instruction& instruction, std::string detail, State* state) const {
  state->outcome = Break(instruction, std::move(detail), state->problem);
  return false;
}

bool AvroProgram::Fault(const Instruction& instruction, State* state) const {
  return Broken(instruction, AvroFaultText(state->cursor), state);
}

AvroOutcome AvroProgram::BreakAt(const Instruction& instruction, AvroCursor cursor,
                                 AvroProblem* problem) const {
  return Break(instruction, AvroFaultText(cursor), problem);
}

AvroOutcome AvroProgram::BreakInBranch(const Instruction& instruction, AvroCursor cursor,
                                       const char* begin, size_t count,
                                       AvroProblem* problem) const {
  int64_t branch;
  cursor.Rewind(begin);
  if (!cursor.ReadSmall(&branch)) return BreakAt(instruction, cursor, problem);
  return Break(instruction, fmt::format("it has number {} of {} branches", branch, count), problem);
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

bool AvroProgram::StoreText(const Instruction& instruction, std::string_view text,
                            State* state) const {
  Slot<std::string_view>(state->output, instruction.column, state->row) =
      state->may_view ? text : state->output->arena->Copy(text);
  return true;
}

bool AvroProgram::StoreString(const Instruction& instruction, std::string_view text,
                              State* state) const {
  if (!IsText(text)) [[unlikely]] {
    return BadValue(instruction, BadReason::kInvalidUtf8,
                    fmt::format("\"{}\" is not UTF-8", Excerpt(text)), state);
  }
  return StoreText(instruction, text, state);
}

bool AvroProgram::TakeTime(const Instruction& instruction, int64_t value, State* state) const {
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

bool AvroProgram::TakeNumber(const Instruction& instruction, State* state) const {
  int64_t value;
  if (!state->cursor.ReadLong(&value)) return Fault(instruction, state);
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
    case Op::kIntToInt64:
      Slot<int64_t>(state->output, instruction.column, state->row) = value;
      return true;
    case Op::kLongToDouble:
      Slot<double>(state->output, instruction.column, state->row) = static_cast<double>(value);
      return true;
    case Op::kLongToFloat:
      Slot<double>(state->output, instruction.column, state->row) = static_cast<float>(value);
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
  bool is_far = false;
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
      is_far = !micros.has_value();
    }
    if (micros.has_value()) {
      Slot<int64_t>(state->output, instruction.column, state->row) = *micros;
      return true;
    }
  }
  is_far = is_far || IsFarTime(text);
  return BadValue(instruction, is_far ? BadReason::kOutOfRange : BadReason::kWrongType,
                  fmt::format("\"{}\" {} {}", Excerpt(text), is_far ? "does not fit" : "is no",
                              is_date ? "date" : "timestamp"),
                  state);
}

// What Run does not do by itself.
bool AvroProgram::Take(const Instruction& instruction, State* state) const {
  switch (instruction.op) {
    case Op::kBool: {
      uint8_t value;
      if (!state->cursor.ReadRaw(&value)) return Fault(instruction, state);
      if (value > 1) return Broken(instruction, fmt::format("{} is no boolean", value), state);
      Slot<uint8_t>(state->output, instruction.column, state->row) = value;
      return true;
    }
    case Op::kFloat: {
      float value;
      if (!state->cursor.ReadRaw(&value)) return Fault(instruction, state);
      Slot<double>(state->output, instruction.column, state->row) = value;
      return true;
    }
    case Op::kDouble:
      return state->cursor.ReadRaw(&Slot<double>(state->output, instruction.column, state->row)) ||
             Fault(instruction, state);
    case Op::kString: {
      std::string_view text;
      if (!state->cursor.ReadBytes(&text)) return Fault(instruction, state);
      return StoreString(instruction, text, state);
    }
    case Op::kSkipValue:
      return SkipValue(instruction, state);
    case Op::kFail:
      if (state->outcome == AvroOutcome::kGood) {
        state->outcome = AvroOutcome::kBadValue;
        *state->problem = {BadReason::kWrongType,
                           fmt::format("{}: {}", PlaceOf(instruction), failures_[instruction.arg])};
      }
      return true;
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

bool AvroProgram::SkipValue(const Instruction& instruction, State* state) const {
  if (SkipAvroValue(*types_[instruction.arg], limits_, &state->cursor, state->problem) ==
      AvroOutcome::kGood) {
    return true;
  }
  state->problem->detail = fmt::format("{}: {}", PlaceOf(instruction), state->problem->detail);
  state->outcome = AvroOutcome::kBroken;
  return false;
}

// The commonest instructions are carried out here, with the cursor in registers; the others by
// Take, and so is each of these that does not go well, from its beginning.
bool AvroProgram::Interpret(size_t first, size_t last, State* state) const {
  AvroOutput* const output = state->output;
  const size_t row = state->row;
  AvroCursor cursor(state->datum, state->readable);
  const char* after_default = nullptr;
  const bool may_view = state->may_view;
  // For the ways out that are not good.
  const auto stop = [&](AvroOutcome outcome) {
    state->outcome = outcome;
    return false;
  };
  const Instruction* const end = code_.data() + last;
  for (const Instruction* next = code_.data() + first; next != end;) {
    const Instruction& instruction = *next++;
    const char* const begin = cursor.at();
    switch (instruction.op) {
      case Op::kInt64: {
        int64_t value;
        if (!cursor.ReadLong(&value)) [[unlikely]]
          break;
        Slot<int64_t>(output, instruction.column, row) = value;
        continue;
      }
      case Op::kInt32: {
        int64_t value;
        if (!cursor.ReadLong(&value) || value != static_cast<int32_t>(value)) [[unlikely]]
          break;
        Slot<int32_t>(output, instruction.column, row) = static_cast<int32_t>(value);
        continue;
      }
      case Op::kDouble:
        if (!cursor.ReadRaw(&Slot<double>(output, instruction.column, row))) [[unlikely]]
          break;
        continue;
      case Op::kString: {
        std::string_view text;
        if (!cursor.ReadBytes(&text) || !IsAscii(text)) [[unlikely]]
          break;
        Slot<std::string_view>(output, instruction.column, row) =
            state->may_view ? text : output->arena->Copy(text);
        continue;
      }
      case Op::kMillis: {
        int64_t value;
        if (!cursor.ReadLong(&value) || __builtin_mul_overflow(value, int64_t{1000}, &value))
            [[unlikely]]
          break;
        Slot<int64_t>(output, instruction.column, row) = value;
        continue;
      }
      case Op::kSkipLong:
        if (!cursor.SkipLong()) [[unlikely]]
          return stop(BreakAt(instruction, cursor, state->problem));
        continue;
      case Op::kSkipBytes:
        if (!cursor.SkipBytes()) [[unlikely]]
          return stop(BreakAt(instruction, cursor, state->problem));
        continue;
      case Op::kSkipWidth:
        if (!cursor.Skip(instruction.arg)) [[unlikely]]
          return stop(BreakAt(instruction, cursor, state->problem));
        continue;
      case Op::kNull:
        StoreNull(output->columns[instruction.column].get(), row);
        continue;
      case Op::kOptional: {
        int64_t branch;
        if (!cursor.ReadSmall(&branch) || static_cast<uint64_t>(branch) > 1) [[unlikely]]
          return stop(BreakInBranch(instruction, cursor, begin, 2, state->problem));
        if (branch == instruction.is_int) {
          StoreNull(output->columns[instruction.column].get(), row);
          next = code_.data() + instruction.arg;
        }
        continue;
      }
      case Op::kSkipOptional: {
        int64_t branch;
        if (!cursor.ReadSmall(&branch) || static_cast<uint64_t>(branch) > 1) [[unlikely]]
          return stop(BreakInBranch(instruction, cursor, begin, 2, state->problem));
        if (branch == instruction.is_int) next = code_.data() + instruction.arg;
        continue;
      }
      case Op::kUnion: {
        int64_t branch;
        if (!cursor.ReadSmall(&branch) || static_cast<uint64_t>(branch) >= instruction.column)
            [[unlikely]]
          return stop(
              BreakInBranch(instruction, cursor, begin, instruction.column, state->problem));
        next = code_.data() + branches_[instruction.arg + static_cast<uint64_t>(branch)];
        continue;
      }
      case Op::kJump:
        next = code_.data() + instruction.arg;
        continue;
      case Op::kBeginDefault:
        after_default = cursor.at();
        cursor = AvroCursor(*defaults_[instruction.arg]);
        state->may_view = false;
        continue;
      case Op::kEndDefault:
        cursor = AvroCursor(state->datum, state->readable);
        cursor.Rewind(after_default);
        state->may_view = may_view;
        continue;
      default:
        break;
    }
    cursor.Rewind(begin);
    state->cursor = cursor;
    if (!Take(instruction, state)) [[unlikely]]
      return false;
    cursor.Rewind(state->cursor.at());
  }
  state->datum.remove_prefix(static_cast<size_t>(cursor.at() - state->datum.data()));
  return true;
}

AvroOutcome AvroProgram::RunRecord(const AvroRun& run, AvroOutput* output,
                                   AvroProblem* problem) const {
  State state = {.datum = run.DatumOf(*run.next),
                 .readable = run.next->padded ? kRecordPadding : 0,
                 .row = run.row,
                 .output = output,
                 .problem = problem,
                 .may_view = output->keeps_records};
  if (Interpret(0, code_.size(), &state) && !state.datum.empty()) [[unlikely]] {
    *problem = {BadReason::kParseError,
                fmt::format("the datum: {} more bytes follow it", state.datum.size())};
    return AvroOutcome::kBroken;
  }
  return state.outcome;
}

void AvroProgram::RunStretch(const Stretch& stretch, size_t row, AvroBlock* block,
                             AvroOutput* output, AvroProblem* problem) const {
  if (stretch.value.kind != AvroBlockValue::Kind::kOther) {
    return block->Read(stretch.value, output, row);
  }
  for (size_t i = 0; i < block->size(); ++i) {
    State state = {.datum = block->datum(i),
                   .readable = kRecordPadding,
                   .row = row + i,
                   .output = output,
                   .problem = problem,
                   .may_view = output->keeps_records};
    if (!Interpret(stretch.begin, stretch.end, &state) || state.outcome != AvroOutcome::kGood)
        [[unlikely]]
      return block->Cut(i);
    block->MoveTo(i, state.datum.data());
  }
}

bool AvroProgram::RunBlock(AvroRun* run, AvroOutput* output, AvroProblem* problem) const {
  AvroBlock block;
  block.Begin(*run);
  const size_t begun = block.size();
  if (begun < kFewRecords) return false;
  for (const Stretch& stretch : stretches_) RunStretch(stretch, run->row, &block, output, problem);
  block.End();
  run->next += block.size();
  run->row += block.size();
  if (block.size() == begun) {
    run->block_records = std::min(2 * run->block_records, AvroRun::kMaxBlockRecords);
    return true;
  }
  run->block_records = kFewRecords;
  // What was read of the records cut off must leave no null in the rows that others will fill.
  for (const AvroColumn& column : columns_) {
    for (size_t i = 0; i < begun - block.size(); ++i) {
      output->columns[column.column]->SetNotNull(run->row + i);
    }
  }
  return false;
}

AvroOutcome AvroProgram::Run(AvroRun* run, AvroOutput* output, AvroProblem* problem) const {
  while (run->next != run->end) {
    if (run->next->padded && RunBlock(run, output, problem)) continue;
    if (!run->Owns(*run->next)) return AvroOutcome::kGood;
    const AvroOutcome outcome = RunRecord(*run, output, problem);
    if (outcome != AvroOutcome::kGood) return outcome;
    ++run->next;
    ++run->row;
  }
  return AvroOutcome::kGood;
}

}  // namespace tidemark
