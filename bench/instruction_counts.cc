// What valgrind counts instructions of: each part of the row path and of a commit by itself, on one
// thread, over rows that are always the same. Run by scripts/instructions under
// `valgrind --tool=callgrind`, which writes a profile a part; alone it only says what a part's
// items are.
//
// No clock and no randomness; allocator and CPU kernels are the script's to pin.
#include <fmt/format.h>
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/memory_records.h"
#include "bench/totals.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/operators/formats/format.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/window_table.h"

namespace tidemark {
namespace {

constexpr int64_t kRows = 40'000;
constexpr int64_t kKeys = 8'000;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "instruction_counts: {}\n", status.ToString());
  std::exit(1);
}

// What `work` does is one part's figure; a line on standard output says how many items it had.
void CountPart(const std::string& part, int64_t items, const std::function<void()>& work) {
  fmt::print("{} {}\n", part, items);
  std::fflush(stdout);
  CALLGRIND_START_INSTRUMENTATION;
  work();
  CALLGRIND_STOP_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS_AT(part.c_str());
}

std::vector<RowBatch> Decode(Decoder& decoder, const std::vector<RawRecords>& chunks) {
  std::vector<RowBatch> batches;
  std::vector<BadRecord> bad;
  for (const RawRecords& chunk : chunks) batches.push_back(decoder.Decode(chunk, false, &bad));
  if (!bad.empty()) Check(absl::InternalError(fmt::format("{} bad records", bad.size())));
  return batches;
}

std::vector<RowBatch> CountDecode(const std::string& part, const TotalsRows& rows,
                                  RecordFormat format) {
  const std::shared_ptr<const MemoryRecords> records = MakeRecords(rows, format);
  std::vector<RawRecords> chunks;
  for (int64_t begin = 0; begin < rows.rows; begin += kMaxChunkRecords) {
    chunks.push_back(MemoryRecords::Chunk(records, begin,
                                          std::min<int64_t>(begin + kMaxChunkRecords, rows.rows)));
  }
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = MakeDecoder(FormatOf(rows, format));
  Check(decoder.status());
  Decode(**decoder, {chunks.front()});  // buffers are there, the records' shape is known
  std::vector<RowBatch> batches;
  CountPart(part, rows.rows, [&] { batches = Decode(**decoder, chunks); });
  return batches;
}

// The group-by over a store on disk, from rows to results and to a commit.
void CountAggregate(const std::string& name, const TotalsRows& rows,
                    const std::vector<RowBatch>& batches) {
  AggregationSpec spec;
  spec.window = TumblingWindow("event_time", absl::Seconds(kTotalsWindowSeconds));
  spec.keys = {Col("user_id")};
  spec.aggregates = {Count(), Sum("amount"), Max("amount")};
  absl::StatusOr<std::unique_ptr<Aggregation>> aggregation =
      Aggregation::Create(spec, std::make_shared<const Schema>(TotalsSchema(rows)), false);
  Check(aggregation.status());
  const testing::TempDir folder;
  bool created = false;
  absl::StatusOr<std::unique_ptr<CheckpointStore>> store =
      OpenCheckpointStore(folder.Path("checkpoint"), {}, &created);
  Check(store.status());
  const std::unique_ptr<WindowTable> table =
      WindowTable::Create(store->get(), {1, (*aggregation)->slot_layout(), SIZE_MAX, 8});
  (*aggregation)->Attach(table.get());

  CountPart("aggregate" + name, rows.rows, [&] {
    for (const RowBatch& batch : batches) {
      Check((*aggregation)->Apply(*(*aggregation)->Prepare(batch, INT64_MIN)));
    }
  });
  const int64_t groups = table->groups_touched();
  CountPart("results" + name, groups, [&] {
    const std::unique_ptr<ResultCursor> cursor =
        (*aggregation)->Scan(INT64_MIN, WindowTable::kNoWindow);
    int64_t read = 0;
    while (true) {
      const absl::StatusOr<const RowBatch*> next = cursor->Next();
      Check(next.status());
      if (*next == nullptr) break;
      read += static_cast<int64_t>((*next)->selection().size());
    }
    if (read != groups) Check(absl::InternalError(fmt::format("{} of {} groups", read, groups)));
  });
  // The first commit, which makes the database a query's own, costs more than those that follow.
  std::unique_ptr<StoreWrites> first = (*store)->NewWrites();
  first->PutMeta("first", "");
  Check((*store)->Commit(std::move(first)));
  CountPart("commit" + name, groups, [&] {
    std::unique_ptr<StoreWrites> writes = (*store)->NewWrites();
    Check(table->AppendWrites(INT64_MIN, writes.get()));
    Check((*store)->Commit(std::move(writes)));
    table->Committed(INT64_MIN);
  });
}

int Main() {
  const TotalsRows rows{.rows = kRows, .keys = kKeys};
  TotalsRows shuffled = rows;
  shuffled.shuffled_fields = true;
  TotalsRows text = rows;
  text.text_keys = true;
  const std::vector<RowBatch> batches = CountDecode("decode_json", rows, RecordFormat::kJson);
  CountDecode("decode_json_shuffled", shuffled, RecordFormat::kJson);
  CountDecode("decode_avro", rows, RecordFormat::kAvro);
  CountAggregate("", rows, batches);
  CountAggregate("_text_keys", text,
                 CountDecode("decode_json_text_keys", text, RecordFormat::kJson));
  return 0;
}

}  // namespace
}  // namespace tidemark

int main() { return tidemark::Main(); }
