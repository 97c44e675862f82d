#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_SHAPE_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_SHAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tidemark/operators/formats/json_document.h"

namespace tidemark {

/// The tokens of a document met before: its brackets, commas and names, and where the wanted values
/// stood. Programs write their records alike, so the next one mostly has the same shape: then it is
/// known to be valid JSON, and its values are where they were, after one pass that compares instead
/// of checking the grammar and looking each name up. Belongs to one thread.
class JsonShape {
 public:
  /// True if the document (scanned, its grammar not checked) has the shape learned last, and its
  /// scalars are valid: then it is valid, and `values()` has its values. False tells nothing.
  bool Matches(const JsonDocument& document);
  /// After a document that did not match: remembers its shape, now and then (always at first, ever
  /// more rarely while no record matches). `found` are its values, `count` of them.
  void Learn(const JsonDocument& document, const JsonValue* found, size_t count);
  /// Those of the learned document.
  const JsonValue* values() const { return values_.data(); }

 private:
  // What comes next: a name with its colon, a scalar, or one of `{ } [ ] ,`.
  struct Step {
    static constexpr char kName = '"';
    static constexpr char kScalar = 's';
    char kind = kScalar;
    uint32_t size = 0;        // kName: of the text `"name":`
    uint32_t text_begin = 0;  // kName: where it stands in `names_`
  };

  std::vector<Step> steps_;
  std::string names_;
  std::vector<JsonValue> values_;
  uint32_t token_count_ = 0;
  uint32_t misses_ = 0;
  uint32_t patience_ = 1;  // so many misses until the next shape is learned
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_SHAPE_H_
