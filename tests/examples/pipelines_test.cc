// The commands of the pipelines' READMEs, typed as they are printed, in a copy of the project's
// folder, on the servers of scripts/services with ports and a folder of the test's own.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/examples/job_program.h"
#include "tests/servers/free_port.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::FreePort;
using ::testing::HasSubstr;
using testing::Lines;
using ::testing::Not;
using testing::ProcessResult;
using testing::ReadText;
using testing::RunProcess;

// The lines of the code blocks that have a line with `word` in it, without comments.
std::vector<std::string> Commands(const std::string& text, const std::string& word) {
  std::vector<std::string> commands, block;
  bool inside = false;
  for (const std::string& line : Lines(text)) {
    if (!line.starts_with("```")) {
      const std::string command = line.substr(0, line.find(" # "));
      if (inside) block.push_back(command.substr(0, command.find_last_not_of(' ') + 1));
      continue;
    }
    inside = !inside;
    const bool wanted = std::ranges::any_of(
        block, [&](const std::string& command) { return testing::Contains(command, word); });
    if (!inside && wanted) commands.insert(commands.end(), block.begin(), block.end());
    block.clear();
  }
  return commands;
}

class Pipelines : public ::testing::Test {
 protected:
  void SetUp() override {
    // Root's PostgreSQL runs as another user, who has to get here.
    std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
    for (const std::string part : {"examples", "scripts"}) {
      std::filesystem::copy(std::string(TIDEMARK_SOURCE_DIR) + "/" + part, dir_.Path(part),
                            std::filesystem::copy_options::recursive);
    }
    std::filesystem::create_directories(dir_.Path("build/release"));
    std::filesystem::create_directory_symlink(TIDEMARK_EXAMPLES_DIR,
                                              dir_.Path("build/release/examples"));
    for (const char* name : {"KAFKA", "MYSQL", "POSTGRES"}) {
      const absl::StatusOr<int> port = FreePort();
      ASSERT_TRUE(port.ok()) << port.status();
      env_.emplace_back(fmt::format("TIDEMARK_{}_PORT", name), fmt::format("{}", *port));
    }
    env_.emplace_back("TIDEMARK_SERVICES_DIR", dir_.Path("mine"));
    env_.emplace_back("TIDEMARK_PYARROW", TIDEMARK_PYARROW);
  }
  void TearDown() override { Shell("scripts/services down"); }

  ProcessResult Shell(const std::string& commands) {
    absl::StatusOr<ProcessResult> result =
        RunProcess({.args = {"bash", "-ec", commands}, .env = env_, .working_dir = dir_.path()},
                   absl::Minutes(2));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }

  testing::TempDir dir_;
  testing::JobFolder::Variables env_;
};

TEST_F(Pipelines, TheCommandsWorkAsTheyArePrinted) {
  const std::string readme = ReadText(std::string(TIDEMARK_SOURCE_DIR) + "/README.md");
  std::vector<std::string> pipelines = {"registrations_per_store", "customers_table",
                                        "order_totals", "orders_to_avro"};
  if (std::string(TIDEMARK_PYARROW) != "") pipelines.push_back("food_orders");
  for (const std::string& pipeline : pipelines) {
    const std::string here = "examples/" + pipeline;
    SCOPED_TRACE(here);
    const std::vector<std::string> commands =
        Commands(ReadText(dir_.Path(here + "/README.md")), here + "/up");
    ASSERT_GE(commands.size(), 3u);
    // The project's README prints three of them.
    const std::vector<std::string> in_short = Commands(readme, here + "/up");
    EXPECT_EQ(in_short.size(), 3u);
    for (const std::string& command : in_short) EXPECT_THAT(commands, Contains(command));
    const ProcessResult result = Shell(fmt::format("{}", fmt::join(commands, "\n")));
    EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
    EXPECT_THAT(result.stdout_text, AllOf(HasSubstr("OK | "), Not(HasSubstr("FAIL | "))));
  }
}

}  // namespace
}  // namespace tidemark
