#ifndef TIDEMARK_TESTS_SERVERS_KAFKA_SERVER_H_
#define TIDEMARK_TESTS_SERVERS_KAFKA_SERVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark::testing {

/// One record to write, or one that was read.
struct KafkaRecord {
  std::optional<std::string> key = std::nullopt;
  std::optional<std::string> value = std::nullopt;  // nullopt: a tombstone
  std::vector<std::pair<std::string, std::optional<std::string>>> headers = {};
  std::optional<int64_t> timestamp_ms = std::nullopt;  // nullopt when writing: now
  /// Only when read.
  int32_t partition = 0;
  int64_t offset = -1;
};

struct KafkaOffsets {
  int64_t earliest = 0;     // the first offset still in the log
  int64_t last_stable = 0;  // where a read_committed consumer stops: the end of the log, or the
                            /// beginning of the first open transaction
};

struct KafkaServerOptions {
  /// Broker properties on top of (and winning over) our own, for example {"message.max.bytes",
  /// "1000"}.
  std::map<std::string, std::string> properties = {};
  std::vector<std::string> jvm_args = {"-Xmx512m"};
  /// Name and password that a second listener asks for (SASL_PLAINTEXT, PLAIN); this object itself
  /// speaks over the first.
  std::optional<std::pair<std::string, std::string>> login = std::nullopt;
};

/// A transaction that the test leaves open for as long as it likes. When the object goes without
/// Commit or Abort, the transaction stays open on the broker until its timeout of one minute.
class KafkaTransaction {
 public:
  ~KafkaTransaction();
  KafkaTransaction(const KafkaTransaction&) = delete;
  KafkaTransaction& operator=(const KafkaTransaction&) = delete;

  /// The records are in the log (uncommitted) when this returns.
  absl::Status Produce(std::string_view topic, int32_t partition,
                       const std::vector<KafkaRecord>& records);
  absl::Status Commit();
  absl::Status Abort();

 private:
  friend class KafkaServer;
  struct Impl;
  explicit KafkaTransaction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A real Kafka broker (3.9.1, KRaft mode, one node) for one test: on free loopback ports, in a
/// temporary folder, a child process that ends with this object and with the test program. Topics
/// are not created by themselves; topics of the broker's own have one partition and one replica; a
/// message may have 32 MiB. The jars come from the folder $TIDEMARK_KAFKA_LIBS, else from where
/// scripts/setup puts them.
//
/// Every call waits until the broker has done what is asked (a topic created is a topic that can be
/// written; a topic deleted is gone from the metadata) for at most 30 seconds; DeadlineExceeded
/// after that. Threading: calls that speak to the broker may come from any thread, also while
/// another one stops or kills it (they then fail or wait); Stop, Kill, Restart, Pause and Resume
/// from one thread at a time.
class KafkaServer {
 public:
  /// Returns when the broker answers (about 2 seconds). NotFound when the jars or java are missing.
  static absl::StatusOr<std::unique_ptr<KafkaServer>> Start(KafkaServerOptions options = {});

  ~KafkaServer();
  KafkaServer(const KafkaServer&) = delete;
  KafkaServer& operator=(const KafkaServer&) = delete;

  /// "127.0.0.1:PORT", the same for the life of this object.
  const std::string& brokers() const { return brokers_; }
  /// The same of the listener that wants a login, if there is one.
  const std::string& login_brokers() const { return login_brokers_; }
  int port() const { return port_; }
  pid_t pid() const;
  /// What the broker has printed (warnings and errors).
  std::string Log() const;

  /// Clean stop (SIGTERM; SIGKILL after 20 seconds).
  absl::Status Stop();
  /// SIGKILL: what a power cut leaves, but for the page cache.
  absl::Status Kill();
  /// Starts it again on the same port and data; kills it first if it runs. Returns when every
  /// partition has a leader.
  absl::Status Restart();
  /// SIGSTOP and SIGCONT: the broker hangs, its connections stay open.
  absl::Status Pause();
  absl::Status Resume();

  absl::Status CreateTopic(std::string_view name, int32_t partitions,
                           const std::map<std::string, std::string>& config = {});
  absl::Status DeleteTopic(std::string_view name);
  /// `total` is the new number of partitions.
  absl::Status AddPartitions(std::string_view name, int32_t total);
  /// Removes the records below `before_offset`, as retention does; -1: all of them.
  absl::Status DeleteRecords(std::string_view topic, int32_t partition, int64_t before_offset);

  /// Appends the records in their order. All are acknowledged when this returns.
  absl::Status Produce(std::string_view topic, int32_t partition,
                       const std::vector<KafkaRecord>& records);
  /// The same for many records without a key: value(0), ..., value(count - 1); with timestamp_ms(i)
  /// as their timestamps when given, else now. About a million records in three seconds.
  absl::Status ProduceMany(std::string_view topic, int32_t partition, int64_t count,
                           const std::function<std::string(int64_t)>& value,
                           const std::function<int64_t(int64_t)>& timestamp_ms = nullptr);
  /// A transaction with these records, committed or aborted (then the records are in the log, and
  /// read_committed consumers do not see them). Either way it ends with a control record, which
  /// takes an offset. Not while another transaction is open in the partition.
  absl::Status ProduceTransaction(std::string_view topic, int32_t partition,
                                  const std::vector<KafkaRecord>& records, bool commit);
  absl::StatusOr<std::unique_ptr<KafkaTransaction>> BeginTransaction();

  absl::StatusOr<KafkaOffsets> Offsets(std::string_view topic, int32_t partition);
  /// The offset that `group` has committed for the partition, or nullopt.
  absl::StatusOr<std::optional<int64_t>> CommittedOffset(std::string_view group,
                                                         std::string_view topic, int32_t partition);
  /// Every record from the earliest to the last stable offset, partition by partition (with
  /// read_committed false: to the end of the log, aborted records too).
  absl::StatusOr<std::vector<KafkaRecord>> ReadTopic(std::string_view topic,
                                                     bool read_committed = true);

 private:
  KafkaServer(KafkaServerOptions options, std::string libs);
  /// Picks ports and writes the configuration and the identity of a new, empty broker.
  absl::Status Configure();
  absl::Status Launch();
  absl::Status WaitUntilReady();
  /// Unavailable with the end of the broker's log when its process has ended.
  absl::Status CheckAlive() const;
  /// Asks for the topic's metadata until it has exactly `partitions` partitions, each with a leader
  /// (0: until the topic is gone).
  absl::Status WaitForTopic(std::string_view name, int32_t partitions);

  const KafkaServerOptions options_;
  const std::string libs_;
  TempDir dir_;
  int port_ = 0;
  std::string brokers_;
  std::string login_brokers_;
  std::unique_ptr<Process> process_;
  std::atomic<int64_t> transactions_{0};  // for unique transactional ids
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_KAFKA_SERVER_H_
