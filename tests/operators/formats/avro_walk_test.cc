#include "tidemark/operators/formats/avro_walk.h"

#include <gtest/gtest.h>

#include <string>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

std::string Decimal(const std::optional<Int128>& value) {
  std::string text;
  if (!value.has_value()) return "none";
  AppendDecimal(*value, 0, &text);
  return text;
}

TEST(AvroWalkTest, DecimalsAreTwosComplement) {
  EXPECT_EQ(Decimal(AvroDecimal("")), "none");
  EXPECT_EQ(Decimal(AvroDecimal(std::string(1, '\0'))), "0");
  EXPECT_EQ(Decimal(AvroDecimal("\x7f")), "127");
  EXPECT_EQ(Decimal(AvroDecimal("\x80")), "-128");
  EXPECT_EQ(Decimal(AvroDecimal(std::string("\x00\x80", 2))), "128");
  const std::string most = "\x7f" + std::string(15, '\xff');
  EXPECT_EQ(Decimal(AvroDecimal(most)), "170141183460469231731687303715884105727");
  EXPECT_EQ(Decimal(AvroDecimal(std::string(3, '\0') + most)),
            "170141183460469231731687303715884105727");
  // One bit more than fits.
  EXPECT_EQ(Decimal(AvroDecimal(std::string(1, '\0') + std::string(16, '\xff'))), "none");
  EXPECT_EQ(Decimal(AvroDecimal("\xff\x7f" + std::string(15, '\xff'))), "none");
  EXPECT_EQ(Decimal(AvroDecimal(std::string(100, '\xff'))), "-1");
}

TEST(AvroWalkTest, DecimalsAreRoundedHalfUp) {
  const auto rescale = [](int64_t value, int from, int to, int precision) {
    return Decimal(RescaleAvroDecimal(value, from, to, precision));
  };
  EXPECT_EQ(rescale(1234, 2, 2, 4), "1234");
  EXPECT_EQ(rescale(1234, 2, 2, 3), "none");
  EXPECT_EQ(rescale(-9999, 2, 1, 3), "none");
  EXPECT_EQ(rescale(1245, 3, 2, 3), "125");
  EXPECT_EQ(rescale(-1245, 3, 2, 3), "-125");
  EXPECT_EQ(rescale(1244, 3, 2, 3), "124");
  EXPECT_EQ(rescale(1, 0, 37, 38), "10000000000000000000000000000000000000");
  EXPECT_EQ(rescale(1, 0, 38, 38), "none");
  EXPECT_EQ(rescale(0, 0, 100, 38), "0");
  EXPECT_EQ(rescale(7, 100, 0, 38), "0");
  EXPECT_EQ(rescale(INT64_MAX, 38, 0, 1), "0");
  EXPECT_EQ(rescale(INT64_MAX, 19, 0, 1), "1");
}

TEST(AvroWalkTest, Timestamps) {
  EXPECT_EQ(AvroTimestampMicros(-1, AvroLogical::kTimestampMillis), -1000);
  EXPECT_EQ(AvroTimestampMicros(INT64_MIN, AvroLogical::kTimestampMillis), std::nullopt);
  EXPECT_EQ(AvroTimestampMicros(INT64_MIN, AvroLogical::kTimestampMicros), INT64_MIN);
  EXPECT_EQ(AvroTimestampMicros(-1, AvroLogical::kLocalTimestampNanos), -1);
}

TEST(AvroWalkTest, CursorsSeeTheEnd) {
  const std::string bytes = "\x80\x80";
  AvroCursor cursor(bytes);
  int64_t value;
  EXPECT_FALSE(cursor.ReadLong(&value));
  EXPECT_EQ(AvroFaultText(cursor), "the datum ends in it");
  // What may be read behind the datum is not the datum's.
  const std::string padded = "\x80\x80\x01        ";
  AvroCursor before(std::string_view(padded).substr(0, 2), padded.size() - 2);
  EXPECT_FALSE(before.ReadLong(&value));
  EXPECT_EQ(before.fault(), AvroCursor::Fault::kEnd);
  // Ten bytes are the most, and of the tenth only one bit.
  const std::string most = std::string(9, '\xff') + "\x01";
  EXPECT_TRUE(AvroCursor(most).ReadLong(&value));
  EXPECT_EQ(value, INT64_MIN);
  for (const std::string& more :
       {std::string(9, '\xff') + "\x02", std::string(10, '\xff') + "\x01"}) {
    AvroCursor too_long(more, 0);
    EXPECT_FALSE(too_long.ReadLong(&value));
    EXPECT_EQ(too_long.fault(), AvroCursor::Fault::kNumber);
  }
}

}  // namespace
}  // namespace tidemark
