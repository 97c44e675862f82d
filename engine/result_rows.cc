#include "tidemark/engine/result_rows.h"

#include <fmt/format.h>

#include <optional>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

class KeptRowStream : public RowStream {
 public:
  explicit KeptRowStream(const std::vector<RowBatch>* rows) : rows_(rows) {}

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    if (rows_ == nullptr || next_ == rows_->size()) return nullptr;
    return &(*rows_)[next_++];
  }
  absl::Status DoRewind() override {
    next_ = 0;
    return absl::OkStatus();
  }

 private:
  const std::vector<RowBatch>* rows_;
  size_t next_ = 0;
};

std::string GroupText(const RowBatch& batch, size_t row) {
  std::string text;
  for (size_t i = 0; i < batch.schema().size(); ++i) {
    if (i > 0) text += ", ";
    text += batch.schema().field(i).name + "=";
    AppendJsonValue(batch.column(i), row, &text);
  }
  return text;
}

class AggregateRowStream : public RowStream {
 public:
  AggregateRowStream(std::function<std::unique_ptr<ResultCursor>()> open,
                     const std::vector<std::unique_ptr<Transform>>* transforms)
      : open_(std::move(open)), transforms_(transforms) {}

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    if (cursor_ == nullptr) cursor_ = open_();
    while (true) {
      absl::StatusOr<const RowBatch*> results = cursor_->Next();
      if (!results.ok() || *results == nullptr) return results;
      if (transforms_->empty()) return results;
      rows_ = **results;
      for (const std::unique_ptr<Transform>& transform : *transforms_) {
        ChunkStats stats;
        transform->Apply(&*rows_, &stats);
        if (!stats.failed.empty()) {
          const BadRecord& failed = stats.failed.front();
          return absl::InvalidArgumentError(
              fmt::format("an expression after the aggregate failed: {}; group: {}", failed.detail,
                          GroupText(**results, failed.index)));
        }
      }
      if (!rows_->selection().empty()) return &*rows_;
    }
  }
  absl::Status DoRewind() override {
    cursor_.reset();
    return absl::OkStatus();
  }

 private:
  std::function<std::unique_ptr<ResultCursor>()> open_;
  const std::vector<std::unique_ptr<Transform>>* transforms_;
  std::unique_ptr<ResultCursor> cursor_;
  std::optional<RowBatch> rows_;
};

}  // namespace

std::unique_ptr<RowStream> NoRows() { return KeptRows(nullptr); }

std::unique_ptr<RowStream> KeptRows(const std::vector<RowBatch>* rows) {
  return std::make_unique<KeptRowStream>(rows);
}

std::unique_ptr<RowStream> AggregateRows(
    std::function<std::unique_ptr<ResultCursor>()> open,
    const std::vector<std::unique_ptr<Transform>>* transforms) {
  return std::make_unique<AggregateRowStream>(std::move(open), transforms);
}

}  // namespace tidemark
