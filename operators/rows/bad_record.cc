#include "tidemark/operators/rows/bad_record.h"

namespace tidemark {

std::string_view BadReasonName(BadReason reason) {
  switch (reason) {
    case BadReason::kParseError:
      return "parse_error";
    case BadReason::kInvalidUtf8:
      return "invalid_utf8";
    case BadReason::kWrongType:
      return "wrong_type";
    case BadReason::kOutOfRange:
      return "out_of_range";
    case BadReason::kTooLarge:
      return "too_large";
    case BadReason::kTooDeep:
      return "too_deep";
    case BadReason::kNotAnObject:
      return "not_an_object";
    case BadReason::kNullValue:
      return "null_value";
    case BadReason::kExpression:
      return "expression";
    case BadReason::kShortHeader:
      return "short_header";
    case BadReason::kWrongMagic:
      return "wrong_magic";
    case BadReason::kUnknownSchema:
      return "unknown_schema";
  }
  return "unknown";
}

}  // namespace tidemark
