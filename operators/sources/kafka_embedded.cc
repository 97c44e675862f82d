#include "tidemark/operators/sources/kafka_embedded.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <thread>
#include <utility>

#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/sources/generator_source.h"
#include "tidemark/operators/sources/offsets_json.h"

namespace tidemark {
namespace {

constexpr size_t kMaxAheadBytes = size_t{2} << 20;
constexpr size_t kRecordOverhead = 64;  // what the broker's log adds to key and value, generously
constexpr int64_t kProduceBatch = 256;
constexpr absl::Duration kReadSlice = absl::Milliseconds(5);

}  // namespace

// The mock cluster and the thread that fills it.
class EmbeddedKafkaSource::Broker {
 public:
  static absl::StatusOr<std::unique_ptr<Broker>> Start(const EmbeddedKafkaOptions& options,
                                                       const std::vector<Partition>& partitions) {
    auto broker = std::unique_ptr<Broker>(new Broker(options, partitions));
    absl::StatusOr<std::shared_ptr<KafkaHandle>> handle =
        KafkaHandle::Make(KafkaHandle::Kind::kProducer, {.brokers = "embedded"},
                          {.fixed = {{"test.mock.num.brokers", "1"},
                                     {"enable.idempotence", "true"},
                                     {"linger.ms", "2"},
                                     {"queue.buffering.max.messages", "1000000"},
                                     {"message.max.bytes", "100000000"},
                                     {"topic.metadata.propagation.max.ms", "0"},
                                     {"delivery.report.only.error", "true"}},
                           .on_delivery = &Broker::OnDelivery,
                           .delivery_opaque = broker.get()});
    if (!handle.ok()) return handle.status();
    broker->handle_ = *std::move(handle);
    rd_kafka_mock_cluster_t* const cluster = rd_kafka_handle_mock_cluster(broker->handle_->get());
    if (cluster == nullptr) return absl::InternalError("the embedded broker did not start");
    const rd_kafka_resp_err_t code =
        rd_kafka_mock_topic_create(cluster, options.topic.c_str(), options.partitions, 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return absl::InternalError(fmt::format("the embedded broker did not make topic {}: {}",
                                             options.topic, rd_kafka_err2str(code)));
    }
    broker->address_ = rd_kafka_mock_cluster_bootstraps(cluster);
    broker->producer_ = std::thread([self = broker.get()] { self->Produce(); });
    return broker;
  }

  ~Broker() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    if (producer_.joinable()) producer_.join();
    if (handle_ != nullptr) {
      rd_kafka_purge(handle_->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
      rd_kafka_poll(handle_->get(), 0);
    }
  }

  const std::string& address() const { return address_; }

  // Everything below `offset` has been taken from the broker.
  void Consumed(size_t partition, int64_t offset) {
    const std::lock_guard lock(mutex_);
    Log& log = logs_[partition];
    bool moved = false;
    for (; log.consumed < std::min(offset, log.produced); ++log.consumed) {
      log.ahead_bytes -= log.sizes.front();
      log.sizes.pop_front();
      moved = true;
    }
    if (moved) changed_.notify_all();
  }

  void ExtendTo(size_t partition, int64_t end) {
    const std::lock_guard lock(mutex_);
    logs_[partition].end = std::max(logs_[partition].end, end);
    changed_.notify_all();
  }

  absl::Status status() {
    const std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  struct Log {
    int64_t consumed = 0;
    int64_t produced = 0;  // the next offset to make
    int64_t end = 0;
    size_t ahead_bytes = 0;    // of [consumed, produced)
    std::deque<size_t> sizes;  // each
    bool MayGrow() const {
      return produced < end && (ahead_bytes < kMaxAheadBytes || consumed == produced);
    }
  };

  Broker(const EmbeddedKafkaOptions& options, const std::vector<Partition>& partitions)
      : generator_(options.generator),
        seed_(options.seed),
        topic_(options.topic),
        logs_(partitions.size()) {
    for (size_t p = 0; p < partitions.size(); ++p) {
      logs_[p].consumed = logs_[p].produced = partitions[p].base;
      logs_[p].end = partitions[p].log_end;
    }
  }

  static void OnDelivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message, void* opaque) {
    auto* const broker = static_cast<Broker*>(static_cast<KafkaHandle*>(opaque)->delivery_opaque());
    const std::lock_guard lock(broker->mutex_);
    if (broker->closing_) return;
    broker->status_ = absl::InternalError(
        fmt::format("the embedded broker lost a record: {}", rd_kafka_err2str(message->err)));
  }

  void Produce() {
    rd_kafka_topic_t* const topic = rd_kafka_topic_new(handle_->get(), topic_.c_str(), nullptr);
    std::unique_lock lock(mutex_);
    while (!closing_) {
      bool grew = false;
      for (size_t p = 0; p < logs_.size() && !closing_; ++p) {
        if (!logs_[p].MayGrow()) continue;
        const int64_t begin = logs_[p].produced;
        const int64_t end = std::min(logs_[p].end, begin + kProduceBatch);
        lock.unlock();
        std::vector<size_t> sizes;
        const absl::Status status = ProduceRange(topic, static_cast<int32_t>(p), begin, end, sizes);
        lock.lock();
        if (!status.ok()) status_ = status;
        for (const size_t size : sizes) {
          logs_[p].sizes.push_back(size);
          logs_[p].ahead_bytes += size;
        }
        logs_[p].produced += static_cast<int64_t>(sizes.size());
        grew = grew || !sizes.empty();
      }
      if (!grew && !closing_) changed_.wait(lock);
    }
    lock.unlock();
    rd_kafka_topic_destroy(topic);
  }

  // Stops early when the bytes are enough.
  absl::Status ProduceRange(rd_kafka_topic_t* topic, int32_t partition, int64_t begin, int64_t end,
                            std::vector<size_t>& sizes) {
    size_t bytes = 0;
    for (int64_t offset = begin; offset < end && bytes < kMaxAheadBytes / 8; ++offset) {
      GeneratedRecord record = generator_(seed_, partition, offset);
      const void* const key = record.key.has_value() ? record.key->data() : nullptr;
      const size_t key_size = record.key.has_value() ? record.key->size() : 0;
      const size_t size = key_size + record.value.size() + kRecordOverhead;
      // The mock forgets a record that alone fills half of what it keeps.
      if (size > kMaxAheadBytes) {
        return absl::InvalidArgumentError(fmt::format(
            "the generator's record at partition {} offset {} has {} bytes; the embedded "
            "broker takes up to {}",
            partition, offset, size - kRecordOverhead, kMaxAheadBytes - kRecordOverhead));
      }
      const rd_kafka_resp_err_t code =
          rd_kafka_producev(handle_->get(), RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
                            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_size),
                            RD_KAFKA_V_VALUE(record.value.data(), record.value.size()),
                            RD_KAFKA_V_TIMESTAMP(record.timestamp_ms), RD_KAFKA_V_END);
      if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return absl::InternalError(
            fmt::format("the embedded broker took no record: {}", rd_kafka_err2str(code)));
      }
      sizes.push_back(size);
      bytes += size;
    }
    rd_kafka_poll(handle_->get(), 0);
    return absl::OkStatus();
  }

  const RecordGenerator generator_;
  const uint64_t seed_;
  const std::string topic_;
  std::shared_ptr<KafkaHandle> handle_;
  std::string address_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Log> logs_;  // guarded by mutex_, as all below
  absl::Status status_;
  bool closing_ = false;
  std::thread producer_;
};

EmbeddedKafkaSource::EmbeddedKafkaSource(EmbeddedKafkaOptions options)
    : options_(std::move(options)),
      partitions_(static_cast<size_t>(std::max(options_.partitions, 0))) {
  for (size_t p = 0; p < partitions_.size(); ++p) {
    int64_t committed = 0;
    if (options_.committed.has_value()) {
      const auto found = options_.committed->find({options_.topic, static_cast<int32_t>(p)});
      if (found != options_.committed->end()) committed = found->second;
    }
    const int64_t more = options_.rows % options_.partitions > static_cast<int64_t>(p) ? 1 : 0;
    partitions_[p].position = committed;
    partitions_[p].log_end = committed + options_.rows / options_.partitions + more;
    const auto planned = options_.planned.find({options_.topic, static_cast<int32_t>(p)});
    if (planned != options_.planned.end()) {
      partitions_[p].log_end = std::max(partitions_[p].log_end, planned->second);
    }
  }
}

EmbeddedKafkaSource::~EmbeddedKafkaSource() {
  source_.reset();  // before the broker that it reads
}

std::string EmbeddedKafkaSource::description() const {
  return fmt::format("EmbeddedKafka[{}]", options_.topic);
}

absl::Status EmbeddedKafkaSource::CheckCancelled() const {
  return cancelled_ ? absl::CancelledError("reading was stopped") : absl::OkStatus();
}

bool EmbeddedKafkaSource::Has(const TopicPartition& partition) const {
  return partition.topic == options_.topic && partition.partition >= 0 &&
         partition.partition < options_.partitions;
}

void EmbeddedKafkaSource::Cancel() {
  cancelled_ = true;
  const std::lock_guard lock(mutex_);
  if (source_ != nullptr) source_->Cancel();
}

absl::Status EmbeddedKafkaSource::Open() {
  if (options_.generator == nullptr) {
    return absl::InvalidArgumentError(
        "this job has no generator for the embedded broker: give --brokers HOST:PORT");
  }
  if (options_.partitions < 1 || options_.rows < 0) {
    return absl::InvalidArgumentError(
        fmt::format("embedded broker: {} partitions and {} rows cannot be; take at least 1 and 0",
                    options_.partitions, options_.rows));
  }
  if (!options_.properties.empty()) {
    // The client that reads is made when the first range is known; what is wrong with it is said
    // now.
    const auto client = KafkaSource::Make(
        {.brokers = "127.0.0.1:1", .topics = {options_.topic}, .properties = options_.properties});
    if (!client.ok()) return client.status();
  }
  return CheckCancelled();
}

absl::StatusOr<Offsets> EmbeddedKafkaSource::StartingOffsets() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  absl::StatusOr<StartingPosition> position = ParseStartingOffsets(options_.starting_offsets);
  if (!position.ok()) return position.status();
  std::vector<AvailableRange> empty;
  for (int32_t p = 0; p < options_.partitions; ++p) empty.push_back({{options_.topic, p}, 0, 0});
  return ResolveStartingOffsets(*position, empty);
}

absl::StatusOr<std::vector<DataLoss>> EmbeddedKafkaSource::CheckIdentity(
    const std::map<TopicPartition, LastRecord>& last_records) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  std::vector<DataLoss> losses;
  for (const auto& [where, last] : last_records) {
    if (last.offset < 0) continue;
    if (!Has(where)) {
      losses.push_back({where, last.offset + 1, 0, "partition gone"});
    } else if (LastGeneratedRecord(options_.generator, options_.seed, where.partition,
                                   last.offset) != last) {
      losses.push_back({where, last.offset + 1, 0, "topic re-created"});
    }
  }
  return losses;
}

absl::StatusOr<std::vector<AvailableRange>> EmbeddedKafkaSource::Available() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  std::vector<AvailableRange> ranges;
  for (int32_t p = 0; p < options_.partitions; ++p) {
    ranges.push_back({{options_.topic, p}, 0, partitions_[static_cast<size_t>(p)].log_end});
  }
  return ranges;
}

absl::Status EmbeddedKafkaSource::Restart() {
  {
    const std::lock_guard lock(mutex_);
    source_.reset();
  }
  broker_.reset();
  for (Partition& partition : partitions_) partition.base = partition.position;
  absl::StatusOr<std::unique_ptr<Broker>> broker = Broker::Start(options_, partitions_);
  if (!broker.ok()) return broker.status();
  absl::StatusOr<std::unique_ptr<KafkaSource>> source =
      KafkaSource::Make({.brokers = (*broker)->address(),
                         .topics = {options_.topic},
                         .starting_offsets = "earliest",
                         .properties = options_.properties,
                         .queue_bytes = options_.queue_bytes});
  if (!source.ok()) return source.status();
  broker_ = *std::move(broker);
  {
    const std::lock_guard lock(mutex_);
    source_ = *std::move(source);
  }
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  return source_->Open();
}

absl::Status EmbeddedKafkaSource::StartRead(const std::vector<PlannedRange>& ranges) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  bool goes_on = source_ != nullptr;
  for (const PlannedRange& range : ranges) {
    if (!Has(range.partition)) {
      return absl::InvalidArgumentError(fmt::format(
          "the embedded broker has no topic {} partition {}: the checkpoint is another job's",
          range.partition.topic, range.partition.partition));
    }
    Partition& partition = partitions_[static_cast<size_t>(range.partition.partition)];
    partition.log_end = std::max(partition.log_end, range.end);
    if (range.start == range.end) continue;
    goes_on = goes_on && range.start == partition.position;
    partition.position = range.start;
  }
  if (!goes_on) {
    if (absl::Status status = Restart(); !status.ok()) return status;
  }
  std::vector<PlannedRange> shifted;
  for (const PlannedRange& range : ranges) {
    const auto p = static_cast<size_t>(range.partition.partition);
    broker_->ExtendTo(p, range.end);
    if (range.start == range.end) continue;
    shifted.push_back(
        {range.partition, range.start - partitions_[p].base, range.end - partitions_[p].base});
  }
  return source_->StartRead(shifted);
}

absl::StatusOr<std::optional<RawRecords>> EmbeddedKafkaSource::Read(absl::Duration timeout) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  if (source_ == nullptr) return std::optional<RawRecords>(EndOfRanges());
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoMicroseconds(timeout);
  while (true) {
    // Short waits: the producer must hear how far the reading has come, or it stops ahead of it.
    absl::StatusOr<std::optional<RawRecords>> chunk = source_->Read(std::min(timeout, kReadSlice));
    if (!chunk.ok()) return chunk.status();
    for (size_t p = 0; p < partitions_.size(); ++p) {
      const int64_t taken = source_->position({options_.topic, static_cast<int32_t>(p)});
      if (taken >= 0) broker_->Consumed(p, partitions_[p].base + taken);
    }
    if (absl::Status status = broker_->status(); !status.ok()) return status;
    if (chunk->has_value()) {
      if (IsEndOfRanges(**chunk)) return chunk;
      Partition& partition = partitions_[static_cast<size_t>((*chunk)->partition)];
      for (RawRecord& record : (*chunk)->records) record.offset += partition.base;
      partition.position = (*chunk)->records.back().offset + 1;
      return chunk;
    }
    if (std::chrono::steady_clock::now() >= deadline) return std::optional<RawRecords>();
  }
}

void EmbeddedKafkaSource::StopRead() {
  if (source_ != nullptr) source_->StopRead();
}

std::vector<DataLoss> EmbeddedKafkaSource::TakeLosses() {
  if (source_ == nullptr) return {};
  std::vector<DataLoss> losses = source_->TakeLosses();
  for (DataLoss& loss : losses) {
    const int64_t base = partitions_[static_cast<size_t>(loss.partition.partition)].base;
    loss.wanted += base;
    loss.available += base;
  }
  return losses;
}

}  // namespace tidemark
