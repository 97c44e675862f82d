#ifndef TIDEMARK_TESTS_OPERATORS_SINKS_LIST_STREAM_H_
#define TIDEMARK_TESTS_OPERATORS_SINKS_LIST_STREAM_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark::testing {

/// The rows of a batch from a list; can be made to fail in the middle.
class ListStream : public RowStream {
 public:
  explicit ListStream(std::vector<RowBatch> batches) : batches_(std::move(batches)) {}

  /// Next fails with `error` once, when `after` batches have been given.
  void FailOnce(size_t after, absl::Status error) {
    fail_after_ = after;
    error_ = std::move(error);
  }

 protected:
  absl::StatusOr<const RowBatch*> DoNext() override {
    if (!error_.ok() && next_ == fail_after_) return std::exchange(error_, absl::OkStatus());
    return next_ == batches_.size() ? nullptr : &batches_[next_++];
  }
  absl::Status DoRewind() override {
    next_ = 0;
    return absl::OkStatus();
  }

 private:
  const std::vector<RowBatch> batches_;
  size_t next_ = 0;
  size_t fail_after_ = 0;
  absl::Status error_;
};

inline SinkContext ContextOf(Schema schema, std::string query_id = "11111111-aaaa",
                             std::string sink = "out") {
  SinkContext context;
  context.query_id = std::move(query_id);
  context.sink = std::move(sink);
  context.schema = std::move(schema);
  return context;
}

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_OPERATORS_SINKS_LIST_STREAM_H_
