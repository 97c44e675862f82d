// What decoding one JSON record costs: 150 bytes, six members, four of them in the schema.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tidemark/operators/formats/format.h"

namespace tidemark {
namespace {

// The records of a chunk lie one after another, as in a fetch buffer.
struct Chunk {
  std::string bytes;
  RawRecords records;
};

std::unique_ptr<Chunk> MakeChunk(bool shuffled, bool padded) {
  constexpr size_t kRecords = 8192;
  std::mt19937_64 random(1);
  auto chunk = std::make_unique<Chunk>();
  std::vector<size_t> sizes;
  for (size_t i = 0; i < kRecords; ++i) {
    std::vector<std::string> members = {
        fmt::format("\"customer_id\":{}", random() % 10'000'000),
        fmt::format("\"store_id\":{}", random() % 100'000),
        "\"first_name\":\"Margarethe\"",
        "\"last_name\":\"Winterbottom\"",
        fmt::format("\"email\":\"m.winter{}@example.com\"", random() % 1000),
        fmt::format("\"created_at\":\"2025-01-02T10:{:02}:{:02}.{:03}Z\"", random() % 60,
                    random() % 60, random() % 1000)};
    if (shuffled) std::shuffle(members.begin(), members.end(), random);
    const std::string record = fmt::format("{{{}}}", fmt::join(members, ","));
    sizes.push_back(record.size());
    chunk->bytes += record;
  }
  chunk->records.bytes = chunk->bytes.size();
  chunk->bytes.append(kRecordPadding, '\0');
  size_t at = 0;
  for (size_t size : sizes) {
    RawRecord record;
    record.value = std::string_view(chunk->bytes).substr(at, size);
    record.has_value = true;
    record.padded = padded;
    at += size;
    chunk->records.records.push_back(record);
  }
  return chunk;
}

void DecodeJson(benchmark::State& state, bool shuffled, bool padded) {
  const std::unique_ptr<Chunk> chunk = MakeChunk(shuffled, padded);
  const std::unique_ptr<Decoder> decoder = *MakeDecoder(Json(
      Schema().Int64("customer_id").Int64("store_id").String("email").Timestamp("created_at")));
  std::vector<BadRecord> bad;
  for (auto _ : state) {
    const RowBatch batch = decoder->Decode(chunk->records, false, &bad);
    benchmark::DoNotOptimize(batch.num_rows());
  }
  const auto records = static_cast<int64_t>(chunk->records.records.size());
  state.SetItemsProcessed(state.iterations() * records);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(chunk->records.bytes));
  state.counters["record_bytes"] =
      static_cast<double>(chunk->records.bytes) / static_cast<double>(records);
  state.counters["s/record"] =
      benchmark::Counter(static_cast<double>(state.iterations() * records),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK_CAPTURE(DecodeJson, in_order, false, true);
BENCHMARK_CAPTURE(DecodeJson, shuffled, true, true);
BENCHMARK_CAPTURE(DecodeJson, copied, false, false);

}  // namespace
}  // namespace tidemark
