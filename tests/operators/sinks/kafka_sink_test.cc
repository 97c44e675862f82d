#include "tidemark/operators/sinks/kafka_sink.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "operators/sinks/kafka_fixture.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::KafkaRecord;
using testing::ListStream;
using testing::MakeBatch;
using testing::Null;

using KafkaSinkTest = testing::KafkaSinkFixture;
using OnNullKey = KafkaSinkOptions::OnNullKey;

Schema Totals() { return Schema().Timestamp("window_start").String("store").Int64("n"); }

TEST_F(KafkaSinkTest, RowsAreRecordsAndTheMarkerIsAGroupOffset) {
  CreateTopic();
  KafkaSink sink(Options());
  const SinkContext context = Context(Totals(), {"store"});
  EXPECT_EQ(sink.description(), "Kafka[" + topic_ + "]");
  ASSERT_TRUE(sink.Open(context).ok());
  EXPECT_EQ(*sink.ReadMarker(), std::nullopt);
  ASSERT_TRUE(sink.WriteMarker(testing::KafkaSinkFixture::MarkerFor(context, -1)).ok());
  const auto marker = Commit(sink, Batch(0),
                             {MakeBatch(Totals(), {{0, "a", 2}, {60'000'000, "b", Null()}}),
                              MakeBatch(Totals(), {{0, "a", 3}})});
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 3);
  const auto records = Records(3);
  EXPECT_EQ(records[0].key, "a");
  EXPECT_EQ(records[0].value, R"({"window_start":"1970-01-01T00:00:00Z","store":"a","n":2})");
  EXPECT_EQ(records[1].key, "b");
  EXPECT_EQ(records[1].value, R"({"window_start":"1970-01-01T00:01:00Z","store":"b"})");
  EXPECT_EQ(records[2].value, R"({"window_start":"1970-01-01T00:00:00Z","store":"a","n":3})");
  EXPECT_EQ(**sink.ReadMarker(), *marker);
  const auto offset = server_->CommittedOffset(Group(), topic_, 0);
  ASSERT_TRUE(offset.ok());
  EXPECT_EQ(*offset, 1);

  KafkaSink next(Options());
  ASSERT_TRUE(next.Open(context).ok());
  EXPECT_EQ(**next.ReadMarker(), *marker) << "as the broker keeps it";
}

Schema IdAndText() { return Schema().Int64("id").String("text"); }

// `{"id":i,"text":"row"}`
std::string ValueOf(int64_t id) { return fmt::format(R"({{"id":{},"text":"row"}})", id); }

RowBatch Rows(int64_t from, int64_t count) {
  std::vector<testing::Row> rows;
  for (int64_t id = from; id < from + count; ++id) rows.push_back({id, "row"});
  return MakeBatch(IdAndText(), rows);
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// ---- Records

TEST_F(KafkaSinkTest, OneKeyColumnIsItsText) {
  CreateTopic();
  const std::string bytes("\0\xFF\x7F", 3);
  const Schema schema = Schema()
                            .Int64("l")
                            .Int32("i")
                            .Bool("b")
                            .Double("d")
                            .Decimal("dec", 10, 2)
                            .String("s")
                            .Bytes("bin")
                            .Date("day")
                            .Timestamp("ts");
  const std::vector<testing::Row> rows = {
      {INT64_MIN, -7, 1, 2.5, Int128{-5}, "a\"b", bytes, -1, int64_t{1'500}}};
  const std::vector<std::string> expected = {
      "-9223372036854775808",       "-7", "true", "2.5", "-0.05", "a\"b", bytes, "1969-12-31",
      "1970-01-01T00:00:00.001500Z"};
  KafkaSinkOptions options = Options();
  for (size_t i = 0; i < schema.size(); ++i) {
    SinkContext context = Context(schema, {schema.field(i).name});
    context.sink = "by-" + schema.field(i).name;
    KafkaSink sink(options);
    ASSERT_TRUE(OpenNew(sink, context).ok());
    ASSERT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema, rows)}).ok());
  }
  const auto records = Records(schema.size());
  for (size_t i = 0; i < schema.size(); ++i) EXPECT_EQ(records[i].key, expected[i]) << i;
}

TEST_F(KafkaSinkTest, SeveralKeyColumnsAreAJsonArrayAndNoneNoKey) {
  CreateTopic();
  const Schema schema = Schema().Int64("id").String("text").Timestamp("ts");
  const RowBatch rows = MakeBatch(schema, {{1, "a\"b", 0}, {2, std::string(), 0}});
  KafkaSink keyed(Options());
  ASSERT_TRUE(OpenNew(keyed, Context(schema, {"ts", "id", "text"})).ok());
  ASSERT_TRUE(Commit(keyed, Batch(0), {rows}).ok());
  SinkContext context = Context(schema);
  context.sink = "without";
  KafkaSink keyless(Options());
  ASSERT_TRUE(OpenNew(keyless, context).ok());
  ASSERT_TRUE(Commit(keyless, Batch(0), {rows}).ok());
  const auto records = Records(4);
  EXPECT_EQ(records[0].key, R"(["1970-01-01T00:00:00Z",1,"a\"b"])");
  EXPECT_EQ(records[1].key, R"(["1970-01-01T00:00:00Z",2,""])");
  EXPECT_EQ(records[2].key, std::nullopt);
  EXPECT_EQ(records[3].key, std::nullopt);
}

TEST_F(KafkaSinkTest, KeysInAFormatAreMadeOfTheKeyColumnsAlone) {
  CreateTopic();
  const Schema schema = Schema().Int64("id").String("text").Bool("gone");
  const RowBatch rows = MakeBatch(schema, {{1, "a", 0}, {-2, "b", 1}});
  const auto write = [&](const char* name, const std::vector<std::string>& by, FormatSpec format) {
    KafkaSinkOptions options = Options();
    options.delete_when_column = "gone";
    options.key_format = std::move(format);
    SinkContext context = Context(schema, by);
    context.sink = name;
    KafkaSink sink(options);
    absl::Status status = OpenNew(sink, context);
    return status.ok() ? Commit(sink, Batch(0), {rows}).status() : status;
  };
  const auto avro = [](const std::string& written) { return Avro({}, {.writer_schema = written}); };
  const std::string record = R"({"type":"record","name":"Key","fields":[
      {"name":"id","type":"int"},{"name":"text","type":["null","string"]}]})";
  EXPECT_EQ(write("json", {"id"}, Json({})), absl::OkStatus());
  EXPECT_EQ(write("json of two", {"text", "id"}, Json({})), absl::OkStatus());
  EXPECT_EQ(write("a number", {"id"}, avro(R"("long")")), absl::OkStatus());
  EXPECT_EQ(write("record", {"text", "id"}, avro(record)), absl::OkStatus());
  FormatSpec framed = Avro({}, {.framing = AvroFraming::kConfluent,
                                .writer_schema = R"(["null","string"])",
                                .written_schema_id = 513});
  EXPECT_EQ(write("framed", {"text"}, std::move(framed)), absl::OkStatus());
  const auto records = Records(10);
  const std::vector<std::string> keys = {R"({"id":1})",
                                         R"({"id":-2})",
                                         R"({"text":"a","id":1})",
                                         R"({"text":"b","id":-2})",
                                         "\2",
                                         "\3",
                                         std::string("\2\2\2a"),
                                         std::string("\3\2\2b"),
                                         std::string("\0\0\0\2\1\2\2a", 8),
                                         std::string("\0\0\0\2\1\2\2b", 8)};
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(records[i].key, keys[i]) << i;
    EXPECT_EQ(records[i].value.has_value(), i % 2 == 0) << i << ": deletes keep their key";
  }

  EXPECT_EQ(Message(write("type", {"text"}, avro(R"("long")"))),
            "the key: column 'text' of type string does not go into the Avro field of type long");
  EXPECT_EQ(Message(write("two", {"id", "text"}, avro(R"("long")"))),
            "the key: rows of several columns can be written only as an Avro record, and the "
            "writer's schema is long");
  KafkaSinkOptions options = Options();
  options.key_format = Json({});
  KafkaSink keyless(options);
  EXPECT_THAT(Message(keyless.Open(Context(schema))),
              HasSubstr("was given a format of keys, but no key columns"));
}

TEST_F(KafkaSinkTest, NullsInAnEncodedKey) {
  CreateTopic();
  const Schema schema = Schema().Int64("a").Int64("b");
  const RowBatch rows = MakeBatch(schema, {{1, 2}, {Null(), 3}, {4, Null()}});
  KafkaSinkOptions options = Options();
  options.key_format = Avro({}, {.writer_schema = R"("long")"});
  {
    KafkaSink fails(options);
    ASSERT_TRUE(OpenNew(fails, Context(schema, {"a"})).ok());
    EXPECT_THAT(Message(Commit(fails, Batch(0), {rows}).status()),
                AllOf(HasSubstr("row 2 "), HasSubstr("[a]"), HasSubstr("on_null_key=skip")));
  }
  options.on_null_key = OnNullKey::kSkip;
  {
    KafkaSink skips(options);
    ASSERT_TRUE(OpenNew(skips, Context(schema, {"a"})).ok());
    ASSERT_TRUE(Commit(skips, Batch(0), {rows}).ok());
    EXPECT_EQ(skips.TakeSkippedRows(), 1);
  }
  options.on_null_key = OnNullKey::kNull;
  {
    KafkaSink writes(options);
    ASSERT_TRUE(writes.Open(Context(schema, {"a"})).ok());
    ASSERT_TRUE(Commit(writes, Batch(1), {rows}).ok());
  }
  options.key_format = Json({});
  KafkaSink both(options);
  ASSERT_TRUE(both.Open(Context(schema, {"a", "b"})).ok());
  ASSERT_TRUE(Commit(both, Batch(2), {rows}).ok());
  const auto records = Records(8);
  const std::vector<std::optional<std::string>> keys = {
      "\2", "\b", "\2", std::nullopt, "\b", R"({"a":1,"b":2})", R"({"b":3})", R"({"a":4})"};
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(records[i].key, keys[i]) << i;
}

TEST_F(KafkaSinkTest, PartitionsAreThoseOfJavaClients) {
  CreateTopic(10);
  // From Utils.murmur2 of Kafka's own clients, made positive, modulo 10.
  const std::map<std::string, int32_t> expected = {
      {"21", 0},
      {"foobar", 6},
      {"a-little-bit-long-string", 2},
      {"a-little-bit-longer-string", 9},
      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 7},
      {"abc", 7},
      {"", 1},
      {"1", 9},
      {"-42", 9},
      {"[1,\"a\"]", 3},
      {"Gr\xC3\xBC\xC3\x9F"
       "e",
       9}};
  const Schema schema = Schema().String("key");
  std::vector<testing::Row> rows;
  for (const auto& [key, partition] : expected) rows.push_back({key});
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"key"})).ok());
  ASSERT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema, rows)}).ok());
  std::map<std::string, int32_t> found;
  for (const KafkaRecord& record : Records(expected.size()))
    found[record.key.value_or("none")] = record.partition;
  EXPECT_EQ(found, expected);
}

TEST_F(KafkaSinkTest, HiddenColumnsAndUnselectedRowsAreNotWritten) {
  CreateTopic();
  Schema schema = Schema().Int64("id");
  Field hidden;
  hidden.name = "kafka_topic";
  hidden.type = DataType::String();
  hidden.hidden = true;
  schema.Add(hidden);
  RowBatch rows = MakeBatch(schema, {{1, "x"}, {2, "x"}, {3, "x"}});
  rows.set_selection(Selection::Rows({1}));
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"id"})).ok());
  ASSERT_TRUE(Commit(sink, Batch(0), {rows}).ok());
  EXPECT_THAT(Values(1), ElementsAre(R"({"id":2})"));
}

TEST_F(KafkaSinkTest, DeletedRowsAreTombstones) {
  CreateTopic();
  const Schema schema = Schema().Int64("id").String("text").Bool("__delete");
  KafkaSinkOptions options = Options();
  options.delete_when_column = "__delete";
  KafkaSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(schema, {"id"})).ok());
  RowBatch rows =
      MakeBatch(schema, {{1, "a", 0}, {1, "b", 1}, {2, "c", Null()}, {3, Null(), 1}, {3, "d", 0}});
  ASSERT_TRUE(Commit(sink, Batch(0), {rows}).ok());
  const auto records = Records(5);
  const std::vector<std::pair<std::string, std::optional<std::string>>> expected = {
      {"1", R"({"id":1,"text":"a"})"},
      {"1", std::nullopt},
      {"2", R"({"id":2,"text":"c"})"},
      {"3", std::nullopt},
      {"3", R"({"id":3,"text":"d"})"}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(records[i].key, expected[i].first) << i;
    EXPECT_EQ(records[i].value, expected[i].second) << i;
  }
}

TEST_F(KafkaSinkTest, NullsInTheKey) {
  CreateTopic();
  const Schema schema = Schema().Int64("a").Int64("b").Bool("gone");
  const RowBatch rows = MakeBatch(schema, {{1, 2, 0}, {Null(), 3, 0}, {4, Null(), 0}});
  KafkaSinkOptions options = Options();
  options.delete_when_column = "gone";
  {
    KafkaSink fails(options);
    ASSERT_TRUE(OpenNew(fails, Context(schema, {"a"})).ok());
    const absl::Status status = Commit(fails, Batch(0), {rows}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("row 2 "), HasSubstr("[a]"), HasSubstr(R"("b":3)"),
                                       HasSubstr("on_null_key=skip")));
    EXPECT_THAT(Values(0), IsEmpty());
  }
  options.on_null_key = OnNullKey::kSkip;
  {
    KafkaSink skips(options);
    ASSERT_TRUE(OpenNew(skips, Context(schema, {"a", "b"})).ok());
    const auto marker = Commit(skips, Batch(0), {rows});
    ASSERT_TRUE(marker.ok()) << marker.status();
    EXPECT_EQ(marker->row_count, 3);
    EXPECT_EQ(skips.TakeSkippedRows(), 2);
    EXPECT_EQ(skips.TakeSkippedRows(), 0);
    EXPECT_EQ(Records(1)[0].key, "[1,2]");
  }
  options.on_null_key = OnNullKey::kNull;
  KafkaSink writes(options);
  ASSERT_TRUE(writes.Open(Context(schema, {"a"})).ok());
  ASSERT_TRUE(Commit(writes, Batch(1), {rows}).ok());
  EXPECT_EQ(Records(4)[2].key, std::nullopt);
  const absl::Status nothing_to_delete =
      Commit(writes, Batch(2), {MakeBatch(schema, {{Null(), 3, 1}})}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(nothing_to_delete)) << nothing_to_delete;
}

TEST_F(KafkaSinkTest, MoreRowsThanTheQueueHolds) {
  CreateTopic(3);
  KafkaSinkOptions options = Options();
  options.properties = {{"queue.buffering.max.messages", "1000"}, {"linger.ms", "2"}};
  KafkaSink sink(options);
  ASSERT_TRUE(OpenNew(sink, Context(IdAndText(), {"id"})).ok());
  std::vector<RowBatch> batches;
  for (int i = 0; i < 10; ++i) batches.push_back(Rows(i * 5'000, 5'000));
  const auto marker = Commit(sink, Batch(0), std::move(batches));
  ASSERT_TRUE(marker.ok()) << marker.status();
  std::map<std::string, int> counts;
  std::map<int32_t, int64_t> last;
  for (const KafkaRecord& record : Records(50'000)) {
    ++counts[*record.value];
    const int64_t id = std::stoll(*record.key);
    const auto before = last.find(record.partition);
    EXPECT_TRUE(before == last.end() || before->second < id) << "order in partition";
    last[record.partition] = id;
  }
  EXPECT_EQ(counts.size(), 50'000u);
}

// ---- Once

TEST_F(KafkaSinkTest, ABatchGivenAgainIsNotWrittenAgain) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, context).ok());
  const auto first = Commit(sink, Batch(0), {Rows(0, 2)});
  ASSERT_TRUE(first.ok()) << first.status();
  const auto again = Commit(sink, Batch(0), {Rows(0, 2)});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, *first);
  KafkaSink restarted(Options());
  ASSERT_TRUE(restarted.Open(context).ok());
  const auto later = Commit(restarted, Batch(0), {Rows(0, 2)});
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(*later, *first);
  EXPECT_THAT(Values(2), ElementsAre(ValueOf(0), ValueOf(1)));
  ASSERT_TRUE(Commit(restarted, Batch(1), {Rows(2, 1)}).ok());
  EXPECT_THAT(Values(3), ElementsAre(ValueOf(0), ValueOf(1), ValueOf(2)));
}

TEST_F(KafkaSinkTest, ABatchThatDoesNotFollowIsRefused) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  KafkaSink sink(Options());
  ASSERT_TRUE(sink.Open(context).ok());
  const absl::Status unmarked = Commit(sink, Batch(0), {Rows(0, 1)}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(unmarked)) << unmarked;
  EXPECT_THAT(Message(unmarked), AllOf(HasSubstr("holds nothing"), HasSubstr(Group())));
  ASSERT_TRUE(sink.WriteMarker(MarkerFor(context, -1)).ok());
  ASSERT_TRUE(Commit(sink, Batch(0), {Rows(0, 1)}).ok());
  ASSERT_TRUE(Commit(sink, Batch(1), {Rows(1, 1)}).ok());
  for (const SinkBatch& batch : {Batch(0), Batch(3), Batch(1, /*plan_hash=*/8)}) {
    const absl::Status status = Commit(sink, batch, {Rows(9, 1)}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << batch.batch_id << status;
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(sink.WriteMarker(MarkerFor(context, 0))));
  EXPECT_THAT(Values(2), ElementsAre(ValueOf(0), ValueOf(1)));
}

TEST_F(KafkaSinkTest, AMarkerThatWentWithItsTopic) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  {
    KafkaSink sink(Options());
    ASSERT_TRUE(OpenNew(sink, context).ok());
    ASSERT_TRUE(Commit(sink, Batch(0), {Rows(0, 1)}).ok());
  }
  ASSERT_TRUE(server_->DeleteTopic(topic_).ok());
  KafkaSink sink(Options());
  const absl::Status gone = sink.Open(context);
  EXPECT_TRUE(absl::IsNotFound(gone)) << gone;
  EXPECT_THAT(Message(gone), HasSubstr("has no topic " + topic_));
  CreateTopic();
  ASSERT_TRUE(sink.Open(context).ok());
  EXPECT_EQ(*sink.ReadMarker(), std::nullopt);
  EXPECT_TRUE(absl::IsFailedPrecondition(Commit(sink, Batch(1), {Rows(1, 1)}).status()));
  ASSERT_TRUE(sink.WriteMarker(MarkerFor(context, 0)).ok());
  EXPECT_TRUE(Commit(sink, Batch(1), {Rows(1, 1)}).ok());
}

TEST_F(KafkaSinkTest, ARewoundQueryWritesAgain) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, context).ok());
  for (int batch = 0; batch < 3; ++batch)
    ASSERT_TRUE(Commit(sink, Batch(batch), {Rows(batch, 1)}).ok());
  const auto rewound = Commit(sink, Batch(1, /*plan_hash=*/9, /*epoch=*/1), {Rows(1, 1)});
  ASSERT_TRUE(rewound.ok()) << rewound.status();
  EXPECT_EQ(rewound->epoch, 1);
  EXPECT_TRUE(absl::IsFailedPrecondition(Commit(sink, Batch(3), {Rows(3, 1)}).status()))
      << "the epoch before";
  ASSERT_TRUE(Commit(sink, Batch(2, 9, 1), {Rows(2, 1)}).ok());
  EXPECT_THAT(Values(5), ElementsAre(ValueOf(0), ValueOf(1), ValueOf(2), ValueOf(1), ValueOf(2)));
  KafkaSink next(Options());
  ASSERT_TRUE(next.Open(context).ok());
  EXPECT_EQ((*next.ReadMarker())->epoch, 1);
  EXPECT_EQ((*next.ReadMarker())->batch_id, 2);
}

TEST_F(KafkaSinkTest, AnEmptyBatchMovesTheMarker) {
  CreateTopic();
  const SinkContext context = Context(IdAndText());
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, context).ok());
  const auto marker = Commit(sink, Batch(0), {});
  ASSERT_TRUE(marker.ok()) << marker.status();
  KafkaSink next(Options());
  ASSERT_TRUE(next.Open(context).ok());
  EXPECT_EQ(**next.ReadMarker(), *marker);
  EXPECT_THAT(Values(0), IsEmpty());
}

TEST_F(KafkaSinkTest, QueriesAndSinksHaveMarkersOfTheirOwn) {
  CreateTopic();
  const SinkContext context = Context(IdAndText());
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, context).ok());
  SinkContext other = context;
  other.sink = "another \xC3\xA9";
  KafkaSink second(Options());
  ASSERT_TRUE(second.Open(other).ok());
  EXPECT_EQ(*second.ReadMarker(), std::nullopt);
  ASSERT_TRUE(second.WriteMarker(MarkerFor(other, 4)).ok());
  EXPECT_EQ((*sink.ReadMarker())->batch_id, -1);
  ASSERT_TRUE(Commit(sink, Batch(0), {Rows(0, 1)}).ok()) << "not fenced";
  ASSERT_TRUE(Commit(second, Batch(5), {Rows(5, 1)}).ok());
  EXPECT_TRUE(absl::IsInternal(sink.WriteMarker(MarkerFor(other, 0))));
}

TEST_F(KafkaSinkTest, AGroupThatSomebodyElseCommits) {
  CreateTopic();
  auto client = KafkaClient::Make({.brokers = server_->brokers()}, Group(),
                                  {.fixed = {{"group.id", Group()}}});
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE((*client)->Commit({{topic_, 0, 12}}).ok());
  client->reset();  // waits for it
  KafkaSink sink(Options());
  const absl::Status status = sink.Open(Context(IdAndText()));
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr(Group()), HasSubstr("offset 12")));
}

TEST_F(KafkaSinkTest, AKeptMarkerIsWrittenAgain) {
  CreateTopic();
  const SinkContext context = Context(IdAndText());
  KafkaSink sink(Options());
  ASSERT_TRUE(sink.Open(context).ok());
  EXPECT_TRUE(sink.KeepMarker().ok()) << "there is none yet";
  EXPECT_EQ(*server_->CommittedOffset(Group(), topic_, 0), std::nullopt);
  ASSERT_TRUE(sink.WriteMarker(MarkerFor(context, -1)).ok());
  const auto marker = Commit(sink, Batch(0), {Rows(0, 2)});
  ASSERT_TRUE(marker.ok()) << marker.status();
  // As if the broker had forgotten it.
  auto client = KafkaClient::Make({.brokers = server_->brokers()}, Group(),
                                  {.fixed = {{"group.id", Group()}}});
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE((*client)->Commit({{topic_, 0, 12}}).ok());
  client->reset();  // waits for it
  ASSERT_TRUE(sink.KeepMarker().ok());
  KafkaSink next(Options());
  ASSERT_TRUE(next.Open(context).ok());
  EXPECT_EQ(**next.ReadMarker(), *marker);
  EXPECT_TRUE(absl::IsFailedPrecondition(sink.KeepMarker())) << "fenced";
  Records(2);
}

// ---- Failures

TEST_F(KafkaSinkTest, RowsThatFailInTheMiddleLeaveNothing) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, context).ok());
  ListStream stream({Rows(0, 3'000), Rows(3'000, 2)});
  stream.FailOnce(1, absl::UnavailableError("state on fire"));
  const absl::Status failed = sink.Commit(Batch(0), stream).status();
  EXPECT_EQ(failed, absl::UnavailableError("state on fire"));
  EXPECT_THAT(Values(0), IsEmpty());
  ASSERT_TRUE(stream.Rewind().ok());
  const auto marker = sink.Commit(Batch(0), stream);
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ(marker->row_count, 3'002);
  EXPECT_EQ(Values(3'002).back(), ValueOf(3'001));
}

TEST_F(KafkaSinkTest, AnEarlierInstanceIsFenced) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  KafkaSink zombie(Options());
  ASSERT_TRUE(OpenNew(zombie, context).ok());
  ASSERT_TRUE(Commit(zombie, Batch(0), {Rows(0, 1)}).ok());
  KafkaSink sink(Options());
  ASSERT_TRUE(sink.Open(context).ok());
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = Commit(zombie, Batch(1), {Rows(100, 1)}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr("another instance of this query has taken over"));
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(zombie.ReadMarker().status()));
  ASSERT_TRUE(Commit(sink, Batch(1), {Rows(1, 1)}).ok()) << "not fenced by the zombie";
  EXPECT_THAT(Values(2), ElementsAre(ValueOf(0), ValueOf(1)));
}

TEST_F(KafkaSinkTest, AnEarlierInstanceIsFencedInTheMiddleOfItsBatch) {
  CreateTopic();
  const SinkContext context = Context(IdAndText(), {"id"});
  for (const size_t moment : {size_t{1}, size_t{2}}) {
    SinkContext own = context;
    own.sink = fmt::format("at-{}", moment);
    KafkaSink first(Options());
    KafkaSink second(Options());
    ASSERT_TRUE(OpenNew(first, own).ok());
    testing::HookStream rows({Rows(100, 2'000), Rows(5'000, 2'000)}, [&](size_t at) {
      if (at != moment) return;
      ASSERT_TRUE(second.Open(own).ok());
      ASSERT_TRUE(Commit(second, Batch(0), {Rows(static_cast<int64_t>(moment), 1)}).ok());
    });
    const absl::Status status = first.Commit(Batch(0), rows).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
  EXPECT_THAT(Values(2), ElementsAre(ValueOf(1), ValueOf(2)));
}

TEST_F(KafkaSinkTest, ARecordTooLargeIsNamed) {
  CreateTopic(1, {{"max.message.bytes", "300000"}});
  const SinkContext context = Context(IdAndText(), {"id"});
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, context).ok());
  const RowBatch rows =
      MakeBatch(IdAndText(), {{1, "a"}, {2, "b"}, {3, std::string(400'000, 'x')}, {4, "d"}});
  const absl::Status status = Commit(sink, Batch(0), {rows}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("row 3 of the batch, a record of 400018 bytes"),
                                     HasSubstr(topic_), HasSubstr("max.message.bytes")));
  EXPECT_THAT(Values(0), IsEmpty());
  ASSERT_TRUE(Commit(sink, Batch(0), {Rows(0, 20'000)}).ok()) << "sent at once they still fit";
  Records(20'000);
}

TEST_F(KafkaSinkTest, ACompactedTopicTakesNoNullKeys) {
  CreateTopic(1, {{"cleanup.policy", "compact"}});
  KafkaSink sink(Options());
  ASSERT_TRUE(OpenNew(sink, Context(IdAndText())).ok());
  const absl::Status status = Commit(sink, Batch(0), {Rows(0, 1)}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("row 1 of the batch"), HasSubstr(topic_)));
}

TEST_F(KafkaSinkTest, ATopicIsMadeOnlyIfAsked) {
  const SinkContext context = Context(IdAndText());
  KafkaSink without(Options());
  const absl::Status status = without.Open(context);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("has no topic " + topic_),
                                     HasSubstr(server_->brokers()), HasSubstr("create")));
  EXPECT_TRUE(absl::IsNotFound(without.Open(context))) << "asking has not made it";
  KafkaSinkOptions options = Options();
  options.create_topic = true;
  options.partitions = 3;
  KafkaSink sink(options);
  const absl::Status made = OpenNew(sink, context);
  ASSERT_TRUE(made.ok()) << made;
  ASSERT_TRUE(Commit(sink, Batch(0), {Rows(0, 1)}).ok());
  EXPECT_TRUE(server_->Offsets(topic_, 2).ok());
  EXPECT_FALSE(server_->Offsets(topic_, 3).ok());
  KafkaSink again(options);
  EXPECT_TRUE(again.Open(context).ok()) << "it exists now";
}

TEST_F(KafkaSinkTest, WrongOptionsAreNamed) {
  CreateTopic();
  const auto problem = [&](const std::function<void(KafkaSinkOptions&, SinkContext&)>& change) {
    KafkaSinkOptions options = Options();
    SinkContext context = Context(IdAndText(), {"id"});
    change(options, context);
    KafkaSink sink(options);
    const absl::Status status = sink.Open(context);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return Message(status);
  };
  EXPECT_THAT(problem([](auto& options, auto&) { options.brokers = ""; }), HasSubstr("brokers"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.topic = ""; }), HasSubstr("topic"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.topic = "a/b"; }), HasSubstr("a/b"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.properties["lingre.ms"] = "5"; }),
              HasSubstr("lingre.ms"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.properties["transactional.id"] = "x"; }),
              HasSubstr("kafka.transactional.id cannot be set"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.properties["acks"] = "1"; }),
              HasSubstr("acks"));
  EXPECT_THAT(problem([](auto& options, auto&) {
                options.properties["transaction.timeout.ms"] = "901000";
              }),
              HasSubstr("transaction.timeout.ms=901000: lower it"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.format.name = "xml"; }),
              HasSubstr("'xml'"));
  EXPECT_THAT(problem([](auto&, auto& context) { context.key_columns = {"idd"}; }),
              HasSubstr("did you mean id?"));
  EXPECT_THAT(problem([](auto&, auto& context) {
                context.key_columns = {"id", "id"};
              }),
              HasSubstr("named twice"));
  EXPECT_THAT(problem([](auto& options, auto&) { options.delete_when_column = "text"; }),
              HasSubstr("must be bool"));
  EXPECT_THAT(problem([](auto& options, auto& context) {
                options.delete_when_column = "gone";
                context.schema = Schema().Int64("id").Bool("gone");
                context.key_columns = {};
              }),
              HasSubstr(".Key(...)"));
  // Meant for the source, not for us.
  KafkaSinkOptions options = Options();
  options.properties = {{"group.id", "mine"}, {"isolation.level", "read_uncommitted"}};
  KafkaSink sink(options);
  EXPECT_TRUE(sink.Open(Context(IdAndText(), {"id"})).ok());
}

TEST_F(KafkaSinkTest, NoBrokerIsUnavailableAndBounded) {
  KafkaSinkOptions options = Options();
  options.brokers = "127.0.0.1:1";
  absl::Status status;
  {
    KafkaSink sink(options);
    EXPECT_LT(SecondsOf([&] { status = sink.Open(Context(IdAndText())); }), 25.0);
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("no Kafka broker answers at 127.0.0.1:1: "));
}

}  // namespace
}  // namespace tidemark
