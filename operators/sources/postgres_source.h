#ifndef TIDEMARK_OPERATORS_SOURCES_POSTGRES_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_POSTGRES_SOURCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/operators/clients/postgres_client.h"
#include "tidemark/operators/sources/polling_options.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// A polled table of PostgreSQL (12 or later; the primary server, not a standby).
//
/// Polling by id: what lies above the last id is read once every transaction that held a write lock
/// on the table at that moment has ended, so a transaction that writes to the table for long holds
/// all later rows up. An id that is drawn before its INSERT statement (by `nextval` in a statement
/// of its own, or chosen by the writer) may be lost. A `timestamp` without zone has the zone that
/// its field says, else UTC.
struct PostgresSourceOptions {
  DatabaseAddress server;
  PostgresTimeouts timeouts;
  PollingOptions polling;
};

/// Nothing is connected yet. InvalidArgument: the options are wrong; DataLoss: the checkpoint is.
absl::StatusOr<std::unique_ptr<Source>> MakePostgresSource(PostgresSourceOptions options,
                                                           const PollingStart& start);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POSTGRES_SOURCE_H_
