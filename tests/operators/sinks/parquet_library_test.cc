#include "tidemark/operators/sinks/parquet_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/sinks/list_stream.h"
#include "servers/temp_dir.h"
#include "tidemark/operators/sinks/parquet_sink.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

// This program is built to look for a library that is not there.
TEST(ParquetLibraryTest, WithoutItTheSinkIsRefused) {
  const testing::TempDir dir;
  const absl::Status status =
      MakeParquetSink(dir.Path("out"))->Open(testing::ContextOf(Schema().Int64("id")));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Parquet files cannot be written"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("libtidemark_parquet-none.so"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("TIDEMARK_PARQUET"));
}

}  // namespace
}  // namespace tidemark
