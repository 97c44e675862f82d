#include "tidemark/operators/sinks/files_partitions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "operators/rows/make_batch.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::MakeBatch;
using testing::Null;
using testing::Row;

std::string FolderOf(const Schema& schema, const std::vector<std::string>& by, const Row& row) {
  const auto partitions = FilesPartitions::Make(schema, by);
  EXPECT_TRUE(partitions.ok()) << partitions.status();
  const auto folder = partitions->FolderOf(MakeBatch(schema, {row}), 0);
  EXPECT_TRUE(folder.ok()) << folder.status();
  return *folder;
}

std::string FolderOfText(const std::string& text) {
  return FolderOf(Schema().Int64("id").String("p"), {"p"}, {1, text});
}

TEST(FilesPartitionsTest, AFolderAColumn) {
  const Schema schema = Schema().Int64("id").Date("date").Int32("shop").String("name");
  EXPECT_EQ(FolderOf(schema, {"date"}, {1, 20'090, 7, "x"}), "date=2025-01-02");
  EXPECT_EQ(FolderOf(schema, {"shop", "date"}, {1, -1, -7, "x"}), "shop=-7/date=1969-12-31");
  EXPECT_EQ(FolderOf(schema, {"shop", "name"}, {1, -1, Null(), ""}),
            "shop=__HIVE_DEFAULT_PARTITION__/name=");
}

TEST(FilesPartitionsTest, EveryTypeByItsText) {
  const Schema schema = Schema()
                            .Int64("id")
                            .Bool("b")
                            .Int64("i")
                            .Double("d")
                            .Decimal("m", 10, 2)
                            .Bytes("y")
                            .Timestamp("t");
  EXPECT_EQ(FolderOf(schema, {"b", "i", "d", "m", "y", "t"},
                     {1, 1, int64_t{1} << 40, 1.5, -1230, std::string("\xFF\xFE?", 3), 1'500'000}),
            "b=true/i=1099511627776/d=1.5/m=-12.30/y=%2F%2F4%2F/t=1970-01-01T00%3A00%3A01.500Z");
}

TEST(FilesPartitionsTest, HostileValuesStayOneFolder) {
  EXPECT_EQ(FolderOfText("a/b"), "p=a%2Fb");
  EXPECT_EQ(FolderOfText("/"), "p=%2F");
  EXPECT_EQ(FolderOfText(".."), "p=..") << "not a name for the folder above";
  EXPECT_EQ(FolderOfText("../../etc"), "p=..%2F..%2Fetc");
  EXPECT_EQ(FolderOfText("%2F"), "p=%252F");
  EXPECT_EQ(FolderOfText("x=y"), "p=x%3Dy");
  EXPECT_EQ(FolderOfText(std::string("a\0b\n\x7F", 5)), "p=a%00b%0A%7F");
  EXPECT_EQ(FolderOfText("\"'\\{}[]^#*:?"), "p=%22%27%5C%7B}%5B%5D%5E%23%2A%3A%3F");
  EXPECT_EQ(FolderOfText("Zürich 北"), "p=Zürich 北");
  EXPECT_EQ(FolderOfText("\xC3("), "p=%C3(") << "no UTF-8";
  EXPECT_EQ(FolderOfText("__HIVE_DEFAULT_PARTITION__"), "p=%5F_HIVE_DEFAULT_PARTITION__")
      << "not null";
  EXPECT_EQ(FolderOf(Schema().Int64("id").String("a/b="), {"a/b="}, {1, "x"}), "a%2Fb%3D=x");
}

TEST(FilesPartitionsTest, KeysDifferAsFoldersDo) {
  const Schema schema = Schema().Int64("id").String("a").String("b");
  const auto partitions = FilesPartitions::Make(schema, {"a", "b"});
  ASSERT_TRUE(partitions.ok());
  const std::vector<Row> rows = {{1, "", ""},     {1, Null(), ""}, {1, "", Null()},
                                 {1, "a", "b"},   {1, "ab", ""},   {1, "", "ab"},
                                 {1, "a\1", "b"}, {1, "a", "\1b"}, {1, Null(), Null()}};
  const RowBatch batch = MakeBatch(schema, rows);
  std::set<std::string> keys;
  std::set<std::string> folders;
  for (uint32_t row = 0; row < rows.size(); ++row) {
    std::string key;
    partitions->AppendKey(batch, row, &key);
    keys.insert(key);
    folders.insert(*partitions->FolderOf(batch, row));
  }
  EXPECT_EQ(keys.size(), rows.size());
  EXPECT_EQ(folders.size(), rows.size());
}

TEST(FilesPartitionsTest, ANameTooLongIsRefused) {
  EXPECT_EQ(FolderOfText(std::string(253, 'x')).size(), 255u);
  const Schema schema = Schema().Int64("id").String("p");
  const auto partitions = FilesPartitions::Make(schema, {"p"});
  for (const std::string& text : {std::string(254, 'x'), std::string(85, '/')}) {
    const auto folder = partitions->FolderOf(MakeBatch(schema, {{1, text}}), 0);
    EXPECT_EQ(folder.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(folder.status().message()), HasSubstr("partition column 'p'"));
  }
}

TEST(FilesPartitionsTest, ColumnsThatDoNotFitAreRefused) {
  const Schema schema = Schema().Int64("id").String("shop");
  const auto problem = [&](const std::vector<std::string>& columns) {
    return std::string(FilesPartitions::Make(schema, columns).status().message());
  };
  EXPECT_EQ(problem({}), "");
  EXPECT_EQ(problem({"shop"}), "");
  EXPECT_THAT(problem({"shopp"}), HasSubstr("did you mean 'shop'?"));
  EXPECT_THAT(problem({"shop", "shop"}), HasSubstr("twice"));
  EXPECT_THAT(problem({"shop", "id"}), HasSubstr("none is left for the files"));
}

TEST(FilesPartitionsTest, TheFilesDoNotHaveThePartitionColumns) {
  const Schema schema = Schema().Int64("id").String("shop").Double("amount");
  const auto partitions = FilesPartitions::Make(schema, {"shop"});
  EXPECT_EQ(partitions->file_schema().ToString(), "[id int64, amount double]");
  const RowBatch rows = partitions->FileRows(MakeBatch(schema, {{1, "a", 2.5}}));
  EXPECT_EQ(rows.schema().ToString(), "[id int64, amount double]");
  EXPECT_EQ(rows.column(1).values<double>()[0], 2.5);
}

}  // namespace
}  // namespace tidemark
