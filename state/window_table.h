#ifndef TIDEMARK_STATE_WINDOW_TABLE_H_
#define TIDEMARK_STATE_WINDOW_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {

/// A variable-length part of a slot (a string minimum): its bytes live in the table. All zero: no
/// bytes.
struct BlobRef {
  const char* data = nullptr;
  uint32_t size = 0;
  uint32_t capacity = 0;
  std::string_view view() const { return {data, size}; }
};

/// The fixed bytes of one group's accumulators. All zero is the empty group. Slots are 16-byte
/// aligned.
struct SlotLayout {
  uint32_t width = 0;  ///< bytes
  /// Where in the slot the BlobRefs are, ascending, 8-byte aligned.
  std::vector<uint32_t> blob_offsets;
};

struct WindowTableOptions {
  uint32_t operator_id = 0;  ///< first part of every key in the store
  SlotLayout layout;
  /// Bytes of memory. When windows that stay open take three quarters of this, groups are stored as
  /// rows, so that they can leave memory one by one.
  size_t memory_budget = SIZE_MAX;
  /// Groups are spread by hash; different shards may be updated by different threads at once. The
  /// same number at every start.
  int shards = 8;
};

/// Groups in ascending order of (window end, key). Views and slots live until the next call of
/// Next.
class GroupCursor {
 public:
  virtual ~GroupCursor() = default;
  virtual absl::StatusOr<bool> Next() = 0;
  virtual int64_t window_end() const = 0;
  virtual std::string_view key() const = 0;
  virtual const std::byte* slot() const = 0;
};

/// The groups of an aggregate, by window end and group key: a hash table a window and shard in
/// memory, in front of the checkpoint store, written back once a batch (design, section 5). An
/// aggregate without windows uses one window end, kNoWindow.
///
/// The life of a batch: Upsert from any number of threads (one at a time per shard); then, from one
/// thread, Touched / Scan to write results, AppendWrites into the commit, and after the commit
/// Committed. If the batch is given up: Discard. A group that is not in memory is looked up in the
/// store only if its window may have groups there that are not in memory (after a restart, or after
/// groups of it were evicted).
///
/// The store has a window's groups of one shard in one of two forms. While memory has room for all
/// of them: as runs, each what a commit touched, spread over pages of some hundred groups by the
/// upper bits of their hashes' lower half. After a restart groups are looked up in the pages, the
/// newest run's first, until reading all runs would have cost no more: then they are read. From
/// time to time one run replaces all. When memory runs short: as a row a group, each looked up by
/// itself.
///
/// Pages' keys: [operator id | 2^30][window end][shard, 4 bytes][number, 8 bytes]; a run's index
/// row: the same with [shard | 2^31] and its first page's number. Rows' keys: [operator id, 4 bytes
/// big-endian][window end, 8 bytes big-endian, sign bit flipped][group key]; values: the slot's
/// bytes with each BlobRef replaced by its size (4 bytes little-endian), then the blobs' bytes in
/// order.
class WindowTable {
 public:
  static constexpr int64_t kNoWindow = INT64_MAX;

  /// `store` outlives the table.
  static std::unique_ptr<WindowTable> Create(CheckpointStore* store, WindowTableOptions options);
  virtual ~WindowTable() = default;

  int shards() const { return shards_; }
  /// The shard of a group: by its hash's upper bits.
  int ShardOf(uint64_t hash) const {
    return static_cast<int>((hash >> 40) % static_cast<uint64_t>(shards_));
  }

  /// Finds or makes the groups (hashes[i], keys[i]) of one window in one shard; slots[i] is where
  /// group i's accumulators are (the same slot for equal keys), valid until the batch is committed
  /// or discarded. Marks them as touched in this batch. hashes are a stable hash of the keys.
  /// Errors: the store's.
  virtual absl::Status Upsert(int shard, int64_t window_end, std::span<const uint64_t> hashes,
                              std::span<const std::string_view> keys, std::byte** slots) = 0;
  /// Replaces the bytes of `blob` (which lies in a slot of this shard and window) by a copy of
  /// `bytes`, below 2 GiB; they may be a part of the blob itself.
  virtual void SetBlob(int shard, int64_t window_end, BlobRef* blob, std::string_view bytes) = 0;

  /// The groups touched in this batch (update mode).
  virtual std::unique_ptr<GroupCursor> Touched() = 0;
  /// All groups, in memory or not, with after < window end <= upto (append: closing windows;
  /// complete: everything).
  virtual std::unique_ptr<GroupCursor> Scan(int64_t after, int64_t upto) = 0;

  /// Adds the batch's changes to a commit: touched groups of windows that stay open (window end >
  /// closed_upto), in key order, and one range deletion for everything up to and including
  /// closed_upto (INT64_MIN: nothing closes).
  virtual absl::Status AppendWrites(int64_t closed_upto, StoreWrites* writes) = 0;
  /// The commit is durable: forgets the closed windows and what was touched. Cost: by the touched
  /// and closed, not the idle.
  virtual void Committed(int64_t closed_upto) = 0;
  /// Forgets everything in memory: the batch is given up. The store's content counts again.
  virtual void Discard() = 0;

  /// Bytes of memory in use. O(shards).
  virtual size_t memory_bytes() const = 0;
  /// Groups in all open windows, in memory or not: exact, also after a restart (kept by window in
  /// the store, under [operator id | 2^31, 4 bytes][window end, 8 bytes], as 8 bytes little-endian;
  /// updated by AppendWrites).
  virtual int64_t groups_total() const = 0;
  virtual int64_t groups_in_memory() const = 0;
  virtual int64_t groups_touched() const = 0;
  /// Lets the least recently touched clean groups go until memory_bytes() is at most `target`, as
  /// far as that is possible: windows and shards touched in this batch stay, so it is called after
  /// Committed. From one thread, while none updates.
  virtual void Evict(size_t target) = 0;

 protected:
  explicit WindowTable(int shards) : shards_(shards) {}

 private:
  int shards_;
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_WINDOW_TABLE_H_
