#include "examples/registrations_per_store/registrations_per_store.h"

#include <fmt/format.h>

#include <array>

#include "tidemark/operators/rows/text.h"

namespace tidemark::examples {
namespace {

constexpr int64_t kStartMs = 1'736'150'400'000;  // 2025-01-06T08:00:00Z
constexpr int64_t kStepMs = 120;                 // between two registrations of a partition
constexpr int64_t kDisorderMs = 90'000;
constexpr int64_t kFirstLateOffset = 10'000;
constexpr int64_t kLateMs = 60 * 60'000;
constexpr int64_t kOneLateIn = 2'000;

constexpr std::array kFirstNames = {"Ada",  "Ben",  "Chloé", "Dmitri",
                                    "Elif", "Femi", "Grace", "Hiro"};
constexpr std::array kLastNames = {"Adeyemi", "Brown",   "Çelik",  "Dubois",
                                   "Evans",   "Fischer", "García", "Ito"};

}  // namespace

Query RegistrationsPerStore(Job& job) {
  return job.Source("users_change_events")
      .Decode(Json(Schema()
                       .Int64("customer_id")
                       .Int64("store_id")
                       .String("first_name")
                       .String("last_name")
                       .String("email")
                       .Timestamp("created_at")))
      .WithWatermark("created_at", absl::Minutes(10))
      .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "store_id")
      .Aggregate(Count().As("registrations"))
      .WriteTo(job.Sink("registrations_per_store").Key("window_start", "store_id"),
               OutputMode::kUpdate, Trigger::Every(absl::Seconds(10)));
}

Query PublishUserChanges(Job& job) {
  return job.Source("users_change_events")
      .Decode(Rows(Schema()
                       .Int64("customer_id")
                       .Int64("store_id")
                       .String("first_name")
                       .String("last_name")
                       .String("email")
                       .Timestamp("created_at")))
      .WriteTo(job.Sink("users_change_events").Key("customer_id"), OutputMode::kAppend,
               Trigger::Every(absl::Seconds(1)));
}

Person MakePerson(uint64_t seed, int64_t number) {
  RecordRandom random(seed, 0, number);
  Person person;
  person.first_name = kFirstNames[static_cast<size_t>(random.Below(kFirstNames.size()))];
  person.last_name = kLastNames[static_cast<size_t>(random.Below(kLastNames.size()))];
  person.email = fmt::format("customer{}.{}@example.com", seed, number);
  // The first stores are the busy ones.
  person.store_id = 1 + random.Below(1 + random.Below(5));
  return person;
}

GeneratedRecord FakeCustomer(uint64_t seed, int32_t partition, int64_t offset) {
  RecordRandom random(seed, partition, offset);
  const int64_t now_ms = kStartMs + offset * kStepMs;
  int64_t created_ms = now_ms - random.Below(kDisorderMs);
  if (random.Below(kOneLateIn) == 0 && offset >= kFirstLateOffset) created_ms -= kLateMs;
  // The first stores are the busy ones.
  const int64_t store = 1 + random.Below(1 + random.Below(5));
  const int64_t customer = 1 + offset * 1000 + partition;
  const char* first = kFirstNames[static_cast<size_t>(random.Below(kFirstNames.size()))];
  const char* last = kLastNames[static_cast<size_t>(random.Below(kLastNames.size()))];
  std::string created;
  AppendTimestamp(created_ms * 1000, &created);
  return {std::to_string(customer),
          fmt::format(R"({{"customer_id":{},"store_id":{},"first_name":"{}","last_name":"{}",)"
                      R"("email":"customer{}@example.com","created_at":"{}"}})",
                      customer, store, first, last, customer, created),
          now_ms};
}

}  // namespace tidemark::examples
