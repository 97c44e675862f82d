// Queries that write to a topic of a real broker: inside this program, and as whole jobs that are
// killed.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/streaming_query.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Process;
using testing::ProcessResult;

class KafkaOutputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = KafkaServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    kafka_ = *std::move(started);
  }
  static void TearDownTestSuite() { kafka_.reset(); }
  void SetUp() override { ASSERT_NE(kafka_, nullptr); }

  // The committed records, once there are `count`.
  static std::vector<KafkaRecord> Records(const std::string& topic, size_t count) {
    std::vector<KafkaRecord> records;
    for (int i = 0; i < 100 && records.size() < count; ++i) {
      if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      auto read = kafka_->ReadTopic(topic);
      EXPECT_TRUE(read.ok()) << read.status();
      if (!read.ok()) break;
      records = *std::move(read);
    }
    return records;
  }
  // `key=value`, sorted.
  static std::vector<std::string> Sorted(const std::vector<KafkaRecord>& records) {
    std::vector<std::string> texts;
    for (const KafkaRecord& record : records)
      texts.push_back(record.key.value_or("(null)") + "=" + record.value.value_or("(null)"));
    std::sort(texts.begin(), texts.end());
    return texts;
  }

  static inline std::unique_ptr<KafkaServer> kafka_;
};

TEST_F(KafkaOutputTest, RowsAndDeletesFromMemory) {
  ASSERT_TRUE(kafka_->CreateTopic("customers", 1).ok());
  auto topic = std::make_shared<MemoryTopic>("changes");
  const auto append = [&](int id, const char* op, const char* name) {
    topic->Append(0, std::nullopt,
                  fmt::format(R"({{"id":{},"op":"{}","name":"{}"}})", id, op, name));
  };
  const auto checkpoint = std::make_shared<MemoryCheckpoint>();
  const auto run = [&] {
    QueryOptions options;
    options.input = MemoryInput(topic);
    KafkaSinkOptions kafka;
    kafka.brokers = kafka_->brokers();
    kafka.topic = "customers";
    options.output = KafkaOutput(kafka);
    options.checkpoint = CheckpointInMemory(checkpoint);
    options.bad_records = BadRecordPolicy::kFail;
    options.threads = 1;
    Job job;
    auto query =
        Start(job.Source("changes")
                  .Decode(Json(Schema().Int64("id").String("op").String("name")))
                  .WriteTo(job.Sink("customers").Key("id").DeleteWhen(Col("op") == "delete"),
                           OutputMode::kAppend, Trigger::AvailableNow()),
              options);
    ASSERT_TRUE(query.ok()) << query.status();
    const absl::Status ended = (*query)->AwaitTermination();
    EXPECT_TRUE(ended.ok()) << ended;
  };
  append(1, "insert", "Ann");
  append(2, "insert", "Bob");
  append(1, "delete", "Ann");
  run();
  append(2, "update", "Bobby");
  run();
  run();  // nothing new
  const auto records = Records("customers", 4);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0].key, "1");
  EXPECT_EQ(records[0].value, R"({"id":1,"op":"insert","name":"Ann"})");
  EXPECT_EQ(records[1].key, "2");
  EXPECT_EQ(records[2].key, "1");
  EXPECT_EQ(records[2].value, std::nullopt);
  EXPECT_EQ(records[3].value, R"({"id":2,"op":"update","name":"Bobby"})");
}

constexpr char kJob[] = "registrations_per_store";
constexpr int64_t kRegistrations = 120'000;

std::string Registration(int64_t i) {
  return fmt::format(
      R"({{"customer_id":{},"store_id":{},"created_at":"2025-01-06T{:02}:{:02}:{:02}Z"}})", i,
      i % 7, i / 14'400 % 24, i / 240 % 60, i / 4 % 60);
}

class KafkaJobTest : public KafkaOutputTest {
 protected:
  std::vector<std::string> Flags(const std::string& in, const std::string& out,
                                 std::vector<std::string> more = {}) const {
    std::vector<std::string> flags = {"--brokers",
                                      kafka_->brokers(),
                                      "--topic",
                                      in,
                                      "--starting-offsets",
                                      "earliest",
                                      "--trigger",
                                      "available-now",
                                      "--max-offsets-per-trigger",
                                      "1500",
                                      "--checkpoint",
                                      folder_.Path(out),
                                      "--sink",
                                      "kafka:" + out + "?create_topic=true&partitions=2"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }
  JobFolder folder_;
};

TEST_F(KafkaJobTest, KilledAgainAndAgainItWritesWhatAnUndisturbedRunDoes) {
  ASSERT_TRUE(kafka_->CreateTopic("registrations", 1).ok());
  const absl::Status loaded =
      kafka_->ProduceMany("registrations", 0, kRegistrations, &Registration);
  ASSERT_TRUE(loaded.ok()) << loaded;
  const auto begin = std::chrono::steady_clock::now();
  const ProcessResult whole = folder_.Run(kJob, Flags("registrations", "undisturbed"));
  ASSERT_EQ(whole.exit_code, 0) << whole.stderr_text;
  const auto whole_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::steady_clock::now() - begin)
                            .count();

  const unsigned seed = std::random_device{}();
  std::minstd_rand random(seed);
  // Short, too, if the machine was busy only while the whole run was timed.
  std::uniform_int_distribution<int> life_ms(100,
                                             std::clamp(static_cast<int>(whole_ms / 6), 200, 400));
  int kills = 0;
  for (; kills < 12; ++kills) {
    std::unique_ptr<Process> process = folder_.Launch(kJob, Flags("registrations", "killed"));
    ASSERT_NE(process, nullptr);
    if (process->Wait(absl::Milliseconds(life_ms(random))).ok()) break;
    process->Kill();
  }
  const ProcessResult last = folder_.Run(kJob, Flags("registrations", "killed"));
  ASSERT_EQ(last.exit_code, 0) << last.stderr_text;
  fmt::print("killed {} times (seed {})\n", kills, seed);
  EXPECT_GE(kills, 3);

  const std::vector<std::string> expected = Sorted(Records("undisturbed", 1));
  EXPECT_GT(expected.size(), 500u);
  EXPECT_TRUE(Sorted(Records("killed", expected.size())) == expected) << "seed " << seed;
}

TEST_F(KafkaJobTest, ATopicThatIsNotThereEndsTheJobWithoutACheckpoint) {
  ASSERT_TRUE(kafka_->CreateTopic("some", 1).ok());
  ASSERT_TRUE(kafka_->ProduceMany("some", 0, 100, &Registration).ok());
  const ProcessResult missing =
      folder_.Run(kJob, {"--brokers", kafka_->brokers(), "--topic", "some", "--starting-offsets",
                         "earliest", "--trigger", "available-now", "--sink", "kafka:missing"});
  EXPECT_EQ(missing.exit_code, 2) << missing.stderr_text;
  EXPECT_THAT(missing.stderr_text, HasSubstr("has no topic missing"));
  const ProcessResult made = folder_.Run(
      kJob, {"--brokers", kafka_->brokers(), "--topic", "some", "--starting-offsets", "earliest",
             "--trigger", "available-now", "--sink", "kafka:missing?create_topic=true"});
  EXPECT_EQ(made.exit_code, 0) << made.stderr_text;
  EXPECT_THAT(made.stderr_text, HasSubstr("New query"));
  EXPECT_GE(Records("missing", 1).size(), 1u);
}

TEST_F(KafkaJobTest, AvroInConfluentFraming) {
  ASSERT_TRUE(kafka_->CreateTopic("in_avro", 1).ok());
  ASSERT_TRUE(kafka_->ProduceMany("in_avro", 0, 100, &Registration).ok());
  const std::string schema = folder_.Path("out.avsc");
  std::ofstream(schema) << R"({"type":"record","name":"R","fields":[
      {"name":"window_start","type":{"type":"long","logicalType":"timestamp-micros"}},
      {"name":"window_end","type":{"type":"long","logicalType":"timestamp-micros"}},
      {"name":"store_id","type":["null","long"]},
      {"name":"registrations","type":["null","long"]}]})";
  const ProcessResult run = folder_.Run(kJob, Flags("in_avro", "out_avro",
                                                    {"--sink-format", "avro", "--sink-avro-schema",
                                                     schema, "--sink-avro-id", "258"}));
  ASSERT_EQ(run.exit_code, 0) << run.stderr_text;
  const auto records = Records("out_avro", 1);
  ASSERT_FALSE(records.empty());
  for (const KafkaRecord& record : records)
    EXPECT_EQ(record.value->substr(0, 5), std::string("\0\0\0\1\2", 5));
}

TEST_F(KafkaJobTest, KeysInAvroFollowTheKeyColumns) {
  ASSERT_TRUE(kafka_->CreateTopic("in_keys", 1).ok());
  ASSERT_TRUE(kafka_->ProduceMany("in_keys", 0, 100, &Registration).ok());
  const std::string schema = folder_.Path("key.avsc");
  std::ofstream(schema) << R"({"type":"record","name":"Key","fields":[
      {"name":"window_start","type":{"type":"long","logicalType":"timestamp-millis"}},
      {"name":"store_id","type":["null","long"]}]})";
  const std::vector<std::string> avro = {
      "--sink-key-format", "avro", "--sink-key-avro-schema", schema, "--sink-key-avro-id", "258"};
  const ProcessResult run = folder_.Run(kJob, Flags("in_keys", "out_keys", avro));
  ASSERT_EQ(run.exit_code, 0) << run.stderr_text;
  const auto records = Records("out_keys", 1);
  ASSERT_FALSE(records.empty());
  for (const KafkaRecord& record : records) {
    // Confluent's byte 0 and id, 2025-01-06T08:00:00Z as a zigzag long in 6 bytes, the branch of a
    // number, the store.
    ASSERT_TRUE(record.key.has_value() && record.value.has_value());
    EXPECT_EQ(record.key->substr(0, 5), std::string("\0\0\0\1\2", 5));
    ASSERT_EQ(record.key->size(), 13u);
    EXPECT_EQ((*record.key)[11], 2);
    EXPECT_THAT(*record.value, HasSubstr(fmt::format(R"("store_id":{},)",
                                                     static_cast<int>((*record.key)[12]) / 2)));
  }
  std::ofstream(schema) << R"("long")";
  const ProcessResult refused = folder_.Run(kJob, Flags("in_keys", "refused_keys", avro));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.stderr_text, HasSubstr("the key: rows of several columns can be written only "
                                             "as an Avro record, and the writer's schema is long"));
}

// How keys are written is no part of what a checkpoint belongs to, as how values are is not.
TEST_F(KafkaJobTest, ACheckpointGoesOnWithKeysOfAnotherFormat) {
  ASSERT_TRUE(kafka_->CreateTopic("in_forms", 1).ok());
  std::vector<KafkaRecord> before;
  for (const char* form : {"", "text", "json"}) {
    ASSERT_TRUE(kafka_->ProduceMany("in_forms", 0, 100, &Registration).ok());
    const std::string flag = form;
    const ProcessResult run = folder_.Run(
        kJob, Flags("in_forms", "out_forms",
                    flag.empty() ? std::vector<std::string>{}
                                 : std::vector<std::string>{"--sink-key-format", flag}));
    ASSERT_EQ(run.exit_code, 0) << run.stderr_text;
    EXPECT_THAT(run.stderr_text, HasSubstr(flag.empty() ? "New query" : "Resumed")) << flag;
    const auto records = Records("out_forms", before.size() + 1);
    ASSERT_GT(records.size(), before.size()) << flag;
    size_t objects = 0;
    for (const KafkaRecord& record : records) {
      ASSERT_TRUE(record.key.has_value());
      if (record.key->starts_with(R"({"window_start":"2025-01-06T)")) ++objects;
    }
    EXPECT_EQ(objects, flag == "json" ? records.size() - before.size() : 0) << flag;
    before = records;
  }
}

}  // namespace
}  // namespace tidemark
