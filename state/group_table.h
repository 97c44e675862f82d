#ifndef TIDEMARK_STATE_GROUP_TABLE_H_
#define TIDEMARK_STATE_GROUP_TABLE_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tidemark/state/byte_arena.h"
#include "tidemark/state/key_sort.h"
#include "tidemark/state/state_codec.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// A group in memory; its slot follows it.
struct alignas(16) Group {
  static constexpr size_t kInlineKeyBytes = 20;

  uint32_t touched_batch;  ///< the batch that touched it last
  uint32_t key_size;
  uint32_t tag;                     ///< of its hash, as in the index
  char key_bytes[kInlineKeyBytes];  ///< the key, or, of a longer one, 4 bytes free and the address

  const char* key_data() const {
    if (key_size <= kInlineKeyBytes) return key_bytes;
    const char* data;
    std::memcpy(&data, key_bytes + 4, sizeof(data));
    return data;
  }
  std::string_view key() const { return {key_data(), key_size}; }
  std::byte* slot() { return reinterpret_cast<std::byte*>(this + 1); }
  const std::byte* slot() const { return reinterpret_cast<const std::byte*>(this + 1); }
};
static_assert(sizeof(Group) == 32);

/// Items of groups for SortByKey.
struct GroupKeys {
  static const Group* group(uintptr_t ref) { return reinterpret_cast<const Group*>(ref); }
  std::string_view operator()(uintptr_t ref) const { return group(ref)->key(); }
  void Prefetch(uintptr_t ref) const { __builtin_prefetch(group(ref)); }
};

/// The groups of one window and one shard that are in memory: an open-addressing index of (tag,
/// group number) over groups that lie in growing blocks and never move. Used by one thread at a
/// time.
class GroupTable {
 public:
  /// `has_all`: every group of this window and shard is here, so that one not found is new.
  /// `layout` and `memory` outlive the table.
  GroupTable(int64_t window_end, const SlotLayout* layout, bool has_all, MemoryCount* memory);
  ~GroupTable();
  GroupTable(const GroupTable&) = delete;
  GroupTable& operator=(const GroupTable&) = delete;

  /// Finds the groups and marks them as touched in `batch`. Those not found are made if the table
  /// has all; else their indexes are added to `missing` and their slots left open.
  void Upsert(uint32_t batch, std::span<const uint64_t> hashes,
              std::span<const std::string_view> keys, std::byte** slots,
              std::vector<uint32_t>* missing);
  /// Makes a group that is not there, touched, all zero but for its key. It counts as created if
  /// the store does not have it.
  Group* Insert(uint32_t batch, uint64_t hash, std::string_view key, bool created);
  void SetBlob(BlobRef* blob, std::string_view bytes);
  /// Gives the blobs of a slot, which point elsewhere, copies of their own.
  void OwnBlobs(std::byte* slot);

  int64_t window_end() const { return window_end_; }
  bool has_all() const { return has_all_; }
  uint32_t size() const { return size_; }
  const std::vector<Group*>& touched() const { return touched_; }
  /// Groups of this batch that the store does not know yet.
  int64_t created() const { return created_; }
  /// The batch is committed.
  void ForgetTouched();
  /// Its memory counts as free from now on: the table is about to go, on whatever thread.
  void DetachMemory() { memory_.Detach(); }
  /// Frees one piece of its memory (a block, a chunk, the index). From the first call on nothing
  /// else may be asked of the table. False: all of it has gone.
  bool FreeSome();

  /// How the store has this table: as runs (a commit's groups each), or as a row a group.
  struct StoredRuns {
    bool in_use = false;
    bool converting = false;  ///< the next commit makes rows of them
    uint64_t next_page = 0;
    int64_t groups = 0;  ///< in all runs, old versions too
  };
  StoredRuns& runs() { return runs_; }
  const StoredRuns& runs() const { return runs_; }
  /// The runs, oldest first, that have groups which are not in memory; of groups that are in both,
  /// memory's is the newer one. Empty: the table has all, or its groups are rows.
  const std::vector<StoredRun>& unread_runs() const { return unread_runs_; }
  int64_t unread_groups() const { return unread_groups_; }  ///< in them, old versions too
  /// The store has these.
  void SetUnreadRuns(std::vector<StoredRun> runs);
  /// Every group of them is in memory now: the table has all.
  void FinishReading();
  /// What has been looked up in unread runs, in groups that could have been read for it.
  int64_t lookup_cost() const { return lookup_cost_; }
  void AddLookupCost(int64_t cost) { lookup_cost_ += cost; }
  /// A group of a run, made but not touched; nothing if memory has it. Its slot is to be filled.
  Group* AddStored(uint32_t tag, std::string_view key);
  /// Makes room for so many groups.
  void Reserve(size_t groups);

  Group* group(uint32_t number) const {
    uint32_t block = 0;
    uint32_t start = 0;
    if (number >> kMaxBlockBits != 0) {
      block = (number >> kMaxBlockBits) + (kMaxBlockBits - kFirstBlockBits);
      start = number >> kMaxBlockBits << kMaxBlockBits;
    } else if (number >> kFirstBlockBits != 0) {
      const auto bits = static_cast<uint32_t>(std::bit_width(number)) - 1;
      block = bits - kFirstBlockBits + 1;
      start = 1u << bits;
    }
    return reinterpret_cast<Group*>(blocks_[block] + (number - start) * stride_);
  }
  size_t memory_bytes() const { return memory_.get(); }
  /// What one group costs in memory, on average.
  size_t bytes_per_group() const { return size_ == 0 ? 0 : memory_.get() / size_; }
  /// An empty table of the same window, for copies of the groups that stay when the others leave.
  std::unique_ptr<GroupTable> NewRest(MemoryCount* memory) const {
    return std::make_unique<GroupTable>(window_end_, layout_, /*has_all=*/false, memory);
  }
  /// Takes over a copy of a group of another table.
  void AddCopy(const Group& other);

 private:
  /// Blocks hold 4, 4, 8, 16, ... 2048, then always 4096 groups: small windows stay small.
  static constexpr uint32_t kFirstBlockBits = 2;
  static constexpr uint32_t kMaxBlockBits = 12;
  static constexpr uint32_t kFirstIndexSize = 8;

  struct IndexEntry {
    uint32_t tag;
    uint32_t number_plus_1;  // 0: free
  };

  static uint32_t BlockGroups(size_t block) {
    if (block == 0) return 1u << kFirstBlockBits;
    return 1u << std::min(kFirstBlockBits + static_cast<uint32_t>(block) - 1, kMaxBlockBits);
  }
  static bool KeysEqual(const Group& group, std::string_view key);

  /// By the upper bits, so that a page of a run, whose groups share some, fills one part of it.
  uint32_t IndexOf(uint32_t tag) const { return tag >> index_shift_; }
  Group* FirstWithTag(uint32_t tag) const;
  Group* Find(uint32_t tag, std::string_view key) const;
  Group* Append(uint32_t tag, std::string_view key);
  void Touch(Group* group, uint32_t batch);
  void GrowIndex(uint32_t size);

  MemoryCount memory_;  // this table's part of its shard's
  const SlotLayout* layout_;
  int64_t window_end_;
  size_t stride_;  // bytes from group to group
  bool has_all_;
  uint32_t size_ = 0;
  uint32_t index_mask_ = 0;
  uint32_t index_shift_ = 0;
  IndexEntry* index_ = nullptr;
  std::vector<std::byte*> blocks_;
  ByteArena bytes_;
  std::vector<Group*> touched_;
  int64_t created_ = 0;
  StoredRuns runs_;
  std::vector<StoredRun> unread_runs_;
  int64_t unread_groups_ = 0;
  int64_t lookup_cost_ = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_GROUP_TABLE_H_
