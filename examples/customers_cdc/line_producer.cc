// Sends each line of standard input, typed or piped in, as a message to a topic:
// `publish_lines --topic customers_cdc --key id < events.jsonl`. A line is a JSON object; the value
// of its field `id` is then the message's key, so that what happens to one customer stays in order.

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "examples/services.h"
#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/formats/format.h"

namespace {

volatile sig_atomic_t stopped = 0;

struct Flags {
  std::string brokers = tidemark::examples::ServicesKafka();
  std::string topic;
  std::string key;
  int32_t partitions = 0;
};

// What came of the lines. Counted on the main thread.
struct Counts {
  int64_t sent = 0;
  int64_t not_accepted = 0;
  int64_t not_sent = 0;
  std::string last_error;
};

int Fail(const std::string& problem, int code) {
  fmt::print(stderr, "error: {}\n", problem);
  return code;
}

void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  const auto* const handle = static_cast<tidemark::KafkaHandle*>(opaque);
  auto& counts = *static_cast<Counts*>(handle->delivery_opaque());
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    ++counts.sent;
  } else {
    ++counts.not_accepted;
    counts.last_error = rd_kafka_err2str(message->err);
  }
}

// Reads a line as the jobs will read it, and finds its key. Without a key column the object still
// has to be one.
class LineReader {
 public:
  static absl::StatusOr<LineReader> Make(const std::string& key) {
    auto decoder =
        tidemark::MakeDecoder(tidemark::Json(tidemark::Schema().String(key.empty() ? "key" : key)));
    if (!decoder.ok()) return decoder.status();
    return LineReader(key, *std::move(decoder));
  }

  // The key, empty without a key column; InvalidArgument: the line is no message.
  absl::StatusOr<std::string> KeyOf(const std::string& line) {
    tidemark::RawRecords records;
    tidemark::RawRecord record;
    record.value = line;
    record.has_value = true;
    records.records = {record};
    std::vector<tidemark::BadRecord> bad;
    const tidemark::RowBatch row = decoder_->Decode(records, /*keep_bad_rows=*/false, &bad);
    if (!bad.empty()) {
      return absl::InvalidArgumentError(fmt::format(
          "not a JSON object ({}: {})", tidemark::BadReasonName(bad[0].reason), bad[0].detail));
    }
    if (key_.empty()) return std::string();
    if (row.column(0).IsNull(0)) {
      return absl::InvalidArgumentError(fmt::format("its field '{}', the key, is missing", key_));
    }
    return std::string(row.column(0).text(0));
  }

 private:
  LineReader(std::string key, std::unique_ptr<tidemark::Decoder> decoder)
      : key_(std::move(key)), decoder_(std::move(decoder)) {}

  std::string key_;
  std::unique_ptr<tidemark::Decoder> decoder_;
};

// Makes the topic if that is wanted. NotFound: there is none.
absl::Status FindTopic(const Flags& flags) {
  auto client = tidemark::KafkaClient::Make({.brokers = flags.brokers}, "publish_lines", {});
  if (!client.ok()) return client.status();
  if (flags.partitions > 0) return (*client)->CreateTopic(flags.topic, flags.partitions);
  return (*client)->CountPartitions(flags.topic).status();
}

bool Send(rd_kafka_t* producer, const Flags& flags, const std::string& key, const std::string& line,
          Counts* counts) {
  while (stopped == 0) {
    const rd_kafka_resp_err_t error =
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(flags.topic.c_str()),
                          RD_KAFKA_V_KEY(flags.key.empty() ? nullptr : key.data(), key.size()),
                          RD_KAFKA_V_VALUE(const_cast<char*>(line.data()), line.size()),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      counts->last_error = rd_kafka_err2str(error);
      return false;
    }
    rd_kafka_poll(producer, 100);
  }
  return true;
}

void PublishLines(rd_kafka_t* producer, const Flags& flags, LineReader& reader, Counts* counts) {
  std::string line;
  for (int64_t number = 1; stopped == 0 && std::getline(std::cin, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    const absl::StatusOr<std::string> key = reader.KeyOf(line);
    if (!key.ok()) {
      ++counts->not_sent;
      fmt::print(stderr, "line {} is not sent: {}\n", number, std::string(key.status().message()));
    } else if (!Send(producer, flags, *key, line, counts)) {
      ++counts->not_sent;
      fmt::print(stderr, "line {} is not sent: {}\n", number, counts->last_error);
    }
    rd_kafka_poll(producer, 0);
  }
}

int Run(const Flags& flags) {
  if (absl::Status status = FindTopic(flags); !status.ok()) {
    return Fail(fmt::format("topic {} at {}: {}{}", flags.topic, flags.brokers,
                            std::string(status.message()),
                            absl::IsNotFound(status) ? "; --partitions N makes it" : ""),
                1);
  }
  absl::StatusOr<LineReader> reader = LineReader::Make(flags.key);
  if (!reader.ok()) return Fail(std::string(reader.status().message()), 2);
  Counts counts;
  const auto producer = tidemark::KafkaHandle::Make(
      tidemark::KafkaHandle::Kind::kProducer, {.brokers = flags.brokers},
      {.fixed = {{"enable.idempotence", "true"}, {"partitioner", "murmur2_random"}},
       .on_delivery = &OnDelivery,
       .delivery_opaque = &counts});
  if (!producer.ok()) return Fail(std::string(producer.status().message()), 2);
  PublishLines((*producer)->get(), flags, *reader, &counts);
  rd_kafka_flush((*producer)->get(), 30'000);
  const int64_t waiting = rd_kafka_outq_len((*producer)->get());
  fmt::print(stderr, "Published {} lines to {}\n", counts.sent, flags.topic);
  if (counts.not_accepted + waiting > 0) {
    return Fail(fmt::format("{} lines were not accepted: {}", counts.not_accepted + waiting,
                            counts.last_error.empty() ? "no answer" : counts.last_error),
                1);
  }
  if (counts.not_sent > 0) return Fail(fmt::format("{} lines were not sent", counts.not_sent), 1);
  return 0;
}

// Ends the read of standard input too.
void OnSignal(int signal) {
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(signal, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Sends each line of standard input, a JSON object, as a message to a topic.");
  app.add_option("--topic", flags.topic, "where to send them")->required();
  app.add_option("--key", flags.key,
                 "the field whose value is the message's key; messages of one key stay in order");
  app.add_option("--partitions", flags.partitions,
                 "if there is no such topic, make it with so many partitions")
      ->check(CLI::PositiveNumber);
  app.add_option("--brokers", flags.brokers, "HOST:PORT,... (default " + flags.brokers + ")");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Fail(error.what(), 2);
  }
  OnSignal(SIGINT);
  OnSignal(SIGTERM);
  return Run(flags);
}
