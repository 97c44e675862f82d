#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tidemark/engine/tool/checkpoint_commands.h"
#include "tidemark/engine/tool/checkpoint_view.h"
#include "tidemark/engine/tool/tool_text.h"
#include "tidemark/state/state_codec.h"

namespace tidemark {
namespace {

// A group as bytes, and the cursor that gives such groups back.
struct KeptGroup {
  int64_t window_end;
  std::string key;
  std::string value;
};

class KeptGroups : public GroupCursor {
 public:
  KeptGroups(const std::vector<KeptGroup>* groups, const SlotLayout* layout)
      : groups_(groups), layout_(layout), slot_(layout->width / sizeof(Aligned) + 1) {}

  absl::StatusOr<bool> Next() override {
    if (next_ == groups_->size()) return false;
    const std::string& value = (*groups_)[next_++].value;
    if (!DecodeSlot(*layout_, value, slot_[0].bytes)) return BadRowError(value.size(), *layout_);
    return true;
  }
  int64_t window_end() const override { return (*groups_)[next_ - 1].window_end; }
  std::string_view key() const override { return (*groups_)[next_ - 1].key; }
  const std::byte* slot() const override { return slot_[0].bytes; }

 private:
  struct alignas(16) Aligned {
    std::byte bytes[16];
  };
  const std::vector<KeptGroup>* groups_;
  const SlotLayout* layout_;
  std::vector<Aligned> slot_;
  size_t next_ = 0;
};

// One side of the comparison: its groups, in order.
class Side {
 public:
  explicit Side(const CopyView& copy)
      : layout_(copy.aggregation->slot_layout()),
        table_(copy.OpenTable()),
        groups_(table_->Scan(INT64_MIN, WindowTable::kNoWindow)) {}

  absl::Status Next() {
    const absl::StatusOr<bool> more = groups_->Next();
    if (!more.ok()) return more.status();
    ended_ = !*more;
    return absl::OkStatus();
  }
  bool ended() const { return ended_; }
  std::pair<int64_t, std::string_view> place() const {
    return {groups_->window_end(), groups_->key()};
  }
  KeptGroup Group() {
    return {groups_->window_end(), std::string(groups_->key()),
            std::string(EncodeSlot(layout_, groups_->slot(), &buffer_))};
  }

 private:
  const SlotLayout& layout_;
  std::unique_ptr<WindowTable> table_;
  std::unique_ptr<GroupCursor> groups_;
  bool ended_ = false;
  std::string buffer_;
};

struct GroupsDiff {
  int64_t added = 0;
  int64_t removed = 0;
  int64_t changed = 0;
  int64_t same = 0;
  // The first of each.
  std::vector<KeptGroup> added_groups;
  std::vector<KeptGroup> removed_groups;
  std::vector<KeptGroup> before_groups;
  std::vector<KeptGroup> after_groups;
};

void Keep(KeptGroup group, int64_t limit, std::vector<KeptGroup>* groups) {
  if (static_cast<int64_t>(groups->size()) < limit) groups->push_back(std::move(group));
}

absl::StatusOr<GroupsDiff> Compare(const CopyView& from, const CopyView& to, int64_t limit) {
  GroupsDiff diff;
  Side before(from);
  Side after(to);
  absl::Status status = before.Next();
  if (status.ok()) status = after.Next();
  while (status.ok() && (!before.ended() || !after.ended())) {
    const bool only_before = after.ended() || (!before.ended() && before.place() < after.place());
    const bool only_after = before.ended() || (!after.ended() && after.place() < before.place());
    if (only_before) {
      ++diff.removed;
      Keep(before.Group(), limit, &diff.removed_groups);
    } else if (only_after) {
      ++diff.added;
      Keep(after.Group(), limit, &diff.added_groups);
    } else if (KeptGroup was = before.Group(), is = after.Group(); was.value != is.value) {
      ++diff.changed;
      Keep(std::move(was), limit, &diff.before_groups);
      Keep(std::move(is), limit, &diff.after_groups);
    } else {
      ++diff.same;
    }
    if (!only_after) status = before.Next();
    if (status.ok() && !only_before) status = after.Next();
  }
  if (!status.ok()) return status;
  return diff;
}

absl::StatusOr<std::vector<std::string>> Lines(const CopyView& copy,
                                               const std::vector<KeptGroup>& groups) {
  std::vector<std::string> lines;
  const auto results = copy.aggregation->Results(
      std::make_unique<KeptGroups>(&groups, &copy.aggregation->slot_layout()));
  while (true) {
    const absl::StatusOr<const RowBatch*> rows = results->Next();
    if (!rows.ok()) return rows.status();
    if (*rows == nullptr) return lines;
    for (uint32_t row = 0; row < (*rows)->num_rows(); ++row) lines.push_back(RowJson(**rows, row));
  }
}

absl::Status PrintGroups(const CopyView& copy, const char* sign, int64_t all,
                         const std::vector<KeptGroup>& groups) {
  const absl::StatusOr<std::vector<std::string>> lines = Lines(copy, groups);
  if (!lines.ok()) return lines.status();
  for (const std::string& line : *lines) fmt::print("  {} {}\n", sign, line);
  const int64_t left = all - static_cast<int64_t>(lines->size());
  if (left > 0) fmt::print("  {} and {} more\n", sign, NumberText(left));
  return absl::OkStatus();
}

absl::Status PrintChanged(const CopyView& copy, const GroupsDiff& diff) {
  const absl::StatusOr<std::vector<std::string>> before = Lines(copy, diff.before_groups);
  const absl::StatusOr<std::vector<std::string>> after = Lines(copy, diff.after_groups);
  if (!before.ok()) return before.status();
  if (!after.ok()) return after.status();
  for (size_t i = 0; i < before->size(); ++i) {
    fmt::print("  < {}\n  > {}\n", (*before)[i], (*after)[i]);
  }
  const int64_t left = diff.changed - static_cast<int64_t>(before->size());
  if (left > 0) fmt::print("  <> and {} more\n", NumberText(left));
  return absl::OkStatus();
}

void PrintProgress(const CopyView& from, const CopyView& to) {
  const QueryProgress& before = from.progress();
  const QueryProgress& after = to.progress();
  TextTable table({"", from.name, to.name});
  table.Add({"batch", std::to_string(before.batch_id), std::to_string(after.batch_id)});
  table.Add({"epoch", std::to_string(before.epoch), std::to_string(after.epoch)});
  table.Add({"watermark", TimeText(before.watermark_us), TimeText(after.watermark_us)});
  fmt::print("{}\n", table.ToString());
  TextTable offsets({"TOPIC", "PARTITION", from.name, to.name, "DIFFERENCE"});
  std::map<TopicPartition, std::pair<std::string, std::string>> all;
  for (const auto& [partition, state] : before.partitions)
    all[partition].first = NumberText(state.next_offset);
  for (const auto& [partition, state] : after.partitions)
    all[partition].second = NumberText(state.next_offset);
  for (const auto& [partition, texts] : all) {
    const auto was = before.partitions.find(partition);
    const auto is = after.partitions.find(partition);
    std::string difference = "-";
    if (was != before.partitions.end() && is != after.partitions.end())
      difference = NumberText(is->second.next_offset - was->second.next_offset);
    offsets.Add({partition.topic, std::to_string(partition.partition),
                 texts.first.empty() ? "-" : texts.first, texts.second.empty() ? "-" : texts.second,
                 difference});
  }
  fmt::print("{}\n", offsets.ToString());
}

}  // namespace

absl::Status DiffCheckpoint(const std::string& folder, const std::string& from_name,
                            const std::string& to_name, int64_t limit) {
  const absl::StatusOr<std::unique_ptr<CheckpointView>> view = CheckpointView::Open(folder);
  if (!view.ok()) return view.status();
  const absl::StatusOr<CopyView> from = (*view)->OpenCopy(from_name);
  if (!from.ok()) return from.status();
  const absl::StatusOr<CopyView> to = (*view)->OpenCopy(to_name);
  if (!to.ok()) return to.status();
  fmt::print("checkpoint {}: from {} to {}\n\n", folder, from->name, to->name);
  PrintProgress(*from, *to);
  if (from->Pipeline("state").empty()) {
    fmt::print("  groups: none, the pipeline has no aggregate\n");
    return absl::OkStatus();
  }
  for (const CopyView* copy : {&*from, &*to}) {
    if (absl::Status status = copy->CheckNamed(); !status.ok()) return status;
  }
  const absl::StatusOr<GroupsDiff> diff = Compare(*from, *to, limit);
  if (!diff.ok()) return diff.status();
  fmt::print("  groups: {} added, {} changed, {} removed, {} the same\n", NumberText(diff->added),
             NumberText(diff->changed), NumberText(diff->removed), NumberText(diff->same));
  absl::Status status = PrintGroups(*to, "+", diff->added, diff->added_groups);
  if (status.ok()) status = PrintChanged(*to, *diff);
  if (status.ok()) status = PrintGroups(*from, "-", diff->removed, diff->removed_groups);
  return status;
}

}  // namespace tidemark
