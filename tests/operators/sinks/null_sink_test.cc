#include "tidemark/operators/sinks/null_sink.h"

#include <gtest/gtest.h>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"

namespace tidemark {
namespace {

using testing::ContextOf;
using testing::ListStream;
using testing::MakeBatch;

TEST(NullSinkTest, CountsAndKeepsNothing) {
  const std::unique_ptr<Sink> sink = MakeNullSink();
  EXPECT_FALSE(sink->exactly_once());
  ASSERT_TRUE(sink->Open(ContextOf(Schema().Int64("a"))).ok());
  EXPECT_EQ(*sink->ReadMarker(), std::nullopt);
  for (int repeat = 0; repeat < 2; ++repeat) {
    ListStream rows(
        {MakeBatch(Schema().Int64("a"), {{1}, {2}}), MakeBatch(Schema().Int64("a"), {{3}})});
    const absl::StatusOr<SinkMarker> marker = sink->Commit({.batch_id = 4}, rows);
    ASSERT_TRUE(marker.ok());
    EXPECT_EQ(marker->row_count, 3);
    EXPECT_EQ(marker->rows_hash, rows.rows_hash());
    EXPECT_EQ(marker->batch_id, 4);
  }
  EXPECT_EQ(*sink->ReadMarker(), std::nullopt);
}

TEST(NullSinkTest, AStreamThatFailsFailsTheCommit) {
  const std::unique_ptr<Sink> sink = MakeNullSink();
  ListStream rows({});
  rows.FailOnce(0, absl::InternalError("broken"));
  EXPECT_EQ(sink->Commit({}, rows).status().message(), "broken");
}

}  // namespace
}  // namespace tidemark
