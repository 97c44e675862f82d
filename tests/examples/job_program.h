#ifndef TIDEMARK_TESTS_EXAMPLES_JOB_PROGRAM_H_
#define TIDEMARK_TESTS_EXAMPLES_JOB_PROGRAM_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"

namespace tidemark::testing {

/// Four times as long with a sanitizer, as each test may take.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr absl::Duration kJobLimit = absl::Minutes(4);
#else
constexpr absl::Duration kJobLimit = absl::Minutes(1);
#endif

/// The jobs' programs, run as a person would, in a new folder.
class JobFolder {
 public:
  using Variables = std::vector<std::pair<std::string, std::optional<std::string>>>;

  /// Runs `job` to its end, which must come within `kJobLimit`.
  ProcessResult Run(const std::string& job, const std::vector<std::string>& flags,
                    Variables env = {}) {
    absl::StatusOr<ProcessResult> result =
        RunProcess(Options(job, flags, std::move(env)), kJobLimit);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }

  std::unique_ptr<Process> Launch(const std::string& job, const std::vector<std::string>& flags,
                                  Variables env = {}, const std::string& stdout_path = "") {
    ProcessOptions options = Options(job, flags, std::move(env));
    options.stdout_path = stdout_path;
    absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(std::move(options));
    EXPECT_TRUE(process.ok()) << process.status();
    return process.ok() ? *std::move(process) : nullptr;
  }

  std::string Path(std::string_view name) const { return dir_.Path(name); }

 private:
  ProcessOptions Options(const std::string& job, const std::vector<std::string>& flags,
                         Variables env) {
    ProcessOptions options;
    options.args = {std::string(TIDEMARK_EXAMPLES_DIR) + "/" + job};
    options.args.insert(options.args.end(), flags.begin(), flags.end());
    options.env = std::move(env);
    options.working_dir = dir_.path();
    return options;
  }

  TempDir dir_;
};

/// Waits until `done`, or for half a minute: false then.
inline bool WaitUntil(const std::function<bool()>& done) {
  for (int i = 0; i < 1500; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return done();
}

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// What --sink json:FOLDER wrote, by batch; batches without rows too.
inline std::map<int64_t, std::vector<std::string>> JsonBatches(const std::string& folder) {
  std::map<int64_t, std::vector<std::string>> batches;
  std::map<std::string, std::string> parts;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/_tidemark")) {
    const std::string name = entry.path().filename();
    // The marker that a new query starts with counts as batch -1.
    if (name.ends_with(".json") && name[0] != '.' && name[0] != '-') batches[std::stoll(name)];
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("part-")) parts[name] = entry.path();
  }
  for (const auto& [name, path] : parts) {
    std::vector<std::string>& rows = batches[std::stoll(name.substr(5, 5))];
    for (std::string& line : Lines(ReadText(path))) rows.push_back(std::move(line));
  }
  return batches;
}

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_EXAMPLES_JOB_PROGRAM_H_
