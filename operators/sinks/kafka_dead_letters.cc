#include "tidemark/operators/sinks/kafka_dead_letters.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <array>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr std::chrono::seconds kFlushTimeout{3};
constexpr int kPollMs = 50;

struct DestroyTopic {
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
};
struct DestroyHeaders {
  void operator()(rd_kafka_headers_t* headers) const { rd_kafka_headers_destroy(headers); }
};
using Headers = std::unique_ptr<rd_kafka_headers_t, DestroyHeaders>;

// librdkafka tells null from empty by the pointer.
void Add(rd_kafka_headers_t* headers, std::string_view name,
         std::optional<std::string_view> value) {
  const char* const bytes = value ? (value->data() != nullptr ? value->data() : "") : nullptr;
  rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), bytes,
                      value ? static_cast<ssize_t>(value->size()) : 0);
}

std::string TimeText(int64_t micros) {
  std::string text;
  AppendTimestamp(micros, &text);
  return text;
}

class KafkaDeadLetters : public DeadLetterWriter {
 public:
  static absl::StatusOr<std::unique_ptr<DeadLetterWriter>> Make(
      const KafkaDeadLettersOptions& options) {
    if (options.brokers.empty() || options.topic.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("dead letters to a topic need brokers and a topic: got '{}' and '{}'",
                      options.brokers, options.topic));
    }
    std::unique_ptr<KafkaDeadLetters> writer(new KafkaDeadLetters(options));
    const absl::Status made = writer->MakeProducer();
    if (!made.ok()) return made;
    return writer;
  }

  ~KafkaDeadLetters() override {
    if (handle_ != nullptr) Forget();
  }

  absl::Status Begin(int64_t epoch, int64_t batch_id) override {
    Forget();
    first_error_ = absl::OkStatus();
    epoch_ = epoch;
    batch_id_ = batch_id;
    // A producer that has failed for good takes nothing more.
    return FatalError().has_value() ? MakeProducer() : absl::OkStatus();
  }

  absl::Status Write(const RawRecords& records, const BadRecord& bad, absl::Time time) override {
    if (!first_error_.ok()) return first_error_;
    const RawRecord& record = records.records[bad.index];
    const auto deadline = std::chrono::steady_clock::now() + kFlushTimeout;
    while (true) {
      const rd_kafka_resp_err_t code = Produce(record, LetterHeaders(records, bad, time));
      rd_kafka_poll(handle_->get(), code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? kPollMs : 0);
      if (!first_error_.ok()) return first_error_;
      if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
      if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) return LetterError(code, record.value.size());
      if (std::chrono::steady_clock::now() >= deadline)
        return KafkaUnavailable(connection_, handle_->errors());
    }
  }

  absl::Status Flush() override {
    const auto deadline = std::chrono::steady_clock::now() + kFlushTimeout;
    while (first_error_.ok() &&
           rd_kafka_flush(handle_->get(), kPollMs) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (std::chrono::steady_clock::now() >= deadline)
        return KafkaUnavailable(connection_, handle_->errors());
    }
    if (first_error_.ok()) handle_->errors().Clear();
    return first_error_;
  }

 private:
  explicit KafkaDeadLetters(const KafkaDeadLettersOptions& options)
      : connection_{.brokers = options.brokers, .properties = options.properties},
        topic_name_(options.topic) {}

  absl::Status MakeProducer() {
    absl::StatusOr<std::shared_ptr<KafkaHandle>> handle = KafkaHandle::Make(
        KafkaHandle::Kind::kProducer, connection_,
        {.defaults = {{"client.id", "tidemark"},
                      {"linger.ms", "5"},
                      {"message.max.bytes", "100000000"},
                      {"queue.buffering.max.kbytes", "65536"},
                      {"reconnect.backoff.ms", "50"},
                      {"reconnect.backoff.max.ms", "1000"},
                      {"topic.metadata.propagation.max.ms", "3000"}},
         .fixed = {{"acks", "all"},
                   {"enable.idempotence", "true"},
                   {"message.timeout.ms", "0"},  // a letter waits for its broker for ever
                   {"delivery.report.only.error", "true"}},
         .on_delivery = &KafkaDeadLetters::OnDelivery,
         .delivery_opaque = this});
    if (!handle.ok()) return handle.status();
    topic_.reset();
    handle_ = *std::move(handle);
    topic_.reset(rd_kafka_topic_new(handle_->get(), topic_name_.c_str(), nullptr));
    if (topic_ != nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("dead letters: '{}' cannot be a topic's name", topic_name_));
  }

  struct Fatal {
    rd_kafka_resp_err_t cause;
    std::string text;
  };
  // Why the producer has failed for good, if it has: what it says of each letter is only that.
  std::optional<Fatal> FatalError() const {
    std::array<char, 512> text{};
    const rd_kafka_resp_err_t cause =
        rd_kafka_fatal_error(handle_->get(), text.data(), text.size());
    if (cause == RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
    return Fatal{cause, text.data()};
  }

  // Called by rd_kafka_poll and rd_kafka_flush, in the thread that calls those.
  static void OnDelivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message, void* opaque) {
    auto* const writer =
        static_cast<KafkaDeadLetters*>(static_cast<KafkaHandle*>(opaque)->delivery_opaque());
    if (writer->first_error_.ok())
      writer->first_error_ = writer->LetterError(message->err, message->len);
  }

  absl::Status LetterError(rd_kafka_resp_err_t code, size_t bytes) const {
    std::string what =
        fmt::format("a dead letter of {} bytes was not taken by topic {}", bytes, topic_name_);
    const std::optional<Fatal> fatal = FatalError();
    if (!fatal) return KafkaStatus(code, what);
    what += ": " + fatal->text;
    if (fatal->cause == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED) {
      what +=
          "; let an administrator allow the user IdempotentWrite on the cluster, or Write on the "
          "topic with newer brokers";
    }
    return KafkaStatus(fatal->cause, what);
  }

  void Forget() {
    rd_kafka_purge(handle_->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(handle_->get(), kPollMs);  // takes the reports of what was purged
  }

  Headers LetterHeaders(const RawRecords& records, const BadRecord& bad, absl::Time time) const {
    const RawRecord& record = records.records[bad.index];
    const RecordHeaders own = records.Headers(bad.index);
    Headers headers(rd_kafka_headers_new(own.size() + 9));
    for (const auto& [name, value] : own) Add(headers.get(), name, value);
    Add(headers.get(), "tidemark.topic", records.topic);
    Add(headers.get(), "tidemark.partition", std::to_string(records.partition));
    Add(headers.get(), "tidemark.offset", std::to_string(record.offset));
    Add(headers.get(), "tidemark.epoch", std::to_string(epoch_));
    Add(headers.get(), "tidemark.batch", std::to_string(batch_id_));
    if (record.timestamp_us != RawRecord::kNoTimestamp) {
      Add(headers.get(), "tidemark.timestamp", TimeText(record.timestamp_us));
    }
    Add(headers.get(), "tidemark.reason", BadReasonName(bad.reason));
    Add(headers.get(), "tidemark.detail", bad.detail);
    Add(headers.get(), "tidemark.time", TimeText(absl::ToUnixMicros(time)));
    return headers;
  }

  rd_kafka_resp_err_t Produce(const RawRecord& record, Headers headers) {
    const char* const key =
        record.has_key ? (record.key.data() != nullptr ? record.key.data() : "") : nullptr;
    const char* const value =
        record.has_value ? (record.value.data() != nullptr ? record.value.data() : "") : nullptr;
    const rd_kafka_resp_err_t code = rd_kafka_producev(
        handle_->get(), RD_KAFKA_V_RKT(topic_.get()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(key, record.key.size()),
        RD_KAFKA_V_VALUE(const_cast<char*>(value), record.value.size()),
        RD_KAFKA_V_HEADERS(headers.get()), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) headers.release();  // librdkafka's now
    return code;
  }

  const KafkaConnection connection_;
  const std::string topic_name_;
  std::shared_ptr<KafkaHandle> handle_;
  std::unique_ptr<rd_kafka_topic_t, DestroyTopic> topic_;  // goes before its handle
  absl::Status first_error_;
  int64_t epoch_ = 0;
  int64_t batch_id_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeadLetterWriter>> MakeKafkaDeadLetters(
    const KafkaDeadLettersOptions& options) {
  return KafkaDeadLetters::Make(options);
}

absl::Status CheckDeadLetterTopic(const KafkaDeadLettersOptions& options) {
  const absl::StatusOr<std::unique_ptr<KafkaClient>> client =
      KafkaClient::Make({.brokers = options.brokers, .properties = options.properties}, "",
                        {.defaults = {{"client.id", "tidemark"},
                                      {"reconnect.backoff.ms", "50"},
                                      {"reconnect.backoff.max.ms", "1000"}}});
  if (!client.ok()) return client.status();
  const absl::Status status = (*client)->CountPartitions(options.topic).status();
  if (!absl::IsNotFound(status)) return status;
  return absl::NotFoundError(
      fmt::format("Kafka at {} has no topic {} for dead letters: create it, or correct "
                  "--bad-records dead-letter:topic={}",
                  options.brokers, options.topic, options.topic));
}

}  // namespace tidemark
