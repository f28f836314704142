/*
 * A thread that writes frames to the device.
 *
 * A TAP's write is the other side's receive path: the kernel walks through the client's stack
 * inside of it and wakes the client, 3 to 10 us for a small frame. While the event loop is busy,
 * another CPU can do that; a client on that CPU is woken without an interrupt to another CPU. So
 * small frames are copied into a ring, which the thread empties.
 *
 * Frames leave in the order in which they were sent. The writer holds `writer_lock`: the thread, or
 * the loop in its place, for frames that are too large to be worth a copy, when the ring is full,
 * and at the end. The loop never waits for more than the write of one frame.
 *
 * Several machines: nothing is sent without a valid lease. Frames that were sent in time may still
 * be in the ring when the process is stopped and resumed, so the lease is checked again before each
 * write.
 */
#include "common.h"
#include "frame.h"
#include "busy-poll.h"
#include "threads.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (1u << 20)
/* Larger frames are written at once: the copy would cost as much as it saves. */
#define LARGEST_FRAME 16384
/* In the ring before each frame: its length, or a mark that the rest of the ring is unused. */
#define FRAME_HEADER 8
#define FRAME_ALIGN 64
#define UNUSED UINT32_MAX

enum { ERRORS, LAST_ERROR, SILENCED, STAT_WORDS };

typedef struct {
  ft_handle base;
  int fd;
  uint8_t *ring;
  _Atomic uint32_t head, tail;
  /* 1: the thread sleeps on this word. */
  _Atomic uint32_t asleep;
  atomic_bool stopping;
  pthread_mutex_t writer_lock;
  /* The loop waits for `writer_lock`: the thread releases it after the current frame. */
  atomic_bool wanted;
  pthread_t thread;
  bool started, refused;
  /*
   * The thread starts with the first frame after this time of uv_hrtime; the loop writes until
   * then.
   */
  uint64_t start_at;
  /*
   * A successor of this process waits for the end of each thread that can send. NULL: there is
   * none.
   */
  ft_thread_page *page;
  int place;
  ft_busy_poll poll;
  _Atomic int32_t *stats;
  napi_ref stats_ref;
  /* End of the lease, in milliseconds of CLOCK_BOOTTIME plus *offset microseconds; NULL: no lease
   * is needed. */
  _Atomic int32_t *lease;
  double *offset;
  napi_ref lease_ref, offset_ref;
} sender;

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) {
  syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static bool may_speak(sender *s) {
  if (s->lease == NULL) return true;
  struct timespec now;
  /* It runs on while the machine is suspended, as the lease does. */
  clock_gettime(CLOCK_BOOTTIME, &now);
  double offset;
  __atomic_load(s->offset, &offset, __ATOMIC_RELAXED);
  int64_t ms = ((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + (int64_t)offset) / 1000;
  return (int32_t)((uint32_t)atomic_load(s->lease) - (uint32_t)ms) > 0;
}

static void count(sender *s, int which) {
  atomic_fetch_add_explicit(&s->stats[which], 1, memory_order_relaxed);
}

/* Writes the frames in the ring until it is empty or the loop wants to write; needs `writer_lock`.
 * @returns 0, or the errno with which the device refuses more for now */
static int write_out(sender *s, bool gives_way) {
  uint32_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed);
  while (tail != atomic_load_explicit(&s->head, memory_order_acquire)) {
    if (gives_way && atomic_load_explicit(&s->wanted, memory_order_relaxed)) return 0;
    uint32_t at = tail & (RING_BYTES - 1), length;
    memcpy(&length, s->ring + at, sizeof length);
    if (length == UNUSED) {
      tail += RING_BYTES - at;
    } else {
      ssize_t written = 0;
      if (may_speak(s)) {
        do {
          written = write(s->fd, s->ring + at + FRAME_HEADER, length);
        } while (written < 0 && errno == EINTR);
      } else {
        count(s, SILENCED);
      }
      if (written < 0) {
        if (errno == EAGAIN || errno == ENOBUFS) return errno;
        atomic_store_explicit(&s->stats[LAST_ERROR], errno, memory_order_relaxed);
        count(s, ERRORS);
      }
      tail += (length + FRAME_HEADER + FRAME_ALIGN - 1) & ~(uint32_t)(FRAME_ALIGN - 1);
    }
    atomic_store_explicit(&s->tail, tail, memory_order_release);
  }
  return 0;
}

static bool something_there(void *arg) {
  sender *s = arg;
  /*
   * Sequentially consistent with `asleep`: either the producer sees the sleeper, or the sleeper
   * sees the frame.
   */
  return atomic_load(&s->head) != atomic_load_explicit(&s->tail, memory_order_relaxed) || atomic_load(&s->stopping);
}

static void *sender_main(void *arg) {
  sender *s = arg;
  /* Should that fail, the place stays taken, and a successor waits for the end of the process. */
  if (s->page != NULL) ft_thread_hold(s->page, s->place);
  while (!atomic_load(&s->stopping)) {
    pthread_mutex_lock(&s->writer_lock);
    int error = write_out(s, true);
    pthread_mutex_unlock(&s->writer_lock);
    while (atomic_load(&s->wanted)) sched_yield();
    if (error == EAGAIN) {
      struct pollfd entry = {.fd = s->fd, .events = POLLOUT};
      poll(&entry, 1, 1);
      continue;
    }
    if (error != 0) {
      usleep(100);
      continue;
    }
    ft_busy_poll_until(&s->poll, something_there, s);
    if (something_there(s)) continue;
    atomic_store(&s->asleep, 1);
    if (!something_there(s)) futex(&s->asleep, FUTEX_WAIT_PRIVATE, 1);
    atomic_store(&s->asleep, 0);
  }
  if (s->page != NULL) ft_thread_release(s->page, s->place);
  return NULL;
}

static void sender_wake(sender *s) {
  if (atomic_exchange(&s->asleep, 0) != 0) futex(&s->asleep, FUTEX_WAKE_PRIVATE, 1);
}

static bool sender_start(sender *s) {
  sigset_t all, before;
  s->refused = true;
  if (s->page != NULL && (s->place = ft_thread_reserve(s->page)) < 0) return false;
  /* Signals are the program's. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  s->started = pthread_create(&s->thread, NULL, sender_main, s) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (s->started) pthread_setname_np(s->thread, "ft-tcp sender");
  s->refused = !s->started;
  if (s->refused && s->page != NULL) ft_thread_cancel(s->page, s->place);
  return s->started;
}

static bool may_start(sender *s) {
  return !s->refused && (s->start_at == 0 || uv_hrtime() >= s->start_at);
}

static void sender_shut(ft_handle *handle) {
  sender *s = (sender *)handle;
  if (s->started) {
    atomic_store(&s->stopping, true);
    sender_wake(s);
    pthread_join(s->thread, NULL);
    s->started = false;
    write_out(s, false);
  }
  free(s->ring);
  s->ring = NULL;
  ft_ref_drop(handle->env, &s->stats_ref);
  ft_ref_drop(handle->env, &s->lease_ref);
  ft_ref_drop(handle->env, &s->offset_ref);
}

static napi_value sender_open(napi_env env, napi_callback_info info) {
  napi_value args[5], external;
  int32_t fd;
  uint32_t busy_poll_us, start_ms;
  void *stats;
  size_t words;
  napi_valuetype threads;
  ft_thread_page *page = NULL;
  if (!ft_args(env, info, 5, args) || !ft_arg_i32(env, args[0], &fd) || !ft_arg_u32(env, args[1], &busy_poll_us))
    return NULL;
  if (!ft_arg_u32(env, args[4], &start_ms)) return NULL;
  if (!ft_arg_typed(env, args[2], napi_int32_array, &stats, &words)) return NULL;
  if (busy_poll_us > FT_LONGEST_LOOK_US) return ft_throw_range(env, "that would be no poll any more");
  if (words < STAT_WORDS) return ft_throw_range(env, "too few words");
  if (napi_typeof(env, args[3], &threads) != napi_ok) return NULL;
  if (threads != napi_null && (page = ft_threads_own(env, args[3])) == NULL) return NULL;
  sender *s = (sender *)ft_handle_new(env, FT_KIND_SENDER, sizeof *s, sender_shut, &external);
  if (s == NULL) return NULL;
  s->fd = fd;
  s->stats = stats;
  s->page = page;
  s->start_at = uv_hrtime() + (uint64_t)start_ms * 1000000;
  pthread_mutex_init(&s->writer_lock, NULL);
  ft_busy_poll_set(&s->poll, busy_poll_us, busy_poll_us);
  napi_create_reference(env, args[2], 1, &s->stats_ref);
  s->ring = malloc(RING_BYTES);
  if (s->ring == NULL) {
    ft_handle_close(&s->base);
    return ft_throw_errno(env, ENOMEM, "malloc");
  }
  return external;
}

static sender *sender_get(napi_env env, napi_value value) {
  sender *s = (sender *)ft_handle_get(env, value, FT_KIND_SENDER);
  return s != NULL && s->base.open ? s : NULL;
}

/* Copies a frame into the ring. @returns false when there is no room */
static bool put(sender *s, const struct iovec *parts, int count, uint32_t length) {
  uint32_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
  uint32_t tail = atomic_load_explicit(&s->tail, memory_order_acquire);
  uint32_t need = (length + FRAME_HEADER + FRAME_ALIGN - 1) & ~(uint32_t)(FRAME_ALIGN - 1);
  uint32_t at = head & (RING_BYTES - 1), rest = RING_BYTES - at;
  uint32_t skip = rest < need ? rest : 0;
  if (RING_BYTES - (head - tail) < need + skip) return false;
  if (skip > 0) {
    uint32_t unused = UNUSED;
    memcpy(s->ring + at, &unused, sizeof unused);
    head += skip;
    at = 0;
  }
  memcpy(s->ring + at, &length, sizeof length);
  uint8_t *to = s->ring + at + FRAME_HEADER;
  for (int i = 0; i < count; i++) {
    memcpy(to, parts[i].iov_base, parts[i].iov_len);
    to += parts[i].iov_len;
  }
  atomic_store(&s->head, head + need);
  return true;
}

static void lock_writer(sender *s) {
  atomic_store(&s->wanted, true);
  pthread_mutex_lock(&s->writer_lock);
}

static void unlock_writer(sender *s) {
  pthread_mutex_unlock(&s->writer_lock);
  atomic_store(&s->wanted, false);
}

/* The loop writes a frame itself, after the frames in the ring. */
static int32_t write_now(sender *s, const struct iovec *parts, int count) {
  lock_writer(s);
  int error = write_out(s, false);
  ssize_t written = -1;
  if (error == 0) {
    do {
      written = writev(s->fd, parts, count);
    } while (written < 0 && errno == EINTR);
    if (written < 0) error = errno;
  }
  unlock_writer(s);
  return error != 0 ? -error : (int32_t)written;
}

static napi_value sender_send(napi_env env, napi_callback_info info) {
  napi_value args[7];
  struct iovec parts[FT_MAX_PIECES + 1];
  int count;
  if (!ft_args(env, info, 7, args)) return NULL;
  sender *s = sender_get(env, args[0]);
  if (s == NULL || !ft_frame_parts(env, args, parts, &count)) return NULL;
  size_t length = 0;
  for (int i = 0; i < count; i++) length += parts[i].iov_len;
  bool small = length <= LARGEST_FRAME && (s->started || (may_start(s) && sender_start(s)));
  if (!small || !put(s, parts, count, (uint32_t)length)) return ft_i32(env, write_now(s, parts, count));
  if (atomic_load(&s->asleep) != 0) sender_wake(s);
  return ft_i32(env, (int32_t)length);
}

static napi_value sender_lease(napi_env env, napi_callback_info info) {
  napi_value args[4];
  uint32_t index;
  void *words, *offsets;
  size_t word_count, offset_count;
  if (!ft_args(env, info, 4, args) || !ft_arg_typed(env, args[1], napi_int32_array, &words, &word_count)) return NULL;
  if (!ft_arg_u32(env, args[2], &index) || !ft_arg_typed(env, args[3], napi_float64_array, &offsets, &offset_count)) {
    return NULL;
  }
  if (index >= word_count || offset_count < 1) return ft_throw_range(env, "no such word");
  sender *s = sender_get(env, args[0]);
  if (s == NULL) return NULL;
  lock_writer(s);
  ft_ref_drop(env, &s->lease_ref);
  ft_ref_drop(env, &s->offset_ref);
  s->lease = (_Atomic int32_t *)words + index;
  s->offset = offsets;
  napi_create_reference(env, args[1], 1, &s->lease_ref);
  napi_create_reference(env, args[3], 1, &s->offset_ref);
  unlock_writer(s);
  return NULL;
}

static napi_value sender_finish(napi_env env, napi_callback_info info) {
  napi_value value;
  if (!ft_args(env, info, 1, &value)) return NULL;
  sender *s = sender_get(env, value);
  if (s == NULL) return NULL;
  lock_writer(s);
  write_out(s, false);
  unlock_writer(s);
  return NULL;
}

static napi_value sender_close(napi_env env, napi_callback_info info) {
  napi_value value;
  if (!ft_args(env, info, 1, &value)) return NULL;
  sender *s = sender_get(env, value);
  if (s != NULL) ft_handle_close(&s->base);
  return NULL;
}

void ft_sender_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"senderOpen", sender_open},     {"senderSend", sender_send},   {"senderLease", sender_lease},
      {"senderFinish", sender_finish}, {"senderClose", sender_close},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
