// Linked into our programs together with tcmalloc: moves 512 objects at a time between a thread's
// cache and the one that all threads share, instead of 32. A record of Kafka's is allocated by the
// client's thread and freed by a worker, so that each passes there, under a lock (7 to 15 % of the
// rows a second of bench/throughput).
//
// tcmalloc takes this from the environment only, when memory is asked for the first time. That is
// made to happen here, before the constructors of the libraries run, with our setting added to the
// environment; libc sets the real one afterwards. The user's own setting is kept.
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace {

constexpr char kName[] = "TCMALLOC_TRANSFER_NUM_OBJ=";
char setting[] = "TCMALLOC_TRANSFER_NUM_OBJ=512";

void SetTransfers(int, char**, char** environment) {
  size_t entries = 0;
  for (; environment[entries] != nullptr; ++entries) {
    if (std::strncmp(environment[entries], kName, sizeof(kName) - 1) == 0) return;
  }
  // The user's with ours in front, on the stack: there is no other memory yet.
  auto* const ours = static_cast<char**>(__builtin_alloca((entries + 2) * sizeof(char*)));
  ours[0] = setting;
  std::memcpy(ours + 1, environment, (entries + 1) * sizeof(char*));
  char** const before = environ;
  environ = ours;
  std::free(std::malloc(1));
  environ = before;
}

__attribute__((section(".preinit_array"), used)) void (*const set_transfers)(int, char**, char**) =
    &SetTransfers;

}  // namespace
