#ifndef TIDEMARK_OPERATORS_FORMATS_AVRO_WIRE_H_
#define TIDEMARK_OPERATORS_FORMATS_AVRO_WIRE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tidemark {

/// The numbers of Avro's binary encoding, appended to `out`.
inline void AppendAvroLong(int64_t value, std::string* out) {
  uint64_t rest = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  while (rest >= 0x80) {
    out->push_back(static_cast<char>(rest | 0x80));
    rest >>= 7;
  }
  out->push_back(static_cast<char>(rest));
}
/// A string or bytes value.
inline void AppendAvroBytes(std::string_view bytes, std::string* out) {
  AppendAvroLong(static_cast<int64_t>(bytes.size()), out);
  out->append(bytes);
}
/// The machine's own bytes of a float or double, little-endian as Avro's are.
template <typename T>
void AppendAvroRaw(T value, std::string* out) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

/// Where the reading of a datum stands. A Read that fails leaves the cursor anywhere and says why
/// in `fault`.
class AvroCursor {
 public:
  enum class Fault : uint8_t { kNone, kEnd, kNumber, kLength };

  /// `readable`: bytes after the datum that may be read (their content does not matter).
  explicit AvroCursor(std::string_view datum, size_t readable = 0)
      : at_(datum.data()),
        end_(datum.data() + datum.size()),
        readable_end_(datum.data() + datum.size() + readable) {}

  size_t left() const { return static_cast<size_t>(end_ - at_); }
  const char* at() const { return at_; }
  void Rewind(const char* at) { at_ = at; }
  /// kEnd: the datum ended; kNumber: a number of more than 64 bits; kLength: more bytes than are
  /// left were declared.
  Fault fault() const { return fault_; }
  /// After kLength.
  int64_t declared() const { return declared_; }

  /// Branches on the number's size, which mostly is as before: where the next value begins is then
  /// guessed and not waited for.
  [[gnu::always_inline]] bool ReadLong(int64_t* value) {
    if (readable_end_ - at_ < 8) [[unlikely]]
      return ReadSlowly(value);
    uint64_t word;
    std::memcpy(&word, at_, sizeof(word));
    if ((~word & 0x8080'8080) != 0) {
      if ((word & 0x80) == 0) return Finish<1>(word, value);
      if ((word & 0x8000) == 0) return Finish<2>(word, value);
      if ((word & 0x80'0000) == 0) return Finish<3>(word, value);
      return Finish<4>(word, value);
    }
    if ((word & 0x80'0000'0000) == 0) return Finish<5>(word, value);
    if ((word & 0x8000'0000'0000) == 0) return Finish<6>(word, value);
    if ((word & 0x80'0000'0000'0000) == 0) return Finish<7>(word, value);
    return ReadSlowly(value);
  }
  /// A number that mostly takes one byte: a length, a branch.
  [[gnu::always_inline]] bool ReadSmall(int64_t* value) {
    if (at_ < end_ && static_cast<signed char>(*at_) >= 0) [[likely]] {
      *value = FromZigzag(static_cast<uint8_t>(*at_++));
      return true;
    }
    return ReadSlowly(value);
  }
  /// A length and that many bytes.
  [[gnu::always_inline]] bool ReadBytes(std::string_view* bytes) {
    if (at_ < end_) [[likely]] {
      // Lengths of one byte are even and at most 126.
      const uint32_t length = static_cast<uint8_t>(*at_);
      const char* const begin = at_ + 1;
      const char* const next = begin + length / 2;
      if ((length & 0x81) == 0 && next <= end_) [[likely]] {
        *bytes = {begin, length / 2};
        at_ = next;
        return true;
      }
    }
    // A negative length is, as an unsigned number, longer than anything.
    int64_t size;
    return ReadSlowly(&size) && ReadFixed(static_cast<uint64_t>(size), bytes);
  }
  [[gnu::always_inline]] bool ReadFixed(uint64_t size, std::string_view* bytes) {
    const char* begin = at_;
    if (!Skip(size)) return false;
    *bytes = {begin, static_cast<size_t>(size)};
    return true;
  }
  template <typename T>
  [[gnu::always_inline]] bool ReadRaw(T* value) {
    if (left() < sizeof(T)) [[unlikely]]
      return Fail(Fault::kEnd);
    std::memcpy(value, at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  [[gnu::always_inline]] bool SkipLong() {
    int64_t value;
    return ReadLong(&value);
  }
  [[gnu::always_inline]] bool SkipBytes() {
    std::string_view bytes;
    return ReadBytes(&bytes);
  }
  /// A negative length, as an unsigned number, is more than is left, too.
  [[gnu::always_inline]] bool Skip(uint64_t size) {
    if (size > left()) [[unlikely]] {
      declared_ = static_cast<int64_t>(size);
      return Fail(Fault::kLength);
    }
    at_ += size;
    return true;
  }

 private:
  static int64_t FromZigzag(uint64_t bits) {
    return static_cast<int64_t>(bits >> 1) ^ -static_cast<int64_t>(bits & 1);
  }
  // A number of so many bytes, the first in `word`.
  template <int kBytes>
  [[gnu::always_inline]] bool Finish(uint64_t word, int64_t* value) {
    at_ += kBytes;
    if (at_ > end_) [[unlikely]]
      return Fail(Fault::kEnd);
    uint64_t bits = word & 0x7F;
    if constexpr (kBytes > 1) bits |= (word & 0x7F00) >> 1;
    if constexpr (kBytes > 2) bits |= (word & 0x7F'0000) >> 2;
    if constexpr (kBytes > 3) bits |= (word & 0x7F00'0000) >> 3;
    if constexpr (kBytes > 4) bits |= (word & 0x7F'0000'0000) >> 4;
    if constexpr (kBytes > 5) bits |= (word & 0x7F00'0000'0000) >> 5;
    if constexpr (kBytes > 6) bits |= (word & 0x7F'0000'0000'0000) >> 6;
    *value = FromZigzag(bits);
    return true;
  }
  // By value, so that *this need not be in memory.
  struct Number {
    const char* next;  // null: `bits` is a Fault
    uint64_t bits;
  };
  [[gnu::always_inline]] bool ReadSlowly(int64_t* value) {
    const Number number = ReadByBytes(at_, end_);
    if (number.next == nullptr) return Fail(static_cast<Fault>(number.bits));
    at_ = number.next;
    *value = FromZigzag(number.bits);
    return true;
  }
  [[gnu::noinline]] static Number ReadByBytes(const char* at, const char* end) {
    uint64_t bits = 0;
    for (int shift = 0;; shift += 7) {
      if (at == end) return {nullptr, static_cast<uint64_t>(Fault::kEnd)};
      const uint64_t byte = static_cast<uint8_t>(*at++);
      if (shift == 63 && byte > 1) return {nullptr, static_cast<uint64_t>(Fault::kNumber)};
      bits |= (byte & 0x7F) << shift;
      if (byte < 0x80) return {at, bits};
    }
  }
  bool Fail(Fault fault) {
    fault_ = fault;
    return false;
  }

  const char* at_;
  const char* end_;
  const char* readable_end_;
  int64_t declared_ = 0;
  Fault fault_ = Fault::kNone;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_WIRE_H_
