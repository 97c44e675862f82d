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
// Only of sources that need them.
constexpr std::string_view kPlanRecordsRow = "plan_records";
constexpr std::string_view kSourceStateRow = "source_state";

std::string PartitionRow(const TopicPartition& partition) {
  return fmt::format("partition/{}/{}", partition.topic, partition.partition);
}

std::string EncodeProgress(const QueryProgress& progress) {
  return fmt::format("progress 1 {} {} {} {}\n", progress.epoch, progress.batch_id,
                     progress.late_watermark_us, progress.watermark_us);
}

std::string EncodePartitions(const std::map<TopicPartition, PartitionProgress>& partitions) {
  std::string text;
  for (const auto& [partition, ignored] : partitions)
    text += fmt::format("{} {}\n", partition.topic, partition.partition);
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
  if (absl::Status status = rows.Check(); !status.ok()) return status;
  return partition;
}

absl::Status Damaged(std::string_view row) {
  return absl::DataLossError(
      fmt::format("the checkpoint is damaged: its row '{}' is missing; restore the checkpoint "
                  "folder or start with a new one",
                  row));
}

}  // namespace

absl::StatusOr<bool> Checkpoint::Load() {
  absl::StatusOr<std::optional<std::string>> query = store_->GetMeta(kQueryRow);
  if (!query.ok()) return query.status();
  if (!query->has_value()) return false;
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
  if (absl::Status status = progress.Check(); !status.ok()) return status;

  TextRows partitions(rows[kPartitionsRow], "the list of partitions");
  while (partitions.more()) {
    line = partitions.Next();
    TopicPartition partition{line.Text(), static_cast<int32_t>(line.Int())};
    if (absl::Status status = partitions.Check(); !status.ok()) return status;
    absl::StatusOr<std::optional<std::string>> row = store_->GetMeta(PartitionRow(partition));
    if (!row.ok()) return row.status();
    if (!row->has_value()) return Damaged(PartitionRow(partition));
    absl::StatusOr<PartitionProgress> decoded = DecodePartition(**row);
    if (!decoded.ok()) return decoded.status();
    progress_.partitions[std::move(partition)] = *decoded;
  }

  absl::StatusOr<std::optional<std::string>> plan = store_->GetMeta(kPlanRow);
  if (!plan.ok()) return plan.status();
  if (plan->has_value()) {
    absl::StatusOr<BatchPlan> decoded = BatchPlan::Decode(**plan);
    if (!decoded.ok()) return decoded.status();
    if (decoded->batch_id == progress_.batch_id + 1) pending_ = *std::move(decoded);
  }
  absl::StatusOr<std::optional<std::string>> state = store_->GetMeta(kSourceStateRow);
  if (!state.ok()) return state.status();
  progress_.source_state = std::move(*state).value_or("");
  absl::StatusOr<std::optional<std::string>> records = store_->GetMeta(kPlanRecordsRow);
  if (!records.ok()) return records.status();
  logged_records_ = std::move(*records).value_or("");
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
  progress_.query_id = query_id;
  fingerprint_ = fingerprint;
  return Commit(progress, std::move(writes));
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
  if (absl::Status status = store_->Commit(std::move(writes)); !status.ok()) return status;
  progress_ = progress;
  pending_.reset();
  return absl::OkStatus();
}

}  // namespace tidemark
