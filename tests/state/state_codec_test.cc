#include "tidemark/state/state_codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tidemark {
namespace {

struct Entry {
  uint32_t tag;
  std::string key;
  std::string value;
};

std::string PageOf(const std::vector<Entry>& entries) {
  PageWriter page;
  for (const Entry& entry : entries) page.Append(entry.tag, entry.key, entry.value);
  return std::string(page.bytes());
}

std::string Words(std::initializer_list<int64_t> words) {
  std::string value;
  for (int64_t word : words) value.append(reinterpret_cast<const char*>(&word), sizeof(word));
  return value;
}

void ExpectRoundTrip(const std::vector<Entry>& entries) {
  const std::string bytes = PageOf(entries);
  PageReader page(bytes);
  std::string buffer;
  for (const Entry& entry : entries) {
    ASSERT_TRUE(page.Next());
    EXPECT_EQ(page.tag(), entry.tag);
    EXPECT_EQ(page.key(), entry.key);
    if (entry.tag % 3 == 0) continue;  // passed over
    EXPECT_EQ(page.Value(&buffer), entry.value);
  }
  EXPECT_FALSE(page.Next());
  EXPECT_FALSE(page.damaged());
}

TEST(Pages, HoldValuesOfAnySizeAndNumbersOfAnyWidth) {
  constexpr int64_t kMin = INT64_MIN;
  constexpr int64_t kMax = INT64_MAX;
  ExpectRoundTrip({{0, "", ""}});
  ExpectRoundTrip({{7, "key", Words({0, -1, 1, 255, 256, -256, -257, kMin, kMax})},
                   {UINT32_MAX, std::string(300, 'k'), std::string(1000, '\xff')},
                   {1, std::string("\0a", 2), std::string(17, '\0')},
                   {2, "x", "seven b"}});
}

TEST(Pages, AreSmallWhereNumbersAre) {
  PageWriter page;
  page.Append(1, "12345678", Words({5, 25'000, 0, 9'999, 3, 0}));
  EXPECT_EQ(page.bytes().size(), 4 + 1 + 1 + 8 + 3 + 1 + 2 + 0 + 2 + 1 + 0u);
}

TEST(Pages, RandomOnesComeBack) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2000; ++i) {
    std::vector<Entry> entries;
    for (uint64_t n = random() % 5; n > 0; --n) {
      Entry entry{static_cast<uint32_t>(random()), std::string(random() % 40, 'k'), ""};
      for (uint64_t words = random() % 9; words > 0; --words) {
        const uint64_t word = random() >> random() % 64;
        entry.value += Words({static_cast<int64_t>(random() % 2 == 0 ? word : ~word)});
      }
      entry.value.resize(entry.value.size() - std::min<size_t>(entry.value.size(), random() % 8));
      entries.push_back(std::move(entry));
    }
    ExpectRoundTrip(entries);
    if (HasFailure()) return;
  }
}

TEST(Pages, DamageIsSeenOrHarmless) {
  const std::string good = PageOf({{7, "key", Words({5, -7, INT64_MAX})}, {8, "other", "text"}});
  std::string buffer;
  const auto groups_of = [&buffer](const std::vector<char>& bytes) {
    PageReader page(std::string_view(bytes.data(), bytes.size()));
    int groups = 0;
    while (page.Next() && page.Value(&buffer).has_value()) ++groups;
    return groups;
  };
  for (size_t size = 0; size < good.size(); ++size) {
    // In memory of its own, so that reading past its end is caught.
    EXPECT_LT(groups_of({good.begin(), good.begin() + static_cast<ptrdiff_t>(size)}), 2);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<char> bytes(good.begin(), good.end());
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    groups_of(bytes);
    EXPECT_LE(buffer.size(), 64u * 1024);
  }
}

TEST(StoredRuns, PagesFollowTheTagsUpperBits) {
  EXPECT_EQ(PageBitsFor(0), 0u);
  EXPECT_EQ(PageBitsFor(512), 0u);
  EXPECT_EQ(PageBitsFor(513), 1u);
  EXPECT_EQ(PageBitsFor(1024), 1u);
  EXPECT_EQ(PageBitsFor(1025), 2u);
  EXPECT_EQ(PageBitsFor(size_t{1} << 40), 20u);
  const StoredRun whole{.first_page = 9};
  EXPECT_EQ(whole.PageOf(UINT32_MAX), 9u);
  const StoredRun run{.first_page = 100, .page_bits = 3, .groups = 4000};
  EXPECT_EQ(run.PageOf(0), 100u);
  EXPECT_EQ(run.PageOf(UINT32_MAX), 107u);
  EXPECT_EQ(run.end(), 108u);
  const auto read = DecodeRunIndex(100, EncodeRunIndex(run));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->page_bits, 3u);
  EXPECT_EQ(read->groups, 4000);
  EXPECT_FALSE(DecodeRunIndex(100, EncodeRunIndex(run) + "x").has_value());
  EXPECT_FALSE(DecodeRunIndex(100, EncodeRunIndex({.page_bits = 32})).has_value());
  EXPECT_FALSE(DecodeRunIndex(100, EncodeRunIndex({.groups = -1})).has_value());
}

}  // namespace
}  // namespace tidemark
