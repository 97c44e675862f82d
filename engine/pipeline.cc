#include "tidemark/engine/pipeline.h"

namespace tidemark {

Stream Stream::PerPartition(absl::Duration idle_timeout) const {
  Stream result = *this;
  if (WatermarkNode* node = std::get_if<WatermarkNode>(&result.plan_.nodes.back())) {
    node->per_partition = true;
    node->idle_timeout = idle_timeout;
  } else {
    result.plan_.problems.push_back("PerPartition() must follow WithWatermark()");
  }
  return result;
}

Stream Stream::MaxFutureSkew(absl::Duration skew) const {
  Stream result = *this;
  if (WatermarkNode* node = std::get_if<WatermarkNode>(&result.plan_.nodes.back())) {
    node->max_future_skew = skew;
  } else {
    result.plan_.problems.push_back("MaxFutureSkew() must follow WithWatermark()");
  }
  return result;
}

Query Stream::WriteTo(SinkTarget target, OutputMode mode, Trigger trigger) const {
  SinkNode node = std::move(target.node_);
  node.mode = mode;
  node.trigger = trigger;
  return Query{Then(std::move(node)).plan_};
}

}  // namespace tidemark
