#ifndef TIDEMARK_ENGINE_TASK_THREAD_H_
#define TIDEMARK_ENGINE_TASK_THREAD_H_

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"

namespace tidemark {

/// Runs what it is given one after another, beside the thread that gives it: a query's synced
/// writes, and the reading of its next batch. After the first failure the rest is dropped: what
/// follows a write that failed must not be written. Submit and Wait are called by one thread.
class TaskThread {
 public:
  /// `name` is the thread's in the system's lists (top -H); at most 15 characters.
  explicit TaskThread(std::string name);
  /// Finishes what was submitted.
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  /// `task` is called once, with no arguments, and gives an absl::Status.
  template <typename Task>
  void Submit(Task&& task) {
    Push(std::packaged_task<absl::Status()>(std::forward<Task>(task)));
  }
  /// Waits until everything submitted is through; the first failure since the last Wait.
  absl::Status Wait();

 private:
  void Push(std::packaged_task<absl::Status()> task);
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<absl::Status()>> tasks_;
  bool busy_ = false;
  bool stopping_ = false;
  absl::Status failure_;
  std::thread thread_;
};

/// Names the calling thread, for the system's lists; at most 15 characters.
void NameThisThread(const std::string& name);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TASK_THREAD_H_
