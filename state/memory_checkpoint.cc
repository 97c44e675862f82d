#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "tidemark/state/checkpoint_store.h"

namespace tidemark {
namespace {

using Rows = std::map<std::string, std::string, std::less<>>;

}  // namespace

struct MemoryCheckpoint::Data {
  std::mutex mutex;  // guards meta and state
  Rows meta;
  Rows state;
  bool created = false;
  std::atomic<bool> is_open = false;
};

namespace {

/// Writes kept as a list of steps, as a write batch keeps them.
class MemoryWrites : public StoreWrites {
 public:
  enum class Kind { kPutMeta, kDeleteMeta, kPutState, kDeleteState, kDeleteStateRange };
  struct Step {
    Kind kind;
    std::string key;
    std::string value;  // the end, for a range
  };

  void PutMeta(std::string_view name, std::string_view value) override {
    Add(Kind::kPutMeta, name, value);
  }
  void DeleteMeta(std::string_view name) override { Add(Kind::kDeleteMeta, name, {}); }
  void PutState(std::string_view key, std::string_view value) override {
    Add(Kind::kPutState, key, value);
  }
  void DeleteState(std::string_view key) override { Add(Kind::kDeleteState, key, {}); }
  void DeleteStateRange(std::string_view begin, std::string_view end) override {
    Add(Kind::kDeleteStateRange, begin, end);
  }
  size_t byte_size() const override { return byte_size_; }
  std::vector<Step>& steps() { return steps_; }

 private:
  void Add(Kind kind, std::string_view key, std::string_view value) {
    steps_.push_back({kind, std::string(key), std::string(value)});
    byte_size_ += key.size() + value.size();
  }

  std::vector<Step> steps_;
  size_t byte_size_ = 0;
};

/// Over a copy, so that a commit may run beside it.
class MemoryCursor : public StateCursor {
 public:
  explicit MemoryCursor(Rows rows) : rows_(std::move(rows)), next_(rows_.begin()) {}

  absl::StatusOr<bool> Next() override {
    if (next_ == rows_.end()) return false;
    row_ = next_++;
    return true;
  }
  std::string_view key() const override { return row_->first; }
  std::string_view value() const override { return row_->second; }

 private:
  const Rows rows_;
  Rows::const_iterator next_;
  Rows::const_iterator row_;
};

}  // namespace

class MemoryCheckpoint::Store : public CheckpointStore {
 public:
  explicit Store(std::shared_ptr<Data> data) : data_(std::move(data)) {}
  ~Store() override { data_->is_open = false; }

  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) override {
    const auto row = data_->meta.find(name);
    if (row == data_->meta.end()) return std::nullopt;
    return row->second;
  }

  using CheckpointStore::NewWrites;
  std::unique_ptr<StoreWrites> NewWrites(size_t) override {
    return std::make_unique<MemoryWrites>();
  }

  absl::Status Commit(std::unique_ptr<StoreWrites> writes) override {
    const std::lock_guard lock(data_->mutex);
    for (MemoryWrites::Step& step : static_cast<MemoryWrites&>(*writes).steps()) {
      switch (step.kind) {
        case MemoryWrites::Kind::kPutMeta:
          data_->meta.insert_or_assign(std::move(step.key), std::move(step.value));
          break;
        case MemoryWrites::Kind::kDeleteMeta:
          data_->meta.erase(step.key);
          break;
        case MemoryWrites::Kind::kPutState:
          data_->state.insert_or_assign(std::move(step.key), std::move(step.value));
          break;
        case MemoryWrites::Kind::kDeleteState:
          data_->state.erase(step.key);
          break;
        case MemoryWrites::Kind::kDeleteStateRange:
          if (step.key < step.value) {
            data_->state.erase(data_->state.lower_bound(step.key),
                               data_->state.lower_bound(step.value));
          }
          break;
      }
    }
    return absl::OkStatus();
  }

  absl::Status MultiGetState(const std::vector<std::string_view>& sorted_keys,
                             std::vector<std::optional<std::string>>* values) override {
    const std::lock_guard lock(data_->mutex);
    values->resize(sorted_keys.size());
    for (size_t i = 0; i < sorted_keys.size(); ++i) {
      const auto row = data_->state.find(sorted_keys[i]);
      if (row == data_->state.end()) {
        (*values)[i].reset();
      } else {
        (*values)[i] = row->second;
      }
    }
    return absl::OkStatus();
  }

  using CheckpointStore::NewStateCursor;
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end,
                                              RangeDeletes) override {
    const std::lock_guard lock(data_->mutex);
    const auto first = data_->state.lower_bound(begin);
    const auto last = begin < end ? data_->state.lower_bound(end) : first;
    return std::make_unique<MemoryCursor>(Rows(first, last));
  }

  /// Nothing to go back to in memory.
  absl::Status Snapshot(int64_t, int) override { return absl::OkStatus(); }
  /// The test's own memory: no cache that could be made smaller.
  size_t memory_bytes() const override { return 0; }

 private:
  std::shared_ptr<Data> data_;
};

MemoryCheckpoint::MemoryCheckpoint() : data_(std::make_shared<Data>()) {}
MemoryCheckpoint::~MemoryCheckpoint() = default;

absl::StatusOr<std::unique_ptr<CheckpointStore>> MemoryCheckpoint::Open(bool* created) {
  if (data_->is_open.exchange(true)) {
    return absl::FailedPreconditionError(
        "the checkpoint in memory is in use by another store; destroy that store first");
  }
  *created = !data_->created;
  data_->created = true;
  return std::make_unique<Store>(data_);
}

}  // namespace tidemark
