#include "tidemark/engine/logger.h"

#include <cstdio>

#include "absl/time/clock.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (char c : value) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
      return true;
  }
  return false;
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

void AppendField(const LogField& field, std::string* line) {
  *line += ' ';
  *line += field.first;
  *line += '=';
  if (NeedsQuotes(field.second)) {
    AppendJsonString(field.second, line);
  } else {
    *line += field.second;
  }
}

}  // namespace

void Logger::Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  std::string line;
  AppendTimestamp(absl::ToUnixMillis(absl::Now()) * 1000, &line);
  line += " level=";
  line += LevelName(level);
  line += " event=";
  line += event;
  for (const LogField& field : fields) AppendField(field, &line);
  for (const LogField& field : context_) AppendField(field, &line);
  Write(line);
}

void StderrLogger::Write(std::string_view line) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fputc('\n', stderr);
  std::fflush(stderr);
}

}  // namespace tidemark
