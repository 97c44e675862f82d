#include "tidemark/engine/batch_plan.h"

#include <fmt/format.h>

#include <iterator>

#include "tidemark/engine/text_rows.h"
#include "tidemark/operators/rows/stable_hash.h"

namespace tidemark {

std::string BatchPlan::Encode() const {
  std::string text = fmt::format("plan 1 {} {} {} {} {}\n", batch_id, epoch, time_us,
                                 late_watermark_us, watermark_us);
  for (const PlannedRange& range : ranges) {
    fmt::format_to(std::back_inserter(text), "range {} {} {} {}\n", TextWord(range.partition.topic),
                   range.partition.partition, range.start, range.end);
  }
  for (const TopicPartition& partition : idle) {
    fmt::format_to(std::back_inserter(text), "idle {} {}\n", TextWord(partition.topic),
                   partition.partition);
  }
  return text;
}

absl::StatusOr<BatchPlan> BatchPlan::Decode(std::string_view text) {
  BatchPlan plan;
  TextRows rows(text, "the logged plan");
  TextRow row = rows.Next();
  row.Word("plan");
  row.Constant(1);
  plan.batch_id = row.Int();
  plan.epoch = row.Int();
  plan.time_us = row.Int();
  plan.late_watermark_us = row.Int();
  plan.watermark_us = row.Int();
  bool in_order =
      plan.batch_id >= 0 && plan.epoch >= 0 && plan.late_watermark_us <= plan.watermark_us;
  while (rows.more()) {
    row = rows.Next();
    if (row.Is("range")) {
      PlannedRange range;
      range.partition.topic = row.Text();
      range.partition.partition = row.Partition();
      range.start = row.Int();
      range.end = row.Int();
      in_order &= 0 <= range.start && range.start < range.end &&
                  (plan.ranges.empty() || plan.ranges.back().partition < range.partition);
      plan.ranges.push_back(std::move(range));
    } else {
      row.Word("idle");
      TopicPartition partition;
      partition.topic = row.Text();
      partition.partition = row.Partition();
      plan.idle.push_back(std::move(partition));
    }
  }
  if (absl::Status status = rows.Check(in_order ? plan.Encode() : ""); !status.ok()) return status;
  return plan;
}

uint64_t BatchPlan::Hash() const { return StableHash(Encode()); }

}  // namespace tidemark
