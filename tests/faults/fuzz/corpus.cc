#include "tests/faults/fuzz/corpus.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <map>
#include <stdexcept>

namespace tidemark::testing {
namespace {

class LineReader {
 public:
  LineReader(std::string_view line, const std::map<std::string, std::string>& names)
      : rest_(line), names_(names) {}

  bool Take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  std::string Word() {
    const size_t size = std::min(rest_.find_first_of(" :"), rest_.size());
    const std::string word(rest_.substr(0, size));
    rest_.remove_prefix(size);
    if (word.empty()) throw std::runtime_error("a name is missing");
    return word;
  }
  // Terms up to `=>` or the end of the line.
  std::string Bytes() {
    std::string bytes;
    while (SkipBlanks(), !rest_.empty() && !rest_.starts_with("=>")) {
      const std::string term = Term();
      SkipBlanks();
      size_t times = 1;
      if (Take("x ")) times = Number(10);
      for (size_t i = 0; i < times; ++i) bytes += term;
    }
    return bytes;
  }
  std::string_view rest() const { return rest_; }

 private:
  void SkipBlanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size())); }

  std::string Term() {
    if (Take("'")) {
      const size_t end = rest_.find('\'');
      if (end == std::string_view::npos) throw std::runtime_error("a text does not end");
      std::string text(rest_.substr(0, end));
      rest_.remove_prefix(end + 1);
      return text;
    }
    if (Take("\"")) return Escaped();
    if (Take("0x")) {
      std::string bytes;
      while (!rest_.empty() && rest_[0] != ' ') bytes += HexByte();
      return bytes;
    }
    if (Take("$")) {
      const auto found = names_.find(Word());
      if (found == names_.end()) throw std::runtime_error("a name is not defined");
      return found->second;
    }
    throw std::runtime_error(fmt::format("no term: {}", rest_));
  }

  std::string Escaped() {
    std::string text;
    while (!Take("\"")) {
      if (rest_.empty()) throw std::runtime_error("a text does not end");
      if (!Take("\\")) {
        text += rest_[0];
        rest_.remove_prefix(1);
      } else if (Take("x")) {
        text += HexByte();
      } else if (Take("n")) {
        text += '\n';
      } else if (Take("r")) {
        text += '\r';
      } else if (Take("t")) {
        text += '\t';
      } else if (Take("\\")) {
        text += '\\';
      } else if (Take("\"")) {
        text += '"';
      } else {
        throw std::runtime_error("an unknown escape");
      }
    }
    return text;
  }

  char HexByte() {
    unsigned value = 0;
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + std::min<size_t>(rest_.size(), 2), value, 16);
    if (error != std::errc() || end != rest_.data() + 2) {
      throw std::runtime_error("a byte has two hexadecimal digits");
    }
    rest_.remove_prefix(2);
    return static_cast<char>(value);
  }

  size_t Number(int base) {
    size_t value = 0;
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, base);
    if (error != std::errc()) throw std::runtime_error("a number is missing");
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }

  std::string_view rest_;
  const std::map<std::string, std::string>& names_;
};

}  // namespace

std::vector<HostileCase> ReadCorpus(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(fmt::format("{} cannot be read", path));
  std::vector<HostileCase> cases;
  std::map<std::string, std::string> names;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    try {
      LineReader reader(line, names);
      if (reader.Take("let ")) {
        const std::string name = reader.Word();
        if (!reader.Take(" = ")) throw std::runtime_error("'=' is missing");
        names[name] = reader.Bytes();
        continue;
      }
      HostileCase& hostile = cases.emplace_back();
      hostile.line = number;
      hostile.name = reader.Word();
      if (!reader.Take(":")) throw std::runtime_error("':' is missing");
      hostile.bytes = reader.Bytes();
      if (!reader.Take("=> ")) throw std::runtime_error("'=>' is missing");
      hostile.verdict = reader.rest();
      if (!hostile.verdict.starts_with("accepted ") && !hostile.verdict.starts_with("refused")) {
        throw std::runtime_error("a verdict begins with 'accepted' or 'refused'");
      }
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("{}:{}: {}", path, number, error.what()));
    }
  }
  return cases;
}

bool VerdictFits(std::string_view expected, std::string_view actual) {
  constexpr std::string_view kRefused = "refused ";
  if (expected == "refused") return actual.starts_with(kRefused);
  if (!expected.starts_with(kRefused)) return expected == actual;
  return actual.starts_with(kRefused) &&
         actual.find(expected.substr(kRefused.size()), kRefused.size()) != std::string_view::npos;
}

}  // namespace tidemark::testing
