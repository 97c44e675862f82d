// A job that puts hostile records aside is killed at random moments. Each record that it cannot
// read must be in the dead-letter topic, byte by byte, at least once; repaired and sent back by
// `replay_dead_letters`, which is killed too, each must be counted once.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "tests/faults/fault_fold.h"
#include "tests/faults/fault_ground.h"
#include "tests/faults/fault_report.h"

namespace tidemark::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRecordsAtOnce = 500;

// All in one window, which stays open: what comes back is not late.
FaultRecord RecordOf(int64_t id) {
  return {id, fmt::format("n{}", id % 11), id % 1'000 - 300, kFaultStartUs + id % 9'000 * 1'000};
}

bool IsSpoilt(int64_t id) { return id % 5 == 3; }

// A record that no job can read, with what is left of it.
std::string Spoilt(int64_t id) {
  const std::string good = RecordOf(id).Json();
  switch (id / 5 % 6) {
    case 0:
      return good.substr(0, good.size() / 2);
    case 1:
      return good + "}";
    case 2:
      return fmt::format("[{}]", good);
    case 3:
      return good + std::string("\0\xFF\xFE", 3);
    case 4:
      return fmt::format(R"({{"id":"number {}","name":"n","amount":1}})", id);
    default:
      return fmt::format("{}{}", std::string(2'000, '['), id);
  }
}

std::string HeaderOf(const KafkaRecord& record, const std::string& name) {
  for (const auto& [header, value] : record.headers) {
    if (header == name) return value.value_or("null");
  }
  return "none";
}

class DeadLettersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<FaultGround>> ground = FaultGround::Start();
    ASSERT_TRUE(ground.ok()) << ground.status();
    ground_ = *std::move(ground);
    for (const char* topic : {"fed", "dead"}) {
      ASSERT_TRUE(ground_->kafka().CreateTopic(topic, 1).ok());
    }
    fmt::print("seed {}\n", seed_);
  }

  // Records of which one in five is spoilt; their offsets are their numbers.
  void Feed(int64_t count) {
    std::vector<KafkaRecord> records;
    for (const int64_t end = fed_ + count; fed_ < end; ++fed_) {
      records.push_back({.key = fmt::format("k{}", fed_),
                         .value = IsSpoilt(fed_) ? Spoilt(fed_) : RecordOf(fed_).Json(),
                         .headers = {{"trace", std::to_string(fed_)}, {"none", std::nullopt}}});
    }
    const absl::Status produced = ground_->kafka().Produce("fed", 0, records);
    ASSERT_TRUE(produced.ok()) << produced;
  }

  ProcessOptions Job(const std::string& trigger) const {
    return ground_->Options(run_, {"--bad-records", "dead-letter:topic=dead", "--trigger", trigger,
                                   "--max-offsets-per-trigger", "200"});
  }
  ProcessOptions Replay(std::vector<std::string> words) const {
    words.insert(words.begin(), TIDEMARK_REPLAY_JOB);
    words.insert(words.end(), {"--brokers", ground_->kafka().brokers()});
    return {.args = std::move(words), .working_dir = ground_->Path("")};
  }
  static void RunToItsEnd(ProcessOptions options) {
    const absl::StatusOr<ProcessResult> result = RunProcess(std::move(options), absl::Minutes(2));
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 0) << result->stderr_text;
  }

  // Starts it and ends it at a random moment, if it does not end before: true if it was killed.
  bool Kill(ProcessOptions options, bool once_it_is_ready) {
    absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(std::move(options));
    EXPECT_TRUE(process.ok()) << process.status();
    if (!process.ok()) return false;
    if (once_it_is_ready) {
      WaitFor(absl::Seconds(30), [&] {
        const std::string said = (*process)->Stderr();
        return said.find("checkpoint") != std::string::npos ||
               said.find("Resumed") != std::string::npos || !(*process)->Running();
      });
    }
    const absl::StatusOr<int> ended = (*process)->Wait(absl::Milliseconds(10 + random_() % 490));
    if (ended.ok()) return false;
    (*process)->Kill();
    return true;
  }

  // The sink has all the good records, and those that came back.
  void JudgeSink(bool repaired, FaultOutcome* outcome) const {
    FaultFold fold;
    for (int64_t id = 0; id < fed_; ++id) {
      if (repaired || !IsSpoilt(id)) fold.Add(RecordOf(id));
    }
    auto rows = ground_->Rows(run_);
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_TRUE(outcome->Compare(fold.Rows("mysql"), *std::move(rows))) << "seed " << seed_;
  }

  // The topic has each spoilt record as it was, and nothing else. Repeats are told by their offset.
  void JudgeLetters(FaultOutcome* outcome) const {
    std::vector<std::string> expected;
    for (int64_t id = 0; id < fed_; ++id) {
      if (IsSpoilt(id))
        expected.push_back(fmt::format("fed/0/{} k{} {} null {}", id, id, id, Spoilt(id)));
    }
    const absl::StatusOr<std::vector<KafkaRecord>> letters = ground_->kafka().ReadTopic("dead");
    ASSERT_TRUE(letters.ok()) << letters.status();
    std::map<std::string, std::string> found;
    for (const KafkaRecord& letter : *letters) {
      const std::string origin =
          fmt::format("{}/{}/{}", HeaderOf(letter, "tidemark.topic"),
                      HeaderOf(letter, "tidemark.partition"), HeaderOf(letter, "tidemark.offset"));
      const std::string text = fmt::format("{} {} {} {} {}", origin, letter.key.value_or("null"),
                                           HeaderOf(letter, "trace"), HeaderOf(letter, "none"),
                                           letter.value.value_or("null"));
      EXPECT_EQ(found.emplace(origin, text).first->second, text) << "a repeat is another record";
    }
    fmt::print("{} dead letters of {} records, {} of them repeats\n", letters->size(),
               expected.size(), letters->size() - found.size());
    std::vector<std::string> each;
    for (const auto& [origin, text] : found) each.push_back(text);
    EXPECT_TRUE(outcome->Compare(expected, each)) << "seed " << seed_;
  }

  // As a person would: the line of each letter gets the record that was meant.
  void Repair(const std::string& exported, const std::string& repaired) const {
    std::ifstream in(ground_->Path(exported));
    std::ofstream out(ground_->Path(repaired));
    constexpr std::string_view kOffset = "\"offset\":";
    for (std::string line; std::getline(in, line);) {
      const int64_t id = std::stoll(line.substr(line.find(kOffset) + kOffset.size()));
      out << fmt::format(R"({{"topic":"fed","partition":0,"offset":{},"value":{}}})", id,
                         RecordOf(id).Json())
          << "\n";
    }
  }

  std::unique_ptr<FaultGround> ground_;
  const FaultRun run_{"letters", "fed", "mysql", "update"};
  const uint64_t seed_ = FaultSeed();
  std::mt19937_64 random_{seed_};
  int64_t fed_ = 0;
};

TEST_F(DeadLettersTest, NoneIsLostAndEachComesBackOnce) {
  FaultOutcome killed{.fault = "dead letters: the job killed at random"};
  const int64_t kills = FaultScale(20, 200);
  while (killed.injected < kills) {
    Feed(kRecordsAtOnce);
    ASSERT_TRUE(Kill(Job("asap"), killed.injected % 2 == 1)) << "it ended by itself";
    ++killed.injected;
  }
  Clock::time_point start = Clock::now();
  ASSERT_NO_FATAL_FAILURE(RunToItsEnd(Job("available-now")));
  killed.worst_recovery = absl::FromChrono(Clock::now() - start);
  ASSERT_NO_FATAL_FAILURE(JudgeSink(/*repaired=*/false, &killed));
  ASSERT_NO_FATAL_FAILURE(JudgeLetters(&killed));
  killed.survived = HasFailure() ? 0 : killed.injected;
  ReportFault(killed);

  FaultOutcome replayed{.fault = "dead letters: the replay killed at random"};
  ASSERT_NO_FATAL_FAILURE(
      RunToItsEnd(Replay({"export", "--dead-letter-topic", "dead", "--to", "letters.jsonl"})));
  Repair("letters.jsonl", "repaired.jsonl");
  const std::vector<std::string> send = {"send", "repaired.jsonl", "--lines-per-transaction", "50"};
  for (int64_t i = FaultScale(6, 40); i > 0; --i) {
    if (Kill(Replay(send), /*once_it_is_ready=*/false)) ++replayed.injected;
  }
  EXPECT_GT(replayed.injected, 0);
  start = Clock::now();
  ASSERT_NO_FATAL_FAILURE(RunToItsEnd(Replay(send)));
  replayed.worst_recovery = absl::FromChrono(Clock::now() - start);
  ASSERT_NO_FATAL_FAILURE(RunToItsEnd(Job("available-now")));
  ASSERT_NO_FATAL_FAILURE(JudgeSink(/*repaired=*/true, &replayed));
  replayed.survived = HasFailure() ? 0 : replayed.injected;
  ReportFault(replayed);
}

}  // namespace
}  // namespace tidemark::testing
