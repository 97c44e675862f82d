#ifndef TIDEMARK_OPERATORS_SOURCES_MYSQL_POLLED_TABLE_H_
#define TIDEMARK_OPERATORS_SOURCES_MYSQL_POLLED_TABLE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/sources/mysql_polled_columns.h"
#include "tidemark/operators/sources/mysql_source.h"
#include "tidemark/operators/sources/polling_table.h"

namespace tidemark {

/// A table of MySQL or MariaDB, read with one connection (READ COMMITTED, autocommit). How rows of
/// open transactions are not passed by is said in mysql_source.h.
class MySqlPolledTable : public PollingTable {
 public:
  MySqlPolledTable(MySqlSourceOptions options, std::vector<Field> fields);

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
  using Clock = std::chrono::steady_clock;
  // Ids [first, last] that were not there before row `row`.
  struct Gap {
    int64_t first;
    int64_t last;
    size_t row;
  };
  enum class Probe { kEmpty, kMayCome, kCame };

  absl::Status Connect();
  absl::Status CheckTable();
  absl::Status Explain(absl::Status failure);
  absl::Status FindIndexAgain();
  std::string SelectSql(const std::string& first_columns) const;
  absl::Status CheckResult(const std::vector<MySqlResultColumn>& columns);
  void AppendRow(const MySqlRowView& row, size_t first_column, PolledRows* rows);

  std::string MirrorName() const;
  std::string MakeMirrorSql() const;
  absl::Status MakeMirror();

  std::string PlaceSql(const TimePlace& place) const;
  RowPosition PositionOf(const MySqlRowView& row);

  absl::StatusOr<bool> ReadIds(std::optional<int64_t> after, const Budget& budget, PolledRows* rows,
                               std::vector<Gap>* gaps);
  absl::Status NoteHighestId();
  bool IsSettled(int64_t id) const;
  absl::Status WaitAStep();
  absl::StatusOr<Probe> ProbeGaps(const Gap* begin, const Gap* end);
  absl::StatusOr<size_t> FirstOpenGap(const std::vector<Gap>& gaps, size_t count);

  const MySqlSourceOptions options_;
  const PollingOptions& polling_;
  const std::vector<Field> fields_;
  std::atomic<bool> cancelled_ = false;

  std::unique_ptr<MySqlConnection> connection_;
  MySqlPolledShape shape_;
  std::vector<MySqlResultColumn> result_;  // of the first page; another one means another table
  RowWriter writer_;
  std::string key_bytes_;
  bool mirror_made_ = false;

  // The highest id seen at moments of `waited_`, a clock that goes by answers of the server: a
  // server that stood still has not had the time that passed.
  struct HighestId {
    std::chrono::nanoseconds at;
    int64_t id;
  };
  std::deque<HighestId> highest_ids_;
  std::chrono::nanoseconds waited_{0};
  Clock::time_point last_answer_ = Clock::now();
  bool stuck_ = false;  // the last poll gave nothing because of a gap
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_MYSQL_POLLED_TABLE_H_
