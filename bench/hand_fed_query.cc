#include "bench/hand_fed_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "bench/memory_records.h"
#include "tidemark/engine/connectors.h"

namespace tidemark {
namespace {

constexpr int kMaxBatches = 100'000;

struct ChunkBytes : RecordOwner {
  std::string bytes;
};

double Seconds(std::chrono::steady_clock::time_point start,
               std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

}  // namespace

struct HandFedQuery::Topic {
  std::function<TotalsRow(int64_t)> row;
  std::atomic<int64_t> end{0};
};

// Makes its records when they are read.
class HandFedQuery::TopicSource : public Source {
 public:
  explicit TopicSource(std::shared_ptr<Topic> topic) : topic_(std::move(topic)) {}
  std::string description() const override { return "HandFed"; }
  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<Offsets> StartingOffsets() override { return Offsets{{partition_, 0}}; }
  absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>&) override {
    return std::vector<DataLoss>();
  }
  absl::StatusOr<std::vector<AvailableRange>> Available() override {
    return std::vector<AvailableRange>{{.partition = partition_, .end = topic_->end}};
  }
  absl::Status StartRead(const std::vector<PlannedRange>& ranges) override {
    next_ = ranges.empty() ? 0 : ranges.front().start;
    end_ = ranges.empty() ? 0 : ranges.front().end;
    chunk_index_ = 0;
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration) override {
    if (next_ >= end_) return std::optional<RawRecords>(EndOfRanges());
    const int64_t count = std::min<int64_t>(end_ - next_, kMaxChunkRecords);
    auto owner = std::make_shared<ChunkBytes>();
    std::vector<size_t> ends;
    for (int64_t i = next_; i < next_ + count; ++i) {
      owner->bytes += AvroRecord(topic_->row(i), TotalsRows());
      ends.push_back(owner->bytes.size());
    }
    owner->bytes.append(kRecordPadding, '\0');
    RawRecords chunk;
    chunk.topic = partition_.topic;
    chunk.chunk_index = chunk_index_++;
    chunk.bytes = ends.back();
    size_t begin = 0;
    for (const size_t end : ends) {
      RawRecord record;
      record.value = std::string_view(owner->bytes).substr(begin, end - begin);
      record.offset = next_++;
      record.has_value = true;
      record.padded = true;
      chunk.records.push_back(record);
      begin = end;
    }
    chunk.owner = std::move(owner);
    return std::optional<RawRecords>(std::move(chunk));
  }
  void StopRead() override { next_ = end_; }
  void Cancel() override {}

 private:
  const TopicPartition partition_{.topic = "orders"};
  const std::shared_ptr<Topic> topic_;
  int64_t next_ = 0;
  int64_t end_ = 0;
  int64_t chunk_index_ = 0;
};

class HandFedQuery::TimedSink : public Sink {
 public:
  TimedSink(std::unique_ptr<Sink> sink, HandFedQuery* query)
      : sink_(std::move(sink)), query_(*query) {}
  std::string description() const override { return sink_->description(); }
  bool exactly_once() const override { return sink_->exactly_once(); }
  absl::Status Open(const SinkContext& context) override { return sink_->Open(context); }
  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    const auto start = std::chrono::steady_clock::now();
    absl::StatusOr<SinkMarker> marker = sink_->Commit(batch, rows);
    query_.sink_done_ = std::chrono::steady_clock::now();
    query_.sink_seconds_ += Seconds(start, query_.sink_done_);
    return marker;
  }

 private:
  const std::unique_ptr<Sink> sink_;
  HandFedQuery& query_;
};

HandFedQuery::HandFedQuery(std::function<TotalsRow(int64_t)> row, HandFedOptions options)
    : options_(options), topic_(std::make_shared<Topic>()) {
  topic_->row = std::move(row);
}

HandFedQuery::~HandFedQuery() = default;

int64_t HandFedQuery::fed() const { return topic_->end; }

absl::Status HandFedQuery::Start() {
  QueryOptions query;
  query.name = "hand_fed";
  query.input = {
      .fingerprint = "hand fed",
      .make = [topic = topic_](const SourceRequest&) -> absl::StatusOr<std::unique_ptr<Source>> {
        return std::make_unique<TopicSource>(topic);
      }};
  query.output.make = [this](const SinkRequest&) -> absl::StatusOr<std::unique_ptr<Sink>> {
    return std::make_unique<TimedSink>(MakeAnswerSink(&answer_, false, AnswerOf::kLastBatch), this);
  };
  query.checkpoint = CheckpointFolder(checkpoint());
  query.bad_records = BadRecordPolicy::kFail;
  query.memory_limit = options_.memory_limit;
  query.threads = options_.threads;
  query.snapshot_every = options_.snapshot_every;
  query.logger = std::make_shared<SilentLogger>();
  query.on_progress = [this](const Progress& progress) { batches_.push_back(progress); };
  Job job;
  absl::StatusOr<std::unique_ptr<QueryExecution>> execution = QueryExecution::Create(
      TotalsPerUser(job, "orders", FormatOf(TotalsRows(), RecordFormat::kAvro), Trigger::Asap(),
                    options_.mode),
      std::move(query));
  if (!execution.ok()) return execution.status();
  execution_ = *std::move(execution);
  return execution_->Start();
}

void HandFedQuery::Stop() { execution_.reset(); }

absl::Status HandFedQuery::Feed(int64_t rows) {
  batches_.clear();
  sink_seconds_ = 0;
  const auto start = std::chrono::steady_clock::now();
  topic_->end += rows;
  for (int i = 0; i < kMaxBatches; ++i) {
    execution_->ReadAhead(true);
    const absl::StatusOr<bool> ran = execution_->RunBatch();
    execution_->ReadAhead(false);
    if (!ran.ok()) return ran.status();
    if (*ran) continue;
    if (absl::Status status = execution_->Settle(); !status.ok()) return status;
    const auto end = std::chrono::steady_clock::now();
    feed_seconds_ = Seconds(start, end);
    commit_seconds_ = Seconds(sink_done_, end);
    return absl::OkStatus();
  }
  return absl::InternalError(fmt::format("not through after {} batches", kMaxBatches));
}

}  // namespace tidemark
