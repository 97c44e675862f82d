#ifndef TIDEMARK_BENCH_CHILD_RUN_H_
#define TIDEMARK_BENCH_CHILD_RUN_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tidemark {

/// What a program printed and needed.
struct ChildRun {
  std::string text;  ///< its standard output
  double peak_mib = 0;
  double cpu_seconds = 0;
};

/// Each run of a comparison is a process of its own, so that none warms another's allocator and the
/// peak memory is its own. Internal if it ends with anything but exit code 0.
absl::StatusOr<ChildRun> RunSelf(const std::vector<std::string>& arguments);

/// Another program: `command` is what a shell would run, with `environment` on top of this
/// process's. What it writes to standard error goes to the file `log`; a failure (Internal; after
/// `timeout` the program is killed, DeadlineExceeded) ends with that file's end. `ready` is called
/// once, on this thread, when the program has printed the line `ready` (its output waits
/// meanwhile).
absl::StatusOr<ChildRun> RunCommand(const std::string& command,
                                    const std::map<std::string, std::string>& environment,
                                    const std::string& log, absl::Duration timeout,
                                    const std::function<void()>& ready = nullptr);

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_CHILD_RUN_H_
