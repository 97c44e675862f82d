// Millions of records, each a good one changed at random, from bytes to groups.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "operators/formats/avro_bytes.h"
#include "tests/faults/fault_report.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark::testing {
namespace {

using namespace std::string_view_literals;

// A query sees so many records, in one batch; then the next query begins, with a seed of its own.
constexpr int64_t kRecordsAQuery = 50'000;

// Splitmix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  size_t Below(size_t end) { return static_cast<size_t>(Next() % end); }

 private:
  uint64_t state_;
};

// What parsers like least.
constexpr std::array kPieces = {
    "\0"sv,
    "\xFF"sv,
    "\x80"sv,
    "\xC3"sv,
    "\xED\xA0\x80"sv,
    "\xEF\xBB\xBF"sv,
    "\xF4\x90\x80\x80"sv,
    "\""sv,
    "\\"sv,
    "{"sv,
    "}"sv,
    "["sv,
    "]"sv,
    ":"sv,
    ","sv,
    "\n"sv,
    "\\u0000"sv,
    "\\ud800"sv,
    "\\udc00\\ud800"sv,
    "null"sv,
    "true"sv,
    "-0.0"sv,
    "1e400"sv,
    "-1e-400"sv,
    "1e99999999999"sv,
    "9223372036854775807"sv,
    "9223372036854775808"sv,
    "-9223372036854775809"sv,
    "123456789012345678901234567890123456789012"sv,
    "0.000000000000000000000000000001"sv,
    "\"NaN\""sv,
    "\"-Infinity\""sv,
    "\"+292277-01-01T00:00:00Z\""sv,
    "\"0000-00-00\""sv,
    "00"sv,
    "[[[[[[[[[["sv,
    "]]]]]]]]]]"sv,
    "{\"id\":"sv,
    "\"shop\":\"x\","sv,
    "\"at\":1,"sv,
    "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv,
    "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv,
    "\x80\x80\x80\x80\x10"sv,
    "\x01"sv,
    "\x02"sv,
    "\x03\x04"sv,
    "\x7F"sv,
};

void Mutate(const std::vector<std::string>& good, Random* random, std::string* bytes) {
  const size_t size = bytes->size();
  const size_t at = random->Below(size + 1);
  const size_t count = 1 + random->Below(size - at + 1) / (1 + random->Below(8));
  switch (random->Below(9)) {
    case 0:
      if (at < size) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ 1 << random->Below(8));
      break;
    case 1:
      if (at < size) (*bytes)[at] = static_cast<char>(random->Next());
      break;
    case 2:
      bytes->erase(at, count);
      break;
    case 3:
      bytes->insert(at, bytes->substr(random->Below(size + 1), count));
      break;
    case 4:
      bytes->insert(at, kPieces[random->Below(kPieces.size())]);
      break;
    case 5:
      bytes->replace(at, std::min(count, size - at), kPieces[random->Below(kPieces.size())]);
      break;
    case 6: {
      const std::string& other = good[random->Below(good.size())];
      bytes->replace(at, std::string::npos, other, random->Below(other.size() + 1));
      break;
    }
    case 7:
      bytes->resize(at);
      break;
    default:
      bytes->insert(at, std::string(random->Below(200), (*bytes + ' ')[at]));
  }
}

Stream Totals(Stream stream) {
  return stream.GroupBy(TumblingWindow("at", absl::Hours(1)), "shop")
      .Aggregate(Count().As("n"), Sum("qty"), Avg("id"), Max("price"), Sum("amount"), Min("note"));
}

// Of this process, with everything that a sanitizer keeps.
int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0;
  int64_t resident = 0;
  statm >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// What became of the records of one query.
struct Counts {
  int64_t grouped = 0;
  int64_t without_time = 0;
  int64_t bad = 0;
};

Counts RunQuery(const TestKit::Pipeline& pipeline, const std::vector<std::string>& good,
                uint64_t seed, int64_t records) {
  TestKit kit(pipeline, {}, [](QueryOptions& options) {
    options.bad_records = BadRecordPolicy::kDrop;
    options.on_overflow = OverflowPolicy::kNull;
    options.threads = 2;
  });
  Random random(seed);
  std::string bytes;
  for (int64_t i = 0; i < records; ++i) {
    bytes = good[random.Below(good.size())];
    for (size_t changes = random.Below(4); changes > 0; --changes) Mutate(good, &random, &bytes);
    kit.AddRaw(bytes, static_cast<int32_t>(i % 2));
  }
  const absl::StatusOr<bool> ran = kit.RunBatch();
  EXPECT_TRUE(ran.ok() && *ran) << "seed " << seed << ": " << ran.status();
  Counts counts;
  if (!ran.ok()) return counts;
  const Progress& progress = kit.LastProgress();
  EXPECT_EQ(progress.num_input_rows, records);
  counts.bad = progress.source.bad.total();
  counts.without_time = progress.state->rows_without_event_time;
  for (const std::string& row : kit.Rows()) {
    const size_t n = row.find("\"n\":");
    counts.grouped += std::strtoll(row.c_str() + n + 4, nullptr, 10);
  }
  return counts;
}

void RunAll(const std::string& fault, const TestKit::Pipeline& pipeline,
            const std::vector<std::string>& good) {
  const uint64_t seed = FaultSeed();
  const int64_t queries = FaultScale(100, 1000);
  fmt::print("{}: {} records, TIDEMARK_FAULTS_SEED={}\n", fault, queries * kRecordsAQuery, seed);
  FaultOutcome outcome;
  outcome.fault = fault;
  Counts sum;
  int64_t early = 0;
  for (int64_t i = 0; i < queries; ++i) {
    const Counts counts = RunQuery(pipeline, good, seed + static_cast<uint64_t>(i), kRecordsAQuery);
    const int64_t found = counts.grouped + counts.without_time + counts.bad;
    EXPECT_EQ(found, kRecordsAQuery) << "seed " << seed + static_cast<uint64_t>(i);
    outcome.injected += kRecordsAQuery;
    outcome.survived += std::min(found, kRecordsAQuery);
    outcome.lost_rows += std::max<int64_t>(kRecordsAQuery - found, 0);
    outcome.duplicate_rows += std::max<int64_t>(found - kRecordsAQuery, 0);
    sum.grouped += counts.grouped;
    sum.without_time += counts.without_time;
    sum.bad += counts.bad;
    if (i == queries / 5) early = ResidentBytes();
  }
  const int64_t late = ResidentBytes();
  fmt::print("{} in groups, {} without a time, {} bad; {} MiB at 20 %, {} MiB at the end\n",
             sum.grouped, sum.without_time, sum.bad, early >> 20, late >> 20);
  // Not so many that nothing is decoded, nor so few that nothing is refused.
  EXPECT_GT(sum.grouped, outcome.injected / 10);
  EXPECT_GT(sum.bad, outcome.injected / 10);
  EXPECT_LT(late, early + early / 5 + (int64_t{16} << 20)) << "memory grows";
  ReportFault(outcome);
}

TEST(MutatedRecords, Json) {
  const auto pipeline = [](Job& job) {
    return Totals(job.Source("orders").Decode(Json(Schema()
                                                       .Int64("id")
                                                       .Int32("qty")
                                                       .Double("price")
                                                       .Decimal("amount", 12, 2)
                                                       .String("shop")
                                                       .Timestamp("at")
                                                       .String("note")
                                                       .At("/details/note"))))
        .WriteTo(job.Sink("totals").Key("window_start", "shop"), OutputMode::kComplete);
  };
  RunAll(
      "hostile: mutated JSON records", pipeline,
      {R"({"id":1,"qty":2,"price":9.99,"amount":19.98,"shop":"north","at":"2025-01-02T10:15:22Z"})",
       R"({"shop":"south","at":"2025-01-02 11:00:00.123","id":-5,"details":{"note":"a\nbé","x":[1,2]}})",
       R"({"at":"2025-01-02T12:15:22+02:00", "price":"NaN", "amount":"1.5", "qty":null, "shop":"w\u00e4st"})",
       R"({ "id" : 9223372036854775807 , "at" : "1969-12-31T23:59:59.999999Z" , "unknown" : [ { } ] })"});
}

TEST(MutatedRecords, Avro) {
  const auto pipeline = [](Job& job) {
    AvroOptions options;
    options.writer_schema = RecordSchema(
        R"({"name":"id","type":"long"},
           {"name":"qty","type":["null","int"]},
           {"name":"price","type":"double"},
           {"name":"tags","type":{"type":"array","items":"string"}},
           {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
           {"name":"shop","type":"string"},
           {"name":"attributes","type":{"type":"map","values":["null","long","string"]}},
           {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
           {"name":"kind","type":{"type":"enum","name":"kind","symbols":["A","B"]}},
           {"name":"note","type":["null",{"type":"array","items":"long"},"string"]})");
    return Totals(job.Source("orders").Decode(Avro(Schema()
                                                       .Int64("id")
                                                       .Int32("qty")
                                                       .Double("price")
                                                       .Decimal("amount", 12, 2)
                                                       .String("shop")
                                                       .Timestamp("at")
                                                       .String("note")
                                                       .String("tags"),
                                                   options)))
        .WriteTo(job.Sink("totals").Key("window_start", "shop"), OutputMode::kComplete);
  };
  constexpr int64_t kAt = 1'735'812'922'123;
  RunAll("hostile: mutated Avro records", pipeline,
         {AvroBytes()
              .Long(1)
              .Long(1)
              .Long(2)
              .Double(9.99)
              .Long(0)
              .Text("\x07\xCE")
              .Text("north")
              .Long(0)
              .Long(kAt)
              .Long(0)
              .Long(0)
              .str(),
          AvroBytes()
              .Long(-5)
              .Long(0)
              .Double(-0.0)
              .Long(2)
              .Text("a")
              .Text("\xC3\xA9")
              .Long(0)
              .Text("\xFF")
              .Text("south")
              .Long(1)
              .Text("k")
              .Long(2)
              .Text("v")
              .Long(0)
              .Long(kAt + 3'600'000)
              .Long(1)
              .Long(2)
              .Text("a note")
              .str(),
          AvroBytes()
              .Long(INT64_MAX)
              .Long(1)
              .Long(-1)
              .Double(1e300)
              .Long(-1)
              .Long(2)
              .Text("t")
              .Long(0)
              .Text(std::string(1, '\0'))
              .Text("")
              .Long(-1)
              .Long(4)
              .Text("n")
              .Long(1)
              .Long(7)
              .Long(0)
              .Long(-1)
              .Long(0)
              .Long(1)
              .Long(3)
              .Long(1)
              .Long(2)
              .Long(300)
              .Long(0)
              .str()});
}

}  // namespace
}  // namespace tidemark::testing
