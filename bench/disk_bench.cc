// What the checkpoint takes of the disk after an hour of event time: sixty windows closed one after
// the other, then a live window of at least 256 MB; and what was written for what was dirtied.
// Results are checked against a plain fold as the windows close.
//
//   disk_bench [--live-groups N] [--window-groups N] [--memory-limit-mib N] [--quick]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>

#include "bench/hand_fed_query.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {
namespace {

constexpr int64_t kWindows = 60;
constexpr int64_t kMinuteUs = 60'000'000;

struct BenchOptions {
  int64_t live_groups = 8'000'000;
  int64_t window_groups = 500'000;
  int64_t memory_limit_mib = 4096;
  bool quick = false;
};

int Fail(const std::string& what) {
  fmt::print(stderr, "disk_bench: {}\n", what);
  return 1;
}

int64_t AmountAt(int64_t i) {
  return static_cast<int64_t>(StableHashInt(static_cast<uint64_t>(i)) % 10'000);
}

int64_t FolderBytes(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code error;  // a file may go while we look
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) bytes += static_cast<int64_t>(entry.file_size(error));
  }
  return bytes;
}

// All that this process has written to files.
int64_t WrittenBytes() {
  std::ifstream io("/proc/self/io");
  for (std::string line; std::getline(io, line);) {
    if (line.starts_with("wchar:")) return std::stoll(line.substr(6));
  }
  return 0;
}

// Keys and values of the state rows there are.
absl::StatusOr<int64_t> LiveBytes(const std::string& checkpoint) {
  const absl::StatusOr<std::unique_ptr<CheckpointCopy>> copy =
      OpenCheckpointCopy(checkpoint, "state", {});
  if (!copy.ok()) return copy.status();
  const std::unique_ptr<StateCursor> cursor =
      (*copy)->NewStateCursor({}, std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8));
  int64_t bytes = 0;
  while (true) {
    const absl::StatusOr<bool> more = cursor->Next();
    if (!more.ok()) return more.status();
    if (!*more) return bytes;
    bytes += static_cast<int64_t>(cursor->key().size() + cursor->value().size());
  }
}

absl::Status RunBench(const BenchOptions& options) {
  const int64_t closed_rows = kWindows * options.window_groups;
  const auto row = [&options, closed_rows](int64_t i) {
    const bool live = i >= closed_rows;
    const int64_t window = live ? kWindows : i / options.window_groups;
    return TotalsRow{.user_id = live ? i - closed_rows : i % options.window_groups,
                     .time_us = kTotalsStartSeconds * 1'000'000 + window * kMinuteUs + 40'000'000,
                     .amount = AmountAt(i)};
  };
  HandFedQuery query(row, {.memory_limit = static_cast<size_t>(options.memory_limit_mib) << 20,
                           .mode = OutputMode::kAppend});
  if (absl::Status status = query.Start(); !status.ok()) return status;
  const int64_t before = WrittenBytes();
  int64_t updated = 0;
  for (int64_t window = 0; window <= kWindows; ++window) {
    const int64_t rows = window < kWindows ? options.window_groups : options.live_groups;
    if (absl::Status status = query.Feed(rows); !status.ok()) return status;
    for (const Progress& batch : query.batches()) updated += batch.state->rows_updated;
    if (window == 0) continue;
    Answer expected;  // the window before has closed
    for (int64_t j = 0; j < options.window_groups; ++j) {
      const int64_t amount = AmountAt((window - 1) * options.window_groups + j);
      expected.Add(j, 1, amount, amount);
    }
    if (query.answer() != expected) {
      return absl::InternalError(fmt::format("window {}: the answer {} is wrong, it should be {}",
                                             window - 1, query.answer().ToText(),
                                             expected.ToText()));
    }
  }
  query.Stop();
  const int64_t written = WrittenBytes() - before;
  const int64_t disk = FolderBytes(query.checkpoint());
  const absl::StatusOr<int64_t> live = LiveBytes(query.checkpoint());
  if (!live.ok()) return live.status();
  constexpr double kMega = 1e6;
  const double group_bytes = static_cast<double>(*live) / static_cast<double>(options.live_groups);
  fmt::print("live: {} groups, {:.0f} MB, {:.1f} bytes a group\n", options.live_groups,
             static_cast<double>(*live) / kMega, group_bytes);
  ReportFigure({.bar = 14,
                .what = "disk after an hour of closed windows to live state",
                .ours = static_cast<double>(disk) / kMega,
                .theirs = static_cast<double>(*live) / kMega,
                .unit = "MB"});
  ReportFigure({.bar = 14,
                .what = "bytes written to bytes dirtied",
                .ours = static_cast<double>(written) / kMega,
                .theirs = static_cast<double>(updated) * group_bytes / kMega,
                .unit = "MB"});
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Disk used and written for the state there is", "disk_bench");
  app.add_option("--live-groups", options.live_groups, "groups of the open window")
      ->capture_default_str();
  app.add_option("--window-groups", options.window_groups, "groups of each closed window")
      ->capture_default_str();
  app.add_option("--memory-limit-mib", options.memory_limit_mib)->capture_default_str();
  app.add_flag("--quick", options.quick, "a tenth of it");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.live_groups /= 10;
    options.window_groups /= 10;
  }
  const absl::Status status = RunBench(options);
  return status.ok() ? 0 : Fail(status.ToString());
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
