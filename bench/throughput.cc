// The engine against a do-nothing librdkafka loop, and against other engines: the same preloaded
// topic on a real broker, in turn, each run a process of its own. The engine counts, sums and takes
// the maximum per key and 60-second window with a durable checkpoint about each second; every run's
// result is checked against a plain fold over the generated rows (a wrong answer ends the bench
// with exit 1; a peer's voids the peer's figures).
//
//   throughput [--rows N] [--keys N] [--rounds N] [--partitions N] [--memory-limit-mib N]
//   [--threads N] [--value-bytes N] [--quick]
//   [--peer NAME=COMMAND]... [--peer-rows N]
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/child_run.h"
#include "bench/engine_run.h"
#include "bench/report.h"
#include "bench/totals.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/engine/connectors.h"

namespace tidemark {
namespace {

constexpr char kTopic[] = "throughput";
constexpr char kPeerTopic[] = "peers";
constexpr absl::Duration kPeerTimeout = absl::Minutes(10);
constexpr int kWarmRounds = 3;

struct BenchOptions {
  std::string role = "bench";
  std::string brokers;
  TotalsRows rows;
  int rounds = 5;
  int32_t partitions = 4;
  int64_t memory_limit_mib = 128;
  int threads = 0;
  bool quick = false;
  std::vector<std::string> peers;  // NAME=COMMAND
  int64_t peer_rows = 0;
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

int Fail(std::string_view what) {
  fmt::print(stderr, "throughput: {}\n", what);
  return 1;
}

// ---- The two that are compared: each prints its RunFigures

int RunRaw(const BenchOptions& options) {
  char error[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  const std::pair<const char*, std::string> settings[] = {{"bootstrap.servers", options.brokers},
                                                          {"group.id", "raw"},
                                                          {"enable.auto.commit", "false"},
                                                          {"enable.auto.offset.store", "false"},
                                                          {"auto.offset.reset", "error"},
                                                          {"queued.min.messages", "10000000"},
                                                          {"queued.max.messages.kbytes", "98304"},
                                                          {"fetch.message.max.bytes", "4194304"},
                                                          {"fetch.wait.max.ms", "10"}};
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name, value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK)
      return Fail(error);
  }
  const auto start = std::chrono::steady_clock::now();
  rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (consumer == nullptr) return Fail(error);
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* partitions =
      rd_kafka_topic_partition_list_new(options.partitions);
  for (int32_t p = 0; p < options.partitions; ++p) {
    rd_kafka_topic_partition_list_add(partitions, kTopic, p)->offset = 0;
  }
  rd_kafka_assign(consumer, partitions);
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(consumer);
  std::vector<rd_kafka_message_t*> messages(10'000);
  const int64_t wanted = options.rows.rows + options.partitions;
  int64_t rows = 0;
  while (rows < wanted && Seconds(start) < 300) {
    const ssize_t count =
        rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    for (ssize_t i = 0; i < count; ++i) {
      rows += messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
      rd_kafka_message_destroy(messages[i]);
    }
  }
  RunFigures figures;
  figures.rows = rows;
  figures.seconds = Seconds(start);
  fmt::print("{}\n", figures.ToText());
  std::fflush(stdout);
  _exit(rows == wanted ? 0 : 1);  // the consumer's slow good-bye is not part of the comparison
}

int RunEngine(const BenchOptions& options) {
  const testing::TempDir folder;
  QueryOptions query;
  query.name = "throughput";
  query.input = TopicInput(options.brokers);
  query.checkpoint = CheckpointFolder(folder.Path("checkpoint"));
  query.memory_limit = static_cast<size_t>(options.memory_limit_mib) << 20;
  query.threads = options.threads;
  Job job;
  const absl::StatusOr<RunFigures> run = RunToAnswer(
      TotalsPerUser(job, kTopic, Json(TotalsSchema(options.rows)), Trigger::AvailableNow()),
      std::move(query));
  if (!run.ok()) return Fail(run.status().ToString());
  fmt::print("{}\n", run->ToText());
  return 0;
}

// ---- The bench

struct Run {
  RunFigures figures;
  ChildRun child;
  double speed() const { return static_cast<double>(figures.rows) / figures.seconds; }
};

absl::StatusOr<Run> RunChild(const std::string& role, const BenchOptions& options) {
  absl::StatusOr<ChildRun> child = RunSelf(
      {"--role", role, "--brokers", options.brokers, "--rows", std::to_string(options.rows.rows),
       "--keys", std::to_string(options.rows.keys), "--partitions",
       std::to_string(options.partitions), "--memory-limit-mib",
       std::to_string(options.memory_limit_mib), "--threads", std::to_string(options.threads),
       "--value-bytes", std::to_string(options.rows.value_bytes)});
  if (!child.ok()) return child.status();
  const std::optional<RunFigures> figures = RunFigures::FromText(child->text);
  if (!figures) return absl::InternalError("not figures: " + child->text);
  return Run{*figures, *std::move(child)};
}

// Another engine that computes the same; bench/peers/README.md has what is asked of its program.
struct Peer {
  std::string name;
  std::string command;
  std::string failure = {};  // why it takes part no longer
  std::vector<double> speeds = {}, ratios = {}, peaks = {}, memory_ratios = {};
};

// The topic that the peers read, the engine's own or its beginning.
struct PeerTopic {
  std::string name = kTopic;
  TotalsRows rows;
  Answer expected;
};

absl::Status RunPeer(const Run& engine, const PeerTopic& topic, const BenchOptions& options,
                     Peer* peer) {
  const testing::TempDir folder;
  const int64_t end_seconds = ClosingRow(topic.rows).time_us / 1'000'000 - 12 * 3600;
  const absl::StatusOr<ChildRun> child =
      RunCommand(peer->command,
                 {{"TIDEMARK_BENCH_BROKERS", options.brokers},
                  {"TIDEMARK_BENCH_TOPIC", topic.name},
                  {"TIDEMARK_BENCH_ROWS", std::to_string(topic.rows.rows)},
                  {"TIDEMARK_BENCH_PARTITIONS", std::to_string(options.partitions)},
                  {"TIDEMARK_BENCH_END_SECONDS", std::to_string(end_seconds)},
                  {"TIDEMARK_BENCH_FOLDER", folder.Path("run")}},
                 folder.Path("log"), kPeerTimeout);
  if (!child.ok()) return child.status();
  const std::optional<RunFigures> figures = RunFigures::FromText(child->text);
  if (!figures) return absl::InternalError("not figures: " + child->text);
  if (figures->answer != topic.expected) {
    return absl::InternalError(fmt::format("its answer is wrong: {} (expected {})",
                                           figures->answer.ToText(), topic.expected.ToText()));
  }
  const Run run{*figures, *child};
  peer->speeds.push_back(run.speed());
  peer->ratios.push_back(engine.speed() / run.speed());
  peer->peaks.push_back(child->peak_mib);
  peer->memory_ratios.push_back(child->peak_mib / engine.child.peak_mib);
  fmt::print(
      "       {}: {:.0f} rows/s (engine {:.1f} times), {} batches, {:.0f} ns CPU/row, {:.0f} MiB\n",
      peer->name, run.speed(), peer->ratios.back(), figures->batches,
      child->cpu_seconds * 1e9 / static_cast<double>(topic.rows.rows), child->peak_mib);
  std::fflush(stdout);
  return absl::OkStatus();
}

// Every figure of the peers; false if one of them failed.
bool ReportPeers(const std::vector<Peer>& peers, double engine_speed, double engine_peak_mib) {
  bool all = true;
  for (const Peer& peer : peers) {
    if (!peer.failure.empty()) {
      fmt::print(stderr, "throughput: {} has no figure: {}\n", peer.name, peer.failure);
      all = false;
      continue;
    }
    ReportFigure({.bar = 3,
                  .what = "engine to " + peer.name,
                  .ours = engine_speed,
                  .theirs = Median(peer.speeds),
                  .ratio = Median(peer.ratios),
                  .unit = "rows/s"});
    ReportFigure({.bar = 4,
                  .what = "peak memory of " + peer.name + " to the engine's",
                  .ours = engine_peak_mib,
                  .theirs = Median(peer.peaks),
                  .ratio = Median(peer.memory_ratios),
                  .unit = "MiB"});
  }
  return all;
}

absl::StatusOr<std::vector<Peer>> ParsePeers(const std::vector<std::string>& texts) {
  std::vector<Peer> peers;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError("--peer wants NAME=COMMAND, not " + text);
    }
    peers.push_back({.name = text.substr(0, equals), .command = text.substr(equals + 1)});
  }
  return peers;
}

int RunBench(BenchOptions options) {
  absl::StatusOr<std::vector<Peer>> peers = ParsePeers(options.peers);
  if (!peers.ok()) return Fail(peers.status().ToString());
  absl::StatusOr<std::unique_ptr<testing::KafkaServer>> kafka = testing::KafkaServer::Start();
  if (!kafka.ok()) return Fail(kafka.status().ToString());
  options.brokers = (*kafka)->brokers();
  fmt::print("Loading {} rows of {} bytes, {} keys, {} partitions, into a real broker ...\n",
             options.rows.rows, JsonRecord(RowAt(1, options.rows), options.rows).size(),
             options.rows.keys, options.partitions);
  std::fflush(stdout);
  if (absl::Status status = LoadTopic(**kafka, kTopic, options.partitions, options.rows);
      !status.ok()) {
    return Fail(status.ToString());
  }
  const Answer expected = PlainFold(options.rows);
  PeerTopic peer_topic{.rows = options.rows, .expected = expected};
  if (!peers->empty() && options.peer_rows > 0 && options.peer_rows < options.rows.rows) {
    peer_topic.name = kPeerTopic;
    peer_topic.rows.rows = options.peer_rows;
    peer_topic.expected = PlainFold(peer_topic.rows);
    if (absl::Status status =
            LoadTopic(**kafka, peer_topic.name, options.partitions, peer_topic.rows);
        !status.ok()) {
      return Fail(status.ToString());
    }
  }

  std::vector<double> ratios, raw_speeds, engine_speeds, peaks, nanos;
  fmt::print("\n{:>5}  {:>14}  {:>14}  {:>6}  {:>8}  {:>10}  {:>9}\n", "round", "raw rows/s",
             "engine rows/s", "ratio", "batches", "CPU ns/row", "peak MiB");
  // The first rounds warm the page cache and the broker, which compiles its code meanwhile.
  const int warm_rounds = options.quick ? 1 : kWarmRounds;
  for (int round = 1 - warm_rounds; round <= options.rounds; ++round) {
    const absl::StatusOr<Run> raw = RunChild("raw", options);
    const absl::StatusOr<Run> engine = RunChild("engine", options);
    if (!raw.ok() || !engine.ok()) return Fail((raw.ok() ? engine : raw).status().ToString());
    const RunFigures& figures = engine->figures;
    if (figures.answer != expected || figures.rows != options.rows.rows + options.partitions) {
      return Fail(fmt::format("the engine's answer is wrong: {} rows, {} (expected {})",
                              figures.rows, figures.answer.ToText(), expected.ToText()));
    }
    if (round < 1) continue;
    raw_speeds.push_back(raw->speed());
    engine_speeds.push_back(engine->speed());
    ratios.push_back(engine->speed() / raw->speed());
    peaks.push_back(engine->child.peak_mib);
    nanos.push_back(engine->child.cpu_seconds * 1e9 / static_cast<double>(figures.rows));
    fmt::print("{:>5}  {:>14.0f}  {:>14.0f}  {:>6.2f}  {:>8}  {:>10.0f}  {:>9.0f}\n", round,
               raw_speeds.back(), engine_speeds.back(), ratios.back(), figures.batches,
               nanos.back(), peaks.back());
    std::fflush(stdout);
    for (Peer& peer : *peers) {
      if (!peer.failure.empty()) continue;
      peer.failure = std::string(RunPeer(*engine, peer_topic, options, &peer).message());
      if (!peer.failure.empty())
        fmt::print(stderr, "throughput: {}: {}\n", peer.name, peer.failure);
    }
  }
  fmt::print(
      "\nmedian: {:.0f} ns CPU a row, peak memory {:.0f} MiB (limit {} MiB); answers right in "
      "every "
      "round ({} groups)\n",
      Median(nanos), *std::max_element(peaks.begin(), peaks.end()), options.memory_limit_mib,
      expected.groups);
  ReportFigure({.bar = options.rows.keys <= 1000 ? 2 : 1,
                .what = fmt::format("engine, {} keys, to a raw librdkafka loop", options.rows.keys),
                .ours = Median(engine_speeds),
                .theirs = Median(raw_speeds),
                .ratio = Median(ratios),
                .unit = "rows/s"});
  return ReportPeers(*peers, Median(engine_speeds), Median(peaks)) ? 0 : 1;
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Engine against a do-nothing librdkafka loop, interleaved, answers checked",
               "throughput");
  app.add_option("--rows", options.rows.rows, "rows in the topic")->capture_default_str();
  app.add_option("--keys", options.rows.keys, "distinct keys")->capture_default_str();
  app.add_option("--rounds", options.rounds, "pairs that count")->capture_default_str();
  app.add_option("--partitions", options.partitions)->capture_default_str();
  app.add_option("--memory-limit-mib", options.memory_limit_mib)->capture_default_str();
  app.add_option("--threads", options.threads, "workers; 0: one a core")->capture_default_str();
  app.add_option("--value-bytes", options.rows.value_bytes, "fills records up; 0: 146 bytes")
      ->capture_default_str();
  app.add_flag("--quick", options.quick, "a million rows, three rounds");
  app.add_option("--peer", options.peers, "NAME=COMMAND: another engine, beside ours each round");
  app.add_option("--peer-rows", options.peer_rows,
                 "the peers read only so many rows; 0: all of them")
      ->capture_default_str();
  app.add_option("--role", options.role)->group("");
  app.add_option("--brokers", options.brokers)->group("");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.rows.rows = std::min<int64_t>(options.rows.rows, 1'000'000);
    options.rounds = 3;
  }
  if (options.role == "raw") return RunRaw(options);
  if (options.role == "engine") return RunEngine(options);
  return RunBench(std::move(options));
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) { return tidemark::Main(argc, argv); }
