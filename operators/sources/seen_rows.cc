#include "tidemark/operators/sources/seen_rows.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tidemark {
namespace {

constexpr size_t kChunkRows = 256;

}  // namespace

void SeenRows::Insert(std::vector<RowPosition> positions) {
  decoded_.clear();
  if (!std::is_sorted(positions.begin(), positions.end())) {
    std::sort(positions.begin(), positions.end());
  }
  std::vector<RowPosition> old;
  std::vector<RowPosition> merged;
  for (auto next = positions.begin(); next != positions.end();) {
    // What belongs between the first of one chunk and that of the next; before all, to the first.
    auto chunk = chunks_.upper_bound(*next);
    if (chunk != chunks_.begin()) --chunk;
    old.clear();
    auto end = positions.end();
    if (chunk != chunks_.end()) {
      if (const auto after = std::next(chunk); after != chunks_.end()) {
        end = std::lower_bound(next, positions.end(), after->first);
      }
      DecodePositions(chunk->second.bytes, &old);
      Erase(chunk);
    }
    merged.clear();
    std::set_union(old.begin(), old.end(), next, end, std::back_inserter(merged));
    merged.erase(std::unique(merged.begin(), merged.end()), merged.end());
    Add(merged.data(), merged.data() + merged.size());
    next = end;
  }
}

// As chunks: full ones at the end, where more will come; elsewhere of one size.
void SeenRows::Add(const RowPosition* begin, const RowPosition* end) {
  const bool last = chunks_.empty() || chunks_.rbegin()->first < *begin;
  const auto count = static_cast<size_t>(end - begin);
  const size_t pieces = (count + kChunkRows - 1) / kChunkRows;
  const size_t rows = last ? kChunkRows : (count + pieces - 1) / pieces;
  for (const RowPosition* piece = begin; piece != end;) {
    const RowPosition* piece_end = piece + std::min(rows, static_cast<size_t>(end - piece));
    Chunk chunk{EncodePositions(piece, piece_end), static_cast<size_t>(piece_end - piece)};
    chunk.bytes.shrink_to_fit();
    size_ += chunk.rows;
    memory_bytes_ += sizeof(Chunks::value_type) + chunk.bytes.capacity();
    chunks_.emplace(*piece, std::move(chunk));
    piece = piece_end;
  }
}

void SeenRows::Erase(Chunks::iterator chunk) {
  size_ -= chunk->second.rows;
  memory_bytes_ -= sizeof(Chunks::value_type) + chunk->second.bytes.capacity();
  chunks_.erase(chunk);
}

bool SeenRows::contains(const RowPosition& position) const {
  const bool near =
      !decoded_.empty() && decoded_.front() <= position && position <= decoded_.back();
  if (!near) {
    auto chunk = chunks_.upper_bound(position);
    if (chunk == chunks_.begin()) return false;
    --chunk;
    if (decoded_.empty() || decoded_.front() != chunk->first) {
      DecodePositions(chunk->second.bytes, &decoded_);
    }
  }
  return std::binary_search(decoded_.begin(), decoded_.end(), position);
}

void SeenRows::DropBefore(int64_t time) {
  decoded_.clear();
  while (chunks_.size() > 1 && std::next(chunks_.begin())->first.value < time) {
    Erase(chunks_.begin());
  }
}

}  // namespace tidemark
