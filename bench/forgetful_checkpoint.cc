#include "bench/forgetful_checkpoint.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark {
namespace {

class MetaWrites : public StoreWrites {
 public:
  void PutMeta(std::string_view name, std::string_view value) override {
    meta[std::string(name)] = value;
  }
  void DeleteMeta(std::string_view name) override { meta[std::string(name)] = std::nullopt; }
  void PutState(std::string_view key, std::string_view value) override {
    bytes_ += key.size() + value.size();
  }
  void DeleteState(std::string_view) override {}
  void DeleteStateRange(std::string_view, std::string_view) override {}
  size_t byte_size() const override { return bytes_; }

  std::map<std::string, std::optional<std::string>> meta;

 private:
  size_t bytes_ = 0;
};

class NoRows : public StateCursor {
 public:
  absl::StatusOr<bool> Next() override { return false; }
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }
};

class MetaStore : public CheckpointStore {
 public:
  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) override {
    const auto found = meta_.find(std::string(name));
    return found == meta_.end() ? std::nullopt : std::optional<std::string>(found->second);
  }
  using CheckpointStore::NewWrites;
  std::unique_ptr<StoreWrites> NewWrites(size_t) override { return std::make_unique<MetaWrites>(); }
  absl::Status Commit(std::unique_ptr<StoreWrites> writes) override {
    for (auto& [name, value] : static_cast<MetaWrites&>(*writes).meta) {
      if (value.has_value()) {
        meta_[name] = *std::move(value);
      } else {
        meta_.erase(name);
      }
    }
    return absl::OkStatus();
  }
  absl::Status MultiGetState(const std::vector<std::string_view>& sorted_keys,
                             std::vector<std::optional<std::string>>* values) override {
    values->assign(sorted_keys.size(), std::nullopt);
    return absl::OkStatus();
  }
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view, std::string_view,
                                              RangeDeletes) override {
    return std::make_unique<NoRows>();
  }
  absl::Status Snapshot(int64_t, int) override { return absl::OkStatus(); }
  size_t memory_bytes() const override { return 0; }

 private:
  std::map<std::string, std::string> meta_;
};

}  // namespace

CheckpointLocation ForgetfulCheckpoint() {
  return {.description = "nothing",
          .open = [](size_t, bool* created) -> absl::StatusOr<std::unique_ptr<CheckpointStore>> {
            *created = true;
            return std::make_unique<MetaStore>();
          }};
}

}  // namespace tidemark
