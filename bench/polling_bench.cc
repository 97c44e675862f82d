// Polls a table of 1,000,000 rows from a real MariaDB and a real PostgreSQL, through to raw
// records, as the engine does: saved records and state for each batch, then acknowledged.
//
//   polling_bench [ROWS]

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/servers/mariadb_server.h"
#include "tests/servers/postgres_server.h"
#include "tidemark/operators/sources/mysql_source.h"
#include "tidemark/operators/sources/postgres_source.h"

namespace tidemark {
namespace {

Schema OrdersSchema() {
  return Schema().Int32("order_id").Int32("customer_id").Double("amount").Timestamp("created_at");
}

long PeakMegabytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

void Check(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

// Everything there is; the sum of the sizes, so that nothing is left out.
void Poll(const char* name, Source& source, int64_t rows) {
  Check(source.Open());
  const long before = PeakMegabytes();
  const auto start = std::chrono::steady_clock::now();
  Offsets done = {{{"orders", 0}, 0}};
  int64_t polled = 0;
  size_t bytes = 0;
  size_t state_bytes = 0;
  while (polled < rows) {
    const auto available = source.Available();
    Check(available.status());
    const AvailableRange& range = (*available)[0];
    if (range.end == polled) continue;
    const std::vector<PlannedRange> plan = {{range.partition, polled, range.end}};
    const auto saved = source.SaveRecords(plan);
    Check(saved.status());
    Check(source.StartRead(plan));
    while (true) {
      const auto chunk = source.Read(absl::Seconds(1));
      Check(chunk.status());
      if (IsEndOfRanges(**chunk)) break;
      polled += static_cast<int64_t>((*chunk)->records.size());
      bytes += (*chunk)->bytes;
    }
    done[range.partition] = polled;
    const SourceStateChange change = source.StateAfter(plan);
    state_bytes += change.head.size();
    for (const auto& [key, value] : change.added) state_bytes += key.size() + value.size();
    Check(source.Acknowledge(done));
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{:24} {:9} rows  {:7.0f} rows/s  {:5.1f} MB/s  peak memory {} MB (+{})  state {} B\n",
             name, polled, static_cast<double>(polled) / seconds,
             static_cast<double>(bytes) / seconds / 1e6, PeakMegabytes(), PeakMegabytes() - before,
             state_bytes);
}

PollingOptions Options(PollingMode mode) {
  PollingOptions options;
  options.table = "orders";
  options.mode = mode;
  options.id_column = "order_id";
  options.poll_interval = absl::ZeroDuration();
  return options;
}

PollingStart Start() {
  PollingStart start;
  start.topic = "orders";
  start.schema = OrdersSchema();
  return start;
}

void BenchMariaDb(int64_t rows) {
  const auto server = testing::MariaDbServer::Start({.flush_log_at_trx_commit = 2});
  Check(server.status());
  Check((*server)->Exec(fmt::format(
      "CREATE TABLE orders (order_id INT AUTO_INCREMENT PRIMARY KEY, customer_id INT, amount "
      "DOUBLE, created_at TIMESTAMP(3), KEY (created_at));"
      "INSERT INTO orders (customer_id, amount, created_at) SELECT seq % 1000, seq / 7, "
      "'2025-01-01' "
      "+ INTERVAL seq * 20 MICROSECOND FROM seq_1_to_{}",
      rows)));
  for (const auto& [name, mode] : {std::pair("MariaDB by id", PollingMode::kId),
                                   std::pair("MariaDB by timestamp", PollingMode::kTimestamp)}) {
    MySqlSourceOptions options;
    options.server = {(*server)->host(), (*server)->port(), (*server)->user(),
                      (*server)->password(), (*server)->database()};
    options.polling = Options(mode);
    const auto source = MakeMySqlSource(options, Start());
    Check(source.status());
    Poll(name, **source, rows);
  }
}

void BenchPostgres(int64_t rows) {
  const auto server = testing::PostgresServer::Start();
  Check(server.status());
  Check((*server)->Exec(fmt::format(
      "CREATE TABLE orders (order_id SERIAL PRIMARY KEY, customer_id INT, amount DOUBLE PRECISION, "
      "created_at timestamptz); CREATE INDEX ON orders (created_at);"
      "INSERT INTO orders (customer_id, amount, created_at) SELECT i % 1000, i / 7.0, "
      "'2025-01-01'::timestamptz + i * interval '20 microseconds' FROM generate_series(1, {}) AS i;"
      "GRANT SELECT ON orders TO tidemark; ANALYZE orders",
      rows)));
  for (const auto& [name, mode] : {std::pair("PostgreSQL by id", PollingMode::kId),
                                   std::pair("PostgreSQL by timestamp", PollingMode::kTimestamp)}) {
    PostgresSourceOptions options;
    options.server = {(*server)->host(), (*server)->port(), (*server)->user(),
                      (*server)->password(), (*server)->database()};
    options.polling = Options(mode);
    const auto source = MakePostgresSource(options, Start());
    Check(source.status());
    Poll(name, **source, rows);
  }
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  const int64_t rows = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  tidemark::BenchMariaDb(rows);
  tidemark::BenchPostgres(rows);
}
