#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_STEP_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_STEP_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/operators/formats/avro_schema.h"

namespace tidemark {

/// How values of one writer's type are read as one reader's type (Avro 1.11, "Schema Resolution").
/// What is on the wire is always `writer`; which members count depends on its kind.
struct AvroStep {
  const AvroType* writer = nullptr;
  /// Never a union, unless `writer` is one.
  const AvroType* reader = nullptr;
  /// Not empty: no value can be read, for this reason.
  std::string mismatch;
  /// What the value means: as the writer says, or else the reader.
  AvroLogical logical = AvroLogical::kNone;
  int scale = 0;  ///< decimal

  struct Field {
    const AvroType* writer;
    const AvroField* reader;  ///< null: the reader does not have it, it is skipped
    const AvroStep* step;     ///< null with `reader`
  };
  struct Default {
    const AvroField* reader;  ///< has a default datum
    const AvroStep* step;     ///< of that datum
  };
  std::vector<Field> fields;                   ///< record, in the order written
  std::vector<Default> defaults;               ///< record: what the writer does not have
  std::vector<const AvroStep*> steps;          ///< union: by branch; array, map: one
  std::vector<std::optional<size_t>> symbols;  ///< enum: the reader's symbol of each written one
};

/// Two schemas resolved. Immutable; keeps both schemas alive.
class AvroResolution {
 public:
  AvroResolution(std::shared_ptr<const AvroSchema> writer,
                 std::shared_ptr<const AvroSchema> reader);
  AvroResolution(const AvroResolution&) = delete;
  AvroResolution& operator=(const AvroResolution&) = delete;

  /// What is wrong with it is in the steps: a mismatch in a branch of a union, or in an item,
  /// counts only when such a value comes.
  const AvroStep& root() const { return *root_; }

 private:
  const AvroStep* Resolve(const AvroType* writer, const AvroType* reader);
  const AvroType* Branch(const AvroType& writer, const AvroType& reader) const;
  void ResolveRecord(AvroStep* step);
  void ResolveEnum(AvroStep* step) const;

  const std::shared_ptr<const AvroSchema> writer_;
  const std::shared_ptr<const AvroSchema> reader_;
  std::deque<AvroStep> steps_;  // never move
  std::map<std::pair<const AvroType*, const AvroType*>, const AvroStep*> resolved_;
  const AvroStep* root_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_STEP_H_
