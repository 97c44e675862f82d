#ifndef TIDEMARK_STATE_RUN_STORE_H_
#define TIDEMARK_STATE_RUN_STORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/group_table.h"
#include "tidemark/state/state_codec.h"

namespace tidemark {

/// The runs of one operator's tables in the store: written by commits, and, after a restart, listed
/// by their index rows, looked up by page or read whole. Different threads may use it for different
/// tables. Errors: the store's; DataLoss = what is there does not fit together.
class RunStore {
 public:
  /// `store` and `layout` outlive it.
  RunStore(CheckpointStore* store, StateKeys keys, const SlotLayout* layout)
      : store_(store), keys_(keys), layout_(layout) {}

  /// The runs of a window and shard, oldest first.
  absl::StatusOr<std::vector<StoredRun>> List(int64_t window_end, uint32_t shard) const;

  /// Finds or makes the groups (hashes[i], keys[i]) for i in `rows`, none of which is in memory, as
  /// WindowTable::Upsert does: from the table's unread runs, or all zero.
  absl::Status LookUp(uint32_t shard, uint32_t batch, std::span<const uint64_t> hashes,
                      std::span<const std::string_view> keys, std::span<const uint32_t> rows,
                      GroupTable* table, std::byte** slots) const;
  /// What that costs for so many groups, in groups that ReadAll could read instead.
  static int64_t LookUpCost(const GroupTable& table, size_t groups);
  /// Reads what the table's unread runs have and memory has not. `groups`: about how many that are.
  absl::Status ReadAll(uint32_t shard, size_t groups, GroupTable* table) const;

  /// Adds a run of the touched groups, or of all.
  void Append(uint32_t shard, bool all, GroupTable* table, StoreWrites* writes) const;
  /// Removes the runs of a window and shard, or of all windows in [first, last].
  void Remove(int64_t window_end, uint32_t shard, StoreWrites* writes) const;
  void RemoveWindows(int64_t first, int64_t last, StoreWrites* writes) const;

 private:
  absl::StatusOr<std::vector<StoredRun>> ListWithoutIndex(int64_t window_end, uint32_t shard) const;
  absl::Status ReadRun(uint32_t shard, const StoredRun& run, GroupTable* table) const;
  absl::Status Fill(const PageReader& page, std::string* buffer, Group* group,
                    GroupTable* table) const;

  CheckpointStore* store_;
  StateKeys keys_;
  const SlotLayout* layout_;
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_RUN_STORE_H_
