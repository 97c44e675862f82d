#ifndef TIDEMARK_ENGINE_TOOL_CHECKPOINT_VIEW_H_
#define TIDEMARK_ENGINE_TOOL_CHECKPOINT_VIEW_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/engine/checkpoint.h"
#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/state/checkpoint_folder.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// One of a checkpoint's databases, opened to read.
struct CopyView {
  std::string name;                        ///< `current`, `12`, `rewound/1`
  CheckpointCopy* store = nullptr;         ///< of `checkpoint`
  std::unique_ptr<Checkpoint> checkpoint;  ///< loaded; without a query id: no query has begun
  /// Reads the groups; null: the pipeline has none, or the checkpoint was made before it named
  /// their columns.
  std::unique_ptr<Aggregation> aggregation;

  const QueryProgress& progress() const { return checkpoint->progress(); }
  /// A line of the fingerprint by its first word, without that; empty: there is none.
  std::string Pipeline(std::string_view word) const;
  /// The groups as the engine reads them; `store` and `aggregation` outlive it.
  std::unique_ptr<WindowTable> OpenTable() const;
  /// Groups in all windows.
  int64_t groups() const;
  /// FailedPrecondition: the groups cannot be read by name, and why.
  absl::Status CheckNamed() const;
};

/// A checkpoint's folder as a person looks at it. Holds the folder's lock if no job does; then no
/// job can start meanwhile. Writes nothing itself.
class CheckpointView {
 public:
  /// NotFound: there is no checkpoint; FailedPrecondition: something else is there.
  /// `to_write`: the lock is taken even where there is no lock file yet.
  static absl::StatusOr<std::unique_ptr<CheckpointView>> Open(const std::string& folder,
                                                              bool to_write = false);

  const std::string& path() const { return folder_.path(); }
  const class CheckpointFolder& folder() const { return folder_; }
  class CheckpointFolder& folder() {
    return folder_;
  }
  /// Why `current` cannot be looked at: the process that has it. OK: it can.
  const absl::Status& in_use() const { return in_use_; }
  /// The names of all copies: current first, then the newest snapshots.
  std::vector<std::string> Names() const;

  /// FailedPrecondition: in use; NotFound: no such copy, naming those there are; DataLoss.
  absl::StatusOr<CopyView> OpenCopy(const std::string& name) const;

 private:
  explicit CheckpointView(const std::string& folder) : folder_(folder) {}

  class CheckpointFolder folder_;
  absl::Status in_use_;
};

/// The database of a copy below the checkpoint's folder: `state`, `snapshots/12`,
/// `rewound/1/state`; nothing if there can be no copy of this name.
std::optional<std::string> DatabaseOfCopy(std::string_view name);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TOOL_CHECKPOINT_VIEW_H_
