#include "tidemark/operators/sinks/sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/state/crash_point.h"

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
char* PutCell(const Column& column, uint32_t row, char* to) {
  if (column.IsNull(row)) return Put(uint8_t{0}, to);
  to = Put(uint8_t{1}, to);
  switch (column.type().id) {
    case TypeId::kBool:
      return Put(column.values<uint8_t>()[row], to);
    case TypeId::kInt32:
    case TypeId::kDate:
      return Put(column.values<int32_t>()[row], to);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return Put(column.values<int64_t>()[row], to);
    case TypeId::kDouble: {
      const double value = column.values<double>()[row];
      constexpr uint64_t kNaN = 0x7ff8000000000000;
      return Put(std::isnan(value) ? kNaN : std::bit_cast<uint64_t>(value), to);
    }
    case TypeId::kDecimal:
      return Put(column.values<Int128>()[row], to);
    case TypeId::kString:
    case TypeId::kBytes: {
      const std::string_view text = column.text(row);
      to = Put(uint64_t{text.size()}, to);
      return std::copy(text.begin(), text.end(), to);
    }
  }
  return to;
}

// Hashes row after row, each seeded with the hash so far.
uint64_t HashRows(const RowBatch& batch, uint64_t hash) {
  constexpr size_t kMaxFixedCellBytes = 1 + sizeof(Int128);
  const size_t fixed_bytes = batch.columns().size() * kMaxFixedCellBytes;
  std::vector<const Column*> texts;
  for (const ColumnPtr& column : batch.columns()) {
    if (column->type().is_text()) texts.push_back(column.get());
  }
  std::vector<char> bytes(fixed_bytes);
  batch.selection().ForEach([&](uint32_t row) {
    size_t most = fixed_bytes;
    for (const Column* column : texts) most += column->text(row).size();
    if (most > bytes.size()) bytes.resize(2 * most);
    char* end = bytes.data();
    for (const ColumnPtr& column : batch.columns()) end = PutCell(*column, row, end);
    hash = StableHash({bytes.data(), static_cast<size_t>(end - bytes.data())}, hash);
  });
  return hash;
}

}  // namespace

absl::StatusOr<const RowBatch*> RowStream::Next() {
  CrashPoint("sink between rows");
  const RowBatch* batch = nullptr;
  do {
    absl::StatusOr<const RowBatch*> next = DoNext();
    if (!next.ok() || *next == nullptr) return next;
    batch = *next;
  } while (batch->selection().empty());
  row_count_ += static_cast<int64_t>(batch->selection().size());
  rows_hash_ = HashRows(*batch, rows_hash_);
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
