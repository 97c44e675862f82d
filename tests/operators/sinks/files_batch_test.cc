#include "tidemark/operators/sinks/files_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "operators/rows/make_batch.h"
#include "operators/sinks/list_stream.h"
#include "servers/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::ListStream;
using testing::MakeBatch;
using testing::Row;

const Schema& RowSchema() {
  static const Schema schema = Schema().Int64("id").Int64("shop");
  return schema;
}

// Keeps the ids in memory until it is flushed, and then writes one a line; notes what was asked.
class NotingFormat : public FileFormat {
 public:
  struct Notes {
    size_t open = 0;
    size_t most_open = 0;
    size_t buffered = 0;
    size_t most_buffered = 0;
    std::multiset<std::string> begun;
  };
  explicit NotingFormat(Notes* notes) : notes_(notes) {}

  absl::Status Open(const Schema&) override { return absl::OkStatus(); }
  std::string ending() const override { return "json"; }
  std::unique_ptr<PartsWriter> MakeWriter(BatchParts* parts, std::string below) override {
    return std::make_unique<Writer>(notes_, parts, std::move(below));
  }

 private:
  class Writer : public PartsWriter {
   public:
    Writer(Notes* notes, BatchParts* parts, std::string below)
        : notes_(notes), parts_(parts), below_(std::move(below)) {
      notes_->begun.insert(below_);
      notes_->most_open = std::max(notes_->most_open, ++notes_->open);
    }
    ~Writer() override { --notes_->open; }
    absl::Status Write(const RowBatch& rows) override {
      rows.selection().ForEach([&](uint32_t row) {
        text_ += std::to_string(rows.column(0).values<int64_t>()[row]) + "\n";
        ++notes_->buffered;
      });
      rows_ += rows.selection().size();
      notes_->most_buffered = std::max(notes_->most_buffered, notes_->buffered);
      return absl::OkStatus();
    }
    size_t buffered_bytes() const override { return rows_; }
    absl::Status Flush() override {
      if (part_ == nullptr) {
        absl::StatusOr<OpenPart*> part = parts_->Begin(below_);
        if (!part.ok()) return part.status();
        part_ = *part;
      }
      notes_->buffered -= rows_;
      rows_ = 0;
      return part_->file.Append(std::exchange(text_, ""));
    }
    absl::Status Finish() override {
      absl::Status status = Flush();
      return status.ok() ? parts_->End(part_) : status;
    }

   private:
    Notes* const notes_;
    BatchParts* const parts_;
    const std::string below_;
    OpenPart* part_ = nullptr;
    std::string text_;
    size_t rows_ = 0;
  };

  Notes* const notes_;
};

class FilesBatchTest : public ::testing::Test {
 protected:
  // `count` rows, row i of shop i * step mod shops, in batches of 100 rows.
  static std::vector<RowBatch> RowsOf(int64_t count, int64_t shops, int64_t step = 7) {
    std::vector<RowBatch> batches;
    for (int64_t begin = 0; begin < count; begin += 100) {
      std::vector<Row> rows;
      for (int64_t i = begin; i < std::min(begin + 100, count); ++i) {
        rows.push_back({i, i * step % shops});
      }
      batches.push_back(MakeBatch(RowSchema(), rows));
    }
    return batches;
  }

  absl::Status Write(const std::vector<std::string>& by, std::vector<RowBatch> batches) {
    NotingFormat format(&notes_);
    BatchParts parts(dir_.path(), 3, "0123abcd-4567", format.ending());
    ListStream rows(std::move(batches));
    absl::Status status =
        WriteFilesBatch(*FilesPartitions::Make(RowSchema(), by), limits_, &format, &parts, &rows);
    if (!status.ok()) return status;
    row_count_ = rows.row_count();
    published_ = *parts.Publish();
    return absl::OkStatus();
  }

  std::string Content(const std::string& name) const {
    std::ifstream in(dir_.Path(name));
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  const testing::TempDir dir_;
  FilesBatchLimits limits_;
  NotingFormat::Notes notes_;
  std::vector<FilePart> published_;
  int64_t row_count_ = 0;
};

TEST_F(FilesBatchTest, WithoutPartitionsOneFolder) {
  ASSERT_TRUE(Write({}, RowsOf(250, 10)).ok());
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].name, "part-00003-000-0123abcd.json");
  EXPECT_EQ(row_count_, 250);
  const std::string content = Content(published_[0].name);
  EXPECT_EQ(std::ranges::count(content, '\n'), 250);
  EXPECT_EQ(published_[0].bytes, static_cast<int64_t>(content.size()));
}

TEST_F(FilesBatchTest, WithoutRowsNoFolder) {
  ASSERT_TRUE(Write({"shop"}, {}).ok());
  EXPECT_TRUE(published_.empty());
}

TEST_F(FilesBatchTest, MoreFoldersThanMayBeOpenTakeMorePasses) {
  limits_.max_open_folders = 4;
  const int64_t kShops = 11;
  ASSERT_TRUE(Write({"shop"}, RowsOf(1'000, kShops)).ok());
  EXPECT_EQ(notes_.most_open, 4u);
  EXPECT_EQ(notes_.open, 0u);
  EXPECT_EQ(notes_.begun.size(), 11u) << "no folder is written twice";
  EXPECT_EQ(row_count_, 1'000) << "of the last pass, as the marker needs it";
  ASSERT_EQ(published_.size(), 11u);
  std::set<std::string> names;
  for (int64_t shop = 0; shop < kShops; ++shop) {
    std::string expected;
    for (int64_t i = 0; i < 1'000; ++i) {
      if (i * 7 % kShops == shop) expected += std::to_string(i) + "\n";
    }
    const std::string folder = "shop=" + std::to_string(shop) + "/";
    const auto part = std::ranges::find_if(
        published_, [&](const FilePart& p) { return p.name.starts_with(folder); });
    ASSERT_NE(part, published_.end()) << folder;
    EXPECT_EQ(Content(part->name), expected) << folder;
    names.insert(part->name.substr(folder.size()));
  }
  EXPECT_EQ(names.size(), 11u) << "names differ whatever the folder";
}

TEST_F(FilesBatchTest, RowsInMemoryAreBounded) {
  limits_.max_buffered_bytes = 250;
  ASSERT_TRUE(Write({"shop"}, RowsOf(5'000, 6)).ok());
  EXPECT_LE(notes_.most_buffered, 350u) << "the bound, and a batch of rows";
  EXPECT_EQ(notes_.buffered, 0u);
  EXPECT_EQ(published_.size(), 6u) << "flushed into the part they have";
}

TEST_F(FilesBatchTest, TooManyFoldersAreRefused) {
  limits_.max_folders = 10;
  EXPECT_TRUE(Write({"shop"}, RowsOf(1'000, 10)).ok());
  limits_.max_open_folders = 3;
  const absl::Status status = Write({"shop"}, RowsOf(1'000, 11));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 10 folders"));
}

TEST_F(FilesBatchTest, WhatIsNotPublishedGoes) {
  ListStream rows(RowsOf(1'000, 3));
  rows.FailOnce(5, absl::UnavailableError("gone"));
  NotingFormat format(&notes_);
  limits_.max_buffered_bytes = 0;
  {
    BatchParts parts(dir_.path(), 3, "0123abcd-4567", format.ending());
    EXPECT_FALSE(WriteFilesBatch(*FilesPartitions::Make(RowSchema(), {"shop"}), limits_, &format,
                                 &parts, &rows)
                     .ok());
    EXPECT_EQ(ListFolder(dir_.Path("shop=1"))->size(), 1u);
  }
  EXPECT_TRUE(ListFolder(dir_.Path("shop=1"))->empty());
  EXPECT_EQ(notes_.open, 0u);
}

}  // namespace
}  // namespace tidemark
