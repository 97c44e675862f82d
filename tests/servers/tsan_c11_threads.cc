// For thread-sanitizer builds only, into every program of ours. librdkafka runs on C11 threads
// (threads.h), which ThreadSanitizer does not intercept: a thread that it has not seen begin
// crashes in its allocator, and locks that it has not seen taken look like races. These definitions
// come before libc's and do the same by the pthread functions, which it does intercept. In glibc
// thrd_t is a pthread_t, and mtx_t and cnd_t hold a pthread mutex and condition.
#include <errno.h>
#include <pthread.h>
#include <threads.h>

#include <cstdint>
#include <memory>

namespace {

static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t));
static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t));
static_assert(sizeof(thrd_t) == sizeof(pthread_t));

pthread_mutex_t* Mutex(mtx_t* mutex) { return reinterpret_cast<pthread_mutex_t*>(mutex); }
pthread_cond_t* Condition(cnd_t* condition) { return reinterpret_cast<pthread_cond_t*>(condition); }

int ToThreads(int error) {
  switch (error) {
    case 0:
      return thrd_success;
    case EBUSY:
      return thrd_busy;
    case ETIMEDOUT:
      return thrd_timedout;
    case ENOMEM:
    case EAGAIN:
      return thrd_nomem;
    default:
      return thrd_error;
  }
}

struct Call {
  thrd_start_t function;
  void* argument;
};

void* Run(void* opaque) {
  const std::unique_ptr<Call> call(static_cast<Call*>(opaque));
  return reinterpret_cast<void*>(static_cast<intptr_t>(call->function(call->argument)));
}

}  // namespace

extern "C" {

// librdkafka is not compiled for ThreadSanitizer, which so does not see its atomic reference
// counts: what it frees, and the locks in that, are not judged. Locks taken by the functions below
// are.
const char* __tsan_default_suppressions() { return "called_from_lib:librdkafka.so.1\n"; }

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  auto call = std::make_unique<Call>(Call{function, argument});
  const int error = pthread_create(thread, nullptr, Run, call.get());
  if (error == 0) static_cast<void>(call.release());  // Run's now
  return ToThreads(error);
}

int thrd_join(thrd_t thread, int* result) {
  void* value = nullptr;
  const int error = pthread_join(thread, &value);
  if (result != nullptr) *result = static_cast<int>(reinterpret_cast<intptr_t>(value));
  return ToThreads(error);
}

int thrd_detach(thrd_t thread) { return ToThreads(pthread_detach(thread)); }

int mtx_init(mtx_t* mutex, int type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(
      &attributes, (type & mtx_recursive) != 0 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
  const int error = pthread_mutex_init(Mutex(mutex), &attributes);
  pthread_mutexattr_destroy(&attributes);
  return ToThreads(error);
}
void mtx_destroy(mtx_t* mutex) { pthread_mutex_destroy(Mutex(mutex)); }
int mtx_lock(mtx_t* mutex) { return ToThreads(pthread_mutex_lock(Mutex(mutex))); }
int mtx_trylock(mtx_t* mutex) { return ToThreads(pthread_mutex_trylock(Mutex(mutex))); }
int mtx_timedlock(mtx_t* mutex, const timespec* until) {
  return ToThreads(pthread_mutex_timedlock(Mutex(mutex), until));
}
int mtx_unlock(mtx_t* mutex) { return ToThreads(pthread_mutex_unlock(Mutex(mutex))); }

int cnd_init(cnd_t* condition) {
  return ToThreads(pthread_cond_init(Condition(condition), nullptr));
}
void cnd_destroy(cnd_t* condition) { pthread_cond_destroy(Condition(condition)); }
int cnd_signal(cnd_t* condition) { return ToThreads(pthread_cond_signal(Condition(condition))); }
int cnd_broadcast(cnd_t* condition) {
  return ToThreads(pthread_cond_broadcast(Condition(condition)));
}
int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return ToThreads(pthread_cond_wait(Condition(condition), Mutex(mutex)));
}
int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
  return ToThreads(pthread_cond_timedwait(Condition(condition), Mutex(mutex), until));
}

}  // extern "C"
