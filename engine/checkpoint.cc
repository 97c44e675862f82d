#include "tidemark/engine/checkpoint.h"

#include <fmt/format.h>

#include <utility>

#include "tidemark/engine/text_rows.h"

namespace tidemark {
namespace {

// Meta rows. Partitions have a row each, so that a commit writes only those that moved;
// `partitions` lists them all and changes only when one appears.
constexpr std::string_view kQueryRow = "query";
constexpr std::string_view kFingerprintRow = "fingerprint";
constexpr std::string_view kProgressRow = "progress";
constexpr std::string_view kPartitionsRow = "partitions";
constexpr std::string_view kPlanRow = "plan";
// The committed batch and its plan's hash.
constexpr std::string_view kCommittedRow = "committed_plan";
// Only of sources that need them.
constexpr std::string_view kPlanRecordsRow = "plan_records";
constexpr std::string_view kSourceStateRow = "source_state";

// State rows of the source: this, then the source's key. Tables have 0, 2^31 and 2^30 there
// (state_codec.h).
constexpr std::string_view kSourceRows("\x20\0\0\0", 4);
constexpr std::string_view kAfterSourceRows("\x20\0\0\1", 4);

std::string SourceRow(std::string_view key) { return std::string(kSourceRows).append(key); }

struct NoteRow {
  std::string_view name;
  std::string CheckpointNotes::*text;
};
constexpr NoteRow kNoteRows[] = {{"state_schema", &CheckpointNotes::state_schema},
                                 {"source", &CheckpointNotes::source},
                                 {"sink", &CheckpointNotes::sink}};

std::string PartitionRow(const TopicPartition& partition) {
  return fmt::format("partition/{}/{}", TextWord(partition.topic), partition.partition);
}

std::string EncodeProgress(const QueryProgress& progress) {
  return fmt::format("progress 1 {} {} {} {}\n", progress.epoch, progress.batch_id,
                     progress.late_watermark_us, progress.watermark_us);
}

std::string EncodePartitions(const std::map<TopicPartition, PartitionProgress>& partitions) {
  std::string text;
  for (const auto& [partition, ignored] : partitions)
    text += fmt::format("{} {}\n", TextWord(partition.topic), partition.partition);
  return text;
}

std::string EncodePartition(const PartitionProgress& partition) {
  return fmt::format("{} {} {} {} {}\n", partition.next_offset, partition.last.offset,
                     partition.last.timestamp_us, partition.last.hash, partition.max_event_time_us);
}

absl::StatusOr<PartitionProgress> DecodePartition(std::string_view text) {
  TextRows rows(text, "a partition's offsets");
  TextRow row = rows.Next();
  PartitionProgress partition;
  partition.next_offset = row.Int();
  partition.last.offset = row.Int();
  partition.last.timestamp_us = row.Int();
  partition.last.hash = row.Unsigned();
  partition.max_event_time_us = row.Int();
  if (absl::Status status = rows.Check(EncodePartition(partition)); !status.ok()) return status;
  return partition;
}

std::string EncodeCommitted(int64_t batch_id, uint64_t plan_hash) {
  return fmt::format("{} {}\n", batch_id, plan_hash);
}

absl::Status Damaged(std::string_view row) {
  return absl::DataLossError(fmt::format(
      "the checkpoint is damaged: its row '{}' is missing or empty; restore the checkpoint "
      "folder or start with a new one",
      row));
}

}  // namespace

absl::StatusOr<bool> Checkpoint::Load() {
  absl::StatusOr<std::optional<std::string>> query = store_->GetMeta(kQueryRow);
  if (!query.ok()) return query.status();
  if (!query->has_value()) return false;
  if ((*query)->empty()) return Damaged(kQueryRow);
  progress_.query_id = **query;

  std::map<std::string_view, std::string> rows;
  for (std::string_view name : {kFingerprintRow, kProgressRow, kPartitionsRow}) {
    absl::StatusOr<std::optional<std::string>> row = store_->GetMeta(name);
    if (!row.ok()) return row.status();
    if (!row->has_value()) return Damaged(name);
    rows[name] = std::move(**row);
  }
  fingerprint_ = rows[kFingerprintRow];

  TextRows progress(rows[kProgressRow], "the committed progress");
  TextRow line = progress.Next();
  line.Word("progress");
  line.Constant(1);
  progress_.epoch = line.Int();
  progress_.batch_id = line.Int();
  progress_.late_watermark_us = line.Int();
  progress_.watermark_us = line.Int();
  // The next batch has a number, too.
  const bool in_order = progress_.epoch >= 0 && progress_.batch_id >= -1 &&
                        progress_.batch_id < INT64_MAX &&
                        progress_.late_watermark_us <= progress_.watermark_us;
  absl::Status status = progress.Check(in_order ? EncodeProgress(progress_) : "");
  if (!status.ok()) return status;

  TextRows partitions(rows[kPartitionsRow], "the list of partitions");
  while (partitions.more()) {
    line = partitions.Next();
    std::string topic = line.Text();
    progress_.partitions[{std::move(topic), line.Partition()}] = {};
  }
  status = partitions.Check(EncodePartitions(progress_.partitions));
  if (!status.ok()) return status;
  for (auto& [partition, state] : progress_.partitions) {
    absl::StatusOr<std::optional<std::string>> row = store_->GetMeta(PartitionRow(partition));
    if (!row.ok()) return row.status();
    if (!row->has_value()) return Damaged(PartitionRow(partition));
    absl::StatusOr<PartitionProgress> decoded = DecodePartition(**row);
    if (!decoded.ok()) return decoded.status();
    state = *decoded;
  }

  absl::StatusOr<std::optional<std::string>> plan = store_->GetMeta(kPlanRow);
  if (!plan.ok()) return plan.status();
  if (plan->has_value()) {
    absl::StatusOr<BatchPlan> decoded = BatchPlan::Decode(**plan);
    if (!decoded.ok()) return decoded.status();
    if (decoded->batch_id == progress_.batch_id + 1) pending_ = *std::move(decoded);
  }
  absl::StatusOr<std::optional<std::string>> committed = store_->GetMeta(kCommittedRow);
  if (!committed.ok()) return committed.status();
  if (committed->has_value()) {
    TextRows lines(**committed, "the committed plan");
    TextRow words = lines.Next();
    const int64_t batch_id = words.Int();
    const uint64_t hash = words.Unsigned();
    status = lines.Check(EncodeCommitted(batch_id, hash));
    if (!status.ok()) return status;
    // A version that does not write it may have gone on since.
    if (batch_id == progress_.batch_id) committed_hash_ = hash;
  }
  absl::StatusOr<std::optional<std::string>> state = store_->GetMeta(kSourceStateRow);
  if (!state.ok()) return state.status();
  progress_.source_state = std::move(*state).value_or("");
  absl::StatusOr<std::optional<std::string>> records = store_->GetMeta(kPlanRecordsRow);
  if (!records.ok()) return records.status();
  logged_records_ = std::move(*records).value_or("");
  for (const NoteRow& note : kNoteRows) {
    absl::StatusOr<std::optional<std::string>> text = store_->GetMeta(note.name);
    if (!text.ok()) return text.status();
    stored_notes_.*note.text = std::move(*text).value_or("");
  }
  notes_ = stored_notes_;
  return true;
}

absl::Status Checkpoint::Create(const std::string& query_id, const std::string& fingerprint,
                                const Offsets& starting_offsets) {
  QueryProgress progress;
  progress.query_id = query_id;
  for (const auto& [partition, offset] : starting_offsets)
    progress.partitions[partition].next_offset = offset;
  std::unique_ptr<StoreWrites> writes = store_->NewWrites();
  writes->PutMeta(kQueryRow, query_id);
  writes->PutMeta(kFingerprintRow, fingerprint);
  writes->PutMeta(kPartitionsRow, "");
  if (absl::Status status = Commit(progress, std::move(writes)); !status.ok()) return status;
  fingerprint_ = fingerprint;
  return absl::OkStatus();
}

absl::StatusOr<SourceState> Checkpoint::ReadSourceState() const {
  SourceState state;
  state.head = progress_.source_state;
  const std::unique_ptr<StateCursor> rows = store_->NewStateCursor(kSourceRows, kAfterSourceRows);
  while (true) {
    const absl::StatusOr<bool> found = rows->Next();
    if (!found.ok()) return found.status();
    if (!*found) return state;
    state.rows.emplace_back(rows->key().substr(kSourceRows.size()), rows->value());
  }
}

void Checkpoint::ChangeSourceRows(const SourceStateChange& change, StoreWrites* writes) {
  if (change.remove_begin < change.remove_end) {
    writes->DeleteStateRange(SourceRow(change.remove_begin), SourceRow(change.remove_end));
  }
  for (const auto& [key, value] : change.added) writes->PutState(SourceRow(key), value);
}

absl::Status Checkpoint::BeginEpoch(int64_t epoch) {
  QueryProgress progress = progress_;
  progress.epoch = epoch;
  std::unique_ptr<StoreWrites> writes = store_->NewWrites();
  writes->DeleteMeta(kPlanRow);
  writes->DeleteMeta(kPlanRecordsRow);
  absl::Status status = Commit(progress, std::move(writes));
  if (status.ok()) logged_records_.clear();
  return status;
}

absl::StatusOr<bool> Checkpoint::HasPlan() const {
  const absl::StatusOr<std::optional<std::string>> plan = store_->GetMeta(kPlanRow);
  if (!plan.ok()) return plan.status();
  return plan->has_value();
}

absl::Status Checkpoint::LogPlan(const BatchPlan& plan, const std::string& records) {
  std::unique_ptr<StoreWrites> writes = store_->NewWrites();
  writes->PutMeta(kPlanRow, plan.Encode());
  if (records != logged_records_) writes->PutMeta(kPlanRecordsRow, records);
  if (absl::Status status = store_->Commit(std::move(writes)); !status.ok()) return status;
  pending_ = plan;
  logged_records_ = records;
  return absl::OkStatus();
}

absl::Status Checkpoint::Commit(const QueryProgress& progress,
                                std::unique_ptr<StoreWrites> writes) {
  if (writes == nullptr) writes = store_->NewWrites();
  writes->PutMeta(kProgressRow, EncodeProgress(progress));
  bool new_partition = false;
  for (const auto& [partition, state] : progress.partitions) {
    const auto known = progress_.partitions.find(partition);
    if (known != progress_.partitions.end() && known->second == state) continue;
    new_partition |= known == progress_.partitions.end();
    writes->PutMeta(PartitionRow(partition), EncodePartition(state));
  }
  if (new_partition) writes->PutMeta(kPartitionsRow, EncodePartitions(progress.partitions));
  if (progress.source_state != progress_.source_state)
    writes->PutMeta(kSourceStateRow, progress.source_state);
  for (const NoteRow& note : kNoteRows) {
    if (notes_.*note.text != stored_notes_.*note.text) {
      writes->PutMeta(note.name, notes_.*note.text);
    }
  }
  std::optional<uint64_t> hash;
  if (pending_.has_value() && pending_->batch_id == progress.batch_id) {
    hash = pending_->Hash();
    writes->PutMeta(kCommittedRow, EncodeCommitted(progress.batch_id, *hash));
  }
  if (absl::Status status = store_->Commit(std::move(writes)); !status.ok()) return status;
  if (hash.has_value()) committed_hash_ = hash;
  progress_ = progress;
  stored_notes_ = notes_;
  pending_.reset();
  return absl::OkStatus();
}

}  // namespace tidemark
