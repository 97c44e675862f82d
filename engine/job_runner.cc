#include "tidemark/engine/job_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "tidemark/engine/config.h"
#include "tidemark/engine/flags.h"
#include "tidemark/engine/job_connectors.h"
#include "tidemark/engine/job_options.h"
#include "tidemark/engine/planner.h"
#include "tidemark/engine/streaming_query.h"

namespace tidemark {
namespace {

constexpr int kUsageExit = 2;

void PrintError(const absl::Status& status) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  std::fflush(stderr);
}

// Takes SIGINT and SIGTERM of the whole process on a thread of its own. Made before any other
// thread, so that all of them inherit that the signals are blocked.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&stop_);
    sigaddset(&stop_, SIGINT);
    sigaddset(&stop_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop_, &before_);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is waited for like a full disk
  }
  ~StopSignals() {
    if (watcher_.joinable()) {
      over_ = true;
      pthread_kill(watcher_.native_handle(), SIGTERM);
      watcher_.join();
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // `query` outlives this object.
  void Watch(StreamingQuery* query) {
    watcher_ = std::thread([this, query] {
      for (bool first = true;; first = false) {
        int signal = 0;
        sigwait(&stop_, &signal);
        if (over_) return;
        if (!first) _exit(128 + signal);
        query->Stop();
      }
    });
  }

 private:
  sigset_t stop_;
  sigset_t before_;
  std::atomic<bool> over_ = false;
  std::thread watcher_;
};

// A program started with a closed standard stream must not have its files take the stream's number:
// what is then written to it fails, as it should.
void KeepStandardStreams() {
  for (int stream = 0; stream <= 2; ++stream) {
    if (fcntl(stream, F_GETFD) == -1 && errno == EBADF) {
      const int opened = open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY);
      if (opened != stream && opened != -1) close(opened);
    }
  }
}

// Where --progress writes.
class ProgressFile {
 public:
  ProgressFile(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
  ~ProgressFile() {
    if (file_ != stderr) std::fclose(file_);
  }
  ProgressFile(const ProgressFile&) = delete;
  ProgressFile& operator=(const ProgressFile&) = delete;

  static absl::StatusOr<std::shared_ptr<ProgressFile>> Open(const Setting& setting) {
    if (setting.value == "-") return std::make_shared<ProgressFile>(stderr, setting.value);
    std::FILE* file = setting.value.empty() ? nullptr : std::fopen(setting.value.c_str(), "ae");
    if (file == nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("{}: the file '{}' cannot be written: {}", setting.origin, setting.value,
                      setting.value.empty() ? "it has no name" : std::strerror(errno)));
    }
    return std::make_shared<ProgressFile>(file, setting.value);
  }

  void Write(const Progress& progress, Logger& logger) {
    const std::string line = progress.ToJson() + "\n";
    const bool written =
        std::fwrite(line.data(), 1, line.size(), file_) == line.size() && std::fflush(file_) == 0;
    if (!written && !complained_) {
      logger.Log(LogLevel::kWarning, "progress_not_written",
                 {{"file", path_}, {"reason", std::strerror(errno)}});
    }
    complained_ = !written;
  }

 private:
  std::FILE* const file_;
  const std::string path_;
  bool complained_ = false;
};

// InvalidArgument: the plan has mistakes, or its result not the columns that the sink is to have.
absl::Status CheckPlan(const Config& config, const Query& query, const QueryOptions& options) {
  PlannerOptions planner{options.bad_records, options.on_overflow, options.output.supports_deletes};
  absl::StatusOr<BoundPlan> bound = BindPlan(query.plan, planner);
  if (!bound.ok()) return bound.status();
  return CheckPartitions(config, *bound->output);
}

int Explained(const Query& query, const QueryOptions& options) {
  fmt::print("{}Input {}\nCheckpoint {}\n", Explain(query.plan), options.input.fingerprint,
             options.checkpoint.description);
  return 0;
}

std::vector<LogField> ContextOf(const JobDefinition& definition,
                                const std::map<std::string, std::string>& parameters) {
  std::vector<LogField> context = {{"job", definition.name}};
  for (const JobParameter& parameter : definition.params) {
    if (parameter.in_logs && !parameters.at(parameter.name).empty())
      context.emplace_back(parameter.name, parameters.at(parameter.name));
  }
  return context;
}

// ` bad_records=3`; nothing if there are none.
std::string Unusual(std::string_view name, int64_t count) {
  return count == 0 ? "" : fmt::format(" {}={}", name, count);
}

int RunQuery(const Query& query, QueryOptions options, StopSignals& signals) {
  const std::shared_ptr<Logger> logger = options.logger;
  const std::string checkpoint = options.checkpoint.description;
  absl::StatusOr<std::unique_ptr<StreamingQuery>> started = Start(query, std::move(options));
  if (!started.ok()) {
    PrintError(started.status());
    return ExitCode(started.status(), /*planned=*/false);
  }
  StreamingQuery& running = **started;
  signals.Watch(&running);
  const absl::Status status = running.AwaitTermination();
  const int code = ExitCode(status, running.planned());
  if (code != 0) {
    logger->Log(LogLevel::kError, "query_failed", {{"exit_code", std::to_string(code)}});
    PrintError(status);
  }
  const RunTotals totals = running.totals();
  logger->Say(fmt::format(
      "Summary: rows={} batches={} rows_per_second={:.0f} late_rows={}{}{} checkpoint={}",
      totals.rows, totals.batches, totals.rows_per_second(), totals.late_rows,
      Unusual("bad_records", totals.bad_records), Unusual("future_rows", totals.future_rows),
      checkpoint));
  return code;
}

int RunConfigured(const Config& config, const JobDefinition& definition, StopSignals& signals) {
  const std::map<std::string, std::string> parameters = JobParameters(config, definition);
  Job job(parameters);
  Query query = definition.pipeline(job);
  if (absl::Status status = ApplyToPlan(config, &query.plan); !status.ok()) {
    PrintError(status);
    return kUsageExit;
  }
  absl::StatusOr<QueryOptions> options = MakeQueryOptions(config, definition, &ProcessEnvironment);
  if (!options.ok()) {
    PrintError(options.status());
    return kUsageExit;
  }
  if (absl::Status status = CheckPlan(config, query, *options); !status.ok()) {
    PrintError(status);
    return kUsageExit;
  }
  if (config.Find("explain") != nullptr) return Explained(query, *options);
  options->logger = std::make_shared<StderrLogger>(ContextOf(definition, parameters));
  if (const Setting* setting = config.Find("progress")) {
    absl::StatusOr<std::shared_ptr<ProgressFile>> file = ProgressFile::Open(*setting);
    if (!file.ok()) {
      PrintError(file.status());
      return kUsageExit;
    }
    options->on_progress = [file = *file, logger = options->logger](const Progress& progress) {
      file->Write(progress, *logger);
    };
  }
  options->logger->Log(LogLevel::kInfo, "start");
  return RunQuery(query, *std::move(options), signals);
}

}  // namespace

int RunJob(int argc, char** argv, const JobDefinition& definition) {
  KeepStandardStreams();
  absl::StatusOr<Config> config = LoadConfig(argc, argv, definition, &ProcessEnvironment);
  if (!config.ok()) {
    PrintError(config.status());
    return kUsageExit;
  }
  if (config->Find("help") != nullptr) {
    std::fputs(HelpText(definition).c_str(), stdout);
    return 0;
  }
  if (config->Find("version") != nullptr) {
    fmt::print("{} (Tidemark {})\n", definition.name, TIDEMARK_VERSION);
    return 0;
  }
  StopSignals signals;
  return RunConfigured(*config, definition, signals);
}

}  // namespace tidemark
