#include "tidemark/engine/tool/checkpoint_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tidemark/engine/state_schema.h"
#include "tidemark/state/checkpoint_rewind.h"

namespace tidemark {
namespace {

constexpr std::string_view kCurrent = "current";
constexpr std::string_view kRewound = "rewound/";
constexpr size_t kMemoryBytes = size_t{64} << 20;

std::string FingerprintLine(std::string_view fingerprint, std::string_view word) {
  while (!fingerprint.empty()) {
    const size_t end = std::min(fingerprint.find('\n'), fingerprint.size());
    const std::string_view line = fingerprint.substr(0, end);
    if (line.starts_with(word) && line.substr(word.size()).starts_with(' ')) {
      return std::string(line.substr(word.size() + 1));
    }
    fingerprint.remove_prefix(std::min(end + 1, fingerprint.size()));
  }
  return {};
}

}  // namespace

std::optional<std::string> DatabaseOfCopy(std::string_view name) {
  if (name.empty() || name == kCurrent) return "state";
  const bool rewound = name.starts_with(kRewound);
  const auto number = ParseDigits(rewound ? name.substr(kRewound.size()) : name);
  if (!number.has_value()) return std::nullopt;
  return rewound ? RewoundName(*number) + "/state" : fmt::format("snapshots/{}", *number);
}

std::string CopyView::Pipeline(std::string_view word) const {
  return FingerprintLine(checkpoint->fingerprint(), word);
}

std::unique_ptr<WindowTable> CopyView::OpenTable() const {
  WindowTableOptions options;
  if (aggregation != nullptr) options.layout = aggregation->slot_layout();
  return WindowTable::Create(store, std::move(options));
}

int64_t CopyView::groups() const { return OpenTable()->groups_total(); }

absl::Status CopyView::CheckNamed() const {
  if (aggregation != nullptr) return absl::OkStatus();
  if (Pipeline("state").empty()) {
    return absl::FailedPreconditionError(
        fmt::format("{}: the pipeline has no aggregate, so there are no groups", name));
  }
  return absl::FailedPreconditionError(
      fmt::format("{}: the checkpoint does not say what its groups' columns are called, because it "
                  "was made before checkpoints did; start the job once and let it run a batch",
                  name));
}

absl::StatusOr<std::unique_ptr<CheckpointView>> CheckpointView::Open(const std::string& folder,
                                                                     bool to_write) {
  std::unique_ptr<CheckpointView> view(new CheckpointView(folder));
  // A damaged checkpoint may have no database left, but snapshots.
  const absl::StatusOr<CheckpointFolder::Content> content = view->folder_.Inspect();
  if (!content.ok() && !absl::IsDataLoss(content.status())) return content.status();
  if (content.ok() && *content == CheckpointFolder::Content::kNothing) {
    return absl::NotFoundError(
        fmt::format("there is no checkpoint in {}; give the folder that the job prints at its "
                    "start (--checkpoint DIR, by default ./checkpoints/<job>)",
                    folder));
  }
  view->in_use_ = to_write ? view->folder_.Lock() : view->folder_.LockToRead();
  if (!view->in_use_.ok() && !absl::IsFailedPrecondition(view->in_use_)) return view->in_use_;
  return view;
}

std::vector<std::string> CheckpointView::Names() const {
  std::vector<std::string> names = {std::string(kCurrent)};
  const std::vector<int64_t> snapshots = folder_.ListSnapshots();
  std::for_each(snapshots.rbegin(), snapshots.rend(),
                [&](int64_t batch_id) { names.push_back(std::to_string(batch_id)); });
  const std::vector<int64_t> rewinds = ListRewinds(folder_);
  std::for_each(rewinds.rbegin(), rewinds.rend(), [&](int64_t epoch) {
    std::error_code error;
    const std::string database = folder_.path() + "/" + RewoundName(epoch) + "/state";
    if (std::filesystem::exists(database, error)) names.push_back(RewoundName(epoch));
  });
  return names;
}

absl::StatusOr<CopyView> CheckpointView::OpenCopy(const std::string& name) const {
  CopyView view;
  view.name = name.empty() ? std::string(kCurrent) : name;
  const std::optional<std::string> database = DatabaseOfCopy(name);
  const std::vector<std::string> names = Names();
  if (!database.has_value() || std::find(names.begin(), names.end(), view.name) == names.end()) {
    return absl::NotFoundError(fmt::format("the checkpoint {} has no copy '{}'; there are: {}",
                                           path(), name, fmt::join(names, ", ")));
  }
  if (view.name == kCurrent && !in_use_.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("{}{}", std::string(in_use_.message()),
                    names.size() > 1 ? fmt::format(". Or look at a copy that the process does not "
                                                   "change: {}",
                                                   fmt::join(names.begin() + 1, names.end(), ", "))
                                     : ""));
  }
  absl::StatusOr<std::unique_ptr<CheckpointCopy>> store =
      OpenCheckpointCopy(path(), *database, {.memory_bytes = kMemoryBytes});
  if (!store.ok() && absl::IsNotFound(store.status())) {
    // Named by the folder a moment ago, or the present state, which must be there.
    return absl::DataLossError(fmt::format("the checkpoint {} has lost its {}; {}", path(),
                                           *database, folder_.RestoreAdvice({})));
  }
  if (!store.ok()) return store.status();
  view.store = store->get();
  view.checkpoint = std::make_unique<Checkpoint>(*std::move(store));
  const auto damaged = [&](const absl::Status& status) {
    return absl::Status(status.code(),
                        fmt::format("{}/{}: {}", path(), *database, std::string(status.message())));
  };
  const absl::StatusOr<bool> loaded = view.checkpoint->Load();
  if (!loaded.ok()) return damaged(loaded.status());
  const std::string& schema = view.checkpoint->notes().state_schema;
  if (schema.empty()) return view;
  absl::StatusOr<std::unique_ptr<Aggregation>> aggregation = AggregationOf(schema);
  if (!aggregation.ok()) return damaged(aggregation.status());
  if ((*aggregation)->state_layout() != view.Pipeline("state")) {
    return damaged(absl::DataLossError(
        fmt::format("the checkpoint is damaged: its groups are `{}` by their columns' names, but "
                    "`{}` by its fingerprint",
                    (*aggregation)->state_layout(), view.Pipeline("state"))));
  }
  view.aggregation = *std::move(aggregation);
  return view;
}

}  // namespace tidemark
