/*
 * Robust mutexes of a process's threads in shared memory, and waiting for their end from another
 * process.
 */
#include "threads.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define PAGE_MAGIC 0x46545448u
/* The loop, its sender, and room for more. */
#define PLACES 8
/* The thread that made the page: the one that runs the event loop. */
#define LOOP_PLACE 0
/*
 * PF_EXITING of include/linux/sched.h: the thread runs in user mode no more, and is in no system
 * call.
 */
#define EXITING 0x4ul
/*
 * A wait looks at the pidfd, and at threads that have not taken their place yet, at this interval.
 */
#define SLICE_NS 1000000
#define SHORT_SLICE_NS 50000
#define STAT_BYTES 1024

/*
 * FREE -> RESERVED (before the thread starts) -> HELD (by the thread) -> FREE (when it ends in
 * order).
 */
enum { FREE, RESERVED, HELD };

typedef struct {
  _Atomic uint32_t state;
  /* Offset of the futex word in `mutex`, bytes. */
  _Atomic uint32_t word;
  union {
    pthread_mutex_t mutex;
    uint8_t room[120];
  };
} place;

struct ft_thread_page {
  _Atomic uint32_t magic;
  /* Size of this structure: other builds may lay it out differently. */
  uint32_t bytes;
  /* Numbers are used again: the owner is this process only if it began then, in that namespace. */
  int32_t pid;
  uint32_t unused;
  uint64_t started, pid_namespace;
  place places[PLACES];
};

_Static_assert(sizeof(ft_thread_page) <= PAGE_BYTES, "one page");

typedef struct {
  ft_handle base;
  ft_thread_page *page;
  bool own, watched, started;
  uv_async_t async;
  pthread_t waiter;
  atomic_bool stopping, stopped;
  napi_ref on_end;
} threads;

/* The offset may come from another process: whatever it is, it leads to a word of the place. */
static _Atomic uint32_t *word_of(place *p) {
  return (_Atomic uint32_t *)(void *)(p->room + atomic_load(&p->word) % sizeof p->room / 4 * 4);
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

/* --- Holding --- */

/*
 * Where the kernel will mark a mutex that was just locked: at a fixed distance from the newest
 * entry of the thread's robust list. NULL: this C library does it in another way.
 */
static _Atomic uint32_t *marked_word(pthread_mutex_t *mutex) {
  struct robust_list_head *head = NULL;
  size_t length = 0;
  if (syscall(SYS_get_robust_list, 0, &head, &length) != 0 || head == NULL || length != sizeof *head) return NULL;
  /* The lowest bit says that the entry is of another kind. */
  uintptr_t entry = (uintptr_t)head->list.next & ~(uintptr_t)1, begin = (uintptr_t)mutex;
  uintptr_t word = entry + (uintptr_t)head->futex_offset;
  if (word < begin || word + sizeof(uint32_t) > begin + sizeof *mutex || word % sizeof(uint32_t) != 0) return NULL;
  _Atomic uint32_t *found = (_Atomic uint32_t *)word;
  return (atomic_load(found) & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid) ? found : NULL;
}

int ft_thread_hold(ft_thread_page *page, int number) {
  place *p = &page->places[number];
  pthread_mutexattr_t attributes;
  int error = pthread_mutexattr_init(&attributes);
  if (error == 0) error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (error == 0) error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (error == 0) error = pthread_mutex_init(&p->mutex, &attributes);
  if (error == 0) error = pthread_mutex_lock(&p->mutex);
  if (error != 0) return error;
  _Atomic uint32_t *word = marked_word(&p->mutex);
  if (word == NULL) {
    pthread_mutex_unlock(&p->mutex);
    return ENOTSUP;
  }
  atomic_store(&p->word, (uint32_t)((uint8_t *)word - p->room));
  atomic_store(&p->state, HELD);
  return 0;
}

int ft_thread_reserve(ft_thread_page *page) {
  for (int i = 0; i < PLACES; i++) {
    uint32_t expected = FREE;
    if (atomic_compare_exchange_strong(&page->places[i].state, &expected, RESERVED)) return i;
  }
  return -1;
}

void ft_thread_cancel(ft_thread_page *page, int number) {
  atomic_store(&page->places[number].state, FREE);
}

void ft_thread_release(ft_thread_page *page, int number) {
  if (atomic_load(&page->places[number].state) != HELD) return;
  pthread_mutex_unlock(&page->places[number].mutex);
  ft_thread_cancel(page, number);
}

/* --- Who a process is --- */

/*
 * Reads a stat file of /proc, relative to a directory. @returns the text behind the name in
 * parentheses, which may itself hold any character; NULL with errno
 */
static char *read_stat(int directory, const char *path, char *text) {
  int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  ssize_t got;
  do {
    got = read(fd, text, STAT_BYTES - 1);
  } while (got < 0 && errno == EINTR);
  int error = errno;
  close(fd);
  if (got <= 0) {
    errno = got < 0 ? error : ESRCH;
    return NULL;
  }
  text[got] = 0;
  char *end = strrchr(text, ')');
  if (end == NULL) errno = EPROTO;
  return end == NULL ? NULL : end + 1;
}

/* A number of a stat file; fields are counted as proc(5) does, from 3 on. */
static unsigned long long stat_field(const char *text, int field) {
  for (int at = 2; at < field; at++) {
    text += strspn(text, " ");
    if (at + 1 < field) text += strcspn(text, " ");
  }
  return strtoull(text, NULL, 10);
}

#define STAT_FLAGS 9
#define STAT_THREADS 20
#define STAT_STARTED 22

static bool identify(int32_t pid, uint64_t *started, uint64_t *pid_namespace) {
  char path[64], text[STAT_BYTES];
  struct stat found;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  char *fields = read_stat(AT_FDCWD, path, text);
  if (fields == NULL || stat("/proc/self/ns/pid", &found) != 0) return false;
  *started = stat_field(fields, STAT_STARTED);
  *pid_namespace = found.st_ino;
  return true;
}

/* --- Waiting --- */

/*
 * Threads that are exiting, of all; -1: cannot tell, 0: none is left, 1: all are, 2: not all are.
 */
enum { UNKNOWN = -1, NONE, ALL, NOT_ALL };

/*
 * Looks at each thread of a process that was killed. No thread can be created in it any more, so
 * that a look is complete when there are as many threads before and after it as it found.
 */
static int threads_ending(int32_t pid) {
  char path[64], text[STAT_BYTES];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) return errno == ENOENT || errno == ESRCH ? NONE : UNKNOWN;
  unsigned long long before = 0, after = 0, found = 0;
  int result = ALL;
  char *fields = read_stat(dirfd(tasks), "../stat", text);
  if (fields != NULL) before = stat_field(fields, STAT_THREADS);
  for (struct dirent *entry = readdir(tasks); entry != NULL && result == ALL; entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%.20s/stat", entry->d_name);
    fields = read_stat(dirfd(tasks), path, text);
    if (fields != NULL) {
      found++;
      if (!(stat_field(fields, STAT_FLAGS) & EXITING)) result = NOT_ALL;
    } else if (errno != ENOENT && errno != ESRCH) {
      result = UNKNOWN;
    }
  }
  if (result == ALL) {
    fields = read_stat(dirfd(tasks), "../stat", text);
    if (fields != NULL) after = stat_field(fields, STAT_THREADS);
    if (found == 0 || before != found || after != found) result = NOT_ALL;
  }
  closedir(tasks);
  return result;
}

static void rest(long ns) {
  struct timespec time = {.tv_nsec = ns};
  nanosleep(&time, NULL);
}

static bool is_dead(place *p) {
  return (atomic_load(word_of(p)) & FUTEX_OWNER_DIED) != 0;
}

/* Waits for a while, or until the thread's end is marked. */
static void wait_marked(place *p, const struct timespec *timeout) {
  _Atomic uint32_t *word = word_of(p);
  uint32_t value = atomic_load(word);
  if (value & FUTEX_OWNER_DIED) return;
  /* The kernel wakes only if there is a waiter. */
  if (!(value & FUTEX_WAITERS)) {
    if (!atomic_compare_exchange_strong(word, &value, value | FUTEX_WAITERS)) return;
    value |= FUTEX_WAITERS;
  }
  if (futex(word, FUTEX_WAIT, value, timeout) == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT) return;
  /* A sandbox may forbid the call: then this is a slow poll. */
  rest(SLICE_NS);
}

/* The first place whose thread may still run; NULL: there is none. */
static place *first_alive(ft_thread_page *page) {
  for (int i = 0; i < PLACES; i++) {
    place *p = &page->places[i];
    uint32_t state = atomic_load(&p->state);
    if (state == RESERVED || (state == HELD && !is_dead(p))) return p;
  }
  return NULL;
}

static bool has_ended(int pidfd) {
  struct pollfd entry = {.fd = pidfd, .events = POLLIN};
  return pidfd >= 0 && poll(&entry, 1, 0) > 0 && (entry.revents & POLLIN);
}

/* @returns whether none of the process's threads runs in user mode or is in a system call. */
static bool wait_all(ft_thread_page *page, int pidfd, uint64_t until) {
  const struct timespec slice = {.tv_nsec = SLICE_NS};
  while (!has_ended(pidfd)) {
    place *alive = first_alive(page);
    if (alive == NULL) {
      int ending = threads_ending(page->pid);
      if (ending == ALL || ending == NONE) return true;
      if (ending == UNKNOWN) return false;
    }
    if (uv_hrtime() >= until) return false;
    if (alive != NULL && atomic_load(&alive->state) == HELD) {
      wait_marked(alive, &slice);
    } else {
      rest(SHORT_SLICE_NS);
    }
  }
  return true;
}

static void *waiter_main(void *arg) {
  threads *t = arg;
  place *loop = &t->page->places[LOOP_PLACE];
  while (!atomic_load(&t->stopping) && !is_dead(loop)) wait_marked(loop, NULL);
  if (is_dead(loop)) {
    /* The kernel wakes one waiter: this one wakes the others. */
    futex(word_of(loop), FUTEX_WAKE, INT_MAX, NULL);
    uv_async_send(&t->async);
  }
  atomic_store(&t->stopped, true);
  return NULL;
}

static void waiter_stop(threads *t) {
  atomic_store(&t->stopping, true);
  /* It may be just about to wait. */
  while (!atomic_load(&t->stopped)) {
    futex(word_of(&t->page->places[LOOP_PLACE]), FUTEX_WAKE, INT_MAX, NULL);
    rest(SHORT_SLICE_NS);
  }
  pthread_join(t->waiter, NULL);
}

static bool waiter_start(threads *t) {
  sigset_t all, before;
  /* Signals are the program's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  t->started = pthread_create(&t->waiter, NULL, waiter_main, t) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (t->started) pthread_setname_np(t->waiter, "ft-tcp watch");
  return t->started;
}

static void threads_shut(ft_handle *handle) {
  threads *t = (threads *)handle;
  if (t->started) waiter_stop(t);
  if (t->watched) ft_handle_uv_close(handle, (uv_handle_t *)&t->async);
  ft_ref_drop(handle->env, &t->on_end);
  if (!t->own) munmap(t->page, PAGE_BYTES);
}

/* --- The interface to JavaScript --- */

static napi_value new_handle(napi_env env, ft_thread_page *page, bool own) {
  napi_value external;
  threads *t = (threads *)ft_handle_new(env, FT_KIND_THREADS, sizeof *t, threads_shut, &external);
  if (t == NULL) {
    if (!own) munmap(page, PAGE_BYTES);
    return NULL;
  }
  t->page = page;
  t->own = own;
  return external;
}

static napi_value fail_closing(napi_env env, int fd, int error, const char *syscall) {
  if (fd >= 0) close(fd);
  return ft_throw_errno(env, error, syscall);
}

/* Maps the page behind a descriptor, and closes it. @returns NULL with an exception pending */
static ft_thread_page *map_page(napi_env env, int fd) {
  void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  int error = errno;
  close(fd);
  if (page != MAP_FAILED) return page;
  ft_throw_errno(env, error, "mmap");
  return NULL;
}

static napi_value threads_create(napi_env env, napi_callback_info info) {
  napi_value value;
  char path[PATH_MAX];
  if (!ft_args(env, info, 1, &value) || !ft_arg_text(env, value, path, sizeof path)) return NULL;
  /* What an earlier process with this number has left. */
  if (unlink(path) < 0 && errno != ENOENT) return ft_throw_errno(env, errno, "unlink");
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return ft_throw_errno(env, errno, "open");
  if (ftruncate(fd, PAGE_BYTES) < 0) return fail_closing(env, fd, errno, "ftruncate");
  if (fallocate(fd, 0, 0, PAGE_BYTES) < 0 && errno != EOPNOTSUPP) return fail_closing(env, fd, errno, "fallocate");
  ft_thread_page *page = map_page(env, fd);
  if (page == NULL) return NULL;
  page->bytes = sizeof *page;
  page->pid = getpid();
  int error = identify(page->pid, &page->started, &page->pid_namespace) ? 0 : ENOTSUP;
  if (error == 0) error = ft_thread_hold(page, ft_thread_reserve(page));
  if (error != 0) {
    munmap(page, PAGE_BYTES);
    unlink(path);
    return ft_throw_errno(env, error, "pthread_mutex_lock");
  }
  atomic_store(&page->magic, PAGE_MAGIC);
  return new_handle(env, page, true);
}

static bool belongs_to(ft_thread_page *page, int32_t pid) {
  uint64_t started, pid_namespace;
  return atomic_load(&page->magic) == PAGE_MAGIC && page->bytes == sizeof *page && page->pid == pid &&
         identify(pid, &started, &pid_namespace) && page->started == started && page->pid_namespace == pid_namespace;
}

static napi_value threads_open(napi_env env, napi_callback_info info) {
  napi_value args[2];
  char path[PATH_MAX];
  int32_t pid;
  struct stat found;
  if (!ft_args(env, info, 2, args) || !ft_arg_text(env, args[0], path, sizeof path) || !ft_arg_i32(env, args[1], &pid))
    return NULL;
  int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return ft_throw_errno(env, errno, "open");
  if (fstat(fd, &found) < 0) return fail_closing(env, fd, errno, "fstat");
  if (found.st_uid != geteuid()) return fail_closing(env, fd, EPERM, "open");
  if (found.st_size < PAGE_BYTES) return fail_closing(env, fd, EINVAL, "mmap (the file is smaller)");
  ft_thread_page *page = map_page(env, fd);
  if (page == NULL) return NULL;
  if (belongs_to(page, pid)) return new_handle(env, page, false);
  munmap(page, PAGE_BYTES);
  return ft_throw_errno(env, ESRCH, "open (another process's threads)");
}

static threads *threads_get(napi_env env, napi_value value) {
  threads *t = (threads *)ft_handle_get(env, value, FT_KIND_THREADS);
  if (t == NULL || t->base.open) return t;
  ft_throw_errno(env, EBADF, "threads");
  return NULL;
}

ft_thread_page *ft_threads_own(napi_env env, napi_value value) {
  threads *t = threads_get(env, value);
  if (t == NULL || t->own) return t == NULL ? NULL : t->page;
  ft_throw_errno(env, EINVAL, "threads");
  return NULL;
}

static void threads_ended(uv_async_t *async) {
  threads *t = async->data;
  napi_env env = t->base.env;
  napi_handle_scope scope;
  if (!t->base.open || napi_open_handle_scope(env, &scope) != napi_ok) return;
  ft_call(env, t->on_end, 0, NULL, NULL);
  napi_close_handle_scope(env, scope);
}

static napi_value threads_watch(napi_env env, napi_callback_info info) {
  napi_value args[2];
  uv_loop_t *loop;
  if (!ft_args(env, info, 2, args)) return NULL;
  threads *t = threads_get(env, args[0]);
  if (t == NULL) return NULL;
  if (t->watched) return ft_throw_errno(env, EALREADY, "threads");
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return ft_throw_errno(env, ENOTSUP, "uv_loop");
  if (!ft_arg_function(env, args[1], &t->on_end)) return NULL;
  int error = uv_async_init(loop, &t->async, threads_ended);
  if (error != 0) {
    ft_ref_drop(env, &t->on_end);
    return ft_throw_errno(env, -error, "uv_async_init");
  }
  t->async.data = t;
  uv_unref((uv_handle_t *)&t->async);
  t->watched = true;
  return waiter_start(t) ? NULL : ft_throw_errno(env, EAGAIN, "pthread_create");
}

static napi_value threads_wait(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t pidfd;
  double ms;
  if (!ft_args(env, info, 3, args) || !ft_arg_i32(env, args[1], &pidfd) || !ft_arg_double(env, args[2], &ms))
    return NULL;
  threads *t = threads_get(env, args[0]);
  if (t == NULL) return NULL;
  if (!(ms >= 0)) ms = 0;
  if (ms > 86400000) ms = 86400000;
  return ft_bool(env, wait_all(t->page, pidfd, uv_hrtime() + (uint64_t)(ms * 1e6)));
}

static napi_value threads_close(napi_env env, napi_callback_info info) {
  napi_value value;
  if (!ft_args(env, info, 1, &value)) return NULL;
  threads *t = (threads *)ft_handle_get(env, value, FT_KIND_THREADS);
  if (t != NULL) ft_handle_close(&t->base);
  return NULL;
}

void ft_threads_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"threadsCreate", threads_create}, {"threadsOpen", threads_open},   {"threadsWatch", threads_watch},
      {"threadsWait", threads_wait},     {"threadsClose", threads_close},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
