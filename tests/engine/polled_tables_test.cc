// Queries over polled tables of real servers, stopped and started again while rows come in.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <mutex>
#include <string_view>
#include <thread>

#include "tests/servers/mariadb_server.h"
#include "tests/servers/postgres_server.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/streaming_query.h"

namespace tidemark {
namespace {

using testing::MariaDbServer;
using testing::PostgresServer;

PollingOptions Polling(PollingMode mode) {
  PollingOptions options;
  options.mode = mode;
  options.timestamp_column = "at";
  options.poll_interval = absl::Milliseconds(20);
  options.max_rows = 50;
  return options;
}

// The ids in the table of results, in order.
std::vector<int64_t> Ids(const MemoryTable& table) {
  std::vector<int64_t> ids;
  for (const MemoryBatch& batch : table.Batches()) {
    for (const RowBatch& rows : batch.rows) {
      rows.selection().ForEach(
          [&](uint32_t row) { ids.push_back(rows.column(0).values<int64_t>()[row]); });
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

void EveryRowArrivesOnce(const Input& input, const std::function<absl::Status()>& insert_ten) {
  testing::TempDir folder;
  const auto results = std::make_shared<MemoryTable>();
  std::atomic<bool> stop = false;
  std::atomic<int64_t> inserted = 0;
  std::thread writer([&] {
    while (!stop) {
      const absl::Status status = insert_ten();
      EXPECT_TRUE(status.ok()) << status;
      if (!status.ok()) return;
      inserted += 10;
    }
  });
  const auto query = [](Trigger trigger) {
    return Job()
        .Source("orders")
        .Decode(Rows(Schema().Int64("id").String("name")))
        .WriteTo(Job().Sink("ids"), OutputMode::kAppend, trigger);
  };
  for (int life = 0; life < 6; ++life) {
    const bool last = life == 5;
    if (last) {
      stop = true;
      writer.join();
    }
    QueryOptions options;
    options.input = input;
    options.output = MemoryOutput(results);
    options.checkpoint = CheckpointFolder(folder.Path("checkpoint"));
    options.bad_records = BadRecordPolicy::kFail;
    options.threads = 1;
    auto running = Start(query(last ? Trigger::AvailableNow() : Trigger::Asap()), options);
    ASSERT_TRUE(running.ok()) << running.status();
    if (last) {
      // Everything that is there, over as many polls as that takes, and it ends by itself.
      EXPECT_TRUE((*running)->AwaitTermination(absl::Seconds(60)).has_value());
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
    }
    (*running)->Stop();
    const absl::Status ended = (*running)->AwaitTermination();
    EXPECT_TRUE(ended.ok()) << ended;
  }
  const std::vector<int64_t> ids = Ids(*results);
  EXPECT_EQ(static_cast<int64_t>(ids.size()), inserted);
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end()) << "a row came twice";
}

class RecordingLogger : public Logger {
 public:
  bool Has(std::string_view words) const {
    std::lock_guard<std::mutex> lock(mutex_);
    return text_.find(words) != std::string::npos;
  }

 protected:
  void Write(std::string_view line) override {
    std::lock_guard<std::mutex> lock(mutex_);
    text_ += std::string(line) + "\n";
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

bool WaitFor(const std::function<bool()>& done) {
  for (int i = 0; i < 1000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// A job over the table orders of a MariaDB, with an offset table and file.
struct MirroredJob {
  std::unique_ptr<MariaDbServer> server;
  testing::TempDir folder;
  MySqlSourceOptions source;
  std::shared_ptr<MemoryTable> results = std::make_shared<MemoryTable>();
  std::shared_ptr<RecordingLogger> logger = std::make_shared<RecordingLogger>();
  bool fail_on_data_loss = true;

  explicit MirroredJob(PollingMode mode) {
    auto started = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    Exec(
        "CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, name TEXT, at DATETIME(6), KEY "
        "(at)); CREATE TABLE offsets (source VARCHAR(40) PRIMARY KEY, last_offset " +
        std::string(mode == PollingMode::kId ? "BIGINT" : "DATETIME(6)") + " NOT NULL)");
    source.server = {server->host(), server->port(), server->user(), server->password(),
                     server->database()};
    source.polling = Polling(mode);
    source.polling.mirror.table = "offsets";
    source.polling.mirror.file = folder.Path("offset.json");
  }
  void Exec(const std::string& sql) const {
    const absl::Status status = server->Exec(sql);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
  }
  std::string TableSays() const {
    const auto rows = server->Query("SELECT last_offset FROM offsets WHERE source = 'orders'");
    return rows.ok() && !rows->empty() ? rows->at(0).at(0).value_or("") : "";
  }
  std::string FileSays() const {
    std::ifstream file(folder.Path("offset.json"));
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  absl::StatusOr<std::unique_ptr<StreamingQuery>> Begin(Trigger trigger,
                                                        const std::string& checkpoint = "one") {
    QueryOptions options;
    options.input = MySqlTableInput(source);
    options.output = MemoryOutput(results);
    options.checkpoint = CheckpointFolder(folder.Path(checkpoint));
    options.bad_records = BadRecordPolicy::kFail;
    options.fail_on_data_loss = fail_on_data_loss;
    options.threads = 1;
    options.logger = logger;
    return Start(Job()
                     .Source("orders")
                     .Decode(Rows(Schema().Int64("id").String("name")))
                     .WriteTo(Job().Sink("ids"), OutputMode::kAppend, trigger),
                 options);
  }
  /// What is there, to the end.
  absl::Status RunOnce(const std::string& checkpoint = "one") {
    auto running = Begin(Trigger::AvailableNow(), checkpoint);
    if (!running.ok()) return running.status();
    return (*running)->AwaitTermination();
  }
};

// As when it died between the commit of the last row's batch and the mirrors' writing.
TEST(PolledTablesTest, MirrorsThatFellBehindAreMadeGoodAtTheStart) {
  MirroredJob job(PollingMode::kId);
  job.Exec("INSERT INTO orders (name) VALUES ('a'), ('b'), ('c')");
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
  EXPECT_EQ(job.TableSays(), "3");
  const std::string file = job.FileSays();
  EXPECT_THAT(file, ::testing::HasSubstr("\"last_id\":3"));
  job.Exec("UPDATE offsets SET last_offset = 1");
  std::ofstream(job.folder.Path("offset.json")) << "{}";
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
  EXPECT_EQ(job.TableSays(), "3");
  EXPECT_EQ(job.FileSays(), file);
}

TEST(PolledTablesTest, AMirrorThatCannotBeWrittenIsLoggedAndMadeGoodWhileIdle) {
  MirroredJob job(PollingMode::kId);
  auto running = job.Begin(Trigger::Asap());
  ASSERT_TRUE(running.ok()) << running.status();
  job.Exec("INSERT INTO orders (name) VALUES ('a')");
  EXPECT_TRUE(WaitFor([&] { return job.TableSays() == "1"; }));
  EXPECT_FALSE(job.logger->Has("acknowledge_failed"));
  job.Exec("RENAME TABLE offsets TO elsewhere");
  job.Exec("INSERT INTO orders (name) VALUES ('b')");
  EXPECT_TRUE(WaitFor([&] { return job.logger->Has("acknowledge_failed"); }));
  EXPECT_TRUE(job.logger->Has("offsets' doesn't exist"));
  EXPECT_EQ(Ids(*job.results).size(), 2u);
  job.Exec("RENAME TABLE elsewhere TO offsets");
  EXPECT_TRUE(WaitFor([&] { return job.TableSays() == "2"; }));
  (*running)->Stop();
  EXPECT_EQ((*running)->AwaitTermination(), absl::OkStatus());
}

TEST(PolledTablesTest, ANewCheckpointGoesOnFromTheOffsetTable) {
  MirroredJob job(PollingMode::kId);
  job.Exec("INSERT INTO orders (name) VALUES ('a'), ('b'), ('c')");
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
  EXPECT_FALSE(job.logger->Has("as offsets says"));
  EXPECT_THAT(Ids(*job.results), ::testing::ElementsAre(1, 2, 3));
  job.results = std::make_shared<MemoryTable>();
  job.Exec("INSERT INTO orders (name) VALUES ('d'), ('e')");
  EXPECT_EQ(job.RunOnce("another"), absl::OkStatus());
  EXPECT_TRUE(job.logger->Has("Table orders is read from after id 3, as offsets says\n"));
  EXPECT_THAT(Ids(*job.results), ::testing::ElementsAre(4, 5));
  EXPECT_EQ(job.TableSays(), "5");
}

TEST(PolledTablesTest, ATableMadeAnewIsDataLoss) {
  MirroredJob job(PollingMode::kId);
  job.Exec("INSERT INTO orders (name) VALUES ('a'), ('b'), ('c')");
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
  job.Exec("DELETE FROM orders");
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
  job.Exec("TRUNCATE orders; INSERT INTO orders (name) VALUES ('A')");
  const absl::Status lost = job.RunOnce();
  EXPECT_EQ(ExitCode(lost, true), 3) << lost;
  EXPECT_THAT(std::string(lost.message()),
              ::testing::HasSubstr("it was read up to id 3, and its ids now go only to 1"));
  const absl::Status anew = job.RunOnce("another");
  EXPECT_EQ(ExitCode(anew, false), 2) << anew;
  job.fail_on_data_loss = false;
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
  EXPECT_TRUE(job.logger->Has("data_loss"));
  EXPECT_THAT(Ids(*job.results), ::testing::ElementsAre(1, 1, 2, 3));
  EXPECT_EQ(job.TableSays(), "1");
  job.fail_on_data_loss = true;
  EXPECT_EQ(job.RunOnce(), absl::OkStatus());
}

TEST(PolledTablesTest, MariaDb) {
  const auto server = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
  ASSERT_TRUE(server.ok()) << server.status();
  for (const PollingMode mode : {PollingMode::kId, PollingMode::kTimestamp}) {
    const absl::Status made = (*server)->Exec(
        "DROP TABLE IF EXISTS orders; CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
        "name TEXT, at DATETIME(6), KEY (at))");
    ASSERT_TRUE(made.ok()) << made;
    MySqlSourceOptions options;
    options.server = {(*server)->host(), (*server)->port(), (*server)->user(),
                      (*server)->password(), (*server)->database()};
    options.polling = Polling(mode);
    EveryRowArrivesOnce(MySqlTableInput(options), [&] {
      return (*server)->Exec(
          "INSERT INTO orders (name, at) SELECT 'x', UTC_TIMESTAMP(6) FROM seq_1_to_10");
    });
  }
}

TEST(PolledTablesTest, Postgres) {
  const auto server = PostgresServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  for (const PollingMode mode : {PollingMode::kId, PollingMode::kTimestamp}) {
    const absl::Status made = (*server)->Exec(
        "DROP TABLE IF EXISTS orders; CREATE TABLE orders (id BIGSERIAL PRIMARY KEY, name TEXT, at "
        "timestamptz); CREATE INDEX ON orders (at); GRANT SELECT ON orders TO tidemark");
    ASSERT_TRUE(made.ok()) << made;
    PostgresSourceOptions options;
    options.server = {(*server)->host(), (*server)->port(), (*server)->user(),
                      (*server)->password(), (*server)->database()};
    options.polling = Polling(mode);
    EveryRowArrivesOnce(PostgresTableInput(options), [&] {
      return (*server)->Exec(
          "INSERT INTO orders (name, at) SELECT 'x', clock_timestamp() FROM generate_series(1, "
          "10)");
    });
  }
}

}  // namespace
}  // namespace tidemark
