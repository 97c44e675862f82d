#include "tidemark/operators/sources/polling_rows.h"

#include <algorithm>
#include <cstring>

namespace tidemark {
namespace {

// The first byte of what goes into the checkpoint.
constexpr char kOldCursorVersion = 1;
constexpr char kCursorVersion = 2;
constexpr char kPollsVersion = 1;
constexpr size_t kMaxVarintBytes = 10;

uint64_t Zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t Unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

void PutVarint(uint64_t value, std::string* bytes) {
  while (value >= 0x80) {
    bytes->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  bytes->push_back(static_cast<char>(value));
}
void PutSigned(int64_t value, std::string* bytes) { PutVarint(Zigzag(value), bytes); }
void PutOptional(const std::optional<int64_t>& value, std::string* bytes) {
  bytes->push_back(value.has_value() ? 1 : 0);
  if (value.has_value()) PutSigned(*value, bytes);
}

// Differences wrap, so that any two positions have one.
void PutPosition(const RowPosition& position, const RowPosition& before, std::string* bytes) {
  PutVarint(Zigzag(static_cast<int64_t>(static_cast<uint64_t>(position.value) -
                                        static_cast<uint64_t>(before.value))),
            bytes);
  PutVarint(Zigzag(static_cast<int64_t>(position.key - before.key)), bytes);
}

std::string BigEndian(uint64_t value) {
  std::string bytes(sizeof(value), 0);
  for (size_t i = 0; i < sizeof(value); ++i) {
    bytes[i] = static_cast<char>(value >> (8 * (sizeof(value) - 1 - i)));
  }
  return bytes;
}

class Parser {
 public:
  explicit Parser(std::string_view bytes) : rest_(bytes) {}

  bool Byte(char* value) {
    if (rest_.empty()) return false;
    *value = rest_[0];
    rest_.remove_prefix(1);
    return true;
  }
  bool Varint(uint64_t* value) {
    *value = 0;
    for (size_t i = 0; i < kMaxVarintBytes && i < rest_.size(); ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      *value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
      if (byte < 0x80) {
        rest_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }
  bool Signed(int64_t* value) {
    uint64_t zigzag = 0;
    if (!Varint(&zigzag)) return false;
    *value = Unzigzag(zigzag);
    return true;
  }
  bool Optional(std::optional<int64_t>* value) {
    char has = 0;
    if (!Byte(&has)) return false;
    return has == 0 || Signed(&value->emplace());
  }
  bool Position(RowPosition* position) {
    int64_t value = 0;
    int64_t key = 0;
    if (!Signed(&value) || !Signed(&key)) return false;
    position->value =
        static_cast<int64_t>(static_cast<uint64_t>(position->value) + static_cast<uint64_t>(value));
    position->key += static_cast<uint64_t>(key);
    return true;
  }
  bool Bytes(size_t size, std::string_view* bytes) {
    if (rest_.size() < size) return false;
    *bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  // A count of things of at least `least` bytes each.
  bool Count(size_t least, size_t* count) {
    uint64_t value = 0;
    if (!Varint(&value) || value > rest_.size() / least) return false;
    *count = value;
    return true;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

void PutRows(const PolledRows& rows, size_t first, size_t last, std::string* bytes) {
  PutSigned(rows.first_offset + static_cast<int64_t>(first), bytes);
  PutOptional(rows.look_back_from, bytes);
  PutVarint(last - first, bytes);
  RowPosition before;
  for (size_t i = first; i < last; ++i) {
    PutPosition(rows.positions[i], before, bytes);
    PutVarint(rows.row(i).size(), bytes);
    before = rows.positions[i];
  }
  const size_t begin = first == 0 ? 0 : rows.ends[first - 1];
  bytes->append(rows.bytes, begin, rows.ends[last - 1] - begin);
}

bool TakeRows(Parser* parser, PolledRows* rows) {
  size_t count = 0;
  if (!parser->Signed(&rows->first_offset) || !parser->Optional(&rows->look_back_from) ||
      !parser->Count(3, &count) || count == 0) {
    return false;
  }
  RowPosition position;
  size_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    uint64_t size = 0;
    if (!parser->Position(&position) || !parser->Varint(&size) || size > SIZE_MAX - end)
      return false;
    end += size;
    rows->positions.push_back(position);
    rows->ends.push_back(end);
  }
  std::string_view bytes;
  if (!parser->Bytes(end, &bytes)) return false;
  rows->bytes.reserve(end + kRecordPadding);
  rows->bytes.assign(bytes);
  rows->bytes.append(kRecordPadding, '\0');
  return true;
}

}  // namespace

void PollingCursor::Advance(const PolledRows& rows, size_t count) {
  if (count == 0) return;
  for (size_t i = 0; i < count; ++i) {
    highest = std::max(highest.value_or(INT64_MIN), rows.positions[i].value);
  }
  last = rows.positions[count - 1].value;
  look_back_from = rows.look_back_from;
  offset = rows.first_offset + static_cast<int64_t>(count);
}

std::string EncodeCursor(const PollingCursor& cursor) {
  std::string bytes(1, kCursorVersion);
  PutSigned(cursor.offset, &bytes);
  PutOptional(cursor.last, &bytes);
  PutOptional(cursor.look_back_from, &bytes);
  PutOptional(cursor.highest, &bytes);
  return bytes;
}

std::optional<PollingCursor> DecodeCursor(std::string_view bytes) {
  Parser parser(bytes);
  PollingCursor cursor;
  char version = 0;
  if (!parser.Byte(&version) || version != kCursorVersion || !parser.Signed(&cursor.offset) ||
      !parser.Optional(&cursor.last) || !parser.Optional(&cursor.look_back_from) ||
      !parser.Optional(&cursor.highest) || !parser.at_end()) {
    return std::nullopt;
  }
  return cursor;
}

bool IsOldCursor(std::string_view bytes) { return !bytes.empty() && bytes[0] == kOldCursorVersion; }

std::string EncodePositions(const RowPosition* begin, const RowPosition* end) {
  std::string bytes;
  PutVarint(static_cast<uint64_t>(end - begin), &bytes);
  RowPosition before;
  for (const RowPosition* position = begin; position != end; ++position) {
    // The first may be anywhere; from then on time does not go back.
    PutVarint(static_cast<uint64_t>(position->value) - static_cast<uint64_t>(before.value), &bytes);
    PutSigned(static_cast<int64_t>(position->key - before.key), &bytes);
    before = *position;
  }
  return bytes;
}

bool DecodePositions(std::string_view bytes, std::vector<RowPosition>* positions) {
  positions->clear();
  Parser parser(bytes);
  size_t count = 0;
  if (!parser.Count(2, &count)) return false;
  positions->reserve(count);
  RowPosition position;
  for (size_t i = 0; i < count; ++i) {
    uint64_t time = 0;
    int64_t key = 0;
    if (!parser.Varint(&time) || !parser.Signed(&key)) return false;
    position.value = static_cast<int64_t>(static_cast<uint64_t>(position.value) + time);
    position.key += static_cast<uint64_t>(key);
    positions->push_back(position);
  }
  return parser.at_end();
}

std::string SeenBlockTime(int64_t time) {
  return BigEndian(static_cast<uint64_t>(time) ^ (uint64_t{1} << 63));
}

std::pair<std::string, std::string> EncodeSeenBlock(int64_t first_offset,
                                                    const std::vector<RowPosition>& positions) {
  return {SeenBlockTime(positions.back().value) + BigEndian(static_cast<uint64_t>(first_offset)),
          EncodePositions(positions.data(), positions.data() + positions.size())};
}

bool DecodeSeenBlock(std::string_view key, std::string_view value,
                     std::vector<RowPosition>* positions) {
  return DecodePositions(value, positions) && !positions->empty() &&
         std::is_sorted(positions->begin(), positions->end()) &&
         key.starts_with(SeenBlockTime(positions->back().value));
}

std::string EncodePolls(const std::vector<std::shared_ptr<const PolledRows>>& polls, int64_t start,
                        int64_t end) {
  std::string bytes(1, kPollsVersion);
  for (const std::shared_ptr<const PolledRows>& rows : polls) {
    const int64_t from = std::max(start, rows->first_offset) - rows->first_offset;
    const int64_t to = std::min(end, rows->end_offset()) - rows->first_offset;
    if (from < to) PutRows(*rows, static_cast<size_t>(from), static_cast<size_t>(to), &bytes);
  }
  return bytes;
}

std::optional<std::vector<std::shared_ptr<const PolledRows>>> DecodePolls(std::string_view bytes) {
  Parser parser(bytes);
  char version = 0;
  if (!parser.Byte(&version) || version != kPollsVersion) return std::nullopt;
  std::vector<std::shared_ptr<const PolledRows>> polls;
  while (!parser.at_end()) {
    auto rows = std::make_shared<PolledRows>();
    if (!TakeRows(&parser, rows.get())) return std::nullopt;
    if (!polls.empty() && rows->first_offset != polls.back()->end_offset()) return std::nullopt;
    polls.push_back(std::move(rows));
  }
  return polls;
}

}  // namespace tidemark
