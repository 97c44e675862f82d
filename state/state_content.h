#ifndef TIDEMARK_STATE_STATE_CONTENT_H_
#define TIDEMARK_STATE_STATE_CONTENT_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "tidemark/state/checkpoint_store.h"

namespace tidemark {

/// What a store has of one window of one operator.
struct WindowContent {
  int64_t groups = 0;  ///< as its count row says
  int64_t rows = 0;    ///< groups that are a row each
  int64_t pages = 0;   ///< many groups each
  int64_t runs = 0;    ///< of pages
  int64_t bytes = 0;   ///< of keys and values
};

/// What the state rows of a store are.
struct StateContent {
  /// By operator, then by window end (WindowTable::kNoWindow: an aggregate without windows).
  std::map<uint32_t, std::map<int64_t, WindowContent>> tables;
  int64_t other_rows = 0;  ///< no table's: a source's
  int64_t other_bytes = 0;
};

/// Walks over all state rows: for who has no table over them. With
/// `read_runs` every page is taken apart. DataLoss: a row that is none of a WindowTable's.
absl::StatusOr<StateContent> ReadStateContent(CheckpointStore& store, bool read_runs);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_STATE_CONTENT_H_
