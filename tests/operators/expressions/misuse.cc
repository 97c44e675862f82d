// Compiled by the tests with MISUSE=0, which must compile, and with each other number, which must
// not: see CMakeLists.txt.
#include <cstdint>

#include "tidemark/operators/expressions/functions.h"

namespace tidemark {

Expr Use(Expr a, uint64_t big) {
#if MISUSE == 0
  (void)big;
  return If(Col("a") == 1, a, Lit("x"));
#elif MISUSE == 1
  return Col("a") = 1;
#elif MISUSE == 2
  return If("x", a, a);
#elif MISUSE == 3
  return a == big;
#elif MISUSE == 4
  return a == 'c';
#elif MISUSE == 5
  if (a == 1) return a;
  return Col("b");
#elif MISUSE == 6
  return a && "x";
#elif MISUSE == 7
  return Col("a") = Col("b");
#elif MISUSE == 8
  return "delete";
#elif MISUSE == 9
  return Concat({"a", "b"});
#elif MISUSE == 10
  return a + "x";
#endif
}

}  // namespace tidemark
