#include "tests/faults/fault_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace tidemark::testing {

bool FaultOutcome::Compare(std::vector<std::string> expected, std::vector<std::string> found) {
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  const int64_t before = lost_rows + duplicate_rows + wrong_rows;
  auto want = expected.begin();
  auto have = found.begin();
  while (want != expected.end() || have != found.end()) {
    const bool missing = have == found.end() || (want != expected.end() && *want < *have);
    if (missing) {
      ++lost_rows;
      ++want;
    } else if (want == expected.end() || *have < *want) {
      const bool known = std::binary_search(expected.begin(), expected.end(), *have);
      ++(known ? duplicate_rows : wrong_rows);
      ++have;
    } else {
      ++want;
      ++have;
    }
  }
  return lost_rows + duplicate_rows + wrong_rows == before;
}

void ReportFault(const FaultOutcome& outcome) {
  const std::string line =
      fmt::format("{} | {} | {} | {} | {} | {} | {:.2f}", outcome.fault, outcome.injected,
                  outcome.survived, outcome.lost_rows, outcome.duplicate_rows, outcome.wrong_rows,
                  absl::ToDoubleSeconds(outcome.worst_recovery));
  fmt::print("FAULT | {}\n", line);
  std::fflush(stdout);
  const char* path = std::getenv("TIDEMARK_FAULTS_REPORT");
  if (path == nullptr) return;
  std::FILE* file = std::fopen(path, "a");
  if (file == nullptr) {
    std::perror(path);
    std::abort();
  }
  fmt::print(file, "{}\n", line);
  std::fclose(file);
}

int64_t FaultScale(int64_t small, int64_t full) {
  const char* scale = std::getenv("TIDEMARK_FAULTS");
  return scale != nullptr && std::string(scale) == "full" ? full : small;
}

uint64_t FaultSeed() {
  const char* seed = std::getenv("TIDEMARK_FAULTS_SEED");
  if (seed != nullptr) return std::strtoull(seed, nullptr, 10);
  return static_cast<uint64_t>(FaultScale(1, std::random_device{}()));
}

}  // namespace tidemark::testing
