#ifndef TIDEMARK_TESTS_OPERATORS_SINKS_FILES_FOLDER_H_
#define TIDEMARK_TESTS_OPERATORS_SINKS_FILES_FOLDER_H_

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "servers/temp_dir.h"
#include "tidemark/operators/sinks/durable_file.h"
#include "tidemark/operators/sinks/sink.h"

namespace tidemark::testing {

inline constexpr char kFilesQuery[] = "0123abcd-4567-4e89-8abc-def012345678";

// Path below the folder -> content.
using Files = std::map<std::string, std::string>;

/// The folder of a file sink under test; not made yet.
class FilesFolder {
 public:
  std::string path() const { return dir_.Path("out"); }
  std::string Path(const std::string& name) const { return path() + "/" + name; }

  Files Snapshot() const {
    Files files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path())) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      files[std::filesystem::relative(entry.path(), path()).string()] =
          std::string(std::istreambuf_iterator<char>(in), {});
    }
    return files;
  }
  // Makes the folder hold exactly these files.
  void Restore(const Files& files) const {
    std::filesystem::remove_all(path());
    std::filesystem::create_directories(path());
    for (const auto& [name, content] : files) Write(name, content);
  }
  void Write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
  }

 private:
  const TempDir dir_;
};

inline SinkBatch FilesBatch(int64_t batch_id, int64_t epoch = 0) {
  return {.batch_id = batch_id, .epoch = epoch, .plan_hash = 0xABC0u + uint64_t(batch_id)};
}

/// What a kill between any two steps of a Commit can leave, if `before` was there before it and
/// `after` when it was done.
inline std::vector<Files> KillStates(const Files& before, const Files& after) {
  const auto hidden = [](const std::string& name) {
    const std::filesystem::path path(name);
    return (path.parent_path() / DurableFile::HiddenName(path.filename().string())).string();
  };
  const auto write = [&](const std::string& name, const std::string& content, Files* state,
                         std::vector<Files>* states) {
    for (size_t length : {size_t{0}, content.size() / 2, content.size()}) {
      (*state)[hidden(name)] = content.substr(0, length);
      states->push_back(*state);
    }
  };
  std::vector<Files> states;
  Files state = before;
  Files parts = after;
  std::erase_if(parts, [&](const auto& file) { return before.contains(file.first); });
  const auto manifest = parts.extract(parts.lower_bound("_tidemark/"));
  for (const auto& [name, content] : parts) write(name, content, &state, &states);
  for (const auto& [name, content] : parts) {
    state.erase(hidden(name));
    state[name] = content;
    states.push_back(state);
  }
  write(manifest.key(), manifest.mapped(), &state, &states);
  return states;
}

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_OPERATORS_SINKS_FILES_FOLDER_H_
