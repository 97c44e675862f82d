#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_OPTIONS_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// How a table is read in increments.
enum class PollingMode : uint8_t {
  kId,              ///< by a unique id that the server draws, increasing
  kTimestamp,       ///< by a timestamp; rows are told apart by the table's primary key
  kTimestampAndId,  ///< by a timestamp; rows are told apart by the id
};

/// A copy of the offset for people to look at; the truth is in the checkpoint. Written when a batch
/// has been committed, and at a restart; a failure is logged and made good within seconds. A new
/// query begins where the table says: after that id, or with the rows of that time, which come
/// again; late ones of earlier times do not come.
struct PollingMirror {
  /// A table of the same database with one row a source: `source_column` (its primary key) and
  /// `offset_column` (the last id, or the last timestamp). Empty: none.
  std::string table;
  std::string source_column = "source";
  std::string offset_column = "last_offset";
  /// What is in `source_column`; empty: the name of the polled table.
  std::string source_name;
  /// Make the table if it is not there; else a query without it is refused.
  bool create_table = false;
  /// A file of one JSON object, replaced as a whole. Empty: none.
  std::string file;
};

/// What is polled and how. Rows that are updated without getting a new id or timestamp, and rows
/// that are deleted, are not seen. Where the cursor is a timestamp, rows without one never arrive.
struct PollingOptions {
  /// The table, for PostgreSQL also `schema.table`; empty: the name of the stream.
  std::string table;
  PollingMode mode = PollingMode::kId;
  std::string id_column = "id";
  std::string timestamp_column = "created_at";

  /// Between two polls, if the last one found less than it may take.
  absl::Duration poll_interval = absl::Seconds(1);
  /// Timestamp modes: a row is found if its transaction commits at most this long after the row's
  /// timestamp. The keys of all rows in this stretch of time are kept in memory and in the
  /// checkpoint (3 to 5 bytes a row, about 10 if no single integer is the key), and the stretch is
  /// read again with each pass over the table.
  absl::Duration look_back = absl::Minutes(10);
  /// Mode kId: how long an id may take from being drawn to being in the table (MySQL); how long one
  /// poll waits for transactions under way (PostgreSQL).
  absl::Duration grace = absl::Milliseconds(500);
  /// What one poll takes at most; a few polls are in memory until their batches are committed.
  int64_t max_rows = 50'000;
  size_t max_bytes = size_t{16} << 20;

  PollingMirror mirror;
};

/// What a polling source starts from: from the query and its checkpoint.
struct PollingStart {
  std::string topic;  ///< the stream's name
  Schema schema;      ///< the decoded columns
  std::optional<Offsets> committed;
  SourceState state;          ///< Source::StateAfter
  std::string saved_records;  ///< Source::SaveRecords
};

/// What the checkpoint's fingerprint says of a polled table, server and credentials left out:
/// `table orders by id order_id`.
std::string PollingFingerprint(const PollingOptions& options);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_OPTIONS_H_
