// Linked into our programs together with tcmalloc: moves 512 objects at a time between a thread's
// cache and the one that all threads share, instead of 32. A record of Kafka's is allocated by the
// client's thread and freed by a worker, so that each passes there, under a lock (7 to 15 % of the
// rows a second of bench/throughput).
//
// tcmalloc takes this from the environment only, when memory is asked for the first time. That is
// made to happen here, before the constructors of the libraries run, with an environment of our
// own; libc sets the real one afterwards. The user's own setting is kept.
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace {

constexpr char kName[] = "TCMALLOC_TRANSFER_NUM_OBJ=";
char setting[] = "TCMALLOC_TRANSFER_NUM_OBJ=512";

void SetTransfers(int, char**, char** environment) {
  for (char** entry = environment; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, kName, sizeof(kName) - 1) == 0) return;
  }
  char* ours[] = {setting, nullptr};
  char** const before = environ;
  environ = ours;
  std::free(std::malloc(1));
  environ = before;
}

__attribute__((section(".preinit_array"), used)) void (*const set_transfers)(int, char**, char**) =
    &SetTransfers;

}  // namespace
