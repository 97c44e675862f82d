#include "tidemark/operators/sources/mysql_source.h"

#include <utility>

#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/sources/mysql_polled_table.h"
#include "tidemark/operators/sources/polling_source.h"

namespace tidemark {

absl::StatusOr<std::unique_ptr<Source>> MakeMySqlSource(MySqlSourceOptions options,
                                                        const PollingStart& start) {
  PollingOptions& polling = options.polling;
  if (polling.table.empty()) polling.table = start.topic;
  if (polling.mirror.source_name.empty()) polling.mirror.source_name = polling.table;
  auto table = std::make_unique<MySqlPolledTable>(options, StoredFields(start.schema));
  return PollingSource::Make(std::move(table), std::move(polling), start);
}

}  // namespace tidemark
