#include "tidemark/operators/sources/kafka_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "tidemark/operators/clients/kafka_client.h"
#include "tidemark/operators/sources/kafka_reader.h"

namespace tidemark {
namespace {

constexpr std::chrono::seconds kOpenPatience{2};
constexpr std::chrono::seconds kMissingTopicPatience{3};
constexpr std::chrono::seconds kShortLogPatience{5};
constexpr std::chrono::seconds kSilencePatience{10};
constexpr std::chrono::seconds kPartitionsInterval{1};
constexpr std::chrono::milliseconds kEndsInterval{20};
constexpr std::chrono::seconds kDoubtInterval{5};
constexpr std::chrono::milliseconds kRetryInterval{50};
constexpr std::chrono::milliseconds kPollInterval{50};

constexpr size_t kReadAgainBytes = size_t{1} << 20;

constexpr char kAgedOut[] = "offsets aged out";
constexpr char kRecreated[] = "topic re-created";
constexpr char kPartitionGone[] = "partition gone";
constexpr char kLogEndsBefore[] = "log ends before";

KafkaReaderOptions ReaderOptions(const KafkaSourceOptions& options) {
  return {.connection = {.brokers = options.brokers, .properties = options.properties},
          .group_id = options.group_id,
          .queue_bytes = options.queue_bytes};
}

absl::Status MissingTopic(const std::string& brokers, const std::string& topic) {
  return absl::NotFoundError(
      fmt::format("Kafka at {} has no topic {}: create it, or correct --topic", brokers, topic));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KafkaSource>> KafkaSource::Make(KafkaSourceOptions options) {
  if (options.brokers.empty())
    return absl::InvalidArgumentError("no Kafka brokers given: HOST:PORT,...");
  if (options.topics.empty()) return absl::InvalidArgumentError("no Kafka topic given");
  std::sort(options.topics.begin(), options.topics.end());
  options.topics.erase(std::unique(options.topics.begin(), options.topics.end()),
                       options.topics.end());
  absl::StatusOr<StartingPosition> position = ParseStartingOffsets(options.starting_offsets);
  if (!position.ok()) return position.status();
  const KafkaReaderOptions reader_options = ReaderOptions(options);
  absl::StatusOr<std::unique_ptr<KafkaClient>> client = KafkaClient::Make(
      reader_options.connection, options.group_id, KafkaReader::HandleOptions(reader_options, 1));
  if (!client.ok()) return client.status();
  auto reader = std::make_unique<KafkaReader>(reader_options, client->get());
  return std::unique_ptr<KafkaSource>(new KafkaSource(std::move(options), *std::move(position),
                                                      *std::move(client), std::move(reader)));
}

KafkaSource::KafkaSource(KafkaSourceOptions options, StartingPosition position,
                         std::unique_ptr<KafkaClient> client, std::unique_ptr<KafkaReader> reader)
    : options_(std::move(options)),
      position_(std::move(position)),
      client_(std::move(client)),
      reader_(std::move(reader)) {}

KafkaSource::~KafkaSource() = default;

std::string KafkaSource::description() const {
  return fmt::format("Kafka[{}]", fmt::join(options_.topics, ","));
}

absl::Status KafkaSource::CheckCancelled() const {
  return client_->cancelled() ? absl::CancelledError("reading from Kafka was stopped")
                              : absl::OkStatus();
}

void KafkaSource::Cancel() {
  client_->Cancel();
  reader_->Wake();
}

absl::Status KafkaSource::Open() {
  topic_missing_since_.reset();
  absl::Status status = RefreshPartitions(kOpenPatience);
  while (absl::IsUnavailable(status) && topic_missing_since_.has_value()) {
    std::this_thread::sleep_for(kRetryInterval);
    status = RefreshPartitions(kOpenPatience);
  }
  if (!status.ok()) return status;
  return RefreshOffsets(true);
}

absl::Status KafkaSource::RefreshPartitions(Clock::duration patience) {
  std::map<TopicPartition, Known> partitions;
  bool all_there = true;
  for (const std::string& topic : options_.topics) {
    const absl::StatusOr<int32_t> count = client_->CountPartitions(topic);
    if (absl::IsNotFound(count.status())) {
      const Clock::time_point now = Clock::now();
      if (!topic_missing_since_.has_value()) topic_missing_since_ = now;
      const absl::Status missing = MissingTopic(options_.brokers, topic);
      if (now - *topic_missing_since_ < patience)
        return absl::UnavailableError(std::string(missing.message()));
      if (!options_.missing_topics_are_empty) return missing;
      topic_missing_since_ = std::min(*topic_missing_since_, now - kMissingTopicPatience);
      all_there = false;
      continue;
    }
    if (!count.ok()) return count.status();
    for (int32_t p = 0; p < *count; ++p) {
      const TopicPartition where{topic, p};
      const auto known = partitions_.find(where);
      partitions.emplace(where, known != partitions_.end() ? known->second : Known());
    }
  }
  if (all_there) topic_missing_since_.reset();
  partitions_ = std::move(partitions);
  partitions_asked_ = Clock::now();
  return absl::OkStatus();
}

absl::Status KafkaSource::RefreshOffsets(bool beginnings_too) {
  std::vector<KafkaPosition> positions;
  for (auto& [where, known] : partitions_) {
    positions.push_back({.topic = where.topic, .partition = where.partition});
    known.high_watermark = reader_->HighWatermark(where);
  }
  std::vector<KafkaPosition> beginnings;
  if (beginnings_too) {
    beginnings = positions;
    if (absl::Status status = client_->FindOffsets(KafkaClient::Which::kEarliest, beginnings);
        !status.ok())
      return status;
    beginnings_asked_ = Clock::now();
  }
  if (absl::Status status = client_->FindOffsets(KafkaClient::Which::kLastStable, positions);
      !status.ok())
    return status;
  ends_asked_ = Clock::now();
  for (size_t i = 0; i < positions.size(); ++i) {
    if (!positions[i].exists || (beginnings_too && !beginnings[i].exists)) {
      partitions_asked_ = {};
      return absl::UnavailableError(
          fmt::format("topic {} partition {} has no leader at {}; trying again", positions[i].topic,
                      positions[i].partition, options_.brokers));
    }
    Known& known = partitions_[{positions[i].topic, positions[i].partition}];
    known.end = positions[i].offset;
    if (beginnings_too) known.begin = beginnings[i].offset;
  }
  return absl::OkStatus();
}

std::vector<AvailableRange> KafkaSource::KnownRanges() const {
  std::vector<AvailableRange> ranges;
  for (const auto& [where, known] : partitions_) {
    // A log that is too short for the moment has nothing new.
    ranges.push_back(
        {where, known.begin, known.short_since.has_value() ? known.planned : known.end});
  }
  return ranges;
}

absl::StatusOr<Offsets> KafkaSource::StartingOffsets() {
  if (absl::Status status = RefreshPartitions(kMissingTopicPatience); !status.ok()) return status;
  for (const std::string& topic : options_.topics) {
    const auto first = partitions_.lower_bound({topic, 0});
    if (first == partitions_.end() || first->first.topic != topic)
      return MissingTopic(options_.brokers, topic);
  }
  if (absl::Status status = RefreshOffsets(true); !status.ok()) return status;
  return ResolveStartingOffsets(position_, KnownRanges());
}

bool KafkaSource::NothingChanged() const {
  if (Clock::now() - ends_asked_ >= kEndsInterval) return false;
  return std::all_of(partitions_.begin(), partitions_.end(), [this](const auto& entry) {
    const auto& [where, known] = entry;
    return known.high_watermark.has_value() &&
           known.high_watermark == reader_->HighWatermark(where);
  });
}

std::string KafkaSource::InDoubt(const TopicPartition& where, std::string_view why) const {
  return fmt::format("topic {} partition {} at {} {}: looking whether it is still the same",
                     where.topic, where.partition, options_.brokers, why);
}

// After a change of leader a log may seem shorter for a moment; if it stays so, it is another log.
// OK: for none has that turned out just now.
absl::Status KafkaSource::NoteShortLogs() {
  const Clock::time_point now = Clock::now();
  absl::Status status;
  const auto look_again = [&](const TopicPartition& where, const Known& known) {
    status = absl::UnavailableError(
        InDoubt(where, fmt::format("ended before offset {}", known.planned)));
  };
  for (auto& [where, known] : partitions_) {
    if (known.end >= known.planned) {
      if (known.short_since.has_value()) look_again(where, known);
      known.short_since.reset();
    } else if (!known.short_since.has_value()) {
      known.short_since = now;
    } else if (now - *known.short_since >= kShortLogPatience) {
      look_again(where, known);
      known.planned = -1;
      known.short_since.reset();
    }
  }
  return status;
}

// A log that was made again has newer records where older ones were read, which one question
// tells. (Of the same log that is not so, but for records of other clocks from before the read
// began: those are compared once.)
absl::Status KafkaSource::CompareTimes() {
  const Clock::time_point now = Clock::now();
  if (now - times_asked_ < kEndsInterval || now - doubted_ < kDoubtInterval)
    return absl::OkStatus();
  std::vector<KafkaPosition> newer;
  for (const auto& [where, known] : partitions_) {
    const std::optional<KafkaReader::Past> past = reader_->past(where);
    if (!past.has_value() || known.end <= past->end || known.short_since.has_value()) continue;
    newer.push_back({where.topic, where.partition, past->timestamp_ms + 1});
  }
  if (newer.empty()) return absl::OkStatus();
  times_asked_ = now;
  if (absl::Status status = client_->FindTimes(newer); !status.ok()) return status;
  for (const KafkaPosition& first : newer) {
    const TopicPartition where{first.topic, first.partition};
    const int64_t end = reader_->past(where)->end;
    if (!first.exists || first.offset < 0 || first.offset >= end) continue;
    doubted_ = now;
    return absl::UnavailableError(
        InDoubt(where, fmt::format("has a newer record at offset {} than those that were read of "
                                   "it up to {}",
                                   first.offset, end)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AvailableRange>> KafkaSource::Available() {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  const Clock::time_point now = Clock::now();
  const bool new_partitions = now - partitions_asked_ >= kPartitionsInterval;
  if (new_partitions) {
    if (absl::Status status = RefreshPartitions(kMissingTopicPatience); !status.ok()) return status;
  }
  const bool beginnings_too = new_partitions || now - beginnings_asked_ >= kPartitionsInterval;
  if (beginnings_too || !NothingChanged()) {
    if (absl::Status status = RefreshOffsets(beginnings_too); !status.ok()) return status;
    if (absl::Status status = NoteShortLogs(); !status.ok()) return status;
    if (absl::Status status = CompareTimes(); !status.ok()) return status;
  }
  return KnownRanges();
}

absl::StatusOr<std::vector<DataLoss>> KafkaSource::CheckIdentity(
    const std::map<TopicPartition, LastRecord>& last_records) {
  if (absl::Status status = RefreshPartitions(kMissingTopicPatience); !status.ok()) return status;
  if (absl::Status status = AwaitOffsets(last_records); !status.ok()) return status;
  std::vector<DataLoss> losses;
  std::vector<PlannedRange> ranges;
  for (const auto& [where, last] : last_records) {
    if (last.offset < 0) continue;
    const auto known = partitions_.find(where);
    if (known == partitions_.end()) {
      losses.push_back({where, last.offset + 1, 0, kPartitionGone});
    } else if (known->second.short_since.has_value()) {
      return absl::UnavailableError(  // until it is believed, or is what it was again
          fmt::format("topic {} partition {} at {} ends before offset {} for the moment",
                      where.topic, where.partition, options_.brokers, known->second.planned));
    } else if (last.offset >= known->second.end) {
      losses.push_back({where, last.offset + 1, known->second.begin, kRecreated});
    } else if (last.offset >= known->second.begin) {
      ranges.push_back({where, last.offset, last.offset + 1});
    }
  }
  absl::StatusOr<std::map<TopicPartition, LastRecord>> found = ReadAgain(ranges);
  if (!found.ok()) return found.status();
  for (const auto& [where, record] : *found) {
    if (record != last_records.at(where)) {
      losses.push_back({where, record.offset + 1, partitions_[where].begin, kRecreated});
    }
  }
  for (const DataLoss& loss : losses) {
    // What was planned of the old one says nothing of the new one.
    if (const auto known = partitions_.find(loss.partition); known != partitions_.end())
      known->second.planned = -1;
  }
  return losses;
}

// Logs that end before a record may be behind for a moment, while their broker starts.
absl::Status KafkaSource::AwaitOffsets(const std::map<TopicPartition, LastRecord>& last_records) {
  const Clock::time_point deadline = Clock::now() + kOpenPatience;
  while (true) {
    if (absl::Status status = RefreshOffsets(true); !status.ok()) return status;
    NoteShortLogs().IgnoreError();  // their records are compared now
    const bool all_there =
        std::all_of(last_records.begin(), last_records.end(), [this](const auto& entry) {
          const auto known = partitions_.find(entry.first);
          return known == partitions_.end() || known->second.short_since.has_value() ||
                 entry.second.offset < known->second.end;
        });
    if (all_there || Clock::now() >= deadline) return absl::OkStatus();
    std::this_thread::sleep_for(kRetryInterval);
  }
}

// The records at the starts of the ranges, as far as they (still) exist.
absl::StatusOr<std::map<TopicPartition, LastRecord>> KafkaSource::ReadAgain(
    const std::vector<PlannedRange>& ranges) {
  std::map<TopicPartition, LastRecord> found;
  if (ranges.empty()) return found;
  KafkaReaderOptions reader_options = ReaderOptions(options_);
  reader_options.queue_bytes = kReadAgainBytes;  // what lies behind those records is not wanted
  KafkaReader reader(std::move(reader_options), client_.get());
  if (absl::Status status = reader.Start(ranges); !status.ok()) return status;
  while (true) {
    while (const std::optional<RawRecords> chunk = reader.TakeChunk()) {
      const RawRecord& record = chunk->records.front();
      found[{chunk->topic, chunk->partition}] = {record.offset, record.timestamp_us,
                                                 RecordHash(record)};
    }
    if (reader.done()) return found;
    if (absl::Status status = CheckCancelled(); !status.ok()) return status;
    if (reader.silence() >= kSilencePatience) return SilenceStatus(reader);
    reader.Poll(kPollInterval);
    for (const KafkaReader::Unfinished& range : reader.unfinished()) {
      if (range.out_of_range) reader.CutRange(range.partition, range.next);  // aged out just now
    }
  }
}

absl::Status KafkaSource::StartRead(const std::vector<PlannedRange>& ranges) {
  if (absl::Status status = CheckCancelled(); !status.ok()) return status;
  losses_.clear();  // of a read that failed: they are found again
  std::vector<PlannedRange> readable;
  for (const PlannedRange& range : ranges) {
    const auto known = partitions_.find(range.partition);
    if (known != partitions_.end()) {
      known->second.planned = range.end;
      readable.push_back(range);
    } else if (range.start < range.end) {
      losses_.push_back({range.partition, range.start, range.end, kPartitionGone});
    }
  }
  // Partitions without news are assigned too, where they end: when something comes, it is read
  // without a new connection.
  for (const auto& [where, known] : partitions_) {
    const bool planned =
        std::any_of(ranges.begin(), ranges.end(),
                    [&w = where](const PlannedRange& range) { return range.partition == w; });
    if (!planned && reader_->position(where) < 0) readable.push_back({where, known.end, known.end});
  }
  return reader_->Start(readable);
}

absl::StatusOr<std::optional<RawRecords>> KafkaSource::Read(absl::Duration timeout) {
  const Clock::time_point deadline = Clock::now() + absl::ToChronoMicroseconds(timeout);
  for (bool asked = false;; asked = true) {
    if (absl::Status status = CheckCancelled(); !status.ok()) return status;
    if (const std::optional<TopicPartition> missing = reader_->interrupted())
      return absl::AbortedError(InDoubt(*missing, "was missing"));
    if (std::optional<RawRecords> chunk = reader_->TakeChunk()) return chunk;
    if (reader_->done()) return std::optional<RawRecords>(EndOfRanges());
    if (reader_->out_of_range()) {
      if (absl::Status status = JudgeOutOfRange(); !status.ok()) return status;
      continue;
    }
    if (reader_->silence() >= kSilencePatience) {
      if (absl::Status status = JudgeSilence(); !status.ok()) return status;
    }
    const Clock::duration left = std::max(deadline - Clock::now(), Clock::duration::zero());
    if (asked && left == Clock::duration::zero()) return std::optional<RawRecords>();
    reader_->Poll(std::min(std::chrono::ceil<std::chrono::milliseconds>(left), kPollInterval));
  }
}

absl::Status KafkaSource::JudgeOutOfRange() {
  if (absl::Status status = RefreshOffsets(true); !status.ok()) return status;
  for (const KafkaReader::Unfinished& range : reader_->unfinished()) {
    if (!range.out_of_range) continue;
    const Known& known = partitions_[range.partition];
    int64_t go_on = range.next;
    if (known.begin > range.next) {
      go_on = known.begin;
      losses_.push_back({range.partition, range.next, std::min(go_on, range.end), kAgedOut});
    } else if (known.end < range.next) {
      go_on = range.end;
      losses_.push_back({range.partition, range.next, range.end, kLogEndsBefore});
    } else {
      // Leaders may disagree for a moment; or it was deleted, and is made and filled again.
      return absl::AbortedError(
          InDoubt(range.partition, fmt::format("did not hold offset {}", range.next)));
    }
    if (absl::Status status = reader_->SkipTo(range.partition, go_on); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status KafkaSource::SilenceStatus(KafkaReader& reader) {
  const std::vector<KafkaReader::Unfinished> ranges = reader.unfinished();
  reader.ResetSilence();
  if (absl::Status refusal = reader.refusal(); !refusal.ok()) return refusal;
  const std::string reason = reader.last_error();
  return absl::UnavailableError(
      fmt::format("nothing came for {} seconds from Kafka at {}, topic {} partition {}, offsets {} "
                  "to {}{}{}; trying again",
                  kSilencePatience.count(), options_.brokers, ranges[0].partition.topic,
                  ranges[0].partition.partition, ranges[0].next, ranges[0].end,
                  reason.empty() ? "" : ": ", reason));
}

// Nothing came for long: the log may be gone or shorter than planned, which the client itself never
// says.
absl::Status KafkaSource::JudgeSilence() {
  absl::Status status = RefreshPartitions(kMissingTopicPatience);
  if (topic_missing_since_.has_value() && absl::IsUnavailable(status))
    return absl::OkStatus();  // ask again soon
  if (status.ok()) status = RefreshOffsets(true);
  if (!status.ok()) {
    reader_->ResetSilence();
    return status;
  }
  bool explained = false;
  for (const KafkaReader::Unfinished& range : reader_->unfinished()) {
    const auto known = partitions_.find(range.partition);
    const int64_t log_end = known != partitions_.end() ? known->second.end : 0;
    if (known != partitions_.end() && log_end >= range.end) continue;
    const int64_t cut = std::max(log_end, range.next);
    losses_.push_back({range.partition, cut, range.end,
                       known != partitions_.end() ? kLogEndsBefore : kPartitionGone});
    reader_->CutRange(range.partition, cut);
    explained = true;
  }
  if (!explained) return SilenceStatus(*reader_);
  reader_->ResetSilence();
  return absl::OkStatus();
}

void KafkaSource::StopRead() { reader_->Stop(); }

std::vector<DataLoss> KafkaSource::TakeLosses() { return std::exchange(losses_, {}); }

absl::Status KafkaSource::Acknowledge(const Offsets& offsets) {
  std::vector<KafkaPosition> positions;
  for (const auto& [where, offset] : offsets)
    positions.push_back({where.topic, where.partition, offset});
  return client_->Commit(std::move(positions));
}

int64_t KafkaSource::position(const TopicPartition& partition) const {
  return reader_->position(partition);
}

}  // namespace tidemark
