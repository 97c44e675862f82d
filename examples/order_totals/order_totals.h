#ifndef TIDEMARK_EXAMPLES_ORDER_TOTALS_ORDER_TOTALS_H_
#define TIDEMARK_EXAMPLES_ORDER_TOTALS_ORDER_TOTALS_H_

#include <cstdint>
#include <string>

#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sources/record_generator.h"

namespace tidemark::examples {

/// Orders and items of each shop and region in each window: rowkey, window_start, window_end,
/// shopid, region, orders, items.
Query OrderTotals(Job& job);

/// A made-up order.
struct Order {
  int64_t itemid = 0;
  int64_t orderid = 0;
  int64_t shopid = 0;
  std::string region;
  int64_t count = 0;
  int64_t delay_ms = 0;  ///< how long after it was made it comes

  /// The record: made `delay_ms` before `now_ms`.
  std::string Json(int64_t now_ms) const;
  /// The same as a bare Avro datum of order.avsc.
  std::string Avro(int64_t now_ms) const;
};
Order MakeOrder(uint64_t seed, int32_t partition, int64_t offset);

/// MakeOrder for the embedded broker, with times of its own.
GeneratedRecord FakeOrder(uint64_t seed, int32_t partition, int64_t offset);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_ORDER_TOTALS_ORDER_TOTALS_H_
