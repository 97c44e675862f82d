#include "tidemark/engine/test_kit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tidemark/engine/connectors.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int kMaxBatches = 10'000;

// A JSON document in the making: either a value's text or an object's members in order.
struct JsonTree {
  std::string name = {};  // of a member
  std::string text = {};
  std::vector<JsonTree> members = {};

  JsonTree* Member(const std::string& member) {
    for (JsonTree& tree : members) {
      if (tree.name == member) return &tree;
    }
    return &members.emplace_back(JsonTree{.name = member});
  }
  std::string ToString() const {
    if (!text.empty()) return text;
    std::string out = "{";
    for (const JsonTree& tree : members) {
      if (out.size() > 1) out += ',';
      AppendJsonString(tree.name, &out);
      out += ':' + tree.ToString();
    }
    return out + "}";
  }
};

std::vector<std::string> PathNames(const Field& field) {
  if (field.path.empty()) return {field.name};
  std::vector<std::string> names;
  for (size_t i = 0; i < field.path.size(); ++i) {
    const char c = field.path[i];
    if (c == '/') {
      names.emplace_back();
    } else if (c == '~' && i + 1 < field.path.size()) {
      names.back() += field.path[++i] == '1' ? '/' : '~';
    } else {
      names.back() += c;
    }
  }
  return names;
}

std::string ValueText(const TestValue& value, const Field* field) {
  if (std::holds_alternative<std::nullptr_t>(value)) return "null";
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  std::string text;
  if (const double* number = std::get_if<double>(&value)) {
    AppendDouble(*number, &text);
    if (std::isfinite(*number)) return text;
    std::string quoted;
    AppendJsonString(text, &quoted);
    return quoted;
  }
  const std::string& string = std::get<std::string>(value);
  if (field != nullptr && field->type.id == TypeId::kTimestamp &&
      field->time_encoding != TimeEncoding::kIso8601) {
    if (const std::optional<int64_t> micros = ParseTimestamp(string)) {
      switch (field->time_encoding) {
        case TimeEncoding::kEpochSeconds:
          return std::to_string(FloorDiv(*micros, 1'000'000));
        case TimeEncoding::kEpochMillis:
          return std::to_string(FloorDiv(*micros, 1000));
        default:
          return std::to_string(*micros);
      }
    }
  }
  AppendJsonString(string, &text);
  return text;
}

std::string RowText(const RowBatch& batch, uint32_t row,
                    const std::vector<std::string>* columns = nullptr) {
  std::string text = "{";
  for (size_t i = 0; i < batch.schema().size(); ++i) {
    const std::string& name = batch.schema().field(i).name;
    if (columns != nullptr && std::find(columns->begin(), columns->end(), name) == columns->end())
      continue;
    if (text.size() > 1) text += ',';
    AppendJsonString(name, &text);
    text += ':';
    AppendJsonValue(batch.column(i), row, &text);
  }
  return text + "}";
}

std::vector<std::string> BatchRows(const MemoryBatch& batch) {
  std::vector<std::string> rows;
  for (const RowBatch& part : batch.rows) {
    part.selection().ForEach([&](uint32_t row) { rows.push_back(RowText(part, row)); });
  }
  return rows;
}

}  // namespace

absl::Time ManualClock::Now() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return now_;
}

absl::Duration ManualClock::Monotonic() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return monotonic_;
}

void ManualClock::Advance(absl::Duration by) {
  std::lock_guard<std::mutex> lock(mutex_);
  now_ += by;
  monotonic_ += by;
}

std::string EncodeTestRow(const FormatSpec& format, const TestRow& row) {
  JsonTree document;
  for (const auto& [name, value] : row.fields()) {
    const std::optional<size_t> index = format.schema.Find(name);
    const Field* field = index.has_value() ? &format.schema.field(*index) : nullptr;
    JsonTree* at = &document;
    for (const std::string& step :
         field == nullptr ? std::vector<std::string>{name} : PathNames(*field)) {
      at = at->Member(step);
    }
    at->text = ValueText(value, field);
  }
  return document.ToString();
}

TestKit::TestKit(Pipeline pipeline, std::map<std::string, std::string> params,
                 std::function<void(QueryOptions&)> change)
    : change_(std::move(change)),
      clock_(std::make_shared<ManualClock>()),
      table_(std::make_shared<MemoryTable>()),
      checkpoint_(std::make_shared<MemoryCheckpoint>()) {
  Job job(std::move(params));
  query_ = pipeline(job);
  const SourceNode* source = query_.plan.Find<SourceNode>();
  topic_ = std::make_shared<MemoryTopic>(source == nullptr ? "topic" : source->topic);
}

TestKit::~TestKit() = default;

void TestKit::Add(const TestRow& row, int32_t partition, std::optional<int64_t> timestamp_us) {
  const DecodeNode* decode = query_.plan.Find<DecodeNode>();
  const std::string value = EncodeTestRow(decode == nullptr ? FormatSpec() : decode->format, row);
  topic_->Append(partition, std::nullopt, value, timestamp_us.value_or(RawRecord::kNoTimestamp));
}

void TestKit::AddRaw(std::optional<std::string> value, int32_t partition,
                     std::optional<std::string> key) {
  topic_->Append(partition, key, value);
}

QueryOptions TestKit::Options() const {
  QueryOptions options;
  options.name = "test";
  options.input = MemoryInput(topic_);
  options.output = MemoryOutput(table_);
  options.checkpoint = CheckpointInMemory(checkpoint_);
  options.bad_records = BadRecordPolicy::kFail;
  options.threads = 1;
  options.clock = clock_;
  options.logger = std::make_shared<SilentLogger>();
  if (change_) change_(options);
  return options;
}

absl::Status TestKit::Start() {
  absl::StatusOr<std::unique_ptr<QueryExecution>> execution =
      QueryExecution::Create(query_, Options());
  if (!execution.ok()) return execution.status();
  if (absl::Status status = (*execution)->Start(); !status.ok()) return status;
  execution_ = *std::move(execution);
  return absl::OkStatus();
}

void TestKit::Stop() { execution_.reset(); }

absl::StatusOr<bool> TestKit::RunBatch() {
  if (execution_ == nullptr) {
    if (absl::Status status = Start(); !status.ok()) return status;
  }
  absl::StatusOr<bool> ran = execution_->RunBatch();
  if (ran.ok()) {
    if (absl::Status status = execution_->Settle(); !status.ok()) return status;
  }
  if (ran.ok() && *ran) last_progress_ = *execution_->last_progress();
  return ran;
}

absl::Status TestKit::RunAll() {
  if (execution_ == nullptr) {
    if (absl::Status status = Start(); !status.ok()) return status;
  }
  for (int i = 0; i < kMaxBatches; ++i) {
    execution_->ReadAhead(true);
    absl::StatusOr<bool> ran = RunBatch();
    execution_->ReadAhead(false);
    if (!ran.ok()) return ran.status();
    if (!*ran) return absl::OkStatus();
  }
  return absl::InternalError(
      fmt::format("the pipeline still had something to do after {} batches", kMaxBatches));
}

std::vector<std::string> TestKit::Rows() const {
  const std::vector<MemoryBatch> batches = table_->Batches();
  return batches.empty() ? std::vector<std::string>() : BatchRows(batches.back());
}

std::vector<std::vector<std::string>> TestKit::Batches() const {
  std::vector<std::vector<std::string>> result;
  for (const MemoryBatch& batch : table_->Batches()) result.push_back(BatchRows(batch));
  return result;
}

std::map<std::string, std::string> TestKit::Table() const {
  const SinkNode* sink = query_.plan.Find<SinkNode>();
  const std::vector<std::string>* keys =
      sink == nullptr || sink->key_columns.empty() ? nullptr : &sink->key_columns;
  std::map<std::string, std::string> rows;
  for (const MemoryBatch& batch : table_->Batches()) {
    for (const RowBatch& part : batch.rows) {
      part.selection().ForEach(
          [&](uint32_t row) { rows[RowText(part, row, keys)] = RowText(part, row); });
    }
  }
  return rows;
}

const Progress& TestKit::LastProgress() const { return last_progress_; }

}  // namespace tidemark
