#ifndef TIDEMARK_STATE_ROCKSDB_ENV_H_
#define TIDEMARK_STATE_ROCKSDB_ENV_H_

#include <memory>
#include <string>

#include "tidemark/state/checkpoint_store.h"

namespace rocksdb {
class Env;
}

namespace tidemark {

/// OpenCheckpointStore over another environment than the system's: for tests that make files fail.
/// `env` outlives the store.
absl::StatusOr<std::unique_ptr<CheckpointStore>> OpenCheckpointStoreIn(
    rocksdb::Env* env, const std::string& folder, const CheckpointStoreOptions& options,
    bool* created);

/// Opens a database under a checkpoint's folder as it is: one in the making. The folder is not
/// locked by it.
absl::StatusOr<std::unique_ptr<CheckpointStore>> OpenDatabase(const std::string& folder,
                                                              const std::string& database);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_ROCKSDB_ENV_H_
