#ifndef TIDEMARK_OPERATORS_SINKS_CONSOLE_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_CONSOLE_SINK_H_

#include <cstdint>
#include <cstdio>
#include <memory>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

struct ConsoleOptions {
  int64_t num_rows = 20;  ///< rows shown of each batch
  int64_t truncate = 20;  ///< longest cell, in characters; 0: cells are not cut, and left-aligned
};

/// Prints each batch as a table, in the look of Spark 4's console sink (semantics, section 8); also
/// a batch without rows. At least once: a batch that runs again is printed again. Control
/// characters that Spark lets through are escaped too (`\u001b`), so that rows cannot steer a
/// terminal.
///
/// `out` is a stream over a file descriptor and outlives the sink; a table is on its way to the
/// reader when Commit returns. Commit fails with ResourceExhausted on a full disk and
/// InvalidArgument if nobody reads any more (closed output, broken pipe; the process gets no
/// SIGPIPE), and with Cancelled while the reader lets it wait.
std::unique_ptr<Sink> MakeConsoleSink(ConsoleOptions options, std::FILE* out = stdout);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_CONSOLE_SINK_H_
