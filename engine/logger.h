#ifndef TIDEMARK_ENGINE_LOGGER_H_
#define TIDEMARK_ENGINE_LOGGER_H_

#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemark {

enum class LogLevel { kInfo, kWarning, kError };

/// A key of a log line with its value's text.
using LogField = std::pair<std::string_view, std::string>;

/// Writes what happens as lines of key=value (values with blanks or quotes are quoted).
/// Thread-safe.
class Logger {
 public:
  /// `context` ends every line of Log: a job's name, a contact.
  explicit Logger(std::vector<LogField> context = {}) : context_(std::move(context)) {}
  virtual ~Logger() = default;
  /// One line: `2025-01-02T10:15:22.123Z level=warning event=retry reason="..." wait_ms=200`.
  void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
  /// A line for people and scripts, written as it is: `New query, checkpoint DIR`.
  void Say(std::string_view line) { Write(line); }

 protected:
  virtual void Write(std::string_view line) = 0;

 private:
  const std::vector<LogField> context_;
};

/// To standard error.
class StderrLogger : public Logger {
 public:
  using Logger::Logger;

 protected:
  void Write(std::string_view line) override;

 private:
  std::mutex mutex_;
};

/// Drops everything: for programs that want no log.
class SilentLogger : public Logger {
 protected:
  void Write(std::string_view) override {}
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_LOGGER_H_
