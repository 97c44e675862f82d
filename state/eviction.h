#ifndef TIDEMARK_STATE_EVICTION_H_
#define TIDEMARK_STATE_EVICTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tidemark/state/byte_arena.h"
#include "tidemark/state/group_table.h"

namespace tidemark {

/// Which groups leave memory: those touched longest ago, in ages that get coarser the older they
/// are, until about `bytes` are free. The groups must be clean (committed).
class EvictionPlan {
 public:
  /// Looks at all groups of `tables`. `now` is a batch later than any of theirs.
  EvictionPlan(const std::vector<const GroupTable*>& tables, uint32_t now, size_t bytes);

  /// What stays of a table, counted in `memory`; nothing if all of it stays. Called once a table.
  std::optional<std::unique_ptr<GroupTable>> Apply(const GroupTable& table, MemoryCount* memory);

 private:
  static constexpr uint32_t kExactAges = 64;
  static constexpr uint32_t kAgesPerDoubling = 16;
  static constexpr uint32_t kAges = kExactAges + (32 - 6) * kAgesPerDoubling;

  uint32_t AgeOf(const Group& group) const;
  bool Leaves(uint32_t age, size_t bytes);

  uint32_t now_;
  uint32_t limit_age_ = 0;     // older groups leave,
  size_t bytes_at_limit_ = 0;  // and of this age groups of so many bytes
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_EVICTION_H_
