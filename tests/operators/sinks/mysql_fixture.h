#ifndef TIDEMARK_TESTS_OPERATORS_SINKS_MYSQL_FIXTURE_H_
#define TIDEMARK_TESTS_OPERATORS_SINKS_MYSQL_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"
#include "tests/servers/mariadb_server.h"
#include "tidemark/operators/sinks/mysql_sink.h"

namespace tidemark::testing {

/// One MariaDB server for all tests of the program; each test begins with an empty database.
class MySqlFixture : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (server_ != nullptr) return;
    auto started = MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = std::move(*started);
  }
  void SetUp() override {
    ASSERT_NE(server_, nullptr);
    Exec("DROP DATABASE tidemark; CREATE DATABASE tidemark CHARACTER SET utf8mb4");
  }

  static MySqlSinkOptions Options(const std::string& table, const MariaDbServer& server) {
    MySqlSinkOptions options;
    options.server = {.host = server.host(),
                      .port = server.port(),
                      .user = server.user(),
                      .password = server.password(),
                      .database = server.database()};
    options.table = table;
    return options;
  }
  static MySqlSinkOptions Options(const std::string& table = "t") {
    return Options(table, *server_);
  }
  static MySqlSinkOptions CreateOptions(const std::string& table = "t") {
    MySqlSinkOptions options = Options(table);
    options.create_table = true;
    return options;
  }
  static SinkContext Context(Schema schema, std::vector<std::string> key) {
    return {.query_id = "5e0f8c1e-0000-4000-8000-000000000001",
            .sink = "totals",
            .schema = std::move(schema),
            .key_columns = std::move(key),
            .mode = OutputMode::kUpdate};
  }
  static SinkMarker MarkerOf(const SinkContext& context, int64_t batch_id, int64_t epoch = 0) {
    return {
        .query_id = context.query_id, .sink = context.sink, .epoch = epoch, .batch_id = batch_id};
  }
  static SinkBatch Batch(int64_t batch_id, uint64_t plan_hash = 7, int64_t epoch = 0) {
    return {.batch_id = batch_id, .epoch = epoch, .plan_hash = plan_hash};
  }
  // Open, with a marker for the batch before 0.
  static absl::Status OpenNew(MySqlSink& sink, const SinkContext& context) {
    const absl::Status opened = sink.Open(context);
    return opened.ok() ? sink.WriteMarker(MarkerOf(context, -1)) : opened;
  }
  static absl::StatusOr<SinkMarker> Commit(MySqlSink& sink, const SinkBatch& batch,
                                           std::vector<RowBatch> batches) {
    ListStream stream(std::move(batches));
    return sink.Commit(batch, stream);
  }

  static void Exec(std::string_view sql) {
    const absl::Status status = server_->Exec(sql);
    ASSERT_TRUE(status.ok()) << status << "\n" << sql;
  }
  static std::vector<MariaDbRow> Query(std::string_view sql, MariaDbServer& server) {
    const auto rows = server.Query(sql);
    EXPECT_TRUE(rows.ok()) << rows.status() << "\n" << sql;
    return rows.ok() ? *rows : std::vector<MariaDbRow>{};
  }
  static std::vector<MariaDbRow> Query(std::string_view sql) { return Query(sql, *server_); }

  static inline std::unique_ptr<MariaDbServer> server_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_OPERATORS_SINKS_MYSQL_FIXTURE_H_
