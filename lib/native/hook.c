/*
 * The hook on the event loop: a callback before the loop blocks, and the decision whether it
 * blocks.
 */
#include "common.h"
#include "busy-poll.h"

#include <math.h>
#include <poll.h>

typedef struct {
  ft_handle base;
  uv_prepare_t prepare;
  uv_idle_t idle;
  uv_timer_t timer;
  napi_ref turn;
  uint32_t max;
  bool kicked;
  ft_busy_poll poll;
} hook;

static void hook_shut(ft_handle *handle) {
  hook *h = (hook *)handle;
  ft_ref_drop(handle->env, &h->turn);
  if (h->prepare.data == NULL) return;
  ft_handle_uv_close(handle, (uv_handle_t *)&h->prepare);
  ft_handle_uv_close(handle, (uv_handle_t *)&h->idle);
  ft_handle_uv_close(handle, (uv_handle_t *)&h->timer);
}

/* An active idle handle keeps libuv from blocking; the callback does nothing. */
static void hook_idle(uv_idle_t *idle) {
  (void)idle;
}

static void hook_timer(uv_timer_t *timer) {
  (void)timer;
}

static bool hook_turn(hook *h) {
  napi_env env = h->base.env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  napi_value result;
  bool more;
  if (ft_call(env, h->turn, 0, NULL, &result)) {
    if (napi_get_value_bool(env, result, &more) != napi_ok) more = false;
  } else {
    /* It threw and the process continues: the remaining turns are still due. */
    more = true;
  }
  napi_close_handle_scope(env, scope);
  return more;
}

/* Polls libuv's epoll descriptor, which covers everything that could wake the loop. */
static bool hook_seen(void *arg) {
  uv_loop_t *loop = arg;
  struct pollfd entry = {.fd = uv_backend_fd(loop), .events = POLLIN};
  return poll(&entry, 1, 0) != 0;
}

static void hook_prepare(uv_prepare_t *prepare) {
  hook *h = prepare->data;
  bool more = true;
  for (uint32_t i = 0; i < h->max && more && h->base.open; i++) more = hook_turn(h);
  if (!h->base.open) return;
  if (more || h->kicked) {
    uv_idle_start(&h->idle, hook_idle);
  } else {
    uv_idle_stop(&h->idle);
  }
  h->kicked = false;
  if (uv_backend_timeout(prepare->loop) != 0) ft_busy_poll_until(&h->poll, hook_seen, prepare->loop);
}

static void hook_ref(hook *h, bool on) {
  uv_handle_t *handles[] = {(uv_handle_t *)&h->prepare, (uv_handle_t *)&h->idle, (uv_handle_t *)&h->timer};
  for (size_t i = 0; i < 3; i++) {
    if (on) {
      uv_ref(handles[i]);
    } else {
      uv_unref(handles[i]);
    }
  }
}

static hook *hook_get(napi_env env, napi_value value) {
  hook *h = (hook *)ft_handle_get(env, value, FT_KIND_HOOK);
  return h != NULL && h->base.open ? h : NULL;
}

static napi_value loop_hook(napi_env env, napi_callback_info info) {
  napi_value args[2], external;
  uint32_t max;
  uv_loop_t *loop;
  if (!ft_args(env, info, 2, args) || !ft_arg_u32(env, args[1], &max)) return NULL;
  if (max == 0) return ft_throw_range(env, "max must be at least 1");
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return ft_throw_errno(env, ENOTSUP, "uv_loop");
  hook *h = (hook *)ft_handle_new(env, FT_KIND_HOOK, sizeof *h, hook_shut, &external);
  if (h == NULL) return NULL;
  h->max = max;
  if (!ft_arg_function(env, args[0], &h->turn)) {
    ft_handle_close(&h->base);
    return NULL;
  }
  uv_prepare_init(loop, &h->prepare);
  uv_idle_init(loop, &h->idle);
  uv_timer_init(loop, &h->timer);
  h->prepare.data = h->idle.data = h->timer.data = h;
  hook_ref(h, false);
  uv_prepare_start(&h->prepare, hook_prepare);
  return external;
}

static napi_value loop_kick(napi_env env, napi_callback_info info) {
  napi_value value;
  if (!ft_args(env, info, 1, &value)) return NULL;
  hook *h = hook_get(env, value);
  if (h == NULL || h->kicked) return NULL;
  h->kicked = true;
  uv_idle_start(&h->idle, hook_idle);
  return NULL;
}

static napi_value loop_timer(napi_env env, napi_callback_info info) {
  napi_value args[2];
  double ms;
  if (!ft_args(env, info, 2, args) || !ft_arg_double(env, args[1], &ms)) return NULL;
  hook *h = hook_get(env, args[0]);
  if (h == NULL) return NULL;
  if (ms >= 0 && ms < 1e15) {
    /*
     * The loop caches the time of the turn's beginning: after a long turn the timer would fire too
     * early.
     */
    if (ms > 0) uv_update_time(h->timer.loop);
    uv_timer_start(&h->timer, hook_timer, (uint64_t)ceil(ms), 0);
  } else {
    uv_timer_stop(&h->timer);
  }
  return NULL;
}

static napi_value loop_busy_poll(napi_env env, napi_callback_info info) {
  napi_value args[3];
  uint32_t us, worked_us;
  if (!ft_args(env, info, 3, args) || !ft_arg_u32(env, args[1], &us) || !ft_arg_u32(env, args[2], &worked_us))
    return NULL;
  if (us > FT_LONGEST_LOOK_US) return ft_throw_range(env, "that would be no poll any more");
  hook *h = hook_get(env, args[0]);
  if (h == NULL) return NULL;
  ft_busy_poll_set(&h->poll, us, worked_us);
  return NULL;
}

static napi_value loop_busy_polls(napi_env env, napi_callback_info info) {
  napi_value value, result;
  if (!ft_args(env, info, 1, &value)) return NULL;
  hook *h = (hook *)ft_handle_get(env, value, FT_KIND_HOOK);
  if (h == NULL || napi_create_array_with_length(env, 2, &result) != napi_ok) return NULL;
  napi_set_element(env, result, 0, ft_double(env, (double)h->poll.polls));
  napi_set_element(env, result, 1, ft_double(env, (double)h->poll.found));
  return result;
}

static napi_value loop_ref(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool on;
  if (!ft_args(env, info, 2, args) || !ft_arg_bool(env, args[1], &on)) return NULL;
  hook *h = hook_get(env, args[0]);
  if (h != NULL) hook_ref(h, on);
  return NULL;
}

/* Whether anything but the hook, such as an immediate of Node's, keeps this pass from waiting. */
static napi_value loop_pending(napi_env env, napi_callback_info info) {
  napi_value value, result = NULL;
  if (!ft_args(env, info, 1, &value)) return NULL;
  hook *h = hook_get(env, value);
  bool pending = false;
  if (h != NULL) {
    bool is_idle = uv_is_active((uv_handle_t *)&h->idle) != 0;
    uv_idle_stop(&h->idle);
    pending = uv_backend_timeout(h->idle.loop) == 0;
    if (is_idle) uv_idle_start(&h->idle, hook_idle);
  }
  napi_get_boolean(env, pending, &result);
  return result;
}

static napi_value loop_close(napi_env env, napi_callback_info info) {
  napi_value value;
  if (!ft_args(env, info, 1, &value)) return NULL;
  hook *h = hook_get(env, value);
  if (h != NULL) ft_handle_close(&h->base);
  return NULL;
}

/* Inside of the turn: Node empties its stack of async ids before napi_make_callback looks at it. */
static napi_value loop_uncaught(napi_env env, napi_callback_info info) {
  napi_value error;
  if (ft_args(env, info, 1, &error)) napi_fatal_exception(env, error);
  return NULL;
}

void ft_hook_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"loopHook", loop_hook},   {"loopKick", loop_kick},          {"loopTimer", loop_timer},
      {"loopRef", loop_ref},     {"loopBusyPoll", loop_busy_poll}, {"loopBusyPolls", loop_busy_polls},
      {"loopClose", loop_close}, {"loopUncaught", loop_uncaught},  {"loopPending", loop_pending},
  };
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
