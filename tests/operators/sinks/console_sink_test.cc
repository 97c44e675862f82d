#include "tidemark/operators/sinks/console_sink.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"

// The tables were printed by Spark 4.0.1 (Java 17) for the same rows, by Dataset.show and by the
// console sink.

namespace tidemark {
namespace {

using testing::ContextOf;
using testing::ListStream;
using testing::MakeBatch;
using testing::Null;
using testing::Row;

constexpr int64_t kTime = 1'735'812'922'000'000;  // 2025-01-02 10:15:22

absl::Status Print(ConsoleOptions options, const Schema& schema, const std::vector<Row>& rows,
                   std::FILE* out, int64_t batch_id = 0) {
  const std::unique_ptr<Sink> sink = MakeConsoleSink(options, out);
  absl::Status status = sink->Open(ContextOf(schema));
  if (!status.ok()) return status;
  ListStream stream(rows.empty() ? std::vector<RowBatch>()
                                 : std::vector<RowBatch>{MakeBatch(schema, rows)});
  return sink->Commit({.batch_id = batch_id}, stream).status();
}

std::string Printed(ConsoleOptions options, const Schema& schema, const std::vector<Row>& rows,
                    int64_t batch_id = 0) {
  std::FILE* file = std::tmpfile();
  const absl::Status status = Print(options, schema, rows, file, batch_id);
  EXPECT_TRUE(status.ok()) << status;
  std::string text(static_cast<size_t>(std::ftell(file) < 0 ? 0 : lseek(fileno(file), 0, SEEK_END)),
                   '\0');
  EXPECT_EQ(pread(fileno(file), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  std::fclose(file);
  return text;
}

// The table without the three lines above it.
std::string Table(ConsoleOptions options, const Schema& schema, const std::vector<Row>& rows) {
  const std::string header =
      "-------------------------------------------\n"
      "Batch: 0\n"
      "-------------------------------------------\n";
  const std::string text = Printed(options, schema, rows);
  EXPECT_EQ(text.substr(0, header.size()), header);
  return text.substr(header.size() - 1);
}

Schema EveryType() {
  return Schema()
      .Bool("b")
      .Int32("i")
      .Int64("l")
      .Double("d")
      .Decimal("dec", 10, 2)
      .String("s")
      .Bytes("bin")
      .Date("date")
      .Timestamp("ts");
}

std::vector<Row> EveryTypeRows() {
  return {{1, 1, -5, 1.5, 1230, std::string("abc"), std::string("Hello"), 20'090, kTime + 123'000},
          {0, std::numeric_limits<int>::min(), std::numeric_limits<int64_t>::max(), 1e10, -5,
           std::string(), std::string(), -1, kTime},
          {Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null(), Null()},
          {1, 0, 0, std::nan(""), 0, std::string(20, 'x'), std::string("\x00\xFF\x7F", 3),
           2'932'896, kTime + 123'450},
          {1, 0, 0, -HUGE_VAL, int64_t{9'999'999'999}, std::string(21, 'x'),
           std::string("0123456789"), -719'162, -1}};
}

TEST(ConsoleSinkTest, CutCellsAreRightAligned) {
  EXPECT_EQ(Table({}, EveryType(), EveryTypeRows()), R"(
+-----+-----------+-------------------+---------+-----------+--------------------+--------------------+----------+--------------------+
|    b|          i|                  l|        d|        dec|                   s|                 bin|      date|                  ts|
+-----+-----------+-------------------+---------+-----------+--------------------+--------------------+----------+--------------------+
| true|          1|                 -5|      1.5|      12.30|                 abc|    [48 65 6C 6C 6F]|2025-01-02|2025-01-02 10:15:...|
|false|-2147483648|9223372036854775807|   1.0E10|      -0.05|                    |                  []|1969-12-31| 2025-01-02 10:15:22|
| NULL|       NULL|               NULL|     NULL|       NULL|                NULL|                NULL|      NULL|                NULL|
| true|          0|                  0|      NaN|       0.00|xxxxxxxxxxxxxxxxxxxx|          [00 FF 7F]|9999-12-31|2025-01-02 10:15:...|
| true|          0|                  0|-Infinity|99999999.99|xxxxxxxxxxxxxxxxx...|[30 31 32 33 34 3...|0001-01-01|1969-12-31 23:59:...|
+-----+-----------+-------------------+---------+-----------+--------------------+--------------------+----------+--------------------+

)");
}

TEST(ConsoleSinkTest, WholeCellsAreLeftAligned) {
  EXPECT_EQ(Table({.truncate = 0}, EveryType(), EveryTypeRows()), R"(
+-----+-----------+-------------------+---------+-----------+---------------------+-------------------------------+----------+--------------------------+
|b    |i          |l                  |d        |dec        |s                    |bin                            |date      |ts                        |
+-----+-----------+-------------------+---------+-----------+---------------------+-------------------------------+----------+--------------------------+
|true |1          |-5                 |1.5      |12.30      |abc                  |[48 65 6C 6C 6F]               |2025-01-02|2025-01-02 10:15:22.123   |
|false|-2147483648|9223372036854775807|1.0E10   |-0.05      |                     |[]                             |1969-12-31|2025-01-02 10:15:22       |
|NULL |NULL       |NULL               |NULL     |NULL       |NULL                 |NULL                           |NULL      |NULL                      |
|true |0          |0                  |NaN      |0.00       |xxxxxxxxxxxxxxxxxxxx |[00 FF 7F]                     |9999-12-31|2025-01-02 10:15:22.12345 |
|true |0          |0                  |-Infinity|99999999.99|xxxxxxxxxxxxxxxxxxxxx|[30 31 32 33 34 35 36 37 38 39]|0001-01-01|1969-12-31 23:59:59.999999|
+-----+-----------+-------------------+---------+-----------+---------------------+-------------------------------+----------+--------------------------+

)");
}

TEST(ConsoleSinkTest, FourCharactersStillHaveDots) {
  EXPECT_EQ(Table({.truncate = 4}, EveryType(), EveryTypeRows()), R"(
+----+----+----+----+----+----+----+----+----+
|   b|   i|   l|   d| dec|   s| bin|date|  ts|
+----+----+----+----+----+----+----+----+----+
|true|   1|  -5| 1.5|1...| abc|[...|2...|2...|
|f...|-...|9...|1...|-...|    |  []|1...|2...|
|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|
|true|   0|   0| NaN|0.00|x...|[...|9...|2...|
|true|   0|   0|-...|9...|x...|[...|0...|1...|
+----+----+----+----+----+----+----+----+----+

)");
}

TEST(ConsoleSinkTest, ThreeCharactersHaveNoDotsAndHeadersAreNeverCut) {
  EXPECT_EQ(Table({.truncate = 3}, EveryType(), EveryTypeRows()), R"(
+---+---+---+---+---+---+---+----+---+
|  b|  i|  l|  d|dec|  s|bin|date| ts|
+---+---+---+---+---+---+---+----+---+
|tru|  1| -5|1.5|12.|abc|[48| 202|202|
|fal|-21|922|1.0|-0.|   | []| 196|202|
|NUL|NUL|NUL|NUL|NUL|NUL|NUL| NUL|NUL|
|tru|  0|  0|NaN|0.0|xxx|[00| 999|202|
|tru|  0|  0|-In|999|xxx|[30| 000|196|
+---+---+---+---+---+---+---+----+---+

)");
}

TEST(ConsoleSinkTest, MoreRowsThanShownEndWithoutABlankLine) {
  EXPECT_EQ(Table({.num_rows = 2}, EveryType(), EveryTypeRows()), R"(
+-----+-----------+-------------------+------+-----+---+----------------+----------+--------------------+
|    b|          i|                  l|     d|  dec|  s|             bin|      date|                  ts|
+-----+-----------+-------------------+------+-----+---+----------------+----------+--------------------+
| true|          1|                 -5|   1.5|12.30|abc|[48 65 6C 6C 6F]|2025-01-02|2025-01-02 10:15:...|
|false|-2147483648|9223372036854775807|1.0E10|-0.05|   |              []|1969-12-31| 2025-01-02 10:15:22|
+-----+-----------+-------------------+------+-----+---+----------------+----------+--------------------+
only showing top 2 rows
)");
}

TEST(ConsoleSinkTest, OneRowIsSingularAndNoneIsNot) {
  const std::vector<Row> rows = {{1}, {2}};
  EXPECT_EQ(Table({.num_rows = 1, .truncate = 0}, Schema().Int64("id"), rows), R"(
+---+
|id |
+---+
|1  |
+---+
only showing top 1 row
)");
  EXPECT_EQ(Table({.num_rows = 0}, Schema().Int64("id"), rows), R"(
+---+
| id|
+---+
+---+
only showing top 0 rows
)");
  EXPECT_EQ(Table({.num_rows = 2}, Schema().Int64("id"), rows), R"(
+---+
| id|
+---+
|  1|
|  2|
+---+

)") << "exactly as many rows as shown";
}

TEST(ConsoleSinkTest, ABatchWithoutRowsIsAnEmptyTable) {
  EXPECT_EQ(Printed({}, Schema().Int64("id").String("name"), {}, 12),
            "-------------------------------------------\n"
            "Batch: 12\n"
            "-------------------------------------------\n"
            "+---+----+\n"
            "| id|name|\n"
            "+---+----+\n"
            "+---+----+\n"
            "\n");
}

TEST(ConsoleSinkTest, ControlCharactersAreEscapedBeforeCutting) {
  const std::vector<Row> rows = {{std::string("a\nb\tc\rd\fe\bf\vg\ah")},
                                 {std::string("back\\slash")}};
  EXPECT_EQ(Table({}, Schema().String("text"), rows), R"(
+--------------------+
|                text|
+--------------------+
|a\nb\tc\rd\fe\bf\...|
|          back\slash|
+--------------------+

)");
  EXPECT_EQ(Table({.truncate = 0}, Schema().String("tab\tname"), rows), R"(
+----------------------+
|tab\tname             |
+----------------------+
|a\nb\tc\rd\fe\bf\vg\ah|
|back\slash            |
+----------------------+

)");
}

TEST(ConsoleSinkTest, WhatCouldSteerATerminalIsEscapedToo) {
  // Here we differ from Spark, which prints these as they are.
  EXPECT_EQ(
      Table({.truncate = 0}, Schema().String("text"), {{std::string("\x1b[31mred\x00\x7f", 10)}}),
      R"(
+-------------------------+
|text                     |
+-------------------------+
|\u001b[31mred\u0000\u007f|
+-------------------------+

)");
}

TEST(ConsoleSinkTest, WideCharactersTakeTwoColumns) {
  const Schema schema = Schema().String("名前").Int32("n");
  const std::vector<Row> rows = {{std::string("中文"), 1},
                                 {std::string("日本語テキスト日本語テキスト日本語テキスト"), 2},
                                 {std::string("한글"), 3},
                                 {std::string("ｆｕｌｌ"), 4},
                                 {std::string("é"), 5},
                                 {std::string("😀"), 6},
                                 {std::string("e\u0301"), 7},
                                 {std::string("xxxxxxxxxxxxxxxx😀😀😀"), 8},
                                 {std::string("👍👍👍👍👍👍👍👍👍👍👍"), 9},
                                 {std::string("、。"), 10}};
  // The cut falls into the middle of a pair in rows 8 and 9: Java prints `?` for its half.
  EXPECT_EQ(Table({}, schema, rows), R"(
+-------------------------------------+---+
|                                 名前|  n|
+-------------------------------------+---+
|                                 中文|  1|
|日本語テキスト日本語テキスト日本語...|  2|
|                                 한글|  3|
|                             ｆｕｌｌ|  4|
|                                    é|  5|
|                                   😀|  6|
|                                   é|  7|
|                 xxxxxxxxxxxxxxxx?...|  8|
|                 👍👍👍👍👍👍👍👍?...|  9|
|                                 、。| 10|
+-------------------------------------+---+

)");
  EXPECT_EQ(Table({.truncate = 0}, schema, rows), R"(
+------------------------------------------+---+
|名前                                      |n  |
+------------------------------------------+---+
|中文                                      |1  |
|日本語テキスト日本語テキスト日本語テキスト|2  |
|한글                                      |3  |
|ｆｕｌｌ                                  |4  |
|é                                         |5  |
|😀                                        |6  |
|é                                        |7  |
|xxxxxxxxxxxxxxxx😀😀😀                    |8  |
|👍👍👍👍👍👍👍👍👍👍👍                    |9  |
|、。                                      |10 |
+------------------------------------------+---+

)");
}

TEST(ConsoleSinkTest, TimesFarAway) {
  EXPECT_EQ(Table({.truncate = 0}, Schema().Timestamp("t"),
                  {{0},
                   {-1},
                   {int64_t{253'402'300'800'000'000}},
                   {int64_t{-62'135'596'800'000'001}},
                   {int64_t{-62'167'219'200'000'001}},
                   {std::numeric_limits<int64_t>::max()},
                   {kTime + 100'000}}),
            R"(
+-----------------------------+
|t                            |
+-----------------------------+
|1970-01-01 00:00:00          |
|1969-12-31 23:59:59.999999   |
|+10000-01-01 00:00:00        |
|0000-12-31 23:59:59.999999   |
|-0001-12-31 23:59:59.999999  |
|+294247-01-10 04:00:54.775807|
|2025-01-02 10:15:22.1        |
+-----------------------------+

)");
}

TEST(ConsoleSinkTest, ManyBatchesAndSelectionsMakeOneTable) {
  const Schema schema = Schema().Int64("id");
  RowBatch filtered = MakeBatch(schema, {{1}, {2}, {3}, {4}});
  filtered.set_selection(Selection::Rows({1, 3}));
  ListStream stream({filtered, MakeBatch(schema, {{5}, {6}})});
  std::FILE* file = std::tmpfile();
  const std::unique_ptr<Sink> sink = MakeConsoleSink({.num_rows = 3}, file);
  ASSERT_TRUE(sink->Open(ContextOf(schema)).ok());
  const absl::StatusOr<SinkMarker> marker = sink->Commit({.batch_id = 0}, stream);
  ASSERT_TRUE(marker.ok());
  EXPECT_EQ(marker->row_count, 4) << "all are counted, three are shown";
  char text[1000] = {};
  EXPECT_GT(pread(fileno(file), text, sizeof(text) - 1, 0), 0);
  EXPECT_NE(std::string(text).find("|  2|\n|  4|\n|  5|\n+---+\nonly showing top 3 rows\n"),
            std::string::npos)
      << text;
  std::fclose(file);
  EXPECT_FALSE(sink->exactly_once());
}

TEST(ConsoleSinkTest, NegativeOptionsAreRefused) {
  EXPECT_EQ(Print({.num_rows = -1}, Schema().Int64("a"), {}, stdout).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Print({.truncate = -1}, Schema().Int64("a"), {}, stdout).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ConsoleSinkTest, AFullDiskCanBeTriedAgain) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  EXPECT_EQ(Print({}, Schema().Int64("a"), {{1}}, full).code(),
            absl::StatusCode::kResourceExhausted);
  std::fclose(full);
}

TEST(ConsoleSinkTest, ABrokenPipeIsAnErrorNotASignal) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  std::FILE* out = fdopen(ends[1], "w");
  for (int repeat = 0; repeat < 2; ++repeat) {
    const absl::Status status = Print({}, Schema().Int64("a"), {{1}}, out);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find("nobody reads"), std::string::npos) << status;
  }
  std::fclose(out);
}

TEST(ConsoleSinkTest, AClosedOutputIsAnError) {
  std::FILE* out = std::tmpfile();
  close(fileno(out));
  EXPECT_EQ(Print({}, Schema().Int64("a"), {{1}}, out).code(), absl::StatusCode::kInvalidArgument);
  std::fclose(out);
}

TEST(ConsoleSinkTest, CancelEndsTheWaitForAReaderThatDoesNotRead) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  std::FILE* out = fdopen(ends[1], "w");
  const std::unique_ptr<Sink> sink = MakeConsoleSink({.num_rows = 100, .truncate = 0}, out);
  const Schema schema = Schema().String("s");
  ASSERT_TRUE(sink->Open(ContextOf(schema)).ok());
  ListStream stream({MakeBatch(schema, std::vector<Row>(100, Row{std::string(10'000, 'x')}))});
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    sink->Cancel();
  });
  EXPECT_EQ(sink->Commit({.batch_id = 0}, stream).status().code(), absl::StatusCode::kCancelled);
  canceller.join();
  std::fclose(out);
  close(ends[0]);
}

TEST(ConsoleSinkTest, ASlowReaderGetsEverything) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  std::string read_text;
  std::thread reader([&] {
    char block[1000];
    ssize_t got;
    while ((got = read(ends[0], block, sizeof(block))) != 0) {
      if (got > 0) read_text.append(block, static_cast<size_t>(got));
      if (got < 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::FILE* out = fdopen(ends[1], "w");
  const std::vector<Row> rows(100, Row{std::string(10'000, 'x')});
  EXPECT_TRUE(Print({.num_rows = 100, .truncate = 0}, Schema().String("s"), rows, out).ok());
  std::fclose(out);
  reader.join();
  close(ends[0]);
  EXPECT_EQ(read_text, Printed({.num_rows = 100, .truncate = 0}, Schema().String("s"), rows));
}

}  // namespace
}  // namespace tidemark
