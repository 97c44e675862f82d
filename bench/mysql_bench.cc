// The MySQL sink against the best client one would write by hand for a MariaDB: rows in key order,
// bound as arrays to one prepared statement, one transaction a batch. The same rows in turn into
// two tables of one server, first new ones, then the same keys again; what is in the tables is
// compared at the end.
//
//   mysql_bench [--rows N] [--rounds N] [--quick]
#include <fmt/format.h>
#include <mysql.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/mariadb_server.h"
#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/sinks/mysql_sink.h"

namespace tidemark {
namespace {

constexpr size_t kChunkRows = 8'192;
constexpr char kByHand[] = "by_hand";
constexpr char kBySink[] = "by_sink";

struct BenchOptions {
  int64_t rows = 100'000;  // a batch
  int rounds = 7;
  bool quick = false;
};

int Fail(const std::string& what) {
  fmt::print(stderr, "mysql_bench: {}\n", what);
  return 1;
}

Schema Columns() {
  return Schema()
      .Timestamp("window_start")
      .Timestamp("window_end")
      .Int64("user_id")
      .Int64("orders")
      .Int64("total")
      .Int64("most");
}

// One closed window: ascending users. `version` changes the values and not the keys.
struct Window {
  int64_t number = 0;
  int64_t version = 0;
  int64_t rows = 0;
  int64_t start_us() const { return (kTotalsStartSeconds + number * 60) * 1'000'000; }
  int64_t Value(int64_t user, int64_t column) const {
    return static_cast<int64_t>(
        StableHashInt(static_cast<uint64_t>(((number * 64 + version) * 8 + column) << 32 | user)) %
        1'000'000);
  }
};

class WindowRows : public RowStream {
 public:
  explicit WindowRows(const Window& window) {
    const auto schema = std::make_shared<const Schema>(Columns());
    for (int64_t begin = 0; begin < window.rows; begin += kChunkRows) {
      const auto count = static_cast<size_t>(std::min<int64_t>(kChunkRows, window.rows - begin));
      std::vector<ColumnPtr> columns;
      for (size_t c = 0; c < 6; ++c) {
        auto column =
            std::make_shared<Column>(c < 2 ? DataType::Timestamp() : DataType::Int64(), count);
        for (size_t i = 0; i < count; ++i) {
          const int64_t user = begin + static_cast<int64_t>(i);
          column->mutable_values<int64_t>()[i] =
              c < 2    ? window.start_us() + static_cast<int64_t>(c) * 60'000'000
              : c == 2 ? user
                       : window.Value(user, static_cast<int64_t>(c));
        }
        columns.push_back(std::move(column));
      }
      batches_.emplace_back(schema, std::move(columns), count);
    }
  }

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    return next_ < batches_.size() ? &batches_[next_++] : nullptr;
  }
  absl::Status DoRewind() override {
    next_ = 0;
    return absl::OkStatus();
  }

 private:
  std::vector<RowBatch> batches_;
  size_t next_ = 0;
};

// ---- By hand

class HandWritten {
 public:
  ~HandWritten() {
    if (insert_ != nullptr) mysql_stmt_close(insert_);
    if (replace_ != nullptr) mysql_stmt_close(replace_);
    if (mysql_ != nullptr) mysql_close(mysql_);
  }

  absl::Status Open(const testing::MariaDbServer& server) {
    mysql_ = mysql_init(nullptr);
    const unsigned protocol = MYSQL_PROTOCOL_TCP;  // as the sink
    mysql_optionsv(mysql_, MYSQL_OPT_PROTOCOL, &protocol);
    if (mysql_real_connect(mysql_, server.host().c_str(), server.user().c_str(),
                           server.password().c_str(), server.database().c_str(),
                           static_cast<unsigned>(server.port()), nullptr, 0) == nullptr) {
      return Error();
    }
    mysql_autocommit(mysql_, 0);
    for (auto& [statement, verb] :
         {std::pair<MYSQL_STMT*&, const char*>{insert_, "INSERT"}, {replace_, "REPLACE"}}) {
      const std::string sql = fmt::format("{} INTO {} VALUES (?,?,?,?,?,?)", verb, kByHand);
      statement = mysql_stmt_init(mysql_);
      if (mysql_stmt_prepare(statement, sql.c_str(), sql.size()) != 0) return Error(statement);
    }
    return absl::OkStatus();
  }

  // `values`: by column, as the rows come.
  absl::Status Write(bool new_rows, const std::string& start, const std::string& end,
                     std::vector<int64_t>* values) {
    MYSQL_STMT* const statement = new_rows ? insert_ : replace_;
    auto rows = static_cast<unsigned>(values[0].size());
    const std::string* const times[] = {&start, &end};
    MYSQL_BIND binds[6] = {};
    std::vector<const char*> texts[2];
    std::vector<unsigned long> lengths[2];
    for (size_t c = 0; c < 6; ++c) {
      if (c < 2) {
        texts[c].assign(rows, times[c]->c_str());
        lengths[c].assign(rows, times[c]->size());
        binds[c].buffer_type = MYSQL_TYPE_STRING;
        binds[c].buffer = texts[c].data();
        binds[c].length = lengths[c].data();
      } else {
        binds[c].buffer_type = MYSQL_TYPE_LONGLONG;
        binds[c].buffer = values[c - 2].data();
      }
    }
    if (mysql_stmt_attr_set(statement, STMT_ATTR_ARRAY_SIZE, &rows) != 0 ||
        mysql_stmt_bind_param(statement, binds) != 0 || mysql_stmt_execute(statement) != 0) {
      return Error(statement);
    }
    return mysql_commit(mysql_) == 0 ? absl::OkStatus() : Error();
  }

 private:
  absl::Status Error() const { return absl::InternalError(mysql_error(mysql_)); }
  static absl::Status Error(MYSQL_STMT* statement) {
    return absl::InternalError(mysql_stmt_error(statement));
  }

  MYSQL* mysql_ = nullptr;
  MYSQL_STMT* insert_ = nullptr;
  MYSQL_STMT* replace_ = nullptr;
};

// ---- The bench

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

std::string TimeText(int64_t us) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(us), absl::UTCTimeZone());
}

class Bench {
 public:
  absl::Status Open() {
    testing::MariaDbServerOptions options;
    options.extra_args = {"--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M",
                          "--max-allowed-packet=64M"};
    absl::StatusOr<std::unique_ptr<testing::MariaDbServer>> server =
        testing::MariaDbServer::Start(options);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    for (const char* table : {kByHand, kBySink}) {
      absl::Status status = server_->Exec(fmt::format(
          "CREATE TABLE {} (window_start DATETIME(6) NOT NULL, window_end DATETIME(6), user_id "
          "BIGINT NOT NULL, orders BIGINT, total BIGINT, most BIGINT, PRIMARY KEY (window_start, "
          "user_id)) ENGINE=InnoDB",
          table));
      if (!status.ok()) return status;
    }
    MySqlSinkOptions sink;
    sink.server = {.host = server_->host(),
                   .port = server_->port(),
                   .user = server_->user(),
                   .password = server_->password(),
                   .database = server_->database()};
    sink.table = kBySink;
    sink_ = std::make_unique<MySqlSink>(sink);
    absl::Status status = sink_->Open({.query_id = "bench",
                                       .sink = "totals",
                                       .schema = Columns(),
                                       .key_columns = {"window_start", "user_id"}});
    if (status.ok()) status = sink_->WriteMarker({.query_id = "bench", .sink = "totals"});
    if (status.ok()) status = hand_.Open(*server_);
    return status;
  }

  absl::StatusOr<double> BySink(const Window& window) {
    WindowRows rows(window);
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<SinkMarker> marker =
        sink_->Commit({.batch_id = batch_++, .plan_hash = 1}, rows);
    const double seconds = Seconds(start);
    if (!marker.ok()) return marker.status();
    return static_cast<double>(window.rows) / seconds;
  }

  absl::StatusOr<double> ByHand(const Window& window, bool new_rows) {
    std::vector<int64_t> values[4];
    for (int64_t user = 0; user < window.rows; ++user) {
      values[0].push_back(user);
      for (int64_t c = 3; c < 6; ++c) {
        values[c - 2].push_back(window.Value(user, c));
      }
    }
    const auto start = std::chrono::steady_clock::now();
    const absl::Status status = hand_.Write(new_rows, TimeText(window.start_us()),
                                            TimeText(window.start_us() + 60'000'000), values);
    const double seconds = Seconds(start);
    if (!status.ok()) return status;
    return static_cast<double>(window.rows) / seconds;
  }

  // Both tables have the same rows.
  absl::Status Compare(int64_t rows) {
    std::vector<testing::MariaDbRow> sums[2];
    for (int i = 0; i < 2; ++i) {
      absl::StatusOr<std::vector<testing::MariaDbRow>> answer = server_->Query(fmt::format(
          "SELECT COUNT(*), SUM(CRC32(CONCAT_WS(',', window_start, window_end, user_id, orders, "
          "total, most))) FROM {}",
          i == 0 ? kByHand : kBySink));
      if (!answer.ok()) return answer.status();
      sums[i] = *std::move(answer);
    }
    if (sums[0] != sums[1] || sums[0][0][0] != std::to_string(rows)) {
      return absl::InternalError("the two tables differ, or have not all rows");
    }
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<testing::MariaDbServer> server_;
  HandWritten hand_;
  std::unique_ptr<MySqlSink> sink_;
  int64_t batch_ = 0;
};

absl::Status RunBench(const BenchOptions& options) {
  Bench bench;
  if (absl::Status status = bench.Open(); !status.ok()) return status;
  std::vector<double> ours[2], theirs[2];  // new rows, existing rows
  for (int round = 0; round <= options.rounds; ++round) {
    for (int existing = 0; existing < 2; ++existing) {
      const Window window{.number = round, .version = existing, .rows = options.rows};
      absl::StatusOr<double> speeds[2] = {0.0, 0.0};
      // Who goes first changes with the rounds.
      for (const int which : {round % 2, 1 - round % 2}) {
        speeds[which] = which == 0 ? bench.BySink(window) : bench.ByHand(window, existing == 0);
        if (!speeds[which].ok()) return speeds[which].status();
      }
      if (round == 0) continue;
      ours[existing].push_back(*speeds[0]);
      theirs[existing].push_back(*speeds[1]);
      fmt::print("{:>3}  {:<13}  sink {:>8.0f} rows/s, by hand {:>8.0f} rows/s\n", round,
                 existing == 0 ? "new rows" : "existing rows", *speeds[0], *speeds[1]);
      std::fflush(stdout);
    }
  }
  if (absl::Status status = bench.Compare((options.rounds + 1) * options.rows); !status.ok()) {
    return status;
  }
  for (int existing = 0; existing < 2; ++existing) {
    std::vector<double> ratios;
    for (size_t i = 0; i < ours[existing].size(); ++i) {
      ratios.push_back(ours[existing][i] / theirs[existing][i]);
    }
    ReportFigure({.bar = 11,
                  .what = fmt::format("MySQL sink to a client by hand, {} rows",
                                      existing == 0 ? "new" : "existing"),
                  .ours = Median(ours[existing]),
                  .theirs = Median(theirs[existing]),
                  .ratio = Median(ratios),
                  .unit = "rows/s"});
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("The MySQL sink against a client written by hand", "mysql_bench");
  app.add_option("--rows", options.rows, "rows a batch")->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds that count")->capture_default_str();
  app.add_flag("--quick", options.quick, "batches of 50,000 rows, five rounds");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.rows = 50'000;
    options.rounds = 5;
  }
  const absl::Status status = RunBench(options);
  return status.ok() ? 0 : Fail(status.ToString());
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
