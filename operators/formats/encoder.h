#ifndef TIDEMARK_OPERATORS_FORMATS_ENCODER_H_
#define TIDEMARK_OPERATORS_FORMATS_ENCODER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/formats/format.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// Turns rows into record values: what Decoder takes, the other way round. One thread at a time.
class Encoder {
 public:
  virtual ~Encoder() = default;
  /// Appends the record of each selected row to `bytes`, in order, and the end of each in `bytes`
  /// to `ends`. InvalidArgument names the row's column and value that the format cannot hold;
  /// `bytes` and `ends` are then of no use.
  virtual absl::Status Encode(const RowBatch& rows, std::string* bytes,
                              std::vector<size_t>* ends) = 0;
};

/// An encoder of rows with these columns. InvalidArgument: unknown format, or columns that the
/// format's schema cannot take.
absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(const FormatSpec& spec, const Schema& rows);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_ENCODER_H_
