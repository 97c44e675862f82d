// What a batch, a commit, a restart and the closing of a window cost as the state grows, with rows
// given by hand and a checkpoint on disk: commits, batches and starts with many idle groups against
// few, in turn; windows of many and few groups; the 10,000th near-empty batch against the tenth.
// Each result is checked against a plain fold.
//
//   idle_bench [--keys N] [--few N] [--rounds N] [--starts N] [--batches N] [--memory-limit-mib N]
//   [--quick]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/hand_fed_query.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {
namespace {

struct BenchOptions {
  int64_t many = 10'000'000;
  int64_t few = 100'000;
  int64_t closing = 1'000'000;
  int rounds = 101;
  int starts = 5;
  int64_t batches = 10'000;
  int64_t memory_limit_mib = 6144;
  bool quick = false;
};

constexpr int64_t kDirty = 1'000;
constexpr int64_t kTimeUs = (kTotalsStartSeconds + 30) * 1'000'000;

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

int Fail(const std::string& what) {
  fmt::print(stderr, "idle_bench: {}\n", what);
  return 1;
}

int64_t AmountAt(int64_t i) {
  return static_cast<int64_t>(StableHashInt(static_cast<uint64_t>(i)) % 10'000);
}

// `keys` groups of a row each, then rows of the same kDirty keys, in one window that stays open.
class Idle {
 public:
  Idle(int64_t keys, int64_t memory_limit_mib)
      : keys_(keys),
        query_([this](int64_t i) { return Row(i); },
               {.memory_limit = static_cast<size_t>(memory_limit_mib) << 20}) {}

  absl::Status Fill() {
    if (absl::Status status = query_.Start(); !status.ok()) return status;
    if (absl::Status status = query_.Feed(keys_); !status.ok()) return status;
    return Dirty();
  }
  // One batch of kDirty rows; its results are right.
  absl::Status Dirty() {
    if (absl::Status status = query_.Feed(kDirty); !status.ok()) return status;
    return Check();
  }
  absl::Status Restart() {
    query_.Stop();
    const auto start = std::chrono::steady_clock::now();
    if (absl::Status status = query_.Start(); !status.ok()) return status;
    if (absl::Status status = query_.Feed(kDirty); !status.ok()) return status;
    start_seconds_ = Seconds(start);
    return Check();
  }

  double batch_seconds() const { return query_.feed_seconds(); }
  double start_seconds() const { return start_seconds_; }
  double commit_seconds() const { return query_.commit_seconds(); }

 private:
  int64_t KeyAt(int64_t i) const {
    return i < keys_ ? i : (i - keys_) % kDirty * std::max<int64_t>(keys_ / kDirty, 1);
  }
  TotalsRow Row(int64_t i) const {
    return {.user_id = KeyAt(i), .time_us = kTimeUs, .amount = AmountAt(i)};
  }
  absl::Status Check() const {
    const int64_t rounds = (query_.fed() - keys_) / kDirty;
    Answer expected;
    for (int64_t j = 0; j < kDirty; ++j) {
      const int64_t key = KeyAt(keys_ + j);
      int64_t count = 0, total = 0, most = INT64_MIN;
      const auto add = [&](int64_t i) {
        ++count;
        total += AmountAt(i);
        most = std::max(most, AmountAt(i));
      };
      if (key < keys_) add(key);
      for (int64_t round = 0; round < rounds; ++round) add(keys_ + round * kDirty + j);
      expected.Add(key, count, total, most);
    }
    if (query_.answer() == expected) return absl::OkStatus();
    return absl::InternalError(fmt::format("{} keys: the answer {} is wrong, it should be {}",
                                           keys_, query_.answer().ToText(), expected.ToText()));
  }

  const int64_t keys_;
  HandFedQuery query_;
  double start_seconds_ = 0;
};

void Report(int bar, const std::string& what, double scale, const std::string& unit,
            const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / theirs[i]);
  ReportFigure({.bar = bar,
                .what = what,
                .ours = Median(ours) * scale,
                .theirs = Median(theirs) * scale,
                .ratio = Median(ratios),
                .unit = unit});
}

// Bars 7 (commit time), 8 (idle keys) and 10.
absl::Status MeasureIdle(const BenchOptions& options) {
  Idle none(0, options.memory_limit_mib);
  Idle few(options.few, options.memory_limit_mib);
  Idle many(options.many, options.memory_limit_mib);
  Idle* const all[] = {&none, &few, &many};
  for (Idle* idle : all) {
    if (absl::Status status = idle->Fill(); !status.ok()) return status;
  }
  std::vector<double> batches[3], commits[3], starts[3];
  for (int round = 0; round <= options.rounds; ++round) {
    for (int i = 0; i < 3; ++i) {
      if (absl::Status status = all[i]->Dirty(); !status.ok()) return status;
      if (round == 0) continue;
      batches[i].push_back(all[i]->batch_seconds());
      commits[i].push_back(all[i]->commit_seconds());
    }
  }
  Report(7,
         fmt::format("commit of {} groups, {} idle keys to {}", kDirty, options.many, options.few),
         1e3, "ms", commits[2], commits[1]);
  Report(8, fmt::format("batch of {} rows, {} idle keys to none", kDirty, options.many), 1e3, "ms",
         batches[2], batches[0]);
  for (int round = 0; round < options.starts; ++round) {
    for (int i = 1; i < 3; ++i) {
      if (absl::Status status = all[i]->Restart(); !status.ok()) return status;
      starts[i].push_back(all[i]->start_seconds());
    }
  }
  ReportFigure({.bar = 10,
                .what = fmt::format("start to first correct result, {} keys", options.many),
                .ours = Median(starts[2]),
                .unit = "s"});
  Report(10, fmt::format("start to first correct result, {} keys to {}", options.many, options.few),
         1, "s", starts[2], starts[1]);
  return absl::OkStatus();
}

struct Closing {
  double seconds = 0;       // from the row that closes it to the commit
  double sink_seconds = 0;  // of it: reading the results and writing them
};

// A window of `groups` groups, filled and closed.
absl::StatusOr<Closing> Close(int64_t groups, const BenchOptions& options) {
  const auto row = [groups](int64_t i) {
    return TotalsRow{.user_id = i == groups ? 0 : i,
                     .time_us = i == groups ? kTimeUs + int64_t{86'400'000'000} : kTimeUs,
                     .amount = AmountAt(i)};
  };
  HandFedQuery query(row, {.memory_limit = static_cast<size_t>(options.memory_limit_mib) << 20,
                           .mode = OutputMode::kAppend});
  if (absl::Status status = query.Start(); !status.ok()) return status;
  if (absl::Status status = query.Feed(groups); !status.ok()) return status;
  if (absl::Status status = query.Feed(1); !status.ok()) return status;
  Answer expected;
  for (int64_t i = 0; i < groups; ++i) expected.Add(i, 1, AmountAt(i), AmountAt(i));
  if (query.answer() != expected) {
    return absl::InternalError(
        fmt::format("closing {} groups: the answer {} is wrong, it should be "
                    "{}",
                    groups, query.answer().ToText(), expected.ToText()));
  }
  const Progress& batch = query.batches().back();
  if (batch.sink.rows != groups) {
    return absl::InternalError(
        fmt::format("the last batch wrote {} rows instead of {}", batch.sink.rows, groups));
  }
  return Closing{query.feed_seconds(), query.sink_seconds()};
}

absl::Status MeasureClosing(const BenchOptions& options) {
  constexpr int64_t kSmall = 1'000;
  std::vector<double> aside[2], each[2];
  for (int round = 0; round <= options.starts; ++round) {
    for (int i = 0; i < 2; ++i) {
      const int64_t groups = i == 0 ? kSmall : options.closing;
      const absl::StatusOr<Closing> closing = Close(groups, options);
      if (!closing.ok()) return closing.status();
      if (round == 0) continue;
      aside[i].push_back(closing->seconds - closing->sink_seconds);
      each[i].push_back(closing->seconds / static_cast<double>(groups));
    }
  }
  Report(8,
         fmt::format("closing a window of {} groups to {}, rows written aside", options.closing,
                     kSmall),
         1e3, "ms", aside[1], aside[0]);
  Report(8, fmt::format("closing a window of {} groups to {}, a row", options.closing, kSmall), 1e9,
         "ns/row", each[1], each[0]);
  return absl::OkStatus();
}

// Two queries in turn, one of which has `batches` behind it and the other ten.
absl::Status MeasureNearEmpty(const BenchOptions& options) {
  constexpr int kRounds = 101;
  const auto row = [](int64_t i) {
    return TotalsRow{.user_id = i % kDirty, .time_us = kTimeUs, .amount = AmountAt(i)};
  };
  const HandFedOptions query{.snapshot_every = 100};
  HandFedQuery late(row, query), early(row, query);
  const std::pair<HandFedQuery*, int64_t> starts[] = {{&late, options.batches}, {&early, 10}};
  for (const auto& [one, batches] : starts) {
    if (absl::Status status = one->Start(); !status.ok()) return status;
    for (int64_t batch = 0; batch < batches; ++batch) {
      if (absl::Status status = one->Feed(1); !status.ok()) return status;
    }
  }
  std::vector<double> late_seconds, early_seconds;
  for (int round = 0; round < kRounds; ++round) {
    if (absl::Status status = late.Feed(1); !status.ok()) return status;
    late_seconds.push_back(late.feed_seconds());
    if (absl::Status status = early.Feed(1); !status.ok()) return status;
    early_seconds.push_back(early.feed_seconds());
  }
  Report(8, fmt::format("near-empty batch {} to batch 10", options.batches), 1e3, "ms",
         late_seconds, early_seconds);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Commits, batches, starts and closing windows as the state grows", "idle_bench");
  app.add_option("--keys", options.many, "many idle keys")->capture_default_str();
  app.add_option("--few", options.few, "few idle keys")->capture_default_str();
  app.add_option("--rounds", options.rounds, "batches that count")->capture_default_str();
  app.add_option("--starts", options.starts, "starts, and windows closed, that count")
      ->capture_default_str();
  app.add_option("--batches", options.batches, "near-empty batches")->capture_default_str();
  app.add_option("--memory-limit-mib", options.memory_limit_mib)->capture_default_str();
  app.add_flag("--quick", options.quick, "a million keys, 1,000 near-empty batches");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.many = 1'000'000;
    options.closing = 200'000;
    options.rounds = 9;
    options.starts = 3;
    options.batches = 1'000;
  }
  for (const auto measure : {&MeasureIdle, &MeasureClosing, &MeasureNearEmpty}) {
    if (absl::Status status = measure(options); !status.ok()) return Fail(status.ToString());
  }
  return 0;
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
