#ifndef TIDEMARK_TESTS_FAULTS_FAULT_REPORT_H_
#define TIDEMARK_TESTS_FAULTS_FAULT_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace tidemark::testing {

/// A line of the table that scripts/faults prints: a kind of fault, how often it was injected, and
/// what was left of the results.
struct FaultOutcome {
  std::string fault;
  int64_t injected = 0;
  int64_t survived = 0;        ///< the query ended as it must, with the right results
  int64_t lost_rows = 0;       ///< expected, and not in the sink
  int64_t duplicate_rows = 0;  ///< more often in the sink than expected
  int64_t wrong_rows = 0;      ///< in the sink, and not expected at all
  absl::Duration worst_recovery = absl::ZeroDuration();  ///< from the start (or the end of the
                                                         ///< fault) to the right results
  /// Counts the differences of the sink's rows to the expected ones, as bags. True: there is none.
  bool Compare(std::vector<std::string> expected, std::vector<std::string> found);
};

/// Prints the line, and adds it to the file $TIDEMARK_FAULTS_REPORT (scripts/faults sets it).
void ReportFault(const FaultOutcome& outcome);

/// How much is injected: `small` in scripts/test, `full` in scripts/faults (TIDEMARK_FAULTS=full).
int64_t FaultScale(int64_t small, int64_t full);

/// The seed of everything random: $TIDEMARK_FAULTS_SEED, else 1 on the small scale (the same run
/// each time) and a new one on the full scale. Print it.
uint64_t FaultSeed();

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_FAULT_REPORT_H_
