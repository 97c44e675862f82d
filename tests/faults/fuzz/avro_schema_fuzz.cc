#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tests/faults/fuzz/judges.h"
#include "tidemark/operators/formats/avro_schema.h"
#include "tidemark/operators/formats/format.h"

namespace tidemark::testing {

// Its root; and whatever it says, it can be written again, and a decoder of it can be made or is
// refused, and reads.
std::string JudgeAvroSchema(std::string_view bytes) {
  const auto schema = AvroSchema::Parse(bytes);
  if (!schema.ok()) {
    MustAgree(absl::IsInvalidArgument(schema.status()) ? "" : schema.status().ToString(), "",
              "an error's code and InvalidArgument");
    return fmt::format("refused {}", std::string(schema.status().message()));
  }
  // Written with every name in full it may be larger than schemas may be.
  const std::string& canonical = (*schema)->canonical();
  if (canonical.size() <= AvroSchema::kMaxTextBytes) {
    const auto again = AvroSchema::Parse(canonical);
    MustAgree((*schema)->root().ToString(),
              again.ok() ? (*again)->root().ToString() : again.status().ToString(),
              "a schema written and read again");
  }
  const auto decoder =
      MakeDecoder(Avro(Schema().String("a").Int64("b"), {.writer_schema = std::string(bytes)}));
  if (decoder.ok()) {
    RawRecords records;
    RawRecord record;
    record.value = bytes;
    record.has_value = true;
    records.records.assign(8, record);
    std::vector<BadRecord> bad;
    (*decoder)->Decode(records, true, &bad);
  }
  return "accepted " + (*schema)->root().ToString();
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeAvroSchema);
