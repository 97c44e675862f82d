#ifndef TIDEMARK_BENCH_TOTALS_H_
#define TIDEMARK_BENCH_TOTALS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/servers/kafka_server.h"
#include "tidemark/engine/pipeline.h"
#include "tidemark/operators/sinks/sink.h"

/// What the benches count, and their peers too: orders, their sum and their maximum
/// per user and minute.
namespace tidemark {

enum class KeyOrder {
  kEven,     ///< every key once, in an order that jumps about, then all of them again
  kUniform,  ///< drawn
  kZipf,     ///< drawn: the k-th most frequent key k times rarer than the first (exponent 1.0)
};

/// Which rows. Row i is a pure function of this and i.
struct TotalsRows {
  int64_t rows = 4'000'000;
  int64_t keys = 100'000;
  /// A minute of event time passes in keys * rows_per_group rows.
  int64_t rows_per_group = 5;
  KeyOrder order = KeyOrder::kEven;
  int64_t even_rows = 0;         ///< the first so many rows come in even order all the same
  bool text_keys = false;        ///< `user_id` is 16 bytes of text
  bool shuffled_fields = false;  ///< a JSON record's members come in a drawn order
  int64_t value_bytes = 0;       ///< records are filled up to about this size
};

struct TotalsRow {
  int64_t user_id = 0;
  int64_t time_us = 0;
  int64_t amount = 0;
};

inline constexpr int64_t kTotalsWindowSeconds = 60;
inline constexpr int64_t kTotalsStartSeconds = 1'735'689'600;  // 2025-01-01T00:00:00Z

TotalsRow RowAt(int64_t i, const TotalsRows& rows);
/// A row a day after the last one: closes every window of the rows before. Its own stays open.
TotalsRow ClosingRow(const TotalsRows& rows);
/// About 146 bytes of JSON, six members.
std::string JsonRecord(const TotalsRow& row, const TotalsRows& rows);
/// The same record as an Avro datum of TotalsAvroSchema.
std::string AvroRecord(const TotalsRow& row, const TotalsRows& rows);
std::string TotalsAvroSchema(const TotalsRows& rows);

/// All groups of a run as five numbers that any engine can compute: sums over the groups of plain
/// 64-bit integers, in any order.
struct Answer {
  int64_t groups = 0;
  int64_t count = 0;
  int64_t total = 0;
  int64_t most = 0;
  int64_t check = 0;  ///< sum of (user_id + 1) * (total % 1000003)
  void Add(int64_t user_id, int64_t group_count, int64_t group_total, int64_t group_most);
  /// `groups count total most check`
  std::string ToText() const;
  friend bool operator==(const Answer&, const Answer&) = default;
};
/// What is right, by a plain fold over the rows.
Answer PlainFold(const TotalsRows& rows);

/// Adds up the groups it is given into `answer`, which outlives it: of all batches (append mode:
/// the closed windows), or only of the last one that had rows.
enum class AnswerOf { kAllBatches, kLastBatch };
std::unique_ptr<Sink> MakeAnswerSink(Answer* answer, bool text_keys = false,
                                     AnswerOf of = AnswerOf::kAllBatches);

/// Append mode: each window once, when it closes.
Query TotalsPerUser(Job& job, const std::string& topic, FormatSpec format, Trigger trigger,
                    OutputMode mode = OutputMode::kAppend);
/// The columns that are decoded.
Schema TotalsSchema(const TotalsRows& rows);

/// Makes the topic and fills it: row i is in partition i mod `partitions`, and each partition ends
/// with a closing row.
absl::Status LoadTopic(testing::KafkaServer& kafka, const std::string& topic, int32_t partitions,
                       const TotalsRows& rows);

double Median(std::vector<double> values);

}  // namespace tidemark

#endif  // TIDEMARK_BENCH_TOTALS_H_
