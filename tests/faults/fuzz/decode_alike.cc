#include "tests/faults/fuzz/decode_alike.h"

#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <vector>

#include "tests/faults/fuzz/judges.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark::testing {
namespace {

// The records' bytes, each in memory of its own, so that a sanitizer sees a read past its end.
class Memory {
 public:
  Memory(const std::vector<std::string_view>& values, bool padded) {
    for (std::string_view value : values) {
      const size_t size = value.size() + (padded ? kRecordPadding : 0);
      bytes_.push_back(std::make_unique<char[]>(size));
      // What a parser that runs past the end would like best.
      std::memset(bytes_.back().get(), '}', size);
      if (!value.empty()) std::memcpy(bytes_.back().get(), value.data(), value.size());
      RawRecord record;
      record.value = {bytes_.back().get(), value.size()};
      record.has_value = true;
      record.padded = padded;
      record.offset = static_cast<int64_t>(records_.records.size());
      records_.records.push_back(record);
      records_.bytes += value.size();
    }
  }
  const RawRecords& records() const { return records_; }

 private:
  RawRecords records_;
  std::vector<std::unique_ptr<char[]>> bytes_;
};

std::string RowText(const RowBatch& batch, size_t row) {
  std::string text = "{";
  for (size_t i = 0; i < batch.columns().size(); ++i) {
    if (batch.column(i).IsNull(row)) continue;
    if (text.size() > 1) text += ',';
    AppendJsonString(batch.schema().field(i).name, &text);
    text += ':';
    AppendJsonValue(batch.column(i), row, &text);
  }
  return text + "}";
}

// A verdict a record.
std::vector<std::string> Verdicts(const FormatSpec& spec,
                                  const std::vector<std::string_view>& values, bool padded,
                                  bool keep_bad_rows) {
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = MakeDecoder(spec);
  if (!decoder.ok()) {
    std::fprintf(stderr, "%s\n", decoder.status().ToString().c_str());
    std::abort();
  }
  const Memory memory(values, padded);
  std::vector<BadRecord> bad;
  const RowBatch batch = (*decoder)->Decode(memory.records(), keep_bad_rows, &bad);
  std::vector<std::string> verdicts(values.size());
  uint32_t last = 0;
  for (const BadRecord& record : bad) {
    MustAgree("", record.index >= last && record.index < values.size() ? "" : "out of order",
              "the bad records' places");
    last = record.index + 1;
    verdicts[record.index] =
        fmt::format("refused {}: {}", BadReasonName(record.reason), record.detail);
  }
  MustAgree(std::to_string(values.size()),
            std::to_string(batch.num_rows() + (keep_bad_rows ? 0 : bad.size())),
            "records and rows");
  size_t row = 0;
  for (std::string& verdict : verdicts) {
    const bool good = verdict.empty();
    if (!good && !keep_bad_rows) continue;
    const std::string text = RowText(batch, row++);
    if (good) verdict = "accepted " + text;
  }
  return verdicts;
}

}  // namespace

std::string DecodeAlike(const FormatSpec& spec, std::string_view good, std::string_view bytes) {
  const std::string alone = Verdicts(spec, {bytes}, false, false)[0];
  MustAgree(alone, Verdicts(spec, {bytes}, true, false)[0], "without and with padding");
  const std::string good_alone = Verdicts(spec, {good}, true, false)[0];
  std::vector<std::string_view> many = {good, bytes, bytes, bytes, good};
  // Enough for the ways that are taken for many records at once.
  if (bytes.size() < 4096) {
    many.insert(many.end(), {bytes, good, good, good, good, good, good, bytes, good});
  }
  for (const bool padded : {false, true}) {
    for (const bool keep_bad_rows : {false, true}) {
      const std::vector<std::string> verdicts = Verdicts(spec, many, padded, keep_bad_rows);
      for (size_t i = 0; i < many.size(); ++i) {
        const bool is_good = many[i].data() == good.data() && many[i].size() == good.size();
        MustAgree(is_good ? good_alone : alone, verdicts[i], "alone and among others");
      }
    }
  }
  return alone;
}

}  // namespace tidemark::testing
