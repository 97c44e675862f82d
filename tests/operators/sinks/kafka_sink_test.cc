#include "tidemark/operators/sinks/kafka_sink.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "operators/sinks/kafka_fixture.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::KafkaRecord;
using testing::ListStream;
using testing::MakeBatch;
using testing::Null;

using KafkaSinkTest = testing::KafkaSinkFixture;
using OnNullKey = KafkaSinkOptions::OnNullKey;

Schema Totals() { return Schema().Timestamp("window_start").String("store").Int64("n"); }

TEST_F(KafkaSinkTest, RowsAreRecordsAndTheMarkerIsAGroupOffset) {
  CreateTopic();
  KafkaSink sink(Options());
  const SinkContext context = Context(Totals(), {"store"});
  EXPECT_EQ(sink.description(), "Kafka[" + topic_ + "]");
  ASSERT_TRUE(sink.Open(context).ok());
  EXPECT_EQ(*sink.ReadMarker(), std::nullopt);
  ASSERT_TRUE(sink.WriteMarker(testing::KafkaSinkFixture::MarkerFor(context, -1)).ok());
  const auto marker = Commit(sink, Batch(0),
                             {MakeBatch(Totals(), {{0, "a", 2}, {60'000'000, "b", Null()}}),
                              MakeBatch(Totals(), {{0, "a", 3}})});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 3);
  const auto records = Records(3);
  EXPECT_EQ(records[0].key, "a");
  EXPECT_EQ(records[0].value, R"({"window_start":"1970-01-01T00:00:00Z","store":"a","n":2})");
  EXPECT_EQ(records[1].key, "b");
  EXPECT_EQ(records[1].value, R"({"window_start":"1970-01-01T00:01:00Z","store":"b"})");
  EXPECT_EQ(records[2].value, R"({"window_start":"1970-01-01T00:00:00Z","store":"a","n":3})");
  EXPECT_EQ(**sink.ReadMarker(), *marker);
  const auto offset = server_->CommittedOffset(Group(), topic_, 0);
  ASSERT_TRUE(offset.ok());
  EXPECT_EQ(*offset, 1);

  KafkaSink next(Options());
  ASSERT_TRUE(next.Open(context).ok());
  EXPECT_EQ(**next.ReadMarker(), *marker) << "as the broker keeps it";
}

}  // namespace
}  // namespace tidemark
