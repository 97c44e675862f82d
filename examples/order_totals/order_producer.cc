// Sends made-up orders to the topic of order_totals, as a shop system would: `order_producer
// --rate 1000 --count 5000`.

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "examples/order_totals/order_totals.h"
#include "examples/services.h"

namespace {

volatile std::sig_atomic_t stopped = 0;

struct Flags {
  std::string brokers = tidemark::examples::ServicesKafka();
  std::string topic = "orders";
  std::string format = "json";
  double rate = 1000;
  uint64_t seed = 1;
  int64_t count = 0;
  std::string start;
};

struct DestroyProducer {
  void operator()(rd_kafka_t* producer) const { rd_kafka_destroy(producer); }
};
using Producer = std::unique_ptr<rd_kafka_t, DestroyProducer>;

int Fail(const std::string& problem) {
  fmt::print(stderr, "error: {}\n", problem);
  return 1;
}

// What came of the records so far. Counted by rd_kafka_poll, on the main thread.
struct Deliveries {
  int64_t sent = 0;
  int64_t failed = 0;
  std::string last_error;
};

void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& deliveries = *static_cast<Deliveries*>(opaque);
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    ++deliveries.sent;
  } else {
    ++deliveries.failed;
    deliveries.last_error = rd_kafka_err2str(message->err);
  }
}

Producer MakeProducer(const Flags& flags, Deliveries* deliveries, std::string* problem) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512] = "";
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>{"bootstrap.servers", flags.brokers},
        {"enable.idempotence", "true"},
        {"linger.ms", "5"}}) {
    rd_kafka_conf_set(conf, key, value.c_str(), error, sizeof(error));
  }
  rd_kafka_conf_set_dr_msg_cb(conf, &OnDelivery);
  rd_kafka_conf_set_opaque(conf, deliveries);
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
  if (producer == nullptr) {
    *problem = error;
    rd_kafka_conf_destroy(conf);
  }
  return Producer(producer);
}

// The topic's partitions; 0 and the problem in words if it is not there.
int32_t CountPartitions(rd_kafka_t* producer, const std::string& topic, std::string* problem) {
  rd_kafka_topic_t* handle = rd_kafka_topic_new(producer, topic.c_str(), nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t asked = rd_kafka_metadata(producer, 0, handle, &metadata, 10'000);
  rd_kafka_topic_destroy(handle);
  int32_t partitions = 0;
  if (asked != RD_KAFKA_RESP_ERR_NO_ERROR) {
    *problem = rd_kafka_err2str(asked);
  } else if (metadata->topic_cnt == 0 || metadata->topics[0].partition_cnt == 0) {
    *problem = "there is no such topic; create it first";
  } else {
    partitions = metadata->topics[0].partition_cnt;
  }
  if (metadata != nullptr) rd_kafka_metadata_destroy(metadata);
  return partitions;
}

// Record `i` of the run: the partitions take turns.
bool Send(rd_kafka_t* producer, const Flags& flags, int32_t partitions, int64_t i,
          int64_t start_ms) {
  const auto partition = static_cast<int32_t>(i % partitions);
  const tidemark::examples::Order order =
      tidemark::examples::MakeOrder(flags.seed, partition, i / partitions);
  const int64_t now_ms =
      start_ms + static_cast<int64_t>(static_cast<double>(i) * 1000 / flags.rate);
  const std::string key = std::to_string(order.orderid);
  const std::string value = flags.format == "avro" ? order.Avro(now_ms) : order.Json(now_ms);
  while (stopped == 0) {
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(flags.topic.c_str()), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_KEY(key.data(), key.size()), RD_KAFKA_V_TIMESTAMP(now_ms),
        RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) return error == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_poll(producer, 100);
  }
  return true;
}

int Run(const Flags& flags, int64_t start_ms) {
  Deliveries deliveries;
  std::string problem;
  const Producer producer = MakeProducer(flags, &deliveries, &problem);
  if (producer == nullptr) return Fail(fmt::format("the producer cannot be made: {}", problem));
  const int32_t partitions = CountPartitions(producer.get(), flags.topic, &problem);
  if (partitions == 0)
    return Fail(fmt::format("topic {} at {}: {}", flags.topic, flags.brokers, problem));

  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  int64_t i = 0;
  while (stopped == 0 && (flags.count == 0 || i < flags.count)) {
    const std::chrono::duration<double> passed = Clock::now() - begin;
    const auto due = static_cast<int64_t>(passed.count() * flags.rate) + 1;
    if (i >= due) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } else if (!Send(producer.get(), flags, partitions, i++, start_ms)) {
      return Fail(fmt::format("topic {} refused a record", flags.topic));
    }
    rd_kafka_poll(producer.get(), 0);
  }
  rd_kafka_flush(producer.get(), 10'000);
  fmt::print(stderr, "Produced {} orders to {} ({} partitions, seed {})\n", deliveries.sent,
             flags.topic, partitions, flags.seed);
  if (deliveries.failed == 0) return 0;
  return Fail(
      fmt::format("{} orders were not accepted: {}", deliveries.failed, deliveries.last_error));
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Sends made-up orders to a topic, at a steady rate.");
  app.add_option("--brokers", flags.brokers, "HOST:PORT,... (default " + flags.brokers + ")");
  app.add_option("--topic", flags.topic, "where to send them (default orders)");
  app.add_option("--format", flags.format, "json (default) or avro, of order.avsc")
      ->check(CLI::IsMember({"json", "avro"}));
  app.add_option("--rate", flags.rate, "orders a second (default 1000)")
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", flags.seed, "another seed makes other orders (default 1)");
  app.add_option("--count", flags.count, "orders to send; default: until stopped")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--start", flags.start,
                 "created_at of the first one (2025-01-06T08:00:00Z); default: now");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    Fail(error.what());
    return 2;
  }
  absl::Time start = absl::Now();
  std::string problem;
  if (!flags.start.empty() && !absl::ParseTime(absl::RFC3339_full, flags.start, &start, &problem)) {
    Fail(fmt::format("--start: '{}' is not a time such as 2025-01-06T08:00:00Z", flags.start));
    return 2;
  }
  std::signal(SIGINT, [](int) { stopped = 1; });
  std::signal(SIGTERM, [](int) { stopped = 1; });
  return Run(flags, absl::ToUnixMillis(start));
}
