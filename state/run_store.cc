#include "tidemark/state/run_store.h"

#include <algorithm>
#include <bitset>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace tidemark {
namespace {

constexpr size_t kLookUpPages = 32;  // in one MultiGet
// A page that is looked up costs as much as so many groups that are read in a row.
constexpr int64_t kGroupsPerPageLookedUp = 32;
constexpr size_t kPrefetchGroups = 8;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format(
      "{} is damaged or missing: the checkpoint is damaged; restore a snapshot of it", what));
}

/// A group that is looked up.
struct Wanted {
  uint32_t tag;
  uint32_t row;  // the first that wants it
  Group* group = nullptr;
};

/// The groups wanted that have not been found yet, by tag.
class Pending {
 public:
  Pending(std::vector<Wanted>* all, std::span<const std::string_view> keys)
      : all_(all), keys_(keys), left_(all->size()) {
    std::iota(left_.begin(), left_.end(), 0);
    for (const Wanted& wanted : *all) tags_.set(wanted.tag % kTags);
  }

  const std::vector<uint32_t>& left() const { return left_; }
  uint32_t tag(size_t i) const { return (*all_)[left_[i]].tag; }
  /// The one with this tag and key, or null.
  Wanted* Find(uint32_t tag, std::string_view key) const {
    if (!tags_.test(tag % kTags)) return nullptr;
    auto found =
        std::lower_bound(left_.begin(), left_.end(), tag,
                         [this](uint32_t i, uint32_t wanted) { return (*all_)[i].tag < wanted; });
    for (; found != left_.end() && (*all_)[*found].tag == tag; ++found) {
      Wanted& wanted = (*all_)[*found];
      if (keys_[wanted.row] == key) return &wanted;
    }
    return nullptr;
  }
  void DropFound() {
    std::erase_if(left_, [this](uint32_t i) { return (*all_)[i].group != nullptr; });
  }

 private:
  static constexpr size_t kTags = 4096;

  std::vector<Wanted>* all_;
  std::span<const std::string_view> keys_;
  std::vector<uint32_t> left_;
  std::bitset<kTags> tags_;  // most groups of a page are passed over by these
};

}  // namespace

absl::StatusOr<std::vector<StoredRun>> RunStore::List(int64_t window_end, uint32_t shard) const {
  std::vector<StoredRun> runs;
  const auto row = store_->NewStateCursor(keys_.RunIndexes(window_end, shard),
                                          keys_.RunIndexesEnd(window_end, shard));
  while (true) {
    const absl::StatusOr<bool> has_row = row->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) break;
    const std::optional<uint64_t> first = StateKeys::ParsePageNumber(row->key());
    const std::optional<StoredRun> run =
        first.has_value() ? DecodeRunIndex(*first, row->value()) : std::nullopt;
    // A commit that was given up leaves its numbers out.
    if (!run.has_value() || (!runs.empty() && runs.back().end() > run->first_page)) {
      return Damaged("the index of a run of groups");
    }
    runs.push_back(*run);
  }
  if (!runs.empty()) return runs;
  return ListWithoutIndex(window_end, shard);
}

// Versions before the index wrote runs that are in no order: each of their pages counts as a run.
absl::StatusOr<std::vector<StoredRun>> RunStore::ListWithoutIndex(int64_t window_end,
                                                                  uint32_t shard) const {
  std::vector<StoredRun> runs;
  const auto row =
      store_->NewStateCursor(keys_.Pages(window_end, shard), keys_.PagesEnd(window_end, shard));
  while (true) {
    const absl::StatusOr<bool> has_row = row->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) return runs;
    const std::optional<uint64_t> number = StateKeys::ParsePageNumber(row->key());
    if (!number.has_value()) return Damaged("the key of a page of groups");
    StoredRun run{.first_page = *number};
    for (PageReader page(row->value()); page.Next();) ++run.groups;
    runs.push_back(run);
  }
}

absl::Status RunStore::Fill(const PageReader& page, std::string* buffer, Group* group,
                            GroupTable* table) const {
  const std::optional<std::string_view> value = page.Value(buffer);
  if (!value.has_value()) return Damaged("a page of groups");
  if (!DecodeSlot(*layout_, *value, group->slot())) return BadRowError(value->size(), *layout_);
  table->OwnBlobs(group->slot());
  return absl::OkStatus();
}

int64_t RunStore::LookUpCost(const GroupTable& table, size_t groups) {
  int64_t pages = 0;
  for (const StoredRun& run : table.unread_runs()) {
    pages += static_cast<int64_t>(std::min<uint64_t>(groups, run.pages()));
  }
  return pages * kGroupsPerPageLookedUp;
}

absl::Status RunStore::LookUp(uint32_t shard, uint32_t batch, std::span<const uint64_t> hashes,
                              std::span<const std::string_view> keys,
                              std::span<const uint32_t> rows, GroupTable* table,
                              std::byte** slots) const {
  const auto tag_of = [hashes](uint32_t row) { return static_cast<uint32_t>(hashes[row]); };
  std::vector<uint32_t> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), [&](uint32_t a, uint32_t b) {
    return tag_of(a) != tag_of(b) ? tag_of(a) < tag_of(b) : keys[a] < keys[b];
  });
  const auto same = [&](uint32_t a, uint32_t b) {
    return tag_of(a) == tag_of(b) && keys[a] == keys[b];
  };
  std::vector<Wanted> wanted;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && same(sorted[i - 1], sorted[i])) continue;
    wanted.push_back({tag_of(sorted[i]), sorted[i]});
  }

  Pending pending(&wanted, keys);
  std::vector<std::string> page_keys;
  std::vector<std::string_view> page_views;
  std::vector<std::optional<std::string>> pages;
  std::string buffer;
  const std::vector<StoredRun>& runs = table->unread_runs();
  for (auto run = runs.rbegin(); run != runs.rend() && !pending.left().empty(); ++run) {
    for (size_t at = 0; at < pending.left().size();) {
      page_keys.clear();
      for (uint64_t last = 0; at < pending.left().size(); ++at) {
        const uint64_t number = run->PageOf(pending.tag(at));
        if (!page_keys.empty() && number == last) continue;
        if (page_keys.size() == kLookUpPages) break;
        page_keys.push_back(keys_.Page(table->window_end(), shard, number));
        last = number;
      }
      page_views.assign(page_keys.begin(), page_keys.end());
      absl::Status status = store_->MultiGetState(page_views, &pages);
      if (!status.ok()) return status;
      for (const std::optional<std::string>& bytes : pages) {
        if (!bytes.has_value()) return Damaged("a page of groups");
        PageReader page(*bytes);
        while (page.Next()) {
          Wanted* found = pending.Find(page.tag(), page.key());
          if (found == nullptr) continue;
          found->group = table->Insert(batch, hashes[found->row], keys[found->row],
                                       /*created=*/false);
          status = Fill(page, &buffer, found->group, table);
          if (!status.ok()) return status;
        }
        if (page.damaged()) return Damaged("a page of groups");
      }
    }
    pending.DropFound();
  }

  auto next = wanted.begin();
  for (size_t i = 0; i < sorted.size(); ++i) {
    const uint32_t row = sorted[i];
    if (i > 0 && !same(sorted[i - 1], row)) ++next;
    if (next->group == nullptr) {
      next->group = table->Insert(batch, hashes[row], keys[row], /*created=*/true);
    }
    slots[row] = next->group->slot();
  }
  return absl::OkStatus();
}

absl::Status RunStore::ReadAll(uint32_t shard, size_t groups, GroupTable* table) const {
  table->Reserve(groups);
  // The newest first: what is there already is newer.
  const std::vector<StoredRun>& runs = table->unread_runs();
  for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
    if (absl::Status status = ReadRun(shard, *run, table); !status.ok()) return status;
  }
  table->FinishReading();
  return absl::OkStatus();
}

absl::Status RunStore::ReadRun(uint32_t shard, const StoredRun& run, GroupTable* table) const {
  const auto row = store_->NewStateCursor(keys_.Page(table->window_end(), shard, run.first_page),
                                          keys_.Page(table->window_end(), shard, run.end()));
  uint64_t pages = 0;
  int64_t groups = 0;
  std::string buffer;
  for (;; ++pages) {
    const absl::StatusOr<bool> has_row = row->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) break;
    PageReader page(row->value());
    for (; page.Next(); ++groups) {
      Group* group = table->AddStored(page.tag(), page.key());
      if (group == nullptr) continue;
      if (absl::Status status = Fill(page, &buffer, group, table); !status.ok()) return status;
    }
    if (page.damaged()) return Damaged("a page of groups");
  }
  if (pages != run.pages() || groups != run.groups) return Damaged("a run of groups");
  return absl::OkStatus();
}

void RunStore::Append(uint32_t shard, bool all, GroupTable* table, StoreWrites* writes) const {
  GroupTable::StoredRuns& runs = table->runs();
  const int64_t window_end = table->window_end();
  if (all) {
    Remove(window_end, shard, writes);
    runs.groups = 0;
  }
  const size_t count = all ? table->size() : table->touched().size();
  const auto group_at = [&](size_t i) -> const Group* {
    return all ? table->group(static_cast<uint32_t>(i)) : table->touched()[i];
  };
  const StoredRun run{.first_page = runs.next_page,
                      .page_bits = PageBitsFor(count),
                      .groups = static_cast<int64_t>(count)};
  // By page; in a page in the order they have.
  std::vector<const Group*> groups(count);
  std::vector<size_t> ends(run.pages() + 1);
  if (run.pages() == 1) {
    for (size_t i = 0; i < count; ++i) groups[i] = group_at(i);
    ends[0] = count;
  } else {
    std::vector<uint32_t> page_of(count);
    for (size_t i = 0; i < count; ++i) {
      if (i + 2 * kPrefetchGroups < count) __builtin_prefetch(group_at(i + 2 * kPrefetchGroups));
      page_of[i] = static_cast<uint32_t>(run.PageOf(group_at(i)->tag) - run.first_page);
      ++ends[page_of[i] + 1];
    }
    // Where a page's groups begin; in the end, where they end.
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    for (size_t i = 0; i < count; ++i) groups[ends[page_of[i]]++] = group_at(i);
  }
  PageWriter page;
  std::string value;
  size_t i = 0;
  for (uint64_t number = 0; number < run.pages(); ++number) {
    page.Clear();
    for (; i < ends[number]; ++i) {
      if (i + kPrefetchGroups < count) {
        const Group* ahead = groups[i + kPrefetchGroups];
        __builtin_prefetch(ahead);
        __builtin_prefetch(ahead->slot() + layout_->width - 1);
      }
      const Group* group = groups[i];
      page.Append(group->tag, group->key(), EncodeSlot(*layout_, group->slot(), &value));
    }
    writes->PutState(keys_.Page(window_end, shard, run.first_page + number), page.bytes());
  }
  writes->PutState(keys_.RunIndex(window_end, shard, run.first_page), EncodeRunIndex(run));
  runs.next_page = run.end();
  runs.groups += run.groups;
}

void RunStore::Remove(int64_t window_end, uint32_t shard, StoreWrites* writes) const {
  writes->DeleteStateRange(keys_.Pages(window_end, shard), keys_.PagesEnd(window_end, shard));
  writes->DeleteStateRange(keys_.RunIndexes(window_end, shard),
                           keys_.RunIndexesEnd(window_end, shard));
}

void RunStore::RemoveWindows(int64_t first, int64_t last, StoreWrites* writes) const {
  writes->DeleteStateRange(keys_.WindowRuns(first), keys_.WindowsRunsEnd(last));
}

}  // namespace tidemark
