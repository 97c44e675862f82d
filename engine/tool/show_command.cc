#include <fmt/format.h>

#include <algorithm>

#include "tidemark/engine/tool/checkpoint_commands.h"
#include "tidemark/engine/tool/checkpoint_view.h"
#include "tidemark/engine/tool/tool_text.h"
#include "tidemark/state/state_content.h"

namespace tidemark {
namespace {

constexpr size_t kWindowsShown = 20;

std::string OffsetText(const LastRecord& last) {
  return last.offset < 0 ? "none" : std::to_string(last.offset);
}

std::string WindowText(int64_t window_end) {
  return window_end == WindowTable::kNoWindow ? "no windows" : TimeText(window_end);
}

// Where the planned batch ends in a partition; nothing if it does not read it.
std::string PlannedText(const CopyView& copy, const TopicPartition& partition) {
  const auto& pending = copy.checkpoint->pending();
  if (!pending.has_value()) return "";
  for (const PlannedRange& range : pending->ranges) {
    if (range.partition == partition) return NumberText(range.end);
  }
  return "-";
}

void PrintProgress(const CheckpointView& view, const CopyView& copy) {
  const QueryProgress& progress = copy.progress();
  const CheckpointNotes& notes = copy.checkpoint->notes();
  const auto& pending = copy.checkpoint->pending();
  const auto known = [](const std::string& note) { return note.empty() ? "not noted yet" : note; };
  fmt::print("checkpoint {}, {}\n\n", view.path(),
             copy.name == "current" ? "its current state" : "copy " + copy.name);
  fmt::print("  query      {}\n", progress.query_id);
  fmt::print("  source     {}\n", known(notes.source));
  fmt::print("  sink       {} ({})\n", known(notes.sink), copy.Pipeline("sink"));
  fmt::print("  epoch      {}{}\n", progress.epoch,
             progress.epoch == 0 ? "" : " (raised by each rewind)");
  fmt::print("  batch      {}{}\n",
             progress.batch_id < 0 ? std::string("none yet")
                                   : fmt::format("{} is committed", progress.batch_id),
             pending.has_value() ? fmt::format("; {} is planned, and runs first at the next start",
                                               pending->batch_id)
                                 : "");
  fmt::print("  watermark  {}", TimeText(progress.watermark_us));
  if (progress.late_watermark_us != progress.watermark_us) {
    fmt::print(" (the batch before: {})", TimeText(progress.late_watermark_us));
  }
  fmt::print("\n\n");

  std::vector<std::string> head = {"TOPIC", "PARTITION", "NEXT OFFSET", "LAST READ",
                                   "GREATEST EVENT TIME"};
  if (pending.has_value()) head.insert(head.begin() + 3, "PLANNED UP TO");
  TextTable table(head);
  for (const auto& [partition, state] : progress.partitions) {
    std::vector<std::string> line = {partition.topic, std::to_string(partition.partition),
                                     NumberText(state.next_offset), OffsetText(state.last),
                                     TimeText(state.max_event_time_us)};
    if (pending.has_value()) line.insert(line.begin() + 3, PlannedText(copy, partition));
    table.Add(std::move(line));
  }
  fmt::print("{}\n", table.ToString());
}

void PrintState(const CopyView& copy, const StateContent& content) {
  if (copy.Pipeline("state").empty()) {
    fmt::print("  state      none: the pipeline has no aggregate\n");
    return;
  }
  if (copy.aggregation != nullptr) {
    fmt::print("  columns    {}\n", copy.aggregation->output_schema()->ToString());
  }
  for (const auto& [operator_id, windows] : content.tables) {
    WindowContent all;
    for (const auto& [window_end, window] : windows) {
      all.groups += window.groups;
      all.bytes += window.bytes;
    }
    fmt::print("  operator {}  {}, {}, {}\n\n", operator_id, CountText(all.groups, "group"),
               CountText(static_cast<int64_t>(windows.size()), "window"), BytesText(all.bytes));
    TextTable table({"WINDOW END", "GROUPS", "ROWS", "RUNS", "BYTES"});
    size_t left = kWindowsShown;
    for (const auto& [window_end, window] : windows) {
      if (left-- == 0) break;
      table.Add({WindowText(window_end), NumberText(window.groups), NumberText(window.rows),
                 NumberText(window.runs), NumberText(window.bytes)});
    }
    fmt::print("{}", table.ToString());
    if (windows.size() > kWindowsShown) {
      fmt::print("  and {} later windows (all of them: --json)\n", windows.size() - kWindowsShown);
    }
  }
  if (content.tables.empty()) fmt::print("  state      no groups\n");
}

void PrintPipeline(const CopyView& copy) {
  fmt::print("\n  pipeline (its fingerprint)\n");
  std::string_view lines = copy.checkpoint->fingerprint();
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    fmt::print("    {}\n", lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

std::string ShownJson(const CheckpointView& view, const CopyView& copy,
                      const StateContent& content) {
  const QueryProgress& progress = copy.progress();
  std::vector<std::string> partitions;
  for (const auto& [partition, state] : progress.partitions) {
    JsonObject object;
    object.Text("topic", partition.topic)
        .Number("partition", partition.partition)
        .Number("next_offset", state.next_offset)
        .Number("last_offset", state.last.offset)
        .Time("max_event_time", state.max_event_time_us);
    partitions.push_back(object.ToString());
  }
  std::vector<std::string> windows;
  for (const auto& [operator_id, operator_windows] : content.tables) {
    for (const auto& [window_end, window] : operator_windows) {
      JsonObject object;
      object.Number("operator", operator_id);
      object.Time("window_end", window_end == WindowTable::kNoWindow ? INT64_MIN : window_end);
      object.Number("groups", window.groups)
          .Number("rows", window.rows)
          .Number("runs", window.runs)
          .Number("bytes", window.bytes);
      windows.push_back(object.ToString());
    }
  }
  JsonObject shown;
  shown.Text("checkpoint", view.path())
      .Text("copy", copy.name)
      .Text("query", progress.query_id)
      .Text("source", copy.checkpoint->notes().source)
      .Text("sink", copy.checkpoint->notes().sink)
      .Number("epoch", progress.epoch)
      .Number("batch", progress.batch_id)
      .Time("late_watermark", progress.late_watermark_us)
      .Time("watermark", progress.watermark_us)
      .Json("partitions", JsonArray(partitions))
      .Json("windows", JsonArray(windows))
      .Text("fingerprint", copy.checkpoint->fingerprint());
  if (const auto& pending = copy.checkpoint->pending(); pending.has_value()) {
    std::vector<std::string> ranges;
    for (const PlannedRange& range : pending->ranges) {
      ranges.push_back(JsonObject()
                           .Text("topic", range.partition.topic)
                           .Number("partition", range.partition.partition)
                           .Number("start", range.start)
                           .Number("end", range.end)
                           .ToString());
    }
    shown.Json("planned", JsonObject()
                              .Number("batch", pending->batch_id)
                              .Number("epoch", pending->epoch)
                              .Time("time", pending->time_us)
                              .Time("watermark", pending->watermark_us)
                              .Json("ranges", JsonArray(ranges))
                              .ToString());
  }
  return shown.ToString();
}

}  // namespace

absl::Status ShowCheckpoint(const std::string& folder, const std::string& name, bool json) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view = CheckpointView::Open(folder);
  if (!view.ok()) return view.status();
  const absl::StatusOr<CopyView> copy = (*view)->OpenCopy(name);
  if (!copy.ok()) return copy.status();
  if (copy->progress().query_id.empty()) {
    return absl::NotFoundError(
        fmt::format("the checkpoint {} is empty: it was made, but no query has begun", folder));
  }
  const absl::StatusOr<StateContent> content = ReadStateContent(*copy->store, false);
  if (!content.ok()) return content.status();
  if (json) {
    fmt::print("{}\n", ShownJson(**view, *copy, *content));
    return absl::OkStatus();
  }
  PrintProgress(**view, *copy);
  PrintState(*copy, *content);
  if (content->other_rows > 0) {
    fmt::print("  of the source  {}, {}\n", CountText(content->other_rows, "row"),
               BytesText(content->other_bytes));
  }
  PrintPipeline(*copy);
  return absl::OkStatus();
}

}  // namespace tidemark
