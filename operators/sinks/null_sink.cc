#include "tidemark/operators/sinks/null_sink.h"

namespace tidemark {
namespace {

class NullSink : public Sink {
 public:
  std::string description() const override { return "Null"; }
  bool exactly_once() const override { return false; }

  absl::Status Open(const SinkContext& context) override {
    context_ = context;
    return absl::OkStatus();
  }

  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    while (true) {
      const absl::StatusOr<const RowBatch*> next = rows.Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) return MarkerOf(context_, batch, rows);
    }
  }

 private:
  SinkContext context_;
};

}  // namespace

std::unique_ptr<Sink> MakeNullSink() { return std::make_unique<NullSink>(); }

}  // namespace tidemark
