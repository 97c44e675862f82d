#ifndef TIDEMARK_TESTS_FAULTS_SHOP_TOTALS_H_
#define TIDEMARK_TESTS_FAULTS_SHOP_TOTALS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/test_kit.h"
#include "tidemark/operators/sinks/memory_sink.h"
#include "tidemark/operators/sources/memory_source.h"

namespace tidemark::testing {

/// The query whose checkpoint meets the faults: totals a shop and minute, with late rows, and with
/// windows that close in most batches.
TestKit::Pipeline ShopTotals(OutputMode mode, Trigger trigger = Trigger::Asap());

/// Orders [from, from + count) of a topic that is the same in every run: one a second of event
/// time, each of one of so many shops.
void AddOrders(MemoryTopic& topic, int64_t from, int64_t count, unsigned shops = 25);

/// Every row written: its batch and its columns.
std::vector<std::string> RowsOf(const MemoryTable& table);

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_SHOP_TOTALS_H_
