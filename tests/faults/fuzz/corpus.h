#ifndef TIDEMARK_TESTS_FAULTS_FUZZ_CORPUS_H_
#define TIDEMARK_TESTS_FAULTS_FUZZ_CORPUS_H_

#include <string>
#include <string_view>
#include <vector>

namespace tidemark::testing {

/// A case of a corpus: bytes, and what must become of them.
struct HostileCase {
  int line = 0;
  std::string name;
  std::string bytes;
  std::string verdict;
};

/// Reads a corpus. A line is empty, a comment (`# ...`), a definition or a case:
///   let order = 'text' "\x00\n" 0x00ff
///   name: $order '[' x 5000 => refused too_deep
/// Texts in single quotes are taken as they are; in double quotes \\ \" \n \r \t and \xHH stand for
/// bytes; ` x N` repeats the term before it. Terms are put one behind another. Throws
/// std::runtime_error naming file and line.
std::vector<HostileCase> ReadCorpus(const std::string& path);

/// `accepted ...` must be the same; `refused` and some words (or none): refused, with these words
/// in it.
bool VerdictFits(std::string_view expected, std::string_view actual);

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_FUZZ_CORPUS_H_
