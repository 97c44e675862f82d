#ifndef TIDEMARK_TESTS_OPERATORS_FORMATS_AVRO_BYTES_H_
#define TIDEMARK_TESTS_OPERATORS_FORMATS_AVRO_BYTES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "tidemark/operators/formats/avro_wire.h"

namespace tidemark {

/// A datum written by hand: AvroBytes().Long(5).Text("a").str().
class AvroBytes {
 public:
  AvroBytes& Long(int64_t value) {
    AppendAvroLong(value, &bytes_);
    return *this;
  }
  AvroBytes& Text(std::string_view text) {
    AppendAvroBytes(text, &bytes_);
    return *this;
  }
  AvroBytes& Double(double value) {
    AppendAvroRaw(value, &bytes_);
    return *this;
  }
  AvroBytes& Float(float value) {
    AppendAvroRaw(value, &bytes_);
    return *this;
  }
  AvroBytes& Raw(std::string_view bytes) {
    bytes_.append(bytes);
    return *this;
  }
  const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Confluent's header before a datum.
inline std::string Framed(uint32_t id, std::string_view datum) {
  std::string bytes(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(id >> shift));
  return bytes.append(datum);
}

/// A record `r` with these fields (JSON, without the outer brackets).
inline std::string RecordSchema(std::string_view fields) {
  return std::string(R"({"type":"record","name":"r","fields":[)").append(fields) + "]}";
}

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_FORMATS_AVRO_BYTES_H_
