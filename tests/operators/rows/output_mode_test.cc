#include "tidemark/operators/rows/output_mode.h"

#include <gtest/gtest.h>

#include <string>

namespace tidemark {
namespace {

TEST(OutputModeTest, NamesReadBackInAnyCase) {
  for (OutputMode mode : {OutputMode::kAppend, OutputMode::kUpdate, OutputMode::kComplete}) {
    EXPECT_EQ(ParseOutputMode(OutputModeName(mode)), mode);
  }
  EXPECT_EQ(ParseOutputMode("Append"), OutputMode::kAppend);
  EXPECT_EQ(ParseOutputMode("COMPLETE"), OutputMode::kComplete);
  for (const char* name : {"", "appendx", "upsert", " update"}) {
    EXPECT_EQ(ParseOutputMode(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace tidemark
