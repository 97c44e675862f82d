#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "tidemark/engine/tool/checkpoint_commands.h"
#include "tidemark/engine/tool/checkpoint_view.h"
#include "tidemark/engine/tool/tool_text.h"
#include "tidemark/state/checkpoint_rewind.h"

namespace tidemark {
namespace {

// What a sink sees when batches are written to it again under a higher epoch (design, section 4).
struct SinkEffect {
  std::string_view kind;  // the beginning of Sink::description
  std::string_view effect;
};
constexpr SinkEffect kSinkEffects[] = {
    {"MySQL[",
     "its rows are written again, each over the one with the same key; until then the table shows\n"
     "    what it shows now"},
    {"JsonFiles[",
     "the files of those batches are removed, by their manifests, when the first of them is "
     "written\n"
     "    again; until then they stay"},
    {"Parquet[",
     "the files of those batches are removed, by their manifests, when the first of them is "
     "written\n"
     "    again; until then they stay"},
    {"Kafka[",
     "its rows are sent again: who reads the topic sees those batches twice, the last record of "
     "each\n"
     "    key being right in the end"},
    {"Console[", "the batches are printed again"},
    {"Null", "nothing"},
    {"Memory", "its rows are replaced from that batch on"},
};

// The rewind that was asked for, and what there is to tell about it.
struct PlannedRewind {
  std::string folder;
  int64_t batch_id = 0;
  int64_t epoch = 0;  // that begins
  CopyView target;
  absl::StatusOr<CopyView> current = absl::UnknownError("");
};

absl::StatusOr<PlannedRewind> PlanRewind(const CheckpointView& view, int64_t batch_id) {
  PlannedRewind plan;
  plan.folder = view.path();
  plan.batch_id = batch_id;
  const std::vector<int64_t> kept = view.folder().ListSnapshots();
  if (std::find(kept.begin(), kept.end(), batch_id) == kept.end()) {
    return absl::NotFoundError(
        fmt::format("the checkpoint {} keeps no snapshot of batch {}; {}", view.path(), batch_id,
                    kept.empty() ? std::string("it keeps none")
                                 : fmt::format("it keeps: {}", fmt::join(kept, ", "))));
  }
  absl::StatusOr<CopyView> target = view.OpenCopy(std::to_string(batch_id));
  if (!target.ok()) return target.status();
  if (absl::Status status = target->store->VerifyChecksums(); !status.ok()) return status;
  plan.target = *std::move(target);
  plan.epoch = plan.target.progress().epoch;
  // A damaged state is what one goes back from.
  plan.current = view.OpenCopy("current");
  if (absl::IsFailedPrecondition(plan.current.status())) return plan.current.status();
  if (plan.current.ok()) {
    const QueryProgress& progress = plan.current->progress();
    if (progress.query_id != plan.target.progress().query_id) {
      return absl::FailedPreconditionError(
          fmt::format("the snapshot of batch {} in {} is of query {}, the current state of query "
                      "{}: it was not "
                      "taken of this checkpoint; remove it",
                      batch_id, view.path(), plan.target.progress().query_id, progress.query_id));
    }
    plan.epoch = std::max(plan.epoch, progress.epoch);
  }
  for (const int64_t snapshot : kept) {
    const absl::StatusOr<CopyView> copy = view.OpenCopy(std::to_string(snapshot));
    if (copy.ok()) plan.epoch = std::max(plan.epoch, copy->progress().epoch);
  }
  for (const int64_t epoch : ListRewinds(view.folder())) plan.epoch = std::max(plan.epoch, epoch);
  ++plan.epoch;
  return plan;
}

void PrintOffsets(const PlannedRewind& plan) {
  const auto& target = plan.target.progress().partitions;
  if (!plan.current.ok()) {
    TextTable table({"TOPIC", "PARTITION", "READ AGAIN FROM"});
    for (const auto& [partition, state] : target) {
      table.Add(
          {partition.topic, std::to_string(partition.partition), NumberText(state.next_offset)});
    }
    fmt::print("{}\n", table.ToString());
    return;
  }
  TextTable table({"TOPIC", "PARTITION", "READ AGAIN FROM", "UP TO", "OFFSETS"});
  int64_t all = 0;
  for (const auto& [partition, state] : plan.current->progress().partitions) {
    const auto found = target.find(partition);
    if (found == target.end()) {
      table.Add({partition.topic, std::to_string(partition.partition), "its beginning",
                 NumberText(state.next_offset), "-"});
      continue;
    }
    const int64_t offsets = state.next_offset - found->second.next_offset;
    all += offsets;
    table.Add({partition.topic, std::to_string(partition.partition),
               NumberText(found->second.next_offset), NumberText(state.next_offset),
               NumberText(offsets)});
  }
  fmt::print("{}\n  {} in all. ", table.ToString(), CountText(all, "offset"));
}

void PrintSource(const PlannedRewind& plan) {
  const std::string source = plan.target.Pipeline("source");
  if (source.starts_with("kafka")) {
    fmt::print(
        "Records that have left the topic meanwhile are data loss: the job then stops with\n"
        "  exit code 3, and says which.\n");
  } else if (source.starts_with("mysql") || source.starts_with("postgres")) {
    fmt::print(
        "The table is polled again from there: rows that were changed or removed since are\n"
        "  read as they are now.\n");
  } else {
    fmt::print("\n");
  }
}

void PrintSink(const PlannedRewind& plan) {
  const std::string& sink = plan.target.checkpoint->notes().sink;
  const std::string line = plan.target.Pipeline("sink");
  fmt::print("\n  Sink {} ({}), batches from {} on:\n", sink.empty() ? "(not noted yet)" : sink,
             line, plan.batch_id + 1);
  bool told = false;
  for (const SinkEffect& known : kSinkEffects) {
    if (!sink.empty() && !sink.starts_with(known.kind)) continue;
    fmt::print("  - {}{}\n",
               sink.empty() ? fmt::format("{}: ", known.kind.substr(0, known.kind.find('['))) : "",
               known.effect);
    told = true;
  }
  if (!told) fmt::print("  - it is given those batches again\n");
}

void PrintPlan(const PlannedRewind& plan) {
  const QueryProgress& target = plan.target.progress();
  fmt::print("checkpoint {}: back to the snapshot of batch {}, as epoch {}\n\n", plan.folder,
             plan.batch_id, plan.epoch);
  TextTable table({"", "NOW", "THEN"});
  const bool known = plan.current.ok();
  const auto now = [&](auto text) {
    return known ? text(*plan.current) : std::string("unreadable");
  };
  table.Add({"batch", now([](const CopyView& copy) {
               const auto& pending = copy.checkpoint->pending();
               return fmt::format(
                   "{}{}", copy.progress().batch_id,
                   pending.has_value() ? fmt::format(", {} planned", pending->batch_id) : "");
             }),
             std::to_string(target.batch_id)});
  table.Add({"epoch",
             now([](const CopyView& copy) { return std::to_string(copy.progress().epoch); }),
             std::to_string(plan.epoch)});
  table.Add({"watermark",
             now([](const CopyView& copy) { return TimeText(copy.progress().watermark_us); }),
             TimeText(target.watermark_us)});
  table.Add({"groups", now([](const CopyView& copy) { return NumberText(copy.groups()); }),
             NumberText(plan.target.groups())});
  fmt::print("{}\n", table.ToString());
  if (!known) {
    fmt::print("  The current state cannot be read: {}\n\n",
               std::string(plan.current.status().message()));
  }
  PrintOffsets(plan);
  PrintSource(plan);
  PrintSink(plan);
  std::error_code error;
  if (std::filesystem::exists(plan.folder + "/dead_letters", error)) {
    fmt::print(
        "\n  Dead letters of those batches stay until a batch of the same number runs: records "
        "read\n"
        "  again may be there twice.\n");
  }
  fmt::print("\n  The current state, and the snapshots past batch {}, are kept in {}/{}.\n",
             plan.batch_id, plan.folder, RewoundName(plan.epoch));
}

std::string UndoCommand(const std::string& folder) {
  return fmt::format("tidemark checkpoint rewind {} --undo", folder);
}

}  // namespace

absl::Status RewindCheckpointFolder(const std::string& folder, int64_t batch_id, bool yes) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view =
      CheckpointView::Open(folder, /*to_write=*/yes);
  if (!view.ok()) return view.status();
  if (!(*view)->in_use().ok()) return (*view)->in_use();
  absl::StatusOr<PlannedRewind> plan = PlanRewind(**view, batch_id);
  if (!plan.ok()) return plan.status();
  PrintPlan(*plan);
  if (!yes) {
    fmt::print("\nNothing was changed. To do it: tidemark checkpoint rewind {} --to {} --yes\n",
               folder, batch_id);
    return absl::OkStatus();
  }
  const int64_t epoch = plan->epoch;
  *plan = PlannedRewind();  // closes what is about to be moved
  absl::Status status =
      RewindCheckpoint((*view)->folder(), batch_id, epoch,
                       [epoch](std::unique_ptr<CheckpointStore> store) -> absl::Status {
                         Checkpoint checkpoint(std::move(store));
                         const absl::StatusOr<bool> loaded = checkpoint.Load();
                         if (!loaded.ok()) return loaded.status();
                         return checkpoint.BeginEpoch(epoch);
                       });
  if (!status.ok()) return status;
  fmt::print("\nDone: the next start goes on at batch {}. Until then it can be undone: {} --yes\n",
             batch_id + 1, UndoCommand(folder));
  return absl::OkStatus();
}

absl::Status UndoCheckpointRewind(const std::string& folder, bool yes) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view =
      CheckpointView::Open(folder, /*to_write=*/yes);
  if (!view.ok()) return view.status();
  if (!(*view)->in_use().ok()) return (*view)->in_use();
  const std::vector<int64_t> rewinds = ListRewinds((*view)->folder());
  absl::StatusOr<CopyView> current = (*view)->OpenCopy("current");
  if (!current.ok()) return current.status();
  const int64_t epoch = current->progress().epoch;
  if (rewinds.empty() || rewinds.back() != epoch) {
    return absl::NotFoundError(
        fmt::format("the checkpoint {} is at epoch {}, and there is no {} to go back to", folder,
                    epoch, RewoundName(epoch)));
  }
  // A plan is the first thing that a job writes. After it the sink may have rows of this epoch.
  const absl::StatusOr<bool> planned = current->checkpoint->HasPlan();
  if (!planned.ok()) return planned.status();
  if (*planned) {
    return absl::FailedPreconditionError(fmt::format(
        "the checkpoint {} has been used since it was rewound: batches were planned in epoch {}, "
        "and "
        "the sink may have their rows; a rewind can be undone only until the job's next batch",
        folder, epoch));
  }
  absl::StatusOr<CopyView> before = (*view)->OpenCopy(RewoundName(epoch));
  if (!before.ok()) return before.status();
  fmt::print(
      "checkpoint {}: from batch {} of epoch {} back to batch {} of epoch {}, as it was before "
      "the rewind\n",
      folder, current->progress().batch_id, epoch, before->progress().batch_id,
      before->progress().epoch);
  if (!yes) {
    fmt::print("\nNothing was changed. To do it: {} --yes\n", UndoCommand(folder));
    return absl::OkStatus();
  }
  *current = CopyView();
  *before = CopyView();
  if (absl::Status status = UndoRewind((*view)->folder(), epoch); !status.ok()) return status;
  fmt::print("\nDone.\n");
  return absl::OkStatus();
}

}  // namespace tidemark
