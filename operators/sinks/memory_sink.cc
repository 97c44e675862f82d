#include "tidemark/operators/sinks/memory_sink.h"

#include <fmt/format.h>

#include <utility>

namespace tidemark {

std::vector<MemoryBatch> MemoryTable::Batches() const {
  const std::lock_guard lock(mutex_);
  return batches_;
}

std::optional<SinkMarker> MemoryTable::marker() const {
  const std::lock_guard lock(mutex_);
  return marker_;
}

Schema MemoryTable::schema() const {
  const std::lock_guard lock(mutex_);
  return schema_;
}

class MemorySink : public Sink {
 public:
  explicit MemorySink(std::shared_ptr<MemoryTable> table) : table_(std::move(table)) {}

  std::string description() const override { return "Memory"; }
  bool exactly_once() const override { return true; }

  absl::Status Open(const SinkContext& context) override {
    const std::lock_guard lock(table_->mutex_);
    const std::optional<SinkMarker>& marker = table_->marker_;
    if (marker.has_value() &&
        (marker->query_id != context.query_id || marker->sink != context.sink)) {
      return absl::FailedPreconditionError(
          fmt::format("the memory table belongs to query {} (sink '{}'), not to query {} (sink "
                      "'{}'); give each "
                      "query a table of its own",
                      marker->query_id, marker->sink, context.query_id, context.sink));
    }
    context_ = context;
    table_->schema_ = context.schema;
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override { return table_->marker(); }

  absl::Status WriteMarker(const SinkMarker& marker) override {
    const absl::StatusOr<bool> holds = HoldsBatch(
        table_->marker(), {marker.batch_id, marker.epoch, marker.plan_hash}, description());
    if (!holds.ok()) return holds.status();
    if (*holds) return absl::OkStatus();
    const std::lock_guard lock(table_->mutex_);
    DropFrom(marker.batch_id + 1);
    table_->marker_ = marker;
    return absl::OkStatus();
  }

  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    const std::optional<SinkMarker> held = table_->marker();
    const absl::StatusOr<bool> holds = HoldsBatch(held, batch, description());
    if (!holds.ok()) return holds.status();
    if (*holds) return *held;
    MemoryBatch written;
    while (true) {
      const absl::StatusOr<const RowBatch*> next = rows.Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) break;
      written.rows.push_back(Compact(**next));
    }
    written.marker = MarkerOf(context_, batch, rows);
    const SinkMarker marker = written.marker;
    const std::lock_guard lock(table_->mutex_);
    DropFrom(batch.batch_id);
    table_->batches_.push_back(std::move(written));
    table_->marker_ = marker;
    return marker;
  }

 private:
  // Forgets what an earlier epoch wrote from `batch_id` on. The caller holds the table's mutex.
  void DropFrom(int64_t batch_id) {
    std::erase_if(table_->batches_, [batch_id](const MemoryBatch& batch) {
      return batch.marker.batch_id >= batch_id;
    });
  }

  const std::shared_ptr<MemoryTable> table_;
  SinkContext context_;
};

std::unique_ptr<Sink> MakeMemorySink(std::shared_ptr<MemoryTable> table) {
  return std::make_unique<MemorySink>(std::move(table));
}

}  // namespace tidemark
