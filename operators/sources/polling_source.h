#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_SOURCE_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_SOURCE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/sources/polling_options.h"
#include "tidemark/operators/sources/polling_rows.h"
#include "tidemark/operators/sources/polling_table.h"
#include "tidemark/operators/sources/seen_rows.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// A polled table as one partition (the table's name, 0) whose offsets count the rows since the
/// query began. Records are rows of the format `rows`, padded, without timestamp. Available polls;
/// what it found stays in memory until it is acknowledged, so ranges are read again from there, and
/// after a restart from the checkpoint (SaveRecords), never from the table. Where a poll left
/// something, the next one goes on by itself, on a thread of its own, until Available asks for it.
/// Memory is bounded: past about three polls that are not acknowledged Available polls no more.
class PollingSource : public Source {
 public:
  /// DataLoss: the checkpoint's bytes are damaged, or do not belong to its offsets.
  static absl::StatusOr<std::unique_ptr<PollingSource>> Make(std::unique_ptr<PollingTable> table,
                                                             PollingOptions options,
                                                             const PollingStart& start);

  ~PollingSource() override;

  std::string description() const override { return table_->description(); }
  absl::Status Open() override;
  absl::StatusOr<Offsets> StartingOffsets() override { return Offsets{{partition_, 0}}; }
  std::string start_note() const override { return start_note_; }
  /// At the start, by id: a table whose ids have not come as far as it was read is another one. Its
  /// rows are then read from the first on.
  absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>& last_records) override;
  absl::StatusOr<std::vector<AvailableRange>> Available() override;
  absl::StatusOr<std::string> SaveRecords(const std::vector<PlannedRange>& ranges) override;
  SourceStateChange StateAfter(const std::vector<PlannedRange>& ranges) const override;
  absl::Status StartRead(const std::vector<PlannedRange>& ranges) override;
  absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration timeout) override;
  void StopRead() override { next_ = end_ = 0; }
  absl::Status Acknowledge(const Offsets& offsets) override;
  void Cancel() override;

 private:
  using Polls = std::vector<std::shared_ptr<const PolledRows>>;
  using Clock = std::chrono::steady_clock;
  // What one poll gave.
  struct Polled {
    absl::StatusOr<bool> more;
    std::shared_ptr<PolledRows> rows;
    Clock::time_point ended;
    Clock::duration took;
  };

  PollingSource(std::unique_ptr<PollingTable> table, PollingOptions options, std::string topic);
  absl::Status Restore(const PollingStart& start);
  absl::Status BeginAt(int64_t mirrored);
  bool MayPoll() const;
  PollingTable::Budget NextBudget() const;
  Polled Poll(const PollingTable::Budget& budget);
  void PollAhead();
  absl::Status Keep(Polled polled);
  void WaitForTable() const;
  absl::StatusOr<bool> PollByTime(const PollingTable::Budget& budget, PolledRows* rows);
  int64_t polled_end() const;
  PollingCursor CursorAt(int64_t offset) const;
  absl::Status WriteMirrors(const PollingCursor& cursor);

  const std::unique_ptr<PollingTable> table_;
  const PollingOptions options_;
  const TopicPartition partition_;
  std::atomic<bool> cancelled_ = false;

  // Acknowledged rows are in `committed_`, later ones in `polls_`.
  PollingCursor committed_;
  Polls polls_;
  std::optional<int64_t> last_id_;         // kId: the last row's, or what the first comes after
  SeenRows seen_;                          // timestamp modes: from committed_.seen_from() on
  PollingTable::TimePlace place_;          // where the pass goes on
  std::optional<int64_t> look_back_from_;  // where the next pass begins
  bool in_pass_ = false;
  bool resumed_pass_ = false;  // it began before the restart

  std::string start_note_;
  bool identity_checked_ = false;

  bool more_ = false;     // the last poll left something
  size_t row_bytes_ = 0;  // its rows' average, 0: not known
  bool skip_poll_ = false;
  Clock::time_point next_poll_ = Clock::time_point::min();

  int64_t next_ = 0;  // the range being read
  int64_t end_ = 0;
  int64_t chunk_index_ = 0;

  // A poll ahead of Available. Until it has ended, the table, the pass and `seen_` are its own.
  std::future<Polled> ahead_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_SOURCE_H_
