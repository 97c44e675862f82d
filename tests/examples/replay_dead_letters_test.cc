#include "examples/replay_dead_letters/replay_dead_letters.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <set>
#include <utility>

#include "examples/order_totals/order_totals.h"
#include "examples/replay_dead_letters/dead_letter.h"
#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark::examples {
namespace {

using testing::Contains;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Lines;
using testing::Process;
using testing::ProcessResult;
using testing::ReadText;
using ::testing::StartsWith;
using Form = DeadLetterReader::Form;

void WriteText(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

int ReplaceAll(std::string* text, const std::string& from, const std::string& to) {
  int count = 0;
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) {
    text->replace(at, from.size(), to);
    ++count;
  }
  return count;
}

DeadLetter Letter() {
  return {.topic = "orders",
          .partition = 2,
          .offset = 41,
          .timestamp_us = 1'735'812'922'123'000,
          .key = "1001",
          .headers = {{"trace", "abc"}, {"trace", ""}, {"bin", "\xFF"}, {"none", std::nullopt}},
          .value = "{\"a\":\"\u00fc\n\"",
          .reason = "parse_error",
          .detail = "field a",
          .time = "2025-01-02T10:15:22.123Z"};
}

// ---- Lines

TEST(DeadLetterTest, ALineIsReadable) {
  EXPECT_EQ(RepairableLine(Letter()),
            "{\"topic\":\"orders\",\"partition\":2,\"offset\":41,"
            "\"value\":\"{\\\"a\\\":\\\"\u00fc\\n\\\"\",\"key\":\"1001\","
            "\"reason\":\"parse_error\",\"detail\":\"field a\","
            "\"headers\":[{\"key\":\"trace\",\"value\":\"abc\"},{\"key\":\"trace\",\"value\":\"\"},"
            "{\"key\":\"bin\",\"value_base64\":\"/w==\"},"
            "{\"key\":\"none\",\"value\":null}],"
            "\"timestamp\":\"2025-01-02T10:15:22.123Z\",\"time\":\"2025-01-02T10:15:22.123Z\"}");
}

TEST(DeadLetterTest, WhatIsWrittenIsReadBack) {
  DeadLetter bytes = Letter();
  bytes.key = "k\xC3";
  bytes.value = std::string("\0\xFE{", 3);
  bytes.timestamp_us.reset();
  bytes.headers.clear();
  DeadLetter bare = bytes;
  bare.key.reset();
  bare.value = "";
  for (const DeadLetter& letter : {Letter(), bytes, bare}) {
    const std::string line = RepairableLine(letter);
    auto read = DeadLetterReader().Read(line, Form::kRepairable);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(RepairableLine(*read), line);
    EXPECT_EQ(read->value, letter.value);
    EXPECT_EQ(read->key, letter.key);
    EXPECT_EQ(read->headers, letter.headers);
    EXPECT_EQ(read->timestamp_us, letter.timestamp_us);
  }
}

TEST(DeadLetterTest, AStoredLineHoldsBytesInBase64) {
  auto read = DeadLetterReader().Read(
      R"({"topic":"in","partition":0,"offset":7,"timestamp":null,"key":null,)"
      R"("headers":[{"key":"trace","value":"YWJj"},{"key":"none","value":null}],"value":"ewBiYWQ=","reason":"parse_error",)"
      R"("detail":"no","time":"2025-01-02T02:10:22Z"})",
      Form::kStored);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->value, std::string("{\0bad", 5));
  EXPECT_EQ(read->headers, (RecordHeaders{{"trace", "abc"}, {"none", std::nullopt}}));
  EXPECT_FALSE(read->key.has_value());
  EXPECT_FALSE(read->timestamp_us.has_value());
}

TEST(DeadLetterTest, AValueMayBeWrittenAsAnObject) {
  auto read = DeadLetterReader().Read(
      R"({"topic":"in","partition":0,"offset":7, "value" : { "a":[1, 2.50] } })",
      Form::kRepairable);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->value, R"({ "a":[1, 2.50] })");
}

TEST(DeadLetterTest, MistakesAreNamed) {
  const std::string head = R"({"topic":"in","partition":0,"offset":7,)";
  const std::map<std::string, std::string> mistakes = {
      {"", "is no JSON object"},
      {"{\"topic\":", "is no JSON object"},
      {"[1]", "is no JSON object"},
      {head + R"("value":"\ud800"})", "is no JSON object"},
      {R"({"topic":"in","partition":0,"offset":7})", "'value' is missing"},
      {R"({"partition":0,"offset":7,"value":""})", "'topic' is missing"},
      {R"({"topic":"","partition":0,"offset":7,"value":""})", "'topic' is empty"},
      {R"({"topic":"in","partition":-1,"offset":7,"value":""})", "begin at 0"},
      {R"({"topic":"in","partition":"0","offset":7,"value":""})", "'partition' is not a whole"},
      {R"({"topic":"in","partition":4294967296,"offset":7,"value":""})", "'partition' is not"},
      {R"({"topic":"in","partition":0,"offset":7.5,"value":""})", "'offset' is not a whole number"},
      {R"({"topic":7,"partition":0,"offset":7,"value":""})", "'topic' is not a text"},
      {head + R"("value":null})", "'value' is null; to give a letter up, delete its line"},
      {head + R"("value":7})", "'value' is not a text in quotes"},
      {head + R"("value":"a","value_base64":"YQ=="})", "'value_base64' is given twice"},
      {head + R"("value_base64":"a"})", "'value_base64' is not base64"},
      {head + R"("vlaue":"a"})", "'vlaue' is nothing that a letter has; did you mean value?"},
      {head + R"("value":"a","timestamp":"noon"})", "'timestamp' is not a time"},
      {head + R"("value":"a","headers":{}})", "'headers' is not a list"},
      {head + R"("value":"a","headers":["x"]})", "'headers' has an element that is no"},
      {head + R"("value":"a","headers":[{"name":"x"}]})", "'name' is nothing that a header has"},
      {head + R"("value":"a","headers":[{"key":7}]})", "'key' is not a text in quotes"}};
  DeadLetterReader reader;
  for (const auto& [line, problem] : mistakes) {
    const auto read = reader.Read(line, Form::kRepairable);
    ASSERT_FALSE(read.ok()) << line;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(problem)) << line;
  }
}

// ---- Export of a folder

class ReplayFilesTest : public ::testing::Test {
 protected:
  static std::string Stored(int64_t offset) {
    return fmt::format(
        R"({{"topic":"in","partition":0,"offset":{},"timestamp":null,"key":null,"headers":[],)"
        R"("value":"YQ==","reason":"wrong_type","detail":"d","time":"t"}})",
        offset);
  }
  ProcessResult Replay(const std::vector<std::string>& words) {
    return folder_.Run("replay_dead_letters", words);
  }
  JobFolder folder_;
};

TEST_F(ReplayFilesTest, FilesAreTakenInTheOrderOfTheirBatches) {
  WriteText(folder_.Path("cp/dead_letters/dead-100000-000.jsonl"), Stored(4) + "\n");
  WriteText(folder_.Path("cp/dead_letters/dead-00009-000.jsonl"),
            Stored(1) + "\n" + Stored(2) + "\n");
  WriteText(folder_.Path("cp/dead_letters/dead-00009-001.jsonl"), Stored(3) + "\n");
  WriteText(folder_.Path("cp/dead_letters/.dead-00010-000.jsonl.tmp"), "half a li");
  const ProcessResult exported =
      Replay({"export", "--dead-letters", "cp", "--to", "repaired.jsonl"});
  ASSERT_EQ(exported.exit_code, 0) << exported.stderr_text;
  EXPECT_EQ(exported.stdout_text,
            "Exported 4 dead letters of topic in to repaired.jsonl\n"
            "       4  wrong_type\n"
            "Repair the values in repaired.jsonl, delete the lines to give up, then: "
            "replay_dead_letters send repaired.jsonl\n");
  const std::vector<std::string> lines = Lines(ReadText(folder_.Path("repaired.jsonl")));
  ASSERT_EQ(lines.size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_THAT(lines[i], HasSubstr(fmt::format("\"offset\":{},", i + 1)));

  WriteText(folder_.Path("cp/dead_letters/dead-100001-000.jsonl"), Stored(5) + "\n");
  const ProcessResult more = Replay({"export", "--dead-letters", "cp/dead_letters", "--to",
                                     "more.jsonl", "--except", "repaired.jsonl"});
  EXPECT_THAT(more.stdout_text, StartsWith("Left out 4 dead letters: other files have them\n"
                                           "Exported 1 dead letter of topic in to more.jsonl\n"));
}

TEST_F(ReplayFilesTest, ExportSaysWhatIsWrong) {
  WriteText(folder_.Path("dead/dead-00001-000.jsonl"), Stored(1) + "\n{\"topic\"\n");
  const ProcessResult broken = Replay({"export", "--dead-letters", "dead", "--to", "out.jsonl"});
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(broken.stderr_text,
              StartsWith("error: dead/dead-00001-000.jsonl:2: is no JSON object on one line"));
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("out.jsonl")));
  EXPECT_FALSE(std::filesystem::exists(folder_.Path(".out.jsonl.tmp")));

  WriteText(folder_.Path("there.jsonl"), "repairs\n");
  EXPECT_THAT(Replay({"export", "--dead-letters", "dead", "--to", "there.jsonl"}).stderr_text,
              HasSubstr("there.jsonl is there already, perhaps with repairs in it"));
  EXPECT_EQ(ReadText(folder_.Path("there.jsonl")), "repairs\n");
  EXPECT_THAT(Replay({"export", "--dead-letters", "nowhere", "--to", "o"}).stderr_text,
              HasSubstr("there is no folder nowhere"));
  std::filesystem::create_directories(folder_.Path("empty"));
  EXPECT_THAT(Replay({"export", "--dead-letters", "empty", "--to", "o"}).stderr_text,
              HasSubstr("the folder empty holds no dead-*.jsonl"));
  EXPECT_EQ(Replay({"export", "--to", "o"}).exit_code, 2);
  EXPECT_EQ(Replay({}).exit_code, 2);
}

TEST_F(ReplayFilesTest, SendChecksEveryLineBeforeAnyIsSent) {
  const std::string good = RepairableLine(Letter());
  const auto send = [&](const std::string& text) {
    WriteText(folder_.Path("r.jsonl"), text);
    // Nobody is there to answer: what is wrong shows before.
    return Replay({"send", "r.jsonl", "--brokers", "127.0.0.1:1"});
  };
  ProcessResult result = send(good + "\n\n{\"topic\":\"orders\",\n");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.stderr_text, StartsWith("error: r.jsonl:3: is no JSON object on one line"));
  result = send(good + "\n" + good + "\n");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.stderr_text,
              HasSubstr("r.jsonl:2: is the letter orders/2/41 again, which line 1 has too"));
  result = send("\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.stdout_text, "r.jsonl has no lines: nothing to send\n");
  result = send(good);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.stderr_text, HasSubstr("no Kafka broker answers at 127.0.0.1:1"));
  EXPECT_THAT(Replay({"send", "r.jsonl"}).stderr_text,
              HasSubstr("which cluster? Name it with --brokers HOST:PORT"));
  EXPECT_THAT(Replay({"send", "nothing.jsonl", "--brokers", "127.0.0.1:1"}).stderr_text,
              HasSubstr("the file nothing.jsonl cannot be read"));
}

// ---- The whole way, over a real broker

constexpr int kPartitions = 2;
constexpr int kOrders = 1500;  // a partition
constexpr int64_t kStartMs = 1'736'150'400'000;
constexpr char kTrace[] = "trace";

bool IsSpoilt(int64_t i) { return i % 5 == 3; }
bool IsNoText(int64_t i) { return i == 103; }
bool IsGivenUp(int64_t i) { return i == 208; }

int64_t TimeOf(int64_t i) { return kStartMs + i * 100; }

std::string Spoilt(int64_t i, std::string value, int64_t count) {
  if (IsNoText(i)) return value + "\xFF";
  if (IsGivenUp(i)) return "what?";
  ReplaceAll(&value, fmt::format("\"count\":{}", count), fmt::format("\"count\":\"x{}\"", count));
  return value;
}

// What order_totals must make of all orders but one, as if none had been spoilt.
std::vector<std::string> ExpectedRows() {
  struct Total {
    int64_t orders = 0;
    int64_t items = 0;
  };
  std::map<std::tuple<int64_t, int64_t, std::string>, Total> totals;
  constexpr int64_t kWindowMs = 300'000;
  for (int partition = 0; partition < kPartitions; ++partition) {
    for (int64_t i = 0; i < kOrders; ++i) {
      if (IsGivenUp(i)) continue;
      const Order order = MakeOrder(1, partition, i);
      const int64_t start = FloorDiv(TimeOf(i) - order.delay_ms, kWindowMs) * kWindowMs;
      Total& total = totals[{start, order.shopid, order.region}];
      ++total.orders;
      total.items += order.count;
    }
  }
  std::vector<std::string> rows;
  for (const auto& [key, total] : totals) {
    const auto& [start_ms, shop, region] = key;
    std::string start;
    std::string end;
    AppendTimestamp(start_ms * 1000, &start);
    AppendTimestamp((start_ms + kWindowMs) * 1000, &end);
    rows.push_back(fmt::format(
        R"({{"rowkey":"{0}|{2}|{3}","window_start":"{0}","window_end":"{1}","shopid":{2},)"
        R"("region":"{3}","orders":{4},"items":{5}}})",
        start, end, shop, region, total.orders, total.items));
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

class ReplayTest : public ReplayFilesTest {
 protected:
  static void SetUpTestSuite() {
    auto started = KafkaServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = started->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(server_, nullptr); }

  static void ProduceOrders(const std::string& topic) {
    ASSERT_TRUE(server_->CreateTopic(topic, kPartitions).ok());
    for (int partition = 0; partition < kPartitions; ++partition) {
      std::vector<KafkaRecord> records;
      for (int64_t i = 0; i < kOrders; ++i) {
        const Order order = MakeOrder(1, partition, i);
        const std::string value = order.Json(TimeOf(i));
        records.push_back(
            {.key = std::to_string(order.orderid),
             .value = IsSpoilt(i) ? Spoilt(i, value, order.count) : value,
             .headers = {{kTrace, fmt::format("{}-{}", partition, i)}, {"none", std::nullopt}},
             .timestamp_ms = TimeOf(i)});
      }
      ASSERT_TRUE(server_->Produce(topic, partition, records).ok());
    }
  }

  ProcessResult RunJob(const std::string& topic, const std::string& bad_records) {
    return folder_.Run(
        "order_totals",
        {"--brokers", server_->brokers(), "--topic", topic, "--starting-offsets", "earliest",
         "--trigger", "available-now", "--output-mode", "complete", "--checkpoint", "checkpoint",
         "--sink", "json:out", "--bad-records", bad_records});
  }
  std::vector<std::string> LastRows() {
    std::vector<std::string> rows;
    for (auto& [batch, written] : testing::JsonBatches(folder_.Path("out"))) {
      if (!written.empty()) rows = written;
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }
  std::vector<KafkaRecord> Records(const std::string& topic) {
    auto records = server_->ReadTopic(topic);
    EXPECT_TRUE(records.ok()) << records.status();
    return records.ok() ? *std::move(records) : std::vector<KafkaRecord>();
  }

  // As a person with sed would.
  void Repair(const std::string& path) {
    std::string text = ReadText(path);
    EXPECT_GT(ReplaceAll(&text, R"(\"count\":\"x)", R"(\"count\":\")"), 0);
    std::string repaired;
    for (const std::string& line : Lines(text)) {
      auto letter = DeadLetterReader().Read(line, Form::kRepairable);
      ASSERT_TRUE(letter.ok()) << letter.status();
      if (letter->value == "what?") continue;
      ReplaceAll(&letter->value, "\xFF", "");
      for (int i = 0; i < 10; ++i) {
        ReplaceAll(&letter->value, fmt::format("\"count\":\"{}\"", i),
                   fmt::format("\"count\":{}", i));
      }
      repaired += RepairableLine(*letter) + "\n";
    }
    WriteText(path, repaired);
  }

  static KafkaServer* server_;
};
KafkaServer* ReplayTest::server_ = nullptr;

TEST_F(ReplayTest, RepairedOrdersCountOnceAsIfTheyHadBeenRight) {
  ProduceOrders("orders");
  const ProcessResult first = RunJob("orders", "dead-letter");
  ASSERT_EQ(first.exit_code, 0) << first.stderr_text;
  const ProcessResult exported =
      Replay({"export", "--dead-letters", "checkpoint", "--to", "repaired.jsonl"});
  ASSERT_EQ(exported.exit_code, 0) << exported.stderr_text;
  EXPECT_THAT(exported.stdout_text, HasSubstr("Exported 600 dead letters of topic orders"));
  const std::string file = folder_.Path("repaired.jsonl");
  ASSERT_EQ(Lines(ReadText(file)).size(), 600u);
  EXPECT_THAT(ReadText(file), HasSubstr("\"value_base64\":"));
  ASSERT_NO_FATAL_FAILURE(Repair(file));
  ASSERT_EQ(Lines(ReadText(file)).size(), 598u);

  const std::string text = ReadText(file);
  std::vector<std::string> lines = Lines(text);
  lines.pop_back();
  WriteText(file, Joined(lines));
  const std::vector<std::string> send = {
      "send", "repaired.jsonl", "--brokers", server_->brokers(), "--lines-per-transaction", "10"};
  auto killed = folder_.Launch("replay_dead_letters", send);
  ASSERT_TRUE(testing::WaitUntil([&] { return Contains(killed->Stdout(), "orders: 30 of 597"); }));
  ASSERT_EQ(killed->Kill(), 128 + SIGKILL) << "too late: " << killed->Stdout();

  // What was sent must stay as it was; behind it the file may change.
  std::vector<std::string> changed = lines;
  ReplaceAll(&changed[0], "count", "count ");
  std::vector<std::string> shorter = lines;
  shorter.erase(shorter.begin() + 1);
  const std::vector<std::string> short_file(lines.begin(), lines.begin() + 5);
  for (const auto& spoilt : {changed, shorter, short_file}) {
    WriteText(file, Joined(spoilt));
    const ProcessResult refused = Replay(send);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.stderr_text, HasSubstr("lines for topic orders were sent before, and are "
                                               "not the same any more"));
  }
  WriteText(file, text);

  const ProcessResult second = Replay(send);
  ASSERT_EQ(second.exit_code, 0) << second.stderr_text;
  EXPECT_THAT(second.stdout_text, HasSubstr(" that were sent before\n"));
  const ProcessResult third = Replay(send);
  EXPECT_EQ(third.exit_code, 0);
  EXPECT_EQ(third.stdout_text, "Already sent: 598 lines of repaired.jsonl to topic orders\n");

  // Each once, with what it had.
  std::set<std::string> origins;
  for (const KafkaRecord& record : Records("orders")) {
    if (record.offset < kOrders) continue;
    ASSERT_EQ(record.headers.size(), 3u);
    EXPECT_EQ(record.headers[1].second, std::nullopt);
    EXPECT_EQ(record.headers[2].first, "tidemark.origin");
    const std::string& origin = *record.headers[2].second;
    EXPECT_TRUE(origins.insert(origin).second) << origin;
    const int64_t i = std::stoll(origin.substr(origin.rfind('/') + 1));
    EXPECT_EQ(origin, fmt::format("orders/{}/{}", record.partition, i));
    EXPECT_EQ(record.headers[0].first, kTrace);
    EXPECT_EQ(record.headers[0].second, fmt::format("{}-{}", record.partition, i));
    const Order order = MakeOrder(1, record.partition, i);
    EXPECT_EQ(record.key, std::to_string(order.orderid));
    EXPECT_EQ(record.value, order.Json(TimeOf(i)));
    EXPECT_EQ(record.timestamp_ms, TimeOf(i));
  }
  EXPECT_EQ(origins.size(), 598u);

  const ProcessResult again = RunJob("orders", "dead-letter");
  ASSERT_EQ(again.exit_code, 0) << again.stderr_text;
  EXPECT_EQ(LastRows(), ExpectedRows());
  const ProcessResult rest = Replay({"export", "--dead-letters", "checkpoint", "--to", "rest.jsonl",
                                     "--except", "repaired.jsonl"});
  EXPECT_THAT(rest.stdout_text, HasSubstr("Exported 2 dead letters of topic orders"));
}

// The same letters, whichever way they went.
TEST_F(ReplayTest, ATopicOfDeadLettersIsExportedLikeAFolder) {
  ProduceOrders("orders_too");
  ASSERT_TRUE(server_->CreateTopic("orders_dead", 3).ok());
  const ProcessResult job = RunJob("orders_too", "dead-letter:topic=orders_dead");
  ASSERT_EQ(job.exit_code, 0) << job.stderr_text;
  // A batch that runs again sends its letters again.
  std::vector<KafkaRecord> dead = Records("orders_dead");
  ASSERT_EQ(dead.size(), 600u);
  for (KafkaRecord& letter : dead) letter.timestamp_ms.reset();
  ASSERT_TRUE(server_->Produce("orders_dead", 0, dead).ok());
  const ProcessResult by_topic =
      Replay({"export", "--dead-letter-topic", "orders_dead", "--brokers", server_->brokers(),
              "--to", "by_topic.jsonl"});
  ASSERT_EQ(by_topic.exit_code, 0) << by_topic.stderr_text;
  EXPECT_THAT(by_topic.stdout_text, HasSubstr("Exported 600 dead letters of topic orders_too"));

  std::filesystem::remove_all(folder_.Path("checkpoint"));
  std::filesystem::remove_all(folder_.Path("out"));
  ASSERT_EQ(RunJob("orders_too", "dead-letter:dead").exit_code, 0);
  ASSERT_EQ(Replay({"export", "--dead-letters", "dead", "--to", "by_folder.jsonl"}).exit_code, 0);
  const auto lines = [&](const std::string& name) {
    std::vector<std::string> found = Lines(ReadText(folder_.Path(name)));
    for (std::string& line : found) line.resize(line.rfind(",\"time\":"));
    std::sort(found.begin(), found.end());
    return found;
  };
  EXPECT_EQ(lines("by_topic.jsonl"), lines("by_folder.jsonl"));
  EXPECT_THAT(
      ReadText(folder_.Path("by_topic.jsonl")),
      HasSubstr(R"("headers":[{"key":"trace","value":"0-3"},{"key":"none","value":null}],)"));
}

TEST_F(ReplayTest, LettersGoWhereTheyAreTold) {
  ASSERT_TRUE(server_->CreateTopic("one", 1).ok());
  ASSERT_TRUE(server_->CreateTopic("two", 1).ok());
  ASSERT_TRUE(server_->CreateTopic("elsewhere", 4).ok());
  DeadLetter letter = Letter();
  std::string text;
  for (int i = 0; i < 5; ++i) {
    letter.topic = i % 2 == 0 ? "one" : "two";
    letter.partition = 0;
    letter.offset = i;
    text += RepairableLine(letter) + "\n";
  }
  WriteText(folder_.Path("mixed.jsonl"), text);
  std::vector<std::string> send = {"send", "mixed.jsonl", "--brokers", server_->brokers()};
  ProcessResult sent = Replay(send);
  ASSERT_EQ(sent.exit_code, 0) << sent.stderr_text;
  EXPECT_EQ(
      sent.stdout_text,
      "one: 3 of 3 lines\ntwo: 2 of 2 lines\nSent 3 lines to topic one\nSent 2 lines to topic "
      "two\n");
  EXPECT_EQ(Records("one").size(), 3u);
  EXPECT_EQ(Records("two").size(), 2u);
  // Binary headers come through too, and an origin that is there already stays.
  EXPECT_EQ(Records("one")[0].headers[2].second, "\xFF");
  // Null and empty stay what they are.
  EXPECT_EQ(Records("one")[0].headers[1].second, "");
  EXPECT_EQ(Records("one")[0].headers[3].second, std::nullopt);

  send.insert(send.end(), {"--topic", "elsewhere", "--new-timestamps"});
  sent = Replay(send);
  ASSERT_EQ(sent.exit_code, 0) << sent.stderr_text;
  const std::vector<KafkaRecord> elsewhere = Records("elsewhere");
  ASSERT_EQ(elsewhere.size(), 5u);
  for (const KafkaRecord& record : elsewhere) {
    EXPECT_EQ(record.partition, elsewhere[0].partition) << "one key, one partition";
    EXPECT_GT(record.timestamp_ms, *letter.timestamp_us / 1000 + 1);
  }

  letter.topic = "nowhere";
  WriteText(folder_.Path("lost.jsonl"), RepairableLine(letter) + "\n");
  const ProcessResult lost = Replay({"send", "lost.jsonl", "--brokers", server_->brokers()});
  EXPECT_EQ(lost.exit_code, 2);
  EXPECT_THAT(lost.stderr_text, HasSubstr("has no topic nowhere; create it, or send the letters "
                                          "to another one with --topic"));
  letter.topic = "one";
  letter.partition = 7;
  WriteText(folder_.Path("high.jsonl"), RepairableLine(letter) + "\n");
  const ProcessResult high = Replay({"send", "high.jsonl", "--brokers", server_->brokers()});
  EXPECT_EQ(high.exit_code, 2);
  EXPECT_THAT(high.stderr_text,
              HasSubstr("has 1 partitions, and high.jsonl has letters of partition 7"));
}

TEST_F(ReplayTest, WhatTheTopicDoesNotTakeIsNamedByItsLine) {
  ASSERT_TRUE(server_->CreateTopic("small", 1, {{"max.message.bytes", "2000"}}).ok());
  DeadLetter letter = Letter();
  letter.topic = "small";
  letter.partition = 0;
  std::string text = RepairableLine(letter) + "\n";
  letter.offset = 42;
  letter.value.assign(5000, 'x');
  WriteText(folder_.Path("{}.jsonl"), text + RepairableLine(letter) + "\n");
  const ProcessResult sent = Replay({"send", "{}.jsonl", "--brokers", server_->brokers()});
  EXPECT_EQ(sent.exit_code, 2);
  EXPECT_THAT(sent.stderr_text, HasSubstr("line 2 of {}.jsonl, a record of 5000 bytes, was not "
                                          "taken by topic small"));
  EXPECT_TRUE(Records("small").empty());
}

TEST_F(ReplayTest, ATopicThatHoldsOtherThingsIsRefused) {
  ASSERT_TRUE(server_->CreateTopic("no_letters", 1).ok());
  ASSERT_TRUE(server_->Produce("no_letters", 0, {{.value = "v"}}).ok());
  const ProcessResult exported = Replay({"export", "--dead-letter-topic", "no_letters", "--brokers",
                                         server_->brokers(), "--to", "o.jsonl"});
  EXPECT_EQ(exported.exit_code, 2);
  EXPECT_THAT(
      exported.stderr_text,
      HasSubstr("topic no_letters partition 0: the record at offset 0 is no dead letter: it "
                "has no header tidemark.topic"));
}

}  // namespace
}  // namespace tidemark::examples
