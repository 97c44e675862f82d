// Whatever a MariaDB does to a job that writes into it, at six moments of the job's life: the job
// goes on by itself once the database can be written again, and the table ends as that of an
// undisturbed run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "tests/faults/fault_ground.h"
#include "tests/faults/fault_report.h"
#include "tests/servers/cutting_proxy.h"
#include "tidemark/operators/clients/mysql_client.h"

namespace tidemark::testing {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int64_t kRecords = 30'000;
constexpr char kBatchRecords[] = "300";
// From the moment at which the database can be written again to the next batch in it.
constexpr absl::Duration kLongestRecovery = absl::Seconds(10);
constexpr std::array<int64_t, 6> kMoments = {0, 5, 20, 40, 60, 80};  // batches that the sink has

std::string RecordOf(int64_t id) {
  const int64_t ms = id * 4;
  return fmt::format(
      R"({{"id":{},"name":"n{}","amount":{},"created_at":"2025-01-06T08:{:02}:{:02}.{:03}Z"}})", id,
      id % 40, id % 1'000 - 300, ms / 60'000, ms / 1'000 % 60, ms % 1'000);
}

class DatabaseFaultsTest : public ::testing::Test {
 protected:
  // What a fault may use.
  struct Life {
    FaultRun run;
    CuttingProxy& proxy;
    Process& job;
    std::string table() const { return "tidemark." + run.name; }
  };
  // Does harm and undoes it. Called with the job at the moment; must not return before the job has
  // met the fault.
  using Fault = std::function<void(Life&)>;

  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<FaultGround>> ground = FaultGround::Start();
    ASSERT_TRUE(ground.ok()) << ground.status();
    ground_ = ground->release();
    ASSERT_TRUE(ground_->kafka().CreateTopic("faults", 1).ok());
    ASSERT_TRUE(ground_->kafka().ProduceMany("faults", 0, kRecords, &RecordOf).ok());
    const FaultRun undisturbed{"undisturbed", "faults", "mysql", "update"};
    const absl::StatusOr<ProcessResult> run =
        RunProcess(ground_->Options(undisturbed, Flags()), absl::Minutes(2));
    ASSERT_TRUE(run.ok() && run->exit_code == 0) << run->stderr_text;
    const auto rows = ground_->Rows(undisturbed);
    ASSERT_TRUE(rows.ok()) << rows.status();
    expected_ = new std::vector<std::string>(*rows);
    ASSERT_GT(expected_->size(), 400u);
  }
  static void TearDownTestSuite() {
    delete expected_;
    delete ground_;
  }

  static std::vector<std::string> Flags() {
    return {"--trigger", "available-now", "--max-offsets-per-trigger", kBatchRecords};
  }
  static MariaDbServer& database() { return ground_->mariadb(); }
  static void Exec(std::string_view sql) {
    const absl::Status status = database().Exec(sql);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
  }
  static DatabaseAddress Address() {
    DatabaseAddress address;
    address.host = database().host();
    address.port = database().port();
    address.user = database().user();
    address.password = database().password();
    address.database = database().database();
    return address;
  }
  // A connection that keeps its transaction open.
  static std::unique_ptr<MySqlConnection> Connect() {
    auto connection = MySqlConnection::Connect(Address(), MySqlTimeouts(), nullptr);
    EXPECT_TRUE(connection.ok()) << connection.status();
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  // Batches that the sink of `run` holds; -1: not even a marker.
  static int64_t Batches(const FaultRun& run) {
    const auto rows = database().Query(fmt::format(
        "SELECT MAX(batch_id) FROM tidemark.tidemark_batches WHERE EXISTS (SELECT 1 FROM "
        "information_schema.tables WHERE table_name = '{}')",
        run.name));
    return rows.ok() && !rows->empty() ? std::stoll((*rows)[0][0].value_or("-1")) : -1;
  }
  static bool Said(const Life& life, std::string_view words) {
    return life.job.Stderr().find(words) != std::string::npos;
  }
  // The job has said `words`, within a minute.
  static void Met(const Life& life, std::string_view words) {
    EXPECT_TRUE(WaitFor(absl::Minutes(1), [&] { return Said(life, words) || !life.job.Running(); }))
        << words;
    EXPECT_TRUE(Said(life, words)) << "not '" << words << "' but: " << life.job.Stderr();
  }

  // Injects the fault at each moment into a run of its own.
  static void AtEachMoment(const std::string& name, const Fault& fault, int64_t small_scale = 2) {
    FaultOutcome outcome;
    outcome.fault = "MariaDB: " + name;
    const int64_t moments = FaultScale(small_scale, kMoments.size());
    for (int64_t i = 0; i < moments; ++i) {
      const int64_t moment =
          kMoments[static_cast<size_t>(i * static_cast<int64_t>(kMoments.size()) / moments)];
      Exec("DROP TABLE IF EXISTS tidemark.tidemark_batches");
      CuttingProxy proxy(database().port());
      FaultRun run{fmt::format("run_{}", next_run_++), "faults", "mysql", "update"};
      run.database_port = proxy.port();
      absl::StatusOr<std::unique_ptr<Process>> job = Process::Start(ground_->Options(run, Flags()));
      ASSERT_TRUE(job.ok()) << job.status();
      Life life{run, proxy, **job};
      ASSERT_TRUE(WaitFor(absl::Seconds(30), [&] { return Batches(run) >= moment; }))
          << (*job)->Stderr();
      fault(life);
      ++outcome.injected;
      const Clock::time_point lifted = Clock::now();
      const int64_t batch = Batches(run);
      WaitFor(absl::Seconds(30), [&] { return Batches(run) > batch || !(*job)->Running(); });
      const absl::Duration recovery = absl::FromChrono(Clock::now() - lifted);
      outcome.worst_recovery = std::max(outcome.worst_recovery, recovery);
      EXPECT_LT(recovery, kLongestRecovery) << name << " after batch " << moment;
      const absl::StatusOr<int> exit_code = (*job)->Wait(absl::Minutes(1));
      ASSERT_TRUE(exit_code.ok()) << exit_code.status() << (*job)->Stderr();
      ASSERT_EQ(*exit_code, 0) << name << " after batch " << moment << ": " << (*job)->Stderr();
      const auto rows = ground_->Rows(run);
      ASSERT_TRUE(rows.ok()) << rows.status();
      const bool right = outcome.Compare(*expected_, *rows);
      EXPECT_TRUE(right) << name << " after batch " << moment << ": " << (*job)->Stderr();
      outcome.survived += right ? 1 : 0;
    }
    ReportFault(outcome);
  }

  static FaultGround* ground_;
  static std::vector<std::string>* expected_;
  static int next_run_;
};

FaultGround* DatabaseFaultsTest::ground_ = nullptr;
std::vector<std::string>* DatabaseFaultsTest::expected_ = nullptr;
int DatabaseFaultsTest::next_run_ = 0;

TEST_F(DatabaseFaultsTest, CutBeforeCommitIsPassedOn) {
  AtEachMoment("cut before COMMIT", [](Life& life) {
    life.proxy.CutAfter("COMMIT", /*pass_on=*/false);
    EXPECT_TRUE(WaitFor(absl::Seconds(10), [&] { return life.proxy.cuts() == 1; }));
  });
}

TEST_F(DatabaseFaultsTest, CutBeforeTheAnswerToCommit) {
  AtEachMoment("cut before COMMIT's answer", [](Life& life) {
    life.proxy.CutAfter("COMMIT", /*pass_on=*/true);
    EXPECT_TRUE(WaitFor(absl::Seconds(10), [&] { return life.proxy.cuts() == 1; }));
  });
}

TEST_F(DatabaseFaultsTest, CutAmongTheRows) {
  AtEachMoment("cut among the rows", [](Life& life) {
    life.proxy.CutAfter("tidemark_batches", /*pass_on=*/true);
    EXPECT_TRUE(WaitFor(absl::Seconds(10), [&] { return life.proxy.cuts() == 1; }));
  });
}

TEST_F(DatabaseFaultsTest, ASilentServer) {
  AtEachMoment("silent for 2 s", [](Life& life) {
    life.proxy.SetSilent(true);
    std::this_thread::sleep_for(milliseconds(2'000));
    EXPECT_TRUE(life.job.Running());
    life.proxy.SetSilent(false);
  });
}

// Longer than a sink waits for an answer, in mid transaction, and the server does not miss it.
TEST_F(DatabaseFaultsTest, AConnectionThatGoesSilentForGood) {
  AtEachMoment(
      "connection silent for good",
      [](Life& life) {
        life.proxy.HoldAfter("INSERT INTO tidemark_batches");
        Met(life, "has not answered within 30s");
        EXPECT_EQ(life.proxy.cuts(), 1);
      },
      /*small_scale=*/1);
}

TEST_F(DatabaseFaultsTest, ADeadlock) {
  // The victim is the one that changed less.
  Exec("CREATE TABLE tidemark.heavy (k INT PRIMARY KEY, v INT)");
  Exec("INSERT INTO tidemark.heavy SELECT seq, 0 FROM seq_1_to_3000");
  AtEachMoment("1213 deadlock", [](Life& life) {
    const auto other = Connect();
    ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
    ASSERT_TRUE(other->Exec("UPDATE heavy SET v = v + 1").ok());
    // The sink's transaction has the marker when it comes to the rows.
    ASSERT_TRUE(other->Query("SELECT * FROM " + life.run.name + " FOR UPDATE").ok());
    const int64_t batch = Batches(life.run);
    std::this_thread::sleep_for(milliseconds(300));
    EXPECT_EQ(Batches(life.run), batch);
    const absl::Status marker =
        other->Query("SELECT batch_id FROM tidemark_batches FOR UPDATE").status();
    EXPECT_TRUE(marker.ok()) << marker;
    Met(life, "1213");
    EXPECT_TRUE(other->Exec("ROLLBACK").ok());
  });
}

TEST_F(DatabaseFaultsTest, ALockThatIsHeldForLong) {
  AtEachMoment(
      "1205 lock wait",
      [](Life& life) {
        const auto other = Connect();
        ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
        ASSERT_TRUE(other->Query("SELECT * FROM " + life.run.name + " FOR UPDATE").ok());
        Met(life, "1205");
        EXPECT_TRUE(other->Exec("ROLLBACK").ok());
      },
      /*small_scale=*/1);
}

// The new limit is for new connections; one that is told of more (as by a proxy with settings of
// its own) is answered with 1153 and closed, and the one after it sends less at once.
TEST_F(DatabaseFaultsTest, ASmallPacketLimit) {
  AtEachMoment("1153 packet limit down to 1,024 bytes", [](Life& life) {
    // The server takes what fits its buffer whatever the limit is.
    Exec("SET GLOBAL net_buffer_length = 1024; SET GLOBAL max_allowed_packet = 1024");
    const std::string length_4(1, '\4');  // of the value, before it
    life.proxy.Forge(length_4 + "1024", length_4 + "9999");
    life.proxy.CutAfter("COMMIT", /*pass_on=*/true);
    EXPECT_TRUE(WaitFor(absl::Seconds(10), [&] { return life.proxy.cuts() == 1; }));
    Met(life, "error 1153");
    EXPECT_EQ(life.proxy.forgeries(), 1);
    const int64_t batch = Batches(life.run);
    EXPECT_TRUE(WaitFor(absl::Seconds(20), [&] { return Batches(life.run) > batch + 2; }))
        << life.job.Stderr();
    Exec("SET GLOBAL max_allowed_packet = 67108864; SET GLOBAL net_buffer_length = 16384");
  });
}

TEST_F(DatabaseFaultsTest, AReadOnlyServer) {
  AtEachMoment("1290 read-only", [](Life& life) {
    Exec("SET GLOBAL read_only = 1");
    Met(life, "read-only");
    Exec("SET GLOBAL read_only = 0");
  });
}

TEST_F(DatabaseFaultsTest, ARestart) {
  AtEachMoment("killed and restarted", [](Life&) {
    const absl::Status restarted = database().Restart();
    EXPECT_TRUE(restarted.ok()) << restarted;
  });
}

TEST_F(DatabaseFaultsTest, AwayForAWhile) {
  const int64_t seconds = FaultScale(3, 60);
  AtEachMoment(fmt::format("away for {} s", seconds), [seconds](Life& life) {
    ASSERT_TRUE(database().Kill().ok());
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    EXPECT_TRUE(life.job.Running()) << life.job.Stderr();
    const absl::Status restarted = database().Restart();
    EXPECT_TRUE(restarted.ok()) << restarted;
  });
}

TEST_F(DatabaseFaultsTest, TooManyConnections) {
  AtEachMoment("1040 too many connections", [](Life& life) {
    Exec("SET GLOBAL max_connections = 10");
    std::vector<std::unique_ptr<MySqlConnection>> all;
    life.proxy.CutAfter("COMMIT", /*pass_on=*/true);
    while (!Said(life, "1040") && life.job.Running()) {
      auto connection = MySqlConnection::Connect(Address(), MySqlTimeouts(), nullptr);
      if (connection.ok()) all.push_back(*std::move(connection));
      if (!connection.ok()) std::this_thread::sleep_for(milliseconds(5));
    }
    Met(life, "1040");
    all.clear();
    Exec("SET GLOBAL max_connections = 151");
  });
}

TEST_F(DatabaseFaultsTest, KilledConnections) {
  AtEachMoment("KILL of its connections", [](Life& life) {
    int killed = 0;
    for (int i = 0; i < 400 && killed < 5; ++i) {
      const auto ids = database().Query(fmt::format(
          "SELECT id FROM information_schema.processlist WHERE user = '{}'", database().user()));
      ASSERT_TRUE(ids.ok()) << ids.status();
      for (const MariaDbRow& id : *ids) killed += database().Exec("KILL " + *id[0]).ok() ? 1 : 0;
      std::this_thread::sleep_for(milliseconds(10));
    }
    EXPECT_GT(killed, 0) << life.job.Stderr();
  });
}

// The faults that a job does not wait out: it says what is wrong and ends before a row goes astray;
// started again when the table is right, it goes on.
TEST_F(DatabaseFaultsTest, ATableThatIsAlteredMeanwhile) {
  struct Alteration {
    const char* name;
    const char* clause;
    const char* back;
    const char* words;
  };
  constexpr Alteration kAlterations[] = {
      {"column renamed", "RENAME COLUMN total TO total_was", "RENAME COLUMN total_was TO total",
       "it has no column total"},
      {"primary key dropped", "DROP PRIMARY KEY", "ADD PRIMARY KEY (window_start, name)",
       "it has no primary or unique key"},
      {"key's collation changed",
       "MODIFY name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL",
       "MODIFY name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL",
       "utf8mb4_general_ci"},
      {"microseconds dropped", "MODIFY window_start DATETIME NOT NULL",
       "MODIFY window_start DATETIME(6) NOT NULL", "does not hold microseconds"},
      {"engine without transactions", "ENGINE=Aria", "ENGINE=InnoDB", "its engine is Aria"}};
  int altered = 0;
  for (const auto& [name, clause, back, words] : kAlterations) {
    FaultOutcome outcome;
    outcome.fault = fmt::format("MariaDB: {}", name);
    const int64_t moments = FaultScale(1, kMoments.size());
    for (int64_t i = 0; i < moments; ++i) {
      const int64_t moment = kMoments[static_cast<size_t>(moments == 1 ? 2 : i)];
      SCOPED_TRACE(fmt::format("{} after batch {}", name, moment));
      Exec("DROP TABLE IF EXISTS tidemark.tidemark_batches");
      const FaultRun run{fmt::format("altered_{}", altered++), "faults", "mysql", "update"};
      absl::StatusOr<std::unique_ptr<Process>> job = Process::Start(ground_->Options(run, Flags()));
      ASSERT_TRUE(job.ok()) << job.status();
      ASSERT_TRUE(WaitFor(absl::Seconds(30), [&] { return Batches(run) >= moment; }));
      Exec(fmt::format("ALTER TABLE tidemark.{} {}", run.name, clause));
      ++outcome.injected;
      const absl::StatusOr<int> exit_code = (*job)->Wait(absl::Minutes(1));
      ASSERT_TRUE(exit_code.ok()) << exit_code.status() << (*job)->Stderr();
      EXPECT_EQ(*exit_code, 1) << (*job)->Stderr();
      EXPECT_NE((*job)->Stderr().find(words), std::string::npos) << (*job)->Stderr();
      Exec(fmt::format("ALTER TABLE tidemark.{} {}", run.name, back));
      const Clock::time_point start = Clock::now();
      const absl::StatusOr<ProcessResult> again =
          RunProcess(ground_->Options(run, Flags()), absl::Minutes(2));
      ASSERT_TRUE(again.ok() && again->exit_code == 0) << again->stderr_text;
      outcome.worst_recovery =
          std::max(outcome.worst_recovery, absl::FromChrono(Clock::now() - start));
      const auto rows = ground_->Rows(run);
      ASSERT_TRUE(rows.ok()) << rows.status();
      outcome.survived += outcome.Compare(*expected_, *rows) ? 1 : 0;
    }
    EXPECT_EQ(outcome.survived, outcome.injected) << name;
    ReportFault(outcome);
  }
}

}  // namespace
}  // namespace tidemark::testing
