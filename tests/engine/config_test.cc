#include "tidemark/engine/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/servers/temp_dir.h"
#include "tidemark/engine/flags.h"
#include "tidemark/engine/job_options.h"
#include "tidemark/operators/aggregates/aggregate.h"

namespace tidemark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Variables = std::map<std::string, std::string>;

Query Windowed(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema().Int64("shop").Timestamp("at")))
      .WithWatermark("at", absl::Minutes(10))
      .GroupBy(TumblingWindow("at", absl::Minutes(5)), "shop")
      .Aggregate(Count().As("orders"))
      .WriteTo(job.Sink("totals").Key("window_start", "shop"), OutputMode::kUpdate,
               Trigger::Every(absl::Seconds(10)));
}

Query Plain(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema().Int64("shop")))
      .WriteTo(job.Sink("copy"), OutputMode::kAppend);
}

Query Grouped(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema().Int64("shop")))
      .GroupBy("shop")
      .Aggregate(Count())
      .WriteTo(job.Sink("counts").Key("shop"), OutputMode::kComplete);
}

// Two aggregates: a flag for "the" window is refused.
Query Twice(Job& job) {
  return job.Source("orders")
      .Decode(Json(Schema().Int64("shop").Timestamp("at")))
      .GroupBy(TumblingWindow("at", absl::Minutes(5)), "shop")
      .Aggregate(Count().As("n"))
      .GroupBy(TumblingWindow("window_start", absl::Hours(1)))
      .Aggregate(Sum("n"))
      .WriteTo(job.Sink("counts"), OutputMode::kUpdate);
}

GeneratedRecord NoRecord(uint64_t, int32_t, int64_t) { return {}; }

JobDefinition Definition(Query (*pipeline)(Job&) = &Windowed) {
  JobDefinition definition;
  definition.name = "totals";
  definition.pipeline = pipeline;
  definition.generator = &NoRecord;
  definition.help = "Sums orders.";
  definition.params = {{"contact", "e-mail of who looks after it", "nobody@example.com", true},
                       {"region", "which orders", ""}};
  return definition;
}

class ConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<Config> Load(std::vector<std::string> flags, Variables variables = {}) {
    std::vector<const char*> argv = {"totals"};
    for (const std::string& flag : flags) argv.push_back(flag.c_str());
    environment_ = [variables](const std::string& name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      if (found == variables.end()) return std::nullopt;
      return found->second;
    };
    return LoadConfig(static_cast<int>(argv.size()), argv.data(), definition_, environment_);
  }

  /// What is wrong with these flags, wherever it is found; empty if nothing.
  std::string Problem(std::vector<std::string> flags, Variables variables = {}) {
    absl::StatusOr<Config> config = Load(std::move(flags), std::move(variables));
    if (!config.ok()) return Refusal(config.status());
    Job job;
    Query query = definition_.pipeline(job);
    if (absl::Status status = ApplyToPlan(*config, &query.plan); !status.ok())
      return Refusal(status);
    absl::StatusOr<QueryOptions> options = MakeQueryOptions(*config, definition_, environment_);
    return options.ok() ? "" : Refusal(options.status());
  }

  Plan Applied(std::vector<std::string> flags, Variables variables = {}) {
    absl::StatusOr<Config> config = Load(std::move(flags), std::move(variables));
    EXPECT_TRUE(config.ok()) << config.status();
    Job job;
    Query query = definition_.pipeline(job);
    const absl::Status status = ApplyToPlan(*config, &query.plan);
    EXPECT_TRUE(status.ok()) << status;
    return query.plan;
  }

  QueryOptions Options(std::vector<std::string> flags, Variables variables = {}) {
    absl::StatusOr<Config> config = Load(std::move(flags), std::move(variables));
    EXPECT_TRUE(config.ok()) << config.status();
    absl::StatusOr<QueryOptions> options = MakeQueryOptions(*config, definition_, environment_);
    EXPECT_TRUE(options.ok()) << options.status();
    return options.ok() ? *options : QueryOptions();
  }

  std::string File(const std::string& text, const std::string& name = "jobs.yaml") {
    std::ofstream(dir_.Path(name)) << text;
    return dir_.Path(name);
  }

  static std::string Refusal(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << "one sentence: " << status;
    return std::string(status.message());
  }

  testing::TempDir dir_;
  JobDefinition definition_ = Definition();
  Environment environment_;
};

// ---- Precedence -------------------------------------------------------------------------------

TEST_F(ConfigTest, WithoutAnythingTheCodeCounts) {
  const Plan plan = Applied({});
  EXPECT_EQ(plan.Find<AggregateNode>()->window->size, absl::Minutes(5));
  EXPECT_EQ(plan.Find<WatermarkNode>()->delay, absl::Minutes(10));
  EXPECT_EQ(plan.Find<SinkNode>()->mode, OutputMode::kUpdate);
  EXPECT_EQ(plan.Find<SinkNode>()->trigger.interval, absl::Seconds(10));
  const QueryOptions options = Options({});
  EXPECT_EQ(options.name, "totals");
  EXPECT_EQ(options.input.fingerprint, "embedded seed=1");
  EXPECT_EQ(options.checkpoint.description, "./checkpoints/totals-embedded");
  EXPECT_EQ(options.bad_records, BadRecordPolicy::kDeadLetter);
  EXPECT_EQ(options.memory_limit, size_t{512} << 20);
  EXPECT_EQ(options.snapshot_every, 100);
  EXPECT_TRUE(options.fail_on_data_loss);
  EXPECT_EQ(options.give_up_after, absl::InfiniteDuration());
}

TEST_F(ConfigTest, EachPlaceWinsOverTheOnesAfterIt) {
  const std::string file = File("window: 1 minute\nprofiles: {prod: {window: 2 minutes}}\n");
  const auto window = [&](std::vector<std::string> flags, Variables variables) {
    return Applied(std::move(flags), std::move(variables)).Find<AggregateNode>()->window->size;
  };
  EXPECT_EQ(window({"--config", file}, {}), absl::Minutes(1));
  EXPECT_EQ(window({"--config", file, "--profile", "prod"}, {}), absl::Minutes(2));
  const Variables variables = {{"TIDEMARK_WINDOW", "3 minutes"}};
  EXPECT_EQ(window({"--config", file, "--profile", "prod"}, variables), absl::Minutes(3));
  EXPECT_EQ(window({"--config", file, "--profile", "prod", "--window", "4m"}, variables),
            absl::Minutes(4));
  EXPECT_EQ(window({"--window=4m"}, variables), absl::Minutes(4));
  // File and profile may come from the environment, too.
  EXPECT_EQ(window({}, {{"TIDEMARK_CONFIG", file}, {"TIDEMARK_PROFILE", "prod"}}),
            absl::Minutes(2));
}

TEST_F(ConfigTest, DefaultsOfTheJobAreTheWeakest) {
  definition_.defaults = {{"snapshot-every", "7"}};
  EXPECT_EQ(Options({}).snapshot_every, 7);
  EXPECT_EQ(Options({"--config", File("snapshot_every: 8")}).snapshot_every, 8);
  EXPECT_EQ(Options({"--snapshot-every", "9"}).snapshot_every, 9);
}

TEST_F(ConfigTest, PairsAreMergedByName) {
  const std::string file = File(
      "params: {contact: file@example.com, region: north}\n"
      "kafka: {kafka.group.id: a, client.id: file}\n");
  absl::StatusOr<Config> config = Load({"--config", file, "--param", "contact=flag@example.com",
                                        "--kafka", "group.id=b", "--kafka", "kafka.group.id=c"},
                                       {{"TIDEMARK_PARAM", "contact=env@example.com;region=a=b"}});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto parameters = JobParameters(*config, definition_);
  EXPECT_EQ(parameters.at("contact"), "flag@example.com");
  EXPECT_EQ(parameters.at("region"), "a=b");
  EXPECT_EQ(config->kafka.at("group.id").value, "c") << "the last one counts";
  EXPECT_EQ(config->kafka.at("client.id").value, "file");
  EXPECT_EQ(JobParameters(Config(), definition_).at("contact"), "nobody@example.com");
}

TEST_F(ConfigTest, ProfileTestMeansTheEmbeddedBroker) {
  const std::string file = File("brokers: kafka-1:9092\nprofiles: {prod: {topic: other}}\n");
  EXPECT_EQ(Options({"--config", file}).input.fingerprint, "kafka");
  EXPECT_EQ(Options({"--config", file}).checkpoint.description, "./checkpoints/totals");
  EXPECT_EQ(Options({"--config", file, "--profile", "test"}).input.fingerprint, "embedded seed=1");
  EXPECT_EQ(Options({"--config", file, "--profile", "test", "--brokers", "localhost:1"})
                .input.fingerprint,
            "kafka");
  const std::string own = File("profiles: {test: {brokers: 'localhost:9092'}}");
  EXPECT_EQ(Options({"--config", own, "--profile", "test"}).input.fingerprint, "kafka");
}

// ---- Values -----------------------------------------------------------------------------------

TEST_F(ConfigTest, EachPlanFlagReplacesItsNode) {
  const Plan plan = Applied({"--topic", "others", "--window", "90s", "--watermark", "0",
                             "--idle-timeout", "1m", "--max-future-skew", "0", "--output-mode",
                             "append", "--trigger", "available-now", "--format", "json"});
  EXPECT_EQ(plan.Find<SourceNode>()->topic, "others");
  EXPECT_EQ(plan.Find<AggregateNode>()->window->size, absl::Seconds(90));
  EXPECT_EQ(plan.Find<WatermarkNode>()->delay, absl::ZeroDuration());
  EXPECT_TRUE(plan.Find<WatermarkNode>()->per_partition);
  EXPECT_EQ(plan.Find<WatermarkNode>()->idle_timeout, absl::Minutes(1));
  EXPECT_EQ(plan.Find<WatermarkNode>()->max_future_skew, absl::ZeroDuration());
  EXPECT_EQ(plan.Find<SinkNode>()->mode, OutputMode::kAppend);
  EXPECT_EQ(plan.Find<SinkNode>()->trigger.kind, Trigger::Kind::kAvailableNow);
}

TEST_F(ConfigTest, Triggers) {
  const auto kind = [&](const std::string& value) {
    return Applied({"--trigger", value}).Find<SinkNode>()->trigger;
  };
  EXPECT_EQ(kind("asap").kind, Trigger::Kind::kAsap);
  EXPECT_EQ(kind("once").kind, Trigger::Kind::kOnce);
  EXPECT_EQ(kind("2 minutes").interval, absl::Minutes(2));
  EXPECT_THAT(Problem({"--trigger", "available-noww"}),
              AllOf(StartsWith("--trigger: "), HasSubstr("did you mean available-now?")));
  EXPECT_THAT(Problem({"--trigger", "0s"}), StartsWith("--trigger: '0s' is not a trigger"));
}

TEST_F(ConfigTest, AmountsOfMemory) {
  const auto limit = [&](const std::string& value) {
    return Options({"--memory-limit", value}).memory_limit;
  };
  EXPECT_EQ(limit("384MiB"), size_t{384} << 20);
  EXPECT_EQ(limit("1GiB"), size_t{1} << 30);
  EXPECT_EQ(limit("64m"), size_t{64} << 20);
  EXPECT_EQ(limit("2 gb"), size_t{2} << 30);
  EXPECT_EQ(limit("67108864"), size_t{64} << 20);
  for (const char* wrong :
       {"", "many", "12x", "-1g", "1.5g", "99999999999999999999", "9999999999t", "g", "64mm"}) {
    EXPECT_THAT(Problem({"--memory-limit", wrong}),
                AllOf(StartsWith("--memory-limit: "), HasSubstr("384MiB")))
        << wrong;
  }
  EXPECT_THAT(Problem({"--memory-limit", "1m"}), HasSubstr("the least is 32MiB"));
}

TEST_F(ConfigTest, Policies) {
  EXPECT_EQ(Options({"--bad-records", "fail"}).bad_records, BadRecordPolicy::kFail);
  EXPECT_EQ(Options({"--bad-records", "drop"}).bad_records, BadRecordPolicy::kDrop);
  EXPECT_EQ(Options({"--bad-records", "null"}).bad_records, BadRecordPolicy::kNull);
  EXPECT_EQ(Options({"--bad-records", "dead-letter:/x"}).bad_records, BadRecordPolicy::kDeadLetter);
  EXPECT_EQ(Options({"--on-overflow", "null"}).on_overflow, OverflowPolicy::kNull);
  EXPECT_EQ(
      Options({"--bad-records", "dead-letter:topic=dead", "--brokers", "localhost:1"}).bad_records,
      BadRecordPolicy::kDeadLetter);
  EXPECT_THAT(Problem({"--bad-records", "dorp"}), HasSubstr("did you mean drop?"));
  EXPECT_THAT(Problem({"--bad-records", "drop:here"}),
              StartsWith("--bad-records: 'drop:here' is not"));
  EXPECT_THAT(Problem({"--bad-records", "dead-letter:"}), StartsWith("--bad-records: "));
  EXPECT_THAT(Problem({"--bad-records", "dead-letter:topic=dead"}),
              HasSubstr("needs a real broker"));
  EXPECT_THAT(Problem({"--bad-records", "dead-letter:topic=", "--brokers", "localhost:1"}),
              HasSubstr("the topic has no name"));
  EXPECT_THAT(Problem({"--on-overflow", "wrap"}), HasSubstr("'wrap' is none of fail, null"));
}

TEST_F(ConfigTest, Sinks) {
  for (const char* sink : {"console", "memory", "null", "json:out", "json:out?partition_by=a,b",
                           "parquet:out?partition_by=date", "mysql://app@db/shop/totals"}) {
    EXPECT_EQ(Problem({"--sink", sink}), "") << sink;
  }
  EXPECT_TRUE(Options({"--sink", "mysql://app@db/shop/totals"}).output.supports_deletes);
  EXPECT_FALSE(Options({"--sink", "console"}).output.supports_deletes);
  EXPECT_THAT(Problem({"--sink", "mysq://app@db/shop/totals"}), HasSubstr("did you mean mysql?"));
  EXPECT_THAT(Problem({"--sink", "json:"}), StartsWith("--sink: 'json:': no folder is named"));
  EXPECT_THAT(Problem({"--sink", "parket:out"}), HasSubstr("did you mean parquet?"));
  EXPECT_THAT(Problem({"--sink", "parquet:out?partition=date"}),
              AllOf(StartsWith("--sink: 'parquet:out?partition=date'"), HasSubstr("partition_by")));
  EXPECT_THAT(Problem({"--sink", "mysql://app:secret@db/shop/totals"}),
              AllOf(HasSubstr("TIDEMARK_MYSQL_PASSWORD"), Not(HasSubstr("secret@"))));
  EXPECT_THAT(Problem({"--sink", "mariadb://app:hunter2@db/shop/totals"}),
              AllOf(StartsWith("--sink: 'mariadb://...@db/shop/totals' is none of console"),
                    Not(HasSubstr("hunter2"))));
  EXPECT_THAT(Problem({"--sink", "mysql://app@db/shop/totals?creat_table=true"}),
              HasSubstr("create_table"));
}

TEST_F(ConfigTest, KafkaSink) {
  const std::string sink = "kafka:totals?create_topic=true&partitions=3&on_null_key=skip";
  EXPECT_EQ(Problem({"--sink", sink, "--brokers", "localhost:1"}), "");
  EXPECT_EQ(Problem({"--sink", sink, "--sink-brokers", "localhost:2"}), "");
  EXPECT_EQ(Problem({"--sink", sink, "--brokers", "localhost:1", "--sink-format", "json"}), "");
  EXPECT_TRUE(Options({"--sink", sink, "--sink-brokers", "localhost:2"}).output.supports_deletes);
  EXPECT_THAT(Problem({"--sink", sink}),
              AllOf(StartsWith("--sink: "), HasSubstr("--sink-brokers HOST:PORT")));
  EXPECT_THAT(Problem({"--sink", sink, "--sink-brokers", "embedded"}),
              StartsWith("--sink-brokers: "));
  EXPECT_THAT(Problem({"--sink", "kafka:", "--brokers", "localhost:1"}),
              AllOf(StartsWith("--sink: "), HasSubstr("the topic has no name")));
  EXPECT_THAT(Problem({"--sink", "kafka:t?creat_topic=true", "--brokers", "localhost:1"}),
              HasSubstr("there is no option 'creat_topic'"));
  EXPECT_THAT(Problem({"--sink", sink, "--brokers", "localhost:1", "--sink-format", "xml"}),
              HasSubstr("'xml' is none of json, avro"));
  EXPECT_THAT(Problem({"--sink", "kafak:t"}), HasSubstr("did you mean kafka?"));
}

TEST_F(ConfigTest, KafkaSinkInAvro) {
  const std::string schema =
      File(R"({"type":"record","name":"R","fields":[{"name":"id","type":"long"}]})", "r.avsc");
  const auto problem = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"--sink", "kafka:t", "--brokers", "localhost:1"});
    return Problem(flags);
  };
  EXPECT_EQ(problem({"--sink-format", "avro", "--sink-avro-schema", schema}), "");
  EXPECT_EQ(problem({"--sink-format", "avro", "--sink-avro-schema", schema, "--sink-avro-id", "7"}),
            "");
  EXPECT_THAT(problem({"--sink-format", "avro"}),
              AllOf(StartsWith("--sink-format: "), HasSubstr("--sink-avro-schema FILE")));
  EXPECT_THAT(problem({"--sink-avro-schema", schema}),
              AllOf(StartsWith("--sink-avro-schema: "), HasSubstr("--sink-format avro")));
  EXPECT_THAT(problem({"--sink-avro-id", "7"}), StartsWith("--sink-avro-id: "));
  EXPECT_THAT(problem({"--sink-format", "avro", "--sink-avro-schema", dir_.Path("none.avsc")}),
              AllOf(StartsWith("--sink-avro-schema: "), HasSubstr("none.avsc")));
  EXPECT_THAT(
      problem({"--sink-format", "avro", "--sink-avro-schema", schema, "--sink-avro-id", "-1"}),
      StartsWith("--sink-avro-id: "));
}

TEST_F(ConfigTest, KafkaSinkWithKeysOfAFormat) {
  const std::string schema = File("\"long\"", "key.avsc");
  const auto problem = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"--sink", "kafka:t", "--brokers", "localhost:1"});
    return Problem(flags);
  };
  EXPECT_EQ(problem({"--sink-key-format", "text"}), "");
  EXPECT_EQ(problem({"--sink-key-format", "json"}), "");
  EXPECT_EQ(problem({"--sink-key-format", "avro", "--sink-key-avro-schema", schema,
                     "--sink-key-avro-id", "7"}),
            "");
  EXPECT_THAT(problem({"--sink-key-format", "xml"}),
              AllOf(StartsWith("--sink-key-format: "), HasSubstr("none of text, json, avro")));
  EXPECT_THAT(problem({"--sink-key-format", "avro"}),
              AllOf(StartsWith("--sink-key-format: "), HasSubstr("--sink-key-avro-schema FILE")));
  EXPECT_THAT(problem({"--sink-key-format", "json", "--sink-key-avro-schema", schema}),
              AllOf(StartsWith("--sink-key-avro-schema: "), HasSubstr("--sink-key-format avro")));
  EXPECT_THAT(problem({"--sink-key-avro-id", "7"}), StartsWith("--sink-key-avro-id: "));
  EXPECT_THAT(problem({"--sink-key-format", "avro", "--sink-key-avro-schema", "none.avsc"}),
              AllOf(StartsWith("--sink-key-avro-schema: "), HasSubstr("none.avsc")));
  const std::string config =
      File("sink_key_format: avro\nsink_key_avro_schema: '" + schema + "'\n");
  EXPECT_EQ(problem({"--config", config}), "");
}

TEST_F(ConfigTest, WhatAMemorySinkForgetsItsCheckpointForgetsToo) {
  EXPECT_EQ(Options({"--sink", "memory"}).checkpoint.description, "in memory");
  EXPECT_EQ(Options({"--sink", "memory", "--checkpoint", "here"}).checkpoint.description, "here");
}

TEST_F(ConfigTest, MySqlPasswordComesFromAFile) {
  const std::string sink = "mysql://app@db/shop/totals";
  EXPECT_EQ(
      Problem({"--sink", sink}, {{"TIDEMARK_MYSQL_PASSWORD_FILE", File("secret\n", "password")}}),
      "");
  EXPECT_THAT(Problem({"--sink", sink}, {{"TIDEMARK_MYSQL_PASSWORD_FILE", dir_.Path("none")}}),
              AllOf(StartsWith("TIDEMARK_MYSQL_PASSWORD_FILE: "), HasSubstr(dir_.Path("none"))));
}

TEST_F(ConfigTest, Numbers) {
  EXPECT_EQ(Options({"--max-offsets-per-trigger", "100"}).max_offsets_per_trigger, 100);
  EXPECT_EQ(Options({"--brokers", "localhost:1"}).max_offsets_per_trigger, 0);
  EXPECT_EQ(Options({"--embedded-rows", "1000"}).max_offsets_per_trigger, 100);
  EXPECT_EQ(Options({"--threads", "3"}).threads, 3);
  EXPECT_EQ(Options({"--seed", "18446744073709551615"}).input.fingerprint,
            "embedded seed=18446744073709551615");
  EXPECT_EQ(Options({"--snapshot-every", "0"}).snapshot_every, 0);
  EXPECT_EQ(Options({"--give-up-after", "30s"}).give_up_after, absl::Seconds(30));
  EXPECT_FALSE(Options({"--fail-on-data-loss", "false"}).fail_on_data_loss);
  EXPECT_THAT(Problem({"--max-offsets-per-trigger", "0"}), HasSubstr("too small; the least is 1"));
  EXPECT_THAT(Problem({"--max-offsets-per-trigger", "ten"}),
              HasSubstr("'ten' is not a whole number"));
  EXPECT_THAT(Problem({"--threads", "100000"}), HasSubstr("too large; the most is 1024"));
  EXPECT_THAT(Problem({"--threads", "-1"}), HasSubstr("too small"));
  EXPECT_THAT(Problem({"--seed", "-1"}), HasSubstr("'-1' is not a whole number from 0"));
  EXPECT_THAT(Problem({"--fail-on-data-loss", "maybe"}), HasSubstr("none of true, false"));
  EXPECT_THAT(Problem({"--num-rows", "x"}), StartsWith("--num-rows: "));
  EXPECT_EQ(Problem({"--truncate", "false"}), "");
  EXPECT_THAT(Problem({"--truncate", "no"}), StartsWith("--truncate: "));
  EXPECT_THAT(Problem({"--give-up-after", "0"}), HasSubstr("longer than zero"));
}

TEST_F(ConfigTest, DurationsAndWords) {
  EXPECT_THAT(Problem({"--window", "5 parsecs"}),
              AllOf(StartsWith("--window: '5 parsecs' is not a duration"), HasSubstr("5 minutes")));
  EXPECT_THAT(Problem({"--window", "0s"}), HasSubstr("longer than zero"));
  EXPECT_THAT(Problem({"--output-mode", "udpate"}), HasSubstr("did you mean update?"));
  EXPECT_THAT(Problem({"--starting-offsets", "erliest"}), StartsWith("--starting-offsets: "));
  EXPECT_THAT(Problem({"--starting-offsets", "{\"t\":{\"0\":-3}}"}),
              StartsWith("--starting-offsets: "));
  EXPECT_THAT(Problem({"--topic", ""}), StartsWith("--topic: is empty"));
  EXPECT_THAT(Problem({"--checkpoint", ""}), StartsWith("--checkpoint: is empty"));
}

TEST_F(ConfigTest, AvroNeedsItsSchemas) {
  EXPECT_THAT(Problem({"--format", "avro"}),
              AllOf(StartsWith("--format: avro needs its schemas"), HasSubstr("--avro-registry")));
  EXPECT_THAT(Problem({"--avro-schema", "x.avsc"}),
              StartsWith("--avro-schema: there is no schema file x.avsc"));
  EXPECT_THAT(Problem({"--avro-registry", "http://localhost:1"}),
              StartsWith("--avro-registry: is for --format avro only"));
  EXPECT_THAT(Problem({"--format", "jsno"}), HasSubstr("did you mean json?"));
  const std::string schema = File(R"({"type":"record","name":"R","fields":[]})");
  EXPECT_THAT(Problem({"--format", "avro", "--avro-schema", schema, "--avro-schemas", "dir"}),
              StartsWith("--format: avro needs its schemas, from one place"));

  const FormatSpec bare =
      Applied({"--format", "avro", "--avro-schema", schema}).Find<DecodeNode>()->format;
  EXPECT_EQ(bare.name, "avro");
  EXPECT_EQ(bare.schema.size(), 2u);
  EXPECT_THAT(FormatFingerprint(bare), HasSubstr("raw"));
  const FormatSpec framed = Applied({"--format", "avro", "--avro-registry", "http://localhost:1"})
                                .Find<DecodeNode>()
                                ->format;
  EXPECT_NE(FormatFingerprint(framed), FormatFingerprint(bare));
}

TEST_F(ConfigTest, AJobOfATableIsToldWhichOne) {
  definition_.table.emplace();
  EXPECT_THAT(Problem({}), AllOf(StartsWith("--source: the job totals reads a table"),
                                 HasSubstr("mysql://USER@HOST:PORT/DB/TABLE")));
  EXPECT_EQ(Problem({"--source", "mysql://me@localhost:3306/shop/orders"}), "");
  EXPECT_EQ(Problem({"--source", "mysql://me@localhost/shop/orders"}), "");
  EXPECT_EQ(Problem({"--source", "postgres://me@[::1]:5432/shop/orders"}), "");
  EXPECT_EQ(Problem({"--source", "postgres://me@[::1]/shop/orders", "--poll-interval", "5s"}), "");
  EXPECT_THAT(Problem({"--source", "oracle://me@localhost/shop/orders"}),
              StartsWith("--source: 'oracle://...@localhost/shop/orders' is not mysql://"));
  EXPECT_THAT(Problem({"--source", "postgres://me@localhost/shop"}), HasSubstr("names no table"));
  EXPECT_THAT(Problem({"--source", "postgres://localhost/shop/orders"}),
              HasSubstr("names no user"));
  EXPECT_THAT(Problem({"--source", "postgres://me@h/shop/orders?a=b"}),
              HasSubstr("a table has none"));
  // Nobody answers there, or nobody who knows us: the message names the server that was asked.
  const auto asked = [this](const std::string& url) {
    const Schema schema = Schema().Int64("id");
    SourceRequest request;
    request.topic = "orders";
    request.schema = &schema;
    auto source = Options({"--source", url}).input.make(request);
    return source.ok() ? std::string((*source)->Open().message()) : source.status().ToString();
  };
  EXPECT_THAT(asked("postgres://me@[::1]/shop/orders"), HasSubstr("[::1]:5432"));
  EXPECT_THAT(asked("postgres://me@127.0.0.1/shop/orders"), HasSubstr("127.0.0.1:5432"));
  EXPECT_THAT(asked("mysql://me@[::1]/shop/orders"), HasSubstr("[::1]:3306"));
  EXPECT_THAT(Problem({"--source", "postgres://me:hunter2@localhost/shop/orders"}),
              AllOf(HasSubstr("the PostgreSQL URL holds a password"), Not(HasSubstr("hunter2"))));
  for (const char* url : {"postgresql://me:hunter2@localhost/shop/orders",
                          "me:hunter2@localhost/shop/orders", "oracle://me:hunter2@h@x/d/t"}) {
    EXPECT_THAT(Problem({"--source", url}),
                AllOf(HasSubstr("is not mysql://USER@HOST"), Not(HasSubstr("hunter2"))));
  }
  EXPECT_THAT(Problem({"--source", "mysql://me@h/d/t", "--starting-offsets", "earliest"}),
              StartsWith("--starting-offsets: the job totals reads a table"));
  EXPECT_THAT(Problem({"--source", "mysql://me@h/d/t"},
                      {{"TIDEMARK_MYSQL_PASSWORD_FILE", "/nowhere/at/all"}}),
              StartsWith("TIDEMARK_MYSQL_PASSWORD_FILE: the file /nowhere/at/all"));

  definition_.table.reset();
  EXPECT_THAT(Problem({"--source", "mysql://me@h/d/t"}),
              StartsWith("--source: the job totals reads a topic"));
}

TEST_F(ConfigTest, DeadLettersOfATableNeedABrokerToo) {
  definition_.table.emplace();
  const std::vector<std::string> flags = {"--source", "mysql://me@h/d/t", "--bad-records",
                                          "dead-letter:topic=dead"};
  EXPECT_THAT(Problem(flags), AllOf(StartsWith("--bad-records: a topic for dead letters needs"),
                                    HasSubstr("--brokers HOST:PORT")));
  std::vector<std::string> embedded = flags;
  embedded.insert(embedded.end(), {"--brokers", "embedded"});
  EXPECT_THAT(Problem(embedded), HasSubstr("needs a real broker"));
  embedded.back() = "localhost:1";
  EXPECT_EQ(Problem(embedded), "");
}

TEST_F(ConfigTest, PasswordsAreNotTakenFromTheCommandLineOrWrittenInTheFile) {
  for (const char* flag : {"--source-password", "--sink-password", "--sink-password=hunter2"}) {
    const std::string problem = Problem({flag, "hunter2"});
    EXPECT_THAT(problem, AllOf(HasSubstr("seen by everybody"), HasSubstr("_PASSWORD"),
                               HasSubstr("${env:NAME}")));
    EXPECT_EQ(problem.find("hunter2"), std::string::npos);
  }
  definition_.table.emplace();
  const std::string file = File("source: mysql://me@h/d/t\nsource_password: hunter2\n");
  const std::string problem = Problem({"--config", file});
  EXPECT_THAT(problem, AllOf(StartsWith(file + ":2: source_password does not belong"),
                             HasSubstr("${file:PATH}")));
  EXPECT_EQ(problem.find("hunter2"), std::string::npos);
}

TEST_F(ConfigTest, KafkasPasswordComesFromTheEnvironmentOrTheFile) {
  const std::string secret = File("s3cret\r\nmore\n", "secret");
  const std::string config = File("kafka_password: ${env:KEY}\nkafka: {sasl.username: app}\n");
  const auto password = [&](std::vector<std::string> flags, Variables variables) {
    absl::StatusOr<Config> read = Load(std::move(flags), std::move(variables));
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? read->kafka.at("sasl.password").value : "";
  };
  EXPECT_EQ(password({}, {{"TIDEMARK_KAFKA_PASSWORD", "a;b=c"}}), "a;b=c");
  EXPECT_EQ(password({}, {{"TIDEMARK_KAFKA_PASSWORD_FILE", secret}}), "s3cret");
  EXPECT_EQ(password({"--config", config}, {{"KEY", "abc"}}), "abc");
  // The most particular one counts.
  EXPECT_EQ(password({"--config", config}, {{"KEY", "abc"}, {"TIDEMARK_KAFKA_PASSWORD", "env"}}),
            "env");
  EXPECT_EQ(
      password({}, {{"TIDEMARK_KAFKA", "sasl.password=own"}, {"TIDEMARK_KAFKA_PASSWORD", "p"}}),
      "own");
  EXPECT_EQ(Load({}, {{"TIDEMARK_SINK_PASSWORD_FILE", secret}})->Find("sink-password")->value,
            "s3cret");
  EXPECT_THAT(Problem({}, {{"TIDEMARK_SINK_PASSWORD_FILE", "/nowhere"}}),
              StartsWith("TIDEMARK_SINK_PASSWORD_FILE: the file /nowhere cannot be read"));

  for (const std::string& problem :
       {Problem({"--kafka", "kafka.sasl.password=hunter2"}),
        Problem({"--kafka", "ssl.key.password=hunter2"}),
        Problem({"--config", File("kafka: {sasl.password: hunter2}\n")}),
        Problem({}, {{"TIDEMARK_KAFKA", "sasl.password=a;hunter2"}})}) {
    EXPECT_THAT(problem, AllOf(Not(HasSubstr("hunter2")), Not("")));
  }
}

TEST_F(ConfigTest, ValuesInTheFileMayNameVariablesAndFiles) {
  const std::string secret = File("s3cret\r\nmore\n", "secret");
  const std::string config = File(
      "topic: ${env:STAGE}_orders_${env:STAGE}\nsink_password: ${file:" + secret +
      "}\nkafka:\n  sasl.password: ${env:KEY}\nprofiles:\n  prod: {topic: '${env:NOT_HERE}'}\n");
  const Variables variables = {{"STAGE", "test"}, {"KEY", "abc"}};
  absl::StatusOr<Config> read = Load({"--config", config}, variables);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Find("topic")->value, "test_orders_test");
  EXPECT_EQ(read->Find("sink-password")->value, "s3cret");
  EXPECT_EQ(read->kafka.at("sasl.password").value, "abc");

  EXPECT_EQ(Problem({"--config", config}, {{"KEY", "abc"}}),
            config + ":1: the environment variable STAGE is not set");
  EXPECT_EQ(Problem({"--config", config, "--profile", "prod"}, variables),
            config + ":6: the environment variable NOT_HERE is not set");
  for (const char* value : {"${HOME}", "${env:}", "a${env:X", "${vault:x}"}) {
    File("topic: '" + std::string(value) + "'\n");
    EXPECT_THAT(Problem({"--config", config}), HasSubstr("none of them stands here")) << value;
  }
  File("topic: ${file:/nowhere/at/all}\n");
  EXPECT_THAT(Problem({"--config", config}), HasSubstr("/nowhere/at/all cannot be read"));
}

TEST_F(ConfigTest, AReferenceMayHaveADefault) {
  File("s3cret\n", "secret");
  const std::string config = File(
      "topic: t_${env:PORT:-1}_${env:A:-${env:B:-b}}_${env:C:-}\n"
      "sink_password: ${file:${env:FOLDER:-" +
      dir_.path() +
      "}/secret}\n"
      "profiles:\n  prod: {topic: '${file:${env:NOT_HERE}}'}\n");
  const auto topic = [&](const Variables& variables) {
    absl::StatusOr<Config> read = Load({"--config", config}, variables);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? read->Find("topic")->value + " " + read->Find("sink-password")->value : "";
  };
  EXPECT_EQ(topic({}), "t_1_b_ s3cret");
  EXPECT_EQ(topic({{"PORT", ""}, {"A", "a"}}), "t_1_a_ s3cret");
  EXPECT_EQ(topic({{"PORT", "2"}, {"B", "${env:A}"}, {"C", "}"}}), "t_2_${env:A}_} s3cret");
  EXPECT_THAT(Problem({"--config", config}, {{"FOLDER", "/nowhere"}}),
              StartsWith(config + ":2: the file /nowhere/secret cannot be read"));
  for (const char* value : {"${env::-x}", "${env:A:-x", "${env:A:-${env:}}", "${file:${env:A}"}) {
    File("topic: '" + std::string(value) + "'\n");
    EXPECT_THAT(Problem({"--config", config}, {{"A", "a"}}), HasSubstr("none of them stands here"))
        << value;
  }
  // What is not used is not looked up.
  File("topic: ${env:A:-${file:/nowhere}}\n");
  EXPECT_EQ(Problem({"--config", config}, {{"A", "a"}}), "");
  EXPECT_THAT(Problem({"--config", config}), HasSubstr("/nowhere cannot be read"));
  // A default is written down.
  for (const char* text :
       {"kafka_password: ${env:A:-hunter2}\n", "kafka: {sasl.password: '${env:A:-hunter2}'}\n"}) {
    File(text);
    EXPECT_THAT(Problem({"--config", config}, {{"A", "a"}}),
                AllOf(HasSubstr(":1: a password has no default"), Not(HasSubstr("hunter2"))));
  }
  std::string nested = "x";
  for (int i = 0; i < 1000; ++i) nested = "${env:A:-" + nested;
  File("topic: '" + nested + "'\n");
  EXPECT_THAT(Problem({"--config", config}), HasSubstr("more than 8 references"));
}

TEST_F(ConfigTest, FlagsOfAnotherSinkOrBroker) {
  const std::string schema =
      File(R"({"type":"record","name":"R","fields":[{"name":"id","type":"long"}]})", "r.avsc");
  for (const auto& [flag, value] : Variables{{"sink-brokers", "localhost:2"},
                                             {"sink-format", "json"},
                                             {"sink-avro-schema", schema},
                                             {"sink-avro-id", "7"},
                                             {"sink-key-format", "json"},
                                             {"sink-key-avro-schema", schema},
                                             {"sink-key-avro-id", "7"}}) {
    for (const char* sink : {"console", "memory", "json:out", "mysql://app@db/shop/totals"}) {
      EXPECT_EQ(Problem({"--sink", sink, "--" + flag, value}),
                "--" + flag + ": is for --sink kafka:TOPIC; leave it out with another sink");
    }
    EXPECT_THAT(Problem({"--" + flag, value}), StartsWith("--" + flag + ": is for")) << flag;
  }
  for (const std::string flag : {"--num-rows", "--truncate"}) {
    EXPECT_EQ(Problem({flag, "3"}), "");
    EXPECT_EQ(Problem({flag, "3", "--sink", "null"}),
              flag + ": is for --sink console; leave it out with another sink");
  }
  for (const std::string flag : {"--embedded-rows", "--seed"}) {
    EXPECT_EQ(Problem({flag, "3", "--brokers", "embedded"}), "");
    EXPECT_EQ(Problem({flag, "3", "--brokers", "localhost:1"}),
              flag + ": is for the embedded broker; leave it out with a real one (--brokers)");
  }
  // What jobs and profiles share may say more than one of them uses.
  definition_.defaults = {{"truncate", "60"}, {"sink-format", "avro"}};
  const std::string config = File(
      "seed: 2\nnum_rows: 3\nsink_brokers: b:1\nprofiles: {prod: {brokers: 'b:1', sink: "
      "'json:out'}}\n");
  EXPECT_EQ(Problem({"--config", config, "--profile", "prod"},
                    {{"TIDEMARK_EMBEDDED_ROWS", "5"}, {"TIDEMARK_TRUNCATE", "6"}}),
            "");
}

TEST_F(ConfigTest, ANumberAmongTheParameters) {
  definition_.params = {{.name = "least", .help = "", .fallback = "0", .is_number = true}};
  const std::string config = File("params:\n  least: 1e3\n");
  EXPECT_EQ(Problem({"--config", config}), "");
  for (const char* value : {"little", "nan", "inf", "-inf", "1e999", "''"}) {
    File("params:\n  least: " + std::string(value) + "\n");
    EXPECT_THAT(Problem({"--config", config}),
                AllOf(StartsWith(config + ":2: params: the parameter least is '"),
                      HasSubstr("give it a number")));
  }
  EXPECT_THAT(Problem({"--param", "least=x"}), StartsWith("--param: the parameter least is 'x'"));
}

TEST_F(ConfigTest, FlagsThatThePipelineHasNoNodeFor) {
  definition_ = Definition(&Plain);
  for (const char* flag : {"--window", "--watermark", "--idle-timeout", "--max-future-skew"}) {
    EXPECT_THAT(Problem({flag, "5m"}), StartsWith(std::string(flag) + " does not apply")) << flag;
  }
  EXPECT_THAT(Problem({}, {{"TIDEMARK_WINDOW", "5m"}}),
              StartsWith("TIDEMARK_WINDOW does not apply"));
  definition_ = Definition(&Grouped);
  EXPECT_THAT(Problem({"--window", "5m"}),
              StartsWith("--window: the pipeline groups without a window"));
  definition_ = Definition(&Twice);
  EXPECT_THAT(Problem({"--window", "5m"}),
              AllOf(StartsWith("--window does not apply"), HasSubstr("more than one")));
}

TEST_F(ConfigTest, AJobWithoutGeneratorNeedsABroker) {
  definition_.generator = nullptr;
  EXPECT_THAT(Problem({}), AllOf(HasSubstr("no generator"), HasSubstr("--brokers HOST:PORT")));
  EXPECT_EQ(Problem({"--brokers", "localhost:9092"}), "");
}

// ---- The command line -------------------------------------------------------------------------

TEST_F(ConfigTest, WrongFlags) {
  EXPECT_EQ(Problem({"--windw", "5m"}), "--windw: there is no such flag; did you mean --window?");
  EXPECT_EQ(Problem({"--windw=5m"}), "--windw: there is no such flag; did you mean --window?");
  EXPECT_THAT(Problem({"--xyzzyplugh"}), HasSubstr("--help lists"));
  EXPECT_THAT(Problem({"-x"}), StartsWith("-x: there is no such flag"));
  EXPECT_THAT(Problem({"5m"}), StartsWith("'5m' stands alone"));
  EXPECT_THAT(Problem({"--window"}), StartsWith("--window needs a value"));
  EXPECT_THAT(Problem({"--window", "5m", "--window", "6m"}),
              StartsWith("--window is given 2 times"));
  EXPECT_THAT(Problem({"--param", "contact"}), StartsWith("--param: 'contact' is not NAME=VALUE"));
  EXPECT_THAT(Problem({"--kafka", "=x"}), StartsWith("--kafka: '=x' is not NAME=VALUE"));
  EXPECT_THAT(Problem({"--param", "contcat=x"}),
              AllOf(HasSubstr("no parameter 'contcat'"), HasSubstr("did you mean contact?")));
  EXPECT_THAT(Problem({}, {{"TIDEMARK_PARAM", "contact"}}), StartsWith("TIDEMARK_PARAM: "));
  EXPECT_THAT(Problem({}, {{"TIDEMARK_MAX_OFFSETS_PER_TRIGGER", "x"}}),
              StartsWith("TIDEMARK_MAX_OFFSETS_PER_TRIGGER: 'x'"));
}

TEST_F(ConfigTest, ValuesReachUsAsTheyWereWritten) {
  for (const char* value : {"-", "[a,b]", "{}", "\"quoted\"", "a b", "--x", "%%", "a=b"}) {
    absl::StatusOr<Config> config = Load({"--progress", value});
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->Find("progress")->value, value);
  }
  absl::StatusOr<Config> config = Load({"--progress=a=b"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->Find("progress")->value, "a=b");
}

TEST_F(ConfigTest, HelpNamesEveryFlagAndParameter) {
  const std::string help = HelpText(definition_);
  for (const Flag& flag : AllFlags()) {
    const bool secret = flag.kind == Flag::Kind::kSecret;
    EXPECT_THAT(help, HasSubstr(secret ? EnvironmentName(flag) : "--" + flag.name));
  }
  EXPECT_THAT(help,
              AllOf(HasSubstr("Usage: totals"), HasSubstr("Sums orders."), HasSubstr("contact"),
                    HasSubstr("nobody@example.com"), HasSubstr("Exit codes")));
  size_t begin = 0;
  while (begin < help.size()) {
    const size_t end = help.find('\n', begin);
    EXPECT_LE(end - begin, 110u) << help.substr(begin, end - begin);
    begin = end + 1;
  }
  EXPECT_NE(Load({"--help"})->Find("help"), nullptr);
  EXPECT_NE(Load({"-h"})->Find("help"), nullptr);
  // Nothing else is looked at.
  EXPECT_TRUE(Load({"--help", "--config", "/no/such/file"}).ok());
}

// ---- The file ---------------------------------------------------------------------------------

TEST_F(ConfigTest, WrongKeysNameFileLineAndTheNearestKey) {
  const std::string file = File("topic: orders\nwindw: 5m\n");
  EXPECT_EQ(Problem({"--config", file}),
            file + ":2: there is no key 'windw'; did you mean window?");
  File("profiles:\n  prod:\n    max-offsets-per-trigger: 5\n");
  EXPECT_THAT(Problem({"--config", file}),
              AllOf(StartsWith(file + ":3: "), HasSubstr("did you mean max_offsets_per_trigger?")));
  File("parms: {contact: x}\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("did you mean params?"));
  File("params:\n  contcat: x\n");
  EXPECT_THAT(Problem({"--config", file}),
              AllOf(StartsWith(file + ":2: params: "), HasSubstr("contact")));
  File("config: other.yaml\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("there is no key 'config'"));
}

TEST_F(ConfigTest, WrongTypesNameFileAndLine) {
  const std::string file = File("topic: orders\n\nwindow: [1, 2]\n");
  EXPECT_THAT(Problem({"--config", file}),
              AllOf(StartsWith(file + ":3: window must be one value"), HasSubstr("a list")));
  File("window: {size: 5m}\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("a map"));
  File("window:\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("not nothing"));
  File("\nnum_rows: many\n");
  EXPECT_THAT(Problem({"--config", file}),
              StartsWith(file + ":2: num_rows: 'many' is not a whole number"));
  File("kafka: yes\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("kafka must be a map"));
  File("params:\n  contact: [a]\n");
  EXPECT_THAT(Problem({"--config", file}),
              StartsWith(file + ":2: params.contact must be one value"));
  File("- a\n- b\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("the file must be a map"));
  File("profiles: [test]\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("profiles must be a map"));
  File("topic: a\ntopic: b\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr(":2: 'topic' is there twice"));
  File("topic: [\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("this is not YAML"));
  File("? {a: b}\n: c\n");
  EXPECT_THAT(Problem({"--config", file}), HasSubstr("a key must be a word"));
}

TEST_F(ConfigTest, AProfileNotChosenIsCheckedToo) {
  const std::string file = File("profiles:\n  prod: {topc: x}\n  dev:\n");
  EXPECT_THAT(Problem({"--config", file, "--profile", "dev"}), HasSubstr("did you mean topic?"));
}

TEST_F(ConfigTest, UnknownProfilesAndFiles) {
  const std::string file = File("topic: x\nprofiles: {prod: {}, staging: {}}\n");
  EXPECT_THAT(
      Problem({"--config", file, "--profile", "prdo"}),
      AllOf(StartsWith(file + ":2: there is no profile 'prdo'"), HasSubstr("did you mean prod?")));
  File("topic: a\n");
  EXPECT_THAT(Problem({"--config", file, "--profile", "prod"}), HasSubstr("it has none"));
  EXPECT_THAT(Problem({"--config", dir_.Path("none.yaml")}),
              AllOf(StartsWith("--config: "), HasSubstr("No such file")));
  EXPECT_THAT(Problem({"--config", dir_.path()}), StartsWith("--config: "));
  definition_.name = "no_such_job";
  EXPECT_THAT(Problem({"--profile", "prod"}),
              AllOf(StartsWith("--profile: "), HasSubstr("examples/no_such_job/no_such_job.yaml"),
                    HasSubstr("--config FILE")));
  EXPECT_EQ(Problem({"--config", File("")}), "") << "an empty file says nothing";
}

}  // namespace
}  // namespace tidemark
