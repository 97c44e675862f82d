#ifndef TIDEMARK_ENGINE_COMMIT_THREAD_H_
#define TIDEMARK_ENGINE_COMMIT_THREAD_H_

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/status.h"

namespace tidemark {

/// Runs the synced writes of a query one after another, beside the reading of the next batch. After
/// the first failure the rest is dropped: what follows a write that failed must not be written.
/// Submit and Wait are called by one thread.
class CommitThread {
 public:
  CommitThread();
  /// Finishes what was submitted.
  ~CommitThread();
  CommitThread(const CommitThread&) = delete;
  CommitThread& operator=(const CommitThread&) = delete;

  /// `write` is called once, with no arguments, and gives an absl::Status.
  template <typename Write>
  void Submit(Write&& write) {
    Push(std::packaged_task<absl::Status()>(std::forward<Write>(write)));
  }
  /// Waits until everything submitted is through; the first failure since the last Wait.
  absl::Status Wait();

 private:
  void Push(std::packaged_task<absl::Status()> write);
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<absl::Status()>> writes_;
  bool busy_ = false;
  bool stopping_ = false;
  absl::Status failure_;
  std::thread thread_;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_COMMIT_THREAD_H_
