// Whatever a broker does to a job that reads from it: the job waits and goes on by itself, or ends
// with exit code 3 where data is gone, and its results are those of a plain fold over what there
// was to read. A real broker where one can be made to do it, else librdkafka's mock of three.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "tests/faults/fault_fold.h"
#include "tests/faults/fault_ground.h"
#include "tests/faults/fault_report.h"

namespace tidemark::testing {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr absl::Duration kRecoveryLimit = absl::Seconds(10);
// By then a job's retries are as far apart as they ever are.
constexpr int kLongOutageMs = 40'000;

FaultRecord RecordOf(int64_t id) {
  return {id, fmt::format("n{}", id % 11), id % 1'000 - 300, kFaultStartUs + id * 3'000};
}

std::vector<std::string> FoldOf(int64_t begin, int64_t end) {
  FaultFold fold;
  for (int64_t id = begin; id < end; ++id) fold.Add(RecordOf(id));
  return fold.Rows("mysql");
}

class BrokerFaultsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<FaultGround>> ground = FaultGround::Start();
    ASSERT_TRUE(ground.ok()) << ground.status();
    ground_ = ground->release();
  }
  static void TearDownTestSuite() { delete ground_; }

  static KafkaServer& kafka() { return ground_->kafka(); }

  // A topic of its own for each test, with the records [0, count) in partition 0.
  void Topic(int64_t count, const std::map<std::string, std::string>& config = {}) {
    topic_ = fmt::format("topic_{}", ++topics_);
    run_ = {topic_, topic_, "mysql", "update"};
    ASSERT_TRUE(kafka().CreateTopic(topic_, 1, config).ok());
    Produce(0, 0, count);
  }
  void Produce(int32_t partition, int64_t begin, int64_t end) {
    const absl::Status produced = kafka().ProduceMany(
        topic_, partition, end - begin, [&](int64_t i) { return RecordOf(begin + i).Json(); });
    ASSERT_TRUE(produced.ok()) << produced;
  }

  std::unique_ptr<Process> Launch(const std::vector<std::string>& flags) {
    absl::StatusOr<std::unique_ptr<Process>> job = Process::Start(ground_->Options(run_, flags));
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? *std::move(job) : nullptr;
  }
  ProcessResult Run(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--trigger", "available-now"};
    flags.insert(flags.end(), more.begin(), more.end());
    const absl::StatusOr<ProcessResult> result =
        RunProcess(ground_->Options(run_, flags), absl::Minutes(1));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : ProcessResult{-1, "", ""};
  }

  int64_t RowsSoFar() {
    const auto rows = ground_->mariadb().Query(
        fmt::format("SELECT COALESCE(SUM(records), 0) FROM tidemark.{}", run_.name));
    return rows.ok() ? std::stoll((*rows)[0][0].value_or("0")) : 0;
  }
  bool HasRows(const std::vector<std::string>& expected) {
    auto rows = ground_->Rows(run_);
    if (!rows.ok()) return false;
    FaultOutcome compared;
    return compared.Compare(expected, *std::move(rows));
  }
  // Counts what is in the sink, and the time since `since` if one is given.
  void Judge(const std::vector<std::string>& expected, Clock::time_point since,
             FaultOutcome* outcome) {
    outcome->worst_recovery =
        std::max(outcome->worst_recovery, absl::FromChrono(Clock::now() - since));
    ++outcome->injected;
    auto rows = ground_->Rows(run_);
    ASSERT_TRUE(rows.ok()) << rows.status();
    const bool right = outcome->Compare(expected, *std::move(rows));
    EXPECT_TRUE(right) << outcome->fault;
    EXPECT_LT(outcome->worst_recovery, kRecoveryLimit) << outcome->fault;
    if (right) ++outcome->survived;
  }

  // The job, which has read [0, 4'000), refuses to go on, naming `what`, and changes nothing; with
  // data loss allowed it reads [begin, end), which is what is left.
  void GoesOnOnlyWhenTold(const std::string& what, int64_t begin, int64_t end,
                          FaultOutcome* outcome) {
    const ProcessResult guarded = Run();
    EXPECT_EQ(guarded.exit_code, 3) << guarded.stderr_text;
    EXPECT_NE(guarded.stderr_text.find(what), std::string::npos) << guarded.stderr_text;
    EXPECT_TRUE(HasRows(FoldOf(0, 4'000)));
    const Clock::time_point start = Clock::now();
    const ProcessResult allowed = Run({"--fail-on-data-loss", "false"});
    ASSERT_EQ(allowed.exit_code, 0) << allowed.stderr_text;
    FaultFold fold;
    for (int64_t id = 0; id < 4'000; ++id) fold.Add(RecordOf(id));
    for (int64_t id = begin; id < end; ++id) fold.Add(RecordOf(id));
    Judge(fold.Rows("mysql"), start, outcome);
  }

  static FaultGround* ground_;
  static int topics_;
  std::string topic_;
  FaultRun run_;
};

FaultGround* BrokerFaultsTest::ground_ = nullptr;
int BrokerFaultsTest::topics_ = 0;

TEST_F(BrokerFaultsTest, DownAtTheStart) {
  FaultOutcome outcome{.fault = "broker: down at the start"};
  for (int64_t round = 0; round < FaultScale(1, 2); ++round) {
    Topic(5'000);
    ASSERT_TRUE(kafka().Kill().ok());
    const std::unique_ptr<Process> job = Launch({"--trigger", "available-now"});
    std::this_thread::sleep_for(milliseconds(round == 0 ? 2'000 : kLongOutageMs));
    EXPECT_TRUE(job->Running()) << job->Stderr();
    ASSERT_TRUE(kafka().Restart().ok());
    const Clock::time_point back = Clock::now();
    const absl::StatusOr<int> exit_code = job->Wait(absl::Minutes(1));
    ASSERT_TRUE(exit_code.ok() && *exit_code == 0) << job->Stderr();
    Judge(FoldOf(0, 5'000), back, &outcome);
  }
  ReportFault(outcome);
}

TEST_F(BrokerFaultsTest, DownAndBackInMidBatch) {
  FaultOutcome killed{.fault = "broker: killed and back in mid batch"};
  FaultOutcome silent{.fault = "broker: hangs for 3 s in mid batch"};
  const int64_t rounds = FaultScale(1, 6);
  for (int64_t round = 0; round < 2 * rounds; ++round) {
    const bool kill = round % 2 == 0;
    const bool for_long = kill && round >= 2 && round == 2 * rounds - 2;  // of many, the last
    Topic(60'000);
    const std::unique_ptr<Process> job =
        Launch({"--trigger", "available-now", "--max-offsets-per-trigger", "1000"});
    ASSERT_TRUE(WaitFor(absl::Seconds(30), [&] { return RowsSoFar() > 2'000 * (1 + round); }))
        << job->Stderr();
    ASSERT_TRUE((kill ? kafka().Kill() : kafka().Pause()).ok());
    std::this_thread::sleep_for(milliseconds(for_long ? kLongOutageMs : kill ? 1'000 : 3'000));
    EXPECT_TRUE(job->Running()) << job->Stderr();
    ASSERT_TRUE((kill ? kafka().Restart() : kafka().Resume()).ok());
    const Clock::time_point back = Clock::now();
    const int64_t before = RowsSoFar();
    EXPECT_TRUE(WaitFor(kRecoveryLimit, [&] { return RowsSoFar() > before || !job->Running(); }));
    const absl::Duration recovery = absl::FromChrono(Clock::now() - back);
    const absl::StatusOr<int> exit_code = job->Wait(absl::Minutes(1));
    ASSERT_TRUE(exit_code.ok() && *exit_code == 0) << job->Stderr();
    FaultOutcome& outcome = kill ? killed : silent;
    outcome.worst_recovery = std::max(outcome.worst_recovery, recovery);
    Judge(FoldOf(0, 60'000), Clock::now(), &outcome);
  }
  ReportFault(killed);
  ReportFault(silent);
}

TEST_F(BrokerFaultsTest, RetentionPassedTheOffset) {
  FaultOutcome outcome{.fault = "broker: retention passed the offset"};
  Topic(4'000);
  ASSERT_EQ(Run().exit_code, 0);
  Produce(0, 4'000, 8'000);
  ASSERT_TRUE(kafka().DeleteRecords(topic_, 0, 6'000).ok());
  GoesOnOnlyWhenTold("4000", 6'000, 8'000, &outcome);
  ReportFault(outcome);
}

// The job dies in a batch, and retention takes that batch's records before it runs again: a part of
// them or all, when the sink has nothing of the batch and when it has it.
TEST_F(BrokerFaultsTest, RetentionPassedABatchUnderWay) {
  FaultOutcome outcome{.fault = "broker: retention passed a batch under way"};
  struct Case {
    std::string crash_at;
    int64_t log_start;
  };
  for (const auto& [crash_at, log_start] :
       {Case{"plan after log:3", 2'500}, Case{"plan after log:3", 3'000},
        Case{"sink after:3", 2'500}, Case{"sink after:3", 3'000}}) {
    const bool sink_has_it = crash_at.starts_with("sink");
    SCOPED_TRACE(fmt::format("{}, log from {}", crash_at, log_start));
    Topic(3'000);
    const std::vector<std::string> limit = {"--trigger", "available-now",
                                            "--max-offsets-per-trigger", "1000"};
    ProcessOptions dying = ground_->Options(run_, limit);
    dying.env.push_back({"TIDEMARK_CRASH_AT", crash_at});
    const absl::StatusOr<ProcessResult> died = RunProcess(std::move(dying), absl::Minutes(1));
    ASSERT_TRUE(died.ok()) << died.status();
    ASSERT_EQ(died->exit_code, 128 + 9) << died->stderr_text;
    ASSERT_TRUE(kafka().DeleteRecords(topic_, 0, log_start).ok());

    const std::vector<std::string> written = FoldOf(0, sink_has_it ? 3'000 : 2'000);
    const ProcessResult guarded = Run();
    EXPECT_EQ(guarded.exit_code, 3) << guarded.stderr_text;
    for (const std::string& part :
         {topic_, fmt::format("wanted offset 2000, available from {}", log_start),
          std::string("batch 2 was under way"),
          std::string(sink_has_it ? "holds it" : "has nothing of it"),
          std::string("--fail-on-data-loss false")}) {
      EXPECT_NE(guarded.stderr_text.find(part), std::string::npos) << part << guarded.stderr_text;
    }
    EXPECT_TRUE(HasRows(written)) << "a refusal changes nothing";

    // What the sink has of the batch stays; the state has what can still be read.
    Clock::time_point start = Clock::now();
    const ProcessResult allowed = Run({"--fail-on-data-loss", "false"});
    ASSERT_EQ(allowed.exit_code, 0) << allowed.stderr_text;
    FaultFold left;
    for (int64_t id = 0; id < 3'000; ++id) {
      if (id < 2'000 || id >= log_start) left.Add(RecordOf(id));
    }
    Judge(sink_has_it ? written : left.Rows("mysql"), start, &outcome);
    // Whatever was lost once is not lost again: the guard is back, and all groups of the open
    // window come anew.
    Produce(0, 3'000, 4'000);
    start = Clock::now();
    const ProcessResult after = Run();
    ASSERT_EQ(after.exit_code, 0) << after.stderr_text;
    for (int64_t id = 3'000; id < 4'000; ++id) left.Add(RecordOf(id));
    Judge(left.Rows("mysql"), start, &outcome);
  }
  ReportFault(outcome);
}

TEST_F(BrokerFaultsTest, ATopicDeletedAndMadeAgain) {
  FaultOutcome outcome{.fault = "broker: topic deleted and re-created"};
  Topic(4'000);
  ASSERT_EQ(Run().exit_code, 0);
  ASSERT_TRUE(kafka().DeleteTopic(topic_).ok());
  EXPECT_EQ(Run().exit_code, 3);
  ASSERT_TRUE(kafka().CreateTopic(topic_, 1).ok());
  Produce(0, 10'000, 16'000);  // more than was read of the first
  GoesOnOnlyWhenTold("re-created", 10'000, 16'000, &outcome);
  ReportFault(outcome);
}

// The same between two ticks of a job, and under the eyes of one.
TEST_F(BrokerFaultsTest, ATopicMadeAgainUnderARunningJob) {
  FaultOutcome outcome{.fault = "broker: topic re-created under a running job"};
  for (int64_t round = 0; round < FaultScale(2, 6); ++round) {
    Topic(4'000);
    const std::unique_ptr<Process> job =
        Launch({"--trigger", round % 2 == 0 ? "7 seconds" : "asap"});
    ASSERT_TRUE(WaitFor(absl::Seconds(30), [&] { return RowsSoFar() == 4'000; })) << job->Stderr();
    ASSERT_TRUE(kafka().DeleteTopic(topic_).ok());
    ASSERT_TRUE(kafka().CreateTopic(topic_, 1).ok());
    Produce(0, 10'000, 16'000);
    const absl::StatusOr<int> exit_code = job->Wait(absl::Seconds(30));
    ASSERT_TRUE(exit_code.ok()) << exit_code.status();
    EXPECT_EQ(*exit_code, 3) << job->Stderr();
    GoesOnOnlyWhenTold("re-created", 10'000, 16'000, &outcome);
  }
  ReportFault(outcome);
}

TEST_F(BrokerFaultsTest, PartitionsAddedWhileRunning) {
  FaultOutcome outcome{.fault = "broker: partitions added"};
  Topic(4'000);
  const std::unique_ptr<Process> job =
      Launch({"--trigger", "asap", "--kafka", "topic.metadata.refresh.interval.ms=500"});
  ASSERT_TRUE(WaitFor(absl::Seconds(30), [&] { return RowsSoFar() == 4'000; })) << job->Stderr();
  ASSERT_TRUE(kafka().AddPartitions(topic_, 3).ok());
  const Clock::time_point added = Clock::now();
  Produce(1, 4'000, 6'000);
  Produce(2, 6'000, 8'000);
  EXPECT_TRUE(WaitFor(kRecoveryLimit, [&] { return RowsSoFar() == 8'000; })) << job->Stderr();
  Judge(FoldOf(0, 8'000), added, &outcome);
  EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
  ReportFault(outcome);
}

TEST_F(BrokerFaultsTest, AbortedTransactions) {
  FaultOutcome outcome{.fault = "broker: aborted transactions"};
  Topic(0);
  FaultFold fold;
  int64_t id = 0;
  for (int i = 0; i < 30; ++i) {
    std::vector<KafkaRecord> records;
    const bool commit = i % 3 != 1;
    for (int k = 0; k < 100; ++k, ++id) {
      records.push_back({.value = RecordOf(id).Json()});
      if (commit) fold.Add(RecordOf(id));
    }
    ASSERT_TRUE(kafka().ProduceTransaction(topic_, 0, records, commit).ok());
  }
  const Clock::time_point start = Clock::now();
  const ProcessResult run = Run({"--max-offsets-per-trigger", "130"});
  ASSERT_EQ(run.exit_code, 0) << run.stderr_text;
  Judge(fold.Rows("mysql"), start, &outcome);
  ReportFault(outcome);
}

// What a producer sent twice is two records, each of which counts once; what the broker hands out
// again, because it died while it was being fetched, is none.
TEST_F(BrokerFaultsTest, Duplicates) {
  FaultOutcome outcome{.fault = "broker: duplicates"};
  for (int64_t round = 0; round < FaultScale(1, 6); ++round) {
    Topic(0);
    FaultFold fold;
    int64_t sent = 0;
    for (int64_t begin = 0; begin < 30'000; begin += 100) {
      std::vector<KafkaRecord> records;
      const auto send = [&](int64_t id) {
        records.push_back({.value = RecordOf(id).Json()});
        fold.Add(RecordOf(id));
      };
      for (int64_t id = begin; id < begin + 100; ++id) send(id);
      for (int64_t id = begin + round; id < begin + 100; id += 3) send(id);  // the same batch cut
      if (begin >= 1'000) send(begin - 1'000);                               // a later one
      sent += static_cast<int64_t>(records.size());
      ASSERT_TRUE(kafka().Produce(topic_, 0, records).ok());
    }
    const std::unique_ptr<Process> job =
        Launch({"--trigger", "available-now", "--max-offsets-per-trigger", "1000"});
    ASSERT_TRUE(WaitFor(absl::Seconds(30), [&] { return RowsSoFar() > 2'000 * (1 + round); }))
        << job->Stderr();
    ASSERT_TRUE(kafka().Kill().ok());
    ASSERT_TRUE(kafka().Restart().ok());
    const Clock::time_point back = Clock::now();
    const absl::StatusOr<int> exit_code = job->Wait(absl::Minutes(1));
    ASSERT_TRUE(exit_code.ok() && *exit_code == 0) << job->Stderr();
    EXPECT_EQ(RowsSoFar(), sent);
    Judge(fold.Rows("mysql"), back, &outcome);
  }
  ReportFault(outcome);
}

TEST_F(BrokerFaultsTest, CompactedGaps) {
  FaultOutcome outcome{.fault = "broker: compacted gaps"};
  Topic(0, {{"cleanup.policy", "compact"},
            {"segment.ms", "100"},
            {"min.cleanable.dirty.ratio", "0.001"},
            {"min.compaction.lag.ms", "0"}});
  // Four versions of each key; the last ones stay.
  int64_t id = 0;
  for (int version = 0; version < 4; ++version) {
    std::vector<KafkaRecord> records;
    for (int key = 0; key < 500; ++key, ++id) {
      records.push_back({.key = fmt::format("k{}", key), .value = RecordOf(id).Json()});
    }
    ASSERT_TRUE(kafka().Produce(topic_, 0, records).ok());
    std::this_thread::sleep_for(milliseconds(150));
  }
  std::vector<KafkaRecord> left;
  ASSERT_TRUE(WaitFor(absl::Seconds(60), [&] {
    // A segment is rolled by the next record.
    const FaultRecord more = RecordOf(id++);
    EXPECT_TRUE(kafka().Produce(topic_, 0, {{.key = "k0", .value = more.Json()}}).ok());
    std::this_thread::sleep_for(milliseconds(500));
    const auto read = kafka().ReadTopic(topic_);
    if (read.ok()) left = *read;
    return read.ok() && left.size() < 700;
  }));
  // The broker may compact once more while the job reads; then what it read is not known.
  Clock::time_point start;
  bool same = false;
  for (int tries = 0; !same; ++tries) {
    ASSERT_LT(tries, 5);
    const auto before = kafka().ReadTopic(topic_);
    run_.name = fmt::format("compacted_{}", tries);
    start = Clock::now();
    const ProcessResult run = Run({"--max-offsets-per-trigger", "170"});
    ASSERT_EQ(run.exit_code, 0) << run.stderr_text;
    const auto after = kafka().ReadTopic(topic_);
    ASSERT_TRUE(before.ok() && after.ok()) << before.status() << after.status();
    left = *after;
    same = before->size() == left.size();
  }
  FaultFold fold;
  for (const KafkaRecord& record : left) {
    const size_t begin = record.value->find(":") + 1;
    fold.Add(RecordOf(std::stoll(record.value->substr(begin))));
  }
  Judge(fold.Rows("mysql"), start, &outcome);
  ReportFault(outcome);
}

// ---- The mock cluster

class MockCluster {
 public:
  explicit MockCluster(int64_t records) {
    char error[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, nullptr);  // it would miss brokers, which it has not
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    cluster_ = rd_kafka_mock_cluster_new(handle_, 3);
    rd_kafka_mock_topic_create(cluster_, "mocked", 1, 3);
    rd_kafka_conf_t* producer_conf = rd_kafka_conf_new();
    rd_kafka_conf_set(producer_conf, "bootstrap.servers", brokers().c_str(), error, sizeof(error));
    rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, producer_conf, error, sizeof(error));
    for (int64_t id = 0; id < records; ++id) {
      const std::string value = RecordOf(id).Json();
      const rd_kafka_resp_err_t code = rd_kafka_producev(
          producer, RD_KAFKA_V_TOPIC("mocked"), RD_KAFKA_V_PARTITION(0),
          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
          RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END);
      EXPECT_EQ(code, RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    EXPECT_EQ(rd_kafka_flush(producer, 20'000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
  }
  ~MockCluster() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(handle_);
  }
  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  rd_kafka_mock_cluster_t* get() { return cluster_; }

 private:
  rd_kafka_t* handle_;
  rd_kafka_mock_cluster_t* cluster_;
};

struct MockRequest {
  int16_t api_key;
  std::string name;
};

const std::array<MockRequest, 5> kRequests = {{{1, "Fetch"},
                                               {2, "ListOffsets"},
                                               {3, "Metadata"},
                                               {8, "OffsetCommit"},
                                               {10, "FindCoordinator"}}};
const std::array kPassing = {
    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,         RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,     RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,       RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,      RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE};
const std::array kFinal = {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                           RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                           RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                           RD_KAFKA_RESP_ERR_UNKNOWN,
                           RD_KAFKA_RESP_ERR_INVALID_MSG,
                           RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION};

// Each error as the answer to three requests in a row, from the start and again in mid run. Those
// that pass must not end the job; the others may, and then it goes on when it is started again.
TEST_F(BrokerFaultsTest, EachErrorOfEachRequest) {
  constexpr int64_t kRecords = 4'000;
  const std::vector<std::string> expected = FoldOf(0, kRecords);
  MockCluster cluster(kRecords);
  FaultOutcome passing{.fault = "broker: retriable request errors"};
  FaultOutcome final{.fault = "broker: fatal request errors"};
  const int64_t stride = FaultScale(4, 1);
  int64_t at = 0;
  const auto inject = [&](const MockRequest& request, rd_kafka_resp_err_t code, bool passes) {
    if (at++ % stride != 0) return;
    const std::string what = fmt::format("{} to {}", rd_kafka_err2name(code), request.name);
    run_ = {fmt::format("mock_{}", at), "mocked", "mysql", "update"};
    run_.brokers = cluster.brokers();
    const auto push = [&] {
      rd_kafka_mock_push_request_errors(cluster.get(), request.api_key, 3, code, code, code);
    };
    push();
    const Clock::time_point start = Clock::now();
    const std::unique_ptr<Process> job =
        Launch({"--trigger", "available-now", "--max-offsets-per-trigger", "200"});
    WaitFor(absl::Seconds(30), [&] { return RowsSoFar() > 400 || !job->Running(); });
    push();
    const absl::StatusOr<int> exit_code = job->Wait(absl::Minutes(1));
    ASSERT_TRUE(exit_code.ok()) << what << ": " << job->Stderr();
    rd_kafka_mock_clear_request_errors(cluster.get(), request.api_key);
    if (passes) {
      ASSERT_EQ(*exit_code, 0) << what << ": " << job->Stderr();
    } else if (*exit_code != 0) {
      EXPECT_NE(job->Stderr().find("failed"), std::string::npos) << what << job->Stderr();
      const ProcessResult again = Run();
      ASSERT_EQ(again.exit_code, 0) << what << ": " << again.stderr_text;
    }
    SCOPED_TRACE(what);
    Judge(expected, start, passes ? &passing : &final);
  };
  for (const MockRequest& request : kRequests) {
    for (const rd_kafka_resp_err_t code : kPassing) inject(request, code, true);
    for (const rd_kafka_resp_err_t code : kFinal) inject(request, code, false);
  }
  ReportFault(passing);
  ReportFault(final);
}

TEST_F(BrokerFaultsTest, TheLeaderChanges) {
  constexpr int64_t kRecords = 20'000;
  MockCluster cluster(kRecords);
  FaultOutcome outcome{.fault = "broker: leader change"};
  run_ = {"leader", "mocked", "mysql", "update"};
  run_.brokers = cluster.brokers();
  const std::unique_ptr<Process> job =
      Launch({"--trigger", "available-now", "--max-offsets-per-trigger", "300"});
  Clock::time_point changed = Clock::now();
  for (int leader = 1; leader <= 6; ++leader) {
    ASSERT_TRUE(WaitFor(absl::Seconds(20), [&] {
      return RowsSoFar() > leader * 2'000 || !job->Running();
    })) << job->Stderr();
    rd_kafka_mock_partition_set_leader(cluster.get(), "mocked", 0, 1 + leader % 3);
    changed = Clock::now();
  }
  const absl::StatusOr<int> exit_code = job->Wait(absl::Minutes(1));
  ASSERT_TRUE(exit_code.ok() && *exit_code == 0) << job->Stderr();
  Judge(FoldOf(0, kRecords), changed, &outcome);
  ReportFault(outcome);
}

TEST_F(BrokerFaultsTest, ASlowBroker) {
  constexpr int64_t kRecords = 3'000;
  MockCluster cluster(kRecords);
  FaultOutcome outcome{.fault = "broker: answers after 300 ms"};
  for (int broker = 1; broker <= 3; ++broker) {
    rd_kafka_mock_broker_set_rtt(cluster.get(), broker, 300);
  }
  run_ = {"slow", "mocked", "mysql", "update"};
  run_.brokers = cluster.brokers();
  // It stays so: there is nothing to recover from, but an end to be reached (within Run's minute).
  const ProcessResult run = Run({"--max-offsets-per-trigger", "1000"});
  ASSERT_EQ(run.exit_code, 0) << run.stderr_text;
  Judge(FoldOf(0, kRecords), Clock::now(), &outcome);
  ReportFault(outcome);
}

}  // namespace
}  // namespace tidemark::testing
