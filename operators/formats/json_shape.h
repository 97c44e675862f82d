#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_SHAPE_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_SHAPE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/formats/json_document.h"

namespace tidemark {

/// A document met before: its text without its scalars, and where the wanted values stood. Programs
/// write their records alike, so the next one mostly differs in its scalars alone: then one pass
/// that compares what stands between them and looks at each of them is all that is needed to know
/// that it is valid, and where its values are. Belongs to one thread.
class JsonShape {
 public:
  /// True if `text` is the document learned last but for its scalars, and those are valid: then it
  /// is valid JSON and UTF-8, and `values()` has its values. False tells nothing. kRecordPadding
  /// bytes after the text may be read.
  bool Matches(std::string_view text);
  /// After a document that did not match: remembers its shape, now and then (always at first, ever
  /// more rarely while no record matches). `found` are its values, `count` of them.
  void Learn(const JsonDocument& document, const JsonValue* found, size_t count);
  /// Those of the document that matched; into its text.
  const JsonText* values() const { return values_.data(); }

 private:
  static constexpr uint32_t kUnwanted = UINT32_MAX;

  // Some text, and the scalar behind it.
  struct Step {
    uint32_t size = 0;   // of the text
    uint32_t begin = 0;  // where it stands in `texts_`
    uint32_t value = kUnwanted;
  };
  // A wanted object or array: from a place in one step's text to one in another's.
  struct Container {
    uint32_t value = 0;
    uint32_t first_step = 0;
    uint32_t first_byte = 0;
    uint32_t last_step = 0;
    uint32_t past_byte = 0;
  };

  void Forget();

  std::vector<Step> steps_;  // the last one's scalar is the end
  std::string texts_;
  std::vector<Container> containers_;
  std::vector<const char*> at_;  // where each step's text stands in the document that matches
  std::vector<JsonText> values_;
  uint32_t misses_ = 0;
  uint32_t patience_ = 1;  // so many misses until the next shape is learned
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_SHAPE_H_
