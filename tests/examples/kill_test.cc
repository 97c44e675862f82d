// Each job, over a million records of a real Kafka topic into a real MariaDB, killed with SIGKILL
// twenty times at random moments and started again each time: the table ends as that of a run that
// nothing disturbed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>

#include "examples/customers_cdc/customers_cdc.h"
#include "examples/op_counts/op_counts.h"
#include "examples/order_totals/order_totals.h"
#include "examples/registrations_per_store/registrations_per_store.h"
#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"

namespace tidemark::testing {
namespace {

constexpr int64_t kRecords = 1'000'000;
constexpr int kKills = 20;
constexpr uint64_t kSeed = 7;

// Folds over the generator's records, against the table of the undisturbed run.

bool OpCountsAreRight(const std::vector<MariaDbRow>& table) {
  std::map<std::string, std::pair<int64_t, int64_t>> totals;
  for (int64_t i = 0; i < kRecords; ++i) {
    const std::string value = examples::FakeOrderChange(kSeed, 0, i).value;
    const size_t op = value.find(R"("op":")") + 6;
    auto& [events, quantity] = totals[value.substr(op, value.find('"', op) - op)];
    ++events;
    quantity += std::stoll(value.substr(value.find(R"("quantity":)") + 11));
  }
  std::vector<MariaDbRow> expected;
  for (const auto& [op, total] : totals) {
    expected.push_back({op, std::to_string(total.first), std::to_string(total.second)});
  }
  return table == expected;
}

bool OrderTotalsAreRight(const std::vector<MariaDbRow>& table) {
  int64_t items = 0;
  for (int64_t i = 0; i < kRecords; ++i) items += examples::MakeOrder(kSeed, 0, i).count;
  int64_t table_orders = 0;
  int64_t table_items = 0;
  for (const MariaDbRow& row : table) {
    table_orders += std::stoll(row[5].value());
    table_items += std::stoll(row[6].value());
  }
  return table_orders == kRecords && table_items == items;
}

struct JobUnderTest {
  std::string name;
  std::string topic;
  RecordGenerator generator;
  int64_t batch_rows;  // small enough that a run takes some seconds
  bool (*is_right)(const std::vector<MariaDbRow>& table) = nullptr;
};

class KillTest : public ::testing::TestWithParam<JobUnderTest> {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
    ASSERT_TRUE(kafka.ok()) << kafka.status();
    kafka_ = kafka->release();
    // The database itself is not killed here: a commit need not wait for the disk.
    MariaDbServerOptions options;
    options.flush_log_at_trx_commit = 0;
    absl::StatusOr<std::unique_ptr<MariaDbServer>> mariadb = MariaDbServer::Start(options);
    ASSERT_TRUE(mariadb.ok()) << mariadb.status();
    mariadb_ = mariadb->release();
  }
  static void TearDownTestSuite() {
    delete kafka_;
    delete mariadb_;
  }

  std::vector<std::string> Flags(const std::string& table) const {
    return {"--brokers",
            kafka_->brokers(),
            "--starting-offsets",
            "earliest",
            "--trigger",
            "available-now",
            "--max-offsets-per-trigger",
            std::to_string(GetParam().batch_rows),
            "--checkpoint",
            folder_.Path(table),
            "--sink",
            mariadb_->url(table) + "?create_table=true"};
  }
  JobFolder::Variables Password() const {
    return {{"TIDEMARK_MYSQL_PASSWORD", mariadb_->password()}};
  }

  std::vector<MariaDbRow> Table(const std::string& table) const {
    absl::StatusOr<std::vector<MariaDbRow>> rows =
        mariadb_->Query(fmt::format("SELECT * FROM tidemark.{} ORDER BY 1, 2, 3", table));
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? *std::move(rows) : std::vector<MariaDbRow>();
  }

  static KafkaServer* kafka_;
  static MariaDbServer* mariadb_;
  JobFolder folder_;
};

KafkaServer* KillTest::kafka_ = nullptr;
MariaDbServer* KillTest::mariadb_ = nullptr;

TEST_P(KillTest, EndsWithTheTableOfAnUndisturbedRun) {
  const JobUnderTest& job = GetParam();
  ASSERT_TRUE(kafka_->CreateTopic(job.topic, 1).ok());
  const absl::Status loaded = kafka_->ProduceMany(
      job.topic, 0, kRecords, [&](int64_t i) { return job.generator(kSeed, 0, i).value; },
      [&](int64_t i) { return job.generator(kSeed, 0, i).timestamp_ms; });
  ASSERT_TRUE(loaded.ok()) << loaded;

  const std::string undisturbed = job.name + "_undisturbed";
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult whole = folder_.Run(job.name, Flags(undisturbed), Password());
  ASSERT_EQ(whole.exit_code, 0) << whole.stderr_text;
  ASSERT_TRUE(Contains(whole.stderr_text, fmt::format("rows={}", kRecords))) << whole.stderr_text;

  const auto whole_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::steady_clock::now() - start)
                            .count();

  const unsigned seed = std::random_device{}();
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> life_ms(50,
                                             std::clamp(static_cast<int>(whole_ms / 16), 80, 700));
  const std::string killed = job.name + "_killed";
  int kills = 0;
  for (; kills < kKills; ++kills) {
    std::unique_ptr<Process> process = folder_.Launch(job.name, Flags(killed), Password());
    ASSERT_NE(process, nullptr);
    ASSERT_FALSE(process->Wait(absl::Milliseconds(life_ms(random))).ok())
        << "at the end after " << kills << " kills";
    process->Kill();
  }
  const ProcessResult last = folder_.Run(job.name, Flags(killed), Password());
  ASSERT_EQ(last.exit_code, 0) << last.stderr_text;
  fmt::print("{}: killed {} times (seed {})\n", job.name, kills, seed);

  const std::vector<MariaDbRow> expected = Table(undisturbed);
  EXPECT_GT(expected.size(), 2u);
  if (job.is_right != nullptr) {
    EXPECT_TRUE(job.is_right(expected));
  }
  EXPECT_TRUE(Table(killed) == expected)
      << "wrong table after " << kills << " kills, seed " << seed;
}

INSTANTIATE_TEST_SUITE_P(
    Jobs, KillTest,
    ::testing::Values(
        JobUnderTest{"registrations_per_store", "users_change_events", &examples::FakeCustomer,
                     1'000},
        JobUnderTest{"customers_cdc", "customers_cdc", &examples::FakeCustomerChange, 20'000},
        JobUnderTest{"op_counts", "orders_cdc", &examples::FakeOrderChange, 1'000,
                     &OpCountsAreRight},
        JobUnderTest{"order_totals", "orders", &examples::FakeOrder, 1'000, &OrderTotalsAreRight}),
    [](const auto& job) { return job.param.name; });

}  // namespace
}  // namespace tidemark::testing
