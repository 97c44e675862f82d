// From the start of a job's program to its first result, over a topic of a real broker that has
// rows waiting: no less than the time to its first row read. And the size of the program, stripped.
//
//   start_bench [--rounds N] [--quick]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

constexpr char kJob[] = TIDEMARK_EXAMPLES_DIR "/registrations_per_store";
constexpr char kTopic[] = "users_change_events";

struct BenchOptions {
  int rounds = 11;
  bool quick = false;
};

int Fail(const std::string& what) {
  fmt::print(stderr, "start_bench: {}\n", what);
  return 1;
}

// The job runs `--sink console`, which prints a batch's rows when it has them.
absl::StatusOr<double> SecondsToFirstRow(const std::string& brokers) {
  const testing::TempDir folder;
  testing::ProcessOptions options;
  options.args = {kJob,
                  "--brokers",
                  brokers,
                  "--starting-offsets",
                  "earliest",
                  "--trigger",
                  "asap",
                  "--sink",
                  "console",
                  "--checkpoint",
                  folder.Path("checkpoint")};
  options.working_dir = folder.path();
  options.stdout_path = folder.Path("out");
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  absl::StatusOr<std::unique_ptr<testing::Process>> job =
      testing::Process::Start(std::move(options));
  if (!job.ok()) return job.status();
  double first = 0;
  while (first == 0 && seconds() < 30 && (*job)->Running()) {
    std::error_code error;
    if (std::filesystem::file_size(folder.Path("out"), error) > 0 && !error) first = seconds();
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  if (first == 0) return absl::InternalError("no row was printed: " + (*job)->Stderr());
  if (const int code = (*job)->Terminate(absl::Seconds(10)); code != 0) {
    return absl::InternalError(fmt::format("exit code {}: {}", code, (*job)->Stderr()));
  }
  // Five customers of one store and window.
  if ((*job)->Stdout().find("|            5|") == std::string::npos) {
    return absl::InternalError("not the count of five: " + (*job)->Stdout());
  }
  return first;
}

absl::Status RunBench(const BenchOptions& options) {
  absl::StatusOr<std::unique_ptr<testing::KafkaServer>> kafka = testing::KafkaServer::Start();
  if (!kafka.ok()) return kafka.status();
  if (absl::Status status = (*kafka)->CreateTopic(kTopic, 1); !status.ok()) return status;
  absl::Status status = (*kafka)->ProduceMany(kTopic, 0, 5, [](int64_t i) {
    return fmt::format(R"({{"customer_id":{},"store_id":7,"first_name":"A","last_name":"B",)"
                       R"("email":"c@example.com","created_at":"2025-01-02T10:00:00Z"}})",
                       i);
  });
  if (!status.ok()) return status;
  std::vector<double> seconds;
  for (int round = 0; round <= options.rounds; ++round) {
    const absl::StatusOr<double> first = SecondsToFirstRow((*kafka)->brokers());
    if (!first.ok()) return first.status();
    if (round > 0) seconds.push_back(*first);
  }
  ReportFigure({.bar = 15,
                .what = "program start to the result of its first row",
                .ours = Median(seconds) * 1e3,
                .unit = "ms"});

  const testing::TempDir folder;
  testing::ProcessOptions strip;
  strip.args = {"strip", "-o", folder.Path("job"), kJob};
  const absl::StatusOr<testing::ProcessResult> stripped =
      testing::RunProcess(std::move(strip), absl::Minutes(1));
  if (!stripped.ok()) return stripped.status();
  if (stripped->exit_code != 0) return absl::InternalError("strip: " + stripped->stderr_text);
  ReportFigure({.bar = 15,
                .what = "size of a stripped job",
                .ours = static_cast<double>(std::filesystem::file_size(folder.Path("job"))) / 1e6,
                .unit = "MB"});
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("From a job's start to its first row; its size", "start_bench");
  app.add_option("--rounds", options.rounds)->capture_default_str();
  app.add_flag("--quick", options.quick, "five rounds");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) options.rounds = 5;
  const absl::Status status = RunBench(options);
  return status.ok() ? 0 : Fail(status.ToString());
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
