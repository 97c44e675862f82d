#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_PATHS_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_PATHS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/formats/json_document.h"

namespace tidemark {

/// The places in a document that a schema names, compiled to a tree of members, so that each object
/// is walked once, in any order of its members. Not thread-safe (Locate keeps a buffer).
class JsonPaths {
 public:
  /// The member names of a JSON pointer (RFC 6901): `/payload/after/id`, with `~0` for `~` and `~1`
  /// for `/`. InvalidArgument: another use of `~`, or no `/` at the start.
  static absl::StatusOr<std::vector<std::string>> ParsePointer(std::string_view pointer);

  /// Adds a path; its place in `Locate`'s answer is the number of paths added before. False: that
  /// path is there already. A name that is a number also means that element of an array.
  bool Add(const std::vector<std::string>& names);
  /// Call once, after the last Add.
  void Finish();

  /// Finds each path's value: `found[i]` for the i-th path; `found` has room for one value more. Of
  /// members of the same name the last one counts. A path that runs through a missing member, null
  /// or a scalar has no value.
  void Locate(const JsonDocument& document, JsonValue* found);

 private:
  static constexpr uint32_t kInner = UINT32_MAX;
  // A member's name with its first and last 8 bytes (or fewer), by which most comparisons are done.
  struct Entry {
    uint64_t head = 0;
    uint64_t tail = 0;
    uint32_t size = 0;
    uint32_t node = 0;   // 0, the root, is nobody's child: an empty slot
    uint32_t place = 0;  // of the child, or kInner if it has children of its own
    uint32_t child = 0;  // in `children`
  };
  struct Child {
    std::string name;
    uint32_t node;
  };
  struct Node {
    int32_t place = -1;           // in `found`
    std::vector<Child> children;  // as added
    std::vector<Entry> table;     // the children by name: open addressing, at most an eighth full
    std::vector<uint32_t> below;  // the places of all paths that run through this node
  };

  const Entry& FindChild(const Node& node, std::string_view name) const;
  std::string_view Unescaped(std::string_view name);
  uint32_t WalkObject(const JsonDocument& document, const Node& node, uint32_t i, JsonValue* found);
  uint32_t WalkArray(const JsonDocument& document, const Node& node, uint32_t i, JsonValue* found);
  uint32_t Take(const JsonDocument& document, const Entry& entry, uint32_t i, JsonValue* found);
  uint32_t Enter(const JsonDocument& document, const Node& node, uint32_t i, JsonValue* found);

  std::vector<Node> nodes_ = std::vector<Node>(1);
  size_t path_count_ = 0;
  std::string unescaped_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_PATHS_H_
