#include "tidemark/operators/aggregates/result_batches.h"

#include <gtest/gtest.h>

#include "operators/aggregates/cells.h"

namespace tidemark {
namespace {

// Groups with the given keys and all-zero slots, then an error or the end.
class FakeGroups : public GroupCursor {
 public:
  FakeGroups(std::vector<std::string> keys, absl::Status at_end)
      : keys_(std::move(keys)), at_end_(std::move(at_end)) {}
  absl::StatusOr<bool> Next() override {
    if (next_ == keys_.size()) {
      if (!at_end_.ok()) return at_end_;
      return false;
    }
    ++next_;
    return true;
  }
  int64_t window_end() const override { return WindowTable::kNoWindow; }
  std::string_view key() const override { return keys_[next_ - 1]; }
  const std::byte* slot() const override { return slot_; }

 private:
  std::vector<std::string> keys_;
  absl::Status at_end_;
  size_t next_ = 0;
  alignas(16) std::byte slot_[64] = {};
};

std::shared_ptr<const GroupLayout> CountPerStore() {
  return std::make_shared<const GroupLayout>(
      GroupLayout{{"count"},
                  std::nullopt,
                  std::nullopt,
                  GroupKeyCodec({DataType::Bool()}),
                  *Accumulators::Create({Count()}, Schema()),
                  true,
                  std::make_shared<const Schema>(Schema().Bool("open").Int64("count"))});
}

TEST(ResultBatchesTest, NoGroupsAreNoBatch) {
  ResultBatches batches(CountPerStore(),
                        std::make_unique<FakeGroups>(std::vector<std::string>(), absl::OkStatus()));
  EXPECT_EQ(*batches.Next(), nullptr);
  EXPECT_EQ(*batches.Next(), nullptr);
}

TEST(ResultBatchesTest, ABatchHasTheOutputSchema) {
  ResultBatches batches(
      CountPerStore(),
      std::make_unique<FakeGroups>(std::vector<std::string>{std::string("\0\0", 2), "\1\1"},
                                   absl::OkStatus()));
  const RowBatch* batch = *batches.Next();
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->schema().ToString(), "[open bool, count int64]");
  ASSERT_EQ(batch->num_rows(), 2u);
  EXPECT_EQ(ToText(CellAt(batch->column(0), 0)), "NULL");
  EXPECT_EQ(ToText(CellAt(batch->column(0), 1)), "1");
  EXPECT_EQ(*batches.Next(), nullptr);
}

TEST(ResultBatchesTest, TheStoresErrorComesBack) {
  ResultBatches batches(
      CountPerStore(),
      std::make_unique<FakeGroups>(std::vector<std::string>{"\1\1"}, absl::DataLossError("torn")));
  EXPECT_EQ(batches.Next().status().code(), absl::StatusCode::kDataLoss);
}

TEST(ResultBatchesTest, ADamagedKeyIsDataLoss) {
  ResultBatches batches(CountPerStore(), std::make_unique<FakeGroups>(
                                             std::vector<std::string>{"\1"}, absl::OkStatus()));
  EXPECT_EQ(batches.Next().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tidemark
