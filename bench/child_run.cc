#include "bench/child_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/time/clock.h"

namespace tidemark {
namespace {

struct Exit {
  ChildRun run;
  int status = 0;
  bool timed_out = false;
};

// What the child has written until its end. False: the deadline came first.
bool ReadAll(int fd, absl::Time deadline, std::function<void()> ready, std::string* text) {
  char buffer[512];
  while (absl::Now() < deadline) {
    pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, 1000) <= 0) continue;
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return true;
    text->append(buffer, static_cast<size_t>(got));
    if (ready && text->starts_with("ready\n")) std::exchange(ready, nullptr)();
  }
  return false;
}

// The program `measured` beside this one, which becomes the parent of what is measured.
std::string MeasuredPath() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  const std::string self(path, size > 0 ? static_cast<size_t>(size) : 0);
  return self.substr(0, self.rfind('/') + 1) + "measured";
}

// `prepare` runs in the forked process.
template <typename Prepare>
absl::StatusOr<Exit> Run(std::vector<std::string> arguments, absl::Duration timeout,
                         const std::function<void()>& ready, const Prepare& prepare) {
  arguments.insert(arguments.begin(), MeasuredPath());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int out[2];
  int report[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) {
    return absl::InternalError("cannot make a pipe");
  }
  const pid_t child = fork();
  if (child < 0) return absl::InternalError("cannot fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prepare();
    // In two steps: either may be 3 itself.
    const int measure = fcntl(report[1], F_DUPFD, 10);
    dup2(out[1], STDOUT_FILENO);
    dup2(measure, 3);
    close(measure);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out[1]);
  close(report[1]);
  Exit exit;
  exit.timed_out = !ReadAll(out[0], absl::Now() + timeout, ready, &exit.run.text);
  if (exit.timed_out) kill(child, SIGKILL);  // and with it what it runs
  std::string measure;
  ReadAll(report[0], absl::Now() + absl::Minutes(1), nullptr, &measure);
  close(out[0]);
  close(report[0]);
  int status = 0;
  waitpid(child, &status, 0);
  long peak_kib = 0;
  if (!exit.timed_out && (status != 0 || std::sscanf(measure.c_str(), "%d %ld %lf", &exit.status,
                                                     &peak_kib, &exit.run.cpu_seconds) != 3)) {
    return absl::InternalError(arguments[0] + " failed; is it built?");
  }
  exit.run.peak_mib = static_cast<double>(peak_kib) / 1024;
  return exit;
}

std::string EndOf(const std::string& path) {
  constexpr size_t kMost = 2000;
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.size() > kMost ? text.substr(text.size() - kMost) : text;
}

}  // namespace

absl::StatusOr<ChildRun> RunSelf(const std::vector<std::string>& arguments) {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) {
    return absl::InternalError("cannot read /proc/self/exe");
  }
  std::vector<std::string> command = {self};
  command.insert(command.end(), arguments.begin(), arguments.end());
  absl::StatusOr<Exit> exit = Run(std::move(command), absl::InfiniteDuration(), nullptr, [] {});
  if (!exit.ok()) return exit.status();
  if (exit->status != 0) {
    return absl::InternalError(
        fmt::format("the run `{}` failed (status {})", fmt::join(arguments, " "), exit->status));
  }
  return std::move(exit->run);
}

absl::StatusOr<ChildRun> RunCommand(const std::string& command,
                                    const std::map<std::string, std::string>& environment,
                                    const std::string& log, absl::Duration timeout,
                                    const std::function<void()>& ready) {
  // The shell becomes the program, so that signals and the memory measured are the program's.
  const std::string line = "exec " + command;
  absl::StatusOr<Exit> exit = Run({"/bin/sh", "-c", line}, timeout, ready, [&] {
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0) dup2(file, STDERR_FILENO);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  });
  if (!exit.ok()) return exit.status();
  if (exit->timed_out) {
    return absl::DeadlineExceededError(fmt::format("`{}` did not end within {}; it printed: {}{}",
                                                   command, absl::FormatDuration(timeout),
                                                   exit->run.text, EndOf(log)));
  }
  if (exit->status != 0) {
    return absl::InternalError(fmt::format("`{}` failed (status {}); it printed: {}{}", command,
                                           exit->status, exit->run.text, EndOf(log)));
  }
  return std::move(exit->run);
}

}  // namespace tidemark
