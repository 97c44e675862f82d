// Records that a job could not read, and the way back: exported, repaired by a person, sent again.
// README.md shows it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "examples/replay_dead_letters/replay_dead_letters.h"
#include "tidemark/engine/config.h"

namespace {

using tidemark::examples::ExportedLetters;
using tidemark::examples::ExportOptions;
using tidemark::examples::SendOptions;
using tidemark::examples::SentLetters;

// Where the cluster is: said as every job is told.
struct ClusterFlags {
  std::string brokers;
  std::vector<std::string> kafka;
  std::string config;
  std::string profile;

  void AddTo(CLI::App* app) {
    app->add_option("--brokers", brokers,
                    "HOST:PORT,...; else TIDEMARK_BROKERS, or the config file");
    app->add_option("--kafka", kafka,
                    "KEY=VALUE, any librdkafka property; may be repeated; the password comes from "
                    "TIDEMARK_KAFKA_PASSWORD, TIDEMARK_KAFKA_PASSWORD_FILE or the config file")
        ->take_all();
    app->add_option("--config", config, "a job's YAML file, of which brokers and kafka are read");
    app->add_option("--profile", profile, "the profile of that file")->needs("--config");
  }
};

int Fail(const absl::Status& status) {
  fmt::print(stderr, "error: {}\n", std::string(status.message()));
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? 2 : 1;
}

absl::StatusOr<tidemark::KafkaConnection> ReadCluster(const ClusterFlags& flags) {
  std::vector<const char*> words = {"replay_dead_letters"};
  if (!flags.brokers.empty()) words.insert(words.end(), {"--brokers", flags.brokers.c_str()});
  for (const std::string& pair : flags.kafka) words.insert(words.end(), {"--kafka", pair.c_str()});
  absl::StatusOr<tidemark::Config> config =
      tidemark::LoadConfig(static_cast<int>(words.size()), words.data(),
                           {.name = "replay_dead_letters"}, &tidemark::ProcessEnvironment);
  if (!config.ok()) return config.status();
  if (!flags.config.empty()) {
    absl::StatusOr<tidemark::Config> file =
        tidemark::ReadConfigFile(flags.config, flags.profile, &tidemark::ProcessEnvironment);
    if (!file.ok()) return file.status();
    config->settings.merge(file->settings);  // what is there stays
    config->kafka.merge(file->kafka);
  }
  if (const tidemark::Setting* password = config->Find("kafka-password"))
    config->kafka.emplace("sasl.password", *password);
  const tidemark::Setting* brokers = config->Find("brokers");
  if (brokers == nullptr || brokers->value.empty() || brokers->value == "embedded") {
    return absl::InvalidArgumentError("which cluster? Name it with --brokers HOST:PORT");
  }
  tidemark::KafkaConnection connection{.brokers = brokers->value};
  for (const auto& [key, setting] : config->kafka) connection.properties[key] = setting.value;
  return connection;
}

std::string Count(int64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

int Export(ExportOptions options, const ClusterFlags& cluster) {
  if (!options.topic.empty()) {
    absl::StatusOr<tidemark::KafkaConnection> connection = ReadCluster(cluster);
    if (!connection.ok()) return Fail(connection.status());
    options.kafka = *std::move(connection);
  }
  const absl::StatusOr<ExportedLetters> exported = ExportDeadLetters(options);
  if (!exported.ok()) return Fail(exported.status());
  if (exported->excepted > 0) {
    fmt::print("Left out {}: other files have them\n", Count(exported->excepted, "dead letter"));
  }
  if (exported->letters == 0) {
    fmt::print("Nothing to export\n");
    return 0;
  }
  for (const auto& [topic, count] : exported->by_topic) {
    fmt::print("Exported {} of topic {} to {}\n", Count(count, "dead letter"), topic, options.to);
  }
  for (const auto& [reason, count] : exported->by_reason) fmt::print("{:>8}  {}\n", count, reason);
  fmt::print(
      "Repair the values in {}, delete the lines to give up, then: replay_dead_letters send {}\n",
      options.to, options.to);
  return 0;
}

int Send(SendOptions options, const ClusterFlags& cluster) {
  absl::StatusOr<tidemark::KafkaConnection> connection = ReadCluster(cluster);
  if (!connection.ok()) return Fail(connection.status());
  options.kafka = *std::move(connection);
  const auto progress = [](const std::string& topic, int64_t done, int64_t total) {
    fmt::print("{}: {} of {}\n", topic, done, Count(total, "line"));
    std::fflush(stdout);
  };
  const auto sent = SendLetters(options, progress);
  if (!sent.ok()) return Fail(sent.status());
  if (sent->empty()) fmt::print("{} has no lines: nothing to send\n", options.file);
  for (const auto& [topic, letters] : *sent) {
    if (letters.sent_before == letters.letters) {
      fmt::print("Already sent: {} of {} to topic {}\n", Count(letters.letters, "line"),
                 options.file, topic);
    } else {
      fmt::print("Sent {} to topic {}{}\n", Count(letters.letters - letters.sent_before, "line"),
                 topic,
                 letters.sent_before == 0
                     ? ""
                     : fmt::format(", after {} that were sent before", letters.sent_before));
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Records that a job put aside (--bad-records dead-letter): exported, repaired, sent again.",
      "replay_dead_letters");
  app.require_subcommand(1);
  ClusterFlags cluster;

  ExportOptions export_options;
  CLI::App* const export_app =
      app.add_subcommand("export", "Writes the letters to a file, a readable line each.");
  CLI::Option* const folder = export_app->add_option("--dead-letters", export_options.folder,
                                                     "the job's folder of dead-*.jsonl");
  export_app
      ->add_option("--dead-letter-topic", export_options.topic, "or its topic of dead letters")
      ->excludes(folder);
  export_app->add_option("--to", export_options.to, "the file to make")->required();
  export_app->add_option("--except", export_options.except,
                         "a file exported before: its letters are left out; may be repeated");
  cluster.AddTo(export_app);

  SendOptions send_options;
  CLI::App* const send_app = app.add_subcommand(
      "send", "Sends each line once to the topic and partition it came from, killed or not.");
  send_app->add_option("FILE", send_options.file, "the repaired lines")->required();
  send_app->add_option("--topic", send_options.topic,
                       "another topic, by the records' keys to its partitions");
  send_app->add_flag("--new-timestamps", send_options.new_timestamps,
                     "records get the time of sending, not the one they had");
  send_app
      ->add_option("--lines-per-transaction", send_options.lines_per_transaction, "default 1000")
      ->check(CLI::PositiveNumber);
  cluster.AddTo(send_app);

  try {
    app.parse(argc, argv);
    if (*export_app && export_options.folder.empty() && export_options.topic.empty()) {
      throw CLI::RequiredError("--dead-letters DIR or --dead-letter-topic TOPIC");
    }
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Fail(absl::InvalidArgumentError(error.what()));
  }
  return *export_app ? Export(std::move(export_options), cluster)
                     : Send(std::move(send_options), cluster);
}
