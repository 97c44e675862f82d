#include "tidemark/operators/formats/avro_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "tidemark/operators/formats/avro_program.h"
#include "tidemark/operators/formats/avro_schemas.h"
#include "tidemark/operators/formats/json_paths.h"
#include "tidemark/operators/formats/record_columns.h"
#include "tidemark/operators/formats/utf8_repair.h"
#include "tidemark/operators/formats/zoned_time.h"

namespace tidemark {
namespace {

constexpr std::string_view kCorruptRecord = "_corrupt_record";
constexpr size_t kMaxRecordBytes = size_t{1} << 30;
// A walk over nested values uses the thread's stack.
constexpr size_t kMaxDepth = 1024;
// Programs kept; garbage can name any number of schemas.
constexpr size_t kMaxPrograms = 10'000;

using ProgramPtr = std::unique_ptr<const AvroProgram>;
using SchemaPtr = std::shared_ptr<const AvroSchema>;

// A bad record before may have left a text in the row.
void StoreNull(Column* column, size_t row) {
  column->SetNull(row);
  if (column->type().is_text()) column->mutable_values<std::string_view>()[row] = {};
}

absl::Status Prefixed(std::string_view what, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", what, std::string(status.message())));
}

// What a decoder is made from.
struct Setup {
  std::shared_ptr<const Schema> schema;
  size_t max_record_bytes;
  AvroLimits limits;
  std::shared_ptr<AvroSchemas> schemas;
  SchemaPtr reader;  // null: each datum is read as its writer's
  std::vector<AvroColumn> columns;
  std::optional<size_t> corrupt_column;
  RecordColumns record_columns;
};

class AvroDecoder : public Decoder {
 public:
  // `program`: of raw datums; null with Confluent framing.
  AvroDecoder(Setup setup, ProgramPtr program)
      : setup_(std::move(setup)), raw_program_(std::move(program)), program_(raw_program_.get()) {}

  RowBatch Decode(const RawRecords& records, bool keep_bad_rows,
                  std::vector<BadRecord>* bad) override;
  absl::Status status() const override { return status_; }

 private:
  AvroOutput MakeOutput(const RawRecords& records) const;
  // Reads records until one is bad, or all are read.
  AvroOutcome ReadRecords(AvroRun* run, AvroOutput* output, AvroProblem* problem);
  // Makes the next record's program, and header, those of the run; what is wrong with it if there
  // is none, unless status_ is.
  AvroOutcome FindProgram(AvroRun* run, AvroProblem* problem);
  absl::Status AddProgram(uint32_t id);
  void StoreBadRow(AvroOutcome outcome, bool keep, size_t row, AvroOutput* output) const;
  void StoreCorruptRecord(const RawRecord& record, size_t row, AvroOutput* output) const;

  const Setup setup_;
  const ProgramPtr raw_program_;
  // By schema id; without a program its records are all bad, for the reason given.
  struct Known {
    ProgramPtr program;
    std::string problem;
  };
  std::unordered_map<uint32_t, Known> programs_;
  const AvroProgram* program_;  // of the run
  absl::Status status_;
};

RowBatch AvroDecoder::Decode(const RawRecords& records, bool keep_bad_rows,
                             std::vector<BadRecord>* bad) {
  status_ = absl::OkStatus();
  program_ = raw_program_.get();  // a framed record names its own
  AvroOutput output = MakeOutput(records);
  auto source_records = std::make_shared<std::vector<uint32_t>>(records.records.size());
  const RawRecord* const first = records.records.data();
  AvroRun run = {.next = first,
                 .end = first + records.records.size(),
                 .row = 0,
                 .max_record_bytes = setup_.max_record_bytes,
                 .header = {}};
  AvroProblem problem;
  while (run.next != run.end) {
    const size_t begin = run.row;
    const auto begin_index = static_cast<uint32_t>(run.next - first);
    const AvroOutcome outcome = ReadRecords(&run, &output, &problem);
    if (!status_.ok()) break;
    const auto rows_begin = source_records->begin() + static_cast<ptrdiff_t>(begin);
    std::iota(rows_begin, rows_begin + static_cast<ptrdiff_t>(run.row - begin), begin_index);
    if (setup_.corrupt_column.has_value()) {
      Column* column = output.columns[*setup_.corrupt_column].get();
      for (size_t row = begin; row < run.row; ++row) column->SetNull(row);
    }
    if (outcome == AvroOutcome::kGood) continue;
    const auto index = static_cast<uint32_t>(run.next - first);
    bad->push_back({index, problem.reason, std::move(problem.detail)});
    StoreBadRow(outcome, keep_bad_rows, run.row, &output);
    if (keep_bad_rows) {
      if (setup_.corrupt_column.has_value()) StoreCorruptRecord(*run.next, run.row, &output);
      (*source_records)[run.row++] = index;
    }
    ++run.next;
  }
  const size_t rows = status_.ok() ? run.row : 0;
  source_records->resize(rows);
  setup_.record_columns.Fill(records, *source_records, output.arena, output.columns);
  std::vector<ColumnPtr> columns;
  columns.reserve(output.columns.size());
  for (std::shared_ptr<Column>& column : output.columns) {
    column->Truncate(rows);
    columns.push_back(std::move(column));
  }
  RowBatch batch(setup_.schema, std::move(columns), rows);
  batch.set_origin(&records, std::move(source_records));
  return batch;
}

// A bad record that gives no row must leave nothing in it for the next one.
void AvroDecoder::StoreBadRow(AvroOutcome outcome, bool keep, size_t row,
                              AvroOutput* output) const {
  for (const AvroColumn& column : setup_.columns) {
    Column* values = output->columns[column.column].get();
    if (!keep) {
      values->SetNotNull(row);
    } else if (outcome == AvroOutcome::kBroken) {
      StoreNull(values, row);
    }
  }
}

AvroOutput AvroDecoder::MakeOutput(const RawRecords& records) const {
  constexpr size_t kMinBlockBytes = 4096;
  constexpr size_t kMaxBlockBytes = size_t{1} << 20;
  AvroOutput output;
  output.keeps_records = records.owner != nullptr;
  output.arena =
      std::make_shared<Arena>(std::clamp(records.bytes / 4, kMinBlockBytes, kMaxBlockBytes));
  for (size_t i = 0; i < setup_.schema->size(); ++i) {
    auto column = std::make_shared<Column>(setup_.schema->field(i).type, records.records.size());
    if (column->type().is_text() && !setup_.record_columns.Owns(i)) {
      column->AddStorage(output.arena);
      if (output.keeps_records) column->AddStorage(records.owner);
    }
    output.values.push_back(column->mutable_values<std::byte>());
    output.columns.push_back(std::move(column));
  }
  return output;
}

AvroOutcome AvroDecoder::ReadRecords(AvroRun* run, AvroOutput* output, AvroProblem* problem) {
  while (run->next != run->end) {
    const AvroOutcome outcome =
        program_ == nullptr ? AvroOutcome::kGood : program_->Run(run, output, problem);
    if (outcome != AvroOutcome::kGood || run->next == run->end) return outcome;
    // Not one for this program.
    const AvroOutcome found = FindProgram(run, problem);
    if (found != AvroOutcome::kGood) return found;
  }
  return AvroOutcome::kGood;
}

AvroOutcome AvroDecoder::FindProgram(AvroRun* run, AvroProblem* problem) {
  const RawRecord& record = *run->next;
  const std::string_view value = record.value;
  if (!record.has_value) {
    *problem = {BadReason::kNullValue, "the record has no value"};
    return AvroOutcome::kBroken;
  }
  if (value.size() > setup_.max_record_bytes) {
    *problem = {BadReason::kTooLarge, fmt::format("the record has {} bytes; the limit is {}",
                                                  value.size(), setup_.max_record_bytes)};
    return AvroOutcome::kBroken;
  }
  if (value.size() < AvroRun::kHeaderBytes) {
    *problem = {BadReason::kShortHeader,
                fmt::format("the record has {} bytes; the header, a byte 0 and a schema id, has {}",
                            value.size(), AvroRun::kHeaderBytes)};
    return AvroOutcome::kBroken;
  }
  if (value[0] != 0) {
    *problem = {BadReason::kWrongMagic,
                fmt::format("the first byte is {}, not 0; was this written without a schema id?",
                            static_cast<uint8_t>(value[0]))};
    return AvroOutcome::kBroken;
  }
  uint32_t id = 0;
  for (size_t i = 1; i < AvroRun::kHeaderBytes; ++i) id = id << 8 | static_cast<uint8_t>(value[i]);
  if (!programs_.contains(id)) {
    const absl::Status added = AddProgram(id);
    if (absl::IsNotFound(added) || absl::IsInvalidArgument(added)) {
      *problem = {BadReason::kUnknownSchema, std::string(added.message())};
    } else if (!added.ok()) {
      status_ =
          absl::IsFailedPrecondition(added) ? absl::InvalidArgumentError(added.message()) : added;
    }
    if (!added.ok()) return AvroOutcome::kBroken;
  }
  const Known& known = programs_.find(id)->second;
  if (known.program == nullptr) {
    *problem = {BadReason::kWrongType, known.problem};
    return AvroOutcome::kBroken;
  }
  program_ = known.program.get();
  run->header = value.substr(0, AvroRun::kHeaderBytes);
  return AvroOutcome::kGood;
}

absl::Status AvroDecoder::AddProgram(uint32_t id) {
  const absl::StatusOr<SchemaPtr> writer = setup_.schemas->Find(id);
  if (!writer.ok()) return writer.status();
  absl::StatusOr<ProgramPtr> program = AvroProgram::Compile(
      std::make_shared<const AvroResolution>(*writer, setup_.reader ? setup_.reader : *writer),
      setup_.columns, AvroProgram::Missing::kNull, setup_.limits);
  if (programs_.size() >= kMaxPrograms) {
    programs_.clear();
    program_ = nullptr;
  }
  Known& known = programs_[id];
  if (program.ok()) {
    known.program = *std::move(program);
  } else {
    known.problem = fmt::format("schema {}: {}", id, std::string(program.status().message()));
  }
  return absl::OkStatus();
}

void AvroDecoder::StoreCorruptRecord(const RawRecord& record, size_t row,
                                     AvroOutput* output) const {
  Column* column = output->columns[*setup_.corrupt_column].get();
  if (record.has_value) {
    column->mutable_values<std::string_view>()[row] = output->arena->Copy(RepairUtf8(record.value));
  } else {
    column->SetNull(row);
  }
}

absl::Status CheckLimits(const FormatSpec& spec) {
  if (spec.max_record_bytes < 1 || spec.max_record_bytes > kMaxRecordBytes) {
    return absl::InvalidArgumentError(fmt::format("max_record_bytes is {}; it must be 1 to {}",
                                                  spec.max_record_bytes, kMaxRecordBytes));
  }
  if (spec.max_depth < 1 || spec.max_depth > kMaxDepth) {
    return absl::InvalidArgumentError(
        fmt::format("max_depth is {}; for Avro it must be 1 to {}", spec.max_depth, kMaxDepth));
  }
  return absl::OkStatus();
}

absl::Status AddColumns(Setup* setup) {
  for (size_t i = 0; i < setup->schema->size(); ++i) {
    const Field& field = setup->schema->field(i);
    if (setup->record_columns.Owns(i)) continue;
    if (field.name == kCorruptRecord) {
      if (field.type != DataType::String()) {
        return absl::InvalidArgumentError(fmt::format("the column '{}' must be a string, not {}",
                                                      field.name, field.type.ToString()));
      }
      setup->corrupt_column = i;
      continue;
    }
    AvroColumn column = {.column = i, .field = field, .path = {field.name}, .zone = {}};
    if (!field.path.empty()) {
      absl::StatusOr<std::vector<std::string>> names = JsonPaths::ParsePointer(field.path);
      if (!names.ok()) return Prefixed(fmt::format("field '{}'", field.name), names.status());
      column.path = *std::move(names);
    }
    const absl::StatusOr<absl::TimeZone> zone = LoadZone(field);
    if (!zone.ok()) return zone.status();
    column.zone = *zone;
    setup->columns.push_back(std::move(column));
  }
  return absl::OkStatus();
}

absl::StatusOr<SchemaPtr> ParseOption(std::string_view what, const std::string& text) {
  absl::StatusOr<SchemaPtr> schema = AvroSchema::Parse(text);
  if (!schema.ok()) return Prefixed(what, schema.status());
  return schema;
}

absl::Status CheckSources(const AvroOptions& options) {
  const bool has_ids = !options.schemas_by_id.empty() || !options.schema_folder.empty() ||
                       !options.registry_url.empty();
  if (options.framing == AvroFraming::kRaw && options.writer_schema.empty()) {
    return absl::InvalidArgumentError(
        "raw Avro datums can be read only with the schema that they were written with; give the "
        "writer's schema");
  }
  if (options.framing == AvroFraming::kRaw && has_ids) {
    return absl::InvalidArgumentError(
        "raw Avro datums name no schema ids, but schemas by id are given; say that the framing is "
        "Confluent's, or give only the writer's schema");
  }
  if (options.framing == AvroFraming::kConfluent && !has_ids) {
    return absl::InvalidArgumentError(
        "Avro records with Confluent framing name their schemas by id; give a schema registry's "
        "URL, a folder with <id>.avsc files, or the schemas by id");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> MakeAvroDecoder(const FormatSpec& spec) {
  if (spec.avro == nullptr) {
    return absl::InvalidArgumentError("the format 'avro' has no options; make it with Avro(...)");
  }
  const AvroOptions& options = spec.avro->options();
  if (absl::Status status = CheckLimits(spec); !status.ok()) return status;
  if (absl::Status status = CheckSources(options); !status.ok()) return status;
  if (absl::Status status = spec.avro->Check(); !status.ok()) return status;

  Setup setup;
  setup.schema = std::make_shared<const Schema>(spec.schema);
  setup.max_record_bytes = spec.max_record_bytes;
  setup.limits = {.max_depth = spec.max_depth, .max_text_bytes = spec.max_record_bytes};
  setup.schemas = spec.avro;
  absl::StatusOr<RecordColumns> record_columns = RecordColumns::Find(spec.schema);
  if (!record_columns.ok()) return record_columns.status();
  setup.record_columns = *std::move(record_columns);
  if (absl::Status status = AddColumns(&setup); !status.ok()) return status;

  if (!options.reader_schema.empty()) {
    absl::StatusOr<SchemaPtr> reader = ParseOption("reader's schema", options.reader_schema);
    if (!reader.ok()) return reader.status();
    setup.reader = *std::move(reader);
    // What the columns ask of the reader's schema does not depend on any writer's.
    const auto program =
        AvroProgram::Compile(std::make_shared<const AvroResolution>(setup.reader, setup.reader),
                             setup.columns, AvroProgram::Missing::kRefuse, setup.limits);
    if (!program.ok()) return program.status();
  }
  if (options.framing == AvroFraming::kConfluent) {
    return std::make_unique<AvroDecoder>(std::move(setup), nullptr);
  }
  absl::StatusOr<SchemaPtr> writer = ParseOption("writer's schema", options.writer_schema);
  if (!writer.ok()) return writer.status();
  absl::StatusOr<ProgramPtr> program = AvroProgram::Compile(
      std::make_shared<const AvroResolution>(*writer, setup.reader ? setup.reader : *writer),
      setup.columns, setup.reader ? AvroProgram::Missing::kNull : AvroProgram::Missing::kRefuse,
      setup.limits);
  if (!program.ok()) return program.status();
  return std::make_unique<AvroDecoder>(std::move(setup), *std::move(program));
}

}  // namespace tidemark
