#ifndef TIDEMARK_TESTS_OPERATORS_FORMATS_DECODE_TEXT_H_
#define TIDEMARK_TESTS_OPERATORS_FORMATS_DECODE_TEXT_H_

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/formats/format.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {

/// Records whose bytes lie one after another, as in a fetch buffer (`padded`, with other bytes
/// behind the last one), or each in memory of exactly its own size, so that a sanitizer sees a read
/// past its end.
class TestRecords {
 public:
  TestRecords(const std::vector<std::string>& values, bool padded) {
    size_t size = kRecordPadding;
    for (const std::string& value : values) size += value.size();
    if (padded) memory_.push_back(std::make_unique<char[]>(size));
    char* at = padded ? memory_.back().get() : nullptr;
    for (const std::string& value : values) {
      if (!padded) {
        memory_.push_back(std::make_unique<char[]>(value.size()));
        at = memory_.back().get();
      }
      std::memcpy(at, value.data(), value.size());
      RawRecord record;
      record.value = {at, value.size()};
      record.has_value = true;
      record.padded = padded;
      record.offset = static_cast<int64_t>(records_.records.size());
      records_.records.push_back(record);
      records_.bytes += value.size();
      at += value.size();
    }
    // What a parser that runs past the end would like best.
    if (padded) std::memset(at, '}', kRecordPadding);
  }

  RawRecords& records() { return records_; }

 private:
  RawRecords records_;
  std::vector<std::unique_ptr<char[]>> memory_;
};

/// A row a line, as a JSON array, then a line for each bad record: `bad 3 wrong_type: field 'a':
/// ...`.
inline std::string Text(const RowBatch& batch, const std::vector<BadRecord>& bad) {
  std::string text;
  for (size_t row = 0; row < batch.num_rows(); ++row) {
    text += '[';
    for (size_t i = 0; i < batch.columns().size(); ++i) {
      if (i > 0) text += ',';
      AppendJsonValue(batch.column(i), row, &text);
    }
    text += "]\n";
  }
  for (const BadRecord& record : bad) {
    text += std::string("bad ") + std::to_string(record.index) + ' ' +
            std::string(BadReasonName(record.reason)) + ": " + record.detail + '\n';
  }
  return text;
}

/// Decodes `values` with and without padding and checks that it gives the same.
inline std::string DecodeText(const FormatSpec& spec, const std::vector<std::string>& values,
                              bool keep_bad_rows = false) {
  auto decoder = MakeDecoder(spec);
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  if (!decoder.ok()) return "";
  std::string texts[2];
  for (bool padded : {false, true}) {
    TestRecords records(values, padded);
    std::vector<BadRecord> bad;
    const RowBatch batch = (*decoder)->Decode(records.records(), keep_bad_rows, &bad);
    EXPECT_EQ(batch.records(), &records.records());
    EXPECT_EQ(batch.num_rows() + (keep_bad_rows ? 0 : bad.size()), values.size());
    texts[padded] = Text(batch, bad);
  }
  EXPECT_EQ(texts[0], texts[1]);
  return texts[1];
}

inline std::string DecodeText(const Schema& schema, const std::vector<std::string>& values,
                              bool keep_bad_rows = false) {
  return DecodeText(Json(schema), values, keep_bad_rows);
}

/// The one value of the one field `v` that `{"v":<value>}` gives, or what is bad about it:
/// `wrong_type: field 'v': ...`.
inline std::string DecodeValue(const Schema& schema, const std::string& value) {
  const std::string text = DecodeText(schema, {std::string("{\"v\":") + value + "}"});
  if (text.starts_with("bad 0 ")) return text.substr(6, text.size() - 7);
  EXPECT_TRUE(text.starts_with("[") && text.ends_with("]\n")) << text;
  return text.substr(1, text.size() - 3);
}

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_FORMATS_DECODE_TEXT_H_
