// Queries over polled tables of real servers, stopped and started again while rows come in.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
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
