#ifndef TIDEMARK_ENGINE_TEST_KIT_H_
#define TIDEMARK_ENGINE_TEST_KIT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/engine/clock.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/engine/query_execution.h"
#include "tidemark/operators/sinks/memory_sink.h"
#include "tidemark/operators/sources/memory_source.h"

namespace tidemark {

/// A clock that stands still until it is moved. Thread-safe.
class ManualClock : public Clock {
 public:
  explicit ManualClock(absl::Time start = absl::FromUnixSeconds(1'735'689'600))
      : now_(start) {}  // 2025-01-01
  absl::Time Now() const override;
  absl::Duration Monotonic() const override;
  void Advance(absl::Duration by);

 private:
  mutable std::mutex mutex_;
  absl::Time now_;
  absl::Duration monotonic_;
};

/// A field's value in a test's input row. A timestamp or date is written as text:
/// `2025-01-02T10:15:00Z`.
using TestValue = std::variant<std::nullptr_t, bool, int64_t, double, std::string>;

/// One input row: field name to value; fields left out are missing in the record.
class TestRow {
 public:
  TestRow(std::initializer_list<std::pair<std::string, TestValue>> fields) : fields_(fields) {}
  const std::vector<std::pair<std::string, TestValue>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, TestValue>> fields_;
};

/// Drives a pipeline by hand: the job's own pipeline function, over a topic, a sink and a
/// checkpoint in memory, a batch at a time and with a clock that the test moves. No broker, no
/// files, no threads of its own (but the row path's workers).
///
///   TestKit kit(&RegistrationsPerStore);
///   kit.Add({{"customer_id", 1}, {"store_id", 7}, {"created_at", "2025-01-02T10:01:00Z"}});
///   kit.RunBatch();
///   kit.Rows();   //
///   {R"({"window_start":"2025-01-02T10:00:00Z",...,"store_id":7,"registrations":1})"}
///
/// Use from one thread.
class TestKit {
 public:
  using Pipeline = std::function<Query(Job&)>;
  /// `change` may alter the options (policies, limits, threads) before the query is made; it is
  /// called again at each Start.
  explicit TestKit(Pipeline pipeline, std::map<std::string, std::string> params = {},
                   std::function<void(QueryOptions&)> change = {});
  ~TestKit();

  /// Adds a record to the input: the row in the encoding that the pipeline's Decode reads. The
  /// record has no timestamp unless one is given (so no event time is judged to be too far in the
  /// future).
  void Add(const TestRow& row, int32_t partition = 0,
           std::optional<int64_t> timestamp_us = std::nullopt);
  /// Adds raw bytes as they are; no value: a tombstone.
  void AddRaw(std::optional<std::string> value, int32_t partition = 0,
              std::optional<std::string> key = std::nullopt);

  /// Starts the query if it is not running, and runs one batch. False: there was nothing to do.
  absl::StatusOr<bool> RunBatch();
  /// Runs batches until there is nothing to do (at most 10,000), each read while the one before is
  /// written, as a running query does. After an error the same call goes on.
  absl::Status RunAll();
  /// Starts the query: from the checkpoint, if it ran before. Called by RunBatch when needed.
  absl::Status Start();
  /// Drops the query as a crash would: nothing but checkpoint, topic and sink remain.
  void Stop();

  /// What the last batch wrote: a JSON object a row, in the order of the sink, nulls as null.
  std::vector<std::string> Rows() const;
  /// All batches' rows, oldest batch first.
  std::vector<std::vector<std::string>> Batches() const;
  /// The rows of the last batch that wrote each key (the pipeline's key columns, else the whole
  /// row): the live table.
  std::map<std::string, std::string> Table() const;
  const Progress& LastProgress() const;

  ManualClock& clock() { return *clock_; }
  MemoryTopic& topic() { return *topic_; }

 private:
  QueryOptions Options() const;

  const std::function<void(QueryOptions&)> change_;
  Query query_;
  std::shared_ptr<ManualClock> clock_;
  std::shared_ptr<MemoryTopic> topic_;
  std::shared_ptr<MemoryTable> table_;
  std::shared_ptr<MemoryCheckpoint> checkpoint_;
  std::unique_ptr<QueryExecution> execution_;
  Progress last_progress_;
};

/// The record that `format` decodes into the row: JSON text with the fields at their paths. Fields
/// the schema does not have are added at the top level under their name.
std::string EncodeTestRow(const FormatSpec& format, const TestRow& row);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TEST_KIT_H_
