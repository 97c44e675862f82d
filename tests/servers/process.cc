#include "tests/servers/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>

extern char** environ;

namespace tidemark::testing {
namespace {

constexpr unsigned kCloseOnExec = 4;  // CLOSE_RANGE_CLOEXEC, which older headers lack
constexpr int kFirstOwnFd = 3;
constexpr int kFallbackMaxFd = 4096;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

std::vector<std::string> Environment(const ProcessOptions& options) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    variables[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
  }
  for (const auto& [name, value] : options.env) {
    if (value.has_value()) {
      variables[name] = *value;
    } else {
      variables.erase(name);
    }
  }
  std::vector<std::string> result;
  for (const auto& [name, value] : variables) result.push_back(fmt::format("{}={}", name, value));
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Everything the child needs, made before the fork: between fork and exec only async-signal-safe
// calls are allowed.
struct ChildPlan {
  char* const* args;
  char* const* env;
  const char* working_dir;  // nullptr: stay
  int stdin_fd;
  int stdout_fd;
  int stderr_fd;
  int error_fd;
  pid_t parent;
};

[[noreturn]] void ReportAndExit(int error_fd) {
  const int error = errno;
  const ssize_t ignored = ::write(error_fd, &error, sizeof(error));
  (void)ignored;
  ::_exit(127);
}

void CloseInheritedFdsOnExec() {
  if (::syscall(SYS_close_range, static_cast<unsigned>(kFirstOwnFd), ~0U, kCloseOnExec) == 0)
    return;
  for (int fd = kFirstOwnFd; fd < kFallbackMaxFd; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

[[noreturn]] void BecomeChild(const ChildPlan& plan) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);  // the test program died before the line above
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(plan.stdin_fd, STDIN_FILENO) < 0 || ::dup2(plan.stdout_fd, STDOUT_FILENO) < 0 ||
      ::dup2(plan.stderr_fd, STDERR_FILENO) < 0) {
    ReportAndExit(plan.error_fd);
  }
  CloseInheritedFdsOnExec();
  if (plan.working_dir != nullptr && ::chdir(plan.working_dir) != 0) ReportAndExit(plan.error_fd);
  ::execvpe(plan.args[0], plan.args, plan.env);
  ReportAndExit(plan.error_fd);
}

int ExitCode(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

// Closes what it holds; in the child exec does.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

Fd OpenForAppend(const std::string& path) {
  return Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(ProcessOptions options) {
  if (options.args.empty()) return absl::InvalidArgumentError("a process needs a program");
  std::unique_ptr<Process> process(new Process(std::move(options)));
  process->thread_ = std::thread([raw = process.get()] { raw->RunChild(); });
  std::unique_lock lock(process->mutex_);
  process->changed_.wait(lock, [&] { return process->started_.has_value(); });
  if (!process->started_->ok()) return *process->started_;
  return process;
}

Process::Process(ProcessOptions options) : options_(std::move(options)) {
  if (options_.stdout_path.empty()) options_.stdout_path = output_dir_.Path("stdout");
  if (options_.stderr_path.empty()) options_.stderr_path = output_dir_.Path("stderr");
}

Process::~Process() {
  if (pid_ > 0) Kill();
  if (thread_.joinable()) thread_.join();
}

absl::Status Process::Fork() {
  std::vector<std::string> env = Environment(options_);
  const std::vector<char*> arg_pointers = Pointers(options_.args);
  const std::vector<char*> env_pointers = Pointers(env);
  Fd in(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd out = OpenForAppend(options_.stdout_path);
  Fd err = OpenForAppend(options_.stderr_path);
  std::array<int, 2> ends{-1, -1};
  if (in.get() < 0 || out.get() < 0 || err.get() < 0 || ::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return absl::InternalError(
        fmt::format("cannot prepare the files of {}: {}", options_.args[0], std::strerror(errno)));
  }
  Fd error_reader(ends[0]);
  Fd error_writer(ends[1]);
  const ChildPlan plan{
      .args = arg_pointers.data(),
      .env = env_pointers.data(),
      .working_dir = options_.working_dir.empty() ? nullptr : options_.working_dir.c_str(),
      .stdin_fd = in.get(),
      .stdout_fd = out.get(),
      .stderr_fd = err.get(),
      .error_fd = error_writer.get(),
      .parent = ::getpid()};
  const pid_t pid = ::fork();
  if (pid == 0) BecomeChild(plan);
  if (pid < 0) {
    return absl::InternalError(
        fmt::format("cannot fork for {}: {}", options_.args[0], std::strerror(errno)));
  }
  error_writer.Close();
  int error = 0;
  if (::read(error_reader.get(), &error, sizeof(error)) == sizeof(error)) {
    ::waitpid(pid, nullptr, 0);
    const std::string message =
        fmt::format("cannot start {}: {}", options_.args[0], std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
  }
  pid_ = pid;
  return absl::OkStatus();
}

void Process::RunChild() {
  const absl::Status started = Fork();
  {
    std::lock_guard lock(mutex_);
    started_ = started;
  }
  changed_.notify_all();
  if (!started.ok()) return;

  // Wait without reaping, so that the pid stays ours until no signal can be sent to it any more.
  siginfo_t info;
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) != 0 &&
         errno == EINTR) {
  }
  {
    std::lock_guard lock(mutex_);
    int wait_status = 0;
    ::waitpid(pid_, &wait_status, 0);
    exit_code_ = ExitCode(wait_status);
  }
  changed_.notify_all();
}

bool Process::Running() const {
  std::lock_guard lock(mutex_);
  return !exit_code_.has_value();
}

absl::Status Process::Signal(int signal) {
  std::lock_guard lock(mutex_);
  if (exit_code_.has_value()) {
    return absl::FailedPreconditionError(
        fmt::format("{} has ended with exit code {}", options_.args[0], *exit_code_));
  }
  if (::kill(pid_, signal) != 0) {
    return absl::InternalError(fmt::format("kill({}, {}): {}", pid_, signal, std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Process::Wait(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  const bool ended = changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                                       [this] { return exit_code_.has_value(); });
  if (!ended) {
    return absl::DeadlineExceededError(fmt::format(
        "{} (pid {}) still runs after {}", options_.args[0], pid_, absl::FormatDuration(timeout)));
  }
  return *exit_code_;
}

int Process::Terminate(absl::Duration grace) {
  if (Signal(SIGTERM).ok() && Signal(SIGCONT).ok()) {
    const absl::StatusOr<int> code = Wait(grace);
    if (code.ok()) return *code;
  }
  return Kill();
}

int Process::Kill() {
  Signal(SIGKILL).IgnoreError();  // it may have ended by itself
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return exit_code_.has_value(); });
  return *exit_code_;
}

std::string Process::Stdout() const { return ReadFile(options_.stdout_path); }
std::string Process::Stderr() const { return ReadFile(options_.stderr_path); }

absl::StatusOr<ProcessResult> RunProcess(ProcessOptions options, absl::Duration timeout) {
  absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(std::move(options));
  if (!process.ok()) return process.status();
  const absl::StatusOr<int> code = (*process)->Wait(timeout);
  if (!code.ok()) {
    (*process)->Kill();
    return absl::DeadlineExceededError(fmt::format("{}; standard error so far:\n{}",
                                                   std::string(code.status().message()),
                                                   (*process)->Stderr()));
  }
  return ProcessResult{*code, (*process)->Stdout(), (*process)->Stderr()};
}

}  // namespace tidemark::testing
