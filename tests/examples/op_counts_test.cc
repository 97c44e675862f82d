#include "examples/op_counts/op_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using testing::Contains;
using ::testing::ElementsAre;
using testing::JobFolder;
using testing::KafkaServer;
using testing::ProcessResult;
using testing::WaitUntil;

const std::vector<std::string> kEvents = {
    R"({"order_id":1,"product":"lamp","quantity":2,"op":"insert"})",
    R"({"order_id":2,"product":"bell","quantity":1,"op":"insert"})",
    R"({"order_id":1,"product":"lamp","quantity":3,"op":"update"})",
    R"({"order_id":2,"product":"bell","quantity":0,"op":"delete"})",
};

TEST(OpCounts, ShowsAllKindsAfterEachBatch) {
  TestKit kit(&examples::OpCounts);
  kit.AddRaw(kEvents[0]);
  kit.AddRaw(kEvents[1]);
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(kit.Rows(), ElementsAre(R"({"op":"insert","event_count":2,"total_quantity":3})"));
  kit.Stop();
  kit.AddRaw(kEvents[2]);
  kit.AddRaw(kEvents[3]);
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(kit.Rows(), ElementsAre(R"({"op":"delete","event_count":1,"total_quantity":0})",
                                      R"({"op":"insert","event_count":2,"total_quantity":3})",
                                      R"({"op":"update","event_count":1,"total_quantity":3})"));
}

TEST(OpCounts, TheGeneratorIsAPureFunction) {
  TestKit kit(&examples::OpCounts);
  for (int64_t offset = 0; offset < 1000; ++offset) {
    const GeneratedRecord record = examples::FakeOrderChange(3, 1, offset);
    EXPECT_EQ(record.value, examples::FakeOrderChange(3, 1, offset).value);
    kit.AddRaw(record.value);
  }
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_EQ(kit.Rows().size(), 3u);
}

TEST(OpCounts, PrintsSparksTables) {
  absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
  ASSERT_TRUE(kafka.ok()) << kafka.status();
  ASSERT_TRUE((*kafka)->CreateTopic("orders_cdc", 1).ok());
  JobFolder folder;
  auto job = folder.Launch("op_counts", {"--brokers", (*kafka)->brokers(), "--starting-offsets",
                                         "earliest", "--trigger", "asap"});
  const auto produce = [&](size_t begin, size_t end) {
    std::vector<testing::KafkaRecord> records;
    for (size_t i = begin; i < end; ++i) records.push_back({.value = kEvents[i]});
    ASSERT_TRUE((*kafka)->ProduceTransaction("orders_cdc", 0, records, /*commit=*/true).ok());
  };
  produce(0, 2);
  ASSERT_TRUE(WaitUntil([&] { return Contains(job->Stdout(), "+\n\n"); })) << job->Stderr();
  produce(2, 4);
  ASSERT_TRUE(WaitUntil([&] {
    return Contains(job->Stdout(),
                    "|update|          1|             3|\n+------+-----------+--------------+\n\n");
  })) << job->Stdout()
      << job->Stderr();
  EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0);
  EXPECT_EQ(job->Stdout(),
            "-------------------------------------------\n"
            "Batch: 0\n"
            "-------------------------------------------\n"
            "+------+-----------+--------------+\n"
            "|    op|event_count|total_quantity|\n"
            "+------+-----------+--------------+\n"
            "|insert|          2|             3|\n"
            "+------+-----------+--------------+\n"
            "\n"
            "-------------------------------------------\n"
            "Batch: 1\n"
            "-------------------------------------------\n"
            "+------+-----------+--------------+\n"
            "|    op|event_count|total_quantity|\n"
            "+------+-----------+--------------+\n"
            "|delete|          1|             0|\n"
            "|insert|          2|             3|\n"
            "|update|          1|             3|\n"
            "+------+-----------+--------------+\n"
            "\n");
}

}  // namespace
}  // namespace tidemark
