#ifndef TIDEMARK_OPERATORS_SOURCES_POSTGRES_POLLED_TABLE_H_
#define TIDEMARK_OPERATORS_SOURCES_POSTGRES_POLLED_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/clients/postgres_client.h"
#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/sources/polling_table.h"
#include "tidemark/operators/sources/postgres_polled_columns.h"
#include "tidemark/operators/sources/postgres_source.h"

namespace tidemark {

/// A table of PostgreSQL, read with one connection by COPY in binary. How rows of open transactions
/// are not passed by is said in postgres_source.h.
class PostgresPolledTable : public PollingTable {
 public:
  PostgresPolledTable(PostgresSourceOptions options, std::vector<Field> fields);

  std::string description() const override;
  absl::Status Open() override;
  absl::StatusOr<bool> PollIds(std::optional<int64_t> after, const Budget& budget,
                               PolledRows* rows) override;
  absl::StatusOr<std::optional<int64_t>> HighestDrawnId() override;
  absl::StatusOr<std::optional<int64_t>> LatestTime() override;
  absl::StatusOr<int64_t> ServerTime() override;
  absl::TimeZone time_zone() const override { return shape_.time_zone; }
  absl::StatusOr<bool> PollTimes(const SeenRows& seen, const Budget& budget, TimePlace* place,
                                 PolledRows* rows) override;
  absl::StatusOr<std::optional<int64_t>> OpenMirror() override;
  absl::Status WriteMirror(int64_t offset) override;
  void Cancel() override { cancelled_ = true; }

 private:
  absl::Status Connect();
  absl::Status CheckTable();
  absl::Status Ready();
  absl::Status Explain(absl::Status failure);
  std::string SelectSql(const std::string& first_columns) const;
  template <typename OnRow>
  absl::StatusOr<size_t> Copy(const std::string& select, size_t columns, OnRow&& on_row);
  void AppendRow(const std::string_view* values, PolledRows* rows);

  std::string MakeMirrorSql() const;
  absl::Status MakeMirror();

  std::string_view TimeType() const { return shape_.time_has_zone ? "timestamptz" : "timestamp"; }
  std::string PlaceSql(const TimePlace& place, const std::string& order) const;
  RowPosition Position();

  absl::StatusOr<bool> IsSettled(std::optional<int64_t> after);
  absl::StatusOr<bool> WritersAreGone();

  const PostgresSourceOptions options_;
  const PollingOptions& polling_;
  const std::vector<Field> fields_;
  std::atomic<bool> cancelled_ = false;

  std::unique_ptr<PostgresConnection> connection_;
  PostgresPolledShape shape_;
  RowWriter writer_;
  std::vector<std::string_view> values_;  // of the row at hand; no data: NULL
  std::string key_bytes_;
  bool mirror_made_ = false;

  // Ids up to `highest_` may be read when the transactions `writers_` are gone.
  std::optional<int64_t> highest_;
  std::vector<std::string> writers_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POSTGRES_POLLED_TABLE_H_
