#ifndef TIDEMARK_TESTS_OPERATORS_AGGREGATES_FAKE_WINDOW_TABLE_H_
#define TIDEMARK_TESTS_OPERATORS_AGGREGATES_FAKE_WINDOW_TABLE_H_

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/state/window_table.h"

namespace tidemark {

/// A WindowTable that is a map and keeps nothing in a store. `upsert_error`, if not OK, is what
/// Upsert returns.
class FakeWindowTable : public WindowTable {
 public:
  explicit FakeWindowTable(SlotLayout layout, int shards = 8)
      : WindowTable(shards), layout_(std::move(layout)), shards_(static_cast<size_t>(shards)) {}

  absl::Status upsert_error;

  absl::Status Upsert(int shard, int64_t window_end, std::span<const uint64_t> hashes,
                      std::span<const std::string_view> keys, std::byte** slots) override {
    if (!upsert_error.ok()) return upsert_error;
    Shard& groups = shards_[static_cast<size_t>(shard)];
    for (size_t i = 0; i < keys.size(); ++i) {
      if (ShardOf(hashes[i]) != shard) return absl::InternalError("a group in the wrong shard");
      Group& group = groups.groups[{window_end, std::string(keys[i])}];
      if (group.slot.empty()) group.slot.resize(layout_.width / sizeof(Unit) + 1);
      group.touched = true;
      slots[i] = reinterpret_cast<std::byte*>(group.slot.data());
    }
    return absl::OkStatus();
  }

  void SetBlob(int shard, int64_t, BlobRef* blob, std::string_view bytes) override {
    std::deque<std::string>& blobs = shards_[static_cast<size_t>(shard)].blobs;
    blobs.emplace_back(bytes);
    blob->data = blobs.back().data();
    blob->size = static_cast<uint32_t>(bytes.size());
    blob->capacity = blob->size;
  }

  std::unique_ptr<GroupCursor> Touched() override {
    return MakeCursor([](const GroupKey&, const Group& group) { return group.touched; });
  }
  std::unique_ptr<GroupCursor> Scan(int64_t after, int64_t upto) override {
    return MakeCursor(
        [=](const GroupKey& key, const Group&) { return key.first > after && key.first <= upto; });
  }

  absl::Status AppendWrites(int64_t, StoreWrites*) override { return absl::OkStatus(); }
  void Committed(int64_t closed_upto) override {
    for (Shard& shard : shards_) {
      std::erase_if(shard.groups,
                    [&](const auto& entry) { return entry.first.first <= closed_upto; });
      for (auto& [key, group] : shard.groups) group.touched = false;
    }
  }
  void Discard() override { shards_ = std::vector<Shard>(shards_.size()); }

  size_t memory_bytes() const override { return 0; }
  int64_t groups_total() const override {
    size_t total = 0;
    for (const Shard& shard : shards_) total += shard.groups.size();
    return static_cast<int64_t>(total);
  }
  int64_t groups_in_memory() const override { return groups_total(); }
  int64_t groups_touched() const override { return 0; }
  void Evict(size_t) override {}

 private:
  using GroupKey = std::pair<int64_t, std::string>;
  struct alignas(16) Unit {
    std::byte bytes[16];
  };
  struct Group {
    std::vector<Unit> slot;
    bool touched = false;
  };
  struct Shard {
    std::map<GroupKey, Group> groups;
    std::deque<std::string> blobs;
  };

  class Cursor : public GroupCursor {
   public:
    explicit Cursor(std::map<GroupKey, const std::byte*> groups)
        : groups_(std::move(groups)), next_(groups_.begin()) {}
    absl::StatusOr<bool> Next() override {
      if (next_ == groups_.end()) return false;
      at_ = next_++;
      return true;
    }
    int64_t window_end() const override { return at_->first.first; }
    std::string_view key() const override { return at_->first.second; }
    const std::byte* slot() const override { return at_->second; }

   private:
    std::map<GroupKey, const std::byte*> groups_;
    std::map<GroupKey, const std::byte*>::const_iterator next_;
    std::map<GroupKey, const std::byte*>::const_iterator at_;
  };

  template <typename Filter>
  std::unique_ptr<GroupCursor> MakeCursor(Filter filter) const {
    std::map<GroupKey, const std::byte*> groups;
    for (const Shard& shard : shards_) {
      for (const auto& [key, group] : shard.groups) {
        if (filter(key, group)) {
          groups.emplace(key, reinterpret_cast<const std::byte*>(group.slot.data()));
        }
      }
    }
    return std::make_unique<Cursor>(std::move(groups));
  }

  SlotLayout layout_;
  std::vector<Shard> shards_;
};

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_AGGREGATES_FAKE_WINDOW_TABLE_H_
