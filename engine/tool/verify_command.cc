#include <fmt/format.h>

#include <cstdio>

#include "tidemark/engine/tool/checkpoint_commands.h"
#include "tidemark/engine/tool/checkpoint_view.h"
#include "tidemark/engine/tool/tool_text.h"
#include "tidemark/state/state_content.h"

namespace tidemark {
namespace {

absl::Status Damaged(const std::string& what) {
  return absl::DataLossError("the checkpoint is damaged: " + what);
}

// The groups of each window, read as the job reads them.
absl::StatusOr<std::map<int64_t, int64_t>> CountGroups(const CopyView& copy) {
  std::map<int64_t, int64_t> counts;
  const std::unique_ptr<WindowTable> table = copy.OpenTable();
  const auto groups = table->Scan(INT64_MIN, WindowTable::kNoWindow);
  while (true) {
    const absl::StatusOr<bool> more = groups->Next();
    if (!more.ok()) return more.status();
    if (!*more) break;
    ++counts[groups->window_end()];
  }
  // Once more for keys and accumulators.
  const auto results = copy.aggregation->Results(table->Scan(INT64_MIN, WindowTable::kNoWindow));
  while (true) {
    const absl::StatusOr<const RowBatch*> rows = results->Next();
    if (!rows.ok()) return rows.status();
    if (*rows == nullptr) return counts;
  }
}

absl::Status CheckState(const CopyView& copy, const StateContent& content) {
  for (const auto& [operator_id, windows] : content.tables) {
    if (operator_id != 0) {
      return Damaged(fmt::format("it has state of operator {}, and a query has one", operator_id));
    }
    for (const auto& [window_end, window] : windows) {
      if (window.groups > 0 || window.rows + window.pages == 0) continue;
      return Damaged(fmt::format("the window that ends {} has groups that are not counted",
                                 TimeText(window_end)));
    }
  }
  if (copy.aggregation == nullptr) return absl::OkStatus();
  const absl::StatusOr<std::map<int64_t, int64_t>> counts = CountGroups(copy);
  if (!counts.ok()) return counts.status();
  if (content.tables.empty()) return absl::OkStatus();
  for (const auto& [window_end, window] : content.tables.at(0)) {
    const auto counted = counts->find(window_end);
    const int64_t found = counted == counts->end() ? 0 : counted->second;
    if (found == window.groups) continue;
    return Damaged(fmt::format("the window that ends {} has {} groups, and {} are counted",
                               TimeText(window_end), found, window.groups));
  }
  return absl::OkStatus();
}

// What there is, in a few words.
absl::StatusOr<std::string> Verify(const CheckpointView& view, const std::string& name) {
  const absl::StatusOr<CopyView> copy = view.OpenCopy(name);
  if (!copy.ok()) return copy.status();
  if (absl::Status status = copy->store->VerifyChecksums(); !status.ok()) return status;
  const absl::StatusOr<StateContent> content = ReadStateContent(*copy->store, true);
  absl::Status status = content.ok() ? CheckState(*copy, *content) : content.status();
  if (!status.ok()) {
    return absl::Status(
        status.code(), fmt::format("{}/{}: {}; {}", view.path(), *DatabaseOfCopy(name),
                                   std::string(status.message()), view.folder().RestoreAdvice({})));
  }
  if (copy->progress().query_id.empty()) return "no query has begun";
  return fmt::format("batch {}, {}, {}{}", copy->progress().batch_id,
                     CountText(copy->groups(), "group"), BytesText(copy->store->disk_bytes()),
                     copy->aggregation == nullptr && copy->groups() > 0
                         ? "; groups checked by shape only: their columns are not named yet"
                         : "");
}

}  // namespace

absl::Status VerifyCheckpoint(const std::string& folder, const std::string& copy) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view = CheckpointView::Open(folder);
  if (!view.ok()) return view.status();
  const std::vector<std::string> names =
      copy.empty() ? (*view)->Names() : std::vector<std::string>{copy};
  fmt::print("checkpoint {}\n", folder);
  TextTable table({"COPY", "VERDICT", ""});
  std::vector<std::string> problems;
  absl::StatusCode code = absl::StatusCode::kOk;
  for (const std::string& name : names) {
    // Copies do not change under a running job: they can be looked at all the same.
    if (copy.empty() && name == "current" && !(*view)->in_use().ok()) {
      if (names.size() == 1) return (*view)->in_use();
      table.Add({name, "not checked", std::string((*view)->in_use().message())});
      continue;
    }
    const absl::StatusOr<std::string> found = Verify(**view, name);
    if (absl::IsNotFound(found.status())) return found.status();
    table.Add({name, found.ok() ? "whole" : "DAMAGED", found.ok() ? *found : "see below"});
    if (found.ok()) continue;
    problems.emplace_back(found.status().message());
    if (code == absl::StatusCode::kOk) code = found.status().code();
  }
  fmt::print("{}", table.ToString());
  std::fflush(stdout);
  return absl::Status(code, fmt::format("{}", fmt::join(problems, "\nerror: ")));
}

}  // namespace tidemark
