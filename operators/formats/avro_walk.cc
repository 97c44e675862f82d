#include "tidemark/operators/formats/avro_walk.h"

#include <fmt/format.h>

#include <cmath>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int kMaxDigits = 38;

Int128 PowerOfTen(int exponent) {
  Int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

// One walk over one value.
class Walk {
 public:
  Walk(const AvroLimits& limits, AvroCursor* cursor, AvroProblem* problem)
      : limits_(limits), cursor_(cursor), problem_(problem) {}

  AvroOutcome Skip(const AvroType& type, size_t depth);
  AvroOutcome Append(const AvroStep& step, bool bare, size_t depth, std::string* out);

 private:
  // How many items come next, 0 at the end. With a negative count on the wire their bytes follow
  // it.
  struct Block {
    int64_t count = 0;
    std::optional<int64_t> bytes;
  };
  AvroOutcome ReadBlock(Block* block);
  AvroOutcome ReadIndex(size_t size, std::string_view what, size_t* index);
  AvroOutcome SkipItems(const AvroType& type, size_t depth);
  AvroOutcome AppendScalar(const AvroStep& step, bool bare, std::string* out);
  AvroOutcome AppendNumber(const AvroStep& step, bool bare, std::string* out);
  AvroOutcome AppendLong(const AvroStep& step, bool bare, std::string* out);
  AvroOutcome AppendBytes(const AvroStep& step, bool bare, std::string* out);
  AvroOutcome AppendDecimal(const AvroStep& step, std::string_view bytes, std::string* out);
  AvroOutcome AppendText(std::string_view text, bool bare, std::string* out);
  AvroOutcome AppendRecord(const AvroStep& step, size_t depth, std::string* out);
  AvroOutcome AppendItems(const AvroStep& step, size_t depth, std::string* out);

  AvroOutcome Fault() { return Broken(AvroFaultText(*cursor_)); }
  AvroOutcome Broken(std::string detail) {
    *problem_ = {BadReason::kParseError, std::move(detail)};
    return AvroOutcome::kBroken;
  }
  AvroOutcome Bad(BadReason reason, std::string detail) {
    *problem_ = {reason, std::move(detail)};
    return AvroOutcome::kBadValue;
  }
  AvroOutcome TooDeep() {
    *problem_ = {BadReason::kTooDeep,
                 fmt::format("it is nested deeper than {} levels", limits_.max_depth)};
    return AvroOutcome::kBroken;
  }

  const AvroLimits& limits_;
  AvroCursor* const cursor_;
  AvroProblem* const problem_;
};

AvroOutcome Walk::ReadBlock(Block* block) {
  block->bytes.reset();
  if (!cursor_->ReadLong(&block->count)) return Fault();
  if (block->count >= 0) return AvroOutcome::kGood;
  if (block->count == INT64_MIN) return Broken("a block declares a count of -2^63 items");
  block->count = -block->count;
  int64_t bytes;
  if (!cursor_->ReadLong(&bytes)) return Fault();
  if (bytes < 0 || static_cast<uint64_t>(bytes) > cursor_->left()) {
    return Broken(fmt::format("a block declares {} bytes and {} are left", bytes, cursor_->left()));
  }
  block->bytes = bytes;
  return AvroOutcome::kGood;
}

AvroOutcome Walk::ReadIndex(size_t size, std::string_view what, size_t* index) {
  int64_t value;
  if (!cursor_->ReadLong(&value)) return Fault();
  if (value < 0 || static_cast<uint64_t>(value) >= size) {
    return Broken(fmt::format("it has number {} of {} {}", value, size, what));
  }
  *index = static_cast<size_t>(value);
  return AvroOutcome::kGood;
}

AvroOutcome Walk::Skip(const AvroType& type, size_t depth) {
  if (type.width >= 0) {
    return cursor_->Skip(static_cast<uint64_t>(type.width)) ? AvroOutcome::kGood : Fault();
  }
  switch (type.kind) {
    case AvroKind::kInt:
    case AvroKind::kLong:
    case AvroKind::kEnum:
      return cursor_->SkipLong() ? AvroOutcome::kGood : Fault();
    case AvroKind::kBytes:
    case AvroKind::kString:
      return cursor_->SkipBytes() ? AvroOutcome::kGood : Fault();
    default:
      break;
  }
  if (depth >= limits_.max_depth) return TooDeep();
  switch (type.kind) {
    case AvroKind::kUnion: {
      size_t branch;
      const AvroOutcome outcome = ReadIndex(type.types.size(), "branches", &branch);
      return outcome == AvroOutcome::kGood ? Skip(*type.types[branch], depth + 1) : outcome;
    }
    case AvroKind::kRecord:
      for (const AvroField& field : type.fields) {
        const AvroOutcome outcome = Skip(*field.type, depth + 1);
        if (outcome != AvroOutcome::kGood) return outcome;
      }
      return AvroOutcome::kGood;
    default:
      return SkipItems(type, depth);
  }
}

AvroOutcome Walk::SkipItems(const AvroType& type, size_t depth) {
  const bool is_map = type.kind == AvroKind::kMap;
  const AvroType& item = *type.types[0];
  Block block;
  while (true) {
    AvroOutcome outcome = ReadBlock(&block);
    if (outcome != AvroOutcome::kGood) return outcome;
    if (block.count == 0) return AvroOutcome::kGood;
    if (block.bytes.has_value()) {
      cursor_->Skip(static_cast<uint64_t>(*block.bytes));
      continue;
    }
    if (!is_map && item.width >= 0) {
      int64_t bytes;
      if (__builtin_mul_overflow(block.count, item.width, &bytes)) bytes = INT64_MAX;
      if (!cursor_->Skip(static_cast<uint64_t>(bytes))) return Fault();
      continue;
    }
    // Each takes a byte at least, so that the end of the datum ends this loop too.
    for (int64_t i = 0; i < block.count; ++i) {
      if (is_map && !cursor_->SkipBytes()) return Fault();
      outcome = Skip(item, depth + 1);
      if (outcome != AvroOutcome::kGood) return outcome;
    }
  }
}

AvroOutcome Walk::Append(const AvroStep& step, bool bare, size_t depth, std::string* out) {
  if (!step.mismatch.empty()) return Bad(BadReason::kWrongType, step.mismatch);
  if (out->size() > limits_.max_text_bytes) {
    return Bad(BadReason::kTooLarge,
               fmt::format("its JSON text has more than {} bytes", limits_.max_text_bytes));
  }
  switch (step.writer->kind) {
    case AvroKind::kUnion:
    case AvroKind::kRecord:
    case AvroKind::kArray:
    case AvroKind::kMap:
      break;
    default:
      return AppendScalar(step, bare, out);
  }
  if (depth >= limits_.max_depth) return TooDeep();
  if (step.writer->kind == AvroKind::kRecord) return AppendRecord(step, depth, out);
  if (step.writer->kind != AvroKind::kUnion) return AppendItems(step, depth, out);
  size_t branch;
  const AvroOutcome outcome = ReadIndex(step.steps.size(), "branches", &branch);
  return outcome == AvroOutcome::kGood ? Append(*step.steps[branch], bare, depth + 1, out)
                                       : outcome;
}

AvroOutcome Walk::AppendScalar(const AvroStep& step, bool bare, std::string* out) {
  switch (step.writer->kind) {
    case AvroKind::kNull:
      out->append("null");
      return AvroOutcome::kGood;
    case AvroKind::kBoolean: {
      uint8_t value;
      if (!cursor_->ReadRaw(&value)) return Fault();
      if (value > 1) return Broken(fmt::format("{} is no boolean", value));
      out->append(value == 1 ? "true" : "false");
      return AvroOutcome::kGood;
    }
    case AvroKind::kInt:
    case AvroKind::kLong:
      return AppendLong(step, bare, out);
    case AvroKind::kFloat:
    case AvroKind::kDouble:
      return AppendNumber(step, bare, out);
    case AvroKind::kEnum: {
      size_t symbol;
      const AvroOutcome outcome = ReadIndex(step.symbols.size(), "symbols", &symbol);
      if (outcome != AvroOutcome::kGood) return outcome;
      if (!step.symbols[symbol].has_value()) {
        return Bad(BadReason::kWrongType,
                   fmt::format("the reader has no symbol '{}'", step.writer->symbols[symbol]));
      }
      return AppendText(step.reader->symbols[*step.symbols[symbol]], bare, out);
    }
    default:
      return AppendBytes(step, bare, out);
  }
}

AvroOutcome Walk::AppendLong(const AvroStep& step, bool bare, std::string* out) {
  int64_t value;
  if (!cursor_->ReadLong(&value)) return Fault();
  if (step.writer->kind == AvroKind::kInt && value != static_cast<int32_t>(value)) {
    return Broken(fmt::format("{} is no int of 32 bits", value));
  }
  if (step.logical == AvroLogical::kNone) {
    const AvroKind reader = step.reader->kind;
    if (reader == AvroKind::kFloat) {
      AppendDouble(static_cast<double>(static_cast<float>(value)), out);
    } else if (reader == AvroKind::kDouble) {
      AppendDouble(static_cast<double>(value), out);
    } else {
      fmt::format_to(std::back_inserter(*out), "{}", value);
    }
    return AvroOutcome::kGood;
  }
  std::string text;
  if (step.logical == AvroLogical::kDate) {
    AppendDate(static_cast<int32_t>(value), &text);
  } else {
    const std::optional<int64_t> micros = AvroTimestampMicros(value, step.logical);
    if (!micros.has_value()) {
      return Bad(BadReason::kOutOfRange, fmt::format("{} does not fit timestamp", value));
    }
    AppendTimestamp(*micros, &text);
  }
  return AppendText(text, bare, out);
}

AvroOutcome Walk::AppendNumber(const AvroStep& step, bool bare, std::string* out) {
  double value;
  if (step.writer->kind == AvroKind::kFloat) {
    float single;
    if (!cursor_->ReadRaw(&single)) return Fault();
    value = single;
  } else if (!cursor_->ReadRaw(&value)) {
    return Fault();
  }
  if (!bare && !std::isfinite(value)) out->push_back('"');
  AppendDouble(value, out);
  if (!bare && !std::isfinite(value)) out->push_back('"');
  return AvroOutcome::kGood;
}

AvroOutcome Walk::AppendBytes(const AvroStep& step, bool bare, std::string* out) {
  std::string_view bytes;
  const bool is_fixed = step.writer->kind == AvroKind::kFixed;
  if (!(is_fixed ? cursor_->ReadFixed(static_cast<uint64_t>(step.writer->width), &bytes)
                 : cursor_->ReadBytes(&bytes))) {
    return Fault();
  }
  if (step.logical == AvroLogical::kDecimal) return AppendDecimal(step, bytes, out);
  if (step.reader->kind == AvroKind::kString) return AppendText(bytes, bare, out);
  std::string text;
  if (is_fixed && step.logical == AvroLogical::kUuid) {
    AppendUuid(bytes, &text);
  } else {
    AppendBase64(bytes, &text);
  }
  return AppendText(text, bare, out);
}

AvroOutcome Walk::AppendDecimal(const AvroStep& step, std::string_view bytes, std::string* out) {
  const std::optional<Int128> value = AvroDecimal(bytes);
  if (!value.has_value() || step.scale > kMaxDigits) {
    return Bad(BadReason::kOutOfRange,
               fmt::format("a decimal of {} bytes and scale {} does not fit decimal(38,{})",
                           bytes.size(), step.scale, step.scale));
  }
  tidemark::AppendDecimal(*value, step.scale, out);
  return AvroOutcome::kGood;
}

AvroOutcome Walk::AppendText(std::string_view text, bool bare, std::string* out) {
  if (!IsValidUtf8(text)) return Bad(BadReason::kInvalidUtf8, "a string in it is not UTF-8");
  if (bare) {
    out->append(text);
  } else {
    AppendJsonString(text, out);
  }
  return AvroOutcome::kGood;
}

AvroOutcome Walk::AppendRecord(const AvroStep& step, size_t depth, std::string* out) {
  const size_t begin = out->size();
  const auto append = [&](const AvroField& field, const AvroStep& value) {
    out->push_back(',');
    AppendJsonString(field.name, out);
    out->push_back(':');
    return Append(value, false, depth + 1, out);
  };
  for (const AvroStep::Field& field : step.fields) {
    const AvroOutcome outcome =
        field.step == nullptr ? Skip(*field.writer, depth + 1) : append(*field.reader, *field.step);
    if (outcome != AvroOutcome::kGood) return outcome;
  }
  for (const AvroStep::Default& value : step.defaults) {
    const AvroCursor datum = *cursor_;
    *cursor_ = AvroCursor(*value.reader->default_datum);
    const AvroOutcome outcome = append(*value.reader, *value.step);
    if (outcome != AvroOutcome::kGood) return outcome;
    *cursor_ = datum;
  }
  if (out->size() == begin) out->push_back(',');
  (*out)[begin] = '{';  // was the first member's comma
  out->push_back('}');
  return AvroOutcome::kGood;
}

AvroOutcome Walk::AppendItems(const AvroStep& step, size_t depth, std::string* out) {
  const bool is_map = step.writer->kind == AvroKind::kMap;
  const bool is_empty_item = !is_map && step.writer->types[0]->width == 0;
  const size_t begin = out->size();
  int64_t total = 0;
  Block block;
  while (true) {
    AvroOutcome outcome = ReadBlock(&block);
    if (outcome != AvroOutcome::kGood) return outcome;
    if (block.count == 0) break;
    if (is_empty_item &&
        (block.count > kMaxEmptyItems || (total += block.count) > kMaxEmptyItems)) {
      return Bad(BadReason::kTooLarge,
                 fmt::format("an array has more than {} items that take no bytes", kMaxEmptyItems));
    }
    const char* const items = cursor_->at();
    for (int64_t i = 0; i < block.count; ++i) {
      out->push_back(',');
      if (is_map) {
        std::string_view key;
        if (!cursor_->ReadBytes(&key)) return Fault();
        outcome = AppendText(key, false, out);
        if (outcome != AvroOutcome::kGood) return outcome;
        out->push_back(':');
      }
      outcome = Append(*step.steps[0], false, depth + 1, out);
      if (outcome != AvroOutcome::kGood) return outcome;
    }
    // Who skips the block believes the size: all must see the same datum, or none.
    if (block.bytes.has_value() && cursor_->at() - items != *block.bytes) {
      return Broken(
          fmt::format("a block declares {} bytes and has {}", *block.bytes, cursor_->at() - items));
    }
  }
  if (out->size() == begin) out->push_back(',');
  (*out)[begin] = is_map ? '{' : '[';
  out->push_back(is_map ? '}' : ']');
  return AvroOutcome::kGood;
}

}  // namespace

AvroOutcome SkipAvroValue(const AvroType& type, const AvroLimits& limits, AvroCursor* cursor,
                          AvroProblem* problem) {
  return Walk(limits, cursor, problem).Skip(type, 0);
}

AvroOutcome AppendAvroJson(const AvroStep& step, bool bare, const AvroLimits& limits,
                           AvroCursor* cursor, std::string* out, AvroProblem* problem) {
  return Walk(limits, cursor, problem).Append(step, bare, 0, out);
}

std::string AvroFaultText(const AvroCursor& cursor) {
  switch (cursor.fault()) {
    case AvroCursor::Fault::kEnd:
      return "the datum ends in it";
    case AvroCursor::Fault::kNumber:
      return "a number in it has more than 64 bits";
    case AvroCursor::Fault::kLength:
      return fmt::format("it takes {} bytes and {} are left", cursor.declared(), cursor.left());
    case AvroCursor::Fault::kNone:
      break;
  }
  return "it cannot be read";
}

std::optional<Int128> AvroDecimal(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  const auto first = static_cast<signed char>(bytes[0]);
  const char sign = first < 0 ? '\xFF' : '\0';
  while (bytes.size() > sizeof(Int128)) {
    // The first of many must repeat the sign, and the next begin with it.
    if (bytes[0] != sign || ((bytes[1] ^ sign) & 0x80) != 0) return std::nullopt;
    bytes.remove_prefix(1);
  }
  UInt128 value = first < 0 ? ~UInt128{0} : UInt128{0};
  for (char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return static_cast<Int128>(value);
}

std::optional<Int128> RescaleAvroDecimal(Int128 value, int from, int to, int precision) {
  if (to >= from) {
    if (to - from > kMaxDigits) {
      if (value != 0) return std::nullopt;
    } else if (__builtin_mul_overflow(value, PowerOfTen(to - from), &value)) {
      return std::nullopt;
    }
  } else if (from - to > kMaxDigits) {
    value = 0;
  } else {
    const Int128 divisor = PowerOfTen(from - to);
    const Int128 rest = value % divisor;
    value /= divisor;
    const Int128 distance = rest < 0 ? -rest : rest;
    if (distance >= divisor - distance) value += rest < 0 ? -1 : 1;
  }
  const Int128 limit = PowerOfTen(precision);
  if (value >= limit || value <= -limit) return std::nullopt;
  return value;
}

std::optional<int64_t> AvroTimestampMicros(int64_t value, AvroLogical logical) {
  switch (logical) {
    case AvroLogical::kTimestampMillis:
    case AvroLogical::kLocalTimestampMillis: {
      int64_t micros;
      if (__builtin_mul_overflow(value, int64_t{1000}, &micros)) return std::nullopt;
      return micros;
    }
    case AvroLogical::kTimestampNanos:
    case AvroLogical::kLocalTimestampNanos:
      return FloorDiv(value, 1000);
    default:
      return value;
  }
}

void AppendUuid(std::string_view bytes, std::string* out) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out->push_back('-');
    fmt::format_to(std::back_inserter(*out), "{:02x}", static_cast<uint8_t>(bytes[i]));
  }
}

}  // namespace tidemark
