#ifndef TIDEMARK_TESTS_FAULTS_FAULT_FOLD_H_
#define TIDEMARK_TESTS_FAULTS_FAULT_FOLD_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tidemark::testing {

/// A record that `fault_job` reads.
struct FaultRecord {
  int64_t id = 0;
  std::string name;
  int64_t amount = 0;
  int64_t time_us = 0;
  std::string Json() const;
};

/// 2025-01-06T08:00:00Z, where the event times of the fault tests begin.
constexpr int64_t kFaultStartUs = 1'736'150'400'000'000;

/// What `fault_job` must make of records none of which is late: a plain fold.
class FaultFold {
 public:
  void Add(const FaultRecord& record);
  /// The rows as FaultGround::Rows reads them from `sink` (mysql, or the JSON of json and kafka).
  std::vector<std::string> Rows(const std::string& sink) const;
  /// Leaves out the rows of that name.
  void Forget(const std::string& name);

 private:
  struct Total {
    int64_t records = 0;
    int64_t amount = 0;
    int64_t last_id = INT64_MIN;
  };
  std::map<std::pair<int64_t, std::string>, Total> totals_;  // by window start and name
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_FAULT_FOLD_H_
