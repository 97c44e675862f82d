#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "tidemark/operators/formats/avro_program.h"

namespace tidemark {
namespace {

constexpr size_t kMaxInstructions = 100'000;

// The wanted columns as a tree of names.
struct Place {
  static constexpr size_t kNone = SIZE_MAX;
  std::string name = {};  // in the place around it
  size_t column = kNone;  // in the list of columns: the value itself is wanted
  std::vector<Place> children = {};
};

Place* AddPlace(Place* place, const std::vector<std::string>& path) {
  for (const std::string& name : path) {
    const auto child = std::ranges::find(place->children, name, &Place::name);
    place = child == place->children.end() ? &place->children.emplace_back(Place{.name = name})
                                           : &*child;
  }
  return place;
}

// Every column wanted at this place or below.
void CollectColumns(const Place& place, std::vector<size_t>* columns) {
  if (place.column != Place::kNone) columns->push_back(place.column);
  for (const Place& child : place.children) CollectColumns(child, columns);
}

bool IsLocal(AvroLogical logical) {
  return logical == AvroLogical::kLocalTimestampMillis ||
         logical == AvroLogical::kLocalTimestampMicros ||
         logical == AvroLogical::kLocalTimestampNanos;
}

bool IsTimestamp(AvroLogical logical) {
  return logical == AvroLogical::kTimestampMillis || logical == AvroLogical::kTimestampMicros ||
         logical == AvroLogical::kTimestampNanos || IsLocal(logical);
}

bool IsMicros(AvroLogical logical) {
  return logical == AvroLogical::kTimestampMicros || logical == AvroLogical::kLocalTimestampMicros;
}

// Of a union of null and one other type.
std::optional<size_t> NullBranch(const AvroType& type) {
  if (type.kind != AvroKind::kUnion || type.types.size() != 2) return std::nullopt;
  for (size_t i = 0; i < 2; ++i) {
    if (type.types[i]->kind == AvroKind::kNull) return i;
  }
  return std::nullopt;
}

std::string Shortened(std::string text) {
  constexpr size_t kMaxBytes = 200;
  if (text.size() > kMaxBytes) text = text.substr(0, kMaxBytes) + "...";
  return text;
}

}  // namespace

class AvroCompiler {
 public:
  AvroCompiler(std::shared_ptr<const AvroResolution> resolution,
               const std::vector<AvroColumn>& columns, const AvroLimits& limits)
      : program_(new AvroProgram()), complaints_(columns.size()), taken_(columns.size()) {
    program_->resolution_ = std::move(resolution);
    program_->columns_ = columns;
    program_->limits_ = limits;
  }

  absl::StatusOr<std::unique_ptr<const AvroProgram>> Compile(AvroProgram::Missing missing);

 private:
  using Op = AvroProgram::Op;
  using Instruction = AvroProgram::Instruction;

  absl::Status Check(AvroProgram::Missing missing) const;
  void AddValue(const AvroStep& step, const Place& place);
  void AddUnion(const AvroStep& step, const Place& place);
  void AddOptional(const AvroStep& step, size_t null_branch, const Place& place, size_t column);
  void AddRecord(const AvroStep& step, const Place& place);
  void AddScalarWithPath(const AvroStep& step, const Place& place);
  void AddRecordText(const AvroStep& step, size_t column);
  // The value fails, its columns become null, and it is skipped.
  void AddFailure(const AvroStep& step, const Place& place, const std::string& failure);
  void AddComplaint(const Place& place, const std::string& failure);
  void AddColumn(const AvroStep& step, size_t column);
  std::string Misfit(const AvroStep& step, size_t column) const;
  void AddNulls(const Place& place);
  void AddSkip(const AvroType& type);
  void AddSkipOptional(size_t null_branch, const AvroType& other);

  // The instruction that takes values of `step` into a column of this type; nothing if they never
  // fit.
  std::optional<Instruction> TakeOf(const AvroStep& step, size_t column);
  std::optional<Instruction> TakeNumber(const AvroStep& step, const Field& field);
  std::optional<Instruction> TakeTime(const AvroStep& step, const Field& field, size_t column);
  std::optional<Instruction> TakeText(const AvroStep& step, const Field& field);
  uint64_t StepIndex(const AvroStep& step);

  AvroBlockValue BlockValueOf(const Instruction& instruction) const;
  size_t EndOf(size_t begin) const;
  void AddStretches();

  void Emit(Instruction instruction);
  size_t Here() {
    label_ = program_->code_.size();
    return label_;
  }
  std::string PathText() const { return fmt::format("{}", fmt::join(path_, ".")); }
  uint32_t BatchColumn(size_t column) const {
    return static_cast<uint32_t>(program_->columns_[column].column);
  }
  const std::string& ColumnName(size_t column) const {
    return program_->columns_[column].field.name;
  }

  std::unique_ptr<AvroProgram> program_;
  std::vector<std::string> complaints_;  // of each column: why some value cannot be taken
  std::vector<bool> taken_;              // of each column: some value can
  std::vector<std::string> path_;        // of the value being compiled
  std::vector<std::string> names_seen_;  // of fields, for "did you mean"
  size_t label_ = 0;                     // the last place that is jumped to
  bool is_full_ = false;
};

void AvroCompiler::Emit(Instruction instruction) {
  if (program_->code_.size() >= kMaxInstructions) {
    is_full_ = true;
    return;
  }
  program_->code_.push_back(instruction);
  program_->places_.push_back(PathText());
}

uint64_t AvroCompiler::StepIndex(const AvroStep& step) {
  program_->steps_.push_back(&step);
  return program_->steps_.size() - 1;
}

void AvroCompiler::AddSkip(const AvroType& type) {
  if (type.width == 0) return;
  std::vector<Instruction>& code = program_->code_;
  if (type.width > 0) {
    const auto width = static_cast<uint64_t>(type.width);
    if (code.size() > label_ && code.back().op == Op::kSkipWidth) {
      code.back().arg += width;
    } else {
      Emit({.op = Op::kSkipWidth, .arg = width});
    }
    return;
  }
  switch (type.kind) {
    case AvroKind::kInt:
    case AvroKind::kLong:
    case AvroKind::kEnum:
      return Emit({.op = Op::kSkipLong});
    case AvroKind::kBytes:
    case AvroKind::kString:
      return Emit({.op = Op::kSkipBytes});
    default:
      break;
  }
  if (const std::optional<size_t> null_branch = NullBranch(type); null_branch.has_value()) {
    const AvroType& other = *type.types[1 - *null_branch];
    if (other.kind != AvroKind::kRecord) return AddSkipOptional(*null_branch, other);
  }
  Emit({.op = Op::kSkipValue, .arg = program_->types_.size()});
  program_->types_.push_back(&type);
}

void AvroCompiler::AddSkipOptional(size_t null_branch, const AvroType& other) {
  const size_t start = program_->code_.size();
  Emit({.op = Op::kSkipOptional, .is_int = static_cast<uint8_t>(null_branch)});
  Here();
  AddSkip(other);
  if (!is_full_) program_->code_[start].arg = Here();
}

void AvroCompiler::AddNulls(const Place& place) {
  std::vector<size_t> columns;
  CollectColumns(place, &columns);
  for (size_t column : columns) Emit({.op = Op::kNull, .column = BatchColumn(column)});
}

void AvroCompiler::AddComplaint(const Place& place, const std::string& failure) {
  std::vector<size_t> columns;
  CollectColumns(place, &columns);
  for (size_t column : columns) {
    if (complaints_[column].empty()) complaints_[column] = failure;
  }
  Emit({.op = Op::kFail, .arg = program_->failures_.size()});
  program_->failures_.push_back(failure);
  AddNulls(place);
}

void AvroCompiler::AddFailure(const AvroStep& step, const Place& place,
                              const std::string& failure) {
  AddComplaint(place, failure);
  AddSkip(*step.writer);
}

void AvroCompiler::AddValue(const AvroStep& step, const Place& place) {
  if (is_full_) return;
  if (!step.mismatch.empty()) return AddFailure(step, place, Shortened(step.mismatch));
  if (place.children.empty()) {
    // A union in a text column is taken branch by branch too, as a null must become a null.
    return step.writer->kind == AvroKind::kUnion ? AddUnion(step, place)
                                                 : AddColumn(step, place.column);
  }
  switch (step.writer->kind) {
    case AvroKind::kUnion:
      return AddUnion(step, place);
    case AvroKind::kRecord:
      return AddRecord(step, place);
    case AvroKind::kArray:
    case AvroKind::kMap:
      return AddFailure(step, place,
                        fmt::format("'{}' is an {}, and a path cannot go into one; take it as a "
                                    "string, which gives its JSON text",
                                    PathText(), Shortened(step.writer->ToString())));
    default:
      return AddScalarWithPath(step, place);
  }
}

void AvroCompiler::AddScalarWithPath(const AvroStep& step, const Place& place) {
  for (const Place& child : place.children) AddNulls(child);
  if (place.column == Place::kNone) {
    AddSkip(*step.writer);
  } else {
    AddColumn(step, place.column);
  }
}

void AvroCompiler::AddUnion(const AvroStep& step, const Place& place) {
  std::vector<size_t> columns;
  CollectColumns(place, &columns);
  const std::optional<size_t> null_branch = NullBranch(*step.writer);
  if (null_branch.has_value() && columns.size() == 1 &&
      step.steps[*null_branch]->mismatch.empty()) {
    return AddOptional(step, *null_branch, place, columns[0]);
  }
  const uint64_t table = program_->branches_.size();
  Emit({.op = Op::kUnion, .column = static_cast<uint32_t>(step.steps.size()), .arg = table});
  program_->branches_.resize(table + step.steps.size());
  std::vector<size_t> jumps;
  for (size_t i = 0; i < step.steps.size() && !is_full_; ++i) {
    program_->branches_[table + i] = static_cast<uint32_t>(Here());
    AddValue(*step.steps[i], place);
    if (i + 1 == step.steps.size()) break;
    jumps.push_back(program_->code_.size());
    Emit({.op = Op::kJump});
  }
  if (is_full_) return;
  for (size_t jump : jumps) program_->code_[jump].arg = Here();
  Here();
}

void AvroCompiler::AddOptional(const AvroStep& step, size_t null_branch, const Place& place,
                               size_t column) {
  const size_t start = program_->code_.size();
  Emit({.op = Op::kOptional,
        .is_int = static_cast<uint8_t>(null_branch),
        .column = BatchColumn(column)});
  Here();
  AddValue(*step.steps[1 - null_branch], place);
  if (!is_full_) program_->code_[start].arg = Here();
}

void AvroCompiler::AddRecord(const AvroStep& step, const Place& place) {
  if (place.column != Place::kNone) AddRecordText(step, place.column);
  const auto wanted = [&](const AvroField* field) -> const Place* {
    if (field == nullptr) return nullptr;
    const auto child = std::ranges::find(place.children, field->name, &Place::name);
    return child == place.children.end() ? nullptr : &*child;
  };
  for (const AvroField& field : step.reader->fields) {
    if (names_seen_.size() < kMaxInstructions) names_seen_.push_back(field.name);
  }
  for (size_t i = 0; i < step.fields.size() && !is_full_; ++i) {
    const AvroStep::Field& field = step.fields[i];
    const Place* child = wanted(field.reader);
    path_.push_back(step.writer->fields[i].name);
    if (child == nullptr) {
      AddSkip(*field.writer);
    } else {
      AddValue(*field.step, *child);
    }
    path_.pop_back();
  }
  for (const AvroStep::Default& value : step.defaults) {
    const Place* child = wanted(value.reader);
    if (child == nullptr || is_full_) continue;
    path_.push_back(value.reader->name);
    Here();
    Emit({.op = Op::kBeginDefault, .arg = program_->defaults_.size()});
    program_->defaults_.push_back(&*value.reader->default_datum);
    AddValue(*value.step, *child);
    Here();
    Emit({.op = Op::kEndDefault});
    path_.pop_back();
  }
  for (const Place& child : place.children) {
    if (std::ranges::find(step.reader->fields, child.name, &AvroField::name) ==
        step.reader->fields.end()) {
      AddNulls(child);
    }
  }
}

// A record of which the whole is wanted and parts of it too: its text is taken first, without
// moving on.
void AvroCompiler::AddRecordText(const AvroStep& step, size_t column) {
  if (program_->columns_[column].field.type == DataType::String()) {
    taken_[column] = true;
    return Emit({.op = Op::kPeekText, .column = BatchColumn(column), .arg = StepIndex(step)});
  }
  Place place;
  place.column = column;
  AddComplaint(place, Misfit(step, column));
}

std::string AvroCompiler::Misfit(const AvroStep& step, size_t column) const {
  const Field& field = program_->columns_[column].field;
  const bool is_plain_time =
      field.type.id == TypeId::kTimestamp &&
      (step.writer->kind == AvroKind::kLong || step.writer->kind == AvroKind::kInt);
  return fmt::format("{} does not go into a column of type {}{}",
                     Shortened(step.writer->ToString()), field.type.ToString(),
                     is_plain_time ? "; say in which unit it counts: EpochSeconds(), EpochMillis() "
                                     "or EpochMicros()"
                                   : "");
}

void AvroCompiler::AddColumn(const AvroStep& step, size_t column) {
  if (step.writer->kind == AvroKind::kNull) {
    // Known, if nothing but null: no reason to refuse the column.
    taken_[column] = taken_[column] || complaints_[column].empty();
    return Emit({.op = Op::kNull, .column = BatchColumn(column)});
  }
  std::optional<Instruction> take = TakeOf(step, column);
  if (!take.has_value()) {
    Place place;
    place.column = column;
    return AddFailure(step, place, Misfit(step, column));
  }
  taken_[column] = true;
  take->column = BatchColumn(column);
  Emit(*take);
}

std::optional<AvroProgram::Instruction> AvroCompiler::TakeOf(const AvroStep& step, size_t column) {
  const Field& field = program_->columns_[column].field;
  switch (field.type.id) {
    case TypeId::kBool:
      if (step.writer->kind != AvroKind::kBoolean) return std::nullopt;
      return Instruction{.op = Op::kBool};
    case TypeId::kInt32:
    case TypeId::kInt64:
    case TypeId::kDouble:
    case TypeId::kDecimal:
      return TakeNumber(step, field);
    case TypeId::kString:
    case TypeId::kBytes:
      return TakeText(step, field);
    case TypeId::kDate:
    case TypeId::kTimestamp:
      return TakeTime(step, field, column);
  }
  return std::nullopt;
}

std::optional<AvroProgram::Instruction> AvroCompiler::TakeNumber(const AvroStep& step,
                                                                 const Field& field) {
  const AvroKind kind = step.writer->kind;
  const TypeId type = field.type.id;
  const AvroKind reader = step.reader->kind;
  const bool is_fraction = reader == AvroKind::kFloat || reader == AvroKind::kDouble;
  if (kind == AvroKind::kInt || kind == AvroKind::kLong) {
    // What the reader's schema makes a double does not go into an integer column, whoever wrote it.
    if (is_fraction && type != TypeId::kDouble) return std::nullopt;
    Instruction take;
    take.is_int = kind == AvroKind::kInt;
    take.op = type == TypeId::kInt32       ? Op::kInt32
              : type == TypeId::kInt64     ? (take.is_int != 0 ? Op::kIntToInt64 : Op::kInt64)
              : type == TypeId::kDecimal   ? Op::kLongToDecimal
              : reader == AvroKind::kFloat ? Op::kLongToFloat
                                           : Op::kLongToDouble;
    return take;
  }
  if (type == TypeId::kDouble && kind == AvroKind::kFloat) return Instruction{.op = Op::kFloat};
  if (type == TypeId::kDouble && kind == AvroKind::kDouble) return Instruction{.op = Op::kDouble};
  if (type == TypeId::kDecimal && step.logical == AvroLogical::kDecimal) {
    return Instruction{.op = Op::kDecimal, .arg = StepIndex(step)};
  }
  return std::nullopt;
}

std::optional<AvroProgram::Instruction> AvroCompiler::TakeTime(const AvroStep& step,
                                                               const Field& field, size_t column) {
  const AvroKind kind = step.writer->kind;
  const bool is_integer = kind == AvroKind::kInt || kind == AvroKind::kLong;
  if (field.type.id == TypeId::kDate) {
    if (step.logical == AvroLogical::kDate) return Instruction{.op = Op::kDate, .is_int = 1};
    if (kind == AvroKind::kString) return Instruction{.op = Op::kIsoDate};
    return std::nullopt;
  }
  Instruction take = {.is_int = kind == AvroKind::kInt, .logical = step.logical, .arg = column};
  if (IsTimestamp(step.logical)) {
    const bool has_zone = !field.zone.empty();
    const bool is_millis = step.logical == AvroLogical::kTimestampMillis ||
                           step.logical == AvroLogical::kLocalTimestampMillis;
    take.op = IsLocal(step.logical) && has_zone      ? Op::kLocalTimestamp
              : is_millis && kind == AvroKind::kLong ? Op::kMillis
                                                     : Op::kTimestamp;
    return take;
  }
  if (kind == AvroKind::kString) {
    take.op = Op::kIsoTimestamp;
    return take;
  }
  if (!is_integer || step.logical != AvroLogical::kNone ||
      field.time_encoding == TimeEncoding::kIso8601) {
    return std::nullopt;
  }
  take.op = Op::kEpoch;
  return take;
}

std::optional<AvroProgram::Instruction> AvroCompiler::TakeText(const AvroStep& step,
                                                               const Field& field) {
  const AvroKind kind = step.writer->kind;
  const auto width = static_cast<uint64_t>(std::max<int64_t>(step.writer->width, 0));
  const bool is_uuid = kind == AvroKind::kFixed && step.logical == AvroLogical::kUuid;
  if (field.type.id == TypeId::kBytes) {
    if (kind == AvroKind::kBytes || kind == AvroKind::kString) return Instruction{.op = Op::kBytes};
    if (kind == AvroKind::kFixed) return Instruction{.op = Op::kFixed, .arg = width};
    return std::nullopt;
  }
  if (kind == AvroKind::kString ||
      (kind == AvroKind::kBytes && step.logical != AvroLogical::kDecimal)) {
    return Instruction{.op = Op::kString};
  }
  if (kind == AvroKind::kEnum) return Instruction{.op = Op::kEnum, .arg = StepIndex(step)};
  if (is_uuid) return Instruction{.op = Op::kFixedUuid, .arg = width};
  return Instruction{.op = Op::kText, .arg = StepIndex(step)};
}

absl::Status AvroCompiler::Check(AvroProgram::Missing missing) const {
  for (size_t i = 0; i < taken_.size(); ++i) {
    if (taken_[i]) continue;
    const AvroColumn& column = program_->columns_[i];
    if (!complaints_[i].empty()) {
      return absl::InvalidArgumentError(
          fmt::format("field '{}': {}", column.field.name, complaints_[i]));
    }
    if (missing == AvroProgram::Missing::kNull) continue;
    const std::string nearest = NearestName(column.path.back(), names_seen_);
    return absl::InvalidArgumentError(
        fmt::format("field '{}': the Avro schema has no field '{}'{}", column.field.name,
                    fmt::join(column.path, "."),
                    nearest.empty() || nearest == column.path.back()
                        ? std::string()
                        : fmt::format("; did you mean '{}'?", nearest)));
  }
  return absl::OkStatus();
}

// What a block knows of an instruction.
AvroBlockValue AvroCompiler::BlockValueOf(const Instruction& instruction) const {
  using Kind = AvroBlockValue::Kind;
  AvroBlockValue value = {.column = instruction.column};
  switch (instruction.op) {
    case Op::kBool:
      value.kind = Kind::kBool;
      break;
    case Op::kInt32:
    case Op::kDate:
      value.kind = Kind::kInt32;
      break;
    case Op::kIntToInt64:
      value.kind = Kind::kInt32As64;
      break;
    case Op::kInt64:
      value.kind = Kind::kInt64;
      break;
    case Op::kMillis:
      value.kind = Kind::kMillis;
      break;
    case Op::kTimestamp:
      if (instruction.is_int == 0 && IsMicros(instruction.logical)) value.kind = Kind::kInt64;
      break;
    case Op::kEpoch: {
      const TimeEncoding encoding = program_->columns_[instruction.arg].field.time_encoding;
      if (instruction.is_int == 0 && encoding == TimeEncoding::kEpochMillis) {
        value.kind = Kind::kMillis;
      } else if (instruction.is_int == 0 && encoding == TimeEncoding::kEpochMicros) {
        value.kind = Kind::kInt64;
      }
      break;
    }
    case Op::kFloat:
      value.kind = Kind::kFloat;
      break;
    case Op::kDouble:
      value.kind = Kind::kDouble;
      break;
    case Op::kString:
      value.kind = Kind::kString;
      break;
    case Op::kBytes:
      value.kind = Kind::kBytes;
      break;
    case Op::kSkipLong:
      value.kind = Kind::kSkipLong;
      break;
    case Op::kSkipBytes:
      value.kind = Kind::kSkipBytes;
      break;
    case Op::kSkipWidth:
      value.kind = Kind::kSkipWidth;
      value.width = static_cast<int64_t>(std::min<uint64_t>(instruction.arg, INT64_MAX));
      break;
    default:
      break;
  }
  return value;
}

// Where the instructions that begin here come together again.
size_t AvroCompiler::EndOf(size_t begin) const {
  const std::vector<Instruction>& code = program_->code_;
  size_t end = begin + 1;
  for (size_t i = begin; i < end; ++i) {
    switch (code[i].op) {
      case Op::kOptional:
      case Op::kSkipOptional:
      case Op::kJump:
        end = std::max(end, static_cast<size_t>(code[i].arg));
        break;
      case Op::kUnion: {
        const auto branches = program_->branches_.begin() + static_cast<ptrdiff_t>(code[i].arg);
        end = std::max<size_t>(end, *std::max_element(branches, branches + code[i].column));
        break;
      }
      case Op::kBeginDefault:
        for (size_t at = i; code[at].op != Op::kEndDefault; ++at) end = std::max(end, at + 2);
        break;
      default:
        break;
    }
  }
  return end;
}

void AvroCompiler::AddStretches() {
  const std::vector<Instruction>& code = program_->code_;
  std::vector<AvroProgram::Stretch>& stretches = program_->stretches_;
  for (size_t begin = 0; begin < code.size(); begin = stretches.back().end) {
    const Instruction& first = code[begin];
    const size_t end = EndOf(begin);
    AvroBlockValue value;
    if (end == begin + 1) {
      value = BlockValueOf(first);
    } else if (end == begin + 2 && (first.op == Op::kOptional || first.op == Op::kSkipOptional)) {
      value = BlockValueOf(code[begin + 1]);
      value.is_optional = true;
      value.null_branch = first.is_int;
    }
    const bool goes_on = value.kind == AvroBlockValue::Kind::kOther && !stretches.empty() &&
                         stretches.back().value.kind == AvroBlockValue::Kind::kOther;
    if (goes_on) {
      stretches.back().end = end;
    } else {
      stretches.push_back({.value = value, .begin = begin, .end = end});
    }
  }
}

absl::StatusOr<std::unique_ptr<const AvroProgram>> AvroCompiler::Compile(
    AvroProgram::Missing missing) {
  const AvroStep& root = program_->resolution_->root();
  if (!root.mismatch.empty()) return absl::InvalidArgumentError(Shortened(root.mismatch));
  const auto is_record = [](const AvroType* type) { return type->kind == AvroKind::kRecord; };
  if (!is_record(root.writer) && (root.writer->kind != AvroKind::kUnion ||
                                  std::ranges::none_of(root.writer->types, is_record))) {
    return absl::InvalidArgumentError(
        fmt::format("the Avro schema is no record but {}; columns are the fields of a record",
                    Shortened(root.writer->ToString())));
  }
  Place places;
  for (size_t i = 0; i < program_->columns_.size(); ++i) {
    const AvroColumn& column = program_->columns_[i];
    Place* place = AddPlace(&places, column.path);
    if (place->column != Place::kNone) {
      return absl::InvalidArgumentError(
          fmt::format("field '{}': another field is read from the same place, /{}; read it once "
                      "and select it twice",
                      column.field.name, fmt::join(column.path, "/")));
    }
    place->column = i;
  }
  if (is_record(root.writer)) {
    AddRecord(root, places);
  } else if (places.children.empty()) {
    AddSkip(*root.writer);
  } else {
    AddUnion(root, places);
  }
  if (is_full_) {
    return absl::InvalidArgumentError(
        "the Avro schema is too large: unions inside unions make more than 100000 steps of it");
  }
  if (absl::Status status = Check(missing); !status.ok()) return status;
  AddStretches();
  return std::unique_ptr<const AvroProgram>(std::move(program_));
}

absl::StatusOr<std::unique_ptr<const AvroProgram>> AvroProgram::Compile(
    std::shared_ptr<const AvroResolution> resolution, const std::vector<AvroColumn>& columns,
    Missing missing, const AvroLimits& limits) {
  return AvroCompiler(std::move(resolution), columns, limits).Compile(missing);
}

}  // namespace tidemark
