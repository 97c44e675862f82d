#ifndef TIDEMARK_EXAMPLES_REQUIRE_H_
#define TIDEMARK_EXAMPLES_REQUIRE_H_

#include <string>

#include "tidemark/engine/pipeline.h"

namespace tidemark::examples {

/// `value`, a column of `type`, where `condition` is true. Elsewhere the row fails, which makes it
/// a bad record, counted and kept as --bad-records says; its reason quotes `rule`.
inline Expr Require(const Expr& value, const Expr& condition, DataType type,
                    const std::string& rule) {
  return If(condition, value, Cast(Lit("rule broken: " + rule), type));
}

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_REQUIRE_H_
