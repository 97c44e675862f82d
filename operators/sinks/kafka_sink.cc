#include "tidemark/operators/sinks/kafka_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sinks/sink_columns.h"

namespace tidemark {
namespace {

// What the marker's offset does not say.
std::string MarkerText(const SinkMarker& marker) {
  return fmt::format("tidemark 1 epoch={} plan={:016x} rows={} hash={:016x}", marker.epoch,
                     marker.plan_hash, marker.row_count, marker.rows_hash);
}

absl::Status OfKey(const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("the key: {}", std::string(status.message())));
}

}  // namespace

KafkaSink::KafkaSink(KafkaSinkOptions options) : options_(std::move(options)) {}
KafkaSink::~KafkaSink() = default;

std::string KafkaSink::description() const { return fmt::format("Kafka[{}]", options_.topic); }

absl::Status KafkaSink::Open(const SinkContext& context) {
  if (options_.brokers.empty() || options_.topic.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("a Kafka sink needs brokers and a topic: got '{}' and '{}'", options_.brokers,
                    options_.topic));
  }
  absl::Status status = PlanColumns(context);
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Encoder>> encoder = MakeEncoder(options_.format, *value_schema_);
  if (!encoder.ok()) return encoder.status();
  encoder_ = *std::move(encoder);
  key_encoder_.reset();
  if (options_.key_format.has_value()) {
    encoder = MakeEncoder(*options_.key_format, *key_schema_);
    if (!encoder.ok()) return OfKey(encoder.status());
    key_encoder_ = *std::move(encoder);
  }
  if (transactions_ == nullptr) {
    absl::StatusOr<std::unique_ptr<KafkaTransactions>> made = KafkaTransactions::Make(
        {.connection = {.brokers = options_.brokers, .properties = options_.properties},
         .topic = options_.topic,
         .id = fmt::format("tidemark-sink-{}-{}", context.query_id, context.sink)});
    if (!made.ok()) return made.status();
    const std::lock_guard lock(mutex_);
    transactions_ = *std::move(made);
    if (cancelled_) transactions_->Cancel();
  }
  if (options_.create_topic) status = transactions_->CreateTopic(options_.partitions);
  return status.ok() ? Ready() : status;
}

absl::Status KafkaSink::PlanColumns(const SinkContext& context) {
  context_ = context;
  delete_when_.reset();
  key_columns_.clear();
  value_columns_.clear();
  if (!options_.delete_when_column.empty()) {
    const auto column =
        FindColumn(context.schema, options_.delete_when_column, "column of deletes");
    if (!column.ok()) return column.status();
    if (context.schema.field(*column).type != DataType::Bool()) {
      return absl::InvalidArgumentError(
          fmt::format("the column of deletes {} is {}; it must be bool",
                      options_.delete_when_column, context.schema.field(*column).type.ToString()));
    }
    if (context.key_columns.empty()) {
      return absl::InvalidArgumentError(fmt::format(
          "{} needs key columns to delete by: name them with .Key(...)", description()));
    }
    delete_when_ = *column;
  }
  Schema values;
  for (size_t i = 0; i < context.schema.size(); ++i) {
    const Field& field = context.schema.field(i);
    if (i == delete_when_ || field.hidden) continue;
    values.Add(field);
    value_columns_.push_back(i);
  }
  value_schema_ = std::make_shared<const Schema>(std::move(values));
  Schema keys;
  for (const std::string& name : context.key_columns) {
    const auto column = FindColumn(context.schema, name, "key column");
    if (!column.ok()) return column.status();
    if (std::find(key_columns_.begin(), key_columns_.end(), *column) != key_columns_.end())
      return absl::InvalidArgumentError(fmt::format("the key column {} is named twice", name));
    key_columns_.push_back(*column);
    Field key = context.schema.field(*column);
    key.hidden = false;
    keys.Add(std::move(key));
  }
  if (options_.key_format.has_value() && key_columns_.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "{} was given a format of keys, but no key columns: name them with .Key(...), or "
        "leave out the format (--sink-key-format)",
        description()));
  }
  key_schema_ = std::make_shared<const Schema>(std::move(keys));
  return absl::OkStatus();
}

// Takes over as the producer of this query and sink, and learns what it has written.
absl::Status KafkaSink::Ready() {
  if (transactions_ == nullptr) return absl::InternalError("the Kafka sink is not open");
  if (transactions_->cancelled()) return absl::CancelledError("writing to Kafka was stopped");
  if (transactions_->ready()) return absl::OkStatus();
  held_.reset();
  const absl::StatusOr<std::optional<KafkaGroupOffset>> offset = transactions_->TakeOver();
  if (!offset.ok()) return offset.status();
  if (!offset->has_value()) return absl::OkStatus();
  absl::StatusOr<SinkMarker> marker = ParseMarker(**offset);
  if (!marker.ok()) return marker.status();
  held_ = *std::move(marker);
  return absl::OkStatus();
}

absl::StatusOr<SinkMarker> KafkaSink::ParseMarker(const KafkaGroupOffset& offset) const {
  SinkMarker marker{.query_id = context_.query_id, .sink = context_.sink};
  marker.batch_id = offset.offset - 1;
  const int parsed =
      std::sscanf(offset.metadata.c_str(),
                  "tidemark 1 epoch=%" SCNd64 " plan=%" SCNx64 " rows=%" SCNd64 " hash=%" SCNx64,
                  &marker.epoch, &marker.plan_hash, &marker.row_count, &marker.rows_hash);
  if (parsed == 4 && MarkerText(marker) == offset.metadata) return marker;
  return absl::FailedPreconditionError(
      fmt::format("{}: group tidemark-sink-{}-{} has offset {} with '{}', which this sink has not "
                  "written; whoever did must use another group",
                  description(), context_.query_id, context_.sink, offset.offset, offset.metadata));
}

absl::StatusOr<std::optional<SinkMarker>> KafkaSink::ReadMarker() {
  if (const absl::Status status = Ready(); !status.ok()) return status;
  return held_;
}

absl::Status KafkaSink::WriteMarker(const SinkMarker& marker) {
  if (marker.query_id != context_.query_id || marker.sink != context_.sink) {
    return absl::InternalError(
        fmt::format("a marker of query {}, sink {} was given to query {}, sink {}", marker.query_id,
                    marker.sink, context_.query_id, context_.sink));
  }
  const absl::Status status = Ready();
  if (!status.ok()) return status;
  const absl::StatusOr<bool> holds =
      HoldsBatch(held_, {marker.batch_id, marker.epoch, marker.plan_hash}, description());
  if (!holds.ok()) return holds.status();
  if (*holds) return absl::OkStatus();
  return PutMarker(marker);
}

absl::Status KafkaSink::KeepMarker() {
  const absl::Status status = Ready();
  if (!status.ok() || !held_) return status;
  return PutMarker(SinkMarker(*held_));
}

// A transaction of the marker alone.
absl::Status KafkaSink::PutMarker(const SinkMarker& marker) {
  absl::Status status = transactions_->Begin();
  if (status.ok()) status = transactions_->Commit({marker.batch_id + 1, MarkerText(marker)});
  if (!status.ok()) return transactions_->Abort(status);
  held_ = marker;
  return absl::OkStatus();
}

// A batch that this sink does not hold is the one after the marker's, or repeats what an earlier
// epoch wrote.
absl::Status KafkaSink::CheckFollows(const SinkBatch& batch) const {
  if (held_ && held_->batch_id >= batch.batch_id - 1) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} has lost what it was given: group tidemark-sink-{}-{} holds {}, but batch {} was to be "
      "written (brokers forget groups after offsets.retention.minutes, and with their topic); "
      "start "
      "from a new checkpoint and a new topic",
      description(), context_.query_id, context_.sink,
      held_ ? fmt::format("batch {} of epoch {}", held_->batch_id, held_->epoch) : "nothing",
      batch.batch_id));
}

absl::StatusOr<SinkMarker> KafkaSink::Commit(const SinkBatch& batch, RowStream& rows) {
  absl::Status status = Ready();
  if (!status.ok()) return status;
  const absl::StatusOr<bool> holds = HoldsBatch(held_, batch, description());
  if (!holds.ok()) return holds.status();
  const bool unsure =
      unsure_ && unsure_->epoch == batch.epoch && unsure_->batch_id == batch.batch_id;
  if (*holds) {
    if (unsure) skipped_rows_ += unsure_->rows;
    unsure_.reset();
    return *held_;
  }
  unsure_.reset();
  status = CheckFollows(batch);
  if (status.ok()) status = rows.Rewind();
  if (!status.ok()) return status;
  status = CommitRows(batch, rows);
  if (!status.ok()) return transactions_->Abort(status);
  skipped_rows_ += skipped_in_batch_;
  unsure_.reset();
  return *held_;
}

absl::Status KafkaSink::CommitRows(const SinkBatch& batch, RowStream& rows) {
  absl::Status status = transactions_->Begin();
  if (status.ok()) status = WriteRows(rows);
  if (!status.ok()) return status;
  const SinkMarker marker = MarkerOf(context_, batch, rows);
  unsure_ = {batch.epoch, batch.batch_id, skipped_in_batch_};
  status = transactions_->Commit({marker.batch_id + 1, MarkerText(marker)});
  if (status.ok()) held_ = marker;
  return status;
}

absl::Status KafkaSink::WriteRows(RowStream& rows) {
  row_ = 0;
  skipped_in_batch_ = 0;
  while (true) {
    const absl::StatusOr<const RowBatch*> next = rows.Next();
    if (!next.ok()) return next.status();
    if (*next == nullptr) return absl::OkStatus();
    if (const absl::Status status = WriteBatch(**next); !status.ok()) return status;
  }
}

absl::Status KafkaSink::WriteBatch(const RowBatch& batch) {
  const auto deleted = [&](uint32_t row) {
    const Column& column = batch.column(*delete_when_);
    return !column.IsNull(row) && column.values<uint8_t>()[row] != 0;
  };
  std::vector<ColumnPtr> columns;
  for (const size_t i : value_columns_) columns.push_back(batch.column_ptr(i));
  RowBatch values = batch.WithColumns(value_schema_, std::move(columns));
  if (delete_when_) {
    std::vector<uint32_t> kept;
    batch.selection().ForEach([&](uint32_t row) {
      if (!deleted(row)) kept.push_back(row);
    });
    values.set_selection(Selection::Rows(std::move(kept)));
  }
  values_.clear();
  value_ends_.clear();
  absl::Status status = encoder_->Encode(values, &values_, &value_ends_);
  if (status.ok() && key_encoder_ != nullptr) status = EncodeKeys(batch);
  if (!status.ok()) return status;

  size_t begin = 0;
  auto end = value_ends_.begin();
  size_t key_begin = 0;
  auto key_end = key_ends_.begin();
  const Selection& selected = batch.selection();
  for (size_t i = 0; i < selected.size(); ++i) {
    const uint32_t row = selected[i];
    KafkaTransactions::Bytes value;
    if (!delete_when_ || !deleted(row)) {
      value = std::string_view(values_).substr(begin, *end - begin);
      begin = *end++;
    }
    ++row_;
    const bool null_key = HasNullKey(batch, row);
    if (null_key && options_.on_null_key == KafkaSinkOptions::OnNullKey::kSkip) {
      ++skipped_in_batch_;
      continue;
    }
    if (null_key && (options_.on_null_key == KafkaSinkOptions::OnNullKey::kFail || !value)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: row {} of the batch has a null in its key [{}]{}; filter such rows out, "
                      "or skip them with on_null_key=skip",
                      description(), row_, fmt::join(context_.key_columns, ", "),
                      value ? fmt::format(": {}", value->substr(0, 200)) : ""));
    }
    KafkaTransactions::Bytes key;
    if (key_encoder_ == nullptr) {
      key = KeyText(batch, row);
    } else if (!null_key || !null_makes_no_key()) {
      key = std::string_view(keys_).substr(key_begin, *key_end - key_begin);
      key_begin = *key_end++;
    }
    status = transactions_->Produce(key, value, row_);
    if (!status.ok()) return status;
  }
  return transactions_->Serve();
}

bool KafkaSink::HasNullKey(const RowBatch& batch, uint32_t row) const {
  return std::any_of(key_columns_.begin(), key_columns_.end(),
                     [&](size_t i) { return batch.column(i).IsNull(row); });
}

// Of the rows that are written with a key.
absl::Status KafkaSink::EncodeKeys(const RowBatch& batch) {
  keys_.clear();
  key_ends_.clear();
  std::vector<ColumnPtr> columns;
  for (const size_t i : key_columns_) columns.push_back(batch.column_ptr(i));
  RowBatch keys = batch.WithColumns(key_schema_, std::move(columns));
  if (options_.on_null_key != KafkaSinkOptions::OnNullKey::kNull || null_makes_no_key()) {
    std::vector<uint32_t> kept;
    batch.selection().ForEach([&](uint32_t row) {
      if (!HasNullKey(batch, row)) kept.push_back(row);
    });
    keys.set_selection(Selection::Rows(std::move(kept)));
  }
  const absl::Status status = key_encoder_->Encode(keys, &keys_, &key_ends_);
  return status.ok() ? status : OfKey(status);
}

KafkaTransactions::Bytes KafkaSink::KeyText(const RowBatch& batch, uint32_t row) {
  if (key_columns_.empty()) return std::nullopt;
  key_.clear();
  if (key_columns_.size() == 1) {
    const Column& column = batch.column(key_columns_.front());
    if (column.IsNull(row)) return std::nullopt;
    if (column.type().is_text()) return column.text(row);
    AppendValueText(column, row, &key_);
    return key_;
  }
  char separator = '[';
  for (const size_t i : key_columns_) {
    key_.push_back(std::exchange(separator, ','));
    AppendJsonValue(batch.column(i), row, &key_);
  }
  key_.push_back(']');
  return key_;
}

void KafkaSink::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (transactions_ != nullptr) transactions_->Cancel();
}

int64_t KafkaSink::TakeSkippedRows() { return std::exchange(skipped_rows_, 0); }

}  // namespace tidemark
