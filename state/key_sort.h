#ifndef TIDEMARK_STATE_KEY_SORT_H_
#define TIDEMARK_STATE_KEY_SORT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tidemark {

/// Something with a key, to be sorted by it: `ref` is the caller's, `prefix` SortByKey's.
struct KeyedItem {
  uint64_t prefix = 0;
  uintptr_t ref = 0;
};

/// The first eight bytes as a big-endian number: its order is the bytes' order, up to ties.
inline uint64_t KeyPrefix(std::string_view key) {
  uint64_t prefix = 0;
  if (!key.empty()) std::memcpy(&prefix, key.data(), std::min(key.size(), sizeof(prefix)));
  return __builtin_bswap64(prefix);
}

/// Sorts by `prefix`, in place.
void SortByPrefix(std::span<KeyedItem> items);

/// Sorts by keys[item.ref], bytewise. `keys` has `std::string_view operator()(uintptr_t ref)` and
/// `void Prefetch(uintptr_t ref)`. Reads each key twice and compares keys only where the eight
/// bytes after the prefix that all of them share are equal.
template <typename Keys>
void SortByKey(std::span<KeyedItem> items, const Keys& keys) {
  constexpr size_t kAhead = 16;
  if (items.size() < 2) return;
  const std::string_view first = keys(items[0].ref);
  size_t shared = first.size();
  for (size_t i = 1; i < items.size(); ++i) {
    if (i + kAhead < items.size()) keys.Prefetch(items[i + kAhead].ref);
    const std::string_view key = keys(items[i].ref);
    shared = std::min(shared, key.size());
    if (shared == 0 || std::memcmp(first.data(), key.data(), shared) == 0) continue;
    shared = static_cast<size_t>(
        std::mismatch(first.begin(), first.begin() + shared, key.begin()).first - first.begin());
  }
  for (size_t i = 0; i < items.size(); ++i) {
    if (i + kAhead < items.size()) keys.Prefetch(items[i + kAhead].ref);
    items[i].prefix = KeyPrefix(keys(items[i].ref).substr(shared));
  }
  SortByPrefix(items);
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    while (end < items.size() && items[end].prefix == items[begin].prefix) ++end;
    if (end - begin > 1) {
      std::sort(
          items.begin() + static_cast<ptrdiff_t>(begin),
          items.begin() + static_cast<ptrdiff_t>(end),
          [&keys](const KeyedItem& a, const KeyedItem& b) { return keys(a.ref) < keys(b.ref); });
    }
    begin = end;
  }
}

}  // namespace tidemark

#endif  // TIDEMARK_STATE_KEY_SORT_H_
