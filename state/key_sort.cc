#include "tidemark/state/key_sort.h"

#include <array>
#include <bit>
#include <utility>

namespace tidemark {
namespace {

constexpr size_t kRadixFromItems = 96;

/// American flag sort (McIlroy, Bostic, McIlroy, "Engineering radix sort"): by the highest byte in
/// which items differ, swapping each item into its bucket, then within the buckets.
void RadixSort(std::span<KeyedItem> items) {
  uint64_t differing = 0;
  for (const KeyedItem& item : items) differing |= item.prefix ^ items[0].prefix;
  if (differing == 0) return;
  const int shift = (std::bit_width(differing) - 1) / 8 * 8;
  const auto bucket = [shift](const KeyedItem& item) { return (item.prefix >> shift) & 0xff; };

  std::array<size_t, 257> starts{};
  for (const KeyedItem& item : items) ++starts[bucket(item) + 1];
  for (size_t b = 0; b < 256; ++b) starts[b + 1] += starts[b];
  std::array<size_t, 256> next;
  std::copy_n(starts.begin(), 256, next.begin());
  for (size_t b = 0; b < 256; ++b) {
    while (next[b] < starts[b + 1]) {
      KeyedItem item = items[next[b]];
      for (size_t home = bucket(item); home != b; home = bucket(item)) {
        std::swap(item, items[next[home]++]);
      }
      items[next[b]++] = item;
    }
  }
  if (shift == 0) return;
  for (size_t b = 0; b < 256; ++b) {
    SortByPrefix(items.subspan(starts[b], starts[b + 1] - starts[b]));
  }
}

}  // namespace

void SortByPrefix(std::span<KeyedItem> items) {
  if (items.size() >= kRadixFromItems) return RadixSort(items);
  std::sort(items.begin(), items.end(),
            [](const KeyedItem& a, const KeyedItem& b) { return a.prefix < b.prefix; });
}

}  // namespace tidemark
