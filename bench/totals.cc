#include "bench/totals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int64_t kMicros = 1'000'000;
constexpr std::string_view kTextKeyPrefix = "user-";  // 11 digits follow

uint64_t Drawn(int64_t i, uint64_t salt) {
  return StableHashInt(static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15ULL + salt + 1);
}

// The k-th harmonic number; past the table by its expansion, to 1e-9.
class Harmonic {
 public:
  static constexpr int64_t kTable = 1000;
  Harmonic() {
    for (int64_t k = 1; k <= kTable; ++k) {
      sums_[static_cast<size_t>(k)] =
          sums_[static_cast<size_t>(k - 1)] + 1 / static_cast<double>(k);
    }
  }
  double At(int64_t k) const {
    if (k <= kTable) return sums_[static_cast<size_t>(k)];
    const auto x = static_cast<double>(k);
    return std::log(x) + kEuler + 1 / (2 * x);
  }
  // The smallest k whose number is at least `sum`.
  int64_t Inverse(double sum) const {
    if (sum <= sums_[kTable]) {
      return std::lower_bound(sums_.begin() + 1, sums_.end(), sum) - sums_.begin();
    }
    return static_cast<int64_t>(std::ceil(std::exp(sum - kEuler) - 0.5));
  }

 private:
  static constexpr double kEuler = 0.57721566490153286;
  std::array<double, kTable + 1> sums_{};
};

int64_t ZipfRank(double drawn, int64_t keys) {
  static const Harmonic harmonic;
  return std::clamp<int64_t>(harmonic.Inverse(drawn * harmonic.At(keys)), 1, keys) - 1;
}

int64_t KeyAt(int64_t i, const TotalsRows& rows) {
  int64_t rank = i % rows.keys;
  if (i < rows.even_rows) {
    // in turn
  } else if (rows.order == KeyOrder::kUniform) {
    rank = static_cast<int64_t>(Drawn(i, 1) % static_cast<uint64_t>(rows.keys));
  } else if (rows.order == KeyOrder::kZipf) {
    rank = ZipfRank(static_cast<double>(Drawn(i, 1) >> 11) * 0x1p-53, rows.keys);
  }
  // A multiplier that shares no factor with the number of keys visits each of them once a round.
  return static_cast<int64_t>(static_cast<uint64_t>(rank) * 7'919 %
                              static_cast<uint64_t>(rows.keys));
}

std::string UserIdText(int64_t user_id) { return fmt::format("{}{:011}", kTextKeyPrefix, user_id); }

struct Filling {
  std::string session;
  std::string note;  // what is missing to value_bytes
};
constexpr int64_t kPlainBytes = 146;
Filling FillingOf(const TotalsRow& row, const TotalsRows& rows) {
  Filling filling;
  filling.session = fmt::format("{:016x}{:016x}", StableHashInt(static_cast<uint64_t>(row.time_us)),
                                StableHashInt(static_cast<uint64_t>(row.amount)));
  if (rows.value_bytes == 0) return filling;
  if (rows.value_bytes < kPlainBytes) {
    const auto less = static_cast<size_t>(kPlainBytes - rows.value_bytes);
    filling.session.resize(filling.session.size() - std::min(less, filling.session.size()));
  } else {
    filling.note.assign(
        static_cast<size_t>(std::max<int64_t>(rows.value_bytes - kPlainBytes - 10, 0)), 'n');
  }
  return filling;
}

void AppendAvroLong(int64_t value, std::string* out) {
  auto rest = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  for (; rest >= 0x80; rest >>= 7) out->push_back(static_cast<char>(rest | 0x80));
  out->push_back(static_cast<char>(rest));
}

void AppendAvroText(std::string_view text, std::string* out) {
  AppendAvroLong(static_cast<int64_t>(text.size()), out);
  out->append(text);
}

class AnswerSink : public Sink {
 public:
  AnswerSink(Answer* answer, bool text_keys, AnswerOf of)
      : answer_(*answer), text_keys_(text_keys), of_(of) {}
  std::string description() const override { return "Answer"; }
  bool exactly_once() const override { return false; }
  absl::Status Open(const SinkContext& context) override {
    context_ = context;
    return absl::OkStatus();
  }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    for (bool first = true;; first = false) {
      const absl::StatusOr<const RowBatch*> next = rows.Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) return MarkerOf(context_, batch, rows);
      if (first && of_ == AnswerOf::kLastBatch) answer_ = Answer();
      AddRows(**next);
    }
  }

 private:
  // Columns: window_start, window_end, user_id, orders, total, most.
  void AddRows(const RowBatch& batch) {
    const int64_t* count = batch.column(3).values<int64_t>();
    const int64_t* total = batch.column(4).values<int64_t>();
    const int64_t* most = batch.column(5).values<int64_t>();
    if (!text_keys_) {
      const int64_t* user_id = batch.column(2).values<int64_t>();
      batch.selection().ForEach(
          [&](uint32_t row) { answer_.Add(user_id[row], count[row], total[row], most[row]); });
      return;
    }
    const std::string_view* names = batch.column(2).values<std::string_view>();
    batch.selection().ForEach([&](uint32_t row) {
      int64_t user_id = -1;
      const std::string_view digits =
          names[row].substr(std::min(kTextKeyPrefix.size(), names[row].size()));
      std::from_chars(digits.data(), digits.data() + digits.size(), user_id);
      answer_.Add(user_id, count[row], total[row], most[row]);
    });
  }

  Answer& answer_;
  const bool text_keys_;
  const AnswerOf of_;
  SinkContext context_;
};

}  // namespace

TotalsRow RowAt(int64_t i, const TotalsRows& rows) {
  const int64_t window_rows = rows.keys * rows.rows_per_group;
  const uint64_t random = StableHashInt(static_cast<uint64_t>(i) + 1);
  // Times jitter by up to 2 seconds.
  const int64_t millis =
      i * kTotalsWindowSeconds * 1000 / window_rows - static_cast<int64_t>(random % 2000);
  return {.user_id = KeyAt(i, rows),
          .time_us = (kTotalsStartSeconds * 1000 + millis) * 1000,
          .amount = static_cast<int64_t>((random >> 20) % 10'000)};
}

TotalsRow ClosingRow(const TotalsRows& rows) {
  return {.time_us = RowAt(rows.rows - 1, rows).time_us + 86'400 * kMicros};
}

std::string JsonRecord(const TotalsRow& row, const TotalsRows& rows) {
  const Filling filling = FillingOf(row, rows);
  std::string time;
  AppendTimestamp(row.time_us, &time);
  const std::string user_id =
      rows.text_keys ? '"' + UserIdText(row.user_id) + '"' : std::to_string(row.user_id);
  if (!rows.shuffled_fields) {
    std::string json = fmt::format(
        R"({{"user_id":{},"event_time":"{}","amount":{},"country":"DE","channel":"web","session":"{}")",
        user_id, time, row.amount, filling.session);
    if (!filling.note.empty()) json += fmt::format(R"(,"note":"{}")", filling.note);
    return json + '}';
  }
  std::vector<std::string> members = {fmt::format(R"("user_id":{})", user_id),
                                      fmt::format(R"("event_time":"{}")", time),
                                      fmt::format(R"("amount":{})", row.amount),
                                      R"("country":"DE")",
                                      R"("channel":"web")",
                                      fmt::format(R"("session":"{}")", filling.session)};
  if (!filling.note.empty()) members.push_back(fmt::format(R"("note":"{}")", filling.note));
  for (size_t left = members.size(); left > 1; --left) {
    std::swap(members[left - 1], members[Drawn(row.time_us + row.amount, left) % left]);
  }
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

std::string TotalsAvroSchema(const TotalsRows& rows) {
  return fmt::format(R"({{"type":"record","name":"Order","fields":[
      {{"name":"user_id","type":"{}"}},
      {{"name":"event_time","type":{{"type":"long","logicalType":"timestamp-millis"}}}},
      {{"name":"amount","type":"long"}},{{"name":"country","type":"string"}},
      {{"name":"channel","type":"string"}},{{"name":"session","type":"string"}},
      {{"name":"note","type":"string"}}]}})",
                     rows.text_keys ? "string" : "long");
}

std::string AvroRecord(const TotalsRow& row, const TotalsRows& rows) {
  const Filling filling = FillingOf(row, rows);
  std::string record;
  if (rows.text_keys) {
    AppendAvroText(UserIdText(row.user_id), &record);
  } else {
    AppendAvroLong(row.user_id, &record);
  }
  AppendAvroLong(row.time_us / 1000, &record);
  AppendAvroLong(row.amount, &record);
  AppendAvroText("DE", &record);
  AppendAvroText("web", &record);
  AppendAvroText(filling.session, &record);
  AppendAvroText(filling.note, &record);
  return record;
}

void Answer::Add(int64_t user_id, int64_t group_count, int64_t group_total, int64_t group_most) {
  ++groups;
  count += group_count;
  total += group_total;
  most += group_most;
  check += (user_id + 1) * (group_total % 1'000'003);
}

std::string Answer::ToText() const {
  return fmt::format("{} {} {} {} {}", groups, count, total, most, check);
}

Answer PlainFold(const TotalsRows& rows) {
  struct Group {
    int64_t count = 0, total = 0, most = INT64_MIN;
  };
  std::unordered_map<int64_t, std::vector<Group>> windows;
  int64_t last_window = INT64_MIN;
  std::vector<Group>* groups = nullptr;
  for (int64_t i = 0; i < rows.rows; ++i) {
    const TotalsRow row = RowAt(i, rows);
    const int64_t window = row.time_us - FloorMod(row.time_us, kTotalsWindowSeconds * kMicros);
    if (groups == nullptr || window != last_window) {
      groups = &windows[window];
      groups->resize(static_cast<size_t>(rows.keys));
      last_window = window;
    }
    Group& group = (*groups)[static_cast<size_t>(row.user_id)];
    ++group.count;
    group.total += row.amount;
    group.most = std::max(group.most, row.amount);
  }
  Answer answer;
  for (const auto& [window, all] : windows) {
    for (size_t user_id = 0; user_id < all.size(); ++user_id) {
      const Group& group = all[user_id];
      if (group.count == 0) continue;
      answer.Add(static_cast<int64_t>(user_id), group.count, group.total, group.most);
    }
  }
  return answer;
}

std::unique_ptr<Sink> MakeAnswerSink(Answer* answer, bool text_keys, AnswerOf of) {
  return std::make_unique<AnswerSink>(answer, text_keys, of);
}

Schema TotalsSchema(const TotalsRows& rows) {
  Schema schema;
  schema = rows.text_keys ? schema.String("user_id") : schema.Int64("user_id");
  return schema.Timestamp("event_time").Int64("amount");
}

Query TotalsPerUser(Job& job, const std::string& topic, FormatSpec format, Trigger trigger,
                    OutputMode mode) {
  return job.Source(topic)
      .Decode(std::move(format))
      .WithWatermark("event_time", absl::Seconds(30))
      .GroupBy(TumblingWindow("event_time", absl::Seconds(kTotalsWindowSeconds)), "user_id")
      .Aggregate(Count().As("orders"), Sum("amount").As("total"), Max("amount").As("most"))
      .WriteTo(job.Sink("totals").Key("window_start", "user_id"), mode, trigger);
}

absl::Status LoadTopic(testing::KafkaServer& kafka, const std::string& topic, int32_t partitions,
                       const TotalsRows& rows) {
  if (absl::Status status = kafka.CreateTopic(topic, partitions); !status.ok()) return status;
  std::atomic<int32_t> next{0};
  std::mutex mutex;
  absl::Status first_failure;
  const auto load = [&] {
    for (int32_t p = next++; p < partitions; p = next++) {
      const int64_t count = (rows.rows - p + partitions - 1) / partitions;
      const auto row = [&, p, count](int64_t i) {
        return i == count ? ClosingRow(rows) : RowAt(i * partitions + p, rows);
      };
      const absl::Status status = kafka.ProduceMany(
          topic, p, count + 1, [&](int64_t i) { return JsonRecord(row(i), rows); },
          [&](int64_t i) { return row(i).time_us / 1000; });
      const std::lock_guard<std::mutex> lock(mutex);
      if (first_failure.ok()) first_failure = status;
    }
  };
  std::thread other(load);
  load();
  other.join();
  return first_failure;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

}  // namespace tidemark
