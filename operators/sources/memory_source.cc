#include "tidemark/operators/sources/memory_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tidemark {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;

}  // namespace

// Bytes that never move. A reader's views stay valid while later records are added behind them.
struct MemoryTopic::Block {
  explicit Block(size_t capacity_in) : bytes(new char[capacity_in]()), capacity(capacity_in) {}
  const std::unique_ptr<char[]> bytes;
  const size_t capacity;
  size_t used = 0;
};

struct MemoryTopic::Record {
  RawRecord raw;
  RecordHeaders headers;
  std::shared_ptr<const Block> block;
};

namespace {

class BlockOwner : public RecordOwner {
 public:
  RecordHeaders Headers(size_t index) const override {
    const auto found = headers_.find(index);
    return found != headers_.end() ? found->second : RecordHeaders{};
  }

  // Blocks of consecutive records are mostly the same one.
  void Keep(const std::shared_ptr<const void>& block) {
    if (blocks_.empty() || blocks_.back() != block) blocks_.push_back(block);
  }
  void SetHeaders(size_t index, const RecordHeaders& headers) {
    if (!headers.empty()) headers_.emplace(index, headers);
  }

 private:
  std::vector<std::shared_ptr<const void>> blocks_;
  std::map<size_t, RecordHeaders> headers_;
};

}  // namespace

MemoryTopic::MemoryTopic(std::string name, int32_t partitions)
    : name_(std::move(name)), partitions_(static_cast<size_t>(partitions)) {}

MemoryTopic::~MemoryTopic() = default;

MemoryTopic::Partition& MemoryTopic::PartitionAt(int32_t partition) {
  const auto index = static_cast<size_t>(partition);
  if (index >= partitions_.size()) partitions_.resize(index + 1);
  return partitions_[index];
}

char* MemoryTopic::Allocate(size_t bytes) {
  if (block_ == nullptr || block_->capacity - block_->used < bytes) {
    block_ = std::make_shared<Block>(std::max(kBlockBytes, bytes));
  }
  char* const begin = block_->bytes.get() + block_->used;
  block_->used += bytes;
  return begin;
}

int64_t MemoryTopic::Append(int32_t partition, std::optional<std::string_view> key,
                            std::optional<std::string_view> value, int64_t timestamp_us,
                            RecordHeaders headers) {
  const std::lock_guard lock(mutex_);
  const size_t key_size = key.has_value() ? key->size() : 0;
  const size_t value_size = value.has_value() ? value->size() : 0;
  char* const bytes = Allocate(key_size + value_size + kRecordPadding);
  if (key_size > 0) std::memcpy(bytes, key->data(), key_size);
  if (value_size > 0) std::memcpy(bytes + key_size, value->data(), value_size);
  Partition& target = PartitionAt(partition);
  target.records.push_back(Record{.raw = {.key = {bytes, key_size},
                                          .value = {bytes + key_size, value_size},
                                          .offset = target.end,
                                          .timestamp_us = timestamp_us,
                                          .has_key = key.has_value(),
                                          .has_value = value.has_value(),
                                          .padded = true},
                                  .headers = std::move(headers),
                                  .block = block_});
  return target.end++;
}

void MemoryTopic::SkipOffsets(int32_t partition, int64_t count) {
  const std::lock_guard lock(mutex_);
  PartitionAt(partition).end += count;
}

void MemoryTopic::AddPartitions(int32_t total) {
  const std::lock_guard lock(mutex_);
  if (total > 0) PartitionAt(total - 1);
}

void MemoryTopic::DropBefore(int32_t partition, int64_t offset) {
  const std::lock_guard lock(mutex_);
  Partition& target = PartitionAt(partition);
  target.begin = std::clamp(offset, target.begin, target.end);
  while (!target.records.empty() && target.records.front().raw.offset < target.begin)
    target.records.pop_front();
}

void MemoryTopic::Recreate() {
  const std::lock_guard lock(mutex_);
  for (Partition& partition : partitions_) partition = Partition();
}

std::vector<AvailableRange> MemoryTopic::Available() const {
  const std::lock_guard lock(mutex_);
  std::vector<AvailableRange> ranges;
  for (size_t p = 0; p < partitions_.size(); ++p) {
    ranges.push_back({{name_, static_cast<int32_t>(p)}, partitions_[p].begin, partitions_[p].end});
  }
  return ranges;
}

absl::StatusOr<std::unique_ptr<MemorySource>> MemorySource::Make(
    std::shared_ptr<MemoryTopic> topic, const MemorySourceOptions& options) {
  absl::StatusOr<StartingPosition> position = ParseStartingOffsets(options.starting_offsets);
  if (!position.ok()) return position.status();
  return std::unique_ptr<MemorySource>(new MemorySource(std::move(topic), *std::move(position)));
}

MemorySource::MemorySource(std::shared_ptr<MemoryTopic> topic, StartingPosition position)
    : topic_(std::move(topic)), position_(std::move(position)) {}

std::string MemorySource::description() const { return fmt::format("Memory[{}]", topic_->name()); }

absl::Status MemorySource::CheckCancelled() const {
  return cancelled_ ? absl::CancelledError("reading was stopped") : absl::OkStatus();
}

absl::Status MemorySource::Open() { return CheckCancelled(); }

absl::StatusOr<Offsets> MemorySource::StartingOffsets() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  return ResolveStartingOffsets(position_, topic_->Available());
}

absl::StatusOr<std::vector<DataLoss>> MemorySource::CheckIdentity(
    const std::map<TopicPartition, LastRecord>& last_records) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  const std::lock_guard lock(topic_->mutex_);
  std::vector<DataLoss> losses;
  for (const auto& [where, last] : last_records) {
    if (last.offset < 0) continue;
    if (where.topic != topic_->name() ||
        static_cast<size_t>(where.partition) >= topic_->partitions_.size()) {
      losses.push_back({where, last.offset + 1, 0, "partition gone"});
      continue;
    }
    const MemoryTopic::Partition& partition =
        topic_->partitions_[static_cast<size_t>(where.partition)];
    if (last.offset < partition.begin) continue;
    const auto found =
        std::lower_bound(partition.records.begin(), partition.records.end(), last.offset,
                         [](const MemoryTopic::Record& record, int64_t offset) {
                           return record.raw.offset < offset;
                         });
    const bool here = found != partition.records.end() && found->raw.offset == last.offset;
    const bool same =
        here && found->raw.timestamp_us == last.timestamp_us && RecordHash(found->raw) == last.hash;
    if (last.offset >= partition.end || (here && !same)) {
      losses.push_back({where, last.offset + 1, partition.begin, "topic re-created"});
    }
  }
  return losses;
}

absl::StatusOr<std::vector<AvailableRange>> MemorySource::Available() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  return topic_->Available();
}

absl::Status MemorySource::StartRead(const std::vector<PlannedRange>& ranges) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  ranges_.clear();
  const std::lock_guard lock(topic_->mutex_);
  for (const PlannedRange& planned : ranges) {
    if (planned.start >= planned.end) continue;
    const int32_t partition = planned.partition.partition;
    if (planned.partition.topic != topic_->name() ||
        static_cast<size_t>(partition) >= topic_->partitions_.size()) {
      losses_.push_back({planned.partition, planned.start, planned.end, "partition gone"});
      continue;
    }
    ranges_.push_back({.partition = partition, .next = planned.start, .end = planned.end});
  }
  return absl::OkStatus();
}

void MemorySource::NoteLosses(Range& range, const MemoryTopic::Partition& partition) {
  const TopicPartition where{topic_->name(), range.partition};
  if (range.next < partition.begin) {
    losses_.push_back({where, range.next, partition.begin, "offsets aged out"});
    range.next = partition.begin;
  }
  if (range.end > partition.end) {
    losses_.push_back({where, std::max(range.next, partition.end), range.end, "log ends before"});
    range.end = partition.end;
  }
}

RawRecords MemorySource::NextChunk(Range& range) {
  const std::lock_guard lock(topic_->mutex_);
  const MemoryTopic::Partition& partition =
      topic_->partitions_[static_cast<size_t>(range.partition)];
  NoteLosses(range, partition);
  RawRecords chunk;
  chunk.topic = topic_->name();
  chunk.partition = range.partition;
  chunk.chunk_index = range.chunk_index++;
  auto owner = std::make_shared<BlockOwner>();
  auto record = std::lower_bound(
      partition.records.begin(), partition.records.end(), range.next,
      [](const MemoryTopic::Record& stored, int64_t offset) { return stored.raw.offset < offset; });
  for (; record != partition.records.end() && record->raw.offset < range.end && !ChunkIsFull(chunk);
       ++record) {
    owner->Keep(record->block);
    owner->SetHeaders(chunk.records.size(), record->headers);
    chunk.records.push_back(record->raw);
    chunk.bytes += record->raw.key.size() + record->raw.value.size();
  }
  const bool more = record != partition.records.end() && record->raw.offset < range.end;
  range.next = more ? record->raw.offset : range.end;
  chunk.owner = std::move(owner);
  return chunk;
}

absl::StatusOr<std::optional<RawRecords>> MemorySource::Read(absl::Duration /*timeout*/) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  while (!ranges_.empty()) {
    RawRecords chunk = NextChunk(ranges_.front());
    if (ranges_.front().next >= ranges_.front().end) ranges_.pop_front();
    if (!chunk.records.empty()) return std::optional<RawRecords>(std::move(chunk));
  }
  return std::optional<RawRecords>(EndOfRanges());
}

void MemorySource::StopRead() { ranges_.clear(); }

std::vector<DataLoss> MemorySource::TakeLosses() { return std::exchange(losses_, {}); }

}  // namespace tidemark
