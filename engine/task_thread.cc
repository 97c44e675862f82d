#include "tidemark/engine/task_thread.h"

#include <pthread.h>

#include <utility>

namespace tidemark {

void NameThisThread(const std::string& name) { pthread_setname_np(pthread_self(), name.c_str()); }

TaskThread::TaskThread(std::string name)
    : thread_([this, name = std::move(name)] {
        NameThisThread(name);
        Run();
      }) {}

TaskThread::~TaskThread() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TaskThread::Push(std::packaged_task<absl::Status()> task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

absl::Status TaskThread::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return tasks_.empty() && !busy_; });
  return std::exchange(failure_, absl::OkStatus());
}

void TaskThread::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::packaged_task<absl::Status()> task = std::move(tasks_.front());
    tasks_.pop_front();
    if (!failure_.ok()) {
      changed_.notify_all();
      continue;
    }
    busy_ = true;
    lock.unlock();
    std::future<absl::Status> result = task.get_future();
    task();
    absl::Status status = result.get();
    task = {};  // what it holds goes before the waiter goes on
    lock.lock();
    busy_ = false;
    failure_ = std::move(status);
    changed_.notify_all();
  }
}

}  // namespace tidemark
