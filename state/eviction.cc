#include "tidemark/state/eviction.h"

#include <algorithm>
#include <bit>

namespace tidemark {

EvictionPlan::EvictionPlan(const std::vector<const GroupTable*>& tables, uint32_t now, size_t bytes)
    : now_(now) {
  std::array<size_t, kAges> bytes_by_age{};
  for (const GroupTable* table : tables) {
    const size_t group_bytes = table->bytes_per_group();
    for (uint32_t i = 0; i < table->size(); ++i) {
      bytes_by_age[AgeOf(*table->group(i))] += group_bytes;
    }
  }
  limit_age_ = kAges - 1;
  while (limit_age_ > 0 && bytes_by_age[limit_age_] < bytes) {
    bytes -= bytes_by_age[limit_age_--];
  }
  bytes_at_limit_ = bytes;
}

uint32_t EvictionPlan::AgeOf(const Group& group) const {
  const uint32_t batches = now_ - group.touched_batch;
  if (batches < kExactAges) return batches;
  const auto width = static_cast<uint32_t>(std::bit_width(batches));
  return kExactAges + (width - 7) * kAgesPerDoubling +
         ((batches >> (width - 5)) & (kAgesPerDoubling - 1));
}

bool EvictionPlan::Leaves(uint32_t age, size_t bytes) {
  if (age != limit_age_) return age > limit_age_;
  if (bytes_at_limit_ == 0) return false;
  bytes_at_limit_ -= std::min(bytes, bytes_at_limit_);
  return true;
}

std::optional<std::unique_ptr<GroupTable>> EvictionPlan::Apply(const GroupTable& table,
                                                               MemoryCount* memory) {
  const size_t group_bytes = table.bytes_per_group();
  std::unique_ptr<GroupTable> rest;
  for (uint32_t i = 0; i < table.size(); ++i) {
    const Group& group = *table.group(i);
    const bool leaves = Leaves(AgeOf(group), group_bytes);
    if (leaves && rest == nullptr) {
      rest = table.NewRest(memory);
      for (uint32_t kept = 0; kept < i; ++kept) rest->AddCopy(*table.group(kept));
    }
    if (!leaves && rest != nullptr) rest->AddCopy(group);
  }
  if (rest == nullptr) return std::nullopt;
  return rest;
}

}  // namespace tidemark
