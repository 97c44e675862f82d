#include "tidemark/operators/aggregates/aggregation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/aggregates/cells.h"
#include "operators/aggregates/fake_window_table.h"
#include "tidemark/operators/expressions/functions.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kMinute = 60 * kSecond;

std::vector<std::string> Texts(const absl::StatusOr<std::vector<CellRow>>& rows) {
  if (!rows.ok()) return {std::string(rows.status().message())};
  std::vector<std::string> texts;
  for (const CellRow& row : *rows) texts.push_back(ToText(row));
  return texts;
}

// An aggregation over a table of its own.
struct GroupBy {
  explicit GroupBy(const AggregationSpec& spec, const Schema& schema,
                   bool null_on_expression_error = false)
      : input(std::make_shared<const Schema>(schema)) {
    auto created = Aggregation::Create(spec, input, null_on_expression_error);
    EXPECT_TRUE(created.ok()) << created.status();
    aggregation = *std::move(created);
    table = std::make_unique<FakeWindowTable>(aggregation->slot_layout());
    aggregation->Attach(table.get());
  }

  std::unique_ptr<PreparedRows> Prepare(const std::vector<CellRow>& rows,
                                        int64_t late_before = INT64_MIN) const {
    return aggregation->Prepare(MakeBatch(input, rows), late_before);
  }
  std::unique_ptr<PreparedRows> Add(const std::vector<CellRow>& rows,
                                    int64_t late_before = INT64_MIN) const {
    auto prepared = Prepare(rows, late_before);
    const absl::Status status = aggregation->Apply(*prepared);
    EXPECT_TRUE(status.ok()) << status;
    return prepared;
  }
  std::vector<std::string> Touched() const { return Texts(ReadAll(aggregation->Touched())); }
  std::vector<std::string> Scan(int64_t after = INT64_MIN, int64_t upto = INT64_MAX) const {
    return Texts(ReadAll(aggregation->Scan(after, upto)));
  }

  std::shared_ptr<const Schema> input;
  std::unique_ptr<Aggregation> aggregation;
  std::unique_ptr<FakeWindowTable> table;
};

absl::Status CreateError(const AggregationSpec& spec, const Schema& schema) {
  return Aggregation::Create(spec, std::make_shared<const Schema>(schema), false).status();
}

using Rows = std::vector<std::string>;

// ---- planning

TEST(AggregationTest, OutputIsWindowThenKeysThenAggregates) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(5));
  spec.keys = {Col("store"), Col("name").As("customer")};
  spec.aggregates = {Count(),      Sum("small"), Sum("price"), Avg("price"),
                     Avg("small"), Min("name"),  Max("t"),     Count("price").As("priced")};
  const GroupBy group_by(
      spec,
      Schema().Timestamp("t").Int64("store").String("name").Int32("small").Decimal("price", 10, 2));
  EXPECT_EQ(group_by.aggregation->output_schema()->ToString(),
            "[window_start timestamp, window_end timestamp, store int64, customer string, count "
            "int64, sum(small) int64, sum(price) decimal(20,2), avg(price) decimal(14,6), "
            "avg(small) double, min(name) string, max(t) timestamp, priced int64]");
}

TEST(AggregationTest, DecimalResultsAreAtMost38Digits) {
  AggregationSpec spec;
  spec.aggregates = {Sum("d"), Avg("d")};
  EXPECT_EQ(
      GroupBy(spec, Schema().Decimal("d", 30, 36 - 10)).aggregation->output_schema()->ToString(),
      "[sum(d) decimal(38,26), avg(d) decimal(34,30)]");
  EXPECT_EQ(GroupBy(spec, Schema().Decimal("d", 38, 36)).aggregation->output_schema()->ToString(),
            "[sum(d) decimal(38,36), avg(d) decimal(38,38)]");
}

TEST(AggregationTest, StateLayoutSaysWhatIsKept) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(5));
  spec.keys = {Col("store"), Col("name")};
  spec.aggregates = {Count(), Sum("small"), Max("small"), Avg("x"), Min("name")};
  const Schema schema =
      Schema().Timestamp("t").Int64("store").String("name").Int32("small").Double("x");
  EXPECT_EQ(GroupBy(spec, schema).aggregation->state_layout(),
            "key(window,int64,string) "
            "slots(rows,int32:seen+sum+max,double:count+sum,string:seen+min) v1");
  spec.window.reset();
  spec.aggregates = {Count("x")};
  EXPECT_EQ(GroupBy(spec, schema).aggregation->state_layout(),
            "key(int64,string) slots(double:count) v1");
  spec.keys = {Col("t")};
  spec.watermark_column = "t";
  EXPECT_EQ(GroupBy(spec, schema).aggregation->state_layout(), "key(time) slots(double:count) v1");
  spec.keys = {};
  EXPECT_EQ(GroupBy(spec, schema).aggregation->state_layout(), "key() slots(double:count) v1");
}

TEST(AggregationTest, TheCommonSlotIsSmall) {
  AggregationSpec spec;
  spec.aggregates = {Count(), Sum("x"), Max("x")};
  EXPECT_EQ(GroupBy(spec, Schema().Int64("x")).aggregation->slot_layout().width, 32u);
  spec.aggregates = {Count()};
  EXPECT_EQ(GroupBy(spec, Schema().Int64("x")).aggregation->slot_layout().width, 8u);
}

TEST(AggregationTest, OrderMattersForSumsOfDoublesOnly) {
  const Schema schema = Schema().Double("d").Int64("i");
  const auto order_matters = [&](std::vector<Aggregate> aggregates) {
    AggregationSpec spec;
    spec.aggregates = std::move(aggregates);
    return GroupBy(spec, schema).aggregation->order_matters();
  };
  EXPECT_FALSE(order_matters({Count(), Sum("i"), Avg("i"), Min("d"), Max("d"), Count("d")}));
  EXPECT_TRUE(order_matters({Sum("d")}));
  EXPECT_TRUE(order_matters({Count(), Avg("d")}));
}

TEST(AggregationTest, GroupsCloseByTheWindowOrTheWatermarkedKey) {
  const Schema schema = Schema().Timestamp("t").Timestamp("u").Int64("i");
  AggregationSpec spec;
  spec.aggregates = {Count()};
  const auto closes = [&] { return GroupBy(spec, schema).aggregation->closes_groups(); };
  EXPECT_FALSE(closes());
  spec.keys = {Col("t")};
  EXPECT_FALSE(closes());
  spec.watermark_column = "u";
  EXPECT_FALSE(closes());
  spec.keys = {Col("i"), Col("u").As("hour")};
  EXPECT_TRUE(closes());
  spec.keys = {};
  spec.window = TumblingWindow("u", absl::Minutes(1));
  EXPECT_TRUE(closes());
  spec.watermark_column.reset();
  EXPECT_TRUE(closes());
  // A watermark on another column says nothing about these windows.
  spec.watermark_column = "t";
  EXPECT_FALSE(closes());
}

TEST(AggregationTest, MistakesInTheSpecAreNamed) {
  const Schema schema = Schema().Timestamp("t").String("name").Int64("store");
  AggregationSpec good;
  good.keys = {Col("store")};
  good.aggregates = {Count()};
  ASSERT_TRUE(CreateError(good, schema).ok());
  const auto expect = [&](const AggregationSpec& spec, const std::string& words) {
    const absl::Status status = CreateError(spec, schema);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  };
  AggregationSpec spec = good;
  spec.aggregates.clear();
  expect(spec, "no aggregates");
  spec = good;
  spec.keys = {Col("stroe")};
  expect(spec, "stroe");
  spec = good;
  spec.aggregates = {Sum("stroe")};
  expect(spec, "stroe");
  spec.aggregates = {Sum("name")};
  expect(spec, "needs a number");
  spec.aggregates = {Avg("t")};
  expect(spec, "needs a number");
  spec.aggregates = {Count(), Sum("store").As("count")};
  expect(spec, "called count");
  spec.aggregates = {Count().As("store")};
  expect(spec, "called store");
  spec = good;
  spec.window = TumblingWindow("name", absl::Minutes(1));
  expect(spec, "not a timestamp");
  spec.window = TumblingWindow("tt", absl::Minutes(1));
  expect(spec, "tt");
  spec.window = TumblingWindow("t", absl::ZeroDuration());
  expect(spec, "size");
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.keys = {Col("t").As("window_end")};
  expect(spec, "called window_end");
}

// ---- rows into groups

TEST(AggregationTest, CountsPerWindowAndStoreAsInTheDocumentation) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.keys = {Col("store")};
  spec.aggregates = {Count().As("registrations")};
  const GroupBy group_by(spec, Schema().Int64("store").Timestamp("t"));
  group_by.Add({{int64_t{2}, int64_t{1}},
                {int64_t{1}, kMinute},
                {int64_t{2}, kMinute - 1},
                {kNull, int64_t{5}},
                {kNull, int64_t{6}},
                {int64_t{-3}, -int64_t{1}}});
  EXPECT_EQ(group_by.Touched(), (Rows{"-60000000|0|-3|1", "0|60000000|NULL|2", "0|60000000|2|2",
                                      "60000000|120000000|1|1"}));
  EXPECT_EQ(group_by.Scan(0, kMinute), (Rows{"0|60000000|NULL|2", "0|60000000|2|2"}));
  EXPECT_EQ(group_by.Scan(2 * kMinute, INT64_MAX), Rows{});
}

TEST(AggregationTest, NullsAreSkippedAndOfNullsOnlyIsNull) {
  AggregationSpec spec;
  spec.keys = {Col("k")};
  spec.aggregates = {Count(),  Count("x").As("c"), Sum("x"), Min("x"),  Max("x"),
                     Avg("x"), Min("s"),           Max("s"), Count("s")};
  const GroupBy group_by(spec, Schema().Int64("k").Int64("x").String("s"));
  group_by.Add({{int64_t{1}, kNull, kNull}, {int64_t{2}, int64_t{-7}, std::string("")}});
  EXPECT_EQ(group_by.Touched(), (Rows{"1|1|0|NULL|NULL|NULL|NULL|NULL|NULL|0",
                                      "2|1|1|-7|-7|-7|-7.0|base64:|base64:|1"}));
  group_by.Add({{int64_t{1}, int64_t{0}, std::string("b")}, {int64_t{2}, kNull, std::string("a")}});
  EXPECT_EQ(group_by.Touched(), (Rows{"1|2|1|0|0|0|0.0|base64:Yg==|base64:Yg==|1",
                                      "2|2|1|-7|-7|-7|-7.0|base64:|base64:YQ==|2"}));
}

TEST(AggregationTest, WithoutKeysAllRowsAreOneGroup) {
  AggregationSpec spec;
  spec.aggregates = {Count(), Sum("x")};
  const GroupBy group_by(spec, Schema().Int64("x"));
  EXPECT_EQ(group_by.Scan(), Rows{});
  group_by.Add({{int64_t{1}}, {int64_t{2}}});
  group_by.Add({});
  EXPECT_EQ(group_by.Scan(), Rows{"2|3"});
}

TEST(AggregationTest, NanIsTheGreatestAndOneGroupAndZerosAreOneGroup) {
  AggregationSpec spec;
  spec.keys = {Col("k")};
  spec.aggregates = {Count(), Min("x"), Max("x")};
  const GroupBy group_by(spec, Schema().Double("k").Double("x"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  group_by.Add({{nan, 1.0}, {-nan, nan}, {-0.0, nan}, {0.0, nan}, {1.0, -0.0}, {1.0, -infinity}});
  EXPECT_EQ(group_by.Touched(), (Rows{"0.0|2|NaN|NaN", "1.0|2|-Infinity|0.0", "NaN|2|1.0|NaN"}));
}

TEST(AggregationTest, LateRowsAndRowsWithoutEventTimeAreDroppedAndCounted) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.aggregates = {Count()};
  const GroupBy group_by(spec, Schema().Timestamp("t"));
  const auto prepared =
      group_by.Add({{int64_t{0}}, {kNull}, {kMinute}, {kMinute - 1}, {2 * kMinute}}, kMinute);
  EXPECT_EQ(prepared->late_rows, 2);
  EXPECT_EQ(prepared->null_event_time_rows, 1);
  EXPECT_GT(prepared->memory_bytes(), 0u);
  EXPECT_EQ(group_by.Touched(), (Rows{"60000000|120000000|1", "120000000|180000000|1"}));
}

TEST(AggregationTest, TheWatermarkedKeyIsLateByItselfAndClosesByItself) {
  AggregationSpec spec;
  spec.keys = {Col("k"), Col("t").As("at"), Col("t").As("again")};
  spec.aggregates = {Count()};
  spec.watermark_column = "t";
  const GroupBy group_by(spec, Schema().Timestamp("t").Int64("k"));
  const auto prepared = group_by.Add({{int64_t{10}, int64_t{1}},
                                      {int64_t{11}, int64_t{2}},
                                      {int64_t{11}, int64_t{1}},
                                      {int64_t{12}, kNull},
                                      {kNull, int64_t{1}}},
                                     10);
  EXPECT_EQ(prepared->late_rows, 1);
  EXPECT_EQ(prepared->null_event_time_rows, 1);
  EXPECT_EQ(group_by.Touched(), (Rows{"1|11|11|1", "2|11|11|1", "NULL|12|12|1"}));
  EXPECT_EQ(group_by.Scan(11, 12), Rows{"NULL|12|12|1"});
}

TEST(AggregationTest, NothingIsLateForGroupsThatDoNotClose) {
  AggregationSpec spec;
  spec.keys = {Col("t")};
  spec.aggregates = {Count()};
  const GroupBy group_by(spec, Schema().Timestamp("t").Timestamp("u"));
  EXPECT_EQ(group_by.Add({{int64_t{1}, int64_t{1}}, {kNull, int64_t{1}}}, 100)->late_rows, 0);
  EXPECT_EQ(group_by.Touched(), (Rows{"NULL|1", "1|1"}));
  spec.keys = {};
  spec.window = TumblingWindow("u", absl::Minutes(1));
  spec.watermark_column = "t";
  const GroupBy other(spec, Schema().Timestamp("t").Timestamp("u"));
  EXPECT_EQ(other.Add({{int64_t{1}, int64_t{1}}}, 2 * kMinute)->late_rows, 0);
  EXPECT_EQ(other.Touched(), Rows{"0|60000000|1"});
}

TEST(AggregationTest, OnlySelectedRowsCount) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.keys = {Col("k")};
  spec.aggregates = {Count(), Sum("k").As("s")};
  const GroupBy group_by(spec, Schema().Timestamp("t").Int64("k"));
  RowBatch batch = MakeBatch(group_by.input, {{int64_t{1}, int64_t{5}},
                                              {kNull, int64_t{6}},
                                              {int64_t{2}, int64_t{7}},
                                              {int64_t{3}, int64_t{5}}});
  batch.set_selection(Selection::Rows({0, 3}));
  const auto prepared = group_by.aggregation->Prepare(batch, INT64_MIN);
  EXPECT_EQ(prepared->null_event_time_rows, 0);
  ASSERT_TRUE(group_by.aggregation->Apply(*prepared).ok());
  batch.set_selection(Selection::Rows({}));
  ASSERT_TRUE(group_by.aggregation->Apply(*group_by.aggregation->Prepare(batch, INT64_MIN)).ok());
  EXPECT_EQ(group_by.Touched(), Rows{"0|60000000|5|2|10"});
}

TEST(AggregationTest, AWindowOutOfRangeIsAnErrorOfItsRow) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.aggregates = {Count()};
  for (const bool null_on_error : {false, true}) {
    const GroupBy group_by(spec, Schema().Timestamp("t"), null_on_error);
    const auto prepared = group_by.Add({{int64_t{1}}, {INT64_MAX}, {INT64_MIN}});
    ASSERT_EQ(prepared->errors.size(), 2u);
    EXPECT_EQ(prepared->errors[0].row, 1u);
    EXPECT_EQ(prepared->errors[1].row, 2u);
    EXPECT_EQ(group_by.Touched(), Rows{"0|60000000|1"});
  }
}

TEST(AggregationTest, ARowOnWhichAKeyOrArgumentFailsIsListedOnceAndLeftOut) {
  AggregationSpec spec;
  spec.keys = {(Col("a") % Col("b")).As("rest"), Cast(Col("s"), DataType::Int64()).As("number")};
  spec.aggregates = {Count(), Sum(Col("a") + Col("b")).As("total")};
  const Schema schema = Schema().Int64("a").Int64("b").String("s");
  const std::vector<CellRow> rows = {
      {int64_t{7}, int64_t{4}, std::string("1")},
      {int64_t{7}, int64_t{0}, std::string("x")},  // both keys fail
      {INT64_MAX, int64_t{2}, std::string("1")},   // the argument fails
      {int64_t{3}, int64_t{4}, std::string("1")},
      {kNull, int64_t{0}, std::string("2")},
  };
  const GroupBy rejects(spec, schema);
  auto prepared = rejects.Add(rows);
  ASSERT_EQ(prepared->errors.size(), 2u);
  EXPECT_EQ(prepared->errors[0].row, 1u);
  EXPECT_EQ(prepared->errors[1].row, 2u);
  EXPECT_EQ(rejects.Touched(), (Rows{"NULL|2|1|NULL", "3|1|2|18"}));

  const GroupBy nulls(spec, schema, true);
  prepared = nulls.Add(rows);
  ASSERT_EQ(prepared->errors.size(), 2u);
  EXPECT_EQ(nulls.Touched(), (Rows{"NULL|NULL|1|7", "NULL|2|1|NULL", "1|1|1|NULL", "3|1|2|18"}));
}

TEST(AggregationTest, ExpressionsAreNotEvaluatedOnLateRows) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.keys = {(Col("a") / Col("b")).As("ratio")};
  spec.aggregates = {Count()};
  const GroupBy group_by(spec, Schema().Timestamp("t").Int64("a").Int64("b"));
  const auto prepared = group_by.Add({{int64_t{0}, int64_t{1}, int64_t{0}},
                                      {kNull, int64_t{1}, int64_t{0}},
                                      {kMinute, int64_t{1}, int64_t{1}}},
                                     kMinute);
  EXPECT_TRUE(prepared->errors.empty());
  EXPECT_EQ(prepared->late_rows, 1);
  EXPECT_EQ(group_by.Touched().size(), 1u);
}

TEST(AggregationTest, TheStoresErrorComesBack) {
  AggregationSpec spec;
  spec.keys = {Col("k")};
  spec.aggregates = {Count()};
  const GroupBy group_by(spec, Schema().Int64("k"));
  group_by.table->upsert_error = absl::UnavailableError("disk gone");
  const auto prepared = group_by.Prepare({{int64_t{1}}, {int64_t{2}}});
  EXPECT_EQ(group_by.aggregation->Apply(*prepared).code(), absl::StatusCode::kUnavailable);
}

// ---- overflow

constexpr int64_t kBig = INT64_MAX;

AggregationSpec SumsOf(const std::string& column, OverflowPolicy policy) {
  AggregationSpec spec;
  spec.window = TumblingWindow("t", absl::Minutes(1));
  spec.keys = {Col("k"), Col("region")};
  spec.aggregates = {Count(), Sum(column), Avg(column)};
  spec.on_overflow = policy;
  return spec;
}

Schema SumInput() {
  return Schema().Timestamp("t").Int64("k").String("region").Int64("x").Decimal("d", 38, 0);
}

CellRow SumRow(Cell x, Cell d = kNull) {
  return {int64_t{5}, int64_t{42}, std::string("EU"), std::move(x), std::move(d)};
}

TEST(AggregationTest, OverflowFailsNamingGroupAndAggregate) {
  const GroupBy group_by(SumsOf("x", OverflowPolicy::kFail), SumInput());
  group_by.Add({SumRow(kBig)});
  EXPECT_TRUE(group_by.aggregation->CheckOverflow().ok());
  group_by.Add({SumRow(int64_t{1})});
  const absl::Status status = group_by.aggregation->CheckOverflow();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  for (const char* part :
       {"sum(x)", "int64", "k=42", "region=EU", "window_start=1970-01-01T00:00:00Z",
        "window_end=1970-01-01T00:01:00Z", "--on-overflow"}) {
    EXPECT_THAT(message, HasSubstr(part));
  }
  // The cursors find it as well.
  EXPECT_EQ(ReadAll(group_by.aggregation->Touched()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadAll(group_by.aggregation->Scan(INT64_MIN, INT64_MAX)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(AggregationTest, OverflowCanGiveNullAndTheAverageStays) {
  const GroupBy group_by(SumsOf("x", OverflowPolicy::kNull), SumInput());
  group_by.Add({SumRow(kBig), SumRow(kBig)});
  EXPECT_TRUE(group_by.aggregation->CheckOverflow().ok());
  EXPECT_EQ(group_by.Touched(), Rows{"0|60000000|42|base64:RVU=|2|NULL|9.223372036854776E18"});
}

TEST(AggregationTest, ASumThatComesBackIntoRangeIsRight) {
  for (const OverflowPolicy policy : {OverflowPolicy::kFail, OverflowPolicy::kNull}) {
    const GroupBy group_by(SumsOf("x", policy), SumInput());
    group_by.Add({SumRow(kBig), SumRow(kBig), SumRow(kBig), SumRow(INT64_MIN)});
    group_by.Add({SumRow(INT64_MIN), SumRow(INT64_MIN), SumRow(INT64_MIN), SumRow(kBig)});
    EXPECT_TRUE(group_by.aggregation->CheckOverflow().ok());
    EXPECT_EQ(group_by.Touched(), Rows{"0|60000000|42|base64:RVU=|8|-4|-0.5"});
  }
}

TEST(AggregationTest, AnOverflowOfAnEarlierBatchUnderNullIsFoundUnderFail) {
  // As after a restart with another policy: the slots are the same.
  GroupBy null_policy(SumsOf("x", OverflowPolicy::kNull), SumInput());
  null_policy.Add({SumRow(kBig), SumRow(kBig)});
  null_policy.table->Committed(INT64_MIN);
  GroupBy fail_policy(SumsOf("x", OverflowPolicy::kFail), SumInput());
  EXPECT_EQ(fail_policy.aggregation->state_layout(), null_policy.aggregation->state_layout());
  fail_policy.aggregation->Attach(null_policy.table.get());
  fail_policy.Add({SumRow(int64_t{1})});
  EXPECT_EQ(fail_policy.aggregation->CheckOverflow().code(), absl::StatusCode::kInvalidArgument);
}

TEST(AggregationTest, DecimalSumsNeverWrap) {
  Int128 nines = 1;
  for (int i = 0; i < 38; ++i) nines *= 10;
  nines -= 1;
  const GroupBy fails(SumsOf("d", OverflowPolicy::kFail), SumInput());
  fails.Add({SumRow(kNull, nines)});
  // The sum fits 38 digits, its average with 4 more does not.
  EXPECT_THAT(std::string(fails.aggregation->CheckOverflow().message()), HasSubstr("avg(d)"));
  fails.Add({SumRow(kNull, Int128{1})});
  EXPECT_THAT(std::string(fails.aggregation->CheckOverflow().message()), HasSubstr("sum(d)"));

  const GroupBy nulls(SumsOf("d", OverflowPolicy::kNull), SumInput());
  // Eight times past 128 bits, and nearly all the way back.
  std::vector<CellRow> rows(20, SumRow(kNull, nines));
  nulls.Add(rows);
  EXPECT_EQ(nulls.Touched(), Rows{"0|60000000|42|base64:RVU=|20|NULL|NULL"});
  rows.assign(20, SumRow(kNull, -nines));
  rows[0] = SumRow(kNull, Int128{-17});
  rows[1] = SumRow(kNull, -nines + 5);
  rows.push_back(SumRow(kNull, -nines));
  nulls.Add(rows);
  EXPECT_EQ(nulls.Touched(), Rows{"0|60000000|42|base64:RVU=|41|-12|-2927"});
}

TEST(AggregationTest, DecimalAveragesRoundHalfUpAwayFromZero) {
  AggregationSpec spec;
  spec.keys = {Col("k")};
  spec.aggregates = {Avg("d")};
  const GroupBy group_by(spec, Schema().Int64("k").Decimal("d", 10, 2));
  // 0.01 / 8 = 0.00125; 1 / 3; 2 / 3 (in 0.01), and their negatives.
  std::vector<CellRow> rows;
  const auto add = [&](int64_t key, int64_t sum, int count) {
    rows.push_back({key, Int128{sum}});
    for (int i = 1; i < count; ++i) rows.push_back({key, Int128{0}});
  };
  add(1, 1, 3);
  add(2, 2, 3);
  add(3, -1, 3);
  add(4, -2, 3);
  add(5, 1, 32);  // 0.01 / 32 = 0.0003125 -> 0.000313
  add(6, -1, 32);
  add(7, 12345, 1);
  group_by.Add(rows);
  EXPECT_EQ(group_by.Touched(),
            (Rows{"1|3333", "2|6667", "3|-3333", "4|-6667", "5|313", "6|-313", "7|123450000"}));
}

// ---- results

TEST(AggregationTest, ResultsComeInBatchesOfAtMost8192InKeyOrder) {
  AggregationSpec spec;
  spec.keys = {Col("k"), Col("s")};
  spec.aggregates = {Count(), Max("s").As("m")};
  const GroupBy group_by(spec, Schema().Int64("k").String("s"));
  std::vector<CellRow> rows;
  for (int64_t i = 0; i < 20'000; ++i) {
    rows.push_back({(i * 7919) % 20'000, "text of " + std::to_string(i * 7919 % 20'000)});
  }
  group_by.Add(rows);
  const std::unique_ptr<ResultCursor> cursor = group_by.aggregation->Touched();
  std::vector<size_t> sizes;
  std::vector<RowBatch> kept;
  while (true) {
    const auto batch = cursor->Next();
    ASSERT_TRUE(batch.ok());
    if (*batch == nullptr) break;
    sizes.push_back((*batch)->num_rows());
    kept.push_back(**batch);  // columns outlive the cursor's step
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{8192, 8192, 20'000 - 2 * 8192}));
  int64_t expected = 0;
  for (const RowBatch& batch : kept) {
    for (size_t i = 0; i < batch.num_rows(); ++i, ++expected) {
      const std::string text = "text of " + std::to_string(expected);
      ASSERT_EQ(batch.column(0).values<int64_t>()[i], expected);
      ASSERT_EQ(batch.column(1).text(i), text);
      ASSERT_EQ(batch.column(2).values<int64_t>()[i], 1);
      ASSERT_EQ(batch.column(3).text(i), text);
    }
  }
  EXPECT_TRUE(cursor->Next().ok());
  EXPECT_EQ(*cursor->Next(), nullptr);
}

}  // namespace
}  // namespace tidemark
