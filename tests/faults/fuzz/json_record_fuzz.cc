#include <simdjson.h>

#include <string>
#include <string_view>

#include "tests/faults/fuzz/decode_alike.h"
#include "tests/faults/fuzz/judges.h"

namespace tidemark::testing {
namespace {

// Every type of column.
FormatSpec Spec() {
  return Json(Schema()
                  .Bool("b")
                  .Int32("i")
                  .Int64("l")
                  .Double("d")
                  .Decimal("m", 10, 2)
                  .Decimal("w", 38, 0)
                  .String("s")
                  .Bytes("y")
                  .Date("t")
                  .Timestamp("ts")
                  .Timestamp("es")
                  .EpochSeconds()
                  .Timestamp("em")
                  .EpochMillis()
                  .Timestamp("eu")
                  .EpochMicros()
                  .Timestamp("z")
                  .Zone("Europe/Berlin")
                  .Int64("id")
                  .At("/payload/after/id")
                  .String("after")
                  .At("/payload/after")
                  .Int64("second")
                  .At("/list/1"));
}

// What the grammar alone says, by another parser.
enum class Grammar { kObject, kOther, kRefused, kInvalidUtf8, kUnknown };

Grammar GrammarOf(std::string_view text) {
  simdjson::dom::parser parser;
  if (parser.allocate(std::max<size_t>(text.size(), 32), 2000) != simdjson::SUCCESS) {
    return Grammar::kUnknown;
  }
  const auto document = parser.parse(text.data(), text.size());
  switch (document.error()) {
    case simdjson::SUCCESS:
      return document.is_object() ? Grammar::kObject : Grammar::kOther;
    case simdjson::UTF8_ERROR:
      return Grammar::kInvalidUtf8;
    case simdjson::NUMBER_ERROR:  // of a number past 64 bits too
    case simdjson::DEPTH_ERROR:
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return Grammar::kUnknown;
    default:
      return Grammar::kRefused;
  }
}

void MustFit(std::string_view bytes, const std::string& verdict) {
  const auto is = [&](std::string_view reason) { return verdict.starts_with(reason); };
  const bool broken = is("refused parse_error") || is("refused invalid_utf8") ||
                      is("refused too_large") || is("refused not_an_object");
  bool fits = true;
  switch (GrammarOf(bytes)) {
    case Grammar::kObject:
      fits = !broken;
      break;
    case Grammar::kOther:
      fits = is("refused not_an_object") || is("refused too_deep");
      break;
    case Grammar::kRefused:
      fits = is("refused parse_error") || is("refused too_deep");
      break;
    case Grammar::kInvalidUtf8:
      fits = is("refused invalid_utf8") || is("refused parse_error");
      break;
    case Grammar::kUnknown:
      break;
  }
  MustAgree("", fits ? "" : verdict, "the grammar by simdjson and by us");
}

}  // namespace

std::string JudgeJsonRecord(std::string_view bytes) {
  const std::string verdict =
      DecodeAlike(Spec(), R"({"i":1,"s":"a","payload":{"after":{"id":7}}})", bytes);
  if (bytes.size() <= size_t{16} << 20) MustFit(bytes, verdict);
  return verdict;
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeJsonRecord);
