#include "tidemark/operators/formats/avro_step.h"

#include <fmt/format.h>

#include <algorithm>

namespace tidemark {
namespace {

bool IsNamed(AvroKind kind) {
  return kind == AvroKind::kRecord || kind == AvroKind::kEnum || kind == AvroKind::kFixed;
}

bool NamesMatch(const AvroType& writer, const AvroType& reader) {
  const auto matches = [&](std::string_view name) {
    return UnqualifiedAvroName(name) == UnqualifiedAvroName(writer.name);
  };
  return matches(reader.name) || std::ranges::any_of(reader.aliases, matches);
}

// Whether values of `writer` can be read as `reader`, neither a union; not looking into records,
// arrays and maps.
bool Matches(const AvroType& writer, const AvroType& reader) {
  if (writer.kind == reader.kind) {
    if (!IsNamed(writer.kind)) return true;
    return NamesMatch(writer, reader) &&
           (writer.kind != AvroKind::kFixed || writer.width == reader.width);
  }
  switch (writer.kind) {
    case AvroKind::kInt:
      return reader.kind == AvroKind::kLong || reader.kind == AvroKind::kFloat ||
             reader.kind == AvroKind::kDouble;
    case AvroKind::kLong:
      return reader.kind == AvroKind::kFloat || reader.kind == AvroKind::kDouble;
    case AvroKind::kFloat:
      return reader.kind == AvroKind::kDouble;
    case AvroKind::kString:
      return reader.kind == AvroKind::kBytes;
    case AvroKind::kBytes:
      return reader.kind == AvroKind::kString;
    default:
      return false;
  }
}

// A reader's logical type may stand over what the writer left plain.
bool Applies(AvroLogical logical, AvroKind writer) {
  switch (logical) {
    case AvroLogical::kNone:
      return false;
    case AvroLogical::kDate:
      return writer == AvroKind::kInt;
    case AvroLogical::kDecimal:
      return writer == AvroKind::kBytes || writer == AvroKind::kFixed;
    case AvroLogical::kUuid:
      return writer == AvroKind::kString || writer == AvroKind::kFixed;
    default:
      return writer == AvroKind::kInt || writer == AvroKind::kLong;
  }
}

const AvroField* FindWritten(const AvroType& writer, const AvroField& reader) {
  const auto find = [&](const std::string& name) -> const AvroField* {
    const auto field = std::ranges::find(writer.fields, name, &AvroField::name);
    return field == writer.fields.end() ? nullptr : &*field;
  };
  const AvroField* found = find(reader.name);
  for (const std::string& alias : reader.aliases) {
    if (found == nullptr) found = find(alias);
  }
  return found;
}

}  // namespace

AvroResolution::AvroResolution(std::shared_ptr<const AvroSchema> writer,
                               std::shared_ptr<const AvroSchema> reader)
    : writer_(std::move(writer)),
      reader_(std::move(reader)),
      root_(Resolve(&writer_->root(), &reader_->root())) {}

// The reader's branch for a value: the same type before one that it can be promoted to.
const AvroType* AvroResolution::Branch(const AvroType& writer, const AvroType& reader) const {
  for (const AvroType* branch : reader.types) {
    if (branch->kind == writer.kind && branch->name == writer.name && Matches(writer, *branch)) {
      return branch;
    }
  }
  for (const AvroType* branch : reader.types) {
    if (Matches(writer, *branch)) return branch;
  }
  return nullptr;
}

const AvroStep* AvroResolution::Resolve(const AvroType* writer, const AvroType* reader) {
  const auto [entry, is_new] = resolved_.try_emplace({writer, reader}, nullptr);
  if (!is_new) return entry->second;
  AvroStep* step = &steps_.emplace_back();
  entry->second = step;  // before going deeper: a type may contain itself
  step->writer = writer;
  step->reader = reader;
  if (writer->kind == AvroKind::kUnion) {
    for (const AvroType* branch : writer->types) step->steps.push_back(Resolve(branch, reader));
    return step;
  }
  if (reader->kind == AvroKind::kUnion) step->reader = Branch(*writer, *reader);
  if (step->reader == nullptr || !Matches(*writer, *step->reader)) {
    step->mismatch = fmt::format("the writer's {} cannot be read as the reader's {}",
                                 writer->ToString(), reader->ToString());
    return step;
  }
  const bool reader_says =
      writer->logical == AvroLogical::kNone && Applies(step->reader->logical, writer->kind);
  step->logical = reader_says ? step->reader->logical : writer->logical;
  step->scale = reader_says ? step->reader->scale : writer->scale;
  if (writer->kind == AvroKind::kRecord) ResolveRecord(step);
  if (writer->kind == AvroKind::kEnum) ResolveEnum(step);
  if (writer->kind == AvroKind::kArray || writer->kind == AvroKind::kMap) {
    step->steps.push_back(Resolve(writer->types[0], step->reader->types[0]));
  }
  return step;
}

void AvroResolution::ResolveRecord(AvroStep* step) {
  for (const AvroField& field : step->writer->fields) {
    step->fields.push_back({field.type, nullptr, nullptr});
  }
  for (const AvroField& field : step->reader->fields) {
    const AvroField* written = FindWritten(*step->writer, field);
    if (written != nullptr) {
      AvroStep::Field& target =
          step->fields[static_cast<size_t>(written - step->writer->fields.data())];
      // Of two fields that claim one written field by alias the first has it.
      if (target.reader == nullptr) {
        target.reader = &field;
        target.step = Resolve(written->type, field.type);
        if (!target.step->mismatch.empty() && step->mismatch.empty()) {
          step->mismatch = fmt::format("field '{}': {}", field.name, target.step->mismatch);
        }
        continue;
      }
    }
    if (field.default_datum.has_value()) {
      step->defaults.push_back({&field, Resolve(field.type, field.type)});
    } else if (step->mismatch.empty()) {
      step->mismatch = fmt::format(
          "the writer's {} lacks the field '{}', {}", step->writer->ToString(), field.name,
          field.default_problem.empty() ? "which has no default" : field.default_problem);
    }
  }
}

void AvroResolution::ResolveEnum(AvroStep* step) const {
  for (const std::string& symbol : step->writer->symbols) {
    const auto found = std::ranges::find(step->reader->symbols, symbol);
    step->symbols.push_back(found == step->reader->symbols.end()
                                ? step->reader->default_symbol
                                : static_cast<size_t>(found - step->reader->symbols.begin()));
  }
}

}  // namespace tidemark
