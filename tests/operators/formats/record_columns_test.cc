#include "tidemark/operators/formats/record_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "operators/formats/decode_text.h"

namespace tidemark {
namespace {

class HeaderOwner : public RecordOwner {
 public:
  RecordHeaders Headers(size_t index) const override {
    ++asked;
    if (index == 0) return {};
    return {{"trace", "a\"b"}, {"bin\xFF", "\xFF"}, {"none", std::nullopt}, {"empty", ""}};
  }
  mutable std::atomic<int> asked = 0;
};

Schema WithKafkaColumns(Schema schema) {
  for (const Field& field : KafkaColumns()) schema.Add(field);
  return schema;
}

RawRecords& Fill(TestRecords& records, std::shared_ptr<const RecordOwner> owner) {
  RawRecords& raw = records.records();
  raw.topic = "orders";
  raw.partition = 3;
  raw.owner = std::move(owner);
  raw.records[0].key = "key";
  raw.records[0].has_key = true;
  raw.records[0].offset = 41;
  raw.records[1].offset = 43;
  raw.records[1].timestamp_us = 1'735'812'922'123'000;
  raw.records[2].offset = 44;
  raw.records[2].has_key = true;
  return raw;
}

TEST(RecordColumnsTest, AllAreHidden) {
  ASSERT_EQ(KafkaColumns().size(), 6u);
  for (const Field& field : KafkaColumns()) EXPECT_TRUE(field.hidden) << field.name;
}

TEST(RecordColumnsTest, ComeFromTheRecord) {
  TestRecords records({"{\"v\":1}", "broken", "{\"v\":2}"}, true);
  const RawRecords& raw = Fill(records, std::make_shared<HeaderOwner>());
  const auto decoder = MakeDecoder(Json(WithKafkaColumns(Schema().Int64("v"))));
  ASSERT_TRUE(decoder.ok()) << decoder.status();
  std::vector<BadRecord> bad;
  const std::string first = R"([1,"a2V5","orders",3,41,null,"{}"])";
  const std::string second = R"([null,null,"orders",3,43,"2025-01-02T10:15:22.123Z",)";
  const std::string headers =
      "\"{\\\"trace\\\":\\\"a\\\\\\\"b\\\",\\\"bin\uFFFD\\\":\\\"\uFFFD\\\",\\\"none\\\":null,"
      "\\\"empty\\\":\\\"\\\"}\"]";
  const std::string third = R"([2,"","orders",3,44,null,)";
  EXPECT_EQ(Text((*decoder)->Decode(raw, true, &bad), {}),
            first + "\n" + second + headers + "\n" + third + headers + "\n");
  EXPECT_EQ(Text((*decoder)->Decode(raw, false, &bad), {}), first + "\n" + third + headers + "\n");
}

TEST(RecordColumnsTest, HeadersAreAskedForOnlyIfWanted) {
  TestRecords records({"{}", "{}", "{}"}, true);
  const auto owner = std::make_shared<HeaderOwner>();
  const RawRecords& raw = Fill(records, owner);
  std::vector<BadRecord> bad;
  EXPECT_EQ(
      Text((*MakeDecoder(Json(Schema().Add(KafkaColumns()[3]))))->Decode(raw, false, &bad), bad),
      "[41]\n[43]\n[44]\n");
  EXPECT_EQ(owner->asked, 0);
  EXPECT_EQ(
      Text((*MakeDecoder(Json(Schema().Add(KafkaColumns()[5]))))->Decode(raw, false, &bad), bad)
          .substr(0, 7),
      "[\"{}\"]\n");
  EXPECT_EQ(owner->asked, 3);
}

TEST(RecordColumnsTest, WithoutAnOwnerThereAreNoHeaders) {
  EXPECT_EQ(DecodeText(Schema().Add(KafkaColumns()[5]), {"{}"}), "[\"{}\"]\n");
}

TEST(RecordColumnsTest, AVisibleFieldOfSuchANameIsTheDocuments) {
  EXPECT_EQ(DecodeText(Schema().Int64("kafka_offset"), {"{\"kafka_offset\":7}"}), "[7]\n");
}

TEST(RecordColumnsTest, AHiddenColumnOfAnotherTypeIsRefused) {
  Field field = KafkaColumns()[3];
  field.type = DataType::String();
  const auto columns = RecordColumns::Find(Schema().Add(field));
  ASSERT_TRUE(absl::IsInvalidArgument(columns.status()));
  EXPECT_EQ(std::string(columns.status().message()),
            "the hidden column 'kafka_offset' is int64, not string");
}

TEST(RecordColumnsTest, TextsOutliveTheRecords) {
  auto records = std::make_unique<TestRecords>(std::vector<std::string>{"{}", "{}", "{}"}, true);
  const RawRecords& raw = Fill(*records, nullptr);
  std::vector<BadRecord> bad;
  const std::vector<ColumnPtr> columns = (*MakeDecoder(Json(WithKafkaColumns(Schema().Int64("v")))))
                                             ->Decode(raw, false, &bad)
                                             .columns();
  records.reset();
  EXPECT_EQ(columns[1]->text(0), "key");
  EXPECT_EQ(columns[2]->text(2), "orders");
}

}  // namespace
}  // namespace tidemark
