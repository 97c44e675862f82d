#include "tidemark/operators/sources/kafka_reader.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <map>
#include <utility>

namespace tidemark {
namespace {

constexpr size_t kBatchMessages = 4096;
constexpr size_t kHandles = 2;
constexpr size_t kMinQueueKbytes = 256;
constexpr size_t kMinFetchBytes = size_t{256} << 10;
constexpr size_t kMaxFetchBytes = size_t{4} << 20;
// A range that begins a little behind what has arrived is reached by dropping records: cheaper than
// a fresh handle.
constexpr int64_t kMaxDropped = 10'000;
constexpr std::chrono::milliseconds kMinWakeInterval{5};
constexpr std::chrono::milliseconds kIdleWakeInterval{100};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kNeighboursArePadding =
    false;  // reading past a value into the next one would be reported
#else
constexpr bool kNeighboursArePadding = true;
#endif
constexpr ptrdiff_t kMaxNeighbourGap = 4096;

// The bytes behind `value` may be read if the next value lies so close behind that every page
// between is one of theirs, and reaches far enough.
bool IsPaddedBy(std::string_view value, std::string_view next) {
  if (!kNeighboursArePadding) return false;
  const char* const end = value.data() + value.size();
  const char* const next_end = next.data() + next.size();
  return next.data() >= end && next.data() - end < kMaxNeighbourGap &&
         next_end - end >= static_cast<ptrdiff_t>(kRecordPadding);
}

// The partition does not exist: what there is of it later may be another topic's.
bool IsMissing(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
         error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

std::string_view View(const void* bytes, size_t size) {
  return {static_cast<const char*>(bytes), bytes != nullptr ? size : 0};
}

}  // namespace

// Keeps a chunk's messages until the last user of its bytes lets go, then frees them all at once.
class KafkaReader::ChunkOwner : public RecordOwner {
 public:
  ChunkOwner() = default;
  ~ChunkOwner() override {
    for (rd_kafka_message_t* message : messages) rd_kafka_message_destroy(message);
  }
  ChunkOwner(const ChunkOwner&) = delete;
  ChunkOwner& operator=(const ChunkOwner&) = delete;

  RecordHeaders Headers(size_t index) const override {
    const std::lock_guard lock(mutex_);  // librdkafka parses them at the first call
    RecordHeaders headers;
    rd_kafka_headers_t* parsed = nullptr;
    if (rd_kafka_message_headers(messages[index], &parsed) != RD_KAFKA_RESP_ERR_NO_ERROR)
      return headers;
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0;
         rd_kafka_header_get_all(parsed, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++i) {
      auto& header = headers.emplace_back(name, std::nullopt);
      if (value != nullptr) header.second = View(value, size);
    }
    return headers;
  }

  std::vector<std::shared_ptr<KafkaHandle>>
      handles;  // whose messages these are; they go after them
  std::vector<rd_kafka_message_t*> messages;

 private:
  mutable std::mutex mutex_;
};

struct KafkaReader::Partition {
  TopicPartition where;
  std::shared_ptr<KafkaHandle> handle;  // shared with the chunks: their bytes are its messages'
  rd_kafka_queue_t* queue = nullptr;
  int64_t arrived = 0;  // librdkafka has given everything below; it is dropped if it comes again
  std::deque<rd_kafka_message_t*> ahead;  // arrived, but past the last range; none while reading

  bool reading = false;
  bool out_of_range = false;
  bool interrupted = false;
  int refused = RD_KAFKA_RESP_ERR_NO_ERROR;  // the broker's last answer: no right to read
  int64_t taken = 0;                         // everything below went out in chunks
  int64_t next = 0;                          // everything below is in a chunk or does not exist
  int64_t end = 0;
  int64_t chunk_index = 0;
  Past past;
  RawRecords chunk;                   // being filled
  std::shared_ptr<ChunkOwner> owner;  // of that chunk; none: no chunk begun
};

KafkaHandle::Options KafkaReader::HandleOptions(const KafkaReaderOptions& options,
                                                size_t partitions) {
  // librdkafka keeps this much for each partition that has a queue of its own.
  const size_t share = options.queue_bytes / std::max<size_t>(partitions, 1);
  const size_t fetch = std::clamp(share / 4, kMinFetchBytes, kMaxFetchBytes);
  return {.defaults = {{"group.id", options.group_id},
                       {"client.id", "tidemark"},
                       {"isolation.level", "read_committed"},
                       {"queued.min.messages", "10000000"},
                       {"queued.max.messages.kbytes",
                        std::to_string(std::max(share >> 10, kMinQueueKbytes))},
                       {"fetch.wait.max.ms", "10"},
                       {"fetch.message.max.bytes", std::to_string(fetch)},
                       {"fetch.error.backoff.ms", "100"},
                       {"reconnect.backoff.ms", "50"},
                       {"reconnect.backoff.max.ms", "1000"},
                       {"topic.metadata.propagation.max.ms", "0"}},
          .fixed = {{"enable.auto.commit", "false"},
                    {"enable.auto.offset.store", "false"},
                    {"enable.partition.eof", "true"},
                    {"auto.offset.reset", "error"}}};
}

KafkaReader::KafkaReader(KafkaReaderOptions options, KafkaClient* client)
    : options_(std::move(options)),
      client_(client),
      batch_(kBatchMessages),
      last_arrival_(Clock::now()) {}

KafkaReader::~KafkaReader() { Disconnect(); }

KafkaReader::Partition* KafkaReader::Find(const TopicPartition& where) const {
  const auto found =
      std::find_if(partitions_.begin(), partitions_.end(),
                   [&where](const auto& partition) { return partition->where == where; });
  return found != partitions_.end() ? found->get() : nullptr;
}

bool KafkaReader::Continues(const std::vector<PlannedRange>& ranges) const {
  if (handles_.empty()) return false;
  if (interrupted().has_value()) return false;
  return std::all_of(ranges.begin(), ranges.end(), [this](const PlannedRange& range) {
    const Partition* const partition = Find(range.partition);
    if (partition == nullptr || partition->out_of_range) return range.start >= range.end;
    return range.start >= partition->next && range.start - partition->next <= kMaxDropped;
  });
}

absl::Status KafkaReader::Start(const std::vector<PlannedRange>& ranges) {
  Stop();
  if (!Continues(ranges)) {
    if (interrupted().has_value()) {  // it has been looked into
      for (const auto& partition : partitions_) partition->interrupted = false;
    } else {
      NoteInterruptions();
    }
    // Partitions read before stay assigned where they are: a later plan may go on with them.
    for (const PlannedRange& range : ranges) {
      if (Find(range.partition) == nullptr) {
        partitions_.push_back(std::make_unique<Partition>());
        partitions_.back()->where = range.partition;
      }
      Partition& partition = *Find(range.partition);
      if (range.start != partition.next) partition.interrupted = false;  // not read on
      partition.next = range.start;
    }
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  for (const PlannedRange& range : ranges) {
    if (range.start < range.end) Begin(*Find(range.partition), range);
  }
  ResetSilence();
  return absl::OkStatus();
}

absl::Status KafkaReader::Connect() {
  Disconnect();
  for (size_t first = 0; first < std::min(kHandles, partitions_.size()); ++first) {
    absl::StatusOr<std::shared_ptr<KafkaHandle>> handle =
        KafkaHandle::Make(KafkaHandle::Kind::kConsumer, options_.connection,
                          HandleOptions(options_, partitions_.size()));
    absl::Status status = handle.status();
    if (status.ok()) {
      handles_.push_back(*std::move(handle));
      status = Assign(first);
    }
    if (!status.ok()) {
      Disconnect();
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status KafkaReader::Assign(size_t first) {
  rd_kafka_topic_partition_list_t* const list =
      rd_kafka_topic_partition_list_new(static_cast<int>(partitions_.size()));
  for (size_t i = first; i < partitions_.size(); i += kHandles) {
    Partition& partition = *partitions_[i];
    partition.handle = handles_.back();
    const char* const topic = partition.where.topic.c_str();
    partition.queue =
        rd_kafka_queue_get_partition(partition.handle->get(), topic, partition.where.partition);
    rd_kafka_queue_forward(partition.queue,
                           nullptr);  // a queue of its own; must come before the assign
    rd_kafka_queue_cb_event_enable(
        partition.queue,
        [](rd_kafka_t*, void* reader) { static_cast<KafkaReader*>(reader)->Wake(); }, this);
    rd_kafka_topic_partition_list_add(list, topic, partition.where.partition)->offset =
        partition.next;
    if (partition.owner != nullptr) partition.owner->handles.push_back(partition.handle);
  }
  const rd_kafka_resp_err_t code = rd_kafka_assign(handles_.back()->get(), list);
  rd_kafka_topic_partition_list_destroy(list);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("assigning partitions: {}", rd_kafka_err2str(code)));
}

void KafkaReader::NoteInterruptions() {
  for (const auto& partition : partitions_) {
    if (partition->queue == nullptr) continue;
    ssize_t count = 0;
    do {
      count = rd_kafka_consume_batch_queue(partition->queue, 0, batch_.data(), batch_.size());
      for (ssize_t i = 0; i < count; ++i) {
        rd_kafka_message_t* const message = batch_[static_cast<size_t>(i)];
        partition->interrupted |=
            IsMissing(message->err) || message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
        rd_kafka_message_destroy(message);
      }
    } while (count > 0);
  }
}

void KafkaReader::Disconnect() {
  for (const auto& partition : partitions_) {
    for (rd_kafka_message_t* message : partition->ahead) rd_kafka_message_destroy(message);
    partition->ahead.clear();
    partition->arrived = partition->next;
    partition->out_of_range = false;
    partition->refused = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (partition->queue != nullptr) {
      rd_kafka_queue_cb_event_enable(partition->queue, nullptr, nullptr);
      rd_kafka_queue_destroy(std::exchange(partition->queue, nullptr));
    }
    partition->handle.reset();
  }
  handles_.clear();
}

void KafkaReader::Begin(Partition& partition, const PlannedRange& range) {
  if (range.start < partition.past.end) partition.past = {};
  partition.reading = true;
  partition.taken = partition.next = range.start;
  partition.end = range.end;
  partition.chunk_index = 0;
  ++reading_count_;
  while (!partition.ahead.empty() && partition.ahead.front()->offset < partition.end) {
    rd_kafka_message_t* const message = partition.ahead.front();
    partition.ahead.pop_front();
    Append(partition, message);
    if (!partition.reading) return;
  }
  // The next record lies past the range, or the log was seen to end there.
  if (!partition.ahead.empty() || partition.arrived >= partition.end) FinishRange(partition);
}

void KafkaReader::Poll(std::chrono::milliseconds timeout) {
  int64_t seen = 0;
  {
    const std::lock_guard lock(signal_.mutex);
    seen = signal_.count;
  }
  size_t messages = 0;
  ++turn_;
  for (size_t i = 0; i < partitions_.size(); ++i) {
    Partition& partition = *partitions_[(turn_ + i) % partitions_.size()];
    if (partition.reading) messages += Consume(partition);
  }
  if (messages > 0) {
    ResetSilence();
    for (const auto& handle : handles_) handle->errors().Clear();
  }
  KeepFetching();
  if (messages > 0 || done()) return;
  for (const auto& handle : handles_) handle->ServeErrors();
  std::unique_lock lock(signal_.mutex);
  signal_.changed.wait_for(lock, timeout, [&] { return signal_.count != seen; });
}

// How much came: records, and what the broker says of the log; other errors are nothing.
size_t KafkaReader::Consume(Partition& partition) {
  const auto most =
      static_cast<size_t>(std::min<int64_t>(kBatchMessages, partition.end - partition.next));
  const ssize_t count = rd_kafka_consume_batch_queue(partition.queue, 0, batch_.data(), most);
  size_t came = 0;
  for (ssize_t i = 0; i < count; ++i) {
    rd_kafka_message_t* const message = batch_[static_cast<size_t>(i)];
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const bool answer = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
                          message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
      came += answer ? 1 : 0;
      TakeError(partition, *message);
      rd_kafka_message_destroy(message);
      continue;
    }
    ++came;
    partition.refused = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (message->offset < partition.arrived) {
      rd_kafka_message_destroy(message);
    } else {
      partition.arrived = message->offset + 1;
      consumed_bytes_ += message->len + message->key_len;
      if (partition.reading && message->offset < partition.end) {
        Append(partition, message);
      } else {
        partition.ahead.push_back(message);
        if (partition.reading) FinishRange(partition);
      }
    }
  }
  return came;
}

void KafkaReader::TakeError(Partition& partition, const rd_kafka_message_t& message) {
  partition.interrupted |= IsMissing(message.err);
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      partition.refused = RD_KAFKA_RESP_ERR_NO_ERROR;
      partition.arrived = std::max(partition.arrived, message.offset);
      if (partition.reading && partition.arrived >= partition.end) FinishRange(partition);
      return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
      partition.out_of_range = true;
      return;
    default:
      if (absl::IsPermissionDenied(KafkaStatus(message.err, ""))) partition.refused = message.err;
      partition.handle->errors().Note(message.err, rd_kafka_message_errstr(&message));
  }
}

void KafkaReader::Append(Partition& partition, rd_kafka_message_t* message) {
  if (message->offset < partition.next) {
    rd_kafka_message_destroy(message);
    return;
  }
  RawRecords& chunk = partition.chunk;
  if (partition.owner == nullptr) {
    const auto most =
        static_cast<size_t>(std::min<int64_t>(kMaxChunkRecords, partition.end - message->offset));
    partition.owner = std::make_shared<ChunkOwner>();
    partition.owner->handles.push_back(partition.handle);
    partition.owner->messages.reserve(most);
    chunk.records.reserve(most);
  }
  partition.owner->messages.push_back(message);
  const std::string_view value = View(message->payload, message->len);
  if (!chunk.records.empty()) {
    RawRecord& before = chunk.records.back();
    before.padded = IsPaddedBy(before.value, value);
  }
  RawRecord& record = chunk.records.emplace_back();
  record.key = View(message->key, message->key_len);
  record.value = value;
  record.offset = message->offset;
  rd_kafka_timestamp_type_t timestamp_type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const int64_t timestamp_ms = rd_kafka_message_timestamp(message, &timestamp_type);
  if (timestamp_ms != -1) record.timestamp_us = timestamp_ms * 1000;
  partition.past = {message->offset + 1, std::max(partition.past.timestamp_ms, timestamp_ms)};
  record.has_key = message->key != nullptr;
  record.has_value = message->payload != nullptr;
  chunk.bytes += record.key.size() + record.value.size();
  partition.next = message->offset + 1;
  if (partition.next >= partition.end) {
    FinishRange(partition);
  } else if (ChunkIsFull(chunk)) {
    FinishChunk(partition);
  }
}

void KafkaReader::FinishChunk(Partition& partition) {
  if (partition.owner == nullptr) return;
  partition.chunk.topic = partition.where.topic;
  partition.chunk.partition = partition.where.partition;
  partition.chunk.chunk_index = partition.chunk_index++;
  partition.chunk.owner = partition.owner;
  ready_.push_back({std::exchange(partition.chunk, {}), std::move(partition.owner), &partition});
  partition.owner.reset();
}

void KafkaReader::FinishRange(Partition& partition) {
  FinishChunk(partition);
  partition.next = partition.end;
  partition.reading = false;
  --reading_count_;
}

std::optional<RawRecords> KafkaReader::TakeChunk() {
  if (ready_.empty()) return std::nullopt;
  RawRecords chunk = std::move(ready_.front().chunk);
  ready_.front().partition->taken = chunk.records.back().offset + 1;
  ready_.pop_front();
  return chunk;
}

void KafkaReader::Stop() {
  for (const auto& partition : partitions_) {
    if (!partition->reading) continue;
    FinishChunk(*partition);
    partition->reading = false;
    partition->next = partition->taken;
  }
  reading_count_ = 0;
  for (; !ready_.empty(); ready_.pop_back()) {
    Partition& partition = *ready_.back().partition;
    std::vector<rd_kafka_message_t*>& messages = ready_.back().owner->messages;
    // Messages of an earlier handle may not outlive it: those are fetched again.
    const std::vector<std::shared_ptr<KafkaHandle>>& handles = ready_.back().owner->handles;
    const bool current = handles.size() == 1 && handles[0] == partition.handle;
    if (current && partition.queue != nullptr) {
      partition.ahead.insert(partition.ahead.begin(), messages.begin(), messages.end());
      messages.clear();
    }
    partition.next = partition.taken;
  }
}

std::vector<KafkaReader::Unfinished> KafkaReader::unfinished() const {
  std::vector<Unfinished> ranges;
  for (const auto& partition : partitions_) {
    if (partition->reading) {
      ranges.push_back(
          {partition->where, partition->next, partition->end, partition->out_of_range});
    }
  }
  return ranges;
}

bool KafkaReader::out_of_range() const {
  return std::any_of(partitions_.begin(), partitions_.end(), [](const auto& partition) {
    return partition->reading && partition->out_of_range;
  });
}

std::optional<TopicPartition> KafkaReader::interrupted() const {
  for (const auto& partition : partitions_) {
    if (partition->interrupted) return partition->where;
  }
  return std::nullopt;
}

absl::Status KafkaReader::SkipTo(const TopicPartition& where, int64_t offset) {
  Partition* const partition = Find(where);
  if (partition == nullptr || !partition->reading) return absl::OkStatus();
  if (offset >= partition->end) {
    FinishRange(*partition);
    return absl::OkStatus();
  }
  partition->next = offset;
  NoteInterruptions();
  return Connect();
}

void KafkaReader::CutRange(const TopicPartition& where, int64_t end) {
  Partition* const partition = Find(where);
  if (partition == nullptr || !partition->reading || end >= partition->end) return;
  partition->end = std::max(end, partition->next);
  if (partition->next >= partition->end) FinishRange(*partition);
}

int64_t KafkaReader::position(const TopicPartition& where) const {
  const Partition* const partition = Find(where);
  return partition != nullptr ? std::max(partition->next, partition->arrived) : -1;
}

std::optional<KafkaReader::Past> KafkaReader::past(const TopicPartition& where) const {
  const Partition* const partition = Find(where);
  if (partition == nullptr || partition->past.timestamp_ms < 0) return std::nullopt;
  return partition->past;
}

std::optional<int64_t> KafkaReader::HighWatermark(const TopicPartition& where) const {
  const Partition* const partition = Find(where);
  if (partition == nullptr || partition->handle == nullptr) return std::nullopt;
  int64_t low = RD_KAFKA_OFFSET_INVALID;
  int64_t high = RD_KAFKA_OFFSET_INVALID;
  const rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(
      partition->handle->get(), where.topic.c_str(), where.partition, &low, &high);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0) return std::nullopt;
  return high;
}

absl::Status KafkaReader::refusal() const {
  for (const auto& partition : partitions_) {
    if (!partition->reading || partition->refused == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    const absl::Status status =
        KafkaStatus(partition->refused,
                    fmt::format("Kafka at {} does not let this job read topic {} partition {}",
                                options_.connection.brokers, partition->where.topic,
                                partition->where.partition));
    return absl::PermissionDeniedError(
        fmt::format("{}; let an administrator allow its user Read on the topic",
                    std::string(status.message())));
  }
  return absl::OkStatus();
}

std::string KafkaReader::last_error() const {
  for (const auto& handle : handles_) {
    if (std::string error = handle->errors().last(); !error.empty()) return error;
  }
  return {};
}

// librdkafka 2.0.2 stops fetching when its queues are full and looks again only when something else
// happens on the connection, at the latest after a second: eight times slower than it could be. A
// question to the partitions' leaders is such a thing.
void KafkaReader::KeepFetching() {
  const Clock::time_point now = Clock::now();
  const bool drained = consumed_bytes_ >= options_.queue_bytes / partitions_.size() / 4 &&
                       now - last_wake_ >= kMinWakeInterval;
  const bool idle =
      now - last_arrival_ >= kIdleWakeInterval && now - last_wake_ >= kIdleWakeInterval;
  if (!drained && !idle) return;
  consumed_bytes_ = 0;
  last_wake_ = now;
  std::map<std::shared_ptr<KafkaHandle>, std::vector<TopicPartition>> questions;
  for (const auto& partition : partitions_)
    questions[partition->handle].push_back(partition->where);
  client_->RunSoon([questions = std::move(questions)] {
    for (const auto& [handle, partitions] : questions) {
      rd_kafka_topic_partition_list_t* const list =
          rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size()));
      for (const TopicPartition& where : partitions) {
        rd_kafka_topic_partition_list_add(list, where.topic.c_str(), where.partition)->offset =
            RD_KAFKA_OFFSET_END;
      }
      rd_kafka_offsets_for_times(handle->get(), list,
                                 static_cast<int>(KafkaClient::kCallTimeout.count()));
      rd_kafka_topic_partition_list_destroy(list);
    }
  });
}

void KafkaReader::Wake() {
  const std::lock_guard lock(signal_.mutex);
  ++signal_.count;
  signal_.changed.notify_one();
}

}  // namespace tidemark
