#ifndef TIDEMARK_ENGINE_PLAN_H_
#define TIDEMARK_ENGINE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tidemark/operators/aggregates/aggregate.h"
#include "tidemark/operators/expressions/expression.h"
#include "tidemark/operators/formats/format.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/rows/output_mode.h"

namespace tidemark {

/// When batches run (Spark's triggers).
struct Trigger {
  enum class Kind : uint8_t { kInterval, kAsap, kAvailableNow, kOnce };
  Kind kind = Kind::kAsap;
  absl::Duration interval = absl::ZeroDuration();  ///< kInterval only, > 0

  /// At multiples of `interval` on the clock; a batch that outlasts its interval is followed at
  /// once by one batch.
  static Trigger Every(absl::Duration interval) { return {Kind::kInterval, interval}; }
  /// Again as soon as there is data.
  static Trigger Asap() { return {Kind::kAsap}; }
  /// Everything that is there at the start, in as many batches as the limits ask for; then the
  /// query ends.
  static Trigger AvailableNow() { return {Kind::kAvailableNow}; }
  /// As AvailableNow, but ignoring max-offsets-per-trigger: one batch unless memory cuts it.
  static Trigger Once() { return {Kind::kOnce}; }

  bool ends() const { return kind == Kind::kAvailableNow || kind == Kind::kOnce; }
  std::string ToString()
      const;  ///< `10 seconds`, `asap`, `available-now`, `once`: as the flag is written
};

// The nodes of a logical plan: plain values, each one verb of the pipeline. Nothing here is code,
// so a plan can be checked, printed, fingerprinted and translated for another engine.

struct SourceNode {
  std::string topic;
};
struct DecodeNode {
  FormatSpec format;
};
struct FilterNode {
  Expr condition;
};
struct SelectNode {
  std::vector<Expr> columns;
};
struct WithColumnNode {
  std::string name;
  Expr value;
};
struct WatermarkNode {
  std::string column;
  absl::Duration delay;
  bool per_partition = false;
  absl::Duration idle_timeout = absl::InfiniteDuration();  ///< per_partition only
  absl::Duration max_future_skew = absl::Hours(1);         ///< zero: no limit
};
struct AggregateNode {
  std::optional<WindowSpec> window;
  std::vector<Expr> keys;
  std::vector<Aggregate> aggregates;
};
struct SinkNode {
  std::string name;
  std::vector<std::string> key_columns;
  std::optional<Expr> delete_when;
  OutputMode mode = OutputMode::kAppend;
  Trigger trigger;
};

using PlanNode = std::variant<SourceNode, DecodeNode, FilterNode, SelectNode, WithColumnNode,
                              WatermarkNode, AggregateNode, SinkNode>;

/// A pipeline from its source (first) to its sink (last). One chain today; joins will make it a
/// tree.
struct Plan {
  std::vector<PlanNode> nodes;
  std::vector<std::string> problems;  ///< mistakes that building already found, in a person's words

  template <typename Node>
  const Node* Find() const {
    for (const PlanNode& node : nodes) {
      if (const Node* found = std::get_if<Node>(&node)) return found;
    }
    return nullptr;
  }
  /// The only node of this kind. InvalidArgument if there is none, or more than one: `flag` is what
  /// the message names.
  template <typename Node>
  absl::StatusOr<Node*> Only(const std::string& flag) {
    Node* found = nullptr;
    for (PlanNode& node : nodes) {
      if (Node* candidate = std::get_if<Node>(&node)) {
        if (found != nullptr) return TwoNodes(flag);
        found = candidate;
      }
    }
    if (found == nullptr) return NoNode(flag);
    return found;
  }

 private:
  static absl::Status NoNode(const std::string& flag);
  static absl::Status TwoNodes(const std::string& flag);
};

/// The plan as a person reads it with --explain: a line a node, from the source on.
std::string Explain(const Plan& plan);

/// `90s`, `5 minutes`, `1h`, `250ms`, `1 hour 30 minutes`, `2 days`; InvalidArgument otherwise,
/// naming the forms.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);
/// The shortest form ParseDuration reads back: `5 minutes`, `90 seconds`.
std::string DurationText(absl::Duration duration);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_PLAN_H_
