#include "tidemark/operators/sinks/kafka_transactions.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <array>
#include <charconv>
#include <utility>

#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCallTimeoutMs = static_cast<int>(KafkaClient::kCallTimeout.count());
constexpr int kLastAbortTimeoutMs = 500;
// How long a full queue, or a flush, goes without a record being taken.
constexpr std::chrono::seconds kPatience{5};
// The same when brokers are known to be away.
constexpr std::chrono::seconds kPatienceWithoutBroker{2};
constexpr int kQueueFullWaitMs = 5;
constexpr int kFlushWaitMs = 50;

constexpr char kTimeoutProperty[] = "transaction.timeout.ms";
constexpr std::chrono::milliseconds kTransactionTimeout{300'000};

std::chrono::milliseconds TimeoutOf(const KafkaProperties& properties) {
  const auto given = properties.find(kTimeoutProperty);
  int64_t timeout_ms = kTransactionTimeout.count();
  if (given != properties.end()) {
    const std::string& text = given->second;
    std::from_chars(text.data(), text.data() + text.size(), timeout_ms);
  }
  return std::chrono::milliseconds(timeout_ms);
}

bool IsFencing(int code) {
  return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
         code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

rd_kafka_resp_err_t CodeOf(int code) { return static_cast<rd_kafka_resp_err_t>(code); }

// The status of an error after which nobody waits for an answer any more.
absl::Status FinalStatus(int code, const std::string& what) {
  const absl::Status status = KafkaStatus(code, what);
  return absl::IsDeadlineExceeded(status) ? absl::UnavailableError(status.message()) : status;
}

// Whether a queue gets shorter.
class QueueWatch {
 public:
  explicit QueueWatch(KafkaHandle& handle)
      : handle_(handle), length_(rd_kafka_outq_len(handle.get())) {}
  bool Stalled() {
    const int length = rd_kafka_outq_len(handle_.get());
    if (length < length_) since_ = Clock::now();
    length_ = length;
    const auto stalled = Clock::now() - since_;
    return stalled > kPatience ||
           (stalled > kPatienceWithoutBroker && !handle_.errors().last().empty());
  }

 private:
  KafkaHandle& handle_;
  int length_;
  Clock::time_point since_ = Clock::now();
};

struct DestroyMetadata {
  void operator()(rd_kafka_consumer_group_metadata_t* metadata) const {
    rd_kafka_consumer_group_metadata_destroy(metadata);
  }
};
struct DestroyList {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
struct DestroyHeaders {
  void operator()(rd_kafka_headers_t* headers) const { rd_kafka_headers_destroy(headers); }
};
using Headers = std::unique_ptr<rd_kafka_headers_t, DestroyHeaders>;

// librdkafka tells null from empty by the pointer.
char* Pointer(const KafkaTransactions::Bytes& bytes) {
  if (!bytes) return nullptr;
  return const_cast<char*>(bytes->data() != nullptr ? bytes->data() : "");
}

// ---- The calls of a transaction, each tried again while its error says so

rd_kafka_error_t* Init(rd_kafka_t* handle, const KafkaGroupOffset&,
                       const KafkaTransactions::Options&) {
  return rd_kafka_init_transactions(handle, kCallTimeoutMs);
}

rd_kafka_error_t* SendOffset(rd_kafka_t* handle, const KafkaGroupOffset& offset,
                             const KafkaTransactions::Options& options) {
  const std::unique_ptr<rd_kafka_topic_partition_list_t, DestroyList> list(
      rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t* const entry =
      rd_kafka_topic_partition_list_add(list.get(), options.topic.c_str(), 0);
  entry->offset = offset.offset;
  // The list frees it.
  entry->metadata = rd_kafka_mem_malloc(handle, offset.metadata.size() + 1);
  offset.metadata.copy(static_cast<char*>(entry->metadata), offset.metadata.size());
  entry->metadata_size = offset.metadata.size();
  const std::unique_ptr<rd_kafka_consumer_group_metadata_t, DestroyMetadata> group(
      rd_kafka_consumer_group_metadata_new(options.id.c_str()));
  return rd_kafka_send_offsets_to_transaction(handle, list.get(), group.get(), kCallTimeoutMs);
}

rd_kafka_error_t* EndWithCommit(rd_kafka_t* handle, const KafkaGroupOffset&,
                                const KafkaTransactions::Options&) {
  return rd_kafka_commit_transaction(handle, kCallTimeoutMs);
}

rd_kafka_error_t* EndWithAbort(rd_kafka_t* handle, const KafkaGroupOffset&,
                               const KafkaTransactions::Options&) {
  return rd_kafka_abort_transaction(handle, kCallTimeoutMs);
}

}  // namespace

// What the reports of the producer said; they come in the thread that polls, flushes, commits or
// aborts, of which there is one at a time.
struct KafkaTransactions::Delivery {
  int code = RD_KAFKA_RESP_ERR_NO_ERROR;
  int64_t row = 0;
  size_t bytes = 0;

  absl::Status status(const Options& options) const {
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
    const std::string what =
        fmt::format("{}, a record of {} bytes, was not taken by topic {}",
                    fmt::format(fmt::runtime(options.row_words), row), bytes, options.topic);
    if (code != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) return FinalStatus(code, what);
    return absl::InvalidArgumentError(
        fmt::format("{}: the topic's max.message.bytes is smaller than that, or than the records "
                    "that are sent at once (batch.size); raise the one or lower the other",
                    what));
  }
};

void KafkaTransactions::DestroyTopic::operator()(rd_kafka_topic_s* topic) const {
  rd_kafka_topic_destroy(topic);
}

absl::StatusOr<std::unique_ptr<KafkaTransactions>> KafkaTransactions::Make(Options options) {
  // What the user says about groups and isolation is meant for sources.
  KafkaConnection asking = options.connection;
  const KafkaProperties fixed = {{"group.id", options.id},
                                 {"isolation.level", "read_committed"},
                                 {"enable.auto.commit", "false"},
                                 {"allow.auto.create.topics", "false"}};
  for (const auto& [name, value] : fixed) asking.properties.erase(name);
  absl::StatusOr<std::unique_ptr<KafkaClient>> client =
      KafkaClient::Make(asking, options.id,
                        {.defaults = {{"client.id", "tidemark"},
                                      {"reconnect.backoff.ms", "50"},
                                      {"reconnect.backoff.max.ms", "1000"},
                                      {"retry.backoff.ms", "50"}},
                         .fixed = fixed});
  if (!client.ok()) return client.status();
  std::unique_ptr<KafkaTransactions> made(
      new KafkaTransactions(std::move(options), *std::move(client)));
  // Wrong options show now.
  const absl::Status status = made->MakeProducer();
  made->Drop();
  if (!status.ok()) return status;
  return made;
}

KafkaTransactions::KafkaTransactions(Options options, std::unique_ptr<KafkaClient> client)
    : options_(std::move(options)),
      timeout_(TimeoutOf(options_.connection.properties)),
      client_(std::move(client)),
      delivery_(std::make_unique<Delivery>()) {}

KafkaTransactions::~KafkaTransactions() {
  client_.reset();  // its thread's last call on the producer ends first
  if (producer_ == nullptr || !open_) return;
  rd_kafka_error_t* const error = rd_kafka_abort_transaction(producer_->get(), kLastAbortTimeoutMs);
  if (error != nullptr) rd_kafka_error_destroy(error);
}

absl::Status KafkaTransactions::MakeProducer() {
  absl::StatusOr<std::shared_ptr<KafkaHandle>> made = KafkaHandle::Make(
      KafkaHandle::Kind::kProducer, options_.connection,
      {.defaults = {{"client.id", "tidemark"},
                    {"linger.ms", "10"},
                    {"batch.num.messages", "100000"},
                    {"batch.size", "262144"},  // topics may take less than brokers do by default
                    {"message.max.bytes", "100000000"},
                    {"partitioner", "murmur2_random"},
                    {"queue.buffering.max.kbytes", "65536"},
                    {"queue.buffering.max.messages", "100000"},
                    {"reconnect.backoff.ms", "50"},
                    {"reconnect.backoff.max.ms", "1000"},
                    {"retry.backoff.ms", "5"},
                    {"topic.metadata.propagation.max.ms", "3000"},
                    {kTimeoutProperty, std::to_string(kTransactionTimeout.count())}},
       .fixed = {{"transactional.id", options_.id},
                 {"enable.idempotence", "true"},
                 {"delivery.report.only.error", "true"}},
       .on_delivery = &KafkaTransactions::OnDelivery,
       .delivery_opaque = this});
  if (!made.ok()) return made.status();
  producer_ = *std::move(made);
  topic_.reset(rd_kafka_topic_new(producer_->get(), options_.topic.c_str(), nullptr));
  if (topic_ != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("'{}' cannot be a topic's name", options_.topic));
}

void KafkaTransactions::Drop() {
  topic_.reset();
  producer_.reset();
  open_ = false;
}

void KafkaTransactions::OnDelivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message,
                                   void* opaque) {
  const auto* const handle = static_cast<KafkaHandle*>(opaque);
  Delivery& delivery = *static_cast<KafkaTransactions*>(handle->delivery_opaque())->delivery_;
  if (message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
      message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
    return;
  }
  // Of records that were sent at once, the largest is the one that was too large.
  const bool first = delivery.code == RD_KAFKA_RESP_ERR_NO_ERROR;
  if (!first && (message->err != delivery.code || message->len <= delivery.bytes)) return;
  delivery = {message->err, static_cast<int64_t>(reinterpret_cast<intptr_t>(message->_private)),
              message->len};
}

absl::Status KafkaTransactions::CreateTopic(int32_t partitions) {
  return client_->CreateTopic(options_.topic, partitions);
}

absl::StatusOr<std::optional<KafkaGroupOffset>> KafkaTransactions::TakeOver() {
  if (!fenced_.ok()) return fenced_;
  Drop();
  const absl::StatusOr<int32_t> partitions = client_->CountPartitions(options_.topic);
  if (absl::IsNotFound(partitions.status())) {
    return absl::NotFoundError(
        fmt::format("Kafka at {} has no topic {}: create it, or add "
                    "?create_topic=true to the sink",
                    options_.connection.brokers, options_.topic));
  }
  absl::Status status = partitions.status();
  if (status.ok()) status = MakeProducer();
  if (status.ok()) status = Transact(&Init, {}, "beginning to write");
  if (!status.ok()) {
    Drop();
    return status;
  }
  // Only now is an earlier transaction ended, and its offset there or gone.
  absl::StatusOr<std::optional<KafkaGroupOffset>> offset =
      client_->CommittedOffset(options_.topic, 0);
  if (!offset.ok()) Drop();
  return offset;
}

absl::Status KafkaTransactions::Transact(Call call, const KafkaGroupOffset& offset,
                                         const char* what) {
  struct Outcome {
    int code = RD_KAFKA_RESP_ERR_NO_ERROR;
    bool fatal = false;
    std::string text;
  };
  const auto outcome = std::make_shared<Outcome>();
  const absl::Status asked = client_->Ask(
      [outcome, call, offset, options = options_, handle = producer_]() -> absl::Status {
        rd_kafka_error_t* const error = call(handle->get(), offset, options);
        *outcome = {};
        if (error == nullptr) return absl::OkStatus();
        *outcome = {rd_kafka_error_code(error), rd_kafka_error_is_fatal(error) != 0,
                    rd_kafka_error_string(error)};
        const bool retriable = rd_kafka_error_is_retriable(error) != 0 && !outcome->fatal;
        rd_kafka_error_destroy(error);
        if (!retriable) return absl::OkStatus();
        return outcome->code == RD_KAFKA_RESP_ERR__TIMED_OUT
                   ? absl::DeadlineExceededError(outcome->text)
                   : absl::UnavailableError(outcome->text);
      });
  if (!asked.ok() || outcome->code == RD_KAFKA_RESP_ERR_NO_ERROR) return asked;
  return Judge(outcome->code, outcome->fatal, fmt::format("{}: {}", what, outcome->text));
}

// The status of an error that trying again does not help.
absl::Status KafkaTransactions::Judge(int code, bool fatal, const std::string& text) {
  std::array<char, 512> reason{};
  if (fatal) {
    const int cause = rd_kafka_fatal_error(producer_->get(), reason.data(), reason.size());
    if (cause != RD_KAFKA_RESP_ERR_NO_ERROR) code = cause;
  }
  const std::string what = fmt::format("topic {}: {}", options_.topic, text);
  if (IsFencing(code)) {
    // Brokers answer the same to a transaction that they ended because it took too long.
    if (open_ && Clock::now() - begun_ >= timeout_) {
      return absl::UnavailableError(
          fmt::format("{}: the transaction was open for longer than {}={}; if batches need that "
                      "long, raise it",
                      what, kTimeoutProperty, timeout_.count()));
    }
    fenced_ = absl::FailedPreconditionError(
        fmt::format("topic {}: another instance of this query has taken over ({}); only one may "
                    "run: this one writes nothing more",
                    options_.topic, options_.id));
    return fenced_;
  }
  if (code == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT) {
    return absl::InvalidArgumentError(fmt::format("{}; the brokers allow less than {}={}: lower it",
                                                  what, kTimeoutProperty, timeout_.count()));
  }
  if (code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE) {
    return absl::InvalidArgumentError(
        fmt::format("{}; the brokers know no transactions, which this sink needs", what));
  }
  return FinalStatus(code, what);
}

absl::Status KafkaTransactions::Begin() {
  *delivery_ = {};
  rd_kafka_error_t* const error = rd_kafka_begin_transaction(producer_->get());
  begun_ = Clock::now();
  open_ = error == nullptr;
  if (open_) return absl::OkStatus();
  const int code = rd_kafka_error_code(error);
  const bool fatal = rd_kafka_error_is_fatal(error) != 0;
  const std::string text = rd_kafka_error_string(error);
  rd_kafka_error_destroy(error);
  return Judge(code, fatal, text);
}

// Takes what the producer reports.
absl::Status KafkaTransactions::Served(int wait_ms) {
  rd_kafka_poll(producer_->get(), wait_ms);
  if (client_->cancelled()) return absl::CancelledError("writing to Kafka was stopped");
  if (IsFencing(delivery_->code))
    return Judge(delivery_->code, /*fatal=*/false, rd_kafka_err2str(CodeOf(delivery_->code)));
  return delivery_->status(options_);
}

// `send` hands the record to the producer.
template <typename Send>
absl::Status KafkaTransactions::Produce(size_t bytes, int64_t row, const Send& send) {
  std::optional<QueueWatch> watch;
  CrashPoint("sink between writes");
  while (true) {
    const rd_kafka_resp_err_t code = send();
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
    const bool full = code == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    if (const absl::Status status = Served(full ? kQueueFullWaitMs : 0); !status.ok())
      return status;
    if (code == RD_KAFKA_RESP_ERR__STATE || code == RD_KAFKA_RESP_ERR__FATAL) {
      // The transaction has failed: whatever is done next in it says why.
      const absl::Status why = Transact(&SendOffset, {}, "writing");
      return why.ok() ? absl::InternalError("a record was refused by an open transaction") : why;
    }
    if (!full) {
      Delivery refused{code, row, bytes};
      return refused.status(options_);
    }
    if (!watch) watch.emplace(*producer_);
    if (watch->Stalled()) return KafkaUnavailable(options_.connection, producer_->errors());
  }
}

absl::Status KafkaTransactions::Produce(Bytes key, Bytes value, int64_t row) {
  const size_t bytes = value ? value->size() : 0;
  return Produce(bytes, row, [&] {
    const int refused = rd_kafka_produce(topic_.get(), RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                                         Pointer(value), bytes, Pointer(key), key ? key->size() : 0,
                                         reinterpret_cast<void*>(static_cast<intptr_t>(row)));
    return refused == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
  });
}

absl::Status KafkaTransactions::Produce(const Record& record, int64_t row) {
  const size_t bytes = record.value ? record.value->size() : 0;
  const size_t key_bytes = record.key ? record.key->size() : 0;
  return Produce(bytes, row, [&] {
    Headers headers(rd_kafka_headers_new(record.headers.size()));
    for (const auto& [name, value] : record.headers) {
      rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()),
                          Pointer(value), value ? static_cast<ssize_t>(value->size()) : 0);
    }
    const rd_kafka_resp_err_t code = rd_kafka_producev(
        producer_->get(), RD_KAFKA_V_RKT(topic_.get()),
        RD_KAFKA_V_PARTITION(record.partition.value_or(RD_KAFKA_PARTITION_UA)),
        RD_KAFKA_V_TIMESTAMP(record.timestamp_ms.value_or(0)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(Pointer(record.value), bytes),
        RD_KAFKA_V_KEY(Pointer(record.key), key_bytes), RD_KAFKA_V_HEADERS(headers.get()),
        RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(static_cast<intptr_t>(row))), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) headers.release();  // librdkafka's now
    return code;
  });
}

absl::Status KafkaTransactions::Flush() {
  QueueWatch watch(*producer_);
  while (rd_kafka_flush(producer_->get(), kFlushWaitMs) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (const absl::Status status = Served(0); !status.ok()) return status;
    if (watch.Stalled()) return KafkaUnavailable(options_.connection, producer_->errors());
  }
  return Served(0);
}

absl::Status KafkaTransactions::Commit(const KafkaGroupOffset& offset) {
  absl::Status status = Flush();
  if (status.ok()) status = Transact(&SendOffset, offset, "writing the marker");
  if (!status.ok()) return status;
  CrashPoint("sink before commit");
  status = Transact(&EndWithCommit, {}, "committing");
  CrashPoint("sink after commit");
  if (status.ok()) {
    open_ = false;
    producer_->errors().Clear();
    return status;
  }
  // It may have gone through all the same: there is nothing left to abort.
  Drop();
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(
      fmt::format("a transaction on topic {} was sent and not answered: {}", options_.topic,
                  std::string(status.message())));
}

absl::Status KafkaTransactions::Abort(const absl::Status& failure) {
  // When stopped, the end of this object aborts.
  if (client_->cancelled()) return absl::CancelledError("writing to Kafka was stopped");
  if (producer_ != nullptr && open_ && fenced_.ok()) {
    Transact(&EndWithAbort, {}, "aborting").IgnoreError();
  }
  Drop();
  return fenced_.ok() ? failure : fenced_;
}

}  // namespace tidemark
