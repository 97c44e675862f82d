#include "tidemark/operators/formats/json_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "tidemark/operators/formats/json_document.h"
#include "tidemark/operators/formats/json_field.h"
#include "tidemark/operators/formats/json_paths.h"
#include "tidemark/operators/formats/json_shape.h"
#include "tidemark/operators/formats/record_columns.h"
#include "tidemark/operators/formats/utf8_repair.h"

namespace tidemark {
namespace {

constexpr std::string_view kCorruptRecord = "_corrupt_record";
// Past these the parser's own memory, or its stack of open containers, would be the problem.
constexpr size_t kMaxRecordBytes = size_t{1} << 30;
constexpr size_t kMaxDepth = 100'000;

// A bad record before may have left a text in the row.
void StoreNull(Column* column, size_t row) {
  column->SetNull(row);
  if (column->type().is_text()) column->mutable_values<std::string_view>()[row] = {};
}

// A column of the schema that is read from the document.
struct DecodedField {
  size_t column;
  JsonField field;
};

class JsonDecoder : public Decoder {
 public:
  JsonDecoder(const FormatSpec& spec, std::vector<DecodedField> fields, JsonPaths paths,
              std::optional<size_t> corrupt_column, RecordColumns record_columns)
      : schema_(std::make_shared<const Schema>(spec.schema)),
        max_record_bytes_(spec.max_record_bytes),
        document_(spec.max_depth),
        fields_(std::move(fields)),
        paths_(std::move(paths)),
        corrupt_column_(corrupt_column),
        record_columns_(std::move(record_columns)),
        found_(fields_.size() + 1),
        texts_(fields_.size()) {}

  RowBatch Decode(const RawRecords& records, bool keep_bad_rows,
                  std::vector<BadRecord>* bad) override;

 private:
  struct Problem {
    BadReason reason;
    std::string detail;
  };
  // The columns being filled.
  struct Output {
    std::vector<std::shared_ptr<Column>> columns;
    std::shared_ptr<Arena> arena;
  };

  Output MakeOutput(const RawRecords& records) const;
  bool DecodeRecord(const RawRecord& record, bool keep_bad_rows, Output* output, size_t row,
                    Problem* problem);
  std::optional<JsonDocument::Error> Parse(const RawRecord& record);
  bool StoreFields(bool keep_bad_rows, Output* output, size_t row, Problem* problem);
  void StoreNulls(Output* output, size_t row) const;
  void StoreCorruptRecord(const RawRecord& record, bool is_bad, Output* output, size_t row) const;

  const std::shared_ptr<const Schema> schema_;
  const size_t max_record_bytes_;
  JsonDocument document_;
  std::vector<DecodedField> fields_;
  JsonPaths paths_;
  const std::optional<size_t> corrupt_column_;
  const RecordColumns record_columns_;
  JsonShape shape_;
  std::string padded_;                // the record, when it came without padding
  std::vector<JsonValue> found_;      // by field, and one more for Locate
  std::vector<JsonText> texts_;       // by field, of a document whose shape was not known
  const JsonText* values_ = nullptr;  // of the current document, by field
};

RowBatch JsonDecoder::Decode(const RawRecords& records, bool keep_bad_rows,
                             std::vector<BadRecord>* bad) {
  Output output = MakeOutput(records);
  auto source_records = std::make_shared<std::vector<uint32_t>>();
  source_records->reserve(records.records.size());
  Problem problem;
  for (uint32_t i = 0; i < records.records.size(); ++i) {
    const RawRecord& record = records.records[i];
    const size_t row = source_records->size();
    const bool good = DecodeRecord(record, keep_bad_rows, &output, row, &problem);
    if (!good) {
      bad->push_back({i, problem.reason, std::move(problem.detail)});
      if (!keep_bad_rows) {
        for (const DecodedField& field : fields_) output.columns[field.column]->SetNotNull(row);
        continue;
      }
    }
    if (corrupt_column_.has_value()) StoreCorruptRecord(record, !good, &output, row);
    source_records->push_back(i);
  }
  const size_t rows = source_records->size();
  record_columns_.Fill(records, *source_records, output.arena, output.columns);
  std::vector<ColumnPtr> columns;
  columns.reserve(output.columns.size());
  for (std::shared_ptr<Column>& column : output.columns) {
    column->Truncate(rows);
    columns.push_back(std::move(column));
  }
  RowBatch batch(schema_, std::move(columns), rows);
  batch.set_origin(&records, std::move(source_records));
  return batch;
}

JsonDecoder::Output JsonDecoder::MakeOutput(const RawRecords& records) const {
  constexpr size_t kMinBlockBytes = 4096;
  constexpr size_t kMaxBlockBytes = size_t{1} << 20;
  Output output;
  output.arena =
      std::make_shared<Arena>(std::clamp(records.bytes / 4, kMinBlockBytes, kMaxBlockBytes));
  for (size_t i = 0; i < schema_->size(); ++i) {
    auto column = std::make_shared<Column>(schema_->field(i).type, records.records.size());
    if (column->type().is_text() && !record_columns_.Owns(i)) column->AddStorage(output.arena);
    output.columns.push_back(std::move(column));
  }
  return output;
}

bool JsonDecoder::DecodeRecord(const RawRecord& record, bool keep_bad_rows, Output* output,
                               size_t row, Problem* problem) {
  if (!record.has_value) {
    *problem = {BadReason::kNullValue, "the record has no value"};
  } else if (record.value.size() > max_record_bytes_) {
    *problem = {BadReason::kTooLarge, fmt::format("the record has {} bytes; the limit is {}",
                                                  record.value.size(), max_record_bytes_)};
  } else if (const auto error = Parse(record); error.has_value()) {
    *problem = {error->reason, std::string(error->detail)};
  } else {
    return StoreFields(keep_bad_rows, output, row, problem);
  }
  if (keep_bad_rows) StoreNulls(output, row);
  return false;
}

// Leaves the values of the fields in `values_`.
std::optional<JsonDocument::Error> JsonDecoder::Parse(const RawRecord& record) {
  std::string_view text = record.value;
  if (!record.padded) {
    padded_.assign(text);
    padded_.append(kRecordPadding, ' ');
    text = {padded_.data(), text.size()};
  }
  if (shape_.Matches(text)) [[likely]] {
    values_ = shape_.values();
    return std::nullopt;
  }
  if (auto error = document_.Parse(text, /*padded=*/true); error.has_value()) return error;
  paths_.Locate(document_, found_.data());
  for (size_t i = 0; i < fields_.size(); ++i) texts_[i] = document_.Text(found_[i]);
  values_ = texts_.data();
  shape_.Learn(document_, found_.data(), fields_.size());
  return std::nullopt;
}

bool JsonDecoder::StoreFields(bool keep_bad_rows, Output* output, size_t row, Problem* problem) {
  bool good = true;
  for (size_t i = 0; i < fields_.size(); ++i) {
    Column* column = output->columns[fields_[i].column].get();
    JsonField& field = fields_[i].field;
    const JsonOutcome outcome = field.Store(values_[i], output->arena.get(), column, row);
    if (outcome == JsonOutcome::kStored) [[likely]]
      continue;
    StoreNull(column, row);
    if (outcome == JsonOutcome::kNull || !good) continue;
    good = false;
    problem->reason =
        outcome == JsonOutcome::kOutOfRange ? BadReason::kOutOfRange : BadReason::kWrongType;
    problem->detail = field.Complaint(values_[i].text, outcome);
    if (!keep_bad_rows) break;
  }
  return good;
}

void JsonDecoder::StoreNulls(Output* output, size_t row) const {
  for (const DecodedField& field : fields_) StoreNull(output->columns[field.column].get(), row);
}

void JsonDecoder::StoreCorruptRecord(const RawRecord& record, bool is_bad, Output* output,
                                     size_t row) const {
  Column* column = output->columns[*corrupt_column_].get();
  if (is_bad && record.has_value) {
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
        fmt::format("max_depth is {}; it must be 1 to {}", spec.max_depth, kMaxDepth));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> MakeJsonDecoder(const FormatSpec& spec) {
  if (absl::Status status = CheckLimits(spec); !status.ok()) return status;
  absl::StatusOr<RecordColumns> record_columns = RecordColumns::Find(spec.schema);
  if (!record_columns.ok()) return record_columns.status();
  std::vector<DecodedField> fields;
  JsonPaths paths;
  std::optional<size_t> corrupt_column;
  for (size_t i = 0; i < spec.schema.size(); ++i) {
    const Field& field = spec.schema.field(i);
    if (record_columns->Owns(i)) continue;
    if (field.name == kCorruptRecord) {
      if (field.type != DataType::String()) {
        return absl::InvalidArgumentError(fmt::format("the column '{}' must be a string, not {}",
                                                      field.name, field.type.ToString()));
      }
      corrupt_column = i;
      continue;
    }
    std::vector<std::string> names = {field.name};
    if (!field.path.empty()) {
      absl::StatusOr<std::vector<std::string>> pointer = JsonPaths::ParsePointer(field.path);
      if (!pointer.ok()) {
        return absl::InvalidArgumentError(
            fmt::format("field '{}': {}", field.name, std::string(pointer.status().message())));
      }
      names = *std::move(pointer);
    }
    if (!paths.Add(names)) {
      return absl::InvalidArgumentError(fmt::format(
          "field '{}': another field is read from the same place, {}; read it once and select it "
          "twice",
          field.name, field.path.empty() ? "/" + field.name : field.path));
    }
    absl::StatusOr<JsonField> json_field = JsonField::Make(field);
    if (!json_field.ok()) return json_field.status();
    fields.push_back({i, *std::move(json_field)});
  }
  paths.Finish();
  return std::make_unique<JsonDecoder>(spec, std::move(fields), std::move(paths), corrupt_column,
                                       *std::move(record_columns));
}

}  // namespace tidemark
