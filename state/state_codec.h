#ifndef TIDEMARK_STATE_STATE_CODEC_H_
#define TIDEMARK_STATE_STATE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// The keys of one operator's rows in the store: groups by window end and key, counts by window
/// end. Both sort by window end. A plain value.
class StateKeys {
 public:
  static constexpr size_t kWindowBytes = 12;  ///< operator and window end

  explicit StateKeys(uint32_t operator_id) : operator_id_(operator_id) {}

  /// What the keys of a window's groups begin with.
  std::string Window(int64_t window_end) const { return Key(operator_id_, window_end); }
  /// Past the keys of all groups with this window end or an earlier one.
  std::string WindowsEnd(int64_t window_end) const { return After(Window(window_end)); }
  std::string Count(int64_t window_end) const { return Key(CountsId(), window_end); }
  std::string CountsEnd(int64_t window_end) const { return After(Count(window_end)); }
  /// The window end of a count row's key, if it is one.
  static std::optional<int64_t> ParseCountKey(std::string_view key);

 private:
  uint32_t CountsId() const { return operator_id_ | (uint32_t{1} << 31); }
  static std::string Key(uint32_t id, int64_t window_end);
  /// The least string above all that begin with `prefix`.
  static std::string After(std::string prefix);

  uint32_t operator_id_;
};

std::string EncodeCount(int64_t count);
std::optional<int64_t> DecodeCount(std::string_view value);

/// The value of a group's row: bytes and meaning as WindowTable says. The view is into `buffer` or
/// the slot itself.
std::string_view EncodeSlot(const SlotLayout& layout, const std::byte* slot, std::string* buffer);
/// Fills a slot from a row; its blobs point into `value` and have no capacity. False if the row has
/// not the size that it says.
bool DecodeSlot(const SlotLayout& layout, std::string_view value, std::byte* slot);
/// DataLoss: a row of `size` bytes is none of this layout.
absl::Status BadRowError(size_t size, const SlotLayout& layout);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_STATE_CODEC_H_
