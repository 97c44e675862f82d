#ifndef TIDEMARK_OPERATORS_SOURCES_MYSQL_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_MYSQL_SOURCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/sources/polling_options.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// A polled table of MySQL or MariaDB.
//
/// Polling by id needs an InnoDB table whose unique id the server draws (AUTO_INCREMENT), on the
/// server that is written to, not a replica of it, nor one of several masters. Ids below one that
/// is visible already come from transactions under way, or never: each gap is waited for `grace`
/// and then looked at with a shared lock that does not wait. A lower id that a writer chooses by
/// itself, after a higher one was read, is lost. Times are read in UTC; a DATETIME has the zone
/// that its field says.
struct MySqlSourceOptions {
  DatabaseAddress server;
  MySqlTimeouts timeouts;
  PollingOptions polling;
};

/// Nothing is connected yet. InvalidArgument: the options are wrong; DataLoss: the checkpoint is.
absl::StatusOr<std::unique_ptr<Source>> MakeMySqlSource(MySqlSourceOptions options,
                                                        const PollingStart& start);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_MYSQL_SOURCE_H_
