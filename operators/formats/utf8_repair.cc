#include "tidemark/operators/formats/utf8_repair.h"

#include "tidemark/operators/rows/text.h"

namespace tidemark {

std::string RepairUtf8(std::string_view bytes) {
  if (IsValidUtf8(bytes)) return std::string(bytes);
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto lead = static_cast<unsigned char>(bytes[0]);
    const size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (size <= bytes.size() && IsValidUtf8(bytes.substr(0, size))) {
      text += bytes.substr(0, size);
      bytes.remove_prefix(size);
    } else {
      text += "\uFFFD";
      bytes.remove_prefix(1);
    }
  }
  return text;
}

}  // namespace tidemark
