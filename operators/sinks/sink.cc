#include "tidemark/operators/sinks/sink.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {
namespace {

static_assert(std::endian::native == std::endian::little, "row hashes are little-endian");

template <typename T>
char* Put(T value, char* to) {
  std::memcpy(to, &value, sizeof(value));
  return to + sizeof(value);
}

// Row hashes are stored in sinks, so this encoding never changes. A row is its cells in order. A
// cell is one byte, 0 for null or 1, and if not null the value: fixed-width values as they are in a
// column, little-endian (every NaN as the same one); text and bytes as their length in 8 bytes and
// then the bytes.
void AppendCell(const Column& column, uint32_t row, std::string* out) {
  if (column.IsNull(row)) {
    out->push_back('\0');
    return;
  }
  char cell[1 + sizeof(Int128)];
  char* to = Put(uint8_t{1}, cell);
  std::string_view text;
  switch (column.type().id) {
    case TypeId::kBool:
      to = Put(column.values<uint8_t>()[row], to);
      break;
    case TypeId::kInt32:
    case TypeId::kDate:
      to = Put(column.values<int32_t>()[row], to);
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      to = Put(column.values<int64_t>()[row], to);
      break;
    case TypeId::kDouble: {
      const double value = column.values<double>()[row];
      to = Put(std::isnan(value) ? uint64_t{0x7ff8000000000000} : std::bit_cast<uint64_t>(value),
               to);
      break;
    }
    case TypeId::kDecimal:
      to = Put(column.values<Int128>()[row], to);
      break;
    case TypeId::kString:
    case TypeId::kBytes:
      text = column.text(row);
      to = Put(uint64_t{text.size()}, to);
      break;
  }
  out->append(cell, static_cast<size_t>(to - cell));
  out->append(text);
}

}  // namespace

absl::StatusOr<const RowBatch*> RowStream::Next() {
  const RowBatch* batch = nullptr;
  do {
    absl::StatusOr<const RowBatch*> next = DoNext();
    if (!next.ok() || *next == nullptr) return next;
    batch = *next;
  } while (batch->selection().empty());
  row_count_ += static_cast<int64_t>(batch->selection().size());
  std::string bytes;
  batch->selection().ForEach([&](uint32_t row) {
    bytes.clear();
    for (const ColumnPtr& column : batch->columns()) AppendCell(*column, row, &bytes);
    rows_hash_ = StableHash(bytes, rows_hash_);
  });
  return batch;
}

absl::Status RowStream::Rewind() {
  row_count_ = 0;
  rows_hash_ = 0;
  return DoRewind();
}

SinkMarker MarkerOf(const SinkContext& context, const SinkBatch& batch, const RowStream& rows) {
  return {context.query_id, context.sink,     batch.epoch,     batch.batch_id,
          batch.plan_hash,  rows.row_count(), rows.rows_hash()};
}

absl::StatusOr<bool> HoldsBatch(const std::optional<SinkMarker>& held, const SinkBatch& batch,
                                const std::string& description) {
  if (!held.has_value() || held->epoch < batch.epoch) return false;
  const bool same_batch = held->batch_id == batch.batch_id;
  if (held->epoch == batch.epoch && held->batch_id < batch.batch_id) return false;
  if (held->epoch == batch.epoch && same_batch && held->plan_hash == batch.plan_hash) return true;
  const char* problem = held->epoch == batch.epoch && same_batch
                            ? "has this batch from another plan"
                            : "is ahead of the checkpoint";
  return absl::FailedPreconditionError(
      fmt::format("{} {}: it holds batch {} of epoch {}, batch {} of epoch {} was to be written; "
                  "the checkpoint "
                  "and the sink do not belong together: use the checkpoint that wrote this sink, "
                  "or another sink",
                  description, problem, held->batch_id, held->epoch, batch.batch_id, batch.epoch));
}

}  // namespace tidemark
