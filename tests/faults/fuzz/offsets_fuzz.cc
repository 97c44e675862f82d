#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tests/faults/fuzz/judges.h"
#include "tidemark/operators/sources/offsets_json.h"

namespace tidemark::testing {

// The option `starting-offsets`.
std::string JudgeOffsets(std::string_view bytes) {
  const absl::StatusOr<StartingPosition> position = ParseStartingOffsets(bytes);
  if (!position.ok()) {
    MustAgree(absl::IsInvalidArgument(position.status()) ? "" : position.status().ToString(), "",
              "an error's code and InvalidArgument");
    return fmt::format("refused {}", std::string(position.status().message()));
  }
  if (position->offsets.empty()) {
    return position->everywhere == kEarliestOffset ? "accepted earliest" : "accepted latest";
  }
  const std::string text = OffsetsToJson(position->offsets);
  const absl::StatusOr<Offsets> again = OffsetsFromJson(text);
  MustAgree(text, again.ok() ? OffsetsToJson(*again) : again.status().ToString(),
            "offsets written and read again");
  return "accepted " + text;
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeOffsets);
