#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/faults/fuzz/judges.h"
#include "tidemark/engine/batch_plan.h"
#include "tidemark/engine/checkpoint.h"
#include "tidemark/engine/state_schema.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/state/checkpoint_store.h"
#include "tidemark/state/state_codec.h"

namespace tidemark::testing {
namespace {

std::string Refused(const absl::Status& status) {
  MustAgree(absl::IsDataLoss(status) ? "" : status.ToString(), "", "an error's code and DataLoss");
  return fmt::format("refused {}", std::string(status.message()));
}

// Some of a checkpoint's meta rows are these, the others are in order.
std::string JudgeMetaRows(const std::map<std::string, std::string>& changed) {
  std::map<std::string, std::string> rows = {
      {"query", "7b9a3a53-5a4b-4a2c-8b21-0d2a4f6f5f10"},
      {"fingerprint", "source memory\n"},
      {"progress", "progress 1 0 4 -9223372036854775808 1000\n"},
      {"partitions", "orders 0\n"},
      {"partition/orders/0", "10 9 1000 12345 1000\n"}};
  for (const auto& [name, value] : changed) rows[name] = value;
  MemoryCheckpoint memory;
  bool created = false;
  absl::StatusOr<std::unique_ptr<CheckpointStore>> store = memory.Open(&created);
  if (!store.ok()) return Refused(store.status());
  std::unique_ptr<StoreWrites> writes = (*store)->NewWrites();
  for (const auto& [name, value] : rows) writes->PutMeta(name, value);
  if (absl::Status status = (*store)->Commit(std::move(writes)); !status.ok()) {
    return Refused(status);
  }
  Checkpoint checkpoint(*std::move(store));
  const absl::StatusOr<bool> loaded = checkpoint.Load();
  if (!loaded.ok()) return Refused(loaded.status());
  const QueryProgress& progress = checkpoint.progress();
  std::string text = fmt::format("epoch {} batch {}", progress.epoch, progress.batch_id);
  for (const auto& [partition, state] : progress.partitions) {
    text += fmt::format(" {}/{}@{}", partition.topic, partition.partition, state.next_offset);
  }
  if (checkpoint.pending().has_value()) {
    text += fmt::format(" then {}", checkpoint.pending()->batch_id);
  }
  return "accepted " + text;
}

std::string JudgePlan(std::string_view bytes) {
  const absl::StatusOr<BatchPlan> plan = BatchPlan::Decode(bytes);
  if (!plan.ok()) return Refused(plan.status());
  // What sinks remember of a plan is a hash of its text.
  MustAgree(bytes, plan->Encode(), "a plan read and written again");
  return fmt::format("accepted batch {} with {} ranges", plan->batch_id, plan->ranges.size());
}

// A slot of two numbers and two strings, decoded and encoded again.
std::string JudgeSlot(std::string_view bytes) {
  const SlotLayout layout = {.width = 8 + sizeof(BlobRef) + 8 + sizeof(BlobRef),
                             .blob_offsets = {8, 16 + sizeof(BlobRef)}};
  std::vector<std::byte> slot(layout.width);
  if (!DecodeSlot(layout, bytes, slot.data())) return "refused size";
  std::string buffer;
  MustAgree(bytes, EncodeSlot(layout, slot.data(), &buffer), "a slot read and written again");
  std::string text = "accepted";
  for (const uint32_t offset : layout.blob_offsets) {
    BlobRef blob;
    std::memcpy(&blob, slot.data() + offset, sizeof(blob));
    text += ' ';
    AppendJsonString(blob.view(), &text);
  }
  return text;
}

std::string JudgePage(std::string_view bytes) {
  size_t groups = 0;
  size_t value_bytes = 0;
  std::string buffer;
  PageWriter again;
  PageReader page(bytes);
  while (page.Next()) {
    const std::optional<std::string_view> value = page.Value(&buffer);
    if (!value.has_value()) return "refused damaged";
    ++groups;
    value_bytes += value->size();
    again.Append(page.tag(), page.key(), *value);
  }
  if (page.damaged()) return "refused damaged";
  // Damage may be another way to write the same groups; ours is never longer.
  MustAgree(again.bytes().size() <= bytes.size() ? "" : "longer", "",
            "a page read and written again");
  return fmt::format("accepted {} groups of {} bytes", groups, value_bytes);
}

std::string JudgeCount(std::string_view bytes) {
  const std::optional<int64_t> count = DecodeCount(bytes);
  if (!count.has_value()) return "refused damaged";
  MustAgree(bytes, EncodeCount(*count), "a count read and written again");
  return fmt::format("accepted {}", *count);
}

}  // namespace

// The first line names the row: `plan`, `state_schema`, `slot`, `run`, `count`, or another meta
// row's name.
std::string JudgeCheckpointRow(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  if (end == std::string_view::npos) return "refused no name of a row";
  const std::string_view name = bytes.substr(0, end);
  const std::string_view row = bytes.substr(end + 1);
  if (name == "plan") {
    JudgeMetaRows({{"plan", std::string(row)}});
    return JudgePlan(row);
  }
  if (name == "state_schema") {
    const auto aggregation = AggregationOf(row);
    return aggregation.ok() ? "accepted columns" : Refused(aggregation.status());
  }
  if (name == "slot") return JudgeSlot(row);
  if (name == "run") return JudgePage(row);
  if (name == "count") return JudgeCount(row);
  return JudgeMetaRows({{std::string(name), std::string(row)}});
}

}  // namespace tidemark::testing

TIDEMARK_FUZZ_TARGET(JudgeCheckpointRow);
