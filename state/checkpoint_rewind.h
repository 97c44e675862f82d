#ifndef TIDEMARK_STATE_CHECKPOINT_REWIND_H_
#define TIDEMARK_STATE_CHECKPOINT_REWIND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/state/checkpoint_folder.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {

// Going back to a snapshot. What the database was before is kept in `rewound/<epoch>/state`, and
// the snapshots past the one gone back to in `rewound/<epoch>/snapshots`: those left in `snapshots`
// all belong to the past of the database. Everything is made ready in `rewound/<epoch>.new`, then
// the two databases change places in one step: a process that dies on the way leaves either the old
// one or the new one.
// (`class CheckpointFolder`: engine/connectors.h has a function of that name.)

/// Numbers of the rewinds whose old state is kept, ascending.
std::vector<int64_t> ListRewinds(const class CheckpointFolder& folder);
/// `rewound/<epoch>`, where rewind `epoch` keeps what it replaced; below the checkpoint's folder.
std::string RewoundName(int64_t epoch);

/// Makes a copy of snapshot `batch_id` the database, after `edit` has been given the copy to write
/// what a rewind changes in it. `epoch` is the number of the rewind, above those of all before.
/// Called under the folder's lock with no store open. An error leaves the checkpoint as it was.
absl::Status RewindCheckpoint(
    class CheckpointFolder& folder, int64_t batch_id, int64_t epoch,
    const std::function<absl::Status(std::unique_ptr<CheckpointStore>)>& edit);

/// Puts back what rewind `epoch` replaced, and drops the state that it made. As RewindCheckpoint.
absl::Status UndoRewind(class CheckpointFolder& folder, int64_t epoch);

/// Ends or takes back what a process that died left of a rewind. Called under the folder's lock
/// before the database is opened.
absl::Status SettleRewinds(class CheckpointFolder& folder);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_CHECKPOINT_REWIND_H_
