#ifndef TIDEMARK_TESTS_SERVERS_PROCESS_H_
#define TIDEMARK_TESTS_SERVERS_PROCESS_H_

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/servers/temp_dir.h"

namespace tidemark::testing {

struct ProcessOptions {
  /// The program (a path, or a name to look up in PATH) and its arguments.
  std::vector<std::string> args = {};
  /// Variables to set (or, with nullopt, to remove) on top of this process's environment.
  std::vector<std::pair<std::string, std::optional<std::string>>> env = {};
  /// Empty: this process's own.
  std::string working_dir = {};
  /// Files that take the output, appended to; empty: files of the Process's own.
  std::string stdout_path = {};
  std::string stderr_path = {};
};

/// A child process of the test: its standard input is /dev/null, its output goes to files. It ends
/// with this object (SIGKILL), and also when the test program dies in any way.
//
/// Threading: any thread may call any method; Wait may block while another thread signals.
class Process {
 public:
  /// Starts the program. NotFound or Internal, with the reason, when it cannot be started.
  static absl::StatusOr<std::unique_ptr<Process>> Start(ProcessOptions options);

  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool Running() const;
  /// Sends `signal` to this process alone. FailedPrecondition when it has ended already.
  absl::Status Signal(int signal);
  /// Waits for the end and returns the exit code, or 128 + the signal that ended it (137 for
  /// SIGKILL). DeadlineExceeded, the process going on, after `timeout`.
  absl::StatusOr<int> Wait(absl::Duration timeout);
  /// SIGTERM (a stopped process is continued first), SIGKILL after `grace`; returns the exit code
  /// as Wait does, also when the process had ended before.
  int Terminate(absl::Duration grace);
  /// SIGKILL and wait; returns the exit code as Wait does.
  int Kill();

  /// What has been written so far.
  std::string Stdout() const;
  std::string Stderr() const;
  const std::string& stdout_path() const { return options_.stdout_path; }
  const std::string& stderr_path() const { return options_.stderr_path; }

 private:
  explicit Process(ProcessOptions options);
  /// Forks, reports the outcome, then waits for the child's end. The parent-death signal is tied to
  /// the thread that forked, so that thread lives as long as the child does.
  void RunChild();
  absl::Status Fork();

  ProcessOptions options_;
  TempDir output_dir_;
  pid_t pid_ = -1;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<absl::Status> started_;  // guarded by mutex_
  std::optional<int> exit_code_;         // guarded by mutex_
  std::thread thread_;
};

/// Runs a program to its end: {exit code, standard output, standard error}. DeadlineExceeded (and
/// the program is killed) after `timeout`.
struct ProcessResult {
  int exit_code = 0;
  std::string stdout_text;
  std::string stderr_text;
};
absl::StatusOr<ProcessResult> RunProcess(ProcessOptions options, absl::Duration timeout);

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_PROCESS_H_
