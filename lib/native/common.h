/* What every part of the addon shares: arguments, errors, callbacks into JavaScript, and handles
 * that live on the event loop. */
#ifndef FTTCP_COMMON_H
#define FTTCP_COMMON_H

#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/*
 * Throws an Error with code, errno (negative, as Node does) and syscall; returns NULL so that
 * callers can return it.
 */
napi_value ft_throw_errno(napi_env env, int error, const char *syscall);
napi_value ft_throw_type(napi_env env, const char *message);
napi_value ft_throw_range(napi_env env, const char *message);

/* Arguments. Each returns false with an exception pending when the value is of the wrong kind. */
bool ft_args(napi_env env, napi_callback_info info, size_t wanted, napi_value *out);
bool ft_arg_i32(napi_env env, napi_value value, int32_t *out);
bool ft_arg_u32(napi_env env, napi_value value, uint32_t *out);
bool ft_arg_double(napi_env env, napi_value value, double *out);
bool ft_arg_size(napi_env env, napi_value value, size_t *out);
bool ft_arg_bool(napi_env env, napi_value value, bool *out);
bool ft_arg_text(napi_env env, napi_value value, char *out, size_t size);
bool ft_arg_typed(napi_env env, napi_value value, napi_typedarray_type type, void **data, size_t *length);
bool ft_arg_function(napi_env env, napi_value value, napi_ref *out);

napi_value ft_i32(napi_env env, int32_t value);
napi_value ft_u32(napi_env env, uint32_t value);
napi_value ft_double(napi_env env, double value);
napi_value ft_bool(napi_env env, bool value);

/*
 * Calls a function so that ticks and microtasks drain after it; needs an open handle scope. False
 * when it threw (the exception then went to 'uncaughtException') or when JavaScript cannot run any
 * more.
 */
bool ft_call(napi_env env, napi_ref function, size_t argc, const napi_value *argv, napi_value *result);

/*
 * A native object that JavaScript holds as an external. While it is open it holds itself alive, so
 * garbage collection never closes one; closing is explicit or comes with the end of the
 * environment. The memory is freed when both the external is gone and libuv has closed all handles
 * inside.
 */
typedef struct ft_handle ft_handle;
struct ft_handle {
  uint64_t kind;
  napi_env env;
  napi_ref self;
  napi_async_cleanup_hook_handle hook;
  void (*shut)(ft_handle *handle);
  int owners;
  int closing;
  bool open;
};

#define FT_KIND_READER UINT64_C(0x7265616465720001)
#define FT_KIND_HOOK UINT64_C(0x6c6f6f70686f0002)
#define FT_KIND_WATCH UINT64_C(0x7761746368650003)
#define FT_KIND_SENDER UINT64_C(0x73656e6465720004)
#define FT_KIND_THREADS UINT64_C(0x7468726561640005)

/* Allocates `size` zeroed bytes that begin with an ft_handle. `shut` releases what the handle owns
 * and calls ft_handle_uv_close. */
ft_handle *ft_handle_new(napi_env env, uint64_t kind, size_t size, void (*shut)(ft_handle *), napi_value *value);
/* The handle behind a value, or NULL with an exception pending. */
ft_handle *ft_handle_get(napi_env env, napi_value value, uint64_t kind);
/* Closes once; later calls do nothing. */
void ft_handle_close(ft_handle *handle);
/* Closes one libuv handle whose `data` is the ft_handle. */
void ft_handle_uv_close(ft_handle *handle, uv_handle_t *uv);
void ft_ref_drop(napi_env env, napi_ref *ref);

typedef struct {
  const char *name;
  napi_callback call;
} ft_function;

void ft_export(napi_env env, napi_value exports, const ft_function *functions, size_t count);

void ft_tap_init(napi_env env, napi_value exports);
void ft_loop_init(napi_env env, napi_value exports);
void ft_hook_init(napi_env env, napi_value exports);
void ft_sender_init(napi_env env, napi_value exports);
void ft_shm_init(napi_env env, napi_value exports);
void ft_proc_init(napi_env env, napi_value exports);
void ft_threads_init(napi_env env, napi_value exports);
void ft_sum_init(napi_env env, napi_value exports);
void ft_rand_init(napi_env env, napi_value exports);
void ft_memory_init(napi_env env, napi_value exports);

#endif
