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

  explicit AvroCursor(std::string_view datum)
      : at_(datum.data()), end_(datum.data() + datum.size()) {}

  size_t left() const { return static_cast<size_t>(end_ - at_); }
  const char* at() const { return at_; }
  void Rewind(const char* at) { at_ = at; }
  /// kEnd: the datum ended; kNumber: a number of more than 64 bits; kLength: more bytes than are
  /// left were declared.
  Fault fault() const { return fault_; }
  /// After kLength.
  int64_t declared() const { return declared_; }

  bool ReadLong(int64_t* value) {
    if (at_ == end_) [[unlikely]]
      return Fail(Fault::kEnd);
    uint64_t byte = static_cast<uint8_t>(*at_++);
    uint64_t bits = byte & 0x7F;
    for (int shift = 7; byte >= 0x80; shift += 7) {
      if (at_ == end_) [[unlikely]]
        return Fail(Fault::kEnd);
      byte = static_cast<uint8_t>(*at_++);
      if (shift == 63 && byte > 1) [[unlikely]]
        return Fail(Fault::kNumber);
      bits |= (byte & 0x7F) << shift;
    }
    *value = static_cast<int64_t>(bits >> 1) ^ -static_cast<int64_t>(bits & 1);
    return true;
  }
  /// A length and that many bytes.
  bool ReadBytes(std::string_view* bytes) {
    int64_t size;
    return ReadLong(&size) && ReadFixed(static_cast<uint64_t>(size), bytes);
  }
  bool ReadFixed(uint64_t size, std::string_view* bytes) {
    const char* begin = at_;
    if (!Skip(size)) return false;
    *bytes = {begin, static_cast<size_t>(size)};
    return true;
  }
  template <typename T>
  bool ReadRaw(T* value) {
    if (left() < sizeof(T)) [[unlikely]]
      return Fail(Fault::kEnd);
    std::memcpy(value, at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  bool SkipLong() {
    int64_t value;
    return ReadLong(&value);
  }
  bool SkipBytes() {
    int64_t size;
    return ReadLong(&size) && Skip(static_cast<uint64_t>(size));
  }
  /// A negative length, as an unsigned number, is more than is left, too.
  bool Skip(uint64_t size) {
    if (size > left()) [[unlikely]] {
      declared_ = static_cast<int64_t>(size);
      return Fail(Fault::kLength);
    }
    at_ += size;
    return true;
  }

 private:
  bool Fail(Fault fault) {
    fault_ = fault;
    return false;
  }

  const char* at_;
  const char* end_;
  int64_t declared_ = 0;
  Fault fault_ = Fault::kNone;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_AVRO_WIRE_H_
