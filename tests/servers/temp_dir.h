#ifndef TIDEMARK_TESTS_SERVERS_TEMP_DIR_H_
#define TIDEMARK_TESTS_SERVERS_TEMP_DIR_H_

#include <string>
#include <string_view>

namespace tidemark::testing {

/// A new, empty folder of its own, removed with everything in it when the object goes.
/// It lies under $TMPDIR, else /tmp. Only its owner can read it. Not copied, not moved: keep it in
/// the fixture. A folder that cannot be made ends the test program with a message: without one
/// there is nothing to test.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  /// Absolute, without a slash at the end.
  const std::string& path() const { return path_; }
  /// The path of `name` inside this folder; nothing is created.
  std::string Path(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_TEMP_DIR_H_
