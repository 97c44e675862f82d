#include "tests/faults/fuzz/corpus.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tests/faults/fault_report.h"
#include "tests/faults/fuzz/judges.h"

namespace tidemark::testing {
namespace {

std::string CorpusPath(std::string_view target) {
  return fmt::format("{}/{}.txt", TIDEMARK_CORPUS, target);
}

class CorpusTest : public ::testing::TestWithParam<Judge> {};

// Verdicts are written by hand, from semantics.md and the formats' own specifications: the program
// is asked whether it agrees.
TEST_P(CorpusTest, EveryCaseHasItsVerdict) {
  FaultOutcome outcome;
  outcome.fault = fmt::format("hostile: {} corpus", GetParam().target);
  std::set<std::string> names;
  for (const HostileCase& hostile : ReadCorpus(CorpusPath(GetParam().target))) {
    EXPECT_TRUE(names.insert(hostile.name).second) << hostile.name << " is there twice";
    const std::string verdict = GetParam().judge(hostile.bytes);
    ++outcome.injected;
    if (VerdictFits(hostile.verdict, verdict)) {
      ++outcome.survived;
      continue;
    }
    ++outcome.wrong_rows;
    ADD_FAILURE() << CorpusPath(GetParam().target) << ":" << hostile.line << ": " << hostile.name
                  << "\n  expected: " << hostile.verdict.substr(0, 300)
                  << "\n  actual:   " << verdict.substr(0, 300);
  }
  ReportFault(outcome);
}

INSTANTIATE_TEST_SUITE_P(All, CorpusTest, ::testing::ValuesIn(kJudges),
                         [](const auto& param) { return std::string(param.param.target); });

TEST(CorpusTest, HasFourHundredCasesAtLeast) {
  size_t cases = 0;
  for (const Judge& judge : kJudges) cases += ReadCorpus(CorpusPath(judge.target)).size();
  EXPECT_GE(cases, 400u);
}

TEST(CorpusTest, ReadsItsOwnLanguage) {
  const std::filesystem::path path = ::testing::TempDir() + "corpus_language.txt";
  std::ofstream(path) << "# a comment\n\nlet ab = 'a' \"b\"\n"
                         "one: $ab x 2 0x00ff '\\n' \"\\x41\\n\\\"\" => accepted 1\n"
                         "two:  => refused empty\n";
  const std::vector<HostileCase> cases = ReadCorpus(path);
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[0].bytes, std::string("abab\0\xFF\\nA\n\"", 11));
  EXPECT_EQ(cases[0].verdict, "accepted 1");
  EXPECT_EQ(cases[1].bytes, "");
  for (const char* wrong : {"a 'x' => accepted", "a: 'x' => maybe", "a: 'x", "a: $no => refused x",
                            "a: \"\\q\" => refused x", "a: 0x0 => refused x", "a: 'x'"}) {
    std::ofstream(path) << wrong << "\n";
    EXPECT_ANY_THROW(ReadCorpus(path)) << wrong;
  }
  EXPECT_TRUE(VerdictFits("accepted 1", "accepted 1"));
  EXPECT_FALSE(VerdictFits("accepted 1", "accepted 12"));
  EXPECT_TRUE(VerdictFits("refused wrong_type", "refused wrong_type: a"));
  EXPECT_FALSE(VerdictFits("refused wrong_type", "refused out_of_range: a"));
  EXPECT_FALSE(VerdictFits("refused x", "accepted x"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tidemark::testing
