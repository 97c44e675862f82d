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
/// end, runs by window end, shard and number. All sort by window end. A plain value.
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
  /// What the keys of the runs of one window and shard begin with.
  std::string Runs(int64_t window_end, uint32_t shard) const;
  /// Past the keys of the runs of this window and shard.
  std::string RunsEnd(int64_t window_end, uint32_t shard) const {
    return Runs(window_end, shard + 1);
  }
  /// What the keys of all runs of a window begin with, and past those of it and the earlier ones.
  std::string WindowRuns(int64_t window_end) const { return Key(RunsId(), window_end); }
  std::string WindowsRunsEnd(int64_t window_end) const { return After(WindowRuns(window_end)); }
  std::string Run(int64_t window_end, uint32_t shard, uint64_t number) const;
  /// The number of a run, from its key.
  static std::optional<uint64_t> ParseRunKey(std::string_view key);
  /// The window end of a count row's key, if it is one.
  static std::optional<int64_t> ParseCountKey(std::string_view key);

 private:
  uint32_t CountsId() const { return operator_id_ | (uint32_t{1} << 31); }
  uint32_t RunsId() const { return operator_id_ | (uint32_t{1} << 30); }
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
/// A run: many groups of one window and shard in one value, each as [tag, 4 bytes little-endian]
/// [key size][value size][key][value as in a row, packed]; sizes are varints (7 bits a byte, low
/// ones first, of the unpacked value). Packed: the value as words of 8 bytes little-endian, the
/// last one filled up with zeros; for every two words a byte with their widths (low half: the first
/// one's), then their low bytes. A width of 0 to 8: that many bytes are there, the rest are zeros;
/// of 9 to 15: width - 8 bytes are there, the rest are 0xFF. Counts and sums are small numbers
/// mostly: a run is a third of its groups' rows.
void AppendToRun(uint32_t tag, std::string_view key, std::string_view value, std::string* run);
/// Takes the first group off a run; `value` is in `buffer`. False if the run is damaged.
bool TakeFromRun(std::string_view* run, uint32_t* tag, std::string_view* key,
                 std::string_view* value, std::string* buffer);

/// DataLoss: a row of `size` bytes is none of this layout.
absl::Status BadRowError(size_t size, const SlotLayout& layout);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_STATE_CODEC_H_
