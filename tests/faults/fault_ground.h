#ifndef TIDEMARK_TESTS_FAULTS_FAULT_GROUND_H_
#define TIDEMARK_TESTS_FAULTS_FAULT_GROUND_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark::testing {

/// A run of `fault_job` with a checkpoint and a sink of its own: the same run again goes on from
/// that checkpoint.
struct FaultRun {
  std::string name;          ///< of the checkpoint, and of the sink's table, topic or folder
  std::string topic;         ///< it reads
  std::string sink;          ///< mysql, json, kafka or parquet
  std::string mode;          ///< append, update or complete
  int database_port = 0;     ///< of a proxy in front of MariaDB; 0: none
  std::string brokers = {};  ///< of a proxy in front of the broker; empty: none
};

/// Waits until `done`, looking every few milliseconds: false if it is not within `limit`.
bool WaitFor(absl::Duration limit, const std::function<bool()>& done);

/// A broker, a MariaDB and a folder in which runs of `fault_job` live. One thread, but for the
/// servers.
class FaultGround {
 public:
  static absl::StatusOr<std::unique_ptr<FaultGround>> Start();

  /// What a run needs of its sink before it starts: a topic, if it writes one.
  absl::Status Prepare(const FaultRun& run);
  /// The program with its flags, `more` of them behind.
  ProcessOptions Options(const FaultRun& run, const std::vector<std::string>& more) const;
  /// What is in the run's sink, a text a row, as other programs than ours read it.
  absl::StatusOr<std::vector<std::string>> Rows(const FaultRun& run) const;

  KafkaServer& kafka() { return *kafka_; }
  MariaDbServer& mariadb() { return *mariadb_; }
  std::string Path(std::string_view name) const { return dir_.Path(name); }

 private:
  FaultGround() = default;

  std::unique_ptr<KafkaServer> kafka_;
  std::unique_ptr<MariaDbServer> mariadb_;
  TempDir dir_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_FAULT_GROUND_H_
