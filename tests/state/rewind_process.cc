// Rewinds a checkpoint, or undoes it, and dies on the way: at the Nth call that changes a folder or
// makes something durable.
//
//   rewind_process FOLDER rewind|undo BATCH EPOCH N     exit code 0: through, 77: died, 1: an error
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tidemark/state/checkpoint_rewind.h"

namespace {

constexpr int kDied = 77;
std::atomic<int64_t> calls_left = INT64_MAX;

void Count() {
  if (--calls_left <= 0) _exit(kDied);
}

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// In place of the C library's, for all libraries of this program.
extern "C" {
int rename(const char* from, const char* to) noexcept {
  Count();
  return Next<int(const char*, const char*)>("rename")(from, to);
}
int renameat2(int from_at, const char* from, int to_at, const char* to, unsigned flags) noexcept {
  Count();
  return Next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_at, from, to_at,
                                                                              to, flags);
}
int link(const char* from, const char* to) noexcept {
  Count();
  return Next<int(const char*, const char*)>("link")(from, to);
}
int unlinkat(int at, const char* path, int flags) noexcept {
  Count();
  return Next<int(int, const char*, int)>("unlinkat")(at, path, flags);
}
int mkdir(const char* path, mode_t mode) noexcept {
  Count();
  return Next<int(const char*, mode_t)>("mkdir")(path, mode);
}
int fsync(int fd) {
  Count();
  return Next<int(int)>("fsync")(fd);
}
int fdatasync(int fd) {
  Count();
  return Next<int(int)>("fdatasync")(fd);
}
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  tidemark::CheckpointFolder folder(argv[1]);
  const int64_t batch_id = std::atoll(argv[3]);
  const int64_t epoch = std::atoll(argv[4]);
  absl::Status status = folder.Lock();
  calls_left = std::atoll(argv[5]);
  if (status.ok() && std::string(argv[2]) == "undo") {
    status = tidemark::UndoRewind(folder, epoch);
  } else if (status.ok()) {
    status = tidemark::RewindCheckpoint(folder, batch_id, epoch,
                                        [&](std::unique_ptr<tidemark::CheckpointStore> store) {
                                          auto writes = store->NewWrites();
                                          writes->PutMeta("epoch", std::to_string(epoch));
                                          return store->Commit(std::move(writes));
                                        });
  }
  calls_left = INT64_MAX;
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
