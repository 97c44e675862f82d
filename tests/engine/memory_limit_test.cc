#include "tidemark/engine/memory_limit.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace tidemark {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(MemoryShares, LeaveRoomForWhatIsInFlight) {
  for (const size_t limit : {64 * kMiB, 96 * kMiB, 128 * kMiB, 512 * kMiB, 8192 * kMiB}) {
    const MemoryShares shares(limit);
    EXPECT_LE(shares.tables + shares.store + 2 * shares.fetch + shares.queue, limit / 5 * 4)
        << limit;
    EXPECT_LT(shares.batch, shares.tables) << limit;
  }
}

// Sanitizers have allocators of their own, which keep what was freed.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(FreedMemory, GoesBackToTheSystemOnlyPastTheLimit) {
  std::vector<std::unique_ptr<char[]>> blocks;
  for (int i = 0; i < 200'000; ++i) blocks.push_back(std::make_unique<char[]>(256));
  const auto last = std::move(blocks.back());  // what lies below it, the allocator keeps
  blocks.clear();
  const size_t before = ResidentBytes();
  ASSERT_GT(before, 48 * kMiB);
  FreedMemory(2 * before).Release(absl::Seconds(1));
  EXPECT_GT(ResidentBytes(), before - 8 * kMiB);
  FreedMemory(before / 2).Release(absl::Seconds(1));
  EXPECT_LT(ResidentBytes(), before - 32 * kMiB);
}

TEST(FreedMemory, TriesLessOftenWhileItDoesNotHelp) {
  FreedMemory freed(1);
  freed.Release(absl::Seconds(1));  // nothing to give back; whether it helped or not, a pause
  std::vector<std::unique_ptr<char[]>> blocks;
  for (int i = 0; i < 200'000; ++i) blocks.push_back(std::make_unique<char[]>(256));
  const auto last = std::move(blocks.back());
  blocks.clear();
  const size_t before = ResidentBytes();
  freed.Release(absl::Seconds(1) + absl::Milliseconds(100));
  EXPECT_GT(ResidentBytes(), before - 8 * kMiB);
  freed.Release(absl::Seconds(3));
  EXPECT_LT(ResidentBytes(), before - 32 * kMiB);
}
#endif

}  // namespace
}  // namespace tidemark
