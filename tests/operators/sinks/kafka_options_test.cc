#include "tidemark/operators/sinks/kafka_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using OnNullKey = KafkaSinkOptions::OnNullKey;

TEST(KafkaOptionsTest, ATopicAlone) {
  const auto options = ParseKafkaTarget("kafka:orders.by-shop_1");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->topic, "orders.by-shop_1");
  EXPECT_EQ(options->format.name, "json");
  EXPECT_EQ(options->on_null_key, OnNullKey::kFail);
  EXPECT_FALSE(options->create_topic);
}

TEST(KafkaOptionsTest, EveryOption) {
  const auto options = ParseKafkaTarget("kafka:t?on_null_key=skip&create_topic=true&partitions=12");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->topic, "t");
  EXPECT_TRUE(options->create_topic);
  EXPECT_EQ(options->partitions, 12);
  EXPECT_EQ(options->on_null_key, OnNullKey::kSkip);
  EXPECT_EQ(ParseKafkaTarget("kafka:t?on_null_key=null")->on_null_key, OnNullKey::kNull);
  EXPECT_EQ(ParseKafkaTarget("kafka:t?on_null_key=fail")->on_null_key, OnNullKey::kFail);
  EXPECT_FALSE(ParseKafkaTarget("kafka:t?create_topic=false")->create_topic);
}

TEST(KafkaOptionsTest, WhatIsWrongIsNamed) {
  const std::pair<const char*, const char*> wrong[] = {
      {"mysql:t", "does not begin with kafka:"},
      {"kafka:", "no name"},
      {"kafka:?create_topic=true", "no name"},
      {"kafka:a b", "'a b' cannot be a topic's name"},
      {"kafka://host/t", "'//host/t' cannot be a topic's name"},
      {"kafka:t?partition=3", "no option 'partition'"},
      {"kafka:t?create_topic=yes", "'yes' is no create_topic"},
      {"kafka:t?create_topic", "'' is no create_topic"},
      {"kafka:t?create_topic=true&partitions=0", "'0' is no partitions"},
      {"kafka:t?create_topic=true&partitions=-1", "'-1' is no partitions"},
      {"kafka:t?create_topic=true&partitions=4x", "'4x' is no partitions"},
      {"kafka:t?create_topic=true&partitions=99999999999", "is no partitions"},
      {"kafka:t?partitions=4", "create_topic=true"},
      {"kafka:t?on_null_key=drop", "'drop' is no on_null_key"},
  };
  for (const auto& [target, problem] : wrong) {
    const auto options = ParseKafkaTarget(target);
    EXPECT_TRUE(absl::IsInvalidArgument(options.status())) << target;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr(problem)) << target;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr("kafka:TOPIC?")) << target;
  }
}

}  // namespace
}  // namespace tidemark
