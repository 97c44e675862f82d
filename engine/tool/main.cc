// The program `tidemark`: what is done beside jobs. Each command is a subcommand of its own file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "tidemark/engine/query_execution.h"
#include "tidemark/engine/tool/checkpoint_commands.h"

namespace tidemark {
namespace {

constexpr int kUsageExit = 2;

int Main(int argc, char** argv) {
  CLI::App app("Tidemark, a streaming analytics engine: work beside its jobs", "tidemark");
  app.set_version_flag("--version", "tidemark " TIDEMARK_VERSION);
  app.require_subcommand(1);
  ToolCommand command;
  AddCheckpointCommands(&app, &command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    return app.exit(error) == 0 && asked ? 0 : kUsageExit;
  }
  absl::Status status = command();
  if (status.ok() && std::fflush(stdout) != 0) {
    status = absl::UnavailableError("standard output cannot be written");
  }
  if (!status.ok()) fmt::print(stderr, "error: {}\n", std::string(status.message()));
  return ExitCode(status, /*planned=*/false);
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
