#ifndef TIDEMARK_TESTS_OPERATORS_SOURCES_POLLING_DRIVER_H_
#define TIDEMARK_TESTS_OPERATORS_SOURCES_POLLING_DRIVER_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sources/polling_options.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// Runs a polling source as the engine does: plan and saved records logged together, state with the
/// commit, and a new source made from both after a crash. The rows of committed batches, as text,
/// are what arrived.
class PollingDriver {
 public:
  using Make = std::function<absl::StatusOr<std::unique_ptr<Source>>(const PollingStart&)>;
  using Row = std::vector<std::string>;

  PollingDriver(Schema schema, Make make) : schema_(std::move(schema)), make_(std::move(make)) {}

  /// The process dies; what is in the checkpoint stays.
  void Crash() { source_ = nullptr; }

  Source* source() { return source_.get(); }

  /// Makes and opens the source, as the start of a process does.
  absl::Status Start() {
    PollingStart start;
    start.topic = "stream";
    start.schema = schema_;
    if (started_) start.committed = committed_;
    start.state.head = head_;
    start.state.rows.assign(state_rows_.begin(), state_rows_.end());
    start.saved_records = saved_;
    absl::StatusOr<std::unique_ptr<Source>> source = make_(start);
    if (!source.ok()) return source.status();
    source_ = *std::move(source);
    if (absl::Status status = source_->Open(); !status.ok()) {
      source_ = nullptr;
      return status;
    }
    if (!started_) {
      const absl::StatusOr<Offsets> offsets = source_->StartingOffsets();
      if (!offsets.ok()) return offsets.status();
      committed_ = *offsets;
      started_ = true;
    }
    return absl::OkStatus();
  }

  /// Plans a batch of at most `limit` rows and logs the plan; false: nothing there.
  absl::StatusOr<bool> Plan(int64_t limit = INT64_MAX) {
    const absl::StatusOr<std::vector<AvailableRange>> available = source_->Available();
    if (!available.ok()) return available.status();
    EXPECT_EQ(available->size(), 1u);
    const AvailableRange& range = (*available)[0];
    more_ = range.more;
    if (plan_.has_value()) {  // logged before a crash
      EXPECT_LE(range.begin, plan_->start);
      EXPECT_GE(range.end, plan_->end);
      return true;
    }
    const int64_t start = committed_.at(range.partition);
    EXPECT_LE(range.begin, start);
    if (range.end <= start) return false;
    const PlannedRange plan{range.partition, start, start + std::min(range.end - start, limit)};
    absl::StatusOr<std::string> saved = source_->SaveRecords({plan});
    if (!saved.ok()) return saved.status();
    plan_ = plan;
    saved_ = *std::move(saved);
    return true;
  }

  /// Reads the planned rows.
  absl::StatusOr<std::vector<Row>> ReadPlanned() {
    if (absl::Status status = source_->StartRead({*plan_}); !status.ok()) return status;
    auto decoder = MakeDecoder(Rows(schema_));
    if (!decoder.ok()) return decoder.status();
    std::vector<Row> rows;
    int64_t next = plan_->start;
    while (true) {
      const absl::StatusOr<std::optional<RawRecords>> chunk =
          source_->Read(absl::Milliseconds(100));
      if (!chunk.ok()) return chunk.status();
      if (!chunk->has_value()) continue;
      if (IsEndOfRanges(**chunk)) break;
      for (const RawRecord& record : (*chunk)->records) EXPECT_EQ(record.offset, next++);
      std::vector<BadRecord> bad;
      const RowBatch batch = (*decoder)->Decode(**chunk, true, &bad);
      for (const BadRecord& problem : bad) bad_.push_back(problem.detail);
      for (size_t row = 0; row < batch.num_rows(); ++row) {
        Row& values = rows.emplace_back();
        for (const ColumnPtr& column : batch.columns()) {
          std::string& text = values.emplace_back();
          if (column->IsNull(row)) {
            text = "NULL";
          } else {
            AppendValueText(*column, row, &text);
          }
        }
      }
    }
    EXPECT_EQ(next, plan_->end);
    return rows;
  }

  /// The batch is durable: its rows have arrived.
  void Commit(std::vector<Row> rows) {
    committed_[plan_->partition] = plan_->end;
    const SourceStateChange change = source_->StateAfter({*plan_});
    head_ = change.head;
    state_rows_.erase(state_rows_.lower_bound(change.remove_begin),
                      state_rows_.lower_bound(std::max(change.remove_begin, change.remove_end)));
    written_bytes_ = head_.size();
    for (const auto& [key, value] : change.added) {
      EXPECT_TRUE(state_rows_.emplace(key, value).second) << "a row that was there is replaced";
      written_bytes_ += key.size() + value.size();
    }
    plan_.reset();
    saved_.clear();
    for (Row& row : rows) arrived_.push_back(std::move(row));
  }
  absl::Status Acknowledge() { return source_->Acknowledge(committed_); }

  /// A batch as a whole; false: there was nothing. Starts the process if need be.
  absl::StatusOr<bool> RunBatch(int64_t limit = INT64_MAX) {
    if (source_ == nullptr) {
      if (absl::Status status = Start(); !status.ok()) return status;
    }
    const absl::StatusOr<bool> planned = Plan(limit);
    if (!planned.ok() || !*planned) return planned;
    absl::StatusOr<std::vector<Row>> rows = ReadPlanned();
    if (!rows.ok()) return rows.status();
    Commit(*std::move(rows));
    if (absl::Status status = Acknowledge(); !status.ok()) return status;
    return true;
  }

  /// Batches until `rows` have arrived, or `timeout`. Unavailable is ridden out.
  absl::Status RunUntil(size_t rows, absl::Duration timeout = absl::Seconds(20)) {
    const absl::Time deadline = absl::Now() + timeout;
    while (arrived_.size() < rows && absl::Now() < deadline) {
      const absl::StatusOr<bool> ran = RunBatch();
      if (!ran.ok() && !absl::IsUnavailable(ran.status())) return ran.status();
      if (!ran.ok() || !*ran) absl::SleepFor(absl::Milliseconds(5));
    }
    return absl::OkStatus();
  }

  const std::vector<Row>& arrived() const { return arrived_; }
  /// The first column of what arrived, as numbers.
  std::vector<int64_t> ArrivedIds() const {
    std::vector<int64_t> ids;
    for (const Row& row : arrived_) ids.push_back(std::stoll(row[0]));
    return ids;
  }
  const std::vector<std::string>& bad() const { return bad_; }
  bool more() const { return more_; }
  const std::string& head() const { return head_; }
  std::map<std::string, std::string>& state_rows() { return state_rows_; }
  /// Of state, with the last commit.
  size_t written_bytes() const { return written_bytes_; }
  const std::string& saved() const { return saved_; }
  void set_head(std::string head) { head_ = std::move(head); }
  void set_saved(std::string saved) { saved_ = std::move(saved); }

 private:
  const Schema schema_;
  const Make make_;
  std::unique_ptr<Source> source_;
  std::vector<Row> arrived_;
  std::vector<std::string> bad_;
  bool more_ = false;

  // The checkpoint.
  bool started_ = false;
  Offsets committed_;
  std::string head_;
  std::map<std::string, std::string> state_rows_;
  size_t written_bytes_ = 0;
  std::optional<PlannedRange> plan_;
  std::string saved_;
};

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_SOURCES_POLLING_DRIVER_H_
