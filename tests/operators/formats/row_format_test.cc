#include "tidemark/operators/formats/row_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Schema AllTypes() {
  return Schema()
      .Bool("b")
      .Int32("i")
      .Int64("l")
      .Double("d")
      .Decimal("dc", 38, 2)
      .String("s")
      .Bytes("by")
      .Date("dt")
      .Timestamp("ts");
}

void WriteRow(RowWriter* writer, std::string* bytes) {
  writer->Begin(bytes);
  writer->Bool(true);
  writer->Int32(-5);
  writer->Int64(INT64_MIN);
  writer->Double(0.5);
  writer->Decimal(-(static_cast<Int128>(1) << 100));
  writer->Text("text");
  writer->Text(std::string_view("\0\1", 2));
  writer->Int32(0);
  writer->Int64(1);
}

RawRecords Records(const std::vector<std::string>& rows) {
  RawRecords records;
  for (const std::string& row : rows) {
    RawRecord& record = records.records.emplace_back();
    record.value = row;
    record.has_value = true;
    record.offset = static_cast<int64_t>(records.records.size());
  }
  return records;
}

std::string Text(const RowBatch& batch, size_t row) {
  std::string text;
  for (const ColumnPtr& column : batch.columns()) {
    if (!text.empty()) text += ' ';
    if (column->IsNull(row)) {
      text += "NULL";
    } else {
      AppendValueText(*column, row, &text);
    }
  }
  return text;
}

std::unique_ptr<Decoder> Make(const Schema& schema) {
  auto decoder = MakeDecoder(Rows(schema));
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  return *std::move(decoder);
}

TEST(RowFormatTest, EveryTypeIsReadBack) {
  RowWriter writer(9);
  std::vector<std::string> rows(2);
  WriteRow(&writer, &rows[0]);
  writer.Begin(&rows[1]);
  for (int i = 0; i < 9; ++i) writer.Null();
  const RawRecords records = Records(rows);
  std::vector<BadRecord> bad;
  const RowBatch batch = Make(AllTypes())->Decode(records, false, &bad);
  EXPECT_TRUE(bad.empty());
  ASSERT_EQ(batch.num_rows(), 2u);
  EXPECT_EQ(Text(batch, 0),
            "true -5 -9223372036854775808 0.5 -12676506002282294014967032053.76 text AAE= "
            "1970-01-01 1970-01-01T00:00:00.000001Z");
  EXPECT_EQ(Text(batch, 1), "NULL NULL NULL NULL NULL NULL NULL NULL NULL");
}

TEST(RowFormatTest, AValueThatDoesNotFitIsABadRecord) {
  RowWriter writer(2);
  std::vector<std::string> rows(3);
  for (size_t i = 0; i < 3; ++i) {
    writer.Begin(&rows[i]);
    if (i == 1) {
      writer.Unfit();
    } else {
      writer.Int64(static_cast<int64_t>(i));
    }
    writer.Text("name");
  }
  const Schema schema = Schema().Int64("id").String("name");
  const RawRecords records = Records(rows);
  std::vector<BadRecord> bad;
  const RowBatch good = Make(schema)->Decode(records, false, &bad);
  ASSERT_EQ(good.num_rows(), 2u);
  EXPECT_EQ(Text(good, 0), "0 name");
  EXPECT_EQ(Text(good, 1), "2 name");
  EXPECT_EQ(good.source_record(1), 2u);
  ASSERT_EQ(bad.size(), 1u);
  EXPECT_EQ(bad[0].index, 1u);
  EXPECT_EQ(bad[0].reason, BadReason::kOutOfRange);
  EXPECT_THAT(bad[0].detail, HasSubstr("column 'id'"));
  bad.clear();
  const RowBatch all = Make(schema)->Decode(records, true, &bad);
  ASSERT_EQ(all.num_rows(), 3u);
  EXPECT_EQ(Text(all, 1), "NULL name") << "what can be read is";
}

TEST(RowFormatTest, KafkaColumnsAreNotInTheRecord) {
  Schema schema = Schema().Int64("id");
  for (const Field& field : KafkaColumns()) {
    if (field.name == "kafka_offset") schema.Add(field);
  }
  ASSERT_EQ(StoredFields(schema).size(), 1u);
  RowWriter writer(1);
  std::vector<std::string> rows(1);
  writer.Begin(&rows[0]);
  writer.Int64(7);
  const RawRecords records = Records(rows);
  std::vector<BadRecord> bad;
  EXPECT_EQ(Text(Make(schema)->Decode(records, false, &bad), 0), "7 1");
}

TEST(RowFormatTest, LimitsAndTombstones) {
  FormatSpec spec = Rows(Schema().String("s"));
  spec.max_record_bytes = 10;
  auto decoder = MakeDecoder(spec);
  ASSERT_TRUE(decoder.ok());
  RowWriter writer(1);
  std::vector<std::string> rows(2);
  writer.Begin(&rows[0]);
  writer.Text("more than ten bytes");
  RawRecords records = Records(rows);
  records.records[1].has_value = false;
  std::vector<BadRecord> bad;
  (*decoder)->Decode(records, false, &bad);
  ASSERT_EQ(bad.size(), 2u);
  EXPECT_EQ(bad[0].reason, BadReason::kTooLarge);
  EXPECT_EQ(bad[1].reason, BadReason::kNullValue);
}

TEST(RowFormatTest, BytesOfNoRowAreBadAndReadNothingBehindThem) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  RowWriter writer(9);
  std::string row;
  WriteRow(&writer, &row);
  const auto decoder = Make(AllTypes());
  for (size_t size = 0; size < row.size(); ++size) {
    const std::vector<std::string> rows = {row.substr(0, size)};
    const RawRecords records = Records(rows);
    std::vector<BadRecord> bad;
    EXPECT_EQ(decoder->Decode(records, false, &bad).num_rows(), 0u);
    ASSERT_EQ(bad.size(), 1u);
    EXPECT_EQ(bad[0].reason, BadReason::kParseError);
  }
  for (int i = 0; i < 20'000; ++i) {
    std::string broken = row;
    broken[random() % broken.size()] = static_cast<char>(random());
    const std::unique_ptr<char[]> exact(new char[broken.size()]);  // for the address sanitizer
    std::copy(broken.begin(), broken.end(), exact.get());
    RawRecords records = Records(std::vector<std::string>(1));
    records.records[0].value = {exact.get(), broken.size()};
    std::vector<BadRecord> bad;
    decoder->Decode(records, true, &bad);
  }
}

}  // namespace
}  // namespace tidemark
