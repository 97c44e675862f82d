#include "examples/replay_dead_letters/replay_dead_letters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <memory>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "examples/replay_dead_letters/dead_letter.h"
#include "tidemark/operators/rows/stable_hash.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sinks/durable_file.h"
#include "tidemark/operators/sinks/kafka_transactions.h"
#include "tidemark/operators/sources/kafka_source.h"

namespace tidemark::examples {
namespace {

using Clock = std::chrono::steady_clock;
using Form = DeadLetterReader::Form;
using Visit = std::function<absl::Status(int64_t line, DeadLetter letter)>;

constexpr char kOriginHeader[] = "tidemark.origin";

absl::Status AtLine(const std::string& file, int64_t line, const std::string& problem) {
  return absl::InvalidArgumentError(fmt::format("{}:{}: {}", file, line, problem));
}

absl::Status ForEachLetter(const std::string& path, Form form, const Visit& visit) {
  std::ifstream file(path, std::ios::binary);
  if (file) file.peek();  // a folder opens, and fails to be read
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(fmt::format("the file {} cannot be read", path));
  }
  DeadLetterReader reader;
  std::string text;
  for (int64_t line = 1; std::getline(file, text); ++line) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    absl::StatusOr<DeadLetter> letter = reader.Read(text, form);
    if (!letter.ok()) return AtLine(path, line, std::string(letter.status().message()));
    if (absl::Status status = visit(line, *std::move(letter)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// ---- Export

// The record's own headers, then those of kafka_dead_letters.h, which begin with the topic's.
absl::StatusOr<DeadLetter> FromRecord(const RawRecord& record, RecordHeaders headers) {
  const auto ours = std::find_if(headers.rbegin(), headers.rend(), [](const auto& header) {
    return header.first == "tidemark.topic";
  });
  if (ours == headers.rend()) {
    return absl::InvalidArgumentError(
        fmt::format("the record at offset {} is no dead letter: it has no header tidemark.topic",
                    record.offset));
  }
  const auto begin = ours.base() - 1;
  DeadLetter letter;
  std::string partition;
  std::string offset;
  std::string timestamp;
  const std::map<std::string_view, std::string*> fields = {
      {"tidemark.topic", &letter.topic},   {"tidemark.partition", &partition},
      {"tidemark.offset", &offset},        {"tidemark.timestamp", &timestamp},
      {"tidemark.reason", &letter.reason}, {"tidemark.detail", &letter.detail},
      {"tidemark.time", &letter.time}};
  for (auto header = begin; header != headers.end(); ++header) {
    const auto field = fields.find(header->first);
    if (field != fields.end()) *field->second = header->second.value_or("");
  }
  int64_t number = 0;
  const auto parsed = [&number](const std::string& text) {
    return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
  };
  bool good = parsed(partition);
  letter.partition = static_cast<int32_t>(number);
  good = parsed(offset) && good;
  letter.offset = number;
  if (!good) {
    return absl::InvalidArgumentError(
        fmt::format("the record at offset {} is no dead letter: its headers tidemark.partition and "
                    "tidemark.offset are '{}' and '{}'",
                    record.offset, partition, offset));
  }
  letter.timestamp_us = ParseTimestamp(timestamp);
  headers.erase(begin, headers.end());
  letter.headers = std::move(headers);
  if (record.has_key) letter.key = std::string(record.key);
  letter.value = std::string(record.value);
  return letter;
}

absl::Status ForEachLetterOfTopic(const ExportOptions& options, const Visit& visit) {
  absl::StatusOr<std::unique_ptr<KafkaSource>> source =
      KafkaSource::Make({.brokers = options.kafka.brokers,
                         .topics = {options.topic},
                         .starting_offsets = "earliest",
                         .properties = options.kafka.properties,
                         .group_id = "tidemark-replay-export"});
  if (!source.ok()) return source.status();
  if (absl::Status status = (*source)->Open(); !status.ok()) return status;
  const absl::StatusOr<std::vector<AvailableRange>> available = (*source)->Available();
  if (!available.ok()) return available.status();
  std::vector<PlannedRange> ranges;
  for (const AvailableRange& range : *available) {
    if (range.begin < range.end) ranges.push_back({range.partition, range.begin, range.end});
  }
  if (ranges.empty()) return absl::OkStatus();
  if (absl::Status status = (*source)->StartRead(ranges); !status.ok()) return status;
  while (true) {
    const absl::StatusOr<std::optional<RawRecords>> chunk = (*source)->Read(absl::Seconds(1));
    if (!chunk.ok()) return chunk.status();
    if (!chunk->has_value()) continue;
    if (IsEndOfRanges(**chunk)) return absl::OkStatus();
    for (size_t i = 0; i < (*chunk)->records.size(); ++i) {
      absl::StatusOr<DeadLetter> letter = FromRecord((*chunk)->records[i], (*chunk)->Headers(i));
      if (!letter.ok()) {
        return absl::InvalidArgumentError(fmt::format("topic {} partition {}: {}", options.topic,
                                                      (*chunk)->partition,
                                                      std::string(letter.status().message())));
      }
      if (absl::Status status = visit(0, *std::move(letter)); !status.ok()) return status;
    }
  }
}

absl::Status ForEachLetterOfFolder(const std::string& given, const Visit& visit) {
  const std::string folder = IsFolder(given + "/dead_letters") ? given + "/dead_letters" : given;
  if (!IsFolder(folder)) return absl::NotFoundError(fmt::format("there is no folder {}", folder));
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) return names.status();
  std::vector<std::string> files;
  for (const std::string& name : *names) {
    if (name.starts_with("dead-") && name.ends_with(".jsonl")) files.push_back(name);
  }
  if (files.empty()) {
    return absl::NotFoundError(
        fmt::format("the folder {} holds no dead-*.jsonl; a job keeps them in dead_letters in its "
                    "checkpoint's folder, or where its --bad-records dead-letter:DIR says",
                    folder));
  }
  // By batch, whose numbers get longer.
  std::sort(files.begin(), files.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.size(), a) < std::pair(b.size(), b);
  });
  for (const std::string& name : files) {
    absl::Status status = ForEachLetter(folder + "/" + name, Form::kStored, visit);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Of a topic that was made anew the offsets come again, the times do not.
std::string Identity(const DeadLetter& letter) {
  return fmt::format("{}@{}", letter.Origin(),
                     letter.timestamp_us.value_or(RawRecord::kNoTimestamp));
}

// ---- Send

// What a file has for one topic.
struct TopicLines {
  int64_t count = 0;
  int32_t partitions = 0;  // at least
  uint64_t identity = 0;   // of the first letter's origin, whatever its value is
};

const std::string& TargetOf(const SendOptions& options, const DeadLetter& letter) {
  return options.topic.empty() ? letter.topic : options.topic;
}

absl::StatusOr<std::map<std::string, TopicLines>> CheckLines(const SendOptions& options) {
  std::map<std::string, TopicLines> topics;
  std::map<std::string, int64_t> line_of;
  absl::Status status =
      ForEachLetter(options.file, Form::kRepairable, [&](int64_t line, const DeadLetter& letter) {
        const std::string identity = Identity(letter);
        const auto [known, is_new] = line_of.emplace(identity, line);
        if (!is_new) {
          return AtLine(options.file, line,
                        fmt::format("is the letter {} again, which line {} has too; keep one",
                                    letter.Origin(), known->second));
        }
        TopicLines& lines = topics[TargetOf(options, letter)];
        if (lines.count++ == 0) lines.identity = StableHash(identity);
        if (options.topic.empty())
          lines.partitions = std::max(lines.partitions, letter.partition + 1);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return topics;
}

absl::Status CheckTopics(const SendOptions& options,
                         const std::map<std::string, TopicLines>& topics) {
  const absl::StatusOr<std::unique_ptr<KafkaClient>> client =
      KafkaClient::Make(options.kafka, "", {.defaults = {{"client.id", "tidemark"}}});
  if (!client.ok()) return client.status();
  for (const auto& [topic, lines] : topics) {
    const absl::StatusOr<int32_t> partitions = (*client)->CountPartitions(topic);
    if (absl::IsNotFound(partitions.status())) {
      return absl::NotFoundError(
          fmt::format("Kafka at {} has no topic {}; create it, or send the letters to another one "
                      "with --topic",
                      options.kafka.brokers, topic));
    }
    if (!partitions.ok()) return partitions.status();
    if (*partitions < lines.partitions) {
      return absl::InvalidArgumentError(fmt::format(
          "topic {} at {} has {} partitions, and {} has letters of partition {}: it is "
          "not the topic they came from; with --topic {} they are spread by their keys",
          topic, options.kafka.brokers, *partitions, options.file, lines.partitions - 1, topic));
    }
  }
  return absl::OkStatus();
}

// The lines of a file that go to one topic.
class TopicSender {
 public:
  using Progress = std::function<void(const std::string&, int64_t, int64_t)>;

  TopicSender(const SendOptions& options, std::string topic, TopicLines lines,
              const Progress& progress)
      : options_(options), topic_(std::move(topic)), lines_(lines), progress_(progress) {}

  absl::StatusOr<SentLetters> Run() {
    absl::StatusOr<std::unique_ptr<KafkaTransactions>> made = KafkaTransactions::Make(
        {.connection = options_.kafka,
         .topic = topic_,
         .id = fmt::format("tidemark-replay-{:016x}", StableHash(topic_, lines_.identity)),
         .row_words = fmt::format("line {{}} of {}", Escaped(options_.file))});
    if (!made.ok()) return made.status();
    transactions_ = *std::move(made);
    std::optional<int64_t> before;
    auto deadline = Clock::now() + absl::ToChronoNanoseconds(options_.patience);
    while (true) {
      const absl::StatusOr<std::optional<KafkaGroupOffset>> marker = transactions_->TakeOver();
      absl::Status status = marker.status();
      if (status.ok()) {
        committed_ = *marker ? (*marker)->offset : 0;
        if (!before) before = committed_;
        const int64_t from = committed_;
        status = SendAfter(marker->value_or(KafkaGroupOffset{}));
        if (status.ok()) return SentLetters{lines_.count, *before};
        status = transactions_->Abort(status);
        if (committed_ > from)
          deadline = Clock::now() + absl::ToChronoNanoseconds(options_.patience);
      }
      if (!absl::IsUnavailable(status) || Clock::now() >= deadline) return status;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

 private:
  // For a format string.
  static std::string Escaped(std::string text) {
    for (size_t at = 0; (at = text.find_first_of("{}", at)) != std::string::npos; at += 2)
      text.insert(at, 1, text[at]);
    return text;
  }

  // What is sent of a letter, in the order of the lines.
  void Digest(DeadLetter letter) {
    letter.reason.clear();
    letter.detail.clear();
    letter.time.clear();
    digest_ = StableHash(RepairableLine(letter), digest_);
  }
  std::string DigestText() const { return fmt::format("{:016x}", digest_); }

  absl::Status SendAfter(const KafkaGroupOffset& marker) {
    int64_t at = 0;
    digest_ = 0;
    in_transaction_ = 0;
    const auto check_sent = [&](bool all_read) {
      const bool missing = all_read && at < marker.offset;
      if (!missing && (at != marker.offset || at == 0 || marker.metadata == DigestText())) {
        return absl::OkStatus();
      }
      return absl::InvalidArgumentError(fmt::format(
          "{}: its first {} lines for topic {} were sent before, and are not the same any more; "
          "give them back what they had to send the others; to send one of them again, put it into "
          "a file of its own",
          options_.file, marker.offset, topic_));
    };
    absl::Status status =
        ForEachLetter(options_.file, Form::kRepairable, [&](int64_t line, DeadLetter letter) {
          if (TargetOf(options_, letter) != topic_) return absl::OkStatus();
          absl::Status sent = check_sent(false);
          if (sent.ok() && at >= marker.offset) sent = Send(line, letter);
          ++at;
          Digest(std::move(letter));
          const bool full = in_transaction_ == options_.lines_per_transaction;
          return sent.ok() && full ? Commit(at) : sent;
        });
    if (status.ok()) status = check_sent(true);
    if (status.ok() && at != lines_.count) {
      status = absl::InvalidArgumentError(
          fmt::format("{} was changed while it was sent; send it again", options_.file));
    }
    return status.ok() && in_transaction_ > 0 ? Commit(at) : status;
  }

  absl::Status Send(int64_t line, const DeadLetter& letter) {
    if (in_transaction_++ == 0) {
      if (absl::Status begun = transactions_->Begin(); !begun.ok()) return begun;
    }
    KafkaTransactions::Record record{.key = letter.key, .value = letter.value};
    record.headers = letter.headers;
    record.headers.emplace_back(kOriginHeader, letter.Origin());
    if (options_.topic.empty()) record.partition = letter.partition;
    if (letter.timestamp_us && !options_.new_timestamps)
      record.timestamp_ms = FloorDiv(*letter.timestamp_us, 1000);
    return transactions_->Produce(record, line);
  }

  absl::Status Commit(int64_t done) {
    in_transaction_ = 0;
    if (absl::Status status = transactions_->Commit({done, DigestText()}); !status.ok())
      return status;
    committed_ = done;
    progress_(topic_, done, lines_.count);
    return absl::OkStatus();
  }

  const SendOptions& options_;
  const std::string topic_;
  const TopicLines lines_;
  const Progress& progress_;
  std::unique_ptr<KafkaTransactions> transactions_;
  int64_t committed_ = 0;
  int64_t in_transaction_ = 0;
  uint64_t digest_ = 0;
};

}  // namespace

absl::StatusOr<ExportedLetters> ExportDeadLetters(const ExportOptions& options) {
  if (FileBytes(options.to).ok() || IsFolder(options.to)) {
    return absl::InvalidArgumentError(
        fmt::format("{} is there already, perhaps with repairs in it; name another file with --to",
                    options.to));
  }
  ExportedLetters exported;
  std::set<std::string> known;
  for (const std::string& path : options.except) {
    absl::Status status = ForEachLetter(path, Form::kRepairable, [&](int64_t, DeadLetter letter) {
      known.insert(Identity(letter));
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
  }
  std::set<std::string> seen;
  const size_t slash = options.to.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : options.to.substr(0, slash + 1);
  absl::StatusOr<DurableFile> file = DurableFile::Create(
      folder, slash == std::string::npos ? options.to : options.to.substr(slash + 1));
  if (!file.ok()) return file.status();
  const auto add = [&](int64_t, const DeadLetter& letter) {
    std::string identity = Identity(letter);
    if (known.contains(identity)) {
      ++exported.excepted;
      return absl::OkStatus();
    }
    if (!seen.insert(std::move(identity)).second) {
      ++exported.repeats;
      return absl::OkStatus();
    }
    ++exported.letters;
    ++exported.by_topic[letter.topic];
    ++exported.by_reason[letter.reason];
    return file->Append(RepairableLine(letter) + "\n");
  };
  absl::Status status = options.topic.empty() ? ForEachLetterOfFolder(options.folder, add)
                                              : ForEachLetterOfTopic(options, add);
  if (!status.ok() || exported.letters == 0)
    return status.ok() ? exported : absl::StatusOr<ExportedLetters>(status);
  status = file->Sync();
  if (status.ok()) status = file->Publish();
  if (status.ok()) status = SyncFolder(folder);
  if (!status.ok()) return status;
  return exported;
}

absl::StatusOr<std::map<std::string, SentLetters>> SendLetters(
    const SendOptions& options,
    const std::function<void(const std::string&, int64_t, int64_t)>& progress) {
  const absl::StatusOr<std::map<std::string, TopicLines>> topics = CheckLines(options);
  if (!topics.ok()) return topics.status();
  if (absl::Status status = CheckTopics(options, *topics); !status.ok()) return status;
  std::map<std::string, SentLetters> sent;
  for (const auto& [topic, lines] : *topics) {
    const absl::StatusOr<SentLetters> done = TopicSender(options, topic, lines, progress).Run();
    if (!done.ok()) return done.status();
    sent[topic] = *done;
  }
  return sent;
}

}  // namespace tidemark::examples
