#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_ROWS_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_ROWS_H_

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {

/// Where a row stands in its table's order: its id (`key` is then the same), or its timestamp in
/// microseconds and what tells it from others of that time: the id, or a hash of the key, which two
/// of the n rows of one microsecond share with a chance of n^2 / 2^65 (1 in 37 million for a
/// million rows).
struct RowPosition {
  int64_t value = 0;
  uint64_t key = 0;

  friend auto operator<=>(const RowPosition&, const RowPosition&) = default;
};
/// Adds a part of a key to the bytes whose hash is RowPosition::key.
inline void AppendKeyPart(std::string_view part, std::string* key) {
  const auto size = static_cast<uint32_t>(part.size());
  key->append(reinterpret_cast<const char*>(&size), sizeof(size)).append(part);
}

/// The rows of one poll: encoded (formats/row_format.h), with their positions. Filled by one
/// thread, then read-only.
struct PolledRows {
  int64_t first_offset = 0;  ///< of the first row, in the source's count
  std::string bytes;         ///< all rows, then kRecordPadding
  std::vector<size_t> ends;  ///< of each row in `bytes`
  std::vector<RowPosition> positions;
  /// Timestamp modes: where the next pass over the table begins.
  std::optional<int64_t> look_back_from;

  size_t size() const { return ends.size(); }
  int64_t end_offset() const { return first_offset + static_cast<int64_t>(size()); }
  std::string_view row(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return {bytes.data() + begin, ends[i] - begin};
  }
};

/// How far a table has been read. By timestamp a table is read in passes, each in the order of time
/// from `look_back_from` of the pass before up to the end.
struct PollingCursor {
  int64_t offset = 0;                     ///< rows delivered since the query began
  std::optional<int64_t> last;            ///< the last row's id, or timestamp: its pass is there
  std::optional<int64_t> look_back_from;  ///< where the next pass begins
  std::optional<int64_t> highest;         ///< of all ids or timestamps delivered: for people

  /// Timestamp modes: the rows delivered from here on may be read again, so they are remembered. It
  /// never moves back.
  int64_t seen_from() const {
    const int64_t reached = last.value_or(INT64_MIN);
    return std::min(reached, look_back_from.value_or(reached));
  }
  /// Goes on by the first `count` of `rows`, which begin at `offset`.
  void Advance(const PolledRows& rows, size_t count);
};

/// Bytes for the checkpoint and back; nothing if they are none of ours.
std::string EncodeCursor(const PollingCursor& cursor);
std::optional<PollingCursor> DecodeCursor(std::string_view bytes);
/// A cursor of a layout that was given up: with the keys of the look-back in it.
bool IsOldCursor(std::string_view bytes);

/// Sorted positions as differences: ids that follow each other within 64 us take 2 bytes, hashes
/// about 10. Decode replaces `positions`; false if the bytes are none of ours.
std::string EncodePositions(const RowPosition* begin, const RowPosition* end);
bool DecodePositions(std::string_view bytes, std::vector<RowPosition>* positions);

/// The checkpoint's row with the positions (sorted, at least one) that one batch adds to those
/// remembered; `first_offset` is the batch's. Its key begins with SeenBlockTime of the highest.
std::pair<std::string, std::string> EncodeSeenBlock(int64_t first_offset,
                                                    const std::vector<RowPosition>& positions);
bool DecodeSeenBlock(std::string_view key, std::string_view value,
                     std::vector<RowPosition>* positions);
/// Ordered as the times are.
std::string SeenBlockTime(int64_t time);

/// The rows with the offsets [start, end) of `polls` (consecutive, covering them), and back.
std::string EncodePolls(const std::vector<std::shared_ptr<const PolledRows>>& polls, int64_t start,
                        int64_t end);
std::optional<std::vector<std::shared_ptr<const PolledRows>>> DecodePolls(std::string_view bytes);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_ROWS_H_
