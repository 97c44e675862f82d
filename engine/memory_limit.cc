#include "tidemark/engine/memory_limit.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

// tcmalloc's, where a program has it (gperftools/malloc_extension_c.h).
extern "C" __attribute__((weak)) void MallocExtension_ReleaseFreeMemory();

namespace tidemark {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr absl::Duration kLeastPause = absl::Milliseconds(200);
constexpr absl::Duration kLongestPause = absl::Minutes(1);

}  // namespace

size_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long pages = 0;
  const bool found = std::fscanf(file, "%*s %lu", &pages) == 1;
  std::fclose(file);
  return found ? pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) : 0;
}

MemoryShares::MemoryShares(size_t limit)
    : tables(limit / 2),
      batch(tables / 2),
      store(std::clamp(limit / 6, 8 * kMiB, 256 * kMiB)),
      fetch(std::clamp(limit / 32, kMiB, 256 * kMiB)),
      queue(std::clamp(limit / 96, kMiB, 64 * kMiB)) {}

void FreedMemory::Release(absl::Duration now) {
  if (now < next_) return;
  const size_t before = ResidentBytes();
  if (before <= limit_ + limit_ / 8) return;
  if (MallocExtension_ReleaseFreeMemory != nullptr) {
    MallocExtension_ReleaseFreeMemory();
  } else {
    malloc_trim(0);
  }
  const bool helped = ResidentBytes() + limit_ / 16 < before;
  pause_ = helped ? kLeastPause : std::clamp(2 * pause_, kLeastPause, kLongestPause);
  next_ = now + pause_;
}

}  // namespace tidemark
