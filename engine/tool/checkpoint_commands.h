#ifndef TIDEMARK_ENGINE_TOOL_CHECKPOINT_COMMANDS_H_
#define TIDEMARK_ENGINE_TOOL_CHECKPOINT_COMMANDS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace tidemark {

/// What the command line asks for; its Status gives the program's exit code (ExitCode).
using ToolCommand = std::function<absl::Status()>;

/// Adds `checkpoint list|show|verify|diff|rewind|export`. Parsing sets `command`; both outlive it.
void AddCheckpointCommands(CLI::App* app, ToolCommand* command);

// The commands. `folder` is a checkpoint's; a copy is `current`, the batch number of a snapshot, or
// `rewound/EPOCH`. Results go to standard output. Errors: NotFound and InvalidArgument = what was
// asked for is not there (exit 2); DataLoss and FailedPrecondition = damaged, in use, not ours (4).

/// The databases there are: batch, epoch, watermark, groups.
absl::Status ListCheckpoint(const std::string& folder, bool json);
/// Everything about one of them but the groups themselves.
absl::Status ShowCheckpoint(const std::string& folder, const std::string& copy, bool json);
/// Reads all there is of one, or (empty) of all of them.
absl::Status VerifyCheckpoint(const std::string& folder, const std::string& copy);
absl::Status DiffCheckpoint(const std::string& folder, const std::string& from,
                            const std::string& to, int64_t limit);
/// Goes back to the snapshot of a batch: says what that means, and does it if `yes`.
absl::Status RewindCheckpointFolder(const std::string& folder, int64_t batch_id, bool yes);
/// Takes the last rewind back, if no batch has been planned since.
absl::Status UndoCheckpointRewind(const std::string& folder, bool yes);
/// The groups as JSON, a line each.
absl::Status ExportCheckpoint(const std::string& folder, const std::string& copy);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TOOL_CHECKPOINT_COMMANDS_H_
