#include "tidemark/state/window_table.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/container/btree_map.h"
#include "fmt/format.h"
#include "tidemark/state/byte_arena.h"
#include "tidemark/state/eviction.h"
#include "tidemark/state/group_table.h"
#include "tidemark/state/key_sort.h"
#include "tidemark/state/run_store.h"
#include "tidemark/state/state_codec.h"
#include "tidemark/state/window_cursor.h"

namespace tidemark {
namespace {

constexpr size_t kLookupKeys = 256;  // in one MultiGet
// Runs are replaced by one of the live groups when they hold more than this many times as many.
constexpr int64_t kRunsPerGroup = 3;
// Groups turned from runs into rows in one commit: about so many (whole tables), and about one in
// so many bytes of the budget, because the rows lie in memory several times until they are written.
constexpr int64_t kConvertedGroups = 200'000;
constexpr size_t kBudgetPerConverted = 512;
// The commit that closes windows mostly goes before their memory is given back, and others before
// each piece for this long: then it has waited enough, since nobody counts that memory any more.
constexpr std::chrono::milliseconds kCommitTime(5);
constexpr std::chrono::milliseconds kMakeWayTime(50);

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
        run_store_(store, keys_, &layout_),
        rows_above_(options.memory_budget / 4 * 3),
        converted_groups_(std::min(
            kConvertedGroups, static_cast<int64_t>(options.memory_budget / kBudgetPerConverted))),
        shards_(static_cast<size_t>(options.shards)) {
    Load().IgnoreError();  // said again by Upsert
  }
  ~HashedWindowTable() override { FinishFreeing(); }

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
  absl::Status ReadRuns(uint32_t shard_index, GroupTable* table);
  size_t GroupsPerShard(int64_t window_end) const;
  absl::Status ReadRunsOfWindows(int64_t after, int64_t upto);
  absl::Status AppendRun(uint32_t shard_index, GroupTable* table, StoreWrites* writes);
  void AppendRows(int64_t window_end, const std::vector<const GroupTable*>& tables, bool touched,
                  StoreWrites* writes);
  absl::Status ConvertToRows(int64_t closed_upto, StoreWrites* writes);
  absl::Status LookUpInRuns(uint32_t shard_index, GroupTable* table,
                            std::span<const uint64_t> hashes,
                            std::span<const std::string_view> keys, std::byte** slots);
  absl::Status LookUpRows(Shard* shard, GroupTable* table, std::span<const uint64_t> hashes,
                          std::span<const std::string_view> keys, std::byte** slots);
  size_t OpenBytes(int64_t closed_upto) const;
  void EvictRunTables(size_t target);
  void Free(std::vector<std::unique_ptr<GroupTable>> closed);
  void FinishFreeing();
  TouchedTables CollectTouched() const;
  bool SomeOnlyInStore(int64_t window_end, const StoredWindow& stored) const;
  int64_t Sum(std::atomic<int64_t> Shard::*count) const;

  CheckpointStore* store_;
  StateKeys keys_;
  SlotLayout layout_;
  RunStore run_store_;
  // Bytes of windows that stay open from which on tables are stored as rows.
  size_t rows_above_;
  int64_t converted_groups_;
  size_t open_bytes_ = 0;  // after the last commit
  std::vector<Shard> shards_;
  std::thread freeing_;                  // closed windows
  std::atomic<bool> hurry_ = false;      // somebody waits for it
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
  auto table =
      std::make_unique<GroupTable>(window_end, &layout_, /*has_all=*/is_new, &shard.memory);
  if (is_new) {
    table->runs().in_use = open_bytes_ < rows_above_;
  } else {
    absl::StatusOr<std::vector<StoredRun>> runs = run_store_.List(window_end, shard_index);
    if (!runs.ok()) return runs.status();
    // No runs: what there is, is rows.
    if (!runs->empty()) table->SetUnreadRuns(*std::move(runs));
  }
  shard.last_used = table.get();
  shard.tables.emplace(window_end, std::move(table));
  return shard.last_used;
}

absl::Status HashedWindowTable::ReadRuns(uint32_t shard_index, GroupTable* table) {
  if (table->unread_runs().empty()) return absl::OkStatus();
  const int64_t before = table->size();
  absl::Status status = run_store_.ReadAll(shard_index, GroupsPerShard(table->window_end()), table);
  Add(&shards_[shard_index].groups, table->size() - before);
  return status;
}

size_t HashedWindowTable::GroupsPerShard(int64_t window_end) const {
  const auto stored = stored_.find(window_end);
  return stored == stored_.end() ? 0 : static_cast<size_t>(stored->second.groups) / shards_.size();
}

absl::Status HashedWindowTable::ReadRunsOfWindows(int64_t after, int64_t upto) {
  for (auto stored = stored_.upper_bound(after); stored != stored_.end() && stored->first <= upto;
       ++stored) {
    for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
      GroupTable* table = shards_[shard].Find(stored->first);
      if (table == nullptr && stored->second.rows_without_table) {
        const absl::StatusOr<GroupTable*> made = FindOrMakeTable(shard, stored->first);
        if (!made.ok()) return made.status();
        table = *made;
      }
      if (table == nullptr) continue;
      if (absl::Status status = ReadRuns(shard, table); !status.ok()) return status;
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
    status = table->unread_runs().empty()
                 ? LookUpRows(&shard, table, hashes, keys, slots)
                 : LookUpInRuns(static_cast<uint32_t>(shard_index), table, hashes, keys, slots);
    shard.missing.clear();
  }
  Add(&shard.groups, table->size() - groups_before);
  Add(&shard.groups_created, table->created() - created_before);
  Add(&shard.groups_touched, static_cast<int64_t>(table->touched().size() - touched_before));
  return status;
}

// As long as that is less work than to read the runs whole, which is done once.
absl::Status HashedWindowTable::LookUpInRuns(uint32_t shard_index, GroupTable* table,
                                             std::span<const uint64_t> hashes,
                                             std::span<const std::string_view> keys,
                                             std::byte** slots) {
  const std::vector<uint32_t>& missing = shards_[shard_index].missing;
  table->AddLookupCost(RunStore::LookUpCost(*table, missing.size()));
  if (table->lookup_cost() <= table->unread_groups()) {
    return run_store_.LookUp(shard_index, batch_, hashes, keys, missing, table, slots);
  }
  absl::Status status = run_store_.ReadAll(shard_index, GroupsPerShard(table->window_end()), table);
  if (!status.ok()) return status;
  std::vector<uint64_t> missing_hashes;
  std::vector<std::string_view> missing_keys;
  for (uint32_t row : missing) {
    missing_hashes.push_back(hashes[row]);
    missing_keys.push_back(keys[row]);
  }
  std::vector<std::byte*> found(missing.size());
  std::vector<uint32_t> none;
  table->Upsert(batch_, missing_hashes, missing_keys, found.data(), &none);
  for (size_t i = 0; i < missing.size(); ++i) slots[missing[i]] = found[i];
  return absl::OkStatus();
}

absl::Status HashedWindowTable::LookUpRows(Shard* shard, GroupTable* table,
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
  if (absl::Status status = ReadRunsOfWindows(after, upto); !status.ok()) {
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
    run_store_.RemoveWindows(first, closed_upto, writes);
  }
  for (GroupTable* table : converting_)
    table->runs().converting = false;  // of a commit that failed
  converting_.clear();
  if (OpenBytes(closed_upto) > rows_above_) {
    if (absl::Status status = ConvertToRows(closed_upto, writes); !status.ok()) return status;
  }
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
    for (GroupTable* table : shards_[shard].touched) {
      const GroupTable::StoredRuns& runs = table->runs();
      if (table->window_end() > closed_upto && runs.in_use && !runs.converting) {
        if (absl::Status status = AppendRun(shard, table, writes); !status.ok()) return status;
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

absl::Status HashedWindowTable::AppendRun(uint32_t shard_index, GroupTable* table,
                                          StoreWrites* writes) {
  // Small tables are rewritten rarely too: what a restart reads stays in proportion all the same.
  constexpr int64_t kSmallTable = 64;
  const int64_t groups = table->runs().groups + static_cast<int64_t>(table->touched().size());
  if (groups > 2 * (table->unread_groups() + kSmallTable)) {
    if (absl::Status status = ReadRuns(shard_index, table); !status.ok()) return status;
  }
  const bool all =
      table->has_all() && groups > kRunsPerGroup * (int64_t{table->size()} + kSmallTable);
  run_store_.Append(shard_index, all, table, writes);
  return absl::OkStatus();
}

absl::Status HashedWindowTable::ConvertToRows(int64_t closed_upto, StoreWrites* writes) {
  int64_t converted = 0;
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
    auto& tables = shards_[shard].tables;
    for (auto entry = tables.upper_bound(closed_upto); entry != tables.end(); ++entry) {
      GroupTable* table = entry->second.get();
      if (!table->runs().in_use) continue;
      if (converted > converted_groups_) return absl::OkStatus();
      if (absl::Status status = ReadRuns(shard, table); !status.ok()) return status;
      if (table->runs().next_page > 0) run_store_.Remove(entry->first, shard, writes);
      AppendRows(entry->first, {table}, /*touched=*/false, writes);
      table->runs().converting = true;
      converting_.push_back(table);
      converted += table->size();
    }
  }
  return absl::OkStatus();
}

void HashedWindowTable::Committed(int64_t closed_upto) {
  for (GroupTable* table : converting_) table->runs() = GroupTable::StoredRuns();
  converting_.clear();
  for (auto stored = stored_.begin(); stored != stored_.end() && stored->first <= closed_upto;) {
    stored_groups_ -= stored->second.groups;
    stored = stored_.erase(stored);
  }
  std::vector<std::unique_ptr<GroupTable>> closed;
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
      closed.push_back(std::move(table->second));
    }
    shard.tables.erase(shard.tables.begin(), open);
    shard.last_used = nullptr;
  }
  Free(std::move(closed));
  open_bytes_ = memory_bytes();
  ++batch_;
}

size_t HashedWindowTable::OpenBytes(int64_t closed_upto) const {
  size_t bytes = memory_bytes();
  for (const Shard& shard : shards_) {
    const auto open = shard.tables.upper_bound(closed_upto);
    for (auto table = shard.tables.begin(); table != open; ++table) {
      bytes -= std::min(bytes, table->second->memory_bytes());
    }
  }
  return bytes;
}

// Giving much memory back takes time (1 M groups: 10 ms), for which nothing else need wait: neither
// the commit that is on its way, nor whoever wants the core meanwhile.
void HashedWindowTable::Free(std::vector<std::unique_ptr<GroupTable>> closed) {
  constexpr size_t kMuch = size_t{4} << 20;
  size_t bytes = 0;
  for (const auto& table : closed) bytes += table->memory_bytes();
  if (bytes < kMuch) return;
  for (const auto& table : closed) table->DetachMemory();
  FinishFreeing();
  try {
    freeing_ = std::thread([this, tables = std::move(closed)]() mutable {
      pthread_setname_np(pthread_self(), "tide-free");
      std::this_thread::sleep_for(kCommitTime);
      const auto make_way_until = std::chrono::steady_clock::now() + kMakeWayTime;
      for (const auto& table : tables) {
        while (table->FreeSome()) {
          const bool makes_way = !hurry_.load(std::memory_order_relaxed) &&
                                 std::chrono::steady_clock::now() < make_way_until;
          if (makes_way) std::this_thread::yield();
        }
      }
    });
  } catch (const std::system_error&) {
    // No thread to be had: they are gone with the one that was not started.
  }
}

void HashedWindowTable::FinishFreeing() {
  if (!freeing_.joinable()) return;
  hurry_ = true;
  freeing_.join();
  hurry_ = false;
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
