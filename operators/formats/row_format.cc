#include "tidemark/operators/formats/row_format.h"

#include <fmt/format.h>

#include <bit>
#include <utility>

#include "tidemark/operators/formats/record_columns.h"

namespace tidemark {
namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

// Takes values off the front of a record.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}

  template <typename T>
  bool Take(T* value) {
    if (static_cast<size_t>(end_ - at_) < sizeof(T)) [[unlikely]]
      return false;
    std::memcpy(value, at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  bool TakeText(std::string_view* text) {
    uint32_t size = 0;
    if (!Take(&size) || static_cast<size_t>(end_ - at_) < size) [[unlikely]]
      return false;
    *text = {at_, size};
    at_ += size;
    return true;
  }
  bool Skip(size_t size) {
    if (static_cast<size_t>(end_ - at_) < size) return false;
    at_ += size;
    return true;
  }
  bool at_end() const { return at_ == end_; }

 private:
  const char* at_;
  const char* end_;
};

// A bad record before may have left a text in the row.
void StoreNull(Column* column, size_t row) {
  column->SetNull(row);
  if (column->type().is_text()) column->mutable_values<std::string_view>()[row] = {};
}

bool TakeValue(Cursor* cursor, TypeId type, Column* column, size_t row) {
  switch (type) {
    case TypeId::kBool:
      return cursor->Take(column->mutable_values<uint8_t>() + row);
    case TypeId::kInt32:
    case TypeId::kDate:
      return cursor->Take(column->mutable_values<int32_t>() + row);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return cursor->Take(column->mutable_values<int64_t>() + row);
    case TypeId::kDouble:
      return cursor->Take(column->mutable_values<double>() + row);
    case TypeId::kDecimal:
      return cursor->Take(column->mutable_values<Int128>() + row);
    case TypeId::kString:
    case TypeId::kBytes:
      return cursor->TakeText(column->mutable_values<std::string_view>() + row);
  }
  return false;
}

class RowDecoder : public Decoder {
 public:
  RowDecoder(const FormatSpec& spec, RecordColumns record_columns)
      : schema_(std::make_shared<const Schema>(spec.schema)),
        max_record_bytes_(spec.max_record_bytes),
        record_columns_(std::move(record_columns)) {
    for (size_t i = 0; i < schema_->size(); ++i) {
      if (!record_columns_.Owns(i)) stored_.push_back({i, schema_->field(i).type.id});
    }
  }

  RowBatch Decode(const RawRecords& records, bool keep_bad_rows,
                  std::vector<BadRecord>* bad) override;

 private:
  struct Stored {
    size_t column;
    TypeId type;
  };
  using Columns = std::vector<std::shared_ptr<Column>>;

  Columns MakeColumns(const RawRecords& records) const;
  // Fills row `row`; false, with `bad` filled, for a record that gives none or not all of its
  // cells.
  bool DecodeRecord(const RawRecord& record, const Columns& columns, size_t row,
                    BadRecord* bad) const;
  void StoreNulls(const Columns& columns, size_t row) const;
  bool Damaged(const Columns& columns, size_t row, BadRecord* bad) const;

  const std::shared_ptr<const Schema> schema_;
  const size_t max_record_bytes_;
  const RecordColumns record_columns_;
  std::vector<Stored> stored_;
};

RowDecoder::Columns RowDecoder::MakeColumns(const RawRecords& records) const {
  Columns columns;
  for (size_t i = 0; i < schema_->size(); ++i) {
    auto column = std::make_shared<Column>(schema_->field(i).type, records.records.size());
    if (column->type().is_text() && !record_columns_.Owns(i)) column->AddStorage(records.owner);
    columns.push_back(std::move(column));
  }
  return columns;
}

RowBatch RowDecoder::Decode(const RawRecords& records, bool keep_bad_rows,
                            std::vector<BadRecord>* bad) {
  Columns columns = MakeColumns(records);
  auto source_records = std::make_shared<std::vector<uint32_t>>();
  source_records->reserve(records.records.size());
  for (uint32_t i = 0; i < records.records.size(); ++i) {
    const size_t row = source_records->size();
    BadRecord problem;
    if (!DecodeRecord(records.records[i], columns, row, &problem)) {
      problem.index = i;
      bad->push_back(std::move(problem));
      if (!keep_bad_rows) {
        for (const Stored& stored : stored_) columns[stored.column]->SetNotNull(row);
        continue;
      }
    }
    source_records->push_back(i);
  }
  const size_t rows = source_records->size();
  record_columns_.Fill(records, *source_records, std::make_shared<Arena>(), columns);
  std::vector<ColumnPtr> done;
  done.reserve(columns.size());
  for (std::shared_ptr<Column>& column : columns) {
    column->Truncate(rows);
    done.push_back(std::move(column));
  }
  RowBatch batch(schema_, std::move(done), rows);
  batch.set_origin(&records, std::move(source_records));
  return batch;
}

bool RowDecoder::DecodeRecord(const RawRecord& record, const Columns& columns, size_t row,
                              BadRecord* bad) const {
  if (!record.has_value || record.value.size() > max_record_bytes_) [[unlikely]] {
    StoreNulls(columns, row);
    *bad = record.has_value ? BadRecord{0, BadReason::kTooLarge,
                                        fmt::format("the row has {} bytes; the limit is {}",
                                                    record.value.size(), max_record_bytes_)}
                            : BadRecord{0, BadReason::kNullValue, "the record has no value"};
    return false;
  }
  Cursor cursor(record.value);
  if (!cursor.Skip((stored_.size() + 3) / 4)) return Damaged(columns, row, bad);
  bool good = true;
  for (size_t i = 0; i < stored_.size(); ++i) {
    Column* const column = columns[stored_[i].column].get();
    const auto states = static_cast<unsigned char>(record.value[i / 4]);
    const auto state = static_cast<CellState>(states >> (i % 4 * 2) & 3);
    if (state == CellState::kValue) [[likely]] {
      if (!TakeValue(&cursor, stored_[i].type, column, row)) return Damaged(columns, row, bad);
      continue;
    }
    StoreNull(column, row);
    if (state == CellState::kNull) continue;
    if (good) {
      const Field& field = schema_->field(stored_[i].column);
      *bad = {0, BadReason::kOutOfRange,
              fmt::format("column '{}': a value that {} cannot hold", field.name,
                          field.type.ToString())};
    }
    good = false;
  }
  return cursor.at_end() ? good : Damaged(columns, row, bad);
}

bool RowDecoder::Damaged(const Columns& columns, size_t row, BadRecord* bad) const {
  StoreNulls(columns, row);
  *bad = {0, BadReason::kParseError, "these bytes are no row of this schema"};
  return false;
}

void RowDecoder::StoreNulls(const Columns& columns, size_t row) const {
  for (const Stored& stored : stored_) StoreNull(columns[stored.column].get(), row);
}

}  // namespace

std::vector<Field> StoredFields(const Schema& schema) {
  std::vector<Field> fields;
  for (const Field& field : schema.fields()) {
    bool around = false;
    for (const Field& known : KafkaColumns()) around |= field.hidden && known.name == field.name;
    if (!around) fields.push_back(field);
  }
  return fields;
}

absl::StatusOr<std::unique_ptr<Decoder>> MakeRowDecoder(const FormatSpec& spec) {
  absl::StatusOr<RecordColumns> record_columns = RecordColumns::Find(spec.schema);
  if (!record_columns.ok()) return record_columns.status();
  return std::make_unique<RowDecoder>(spec, *std::move(record_columns));
}

}  // namespace tidemark
