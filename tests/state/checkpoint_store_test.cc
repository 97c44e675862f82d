#include "tidemark/state/checkpoint_store.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/options.h"
#include "tests/servers/process.h"
#include "tests/servers/temp_dir.h"
#include "tidemark/state/checkpoint_folder.h"
#include "tidemark/state/rocksdb_env.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using StorePtr = std::unique_ptr<CheckpointStore>;
using Rows = std::vector<std::pair<std::string, std::string>>;

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

Rows ReadState(CheckpointStore* store, std::string_view begin, std::string_view end) {
  Rows rows;
  const auto cursor = store->NewStateCursor(begin, end);
  while (true) {
    const auto has_row = cursor->Next();
    EXPECT_TRUE(has_row.ok()) << has_row.status();
    if (!has_row.ok() || !*has_row) return rows;
    rows.emplace_back(cursor->key(), cursor->value());
  }
}

absl::Status CommitMeta(CheckpointStore* store, std::string_view name, std::string_view value) {
  auto writes = store->NewWrites();
  writes->PutMeta(name, value);
  return store->Commit(std::move(writes));
}

// ---- What both stores promise ----

class OnDisk {
 public:
  absl::StatusOr<StorePtr> Open(bool* created) {
    return OpenCheckpointStore(temp_.Path("ck"), {}, created);
  }

 private:
  testing::TempDir temp_;
};

template <typename Checkpoint>
class AnyStoreTest : public ::testing::Test {
 protected:
  StorePtr Open(bool* created = nullptr) {
    bool made = false;
    auto store = checkpoint_.Open(created != nullptr ? created : &made);
    EXPECT_TRUE(store.ok()) << store.status();
    return std::move(store).value();
  }
  Checkpoint checkpoint_;
};
using Stores = ::testing::Types<OnDisk, MemoryCheckpoint>;
TYPED_TEST_SUITE(AnyStoreTest, Stores);

TYPED_TEST(AnyStoreTest, IsCreatedOnceAndKeepsWhatWasCommitted) {
  bool created = false;
  StorePtr store = this->Open(&created);
  EXPECT_TRUE(created);
  EXPECT_EQ(store->GetMeta("offsets").value(), std::nullopt);
  auto writes = store->NewWrites();
  writes->PutMeta("offsets", std::string("1\0002", 3));
  writes->PutState("", "empty key");
  writes->PutState("k", "");
  EXPECT_GT(writes->byte_size(), 10u);
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  store.reset();

  store = this->Open(&created);
  EXPECT_FALSE(created);
  EXPECT_EQ(store->GetMeta("offsets").value(), std::string("1\0002", 3));
  EXPECT_EQ(ReadState(store.get(), "", "z"), (Rows{{"", "empty key"}, {"k", ""}}));
}

TYPED_TEST(AnyStoreTest, MetaAndStateDoNotMix) {
  StorePtr store = this->Open();
  auto writes = store->NewWrites();
  writes->PutMeta("a", "meta");
  writes->PutState("a", "state");
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  writes = store->NewWrites();
  writes->DeleteState("a");
  writes->DeleteStateRange("", "\xff\xff\xff");
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  EXPECT_EQ(store->GetMeta("a").value(), "meta");
  EXPECT_TRUE(ReadState(store.get(), "", "\xff\xff").empty());
  writes = store->NewWrites();
  writes->DeleteMeta("a");
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  EXPECT_EQ(store->GetMeta("a").value(), std::nullopt);
}

TYPED_TEST(AnyStoreTest, LaterWritesOfABatchWin) {
  StorePtr store = this->Open();
  auto writes = store->NewWrites();
  writes->PutState("b", "old");
  writes->PutState("c", "old");
  writes->DeleteStateRange("a", "c");
  writes->DeleteStateRange("c", "c");  // nothing
  writes->DeleteStateRange("z", "a");  // nothing
  writes->PutState("a", "new");
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  EXPECT_EQ(ReadState(store.get(), "", "z"), (Rows{{"a", "new"}, {"c", "old"}}));
}

TYPED_TEST(AnyStoreTest, UncommittedWritesLeaveNoTrace) {
  StorePtr store = this->Open();
  auto writes = store->NewWrites();
  writes->PutState("a", "x");
  writes.reset();
  EXPECT_TRUE(ReadState(store.get(), "", "z").empty());
}

TYPED_TEST(AnyStoreTest, CursorsKeepToTheirRange) {
  StorePtr store = this->Open();
  auto writes = store->NewWrites();
  for (const char* key : {"a", "b", "ba", "c"}) writes->PutState(key, key);
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  EXPECT_EQ(ReadState(store.get(), "b", "c"), (Rows{{"b", "b"}, {"ba", "ba"}}));
  EXPECT_TRUE(ReadState(store.get(), "b", "b").empty());
  EXPECT_TRUE(ReadState(store.get(), "c", "b").empty());
  const auto cursor = store->NewStateCursor("c", "z");
  EXPECT_TRUE(cursor->Next().value());
  EXPECT_FALSE(cursor->Next().value());
  EXPECT_FALSE(cursor->Next().value());
}

TYPED_TEST(AnyStoreTest, MultiGetFindsWhatIsThereFromManyThreads) {
  StorePtr store = this->Open();
  auto writes = store->NewWrites();
  for (int i = 0; i < 2000; i += 2) writes->PutState(fmt::format("{:05}", i), std::to_string(i));
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&store] {
      std::vector<std::string> keys;
      for (int i = 0; i < 600; ++i) keys.push_back(fmt::format("{:05}", i));
      const std::vector<std::string_view> views(keys.begin(), keys.end());
      std::vector<std::optional<std::string>> values(3, "left from before");
      for (int round = 0; round < 5; ++round) {
        EXPECT_TRUE(store->MultiGetState(views, &values).ok());
        ASSERT_EQ(values.size(), 600u);
        for (int i = 0; i < 600; ++i) {
          EXPECT_EQ(values[static_cast<size_t>(i)],
                    i % 2 == 0 ? std::optional(std::to_string(i)) : std::nullopt);
        }
      }
      EXPECT_TRUE(store->MultiGetState({}, &values).ok());
      EXPECT_TRUE(values.empty());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TYPED_TEST(AnyStoreTest, ASecondOpenStoreIsRefused) {
  StorePtr store = this->Open();
  bool created = false;
  EXPECT_EQ(this->checkpoint_.Open(&created).status().code(), kFailedPrecondition);
  store.reset();
  this->Open();
}

// ---- The store on disk ----

class CheckpointStoreTest : public ::testing::Test {
 protected:
  std::string Path(std::string_view inside = "") const {
    return inside.empty() ? temp_.Path("ck") : fmt::format("{}/{}", temp_.Path("ck"), inside);
  }
  absl::StatusOr<StorePtr> TryOpen() {
    CheckpointStoreOptions options;
    options.memory_bytes = size_t{8} << 20;
    return OpenCheckpointStore(Path(), options, &created_);
  }
  StorePtr Open() {
    auto store = TryOpen();
    EXPECT_TRUE(store.ok()) << store.status();
    return std::move(store).value();
  }
  /// The newest (or only) file of the database that ends so.
  std::string DatabaseFile(std::string_view ending, bool largest = false) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(Path("state"))) {
      if (entry.path().string().ends_with(ending)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    if (largest) {
      return *std::max_element(files.begin(), files.end(), [](const auto& a, const auto& b) {
        return fs::file_size(a) < fs::file_size(b);
      });
    }
    return files.empty() ? std::string() : files.back().string();
  }
  static void FlipByte(const std::string& path, std::streamoff at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_TRUE(file.is_open()) << path;
    file.seekg(at);
    const char byte = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 0x5a));
  }
  /// As if the process, or the machine, had died before it knew its last commit to be durable: only
  /// then may that be torn.
  void ForgetLastCommit(uint64_t commit) const {
    CheckpointFolder folder(Path());
    ASSERT_EQ(folder.NotedCommit(), commit);
    folder.NoteCommit(commit - 1);
  }
  static std::vector<std::string> Listing(const std::string& folder) {
    std::vector<std::string> lines;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      lines.push_back(fmt::format("{} {}", entry.path().string(),
                                  entry.is_regular_file() ? entry.file_size() : 0));
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  /// The folder is refused with this code, and nothing in it changes.
  std::string ExpectRefusedUntouched(absl::StatusCode code) {
    const auto before = Listing(Path());
    const auto store = TryOpen();
    EXPECT_EQ(store.status().code(), code) << store.status();
    EXPECT_EQ(Listing(Path()), before);
    EXPECT_FALSE(created_);
    return Message(store.status());
  }
  absl::StatusOr<std::unique_ptr<testing::Process>> StartWriter(const std::string& mode = "") {
    testing::ProcessOptions options;
    options.args = {TIDEMARK_CHECKPOINT_WRITER, Path()};
    if (!mode.empty()) options.args.push_back(mode);
    return testing::Process::Start(std::move(options));
  }

  static void WaitForLines(testing::Process* process, ptrdiff_t lines) {
    for (int i = 0; i < 10000; ++i) {
      const std::string output = process->Stdout();
      if (std::count(output.begin(), output.end(), '\n') >= lines) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ADD_FAILURE() << "no " << lines << " lines in 20 s: " << process->Stderr();
  }

  testing::TempDir temp_;
  bool created_ = false;
};

TEST_F(CheckpointStoreTest, AHalfMadeCheckpointIsMadeAgain) {
  Open().reset();
  // As if the process had died before it gave the database its name.
  fs::rename(Path("state"), Path("state.new"));
  fs::remove(Path("state.new/CURRENT"));
  Open();
  EXPECT_TRUE(created_);
  EXPECT_FALSE(fs::exists(Path("state.new")));
}

TEST_F(CheckpointStoreTest, SomebodysFilesAreLeftAlone) {
  fs::create_directories(Path());
  std::ofstream(Path("photo.jpg")) << "pixels";
  EXPECT_THAT(ExpectRefusedUntouched(kFailedPrecondition), HasSubstr("photo.jpg"));
}

TEST_F(CheckpointStoreTest, SomebodysFolderCalledStateIsLeftAlone) {
  fs::create_directories(Path("state"));
  std::ofstream(Path("state/of-the-union.txt")) << "speech";
  EXPECT_THAT(ExpectRefusedUntouched(kFailedPrecondition), HasSubstr("not a Tidemark checkpoint"));
}

TEST_F(CheckpointStoreTest, SomebodysDatabaseIsLeftAlone) {
  fs::create_directories(Path());
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, Path("state"), &db).ok());
  ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), "m", "mine").ok());
  delete db;
  EXPECT_THAT(ExpectRefusedUntouched(kFailedPrecondition), HasSubstr("not a Tidemark checkpoint"));
  fs::remove_all(Path());
  ASSERT_TRUE(rocksdb::DB::Open(options, Path(), &db).ok());  // in the folder itself
  delete db;
  ExpectRefusedUntouched(kFailedPrecondition);
}

TEST_F(CheckpointStoreTest, ANewerFormatIsRefused) {
  Open().reset();
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(rocksdb::Options(), Path("state"), &db).ok());
  ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), "f", "tidemark checkpoint 2").ok());
  delete db;
  const auto store = TryOpen();
  EXPECT_EQ(store.status().code(), kFailedPrecondition);
  EXPECT_THAT(Message(store.status()), AllOf(HasSubstr("format 2"), HasSubstr("newer version")));
}

TEST_F(CheckpointStoreTest, AFileInsteadOfAFolderIsRefused) {
  std::ofstream(Path("")) << "x";
  const auto store = TryOpen();
  EXPECT_EQ(store.status().code(), kFailedPrecondition);
  EXPECT_THAT(Message(store.status()), HasSubstr("is a file, not a folder"));
}

TEST_F(CheckpointStoreTest, AFolderWithoutRightsIsRefusedSayingWhatToDo) {
  ASSERT_EQ(chmod(temp_.path().c_str(), 0755), 0);
  const auto expect_refused = [this](const char* what) {
    const auto writer = StartWriter("nobody");
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ((*writer)->Wait(absl::Seconds(20)).value(), 3) << what;
    EXPECT_THAT((*writer)->Stderr(), AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("make ")))
        << what;
  };
  if (getuid() != 0) {
    ASSERT_EQ(chmod(temp_.path().c_str(), 0555), 0);
  }
  expect_refused("a parent that may not be written");
  ASSERT_EQ(chmod(temp_.path().c_str(), 0755), 0);
  Open().reset();
  if (getuid() != 0) {
    ASSERT_EQ(chmod(Path("lock").c_str(), 0444), 0);
  }
  expect_refused("a lock file that may not be written");
  ASSERT_EQ(chmod(Path("lock").c_str(), 0666), 0);
  ASSERT_EQ(chmod(DatabaseFile("sst").c_str(), 0), 0);
  expect_refused("a database file that may not be read");
  ASSERT_EQ(chmod(Path().c_str(), 0), 0);
  expect_refused("a folder that may not be read");
  ASSERT_EQ(chmod(Path().c_str(), 0755), 0);
}

TEST_F(CheckpointStoreTest, AnotherProcessIsNamedAndItsDeathFreesTheFolder) {
  auto writer = StartWriter("hold");
  ASSERT_TRUE(writer.ok()) << writer.status();
  WaitForLines(writer->get(), 2);
  ASSERT_EQ((*writer)->Stdout(), "-1\n0\n");
  const auto refused = TryOpen();
  EXPECT_EQ(refused.status().code(), kFailedPrecondition);
  EXPECT_THAT(Message(refused.status()),
              HasSubstr(fmt::format("in use by process {}", (*writer)->pid())));
  (*writer)->Kill();
  EXPECT_EQ(Open()->GetMeta("batch").value(), "0");
}

TEST_F(CheckpointStoreTest, KilledAtAnyMomentKeepsAllThatWasAcknowledged) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  int64_t acknowledged = -1;
  for (int round = 0; round < 25; ++round) {
    auto writer = StartWriter();
    ASSERT_TRUE(writer.ok()) << writer.status();
    // Half of them early, while the checkpoint is made or recovered, half while it commits.
    const auto lines = round % 2 == 0 ? 0 : static_cast<ptrdiff_t>(1 + random() % 60);
    WaitForLines(writer->get(), lines);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (lines > 0 ? 3000 : 40000)));
    ASSERT_EQ((*writer)->Kill(), 137) << (*writer)->Stderr();
    const std::string output = (*writer)->Stdout();
    const size_t end = output.rfind('\n');
    if (end == std::string::npos) continue;
    const size_t first = output.find('\n');
    // What the process found: all that its forerunner acknowledged, at most one batch more.
    const int64_t found = std::stoll(output.substr(0, first));
    EXPECT_GE(found, acknowledged);
    EXPECT_LE(found, acknowledged + 1);
    const size_t last = output.rfind('\n', end - 1);
    acknowledged = std::stoll(output.substr(last == std::string::npos ? 0 : last + 1));
  }
  EXPECT_GT(acknowledged, 10);
  const StorePtr store = Open();
  const int64_t last = std::stoll(store->GetMeta("batch").value().value());
  EXPECT_GE(last, acknowledged);
  EXPECT_LE(last, acknowledged + 1);
  // Every snapshot under its final name is whole.
  int snapshots = 0;
  for (const auto& entry : fs::directory_iterator(Path("snapshots"))) {
    const std::string name = entry.path().filename().string();
    if (name.find('.') != std::string::npos) continue;
    rocksdb::DB* opened = nullptr;
    ASSERT_TRUE(rocksdb::DB::OpenForReadOnly(rocksdb::Options(), entry.path(), &opened).ok());
    const std::unique_ptr<rocksdb::DB> db(opened);
    std::string batch;
    ASSERT_TRUE(db->Get(rocksdb::ReadOptions(), "mbatch", &batch).ok());
    EXPECT_EQ(batch, name);
    ++snapshots;
  }
  EXPECT_LE(snapshots, 3);
}

// ---- Damage ----

TEST_F(CheckpointStoreTest, ATornTailOfTheLogIsDropped) {
  StorePtr store = Open();
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  ASSERT_TRUE(CommitMeta(store.get(), "batch", std::string(1000, '2')).ok());
  store.reset();
  const std::string log = DatabaseFile(".log");
  fs::resize_file(log, fs::file_size(log) - 100);
  ForgetLastCommit(2);
  EXPECT_EQ(Open()->GetMeta("batch").value(), "1");
}

// RocksDB would take it for a log that ended there.
TEST_F(CheckpointStoreTest, CommitsThatWereDurableAndAreGoneAreDataLoss) {
  StorePtr store = Open();
  std::vector<uintmax_t> ends;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(CommitMeta(store.get(), "batch", std::to_string(i)).ok());
    ends.push_back(fs::file_size(DatabaseFile(".log")));
  }
  store.reset();
  EXPECT_EQ(ends[0], 0u) << "the first commit lies in a table";
  const std::string log = DatabaseFile(".log");
  fs::copy_file(log, temp_.Path("sound"));
  const auto expect_refused = [&](const std::string& how) {
    SCOPED_TRACE(how);
    const std::string message = ExpectRefusedUntouched(kDataLoss);
    EXPECT_THAT(message, AllOf(HasSubstr("number 5 was durable"),
                               HasSubstr(fs::exists(log) ? fs::path(log).filename().string()
                                                         : "its log is missing"),
                               HasSubstr("there is no snapshot to go back to")));
    const auto copy = OpenCheckpointCopy(Path(), "state", {});
    EXPECT_EQ(Message(copy.status()), message);
    fs::copy_file(temp_.Path("sound"), log, fs::copy_options::overwrite_existing);
  };
  for (const uintmax_t end : ends) {
    if (end == ends.back()) continue;
    fs::resize_file(log, end);
    expect_refused(fmt::format("cut to {} of {}", end, ends.back()));
    fs::resize_file(log, end);
    fs::resize_file(log, ends.back());
    expect_refused(fmt::format("zeros from {} of {} on", end, ends.back()));
  }
  fs::remove(log);
  expect_refused("removed");
  EXPECT_EQ(Open()->GetMeta("batch").value(), "4");
}

// Without the note: what a query began with is there all the same.
TEST_F(CheckpointStoreTest, WhatWasCommittedFirstDoesNotGoWithTheLog) {
  StorePtr store = Open();
  ASSERT_TRUE(CommitMeta(store.get(), "query", "of mine").ok());
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  store.reset();
  fs::resize_file(DatabaseFile(".log"), 0);
  fs::remove(Path("state/last_commit"));
  store = Open();
  EXPECT_EQ(store->GetMeta("query").value(), "of mine");
  EXPECT_EQ(store->GetMeta("batch").value(), std::nullopt);
}

TEST_F(CheckpointStoreTest, ALostDatabaseIsNotMadeAgainOnceAQueryHasBegun) {
  Open().reset();
  fs::remove_all(Path("state"));
  StorePtr store = Open();
  EXPECT_TRUE(created_) << "nothing had begun";
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  store.reset();
  fs::rename(Path("state"), temp_.Path("away"));
  EXPECT_THAT(ExpectRefusedUntouched(kDataLoss),
              AllOf(HasSubstr("state is missing"), HasSubstr("start over in a new folder")));
  // Nor an empty one taken for it.
  testing::TempDir other;
  bool created = false;
  ASSERT_TRUE(OpenCheckpointStore(other.Path("ck"), {}, &created).ok());
  fs::copy(other.Path("ck/state"), Path("state"), fs::copy_options::recursive);
  EXPECT_THAT(ExpectRefusedUntouched(kDataLoss), HasSubstr("holds no commit"));
  fs::remove_all(Path("state"));
  fs::rename(temp_.Path("away"), Path("state"));
  // One of a version that had no such marks gets them.
  fs::remove(Path("begun"));
  fs::remove(Path("state/last_commit"));
  EXPECT_EQ(Open()->GetMeta("batch").value(), "1");
  EXPECT_TRUE(fs::exists(Path("begun")));
}

// After a power cut a file may have grown, and hold zeros where the disk had not come to.
TEST_F(CheckpointStoreTest, ATailOfTheLogThatIsZerosIsDropped) {
  for (const size_t bytes : {size_t{500}, size_t{70'000}}) {  // within a block, over three
    StorePtr store = Open();
    ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
    const std::string log = DatabaseFile(".log");
    const uintmax_t before = fs::file_size(log);
    ASSERT_TRUE(CommitMeta(store.get(), "batch", std::string(bytes, '2')).ok());
    const uintmax_t after = fs::file_size(log);
    store.reset();
    ForgetLastCommit(2);
    fs::rename(Path(), temp_.Path("sound"));
    for (uintmax_t from = before; from <= after; from += 1 + bytes / 12) {
      for (const uintmax_t grown : {uintmax_t{0}, uintmax_t{40'000}}) {
        SCOPED_TRACE(fmt::format("zeros from {} of {} on, {} more", from, after, grown));
        fs::copy(temp_.Path("sound"), Path(), fs::copy_options::recursive);
        fs::resize_file(log, from);
        fs::resize_file(log, after + grown);
        store = Open();
        ASSERT_NE(store, nullptr);
        EXPECT_EQ(store->GetMeta("batch").value(),
                  from == after ? std::string(bytes, '2') : std::string("1"));
        store.reset();
        fs::remove_all(Path());
      }
    }
    fs::remove_all(temp_.Path("sound"));
  }
}

// The same of the file that says which files the database has.
TEST_F(CheckpointStoreTest, ATailOfTheManifestThatIsZerosIsDropped) {
  StorePtr store = Open();
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  store.reset();
  std::ifstream current(Path("state/CURRENT"));
  std::string name;
  current >> name;
  const std::string manifest = Path("state/" + name);
  std::ifstream file(manifest, std::ios::binary);
  const std::string record(std::istreambuf_iterator<char>(file), {});
  for (const size_t kept : {1, 6, 7, 20}) {
    SCOPED_TRACE(kept);
    std::ofstream(manifest, std::ios::binary | std::ios::app)
        << record.substr(0, kept) << std::string(100, '\0');
    // Opening it makes the next one: back to the one with the tail.
    fs::copy(Path(), temp_.Path("torn"), fs::copy_options::recursive);
    store = Open();
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->GetMeta("batch").value(), "1");
    store.reset();
    fs::remove_all(Path());
    fs::rename(temp_.Path("torn"), Path());
    fs::resize_file(manifest, record.size());
  }
}

TEST_F(CheckpointStoreTest, DamageInTheMiddleOfTheLogIsDataLoss) {
  StorePtr store = Open();
  ASSERT_TRUE(store->Snapshot(7, 3).ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(CommitMeta(store.get(), "batch", std::string(1000, 'x')).ok());
  }
  store.reset();
  FlipByte(DatabaseFile(".log"), 5500);
  const std::string message = ExpectRefusedUntouched(kDataLoss);
  EXPECT_THAT(message,
              AllOf(HasSubstr(Path("state")), HasSubstr(".log"), HasSubstr("snapshot of batch 7"),
                    HasSubstr("tidemark checkpoint rewind " + Path() + " --to 7")));
}

// RocksDB reads over zeros to the next block of the log: where a commit begins with it, those
// before would be missing.
TEST_F(CheckpointStoreTest, AHoleOfZerosInTheLogIsDataLoss) {
  constexpr uintmax_t kBlock = 32768;
  StorePtr store = Open();
  ASSERT_TRUE(store->Snapshot(7, 3).ok());
  std::vector<uintmax_t> ends;
  for (int i = 0; i < 20; ++i) {
    size_t bytes = 3000;
    if (i == 7) bytes = kBlock - ends.back() - (ends[1] - ends[0] - bytes);
    auto writes = store->NewWrites();
    writes->PutState(fmt::format("{:02}", i), std::string(bytes, 'x'));
    ASSERT_TRUE(store->Commit(std::move(writes)).ok());
    ends.push_back(fs::file_size(DatabaseFile(".log")));
  }
  store.reset();
  ASSERT_EQ(ends[7], kBlock);
  const std::string log = DatabaseFile(".log");
  for (const auto& [begin, end] : {std::pair(ends[3], ends[4]), std::pair(ends[3], ends[7]),
                                   std::pair(ends[6], ends[7]), std::pair(ends[9], 2 * kBlock)}) {
    SCOPED_TRACE(fmt::format("[{}, {})", begin, end));
    fs::copy_file(log, temp_.Path("sound"));
    std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(begin));
    const std::string zeros(std::min(end, ends.back()) - begin, '\0');
    file.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
    file.close();
    EXPECT_THAT(
        ExpectRefusedUntouched(kDataLoss),
        AllOf(HasSubstr(fs::path(log).filename().string()), HasSubstr("snapshot of batch 7")));
    fs::rename(temp_.Path("sound"), log);
  }
  EXPECT_EQ(ReadState(Open().get(), "", "z").size(), 20u);
}

// RocksDB takes a cut manifest for one whose last change was torn off: a table less, or an older
// log.
TEST_F(CheckpointStoreTest, AManifestCutShortIsDataLossOrHarmless) {
  StorePtr store = Open();
  Rows rows;
  for (int i = 0; i < 6; ++i) {
    rows.emplace_back(std::to_string(i), "value");
    auto writes = store->NewWrites();
    writes->PutState(rows.back().first, rows.back().second);
    ASSERT_TRUE(store->Commit(std::move(writes)).ok());
    if (i % 2 == 0) {
      ASSERT_TRUE(store->Snapshot(i, 1).ok());
    }
  }
  store.reset();
  fs::rename(Path(), temp_.Path("sound"));
  int refused = 0;
  for (uintmax_t cut = 0;; cut += 3) {
    fs::remove_all(Path());
    fs::copy(temp_.Path("sound"), Path(), fs::copy_options::recursive);
    std::string manifest;
    for (const auto& entry : fs::directory_iterator(Path("state"))) {
      if (entry.path().filename().string().starts_with("MANIFEST")) manifest = entry.path();
    }
    if (cut > fs::file_size(manifest)) break;
    fs::resize_file(manifest, fs::file_size(manifest) - cut);
    const auto opened = TryOpen();
    if (!opened.ok()) {
      EXPECT_EQ(opened.status().code(), kDataLoss) << opened.status();
      EXPECT_THAT(Message(opened.status()),
                  AllOf(HasSubstr("MANIFEST"), HasSubstr("snapshot of batch 4")));
      ++refused;
      continue;
    }
    EXPECT_EQ(ReadState(opened->get(), "", "z"), rows) << "cut by " << cut;
  }
  EXPECT_GT(refused, 30);
}

TEST_F(CheckpointStoreTest, AMissingFileIsDataLossByName) {
  StorePtr store = Open();
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  store.reset();
  Open().reset();  // what was in the log is in a file now
  const std::string sst = DatabaseFile(".sst");
  fs::rename(sst, temp_.Path("away"));
  EXPECT_THAT(ExpectRefusedUntouched(kDataLoss),
              AllOf(HasSubstr(fs::path(sst).filename().string()), HasSubstr("no snapshot")));
  fs::rename(temp_.Path("away"), sst);
  fs::remove(Path("state/CURRENT"));
  EXPECT_THAT(ExpectRefusedUntouched(kDataLoss), HasSubstr("CURRENT"));
}

TEST_F(CheckpointStoreTest, DamagedRowsAreDataLossNamingTheFileAndASnapshotWithoutIt) {
  StorePtr store = Open();
  ASSERT_TRUE(store->Snapshot(1, 5).ok());
  auto writes = store->NewWrites();
  std::vector<std::string> keys;
  for (int i = 0; i < 5000; ++i) {
    keys.push_back(fmt::format("{:08}", i));
    writes->PutState(keys.back(), fmt::format("{:032x}", std::hash<int>()(i * 7919)));
  }
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  ASSERT_TRUE(store->Snapshot(2, 5).ok());  // flushes
  store.reset();
  const std::string sst = DatabaseFile(".sst", /*largest=*/true);
  FlipByte(sst, 20000);
  store = Open();
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<std::optional<std::string>> values;
  const absl::Status status = store->MultiGetState(views, &values);
  EXPECT_EQ(status.code(), kDataLoss) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr(fs::path(sst).filename().string()),
                                     HasSubstr("snapshot of batch 1")));
  const auto cursor = store->NewStateCursor("", "z");
  absl::StatusOr<bool> has_row = true;
  while (has_row.ok() && *has_row) has_row = cursor->Next();
  EXPECT_EQ(has_row.status().code(), kDataLoss);
}

// An iterator of RocksDB 7.8.3 by itself ends early, without a word, where it is sent on by a
// tombstone while a newer table cannot be read.
TEST_F(CheckpointStoreTest, ZerosAnywhereInATableAreDataLossOrHarmless) {
  StorePtr store = Open();
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back(fmt::format("{:05}", i));
  const auto put = [&](int from, int to, StoreWrites* writes) {
    for (int i = from; i < to; ++i) writes->PutState(keys[i], fmt::format("{:032x}", i * 7919));
  };
  auto writes = store->NewWrites();
  put(0, 600, writes.get());
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  ASSERT_TRUE(store->Snapshot(1, 1).ok());  // flushes
  writes = store->NewWrites();
  for (int i = 0; i < 800; i += 100) {
    writes->DeleteStateRange(keys[i], keys[i + 50]);
    put(i + 10, i + 45, writes.get());
  }
  put(800, 1000, writes.get());
  ASSERT_TRUE(store->Commit(std::move(writes)).ok());
  store.reset();
  Open().reset();  // what was in the log is in a file now
  const std::string folder = temp_.Path("whole");
  fs::copy(Path(), folder, fs::copy_options::recursive);
  const auto has = [](int i) {
    return i >= 800 || (i < 600 && i % 100 >= 50) || (i % 100 >= 10 && i % 100 < 45);
  };

  const std::vector<std::string_view> views(keys.begin(), keys.end());
  int refused = 0, tried = 0;
  // Rows, then a status that is DataLoss if it is none.
  const auto judge = [&](CheckpointStore& damaged, int from, int to) {
    // From before the first of them, which may be deleted.
    const auto cursor =
        damaged.NewStateCursor(from == 0 ? "" : keys[from - 1] + "!", keys[to - 1] + "!",
                               from < 800 ? RangeDeletes::kPossible : RangeDeletes::kNone);
    int rows = 0, expected = 0;
    absl::StatusOr<bool> has_row = cursor->Next();
    for (; has_row.ok() && *has_row; has_row = cursor->Next()) ++rows;
    for (int i = from; i < to; ++i) expected += has(i) ? 1 : 0;
    if (has_row.ok()) {
      EXPECT_EQ(rows, expected) << from << " to " << to;
    } else {
      EXPECT_EQ(has_row.status().code(), kDataLoss) << has_row.status();
      ++refused;
    }
  };
  for (const auto& entry : fs::directory_iterator(folder + "/state")) {
    if (entry.path().extension() != ".sst") continue;
    const auto size = static_cast<int64_t>(entry.file_size());
    for (int64_t begin = 0; begin < size; begin += 256, ++tried) {
      const std::string table = entry.path().filename();
      SCOPED_TRACE(fmt::format("{}: [{}, {}) of {}", table, begin, begin + 256, size));
      fs::remove_all(Path());
      fs::copy(folder, Path(), fs::copy_options::recursive);
      {
        std::fstream file(Path("state/" + table), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(begin);
        const std::string zeros(static_cast<size_t>(std::min<int64_t>(256, size - begin)), '\0');
        file.write(zeros.data(), static_cast<std::streamsize>(zeros.size()));
      }
      const auto opened = TryOpen();
      if (!opened.ok()) {
        EXPECT_EQ(opened.status().code(), kDataLoss) << opened.status();
        EXPECT_THAT(Message(opened.status()), HasSubstr(table));
        ++refused;
        continue;
      }
      for (int from = 0; from < 1000; from += 100) judge(**opened, from, from + 100);
      judge(**opened, 800, 1000);
      judge(**opened, 0, 1000);
      std::vector<std::optional<std::string>> values;
      const absl::Status looked_up = (*opened)->MultiGetState(views, &values);
      if (looked_up.ok()) {
        for (int i = 0; i < 1000; ++i) EXPECT_EQ(values[i].has_value(), has(i)) << i;
      } else {
        EXPECT_EQ(looked_up.code(), kDataLoss) << looked_up;
      }
    }
  }
  EXPECT_GT(refused, tried);
}

// As a crash, or a full disk, leaves it; RocksDB 7.8.3 aborts where it is not told of such logs.
TEST_F(CheckpointStoreTest, ALogWhoseFlushHasNotEndedIsReadAgain) {
  StorePtr store = Open();
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  store.reset();
  rocksdb::Options options;
  options.track_and_verify_wals_in_manifest = true;
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, Path("state"), &db).ok());
  ASSERT_TRUE(db->PauseBackgroundWork().ok());
  rocksdb::WriteOptions durable;
  durable.sync = true;
  ASSERT_TRUE(db->Put(durable, "sa", "1").ok());
  rocksdb::FlushOptions begin_only;
  begin_only.wait = false;
  ASSERT_TRUE(db->Flush(begin_only).ok());
  ASSERT_TRUE(db->Put(durable, "sb", "2").ok());  // the manifest names the first log now
  const std::string died = temp_.Path("died");
  fs::copy(Path(), died, fs::copy_options::recursive);
  ASSERT_TRUE(db->ContinueBackgroundWork().ok());
  delete db;
  fs::remove_all(Path());
  fs::rename(died, Path());
  EXPECT_EQ(ReadState(Open().get(), "", "z"), (Rows{{"a", "1"}, {"b", "2"}}));
}

TEST_F(CheckpointStoreTest, ADamagedManifestIsDataLoss) {
  Open().reset();
  for (const auto& entry : fs::directory_iterator(Path("state"))) {
    if (entry.path().filename().string().starts_with("MANIFEST")) FlipByte(entry.path(), 20);
  }
  EXPECT_THAT(ExpectRefusedUntouched(kDataLoss), HasSubstr("MANIFEST"));
}

// ---- Snapshots ----

TEST_F(CheckpointStoreTest, KeepsTheNewestSnapshotsAndGoesBackToOne) {
  StorePtr store = Open();
  for (int batch = 8; batch <= 11; ++batch) {
    ASSERT_TRUE(CommitMeta(store.get(), "batch", std::to_string(batch)).ok());
    ASSERT_TRUE(store->Snapshot(batch, 3).ok());
  }
  EXPECT_FALSE(fs::exists(Path("snapshots/8")));
  EXPECT_TRUE(fs::exists(Path("snapshots/9")));
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "later").ok());
  ASSERT_TRUE(store->Snapshot(11, 2).ok());  // taken again: replaced
  EXPECT_FALSE(fs::exists(Path("snapshots/9")));
  store.reset();
  // As the message after damage advises.
  fs::rename(Path("state"), temp_.Path("away"));
  fs::copy(Path("snapshots/10"), Path("state"));
  store = Open();
  EXPECT_FALSE(created_);
  EXPECT_EQ(store->GetMeta("batch").value(), "10");
}

// ---- Failing disks ----

/// A disk that is full after so many appends.
class FailingFileSystem : public rocksdb::FileSystemWrapper {
 public:
  class File : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile> file, FailingFileSystem* system)
        : FSWritableFileOwnerWrapper(std::move(file)), system_(system) {}
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      if (system_->IsFull()) return rocksdb::IOStatus::NoSpace("No space left on device");
      return FSWritableFileOwnerWrapper::Append(data, options, debug);
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo& info,
                             rocksdb::IODebugContext* debug) override {
      if (system_->IsFull()) return rocksdb::IOStatus::NoSpace("No space left on device");
      return FSWritableFileOwnerWrapper::Append(data, options, info, debug);
    }

   private:
    FailingFileSystem* system_;
  };

  FailingFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FailingFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    const auto status = FileSystemWrapper::NewWritableFile(name, options, file, debug);
    if (status.ok()) *file = std::make_unique<File>(std::move(*file), this);
    return status;
  }

  /// -1: never. Counts down with each append, and stays at 0.
  std::atomic<int64_t> appends_until_full = -1;

 private:
  bool IsFull() {
    int64_t left = appends_until_full;
    while (left > 0 && !appends_until_full.compare_exchange_weak(left, left - 1)) {
    }
    return left == 0;
  }
};

TEST_F(CheckpointStoreTest, AFullDiskIsResourceExhaustedAndTheStoreMustBeOpenedAgain) {
  const auto system = std::make_shared<FailingFileSystem>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(system);
  auto opened = OpenCheckpointStoreIn(env.get(), Path(), {}, &created_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  StorePtr store = std::move(opened).value();
  ASSERT_TRUE(CommitMeta(store.get(), "batch", "1").ok());
  system->appends_until_full = 0;
  const absl::Status full = CommitMeta(store.get(), "batch", "2");
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_THAT(Message(full), HasSubstr("free some space"));
  system->appends_until_full = -1;
  // Refused although the disk would take it: what is on it is not known. For the same reason as
  // the write itself, which may have been one in the background that nobody was told of.
  std::vector<std::optional<std::string>> values;
  EXPECT_EQ(CommitMeta(store.get(), "batch", "3").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store->GetMeta("batch").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store->MultiGetState({"a"}, &values).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store->NewStateCursor("a", "b")->Next().status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(store->Snapshot(1, 1).code(), absl::StatusCode::kResourceExhausted);
  store.reset();
  opened = OpenCheckpointStoreIn(env.get(), Path(), {}, &created_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->GetMeta("batch").value(), "1");
  EXPECT_TRUE(CommitMeta(opened->get(), "batch", "2").ok());
}

TEST_F(CheckpointStoreTest, AFullDiskWhileOpeningIsResourceExhausted) {
  const auto system = std::make_shared<FailingFileSystem>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(system);
  system->appends_until_full = 0;
  const auto full = OpenCheckpointStoreIn(env.get(), Path(), {}, &created_);
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted) << full.status();
  system->appends_until_full = -1;
  const auto opened = OpenCheckpointStoreIn(env.get(), Path(), {}, &created_);
  EXPECT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(created_);
}

TEST_F(CheckpointStoreTest, ADiskThatFillsUpAtAnyMomentLosesNothing) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto system = std::make_shared<FailingFileSystem>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(system);
  CheckpointStoreOptions options;
  options.memory_bytes = size_t{4} << 20;  // flushes and compactions run, and fail, all the time
  int committed = -1;
  int failures = 0;
  for (int round = 0; round < 8; ++round) {
    system->appends_until_full = -1;
    auto store = OpenCheckpointStoreIn(env.get(), Path(), options, &created_);
    ASSERT_TRUE(store.ok()) << store.status();
    const auto meta = (*store)->GetMeta("batch").value();
    const int found = meta.has_value() ? std::stoi(*meta) : -1;
    ASSERT_GE(found, committed);  // what failed may be there all the same
    committed = found;
    system->appends_until_full = 1 + static_cast<int64_t>(random() % 150);
    for (int batch = committed + 1; batch < committed + 30; ++batch) {
      auto writes = (*store)->NewWrites();
      writes->PutMeta("batch", std::to_string(batch));
      for (int row = 0; row < 100; ++row) {
        writes->PutState(fmt::format("{:05}", random() % 20000), std::string(random() % 4000, 'x'));
      }
      absl::Status status = (*store)->Commit(std::move(writes));
      if (status.ok()) committed = batch;
      if (status.ok() && batch % 5 == 0) status = (*store)->Snapshot(batch, 2);
      if (status.ok()) continue;
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      ++failures;
      break;
    }
  }
  EXPECT_GT(failures, 0);
}

TEST_F(CheckpointStoreTest, AnotherWriteErrorIsUnavailable) {
  StorePtr store = Open();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = CommitMeta(store.get(), "batch", std::string(100000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, old_handler);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  store.reset();
  EXPECT_EQ(Open()->GetMeta("batch").value(), std::nullopt);
}

// ---- Costs ----

TEST_F(CheckpointStoreTest, MemoryStaysWithinItsBound) {
  StorePtr store = Open();  // 8 MiB
  std::mt19937 random(1);
  size_t highest = 0;
  std::vector<std::optional<std::string>> values;
  for (int batch = 0; batch < 60; ++batch) {
    auto writes = store->NewWrites();
    for (int i = 0; i < 1000; ++i) {
      writes->PutState(fmt::format("{:010}", random() % 1000000), std::string(500, 'v'));
    }
    ASSERT_TRUE(store->Commit(std::move(writes)).ok());
    for (int i = 0; i < 20; ++i) {
      const std::string key = fmt::format("{:010}", random() % 1000000);
      ASSERT_TRUE(store->MultiGetState({key}, &values).ok());
    }
    highest = std::max(highest, store->memory_bytes());
  }
  EXPECT_GT(highest, size_t{1} << 20);
  EXPECT_LT(highest, size_t{12} << 20);
}

TEST_F(CheckpointStoreTest, NothingPilesUpOverRestarts) {
  for (int i = 0; i < 12; ++i) Open().reset();
  EXPECT_FALSE(fs::exists(Path("state/LOG")));
  EXPECT_LE(Listing(Path("state")).size(), 20u);
}

}  // namespace
}  // namespace tidemark
