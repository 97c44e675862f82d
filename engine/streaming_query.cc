#include "tidemark/engine/streaming_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "tidemark/engine/task_thread.h"

namespace tidemark {
namespace {

// How long the sink may take to finish a batch after Stop.
constexpr std::chrono::seconds kSinkGrace(5);
// Between two looks for new data, as soon as possible.
constexpr absl::Duration kIdlePoll = absl::Milliseconds(2);

}  // namespace

absl::Duration RetryBackoff::Next() {
  const double pause = next_ms_ * std::uniform_real_distribution<double>(0.75, 1)(jitter_);
  next_ms_ = std::min<double>(2 * next_ms_, kLongestMs);
  return absl::Milliseconds(pause);
}

absl::StatusOr<std::unique_ptr<StreamingQuery>> Start(const Query& query, QueryOptions options) {
  if (options.clock == nullptr) options.clock = std::make_shared<SystemClock>();
  if (options.logger == nullptr) options.logger = std::make_shared<StderrLogger>();
  std::unique_ptr<StreamingQuery> running(new StreamingQuery());
  running->clock_ = options.clock;
  running->logger_ = options.logger;
  running->give_up_after_ = options.give_up_after;
  StreamingQuery* self = running.get();
  options.on_progress = [self, next = std::move(options.on_progress)](const Progress& progress) {
    {
      std::lock_guard<std::mutex> lock(self->mutex_);
      self->last_progress_ = progress;
      self->totals_ = self->execution_->totals();
    }
    if (next) next(progress);
  };
  absl::StatusOr<std::unique_ptr<QueryExecution>> execution =
      QueryExecution::Create(query, std::move(options));
  if (!execution.ok()) return execution.status();
  running->execution_ = *std::move(execution);
  running->thread_ = std::thread([self] {
    NameThisThread("tide-query");
    self->Run();
  });
  return running;
}

StreamingQuery::~StreamingQuery() {
  Stop();
  if (thread_.joinable()) thread_.join();
  if (stopper_.joinable()) stopper_.join();
}

void StreamingQuery::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;
  stopping_ = true;
  changed_.notify_all();
  if (ended_.has_value() || execution_ == nullptr) return;
  // Waking what waits for a server may itself take a moment: not on the caller's thread.
  stopper_ = std::thread([this] {
    execution_->Cancel(/*sink_too=*/false);
    std::unique_lock<std::mutex> waiting(mutex_);
    if (changed_.wait_for(waiting, kSinkGrace, [this] { return ended_.has_value(); })) return;
    waiting.unlock();
    execution_->Cancel(/*sink_too=*/true);
  });
}

absl::Status StreamingQuery::AwaitTermination() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return ended_.has_value(); });
  return *ended_;
}

std::optional<absl::Status> StreamingQuery::AwaitTermination(absl::Duration timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                    [this] { return ended_.has_value(); });
  return ended_;
}

std::optional<Progress> StreamingQuery::LastProgress() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return last_progress_;
}

RunTotals StreamingQuery::totals() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return totals_;
}

bool StreamingQuery::planned() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return planned_;
}

void StreamingQuery::Run() {
  absl::Status status = RunToEnd();
  // A batch whose commit was still being written counts too.
  if (status.ok() || absl::IsCancelled(status)) {
    if (absl::Status settled = execution_->Settle(); !settled.ok()) status = std::move(settled);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  planned_ = execution_->planned();
  // A stop is what was asked for, whatever call it interrupted.
  if (stopping_ && (absl::IsCancelled(status) || QueryExecution::is_transient(status)))
    status = absl::OkStatus();
  ended_ = std::move(status);
  changed_.notify_all();
}

bool StreamingQuery::Wait(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMicroseconds(duration), [this] { return stopping_; });
  return !stopping_;
}

absl::Status StreamingQuery::Retry(const absl::Status& reason) {
  if (!QueryExecution::is_transient(reason)) return reason;
  const absl::Duration now = clock_->Monotonic();
  if (!failing_since_.has_value()) {
    failing_since_ = now;
    backoff_.Reset();
  }
  if (now - *failing_since_ >= give_up_after_) {
    return absl::AbortedError(fmt::format("given up after {}: {}",
                                          absl::FormatDuration(now - *failing_since_),
                                          std::string(reason.message())));
  }
  const absl::Duration wait = backoff_.Next();
  logger_->Log(LogLevel::kWarning, "retry",
               {{"wait_ms", std::to_string(absl::ToInt64Milliseconds(wait))},
                {"reason", std::string(reason.message())}});
  const absl::Duration left = give_up_after_ - (now - *failing_since_);
  return Wait(std::min(wait, left)) ? absl::OkStatus()
                                    : absl::CancelledError("stopped while waiting to try again");
}

absl::Status StreamingQuery::WithRetries(const std::function<absl::Status()>& call) {
  while (true) {
    absl::Status status = call();
    if (status.ok()) {
      failing_since_.reset();
      return status;
    }
    if (absl::Status given_up = Retry(status); !given_up.ok()) return given_up;
  }
}

absl::Status StreamingQuery::RunToEnd() {
  absl::Status started = WithRetries([this] { return execution_->Start(); });
  if (!started.ok()) return started;
  execution_->ReadAhead(true);
  const Trigger& trigger = execution_->plan().trigger;
  while (true) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return absl::OkStatus();
    }
    const absl::Time triggered = clock_->Now();
    absl::StatusOr<bool> ran = execution_->RunBatch();
    if (!ran.ok()) {
      if (absl::Status given_up = Retry(ran.status()); !given_up.ok()) return given_up;
      continue;
    }
    failing_since_.reset();
    if (trigger.ends()) {
      if (*ran) continue;
      if (!execution_->was_cut()) {
        return WithRetries([this] { return execution_->Finish(); });
      }
      if (!Wait(kIdlePoll)) return absl::OkStatus();
      continue;
    }
    if (*ran && execution_->was_cut()) continue;
    if (trigger.kind == Trigger::Kind::kAsap) {
      if (!*ran && !Wait(kIdlePoll)) return absl::OkStatus();
      continue;
    }
    const absl::Time next = absl::UnixEpoch() +
                            absl::Floor(triggered - absl::UnixEpoch(), trigger.interval) +
                            trigger.interval;
    if (const absl::Duration wait = next - clock_->Now(); wait > absl::ZeroDuration()) {
      // The clock may be set back meanwhile: never wait longer than one interval.
      if (!Wait(std::min(wait, trigger.interval))) return absl::OkStatus();
    }
  }
}

}  // namespace tidemark
