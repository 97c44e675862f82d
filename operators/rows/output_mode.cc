#include "tidemark/operators/rows/output_mode.h"

#include <string>

namespace tidemark {

std::string_view OutputModeName(OutputMode mode) {
  switch (mode) {
    case OutputMode::kAppend:
      return "append";
    case OutputMode::kUpdate:
      return "update";
    case OutputMode::kComplete:
      return "complete";
  }
  return "unknown";
}

std::optional<OutputMode> ParseOutputMode(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (OutputMode mode : {OutputMode::kAppend, OutputMode::kUpdate, OutputMode::kComplete}) {
    if (lower == OutputModeName(mode)) return mode;
  }
  return std::nullopt;
}

}  // namespace tidemark
