#include "tidemark/operators/aggregates/group_key.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "operators/aggregates/cells.h"

namespace tidemark {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<Cell> Ascending(DataType type) {
  constexpr Int128 kBig = Int128{INT64_MAX} * 1'000'000'000'000;
  switch (type.id) {
    case TypeId::kBool:
      return {kNull, int64_t{0}, int64_t{1}};
    case TypeId::kInt32:
    case TypeId::kDate:
      return {kNull,      int64_t{INT32_MIN}, int64_t{-256}, int64_t{-1},       int64_t{0},
              int64_t{1}, int64_t{255},       int64_t{256},  int64_t{INT32_MAX}};
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return {kNull,      INT64_MIN,  INT64_MIN + 1,    int64_t{-1} << 40, int64_t{-1},
              int64_t{0}, int64_t{1}, int64_t{1} << 40, INT64_MAX};
    case TypeId::kDouble:
      return {kNull,  -kInfinity, -1e300, -1.0,  -1e-310,   0.0,
              1e-310, 1.0,        1.5,    1e300, kInfinity, kNan};
    case TypeId::kDecimal:
      return {kNull, -kBig, Int128{-1}, Int128{0}, Int128{1}, Int128{INT64_MAX}, kBig};
    case TypeId::kString:
    case TypeId::kBytes: {
      using namespace std::string_literals;
      return {kNull,    ""s,     "\0"s,  "\0\0"s, "\0\1"s,  "\0\xff"s, "\1"s,   "a"s,       "a\0"s,
              "a\0\0"s, "a\0b"s, "a\1"s, "ab"s,   "a\xff"s, "b"s,      "\xff"s, "\xff\xff"s};
    }
  }
  return {};
}

const std::vector<DataType> kTypes = {
    DataType::Bool(),   DataType::Int32(),        DataType::Int64(),
    DataType::Double(), DataType::Decimal(38, 2), DataType::String(),
    DataType::Bytes(),  DataType::Date(),         DataType::Timestamp()};

GroupKeys Encode(const GroupKeyCodec& codec, const std::vector<CellRow>& rows) {
  std::vector<ColumnPtr> columns;
  for (size_t c = 0; c < codec.types().size(); ++c) {
    std::vector<Cell> cells;
    for (const CellRow& row : rows) cells.push_back(row[c]);
    columns.push_back(MakeColumn(codec.types()[c], cells));
  }
  std::vector<uint32_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0);
  return codec.Encode(columns, all);
}

std::vector<CellRow> Decode(const GroupKeyCodec& codec, const std::vector<std::string_view>& keys) {
  auto arena = std::make_shared<Arena>();
  std::vector<ColumnPtr> columns;
  const absl::Status status = codec.Decode(keys, arena, &columns);
  EXPECT_TRUE(status.ok()) << status;
  std::vector<CellRow> rows(keys.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const ColumnPtr& column : columns) rows[i].push_back(CellAt(*column, i));
  }
  return rows;
}

// Rows that are ascending must have keys that are, and come back.
void ExpectOrderAndRoundTrip(const GroupKeyCodec& codec, const std::vector<CellRow>& ascending) {
  const GroupKeys keys = Encode(codec, ascending);
  ASSERT_EQ(keys.keys.size(), ascending.size());
  for (size_t i = 1; i < ascending.size(); ++i) {
    EXPECT_LT(keys.keys[i - 1], keys.keys[i])
        << codec.ToString() << ": " << ToText(ascending[i - 1]) << " " << ToText(ascending[i]);
  }
  const std::vector<CellRow> decoded = Decode(codec, keys.keys);
  EXPECT_TRUE(Identical(decoded, ascending)) << codec.ToString();
}

TEST(GroupKeyTest, KeysOfOneColumnCompareAsItsValuesAndComeBack) {
  for (const DataType& type : kTypes) {
    std::vector<CellRow> rows;
    for (const Cell& cell : Ascending(type)) rows.push_back({cell});
    ExpectOrderAndRoundTrip(GroupKeyCodec({type}), rows);
  }
}

TEST(GroupKeyTest, KeysOfTwoColumnsCompareByTheFirstThenTheSecond) {
  for (const DataType& first : kTypes) {
    for (const DataType& second : kTypes) {
      std::vector<CellRow> rows;
      for (const Cell& a : Ascending(first)) {
        for (const Cell& b : Ascending(second)) rows.push_back({a, b});
      }
      ExpectOrderAndRoundTrip(GroupKeyCodec({first, second}), rows);
    }
  }
}

TEST(GroupKeyTest, KeysOfThreeRandomColumnsCompareAsTheRows) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 100; ++round) {
    std::vector<DataType> types;
    for (int c = 0; c < 3; ++c) types.push_back(kTypes[random() % kTypes.size()]);
    std::set<CellRow, CellRowLess> rows;
    for (int i = 0; i < 200; ++i) {
      CellRow row;
      for (const DataType& type : types) {
        const std::vector<Cell> cells = Ascending(type);
        row.push_back(cells[random() % cells.size()]);
      }
      rows.insert(std::move(row));
    }
    ExpectOrderAndRoundTrip(GroupKeyCodec(types), {rows.begin(), rows.end()});
  }
}

TEST(GroupKeyTest, BothZerosAreOneKeyAndAllNansAreOne) {
  const GroupKeyCodec codec({DataType::Double()});
  const double other_nan = std::bit_cast<double>(uint64_t{0xfff0000000000001});
  const GroupKeys keys = Encode(codec, {{-0.0}, {0.0}, {kNan}, {-kNan}, {other_nan}});
  EXPECT_EQ(keys.keys[0], keys.keys[1]);
  EXPECT_EQ(keys.hashes[0], keys.hashes[1]);
  EXPECT_EQ(keys.keys[2], keys.keys[3]);
  EXPECT_EQ(keys.keys[2], keys.keys[4]);
  EXPECT_EQ(keys.hashes[2], keys.hashes[4]);
  EXPECT_TRUE(Identical(Decode(codec, {keys.keys[0]})[0][0], 0.0));
}

TEST(GroupKeyTest, EqualKeysHaveEqualHashesAndDifferentOnesMostlyDifferent) {
  for (const DataType& type : kTypes) {
    std::vector<CellRow> rows;
    for (const Cell& cell : Ascending(type)) rows.insert(rows.end(), {{cell}, {cell}});
    const GroupKeys keys = Encode(GroupKeyCodec({type}), rows);
    std::set<uint64_t> distinct;
    for (size_t i = 0; i < rows.size(); i += 2) {
      EXPECT_EQ(keys.hashes[i], keys.hashes[i + 1]);
      distinct.insert(keys.hashes[i]);
    }
    EXPECT_GE(distinct.size() + 1, rows.size() / 2) << type.ToString();
  }
}

TEST(GroupKeyTest, OnlyTheGivenRowsInTheirOrder) {
  const GroupKeyCodec codec({DataType::Int64()});
  const std::vector<ColumnPtr> columns = {
      MakeColumn(DataType::Int64(), {int64_t{10}, int64_t{11}, int64_t{12}, int64_t{13}})};
  const std::vector<uint32_t> rows = {3, 1};
  const GroupKeys keys = codec.Encode(columns, rows);
  EXPECT_EQ(ToText(Decode(codec, keys.keys)[0]), "13");
  EXPECT_EQ(ToText(Decode(codec, keys.keys)[1]), "11");
}

TEST(GroupKeyTest, NoColumnsAreOneEmptyKey) {
  const GroupKeyCodec codec({});
  const GroupKeys keys = Encode(codec, {{}, {}});
  EXPECT_EQ(keys.keys[0], "");
  EXPECT_EQ(keys.hashes[0], keys.hashes[1]);
}

TEST(GroupKeyTest, DamagedKeysAreDataLoss) {
  for (const DataType& first : kTypes) {
    for (const DataType& second : {DataType::Int32(), DataType::String()}) {
      const GroupKeyCodec codec({first, second});
      const GroupKeys keys = Encode(codec, {{Ascending(first)[1], Ascending(second)[1]}});
      const auto decode = [&](std::string_view key) {
        std::vector<ColumnPtr> columns;
        return codec.Decode({&key, 1}, std::make_shared<Arena>(), &columns);
      };
      const std::string good(keys.keys[0]);
      ASSERT_TRUE(decode(good).ok());
      // The last byte is the flag of an empty string; without it, or with less, no key is left.
      for (size_t size = 0; size < good.size(); ++size) {
        EXPECT_EQ(decode(good.substr(0, size)).code(), absl::StatusCode::kDataLoss)
            << codec.ToString() << " cut to " << size;
      }
      if (!second.is_text()) {
        EXPECT_EQ(decode(good + "x").code(), absl::StatusCode::kDataLoss);
      }
    }
  }
}

}  // namespace
}  // namespace tidemark
