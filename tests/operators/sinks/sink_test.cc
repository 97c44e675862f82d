#include "tidemark/operators/sinks/sink.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"
#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {
namespace {

using testing::ListStream;
using testing::MakeBatch;
using testing::Null;
using testing::Row;

uint64_t HashOf(std::vector<RowBatch> batches, int64_t expected_rows) {
  ListStream stream(std::move(batches));
  while (true) {
    const absl::StatusOr<const RowBatch*> next = stream.Next();
    EXPECT_TRUE(next.ok());
    if (*next == nullptr) break;
    EXPECT_FALSE((*next)->selection().empty());
  }
  EXPECT_EQ(stream.row_count(), expected_rows);
  return stream.rows_hash();
}

uint64_t HashOfRows(const Schema& schema, const std::vector<Row>& rows) {
  return HashOf({MakeBatch(schema, rows)}, static_cast<int64_t>(rows.size()));
}

Schema EveryType() {
  return Schema()
      .Bool("b")
      .Int32("i")
      .Int64("l")
      .Double("d")
      .Decimal("dec", 38, 2)
      .String("s")
      .Bytes("bin")
      .Date("date")
      .Timestamp("ts");
}

std::vector<Row> ManyRows() {
  std::vector<Row> rows;
  for (int i = 0; i < 100; ++i) {
    rows.push_back({i % 2, i, int64_t{i} << 40, i / 3.0, Int128{i} << 90, std::to_string(i * i),
                    std::string(static_cast<size_t>(i), 'x'), i - 50, i * 1'000'003});
    if (i % 3 == 0) rows.back()[static_cast<size_t>(i % 9)] = Null();
  }
  return rows;
}

TEST(RowStreamTest, HashDoesNotDependOnCutsOrSelections) {
  const auto schema = std::make_shared<const Schema>(EveryType());
  const std::vector<Row> rows = ManyRows();
  const uint64_t whole = HashOf({MakeBatch(schema, rows)}, 100);
  for (size_t cut : {0u, 1u, 50u, 99u, 100u}) {
    const auto middle = rows.begin() + static_cast<ptrdiff_t>(cut);
    EXPECT_EQ(HashOf({MakeBatch(schema, {rows.begin(), middle}), MakeBatch(schema, {}),
                      MakeBatch(schema, {middle, rows.end()})},
                     100),
              whole)
        << cut;
  }
  std::vector<Row> with_others;
  std::vector<uint32_t> selected;
  for (const Row& row : rows) {
    with_others.push_back(rows[7]);
    selected.push_back(static_cast<uint32_t>(with_others.size()));
    with_others.push_back(row);
  }
  RowBatch filtered = MakeBatch(schema, with_others);
  filtered.set_selection(Selection::Rows(selected));
  EXPECT_EQ(HashOf({filtered}, 100), whole);
}

TEST(RowStreamTest, HashNeverChanges) {
  // Stored in sinks: other values here would make every running query stop with exit code 4.
  EXPECT_EQ(HashOf({}, 0), 0u);
  EXPECT_EQ(HashOfRows(EveryType(), ManyRows()), 1'187'136'550'803'801'275u);
  const std::string first("\1\2\0\0\0\0\0\0\0\1\3\0\0\0\0\0\0\0abc", 21);
  const std::string second("\0\1\0\0\0\0\0\0\0\0", 10);
  EXPECT_EQ(HashOfRows(Schema().Int64("a").String("s"), {{2, std::string("abc")}}),
            StableHash(first));
  EXPECT_EQ(HashOfRows(Schema().Int64("a").String("s"),
                       {{2, std::string("abc")}, {Null(), std::string()}}),
            StableHash(second, StableHash(first)));
}

TEST(RowStreamTest, HashTellsRowsApart) {
  const Schema texts = Schema().String("a").String("b");
  const std::string empty;
  const std::vector<std::vector<Row>> different = {
      {},
      {{empty, empty}},
      {{empty, empty}, {empty, empty}},
      {{Null(), empty}},
      {{empty, Null()}},
      {{Null(), Null()}},
      {{std::string("ab"), std::string("c")}},
      {{std::string("a"), std::string("bc")}},
      {{std::string("x"), empty}, {std::string("y"), empty}},
      {{std::string("y"), empty}, {std::string("x"), empty}}};
  for (size_t i = 0; i < different.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      EXPECT_NE(HashOfRows(texts, different[i]), HashOfRows(texts, different[j])) << i << " " << j;
    }
  }
}

TEST(RowStreamTest, EveryNaNIsTheSame) {
  const Schema schema = Schema().Double("d");
  EXPECT_EQ(HashOfRows(schema, {{std::nan("1")}}), HashOfRows(schema, {{-std::nan("2")}}));
  EXPECT_NE(HashOfRows(schema, {{0.0}}), HashOfRows(schema, {{-0.0}}));
}

TEST(RowStreamTest, RewindStartsCountAndHashAgain) {
  ListStream stream({MakeBatch(Schema().Int64("a"), {{1}, {2}})});
  for (int round = 0; round < 2; ++round) {
    ASSERT_NE(*stream.Next(), nullptr);
    ASSERT_EQ(*stream.Next(), nullptr);
    EXPECT_EQ(stream.row_count(), 2);
    EXPECT_EQ(stream.rows_hash(), HashOfRows(Schema().Int64("a"), {{1}, {2}}));
    ASSERT_TRUE(stream.Rewind().ok());
    EXPECT_EQ(stream.row_count(), 0);
    EXPECT_EQ(stream.rows_hash(), 0u);
  }
}

TEST(RowStreamTest, ErrorsComeThrough) {
  ListStream stream({MakeBatch(Schema().Int64("a"), {{1}})});
  stream.FailOnce(1, absl::InternalError("broken"));
  ASSERT_TRUE(stream.Next().ok());
  EXPECT_EQ(stream.Next().status().message(), "broken");
}

TEST(MarkerOfTest, HoldsAllThatTheSinkMustKnow) {
  ListStream stream({MakeBatch(Schema().Int64("a"), {{1}, {2}})});
  while (*stream.Next() != nullptr) continue;
  SinkContext context;
  context.query_id = "id";
  context.sink = "name";
  EXPECT_EQ(MarkerOf(context, {.batch_id = 7, .epoch = 3, .plan_hash = 9}, stream),
            (SinkMarker{"id", "name", 3, 7, 9, 2, stream.rows_hash()}));
}

TEST(HoldsBatchTest, WritesSkipsOrRefuses) {
  const auto held = [](int64_t epoch, int64_t batch_id, uint64_t plan_hash) {
    return std::optional(SinkMarker{"id", "name", epoch, batch_id, plan_hash, 0, 0});
  };
  const SinkBatch batch = {.batch_id = 5, .epoch = 1, .plan_hash = 77};
  const auto holds = [&](const std::optional<SinkMarker>& marker) {
    const absl::StatusOr<bool> result = HoldsBatch(marker, batch, "Sink[x]");
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(false);
  };
  EXPECT_FALSE(holds(std::nullopt));
  EXPECT_FALSE(holds(held(1, -1, 0)));
  EXPECT_FALSE(holds(held(1, 4, 1)));
  EXPECT_TRUE(holds(held(1, 5, 77)));
  EXPECT_FALSE(holds(held(0, 5, 77))) << "written before a rewind";
  EXPECT_FALSE(holds(held(0, 9, 1))) << "written before a rewind";
  for (const auto& marker : {held(1, 5, 78), held(1, 6, 77), held(2, 4, 77), held(2, 5, 77)}) {
    const absl::Status status = HoldsBatch(marker, batch, "Sink[x]").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(std::string(status.message()).find("Sink[x]"), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace tidemark
