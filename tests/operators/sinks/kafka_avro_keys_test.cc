// Keys in Avro as others see them: read back by avro-c, and in the partitions of Java's clients.
#include <avro.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "operators/sinks/kafka_fixture.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::KafkaRecord;
using testing::MakeBatch;
using testing::Null;
using OnNullKey = KafkaSinkOptions::OnNullKey;

// What avro-c reads in a bare datum, as JSON; the complaint, if it is none or more than one.
std::string ReadByAvroC(const std::string& schema_text, const std::string& bytes) {
  avro_schema_t schema = nullptr;
  if (avro_schema_from_json_length(schema_text.data(), schema_text.size(), &schema) != 0)
    return avro_strerror();
  avro_value_iface_t* const type = avro_generic_class_from_schema(schema);
  avro_value_t value{};
  avro_generic_value_new(type, &value);
  avro_reader_t reader = avro_reader_memory(bytes.data(), static_cast<int64_t>(bytes.size()));
  std::string text;
  char* json = nullptr;
  size_t size = 0;
  if (avro_value_read(reader, &value) != 0 || avro_value_to_json(&value, 1, &json) != 0 ||
      avro_value_sizeof(&value, &size) != 0) {
    text = avro_strerror();
  } else {
    text =
        size == bytes.size() ? json : fmt::format("{} of {} bytes: {}", size, bytes.size(), json);
  }
  std::free(json);
  avro_reader_free(reader);
  avro_value_decref(&value);
  avro_value_iface_decref(type);
  avro_schema_decref(schema);
  return text;
}

std::string Logical(const char* type, const char* logical) {
  return fmt::format(R"({{"type":"{}","logicalType":"{}"}})", type, logical);
}

std::string Record(const std::string& fields) {
  return fmt::format(R"({{"type":"record","name":"Key","fields":[{}]}})", fields);
}

FormatSpec Written(std::string schema) { return Avro({}, {.writer_schema = std::move(schema)}); }

class KafkaAvroKeysTest : public testing::KafkaSinkFixture {
 protected:
  // The rows under keys of the columns `by`, in a batch of their own.
  absl::Status Write(const std::vector<std::string>& by, FormatSpec format,
                     const std::vector<RowBatch>& rows, OnNullKey on_null_key = OnNullKey::kFail) {
    KafkaSinkOptions options = Options();
    options.key_format = std::move(format);
    options.on_null_key = on_null_key;
    if (rows[0].schema().Find("gone").has_value()) options.delete_when_column = "gone";
    SinkContext context = Context(rows[0].schema(), by);
    context.sink = fmt::format("sink-{}", ++sinks_);
    KafkaSink sink(options);
    const absl::Status status = OpenNew(sink, context);
    return status.ok() ? Commit(sink, Batch(0), rows).status() : status;
  }

  int sinks_ = 0;
};

TEST_F(KafkaAvroKeysTest, AnotherLibraryReadsThem) {
  CreateTopic();
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
  const RowBatch rows = MakeBatch(
      schema, {{INT64_MIN, -7, 1, 2.5, Int128{-5}, "a\"b", "\1\xFFQ", -1, int64_t{1'500'000}}});
  struct Case {
    std::string type;
    std::string json;  // as avro-c writes it
  };
  const std::vector<Case> cases = {
      {R"("long")", "-9223372036854775808"},
      {R"("int")", "-7"},
      {R"("boolean")", "true"},
      {R"("double")", "2.5"},
      {R"({"type":"bytes","logicalType":"decimal","precision":10,"scale":2})", R"("\u00FB")"},
      {R"(["null","string"])", R"({"string": "a\"b"})"},
      {R"({"type":"fixed","name":"Three","size":3})", R"("\u0001\u00FFQ")"},
      {Logical("int", "date"), "-1"},
      {Logical("long", "timestamp-millis"), "1500"}};
  std::string fields = R"({"name":"from","type":"string","default":"tidemark"})";
  std::string whole = R"({"from": "tidemark")";
  std::vector<std::string> names;
  for (size_t i = schema.size(); i-- > 0;) {  // fields and columns meet by name, not by place
    const std::string& name = schema.field(i).name;
    fields += fmt::format(R"(,{{"name":"{}","type":{}}})", name, cases[i].type);
    whole += fmt::format(R"(, "{}": {})", name, cases[i].json);
  }
  for (size_t i = 0; i < schema.size(); ++i) {
    names.push_back(schema.field(i).name);
    const absl::Status alone = Write({names[i]}, Written(cases[i].type), {rows});
    ASSERT_TRUE(alone.ok()) << alone;
    const absl::Status record =
        Write({names[i]},
              Written(Record(fmt::format(R"({{"name":"{}","type":{}}})", names[i], cases[i].type))),
              {rows});
    ASSERT_TRUE(record.ok()) << record;
  }
  const absl::Status all = Write(names, Written(Record(fields)), {rows});
  ASSERT_TRUE(all.ok()) << all;
  const auto records = Records(2 * cases.size() + 1);
  ASSERT_EQ(records.size(), 2 * cases.size() + 1);
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(ReadByAvroC(cases[i].type, *records[2 * i].key), cases[i].json) << names[i];
    EXPECT_EQ(records[2 * i].key, records[2 * i + 1].key) << "a record of one field is its value";
  }
  EXPECT_EQ(ReadByAvroC(Record(fields), *records.back().key), whole + "}");
}

TEST_F(KafkaAvroKeysTest, AnotherLibraryReadsRandomOnes) {
  CreateTopic();
  const unsigned seed = std::random_device{}();
  std::mt19937_64 random(seed);
  const Schema schema = Schema().String("text").Int64("id").Bool("gone");
  std::vector<testing::Row> rows;
  std::vector<std::string> expected;
  for (int i = 0; i < 1000; ++i) {
    const auto id = static_cast<int64_t>(random()) >> random() % 64;
    const std::string text(random() % 200, static_cast<char>('a' + random() % 26));
    rows.push_back({text, id, static_cast<int>(random() % 2)});
    expected.push_back(fmt::format(R"({{"id": {}, "text": "{}"}})", id, text));
  }
  const std::string key = Record(R"({"name":"id","type":"long"},{"name":"text","type":"string"})");
  // By an id whose schema is looked up, as a value's is.
  const absl::Status written = Write({"text", "id"},
                                     Avro({}, {.framing = AvroFraming::kConfluent,
                                               .schemas_by_id = {{0x01020304, key}},
                                               .written_schema_id = 0x01020304}),
                                     {MakeBatch(schema, rows)});
  ASSERT_TRUE(written.ok()) << written;
  const auto records = Records(rows.size());
  ASSERT_EQ(records.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(records[i].key->substr(0, 5), std::string("\0\1\2\3\4", 5));
    EXPECT_EQ(ReadByAvroC(key, records[i].key->substr(5)), expected[i]) << "seed " << seed;
    EXPECT_EQ(records[i].value.has_value(), std::get<int>(rows[i][2]) == 0) << "seed " << seed;
  }
}

TEST_F(KafkaAvroKeysTest, PartitionsAreThoseOfTheEncodedBytes) {
  CreateTopic(10);
  // From Utils.murmur2 of Kafka's own clients, made positive, modulo 10: of the number alone, and
  // of the framed record.
  struct Case {
    int64_t id;
    int32_t alone;
    int32_t framed;
  };
  const std::vector<Case> cases = {{0, 8, 9},         {1, 7, 8},         {-1, 7, 6},
                                   {21, 5, 3},        {63, 8, 4},        {64, 7, 2},
                                   {-65, 0, 4},       {1'000'000, 9, 3}, {2'147'483'648, 4, 2},
                                   {INT64_MIN, 4, 4}, {INT64_MAX, 5, 9}};
  const Schema schema = Schema().Int64("id").String("text").Bool("gone");
  std::vector<testing::Row> rows;
  for (const Case& one : cases) {
    const std::string text = fmt::format("k{}", one.id);
    rows.push_back({one.id, text, 0});
    rows.push_back({one.id, text, 1});
  }
  ASSERT_TRUE(Write({"id"}, Written(R"("long")"), {MakeBatch(schema, rows)}).ok());
  FormatSpec framed = Avro(
      {}, {.framing = AvroFraming::kConfluent,
           .writer_schema =
               Record(R"({"name":"id","type":"long"},{"name":"text","type":["null","string"]})"),
           .written_schema_id = 258});
  ASSERT_TRUE(Write({"id", "text"}, std::move(framed), {MakeBatch(schema, rows)}).ok());
  std::map<std::string, std::vector<int32_t>> found;  // partitions of a key: the row, its delete
  for (const KafkaRecord& record : Records(4 * cases.size()))
    found[*record.key].push_back(record.partition);
  ASSERT_EQ(found.size(), 2 * cases.size());
  for (const Case& one : cases) {
    std::string datum;
    for (uint64_t rest = (static_cast<uint64_t>(one.id) << 1) ^ static_cast<uint64_t>(one.id >> 63);
         ; rest >>= 7) {
      datum.push_back(static_cast<char>(rest < 0x80 ? rest : (rest & 0x7F) | 0x80));
      if (rest < 0x80) break;
    }
    EXPECT_EQ(found[datum], (std::vector<int32_t>{one.alone, one.alone})) << one.id;
    const std::string text = fmt::format("k{}", one.id);
    const std::string record =
        std::string("\0\0\0\1\2", 5) + datum + '\2' + static_cast<char>(2 * text.size()) + text;
    EXPECT_EQ(found[record], (std::vector<int32_t>{one.framed, one.framed})) << one.id;
  }
}

TEST_F(KafkaAvroKeysTest, NullsGoWhereTheSchemaTakesThem) {
  CreateTopic();
  const Schema schema = Schema().Int64("a").Int64("b");
  const RowBatch rows = MakeBatch(schema, {{1, 2}, {Null(), 3}, {Null(), Null()}});
  const std::string open =
      Record(R"({"name":"a","type":["null","long"]},{"name":"b","type":["long","null"]})");
  ASSERT_TRUE(Write({"a", "b"}, Written(open), {rows}, OnNullKey::kNull).ok());
  const auto records = Records(3);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(ReadByAvroC(open, *records[0].key), R"({"a": {"long": 1}, "b": {"long": 2}})");
  EXPECT_EQ(ReadByAvroC(open, *records[1].key), R"({"a": null, "b": {"long": 3}})");
  EXPECT_EQ(ReadByAvroC(open, *records[2].key), R"({"a": null, "b": null})");

  const std::string closed = Record(R"({"name":"a","type":"long"},{"name":"b","type":"long"})");
  const absl::Status refused = Write({"a", "b"}, Written(closed), {rows}, OnNullKey::kNull);
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("the key: column 'a' is null, but the Avro field takes no null: long"));
  Records(3);  // and none of that batch
}

TEST_F(KafkaAvroKeysTest, KeysThatTheSchemaDoesNotFitAreRefused) {
  CreateTopic();
  const Schema schema = Schema().Int64("id").String("text");
  const auto problem = [&](const std::vector<std::string>& by, const std::string& key) {
    const absl::Status status =
        Write(by, Written(key), {MakeBatch(schema, {{int64_t{1} << 40, "a"}})});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(problem({"id"}, Record(R"({"name":"idd","type":"long"})")),
            "the key: the Avro field 'idd' has no column and no default; did you mean 'id'?");
  EXPECT_EQ(problem({"id", "text"}, Record(R"({"name":"id","type":"long"})")),
            "the key: the Avro record 'Key' has no field for the column 'text'; add the field, or "
            "leave the column out");
  EXPECT_EQ(problem({"text"}, R"("int")"),
            "the key: column 'text' of type string does not go into the Avro field of type int");
  EXPECT_EQ(
      problem({"id"}, R"("int")"),
      "the key: column 'id': the value 1099511627776 does not fit the Avro field of type int");
  EXPECT_THAT(problem({"id"}, R"("strin")"), HasSubstr("the key: writer's schema: "));
  EXPECT_EQ(problem({"id"}, ""),
            "the key: rows can be written as Avro only with a writer's schema");
  EXPECT_THAT(problem({}, R"("int")"),
              HasSubstr("name them with .Key(...), or leave out the format (--sink-key-format)"));
  Records(0);
}

}  // namespace
}  // namespace tidemark
