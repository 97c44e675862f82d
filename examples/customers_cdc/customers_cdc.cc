#include "examples/customers_cdc/customers_cdc.h"

#include <fmt/format.h>

namespace tidemark::examples {
namespace {

constexpr int64_t kStartMs = 1'736'150'400'000;  // 2025-01-06T08:00:00Z
constexpr int64_t kStepMs = 250;                 // between two changes of a partition

}  // namespace

Query CustomersCdc(Job& job) {
  return job.Source("customers_cdc")
      .Decode(Json(Schema().Int64("id").String("name").String("email").String("op")))
      .WriteTo(job.Sink("customers_cdc").Key("id"), OutputMode::kAppend,
               Trigger::Every(absl::Seconds(10)));
}

GeneratedRecord FakeCustomerChange(uint64_t seed, int32_t partition, int64_t offset) {
  RecordRandom random(seed, partition, offset);
  const int64_t kind = offset == 0 ? 0 : random.Below(10);
  const char* op = kind < 6 ? "insert" : kind < 9 ? "update" : "delete";
  const int64_t customer = kind < 6 ? offset : random.Below(offset);
  const int64_t id = 1 + customer * 1000 + partition;
  const char* domain = kind < 6 ? "example.com" : "example.org";
  return {std::to_string(id),
          fmt::format(R"({{"id":{},"name":"Customer {}","email":"customer{}@{}","op":"{}"}})", id,
                      id, id, domain, op),
          kStartMs + offset * kStepMs};
}

}  // namespace tidemark::examples
