#include "tidemark/engine/tool/checkpoint_commands.h"

#include <CLI/CLI.hpp>
#include <memory>

namespace tidemark {
namespace {

constexpr char kCopyHelp[] =
    "current (default), the batch number of a snapshot, or rewound/EPOCH, as `list` names them";

// What the flags of one command say.
struct Flags {
  std::string folder;
  std::string copy;
  std::string other = "current";
  bool json = false;
  int64_t limit = 10;
  int64_t batch_id = -1;
  bool undo = false;
  bool yes = false;
};

CLI::App* Add(CLI::App* parent, const char* name, const char* help, Flags* flags) {
  CLI::App* command = parent->add_subcommand(name, help);
  command->add_option("DIR", flags->folder, "The checkpoint's folder")->required();
  return command;
}

}  // namespace

void AddCheckpointCommands(CLI::App* app, ToolCommand* command) {
  CLI::App* checkpoint =
      app->add_subcommand("checkpoint", "Look into checkpoints, and rewind them");
  checkpoint->require_subcommand(1);
  const auto flags = std::make_shared<Flags>();  // shared with the callbacks

  CLI::App* list =
      Add(checkpoint, "list", "The state, the snapshots, and what was rewound", flags.get());
  list->add_flag("--json", flags->json, "Print JSON");
  list->callback([=] { *command = [=] { return ListCheckpoint(flags->folder, flags->json); }; });

  CLI::App* show =
      Add(checkpoint, "show", "Batches, offsets, watermark and state of one of them", flags.get());
  show->add_option("COPY", flags->copy, kCopyHelp);
  show->add_flag("--json", flags->json, "Print JSON");
  show->callback(
      [=] { *command = [=] { return ShowCheckpoint(flags->folder, flags->copy, flags->json); }; });

  CLI::App* verify =
      Add(checkpoint, "verify",
          "Read everything and compare all checksums (without COPY: of all of them)", flags.get());
  verify->add_option("COPY", flags->copy, kCopyHelp);
  verify->callback(
      [=] { *command = [=] { return VerifyCheckpoint(flags->folder, flags->copy); }; });

  CLI::App* diff = Add(checkpoint, "diff", "What one has that another has not", flags.get());
  diff->add_option("FROM", flags->copy, kCopyHelp)->required();
  diff->add_option("TO", flags->other, kCopyHelp);
  diff->add_option("--limit", flags->limit, "Groups of each kind to print (10)")
      ->check(CLI::NonNegativeNumber);
  diff->callback([=] {
    *command = [=] {
      return DiffCheckpoint(flags->folder, flags->copy, flags->other, flags->limit);
    };
  });

  CLI::App* rewind =
      Add(checkpoint, "rewind",
          "Go back to a snapshot: says what that means, and with --yes does it", flags.get());
  CLI::Option* to = rewind->add_option("--to", flags->batch_id, "The batch number of a snapshot");
  CLI::Option* undo = rewind->add_flag("--undo", flags->undo,
                                       "Take the last rewind back, before the job's next batch");
  rewind->add_flag("--yes", flags->yes, "Do it");
  to->excludes(undo);
  rewind->callback([=] {
    if (!*to && !*undo) throw CLI::RequiredError("--to BATCH or --undo");
    *command = [=] {
      return flags->undo ? UndoCheckpointRewind(flags->folder, flags->yes)
                         : RewindCheckpointFolder(flags->folder, flags->batch_id, flags->yes);
    };
  });

  CLI::App* groups = Add(checkpoint, "export", "The groups as JSON, a line each", flags.get());
  groups->add_option("COPY", flags->copy, kCopyHelp);
  groups->callback(
      [=] { *command = [=] { return ExportCheckpoint(flags->folder, flags->copy); }; });
}

}  // namespace tidemark
