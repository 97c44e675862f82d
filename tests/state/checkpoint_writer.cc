// A process for checkpoint_store_test to kill: opens the checkpoint in the folder argv[1], checks
// that what is there is whole, and commits numbered batches, each acknowledged by its number on
// standard output. With "hold" as argv[2] it commits one batch, then only holds the checkpoint
// open; with "nobody" it gives up root's rights first. Exit codes: 3 the checkpoint does not open,
// 4 a commit fails, 5 what is there is torn.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "fmt/format.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {
namespace {

constexpr int kRowsPerBatch = 50;
constexpr int64_t kSnapshotEvery = 7;

/// The last batch: every row must be of it. -1: none yet. -2: torn.
int64_t ReadBatch(CheckpointStore* store) {
  const auto meta = store->GetMeta("batch");
  if (!meta.ok()) return -2;
  const auto cursor = store->NewStateCursor("row", "rox");
  int rows = 0;
  while (true) {
    const auto has_row = cursor->Next();
    if (!has_row.ok()) return -2;
    if (!*has_row) break;
    if (!meta->has_value() || !cursor->value().starts_with(**meta + ",")) return -2;
    ++rows;
  }
  if (!meta->has_value()) return rows == 0 ? -1 : -2;
  return rows == kRowsPerBatch ? std::atoll((*meta)->c_str()) : -2;
}

int Run(const std::string& path, bool hold) {
  bool created = false;
  CheckpointStoreOptions options;
  options.memory_bytes = size_t{4} << 20;  // flushes and compactions are to happen
  auto store = OpenCheckpointStore(path, options, &created);
  if (!store.ok()) {
    fmt::print(stderr, "{}\n", store.status().ToString());
    return 3;
  }
  int64_t batch = ReadBatch(store->get());
  if (batch == -2) return 5;
  fmt::print("{}\n", batch);
  std::fflush(stdout);
  while (true) {
    ++batch;
    auto writes = (*store)->NewWrites();
    writes->PutMeta("batch", std::to_string(batch));
    for (int row = 0; row < kRowsPerBatch; ++row) {
      writes->PutState(fmt::format("row{:03}", row), fmt::format("{},{:0500}", batch, row));
    }
    absl::Status status = (*store)->Commit(std::move(writes));
    if (!status.ok()) return 4;
    fmt::print("{}\n", batch);
    std::fflush(stdout);
    if (batch % kSnapshotEvery == 0) status = (*store)->Snapshot(batch, 2);
    if (!status.ok()) {
      fmt::print(stderr, "{}\n", status.ToString());
      return 4;
    }
    while (hold) pause();
  }
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::string mode = argc > 2 ? argv[2] : "";
  if (mode == "nobody" && getuid() == 0 && setuid(65534) != 0) return 2;
  return tidemark::Run(argv[1], mode == "hold");
}
