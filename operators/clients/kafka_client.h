#ifndef TIDEMARK_OPERATORS_CLIENTS_KAFKA_CLIENT_H_
#define TIDEMARK_OPERATORS_CLIENTS_KAFKA_CLIENT_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct rd_kafka_s;
struct rd_kafka_message_s;
struct rd_kafka_queue_s;

namespace tidemark {

using KafkaProperties = std::map<std::string, std::string>;

/// True if the value of a property of this name is a secret (`sasl.password`, `ssl.key.password`,
/// also misspelt): it belongs neither on a command line nor into a message.
bool IsKafkaSecret(std::string_view property);

/// Where a cluster is and how to speak to it.
struct KafkaConnection {
  std::string brokers = {};  ///< `HOST:PORT,...`
  KafkaProperties properties =
      {};  ///< the user's, under librdkafka's names (`kafka.` taken off); they win over ours
};

/// What the threads behind a handle last reported. Thread-safe.
class KafkaErrors {
 public:
  void Note(int code, std::string_view text);
  /// Something was heard from a broker.
  void Clear();
  /// The last error in the client's words; empty if there was none since Clear.
  std::string last() const;
  bool login_refused() const;

 private:
  mutable std::mutex mutex_;
  std::string last_;
  bool login_refused_ = false;
};

/// A librdkafka handle. Shared by whoever still holds messages of it: it may only go after the last
/// one. Its end takes milliseconds and never waits for a broker.
class KafkaHandle {
 public:
  enum class Kind { kConsumer, kProducer };
  using DeliveryReport = void (*)(rd_kafka_s*, const rd_kafka_message_s*, void* opaque);

  struct Options {
    KafkaProperties defaults = {};  ///< the user may set these otherwise
    KafkaProperties fixed = {};     ///< the user may not set these: what we do depends on them
    DeliveryReport on_delivery = nullptr;
    /// on_delivery finds it as static_cast<KafkaHandle*>(opaque)->delivery_opaque().
    void* delivery_opaque = nullptr;
  };

  /// Connects to nothing yet. InvalidArgument names the property that is unknown, wrong or not the
  /// user's to set.
  static absl::StatusOr<std::shared_ptr<KafkaHandle>> Make(Kind kind,
                                                           const KafkaConnection& connection,
                                                           const Options& options);
  ~KafkaHandle();
  KafkaHandle(const KafkaHandle&) = delete;
  KafkaHandle& operator=(const KafkaHandle&) = delete;

  rd_kafka_s* get() const { return handle_; }
  KafkaErrors& errors() { return errors_; }
  void* delivery_opaque() const { return delivery_opaque_; }
  /// Lets the handle's threads report what went wrong, and clears nothing.
  void ServeErrors();

 private:
  explicit KafkaHandle(void* delivery_opaque) : delivery_opaque_(delivery_opaque) {}

  rd_kafka_s* handle_ = nullptr;
  void* const delivery_opaque_;
  KafkaErrors errors_;
};

/// `no Kafka broker answers at HOST:PORT: <reason>; trying again`.
absl::Status KafkaUnavailable(const KafkaConnection& connection, const KafkaErrors& errors);
/// The status for an error of the client, `what` first: which ones are worth trying again, which
/// are the user's.
absl::Status KafkaStatus(int code, std::string_view what);

/// A place in a log and what a query found there.
struct KafkaPosition {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
  bool exists = true;  ///< false: the cluster has no such partition (any more)
};

/// What a group has committed for a partition.
struct KafkaGroupOffset {
  int64_t offset = 0;
  std::string metadata;
};

/// Questions to a cluster, and the offsets that lag tools look at. librdkafka's calls block and
/// cannot be interrupted, so a thread of this object makes them and the caller waits: for the
/// answer, the deadline or Cancel. One caller at a time, but Cancel and RunSoon, which any thread
/// may call. Errors: Unavailable = no broker answers, or not all (with the reason); NotFound = no
/// such topic; InvalidArgument and PermissionDenied = login or rights; Cancelled.
class KafkaClient {
 public:
  /// `group` is whose offsets Commit sets, unless the user gave `group.id`.
  static absl::StatusOr<std::unique_ptr<KafkaClient>> Make(const KafkaConnection& connection,
                                                           const std::string& group,
                                                           const KafkaHandle::Options& options);
  /// Waits for the last Commit for half a second at most, and for a call in progress for
  /// kCallTimeout at most.
  ~KafkaClient();
  KafkaClient(const KafkaClient&) = delete;
  KafkaClient& operator=(const KafkaClient&) = delete;

  absl::StatusOr<int32_t> CountPartitions(const std::string& topic);
  enum class Which { kEarliest, kLastStable };
  /// Sets each position's offset, or `exists` to false.
  absl::Status FindOffsets(Which which, std::vector<KafkaPosition>& positions);
  /// As FindOffsets: the first record of the position's timestamp (`offset`, in milliseconds) or a
  /// later one; -1: there is none.
  absl::Status FindTimes(std::vector<KafkaPosition>& positions);

  /// The group's own, of committed transactions only; waits for one that is under way.
  absl::StatusOr<std::optional<KafkaGroupOffset>> CommittedOffset(const std::string& topic,
                                                                  int32_t partition);
  /// Returns when the topic can be asked for; OK too if it exists already. `partitions` 0: as many
  /// as the cluster makes by default.
  absl::Status CreateTopic(const std::string& topic, int32_t partitions);

  /// Has the thread call `call`, which may block for kCallTimeout, again and again while it answers
  /// DeadlineExceeded (nobody answered) or Unavailable, for five seconds at most. `call` owns what
  /// it uses: a cancelled caller does not wait for it.
  absl::Status Ask(std::function<absl::Status()> call);

  /// Starts to commit the group's offsets and returns; while a commit is under way, only the newest
  /// offsets are kept for the next one. Returns how the one before ended.
  absl::Status Commit(std::vector<KafkaPosition> positions);

  /// Runs `task`, which may block for kCallTimeout, after what is under way. At most one waits:
  /// more are dropped.
  void RunSoon(std::function<void()> task);

  void Cancel();
  bool cancelled() const { return cancelled_; }
  KafkaHandle& handle() { return *handle_; }
  const KafkaConnection& connection() const { return connection_; }

  static constexpr std::chrono::milliseconds kCallTimeout{1'200};

 private:
  KafkaClient(KafkaConnection connection, std::string group, std::shared_ptr<KafkaHandle> handle);
  void Work();
  absl::Status TakeCommitResult(std::chrono::milliseconds timeout);
  void StartCommit(const std::vector<KafkaPosition>& positions);

  const KafkaConnection connection_;
  const std::string group_;
  const std::shared_ptr<KafkaHandle> handle_;
  rd_kafka_queue_s* commit_results_ = nullptr;
  bool committing_ = false;
  std::optional<std::vector<KafkaPosition>> next_commit_;

  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> question_;  // guarded by mutex_, as all below
  std::function<void()> soon_;
  bool closing_ = false;
  std::thread worker_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_CLIENTS_KAFKA_CLIENT_H_
