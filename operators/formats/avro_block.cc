#include "tidemark/operators/formats/avro_block.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tidemark/operators/formats/avro_wire.h"
#include "tidemark/operators/rows/text.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace tidemark {
namespace {

constexpr uint64_t kHighBits = 0x8080'8080'8080'8080;

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Whether it is UTF-8. From where it begins 32 bytes may be read in any case.
[[gnu::always_inline]] inline bool IsText(std::string_view text) {
#ifdef __SSE2__
  if (text.size() <= 32) [[likely]] {
    const auto* const words = reinterpret_cast<const __m128i*>(text.data());
    const auto first = static_cast<uint32_t>(_mm_movemask_epi8(_mm_loadu_si128(words)));
    const auto second = static_cast<uint32_t>(_mm_movemask_epi8(_mm_loadu_si128(words + 1)));
    const uint64_t not_ascii = first | uint64_t{second} << 16;
    if ((not_ascii & ((uint64_t{1} << text.size()) - 1)) == 0) [[likely]]
      return true;
  }
#endif
  return IsValidUtf8(text);
}

// What follows reads a value at `at` and gives its size, kBad if it has none. 10 bytes there may be
// read, even if they are past the end; a size may reach past it.
constexpr ptrdiff_t kBad = PTRDIFF_MAX;

AvroCursor CursorAt(const char* at, const char* end) {
  return AvroCursor(std::string_view(at, at < end ? static_cast<size_t>(end - at) : 0));
}

// A length and as many bytes.
struct Bytes {
  ptrdiff_t length;
  ptrdiff_t size;  // of both
};

[[gnu::noinline]] Bytes ReadBytesSlowly(const char* at, const char* end) {
  AvroCursor cursor = CursorAt(at, end);
  std::string_view bytes;
  if (!cursor.ReadBytes(&bytes)) return {0, kBad};
  return {static_cast<ptrdiff_t>(bytes.size()), cursor.at() - at};
}

// Of a number in these bytes, the last of it the first one without a high bit: a bit for each of
// those. 0: it has more than 8 bytes.
inline uint64_t StopsOf(uint64_t word) { return ~word & kHighBits; }
inline ptrdiff_t SizeOf(uint64_t stops) {
  return static_cast<ptrdiff_t>(static_cast<unsigned>(std::countr_zero(stops)) / 8 + 1);
}
inline uint64_t BytesOf(uint64_t word, uint64_t stops) { return word & (stops ^ (stops - 1)); }

// Of BytesOf, the number: seven bits of each byte moved together. There is no branch on the size,
// as sizes differ from record to record.
inline int64_t LongOf(uint64_t bytes) {
  uint64_t bits = bytes & ~kHighBits;
  bits -= (bits & 0x7F00'7F00'7F00'7F00) >> 1;
  bits = (bits & 0x0000'3FFF'0000'3FFF) | (bits & 0x3FFF'0000'3FFF'0000) >> 2;
  bits = (bits & 0x0FFF'FFFF) | (bits & 0x0FFF'FFFF'0000'0000) >> 4;
  return static_cast<int64_t>((bits >> 1) ^ (0 - (bits & 1)));
}

[[gnu::noinline]] ptrdiff_t ReadLongSlowly(const char* at, const char* end, int64_t* value) {
  *value = 0;
  AvroCursor cursor = CursorAt(at, end);
  return cursor.ReadLong(value) ? cursor.at() - at : kBad;
}

// A null has no bytes.
[[gnu::always_inline]] inline Bytes ReadBytes(const char* at, const char* end, bool is_null) {
  // Lengths of one byte are even and at most 126.
  const uint32_t length = is_null ? 0 : static_cast<uint8_t>(*at);
  if ((length & 0x81) != 0) [[unlikely]]
    return ReadBytesSlowly(at, end);
  return {ptrdiff_t{length / 2}, 1 + ptrdiff_t{length / 2}};
}

}  // namespace

void AvroBlock::Begin(const AvroRun& run) {
  const size_t most = std::min(run.block_records, static_cast<size_t>(run.end - run.next));
  const size_t header = run.header.size();
  for (size_ = 0; size_ < most; ++size_) {
    const RawRecord& record = run.next[size_];
    if (!record.padded || !run.Owns(record)) break;
    at_[size_] = record.value.data() + header;
    end_[size_] = record.value.data() + record.value.size();
  }
}

void AvroBlock::End() {
  for (size_t i = 0; i < size_; ++i) {
    if (at_[i] != end_[i]) [[unlikely]]
      return Cut(i);
  }
}

// `read` stores the value of a record and gives its size. A null has a value too: whatever stands
// there.
template <bool kIsOptional, typename ReadOne>
[[gnu::always_inline]] inline uint64_t AvroBlock::ForEach(uint8_t null_branch, ReadOne read) {
  uint64_t nulls = 0;
  const size_t size = size_;
  for (size_t i = 0; i < size; ++i) {
    const char* at = at_[i];
    bool is_null = false;
    if constexpr (kIsOptional) {
      const auto branch = static_cast<uint8_t>(*at++);
      // 0 or 1, in one byte.
      if ((branch & ~2U) != 0) [[unlikely]] {
        Cut(i);
        break;
      }
      is_null = branch == 2 * null_branch;
      nulls |= uint64_t{is_null} << i;
    }
    ptrdiff_t size_of_value = read(at, end_[i], is_null, i);
    if (kIsOptional && is_null) size_of_value = 0;
    if (size_of_value > end_[i] - at) [[unlikely]] {
      Cut(i);
      break;
    }
    at_[i] = at + size_of_value;
  }
  return nulls;
}

// In two loops, as the second takes several numbers at once.
template <bool kIsOptional>
uint64_t AvroBlock::ReadLongs(uint8_t null_branch, int64_t* to) {
  uint64_t bytes[kMaxRecords];
  uint64_t large = 0;  // bit i: of record i, the number itself is in `bytes`
  const uint64_t nulls = ForEach<kIsOptional>(
      null_branch, [&bytes, &large](const char* at, const char* end, bool, size_t i) {
        const auto word = Load<uint64_t>(at);
        const uint64_t stops = StopsOf(word);
        if (stops == 0) [[unlikely]] {
          int64_t value;
          const ptrdiff_t size = ReadLongSlowly(at, end, &value);
          bytes[i] = static_cast<uint64_t>(value);
          large |= uint64_t{1} << i;
          return size;
        }
        bytes[i] = BytesOf(word, stops);
        return SizeOf(stops);
      });
  const size_t size = size_;
  for (size_t i = 0; i < size; ++i) to[i] = LongOf(bytes[i]);
  for (; large != 0; large &= large - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(large));
    if (i < size) to[i] = static_cast<int64_t>(bytes[i]);
  }
  return nulls;
}

// The same, each stored by `store`, which is false if it cannot be.
template <bool kIsOptional, typename Store>
uint64_t AvroBlock::ConvertLongs(uint8_t null_branch, Store store) {
  int64_t values[kMaxRecords];
  const uint64_t nulls = ReadLongs<kIsOptional>(null_branch, values);
  for (size_t i = 0; i < size_; ++i) {
    if (!store(values[i], i) && (nulls >> i & 1) == 0) [[unlikely]] {
      Cut(i);
      break;
    }
  }
  return nulls;
}

// `From`: as its bytes stand there.
template <bool kIsOptional, typename From, typename T>
uint64_t AvroBlock::ReadRaw(uint8_t null_branch, T* to) {
  return ForEach<kIsOptional>(null_branch, [to](const char* at, const char*, bool, size_t i) {
    to[i] = Load<From>(at);
    return ptrdiff_t{sizeof(From)};
  });
}

template <bool kIsOptional, bool kIsText>
uint64_t AvroBlock::ReadTexts(uint8_t null_branch, std::string_view* to, Arena* copies) {
  return ForEach<kIsOptional>(
      null_branch, [to, copies](const char* at, const char* end, bool is_null, size_t i) {
        const auto [length, size] = ReadBytes(at, end, is_null);
        if (size > end - at && !is_null) [[unlikely]]
          return kBad;
        const std::string_view text(at + size - length, static_cast<size_t>(length));
        if (kIsText && !IsText(text)) [[unlikely]]
          return kBad;
        to[i] = copies == nullptr ? text : copies->Copy(text);
        return size;
      });
}

template <bool kIsOptional>
uint64_t AvroBlock::Take(const AvroBlockValue& next, AvroOutput* output, size_t row) {
  using Kind = AvroBlockValue::Kind;
  const uint8_t null = next.null_branch;
  const auto int64s = output->Values<int64_t>(next.column, row);
  const auto texts = output->Values<std::string_view>(next.column, row);
  Arena* const copies = output->keeps_records ? nullptr : output->arena.get();
  switch (next.kind) {
    case Kind::kBool:
      return ForEach<kIsOptional>(null, [to = output->Values<uint8_t>(next.column, row)](
                                            const char* at, const char*, bool, size_t i) {
        to[i] = static_cast<uint8_t>(*at);
        return to[i] <= 1 ? 1 : kBad;
      });
    case Kind::kInt32:
      return ConvertLongs<kIsOptional>(
          null, [to = output->Values<int32_t>(next.column, row)](int64_t value, size_t i) {
            to[i] = static_cast<int32_t>(value);
            return to[i] == value;
          });
    case Kind::kInt32As64:
      return ConvertLongs<kIsOptional>(null, [int64s](int64_t value, size_t i) {
        int64s[i] = value;
        return static_cast<int32_t>(value) == value;
      });
    case Kind::kInt64:
      return ReadLongs<kIsOptional>(null, int64s);
    case Kind::kMillis:
      return ConvertLongs<kIsOptional>(null, [int64s](int64_t value, size_t i) {
        return !__builtin_mul_overflow(value, int64_t{1000}, &int64s[i]);
      });
    case Kind::kFloat:
      return ReadRaw<kIsOptional, float>(null, output->Values<double>(next.column, row));
    case Kind::kDouble:
      return ReadRaw<kIsOptional, double>(null, output->Values<double>(next.column, row));
    case Kind::kString:
      return ReadTexts<kIsOptional, true>(null, texts, copies);
    case Kind::kBytes:
      return ReadTexts<kIsOptional, false>(null, texts, copies);
    default:
      return 0;
  }
}

template <bool kIsOptional>
void AvroBlock::Skip(const AvroBlockValue& next) {
  switch (next.kind) {
    case AvroBlockValue::Kind::kSkipLong:
      ForEach<kIsOptional>(next.null_branch, [](const char* at, const char* end, bool, size_t) {
        const uint64_t stops = StopsOf(Load<uint64_t>(at));
        int64_t value;
        return stops != 0 ? SizeOf(stops) : ReadLongSlowly(at, end, &value);
      });
      return;
    case AvroBlockValue::Kind::kSkipBytes:
      ForEach<kIsOptional>(next.null_branch,
                           [](const char* at, const char* end, bool is_null, size_t) {
                             return ReadBytes(at, end, is_null).size;
                           });
      return;
    default:
      ForEach<kIsOptional>(next.null_branch, [width = next.width](const char*, const char*, bool,
                                                                  size_t) { return width; });
  }
}

void AvroBlock::Read(const AvroBlockValue& next, AvroOutput* output, size_t row) {
  if (next.IsSkip()) return next.is_optional ? Skip<true>(next) : Skip<false>(next);
  const uint64_t nulls =
      next.is_optional ? Take<true>(next, output, row) : Take<false>(next, output, row);
  if (nulls != 0) output->columns[next.column]->SetNulls(row, nulls);
}

}  // namespace tidemark
