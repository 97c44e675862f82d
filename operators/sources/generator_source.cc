#include "tidemark/operators/sources/generator_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tidemark {
namespace {

class BufferOwner : public RecordOwner {
 public:
  std::string bytes;
};

}  // namespace

LastRecord LastGeneratedRecord(RecordGenerator generator, uint64_t seed, int32_t partition,
                               int64_t offset) {
  const GeneratedRecord made = generator(seed, partition, offset);
  RawRecord raw;
  raw.value = made.value;
  raw.has_value = true;
  if (made.key.has_value()) raw.key = *made.key;
  raw.has_key = made.key.has_value();
  return {.offset = offset, .timestamp_us = made.timestamp_ms * 1000, .hash = RecordHash(raw)};
}

GeneratorSource::GeneratorSource(GeneratorSourceOptions options) : options_(std::move(options)) {}

std::string GeneratorSource::description() const {
  return fmt::format("Generator[{}]", options_.topic);
}

absl::Status GeneratorSource::CheckCancelled() const {
  return cancelled_ ? absl::CancelledError("reading was stopped") : absl::OkStatus();
}

absl::Status GeneratorSource::Open() {
  if (options_.generator == nullptr)
    return absl::InvalidArgumentError("generator source: no generator given");
  return CheckCancelled();
}

absl::StatusOr<std::vector<AvailableRange>> GeneratorSource::Available() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  std::vector<AvailableRange> ranges;
  for (int32_t p = 0; p < options_.partitions; ++p) {
    ranges.push_back({{options_.topic, p}, 0, options_.rows_per_partition});
  }
  return ranges;
}

absl::StatusOr<Offsets> GeneratorSource::StartingOffsets() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  Offsets offsets;
  for (int32_t p = 0; p < options_.partitions; ++p) offsets[{options_.topic, p}] = 0;
  return offsets;
}

absl::StatusOr<std::vector<DataLoss>> GeneratorSource::CheckIdentity(
    const std::map<TopicPartition, LastRecord>& last_records) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  std::vector<DataLoss> losses;
  for (const auto& [where, last] : last_records) {
    if (last.offset < 0) continue;
    if (where.topic != options_.topic || where.partition >= options_.partitions) {
      losses.push_back({where, last.offset + 1, 0, "partition gone"});
    } else if (last.offset >= options_.rows_per_partition ||
               LastGeneratedRecord(options_.generator, options_.seed, where.partition,
                                   last.offset) != last) {
      losses.push_back({where, last.offset + 1, 0, "topic re-created"});
    }
  }
  return losses;
}

absl::Status GeneratorSource::StartRead(const std::vector<PlannedRange>& ranges) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  ranges_.clear();
  for (PlannedRange planned : ranges) {
    const bool there = planned.partition.topic == options_.topic &&
                       planned.partition.partition < options_.partitions;
    const int64_t end = there ? std::min(planned.end, options_.rows_per_partition) : planned.start;
    if (end < planned.end) {
      losses_.push_back({planned.partition, std::max(end, planned.start), planned.end,
                         there ? "log ends before" : "partition gone"});
    }
    planned.end = end;
    if (planned.start < planned.end) ranges_.push_back({.planned = planned, .next = planned.start});
  }
  return absl::OkStatus();
}

RawRecords GeneratorSource::NextChunk(Range& range) const {
  RawRecords chunk;
  chunk.topic = options_.topic;
  chunk.partition = range.planned.partition.partition;
  chunk.chunk_index = range.chunk_index++;
  const size_t most =
      std::min(kMaxChunkRecords, static_cast<size_t>(range.planned.end - range.next));
  chunk.records.reserve(most);
  std::vector<std::pair<size_t, size_t>>
      sizes;  // of key and value; their place is known when all are made
  sizes.reserve(most);
  auto owner = std::make_shared<BufferOwner>();
  for (; range.next < range.planned.end && !ChunkIsFull(chunk); ++range.next) {
    const GeneratedRecord made = options_.generator(options_.seed, chunk.partition, range.next);
    const std::string_view key =
        made.key.has_value() ? std::string_view(*made.key) : std::string_view();
    owner->bytes += key;
    owner->bytes += made.value;
    sizes.emplace_back(key.size(), made.value.size());
    chunk.bytes += key.size() + made.value.size();
    RawRecord& record = chunk.records.emplace_back();
    record.offset = range.next;
    record.timestamp_us = made.timestamp_ms * 1000;
    record.has_key = made.key.has_value();
    record.has_value = true;
    record.padded = true;
  }
  owner->bytes.append(kRecordPadding, '\0');
  const char* at = owner->bytes.data();
  for (size_t i = 0; i < sizes.size(); ++i) {
    chunk.records[i].key = {at, sizes[i].first};
    chunk.records[i].value = {at + sizes[i].first, sizes[i].second};
    at += sizes[i].first + sizes[i].second;
  }
  chunk.owner = std::move(owner);
  return chunk;
}

absl::StatusOr<std::optional<RawRecords>> GeneratorSource::Read(absl::Duration /*timeout*/) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  if (ranges_.empty()) return std::optional<RawRecords>(EndOfRanges());
  RawRecords chunk = NextChunk(ranges_.front());
  if (ranges_.front().next >= ranges_.front().planned.end) ranges_.pop_front();
  return std::optional<RawRecords>(std::move(chunk));
}

void GeneratorSource::StopRead() { ranges_.clear(); }

std::vector<DataLoss> GeneratorSource::TakeLosses() { return std::exchange(losses_, {}); }

}  // namespace tidemark
