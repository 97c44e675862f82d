#ifndef TIDEMARK_ENGINE_RESULT_ROWS_H_
#define TIDEMARK_ENGINE_RESULT_ROWS_H_

#include <functional>
#include <memory>
#include <vector>

#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/operators/sinks/sink.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {

// What a batch gives its sink. All streams may be rewound; what they read from outlives them.

/// A batch without rows.
std::unique_ptr<RowStream> NoRows();

/// Rows kept in memory.
std::unique_ptr<RowStream> KeptRows(const std::vector<RowBatch>* rows);

/// Results of an aggregate, passed through the steps after it. An expression that fails there is
/// InvalidArgument naming the group and the expression. `open` makes the cursor: once, and again
/// for each rewind.
std::unique_ptr<RowStream> AggregateRows(std::function<std::unique_ptr<ResultCursor>()> open,
                                         const std::vector<std::unique_ptr<Transform>>* transforms);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_RESULT_ROWS_H_
