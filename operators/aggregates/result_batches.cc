#include "tidemark/operators/aggregates/result_batches.h"

#include <cstring>
#include <utility>

namespace tidemark {

ResultBatches::ResultBatches(std::shared_ptr<const GroupLayout> layout,
                             std::unique_ptr<GroupCursor> groups)
    : layout_(std::move(layout)),
      groups_(std::move(groups)),
      slots_(std::make_unique_for_overwrite<std::byte[]>(kBatchRows *
                                                         layout_->accumulators.layout().width)) {
  window_ends_.reserve(kBatchRows);
  keys_.reserve(kBatchRows);
}

absl::Status ResultBatches::Fill(Arena* arena) {
  const SlotLayout& slot_layout = layout_->accumulators.layout();
  window_ends_.clear();
  keys_.clear();
  while (keys_.size() < kBatchRows) {
    absl::StatusOr<bool> more = groups_->Next();
    if (!more.ok()) return more.status();
    if (!*more) break;
    if (layout_->fail_on_overflow) {
      if (auto overflow = layout_->accumulators.FirstOverflow(groups_->slot())) {
        return layout_->OverflowError(*overflow, groups_->window_end(), groups_->key());
      }
    }
    std::byte* slot = slots_.get() + keys_.size() * slot_layout.width;
    std::memcpy(slot, groups_->slot(), slot_layout.width);
    for (uint32_t offset : slot_layout.blob_offsets) {
      BlobRef blob;
      std::memcpy(&blob, slot + offset, sizeof(blob));
      blob.data = arena->Copy(blob.view()).data();
      std::memcpy(slot + offset, &blob, sizeof(blob));
    }
    window_ends_.push_back(groups_->window_end());
    keys_.push_back(arena->Copy(groups_->key()));
  }
  return absl::OkStatus();
}

absl::StatusOr<const RowBatch*> ResultBatches::Next() {
  batch_.reset();
  const auto arena = std::make_shared<Arena>(size_t{64} << 10);
  if (absl::Status status = Fill(arena.get()); !status.ok()) return status;
  if (keys_.empty()) return nullptr;
  std::vector<ColumnPtr> columns;
  if (absl::Status status = layout_->DecodeGroups(window_ends_, keys_, arena, &columns);
      !status.ok()) {
    return status;
  }
  for (size_t i = 0; i < layout_->accumulators.size(); ++i) {
    columns.push_back(layout_->accumulators.Results(i, slots_.get(), keys_.size(), arena));
  }
  batch_.emplace(layout_->output, std::move(columns), keys_.size());
  return &*batch_;
}

}  // namespace tidemark
