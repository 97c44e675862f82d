#include "tests/servers/temp_dir.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace tidemark::testing {

TempDir::TempDir() {
  const char* parent = std::getenv("TMPDIR");
  std::string pattern = fmt::format("{}/tidemark-test-XXXXXX",
                                    parent != nullptr && *parent != '\0' ? parent : "/tmp");
  if (::mkdtemp(pattern.data()) == nullptr) {
    fmt::print(stderr, "cannot make a temporary folder {}: {}\n", pattern, std::strerror(errno));
    std::abort();
  }
  path_ = std::filesystem::absolute(pattern).string();
}

TempDir::~TempDir() {
  // A server that was killed a moment ago may still be writing; a second pass finds the rest.
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    if (!error) return;
  }
}

std::string TempDir::Path(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

}  // namespace tidemark::testing
