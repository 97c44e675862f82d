#include "examples/registrations_per_store/registrations_per_store.h"
#include "tidemark/engine/job_runner.h"

int main(int argc, char** argv) {
  // Events are committed soon after their created_at, not in its order, so some come late; ten
  // minutes of them are looked at again (--look-back).
  tidemark::PollingOptions table;
  table.mode = tidemark::PollingMode::kTimestampAndId;
  table.id_column = "event_id";
  table.timestamp_column = "created_at";
  table.mirror.table = "latest_cdc_timestamp";
  table.mirror.offset_column = "latest_timestamp";
  return tidemark::RunJob(
      argc, argv,
      {.name = "users_change_events_producer",
       .pipeline = &tidemark::examples::PublishUserChanges,
       .help = "Publishes what is new in the table users_change_events to the topic of that name.",
       .table = table});
}
