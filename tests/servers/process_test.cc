#include "tests/servers/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "tests/servers/free_port.h"
#include "tests/servers/temp_dir.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Seconds(20);

ProcessOptions Shell(std::string script) { return {.args = {"sh", "-c", std::move(script)}}; }

TEST(ProcessTest, ReportsOutputAndExitCode) {
  const auto result = RunProcess(Shell("echo out; echo err >&2; exit 7"), kSoon);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(result->stdout_text, "out\n");
  EXPECT_EQ(result->stderr_text, "err\n");
}

TEST(ProcessTest, SetsAndRemovesVariablesAndWorksInItsFolder) {
  TempDir dir;
  ::setenv("TIDEMARK_TEST_REMOVED", "1", 1);
  ProcessOptions options = Shell("echo \"$TIDEMARK_TEST_SET/${TIDEMARK_TEST_REMOVED-gone}\"; pwd");
  options.env = {{"TIDEMARK_TEST_SET", "yes"}, {"TIDEMARK_TEST_REMOVED", std::nullopt}};
  options.working_dir = dir.path();
  const auto result = RunProcess(options, kSoon);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_text, "yes/gone\n" + dir.path() + "\n");
}

TEST(ProcessTest, SaysWhatCannotBeStarted) {
  const auto process = Process::Start({.args = {"/nonexistent/program"}});
  EXPECT_TRUE(absl::IsNotFound(process.status())) << process.status();
  EXPECT_THAT(process.status().ToString(), HasSubstr("/nonexistent/program"));
}

TEST(ProcessTest, WaitEndsAtItsTimeout) {
  auto process = Process::Start(Shell("sleep 100"));
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_TRUE(absl::IsDeadlineExceeded((*process)->Wait(absl::Milliseconds(50)).status()));
  EXPECT_TRUE((*process)->Running());
  EXPECT_EQ((*process)->Kill(), 128 + SIGKILL);
  EXPECT_TRUE(absl::IsFailedPrecondition((*process)->Signal(SIGTERM)));
}

TEST(ProcessTest, TerminateEndsAStoppedProcess) {
  auto process = Process::Start({.args = {"sleep", "100"}});
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->Signal(SIGSTOP).ok());
  EXPECT_EQ((*process)->Terminate(kSoon), 128 + SIGTERM);
}

TEST(ProcessTest, TerminateKillsWhatIgnoresIt) {
  auto process = Process::Start(Shell("trap '' TERM; echo ready; while :; do sleep 0.1; done"));
  ASSERT_TRUE(process.ok()) << process.status();
  while ((*process)->Stdout().empty()) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ((*process)->Terminate(absl::Milliseconds(100)), 128 + SIGKILL);
}

TEST(ProcessTest, OutlivesTheThreadThatStartedIt) {
  absl::StatusOr<std::unique_ptr<Process>> process;
  std::thread([&] { process = Process::Start(Shell("sleep 0.3; echo done")); }).join();
  ASSERT_TRUE(process.ok()) << process.status();
  ASSERT_TRUE((*process)->Wait(kSoon).ok());
  EXPECT_EQ((*process)->Stdout(), "done\n");
}

// A process that is orphaned without warning takes its own child along.
TEST(ProcessTest, EndsWithTheTestProgram) {
  TempDir dir;
  const std::string pid_file = dir.Path("pid");
  const pid_t tester = ::fork();
  ASSERT_GE(tester, 0);
  if (tester == 0) {
    ::setenv("TMPDIR", dir.path().c_str(), 1);  // it has no chance to clean up
    const auto process = Process::Start(Shell("echo $$ > " + pid_file + ".new; mv " + pid_file +
                                              ".new " + pid_file + "; exec sleep 100"));
    if (!process.ok()) ::_exit(1);
    while (!std::filesystem::exists(pid_file)) ::usleep(1000);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(tester, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  pid_t orphan = 0;
  std::ifstream(pid_file) >> orphan;
  ASSERT_GT(orphan, 0);
  const auto alive = [&] {
    std::ifstream stat("/proc/" + std::to_string(orphan) + "/stat");
    std::string pid, name, state;
    return static_cast<bool>(stat >> pid >> name >> state) && state != "Z" && state != "X";
  };
  const absl::Time deadline = absl::Now() + kSoon;
  while (alive() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_FALSE(alive());
}

TEST(ProcessTest, InheritsNoFiles) {
  const int fd = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GE(fd, 0);
  const auto result = RunProcess(Shell("ls /proc/self/fd | wc -l"), kSoon);
  ::close(fd);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(std::stoi(result->stdout_text), 4);  // in, out, err, and the folder that ls reads
}

TEST(TempDirTest, IsRemovedWithItsContents) {
  std::string path;
  {
    TempDir dir;
    path = dir.path();
    std::filesystem::create_directories(dir.Path("a/b"));
    std::ofstream(dir.Path("a/b/file")) << "text";
    EXPECT_TRUE(std::filesystem::exists(dir.Path("a/b/file")));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(FreePortTest, LiesBelowTheOutgoingPorts) {
  const auto port = FreePort();
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_GT(*port, 1024);
  EXPECT_LT(*port, 60999);
}

}  // namespace
}  // namespace tidemark::testing
