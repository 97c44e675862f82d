#include <fmt/format.h>

#include "tidemark/engine/tool/checkpoint_commands.h"
#include "tidemark/engine/tool/checkpoint_view.h"
#include "tidemark/engine/tool/tool_text.h"

namespace tidemark {
namespace {

std::string Remark(const CopyView& copy) {
  if (copy.progress().query_id.empty()) return "no query has begun";
  const auto& pending = copy.checkpoint->pending();
  if (!pending.has_value()) return "";
  return fmt::format("batch {} is planned, not committed", pending->batch_id);
}

void AddCopy(const CopyView& copy, TextTable* table, std::vector<std::string>* json) {
  const QueryProgress& progress = copy.progress();
  table->Add({copy.name, std::to_string(progress.batch_id), std::to_string(progress.epoch),
              TimeText(progress.watermark_us), NumberText(copy.groups()),
              BytesText(copy.store->disk_bytes()), Remark(copy)});
  JsonObject object;
  object.Text("copy", copy.name)
      .Number("batch", progress.batch_id)
      .Number("epoch", progress.epoch)
      .Time("watermark", progress.watermark_us)
      .Number("groups", copy.groups())
      .Number("bytes", copy.store->disk_bytes());
  if (const auto& pending = copy.checkpoint->pending(); pending.has_value()) {
    object.Number("planned_batch", pending->batch_id);
  }
  json->push_back(object.ToString());
}

}  // namespace

absl::Status ListCheckpoint(const std::string& folder, bool json) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view = CheckpointView::Open(folder);
  if (!view.ok()) return view.status();
  TextTable table({"COPY", "BATCH", "EPOCH", "WATERMARK", "GROUPS", "SIZE", ""});
  std::vector<std::string> objects;
  std::string query;
  absl::Status first;
  for (const std::string& name : (*view)->Names()) {
    const absl::StatusOr<CopyView> copy = (*view)->OpenCopy(name);
    if (copy.ok()) {
      AddCopy(*copy, &table, &objects);
      if (query.empty() && !copy->progress().query_id.empty()) {
        query = fmt::format("query {}, {} -> {}", copy->progress().query_id,
                            copy->checkpoint->notes().source, copy->checkpoint->notes().sink);
      }
      continue;
    }
    const bool in_use = name == "current" && !(*view)->in_use().ok();
    const absl::Status& why = in_use ? (*view)->in_use() : copy.status();
    table.Add({name, "-", "-", "-", "-", "-", in_use ? "in use" : "damaged"});
    objects.push_back(
        JsonObject().Text("copy", name).Text("problem", std::string(why.message())).ToString());
    if (!in_use && first.ok()) first = why;
    if (in_use && !json) fmt::print(stderr, "{}\n", std::string(why.message()));
  }
  if (json) {
    fmt::print(
        "{}\n",
        JsonObject().Text("checkpoint", folder).Json("copies", JsonArray(objects)).ToString());
  } else {
    fmt::print("checkpoint {}{}\n{}", folder, query.empty() ? "" : ": " + query, table.ToString());
  }
  return first;
}

}  // namespace tidemark
