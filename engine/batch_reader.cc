#include "tidemark/engine/batch_reader.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

constexpr absl::Duration kReadTimeout = absl::Milliseconds(100);

}  // namespace

BatchReader::BatchReader(BatchReaderOptions options, Source* source, RowPath* row_path,
                         DeadLetterWriter* dead_letters, const std::atomic<bool>* cancelled)
    : options_(std::move(options)),
      source_(source),
      row_path_(row_path),
      dead_letters_(dead_letters),
      cancelled_(cancelled) {}

BatchReader::~BatchReader() { Stop(); }

void BatchReader::Start(ReadRequest request) {
  outcome_ = ReadOutcome();
  reading_ = true;
  row_path_->Begin(request.plan, request.hold);
  thread_.Submit([this, request = std::move(request)] { return Read(request); });
}

absl::StatusOr<ReadOutcome> BatchReader::Wait() {
  absl::Status status = thread_.Wait();
  reading_ = false;
  if (!status.ok()) return status;
  return std::move(outcome_);
}

void BatchReader::Stop() {
  stopping_ = true;
  row_path_->Abandon();  // makes room for a reader that waits for it
  thread_.Wait().IgnoreError();
  row_path_->Abandon();
  source_->StopRead();
  stopping_ = false;
  reading_ = false;
}

absl::Status BatchReader::Read(const ReadRequest& request) {
  if (dead_letters_ != nullptr) {
    absl::Status status = dead_letters_->Begin(request.plan.epoch, request.plan.batch_id);
    if (!status.ok()) return status;
  }
  if (request.ranges.empty()) return absl::OkStatus();
  if (absl::Status status = source_->StartRead(request.ranges); !status.ok()) return status;
  return ReadChunks(request);
}

absl::Status BatchReader::ReadChunks(const ReadRequest& request) {
  absl::Duration last_read = options_.clock->Monotonic();
  while (true) {
    if (stopping_ || *cancelled_)
      return absl::CancelledError("stopped while reading a batch; it runs again at the next start");
    absl::StatusOr<std::optional<RawRecords>> chunk = source_->Read(kReadTimeout);
    if (absl::IsUnavailable(chunk.status())) {
      // Nothing is wrong with what was read so far: reading goes on when the source is back.
      if (options_.clock->Monotonic() - last_read >= options_.give_up_after) {
        return absl::AbortedError(
            fmt::format("given up: {}", std::string(chunk.status().message())));
      }
      options_.logger->Log(LogLevel::kWarning, "waiting",
                           {{"reason", std::string(chunk.status().message())}});
      continue;
    }
    if (absl::IsAborted(chunk.status())) {
      return absl::UnavailableError(chunk.status().message());  // the whole batch, again
    }
    if (!chunk.ok()) return chunk.status();
    if (!chunk->has_value()) continue;
    CrashPoint("read middle");
    last_read = options_.clock->Monotonic();
    if (IsEndOfRanges(**chunk)) return absl::OkStatus();
    if (!(*chunk)->records.empty()) {
      const TopicPartition partition{(*chunk)->topic, (*chunk)->partition};
      const RawRecord& last = (*chunk)->records.back();
      outcome_.last_records[partition] = {last.offset, last.timestamp_us, RecordHash(last)};
      outcome_.delivered[partition] = last.offset + 1;
      last_data_[partition] = last_read;
    }
    if (absl::Status status = row_path_->Add(*std::move(*chunk)); !status.ok()) return status;
    if (request.may_cut && !row_path_->holding() && options_.memory_full()) {
      source_->StopRead();
      outcome_.cut = true;
      return absl::OkStatus();
    }
  }
}

}  // namespace tidemark
