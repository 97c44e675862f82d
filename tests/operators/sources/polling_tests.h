#ifndef TIDEMARK_TESTS_OPERATORS_SOURCES_POLLING_TESTS_H_
#define TIDEMARK_TESTS_OPERATORS_SOURCES_POLLING_TESTS_H_

// What holds for a polled table on any server. A Database (mysql_source_test.cc,
// postgres_source_test.cc) has: Server, Connection, Start(), Connect(server, cancelled),
// Make(server, polling, password) and its words of SQL: kId (an id column's type), kTime.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "operators/sources/polling_driver.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

#define ASSERT_OK(expression)                    \
  do {                                           \
    const absl::Status ok_status = (expression); \
    ASSERT_TRUE(ok_status.ok()) << ok_status;    \
  } while (false)

using Row = PollingDriver::Row;

/// Threads that go on until `stop`, and end with this object.
struct Writers {
  ~Writers() { Join(); }
  void Join() {
    stop = true;
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  std::atomic<bool> stop = false;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
};

template <typename Database>
class PollingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = Database::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() { delete server_; }

  void SetUp() override { ASSERT_OK(Exec("DROP TABLE IF EXISTS t")); }

  static absl::Status Exec(const std::string& sql) { return server_->Exec(sql); }
  /// Columns `id`, `at` and `name`.
  static absl::Status MakeTable() {
    return Exec(fmt::format("CREATE TABLE t (id {}, at {}, name VARCHAR(40))", Database::kId,
                            Database::kTime));
  }
  static std::unique_ptr<typename Database::Connection> Session() {
    auto session = Database::Connect(*server_, nullptr);
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }
  static PollingOptions ById() {
    PollingOptions options;
    options.table = "t";
    options.poll_interval = absl::ZeroDuration();
    options.grace = absl::Milliseconds(100);
    return options;
  }
  static PollingOptions ByTime() {
    PollingOptions options = ById();
    options.mode = PollingMode::kTimestampAndId;
    options.timestamp_column = "at";
    return options;
  }
  static PollingDriver Driver(PollingOptions options,
                              Schema schema = Schema().Int64("id").String("name")) {
    return PollingDriver(std::move(schema),
                         [options = std::move(options)](const PollingStart& start) {
                           return Database::Make(*server_, options, server_->password(), start);
                         });
  }
  /// The message with which a source over `t` cannot be opened.
  static std::string OpenError(PollingOptions options,
                               Schema schema = Schema().Int64("id").String("name")) {
    PollingDriver driver = Driver(std::move(options), std::move(schema));
    const absl::Status status = driver.Start();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }
  static std::vector<int64_t> CommittedIds() {
    const auto rows = server_->Query("SELECT id FROM t ORDER BY id");
    EXPECT_TRUE(rows.ok()) << rows.status();
    std::vector<int64_t> ids;
    for (const auto& row : *rows) ids.push_back(std::stoll(*row[0]));
    return ids;
  }
  static std::vector<int64_t> Sorted(std::vector<int64_t> ids) {
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  /// A few batches, in which nothing may go wrong.
  static void RunSome(PollingDriver& driver, int batches = 3) {
    for (int i = 0; i < batches; ++i) {
      const auto ran = driver.RunBatch();
      ASSERT_TRUE(ran.ok()) << ran.status();
    }
  }

  /// Rows come while the server ends, well or not, and starts again, a few times.
  static void RideServerRestartsOut(PollingOptions options);

  static typename Database::Server* server_;
};
template <typename Database>
typename Database::Server* PollingTest<Database>::server_ = nullptr;

TYPED_TEST_SUITE_P(PollingTest);

TYPED_TEST_P(PollingTest, GivesRowsOnceInTheOrderOfTheId) {
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('a'), ('b'), (NULL)"));
  PollingDriver driver = this->Driver(this->ById());
  ASSERT_OK(driver.RunUntil(3));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('d')"));
  ASSERT_OK(driver.RunUntil(4));
  EXPECT_THAT(driver.arrived(),
              ElementsAre(Row{"1", "a"}, Row{"2", "b"}, Row{"3", "NULL"}, Row{"4", "d"}));
  this->RunSome(driver);
  EXPECT_EQ(driver.arrived().size(), 4u);
}

TYPED_TEST_P(PollingTest, AnEmptyTableGivesNothing) {
  ASSERT_OK(this->MakeTable());
  for (const PollingOptions& options : {this->ById(), this->ByTime()}) {
    PollingDriver driver = this->Driver(options);
    this->RunSome(driver);
    EXPECT_THAT(driver.arrived(), IsEmpty());
  }
}

TYPED_TEST_P(PollingTest, ARowThatCommitsLateArrivesOnce) {
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('first')"));
  PollingDriver driver = this->Driver(this->ById());
  ASSERT_OK(driver.RunUntil(1));
  auto late = this->Session();
  ASSERT_OK(late->Exec("BEGIN"));
  ASSERT_OK(late->Exec("INSERT INTO t (name) VALUES ('late')"));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('early')"));
  this->RunSome(driver, 5);
  ASSERT_OK(late->Exec("INSERT INTO t (name) VALUES ('later')"));
  this->RunSome(driver, 3);
  ASSERT_OK(late->Exec("COMMIT"));
  ASSERT_OK(driver.RunUntil(4));
  this->RunSome(driver);
  EXPECT_THAT(driver.ArrivedIds(), ElementsAre(1, 2, 3, 4));
}

TYPED_TEST_P(PollingTest, IdsThatNeverComeHoldNothingUp) {
  ASSERT_OK(this->MakeTable());
  auto session = this->Session();
  ASSERT_OK(session->Exec("INSERT INTO t (name) VALUES ('a')"));
  for (int i = 0; i < 700; ++i) {
    ASSERT_OK(session->Exec("BEGIN"));
    ASSERT_OK(session->Exec("INSERT INTO t (name) VALUES ('gone')"));
    ASSERT_OK(session->Exec("ROLLBACK"));
    ASSERT_OK(session->Exec("INSERT INTO t (name) VALUES ('stays')"));
  }
  ASSERT_OK(this->Exec("DELETE FROM t WHERE id = 1"));
  PollingDriver driver = this->Driver(this->ById());
  ASSERT_OK(driver.RunUntil(700));
  EXPECT_EQ(driver.ArrivedIds(), this->CommittedIds());
  // One in the middle that may still come stops the others behind it, and no others.
  ASSERT_OK(session->Exec("BEGIN"));
  ASSERT_OK(session->Exec("INSERT INTO t (name) VALUES ('held')"));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('behind')"));
  this->RunSome(driver, 5);
  EXPECT_EQ(driver.arrived().size(), 700u);
  ASSERT_OK(session->Exec("ROLLBACK"));
  ASSERT_OK(driver.RunUntil(701));
  EXPECT_EQ(driver.ArrivedIds(), this->CommittedIds());
}

// Transactions of several statements, held open across polls, some of them rolled back, while the
// reader's process dies again and again.
TYPED_TEST_P(PollingTest, NothingIsLostOrRepeatedUnderLoad) {
  ASSERT_OK(this->MakeTable());
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Writers writers;
  for (unsigned writer = 0; writer < 6; ++writer) {
    writers.threads.emplace_back([&, writer] {
      std::mt19937 random(seed + writer);
      auto session = this->Session();
      while (!writers.stop) {
        writers.failures += session->Exec("BEGIN").ok() ? 0 : 1;
        const int statements = 1 + static_cast<int>(random() % 5);
        for (int i = 0; i < statements; ++i) {
          const bool many = random() % 4 == 0;
          const absl::Status inserted = session->Exec(
              many ? "INSERT INTO t (name) VALUES ('1'), ('2'), ('3'), ('4'), ('5'), ('6')"
                   : "INSERT INTO t (name) VALUES ('one')");
          writers.failures += inserted.ok() ? 0 : 1;
          if (random() % 3 == 0) absl::SleepFor(absl::Milliseconds(random() % 30));
        }
        writers.failures += session->Exec(random() % 5 == 0 ? "ROLLBACK" : "COMMIT").ok() ? 0 : 1;
      }
    });
  }
  PollingOptions options = this->ById();
  options.max_rows = 500;
  PollingDriver driver = this->Driver(options);
  std::mt19937 random(seed);
  const absl::Time end = absl::Now() + absl::Seconds(8);
  while (absl::Now() < end) {
    const auto ran = driver.RunBatch(1 + static_cast<int64_t>(random() % 400));
    ASSERT_TRUE(ran.ok()) << ran.status();
    if (random() % 20 == 0) driver.Crash();
  }
  writers.Join();
  EXPECT_EQ(writers.failures, 0);
  const std::vector<int64_t> committed = this->CommittedIds();
  EXPECT_GT(committed.size(), 1000u);
  ASSERT_OK(driver.RunUntil(committed.size()));
  this->RunSome(driver);
  EXPECT_EQ(driver.ArrivedIds(), committed);
}

TYPED_TEST_P(PollingTest, NothingIsLostOrRepeatedByTimestampUnderLoad) {
  ASSERT_OK(this->MakeTable());
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Writers writers;
  for (unsigned writer = 0; writer < 4; ++writer) {
    writers.threads.emplace_back([&, writer] {
      std::mt19937 random(seed + writer);
      auto session = this->Session();
      while (!writers.stop) {
        writers.failures += session->Exec("BEGIN").ok() ? 0 : 1;
        const int statements = 1 + static_cast<int>(random() % 4);
        for (int i = 0; i < statements; ++i) {
          // Of a second's precision: many rows have one timestamp.
          writers.failures += session->Exec(fmt::format("INSERT INTO t (at, name) VALUES ({}, 'x')",
                                                        random() % 2 == 0 ? TypeParam::kNow
                                                                          : TypeParam::kNowSeconds))
                                      .ok()
                                  ? 0
                                  : 1;
          if (random() % 3 == 0) absl::SleepFor(absl::Milliseconds(random() % 40));
        }
        writers.failures += session->Exec(random() % 5 == 0 ? "ROLLBACK" : "COMMIT").ok() ? 0 : 1;
      }
    });
  }
  PollingOptions options = this->ByTime();
  options.max_rows = 200;
  options.look_back = absl::Seconds(4);
  PollingDriver driver = this->Driver(options);
  std::mt19937 random(seed);
  const absl::Time end = absl::Now() + absl::Seconds(8);
  while (absl::Now() < end) {
    const auto ran = driver.RunBatch(1 + static_cast<int64_t>(random() % 150));
    ASSERT_TRUE(ran.ok()) << ran.status();
    if (random() % 20 == 0) driver.Crash();
  }
  writers.Join();
  EXPECT_EQ(writers.failures, 0);
  const std::vector<int64_t> committed = this->CommittedIds();
  EXPECT_GT(committed.size(), 300u);
  ASSERT_OK(driver.RunUntil(committed.size()));
  this->RunSome(driver, 5);
  EXPECT_EQ(this->Sorted(driver.ArrivedIds()), committed);
}

TYPED_TEST_P(PollingTest, RowsOfOneTimestampAtAnEdgeArriveOnce) {
  ASSERT_OK(this->MakeTable());
  for (const PollingMode mode : {PollingMode::kTimestamp, PollingMode::kTimestampAndId}) {
    ASSERT_OK(this->Exec("DELETE FROM t"));
    ASSERT_OK(
        this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:00:00', 'a'), ('2025-01-01 "
                   "00:00:01', 'b'), ('2025-01-01 00:00:01', 'c'), ('2025-01-01 00:00:01', 'd'), "
                   "('2025-01-01 00:00:01', 'e'), ('2025-01-01 00:00:02', 'f')"));
    PollingOptions options = this->ByTime();
    options.mode = mode;
    options.max_rows = 2;
    PollingDriver driver = this->Driver(options, Schema().String("name"));
    for (int i = 0; i < 40 && driver.arrived().size() < 6; ++i) {
      const auto ran = driver.RunBatch(1 + i % 2);
      ASSERT_TRUE(ran.ok()) << ran.status();
      if (i % 3 != 0) driver.Crash();
    }
    ASSERT_OK(this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:00:02', 'g')"));
    ASSERT_OK(driver.RunUntil(7));
    this->RunSome(driver, 4);
    EXPECT_THAT(driver.arrived(),
                ElementsAre(Row{"a"}, Row{"b"}, Row{"c"}, Row{"d"}, Row{"e"}, Row{"f"}, Row{"g"}));
  }
}

TYPED_TEST_P(PollingTest, ATimestampBehindTheCursorArrivesWithinTheLookBack) {
  ASSERT_OK(this->MakeTable());
  PollingOptions options = this->ByTime();
  options.look_back = absl::Minutes(10);
  PollingDriver driver = this->Driver(options, Schema().String("name"));
  ASSERT_OK(this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:10:00', 'now')"));
  ASSERT_OK(driver.RunUntil(1));
  ASSERT_OK(
      this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:00:00', 'at the limit'), "
                 "('2024-12-31 23:59:59', 'too late')"));
  ASSERT_OK(driver.RunUntil(2));
  driver.Crash();
  this->RunSome(driver);
  ASSERT_OK(this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:09:00', 'late')"));
  ASSERT_OK(driver.RunUntil(3));
  this->RunSome(driver);
  EXPECT_THAT(driver.arrived(), ElementsAre(Row{"now"}, Row{"at the limit"}, Row{"late"}));
}

// One row of the year 2900 must not make all others late.
TYPED_TEST_P(PollingTest, ATimestampInTheFutureMovesNothing) {
  ASSERT_OK(this->MakeTable());
  PollingDriver driver = this->Driver(this->ByTime(), Schema().String("name"));
  ASSERT_OK(this->Exec("INSERT INTO t (at, name) VALUES ('2900-01-01 00:00:00', 'future')"));
  ASSERT_OK(driver.RunUntil(1));
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(
        this->Exec(fmt::format("INSERT INTO t (at, name) VALUES ({}, 'n{}')", TypeParam::kNow, i)));
    ASSERT_OK(driver.RunUntil(static_cast<size_t>(i) + 2));
    driver.Crash();
  }
  this->RunSome(driver);
  EXPECT_EQ(driver.arrived().size(), 4u);
}

TYPED_TEST_P(PollingTest, KeysOfSeveralColumnsTellRowsApart) {
  ASSERT_OK(
      this->Exec(fmt::format("CREATE TABLE t (shop VARCHAR(20), nr INT, at {}, PRIMARY KEY "
                             "(shop, nr))",
                             TypeParam::kTime)));
  ASSERT_OK(
      this->Exec("INSERT INTO t VALUES ('a''b', 1, '2025-01-01 00:00:00'), ('a''b', 2, '2025-01-01 "
                 "00:00:00'), ('c', 1, '2025-01-01 00:00:00'), ('c', 10, '2025-01-01 00:00:00'), "
                 "('c', 2, '2025-01-01 00:00:00')"));
  PollingOptions options = this->ByTime();
  options.mode = PollingMode::kTimestamp;
  options.max_rows = 2;
  PollingDriver driver = this->Driver(options, Schema().String("shop").Int32("nr"));
  ASSERT_OK(driver.RunUntil(3));
  driver.Crash();
  ASSERT_OK(driver.RunUntil(5));
  this->RunSome(driver);
  EXPECT_THAT(driver.arrived(), ElementsAre(Row{"a'b", "1"}, Row{"a'b", "2"}, Row{"c", "1"},
                                            Row{"c", "2"}, Row{"c", "10"}));
}

TYPED_TEST_P(PollingTest, ARerunReadsTheCheckpointAndNotTheTable) {
  for (const PollingOptions& options : {this->ById(), this->ByTime()}) {
    ASSERT_OK(this->Exec("DROP TABLE IF EXISTS t"));
    ASSERT_OK(this->MakeTable());
    ASSERT_OK(
        this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:00:00', 'a'), ('2025-01-01 "
                   "00:00:00', 'b'), ('2025-01-01 00:00:01', 'c')"));
    PollingDriver driver = this->Driver(options);
    ASSERT_OK(driver.Start());
    bool planned = false;
    while (!planned) {
      const auto plan = driver.Plan(2);
      ASSERT_TRUE(plan.ok()) << plan.status();
      planned = *plan;
    }
    const auto before = driver.ReadPlanned();
    ASSERT_TRUE(before.ok()) << before.status();
    ASSERT_EQ(before->size(), 2u);
    // Again in the same process, then after its death, when the rows are no more.
    const auto again = driver.ReadPlanned();
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*before, *again);
    driver.Crash();
    ASSERT_OK(this->Exec("DELETE FROM t WHERE name IN ('a', 'b')"));
    ASSERT_OK(this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-01 00:00:02', 'd')"));
    ASSERT_OK(driver.RunUntil(4));
    EXPECT_THAT(driver.ArrivedIds(), ElementsAre(1, 2, 3, 4));
    this->RunSome(driver);
    EXPECT_EQ(driver.arrived().size(), 4u);
  }
}

template <typename Database>
void PollingTest<Database>::RideServerRestartsOut(PollingOptions options) {
  ASSERT_OK(Exec("DROP TABLE IF EXISTS t"));
  ASSERT_OK(MakeTable());
  ASSERT_OK(Exec("CREATE INDEX t_at ON t (at, id)"));
  const std::string insert = fmt::format(
      "INSERT INTO t (at, name) VALUES ({0}, 'x'), ({0}, 'y'), ({0}, 'z')", Database::kNow);
  Writers writers;
  writers.threads.emplace_back([&] {
    std::unique_ptr<typename Database::Connection> session;
    while (!writers.stop) {
      if (session == nullptr || session->lost()) {
        auto connected = Database::Connect(*server_, nullptr);
        if (connected.ok()) session = *std::move(connected);
      }
      if (session == nullptr || session->lost() || !session->Exec(insert).ok()) {
        absl::SleepFor(absl::Milliseconds(10));
      }
      absl::SleepFor(absl::Milliseconds(1));  // the reader, at 100 rows a poll, is to keep up
    }
  });
  writers.threads.emplace_back([&] {
    for (int i = 0; i < 4; ++i) {
      absl::SleepFor(absl::Milliseconds(400));
      const absl::Status ended = i % 2 == 0 ? server_->Stop() : server_->Kill();
      EXPECT_TRUE(ended.ok()) << ended;
      absl::SleepFor(absl::Milliseconds(100));
      const absl::Status started = server_->Restart();
      EXPECT_TRUE(started.ok()) << started;
    }
    absl::SleepFor(absl::Milliseconds(300));
    writers.stop = true;
  });
  options.max_rows = 100;
  PollingDriver driver = Driver(options);
  int unavailable = 0;
  while (!writers.stop) {
    const auto ran = driver.RunBatch();
    if (ran.ok()) continue;
    ASSERT_TRUE(absl::IsUnavailable(ran.status())) << ran.status();
    ++unavailable;
    absl::SleepFor(absl::Milliseconds(10));
  }
  writers.Join();
  EXPECT_GT(unavailable, 0);
  const std::vector<int64_t> committed = CommittedIds();
  ASSERT_OK(driver.RunUntil(committed.size()));
  RunSome(driver);
  EXPECT_EQ(driver.arrived().size(), committed.size());
  EXPECT_TRUE(Sorted(driver.ArrivedIds()) == committed) << "a row is missing, or came twice";
}

TYPED_TEST_P(PollingTest, RidesServerRestartsOut) { this->RideServerRestartsOut(this->ById()); }

TYPED_TEST_P(PollingTest, RidesServerRestartsOutByTimestamp) {
  PollingOptions options = this->ByTime();
  options.look_back = absl::Seconds(10);
  this->RideServerRestartsOut(options);
  options.mode = PollingMode::kTimestamp;
  this->RideServerRestartsOut(options);
}

TYPED_TEST_P(PollingTest, SaysWhatDoesNotFit) {
  EXPECT_THAT(this->OpenError(this->ById()), HasSubstr("has no table"));
  ASSERT_OK(this->Exec(fmt::format("CREATE TABLE t (nr {}, name VARCHAR(40), other INT, at {})",
                                   TypeParam::kId, TypeParam::kTime)));
  EXPECT_THAT(this->OpenError(this->ById()), HasSubstr("has no id column 'id'"));
  PollingOptions options = this->ById();
  options.id_column = "other";
  EXPECT_THAT(this->OpenError(options), HasSubstr("must be an integer, NOT NULL"));
  options.id_column = "name";
  EXPECT_THAT(this->OpenError(options), HasSubstr("must be an integer, NOT NULL"));
  options.id_column = "nr";
  EXPECT_THAT(this->OpenError(options, Schema().String("nam")),
              HasSubstr("has no column 'nam'; did you mean 'name'?"));
  EXPECT_THAT(this->OpenError(options, Schema().Int64("name")),
              AllOf(HasSubstr("column 'name'"), HasSubstr("does not fit int64")));
  options.mode = PollingMode::kTimestamp;
  EXPECT_THAT(this->OpenError(options), HasSubstr("has no timestamp column 'created_at'"));
  options.timestamp_column = "name";
  EXPECT_THAT(this->OpenError(options), HasSubstr("the timestamp column 'name'"));
  options.timestamp_column = "at";
  options.mode = PollingMode::kTimestampAndId;
  options.id_column = "other";
  EXPECT_THAT(this->OpenError(options), HasSubstr("may have the same 'other'"));
  ASSERT_OK(this->Exec("DROP TABLE t"));
  ASSERT_OK(this->Exec(fmt::format("CREATE TABLE t (name VARCHAR(40), at {})", TypeParam::kTime)));
  options.mode = PollingMode::kTimestamp;
  EXPECT_THAT(this->OpenError(options), HasSubstr("has no primary key"));
}

TYPED_TEST_P(PollingTest, SaysWhoMayNotRead) {
  ASSERT_OK(this->MakeTable());
  PollingDriver wrong(Schema().Int64("id"), [this](const PollingStart& start) {
    return TypeParam::Make(*this->server_, this->ById(), "0penSesame", start);
  });
  absl::Status status = wrong.Start();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(status.ToString(), AllOf(HasSubstr("refuses user"), Not(HasSubstr("0penSesame"))));

  PollingOptions options = this->ById();
  options.table = TypeParam::kForeignTable;
  ASSERT_OK(this->Exec(TypeParam::kMakeForeignTable));
  EXPECT_THAT(this->OpenError(options), HasSubstr("may not"));
  ASSERT_OK(this->Exec(TypeParam::kGrantAgain));
}

TYPED_TEST_P(PollingTest, AChangedTableIsNoticedAndNothingIsLost) {
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('a')"));
  PollingDriver driver = this->Driver(this->ById());
  ASSERT_OK(driver.RunUntil(1));
  // Another column is none of ours.
  ASSERT_OK(this->Exec("ALTER TABLE t ADD COLUMN extra INT"));
  ASSERT_OK(this->Exec("INSERT INTO t (name, extra) VALUES ('b', 1)"));
  ASSERT_OK(driver.RunUntil(2));
  // One that still fits goes on.
  ASSERT_OK(this->Exec(TypeParam::kWidenName));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('c')"));
  ASSERT_OK(driver.RunUntil(3));
  ASSERT_OK(this->Exec("ALTER TABLE t DROP COLUMN name"));
  ASSERT_OK(this->Exec("INSERT INTO t (extra) VALUES (2)"));
  absl::Status failed;
  for (int i = 0; i < 10 && failed.ok(); ++i) {
    const auto ran = driver.RunBatch();
    if (!absl::IsUnavailable(ran.status())) failed = ran.status();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(failed)) << failed;
  EXPECT_THAT(failed.ToString(), HasSubstr("has no column 'name'"));
  ASSERT_OK(this->Exec("ALTER TABLE t ADD COLUMN name INT"));
  driver.Crash();
  EXPECT_THAT(this->OpenError(this->ById()), HasSubstr("does not fit string"));
  ASSERT_OK(this->Exec("ALTER TABLE t DROP COLUMN name"));
  ASSERT_OK(this->Exec("ALTER TABLE t ADD COLUMN name VARCHAR(10)"));
  ASSERT_OK(driver.RunUntil(4));
  EXPECT_THAT(driver.ArrivedIds(), ElementsAre(1, 2, 3, 4));
}

TYPED_TEST_P(PollingTest, ARetypedColumnIsNoticed) {
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('1')"));
  PollingDriver driver = this->Driver(this->ById());
  ASSERT_OK(driver.RunUntil(1));
  ASSERT_OK(this->Exec(TypeParam::kNameToInt));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES (2)"));
  absl::Status failed;
  for (int i = 0; i < 10 && failed.ok(); ++i) {
    const auto ran = driver.RunBatch();
    if (!absl::IsUnavailable(ran.status())) failed = ran.status();
  }
  EXPECT_TRUE(absl::IsInvalidArgument(failed)) << failed;
  EXPECT_THAT(failed.ToString(), HasSubstr("does not fit string"));
  EXPECT_EQ(driver.arrived().size(), 1u);
}

TYPED_TEST_P(PollingTest, MemoryIsBoundedWhileNothingIsCommitted) {
  ASSERT_OK(this->MakeTable());
  std::string rows;
  for (int i = 0; i < 1000; ++i) rows += (i == 0 ? "('" : ", ('") + std::to_string(i) + "')";
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES " + rows));
  PollingOptions options = this->ById();
  options.max_rows = 100;
  PollingDriver driver = this->Driver(options);
  ASSERT_OK(driver.Start());
  int64_t end = 0;
  for (int i = 0; i < 20; ++i) {
    const auto available = driver.source()->Available();
    ASSERT_TRUE(available.ok()) << available.status();
    end = (*available)[0].end;
    EXPECT_TRUE(i < 2 || (*available)[0].more);
  }
  EXPECT_EQ(end, 300);
  // Bytes are counted too.
  options.max_rows = 1000;
  options.max_bytes = 500;
  PollingDriver by_bytes = this->Driver(options);
  ASSERT_OK(by_bytes.RunUntil(1000, absl::Seconds(60)));
  EXPECT_EQ(by_bytes.ArrivedIds(), this->CommittedIds());
}

TYPED_TEST_P(PollingTest, CancelEndsEveryCallSoon) {
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('a')"));
  auto holder = this->Session();
  ASSERT_OK(holder->Exec("BEGIN"));
  ASSERT_OK(holder->Exec("INSERT INTO t (name) VALUES ('held')"));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('b')"));
  PollingOptions options = this->ById();
  options.grace = absl::Seconds(30);
  constexpr absl::Duration kSoon = absl::Milliseconds(150);
  // The fastest of some: a busy machine makes single ones slow.
  absl::Duration fastest = absl::InfiniteDuration();
  for (int tries = 0; tries < 5 && fastest >= kSoon; ++tries) {
    PollingDriver driver = this->Driver(options);
    ASSERT_OK(driver.Start());
    absl::Time cancelled;
    std::thread cancel([&] {
      absl::SleepFor(absl::Milliseconds(300));
      cancelled = absl::Now();
      driver.source()->Cancel();
    });
    const auto available = driver.source()->Available();
    const absl::Time ended = absl::Now();
    cancel.join();
    fastest = std::min(fastest, ended - cancelled);
    EXPECT_TRUE(absl::IsCancelled(available.status())) << available.status();
    EXPECT_TRUE(absl::IsCancelled(driver.source()->Available().status()));
    EXPECT_TRUE(absl::IsCancelled(driver.source()->Open()));
  }
  EXPECT_LT(fastest, kSoon);
}

TYPED_TEST_P(PollingTest, MirrorsTheOffsetForPeople) {
  ASSERT_OK(this->Exec("DROP TABLE IF EXISTS streaming_offsets"));
  ASSERT_OK(this->MakeTable());
  testing::TempDir folder;
  PollingOptions options = this->ById();
  options.mirror.table = "streaming_offsets";
  options.mirror.offset_column = "last_order_id";
  options.mirror.source_name = "orders";
  options.mirror.create_table = true;
  options.mirror.file = folder.Path("state.json");
  PollingDriver driver = this->Driver(options);
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('a'), ('b')"));
  ASSERT_OK(driver.RunUntil(2));
  const auto rows = this->server_->Query("SELECT source, last_order_id FROM streaming_offsets");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, ElementsAre(ElementsAre("orders", "2")));
  const auto text = [&] {
    std::ifstream file(folder.Path("state.json"));
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(text(), "{\"source\":\"orders\",\"rows\":2,\"last_id\":2}\n");
  // A mirror that cannot be written stops nothing, and is made good.
  ASSERT_OK(this->Exec("DROP TABLE streaming_offsets"));
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('c')"));
  const auto ran = [&]() -> absl::Status {
    while (true) {
      const auto batch = driver.RunBatch();
      if (!batch.ok()) return batch.status();
      if (*batch) return absl::OkStatus();
    }
  }();
  EXPECT_FALSE(ran.ok());
  EXPECT_EQ(text(), "{\"source\":\"orders\",\"rows\":3,\"last_id\":3}\n");
  driver.Crash();
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('d')"));
  ASSERT_OK(driver.RunUntil(4));
  EXPECT_EQ(driver.arrived().size(), 4u);

  PollingOptions by_time = this->ByTime();
  by_time.mirror.table = "streaming_times";
  by_time.mirror.create_table = true;
  ASSERT_OK(this->Exec("DROP TABLE IF EXISTS streaming_times"));
  ASSERT_OK(this->Exec("DELETE FROM t"));
  ASSERT_OK(this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-02 10:15:22.5', 'x')"));
  PollingDriver times = this->Driver(by_time);
  ASSERT_OK(times.RunUntil(1));
  const auto shown = this->server_->Query("SELECT source, last_offset FROM streaming_times");
  ASSERT_TRUE(shown.ok()) << shown.status();
  ASSERT_EQ(shown->size(), 1u);
  EXPECT_EQ((*shown)[0][0], "t");
  EXPECT_THAT((*shown)[0][1].value_or(""), HasSubstr("2025-01-02 10:15:22.5"));
}

TYPED_TEST_P(PollingTest, AMirrorTableThatDoesNotFitIsRefusedSayingWhatWould) {
  ASSERT_OK(this->Exec("DROP TABLE IF EXISTS streaming_offsets"));
  ASSERT_OK(this->MakeTable());
  PollingOptions options = this->ById();
  options.mirror.table = "streaming_offsets";
  const std::string missing = this->OpenError(options);
  EXPECT_THAT(missing, AllOf(HasSubstr("the table streaming_offsets"), HasSubstr("is not there")));
  // The statement that it names is right.
  const size_t statement = missing.find("CREATE TABLE");
  ASSERT_NE(statement, std::string::npos) << missing;
  ASSERT_OK(this->Session()->Exec(missing.substr(statement)));
  ASSERT_OK(this->Driver(options).Start());
  options.mirror.offset_column = "last_order_id";
  EXPECT_THAT(this->OpenError(options), HasSubstr("has no columns 'source' and 'last_order_id'"));
  ASSERT_OK(this->Exec("DROP TABLE streaming_offsets"));
}

// A query that has committed nothing begins where the offset table says that another one was.
TYPED_TEST_P(PollingTest, ANewQueryGoesOnFromTheMirrorTable) {
  ASSERT_OK(this->Exec("DROP TABLE IF EXISTS streaming_offsets"));
  ASSERT_OK(this->MakeTable());
  PollingOptions options = this->ById();
  options.mirror.table = "streaming_offsets";
  options.mirror.create_table = true;
  const std::string first_three =
      "INSERT INTO t (at, name) VALUES ('2025-01-01 00:00:00', 'a'), ('2025-01-02 00:00:00', 'b'), "
      "('2025-01-02 00:00:00', 'c')";
  ASSERT_OK(this->Exec(first_three));
  PollingDriver first = this->Driver(options);
  EXPECT_EQ(first.Start(), absl::OkStatus());
  EXPECT_EQ(first.source()->start_note(), "");
  ASSERT_OK(first.RunUntil(3));
  PollingDriver second = this->Driver(options);
  ASSERT_OK(second.Start());
  EXPECT_EQ(second.source()->start_note(),
            "Table t is read from after id 3, as streaming_offsets says");
  second.Crash();  // before anything was committed
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('d')"));
  ASSERT_OK(second.RunUntil(1));
  this->RunSome(second);
  EXPECT_THAT(second.ArrivedIds(), ElementsAre(4));
  // One that has committed goes on from its checkpoint, whatever the table says.
  second.Crash();
  ASSERT_OK(this->Exec("UPDATE streaming_offsets SET last_offset = 1"));
  this->RunSome(second);
  EXPECT_THAT(second.ArrivedIds(), ElementsAre(4));
  // Ids that were not drawn yet are those of another table.
  ASSERT_OK(this->Exec("UPDATE streaming_offsets SET last_offset = 1000"));
  EXPECT_THAT(this->OpenError(options),
              AllOf(HasSubstr("read up to id 1000"), HasSubstr("its ids go only to 4")));
  ASSERT_OK(this->Exec("DROP TABLE streaming_offsets"));

  // By time: rows of exactly that time again, since some of them may not have been read.
  PollingOptions by_time = this->ByTime();
  by_time.mirror = options.mirror;
  ASSERT_OK(this->Exec("DELETE FROM t"));
  ASSERT_OK(this->Exec(first_three));
  PollingDriver third = this->Driver(by_time, Schema().String("name"));
  ASSERT_OK(third.RunUntil(3));
  ASSERT_OK(
      this->Exec("INSERT INTO t (at, name) VALUES ('2025-01-02 00:00:00', 'd'), ('2025-01-03 "
                 "00:00:00', 'e')"));
  PollingDriver fourth = this->Driver(by_time, Schema().String("name"));
  ASSERT_OK(fourth.RunUntil(4));
  fourth.Crash();
  this->RunSome(fourth);
  EXPECT_THAT(fourth.arrived(), ElementsAre(Row{"b"}, Row{"c"}, Row{"d"}, Row{"e"}));
  ASSERT_OK(this->Exec("UPDATE streaming_offsets SET last_offset = '2900-01-01 00:00:00'"));
  EXPECT_THAT(this->OpenError(by_time), HasSubstr("which is in the future"));
  ASSERT_OK(this->Exec("DROP TABLE streaming_offsets"));
}

TYPED_TEST_P(PollingTest, ATableThatWasMadeAnewIsToldFromOneWhoseRowsAreDeleted) {
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('a'), ('b'), ('c')"));
  PollingDriver driver = this->Driver(this->ById());
  ASSERT_OK(driver.RunUntil(3));
  ASSERT_OK(this->Exec("DELETE FROM t WHERE id > 1"));
  const auto losses_at_the_start = [&] {
    driver.Crash();
    EXPECT_EQ(driver.Start(), absl::OkStatus());
    const auto losses = driver.source()->CheckIdentity({});
    EXPECT_TRUE(losses.ok()) << losses.status();
    return *losses;
  };
  EXPECT_THAT(losses_at_the_start(), IsEmpty());
  ASSERT_OK(this->Exec("DROP TABLE t"));
  ASSERT_OK(this->MakeTable());
  ASSERT_OK(this->Exec("INSERT INTO t (name) VALUES ('new')"));
  const std::vector<DataLoss> losses = losses_at_the_start();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].reason,
            "the table was made anew: it was read up to id 3, and its ids now go only to 1");
  EXPECT_EQ(losses[0].wanted, 3);
  EXPECT_EQ(losses[0].available, 3);
  // Going on without what was lost.
  ASSERT_OK(driver.RunUntil(4));
  EXPECT_THAT(driver.ArrivedIds(), ElementsAre(1, 2, 3, 1));
  EXPECT_THAT(losses_at_the_start(), IsEmpty());
  this->RunSome(driver);
  EXPECT_EQ(driver.arrived().size(), 4u);
}

// A column of a local clock, by its field: behind that of UTC, and set back in autumn.
TYPED_TEST_P(PollingTest, TimesOfALocalClockLoseNothing) {
  ASSERT_OK(this->Exec(fmt::format("CREATE TABLE t (id {}, at {}, name VARCHAR(40))",
                                   TypeParam::kId, TypeParam::kTime)));
  const Schema schema = Schema().String("name").Timestamp("at").Zone("America/New_York");
  absl::TimeZone york;
  ASSERT_TRUE(absl::LoadTimeZone("America/New_York", &york));
  const auto insert = [&](const std::string& at, const char* name) {
    return this->Exec(fmt::format("INSERT INTO t (at, name) VALUES ('{}', '{}')", at, name));
  };
  const auto clock = [&](absl::Duration ahead) {
    return absl::FormatTime("%Y-%m-%d %H:%M:%E6S", absl::Now() + ahead, york);
  };
  PollingDriver driver = this->Driver(this->ByTime(), schema);
  // At 2:00 it was 1:00 again.
  ASSERT_OK(insert("2024-11-03 01:59:00", "before"));
  ASSERT_OK(driver.RunUntil(1));
  ASSERT_OK(insert("2024-11-03 01:05:00", "after"));
  ASSERT_OK(driver.RunUntil(2));
  // Within the hours by which UTC is ahead.
  ASSERT_OK(insert(clock(absl::Hours(3)), "future"));
  ASSERT_OK(driver.RunUntil(3));
  this->RunSome(driver);
  driver.Crash();
  ASSERT_OK(insert(clock(absl::ZeroDuration()), "now"));
  ASSERT_OK(driver.RunUntil(4, absl::Seconds(20)));
  this->RunSome(driver);
  ASSERT_EQ(driver.arrived().size(), 4u);
  EXPECT_EQ(driver.arrived()[1][0], "after");
  EXPECT_EQ(driver.arrived()[3][0], "now");
}

REGISTER_TYPED_TEST_SUITE_P(
    PollingTest, GivesRowsOnceInTheOrderOfTheId, AnEmptyTableGivesNothing,
    ARowThatCommitsLateArrivesOnce, IdsThatNeverComeHoldNothingUp, NothingIsLostOrRepeatedUnderLoad,
    NothingIsLostOrRepeatedByTimestampUnderLoad, RowsOfOneTimestampAtAnEdgeArriveOnce,
    ATimestampBehindTheCursorArrivesWithinTheLookBack, ATimestampInTheFutureMovesNothing,
    KeysOfSeveralColumnsTellRowsApart, ARerunReadsTheCheckpointAndNotTheTable,
    RidesServerRestartsOut, SaysWhatDoesNotFit, SaysWhoMayNotRead,
    AChangedTableIsNoticedAndNothingIsLost, ARetypedColumnIsNoticed,
    MemoryIsBoundedWhileNothingIsCommitted, CancelEndsEveryCallSoon, MirrorsTheOffsetForPeople,
    AMirrorTableThatDoesNotFitIsRefusedSayingWhatWould, RidesServerRestartsOutByTimestamp,
    ANewQueryGoesOnFromTheMirrorTable, ATableThatWasMadeAnewIsToldFromOneWhoseRowsAreDeleted,
    TimesOfALocalClockLoseNothing);

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_SOURCES_POLLING_TESTS_H_
