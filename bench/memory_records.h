#ifndef TIDEMARK_BENCH_MEMORY_RECORDS_H_
#define TIDEMARK_BENCH_MEMORY_RECORDS_H_

#include <memory>
#include <string>
#include <vector>

#include "bench/totals.h"
#include "tidemark/engine/query_options.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {

enum class RecordFormat { kJson, kAvro };

/// The rows of a topic of one partition as records that lie one after another, as in a fetch
/// buffer; a closing row at the end.
struct MemoryRecords {
  std::string bytes;
  std::vector<RawRecord> records;

  /// Records [begin, end) as a chunk, which shares them.
  static RawRecords Chunk(const std::shared_ptr<const MemoryRecords>& all, int64_t begin,
                          int64_t end);
};
std::shared_ptr<const MemoryRecords> MakeRecords(const TotalsRows& rows, RecordFormat format);

FormatSpec FormatOf(const TotalsRows& rows, RecordFormat format);

/// A source that hands over chunks of the records. It copies nothing but the views.
Input RecordsInput(std::shared_ptr<const MemoryRecords> records);

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_MEMORY_RECORDS_H_
