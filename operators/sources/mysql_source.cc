#include "tidemark/operators/sources/mysql_source.h"

#include <utility>

#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/sources/mysql_polled_table.h"
#include "tidemark/operators/sources/polling_source.h"

namespace tidemark {

absl::StatusOr<std::unique_ptr<Source>> MakeMySqlSource(MySqlSourceOptions options,
                                                        const PollingStart& start) {
  if (options.polling.table.empty()) options.polling.table = start.topic;
  auto table = std::make_unique<MySqlPolledTable>(options, StoredFields(start.schema));
  return PollingSource::Make(std::move(table), std::move(options.polling), start);
}

}  // namespace tidemark
