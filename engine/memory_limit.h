#ifndef TIDEMARK_ENGINE_MEMORY_LIMIT_H_
#define TIDEMARK_ENGINE_MEMORY_LIMIT_H_

#include <cstddef>

#include "absl/time/time.h"

namespace tidemark {

/// How a memory limit is shared out, in bytes. What is left over is for what is in flight (prepared
/// rows, output, the allocator) and, of small limits a larger part, for the program itself.
struct MemoryShares {
  explicit MemoryShares(size_t limit);

  size_t tables;  ///< groups, and what else one batch holds
  size_t batch;   ///< of it, what the rows of one batch may take
  size_t store;   ///< the checkpoint's caches and buffers
  size_t fetch;   ///< keys and values fetched ahead; the client's own share of a small record is as
                  ///< large again
  size_t queue;   ///< records between the reader and the workers
};

/// Of this process; 0 if the system does not say.
size_t ResidentBytes();

/// Gives freed memory that the allocator keeps (tcmalloc's, if it is in the program, else glibc's)
/// back to the system while the process is larger than the limit: what a large batch, or a walk
/// over all groups, needed for a moment would otherwise stay. Used by one thread.
class FreedMemory {
 public:
  explicit FreedMemory(size_t limit) : limit_(limit) {}

  /// Between batches. Costs a few microseconds while the process is within the limit.
  void Release(absl::Duration now);

 private:
  const size_t limit_;
  absl::Duration pause_ = absl::ZeroDuration();  // longer while it does not help
  absl::Duration next_ = -absl::InfiniteDuration();
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_MEMORY_LIMIT_H_
