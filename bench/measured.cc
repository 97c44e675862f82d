// measured COMMAND [ARGUMENT]...: runs the command and writes its exit status (as waitpid gives
// it), its peak memory in KiB and its CPU seconds to file descriptor 3. A process starts with the
// peak of the one that forked it, so a bench that holds much itself must not fork what it measures.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

int main(int argc, char** argv) {
  constexpr int kReport = 3;
  if (argc < 2) return 127;
  const pid_t child = fork();
  if (child < 0) return 127;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(kReport);
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) return 127;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  const std::string line = fmt::format("{} {} {}\n", status, usage.ru_maxrss,
                                       seconds(usage.ru_utime) + seconds(usage.ru_stime));
  const ssize_t size = static_cast<ssize_t>(line.size());
  return write(kReport, line.data(), line.size()) == size ? 0 : 127;
}
