// Random group-bys against the naive one: on a fake table, on the real one over a store in memory
// and over RocksDB with restarts, and with several threads.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "operators/aggregates/cells.h"
#include "operators/aggregates/fake_window_table.h"
#include "operators/aggregates/naive_group_by.h"
#include "servers/temp_dir.h"
#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/window_table.h"

namespace tidemark {
namespace {

constexpr int64_t kSecond = 1'000'000;

const std::vector<DataType> kTypes = {
    DataType::Bool(),        DataType::Int32(),        DataType::Int64(),  DataType::Double(),
    DataType::Decimal(6, 2), DataType::Decimal(38, 0), DataType::String(), DataType::Bytes(),
    DataType::Date(),        DataType::Timestamp()};

class RandomCells {
 public:
  explicit RandomCells(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t end) { return random_() % end; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  Cell OfType(DataType type, uint64_t null_one_in) {
    if (null_one_in > 0 && OneIn(null_one_in)) return kNull;
    switch (type.id) {
      case TypeId::kBool:
        return static_cast<int64_t>(Below(2));
      case TypeId::kInt32:
      case TypeId::kDate:
        return OneIn(20) ? int64_t{INT32_MIN} : Small();
      case TypeId::kInt64:
        if (OneIn(10)) return OneIn(2) ? INT64_MAX : INT64_MIN;
        return Small();
      case TypeId::kTimestamp:
        return Small() * kSecond;
      case TypeId::kDouble:
        return Double();
      case TypeId::kDecimal:
        return Decimal(type.precision);
      case TypeId::kString:
      case TypeId::kBytes:
        return Text();
    }
    return kNull;
  }

 private:
  int64_t Small() { return static_cast<int64_t>(Below(41)) - 20; }
  double Double() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    switch (Below(30)) {
      case 0:
        return std::numeric_limits<double>::quiet_NaN();
      case 1:
        return OneIn(2) ? kInfinity : -kInfinity;
      case 2:
        return -0.0;
      case 3:
        return 1e300;
      default:
        return static_cast<double>(Small()) / 7;
    }
  }
  Int128 Decimal(int precision) {
    Int128 limit = 1;
    for (int i = 0; i < precision; ++i) limit *= 10;
    switch (Below(6)) {
      case 0:
        return limit - 1 - Small() - 20;
      case 1:
        return -limit + 1 + Small() + 20;
      default:
        return Small();
    }
  }
  std::string Text() {
    constexpr std::string_view kLetters("\0\1a\xff", 4);
    std::string text(OneIn(5) ? 20 : Below(4), 'x');
    for (char& c : text) c = kLetters[Below(kLetters.size())];
    return text;
  }

  std::mt19937_64 random_;
};

// Where the groups of a random test live.
class TableHost {
 public:
  virtual ~TableHost() = default;
  virtual WindowTable* table() = 0;
  virtual void Commit(int64_t closed_upto) = 0;
  // Forgets what is in memory; what was committed stays. False: this host cannot.
  virtual bool Restart() = 0;
  // Lets committed groups leave memory.
  virtual void Evict() = 0;
};

class FakeHost : public TableHost {
 public:
  explicit FakeHost(const SlotLayout& layout) : table_(layout) {}
  WindowTable* table() override { return &table_; }
  void Commit(int64_t closed_upto) override { table_.Committed(closed_upto); }
  bool Restart() override { return false; }
  void Evict() override {}

 private:
  FakeWindowTable table_;
};

using OpenStore = std::function<absl::StatusOr<std::unique_ptr<CheckpointStore>>()>;

// The real table over a store that is opened again at a restart.
class StoreHost : public TableHost {
 public:
  StoreHost(SlotLayout layout, OpenStore open)
      : layout_(std::move(layout)), open_(std::move(open)) {
    Open();
  }
  WindowTable* table() override { return table_.get(); }
  void Commit(int64_t closed_upto) override {
    std::unique_ptr<StoreWrites> writes = store_->NewWrites();
    Check(table_->AppendWrites(closed_upto, writes.get()));
    Check(store_->Commit(std::move(writes)));
    table_->Committed(closed_upto);
  }
  bool Restart() override {
    table_.reset();
    store_.reset();
    Open();
    return true;
  }
  void Evict() override { table_->Evict(0); }

 private:
  static void Check(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; }
  void Open() {
    auto store = open_();
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    table_ = WindowTable::Create(store_.get(), {7, layout_, 4});
  }

  SlotLayout layout_;
  OpenStore open_;
  std::unique_ptr<CheckpointStore> store_;
  std::unique_ptr<WindowTable> table_;
};

using MakeHost = std::function<std::unique_ptr<TableHost>(const SlotLayout&)>;

struct RandomQuery {
  AggregationSpec spec;
  Schema schema;
  uint64_t null_one_in;
};

RandomQuery MakeQuery(RandomCells* random) {
  RandomQuery query;
  query.null_one_in = random->Below(3) * 4;
  query.schema.Timestamp("t");
  const auto add_column = [&](DataType type) {
    std::string name = "c" + std::to_string(query.schema.size());
    query.schema.Add(name, type);
    return name;
  };
  for (uint64_t i = random->Below(4); i > 0; --i) {
    query.spec.keys.push_back(Col(add_column(kTypes[random->Below(kTypes.size())])));
  }
  query.spec.watermark_column = "t";
  if (random->OneIn(2)) {
    query.spec.window = TumblingWindow("t", absl::Seconds(1 + random->Below(10)),
                                       absl::Seconds(random->Below(20)) - absl::Seconds(10));
  } else if (random->OneIn(3)) {
    query.spec.keys.push_back(Col("t"));
  }
  const uint64_t arguments = random->Below(4);
  query.spec.aggregates.push_back(Count().As("rows"));
  for (uint64_t i = 0; i < arguments; ++i) {
    const DataType type = kTypes[random->Below(kTypes.size())];
    const std::string name = add_column(type);
    const std::vector<Aggregate> all = {Count(name), Min(name), Max(name), Sum(name), Avg(name)};
    for (const Aggregate& aggregate : all) {
      const bool adds = aggregate.function() == AggregateFunction::kSum ||
                        aggregate.function() == AggregateFunction::kAvg;
      if ((!adds || type.is_numeric()) && random->OneIn(2))
        query.spec.aggregates.push_back(aggregate);
    }
  }
  if (random->OneIn(2)) query.spec.on_overflow = OverflowPolicy::kNull;
  return query;
}

std::vector<std::string> Texts(const std::vector<CellRow>& rows) {
  std::vector<std::string> texts;
  for (const CellRow& row : rows) texts.push_back(ToText(row));
  return texts;
}

void ExpectSame(const absl::StatusOr<std::vector<CellRow>>& actual,
                const std::vector<CellRow>& expected, const char* what) {
  ASSERT_TRUE(actual.ok()) << actual.status();
  if (Identical(*actual, expected)) return;
  EXPECT_EQ(Texts(*actual), Texts(expected)) << what;
  ADD_FAILURE() << what << " is not the naive result, bit for bit";
}

// A few batches of random rows in chunks, with a rising watermark, against the model. False: a
// result overflowed.
bool RunBatches(const RandomQuery& query, const MakeHost& make_host, RandomCells* random) {
  const auto input = std::make_shared<const Schema>(query.schema);
  const auto make = [&] { return *Aggregation::Create(query.spec, input, false); };
  std::unique_ptr<Aggregation> aggregation = make();
  const std::unique_ptr<TableHost> host = make_host(aggregation->slot_layout());
  aggregation->Attach(host->table());
  NaiveGroupBy model(query.spec, query.schema);
  int64_t late_before = INT64_MIN;
  int64_t late_rows = 0;
  int64_t null_rows = 0;
  for (int batch = 0; batch < 5; ++batch) {
    std::vector<std::unique_ptr<PreparedRows>> chunks;
    for (uint64_t chunk = random->Below(4); chunk > 0; --chunk) {
      std::vector<CellRow> rows(random->Below(300));
      std::vector<uint32_t> selected;
      const bool all = random->OneIn(2);
      for (uint32_t i = 0; i < rows.size(); ++i) {
        for (const Field& field : query.schema.fields()) {
          rows[i].push_back(random->OfType(field.type, query.null_one_in));
        }
        if (!all && random->OneIn(3)) continue;
        selected.push_back(i);
        model.Add(rows[i], late_before);
      }
      RowBatch made = MakeBatch(input, rows);
      if (!all) made.set_selection(Selection::Rows(selected));
      chunks.push_back(aggregation->Prepare(made, late_before));
      late_rows += chunks.back()->late_rows;
      null_rows += chunks.back()->null_event_time_rows;
      EXPECT_TRUE(chunks.back()->errors.empty());
    }
    if (!aggregation->order_matters() && random->OneIn(2))
      std::reverse(chunks.begin(), chunks.end());
    for (const auto& chunk : chunks) EXPECT_TRUE(aggregation->Apply(*chunk).ok());
    if (random->OneIn(4) && host->Restart()) {
      // The batch was given up before its commit: it runs again.
      aggregation = make();
      aggregation->Attach(host->table());
      for (const auto& chunk : chunks) EXPECT_TRUE(aggregation->Apply(*chunk).ok());
    }
    EXPECT_EQ(late_rows, model.late_rows);
    EXPECT_EQ(null_rows, model.null_rows);
    if (query.spec.on_overflow == OverflowPolicy::kFail) {
      EXPECT_EQ(aggregation->CheckOverflow().ok(), !model.TouchedOverflows());
      if (model.TouchedOverflows()) return false;
    }
    ExpectSame(ReadAll(aggregation->Touched()), model.Touched(), "Touched");
    ExpectSame(ReadAll(aggregation->Scan(INT64_MIN, INT64_MAX)), model.Scan(INT64_MIN, INT64_MAX),
               "Scan");
    const int64_t closed = (static_cast<int64_t>(random->Below(60)) - 40) * kSecond;
    const int64_t upto = std::max(late_before, closed);
    ExpectSame(ReadAll(aggregation->Scan(late_before, upto)), model.Scan(late_before, upto),
               "closing");
    if (aggregation->closes_groups() && random->OneIn(2)) late_before = upto;
    host->Commit(late_before);
    model.Commit(late_before);
    if (random->OneIn(3)) host->Evict();
    if (random->OneIn(3) && host->Restart()) {
      aggregation = make();
      aggregation->Attach(host->table());
    }
    if (::testing::Test::HasFailure()) return true;
  }
  return true;
}

void RunRandomQueries(int rounds, const MakeHost& make_host) {
  const uint64_t seed = std::random_device()();
  int finished = 0;
  for (int round = 0; round < rounds; ++round) {
    RandomCells random(seed + static_cast<uint64_t>(round));
    const RandomQuery query = MakeQuery(&random);
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round) + " schema " +
                 query.schema.ToString());
    finished += RunBatches(query, make_host, &random) ? 1 : 0;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(finished, rounds / 2);
}

TEST(AggregationRandomTest, OverAFakeTable) {
  RunRandomQueries(300,
                   [](const SlotLayout& layout) { return std::make_unique<FakeHost>(layout); });
}

TEST(AggregationRandomTest, OverAStoreInMemoryWithRestarts) {
  RunRandomQueries(300, [](const SlotLayout& layout) {
    auto checkpoint = std::make_shared<MemoryCheckpoint>();
    return std::make_unique<StoreHost>(layout, [checkpoint] {
      bool created = false;
      return checkpoint->Open(&created);
    });
  });
}

TEST(AggregationRandomTest, OverRocksDbWithRestarts) {
  RunRandomQueries(12, [](const SlotLayout& layout) {
    auto folder = std::make_shared<testing::TempDir>();
    return std::make_unique<StoreHost>(layout, [folder] {
      bool created = false;
      return OpenCheckpointStore(folder->path(), CheckpointStoreOptions(), &created);
    });
  });
}

// ---- threads

std::vector<CellRow> RunThreads(const AggregationSpec& spec, const std::vector<RowBatch>& batches,
                                size_t threads) {
  const auto aggregation = *Aggregation::Create(spec, batches[0].schema_ptr(), false);
  MemoryCheckpoint checkpoint;
  bool created = false;
  const std::unique_ptr<CheckpointStore> store = *checkpoint.Open(&created);
  const auto table = WindowTable::Create(store.get(), {1, aggregation->slot_layout(), 4});
  aggregation->Attach(table.get());
  std::vector<std::unique_ptr<PreparedRows>> prepared(batches.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < batches.size(); i = next++) {
      prepared[i] = aggregation->Prepare(batches[i], INT64_MIN);
      if (!aggregation->order_matters()) {
        EXPECT_TRUE(aggregation->Apply(*prepared[i]).ok());
      }
    }
  };
  std::vector<std::thread> workers;
  for (size_t i = 0; i < threads; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  if (aggregation->order_matters()) {
    for (const auto& chunk : prepared) EXPECT_TRUE(aggregation->Apply(*chunk).ok());
  }
  EXPECT_TRUE(aggregation->CheckOverflow().ok());
  return *ReadAll(aggregation->Scan(INT64_MIN, INT64_MAX));
}

TEST(AggregationRandomTest, ThreadsDoNotChangeTheResult) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RandomCells random(seed);
  const Schema schema =
      Schema().Timestamp("t").Int32("k").Int64("x").Double("y").String("s").Decimal("d", 38, 0);
  const auto input = std::make_shared<const Schema>(schema);
  std::vector<RowBatch> batches;
  for (int i = 0; i < 60; ++i) {
    std::vector<CellRow> rows(400);
    for (CellRow& row : rows) {
      for (const Field& field : schema.fields()) row.push_back(random.OfType(field.type, 10));
    }
    batches.push_back(MakeBatch(input, rows));
  }
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Seconds(10));
  spec.keys = {Col("k")};
  spec.aggregates = {Count(), Sum("x"), Avg("x"), Min("s"), Max("s"), Min("y"), Max("y"), Sum("d")};
  spec.on_overflow = OverflowPolicy::kNull;
  EXPECT_TRUE(Identical(RunThreads(spec, batches, 1), RunThreads(spec, batches, 4)));
  spec.aggregates.push_back(Sum("y"));
  spec.aggregates.push_back(Avg("y"));
  EXPECT_TRUE(Identical(RunThreads(spec, batches, 1), RunThreads(spec, batches, 4)));
}

}  // namespace
}  // namespace tidemark
