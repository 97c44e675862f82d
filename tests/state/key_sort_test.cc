#include "tidemark/state/key_sort.h"

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace tidemark {
namespace {

struct StringKeys {
  const std::vector<std::string>& keys;
  std::string_view operator()(uintptr_t ref) const { return keys[ref]; }
  void Prefetch(uintptr_t) const {}
};

void ExpectSorted(const std::vector<std::string>& keys) {
  std::vector<KeyedItem> items;
  for (size_t i = 0; i < keys.size(); ++i) items.push_back({0, i});
  SortByKey(items, StringKeys{keys});
  std::vector<std::string> got;
  for (const KeyedItem& item : items) got.push_back(keys[item.ref]);
  std::vector<std::string> want = keys;
  std::sort(want.begin(), want.end());
  EXPECT_EQ(got, want);
}

TEST(SortByKey, NothingAndOne) {
  ExpectSorted({});
  ExpectSorted({"a"});
}

TEST(SortByKey, EmptyKeysAndZeroBytesAfterASharedPrefix) {
  const std::string zero(1, '\0');
  ExpectSorted({"", zero, "", zero + zero, "a", "a" + zero, "a"});
  ExpectSorted({"same" + zero + zero, "same", "same" + zero, "same"});
}

TEST(SortByKey, BytesAreUnsigned) { ExpectSorted({"\xff", "\x7f", "\x80", "a"}); }

TEST(SortByKey, NullViewsAreEmptyKeys) {
  struct NullKeys {
    std::string_view operator()(uintptr_t) const { return {}; }
    void Prefetch(uintptr_t) const {}
  };
  std::vector<KeyedItem> items(3);
  SortByKey(items, NullKeys());
  EXPECT_EQ(items.size(), 3u);
}

TEST(SortByKey, RandomKeysOfManyShapes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    const size_t count = random() % (round % 20 == 0 ? 5000 : 300);
    const std::string shared(random() % 12, 'x');
    const size_t max_tail = 1 + random() % 20;
    const unsigned letters = round % 3 == 0 ? 2 : 256;
    std::vector<std::string> keys;
    for (size_t i = 0; i < count; ++i) {
      std::string key = shared;
      const size_t tail = random() % max_tail;
      for (size_t j = 0; j < tail; ++j) key.push_back(static_cast<char>(random() % letters));
      keys.push_back(key);
    }
    ExpectSorted(keys);
  }
}

}  // namespace
}  // namespace tidemark
