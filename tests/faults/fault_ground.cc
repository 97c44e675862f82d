#include "tests/faults/fault_ground.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

namespace tidemark::testing {
namespace {

constexpr char kReadParquet[] =
    "import pyarrow.parquet as pq, glob, json, sys\n"
    "for file in glob.glob(sys.argv[1] + '/part-*.parquet'):\n"
    "    for row in pq.read_table(file).to_pylist(): print(json.dumps(row, default=str))\n";

}  // namespace

bool WaitFor(absl::Duration limit, const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(limit);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  return true;
}

absl::StatusOr<std::unique_ptr<FaultGround>> FaultGround::Start() {
  std::unique_ptr<FaultGround> ground(new FaultGround);
  absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
  if (!kafka.ok()) return kafka.status();
  ground->kafka_ = *std::move(kafka);
  MariaDbServerOptions options;
  options.flush_log_at_trx_commit = 2;  // the machine does not lose its power
  absl::StatusOr<std::unique_ptr<MariaDbServer>> mariadb = MariaDbServer::Start(options);
  if (!mariadb.ok()) return mariadb.status();
  ground->mariadb_ = *std::move(mariadb);
  return ground;
}

absl::Status FaultGround::Prepare(const FaultRun& run) {
  return run.sink == "kafka" ? kafka_->CreateTopic(run.name, 1) : absl::OkStatus();
}

ProcessOptions FaultGround::Options(const FaultRun& run,
                                    const std::vector<std::string>& more) const {
  std::string sink;
  if (run.sink == "mysql") {
    sink =
        fmt::format("mysql://{}@{}:{}/{}/{}?create_table=true", mariadb_->user(), mariadb_->host(),
                    run.database_port == 0 ? mariadb_->port() : run.database_port,
                    mariadb_->database(), run.name);
  }
  if (run.sink == "kafka") sink = "kafka:" + run.name;
  if (run.sink == "json" || run.sink == "parquet") {
    sink = fmt::format("{}:{}", run.sink, Path(run.name + ".rows"));
  }
  ProcessOptions options;
  options.args = {std::string(TIDEMARK_FAULTS_DIR) + "/fault_job",
                  "--brokers",
                  run.brokers.empty() ? kafka_->brokers() : run.brokers,
                  "--topic",
                  run.topic,
                  "--starting-offsets",
                  "earliest",
                  "--checkpoint",
                  Path(run.name + ".checkpoint"),
                  "--output-mode",
                  run.mode,
                  "--sink",
                  sink};
  options.args.insert(options.args.end(), more.begin(), more.end());
  options.env = {{"TIDEMARK_MYSQL_PASSWORD", mariadb_->password()}};
  options.working_dir = dir_.path();
  return options;
}

absl::StatusOr<std::vector<std::string>> FaultGround::Rows(const FaultRun& run) const {
  std::vector<std::string> rows;
  if (run.sink == "mysql") {
    const auto table = mariadb_->Query("SELECT * FROM tidemark." + run.name);
    if (!table.ok()) return table.status();
    for (const MariaDbRow& row : *table) {
      std::string& text = rows.emplace_back();
      for (const std::optional<std::string>& cell : row) text += cell.value_or("NULL") + "|";
    }
    return rows;
  }
  if (run.sink == "kafka") {
    const auto topic = kafka_->ReadTopic(run.name);
    if (!topic.ok()) return topic.status();
    for (const KafkaRecord& record : *topic) rows.push_back(record.value.value_or("NULL"));
    return rows;
  }
  const std::string folder = Path(run.name + ".rows");
  if (run.sink == "json") {
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (!file.path().filename().string().starts_with("part-")) continue;
      std::ifstream lines(file.path());
      for (std::string line; std::getline(lines, line);) rows.push_back(line);
    }
    return rows;
  }
  const absl::StatusOr<ProcessResult> read =
      RunProcess({.args = {"python3", "-c", kReadParquet, folder},
                  .env = {{"PYTHONPATH", TIDEMARK_PYARROW}, {"PYTHONDONTWRITEBYTECODE", "1"}}},
                 absl::Minutes(1));
  if (!read.ok()) return read.status();
  if (read->exit_code != 0) return absl::InternalError(read->stderr_text);
  std::istringstream lines(read->stdout_text);
  for (std::string line; std::getline(lines, line);) rows.push_back(line);
  return rows;
}

}  // namespace tidemark::testing
