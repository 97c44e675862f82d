// What goes wrong in the folder that food_orders_lake writes to: a disk that is full, and values
// that make poor folder names.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::JobFolder;
using testing::KafkaRecord;
using testing::KafkaServer;
using testing::Lines;
using testing::Process;
using testing::ProcessResult;
using testing::WaitUntil;

// A file may grow to so many KiB on the disk that counts as full: the checkpoint's do not.
constexpr int kFullKib = 256;
constexpr int kOrders = 200;

std::string Order(int id, const std::string& customer, const std::string& status) {
  return fmt::format(
      R"({{"order_id":{},"customer_name":"{}","restaurant_name":"Taj","item":"Dal","amount":1.5,)"
      R"("order_status":{},"created_at":"2026-03-29T23:59:59.5Z"}})",
      id, customer, status);
}

class BadLakeTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = kafka->release();
  }
  static void TearDownTestSuite() { delete std::exchange(kafka_, nullptr); }

  void SetUp() override {
    ASSERT_NE(kafka_, nullptr);
    topic_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    ASSERT_TRUE(kafka_->CreateTopic(topic_, 1).ok());
  }

  void Produce(const std::vector<std::string>& orders) {
    std::vector<KafkaRecord> records;
    for (const std::string& order : orders) records.push_back({.value = order});
    const absl::Status status = kafka_->Produce(topic_, 0, records);
    ASSERT_TRUE(status.ok()) << status;
  }

  // Without --trigger it ends when all is read.
  std::vector<std::string> Flags(const std::string& sink, const std::string& checkpoint,
                                 const std::string& trigger = "available-now") const {
    return {"--brokers", kafka_->brokers(), "--topic", topic_, "--starting-offsets", "earliest",
            "--trigger", trigger,           "--sink",  sink,   "--checkpoint",       checkpoint};
  }

  // The job on a disk that is full.
  std::unique_ptr<Process> LaunchOnFullDisk(const std::string& sink) {
    testing::ProcessOptions options;
    options.args = {"/bin/bash", "-c", fmt::format("ulimit -S -f {}; exec \"$@\"", kFullKib),
                    "bash", std::string(TIDEMARK_EXAMPLES_DIR) + "/food_orders_lake"};
    for (const std::string& flag : Flags(sink, "full", "200ms")) options.args.push_back(flag);
    options.working_dir = folder_.Path("");
    absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(std::move(options));
    EXPECT_TRUE(process.ok()) << process.status();
    return process.ok() ? *std::move(process) : nullptr;
  }
  static void MakeRoom(const Process& job) {
    rlimit limit = {};
    ASSERT_EQ(prlimit(job.pid(), RLIMIT_FSIZE, nullptr, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(prlimit(job.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  }
  // Says again and again, later and later, what it waits for; and nobody sees half a file.
  void WaitsForRoom(Process& job, const std::string& folder) {
    const auto waits = [&] {
      std::vector<int64_t> ms;
      for (const std::string& line : Lines(job.Stderr())) {
        const size_t at = line.find("event=retry wait_ms=");
        if (at == std::string::npos) continue;
        ms.push_back(std::stoll(line.substr(at + 20)));
        EXPECT_THAT(line,
                    AllOf(HasSubstr(folder), HasSubstr("make room, the query goes on by itself")));
      }
      return ms;
    };
    ASSERT_TRUE(WaitUntil([&] { return waits().size() >= 3; })) << job.Stderr();
    EXPECT_LT(waits()[0], waits()[2]);
    EXPECT_TRUE(job.Running());
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.Path(folder))) {
      EXPECT_FALSE(entry.path().filename().string().starts_with("part-")) << entry.path();
    }
  }

  // Every row of the folder, sorted, as a reader of its own sees them.
  std::vector<std::string> RowsOf(const std::string& kind, const std::string& folder,
                                  const std::string& partition_by = "",
                                  const std::string& reader = "pyarrow") {
    std::vector<std::string> rows;
    if (kind == "json") {
      for (const auto& [batch, lines] : testing::JsonBatches(folder_.Path(folder)))
        rows.insert(rows.end(), lines.begin(), lines.end());
      std::sort(rows.begin(), rows.end());
      return rows;
    }
    testing::ProcessOptions options;
    options.args = {"/usr/bin/python3",   TIDEMARK_READ_PARQUET, reader,
                    folder_.Path(folder), "--partition-by",      partition_by};
    options.env = {{"PYTHONPATH", TIDEMARK_PYARROW}, {"PYTHONDONTWRITEBYTECODE", "1"}};
    const absl::StatusOr<ProcessResult> read = RunProcess(std::move(options), absl::Minutes(1));
    EXPECT_TRUE(read.ok()) << read.status();
    if (!read.ok()) return {};
    EXPECT_EQ(read->exit_code, 0) << read->stderr_text;
    rows = Lines(read->stdout_text);
    if (!rows.empty()) rows.erase(rows.begin());  // the columns
    return rows;
  }

  void AFullDiskIsWaitedFor(const std::string& kind) {
    std::minstd_rand random(7);
    std::vector<std::string> orders;
    for (int i = 0; i < kOrders; ++i) {
      std::string customer(8'000, ' ');
      for (char& c : customer) c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[random() % 32];
      orders.push_back(Order(i, customer, "\"PLACED\""));
    }
    Produce(orders);
    const ProcessResult undisturbed =
        folder_.Run("food_orders_lake", Flags(kind + ":expected", "undisturbed"));
    ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.stderr_text;
    const std::vector<std::string> expected = RowsOf(kind, "expected");
    ASSERT_EQ(expected.size(), size_t{kOrders});

    // Ended while it waits, killed while it waits, and given room while it waits.
    auto job = LaunchOnFullDisk(kind + ":out");
    WaitsForRoom(*job, "out");
    EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
    job = LaunchOnFullDisk(kind + ":out");
    WaitsForRoom(*job, "out");
    EXPECT_EQ(job->Kill(), 137);
    job = LaunchOnFullDisk(kind + ":out");
    WaitsForRoom(*job, "out");
    MakeRoom(*job);
    EXPECT_TRUE(WaitUntil([&] {
      return std::filesystem::exists(folder_.Path("out/_tidemark/00000.json"));
    })) << job->Stderr();
    EXPECT_EQ(job->Terminate(absl::Seconds(10)), 0) << job->Stderr();
    EXPECT_EQ(RowsOf(kind, "out"), expected);
  }

  static inline KafkaServer* kafka_ = nullptr;
  std::string topic_;
  JobFolder folder_;
};

TEST_F(BadLakeTest, AFullDiskUnderJsonFiles) { AFullDiskIsWaitedFor("json"); }
TEST_F(BadLakeTest, AFullDiskUnderParquetFiles) { AFullDiskIsWaitedFor("parquet"); }

TEST_F(BadLakeTest, HostilePartitionValues) {
  // As JSON, in the topic and in what comes back.
  const std::vector<std::string> values = {
      R"("a/b")", R"("..")",  R"(".")", R"("../../up")", R"("/etc")",    R"("%")", R"("%2F")",
      R"("x=y")", R"("a b")", R"("A")", R"("a")",        R"("\\\"*?#")", R"("")"};
  std::vector<std::string> orders;
  for (size_t i = 0; i < values.size(); ++i) {
    orders.push_back(Order(static_cast<int>(i), "Ada", values[i]));
  }
  orders.push_back(Order(100, "Ada", "null"));
  Produce(orders);
  const ProcessResult filed = folder_.Run(
      "food_orders_lake", Flags("parquet:up/lake?partition_by=date,order_status", "checkpoint"));
  ASSERT_EQ(filed.exit_code, 0) << filed.stderr_text;
  for (const std::string reader : {"pyarrow", "duckdb"}) {
    SCOPED_TRACE(reader);
    const std::vector<std::string> rows = RowsOf("parquet", "up/lake", "date,order_status", reader);
    EXPECT_EQ(rows.size(), orders.size());
    const auto holds = [&](size_t id, const std::string& value) {
      return std::any_of(rows.begin(), rows.end(), [&](const std::string& row) {
        return row.find(fmt::format(R"("order_id": {}, )", id)) != std::string::npos &&
               row.find(fmt::format(R"("order_status": {}, )", value)) != std::string::npos;
      });
    };
    for (size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(holds(i, values[i])) << values[i];
    EXPECT_TRUE(holds(100, "null"));
  }
  // Nothing lies elsewhere.
  std::vector<std::string> around;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.Path("up")))
    around.push_back(entry.path().filename());
  EXPECT_THAT(around, ::testing::ElementsAre("lake"));
  EXPECT_TRUE(std::filesystem::is_directory(
      folder_.Path("up/lake/date=2026-03-29/order_status=..%2F..%2Fup")));
  EXPECT_TRUE(std::filesystem::is_directory(
      folder_.Path("up/lake/date=2026-03-29/order_status=__HIVE_DEFAULT_PARTITION__")));
}

}  // namespace
}  // namespace tidemark
