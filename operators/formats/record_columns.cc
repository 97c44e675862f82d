#include "tidemark/operators/formats/record_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "tidemark/operators/formats/format.h"
#include "tidemark/operators/formats/utf8_repair.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

// The places in KafkaColumns().
enum KafkaColumn : size_t { kKey, kTopic, kPartition, kOffset, kTimestamp, kHeaders };

Field HiddenField(std::string name, DataType type) {
  Field field;
  field.name = std::move(name);
  field.type = type;
  field.hidden = true;
  return field;
}

void FillKeys(const RawRecords& records, const std::vector<uint32_t>& rows, Arena* arena,
              Column* column) {
  std::string_view* keys = column->mutable_values<std::string_view>();
  for (size_t row = 0; row < rows.size(); ++row) {
    const RawRecord& record = records.records[rows[row]];
    if (record.has_key) {
      keys[row] = arena->Copy(record.key);
    } else {
      column->SetNull(row);
    }
  }
}

void FillTimestamps(const RawRecords& records, const std::vector<uint32_t>& rows, Column* column) {
  int64_t* times = column->mutable_values<int64_t>();
  for (size_t row = 0; row < rows.size(); ++row) {
    times[row] = records.records[rows[row]].timestamp_us;
    if (times[row] == RawRecord::kNoTimestamp) column->SetNull(row);
  }
}

void FillOffsets(const RawRecords& records, const std::vector<uint32_t>& rows, Column* column) {
  int64_t* offsets = column->mutable_values<int64_t>();
  for (size_t row = 0; row < rows.size(); ++row) offsets[row] = records.records[rows[row]].offset;
}

void FillHeaders(const RawRecords& records, const std::vector<uint32_t>& rows, Arena* arena,
                 Column* column) {
  std::string_view* texts = column->mutable_values<std::string_view>();
  std::string json;
  for (size_t row = 0; row < rows.size(); ++row) {
    json.assign(1, '{');
    for (const auto& [name, value] : records.Headers(rows[row])) {
      if (json.size() > 1) json += ',';
      AppendJsonString(RepairUtf8(name), &json);
      json += ':';
      if (value.has_value()) {
        AppendJsonString(RepairUtf8(*value), &json);
      } else {
        json += "null";
      }
    }
    json += '}';
    texts[row] = arena->Copy(json);
  }
}

}  // namespace

const std::vector<Field>& KafkaColumns() {
  static const std::vector<Field> columns = {
      HiddenField("kafka_key", DataType::Bytes()),
      HiddenField("kafka_topic", DataType::String()),
      HiddenField("kafka_partition", DataType::Int32()),
      HiddenField("kafka_offset", DataType::Int64()),
      HiddenField("kafka_timestamp", DataType::Timestamp()),
      HiddenField("kafka_headers", DataType::String()),
  };
  return columns;
}

absl::StatusOr<RecordColumns> RecordColumns::Find(const Schema& schema) {
  const std::vector<Field>& known = KafkaColumns();
  RecordColumns result;
  for (size_t i = 0; i < schema.size(); ++i) {
    const Field& field = schema.field(i);
    const auto column =
        std::ranges::find_if(known, [&](const Field& k) { return k.name == field.name; });
    if (!field.hidden || column == known.end()) continue;
    if (field.type != column->type) {
      return absl::InvalidArgumentError(fmt::format("the hidden column '{}' is {}, not {}",
                                                    field.name, column->type.ToString(),
                                                    field.type.ToString()));
    }
    result.sources_.push_back({i, static_cast<size_t>(column - known.begin())});
  }
  return result;
}

bool RecordColumns::Owns(size_t field) const {
  return std::ranges::any_of(sources_, [&](const Source& s) { return s.field == field; });
}

void RecordColumns::Fill(const RawRecords& records, const std::vector<uint32_t>& rows,
                         const std::shared_ptr<Arena>& arena,
                         const std::vector<std::shared_ptr<Column>>& columns) const {
  for (const Source& source : sources_) {
    Column* column = columns[source.field].get();
    if (column->type().is_text()) column->AddStorage(arena);
    switch (source.kafka_column) {
      case kKey:
        FillKeys(records, rows, arena.get(), column);
        break;
      case kTopic:
        std::fill_n(column->mutable_values<std::string_view>(), rows.size(),
                    arena->Copy(records.topic));
        break;
      case kPartition:
        std::fill_n(column->mutable_values<int32_t>(), rows.size(), records.partition);
        break;
      case kOffset:
        FillOffsets(records, rows, column);
        break;
      case kTimestamp:
        FillTimestamps(records, rows, column);
        break;
      case kHeaders:
        FillHeaders(records, rows, arena.get(), column);
        break;
    }
  }
}

}  // namespace tidemark
