#include "tests/servers/kafka_server.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "tests/servers/free_port.h"

namespace tidemark::testing {
namespace {

constexpr char kJar[] = "kafka_2.13-3.9.1.jar";
constexpr int kMaxStartAttempts = 3;
constexpr int kMaxMessageBytes = 32 << 20;
constexpr int kCallTimeoutMs = 30'000;
constexpr int kMetadataTimeoutMs = 2'000;
constexpr absl::Duration kCallTimeout = absl::Milliseconds(kCallTimeoutMs);
constexpr absl::Duration kStartTimeout = absl::Seconds(60);
constexpr absl::Duration kStopTimeout = absl::Seconds(20);
constexpr absl::Duration kPollInterval = absl::Milliseconds(20);
constexpr size_t kLogTailBytes = 2'000;

using Properties = std::map<std::string, std::string>;
template <typename T, void (*kDestroy)(T*)>
struct Destroy {
  void operator()(T* object) const { kDestroy(object); }
};
template <typename T, void (*kDestroy)(T*)>
using Owned = std::unique_ptr<T, Destroy<T, kDestroy>>;
using Handle = Owned<rd_kafka_t, rd_kafka_destroy>;
using TopicHandle = Owned<rd_kafka_topic_t, rd_kafka_topic_destroy>;
using Queue = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using Event = Owned<rd_kafka_event_t, rd_kafka_event_destroy>;
using Partitions = Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>;
using Message = Owned<rd_kafka_message_t, rd_kafka_message_destroy>;
using AdminOptions = Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy>;

absl::Status ToStatus(rd_kafka_resp_err_t code, std::string message) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return absl::OkStatus();
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return absl::NotFoundError(message);
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
      return absl::AlreadyExistsError(message);
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return absl::DeadlineExceededError(message);
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status ToStatus(rd_kafka_resp_err_t code, std::string_view what, std::string_view where) {
  return ToStatus(code, fmt::format("{} {}: {}", what, where, rd_kafka_err2str(code)));
}

// Takes the error (nullptr: none).
absl::Status ToStatus(rd_kafka_error_t* error, std::string_view what) {
  if (error == nullptr) return absl::OkStatus();
  const absl::Status status = ToStatus(rd_kafka_error_code(error),
                                       fmt::format("{}: {}", what, rd_kafka_error_string(error)));
  rd_kafka_error_destroy(error);
  return status;
}

// What the delivery reports of one Produce said; written by rd_kafka_poll and rd_kafka_flush in the
// thread that calls them.
struct Delivery {
  absl::Status first_error;
};

void OnDelivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message, void* opaque) {
  auto* delivery = static_cast<Delivery*>(opaque);
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || !delivery->first_error.ok()) return;
  delivery->first_error =
      ToStatus(message->err, "a record was not written to", rd_kafka_topic_name(message->rkt));
}

absl::StatusOr<Handle> NewHandle(rd_kafka_type_t type, std::string_view brokers,
                                 const Properties& extra, Delivery* delivery = nullptr) {
  Properties properties = {{"bootstrap.servers", std::string(brokers)},
                           {"client.id", "tidemark-test"},
                           {"log_level", "0"},
                           {"broker.address.family", "v4"},
                           {"reconnect.backoff.ms", "20"},
                           {"reconnect.backoff.max.ms", "200"},
                           {"retry.backoff.ms", "20"},
                           {"topic.metadata.propagation.max.ms", "0"}};
  for (const auto& [name, value] : extra) properties.insert_or_assign(name, value);
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  std::array<char, 512> error{};
  for (const auto& [name, value] : properties) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error.data(), error.size()) !=
        RD_KAFKA_CONF_OK) {
      rd_kafka_conf_destroy(conf);
      return absl::InvalidArgumentError(error.data());
    }
  }
  rd_kafka_conf_set_log_cb(conf, nullptr);
  if (delivery != nullptr) {
    rd_kafka_conf_set_opaque(conf, delivery);
    rd_kafka_conf_set_dr_msg_cb(conf, OnDelivery);
  }
  rd_kafka_t* handle = rd_kafka_new(type, conf, error.data(), error.size());
  if (handle == nullptr) {
    rd_kafka_conf_destroy(conf);
    return absl::InternalError(error.data());
  }
  return Handle(handle);
}

// The number of partitions of the topic (0: no such topic), or, with an empty name, of all topics
// together; Unavailable while a partition has no leader or the broker does not answer.
absl::StatusOr<int32_t> CountPartitions(rd_kafka_t* handle, const std::string& topic) {
  TopicHandle only(topic.empty() ? nullptr : rd_kafka_topic_new(handle, topic.c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t code =
      rd_kafka_metadata(handle, topic.empty() ? 1 : 0, only.get(), &metadata, kMetadataTimeoutMs);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return absl::UnavailableError(fmt::format("no metadata: {}", rd_kafka_err2str(code)));
  }
  int32_t count = 0;
  absl::Status status =
      metadata->broker_cnt > 0 ? absl::OkStatus() : absl::UnavailableError("no broker registered");
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic& entry = metadata->topics[i];
    if (entry.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) continue;
    count += entry.partition_cnt;
    for (int p = 0; p < entry.partition_cnt; ++p) {
      if (entry.partitions[p].leader < 0) {
        status = absl::UnavailableError(fmt::format("{} [{}] has no leader", entry.topic, p));
      }
    }
    if (entry.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      status = absl::UnavailableError(
          fmt::format("topic {}: {}", entry.topic, rd_kafka_err2str(entry.err)));
    }
  }
  rd_kafka_metadata_destroy(metadata);
  if (!status.ok()) return status;
  return count;
}

// One admin request and its event.
class AdminCall {
 public:
  static absl::StatusOr<std::unique_ptr<AdminCall>> New(std::string_view brokers) {
    absl::StatusOr<Handle> handle = NewHandle(RD_KAFKA_PRODUCER, brokers, {});
    if (!handle.ok()) return handle.status();
    return std::unique_ptr<AdminCall>(new AdminCall(std::move(*handle)));
  }

  rd_kafka_t* handle() const { return handle_.get(); }
  rd_kafka_queue_t* queue() const { return queue_.get(); }
  const rd_kafka_AdminOptions_t* options() const { return options_.get(); }

  absl::StatusOr<Event> Wait(std::string_view what) {
    Event event(rd_kafka_queue_poll(queue_.get(), 2 * kCallTimeoutMs));
    if (event == nullptr) return absl::DeadlineExceededError(fmt::format("{}: no answer", what));
    const rd_kafka_resp_err_t code = rd_kafka_event_error(event.get());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return ToStatus(code, fmt::format("{}: {}", what, rd_kafka_event_error_string(event.get())));
    }
    return event;
  }

 private:
  explicit AdminCall(Handle handle)
      : handle_(std::move(handle)),
        queue_(rd_kafka_queue_new(handle_.get())),
        options_(rd_kafka_AdminOptions_new(handle_.get(), RD_KAFKA_ADMIN_OP_ANY)) {
    std::array<char, 256> error{};
    rd_kafka_AdminOptions_set_request_timeout(options_.get(), kCallTimeoutMs, error.data(),
                                              error.size());
    rd_kafka_AdminOptions_set_operation_timeout(options_.get(), kCallTimeoutMs, error.data(),
                                                error.size());
  }

  Handle handle_;
  Queue queue_;
  AdminOptions options_;
};

absl::Status TopicResults(const rd_kafka_topic_result_t** results, size_t count,
                          std::string_view what) {
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    const char* text = rd_kafka_topic_result_error_string(results[i]);
    return ToStatus(code, fmt::format("{} {}: {}", what, rd_kafka_topic_result_name(results[i]),
                                      text != nullptr ? text : rd_kafka_err2str(code)));
  }
  return absl::OkStatus();
}

Properties ProducerProperties() {
  return {{"enable.idempotence", "true"},
          {"linger.ms", "2"},
          {"message.max.bytes", std::to_string(kMaxMessageBytes)},
          {"message.timeout.ms", std::to_string(kCallTimeoutMs)},
          {"queue.buffering.max.messages", "200000"},
          {"queue.buffering.max.kbytes", "131072"}};
}

rd_kafka_vu_t Field(rd_kafka_vtype_t type) {
  rd_kafka_vu_t field{};
  field.vtype = type;
  return field;
}

rd_kafka_vu_t Bytes(rd_kafka_vtype_t type, const std::optional<std::string>& bytes) {
  rd_kafka_vu_t field = Field(type);
  if (bytes.has_value()) {
    field.u.mem.ptr = const_cast<char*>(bytes->data());  // copied by librdkafka, never written
    field.u.mem.size = bytes->size();
  }
  return field;
}

// Hands the record to librdkafka, waiting while its queue is full.
absl::Status Enqueue(rd_kafka_t* handle, rd_kafka_topic_t* topic, int32_t partition,
                     const KafkaRecord& record) {
  std::array<rd_kafka_vu_t, 7> fields;
  size_t count = 0;
  fields[count] = Field(RD_KAFKA_VTYPE_RKT);
  fields[count++].u.rkt = topic;
  fields[count] = Field(RD_KAFKA_VTYPE_PARTITION);
  fields[count++].u.i32 = partition;
  fields[count] = Field(RD_KAFKA_VTYPE_MSGFLAGS);
  fields[count++].u.i = RD_KAFKA_MSG_F_COPY;
  fields[count++] = Bytes(RD_KAFKA_VTYPE_KEY, record.key);
  fields[count++] = Bytes(RD_KAFKA_VTYPE_VALUE, record.value);
  if (record.timestamp_ms.has_value()) {
    fields[count] = Field(RD_KAFKA_VTYPE_TIMESTAMP);
    fields[count++].u.i64 = *record.timestamp_ms;
  }
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(record.headers.size());
    for (const auto& [name, value] : record.headers) {
      rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()),
                          value.has_value() ? value->data() : nullptr,
                          value.has_value() ? static_cast<ssize_t>(value->size()) : 0);
    }
    fields[count] = Field(RD_KAFKA_VTYPE_HEADERS);
    fields[count++].u.headers = headers;
  }
  const absl::Time deadline = absl::Now() + kCallTimeout;
  while (true) {
    rd_kafka_error_t* error = rd_kafka_produceva(handle, fields.data(), count);
    if (error == nullptr) return absl::OkStatus();  // the headers are librdkafka's now
    const bool full = rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    const absl::Status status =
        ToStatus(error, fmt::format("produce to {} [{}]", rd_kafka_topic_name(topic), partition));
    if (!full || absl::Now() > deadline) {
      if (headers != nullptr) rd_kafka_headers_destroy(headers);
      return status;
    }
    rd_kafka_poll(handle, 10);
  }
}

// Waits until every record handed over is acknowledged or has failed.
absl::Status Flush(rd_kafka_t* handle, const Delivery& delivery) {
  const rd_kafka_resp_err_t code = rd_kafka_flush(handle, 2 * kCallTimeoutMs);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(code, "flush", "to the test broker");
  return delivery.first_error;
}

// Resolves the topic first: otherwise the first record waits up to a second for its metadata.
absl::StatusOr<TopicHandle> ProducerTopic(rd_kafka_t* handle, std::string_view name,
                                          int32_t partition) {
  const std::string topic(name);
  const absl::StatusOr<int32_t> partitions = CountPartitions(handle, topic);
  if (!partitions.ok()) return partitions.status();
  if (partition >= *partitions) {
    return absl::NotFoundError(
        fmt::format("topic {} has {} partitions, no {}", topic, *partitions, partition));
  }
  return TopicHandle(rd_kafka_topic_new(handle, topic.c_str(), nullptr));
}

absl::Status ProduceRecords(std::string_view brokers, std::string_view topic, int32_t partition,
                            int64_t count, const std::function<KafkaRecord(int64_t)>& record) {
  Delivery delivery;
  Properties properties = ProducerProperties();
  properties["delivery.report.only.error"] = "true";
  absl::StatusOr<Handle> handle = NewHandle(RD_KAFKA_PRODUCER, brokers, properties, &delivery);
  if (!handle.ok()) return handle.status();
  absl::StatusOr<TopicHandle> target = ProducerTopic(handle->get(), topic, partition);
  if (!target.ok()) return target.status();
  for (int64_t i = 0; i < count; ++i) {
    const absl::Status status = Enqueue(handle->get(), target->get(), partition, record(i));
    if (!status.ok()) return status;
  }
  return Flush(handle->get(), delivery);
}

// {earliest, last stable} of each of the topic's first `partitions` partitions.
absl::StatusOr<std::vector<KafkaOffsets>> ListOffsets(rd_kafka_t* consumer,
                                                      const std::string& topic,
                                                      int32_t partitions) {
  std::vector<KafkaOffsets> offsets(static_cast<size_t>(partitions));
  for (const int64_t which : {RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END}) {
    Partitions list(rd_kafka_topic_partition_list_new(partitions));
    for (int32_t p = 0; p < partitions; ++p) {
      rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), p)->offset = which;
    }
    const rd_kafka_resp_err_t code =
        rd_kafka_offsets_for_times(consumer, list.get(), kCallTimeoutMs);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(code, "offsets of", topic);
    for (int i = 0; i < list->cnt; ++i) {
      const rd_kafka_topic_partition_t& entry = list->elems[i];
      if (entry.err != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(entry.err, "offsets of", topic);
      KafkaOffsets& target = offsets[static_cast<size_t>(entry.partition)];
      (which == RD_KAFKA_OFFSET_BEGINNING ? target.earliest : target.last_stable) = entry.offset;
    }
  }
  return offsets;
}

absl::StatusOr<Handle> NewReader(std::string_view brokers, bool read_committed,
                                 const std::string& group = "tidemark-test") {
  return NewHandle(RD_KAFKA_CONSUMER, brokers,
                   {{"group.id", group},
                    {"enable.auto.commit", "false"},
                    {"enable.partition.eof", "true"},
                    {"auto.offset.reset", "error"},
                    {"fetch.wait.max.ms", "10"},
                    {"isolation.level", read_committed ? "read_committed" : "read_uncommitted"},
                    {"fetch.message.max.bytes", "8388608"},
                    {"receive.message.max.bytes", std::to_string(2 * kMaxMessageBytes)}});
}

// A producer is told that its transaction is committed before the partitions are: a moment for
// those under way. One that stays open holds the last stable offset back for good.
absl::Status WaitForMarkers(std::string_view brokers, rd_kafka_t* reader, const std::string& topic,
                            std::vector<KafkaOffsets>* ranges) {
  constexpr absl::Duration kMoment = absl::Milliseconds(500);
  constexpr absl::Duration kPoll = absl::Milliseconds(10);
  const absl::StatusOr<Handle> uncommitted = NewReader(brokers, /*read_committed=*/false);
  if (!uncommitted.ok()) return uncommitted.status();
  const auto log = ListOffsets(uncommitted->get(), topic, static_cast<int32_t>(ranges->size()));
  if (!log.ok()) return log.status();
  const auto behind = [&] {
    for (size_t i = 0; i < ranges->size(); ++i) {
      if ((*ranges)[i].last_stable < (*log)[i].last_stable) return true;
    }
    return false;
  };
  const absl::Time until = absl::Now() + kMoment;
  while (behind() && absl::Now() < until) {
    absl::SleepFor(kPoll);
    auto now = ListOffsets(reader, topic, static_cast<int32_t>(ranges->size()));
    if (!now.ok()) return now.status();
    *ranges = *std::move(now);
  }
  return absl::OkStatus();
}

absl::StatusOr<int32_t> ExistingPartitions(rd_kafka_t* handle, const std::string& topic) {
  const absl::StatusOr<int32_t> partitions = CountPartitions(handle, topic);
  if (partitions.ok() && *partitions == 0) {
    return absl::NotFoundError(fmt::format("no topic {}", topic));
  }
  return partitions;
}

KafkaRecord ToRecord(const rd_kafka_message_t& message) {
  KafkaRecord record{.partition = message.partition, .offset = message.offset};
  if (message.key != nullptr) {
    record.key = std::string(static_cast<const char*>(message.key), message.key_len);
  }
  if (message.payload != nullptr) {
    record.value = std::string(static_cast<const char*>(message.payload), message.len);
  }
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const int64_t timestamp_ms = rd_kafka_message_timestamp(&message, &type);
  if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) record.timestamp_ms = timestamp_ms;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++i) {
      record.headers.emplace_back(name, value == nullptr
                                            ? std::nullopt
                                            : std::optional<std::string>(std::string(
                                                  static_cast<const char*>(value), size)));
    }
  }
  return record;
}

// Reads [earliest, last stable) of each partition. A range that ends in control or aborted records
// ends with an end-of-partition message.
absl::StatusOr<std::vector<KafkaRecord>> ReadRanges(rd_kafka_t* consumer, const std::string& topic,
                                                    const std::vector<KafkaOffsets>& ranges) {
  Partitions list(rd_kafka_topic_partition_list_new(static_cast<int>(ranges.size())));
  std::vector<bool> done(ranges.size(), true);
  for (size_t p = 0; p < ranges.size(); ++p) {
    if (ranges[p].earliest >= ranges[p].last_stable) continue;
    done[p] = false;
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), static_cast<int32_t>(p))->offset =
        ranges[p].earliest;
  }
  std::vector<KafkaRecord> records;
  if (list->cnt == 0) return records;
  const rd_kafka_resp_err_t code = rd_kafka_assign(consumer, list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(code, "assign", topic);
  absl::Time deadline = absl::Now() + kCallTimeout;
  while (std::find(done.begin(), done.end(), false) != done.end()) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(fmt::format("reading {}: nothing came", topic));
    }
    Message message(rd_kafka_consumer_poll(consumer, 100));
    if (message == nullptr) continue;
    deadline = absl::Now() + kCallTimeout;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      if (message->err == RD_KAFKA_RESP_ERR__TRANSPORT) continue;
      return ToStatus(message->err, "reading", topic);
    }
    const auto p = static_cast<size_t>(message->partition);
    const int64_t end = ranges[p].last_stable;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (message->offset < end) records.push_back(ToRecord(*message));
      if (message->offset >= end - 1) done[p] = true;
    } else if (message->offset >= end) {
      done[p] = true;
    }
  }
  std::stable_sort(records.begin(), records.end(), [](const KafkaRecord& a, const KafkaRecord& b) {
    return std::pair(a.partition, a.offset) < std::pair(b.partition, b.offset);
  });
  return records;
}

std::string RandomUuid() {
  // Kafka's form: 16 bytes in URL-safe base64 without padding. A leading '-' would read as an
  // option.
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::uniform_int_distribution<size_t> digit(0, kDigits.size() - 1);
  std::string uuid;
  for (int i = 0; i < 21; ++i) uuid += kDigits[digit(random)];
  uuid += 'A';  // the last digit carries 2 bits; the other 4 must be zero
  return uuid;
}

std::string JavaProgram() {
  const char* home = std::getenv("JAVA_HOME");
  return home != nullptr && *home != '\0' ? fmt::format("{}/bin/java", home) : "java";
}

absl::StatusOr<std::string> KafkaLibs() {
  const char* given = std::getenv("TIDEMARK_KAFKA_LIBS");
  std::string libs;
  if (given != nullptr && *given != '\0') {
    libs = given;
  } else {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    libs = cache != nullptr && *cache != '\0'
               ? fmt::format("{}/tidemark/kafka-3.9.1", cache)
               : fmt::format("{}/.cache/tidemark/kafka-3.9.1", home != nullptr ? home : "");
  }
  if (!std::filesystem::exists(fmt::format("{}/{}", libs, kJar))) {
    return absl::NotFoundError(fmt::format(
        "Kafka's jars are not in {}: run scripts/setup, or set TIDEMARK_KAFKA_LIBS", libs));
  }
  return libs;
}

}  // namespace

struct KafkaTransaction::Impl {
  Delivery delivery;  // outlives the handle, which reports to it
  Handle handle;
};

KafkaTransaction::KafkaTransaction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KafkaTransaction::~KafkaTransaction() = default;

absl::Status KafkaTransaction::Produce(std::string_view topic, int32_t partition,
                                       const std::vector<KafkaRecord>& records) {
  absl::StatusOr<TopicHandle> target = ProducerTopic(impl_->handle.get(), topic, partition);
  if (!target.ok()) return target.status();
  for (const KafkaRecord& record : records) {
    const absl::Status status = Enqueue(impl_->handle.get(), target->get(), partition, record);
    if (!status.ok()) return status;
  }
  return Flush(impl_->handle.get(), impl_->delivery);
}

absl::Status KafkaTransaction::Commit() {
  return ToStatus(rd_kafka_commit_transaction(impl_->handle.get(), kCallTimeoutMs), "commit");
}

absl::Status KafkaTransaction::Abort() {
  return ToStatus(rd_kafka_abort_transaction(impl_->handle.get(), kCallTimeoutMs), "abort");
}

KafkaServer::KafkaServer(KafkaServerOptions options, std::string libs)
    : options_(std::move(options)), libs_(std::move(libs)) {}

KafkaServer::~KafkaServer() = default;

absl::StatusOr<std::unique_ptr<KafkaServer>> KafkaServer::Start(KafkaServerOptions options) {
  absl::StatusOr<std::string> libs = KafkaLibs();
  if (!libs.ok()) return libs.status();
  absl::Status status;
  for (int attempt = 0; attempt < kMaxStartAttempts; ++attempt) {
    std::unique_ptr<KafkaServer> server(new KafkaServer(options, *libs));
    status = server->Configure();
    if (status.ok()) status = server->Launch();
    if (status.ok()) return server;
    // Only a port that was taken meanwhile is worth another try.
    if (server->Log().find("Address already in use") == std::string::npos) break;
  }
  return status;
}

absl::Status KafkaServer::Configure() {
  const absl::StatusOr<int> port = FreePort();
  if (!port.ok()) return port.status();
  absl::StatusOr<int> controller_port = FreePort();
  while (controller_port.ok() && *controller_port == *port) controller_port = FreePort();
  if (!controller_port.ok()) return controller_port.status();
  port_ = *port;
  brokers_ = fmt::format("127.0.0.1:{}", port_);
  const std::string data = dir_.Path("data");

  Properties properties = {
      {"process.roles", "broker,controller"},
      {"node.id", "1"},
      {"controller.quorum.voters", fmt::format("1@127.0.0.1:{}", *controller_port)},
      {"listeners",
       fmt::format("PLAINTEXT://{},CONTROLLER://127.0.0.1:{}", brokers_, *controller_port)},
      {"advertised.listeners", fmt::format("PLAINTEXT://{}", brokers_)},
      {"controller.listener.names", "CONTROLLER"},
      {"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"},
      {"inter.broker.listener.name", "PLAINTEXT"},
      {"log.dirs", data},
      {"auto.create.topics.enable", "false"},
      {"group.initial.rebalance.delay.ms", "0"},
      {"offsets.topic.replication.factor", "1"},
      {"offsets.topic.num.partitions", "1"},
      {"transaction.state.log.replication.factor", "1"},
      {"transaction.state.log.min.isr", "1"},
      {"transaction.state.log.num.partitions", "1"},
      {"message.max.bytes", std::to_string(kMaxMessageBytes)},
      // A restarted broker is let in only when the session of the killed one is over.
      {"broker.session.timeout.ms", "2000"},
      {"broker.heartbeat.interval.ms", "250"},
      {"num.network.threads", "2"},
      {"num.io.threads", "2"},
      {"num.recovery.threads.per.data.dir", "1"},
      {"log.cleaner.dedupe.buffer.size", "8388608"},
      {"log.index.size.max.bytes", "1048576"},
      {"log.retention.hours", "-1"},  // records of any age stay until a test removes them
  };
  if (options_.login) {
    absl::StatusOr<int> login_port = FreePort();
    while (login_port.ok() && (*login_port == *port || *login_port == *controller_port))
      login_port = FreePort();
    if (!login_port.ok()) return login_port.status();
    login_brokers_ = fmt::format("127.0.0.1:{}", *login_port);
    for (const char* list : {"listeners", "advertised.listeners"})
      properties[list] += ",LOGIN://" + login_brokers_;
    properties["listener.security.protocol.map"] += ",LOGIN:SASL_PLAINTEXT";
    properties["listener.name.login.sasl.enabled.mechanisms"] = "PLAIN";
    properties["listener.name.login.plain.sasl.jaas.config"] = fmt::format(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_{}=\"{}\";",
        options_.login->first, options_.login->second);
  }
  for (const auto& [name, value] : options_.properties) properties.insert_or_assign(name, value);
  std::ofstream config(dir_.Path("server.properties"));
  for (const auto& [name, value] : properties) config << name << '=' << value << '\n';

  // What `kafka.tools.StorageTool format` would write, without the second that its JVM takes.
  std::error_code error;
  std::filesystem::create_directory(data, error);
  std::ofstream identity(fmt::format("{}/meta.properties", data));
  identity << "version=1\nnode.id=1\ncluster.id=" << RandomUuid()
           << "\ndirectory.id=" << RandomUuid() << '\n';
  config.close();
  identity.close();
  if (error || !config || !identity) {
    return absl::InternalError(fmt::format("cannot write the broker's files in {}", dir_.path()));
  }
  return absl::OkStatus();
}

absl::Status KafkaServer::Launch() {
  std::vector<std::string> args = {JavaProgram()};
  args.insert(args.end(), options_.jvm_args.begin(), options_.jvm_args.end());
  args.insert(
      args.end(),
      {"-Xshare:auto", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
       "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", fmt::format("{}/*", libs_),
       "kafka.Kafka", dir_.Path("server.properties")});
  absl::StatusOr<std::unique_ptr<Process>> process =
      Process::Start({.args = std::move(args),
                      .working_dir = dir_.path(),
                      .stdout_path = dir_.Path("stdout"),
                      .stderr_path = dir_.Path("stderr")});
  if (!process.ok()) return process.status();
  process_ = std::move(*process);
  return WaitUntilReady();
}

absl::Status KafkaServer::CheckAlive() const {
  if (process_ != nullptr && process_->Running()) return absl::OkStatus();
  const std::string log = Log();
  return absl::UnavailableError(
      fmt::format("the Kafka broker has ended; its last words:\n{}",
                  log.substr(log.size() - std::min(log.size(), kLogTailBytes))));
}

absl::Status KafkaServer::WaitUntilReady() {
  const absl::StatusOr<Handle> handle = NewHandle(RD_KAFKA_PRODUCER, brokers_, {});
  if (!handle.ok()) return handle.status();
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (true) {
    const absl::Status alive = CheckAlive();
    if (!alive.ok()) return alive;
    const absl::StatusOr<int32_t> partitions = CountPartitions(handle->get(), "");
    if (partitions.ok()) return absl::OkStatus();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(fmt::format(
          "the Kafka broker does not answer after {}: {}", absl::FormatDuration(kStartTimeout),
          std::string(partitions.status().message())));
    }
    absl::SleepFor(kPollInterval);
  }
}

pid_t KafkaServer::pid() const { return process_->pid(); }
std::string KafkaServer::Log() const {
  return process_ == nullptr ? "" : process_->Stdout() + process_->Stderr();
}

absl::Status KafkaServer::Stop() {
  process_->Terminate(kStopTimeout);
  return absl::OkStatus();
}

absl::Status KafkaServer::Kill() {
  process_->Kill();
  return absl::OkStatus();
}

absl::Status KafkaServer::Restart() {
  process_->Kill();
  return Launch();
}

absl::Status KafkaServer::Pause() { return process_->Signal(SIGSTOP); }
absl::Status KafkaServer::Resume() { return process_->Signal(SIGCONT); }

absl::Status KafkaServer::WaitForTopic(std::string_view name, int32_t partitions) {
  const absl::StatusOr<Handle> handle = NewHandle(RD_KAFKA_PRODUCER, brokers_, {});
  if (!handle.ok()) return handle.status();
  const absl::Time deadline = absl::Now() + kCallTimeout;
  while (true) {
    const absl::StatusOr<int32_t> count = CountPartitions(handle->get(), std::string(name));
    if (count.ok() && *count == partitions) return absl::OkStatus();
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(fmt::format(
          "topic {} does not reach {} partitions: {}", name, partitions,
          count.ok() ? fmt::format("it has {}", *count) : std::string(count.status().message())));
    }
    absl::SleepFor(kPollInterval);
  }
}

absl::Status KafkaServer::CreateTopic(std::string_view name, int32_t partitions,
                                      const std::map<std::string, std::string>& config) {
  const absl::StatusOr<std::unique_ptr<AdminCall>> call = AdminCall::New(brokers_);
  if (!call.ok()) return call.status();
  std::array<char, 256> error{};
  Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> topic(
      rd_kafka_NewTopic_new(std::string(name).c_str(), partitions, 1, error.data(), error.size()));
  if (topic == nullptr) return absl::InvalidArgumentError(error.data());
  for (const auto& [key, value] : config) {
    rd_kafka_NewTopic_set_config(topic.get(), key.c_str(), value.c_str());
  }
  rd_kafka_NewTopic_t* topics[] = {topic.get()};
  rd_kafka_CreateTopics((*call)->handle(), topics, 1, (*call)->options(), (*call)->queue());
  const absl::StatusOr<Event> event = (*call)->Wait("create topic");
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
  const absl::Status status = TopicResults(results, count, "create topic");
  return status.ok() ? WaitForTopic(name, partitions) : status;
}

absl::Status KafkaServer::DeleteTopic(std::string_view name) {
  const absl::StatusOr<std::unique_ptr<AdminCall>> call = AdminCall::New(brokers_);
  if (!call.ok()) return call.status();
  Owned<rd_kafka_DeleteTopic_t, rd_kafka_DeleteTopic_destroy> topic(
      rd_kafka_DeleteTopic_new(std::string(name).c_str()));
  rd_kafka_DeleteTopic_t* topics[] = {topic.get()};
  rd_kafka_DeleteTopics((*call)->handle(), topics, 1, (*call)->options(), (*call)->queue());
  const absl::StatusOr<Event> event = (*call)->Wait("delete topic");
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event->get()), &count);
  const absl::Status status = TopicResults(results, count, "delete topic");
  return status.ok() ? WaitForTopic(name, 0) : status;
}

absl::Status KafkaServer::AddPartitions(std::string_view name, int32_t total) {
  const absl::StatusOr<std::unique_ptr<AdminCall>> call = AdminCall::New(brokers_);
  if (!call.ok()) return call.status();
  std::array<char, 256> error{};
  Owned<rd_kafka_NewPartitions_t, rd_kafka_NewPartitions_destroy> partitions(
      rd_kafka_NewPartitions_new(std::string(name).c_str(), static_cast<size_t>(total),
                                 error.data(), error.size()));
  if (partitions == nullptr) return absl::InvalidArgumentError(error.data());
  rd_kafka_NewPartitions_t* list[] = {partitions.get()};
  rd_kafka_CreatePartitions((*call)->handle(), list, 1, (*call)->options(), (*call)->queue());
  const absl::StatusOr<Event> event = (*call)->Wait("add partitions to");
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_topic_result_t** results = rd_kafka_CreatePartitions_result_topics(
      rd_kafka_event_CreatePartitions_result(event->get()), &count);
  const absl::Status status = TopicResults(results, count, "add partitions to");
  return status.ok() ? WaitForTopic(name, total) : status;
}

absl::Status KafkaServer::DeleteRecords(std::string_view topic, int32_t partition,
                                        int64_t before_offset) {
  const absl::StatusOr<std::unique_ptr<AdminCall>> call = AdminCall::New(brokers_);
  if (!call.ok()) return call.status();
  Partitions before(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(before.get(), std::string(topic).c_str(), partition)->offset =
      before_offset < 0 ? RD_KAFKA_OFFSET_END : before_offset;
  Owned<rd_kafka_DeleteRecords_t, rd_kafka_DeleteRecords_destroy> request(
      rd_kafka_DeleteRecords_new(before.get()));
  rd_kafka_DeleteRecords_t* requests[] = {request.get()};
  rd_kafka_DeleteRecords((*call)->handle(), requests, 1, (*call)->options(), (*call)->queue());
  const absl::StatusOr<Event> event = (*call)->Wait("delete records of");
  if (!event.ok()) return event.status();
  const rd_kafka_topic_partition_list_t* results =
      rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event->get()));
  for (int i = 0; i < results->cnt; ++i) {
    const absl::Status status = ToStatus(results->elems[i].err, "delete records of", topic);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status KafkaServer::Produce(std::string_view topic, int32_t partition,
                                  const std::vector<KafkaRecord>& records) {
  return ProduceRecords(brokers_, topic, partition, static_cast<int64_t>(records.size()),
                        [&](int64_t i) { return records[static_cast<size_t>(i)]; });
}

absl::Status KafkaServer::ProduceMany(std::string_view topic, int32_t partition, int64_t count,
                                      const std::function<std::string(int64_t)>& value,
                                      const std::function<int64_t(int64_t)>& timestamp_ms) {
  return ProduceRecords(brokers_, topic, partition, count, [&](int64_t i) {
    return KafkaRecord{
        .value = value(i),
        .timestamp_ms = timestamp_ms ? std::optional<int64_t>(timestamp_ms(i)) : std::nullopt};
  });
}

absl::StatusOr<std::unique_ptr<KafkaTransaction>> KafkaServer::BeginTransaction() {
  auto impl = std::make_unique<KafkaTransaction::Impl>();
  Properties properties = ProducerProperties();
  properties["transactional.id"] = fmt::format("tidemark-test-{}", ++transactions_);
  properties["transaction.timeout.ms"] = "60000";
  properties["retry.backoff.ms"] = "5";
  absl::StatusOr<Handle> handle =
      NewHandle(RD_KAFKA_PRODUCER, brokers_, properties, &impl->delivery);
  if (!handle.ok()) return handle.status();
  impl->handle = std::move(*handle);
  absl::Status status = ToStatus(rd_kafka_init_transactions(impl->handle.get(), kCallTimeoutMs),
                                 "initialise transactions");
  if (!status.ok()) return status;
  status = ToStatus(rd_kafka_begin_transaction(impl->handle.get()), "begin transaction");
  if (!status.ok()) return status;
  return std::unique_ptr<KafkaTransaction>(new KafkaTransaction(std::move(impl)));
}

absl::Status KafkaServer::ProduceTransaction(std::string_view topic, int32_t partition,
                                             const std::vector<KafkaRecord>& records, bool commit) {
  const absl::StatusOr<std::unique_ptr<KafkaTransaction>> transaction = BeginTransaction();
  if (!transaction.ok()) return transaction.status();
  absl::Status status = (*transaction)->Produce(topic, partition, records);
  if (!status.ok()) return status;
  status = commit ? (*transaction)->Commit() : (*transaction)->Abort();
  if (!status.ok()) return status;
  // The coordinator answers first and writes the control record afterwards.
  const absl::StatusOr<Handle> every = NewReader(brokers_, false);
  const absl::StatusOr<Handle> committed = NewReader(brokers_, true);
  if (!every.ok() || !committed.ok()) return every.ok() ? committed.status() : every.status();
  const std::string name(topic);
  const absl::Time deadline = absl::Now() + kCallTimeout;
  while (true) {
    const auto end = ListOffsets(every->get(), name, partition + 1);
    const auto stable = ListOffsets(committed->get(), name, partition + 1);
    if (!end.ok() || !stable.ok()) return end.ok() ? stable.status() : end.status();
    if (stable->back().last_stable == end->back().last_stable) return absl::OkStatus();
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(fmt::format(
          "the transaction in {} partition {} ended, and its records are not stable: another one "
          "is open there",
          name, partition));
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
}

absl::StatusOr<KafkaOffsets> KafkaServer::Offsets(std::string_view topic, int32_t partition) {
  const std::string name(topic);
  const absl::StatusOr<Handle> handle = NewReader(brokers_, true);
  if (!handle.ok()) return handle.status();
  const absl::StatusOr<int32_t> partitions = ExistingPartitions(handle->get(), name);
  if (!partitions.ok()) return partitions.status();
  if (partition < 0 || partition >= *partitions) {
    return absl::NotFoundError(fmt::format("{} has {} partitions", name, *partitions));
  }
  const absl::StatusOr<std::vector<KafkaOffsets>> offsets =
      ListOffsets(handle->get(), name, *partitions);
  if (!offsets.ok()) return offsets.status();
  return (*offsets)[static_cast<size_t>(partition)];
}

absl::StatusOr<std::optional<int64_t>> KafkaServer::CommittedOffset(std::string_view group,
                                                                    std::string_view topic,
                                                                    int32_t partition) {
  const absl::StatusOr<Handle> handle = NewReader(brokers_, true, std::string(group));
  if (!handle.ok()) return handle.status();
  Partitions list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), std::string(topic).c_str(), partition);
  const rd_kafka_resp_err_t code = rd_kafka_committed(handle->get(), list.get(), kCallTimeoutMs);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return ToStatus(code, "committed offset of", group);
  if (list->elems[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return ToStatus(list->elems[0].err, "committed offset of", group);
  }
  const int64_t offset = list->elems[0].offset;
  return offset < 0 ? std::nullopt : std::optional<int64_t>(offset);
}

absl::StatusOr<std::vector<KafkaRecord>> KafkaServer::ReadTopic(std::string_view topic,
                                                                bool read_committed) {
  const std::string name(topic);
  const absl::StatusOr<Handle> handle = NewReader(brokers_, read_committed);
  if (!handle.ok()) return handle.status();
  const absl::StatusOr<int32_t> partitions = ExistingPartitions(handle->get(), name);
  if (!partitions.ok()) return partitions.status();
  auto ranges = ListOffsets(handle->get(), name, *partitions);
  if (!ranges.ok()) return ranges.status();
  if (read_committed) {
    absl::Status settled = WaitForMarkers(brokers_, handle->get(), name, &*ranges);
    if (!settled.ok()) return settled;
  }
  return ReadRanges(handle->get(), name, *ranges);
}

}  // namespace tidemark::testing
