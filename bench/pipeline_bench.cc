// The examples' jobs as a whole, on real servers: a table of MariaDB by id to a topic as Avro
// (orders_to_avro), a table of PostgreSQL by created_at to a topic as JSON (food_orders_producer,
// all rows within the look-back), and the Avro topic to JSON files (orders_avro_to_json). Each run
// is the job's program from its start to its end with a new checkpoint and topic or folder; what a
// read_committed reader finds there is compared with the table. Peak memory at three times the
// rows beside that.
//
//   pipeline_bench [--rows N] [--rounds N] [--programs FOLDER] [--quick]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/child_run.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/mariadb_server.h"
#include "tests/servers/postgres_server.h"
#include "tests/servers/temp_dir.h"

namespace tidemark {
namespace {

constexpr int kTablesBar = 16;
constexpr int kFilesBar = 17;
constexpr int kTimesMore = 3;  // rows of the runs that show whether memory grows
constexpr absl::Duration kRunLimit = absl::Minutes(3);

struct BenchOptions {
  int64_t rows = 1'000'000;
  int rounds = 5;
  bool quick = false;
  std::string programs = TIDEMARK_EXAMPLES_DIR;
};

int Fail(const std::string& what) {
  fmt::print(stderr, "pipeline_bench: {}\n", what);
  return 1;
}

// Orders as integers, so that sums do not depend on the order: amounts are whole quarters.
struct Totals {
  int64_t rows = 0;
  int64_t ids = 0;  // distinct
  int64_t quarters = 0;
  int64_t quarters_by_id = 0;  // sum of id * quarters
  friend bool operator==(const Totals&, const Totals&) = default;
  std::string ToText() const {
    return fmt::format("{} rows, {} ids, amounts of {} quarters ({} by id)", rows, ids, quarters,
                       quarters_by_id);
  }
};

class TotalsFold {
 public:
  void Add(int64_t id, double amount) {
    const auto quarters = static_cast<int64_t>(amount * 4);
    ++totals_.rows;
    totals_.quarters += quarters;
    totals_.quarters_by_id += id * quarters;
    ids_.push_back(id);
  }
  Totals Result() {
    std::sort(ids_.begin(), ids_.end());
    totals_.ids = std::unique(ids_.begin(), ids_.end()) - ids_.begin();
    return totals_;
  }

 private:
  Totals totals_;
  std::vector<int64_t> ids_;
};

// ---- What the jobs write, read without the engine's own readers

std::optional<int64_t> TakeAvroLong(std::string_view* data) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !data->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(data->front());
    data->remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  return std::nullopt;
}

// A bare datum of examples/orders_to_avro/order_record.avsc.
bool AddAvro(std::string_view data, TotalsFold* fold) {
  const std::optional<int64_t> id = TakeAvroLong(&data);
  const std::optional<int64_t> customer = TakeAvroLong(&data);
  double amount = 0;
  if (!id || !customer || data.size() < sizeof amount) return false;
  std::memcpy(&amount, data.data(), sizeof amount);
  data.remove_prefix(sizeof amount);
  const std::optional<int64_t> size = TakeAvroLong(&data);
  if (!size || *size != static_cast<int64_t>(data.size())) return false;
  fold->Add(*id, amount);
  return true;
}

template <typename Number>
bool TakeMember(std::string_view json, std::string_view name, Number* number) {
  const size_t at = json.find(name);
  if (at == std::string_view::npos) return false;
  const char* const begin = json.data() + at + name.size();
  return std::from_chars(begin, json.data() + json.size(), *number).ec == std::errc();
}

bool AddJson(std::string_view json, TotalsFold* fold) {
  int64_t id = 0;
  double amount = 0;
  if (!TakeMember(json, "\"order_id\":", &id) || !TakeMember(json, "\"amount\":", &amount) ||
      !json.ends_with('}')) {
    return false;
  }
  fold->Add(id, amount);
  return true;
}

using AddRecord = bool (*)(std::string_view, TotalsFold*);

absl::StatusOr<Totals> TopicTotals(testing::KafkaServer& kafka, const std::string& topic,
                                   AddRecord add) {
  const absl::StatusOr<std::vector<testing::KafkaRecord>> records = kafka.ReadTopic(topic);
  if (!records.ok()) return records.status();
  TotalsFold fold;
  for (const testing::KafkaRecord& record : *records) {
    if (!record.value || !add(*record.value, &fold)) {
      return absl::InternalError(fmt::format("{}: unreadable record at offset {} of partition {}",
                                             topic, record.offset, record.partition));
    }
  }
  return fold.Result();
}

absl::StatusOr<Totals> FolderTotals(const std::string& folder) {
  TotalsFold fold;
  std::string line;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with("part-")) continue;
    std::ifstream file(entry.path());
    while (std::getline(file, line)) {
      if (!AddJson(line, &fold)) {
        return absl::InternalError(
            fmt::format("{}: not an order: {}", entry.path().string(), line));
      }
    }
  }
  return fold.Result();
}

// ---- The tables

template <typename Server>
absl::StatusOr<Totals> TableTotals(Server& server, const std::string& table,
                                   const std::string& quarters) {
  const auto rows = server.Query(
      fmt::format("SELECT COUNT(*), COUNT(DISTINCT order_id), SUM({0}), SUM(order_id * {0}) FROM "
                  "{1}",
                  quarters, table));
  if (!rows.ok()) return rows.status();
  int64_t values[4] = {};
  for (size_t i = 0; i < 4; ++i) {
    const std::string text = (*rows)[0][i].value_or("");
    std::from_chars(text.data(), text.data() + text.size(), values[i]);
  }
  return Totals{values[0], values[1], values[2], values[3]};
}

absl::StatusOr<Totals> FillMariaDb(testing::MariaDbServer& server, const std::string& table,
                                   int64_t rows) {
  absl::Status status = server.Exec(fmt::format(
      "CREATE TABLE {0} (order_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, customer_id INT NOT "
      "NULL, amount DOUBLE NOT NULL, created_at TIMESTAMP(3) NOT NULL DEFAULT "
      "CURRENT_TIMESTAMP(3));"
      "INSERT INTO {0} (customer_id, amount, created_at) SELECT 1 + seq % 40, 10 + (seq % 4000) / "
      "4, '2025-01-01' + INTERVAL seq MICROSECOND FROM seq_1_to_{1}",
      table, rows));
  if (!status.ok()) return status;
  return TableTotals(server, table, "CAST(amount * 4 AS SIGNED)");
}

absl::StatusOr<Totals> FillPostgres(testing::PostgresServer& server, const std::string& table,
                                    int64_t rows) {
  absl::Status status = server.Exec(fmt::format(
      "CREATE TABLE {0} (order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_name "
      "text NOT NULL, restaurant_name text NOT NULL, item text NOT NULL, amount double precision "
      "NOT NULL, order_status text NOT NULL, created_at timestamptz NOT NULL DEFAULT "
      "clock_timestamp()); CREATE INDEX ON {0} (created_at, order_id);"
      "INSERT INTO {0} (customer_name, restaurant_name, item, amount, order_status, created_at) "
      "SELECT 'customer ' || i % 100000, 'restaurant ' || i % 500, 'item ' || i % 2000, 10 + (i % "
      "4000) / 4.0, 'PLACED', now() - interval '5 minutes' + i * interval '20 microseconds' FROM "
      "generate_series(1, {1}) AS i;"
      "GRANT SELECT ON {0} TO tidemark; ANALYZE {0}",
      table, rows));
  if (!status.ok()) return status;
  return TableTotals(server, table, "(amount * 4)::bigint");
}

// ---- The runs

struct Figures {
  int bar;
  std::string what;
  std::vector<double> speeds = {};
  std::vector<double> peaks_mib = {};
  std::vector<double> cpu_us = {};
  double larger_peak_mib = 0;
};

class Bench {
 public:
  explicit Bench(const BenchOptions& options) : options_(options) {}

  absl::Status Run() {
    if (absl::Status status = Start(); !status.ok()) return status;
    // The larger runs come first: they warm the broker, and the last topic is read in each round.
    if (absl::Status status = Round(-1, kTimesMore); !status.ok()) return status;
    for (int round = 0; round <= options_.rounds; ++round) {
      if (absl::Status status = Round(round, 1); !status.ok()) return status;
    }
    for (const Figures* figures : {&maria_, &postgres_, &files_}) Report(*figures);
    return absl::OkStatus();
  }

 private:
  struct Tables {
    std::string name;
    Totals maria;
    Totals postgres;
  };

  absl::Status Start() {
    absl::StatusOr<std::unique_ptr<testing::KafkaServer>> kafka = testing::KafkaServer::Start();
    if (!kafka.ok()) return kafka.status();
    kafka_ = *std::move(kafka);
    absl::StatusOr<std::unique_ptr<testing::MariaDbServer>> maria =
        testing::MariaDbServer::Start({.flush_log_at_trx_commit = 2});
    if (!maria.ok()) return maria.status();
    maria_server_ = *std::move(maria);
    absl::StatusOr<std::unique_ptr<testing::PostgresServer>> postgres =
        testing::PostgresServer::Start();
    if (!postgres.ok()) return postgres.status();
    postgres_server_ = *std::move(postgres);
    for (const int times : {1, kTimesMore}) {
      Tables& tables = tables_[times];
      tables.name = fmt::format("orders_{}", times);
      const int64_t rows = options_.rows * times;
      const absl::StatusOr<Totals> maria_rows = FillMariaDb(*maria_server_, tables.name, rows);
      if (!maria_rows.ok()) return maria_rows.status();
      const absl::StatusOr<Totals> postgres_rows =
          FillPostgres(*postgres_server_, tables.name, rows);
      if (!postgres_rows.ok()) return postgres_rows.status();
      tables.maria = *maria_rows;
      tables.postgres = *postgres_rows;
      fmt::print("{}: {}\n", tables.name, tables.maria.ToText());
    }
    return absl::OkStatus();
  }

  // Round -1 gives the larger peaks, round 0 warms, the others count.
  absl::Status Round(int round, int times) {
    const Tables& tables = tables_[times];
    const std::string topic = fmt::format("avro_{}", round + 1);
    absl::Status status =
        Measure(round, &maria_, tables.maria,
                fmt::format("orders_to_avro --source mysql://{}@{}:{}/{}/{} --offset-table "
                            "offsets_{} --sink 'kafka:{}?create_topic=true&partitions=2' "
                            "--sink-format avro --sink-avro-schema {}",
                            maria_server_->user(), maria_server_->host(), maria_server_->port(),
                            maria_server_->database(), tables.name, round + 1, topic, kOrderSchema),
                maria_server_->password(),
                [&](const std::string&) { return TopicTotals(*kafka_, topic, &AddAvro); });
    if (!status.ok()) return status;
    status = Measure(round, &files_, tables.maria,
                     fmt::format("orders_avro_to_json --topic {} --starting-offsets earliest "
                                 "--avro-schema {} --sink json:out",
                                 topic, kOrderSchema),
                     "", [&](const std::string& folder) { return FolderTotals(folder + "/out"); });
    if (!status.ok()) return status;
    if (status = kafka_->DeleteTopic(topic); !status.ok()) return status;
    const std::string json_topic = fmt::format("json_{}", round + 1);
    status = Measure(
        round, &postgres_, tables.postgres,
        fmt::format("food_orders_producer --source postgres://{}@{}:{}/{}/{} "
                    "--look-back '10 minutes' --sink 'kafka:{}?create_topic=true'",
                    postgres_server_->user(), postgres_server_->host(), postgres_server_->port(),
                    postgres_server_->database(), tables.name, json_topic),
        postgres_server_->password(),
        [&](const std::string&) { return TopicTotals(*kafka_, json_topic, &AddJson); });
    return status.ok() ? kafka_->DeleteTopic(json_topic) : status;
  }

  // `written`: what is at the job's output, given the folder it worked in.
  template <typename Written>
  absl::Status Measure(int round, Figures* figures, const Totals& expected,
                       const std::string& arguments, const std::string& password,
                       const Written& written) {
    const testing::TempDir folder;
    const std::string command = fmt::format(
        "env --chdir={0} {1}/{2} --brokers {3} --trigger available-now --checkpoint {0}/checkpoint",
        folder.path(), options_.programs, arguments, kafka_->brokers());
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<ChildRun> run = RunCommand(
        command, {{"TIDEMARK_SOURCE_PASSWORD", password}}, folder.Path("log"), kRunLimit);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!run.ok()) return run.status();
    const absl::StatusOr<Totals> totals = written(folder.path());
    if (!totals.ok()) return totals.status();
    if (*totals != expected) {
      return absl::InternalError(fmt::format("{}: what was written is wrong: {} (in the table: {})",
                                             figures->what, totals->ToText(), expected.ToText()));
    }
    const double speed = static_cast<double>(expected.rows) / seconds;
    const double cpu_us = run->cpu_seconds * 1e6 / static_cast<double>(expected.rows);
    fmt::print("{:>3}  {:<32}{:>9} rows{:>10.0f} rows/s  {:5.2f} us CPU a row  peak {:.0f} MiB\n",
               round, figures->what, expected.rows, speed, cpu_us, run->peak_mib);
    std::fflush(stdout);
    if (round < 0) figures->larger_peak_mib = run->peak_mib;
    if (round <= 0) return absl::OkStatus();
    figures->speeds.push_back(speed);
    figures->peaks_mib.push_back(run->peak_mib);
    figures->cpu_us.push_back(cpu_us);
    return absl::OkStatus();
  }

  void Report(const Figures& figures) const {
    const auto [least, most] = std::minmax_element(figures.speeds.begin(), figures.speeds.end());
    fmt::print("{}: {:.0f} to {:.0f} rows/s, {:.2f} us CPU a row\n", figures.what, *least, *most,
               Median(figures.cpu_us));
    ReportFigure({.bar = figures.bar,
                  .what = figures.what,
                  .ours = Median(figures.speeds),
                  .unit = "rows/s"});
    ReportFigure(
        {.bar = figures.bar,
         .what = fmt::format("peak memory, {}, {} times the rows to one", figures.what, kTimesMore),
         .ours = figures.larger_peak_mib,
         .theirs = Median(figures.peaks_mib),
         .unit = "MiB"});
  }

  static constexpr char kOrderSchema[] =
      TIDEMARK_EXAMPLES_SOURCE_DIR "/orders_to_avro/order_record.avsc";

  const BenchOptions options_;
  std::unique_ptr<testing::KafkaServer> kafka_;
  std::unique_ptr<testing::MariaDbServer> maria_server_;
  std::unique_ptr<testing::PostgresServer> postgres_server_;
  std::map<int, Tables> tables_;  // by how many times the rows
  Figures maria_{.bar = kTablesBar, .what = "MariaDB by id to Kafka, Avro"};
  Figures postgres_{.bar = kTablesBar, .what = "PostgreSQL by time to Kafka, JSON"};
  Figures files_{.bar = kFilesBar, .what = "Avro topic to JSON files"};
};

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("The examples' jobs: tables to Kafka, and Kafka to files", "pipeline_bench");
  app.add_option("--rows", options.rows, "of each table")->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds that count")->capture_default_str();
  app.add_flag("--quick", options.quick, "a third of the rows, three rounds");
  app.add_option("--programs", options.programs, "the folder of the jobs' programs")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.rows /= 3;
    options.rounds = 3;
  }
  const absl::Status status = Bench(options).Run();
  return status.ok() ? 0 : Fail(status.ToString());
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
