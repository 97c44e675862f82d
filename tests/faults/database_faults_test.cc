// Whatever a MariaDB does to a job that writes into it, at six moments of the job's life: the job
// goes on by itself once the database can be written again, and the table ends as that of an
// undisturbed run. Six jobs live at once, each with a proxy of its own that has it stand still at
// its moment: a fault finds all of them where it should.
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

constexpr int64_t kRecordsPerBatch = 300;
constexpr int64_t kTestedMs = 120'000;  // of event time, in all
// From the moment at which the database can be written again to the next batch in it.
constexpr absl::Duration kLongestRecovery = absl::Seconds(10);
// Batches that the sink has, of 20 on the small scale and of 100 on the full one.
constexpr std::array<int64_t, 6> kMoments = {0, 1, 4, 8, 12, 16};
// Requests of the sink, by what they contain: a batch's first, the one with its marker, its last
// (with the byte that says that it is a query: "READ COMMITTED" is none).
constexpr char kFirst[] = "START TRANSACTION";
constexpr char kMarker[] = "INSERT INTO tidemark_batches";
constexpr char kCommit[] = "\3COMMIT";

int64_t Scaled(int64_t batches) { return batches * FaultScale(1, 5); }
int64_t Records() { return Scaled(20) * kRecordsPerBatch; }

std::string RecordOf(int64_t id) {
  const int64_t ms = id * kTestedMs / Records();
  return fmt::format(
      R"({{"id":{},"name":"n{}","amount":{},"created_at":"2025-01-06T08:{:02}:{:02}.{:03}Z"}})", id,
      id % 40, id % 1'000 - 300, ms / 60'000, ms / 1'000 % 60, ms % 1'000);
}

class DatabaseFaultsTest : public ::testing::Test {
 protected:
  // A job at a moment, and what a fault may use.
  struct Life {
    int64_t moment;
    FaultRun run;
    std::unique_ptr<CuttingProxy> proxy;
    std::unique_ptr<Process> job;
    std::string table() const { return "tidemark." + run.name; }
  };
  using Lives = std::vector<Life>;
  // Does harm and undoes it. Called with the jobs standing still at their moments; lets them go on,
  // and must not return before each has met the fault.
  using Fault = std::function<void(Lives&)>;

  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<FaultGround>> ground = FaultGround::Start();
    ASSERT_TRUE(ground.ok()) << ground.status();
    ground_ = ground->release();
    ASSERT_TRUE(ground_->kafka().CreateTopic("faults", 1).ok());
    ASSERT_TRUE(ground_->kafka().ProduceMany("faults", 0, Records(), &RecordOf).ok());
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
    return {"--trigger", "available-now", "--max-offsets-per-trigger",
            std::to_string(kRecordsPerBatch)};
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

  // Batches that the sink holds: the greatest id rises with each.
  static int64_t Batches(const Life& life) {
    const auto rows =
        database().Query("SELECT COALESCE(MAX(last_id), -1) + 1 FROM " + life.table());
    return rows.ok() && !rows->empty() ? std::stoll(*(*rows)[0][0]) / kRecordsPerBatch : -1;
  }
  static bool Said(const Life& life, std::string_view words) {
    return life.job->Stderr().find(words) != std::string::npos;
  }
  // The job has said `words`, within a minute.
  static void Met(const Life& life, std::string_view words) {
    EXPECT_TRUE(WaitFor(absl::Minutes(1), [&] {
      return Said(life, words) || !life.job->Running();
    })) << words;
    EXPECT_TRUE(Said(life, words)) << "not '" << words << "' but: " << life.job->Stderr();
  }

  static void AwaitLockWait(const Life& life) {
    bool waits = false;
    for (int tries = 0; tries < 40 && !waits; ++tries) {
      std::this_thread::sleep_for(milliseconds(200));  // the view is renewed when left alone
      const auto waiting = database().Query(
          "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'");
      waits = waiting.ok() && !waiting->empty();
    }
    EXPECT_TRUE(waits) << life.job->Stderr();
  }
  static void Resume(const Lives& lives) {
    for (const Life& life : lives) life.proxy->Resume();
  }
  static void AllPause(const Lives& lives) {
    for (const Life& life : lives) {
      EXPECT_TRUE(
          WaitFor(absl::Minutes(1), [&] { return life.proxy->paused() || !life.job->Running(); }));
      EXPECT_TRUE(life.proxy->paused()) << life.moment << ": " << life.job->Stderr();
    }
  }
  // The next request of each that contains `text` is cut, as the proxy says.
  static void CutEach(const Lives& lives, const char* text, bool pass_on) {
    for (const Life& life : lives) life.proxy->CutAfter(text, pass_on);
    Resume(lives);
    for (const Life& life : lives) {
      EXPECT_TRUE(WaitFor(absl::Minutes(1), [&] { return life.proxy->cuts() == 1; }))
          << life.job->Stderr();
    }
  }
  static void AllMeet(const Lives& lives, std::string_view words) {
    for (const Life& life : lives) Met(life, words);
  }

  // Jobs that stand still at the six moments, before the request that contains `before`.
  static Lives StartAll(const char* before = kFirst) {
    Lives lives;
    for (const int64_t moment : kMoments) {
      auto proxy = std::make_unique<CuttingProxy>(database().port());
      // The first COMMIT is that of the new query's marker, before its first batch.
      proxy->PauseBefore(before, kCommit, Scaled(moment) + 1);
      FaultRun run{fmt::format("run_{}", next_run_++), "faults", "mysql", "update"};
      run.database_port = proxy->port();
      absl::StatusOr<std::unique_ptr<Process>> job = Process::Start(ground_->Options(run, Flags()));
      EXPECT_TRUE(job.ok()) << job.status();
      if (!job.ok()) return {};
      lives.push_back({Scaled(moment), run, std::move(proxy), *std::move(job)});
    }
    AllPause(lives);
    for (const Life& life : lives) EXPECT_EQ(Batches(life), life.moment);
    return lives;
  }

  // Injects the fault at the six moments.
  static void AtEachMoment(const std::string& name, const Fault& fault,
                           const char* before = kFirst) {
    FaultOutcome outcome;
    outcome.fault = "MariaDB: " + name;
    Lives lives = StartAll(before);
    ASSERT_EQ(lives.size(), kMoments.size());
    fault(lives);
    const Clock::time_point lifted = Clock::now();
    std::vector<int64_t> batches;
    for (const Life& life : lives) batches.push_back(Batches(life));
    for (size_t i = 0; i < lives.size(); ++i) {
      const Life& life = lives[i];
      WaitFor(absl::Seconds(30),
              [&] { return Batches(life) > batches[i] || !life.job->Running(); });
      const absl::Duration recovery = absl::FromChrono(Clock::now() - lifted);
      outcome.worst_recovery = std::max(outcome.worst_recovery, recovery);
      EXPECT_LT(recovery, kLongestRecovery) << name << " after batch " << life.moment;
    }
    for (Life& life : lives) {
      SCOPED_TRACE(fmt::format("{} after batch {}", name, life.moment));
      ++outcome.injected;
      const absl::StatusOr<int> exit_code = life.job->Wait(absl::Minutes(1));
      ASSERT_TRUE(exit_code.ok()) << exit_code.status() << life.job->Stderr();
      ASSERT_EQ(*exit_code, 0) << life.job->Stderr();
      outcome.survived += IsRight(life, &outcome) ? 1 : 0;
    }
    ReportFault(outcome);
  }
  static bool IsRight(const Life& life, FaultOutcome* outcome) {
    const auto rows = ground_->Rows(life.run);
    EXPECT_TRUE(rows.ok()) << rows.status();
    const bool right = rows.ok() && outcome->Compare(*expected_, *rows);
    EXPECT_TRUE(right) << life.job->Stderr();
    return right;
  }

  static FaultGround* ground_;
  static std::vector<std::string>* expected_;
  static int next_run_;
};

FaultGround* DatabaseFaultsTest::ground_ = nullptr;
std::vector<std::string>* DatabaseFaultsTest::expected_ = nullptr;
int DatabaseFaultsTest::next_run_ = 0;

TEST_F(DatabaseFaultsTest, CutBeforeCommitIsPassedOn) {
  AtEachMoment("cut before COMMIT",
               [](Lives& lives) { CutEach(lives, kCommit, /*pass_on=*/false); });
}

TEST_F(DatabaseFaultsTest, CutBeforeTheAnswerToCommit) {
  AtEachMoment("cut before COMMIT's answer",
               [](Lives& lives) { CutEach(lives, kCommit, /*pass_on=*/true); });
}

TEST_F(DatabaseFaultsTest, CutAmongTheRows) {
  AtEachMoment("cut among the rows",
               [](Lives& lives) { CutEach(lives, "tidemark_batches", /*pass_on=*/true); });
}

TEST_F(DatabaseFaultsTest, ASilentServer) {
  AtEachMoment("silent for 2 s", [](Lives& lives) {
    for (Life& life : lives) life.proxy->SetSilent(true);
    Resume(lives);
    std::this_thread::sleep_for(milliseconds(2'000));
    for (Life& life : lives) {
      EXPECT_TRUE(life.job->Running());
      life.proxy->SetSilent(false);
    }
  });
}

// Longer than a sink waits for an answer, in mid transaction, and the server does not miss it.
TEST_F(DatabaseFaultsTest, AConnectionThatGoesSilentForGood) {
  AtEachMoment("connection silent for good", [](Lives& lives) {
    for (Life& life : lives) life.proxy->HoldAfter(kMarker);
    Resume(lives);
    AllMeet(lives, "has not answered within 30s");
    for (Life& life : lives) EXPECT_EQ(life.proxy->cuts(), 1);
  });
}

TEST_F(DatabaseFaultsTest, ADeadlock) {
  // The victim is the one that changed less.
  Exec("CREATE TABLE tidemark.heavy (k INT PRIMARY KEY, v INT)");
  Exec("INSERT INTO tidemark.heavy SELECT seq, 0 FROM seq_1_to_3000");
  AtEachMoment("1213 deadlock", [](Lives& lives) {
    for (Life& life : lives) {
      const auto other = Connect();
      ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
      ASSERT_TRUE(other->Exec("UPDATE heavy SET v = v + 1").ok());
      // The sink's transaction has the marker when it comes to the rows.
      ASSERT_TRUE(other->Query("SELECT * FROM " + life.run.name + " FOR UPDATE").ok());
      life.proxy->Resume();
      AwaitLockWait(life);
      const absl::Status marker =
          other->Query("SELECT batch_id FROM tidemark_batches FOR UPDATE").status();
      EXPECT_TRUE(marker.ok()) << marker;
      Met(life, "1213");
      EXPECT_TRUE(other->Exec("ROLLBACK").ok());
    }
  });
}

TEST_F(DatabaseFaultsTest, ALockThatIsHeldForLong) {
  AtEachMoment("1205 lock wait", [](Lives& lives) {
    const auto other = Connect();
    ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
    for (Life& life : lives) {
      ASSERT_TRUE(other->Query("SELECT * FROM " + life.run.name + " FOR UPDATE").ok());
    }
    Resume(lives);
    AllMeet(lives, "1205");
    EXPECT_TRUE(other->Exec("ROLLBACK").ok());
  });
}

// The new limit is for new connections; one that is told of more (as by a proxy with settings of
// its own) is answered with 1153 and closed, and the one after it sends less at once.
TEST_F(DatabaseFaultsTest, ASmallPacketLimit) {
  AtEachMoment("1153 packet limit down to 1,024 bytes", [](Lives& lives) {
    // The server takes what fits its buffer whatever the limit is.
    Exec("SET GLOBAL net_buffer_length = 1024; SET GLOBAL max_allowed_packet = 1024");
    const std::string length_4(1, '\4');  // of the value, before it
    for (Life& life : lives) life.proxy->Forge(length_4 + "1024", length_4 + "9999");
    CutEach(lives, kCommit, /*pass_on=*/true);
    AllMeet(lives, "error 1153");
    for (Life& life : lives) {
      EXPECT_EQ(life.proxy->forgeries(), 1);
      const int64_t batch = Batches(life);
      EXPECT_TRUE(WaitFor(absl::Seconds(30), [&] {
        return Batches(life) > batch + 1 || !life.job->Running();
      })) << life.job->Stderr();
    }
    Exec("SET GLOBAL max_allowed_packet = 67108864; SET GLOBAL net_buffer_length = 16384");
  });
}

TEST_F(DatabaseFaultsTest, AReadOnlyServer) {
  AtEachMoment("1290 read-only", [](Lives& lives) {
    Exec("SET GLOBAL read_only = 1");
    Resume(lives);
    AllMeet(lives, "read-only");
    Exec("SET GLOBAL read_only = 0");
  });
}

// With all rows of a batch written, and none committed.
TEST_F(DatabaseFaultsTest, ARestart) {
  AtEachMoment(
      "killed and restarted",
      [](Lives& lives) {
        const absl::Status restarted = database().Restart();
        EXPECT_TRUE(restarted.ok()) << restarted;
        Resume(lives);
      },
      /*before=*/kCommit);
}

TEST_F(DatabaseFaultsTest, AwayForAWhile) {
  const int64_t seconds = FaultScale(3, 60);
  AtEachMoment(fmt::format("away for {} s", seconds), [seconds](Lives& lives) {
    ASSERT_TRUE(database().Kill().ok());
    Resume(lives);
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    for (Life& life : lives) EXPECT_TRUE(life.job->Running()) << life.job->Stderr();
    const absl::Status restarted = database().Restart();
    EXPECT_TRUE(restarted.ok()) << restarted;
  });
}

// More connections than the server then takes: whoever comes, comes in vain.
TEST_F(DatabaseFaultsTest, TooManyConnections) {
  AtEachMoment("1040 too many connections", [](Lives& lives) {
    std::vector<std::unique_ptr<MySqlConnection>> all;
    for (int i = 0; i < 12; ++i) all.push_back(Connect());
    Exec("SET GLOBAL max_connections = 10");
    CutEach(lives, kCommit, /*pass_on=*/true);
    AllMeet(lives, "1040");
    all.clear();
    EXPECT_TRUE(WaitFor(absl::Seconds(30),
                        [] { return database().Exec("SET GLOBAL max_connections = 151").ok(); }));
  });
}

// Those that are between two batches, and then those that have written rows.
TEST_F(DatabaseFaultsTest, KilledConnections) {
  AtEachMoment("KILL of its connections", [](Lives& lives) {
    for (const bool between : {true, false}) {
      const auto ids = database().Query(fmt::format(
          "SELECT id FROM information_schema.processlist WHERE user = '{}'", database().user()));
      ASSERT_TRUE(ids.ok()) << ids.status();
      size_t killed = 0;
      for (const MariaDbRow& id : *ids) killed += database().Exec("KILL " + *id[0]).ok() ? 1 : 0;
      EXPECT_GE(killed, lives.size());
      if (between) {
        for (Life& life : lives) life.proxy->PauseBefore(kMarker);
      }
      Resume(lives);
      if (between) AllPause(lives);
    }
  });
}

// The faults that a job does not wait out: it says what is wrong and ends before a row goes astray;
// started again when the table is right, it goes on.
TEST_F(DatabaseFaultsTest, ATableThatIsAlteredMeanwhile) {
  struct Alteration {
    const char* name;
    const char* clause;
    const char* back;  // empty: the table as it was is put in its place
    const char* words;
  };
  constexpr Alteration kAlterations[] = {
      {"column renamed", "RENAME COLUMN total TO total_was", "RENAME COLUMN total_was TO total",
       "it has no column total"},
      {"column dropped", "DROP COLUMN total", "", "it has no column total"},
      {"column retyped", "MODIFY total INT", "MODIFY total BIGINT", "its column total is int"},
      {"column added that wants a value", "ADD COLUMN more INT NOT NULL", "DROP COLUMN more",
       "its column more, which the rows do not have"},
      {"primary key dropped", "DROP PRIMARY KEY", "ADD PRIMARY KEY (window_start, name)",
       "it has no primary or unique key"},
      {"key's collation changed",
       "MODIFY name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL",
       "MODIFY name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL",
       "utf8mb4_general_ci"},
      {"microseconds dropped", "MODIFY window_start DATETIME NOT NULL",
       "MODIFY window_start DATETIME(6) NOT NULL", "does not hold microseconds"},
      {"engine without transactions", "ENGINE=Aria", "ENGINE=InnoDB", "its engine is Aria"}};
  for (const auto& [name, clause, back, words] : kAlterations) {
    FaultOutcome outcome;
    outcome.fault = fmt::format("MariaDB: {}", name);
    Lives lives = StartAll();
    ASSERT_EQ(lives.size(), kMoments.size());
    for (const Life& life : lives) {
      Exec(fmt::format("CREATE TABLE {0}_was LIKE {0}; INSERT INTO {0}_was SELECT * FROM {0}",
                       life.table()));
      Exec(fmt::format("ALTER TABLE {} {}", life.table(), clause));
    }
    Resume(lives);
    for (Life& life : lives) {
      SCOPED_TRACE(fmt::format("{} after batch {}", name, life.moment));
      ++outcome.injected;
      const absl::StatusOr<int> exit_code = life.job->Wait(absl::Minutes(1));
      ASSERT_TRUE(exit_code.ok()) << exit_code.status() << life.job->Stderr();
      EXPECT_EQ(*exit_code, 1) << life.job->Stderr();
      EXPECT_TRUE(Said(life, words)) << life.job->Stderr();
      Exec(*back == '\0' ? fmt::format("DROP TABLE {0}; RENAME TABLE {0}_was TO {0}", life.table())
                         : fmt::format("ALTER TABLE {} {}", life.table(), back));
      EXPECT_EQ(Batches(life), life.moment);
    }
    const Clock::time_point start = Clock::now();
    for (Life& life : lives) {
      auto again = Process::Start(ground_->Options(life.run, Flags()));
      ASSERT_TRUE(again.ok()) << again.status();
      life.job = *std::move(again);
    }
    for (Life& life : lives) {
      SCOPED_TRACE(fmt::format("{} after batch {}", name, life.moment));
      const absl::StatusOr<int> exit_code = life.job->Wait(absl::Minutes(2));
      ASSERT_TRUE(exit_code.ok()) << exit_code.status() << life.job->Stderr();
      ASSERT_EQ(*exit_code, 0) << life.job->Stderr();
      outcome.worst_recovery =
          std::max(outcome.worst_recovery, absl::FromChrono(Clock::now() - start));
      outcome.survived += IsRight(life, &outcome) ? 1 : 0;
    }
    EXPECT_EQ(outcome.survived, outcome.injected) << name;
    ReportFault(outcome);
  }
}

}  // namespace
}  // namespace tidemark::testing
