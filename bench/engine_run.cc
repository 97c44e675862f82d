#include "bench/engine_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "tidemark/engine/connectors.h"
#include "tidemark/engine/streaming_query.h"

namespace tidemark {

std::string RunFigures::ToText() const {
  return fmt::format("{} {} {} {} {}", rows, seconds, batches, state_bytes, answer.ToText());
}

std::optional<RunFigures> RunFigures::FromText(const std::string& text) {
  RunFigures run;
  Answer& answer = run.answer;
  if (std::sscanf(text.c_str(), "%ld %lf %ld %ld %ld %ld %ld %ld %ld", &run.rows, &run.seconds,
                  &run.batches, &run.state_bytes, &answer.groups, &answer.count, &answer.total,
                  &answer.most, &answer.check) != 9) {
    return std::nullopt;
  }
  return run;
}

Input TopicInput(const std::string& brokers) {
  KafkaSourceOptions kafka;
  kafka.brokers = brokers;
  kafka.starting_offsets = "earliest";
  return KafkaInput(kafka);
}

absl::StatusOr<RunFigures> RunToAnswer(const Query& query, QueryOptions options, bool text_keys) {
  RunFigures run;
  options.output.make = [&](const SinkRequest&) -> absl::StatusOr<std::unique_ptr<Sink>> {
    return MakeAnswerSink(&run.answer, text_keys);
  };
  options.bad_records = BadRecordPolicy::kFail;
  options.logger = std::make_shared<SilentLogger>();
  const bool print = std::getenv("TIDEMARK_BENCH_PROGRESS") != nullptr;
  options.on_progress = [&run, print, also = options.on_progress](const Progress& progress) {
    if (progress.state) run.state_bytes = std::max(run.state_bytes, progress.state->memory_bytes);
    if (print) fmt::print(stderr, "{}\n", progress.ToJson());
    if (also) also(progress);
  };
  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<std::unique_ptr<StreamingQuery>> running = Start(query, std::move(options));
  if (!running.ok()) return running.status();
  if (absl::Status status = (*running)->AwaitTermination(); !status.ok()) return status;
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const RunTotals totals = (*running)->totals();
  run.rows = totals.rows;
  run.batches = totals.batches;
  return run;
}

}  // namespace tidemark
