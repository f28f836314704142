/*
 * A call that is interrupted before it exhausts memory: V8's heap, where V8 would abort the
 * process, or the machine's, where the kernel would kill it. V8 notices an interruption in calls
 * and loops of JavaScript; since V8 13 (Node 24) not in a loop that calls built-in functions alone.
 *
 * V8's functions are C++; they are looked up by name, so that the addon needs no V8 headers and
 * loads where they are missing. The call then runs without a limit.
 */
#include "common.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Room for what V8 allocates until it notices the interruption, at each request. */
#define EXTRA_HEAP ((size_t)64 << 20)
/* The heap shrinks to its limit again once less than this part of it is used. */
#define RESTORE_BELOW 0.5
#define POLL_NS 2000000

typedef size_t (*heap_callback)(void *data, size_t current, size_t initial);

static struct {
  void *(*current)(void);
  void (*terminate)(void *isolate);
  void (*cancel)(void *isolate);
  void (*add)(void *isolate, heap_callback callback, void *data);
  void (*remove)(void *isolate, heap_callback callback, size_t limit);
  void (*restore)(void *isolate, double below);
} v8;

typedef struct {
  void *isolate;
  size_t growth;
  size_t before;
  bool ended;
  bool fired;
  pthread_t thread;
} watch;

static bool find_v8(void) {
  if (v8.restore != NULL) return true;
  *(void **)&v8.current = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  *(void **)&v8.terminate = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate18TerminateExecutionEv");
  *(void **)&v8.cancel = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate24CancelTerminateExecutionEv");
  *(void **)&v8.add = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_");
  *(void **)&v8.remove = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate27RemoveNearHeapLimitCallbackEPFmPvmmEm");
  void *restore = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate36AutomaticallyRestoreInitialHeapLimitEd");
  if (v8.current == NULL || v8.terminate == NULL || v8.cancel == NULL || v8.add == NULL || v8.remove == NULL)
    return false;
  *(void **)&v8.restore = restore;
  return restore != NULL;
}

static void interrupt(watch *w) {
  __atomic_store_n(&w->fired, true, __ATOMIC_RELEASE);
  v8.terminate(w->isolate);
}

static size_t near_limit(void *data, size_t current, size_t initial) {
  interrupt(data);
  return current < 2 * initial ? current + EXTRA_HEAP : current;
}

static size_t resident(void) {
  unsigned long size = 0, pages = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu %lu", &size, &pages) != 2) pages = 0;
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void *poll_memory(void *data) {
  watch *w = data;
  const struct timespec interval = {.tv_nsec = POLL_NS};
  while (!__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)) {
    size_t now = resident();
    if (now > w->before && now - w->before > w->growth) {
      interrupt(w);
      break;
    }
    nanosleep(&interval, NULL);
  }
  return NULL;
}

/*
 * callWithinMemory(fn, growthBytes): true when `fn` was interrupted; throws what `fn` throws. A
 * growth of 0 stands for half of the memory that is available, with regard to control groups.
 */
static napi_value call_within_memory(napi_env env, napi_callback_info info) {
  napi_value args[2], receiver, ignored;
  double growth;
  if (!ft_args(env, info, 2, args) || !ft_arg_double(env, args[1], &growth)) return NULL;
  if (growth < 0 || napi_get_undefined(env, &receiver) != napi_ok) return ft_throw_range(env, "a negative growth");
  watch w = {.growth = (size_t)growth, .before = resident()};
  if (w.growth == 0) w.growth = (size_t)(uv_get_available_memory() / 2);
  bool watched = find_v8();
  if (watched) {
    w.isolate = v8.current();
    v8.add(w.isolate, near_limit, &w);
  }
  bool polled = watched && pthread_create(&w.thread, NULL, poll_memory, &w) == 0;
  napi_status status = napi_call_function(env, receiver, args[0], 0, NULL, &ignored);
  __atomic_store_n(&w.ended, true, __ATOMIC_RELEASE);
  if (polled) pthread_join(w.thread, NULL);
  if (watched) {
    v8.restore(w.isolate, RESTORE_BELOW);
    v8.remove(w.isolate, near_limit, 0);
  }
  if (w.fired) {
    v8.cancel(w.isolate);
    if (status == napi_pending_exception) napi_get_and_clear_last_exception(env, &ignored);
    return ft_bool(env, true);
  }
  return status == napi_ok ? ft_bool(env, false) : NULL;
}

void ft_memory_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {{"callWithinMemory", call_within_memory}};
  ft_export(env, exports, functions, 1);
}
