#ifndef TIDEMARK_TESTS_OPERATORS_SOURCES_TIMED_TABLE_H_
#define TIDEMARK_TESTS_OPERATORS_SOURCES_TIMED_TABLE_H_

#include <charconv>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "tidemark/operators/formats/row_format.h"
#include "tidemark/operators/sources/polling_table.h"

namespace tidemark {

/// A table (id BIGINT, with a time) in memory that is polled by time. `rows`, by (time, id), is the
/// test's to add to, also while it is polled, and outlives the sources.
class TimedTable : public PollingTable {
 public:
  class Content {
   public:
    void insert(const RowPosition& row) {
      const std::lock_guard lock(mutex_);
      rows_.insert(row);
    }
    size_t size() const {
      const std::lock_guard lock(mutex_);
      return rows_.size();
    }

   private:
    friend class TimedTable;
    mutable std::mutex mutex_;
    std::set<RowPosition> rows_;
  };
  explicit TimedTable(std::shared_ptr<const Content> rows) : content_(std::move(rows)) {}

  std::string description() const override { return "Timed"; }
  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<bool> PollIds(std::optional<int64_t>, const Budget&, PolledRows*) override {
    return absl::InternalError("by time only");
  }
  absl::StatusOr<std::optional<int64_t>> HighestDrawnId() override {
    return absl::InternalError("by time only");
  }
  absl::StatusOr<int64_t> ServerTime() override { return INT64_MAX; }
  absl::TimeZone time_zone() const override { return absl::UTCTimeZone(); }
  absl::StatusOr<std::optional<int64_t>> LatestTime() override {
    const std::lock_guard lock(content_->mutex_);
    if (content_->rows_.empty()) return std::optional<int64_t>();
    return std::optional<int64_t>(content_->rows_.rbegin()->value);
  }
  absl::StatusOr<bool> PollTimes(const SeenRows& seen, const Budget& budget, TimePlace* place,
                                 PolledRows* rows) override {
    const std::lock_guard lock(content_->mutex_);
    const std::set<RowPosition>& content = content_->rows_;
    auto next = content.begin();
    if (place->time.has_value()) next = content.lower_bound({*place->time, 0});
    if (!place->key.empty()) {
      uint64_t key = 0;
      std::from_chars(place->key[0].data(), place->key[0].data() + place->key[0].size(), key);
      next = content.upper_bound({*place->time, key});
    }
    RowWriter writer(1);
    for (size_t read = 0; next != content.end(); ++next) {
      if (++read > budget.rows) return true;
      *place = {next->value, {std::to_string(next->key)}};
      if (seen.contains(*next)) continue;
      writer.Begin(&rows->bytes);
      writer.Int64(static_cast<int64_t>(next->key));
      rows->ends.push_back(rows->bytes.size());
      rows->positions.push_back(*next);
    }
    return false;
  }
  absl::StatusOr<std::optional<int64_t>> OpenMirror() override { return std::optional<int64_t>(); }
  absl::Status WriteMirror(int64_t) override { return absl::OkStatus(); }
  void Cancel() override {}

 private:
  const std::shared_ptr<const Content> content_;
};

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_SOURCES_TIMED_TABLE_H_
