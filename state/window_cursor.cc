#include "tidemark/state/window_cursor.h"

#include <utility>

#include "fmt/format.h"

namespace tidemark {

std::vector<KeyedItem> SortedGroups(const std::vector<const GroupTable*>& tables, bool touched) {
  size_t count = 0;
  for (const GroupTable* table : tables) count += touched ? table->touched().size() : table->size();
  std::vector<KeyedItem> items;
  items.reserve(count);
  for (const GroupTable* table : tables) {
    if (touched) {
      for (const Group* group : table->touched()) {
        items.push_back({0, reinterpret_cast<uintptr_t>(group)});
      }
    } else {
      for (uint32_t i = 0; i < table->size(); ++i) {
        items.push_back({0, reinterpret_cast<uintptr_t>(table->group(i))});
      }
    }
  }
  SortByKey(items, GroupKeys());
  return items;
}

WindowCursor::WindowCursor(CheckpointStore* store, StateKeys keys, const SlotLayout* layout,
                           std::vector<WindowGroups> windows, bool touched)
    : store_(store),
      keys_(keys),
      layout_(layout),
      windows_(std::move(windows)),
      touched_(touched),
      row_slot_(layout->width / sizeof(SlotBytes) + 1) {}

void WindowCursor::OpenWindow() {
  const WindowGroups& window = windows_[window_];
  groups_ = SortedGroups(window.tables, touched_);
  next_group_ = 0;
  row_.reset();
  if (window.some_only_in_store) {
    // Ranges are deleted up to the watermark, behind which no window gets rows again.
    row_ = store_->NewStateCursor(keys_.Window(window.window_end),
                                  keys_.WindowsEnd(window.window_end), RangeDeletes::kNone);
  }
  row_used_ = true;
  is_open_ = true;
}

// The sink may take its time with what it was given: it need not wait with the list in memory.
void WindowCursor::CloseWindow() {
  groups_ = {};
  is_open_ = false;
  ++window_;
}

absl::Status WindowCursor::AdvanceRow() {
  const absl::StatusOr<bool> has_row = row_->Next();
  if (!has_row.ok()) return has_row.status();
  if (!*has_row) row_.reset();
  row_used_ = false;
  return absl::OkStatus();
}

absl::Status WindowCursor::TakeRow() {
  auto* slot = reinterpret_cast<std::byte*>(row_slot_.data());
  if (!DecodeSlot(*layout_, row_->value(), slot))
    return BadRowError(row_->value().size(), *layout_);
  key_ = row_key();
  slot_ = slot;
  row_used_ = true;
  return absl::OkStatus();
}

absl::StatusOr<bool> WindowCursor::Next() {
  for (; window_ < windows_.size(); CloseWindow()) {
    if (!is_open_) OpenWindow();
    if (row_ != nullptr && row_used_) {
      const absl::Status status = AdvanceRow();
      if (!status.ok()) return status;
    }
    if (next_group_ < groups_.size()) {
      // In key order the groups lie anywhere in memory.
      constexpr size_t kAhead = 8;
      if (next_group_ + kAhead < groups_.size()) {
        const Group* ahead = GroupKeys::group(groups_[next_group_ + kAhead].ref);
        __builtin_prefetch(ahead);
        __builtin_prefetch(ahead->slot() + layout_->width - 1);
      }
      const Group* group = GroupKeys::group(groups_[next_group_].ref);
      const int order = row_ == nullptr ? -1 : group->key().compare(row_key());
      if (order <= 0) {
        if (order == 0) row_used_ = true;
        ++next_group_;
        key_ = group->key();
        slot_ = group->slot();
        return true;
      }
    }
    if (row_ != nullptr) {
      const absl::Status status = TakeRow();
      if (!status.ok()) return status;
      return true;
    }
  }
  return false;
}

}  // namespace tidemark
