#include "examples/customers_cdc/customers_cdc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaServer;
using testing::ProcessResult;

TEST(CustomersCdc, PassesEachChangeOn) {
  TestKit kit(&examples::CustomersCdc);
  kit.Add(
      {{"id", 1}, {"name", "Ada"}, {"email", "ada@example.com"}, {"op", "insert"}, {"more", 1}});
  kit.Add({{"id", 1}, {"op", "delete"}});
  kit.AddRaw(std::nullopt);
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(kit.Rows(),
              ElementsAre(R"({"id":1,"name":"Ada","email":"ada@example.com","op":"insert"})",
                          R"({"id":1,"name":null,"email":null,"op":"delete"})"));
}

TEST(CustomersCdc, TheGeneratorIsAPureFunction) {
  TestKit kit(&examples::CustomersCdc);
  for (int64_t offset = 0; offset < 1000; ++offset) {
    const GeneratedRecord record = examples::FakeCustomerChange(3, 1, offset);
    EXPECT_EQ(record.value, examples::FakeCustomerChange(3, 1, offset).value);
    kit.AddRaw(record.value);
  }
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_EQ(kit.Rows().size(), 1000u);
}

TEST(CustomersCdc, PrintsNamesUncut) {
  absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
  ASSERT_TRUE(kafka.ok()) << kafka.status();
  ASSERT_TRUE((*kafka)->CreateTopic("customers_cdc", 1).ok());
  const absl::Status produced = (*kafka)->Produce(
      "customers_cdc", 0,
      {{.value =
            R"({"id":1,"name":"Ada Augusta King, Countess of Lovelace","email":"ada@example.com","op":"insert"})"},
       {.value = R"({"id":1,"op":"delete"})"}});
  ASSERT_TRUE(produced.ok()) << produced;
  JobFolder folder;
  const ProcessResult result = folder.Run(
      "customers_cdc",
      {"--brokers", (*kafka)->brokers(), "--starting-offsets", "earliest", "--trigger", "once"});
  EXPECT_EQ(result.exit_code, 0) << result.stderr_text;
  EXPECT_EQ(result.stdout_text,
            "-------------------------------------------\n"
            "Batch: 0\n"
            "-------------------------------------------\n"
            "+---+--------------------------------------+---------------+------+\n"
            "|id |name                                  |email          |op    |\n"
            "+---+--------------------------------------+---------------+------+\n"
            "|1  |Ada Augusta King, Countess of Lovelace|ada@example.com|insert|\n"
            "|1  |NULL                                  |NULL           |delete|\n"
            "+---+--------------------------------------+---------------+------+\n"
            "\n");
}

}  // namespace
}  // namespace tidemark
