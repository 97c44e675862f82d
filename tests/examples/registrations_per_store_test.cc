#include "examples/registrations_per_store/registrations_per_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "absl/time/time.h"
#include "tests/examples/job_program.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/engine/test_kit.h"

namespace tidemark {
namespace {

using examples::FakeCustomer;
using examples::RegistrationsPerStore;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::JobFolder;
using testing::JsonBatches;
using testing::KafkaServer;
using testing::ProcessResult;

TEST(RegistrationsPerStore, CountsPerStoreAndWindow) {
  TestKit kit(&RegistrationsPerStore);
  kit.Add({{"customer_id", 1}, {"store_id", 7}, {"created_at", "2025-01-06T08:01:00Z"}});
  kit.Add({{"customer_id", 2}, {"store_id", 7}, {"created_at", "2025-01-06T08:04:59.999Z"}});
  kit.Add({{"customer_id", 3}, {"store_id", 8}, {"created_at", "2025-01-06T08:05:00Z"}});
  ASSERT_TRUE(kit.RunAll().ok());
  EXPECT_THAT(
      kit.Batches()[0],
      ElementsAre(
          R"({"window_start":"2025-01-06T08:00:00Z","window_end":"2025-01-06T08:05:00Z","store_id":7,"registrations":2})",
          R"({"window_start":"2025-01-06T08:05:00Z","window_end":"2025-01-06T08:10:00Z","store_id":8,"registrations":1})"));
  // Far ahead: the watermark passes the first window; what comes for it then is late.
  kit.Add({{"customer_id", 4}, {"store_id", 7}, {"created_at", "2025-01-06T08:30:00Z"}});
  ASSERT_TRUE(kit.RunAll().ok());
  kit.Add({{"customer_id", 5}, {"store_id", 7}, {"created_at", "2025-01-06T08:02:00Z"}});
  const absl::StatusOr<bool> late = kit.RunBatch();
  ASSERT_TRUE(late.ok() && *late);
  EXPECT_THAT(kit.Rows(), IsEmpty());
  EXPECT_EQ(kit.LastProgress().state->rows_dropped_by_watermark, 1);
}

TEST(RegistrationsPerStore, TheGeneratorIsAPureFunctionAndMostlyInTime) {
  for (const int64_t offset : {int64_t{0}, int64_t{1}, int64_t{123'456}, int64_t{1} << 40}) {
    const GeneratedRecord once = FakeCustomer(7, 2, offset);
    const GeneratedRecord again = FakeCustomer(7, 2, offset);
    EXPECT_EQ(once.key, again.key);
    EXPECT_EQ(once.value, again.value);
    EXPECT_EQ(once.timestamp_ms, again.timestamp_ms);
    EXPECT_NE(once.value, FakeCustomer(8, 2, offset).value);
    EXPECT_NE(once.value, FakeCustomer(7, 3, offset).value);
    EXPECT_NE(once.value, FakeCustomer(7, 2, offset + 1).value);
  }
  TestKit kit(&RegistrationsPerStore);
  for (int64_t offset = 0; offset < 2000; ++offset) {
    const GeneratedRecord record = FakeCustomer(1, 0, offset);
    kit.AddRaw(record.value, 0, record.key);
  }
  ASSERT_TRUE(kit.RunAll().ok());
  std::set<std::string> stores;
  for (const auto& [key, row] : kit.Table())
    stores.insert(row.substr(row.find("\"store_id\"")).substr(0, 12));
  EXPECT_EQ(stores.size(), 5u);
}

// ---- Against a real broker, batch for batch ---------------------------------------------------

constexpr int64_t kWindowS = 60;
constexpr int64_t kDelayS = 30;
constexpr size_t kBatchRows = 100;

struct Event {
  std::optional<int64_t> at_ms;
  std::optional<int64_t> store;

  std::string Json() const {
    std::string json = R"({"customer_id":1)";
    if (store.has_value()) json += fmt::format(R"(,"store_id":{})", *store);
    if (at_ms.has_value()) {
      json += fmt::format(R"(,"created_at":"{}")",
                          absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(*at_ms),
                                           absl::UTCTimeZone()));
    }
    return json + "}";
  }
};

// What Spark Structured Streaming does with these rows, 100 a trigger: written as simply as
// possible, and from Spark's rules alone. A group is (window end in seconds, store; -1 stands for
// null).
class Spark {
 public:
  using Group = std::pair<int64_t, int64_t>;

  explicit Spark(std::string mode) : mode_(std::move(mode)) {}

  std::map<int64_t, std::vector<std::string>> Run(const std::vector<Event>& events) {
    std::map<int64_t, std::vector<std::string>> batches;
    int64_t batch = 0;
    for (size_t begin = 0; begin < events.size(); begin += kBatchRows) {
      const size_t end = std::min(events.size(), begin + kBatchRows);
      batches[batch++] = Batch({events.begin() + static_cast<int64_t>(begin),
                                events.begin() + static_cast<int64_t>(end)});
    }
    // The watermark rose in the last batch: one more, without rows.
    if (mode_ != "complete" && next_watermark_ > watermark_) batches[batch++] = Batch({});
    return batches;
  }

 private:
  std::vector<std::string> Batch(const std::vector<Event>& events) {
    const double late_watermark = watermark_;
    watermark_ = next_watermark_;
    std::set<Group> touched;
    for (const Event& event : events) {
      if (!event.at_ms.has_value()) continue;
      newest_ms_ = std::max(newest_ms_, static_cast<double>(*event.at_ms));
      const int64_t window_end = (*event.at_ms / 1000 / kWindowS + 1) * kWindowS;
      if (mode_ != "complete" && static_cast<double>(window_end) <= late_watermark) continue;
      const Group group{window_end, event.store.value_or(-1)};
      ++counts_[group];
      touched.insert(group);
    }
    std::vector<std::string> rows;
    for (const auto& [group, count] : counts_) {
      const bool closed = static_cast<double>(group.first) <= watermark_;
      if (mode_ == "complete" || (mode_ == "update" && touched.contains(group)) ||
          (mode_ == "append" && closed)) {
        rows.push_back(Row(group, count));
      }
    }
    if (mode_ != "complete") {
      std::erase_if(counts_, [&](const auto& entry) {
        return static_cast<double>(entry.first.first) <= watermark_;
      });
    }
    next_watermark_ = std::max(next_watermark_, newest_ms_ / 1000 - kDelayS);
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  static std::string Row(const Group& group, int64_t count) {
    const auto time = [](int64_t seconds) {
      return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(seconds),
                              absl::UTCTimeZone());
    };
    return fmt::format(R"({{"window_start":"{}","window_end":"{}",{}"registrations":{}}})",
                       time(group.first - kWindowS), time(group.first),
                       group.second < 0 ? "" : fmt::format(R"("store_id":{},)", group.second),
                       count);
  }

  const std::string mode_;
  double newest_ms_ = -1e18;
  double watermark_ = -1e18;       // of the batch being run, in seconds
  double next_watermark_ = -1e18;  // of the next one
  std::map<Group, int64_t> counts_;
};

std::vector<Event> RandomEvents(unsigned seed, size_t count) {
  std::mt19937 random(seed);
  const auto below = [&](int bound) {
    return std::uniform_int_distribution<>(0, bound - 1)(random);
  };
  std::vector<Event> events(count);
  int64_t now_ms = 1'736'150'400'000;
  for (Event& event : events) {
    now_ms += below(1000);
    // Now and then a pause, after which windows close many at a time.
    if (below(300) == 0) now_ms += 200'000;
    int64_t age_ms = below(20'000);
    if (below(10) == 0) age_ms = below(300'000);
    if (below(50) != 0) event.at_ms = now_ms - age_ms;
    if (below(50) == 0) event.at_ms = now_ms / 60'000 * 60'000;  // on a window's edge
    if (below(50) != 0) event.store = below(4);
  }
  return events;
}

TEST(RegistrationsPerStore, WritesSparksBatchesInEachMode) {
  absl::StatusOr<std::unique_ptr<KafkaServer>> kafka = KafkaServer::Start();
  ASSERT_TRUE(kafka.ok()) << kafka.status();
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (unsigned round = 0; round < 3; ++round) {
    const std::string topic = "registrations" + std::to_string(round);
    ASSERT_TRUE((*kafka)->CreateTopic(topic, 1).ok());
    const std::vector<Event> events = RandomEvents(seed + round, 2'350);
    const absl::Status produced =
        (*kafka)->ProduceMany(topic, 0, static_cast<int64_t>(events.size()),
                              [&](int64_t i) { return events[static_cast<size_t>(i)].Json(); });
    ASSERT_TRUE(produced.ok()) << produced;
    for (const char* mode : {"append", "update", "complete"}) {
      JobFolder folder;
      const ProcessResult result =
          folder.Run("registrations_per_store",
                     {"--brokers", (*kafka)->brokers(), "--topic", topic, "--starting-offsets",
                      "earliest", "--sink", "json:out", "--trigger", "available-now",
                      "--max-offsets-per-trigger", std::to_string(kBatchRows), "--window", "60s",
                      "--watermark", "30s", "--output-mode", mode});
      ASSERT_EQ(result.exit_code, 0) << result.stderr_text;
      auto batches = JsonBatches(folder.Path("out"));
      for (auto& [batch, rows] : batches) std::sort(rows.begin(), rows.end());
      const auto expected = Spark(mode).Run(events);
      EXPECT_EQ(batches.size(), expected.size());
      for (const auto& [batch, rows] : expected) {
        ASSERT_EQ(batches[batch], rows) << mode << " mode, round " << round << ", batch " << batch;
      }
      EXPECT_TRUE(std::filesystem::exists(folder.Path("out/_SUCCESS")));
    }
  }
}

}  // namespace
}  // namespace tidemark
