#include "tidemark/operators/rows/row_batch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "operators/rows/make_batch.h"
#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

using testing::MakeBatch;
using testing::Null;

std::vector<uint32_t> RowsOf(const Selection& selection) {
  std::vector<uint32_t> rows;
  selection.ForEach([&](uint32_t row) { rows.push_back(row); });
  return rows;
}

std::string TextOf(const RowBatch& batch) {
  std::string text;
  for (size_t i = 0; i < batch.selection().size(); ++i) {
    for (const ColumnPtr& column : batch.columns()) {
      AppendJsonValue(*column, batch.selection()[i], &text);
      text += ' ';
    }
    text += '\n';
  }
  return text;
}

TEST(SelectionTest, AllAndSome) {
  const Selection all = Selection::All(3);
  EXPECT_TRUE(all.is_all());
  EXPECT_EQ(all.size(), 3u);
  EXPECT_EQ(RowsOf(all), (std::vector<uint32_t>{0, 1, 2}));
  const Selection some = Selection::Rows({1, 7});
  EXPECT_FALSE(some.is_all());
  EXPECT_EQ(some.size(), 2u);
  EXPECT_EQ(some[1], 7u);
  EXPECT_EQ(RowsOf(some), (std::vector<uint32_t>{1, 7}));
  EXPECT_TRUE(Selection::All(0).empty());
  EXPECT_TRUE(Selection::Rows({}).empty());
}

TEST(RowBatchTest, WithColumnsKeepsRowsAndOrigin) {
  RowBatch batch = MakeBatch(Schema().Int64("a"), {{1}, {2}, {3}});
  batch.set_selection(Selection::Rows({0, 2}));
  RawRecords records;
  batch.set_origin(&records,
                   std::make_shared<std::vector<uint32_t>>(std::vector<uint32_t>{4, 5, 6}));
  const ColumnPtr column = batch.column_ptr(0);
  const RowBatch twice = batch.WithColumns(
      std::make_shared<const Schema>(Schema().Int64("a").Int64("b")), {column, column});
  EXPECT_EQ(twice.num_rows(), 3u);
  EXPECT_EQ(twice.selection().size(), 2u);
  EXPECT_EQ(twice.records(), &records);
  EXPECT_EQ(twice.source_record(2), 6u);
  EXPECT_EQ(&twice.column(1), column.get()) << "columns are shared, not copied";
  EXPECT_EQ(batch.schema().size(), 1u);
}

TEST(RowBatchTest, CountsItsBytes) {
  const RowBatch batch =
      MakeBatch(Schema().Int64("a").Bool("b").String("c"), {{1, 0, std::string("x")}});
  EXPECT_EQ(batch.memory_bytes(), 8 + 1 + sizeof(std::string_view));
}

TEST(CompactTest, EveryTypeNullsAndASelection) {
  const Schema schema = Schema()
                            .Bool("b")
                            .Int32("i")
                            .Int64("l")
                            .Double("d")
                            .Decimal("dec", 38, 2)
                            .String("s")
                            .Bytes("bin")
                            .Date("date")
                            .Timestamp("ts");
  std::vector<testing::Row> rows;
  for (int i = 0; i < 300; ++i) {
    rows.push_back({i % 2, i, int64_t{1} << (i % 62), i / 7.0, Int128{i} << 70, std::to_string(i),
                    std::string(static_cast<size_t>(i), '\xFE'), -i, i * 1000});
    for (size_t column = 0; column < 9; ++column) {
      if ((i + static_cast<int>(column)) % 5 == 0) rows.back()[column] = Null();
    }
  }
  RowBatch batch = MakeBatch(schema, rows);
  EXPECT_EQ(TextOf(Compact(batch)), TextOf(batch));
  std::vector<uint32_t> odd;
  for (uint32_t row = 1; row < 300; row += 2) odd.push_back(row);
  batch.set_selection(Selection::Rows(odd));
  const RowBatch compact = Compact(batch);
  EXPECT_EQ(compact.num_rows(), 150u);
  EXPECT_TRUE(compact.selection().is_all());
  EXPECT_EQ(TextOf(compact), TextOf(batch));
  EXPECT_EQ(compact.schema(), schema);
}

TEST(CompactTest, OutlivesTheBatchAndItsRecords) {
  std::unique_ptr<RowBatch> batch;
  auto bytes = std::make_shared<std::string>("a value that lives in the records of a chunk");
  {
    auto column = std::make_shared<Column>(DataType::String(), 1);
    column->mutable_values<std::string_view>()[0] = *bytes;
    column->AddStorage(bytes);
    batch = std::make_unique<RowBatch>(std::make_shared<const Schema>(Schema().String("s")),
                                       std::vector<ColumnPtr>{column}, 1);
  }
  RawRecords records;
  batch->set_origin(&records, std::make_shared<std::vector<uint32_t>>(1));
  const std::weak_ptr<std::string> watch = bytes;
  bytes.reset();
  const RowBatch compact = Compact(*batch);
  batch.reset();
  EXPECT_TRUE(watch.expired()) << "the compact batch keeps the records alive";
  EXPECT_EQ(compact.column(0).text(0), "a value that lives in the records of a chunk");
  EXPECT_EQ(compact.records(), nullptr);
}

TEST(CompactTest, NothingSelected) {
  RowBatch batch = MakeBatch(Schema().String("s").Int64("a"), {{std::string("x"), Null()}});
  batch.set_selection(Selection::Rows({}));
  const RowBatch compact = Compact(batch);
  EXPECT_EQ(compact.num_rows(), 0u);
  EXPECT_EQ(compact.columns().size(), 2u);
}

}  // namespace
}  // namespace tidemark
