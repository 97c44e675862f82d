#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <set>
#include <string>

#include "operators/expressions/evaluate.h"
#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {
namespace {

using testing::ElementsAre;

TEST(RowKeyTest, JoinsTheTextOfItsParts) {
  EXPECT_EQ(Value(RowKey(TimestampLit("2025-01-02T10:15:00Z"), Lit(42L), Lit("north"))),
            "2025-01-02T10:15:00Z|42|north");
  EXPECT_EQ(Value(RowKey(Lit(true), Lit(-1.5), DecimalLit("1.50"), DateLit("2025-01-02"))),
            "true|-1.5|1.50|2025-01-02");
  EXPECT_EQ(Value(RowKey(TimestampLit("2025-01-02T10:15:00.5Z"))), "2025-01-02T10:15:00.500Z");
  EXPECT_EQ(Value(RowKey(Cast(Lit("aGk="), DataType::Bytes()))), "aGk=");
  EXPECT_EQ(Value(RowKey(Lit(""), Lit(""))), "|");
}

TEST(RowKeyTest, EscapesSoThatDifferentRowsHaveDifferentKeys) {
  EXPECT_EQ(Value(RowKey(Lit("a|b"), Lit("c\\"))), "a\\|b|c\\\\");
  EXPECT_EQ(Value(RowKey(NullOf(DataType::String()), Lit("\\N"))), "\\N|\\\\N");
  EXPECT_EQ(Value(RowKey(Lit("||"))), "\\|\\|");
  std::set<std::string> keys;
  const std::string parts[] = {"", "|", "\\", "\\|", "|\\", "a", "\\N", "N", "||", "\\\\"};
  for (const std::string& a : parts) {
    for (const std::string& b : parts) keys.insert(Value(RowKey(Lit(a), Lit(b))));
    keys.insert(Value(RowKey(Lit(a), NullOf(DataType::String()))));
    keys.insert(Value(RowKey(NullOf(DataType::String()), Lit(a))));
  }
  EXPECT_EQ(keys.size(), 100u + 20u);
}

TEST(RowKeyTest, OfColumns) {
  const TestRows rows =
      TestRows().Strings("s", {"a", std::nullopt, "c|"}).Int64s("n", {1, 2, std::nullopt});
  EXPECT_THAT(Evaluate(RowKey(Col("s"), Col("n")), rows), ElementsAre("a|1", "\\N|2", "c\\||\\N"));
  EXPECT_THAT(Evaluate(RowKey(Col("s"), Lit("x")), rows, Selection::Rows({1})),
              ElementsAre("\\N|x"));
}

std::string LittleEndian(uint64_t value, int width = 8) {
  std::string bytes;
  for (int i = 0; i < width; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}
std::string Hashed(const std::string& encoded) {
  return std::to_string(static_cast<int64_t>(StableHash(encoded)));
}

TEST(HashTest, IsTakenOverTheDocumentedEncoding) {
  EXPECT_EQ(Value(Hash(NullOf(DataType::Int64()))), Hashed(std::string(1, '\0')));
  EXPECT_EQ(Value(Hash(Lit(true))), Hashed(std::string("\x01\x01")));
  EXPECT_EQ(Value(Hash(Lit(-2))), Hashed("\x02" + LittleEndian(static_cast<uint64_t>(-2))));
  EXPECT_EQ(Value(Hash(Lit(-2L))), Value(Hash(Lit(-2))));
  EXPECT_EQ(Value(Hash(Lit(1.5))), Hashed("\x03" + LittleEndian(std::bit_cast<uint64_t>(1.5))));
  EXPECT_EQ(Value(Hash(DecimalLit("-1.50"))),
            Hashed(std::string("\x04\x02") + LittleEndian(static_cast<uint64_t>(-150)) +
                   std::string(8, '\xFF')));
  EXPECT_EQ(Value(Hash(Lit("abc"))), Hashed("\x05" + LittleEndian(3) + "abc"));
  EXPECT_EQ(Value(Hash(Cast(Lit("aGk="), DataType::Bytes()))),
            Hashed("\x06" + LittleEndian(2) + "hi"));
  EXPECT_EQ(Value(Hash(DateLit("1969-12-31"))), Hashed("\x07" + LittleEndian(0xFFFFFFFF, 4)));
  EXPECT_EQ(Value(Hash(TimestampLit("1970-01-01T00:00:01Z"))),
            Hashed("\x08" + LittleEndian(1'000'000)));
  EXPECT_EQ(Value(Hash(Lit("a"), Lit(1))),
            Hashed("\x05" + LittleEndian(1) + "a\x02" + LittleEndian(1)));
}

TEST(HashTest, IsTheSameForEver) {
  EXPECT_EQ(Value(Hash(Lit("store"), Lit(42L), NullOf(DataType::String()))),
            "-6609941276869351023");
}

TEST(HashTest, ZerosAndNaNsAreOne) {
  EXPECT_EQ(Value(Hash(Lit(0.0))), Value(Hash(Lit(-0.0))));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(Value(Hash(Lit(nan))), Value(Hash(Lit(-nan))));
  EXPECT_NE(Value(Hash(Lit("ab"), Lit("c"))), Value(Hash(Lit("a"), Lit("bc"))));
  EXPECT_NE(Value(Hash(Lit("1"))), Value(Hash(Lit(1))));
}

TEST(HashTest, OfColumns) {
  const TestRows rows = TestRows().Strings("s", {"a", std::nullopt, "a"});
  const std::vector<std::string> hashes = Evaluate(Hash(Col("s")), rows);
  EXPECT_EQ(hashes[0], hashes[2]);
  EXPECT_EQ(hashes[0], Value(Hash(Lit("a"))));
  EXPECT_EQ(hashes[1], Value(Hash(NullOf(DataType::String()))));
  EXPECT_EQ(TypeOf(Hash(Col("s")), rows.schema()), "int64");
}

}  // namespace
}  // namespace tidemark
