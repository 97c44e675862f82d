#include "bench/memory_records.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <utility>

#include "tidemark/operators/formats/avro_options.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {
namespace {

class SharedRecords : public RecordOwner {
 public:
  explicit SharedRecords(std::shared_ptr<const MemoryRecords> records)
      : records_(std::move(records)) {}

 private:
  std::shared_ptr<const MemoryRecords> records_;
};

class RecordsSource : public Source {
 public:
  RecordsSource(std::string topic, std::shared_ptr<const MemoryRecords> records)
      : partition_{.topic = std::move(topic)}, records_(std::move(records)) {}

  std::string description() const override { return "Records[" + partition_.topic + "]"; }
  absl::Status Open() override { return absl::OkStatus(); }
  absl::StatusOr<Offsets> StartingOffsets() override { return Offsets{{partition_, 0}}; }
  absl::StatusOr<std::vector<DataLoss>> CheckIdentity(
      const std::map<TopicPartition, LastRecord>&) override {
    return std::vector<DataLoss>();
  }
  absl::StatusOr<std::vector<AvailableRange>> Available() override {
    return std::vector<AvailableRange>{
        {.partition = partition_, .end = static_cast<int64_t>(records_->records.size())}};
  }
  absl::Status StartRead(const std::vector<PlannedRange>& ranges) override {
    next_ = ranges.empty() ? 0 : ranges.front().start;
    end_ = ranges.empty() ? 0 : ranges.front().end;
    chunk_index_ = 0;
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<RawRecords>> Read(absl::Duration) override {
    if (cancelled_) return absl::CancelledError("cancelled");
    if (next_ >= end_) return std::optional<RawRecords>(EndOfRanges());
    int64_t chunk_end = next_;
    for (size_t bytes = 0; chunk_end < end_ && bytes < kMaxChunkBytes &&
                           chunk_end - next_ < static_cast<int64_t>(kMaxChunkRecords);
         ++chunk_end) {
      bytes += records_->records[static_cast<size_t>(chunk_end)].value.size();
    }
    RawRecords chunk = MemoryRecords::Chunk(records_, next_, chunk_end);
    chunk.topic = partition_.topic;
    chunk.chunk_index = chunk_index_++;
    next_ = chunk_end;
    return std::optional<RawRecords>(std::move(chunk));
  }
  void StopRead() override { next_ = end_; }
  void Cancel() override { cancelled_ = true; }

 private:
  const TopicPartition partition_;
  const std::shared_ptr<const MemoryRecords> records_;
  int64_t next_ = 0;
  int64_t end_ = 0;
  int64_t chunk_index_ = 0;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace

RawRecords MemoryRecords::Chunk(const std::shared_ptr<const MemoryRecords>& all, int64_t begin,
                                int64_t end) {
  RawRecords chunk;
  chunk.records.assign(all->records.begin() + begin, all->records.begin() + end);
  chunk.owner = std::make_shared<SharedRecords>(all);
  if (begin < end) {
    const std::string_view last = chunk.records.back().value;
    chunk.bytes =
        static_cast<size_t>(last.data() + last.size() - chunk.records.front().value.data());
  }
  return chunk;
}

std::shared_ptr<const MemoryRecords> MakeRecords(const TotalsRows& rows, RecordFormat format) {
  auto made = std::make_shared<MemoryRecords>();
  std::vector<size_t> ends;
  ends.reserve(static_cast<size_t>(rows.rows) + 1);
  for (int64_t i = 0; i <= rows.rows; ++i) {
    const TotalsRow row = i == rows.rows ? ClosingRow(rows) : RowAt(i, rows);
    made->bytes += format == RecordFormat::kJson ? JsonRecord(row, rows) : AvroRecord(row, rows);
    ends.push_back(made->bytes.size());
  }
  made->bytes.append(kRecordPadding, '\0');
  made->records.resize(ends.size());
  size_t begin = 0;
  for (size_t i = 0; i < ends.size(); ++i) {
    RawRecord& record = made->records[i];
    record.value = std::string_view(made->bytes).substr(begin, ends[i] - begin);
    record.offset = static_cast<int64_t>(i);
    record.has_value = true;
    record.padded = true;
    begin = ends[i];
  }
  return made;
}

FormatSpec FormatOf(const TotalsRows& rows, RecordFormat format) {
  if (format == RecordFormat::kJson) return Json(TotalsSchema(rows));
  AvroOptions options;
  options.writer_schema = TotalsAvroSchema(rows);
  return Avro(TotalsSchema(rows), std::move(options));
}

Input RecordsInput(std::shared_ptr<const MemoryRecords> records) {
  return {.fingerprint = "records",
          .make = [records = std::move(records)](
                      const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
            return std::make_unique<RecordsSource>(request.topic, records);
          }};
}

}  // namespace tidemark
