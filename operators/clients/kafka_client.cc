#include "tidemark/operators/clients/kafka_client.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <utility>

#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

// How long a question is asked again when brokers are reachable but slow.
constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::milliseconds kRetryInterval{50};
constexpr std::chrono::milliseconds kLastCommitTimeout{500};

void OnError(rd_kafka_t* /*handle*/, int code, const char* reason, void* opaque) {
  static_cast<KafkaHandle*>(opaque)->errors().Note(code, reason);
}

// The moment between a commit's request and its answer is seen by the client alone.
#ifdef TIDEMARK_CRASH_POINTS
rd_kafka_resp_err_t OnRequestSent(rd_kafka_t*, int, const char*, int32_t, int16_t api_key, int16_t,
                                  int32_t, size_t, void*) {
  constexpr int16_t kEndTxn = 26;
  if (api_key == kEndTxn) CrashPoint("sink commit sent");
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}
rd_kafka_resp_err_t OnNew(rd_kafka_t* handle, const rd_kafka_conf_t*, void*, char*, size_t) {
  return rd_kafka_interceptor_add_on_request_sent(handle, "crash", OnRequestSent, nullptr);
}
void AddCrashPoints(rd_kafka_conf_t* conf) {
  rd_kafka_conf_interceptor_add_on_new(conf, "crash", OnNew, nullptr);
}
// Of a handle that could not be made: librdkafka 2.0.2 has freed the interceptors, and would do it
// again with the rest.
void DestroyRefused(rd_kafka_conf_t* conf) {
  [[maybe_unused]] static rd_kafka_conf_t* volatile kept;
  kept = conf;
}
#else
void AddCrashPoints(rd_kafka_conf_t*) {}
void DestroyRefused(rd_kafka_conf_t* conf) { rd_kafka_conf_destroy(conf); }
#endif

struct DestroyList {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
struct DestroyEvent {
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
struct DestroyNewTopic {
  void operator()(rd_kafka_NewTopic_t* topic) const { rd_kafka_NewTopic_destroy(topic); }
};
struct DestroyQueue {
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, DestroyList>;

PartitionList ToList(const std::vector<KafkaPosition>& positions) {
  PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const KafkaPosition& position : positions) {
    rd_kafka_topic_partition_list_add(list.get(), position.topic.c_str(), position.partition)
        ->offset = position.offset;
  }
  return list;
}

bool IsUnknownPartition(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
         code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

// One try; DeadlineExceeded if nobody answered in time.
absl::StatusOr<int32_t> AskPartitionCount(rd_kafka_t* handle, const std::string& topic) {
  rd_kafka_topic_t* const only = rd_kafka_topic_new(handle, topic.c_str(), nullptr);
  if (only == nullptr) return KafkaStatus(rd_kafka_last_error(), fmt::format("topic {}", topic));
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t code = rd_kafka_metadata(
      handle, 0, only, &metadata, static_cast<int>(KafkaClient::kCallTimeout.count()));
  rd_kafka_topic_destroy(only);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
    return KafkaStatus(code, fmt::format("asking for topic {}", topic));
  rd_kafka_resp_err_t topic_code = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  int32_t count = 0;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    if (topic != metadata->topics[i].topic) continue;
    topic_code = metadata->topics[i].err;
    count = metadata->topics[i].partition_cnt;
  }
  rd_kafka_metadata_destroy(metadata);
  if (topic_code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' cannot be a topic's name; take up to 249 of A-Z, a-z, 0-9, '.', '_' and "
                    "'-'",
                    topic));
  }
  if (topic_code != RD_KAFKA_RESP_ERR_NO_ERROR)
    return KafkaStatus(topic_code, fmt::format("topic {}", topic));
  return count;
}

// Their offsets say what to ask for: a timestamp, or RD_KAFKA_OFFSET_BEGINNING or _END.
absl::Status AskOffsets(rd_kafka_t* handle, std::vector<KafkaPosition>& positions) {
  const PartitionList list = ToList(positions);
  const rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(
      handle, list.get(), static_cast<int>(KafkaClient::kCallTimeout.count()));
  // On a timeout the elements look as if all were well: the code says it.
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR && !IsUnknownPartition(code))
    return KafkaStatus(code, "asking for offsets");
  for (size_t i = 0; i < positions.size(); ++i) {
    const rd_kafka_topic_partition_t& found = list->elems[i];
    positions[i].exists = !IsUnknownPartition(found.err);
    if (!positions[i].exists) continue;
    if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return KafkaStatus(found.err, fmt::format("asking for the offsets of topic {} partition {}",
                                                found.topic, found.partition));
    }
    const bool none_so_late = positions[i].offset >= 0 && found.offset == RD_KAFKA_OFFSET_END;
    if (found.offset < 0 && !none_so_late) {
      return absl::DeadlineExceededError(
          fmt::format("topic {} partition {} has no leader now", found.topic, found.partition));
    }
    positions[i].offset = found.offset;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<KafkaGroupOffset>> AskCommitted(rd_kafka_t* handle,
                                                             const KafkaPosition& position) {
  const PartitionList list = ToList({position});
  const rd_kafka_resp_err_t code =
      rd_kafka_committed(handle, list.get(), static_cast<int>(KafkaClient::kCallTimeout.count()));
  const rd_kafka_topic_partition_t& found = list->elems[0];
  const rd_kafka_resp_err_t failure = code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : found.err;
  if (failure != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return KafkaStatus(failure,
                       fmt::format("asking for the committed offset of topic {}", position.topic));
  }
  if (found.offset < 0) return std::nullopt;
  return KafkaGroupOffset{
      found.offset, std::string(static_cast<const char*>(found.metadata), found.metadata_size)};
}

absl::Status AskForTopic(rd_kafka_t* handle, const std::string& topic, int32_t partitions) {
  constexpr int kClusterDefault = -1;
  std::array<char, 512> error{};
  const std::unique_ptr<rd_kafka_NewTopic_t, DestroyNewTopic> wanted(
      rd_kafka_NewTopic_new(topic.c_str(), partitions > 0 ? partitions : kClusterDefault,
                            kClusterDefault, error.data(), error.size()));
  if (wanted == nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("topic {} with {} partitions: {}", topic, partitions, error.data()));
  }
  const std::unique_ptr<rd_kafka_queue_t, DestroyQueue> answers(rd_kafka_queue_new(handle));
  rd_kafka_NewTopic_t* topics = wanted.get();
  rd_kafka_CreateTopics(handle, &topics, 1, nullptr, answers.get());
  const std::unique_ptr<rd_kafka_event_t, DestroyEvent> event(
      rd_kafka_queue_poll(answers.get(), static_cast<int>(KafkaClient::kCallTimeout.count())));
  const std::string what = fmt::format("making topic {}", topic);
  if (event == nullptr) return KafkaStatus(RD_KAFKA_RESP_ERR__TIMED_OUT, what);
  if (rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR)
    return KafkaStatus(rd_kafka_event_error(event.get()), what);
  size_t count = 0;
  const rd_kafka_topic_result_t* const* const results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
      const char* const reason = rd_kafka_topic_result_error_string(results[i]);
      return KafkaStatus(code, reason == nullptr ? what : fmt::format("{}: {}", what, reason));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void KafkaErrors::Note(int code, std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) login_refused_ = true;
  // `2/2 brokers are down` says less than what went before it.
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !last_.empty()) return;
  last_ = text.substr(0, text.find(" (after "));
}

void KafkaErrors::Clear() {
  const std::lock_guard lock(mutex_);
  last_.clear();
  login_refused_ = false;
}

std::string KafkaErrors::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

bool KafkaErrors::login_refused() const {
  const std::lock_guard lock(mutex_);
  return login_refused_;
}

absl::StatusOr<std::shared_ptr<KafkaHandle>> KafkaHandle::Make(Kind kind,
                                                               const KafkaConnection& connection,
                                                               const Options& options) {
  KafkaProperties properties = options.defaults;
  for (const auto& [name, value] : connection.properties) {
    if (options.fixed.contains(name) || name == "bootstrap.servers" ||
        name == "metadata.broker.list") {
      return absl::InvalidArgumentError(fmt::format("option kafka.{} cannot be set: {}", name,
                                                    options.fixed.contains(name)
                                                        ? "the engine sets it itself"
                                                        : "the brokers are given by --brokers"));
    }
    properties.insert_or_assign(name, value);
  }
  properties.insert(options.fixed.begin(), options.fixed.end());
  properties.insert_or_assign("bootstrap.servers", connection.brokers);

  std::shared_ptr<KafkaHandle> made(new KafkaHandle(options.delivery_opaque));
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  std::array<char, 512> error{};
  for (const auto& [name, value] : properties) {
    const rd_kafka_conf_res_t result =
        rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error.data(), error.size());
    if (result == RD_KAFKA_CONF_OK) continue;
    rd_kafka_conf_destroy(conf);
    // The value of a property that there is none of may be anything.
    const bool shown = result != RD_KAFKA_CONF_UNKNOWN && !IsKafkaSecret(name);
    return absl::InvalidArgumentError(fmt::format(
        "option kafka.{}{}: {}", name, shown ? fmt::format(" = '{}'", value) : "", error.data()));
  }
  // What goes wrong is said by statuses; the client's own log is for those who ask for it with
  // kafka.debug.
  if (!connection.properties.contains("debug")) rd_kafka_conf_set_log_cb(conf, nullptr);
  rd_kafka_conf_set_error_cb(conf, OnError);
  rd_kafka_conf_set_opaque(conf, made.get());
  if (options.on_delivery != nullptr) rd_kafka_conf_set_dr_msg_cb(conf, options.on_delivery);
  AddCrashPoints(conf);
  made->handle_ = rd_kafka_new(kind == Kind::kConsumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER,
                               conf, error.data(), error.size());
  if (made->handle_ == nullptr) {
    DestroyRefused(conf);
    return absl::InvalidArgumentError(
        fmt::format("Kafka options do not fit together: {}", error.data()));
  }
  return made;
}

bool IsKafkaSecret(std::string_view property) {
  std::string name(property);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::string_view kWords[] = {"pass", "pwd",         "secret",
                                         "jaas", "ssl.key.pem", "sasl.oauthbearer.config"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view word) { return name.find(word) != std::string::npos; });
}

KafkaHandle::~KafkaHandle() {
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void KafkaHandle::ServeErrors() { rd_kafka_poll(handle_, 0); }

absl::Status KafkaUnavailable(const KafkaConnection& connection, const KafkaErrors& errors) {
  const std::string reason = errors.last();
  if (errors.login_refused()) {
    return absl::InvalidArgumentError(fmt::format(
        "Kafka at {} refuses the login: {}; check the kafka.sasl.* and kafka.ssl.* options",
        connection.brokers, reason));
  }
  return absl::UnavailableError(fmt::format("no Kafka broker answers at {}: {}; trying again",
                                            connection.brokers,
                                            reason.empty() ? "no answer in time" : reason));
}

absl::Status KafkaStatus(int code, std::string_view what) {
  const auto kafka_code = static_cast<rd_kafka_resp_err_t>(code);
  const std::string message = fmt::format("{}: {}", what, rd_kafka_err2str(kafka_code));
  switch (kafka_code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return absl::NotFoundError(message);
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
      return absl::InvalidArgumentError(message);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return absl::PermissionDeniedError(message);
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
      return absl::DeadlineExceededError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::unique_ptr<KafkaClient>> KafkaClient::Make(
    const KafkaConnection& connection, const std::string& group,
    const KafkaHandle::Options& options) {
  const auto users_group = connection.properties.find("group.id");
  absl::StatusOr<std::shared_ptr<KafkaHandle>> handle =
      KafkaHandle::Make(KafkaHandle::Kind::kConsumer, connection, options);
  if (!handle.ok()) return handle.status();
  return std::unique_ptr<KafkaClient>(new KafkaClient(
      connection, users_group != connection.properties.end() ? users_group->second : group,
      *std::move(handle)));
}

KafkaClient::KafkaClient(KafkaConnection connection, std::string group,
                         std::shared_ptr<KafkaHandle> handle)
    : connection_(std::move(connection)),
      group_(std::move(group)),
      handle_(std::move(handle)),
      commit_results_(rd_kafka_queue_new(handle_->get())),
      worker_([this] { Work(); }) {}

KafkaClient::~KafkaClient() {
  if (TakeCommitResult(kLastCommitTimeout).ok() && next_commit_.has_value()) {
    StartCommit(*next_commit_);
    TakeCommitResult(kLastCommitTimeout).IgnoreError();
  }
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  worker_.join();
  rd_kafka_queue_destroy(commit_results_);
}

void KafkaClient::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || question_ || soon_; });
    if (closing_) return;
    const std::function<void()> task = std::exchange(question_ ? question_ : soon_, nullptr);
    lock.unlock();
    task();
    lock.lock();
  }
}

absl::Status KafkaClient::Ask(std::function<absl::Status()> call) {
  struct Answer {
    std::optional<absl::Status> status;
  };
  // Shared with the thread: a cancelled caller leaves before the answer comes.
  const auto answer = std::make_shared<Answer>();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::unique_lock lock(mutex_);
  question_ = [this, answer, deadline, call = std::move(call)] {
    absl::Status status;
    while (true) {
      status = call();
      handle_->ServeErrors();
      // Nobody answered and nothing says why; or leaders are being elected.
      const bool again = absl::IsUnavailable(status) ||
                         (absl::IsDeadlineExceeded(status) && handle_->errors().last().empty());
      if (!again || cancelled_ || std::chrono::steady_clock::now() >= deadline) break;
      std::this_thread::sleep_for(kRetryInterval);
    }
    if (absl::IsDeadlineExceeded(status)) {
      status = KafkaUnavailable(connection_, handle_->errors());
    } else {
      handle_->errors().Clear();
    }
    const std::lock_guard answer_lock(mutex_);
    answer->status = std::move(status);
    changed_.notify_all();
  };
  changed_.notify_all();
  changed_.wait(lock, [&] { return cancelled_ || answer->status.has_value(); });
  if (cancelled_) return absl::CancelledError("a call to Kafka was stopped");
  return *answer->status;
}

absl::StatusOr<int32_t> KafkaClient::CountPartitions(const std::string& topic) {
  const auto count = std::make_shared<int32_t>(0);
  const absl::Status status = Ask([count, topic, handle = handle_]() -> absl::Status {
    const absl::StatusOr<int32_t> answer = AskPartitionCount(handle->get(), topic);
    if (!answer.ok()) return answer.status();
    *count = *answer;
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return *count;
}

absl::Status KafkaClient::FindOffsets(Which which, std::vector<KafkaPosition>& positions) {
  std::vector<KafkaPosition> asked = positions;
  for (KafkaPosition& position : asked) {
    position.offset = which == Which::kEarliest ? RD_KAFKA_OFFSET_BEGINNING : RD_KAFKA_OFFSET_END;
  }
  const absl::Status status = FindTimes(asked);
  if (status.ok()) positions = std::move(asked);
  return status;
}

absl::Status KafkaClient::FindTimes(std::vector<KafkaPosition>& positions) {
  if (positions.empty()) return absl::OkStatus();
  const auto found = std::make_shared<std::vector<KafkaPosition>>();
  const absl::Status status = Ask([found, positions, handle = handle_] {
    *found = positions;
    return AskOffsets(handle->get(), *found);
  });
  if (status.ok()) positions = *found;
  return status;
}

absl::StatusOr<std::optional<KafkaGroupOffset>> KafkaClient::CommittedOffset(
    const std::string& topic, int32_t partition) {
  const auto found = std::make_shared<std::optional<KafkaGroupOffset>>();
  const absl::Status status =
      Ask([found, position = KafkaPosition{topic, partition}, handle = handle_]() -> absl::Status {
        absl::StatusOr<std::optional<KafkaGroupOffset>> answer =
            AskCommitted(handle->get(), position);
        if (!answer.ok()) return answer.status();
        *found = *std::move(answer);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return *found;
}

absl::Status KafkaClient::CreateTopic(const std::string& topic, int32_t partitions) {
  return Ask([topic, partitions, handle = handle_] {
    const absl::Status made = AskForTopic(handle->get(), topic, partitions);
    if (!made.ok()) return made;
    // The broker that is asked next may hear of it a moment later.
    const absl::Status known = AskPartitionCount(handle->get(), topic).status();
    return absl::IsNotFound(known) ? absl::UnavailableError(std::string(known.message())) : known;
  });
}

// Through the admin API: a commit of the consumer's own, if no broker answers it, would hold up the
// end of the handle for a minute.
void KafkaClient::StartCommit(const std::vector<KafkaPosition>& positions) {
  const PartitionList list = ToList(positions);
  rd_kafka_AlterConsumerGroupOffsets_t* request =
      rd_kafka_AlterConsumerGroupOffsets_new(group_.c_str(), list.get());
  rd_kafka_AlterConsumerGroupOffsets(handle_->get(), &request, 1, nullptr, commit_results_);
  rd_kafka_AlterConsumerGroupOffsets_destroy(request);
  committing_ = true;
}

absl::Status KafkaClient::TakeCommitResult(std::chrono::milliseconds timeout) {
  if (!committing_) return absl::OkStatus();
  const std::unique_ptr<rd_kafka_event_t, DestroyEvent> event(
      rd_kafka_queue_poll(commit_results_, static_cast<int>(timeout.count())));
  if (event == nullptr) {
    return absl::UnavailableError("the last commit of group offsets is still under way");
  }
  committing_ = false;
  rd_kafka_resp_err_t code = rd_kafka_event_error(event.get());
  const rd_kafka_AlterConsumerGroupOffsets_result_t* const result =
      rd_kafka_event_AlterConsumerGroupOffsets_result(event.get());
  size_t groups = 0;
  const rd_kafka_group_result_t* const* const results =
      result != nullptr ? rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &groups)
                        : nullptr;
  for (size_t g = 0; g < groups && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++g) {
    const rd_kafka_error_t* const error = rd_kafka_group_result_error(results[g]);
    if (error != nullptr) code = rd_kafka_error_code(error);
    const rd_kafka_topic_partition_list_t* const list =
        rd_kafka_group_result_partitions(results[g]);
    for (int i = 0; list != nullptr && i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
      code = list->elems[i].err;
    }
  }
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return KafkaStatus(code, fmt::format("committing offsets of group {}", group_));
}

absl::Status KafkaClient::Commit(std::vector<KafkaPosition> positions) {
  absl::Status before = TakeCommitResult(std::chrono::milliseconds(0));
  if (committing_) {
    next_commit_ = std::move(positions);
    return before;
  }
  next_commit_.reset();
  StartCommit(positions);
  return before;
}

void KafkaClient::RunSoon(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (!soon_) soon_ = std::move(task);
  changed_.notify_all();
}

void KafkaClient::Cancel() {
  cancelled_ = true;
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

}  // namespace tidemark
