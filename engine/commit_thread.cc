#include "tidemark/engine/commit_thread.h"

#include <utility>

namespace tidemark {

CommitThread::CommitThread() : thread_([this] { Run(); }) {}

CommitThread::~CommitThread() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CommitThread::Push(std::packaged_task<absl::Status()> write) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    writes_.push_back(std::move(write));
  }
  changed_.notify_all();
}

absl::Status CommitThread::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return writes_.empty() && !busy_; });
  return std::exchange(failure_, absl::OkStatus());
}

void CommitThread::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !writes_.empty(); });
    if (writes_.empty()) return;
    std::packaged_task<absl::Status()> write = std::move(writes_.front());
    writes_.pop_front();
    if (!failure_.ok()) {
      changed_.notify_all();
      continue;
    }
    busy_ = true;
    lock.unlock();
    std::future<absl::Status> result = write.get_future();
    write();
    absl::Status status = result.get();
    write = {};  // what it holds goes before the waiter goes on
    lock.lock();
    busy_ = false;
    failure_ = std::move(status);
    changed_.notify_all();
  }
}

}  // namespace tidemark
