// What decoding one record costs: six members, four of them in the schema; 150 bytes as JSON. The
// same as Avro, and Avro by avro-c's generic reader.
#include <avro.h>
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/operators/formats/format.h"

namespace tidemark {
namespace {

struct Customer {
  int64_t customer_id;
  int64_t store_id;
  std::string email;
  int64_t created_at_ms;
};

std::vector<Customer> MakeCustomers() {
  constexpr size_t kRecords = 8192;
  constexpr int64_t kDayStartMs = 1'735'812'000'000;  // 2025-01-02T10:00:00Z
  std::mt19937_64 random(1);
  std::vector<Customer> customers;
  for (size_t i = 0; i < kRecords; ++i) {
    customers.push_back(
        {.customer_id = static_cast<int64_t>(random() % 10'000'000),
         .store_id = static_cast<int64_t>(random() % 100'000),
         .email = fmt::format("m.winter{}@example.com", random() % 1000),
         .created_at_ms = kDayStartMs + static_cast<int64_t>(random() % 3'600'000)});
  }
  return customers;
}

// The records of a chunk lie one after another, as in a fetch buffer.
struct Chunk {
  std::string bytes;
  RawRecords records;
};

std::unique_ptr<Chunk> MakeChunk(const std::vector<std::string>& values, bool padded) {
  auto chunk = std::make_unique<Chunk>();
  for (const std::string& value : values) chunk->bytes += value;
  chunk->records.bytes = chunk->bytes.size();
  chunk->bytes.append(kRecordPadding, '\0');
  size_t at = 0;
  for (const std::string& value : values) {
    RawRecord record;
    record.value = std::string_view(chunk->bytes).substr(at, value.size());
    record.has_value = true;
    record.padded = padded;
    at += value.size();
    chunk->records.records.push_back(record);
  }
  // Sources give an owner, so that text can stay where it is.
  chunk->records.owner = std::make_shared<const RecordOwner>();
  return chunk;
}

std::vector<std::string> JsonRecords(bool shuffled) {
  std::mt19937_64 random(2);
  std::vector<std::string> records;
  for (const Customer& customer : MakeCustomers()) {
    const int64_t ms = customer.created_at_ms % 3'600'000;
    std::vector<std::string> members = {
        fmt::format("\"customer_id\":{}", customer.customer_id),
        fmt::format("\"store_id\":{}", customer.store_id),
        "\"first_name\":\"Margarethe\"",
        "\"last_name\":\"Winterbottom\"",
        fmt::format("\"email\":\"{}\"", customer.email),
        fmt::format("\"created_at\":\"2025-01-02T10:{:02}:{:02}.{:03}Z\"", ms / 60'000,
                    ms / 1000 % 60, ms % 1000)};
    if (shuffled) std::shuffle(members.begin(), members.end(), random);
    records.push_back(fmt::format("{{{}}}", fmt::join(members, ",")));
  }
  return records;
}

constexpr const char* kAvroSchema =
    R"({"type":"record","name":"Customer","fields":[
        {"name":"customer_id","type":"long"},{"name":"store_id","type":"long"},
        {"name":"first_name","type":"string"},{"name":"last_name","type":"string"},
        {"name":"email","type":"string"},
        {"name":"created_at","type":{"type":"long","logicalType":"timestamp-millis"}}]})";
// As above, with what change-data topics do to every field.
constexpr const char* kNullableSchema =
    R"({"type":"record","name":"Customer","fields":[
        {"name":"customer_id","type":["null","long"]},{"name":"store_id","type":["null","long"]},
        {"name":"first_name","type":["null","string"]},
        {"name":"last_name","type":["null","string"]},{"name":"email","type":["null","string"]},
        {"name":"created_at",
         "type":["null",{"type":"long","logicalType":"timestamp-millis"}]}]})";

void AppendLong(int64_t value, std::string* out) {
  for (auto rest = static_cast<uint64_t>(value) << 1;; rest >>= 7) {
    out->push_back(static_cast<char>(rest < 0x80 ? rest : rest | 0x80));
    if (rest < 0x80) return;
  }
}

// `branch`: before each value.
std::vector<std::string> AvroRecords(const std::string& branch) {
  std::vector<std::string> records;
  for (const Customer& customer : MakeCustomers()) {
    std::string record;
    for (int64_t id : {customer.customer_id, customer.store_id}) {
      record += branch;
      AppendLong(id, &record);
    }
    for (const std::string& text :
         {std::string("Margarethe"), std::string("Winterbottom"), customer.email}) {
      record += branch;
      AppendLong(static_cast<int64_t>(text.size()), &record);
      record += text;
    }
    record += branch;
    AppendLong(customer.created_at_ms, &record);
    records.push_back(std::move(record));
  }
  return records;
}

Schema Columns() {
  return Schema().Int64("customer_id").Int64("store_id").String("email").Timestamp("created_at");
}

void CountRecords(benchmark::State& state, const Chunk& chunk) {
  const auto records = static_cast<int64_t>(chunk.records.records.size());
  state.SetItemsProcessed(state.iterations() * records);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(chunk.records.bytes));
  state.counters["record_bytes"] =
      static_cast<double>(chunk.records.bytes) / static_cast<double>(records);
  state.counters["s/record"] =
      benchmark::Counter(static_cast<double>(state.iterations() * records),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void Decode(benchmark::State& state, const FormatSpec& spec, const Chunk& chunk) {
  const std::unique_ptr<Decoder> decoder = *MakeDecoder(spec);
  std::vector<BadRecord> bad;
  for (auto _ : state) {
    const RowBatch batch = decoder->Decode(chunk.records, false, &bad);
    benchmark::DoNotOptimize(batch.num_rows());
  }
  if (!bad.empty()) state.SkipWithError(bad[0].detail.c_str());
  CountRecords(state, chunk);
}

void DecodeJson(benchmark::State& state, bool shuffled, bool padded) {
  Decode(state, Json(Columns()), *MakeChunk(JsonRecords(shuffled), padded));
}

void DecodeAvro(benchmark::State& state, const std::string& schema, const std::string& branch,
                bool padded) {
  Decode(state, Avro(Columns(), {.writer_schema = schema}),
         *MakeChunk(AvroRecords(branch), padded));
}

// Into one generic value, whose four fields are then read, by name or by their index.
void DecodeAvroC(benchmark::State& state, const std::string& text, const std::string& branch,
                 bool by_name) {
  const auto field_of = [by_name](avro_value_t* record, const char* name, size_t index) {
    avro_value_t field;
    if (by_name) {
      avro_value_get_by_name(record, name, &field, nullptr);
    } else {
      avro_value_get_by_index(record, index, &field, nullptr);
    }
    avro_value_t value = field;
    if (avro_value_get_type(&field) == AVRO_UNION) avro_value_get_current_branch(&field, &value);
    return value;
  };
  const std::unique_ptr<Chunk> chunk = MakeChunk(AvroRecords(branch), true);
  avro_schema_t schema;
  if (avro_schema_from_json_length(text.data(), text.size(), &schema) != 0) {
    return state.SkipWithError(avro_strerror());
  }
  avro_value_iface_t* type = avro_generic_class_from_schema(schema);
  avro_value_t value;
  avro_generic_value_new(type, &value);
  avro_reader_t reader = avro_reader_memory(nullptr, 0);
  int64_t sum = 0;
  for (auto _ : state) {
    for (const RawRecord& record : chunk->records.records) {
      avro_reader_memory_set_source(reader, record.value.data(),
                                    static_cast<int64_t>(record.value.size()));
      avro_value_reset(&value);
      avro_value_read(reader, &value);
      for (const auto& [name, index] :
           {std::pair("customer_id", 0), std::pair("store_id", 1), std::pair("created_at", 5)}) {
        int64_t number = 0;
        avro_value_t field = field_of(&value, name, static_cast<size_t>(index));
        avro_value_get_long(&field, &number);
        sum += number;
      }
      const char* email = nullptr;
      size_t size = 0;
      avro_value_t field = field_of(&value, "email", 4);
      avro_value_get_string(&field, &email, &size);
      sum += static_cast<int64_t>(size);
    }
  }
  benchmark::DoNotOptimize(sum);
  CountRecords(state, *chunk);
  avro_reader_free(reader);
  avro_value_decref(&value);
  avro_value_iface_decref(type);
  avro_schema_decref(schema);
}

BENCHMARK_CAPTURE(DecodeJson, in_order, false, true);
BENCHMARK_CAPTURE(DecodeJson, shuffled, true, true);
BENCHMARK_CAPTURE(DecodeJson, copied, false, false);
BENCHMARK_CAPTURE(DecodeAvro, plain, kAvroSchema, "", true);
BENCHMARK_CAPTURE(DecodeAvro, nullable, kNullableSchema, "\x02", true);
BENCHMARK_CAPTURE(DecodeAvro, unpadded, kAvroSchema, "", false);
BENCHMARK_CAPTURE(DecodeAvroC, plain, kAvroSchema, "", true);
BENCHMARK_CAPTURE(DecodeAvroC, plain_by_index, kAvroSchema, "", false);
BENCHMARK_CAPTURE(DecodeAvroC, nullable, kNullableSchema, "\x02", true);
BENCHMARK_CAPTURE(DecodeAvroC, nullable_by_index, kNullableSchema, "\x02", false);

}  // namespace
}  // namespace tidemark
