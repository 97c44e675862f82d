#include "tidemark/operators/transforms/transform.h"

#include <algorithm>

namespace tidemark {

void EventTimeStats::Add(const EventTimeStats& other) {
  count += other.count;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  sum += other.sum;
  watermark_max = std::max(watermark_max, other.watermark_max);
  future_rows += other.future_rows;
}

}  // namespace tidemark
