#ifndef TIDEMARK_TESTS_FAULTS_FUZZ_DECODE_ALIKE_H_
#define TIDEMARK_TESTS_FAULTS_FUZZ_DECODE_ALIKE_H_

#include <string>
#include <string_view>

#include "tidemark/operators/formats/format.h"

namespace tidemark::testing {

/// The verdict on one record: `accepted {"a":1}` (nulls left out) or `refused wrong_type: ...`.
/// Decodes it alone and among others (`good`, a record that is accepted, before and after it),
/// padded and in memory of exactly its size, with and without rows for bad records: all must agree.
std::string DecodeAlike(const FormatSpec& spec, std::string_view good, std::string_view bytes);

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_FUZZ_DECODE_ALIKE_H_
