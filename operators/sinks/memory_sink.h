#ifndef TIDEMARK_OPERATORS_SINKS_MEMORY_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_MEMORY_SINK_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

/// What one committed batch wrote.
struct MemoryBatch {
  SinkMarker marker;
  std::vector<RowBatch> rows;  ///< in the order written, each compact: they depend on nothing else
};

/// The table behind a memory sink, shared by whoever reads it and by the sinks of a query that is
/// stopped and started again: it keeps rows and marker as a database would. Thread-safe.
class MemoryTable {
 public:
  /// The batches committed so far, oldest first. Copies share the rows.
  std::vector<MemoryBatch> Batches() const;
  /// The newest marker, if there is one.
  std::optional<SinkMarker> marker() const;
  /// The columns of the rows; empty before the first Open.
  Schema schema() const;

 private:
  friend class MemorySink;

  mutable std::mutex mutex_;
  Schema schema_;                     // guarded by mutex_
  std::vector<MemoryBatch> batches_;  // guarded by mutex_
  std::optional<SinkMarker> marker_;  // guarded by mutex_
};

/// Keeps every row in `table`, for tests. Exactly once: a batch given again is there already, and a
/// batch of a later epoch replaces those from its number on. FailedPrecondition: the table belongs
/// to another query or sink, or is ahead.
std::unique_ptr<Sink> MakeMemorySink(std::shared_ptr<MemoryTable> table);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_MEMORY_SINK_H_
