#ifndef TIDEMARK_OPERATORS_FORMATS_UTF8_REPAIR_H_
#define TIDEMARK_OPERATORS_FORMATS_UTF8_REPAIR_H_

#include <string>
#include <string_view>

namespace tidemark {

/// `bytes` as valid UTF-8, for text columns that show raw bytes (`_corrupt_record`, header values):
/// each byte that is not part of a valid sequence becomes U+FFFD.
std::string RepairUtf8(std::string_view bytes);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_UTF8_REPAIR_H_
