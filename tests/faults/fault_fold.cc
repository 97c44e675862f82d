#include "tests/faults/fault_fold.h"

#include <fmt/format.h>

#include <algorithm>

#include "tidemark/operators/rows/text.h"

namespace tidemark::testing {
namespace {

constexpr int64_t kWindowUs = 10'000'000;  // fault_job's

std::string TimeText(int64_t time_us) {
  std::string text;
  AppendTimestamp(time_us, &text);
  return text;
}

}  // namespace

std::string FaultRecord::Json() const {
  return fmt::format(R"({{"id":{},"name":"{}","amount":{},"created_at":"{}"}})", id, name, amount,
                     TimeText(time_us));
}

void FaultFold::Add(const FaultRecord& record) {
  Total& total = totals_[{record.time_us / kWindowUs * kWindowUs, record.name}];
  ++total.records;
  total.amount += record.amount;
  total.last_id = std::max(total.last_id, record.id);
}

void FaultFold::Forget(const std::string& name) {
  std::erase_if(totals_, [&](const auto& entry) { return entry.first.second == name; });
}

std::vector<std::string> FaultFold::Rows(const std::string& sink) const {
  std::vector<std::string> rows;
  for (const auto& [group, total] : totals_) {
    const auto& [window_us, name] = group;
    const std::string window = TimeText(window_us);
    if (sink == "mysql") {
      rows.push_back(fmt::format("{} {}.000000|{}|{}|{}|{}|", window.substr(0, 10),
                                 window.substr(11, 8), name, total.records, total.amount,
                                 total.last_id));
    } else {
      rows.push_back(
          fmt::format(R"({{"window_start":"{}","name":"{}","records":{},"total":{},"last_id":{}}})",
                      window, name, total.records, total.amount, total.last_id));
    }
  }
  return rows;
}

}  // namespace tidemark::testing
