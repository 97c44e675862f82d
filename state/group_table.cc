#include "tidemark/state/group_table.h"

#include <utility>

namespace tidemark {
namespace {

/// Rows whose cache misses are under way at the same time.
constexpr size_t kPrefetchRows = 32;
constexpr size_t kSlotAlignment = 16;

uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash); }

template <typename T>
T Load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

}  // namespace

GroupTable::GroupTable(int64_t window_end, const SlotLayout* layout, bool has_all,
                       MemoryCount* memory)
    : memory_(memory),
      layout_(layout),
      window_end_(window_end),
      stride_(sizeof(Group) +
              (layout->width + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment),
      has_all_(has_all),
      bytes_(&memory_) {
  memory_.Add(sizeof(*this));
  GrowIndex(kFirstIndexSize);
}

GroupTable::~GroupTable() {
  while (FreeSome()) {
  }
}

bool GroupTable::FreeSome() {
  if (bytes_.FreeSome()) return true;
  if (!blocks_.empty()) {
    FreeBytes(blocks_.back(), BlockGroups(blocks_.size() - 1) * stride_, &memory_);
    blocks_.pop_back();
    return true;
  }
  if (index_ == nullptr) return false;
  FreeBytes(index_, (size_t{index_mask_} + 1) * sizeof(IndexEntry), &memory_);
  index_ = nullptr;
  return true;
}

inline bool GroupTable::KeysEqual(const Group& group, std::string_view key) {
  const size_t size = key.size();
  if (group.key_size != size) return false;
  const char* a = group.key_data();
  const char* b = key.data();
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size >= 8) {
    return Load<uint64_t>(a) == Load<uint64_t>(b) &&
           Load<uint64_t>(a + size - 8) == Load<uint64_t>(b + size - 8);
  }
  if (size >= 4) {
    return Load<uint32_t>(a) == Load<uint32_t>(b) &&
           Load<uint32_t>(a + size - 4) == Load<uint32_t>(b + size - 4);
  }
  return std::equal(a, a + size, b);
}

inline Group* GroupTable::FirstWithTag(uint32_t tag) const {
  for (uint32_t at = IndexOf(tag);; at = (at + 1) & index_mask_) {
    const IndexEntry entry = index_[at];
    if (entry.number_plus_1 == 0) return nullptr;
    if (entry.tag == tag) return group(entry.number_plus_1 - 1);
  }
}

Group* GroupTable::Find(uint32_t tag, std::string_view key) const {
  for (uint32_t at = IndexOf(tag);; at = (at + 1) & index_mask_) {
    const IndexEntry entry = index_[at];
    if (entry.number_plus_1 == 0) return nullptr;
    if (entry.tag != tag) continue;
    Group* found = group(entry.number_plus_1 - 1);
    if (KeysEqual(*found, key)) return found;
  }
}

inline void GroupTable::Touch(Group* group, uint32_t batch) {
  if (group->touched_batch == batch) return;
  group->touched_batch = batch;
  if (touched_.size() == touched_.capacity()) {
    const size_t capacity = std::max<size_t>(4, touched_.capacity() * 2);
    memory_.Add((capacity - touched_.capacity()) * sizeof(Group*));
    touched_.reserve(capacity);
  }
  touched_.push_back(group);
}

void GroupTable::ForgetTouched() {
  memory_.Subtract(touched_.capacity() * sizeof(Group*));
  std::vector<Group*>().swap(touched_);
  created_ = 0;
}

void GroupTable::Upsert(uint32_t batch, std::span<const uint64_t> hashes,
                        std::span<const std::string_view> keys, std::byte** slots,
                        std::vector<uint32_t>* missing) {
  Group* candidates[kPrefetchRows];
  for (size_t begin = 0; begin < keys.size(); begin += kPrefetchRows) {
    const size_t end = std::min(begin + kPrefetchRows, keys.size());
    for (size_t i = begin; i < end; ++i) {
      __builtin_prefetch(&index_[IndexOf(TagOf(hashes[i]))]);
    }
    for (size_t i = begin; i < end; ++i) {
      Group* candidate = FirstWithTag(TagOf(hashes[i]));
      candidates[i - begin] = candidate;
      if (candidate == nullptr) continue;
      __builtin_prefetch(candidate, 1);
      __builtin_prefetch(reinterpret_cast<std::byte*>(candidate) + stride_ - 1, 1);
    }
    for (size_t i = begin; i < end; ++i) {
      Group* found = candidates[i - begin];
      if (found == nullptr || !KeysEqual(*found, keys[i])) {
        found = Find(TagOf(hashes[i]), keys[i]);
        if (found == nullptr) {
          if (!has_all_) {
            missing->push_back(static_cast<uint32_t>(i));
            continue;
          }
          found = Insert(batch, hashes[i], keys[i], /*created=*/true);
        }
      }
      Touch(found, batch);
      slots[i] = found->slot();
    }
  }
}

Group* GroupTable::Insert(uint32_t batch, uint64_t hash, std::string_view key, bool created) {
  Group* group = Append(TagOf(hash), key);
  group->touched_batch = batch - 1;
  Touch(group, batch);
  if (created) ++created_;
  return group;
}

Group* GroupTable::AddStored(uint32_t tag, std::string_view key) {
  if (size_ > 0 && Find(tag, key) != nullptr) return nullptr;
  Group* group = Append(tag, key);
  group->touched_batch = 0;
  return group;
}

void GroupTable::SetUnreadRuns(std::vector<StoredRun> runs) {
  unread_runs_ = std::move(runs);
  memory_.Add(unread_runs_.capacity() * sizeof(StoredRun));
  for (const StoredRun& run : unread_runs_) unread_groups_ += run.groups;
  runs_ = {.in_use = true, .next_page = unread_runs_.back().end(), .groups = unread_groups_};
}

void GroupTable::FinishReading() {
  memory_.Subtract(unread_runs_.capacity() * sizeof(StoredRun));
  std::vector<StoredRun>().swap(unread_runs_);
  unread_groups_ = 0;
  has_all_ = true;
}

void GroupTable::Reserve(size_t groups) {
  const size_t wanted = std::bit_ceil(groups * 8 / 5 + 1);
  if (wanted > size_t{index_mask_} + 1) GrowIndex(static_cast<uint32_t>(wanted));
}

Group* GroupTable::Append(uint32_t tag, std::string_view key) {
  const uint64_t index_size = uint64_t{index_mask_} + 1;
  if ((uint64_t{size_} + 1) * 8 > index_size * 5) GrowIndex(static_cast<uint32_t>(index_size * 2));
  const uint32_t number = size_++;
  const auto is_block_start = [](uint32_t n) {
    if (n >> kMaxBlockBits != 0) return (n & ((1u << kMaxBlockBits) - 1)) == 0;
    return n == 0 || (n >= (1u << kFirstBlockBits) && std::has_single_bit(n));
  };
  if (is_block_start(number)) {
    const size_t bytes = BlockGroups(blocks_.size()) * stride_;
    blocks_.push_back(static_cast<std::byte*>(AllocateBytes(bytes, &memory_)));
  }
  Group* group = this->group(number);
  group->tag = tag;
  group->key_size = static_cast<uint32_t>(key.size());
  char* key_bytes = group->key_bytes;
  if (key.size() > Group::kInlineKeyBytes) {
    key_bytes = bytes_.Allocate(key.size());
    std::memcpy(group->key_bytes + 4, &key_bytes, sizeof(key_bytes));
  }
  std::copy(key.begin(), key.end(), key_bytes);
  std::memset(group->slot(), 0, stride_ - sizeof(Group));

  uint32_t at = IndexOf(tag);
  while (index_[at].number_plus_1 != 0) at = (at + 1) & index_mask_;
  index_[at] = {tag, number + 1};
  return group;
}

void GroupTable::AddCopy(const Group& other) {
  Group* group = Append(other.tag, other.key());
  group->touched_batch = other.touched_batch;
  std::memcpy(group->slot(), other.slot(), layout_->width);
  OwnBlobs(group->slot());
}

void GroupTable::SetBlob(BlobRef* blob, std::string_view bytes) {
  if (bytes.size() > blob->capacity) {
    const size_t capacity = ByteArena::Capacity(bytes.size());
    char* data = bytes_.AllocateCapacity(capacity);
    std::memcpy(data, bytes.data(), bytes.size());
    if (blob->capacity > 0) bytes_.Release(const_cast<char*>(blob->data), blob->capacity);
    blob->data = data;
    blob->capacity = static_cast<uint32_t>(capacity);
  } else if (!bytes.empty()) {
    std::memmove(const_cast<char*>(blob->data), bytes.data(), bytes.size());
  }
  blob->size = static_cast<uint32_t>(bytes.size());
}

void GroupTable::OwnBlobs(std::byte* slot) {
  for (uint32_t offset : layout_->blob_offsets) {
    auto* blob = reinterpret_cast<BlobRef*>(slot + offset);
    const std::string_view bytes = blob->view();
    *blob = BlobRef();
    SetBlob(blob, bytes);
  }
}

void GroupTable::GrowIndex(uint32_t size) {
  const size_t bytes = size * sizeof(IndexEntry);
  auto* grown = static_cast<IndexEntry*>(AllocateBytes(bytes, &memory_));
  std::memset(static_cast<void*>(grown), 0, bytes);
  const uint32_t mask = size - 1;
  const auto shift = static_cast<uint32_t>(33 - std::bit_width(size));
  if (index_ != nullptr) {
    for (uint32_t i = 0; i <= index_mask_; ++i) {
      if (index_[i].number_plus_1 == 0) continue;
      uint32_t at = index_[i].tag >> shift;
      while (grown[at].number_plus_1 != 0) at = (at + 1) & mask;
      grown[at] = index_[i];
    }
    FreeBytes(index_, (size_t{index_mask_} + 1) * sizeof(IndexEntry), &memory_);
  }
  index_ = grown;
  index_mask_ = mask;
  index_shift_ = shift;
}

}  // namespace tidemark
