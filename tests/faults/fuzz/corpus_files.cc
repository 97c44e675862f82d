#include <fmt/format.h>

#include <exception>
#include <fstream>

#include "tests/faults/fuzz/corpus.h"

// corpus_files CORPUS.txt FOLDER: the cases as files, for libFuzzer to start from. Large ones are
// left out: they are slow, and their small relatives are there.
int main(int argc, char** argv) try {
  constexpr size_t kMaxBytes = 64 << 10;
  if (argc != 3) throw std::runtime_error("usage: corpus_files CORPUS.txt FOLDER");
  for (const auto& hostile : tidemark::testing::ReadCorpus(argv[1])) {
    if (hostile.bytes.size() > kMaxBytes) continue;
    std::ofstream file(fmt::format("{}/{}", argv[2], hostile.name), std::ios::binary);
    file << hostile.bytes;
    if (!file.flush()) throw std::runtime_error(fmt::format("{} cannot be written", argv[2]));
  }
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "corpus_files: {}\n", error.what());
  return 1;
}
