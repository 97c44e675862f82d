#include <string>
#include <string_view>

#include "tests/faults/fuzz/decode_alike.h"
#include "tests/faults/fuzz/judges.h"

namespace tidemark::testing {
namespace {

FormatSpec Spec() {
  AvroOptions options;
  options.framing = AvroFraming::kConfluent;
  options.reader_schema = R"({"type":"record","name":"order","fields":[
      {"name":"id","type":"long"},
      {"name":"note","type":["null","string"],"default":null}]})";
  // The reader's own.
  options.schemas_by_id[1] = options.reader_schema;
  // An older one, its id promoted.
  options.schemas_by_id[2] =
      R"({"type":"record","name":"order","fields":[{"name":"id","type":"int"}]})";
  // Not to be read as the reader's.
  options.schemas_by_id[3] =
      R"({"type":"record","name":"order","fields":[{"name":"id","type":"string"}]})";
  options.schemas_by_id[0x01020304] =
      R"({"type":"record","name":"order","fields":[{"name":"gone","type":"bytes"},
          {"name":"id","type":"long"}]})";
  options.schemas_by_id[0xFFFFFFFF] = options.reader_schema;
  return Avro(Schema().Int64("id").String("note"), options);
}

}  // namespace

std::string JudgeConfluentFrame(std::string_view bytes) {
  return DecodeAlike(Spec(), std::string_view("\0\0\0\0\1\x0E\0", 7), bytes);
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeConfluentFrame);
