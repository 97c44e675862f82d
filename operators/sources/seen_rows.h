#ifndef TIDEMARK_OPERATORS_SOURCES_SEEN_ROWS_H_
#define TIDEMARK_OPERATORS_SOURCES_SEEN_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "tidemark/operators/sources/polling_rows.h"

namespace tidemark {

/// The rows of a look-back: a set of positions, kept sorted and as differences in chunks of a few
/// hundred. A row takes 3 to 5 bytes where it is told apart by an integer key, about 10 where by a
/// hash. Exact: nothing is known of a position but what was inserted. For one thread.
///
/// A look-up decodes its chunk, unless it is the last look-up's: cheap in any order (0.5 us),
/// cheapest near the order of the positions, in which tables are read.
class SeenRows {
 public:
  /// In any order; those that are known already change nothing.
  void Insert(std::vector<RowPosition> positions);
  bool contains(const RowPosition& position) const;
  /// Forgets rows of earlier times, but for a few that share a chunk with later ones.
  void DropBefore(int64_t time);

  size_t size() const { return size_; }
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Chunk {
    std::string bytes;  // EncodePositions
    size_t rows = 0;
  };
  // By the first position of each.
  using Chunks = absl::btree_map<RowPosition, Chunk>;

  void Add(const RowPosition* begin, const RowPosition* end);
  void Erase(Chunks::iterator chunk);

  Chunks chunks_;
  size_t size_ = 0;
  size_t memory_bytes_ = 0;
  // The chunk of the last look-up; empty: none.
  mutable std::vector<RowPosition> decoded_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_SEEN_ROWS_H_
