#include "tidemark/state/crash_point.h"

#ifdef TIDEMARK_CRASH_POINTS

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

namespace tidemark {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

class CrashPoints {
 public:
  CrashPoints() : counts_path_(Variable("TIDEMARK_CRASH_COUNTS")) {
    const std::string at = Variable("TIDEMARK_CRASH_AT");
    const size_t colon = at.rfind(':');
    if (at.empty()) return;
    const char* end = at.data() + at.size();
    if (colon == std::string::npos ||
        std::from_chars(at.data() + colon + 1, end, passing_).ptr != end || passing_ < 1) {
      std::fprintf(stderr, "TIDEMARK_CRASH_AT=%s: want NAME:N\n", at.c_str());
      std::abort();
    }
    name_ = at.substr(0, colon);
  }

  ~CrashPoints() {
    if (counts_path_.empty()) return;
    std::FILE* file = std::fopen(counts_path_.c_str(), "w");
    if (file == nullptr) return;
    for (const auto& [name, count] : counts_) {
      std::fprintf(file, "%s:%lld\n", name.c_str(), static_cast<long long>(count));
    }
    std::fclose(file);
  }

  void Pass(std::string_view name) {
    const std::lock_guard lock(mutex_);
    auto found = counts_.find(name);
    if (found == counts_.end()) found = counts_.emplace(std::string(name), 0).first;
    if (++found->second == passing_ && name == name_) kill(getpid(), SIGKILL);
  }

 private:
  const std::string counts_path_;
  std::string name_;     // where to die; empty: nowhere
  int64_t passing_ = 0;  // at which passing
  std::mutex mutex_;
  std::map<std::string, int64_t, std::less<>> counts_;  // guarded by mutex_
};

}  // namespace

void CrashPoint(std::string_view name) {
  static CrashPoints points;
  points.Pass(name);
}

}  // namespace tidemark

#endif  // TIDEMARK_CRASH_POINTS
