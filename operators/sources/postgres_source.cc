#include "tidemark/operators/sources/postgres_source.h"

#include <utility>

#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/sources/polling_source.h"
#include "tidemark/operators/sources/postgres_polled_table.h"

namespace tidemark {

absl::StatusOr<std::unique_ptr<Source>> MakePostgresSource(PostgresSourceOptions options,
                                                           const PollingStart& start) {
  if (options.polling.table.empty()) options.polling.table = start.topic;
  auto table = std::make_unique<PostgresPolledTable>(options, StoredFields(start.schema));
  return PollingSource::Make(std::move(table), std::move(options.polling), start);
}

}  // namespace tidemark
