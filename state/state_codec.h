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
/// end, pages of runs by window end, shard and number, and the runs' index rows by window end,
/// shard and their first page's number. All sort by window end. A plain value.
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
  /// What the keys of the pages of one window and shard begin with, and past them.
  std::string Pages(int64_t window_end, uint32_t shard) const;
  std::string PagesEnd(int64_t window_end, uint32_t shard) const {
    return Pages(window_end, shard + 1);
  }
  std::string Page(int64_t window_end, uint32_t shard, uint64_t number) const;
  /// The same of the index rows.
  std::string RunIndexes(int64_t window_end, uint32_t shard) const {
    return Pages(window_end, shard | kIndexShard);
  }
  std::string RunIndexesEnd(int64_t window_end, uint32_t shard) const {
    return RunIndexes(window_end, shard + 1);
  }
  std::string RunIndex(int64_t window_end, uint32_t shard, uint64_t first_page) const {
    return Page(window_end, shard | kIndexShard, first_page);
  }
  /// What the keys of all pages and index rows of a window begin with, and past those of it and the
  /// earlier ones.
  std::string WindowRuns(int64_t window_end) const { return Key(RunsId(), window_end); }
  std::string WindowsRunsEnd(int64_t window_end) const { return After(WindowRuns(window_end)); }
  /// The number in the key of a page or an index row.
  static std::optional<uint64_t> ParsePageNumber(std::string_view key);
  /// The window end of a count row's key, if it is one.
  static std::optional<int64_t> ParseCountKey(std::string_view key);

  /// False: a row of somebody else (operators' numbers are below 2^29).
  static bool IsOfTable(std::string_view key) {
    constexpr unsigned char kOther = 1u << (29 - 24);
    return key.empty() || (static_cast<unsigned char>(key.front()) & kOther) == 0;
  }
  /// Whose row a key belongs to, whatever the operator; nothing if it is too short.
  enum class Kind : uint8_t { kGroup, kPage, kRunIndex, kCount };
  struct Parsed {
    Kind kind;
    uint32_t operator_id;
    int64_t window_end;
  };
  static std::optional<Parsed> Parse(std::string_view key);

 private:
  static constexpr uint32_t kCounts = uint32_t{1} << 31;
  static constexpr uint32_t kRuns = uint32_t{1} << 30;
  static constexpr uint32_t kIndexShard = uint32_t{1} << 31;
  uint32_t CountsId() const { return operator_id_ | kCounts; }
  uint32_t RunsId() const { return operator_id_ | kRuns; }
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
/// What a commit touched of one window and shard, each group once, in 2^page_bits pages: a group is
/// in the page that the upper bits of its tag number. Pages of all runs are numbered on.
struct StoredRun {
  uint64_t first_page = 0;
  uint32_t page_bits = 0;
  int64_t groups = 0;

  uint64_t pages() const { return uint64_t{1} << page_bits; }
  uint64_t end() const { return first_page + pages(); }
  uint64_t PageOf(uint32_t tag) const { return first_page + (uint64_t{tag} >> (32 - page_bits)); }
};
/// The bits of a run of so many groups: pages of 256 to 512.
uint32_t PageBitsFor(size_t groups);
/// An index row's value: bits, 1 byte; groups, 8 bytes little-endian.
std::string EncodeRunIndex(const StoredRun& run);
std::optional<StoredRun> DecodeRunIndex(uint64_t first_page, std::string_view value);

/// A page: groups of one window and shard in one value, each as [tag, 4 bytes little-endian]
/// [key size][value size][key][value as in a row, packed]; sizes are varints (7 bits a byte, low
/// ones first, of the unpacked value). Packed: the value as words of 8 bytes little-endian, the
/// last one filled up with zeros; for every two words a byte with their widths (low half: the first
/// one's), then their low bytes. A width of 0 to 8: that many bytes are there, the rest are zeros;
/// of 9 to 15: width - 8 bytes are there, the rest are 0xFF. Counts and sums are small numbers
/// mostly: a page is a third of its groups' rows.
class PageWriter {
 public:
  void Append(uint32_t tag, std::string_view key, std::string_view value);
  /// The page so far; until the next Append or Clear.
  std::string_view bytes() const { return {buffer_.data(), size_}; }
  void Clear() { size_ = 0; }

 private:
  std::string buffer_;  // its size is what was made room for
  size_t size_ = 0;
};

/// Walks over a page, whose bytes outlive it.
class PageReader {
 public:
  explicit PageReader(std::string_view page) : rest_(page) {}

  /// The next group. False at the end, or if the page is damaged.
  bool Next();
  bool damaged() const { return damaged_; }
  uint32_t tag() const { return tag_; }
  std::string_view key() const { return key_; }
  /// Its value, unpacked into `buffer`; nothing if it is damaged.
  std::optional<std::string_view> Value(std::string* buffer) const;

 private:
  std::string_view rest_;
  std::string_view packed_;  // this group's
  std::string_view key_;
  size_t value_size_ = 0;
  uint32_t tag_ = 0;
  bool damaged_ = false;
};

/// DataLoss: a row of `size` bytes is none of this layout.
absl::Status BadRowError(size_t size, const SlotLayout& layout);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_STATE_CODEC_H_
