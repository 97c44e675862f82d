// What goes wrong between the MySQL sink and its server, and what must be in the table afterwards.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "operators/sinks/mysql_fixture.h"
#include "tests/servers/cutting_proxy.h"
#include "tests/servers/free_port.h"

namespace tidemark {
namespace {

using testing::CuttingProxy;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeBatch;
using testing::MariaDbRow;
using testing::MariaDbServer;
using testing::Row;
using Clock = std::chrono::steady_clock;

constexpr MySqlTimeouts kShort = {.connect = absl::Seconds(2), .answer = absl::Seconds(3)};
constexpr int kMaxTries = 2'000;

class MySqlSinkFaultTest : public testing::MySqlFixture {
 protected:
  static MySqlSinkOptions Through(const CuttingProxy& proxy) {
    MySqlSinkOptions options = CreateOptions();
    options.server.port = proxy.port();
    options.timeouts = kShort;
    return options;
  }
  static std::unique_ptr<MySqlConnection> Connect() {
    auto connection = MySqlConnection::Connect(Options().server, {}, nullptr);
    EXPECT_TRUE(connection.ok()) << connection.status();
    return std::move(*connection);
  }
  static std::vector<Row> RowsOf(int batch, std::map<int, int>* model) {
    std::vector<Row> rows;
    for (int i = 0; i < 300; ++i) {
      const int key = (batch * 37 + i * 11) % 500;
      rows.push_back({key, batch});
      (*model)[key] = batch;
    }
    return rows;
  }
  // Until it is done, as the engine does; returns how often it failed. Only errors worth another
  // try are allowed.
  static int CommitUntilDone(MySqlSink& sink, int batch, const std::vector<RowBatch>& rows) {
    for (int tries = 0; tries < kMaxTries; ++tries) {
      const auto marker = Commit(sink, Batch(batch), rows);
      if (marker.ok()) {
        EXPECT_EQ(marker->batch_id, batch);
        return tries;
      }
      EXPECT_TRUE(absl::IsUnavailable(marker.status())) << marker.status();
      if (!absl::IsUnavailable(marker.status())) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ADD_FAILURE() << "batch " << batch << " was never written";
    return kMaxTries;
  }
  static void ExpectTable(const std::map<int, int>& model, MariaDbServer& server) {
    std::map<int, int> held;
    for (const MariaDbRow& row : Query("SELECT k, v FROM tidemark.t", server))
      held[std::stoi(*row[0])] = std::stoi(*row[1]);
    EXPECT_EQ(held, model);
  }

  const Schema schema_ = Schema().Int64("k").Int64("v");
  const SinkContext context_ = Context(schema_, {"k"});
};

TEST_F(MySqlSinkFaultTest, AnAbsentServerIsUnavailableAtOpenAndLaterIsThere) {
  MySqlSinkOptions options = CreateOptions();
  options.server.port = *testing::FreePort();
  MySqlSink sink(options);
  const absl::Status refused = sink.Open(context_);
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr(options.server.HostPort()));
}

TEST_F(MySqlSinkFaultTest, KilledConnectionsAndQueriesLoseNothingAndRepeatNothing) {
  for (const bool arrays : {true, false}) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(seed);
    MySqlSinkOptions options = CreateOptions();
    options.use_arrays = arrays;
    MySqlSink sink(options);
    ASSERT_TRUE(OpenNew(sink, context_).ok());
    std::atomic<bool> done = false;
    std::atomic<int> kills = 0;
    std::atomic<int> kills_of_batch = 0;
    std::thread killer([&] {
      std::mt19937 random(seed);
      while (!done) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 12'000));
        // On a busy machine no try would ever live long enough.
        if (kills_of_batch >= 5) continue;
        const auto victims =
            server_->Query("SELECT id FROM information_schema.processlist WHERE user = 'tidemark'");
        if (!victims.ok()) continue;
        for (const MariaDbRow& victim : *victims) {
          const char* what = random() % 3 == 0 ? "KILL QUERY " : "KILL ";
          if (server_->Exec(what + *victim[0]).ok()) {
            ++kills;
            ++kills_of_batch;
          }
        }
      }
    });
    std::map<int, int> model;
    int failures = 0;
    for (int batch = 0; batch < 200; ++batch) {
      kills_of_batch = 0;
      failures += CommitUntilDone(sink, batch, {MakeBatch(schema_, RowsOf(batch, &model))});
    }
    done = true;
    killer.join();
    ExpectTable(model, *server_);
    EXPECT_EQ((*sink.ReadMarker())->batch_id, 199);
    EXPECT_GT(failures, 0);
    fmt::print("{} kills, {} failed tries, 200 batches\n", kills.load(), failures);
    Exec("DROP TABLE t; DROP TABLE tidemark_batches");
  }
}

TEST_F(MySqlSinkFaultTest, AServerThatIsKilledAndStartedAgain) {
  auto started = MariaDbServer::Start({.flush_log_at_trx_commit = 1});
  ASSERT_TRUE(started.ok()) << started.status();
  MariaDbServer& server = **started;
  MySqlSinkOptions options = Options("t", server);
  options.create_table = true;
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  std::map<int, int> model;
  std::atomic<bool> done = false;
  std::thread killer([&] {
    while (!done) {
      std::this_thread::sleep_for(std::chrono::milliseconds(700));
      EXPECT_TRUE(server.Restart().ok());
    }
  });
  const auto end = Clock::now() + std::chrono::seconds(8);
  int batch = 0;
  int failures = 0;
  for (; Clock::now() < end; ++batch) {
    failures += CommitUntilDone(sink, batch, {MakeBatch(schema_, RowsOf(batch, &model))});
  }
  done = true;
  killer.join();
  ExpectTable(model, server);
  EXPECT_EQ((*sink.ReadMarker())->batch_id, batch - 1);
  EXPECT_GT(failures, 0);
  fmt::print("{} batches, {} failed tries\n", batch, failures);
}

TEST_F(MySqlSinkFaultTest, ALostAnswerToCommitIsFoundByTheMarker) {
  CuttingProxy proxy(server_->port());
  MySqlSink sink(Through(proxy));
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  std::map<int, int> model;
  int batch = 0;
  // The text whose request is cut, and whether the server gets it.
  for (const char* text :
       {"COMMIT", "INSERT INTO tidemark_batches", "START TRANSACTION", "FOR UPDATE"}) {
    for (const bool pass_on : {true, false}) {
      SCOPED_TRACE(fmt::format("{} {}", text, pass_on));
      const std::vector<RowBatch> rows = {MakeBatch(schema_, RowsOf(batch, &model))};
      const int cuts = proxy.cuts();
      proxy.CutAfter(text, pass_on);
      auto marker = Commit(sink, Batch(batch), rows);
      EXPECT_EQ(proxy.cuts(), cuts + 1);
      // A connection that was lost before anything was under way is made again at once.
      if (std::string_view(text) != "START TRANSACTION") {
        EXPECT_TRUE(absl::IsUnavailable(marker.status())) << marker.status();
        const bool written = std::string_view(text) == "COMMIT" && pass_on;
        EXPECT_EQ(Query("SELECT batch_id FROM tidemark_batches")[0][0],
                  std::to_string(written ? batch : batch - 1));
        marker = Commit(sink, Batch(batch), rows);
      }
      ASSERT_TRUE(marker.ok()) << marker.status();
      EXPECT_EQ(marker->row_count, 300);
      ExpectTable(model, *server_);
      ++batch;
    }
  }
}

TEST_F(MySqlSinkFaultTest, CountsAreOfBatchesNotOfTries) {
  CuttingProxy proxy(server_->port());
  MySqlSinkOptions options = Through(proxy);
  options.on_null_key = MySqlSinkOptions::OnNullKey::kSkip;
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  const std::vector<RowBatch> rows = {
      MakeBatch(schema_, {{testing::Null(), 1}, {1, 1}, {1, 2}, {1, 3}})};
  for (const bool pass_on : {true, false}) {
    const int batch = pass_on ? 0 : 1;
    proxy.CutAfter("COMMIT", pass_on);
    EXPECT_FALSE(Commit(sink, Batch(batch), rows).ok());
    EXPECT_EQ(sink.TakeSkippedRows(), 0);
    EXPECT_TRUE(Commit(sink, Batch(batch), rows).ok());
    EXPECT_TRUE(Commit(sink, Batch(batch), rows).ok());
    EXPECT_EQ(sink.TakeSkippedRows(), 1);
    EXPECT_EQ(sink.superseded_rows(), 2 * (batch + 1));
  }
}

TEST_F(MySqlSinkFaultTest, AConnectionThatWasClosedMeanwhileIsMadeAgainAtOnce) {
  MySqlSink sink(CreateOptions());
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  for (int batch = 0; batch < 3; ++batch) {
    for (const MariaDbRow& row :
         Query("SELECT id FROM information_schema.processlist WHERE user = 'tidemark'")) {
      // One that was killed before may have been on its way out.
      const absl::Status killed = server_->Exec("KILL " + *row[0]);
      ASSERT_TRUE(killed.ok() || absl::StrContains(killed.message(), "error 1094")) << killed;
    }
    const auto marker = Commit(sink, Batch(batch), {MakeBatch(schema_, {{1, batch}})});
    EXPECT_TRUE(marker.ok()) << marker.status();
  }
}

TEST_F(MySqlSinkFaultTest, ASilentServerIsUnavailableAndNothingIsHeldTwice) {
  CuttingProxy proxy(server_->port());
  MySqlSink sink(Through(proxy));
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  proxy.SetSilent(true);
  const auto start = Clock::now();
  const auto late = Commit(sink, Batch(0), {MakeBatch(schema_, {{1, 1}})});
  EXPECT_TRUE(absl::IsUnavailable(late.status())) << late.status();
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(8));
  proxy.SetSilent(false);
  EXPECT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema_, {{1, 1}})}).ok());
}

// The network drops a connection and tells the server nothing: its transaction holds the marker.
TEST_F(MySqlSinkFaultTest, ATransactionThatTheServerDoesNotMissIsEndedByTheNextConnection) {
  CuttingProxy proxy(server_->port());
  MySqlSink sink(Through(proxy));
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  std::map<int, int> model;
  int batch = 0;
  for (const char* text : {"FOR UPDATE", "INSERT INTO tidemark_batches", "COMMIT"}) {
    SCOPED_TRACE(text);
    const std::vector<RowBatch> rows = {MakeBatch(schema_, RowsOf(batch, &model))};
    proxy.HoldAfter(text);
    const auto late = Commit(sink, Batch(batch), rows);
    EXPECT_TRUE(absl::IsUnavailable(late.status())) << late.status();
    EXPECT_THAT(std::string(late.status().message()), HasSubstr("has not answered within 3s"));
    const auto start = Clock::now();
    EXPECT_LE(CommitUntilDone(sink, batch, rows), 1) << "while it rolls back";
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(2));
    ExpectTable(model, *server_);
    ++batch;
  }
  EXPECT_EQ(proxy.cuts(), 3);
}

TEST_F(MySqlSinkFaultTest, ATransactionOfAProcessThatVanishedEndsByItself) {
  CuttingProxy proxy(server_->port());
  {
    MySqlSink sink(Through(proxy));
    ASSERT_TRUE(OpenNew(sink, context_).ok());
    proxy.HoldAfter("INSERT INTO tidemark_batches");
    EXPECT_TRUE(
        absl::IsUnavailable(Commit(sink, Batch(0), {MakeBatch(schema_, {{1, 1}})}).status()));
  }
  MySqlSinkOptions options = CreateOptions();
  options.timeouts = kShort;
  MySqlSink sink(options);
  ASSERT_TRUE(sink.Open(context_).ok());
  const auto start = Clock::now();
  CommitUntilDone(sink, 0, {MakeBatch(schema_, {{1, 2}})});
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(8));
  ExpectTable({{1, 2}}, *server_);
}

class SlowStream final : public testing::ListStream {
 public:
  using ListStream::ListStream;

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    std::this_thread::sleep_for(std::chrono::milliseconds(1'300));
    return ListStream::DoNext();
  }
};

TEST_F(MySqlSinkFaultTest, RowsThatTakeLongToComeDoNotEndTheTransaction) {
  MySqlSinkOptions options = CreateOptions();
  options.timeouts.answer = absl::Seconds(3);  // the server's patience is five
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  std::vector<RowBatch> batches;
  std::map<int, int> model;
  for (int key = 0; key < 5; ++key) {
    batches.push_back(MakeBatch(schema_, {{key, key}}));
    model[key] = key;
  }
  SlowStream stream(std::move(batches));
  const auto marker = sink.Commit(Batch(0), stream);
  EXPECT_TRUE(marker.ok()) << marker.status();
  ExpectTable(model, *server_);
}

// Ids of connections begin again when a server does.
TEST_F(MySqlSinkFaultTest, NobodyElsesConnectionIsEnded) {
  const auto ours = Connect();
  const auto other = Connect();
  MySqlConnection::Identity almost = other->identity();
  EXPECT_THAT(almost.host, HasSubstr(server_->host() + ":"));
  almost.host += "9";
  EXPECT_TRUE(ours->End(almost).ok());
  EXPECT_TRUE(other->Exec("DO 0").ok());
  EXPECT_TRUE(ours->End(other->identity()).ok());
  EXPECT_TRUE(absl::IsUnavailable(other->Exec("DO 0")));
  EXPECT_TRUE(ours->End(other->identity()).ok()) << "of one that has gone";
  EXPECT_TRUE(ours->Exec("DO 0").ok());
}

TEST_F(MySqlSinkFaultTest, CancelEndsTheWaitForGood) {
  constexpr Clock::duration kSoon = std::chrono::milliseconds(200);
  // The fastest of some: a busy machine makes single ones slow.
  Clock::duration fastest = Clock::duration::max();
  for (int tries = 0; tries < 5 && fastest >= kSoon; ++tries) {
    MySqlSink sink(CreateOptions());
    ASSERT_TRUE((tries == 0 ? OpenNew(sink, context_) : sink.Open(context_)).ok());
    const auto other = Connect();
    ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
    ASSERT_TRUE(other->Exec("UPDATE tidemark_batches SET epoch = epoch").ok());
    ASSERT_TRUE(other->Query("SELECT * FROM tidemark_batches FOR UPDATE").ok());
    Clock::time_point at;
    std::thread canceller([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      at = Clock::now();
      sink.Cancel();
    });
    const auto status = Commit(sink, Batch(0), {MakeBatch(schema_, {{1, 1}})}).status();
    const auto end = Clock::now();
    canceller.join();
    fastest = std::min(fastest, end - at);
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
    EXPECT_TRUE(absl::IsCancelled(Commit(sink, Batch(0), {}).status()));
    EXPECT_TRUE(absl::IsCancelled(sink.Open(context_)));
    ASSERT_TRUE(other->Exec("ROLLBACK").ok());
  }
  EXPECT_LT(fastest, kSoon);
}

TEST_F(MySqlSinkFaultTest, ALockThatIsNotGivenUpIsUnavailableAndRolledBack) {
  MySqlSinkOptions options = CreateOptions();
  options.timeouts = kShort;  // waits one second for locks
  MySqlSink sink(options);
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  ASSERT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema_, {{1, 1}, {2, 2}})}).ok());
  const auto other = Connect();
  ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
  ASSERT_TRUE(other->Exec("UPDATE t SET v = 20 WHERE k = 2").ok());
  const auto late = Commit(sink, Batch(1), {MakeBatch(schema_, {{1, 11}, {2, 12}})});
  EXPECT_TRUE(absl::IsUnavailable(late.status())) << late.status();
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("1205"));
  // Row 1 was written before the wait: nothing of it is left, and nothing holds its lock.
  ASSERT_TRUE(other->Exec("UPDATE t SET v = v + 1 WHERE k = 1").ok());
  ASSERT_TRUE(other->Exec("ROLLBACK").ok());
  EXPECT_EQ(Query("SELECT v FROM t WHERE k = 1")[0][0], "1");
  EXPECT_TRUE(Commit(sink, Batch(1), {MakeBatch(schema_, {{1, 11}, {2, 12}})}).ok());
  EXPECT_THAT(Query("SELECT v FROM t ORDER BY k"), ElementsAre(MariaDbRow{"11"}, MariaDbRow{"12"}));
}

TEST_F(MySqlSinkFaultTest, ADeadlockIsUnavailableAndTheNextTryWrites) {
  MySqlSink sink(CreateOptions());
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  std::vector<Row> rows;
  for (int k = 0; k < 1'000; ++k) rows.push_back({k, 0});
  ASSERT_TRUE(Commit(sink, Batch(0), {MakeBatch(schema_, rows)}).ok());
  const auto other = Connect();
  ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
  // The one that changed more wins.
  ASSERT_TRUE(other->Exec("UPDATE t SET v = 1 WHERE k >= 100").ok());
  absl::StatusOr<SinkMarker> first = absl::UnknownError("");
  std::thread committer([&] {
    first = Commit(sink, Batch(1), {MakeBatch(schema_, {{1, 2}, {2, 2}, {500, 2}})});
  });
  bool waits = false;
  for (int tries = 0; tries < 40 && !waits; ++tries) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(200));  // the server renews this view only when it is left alone
    waits =
        Query("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")
            [0][0] != "0";
  }
  EXPECT_TRUE(waits);
  ASSERT_TRUE(other->Exec("UPDATE t SET v = 3 WHERE k = 1").ok());
  committer.join();
  EXPECT_TRUE(absl::IsUnavailable(first.status())) << first.status();
  EXPECT_THAT(std::string(first.status().message()), HasSubstr("1213"));
  ASSERT_TRUE(other->Exec("COMMIT").ok());
  EXPECT_EQ(Query("SELECT SUM(v) FROM t")[0][0], "903");
  ASSERT_TRUE(Commit(sink, Batch(1), {MakeBatch(schema_, {{1, 2}, {2, 2}, {500, 2}})}).ok());
  EXPECT_THAT(Query("SELECT v FROM t WHERE k IN (1, 2, 500)"),
              ElementsAre(MariaDbRow{"2"}, MariaDbRow{"2"}, MariaDbRow{"2"}));
}

// The COMMIT of a process that has died may still be running when the next one reads the marker.
TEST_F(MySqlSinkFaultTest, TheMarkerIsReadAfterATransactionThatHoldsIt) {
  MySqlSink sink(CreateOptions());
  ASSERT_TRUE(OpenNew(sink, context_).ok());
  const auto other = Connect();
  ASSERT_TRUE(other->Exec("START TRANSACTION").ok());
  ASSERT_TRUE(other->Exec("UPDATE tidemark_batches SET batch_id = 5").ok());
  std::thread committer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_TRUE(other->Exec("COMMIT").ok());
  });
  const auto marker = sink.ReadMarker();
  committer.join();
  ASSERT_TRUE(marker.ok()) << marker.status();
  EXPECT_EQ((*marker)->batch_id, 5);
}

TEST_F(MySqlSinkFaultTest, TwoSinksOfOneQueryNeverBothWriteABatch) {
  std::vector<std::unique_ptr<MySqlSink>> sinks;
  for (int i = 0; i < 2; ++i) sinks.push_back(std::make_unique<MySqlSink>(CreateOptions()));
  ASSERT_TRUE(OpenNew(*sinks[0], context_).ok());
  ASSERT_TRUE(sinks[1]->Open(context_).ok());
  for (int batch = 0; batch < 50; ++batch) {
    std::atomic<int> written = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&, i] {
        // Two processes of one query plan differently.
        const auto marker =
            Commit(*sinks[static_cast<size_t>(i)], Batch(batch, static_cast<uint64_t>(i)),
                   {MakeBatch(schema_, {{1, i}})});
        if (marker.ok()) {
          ++written;
        } else {
          EXPECT_TRUE(absl::IsFailedPrecondition(marker.status())) << marker.status();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(written, 1);
  }
}

// 100,000 rows in one batch, against the plainest client that uses arrays of the same rows.
TEST_F(MySqlSinkFaultTest, ALargeBatchCostsLittleMoreThanTheClient) {
  constexpr int kRows = 100'000;
  const Schema schema = Schema().Timestamp("window_start").Int64("store_id").Int64("n");
  std::vector<RowBatch> batches;
  for (int at = 0; at < kRows; at += 10'000) {
    std::vector<Row> rows;
    for (int i = at; i < at + 10'000; ++i)
      rows.push_back({int64_t{i / 1000} * 60'000'000, i % 1000, i});
    batches.push_back(MakeBatch(schema, rows));
  }
  const auto timed = [&](const std::function<absl::Status()>& work) {
    const auto start = Clock::now();
    const absl::Status status = work();
    EXPECT_TRUE(status.ok()) << status;
    return kRows / std::chrono::duration<double>(Clock::now() - start).count();
  };
  MySqlSink arrays(CreateOptions("a"));
  MySqlSinkOptions text_options = CreateOptions("b");
  text_options.use_arrays = false;
  MySqlSink text(text_options);
  SinkContext context = Context(schema, {"window_start", "store_id"});
  ASSERT_TRUE(OpenNew(arrays, context).ok());
  context.sink = "text";
  ASSERT_TRUE(OpenNew(text, context).ok());
  Exec("CREATE TABLE c LIKE a");
  const auto plain = Connect();
  std::vector<MySqlParameter> parameters(3);
  parameters[0].kind = MySqlParameter::Kind::kText;
  std::vector<std::string> times;
  for (int i = 0; i < 100; ++i)
    times.push_back(fmt::format("1970-01-01 {:02}:{:02}:00.000000", i / 60, i % 60));
  for (int i = 0; i < kRows; ++i) {
    parameters[0].texts.push_back(times[static_cast<size_t>(i / 1000)].data());
    parameters[0].lengths.push_back(26);
    parameters[1].ints.push_back(i % 1000);
    parameters[2].ints.push_back(i);
    for (MySqlParameter& parameter : parameters) parameter.nulls.push_back(0);
  }
  for (int round = 0; round < 2; ++round) {
    const double sink_rate = timed([&] { return Commit(arrays, Batch(round), batches).status(); });
    const double text_rate = timed([&] { return Commit(text, Batch(round), batches).status(); });
    const double plain_rate = timed([&] {
      absl::Status status = plain->Exec("START TRANSACTION");
      if (status.ok())
        status = plain->ExecuteArray("REPLACE INTO c VALUES (?,?,?)", parameters, kRows);
      return status.ok() ? plain->Exec("COMMIT") : status;
    });
    fmt::print(
        "{} rows/s: sink with arrays {:.0f}, with text {:.0f}, plain client {:.0f}; sink/plain "
        "{:.2f}\n",
        round == 0 ? "new" : "existing", sink_rate, text_rate, plain_rate, sink_rate / plain_rate);
// Neither the thread sanitizer nor a build without optimisation slows the client's library down.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_THREAD__)
    EXPECT_GT(sink_rate, plain_rate / 4);
#endif
  }
  EXPECT_EQ(Query("SELECT COUNT(*), SUM(n) FROM a"), Query("SELECT COUNT(*), SUM(n) FROM c"));
  EXPECT_EQ(Query("CHECKSUM TABLE a")[0][1], Query("CHECKSUM TABLE c")[0][1]);
  EXPECT_EQ(Query("CHECKSUM TABLE b")[0][1], Query("CHECKSUM TABLE c")[0][1]);
}

}  // namespace
}  // namespace tidemark
