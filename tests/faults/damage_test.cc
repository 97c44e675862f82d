// A checkpoint with a damaged file is refused, saying so, or leads to the rows of a sound one.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "absl/time/clock.h"
#include "tests/faults/fault_report.h"
#include "tests/faults/shop_totals.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using testing::FaultOutcome;
using testing::FaultScale;
using testing::FaultSeed;
using ::testing::HasSubstr;
using testing::ShopTotals;

constexpr int64_t kOrdersPerBatch = 400;  // a commit is larger than a block of the log
constexpr int64_t kBatches = 10;
constexpr int64_t kRestartedAfter = 3;
constexpr int64_t kCopiedAt = 8;

/// When the process died whose checkpoint is damaged.
enum class Moment { kPlanLogged, kInSink, kClosed };

/// Copies a folder, hard links as hard links.
void CopyFolder(const fs::path& from, const fs::path& to) {
  std::map<ino_t, fs::path> copied;
  fs::create_directories(to);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path target = to / fs::relative(entry.path(), from);
    if (entry.is_directory()) {
      fs::create_directories(target);
      continue;
    }
    struct stat info;
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    const auto [known, is_new] = copied.emplace(info.st_ino, target);
    if (is_new) {
      fs::copy_file(entry.path(), target);
    } else {
      fs::create_hard_link(known->second, target);
    }
  }
}

/// Calls `call` before and after each commit of the sink that it stands for.
class WatchedSink : public Sink {
 public:
  using Call = std::function<void(int64_t batch_id, bool committed)>;
  WatchedSink(std::unique_ptr<Sink> sink, Call call)
      : sink_(std::move(sink)), call_(std::move(call)) {}
  std::string description() const override { return sink_->description(); }
  bool exactly_once() const override { return sink_->exactly_once(); }
  absl::Status Open(const SinkContext& context) override { return sink_->Open(context); }
  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override { return sink_->ReadMarker(); }
  absl::Status WriteMarker(const SinkMarker& marker) override { return sink_->WriteMarker(marker); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    call_(batch.batch_id, false);
    absl::StatusOr<SinkMarker> marker = sink_->Commit(batch, rows);
    call_(batch.batch_id, true);
    return marker;
  }

 private:
  const std::unique_ptr<Sink> sink_;
  const Call call_;
};

/// A folder with a checkpoint (`checkpoint`) and what its query wrote (`out`).
class Patient {
 public:
  explicit Patient(std::string folder) : folder_(std::move(folder)) {}

  std::unique_ptr<TestKit> Kit(OutputMode mode, int snapshot_every = 0, WatchedSink::Call call = {},
                               bool keeps_markers = true) const {
    auto kit = std::make_unique<TestKit>(
        ShopTotals(mode), std::map<std::string, std::string>(), [=, this](QueryOptions& options) {
          options.max_offsets_per_trigger = kOrdersPerBatch;
          options.snapshot_every = snapshot_every;
          options.checkpoint = CheckpointFolder(folder_ + "/checkpoint");
          options.output = keeps_markers ? JsonFilesOutput(folder_ + "/out") : NullOutput();
          if (!call) return;
          options.output.make =
              [call, make = options.output.make](
                  const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
            return std::make_unique<WatchedSink>(*make(request), call);
          };
        });
    testing::AddOrders(kit->topic(), 0, kBatches * kOrdersPerBatch, /*shops=*/200);
    return kit;
  }

  /// Runs to the end of the topic.
  absl::Status Run(OutputMode mode) const {
    const std::unique_ptr<TestKit> kit = Kit(mode);
    absl::Status status;
    for (int i = 0; i < 3; ++i) {
      status = kit->RunAll();
      if (!QueryExecution::is_transient(status)) break;
    }
    return status;
  }

  std::vector<std::string> Rows() const {
    std::vector<std::string> rows;
    if (!fs::exists(folder_ + "/out")) return rows;
    for (const auto& entry : fs::directory_iterator(folder_ + "/out")) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("part-")) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        rows.push_back(fmt::format("batch {}: {}", name.substr(5, 5), line));
      }
    }
    return rows;
  }
  std::string Path(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }

 private:
  std::string folder_;
};

/// The checkpoints to damage, and the rows of a query over each that is not.
class DamageTest : public ::testing::Test {
 protected:
  struct Case {
    Patient patient;
    OutputMode mode;
    int snapshot_every;
    const std::vector<std::string>* expected;
  };

  DamageTest() {
    for (const OutputMode mode : {OutputMode::kAppend, OutputMode::kUpdate}) {
      for (const int snapshot_every : {3, 6, 0}) {
        for (const Moment moment : {Moment::kPlanLogged, Moment::kInSink, Moment::kClosed}) {
          Prepare(mode, snapshot_every, moment);
        }
      }
    }
  }

  void Prepare(OutputMode mode, int snapshot_every, Moment moment) {
    const size_t number = cases_.size();
    const Patient whole(temp_.Path(fmt::format("whole-{}", number)));
    const std::string copy = temp_.Path(fmt::format("case-{}", number));
    const auto kit = whole.Kit(mode, snapshot_every, [&](int64_t batch_id, bool committed) {
      if (batch_id != kCopiedAt || moment == Moment::kClosed) return;
      if (committed == (moment == Moment::kInSink)) CopyFolder(whole.Path(""), copy);
    });
    for (int64_t batch = 0; batch < kBatches; ++batch) {
      // Without snapshots it is not restarted either: all there is lies in its log.
      if (batch == kRestartedAfter && snapshot_every > 0) kit->Stop();
      const absl::StatusOr<bool> ran = kit->RunBatch();
      ASSERT_TRUE(ran.ok() && *ran) << ran.status();
      if (batch != kCopiedAt || moment != Moment::kClosed) continue;
      kit->Stop();
      CopyFolder(whole.Path(""), copy);
    }
    const absl::Status status = kit->RunAll();
    ASSERT_TRUE(status.ok()) << status;
    auto& expected = expected_[mode];
    if (expected.empty()) expected = whole.Rows();
    cases_.push_back({Patient(copy), mode, snapshot_every, &expected});
  }

  /// Every file of its checkpoint, by path inside the folder.
  static std::vector<std::string> Files(const Patient& patient) {
    std::vector<std::string> files;
    const std::string root = patient.Path("checkpoint");
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_regular_file() && entry.file_size() > 0) {
        files.push_back(fs::relative(entry.path(), patient.Path("")));
      }
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  /// Damages one file of a copy, and runs the query on. OK: refused as it must be, or harmless.
  absl::Status Try(const Case& from, const std::string& file,
                   const std::function<void(const std::string& path)>& damage,
                   FaultOutcome* outcome);

  testing::TempDir temp_;
  std::map<OutputMode, std::vector<std::string>> expected_;
  std::vector<Case> cases_;
  int64_t refused_ = 0;
};

absl::Status DamageTest::Try(const Case& from, const std::string& file,
                             const std::function<void(const std::string& path)>& damage,
                             FaultOutcome* outcome) {
  const std::string folder = temp_.Path("trial");
  fs::remove_all(folder);
  CopyFolder(from.patient.Path(""), folder);
  const Patient patient(folder);
  damage(patient.Path(file));
  ++outcome->injected;
  const absl::Time start = absl::Now();
  const absl::Status status = patient.Run(from.mode);
  outcome->worst_recovery = std::max(outcome->worst_recovery, absl::Now() - start);
  if (status.ok()) {
    if (!outcome->Compare(*from.expected, patient.Rows())) {
      return absl::InternalError("not noticed, and the sink has other rows");
    }
    ++outcome->survived;
    return absl::OkStatus();
  }
  ++refused_;
  const std::string message(status.message());
  if (ExitCode(status, /*planned=*/true) != 4) return status;
  // What was written before it was noticed is right.
  FaultOutcome written;
  written.Compare(*from.expected, patient.Rows());
  outcome->duplicate_rows += written.duplicate_rows;
  outcome->wrong_rows += written.wrong_rows;
  if (written.duplicate_rows + written.wrong_rows > 0) {
    return absl::InternalError("noticed late: the sink has wrong rows; " + message);
  }
  if (absl::IsDataLoss(status)) {
    if (message.find(fs::path(file).filename()) == std::string::npos) {
      return absl::InternalError("the file is not named: " + message);
    }
    if (message.find("snapshot of batch") == std::string::npos &&
        message.find("there is no snapshot") == std::string::npos) {
      return absl::InternalError("no advice: " + message);
    }
  } else if (message.find("do not belong together") == std::string::npos) {
    return absl::InternalError("refused for something else: " + message);
  }
  ++outcome->survived;
  return absl::OkStatus();
}

/// Flips, cuts or zeroes some of a file.
class Damage {
 public:
  explicit Damage(std::mt19937_64* random) : random_(*random) {}

  void FlipBit(const std::string& path) {
    const uint64_t size = fs::file_size(path);
    uint64_t at = Draw(size);
    // Heads and feet of files say what the rest means.
    if (random_() % 4 == 0) at = Draw(std::min<uint64_t>(size, 64));
    if (random_() % 4 == 0) at = size - 1 - Draw(std::min<uint64_t>(size, 64));
    const int bit = static_cast<int>(Draw(8));
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ (1 << bit)));
    what_ = fmt::format("bit {} of byte {} of {} flipped", bit, at, size);
  }
  void Truncate(const std::string& path) {
    const uint64_t size = fs::file_size(path);
    uint64_t left = Draw(size);
    if (random_() % 8 == 0) left = 0;
    if (random_() % 4 == 0) left = size - 1 - Draw(std::min<uint64_t>(size, 64));
    fs::resize_file(path, left);
    what_ = fmt::format("cut from {} to {}", size, left);
  }
  void Zero(const std::string& path) {
    const uint64_t size = fs::file_size(path);
    const uint64_t units[] = {1, 512, 4096, 32768};
    const uint64_t unit = units[Draw(4)];
    const uint64_t begin = Draw(size) / unit * unit;
    uint64_t end = begin + unit * (1 + Draw(4));
    if (random_() % 4 == 0) end = size;
    end = std::min(end, size);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(begin));
    const std::string zeros(end - begin, '\0');
    file.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
    what_ = fmt::format("[{}, {}) of {} zeroed", begin, end, size);
  }
  const std::string& what() const { return what_; }

 private:
  uint64_t Draw(uint64_t below) { return random_() % below; }

  std::mt19937_64& random_;
  std::string what_;
};

TEST_F(DamageTest, OfAnyFileIsNoticedOrHarmless) {
  const uint64_t seed = FaultSeed();
  fmt::print("seed {}\n", seed);
  std::mt19937_64 random(seed);
  Damage damage(&random);
  struct Kind {
    std::string fault;
    void (Damage::*apply)(const std::string&);
  };
  const Kind kinds[] = {{"damage: bit flip", &Damage::FlipBit},
                        {"damage: truncation", &Damage::Truncate},
                        {"damage: zero-fill", &Damage::Zero}};
  for (const Kind& kind : kinds) {
    FaultOutcome outcome{.fault = kind.fault};
    for (int64_t trial = 0; trial < FaultScale(167, 1667); ++trial) {
      const Case& from = cases_[random() % cases_.size()];
      std::vector<std::string> files = Files(from.patient);
      // Half of the time one of those that the database cannot do without.
      if (random() % 2 == 0) {
        std::erase_if(files, [](const std::string& file) {
          return !file.starts_with("checkpoint/state/") ||
                 (!file.ends_with(".log") && file.find("MANIFEST") == std::string::npos);
        });
      }
      const std::string& file = files[random() % files.size()];
      const absl::Status status = Try(
          from, file, [&](const std::string& path) { (damage.*kind.apply)(path); }, &outcome);
      EXPECT_TRUE(status.ok()) << status << "\n"
                               << file << ": " << damage.what() << ", mode "
                               << static_cast<int>(from.mode);
    }
    ReportFault(outcome);
    EXPECT_GT(refused_, 0);
    fmt::print("{} of {} refused\n", std::exchange(refused_, 0), outcome.injected);
  }
}

// What was acknowledged, and then cut off the log, looks like a tail that a crash tore off: the
// note of the last commit tells, and without it the sink's marker.
TEST_F(DamageTest, ACutLogIsNoticedByTheNoteOrByTheSinkOrHarmless) {
  FaultOutcome outcome{.fault = "damage: log cut at its end"};
  for (const Case& from : cases_) {
    for (const std::string& file : Files(from.patient)) {
      if (!file.starts_with("checkpoint/state/") || !file.ends_with(".log")) continue;
      const uint64_t size = fs::file_size(from.patient.Path(file));
      const uint64_t step = size / static_cast<uint64_t>(FaultScale(4, 40)) + 1;
      for (uint64_t cut = 1; cut < size + step; cut += step) {
        for (const bool note : {true, false}) {
          const uint64_t left = size - std::min(cut, size);
          const absl::Status status = Try(
              from, file,
              [&](const std::string& path) {
                fs::resize_file(path, left);
                if (!note) fs::remove(fs::path(path).replace_filename("last_commit"));
              },
              &outcome);
          EXPECT_TRUE(status.ok()) << status << "\n" << file << ": cut to " << left << note;
        }
      }
    }
  }
  EXPECT_GT(refused_, 0);
  ReportFault(outcome);
}

// Where no sink could tell: never begun anew, never a batch twice.
TEST_F(DamageTest, ALostLogIsNoticedWithoutAnyMarker) {
  FaultOutcome outcome{.fault = "damage: log lost, sink without markers"};
  for (const bool zeros : {false, true}) {
    for (const bool planned : {false, true}) {
      const Patient patient(temp_.Path("unmarked"));
      fs::remove_all(patient.Path(""));
      const std::string copy = temp_.Path("unmarked-copy");
      fs::remove_all(copy);
      auto kit = patient.Kit(
          OutputMode::kUpdate, 0,
          [&](int64_t batch_id, bool committed) {
            if (planned && batch_id == 2 && !committed) CopyFolder(patient.Path(""), copy);
          },
          /*keeps_markers=*/false);
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(*kit->RunBatch());
      kit->Stop();
      if (planned) {
        fs::remove_all(patient.Path(""));
        fs::rename(copy, patient.Path(""));
      }
      uint64_t lost = 0;
      for (const auto& entry : fs::directory_iterator(patient.Path("checkpoint/state"))) {
        if (entry.path().extension() != ".log") continue;
        const uint64_t size = entry.file_size();
        lost += size;
        fs::resize_file(entry.path(), 0);
        if (zeros) fs::resize_file(entry.path(), size);
      }
      ASSERT_GT(lost, 0u);
      ++outcome.injected;
      kit = patient.Kit(OutputMode::kUpdate, 0, {}, /*keeps_markers=*/false);
      const absl::Status status = kit->RunAll();
      EXPECT_TRUE(absl::IsDataLoss(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(".log"));
      if (absl::IsDataLoss(status)) ++outcome.survived;
    }
  }
  ReportFault(outcome);
}

}  // namespace
}  // namespace tidemark
