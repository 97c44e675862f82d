#include "tidemark/state/window_table.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "fmt/format.h"
#include "tidemark/state/byte_arena.h"
#include "tidemark/state/eviction.h"
#include "tidemark/state/group_table.h"
#include "tidemark/state/key_sort.h"
#include "tidemark/state/state_codec.h"
#include "tidemark/state/window_cursor.h"

namespace tidemark {
namespace {

constexpr size_t kLookupKeys = 256;  // in one MultiGet
constexpr size_t kRunGroups = 4096;  // in one run
// Runs are replaced by one of the live groups when they hold more than this many times as many.
constexpr int64_t kRunsPerGroup = 3;
// Groups turned from runs into rows in one commit.
constexpr int64_t kConvertedGroups = 200'000;

/// A window with rows in the store.
struct StoredWindow {
  int64_t groups = 0;  // as committed
  /// Shards that have no table of this window may have rows in the store: written before the
  /// restart, or by a table that was evicted.
  bool rows_without_table = false;
};

/// What belongs to one shard; on cache lines of its own.
struct alignas(64) Shard {
  MemoryCount memory;
  absl::btree_map<int64_t, std::unique_ptr<GroupTable>> tables;  // by window end
  GroupTable* last_used = nullptr;
  std::vector<GroupTable*> touched;
  // Written by the thread that updates the shard, read by any.
  std::atomic<int64_t> groups = 0;
  std::atomic<int64_t> groups_created = 0;
  std::atomic<int64_t> groups_touched = 0;
  // Scratch of Upsert.
  std::vector<uint32_t> missing;

  GroupTable* Find(int64_t window_end) {
    if (last_used != nullptr && last_used->window_end() == window_end) return last_used;
    const auto found = tables.find(window_end);
    if (found == tables.end()) return nullptr;
    return last_used = found->second.get();
  }
};

void Add(std::atomic<int64_t>* count, int64_t n) {
  count->store(count->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

/// Rows of one Upsert, for SortByKey.
struct RowKeys {
  std::span<const std::string_view> keys;
  std::string_view operator()(uintptr_t ref) const { return keys[ref]; }
  void Prefetch(uintptr_t ref) const { __builtin_prefetch(keys[ref].data()); }
};

/// What could not be opened.
class FailedGroupCursor : public GroupCursor {
 public:
  explicit FailedGroupCursor(absl::Status status) : status_(std::move(status)) {}
  absl::StatusOr<bool> Next() override { return status_; }
  int64_t window_end() const override { return 0; }
  std::string_view key() const override { return {}; }
  const std::byte* slot() const override { return nullptr; }

 private:
  absl::Status status_;
};

class HashedWindowTable : public WindowTable {
 public:
  HashedWindowTable(CheckpointStore* store, WindowTableOptions options)
      : WindowTable(options.shards),
        store_(store),
        keys_(options.operator_id),
        layout_(std::move(options.layout)),
        rows_above_(options.memory_budget / 2),
        shards_(static_cast<size_t>(options.shards)) {
    Load().IgnoreError();  // said again by Upsert
  }

  absl::Status Upsert(int shard, int64_t window_end, std::span<const uint64_t> hashes,
                      std::span<const std::string_view> keys, std::byte** slots) override;
  void SetBlob(int shard, int64_t window_end, BlobRef* blob, std::string_view bytes) override {
    shards_[static_cast<size_t>(shard)].Find(window_end)->SetBlob(blob, bytes);
  }

  std::unique_ptr<GroupCursor> Touched() override;
  std::unique_ptr<GroupCursor> Scan(int64_t after, int64_t upto) override;

  absl::Status AppendWrites(int64_t closed_upto, StoreWrites* writes) override;
  void Committed(int64_t closed_upto) override;
  void Discard() override;

  size_t memory_bytes() const override;
  int64_t groups_total() const override;
  int64_t groups_in_memory() const override { return Sum(&Shard::groups); }
  int64_t groups_touched() const override { return Sum(&Shard::groups_touched); }
  void Evict(size_t target) override;

 private:
  /// Tables with touched groups, by window end.
  using TouchedTables = std::map<int64_t, std::vector<const GroupTable*>>;

  absl::Status Load();
  absl::Status EnsureLoaded();
  absl::StatusOr<GroupTable*> FindOrMakeTable(uint32_t shard_index, int64_t window_end);
  absl::Status LoadRuns(uint32_t shard_index, GroupTable* table);
  absl::Status LoadRunsOfWindows(int64_t after, int64_t upto);
  void AppendRun(uint32_t shard_index, GroupTable* table, StoreWrites* writes);
  void AppendRows(int64_t window_end, const std::vector<const GroupTable*>& tables, bool touched,
                  StoreWrites* writes);
  void ConvertToRows(int64_t closed_upto, StoreWrites* writes);
  absl::Status LookUpMissing(Shard* shard, GroupTable* table, std::span<const uint64_t> hashes,
                             std::span<const std::string_view> keys, std::byte** slots);
  void EvictRunTables(size_t target);
  TouchedTables CollectTouched() const;
  bool SomeOnlyInStore(int64_t window_end, const StoredWindow& stored) const;
  int64_t Sum(std::atomic<int64_t> Shard::*count) const;

  CheckpointStore* store_;
  StateKeys keys_;
  SlotLayout layout_;
  size_t rows_above_;  // bytes of memory from which on tables are stored as rows
  std::vector<Shard> shards_;
  std::vector<GroupTable*> converting_;  // tables that the next commit turns from runs into rows
  uint32_t batch_ = 1;

  std::mutex load_mutex_;
  std::atomic<bool> loaded_ = false;
  // Not changed while shards are updated, but by Load.
  absl::btree_map<int64_t, StoredWindow> stored_;
  int64_t stored_groups_ = 0;
};

absl::Status HashedWindowTable::EnsureLoaded() {
  if (loaded_.load(std::memory_order_acquire)) return absl::OkStatus();
  return Load();
}

absl::Status HashedWindowTable::Load() {
  const std::lock_guard lock(load_mutex_);
  if (loaded_.load(std::memory_order_relaxed)) return absl::OkStatus();
  stored_.clear();
  stored_groups_ = 0;
  constexpr int64_t kFirst = std::numeric_limits<int64_t>::min();
  const auto rows = store_->NewStateCursor(keys_.Count(kFirst), keys_.CountsEnd(kNoWindow));
  while (true) {
    const absl::StatusOr<bool> has_row = rows->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) break;
    const std::optional<int64_t> window_end = StateKeys::ParseCountKey(rows->key());
    const std::optional<int64_t> groups = DecodeCount(rows->value());
    if (!window_end.has_value() || !groups.has_value()) {
      return absl::DataLossError(
          fmt::format("the row that counts a window's groups is damaged (key of {} bytes, value of "
                      "{}); restore "
                      "a snapshot of the checkpoint",
                      rows->key().size(), rows->value().size()));
    }
    stored_[*window_end] = {*groups, /*rows_without_table=*/true};
    stored_groups_ += *groups;
  }
  loaded_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<GroupTable*> HashedWindowTable::FindOrMakeTable(uint32_t shard_index,
                                                               int64_t window_end) {
  Shard& shard = shards_[shard_index];
  if (GroupTable* table = shard.Find(window_end); table != nullptr) return table;
  const auto stored = stored_.find(window_end);
  const bool is_new = stored == stored_.end() || !stored->second.rows_without_table;
  auto table = std::make_unique<GroupTable>(window_end, &layout_, /*has_all=*/true, &shard.memory);
  table->runs().in_use = !is_new || memory_bytes() < rows_above_;
  if (!is_new) {
    const absl::Status status = LoadRuns(shard_index, table.get());
    if (!status.ok()) return status;
    if (table->runs().next == 0) {
      // No runs: what there is, is rows.
      table = std::make_unique<GroupTable>(window_end, &layout_, /*has_all=*/false, &shard.memory);
    }
  }
  Add(&shard.groups, table->size());
  shard.last_used = table.get();
  shard.tables.emplace(window_end, std::move(table));
  return shard.last_used;
}

absl::Status HashedWindowTable::LoadRuns(uint32_t shard_index, GroupTable* table) {
  const int64_t window_end = table->window_end();
  GroupTable::StoredRuns& runs = table->runs();
  const auto rows = store_->NewStateCursor(keys_.Runs(window_end, shard_index),
                                           keys_.RunsEnd(window_end, shard_index));
  while (true) {
    const absl::StatusOr<bool> has_row = rows->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) return absl::OkStatus();
    const std::optional<uint64_t> number = StateKeys::ParseRunKey(rows->key());
    std::string_view run = rows->value();
    std::string buffer;
    while (!run.empty()) {
      uint32_t tag;
      std::string_view key;
      std::string_view value;
      if (!number.has_value() || !TakeFromRun(&run, &tag, &key, &value, &buffer)) {
        return BadRowError(rows->value().size(), layout_);
      }
      Group* group = table->FindOrAddStored(tag, key);
      if (!DecodeSlot(layout_, value, group->slot())) return BadRowError(value.size(), layout_);
      table->OwnBlobs(group->slot());
      ++runs.groups;
    }
    runs.next = number.value_or(0) + 1;
  }
}

absl::Status HashedWindowTable::LoadRunsOfWindows(int64_t after, int64_t upto) {
  for (auto stored = stored_.upper_bound(after); stored != stored_.end() && stored->first <= upto;
       ++stored) {
    if (!stored->second.rows_without_table) continue;
    for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
      const absl::StatusOr<GroupTable*> table = FindOrMakeTable(shard, stored->first);
      if (!table.ok()) return table.status();
    }
  }
  return absl::OkStatus();
}

absl::Status HashedWindowTable::Upsert(int shard_index, int64_t window_end,
                                       std::span<const uint64_t> hashes,
                                       std::span<const std::string_view> keys, std::byte** slots) {
  const absl::Status loaded = EnsureLoaded();
  if (!loaded.ok()) return loaded;
  if (keys.empty()) return absl::OkStatus();
  Shard& shard = shards_[static_cast<size_t>(shard_index)];
  const absl::StatusOr<GroupTable*> found =
      FindOrMakeTable(static_cast<uint32_t>(shard_index), window_end);
  if (!found.ok()) return found.status();
  GroupTable* table = *found;
  const int64_t groups_before = table->size();
  const int64_t created_before = table->created();
  const size_t touched_before = table->touched().size();
  if (touched_before == 0) shard.touched.push_back(table);

  table->Upsert(batch_, hashes, keys, slots, &shard.missing);
  absl::Status status;
  if (!shard.missing.empty()) {
    status = LookUpMissing(&shard, table, hashes, keys, slots);
    shard.missing.clear();
  }
  Add(&shard.groups, table->size() - groups_before);
  Add(&shard.groups_created, table->created() - created_before);
  Add(&shard.groups_touched, static_cast<int64_t>(table->touched().size() - touched_before));
  return status;
}

absl::Status HashedWindowTable::LookUpMissing(Shard* shard, GroupTable* table,
                                              std::span<const uint64_t> hashes,
                                              std::span<const std::string_view> keys,
                                              std::byte** slots) {
  std::vector<KeyedItem> rows;
  rows.reserve(shard->missing.size());
  for (uint32_t row : shard->missing) rows.push_back({0, row});
  SortByKey(rows, RowKeys{keys});

  const std::string window = keys_.Window(table->window_end());
  std::vector<std::string> store_keys;
  std::vector<std::string_view> wanted;
  std::vector<std::optional<std::string>> values;
  for (size_t begin = 0; begin < rows.size();) {
    // The next run of rows with at most kLookupKeys different keys.
    store_keys.clear();
    size_t end = begin;
    for (; end < rows.size(); ++end) {
      if (end > begin && keys[rows[end].ref] == keys[rows[end - 1].ref]) continue;
      if (store_keys.size() == kLookupKeys) break;
      store_keys.push_back(window);
      store_keys.back().append(keys[rows[end].ref]);
    }
    wanted.assign(store_keys.begin(), store_keys.end());
    const absl::Status status = store_->MultiGetState(wanted, &values);
    if (!status.ok()) return status;

    Group* group = nullptr;
    for (size_t at = 0; begin < end; ++begin) {
      const size_t row = rows[begin].ref;
      if (group == nullptr || group->key() != keys[row]) {
        const std::optional<std::string>& value = values[at++];
        group = table->Insert(batch_, hashes[row], keys[row], /*created=*/!value.has_value());
        if (value.has_value()) {
          if (!DecodeSlot(layout_, *value, group->slot())) {
            return BadRowError(value->size(), layout_);
          }
          table->OwnBlobs(group->slot());
        }
      }
      slots[row] = group->slot();
    }
  }
  return absl::OkStatus();
}

HashedWindowTable::TouchedTables HashedWindowTable::CollectTouched() const {
  TouchedTables result;
  for (const Shard& shard : shards_) {
    for (const GroupTable* table : shard.touched) result[table->window_end()].push_back(table);
  }
  return result;
}

std::unique_ptr<GroupCursor> HashedWindowTable::Touched() {
  std::vector<WindowGroups> windows;
  for (auto& [window_end, tables] : CollectTouched()) {
    windows.push_back({window_end, tables, /*some_only_in_store=*/false});
  }
  return std::make_unique<WindowCursor>(store_, keys_, &layout_, std::move(windows),
                                        /*touched=*/true);
}

bool HashedWindowTable::SomeOnlyInStore(int64_t window_end, const StoredWindow& stored) const {
  return std::any_of(shards_.begin(), shards_.end(), [&](const Shard& shard) {
    const auto table = shard.tables.find(window_end);
    return table == shard.tables.end() ? stored.rows_without_table : !table->second->has_all();
  });
}

std::unique_ptr<GroupCursor> HashedWindowTable::Scan(int64_t after, int64_t upto) {
  if (absl::Status status = LoadRunsOfWindows(after, upto); !status.ok()) {
    return std::make_unique<FailedGroupCursor>(std::move(status));
  }
  std::map<int64_t, WindowGroups> windows;
  for (const Shard& shard : shards_) {
    for (auto table = shard.tables.upper_bound(after);
         table != shard.tables.end() && table->first <= upto; ++table) {
      WindowGroups& window = windows[table->first];
      window.tables.push_back(table->second.get());
    }
  }
  for (auto stored = stored_.upper_bound(after); stored != stored_.end() && stored->first <= upto;
       ++stored) {
    windows[stored->first].some_only_in_store = SomeOnlyInStore(stored->first, stored->second);
  }
  std::vector<WindowGroups> sorted;
  for (auto& [window_end, window] : windows) {
    window.window_end = window_end;
    sorted.push_back(std::move(window));
  }
  return std::make_unique<WindowCursor>(store_, keys_, &layout_, std::move(sorted),
                                        /*touched=*/false);
}

absl::Status HashedWindowTable::AppendWrites(int64_t closed_upto, StoreWrites* writes) {
  if (!stored_.empty() && stored_.begin()->first <= closed_upto) {
    const int64_t first = stored_.begin()->first;
    writes->DeleteStateRange(keys_.Window(first), keys_.WindowsEnd(closed_upto));
    writes->DeleteStateRange(keys_.Count(first), keys_.CountsEnd(closed_upto));
    writes->DeleteStateRange(keys_.WindowRuns(first), keys_.WindowsRunsEnd(closed_upto));
  }
  for (GroupTable* table : converting_)
    table->runs().converting = false;  // of a commit that failed
  converting_.clear();
  if (memory_bytes() > rows_above_) ConvertToRows(closed_upto, writes);
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
    for (GroupTable* table : shards_[shard].touched) {
      const GroupTable::StoredRuns& runs = table->runs();
      if (table->window_end() > closed_upto && runs.in_use && !runs.converting) {
        AppendRun(shard, table, writes);
      }
    }
  }
  const TouchedTables touched = CollectTouched();
  const auto open = touched.upper_bound(closed_upto);
  for (auto window = open; window != touched.end(); ++window) {
    std::vector<const GroupTable*> tables = window->second;
    std::erase_if(tables, [](const GroupTable* table) { return table->runs().in_use; });
    AppendRows(window->first, tables, /*touched=*/true, writes);
  }
  for (auto window = open; window != touched.end(); ++window) {
    int64_t created = 0;
    for (const GroupTable* table : window->second) created += table->created();
    if (created == 0) continue;
    const auto stored = stored_.find(window->first);
    const int64_t before = stored == stored_.end() ? 0 : stored->second.groups;
    writes->PutState(keys_.Count(window->first), EncodeCount(before + created));
  }
  return absl::OkStatus();
}

void HashedWindowTable::AppendRows(int64_t window_end, const std::vector<const GroupTable*>& tables,
                                   bool touched, StoreWrites* writes) {
  if (tables.empty()) return;
  std::string key = keys_.Window(window_end);
  std::string value;
  for (const KeyedItem& item : SortedGroups(tables, touched)) {
    const Group* group = GroupKeys::group(item.ref);
    key.resize(StateKeys::kWindowBytes);
    key.append(group->key());
    writes->PutState(key, EncodeSlot(layout_, group->slot(), &value));
  }
}

void HashedWindowTable::AppendRun(uint32_t shard_index, GroupTable* table, StoreWrites* writes) {
  GroupTable::StoredRuns& runs = table->runs();
  const int64_t window_end = table->window_end();
  const int64_t touched = static_cast<int64_t>(table->touched().size());
  // Small tables are rewritten rarely too: what a restart reads stays in proportion all the same.
  constexpr int64_t kSmallTable = 64;
  const bool all = runs.groups + touched > kRunsPerGroup * (int64_t{table->size()} + kSmallTable);
  if (all) {
    writes->DeleteStateRange(keys_.Runs(window_end, shard_index),
                             keys_.RunsEnd(window_end, shard_index));
    runs.groups = 0;
  }
  std::string run;
  std::string value;
  const size_t count = all ? table->size() : table->touched().size();
  for (size_t i = 0; i < count; ++i) {
    const Group* group = all ? table->group(static_cast<uint32_t>(i)) : table->touched()[i];
    AppendToRun(group->tag, group->key(), EncodeSlot(layout_, group->slot(), &value), &run);
    if ((i + 1) % kRunGroups != 0 && i + 1 != count) continue;
    writes->PutState(keys_.Run(window_end, shard_index, runs.next++), run);
    run.clear();
  }
  runs.groups += static_cast<int64_t>(count);
}

void HashedWindowTable::ConvertToRows(int64_t closed_upto, StoreWrites* writes) {
  int64_t converted = 0;
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
    auto& tables = shards_[shard].tables;
    for (auto entry = tables.upper_bound(closed_upto); entry != tables.end(); ++entry) {
      GroupTable* table = entry->second.get();
      if (!table->runs().in_use) continue;
      if (converted > kConvertedGroups) return;
      if (table->runs().next > 0) {
        writes->DeleteStateRange(keys_.Runs(entry->first, shard),
                                 keys_.RunsEnd(entry->first, shard));
      }
      AppendRows(entry->first, {table}, /*touched=*/false, writes);
      table->runs().converting = true;
      converting_.push_back(table);
      converted += table->size();
    }
  }
}

void HashedWindowTable::Committed(int64_t closed_upto) {
  for (GroupTable* table : converting_) table->runs() = GroupTable::StoredRuns();
  converting_.clear();
  for (auto stored = stored_.begin(); stored != stored_.end() && stored->first <= closed_upto;) {
    stored_groups_ -= stored->second.groups;
    stored = stored_.erase(stored);
  }
  for (Shard& shard : shards_) {
    for (GroupTable* table : shard.touched) {
      if (table->window_end() > closed_upto && table->created() > 0) {
        stored_[table->window_end()].groups += table->created();
        stored_groups_ += table->created();
      }
      table->ForgetTouched();
    }
    shard.touched.clear();
    shard.groups_created = 0;
    shard.groups_touched = 0;
    const auto open = shard.tables.upper_bound(closed_upto);
    for (auto table = shard.tables.begin(); table != open; ++table) {
      Add(&shard.groups, -int64_t{table->second->size()});
    }
    shard.tables.erase(shard.tables.begin(), open);
    shard.last_used = nullptr;
  }
  ++batch_;
}

void HashedWindowTable::Discard() {
  converting_.clear();
  for (Shard& shard : shards_) {
    shard.touched.clear();
    shard.last_used = nullptr;
    shard.tables.clear();
    shard.groups = 0;
    shard.groups_created = 0;
    shard.groups_touched = 0;
  }
  ++batch_;
  // What the given-up batch did to the store is not known.
  loaded_ = false;
  Load().IgnoreError();  // said again by Upsert
}

void HashedWindowTable::Evict(size_t target) {
  if (memory_bytes() <= target) return;
  // Well below the target, so that this walk over all groups is paid for by many batches.
  const size_t goal = target / 4 * 3;
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds && memory_bytes() > target; ++round) {
    std::vector<const GroupTable*> tables;
    for (const Shard& shard : shards_) {
      for (const auto& [window_end, table] : shard.tables) {
        if (table->touched().empty() && !table->runs().in_use) tables.push_back(table.get());
      }
    }
    const bool is_last = round == kRounds - 1;  // overheads that estimates miss: let all go
    EvictionPlan plan(tables, batch_, is_last ? SIZE_MAX : memory_bytes() - goal);
    for (Shard& shard : shards_) {
      shard.last_used = nullptr;
      for (auto entry = shard.tables.begin(); entry != shard.tables.end();) {
        const std::unique_ptr<GroupTable>& table = entry->second;
        std::optional<std::unique_ptr<GroupTable>> rest;
        if (table->touched().empty() && !table->runs().in_use) {
          rest = plan.Apply(*table, &shard.memory);
        }
        if (!rest.has_value()) {
          ++entry;
          continue;
        }
        Add(&shard.groups, (*rest)->size() - int64_t{table->size()});
        if ((*rest)->size() > 0) {
          entry->second = *std::move(rest);
          ++entry;
        } else {
          stored_[entry->first].rows_without_table = true;
          entry = shard.tables.erase(entry);
        }
      }
    }
  }
  EvictRunTables(target);
}

void HashedWindowTable::EvictRunTables(size_t target) {
  // The earliest windows first: the later ones are more likely to be needed.
  for (auto stored = stored_.begin(); stored != stored_.end() && memory_bytes() > target;
       ++stored) {
    for (Shard& shard : shards_) {
      const auto entry = shard.tables.find(stored->first);
      if (entry == shard.tables.end() || memory_bytes() <= target) continue;
      if (!entry->second->runs().in_use || !entry->second->touched().empty()) continue;
      stored->second.rows_without_table = true;
      Add(&shard.groups, -int64_t{entry->second->size()});
      shard.tables.erase(entry);
      shard.last_used = nullptr;
    }
  }
}

int64_t HashedWindowTable::Sum(std::atomic<int64_t> Shard::*count) const {
  int64_t sum = 0;
  for (const Shard& shard : shards_) sum += (shard.*count).load(std::memory_order_relaxed);
  return sum;
}

size_t HashedWindowTable::memory_bytes() const {
  constexpr size_t kBytesPerStoredWindow = 32;
  size_t bytes = stored_.size() * kBytesPerStoredWindow;
  for (const Shard& shard : shards_) bytes += shard.memory.get();
  return bytes;
}

int64_t HashedWindowTable::groups_total() const {
  return stored_groups_ + Sum(&Shard::groups_created);
}

}  // namespace

std::unique_ptr<WindowTable> WindowTable::Create(CheckpointStore* store,
                                                 WindowTableOptions options) {
  return std::make_unique<HashedWindowTable>(store, std::move(options));
}

}  // namespace tidemark
