#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/faults/fuzz/decode_alike.h"
#include "tests/faults/fuzz/judges.h"

namespace tidemark::testing {
namespace {

using namespace std::string_view_literals;

struct Setup {
  FormatSpec (*spec)();
  std::string_view good;  // a datum that is accepted
};

FormatSpec Raw(Schema schema, std::string_view fields, std::string_view reader_fields = "") {
  const auto record = [](std::string_view text) {
    return fmt::format(R"({{"type":"record","name":"r","fields":[{}]}})", text);
  };
  AvroOptions options;
  options.writer_schema = record(fields);
  if (!reader_fields.empty()) options.reader_schema = record(reader_fields);
  FormatSpec spec = Avro(std::move(schema), options);
  spec.max_depth = 64;
  return spec;
}

constexpr std::string_view kContainers = R"(
    {"name":"a","type":{"type":"array","items":"long"}},
    {"name":"m","type":{"type":"map","values":"string"}},
    {"name":"z","type":{"type":"array","items":"null"}},
    {"name":"last","type":"long"})";
constexpr std::string_view kTree = R"(
    {"name":"tree","type":{"type":"record","name":"node","fields":[
        {"name":"v","type":"int"},{"name":"next","type":["null","node"]}]}},
    {"name":"last","type":"int"})";

// Picked by the first byte of an input, modulo their number.
constexpr std::array<Setup, 9> kSetups = {{
    // 0: each plain type.
    {[] {
       return Raw(
           Schema().Bool("b").Int32("i").Int64("l").Double("f").Double("d").Bytes("y").String("s"),
           R"({"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},
              {"name":"l","type":"long"},{"name":"f","type":"float"},{"name":"d","type":"double"},
              {"name":"y","type":"bytes"},{"name":"s","type":"string"})");
     },
     "\1\2\4\0\0\x80\x3F\0\0\0\0\0\0\xF0\x3F\2y\2s"sv},
    // 1: unions and an enum.
    {[] {
       return Raw(Schema().String("u").String("e").Int64("in").At("/o/in"),
                  R"({"name":"u","type":["null","long","string"]},
                     {"name":"e","type":{"type":"enum","name":"e","symbols":["A","B","C"]}},
                     {"name":"o","type":["null",{"type":"record","name":"o","fields":[
                         {"name":"in","type":["long","null"]}]}]})");
     },
     "\0\0\0"sv},
    // 2: arrays and maps, as JSON text.
    {[] { return Raw(Schema().String("a").String("m").String("z").Int64("last"), kContainers); },
     "\0\0\0\2"sv},
    // 3: the same, skipped.
    {[] { return Raw(Schema().Int64("last"), kContainers); }, "\0\0\0\2"sv},
    // 4: a type that contains itself, as JSON text.
    {[] {
       return Raw(Schema().Int32("v").At("/tree/v").String("next").At("/tree/next").Int32("last"),
                  kTree);
     },
     "\2\0\2"sv},
    // 5: the same, skipped.
    {[] { return Raw(Schema().Int32("v").At("/tree/v").Int32("last"), kTree); }, "\2\0\2"sv},
    // 6: logical types.
    {[] {
       return Raw(Schema()
                      .Date("t")
                      .Timestamp("ms")
                      .Timestamp("us")
                      .Timestamp("ns")
                      .Timestamp("lms")
                      .Zone("Europe/Berlin")
                      .Decimal("m", 10, 2)
                      .Decimal("x", 38, 0)
                      .String("id"),
                  R"({"name":"t","type":{"type":"int","logicalType":"date"}},
              {"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
              {"name":"us","type":{"type":"long","logicalType":"timestamp-micros"}},
              {"name":"ns","type":{"type":"long","logicalType":"timestamp-nanos"}},
              {"name":"lms","type":{"type":"long","logicalType":"local-timestamp-millis"}},
              {"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":4}},
              {"name":"x","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":0}},
              {"name":"id","type":{"type":"fixed","name":"u","size":16,"logicalType":"uuid"}})");
     },
     "\0\0\0\0\0\2\0\2\0"
     "0123456789abcdef"sv},
    // 7: written by one schema, read by another.
    {[] {
       return Raw(Schema().Double("n").Bytes("s").String("e").String("added").String("new_name"),
                  R"({"name":"n","type":"int"},{"name":"s","type":"string"},
                     {"name":"gone","type":{"type":"map","values":"bytes"}},
                     {"name":"e","type":{"type":"enum","name":"e","symbols":["A","B","X"]}},
                     {"name":"old_name","type":["null","string"]})",
                  R"({"name":"n","type":"double"},{"name":"s","type":"bytes"},
                     {"name":"e","type":{"type":"enum","name":"e","symbols":["B","A"],
                                         "default":"A"}},
                     {"name":"added","type":["string","null"],"default":"new"},
                     {"name":"new_name","aliases":["old_name"],"type":"string"})");
     },
     "\2\2s\0\0\2\2o"sv},
    // 8: columns narrower than what is written.
    {[] {
       return Raw(Schema()
                      .Int32("i")
                      .Timestamp("ts")
                      .Date("t")
                      .Timestamp("es")
                      .EpochSeconds()
                      .Decimal("m", 5, 2)
                      .String("raw"),
                  R"({"name":"i","type":"long"},{"name":"ts","type":"string"},
                     {"name":"t","type":"string"},{"name":"es","type":"long"},
                     {"name":"m","type":"long"},{"name":"raw","type":"bytes"})");
     },
     "\2\x28"
     "2025-01-02T10:15:00Z"
     "\x14"
     "2025-01-02"
     "\2\2\2r"sv},
}};

}  // namespace

std::string JudgeAvroRecord(std::string_view bytes) {
  if (bytes.empty()) return "refused empty: no byte to pick a schema";
  const Setup& setup = kSetups[static_cast<uint8_t>(bytes[0]) % kSetups.size()];
  return DecodeAlike(setup.spec(), setup.good, bytes.substr(1));
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeAvroRecord);
