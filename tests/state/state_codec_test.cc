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

std::string RunOf(const std::vector<Entry>& entries) {
  std::string run;
  for (const Entry& entry : entries) AppendToRun(entry.tag, entry.key, entry.value, &run);
  return run;
}

std::string Words(std::initializer_list<int64_t> words) {
  std::string value;
  for (int64_t word : words) value.append(reinterpret_cast<const char*>(&word), sizeof(word));
  return value;
}

void ExpectRoundTrip(const std::vector<Entry>& entries) {
  const std::string bytes = RunOf(entries);
  std::string_view run = bytes;
  uint32_t tag;
  std::string_view key;
  std::string_view value;
  std::string buffer;
  for (const Entry& entry : entries) {
    ASSERT_TRUE(TakeFromRun(&run, &tag, &key, &value, &buffer));
    EXPECT_EQ(tag, entry.tag);
    EXPECT_EQ(key, entry.key);
    EXPECT_EQ(value, entry.value);
  }
  EXPECT_TRUE(run.empty());
}

TEST(Runs, HoldValuesOfAnySizeAndNumbersOfAnyWidth) {
  constexpr int64_t kMin = INT64_MIN;
  constexpr int64_t kMax = INT64_MAX;
  ExpectRoundTrip({{0, "", ""}});
  ExpectRoundTrip({{7, "key", Words({0, -1, 1, 255, 256, -256, -257, kMin, kMax})},
                   {UINT32_MAX, std::string(300, 'k'), std::string(1000, '\xff')},
                   {1, std::string("\0a", 2), std::string(17, '\0')},
                   {2, "x", "seven b"}});
}

TEST(Runs, AreSmallWhereNumbersAre) {
  std::string run;
  AppendToRun(1, "12345678", Words({5, 25'000, 0, 9'999, 3, 0}), &run);
  EXPECT_EQ(run.size(), 4 + 1 + 1 + 8 + 3 + 1 + 2 + 0 + 2 + 1 + 0u);
}

TEST(Runs, RandomOnesComeBack) {
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

TEST(Runs, DamageIsSeenOrHarmless) {
  const std::string good = RunOf({{7, "key", Words({5, -7, INT64_MAX})}, {8, "other", "text"}});
  uint32_t tag;
  std::string_view key;
  std::string_view value;
  std::string buffer;
  for (size_t size = 0; size < good.size(); ++size) {
    // In memory of its own, so that reading past its end is caught.
    const std::vector<char> cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    std::string_view run(cut.data(), cut.size());
    int taken = 0;
    while (!run.empty() && TakeFromRun(&run, &tag, &key, &value, &buffer)) ++taken;
    EXPECT_LT(taken, 2);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<char> bytes(good.begin(), good.end());
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    std::string_view run(bytes.data(), bytes.size());
    while (!run.empty() && TakeFromRun(&run, &tag, &key, &value, &buffer)) {
    }
    EXPECT_LE(buffer.size(), 64u * 1024);
  }
}

}  // namespace
}  // namespace tidemark
