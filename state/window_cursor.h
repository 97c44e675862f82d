#ifndef TIDEMARK_STATE_WINDOW_CURSOR_H_
#define TIDEMARK_STATE_WINDOW_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/group_table.h"
#include "tidemark/state/state_codec.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// One window's groups: tables of different shards, and what the store may have beside them.
struct WindowGroups {
  int64_t window_end;
  std::vector<const GroupTable*> tables;
  bool some_only_in_store;
};

/// The groups of the tables (all, or those touched) in key order; refs are groups.
std::vector<KeyedItem> SortedGroups(const std::vector<const GroupTable*>& tables, bool touched);

/// Walks over windows, one sorted at a time; where rows of the store are needed too, memory wins
/// over them. The tables must not change meanwhile.
class WindowCursor : public GroupCursor {
 public:
  /// `windows` ascending. `touched`: only groups of this batch, which are all in memory.
  WindowCursor(CheckpointStore* store, StateKeys keys, const SlotLayout* layout,
               std::vector<WindowGroups> windows, bool touched);

  absl::StatusOr<bool> Next() override;
  int64_t window_end() const override { return windows_[window_].window_end; }
  std::string_view key() const override { return key_; }
  const std::byte* slot() const override { return slot_; }

 private:
  void OpenWindow();
  void CloseWindow();
  absl::Status AdvanceRow();
  absl::Status TakeRow();
  std::string_view row_key() const { return row_->key().substr(StateKeys::kWindowBytes); }

  CheckpointStore* store_;
  StateKeys keys_;
  const SlotLayout* layout_;
  std::vector<WindowGroups> windows_;
  bool touched_;

  size_t window_ = 0;
  bool is_open_ = false;
  std::vector<KeyedItem> groups_;  // of the open window
  size_t next_group_ = 0;
  std::unique_ptr<StateCursor> row_;  // of the open window; null: no row (left)
  bool row_used_ = false;             // the row was given out, or is older than memory
  struct alignas(16) SlotBytes {
    std::byte bytes[16];
  };
  std::vector<SlotBytes> row_slot_;

  std::string_view key_;
  const std::byte* slot_ = nullptr;
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_WINDOW_CURSOR_H_
