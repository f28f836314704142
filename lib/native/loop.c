/* Handles that wait for descriptors on the event loop: the frame reader, and watches. */
#include "direct.h"
#include "common.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define META_WORDS 4
#define META_CSUM_OK 1
#define META_DIRECT 2
#define META_HEADERS_SHIFT 16
#define VNET_HEADER_BYTES 10
#define VNET_CSUM_FLAGS 3 /* NEEDS_CSUM or DATA_VALID */
#define VNET_GSO_ECN 0x80
#define VNET_GSO_TCP4 1
#define VNET_GSO_TCP6 4
#define MIN_SLOT_BYTES 65563
#define BATCH_FRAMES 64
/* Bytes read per wakeup: they stay in the cache until they are processed. */
#define WAKEUP_BYTES (1 << 20)
#define BATCHES_PER_WAKEUP 4
/* Flag in the report: the batch ended because there was no room. */
#define MORE_AT_HAND 0x10000
/* A frame takes an odd multiple of this, so that headers of frames lie in different cache sets. */
#define FRAME_ALIGN 128

typedef struct {
  ft_handle base;
  uv_poll_t poll;
  int fd;
  bool vnet;
  bool running;
  bool armed;
  /* Frames of an earlier batch are still in use. */
  bool borrowed;
  uint8_t *slab;
  size_t slab_size;
  size_t slot_size;
  size_t slots;
  /* Offset of the next frame: frames of one wakeup follow each other. */
  size_t at;
  /* Direct data placement of payload. */
  ft_direct direct;
  int32_t *meta;
  napi_ref slab_ref;
  napi_ref meta_ref;
  napi_ref on_batch;
  napi_ref on_writable;
} reader;

static void reader_event(uv_poll_t *poll, int status, int events);

static void reader_poll(reader *r) {
  int events = (r->running ? UV_READABLE : 0) | (r->armed ? UV_WRITABLE : 0);
  if (events != 0) {
    uv_poll_start(&r->poll, events, reader_event);
  } else {
    uv_poll_stop(&r->poll);
  }
}

static void reader_shut(ft_handle *handle) {
  reader *r = (reader *)handle;
  r->running = r->armed = false;
  ft_ref_drop(handle->env, &r->slab_ref);
  ft_ref_drop(handle->env, &r->meta_ref);
  ft_ref_drop(handle->env, &r->on_batch);
  ft_ref_drop(handle->env, &r->on_writable);
  ft_direct_drop(handle->env, &r->direct);
  if (r->poll.data != NULL) ft_handle_uv_close(handle, (uv_handle_t *)&r->poll);
}

static size_t reader_room(size_t length) {
  size_t units = (length + FRAME_ALIGN - 1) / FRAME_ALIGN;
  return (units | 1) * FRAME_ALIGN;
}

/*
 * Reads until the descriptor is dry or the batch is full; *error is the errno that ended it, 0 when
 * full.
 */
static size_t reader_fill(reader *r, int *error) {
  size_t frames = 0;
  int32_t elsewhere;
  *error = 0;
  bool ended = false;
  ft_direct_begin(&r->direct, r->slot_size);
  while (!ended && frames < r->slots && r->at < WAKEUP_BYTES && r->at + r->slot_size <= r->slab_size) {
    uint8_t *slot = r->slab + r->at;
    /*
     * A length of 0 ends the batch: a backup reads it from shared memory after this process was
     * killed.
     */
    r->meta[frames * META_WORDS + 1] = 0;
    size_t skip = r->vnet ? VNET_HEADER_BYTES : 0;
    ssize_t got = ft_direct_read(&r->direct, r->fd, slot, r->slot_size, skip, &elsewhere, &ended);
    if (got <= 0) {
      if (got < 0 && errno == EINTR) continue;
      *error = got < 0 ? errno : EPIPE;
      break;
    }
    if ((size_t)got <= skip) continue;
    int32_t *words = r->meta + frames * META_WORDS;
    words[0] = (int32_t)(r->at + skip);
    words[2] = 0;
    words[3] = 0;
    if (r->vnet) {
      if (slot[0] & VNET_CSUM_FLAGS) words[2] = META_CSUM_OK;
      uint8_t type = slot[1] & (uint8_t)~VNET_GSO_ECN;
      if (type == VNET_GSO_TCP4 || type == VNET_GSO_TCP6) {
        uint16_t size;
        memcpy(&size, slot + 4, sizeof size);
        words[3] = size;
      }
    }
    if (elsewhere >= 0) {
      words[2] |= META_DIRECT | elsewhere;
      words[3] |= (int32_t)(r->direct.headers << META_HEADERS_SHIFT);
    }
    /* First the end mark after this frame, then its other words, last its length: a backup never
     * reads a half-written one. */
    if (frames + 1 < r->slots) r->meta[(frames + 1) * META_WORDS + 1] = 0;
    __atomic_store_n(&words[1], (int32_t)((size_t)got - skip), __ATOMIC_RELEASE);
    r->at += reader_room((size_t)got);
    frames++;
  }
  return frames;
}

static void reader_report(reader *r, int32_t value) {
  napi_env env = r->base.env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value argument = ft_i32(env, value);
  napi_value result;
  bool borrowed = false;
  if (ft_call(env, r->on_batch, 1, &argument, &result) && napi_get_value_bool(env, result, &borrowed) != napi_ok)
    borrowed = false;
  r->borrowed |= borrowed;
  napi_close_handle_scope(env, scope);
}

static void reader_writable(reader *r) {
  napi_env env = r->base.env;
  napi_handle_scope scope;
  r->armed = false;
  reader_poll(r);
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  /* The callback may arm again with another function, so this one is removed first. */
  napi_ref callback = r->on_writable;
  r->on_writable = NULL;
  ft_call(env, callback, 0, NULL, NULL);
  ft_ref_drop(env, &callback);
  napi_close_handle_scope(env, scope);
}

/* Uses the memory of frames from its beginning again; borrowers are told before. */
static bool reader_begin(reader *r) {
  r->at = 0;
  /* The callback answers by setting the offset of the next payload. */
  bool ask = r->direct.large && !ft_direct_begin(&r->direct, r->slot_size);
  r->direct.large = false;
  if (r->borrowed || ask) {
    r->borrowed = false;
    reader_report(r, 0);
  }
  return r->base.open;
}

static void reader_event(uv_poll_t *poll, int status, int events) {
  reader *r = poll->data;
  if (status < 0) {
    /* libuv has stopped polling; the next read tells what happened. */
    int error;
    bool wanted = r->running && reader_begin(r);
    if (!r->base.open) return;
    size_t frames = wanted ? reader_fill(r, &error) : 0;
    if (frames > 0) reader_report(r, (int32_t)frames);
    if (!r->base.open) return;
    if (!wanted || error == 0 || error == EAGAIN) error = EBADF;
    r->running = r->armed = false;
    ft_ref_drop(r->base.env, &r->on_writable);
    reader_report(r, -error);
    return;
  }
  if ((events & UV_WRITABLE) && r->armed) reader_writable(r);
  if (!(events & UV_READABLE) || !r->base.open || !r->running || !reader_begin(r)) return;
  for (int batch = 0; batch < BATCHES_PER_WAKEUP && r->base.open && r->running; batch++) {
    int error;
    size_t frames = reader_fill(r, &error);
    if (frames > 0) reader_report(r, (int32_t)frames | (error == 0 ? MORE_AT_HAND : 0));
    if (error != 0 && error != EAGAIN) {
      if (!r->base.open) return;
      r->running = r->armed = false;
      reader_poll(r);
      reader_report(r, -error);
      return;
    }
    if (frames == 0) return;
  }
}

static napi_value reader_open(napi_env env, napi_callback_info info) {
  napi_value args[6], external;
  int32_t fd;
  bool vnet;
  void *slab, *meta;
  size_t slab_size, slot_size, meta_size;
  if (!ft_args(env, info, 6, args) || !ft_arg_i32(env, args[0], &fd) || !ft_arg_bool(env, args[1], &vnet)) return NULL;
  if (napi_get_arraybuffer_info(env, args[2], &slab, &slab_size) != napi_ok) {
    return ft_throw_type(env, "expected an ArrayBuffer");
  }
  if (!ft_arg_size(env, args[3], &slot_size)) return NULL;
  if (!ft_arg_typed(env, args[4], napi_int32_array, &meta, &meta_size)) return NULL;
  if (slot_size < MIN_SLOT_BYTES || slab_size < slot_size || meta_size < META_WORDS || slab_size > INT32_MAX) {
    return ft_throw_range(env, "slab, slot or meta of a size that cannot work");
  }
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return ft_throw_errno(env, ENOTSUP, "uv_loop");
  reader *r = (reader *)ft_handle_new(env, FT_KIND_READER, sizeof *r, reader_shut, &external);
  if (r == NULL) return NULL;
  r->fd = fd;
  r->vnet = vnet;
  r->slab = slab;
  r->slab_size = slab_size;
  r->slot_size = slot_size;
  r->slots = meta_size / META_WORDS;
  if (r->slots > BATCH_FRAMES) r->slots = BATCH_FRAMES;
  r->meta = meta;
  napi_create_reference(env, args[2], 1, &r->slab_ref);
  napi_create_reference(env, args[4], 1, &r->meta_ref);
  if (!ft_arg_function(env, args[5], &r->on_batch)) {
    ft_handle_close(&r->base);
    return NULL;
  }
  int error = uv_poll_init(loop, &r->poll, fd);
  if (error != 0) {
    ft_handle_close(&r->base);
    return ft_throw_errno(env, -error, "uv_poll_init");
  }
  r->poll.data = r;
  return external;
}

static napi_value reader_direct(napi_env env, napi_callback_info info) {
  napi_value args[6];
  if (!ft_args(env, info, 6, args)) return NULL;
  reader *r = (reader *)ft_handle_get(env, args[0], FT_KIND_READER);
  /* A device without a virtio-net header does not tell which checksums it has verified. */
  if (r != NULL && r->base.open && r->vnet) ft_direct_set(env, &r->direct, args + 1);
  return NULL;
}

static napi_value reader_run(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool on;
  if (!ft_args(env, info, 2, args) || !ft_arg_bool(env, args[1], &on)) return NULL;
  reader *r = (reader *)ft_handle_get(env, args[0], FT_KIND_READER);
  if (r == NULL || !r->base.open || r->running == on) return NULL;
  r->running = on;
  reader_poll(r);
  return NULL;
}

static napi_value reader_close(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool close_too;
  if (!ft_args(env, info, 2, args) || !ft_arg_bool(env, args[1], &close_too)) return NULL;
  reader *r = (reader *)ft_handle_get(env, args[0], FT_KIND_READER);
  if (r == NULL || !r->base.open) return NULL;
  ft_handle_close(&r->base);
  /* After uv_close, which has taken the descriptor out of epoll. */
  if (close_too) close(r->fd);
  return NULL;
}

static napi_value reader_arm_writable(napi_env env, napi_callback_info info) {
  napi_value args[2];
  napi_ref callback;
  if (!ft_args(env, info, 2, args)) return NULL;
  reader *r = (reader *)ft_handle_get(env, args[0], FT_KIND_READER);
  if (r == NULL || !r->base.open || !ft_arg_function(env, args[1], &callback)) return NULL;
  ft_ref_drop(env, &r->on_writable);
  r->on_writable = callback;
  r->armed = true;
  reader_poll(r);
  return NULL;
}

typedef struct {
  ft_handle base;
  uv_poll_t poll;
  int fd;
  bool drain;
  napi_ref on_readable;
} watch;

static void watch_shut(ft_handle *handle) {
  watch *w = (watch *)handle;
  ft_ref_drop(handle->env, &w->on_readable);
  if (w->poll.data != NULL) ft_handle_uv_close(handle, (uv_handle_t *)&w->poll);
}

static bool still_readable(int fd) {
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  return poll(&entry, 1, 0) > 0;
}

static void watch_event(uv_poll_t *poll, int status, int events) {
  watch *w = poll->data;
  (void)events;
  if (status >= 0 && w->drain) {
    char waste[4096];
    ssize_t got;
    do {
      got = read(w->fd, waste, sizeof waste);
    } while (got == (ssize_t)sizeof waste || (got < 0 && errno == EINTR));
  }
  napi_env env = w->base.env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) == napi_ok) {
    ft_call(env, w->on_readable, 0, NULL, NULL);
    napi_close_handle_scope(env, scope);
  }
  /*
   * A condition that is never consumed (an ended process, an end of file) would call back without
   * end.
   */
  if (w->base.open && !w->drain && status >= 0 && still_readable(w->fd)) uv_poll_stop(&w->poll);
}

static napi_value watch_open(napi_env env, napi_callback_info info) {
  napi_value args[3], external;
  int32_t fd;
  bool drain;
  uv_loop_t *loop;
  if (!ft_args(env, info, 3, args) || !ft_arg_i32(env, args[0], &fd) || !ft_arg_bool(env, args[1], &drain)) return NULL;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return ft_throw_errno(env, ENOTSUP, "uv_loop");
  watch *w = (watch *)ft_handle_new(env, FT_KIND_WATCH, sizeof *w, watch_shut, &external);
  if (w == NULL) return NULL;
  w->fd = fd;
  w->drain = drain;
  if (!ft_arg_function(env, args[2], &w->on_readable)) {
    ft_handle_close(&w->base);
    return NULL;
  }
  int error = uv_poll_init(loop, &w->poll, fd);
  if (error != 0) {
    ft_handle_close(&w->base);
    return ft_throw_errno(env, -error, "uv_poll_init");
  }
  w->poll.data = w;
  uv_poll_start(&w->poll, UV_READABLE, watch_event);
  return external;
}

static napi_value watch_ref(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool on;
  if (!ft_args(env, info, 2, args) || !ft_arg_bool(env, args[1], &on)) return NULL;
  watch *w = (watch *)ft_handle_get(env, args[0], FT_KIND_WATCH);
  if (w == NULL || !w->base.open) return NULL;
  if (on) {
    uv_ref((uv_handle_t *)&w->poll);
  } else {
    uv_unref((uv_handle_t *)&w->poll);
  }
  return NULL;
}

static napi_value watch_close(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool close_too;
  if (!ft_args(env, info, 2, args) || !ft_arg_bool(env, args[1], &close_too)) return NULL;
  watch *w = (watch *)ft_handle_get(env, args[0], FT_KIND_WATCH);
  if (w == NULL || !w->base.open) return NULL;
  ft_handle_close(&w->base);
  if (close_too) close(w->fd);
  return NULL;
}

void ft_loop_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"readerOpen", reader_open},     {"readerRun", reader_run},
      {"readerClose", reader_close},   {"readerArmWritable", reader_arm_writable},
      {"readerDirect", reader_direct}, {"watchOpen", watch_open},
      {"watchRef", watch_ref},         {"watchClose", watch_close},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
