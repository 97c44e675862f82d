#include "tidemark/engine/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <iterator>

#include "tidemark/engine/config.h"

namespace tidemark {
namespace {

constexpr size_t kHelpWidth = 100;
constexpr size_t kHelpColumn = 34;

using Kind = Flag::Kind;

std::vector<Flag> MakeFlags() {
  const char* const input = "Input";
  const char* const policies = "Records and values that do not fit";
  const char* const time = "Event time and windows (each replaces what the pipeline says)";
  const char* const running = "Running";
  const char* const output = "Output";
  const char* const job = "The job";
  return {
      {"brokers", "embedded|HOST:PORT,...",
       "Kafka brokers; 'embedded' (default) is a broker inside the process, filled by the job's "
       "own generator",
       input},
      {"embedded-rows", "N", "embedded: rows that each run adds (default 200000)", input},
      {"seed", "S", "embedded: another seed makes other rows (default 1)", input},
      {"source", "mysql://USER@HOST:PORT/DB/TABLE|postgres://...",
       "jobs that poll a table: which one", input},
      {"source-password", "",
       "its password; else TIDEMARK_MYSQL_PASSWORD or "
       "TIDEMARK_POSTGRES_PASSWORD, or the file that one of these with _FILE names",
       input, Kind::kSecret},
      {"poll-interval", "D", "time between two polls of the table (default 1s)", input},
      {"look-back", "D",
       "tables polled by time: how long after its time a row may be committed (default 10 minutes)",
       input},
      {"offset-table", "TABLE", "a table that shows people how far the job has read", input},
      {"offset-file", "FILE", "a file that shows the same, replaced as a whole", input},
      {"topic", "T", "topic to read, instead of the pipeline's", input},
      {"format", "json|avro", "how records are written (default: as the pipeline says)", input},
      {"avro-schema", "FILE", "avro, bare records: the schema they were written with", input},
      {"avro-schemas", "DIR", "avro, records with a schema id: a folder with ID.avsc", input},
      {"avro-registry", "URL", "avro, records with a schema id: a registry that is asked for it",
       input},
      {"avro-registry-user", "NAME", "user of that registry", input},
      {"avro-registry-password", "", "and the password", input, Kind::kSecret},
      {"starting-offsets", "earliest|latest|JSON",
       "where a new query begins: default latest, embedded: earliest; per partition as "
       "{\"topic\":{\"0\":23,\"1\":-2}}, where "
       "-1 is latest and -2 earliest",
       input},
      {"max-offsets-per-trigger", "N",
       "rows a batch at most (embedded: default a tenth of --embedded-rows)", input},
      {"fail-on-data-loss", "true|false",
       "stop (exit 3) when offsets are gone or the topic was made anew (default true)", input},
      {"kafka", "KEY=VALUE",
       "any librdkafka property, with or without 'kafka.' in front; may be repeated; no passwords",
       input, Kind::kPairs},
      {"kafka-password", "",
       "kafka: sasl.password; as any of these variables it may also stand in the file that the "
       "variable with _FILE names",
       input, Kind::kSecret},

      {"bad-records", "fail|drop|null|dead-letter[:DIR|:topic=T]",
       "records that cannot be read: stop, drop, nulls for what is unreadable, or keep aside "
       "(default dead-letter, to files "
       "under the checkpoint folder)",
       policies},
      {"on-overflow", "fail|null", "a sum that does not fit (default fail)", policies},

      {"window", "D", "size of the windows: 90s, 5 minutes, 1h", time},
      {"watermark", "D", "how late rows may come", time},
      {"idle-timeout", "D", "a watermark per partition; one that is silent for D is left out",
       time},
      {"max-future-skew", "D",
       "event times further ahead of their record do not move the watermark; 0: no limit", time},
      {"output-mode", "append|update|complete", "which rows a batch writes", time},

      {"trigger", "D|asap|available-now|once",
       "when batches run: every D ('10 seconds'), again at once, or what is there now", running},
      {"give-up-after", "D",
       "end (exit 1) when errors that may pass have lasted this long (default: never)", running},
      {"threads", "N", "workers (default: one a processor)", running},
      {"memory-limit", "SIZE", "384MiB, 1GiB (default 512MiB)", running},
      {"checkpoint", "DIR",
       "where offsets and state are kept (default ./checkpoints/JOB, embedded: "
       "./checkpoints/JOB-embedded)",
       running},
      {"snapshot-every", "N",
       "batches between two snapshots of the checkpoint, three are kept (default 100; 0: none)",
       running},

      {"sink",
       "console|memory|null|json:DIR|parquet:DIR|kafka:TOPIC|mysql://USER@HOST:PORT/DB/TABLE",
       "where results go (default console); json and parquet take ?partition_by=COLUMN,...; "
       "kafka takes ?create_topic=true&partitions=N&on_null_key=fail|skip|null; mysql takes "
       "?create_table=true&write=replace|upsert&on_null_key=fail|skip, and its "
       "password from TIDEMARK_MYSQL_PASSWORD or the file TIDEMARK_MYSQL_PASSWORD_FILE names",
       output},
      {"sink-brokers", "HOST:PORT,...",
       "kafka: brokers of that topic (default: those of --brokers)", output},
      {"sink-format", "json|avro", "kafka: how values are written (default json)", output},
      {"sink-avro-schema", "FILE", "kafka, avro: the schema of what is written", output},
      {"sink-avro-id", "N",
       "kafka, avro: that schema's id, put before each value as Confluent's clients do (default: "
       "the bare datum)",
       output},
      {"sink-key-format", "text|json|avro",
       "kafka: how keys are written (default text: the key column's value, of several a JSON "
       "array; json: an object of the key columns)",
       output},
      {"sink-key-avro-schema", "FILE",
       "kafka, avro keys: their schema, a record of the key columns or the type of the only one",
       output},
      {"sink-key-avro-id", "N", "kafka, avro keys: that schema's id, put before each key", output},
      {"sink-password", "",
       "mysql: the password; else TIDEMARK_MYSQL_PASSWORD, or the file "
       "TIDEMARK_MYSQL_PASSWORD_FILE "
       "names",
       output, Kind::kSecret},
      {"num-rows", "N", "console: rows shown of a batch (default 20)", output},
      {"truncate", "N|false", "console: longest cell (default 20); false: cells are not cut",
       output},
      {"progress", "FILE|-", "a line of JSON after each batch, to a file or to standard error (-)",
       output},

      {"config", "FILE",
       "YAML: each flag with _ for -, 'params:' for the job's own, 'profiles:' by name", job,
       Kind::kText, true},
      {"profile", "NAME",
       "that part of the config file wins over the rest of it; without --config of "
       "examples/JOB/JOB.yaml; 'test' means the "
       "embedded broker",
       job, Kind::kText, true},
      {"param", "NAME=VALUE", "a parameter of the job's own; may be repeated", job, Kind::kPairs},
      {"explain", "", "print the plan and end", job, Kind::kSwitch, true},
      {"version", "", "print the version and end", job, Kind::kSwitch, true},
      {"help", "", "print this and end", job, Kind::kSwitch, true},
  };
}

std::vector<std::string> DashedNames() {
  std::vector<std::string> names;
  for (const Flag& flag : AllFlags()) {
    if (flag.kind != Kind::kSecret) names.push_back("--" + flag.name);
  }
  return names;
}

// `left` in its column, `text` wrapped beside it; below it if `left` is too long.
std::string HelpEntry(const std::string& left, std::string_view text) {
  std::string out = left;
  if (left.size() + 2 > kHelpColumn)
    out += "\n" + std::string(kHelpColumn, ' ');
  else
    out += std::string(kHelpColumn - left.size(), ' ');
  size_t column = kHelpColumn;
  bool first = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!first && column + 1 + word.size() > kHelpWidth) {
      out += "\n" + std::string(kHelpColumn, ' ');
      column = kHelpColumn;
      first = true;
    }
    if (!first) out += ' ';
    column += word.size() + (first ? 0 : 1);
    out += word;
    first = false;
  }
  return out + "\n";
}

// Passwords are asked for nowhere on the command line; who tries is told where they go.
absl::Status SecretArgument(const Flag& flag) {
  return absl::InvalidArgumentError(fmt::format(
      "--{}: a password on the command line is seen by everybody on the machine; set {} "
      "in the environment, or '{}: ${{env:NAME}}' or '{}: ${{file:PATH}}' in the config "
      "file",
      flag.name, EnvironmentName(flag), ConfigKey(flag), ConfigKey(flag)));
}

absl::Status UnknownArgument(const std::string& argument) {
  if (!argument.starts_with("-")) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' stands alone on the command line; a value follows its flag, as in "
                    "--window '5 minutes'",
                    argument));
  }
  const std::string name = argument.substr(0, argument.find('='));
  const Flag* flag = name.starts_with("--") ? FindFlag(name.substr(2)) : nullptr;
  if (flag != nullptr && flag->kind == Kind::kSecret) return SecretArgument(*flag);
  return absl::InvalidArgumentError(
      fmt::format("{}: there is no such flag{}", name, DidYouMean(name, DashedNames())));
}

}  // namespace

const std::vector<Flag>& AllFlags() {
  static const std::vector<Flag> flags = MakeFlags();
  return flags;
}

const Flag* FindFlag(std::string_view name) {
  for (const Flag& flag : AllFlags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

std::string ConfigKey(const Flag& flag) {
  std::string key = flag.name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string EnvironmentName(const Flag& flag) {
  std::string name = "TIDEMARK_" + ConfigKey(flag);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  });
  return name;
}

absl::StatusOr<std::map<std::string, std::vector<std::string>>> ParseCommandLine(
    int argc, const char* const* argv) {
  std::map<std::string, std::vector<std::string>> given;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  for (const Flag& flag : AllFlags()) {
    if (flag.kind == Flag::Kind::kSecret) continue;
    const auto keep = [&given, name = flag.name](const CLI::results_t& results) {
      given[name] = results;
      return true;
    };
    if (flag.kind == Flag::Kind::kSwitch) {
      app.add_flag(flag.name == "help" ? "-h,--help" : "--" + flag.name);
    } else {
      app.add_option("--" + flag.name, keep)->take_all();
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // The only flag whose value can be missing is the last one.
    const std::string last = argc > 1 ? argv[argc - 1] : "";
    const Flag* flag =
        last.starts_with("--") ? FindFlag(std::string_view(last).substr(2)) : nullptr;
    if (flag != nullptr && flag->kind != Flag::Kind::kSwitch) {
      return absl::InvalidArgumentError(
          fmt::format("{} needs a value: {} {}", last, last, flag->value));
    }
    return absl::InvalidArgumentError(
        fmt::format("the command line cannot be read: {}", error.what()));
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty())
    return UnknownArgument(extras.front());
  for (const Flag& flag : AllFlags()) {
    if (flag.kind == Flag::Kind::kSecret) continue;
    const size_t count = app.count("--" + flag.name);
    if (count > 1 && flag.kind != Flag::Kind::kPairs) {
      return absl::InvalidArgumentError(
          fmt::format("--{} is given {} times; give it once", flag.name, count));
    }
    if (count > 0 && flag.kind == Flag::Kind::kSwitch) given[flag.name] = {"true"};
  }
  return given;
}

std::string HelpText(const JobDefinition& definition) {
  std::string text = fmt::format("Usage: {} [flags]\n", definition.name);
  if (!definition.help.empty()) text += definition.help + "\n";
  std::string group;
  for (const Flag& flag : AllFlags()) {
    if (flag.group != group) text += fmt::format("\n{}:\n", group = flag.group);
    std::string left = flag.name == "help"          ? "  -h, --help"
                       : flag.kind == Kind::kSecret ? "  " + EnvironmentName(flag)
                                                    : "  --" + flag.name;
    if (!flag.value.empty()) left += " " + flag.value;
    text += HelpEntry(left, flag.help);
  }
  if (!definition.params.empty()) {
    text += "\nParameters of this job (--param NAME=VALUE):\n";
    for (const JobParameter& parameter : definition.params) {
      std::string help = parameter.help;
      if (!parameter.fallback.empty()) help += fmt::format(" (default {})", parameter.fallback);
      text += HelpEntry("  " + parameter.name, help);
    }
  }
  text +=
      "\nA flag wins over the environment (TIDEMARK_ and the flag in capitals with _: "
      "TIDEMARK_MEMORY_LIMIT; for\n"
      "--kafka and --param NAME=VALUE;NAME=VALUE), that over the config file, that over the "
      "pipeline.\n"
      "Exit codes: 0 clean stop, 1 failed while running, 2 usage, configuration or plan, 3 data "
      "lost, 4 checkpoint\n"
      "unusable or not this sink's. The first SIGINT or SIGTERM ends the job cleanly, the second "
      "at once.\n";
  return text;
}

}  // namespace tidemark
