#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static napi_value text(napi_env env, const char *value) {
  napi_value out = NULL;
  napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &out);
  return out;
}

napi_value ft_throw_errno(napi_env env, int error, const char *syscall) {
  char name[32], message[256];
  uv_err_name_r(-error, name, sizeof name);
  /*
   * The one that TUN gives for a descriptor without an interface, and that libuv has no name for.
   */
  if (error == EBADFD) strcpy(name, "EBADFD");
  snprintf(message, sizeof message, "%s: %s, %s", name, strerror(error), syscall);
  napi_value object;
  if (napi_create_error(env, text(env, name), text(env, message), &object) == napi_ok) {
    napi_set_named_property(env, object, "errno", ft_i32(env, -error));
    napi_set_named_property(env, object, "syscall", text(env, syscall));
    napi_throw(env, object);
  }
  return NULL;
}

napi_value ft_throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

napi_value ft_throw_range(napi_env env, const char *message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return NULL;
}

bool ft_args(napi_env env, napi_callback_info info, size_t wanted, napi_value *out) {
  size_t count = wanted;
  if (napi_get_cb_info(env, info, &count, out, NULL, NULL) == napi_ok && count >= wanted) return true;
  ft_throw_type(env, "too few arguments");
  return false;
}

bool ft_arg_i32(napi_env env, napi_value value, int32_t *out) {
  if (napi_get_value_int32(env, value, out) == napi_ok) return true;
  ft_throw_type(env, "expected a number");
  return false;
}

bool ft_arg_u32(napi_env env, napi_value value, uint32_t *out) {
  if (napi_get_value_uint32(env, value, out) == napi_ok) return true;
  ft_throw_type(env, "expected a number");
  return false;
}

bool ft_arg_double(napi_env env, napi_value value, double *out) {
  if (napi_get_value_double(env, value, out) == napi_ok) return true;
  ft_throw_type(env, "expected a number");
  return false;
}

bool ft_arg_size(napi_env env, napi_value value, size_t *out) {
  double number;
  if (!ft_arg_double(env, value, &number)) return false;
  if (!(number >= 0 && number <= 9007199254740991.0)) {
    ft_throw_range(env, "expected a size that is not negative");
    return false;
  }
  *out = (size_t)number;
  return true;
}

bool ft_arg_bool(napi_env env, napi_value value, bool *out) {
  if (napi_get_value_bool(env, value, out) == napi_ok) return true;
  ft_throw_type(env, "expected a boolean");
  return false;
}

bool ft_arg_text(napi_env env, napi_value value, char *out, size_t size) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    ft_throw_type(env, "expected a string");
    return false;
  }
  if (length >= size) {
    ft_throw_errno(env, ENAMETOOLONG, "argument");
    return false;
  }
  napi_get_value_string_utf8(env, value, out, size, &length);
  if (length == 0 || strlen(out) != length) {
    ft_throw_range(env, "expected a string that is not empty and holds no NUL");
    return false;
  }
  return true;
}

bool ft_arg_typed(napi_env env, napi_value value, napi_typedarray_type type, void **data, size_t *length) {
  napi_typedarray_type found;
  if (napi_get_typedarray_info(env, value, &found, length, data, NULL, NULL) == napi_ok && found == type) return true;
  ft_throw_type(env, "expected a typed array of the declared type");
  return false;
}

bool ft_arg_function(napi_env env, napi_value value, napi_ref *out) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_function &&
      napi_create_reference(env, value, 1, out) == napi_ok) {
    return true;
  }
  ft_throw_type(env, "expected a function");
  return false;
}

napi_value ft_i32(napi_env env, int32_t value) {
  napi_value out = NULL;
  napi_create_int32(env, value, &out);
  return out;
}

napi_value ft_u32(napi_env env, uint32_t value) {
  napi_value out = NULL;
  napi_create_uint32(env, value, &out);
  return out;
}

napi_value ft_double(napi_env env, double value) {
  napi_value out = NULL;
  napi_create_double(env, value, &out);
  return out;
}

napi_value ft_bool(napi_env env, bool value) {
  napi_value out = NULL;
  napi_get_boolean(env, value, &out);
  return out;
}

bool ft_call(napi_env env, napi_ref function, size_t argc, const napi_value *argv, napi_value *result) {
  napi_value callee, global, ignored;
  if (napi_get_reference_value(env, function, &callee) != napi_ok || callee == NULL) return false;
  if (napi_get_global(env, &global) != napi_ok) return false;
  napi_status status = napi_make_callback(env, NULL, global, callee, argc, argv, result ? result : &ignored);
  if (status == napi_ok) return true;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) {
    napi_value error;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }
  return false;
}

void ft_ref_drop(napi_env env, napi_ref *ref) {
  if (*ref != NULL) napi_delete_reference(env, *ref);
  *ref = NULL;
}

static void disown(ft_handle *handle) {
  if (--handle->owners == 0) free(handle);
}

static void collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  disown(data);
}

static void released(ft_handle *handle) {
  napi_remove_async_cleanup_hook(handle->hook);
  disown(handle);
}

static void environment_ends(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  ft_handle_close(data);
}

ft_handle *ft_handle_new(napi_env env, uint64_t kind, size_t size, void (*shut)(ft_handle *), napi_value *value) {
  ft_handle *handle = calloc(1, size);
  if (handle == NULL) {
    ft_throw_errno(env, ENOMEM, "calloc");
    return NULL;
  }
  handle->kind = kind;
  handle->env = env;
  handle->shut = shut;
  if (napi_create_external(env, handle, collected, NULL, value) != napi_ok) {
    free(handle);
    return NULL;
  }
  handle->owners = 1;
  if (napi_create_reference(env, *value, 1, &handle->self) != napi_ok) return NULL;
  if (napi_add_async_cleanup_hook(env, environment_ends, handle, &handle->hook) != napi_ok) {
    ft_ref_drop(env, &handle->self);
    return NULL;
  }
  handle->owners = 2;
  handle->open = true;
  return handle;
}

ft_handle *ft_handle_get(napi_env env, napi_value value, uint64_t kind) {
  void *data = NULL;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_external &&
      napi_get_value_external(env, value, &data) == napi_ok && data != NULL && ((ft_handle *)data)->kind == kind) {
    return data;
  }
  ft_throw_type(env, "expected a native handle of the right kind");
  return NULL;
}

void ft_handle_close(ft_handle *handle) {
  if (!handle->open) return;
  handle->open = false;
  handle->closing = 1;
  handle->shut(handle);
  ft_ref_drop(handle->env, &handle->self);
  if (--handle->closing == 0) released(handle);
}

static void uv_closed(uv_handle_t *uv) {
  ft_handle *handle = uv->data;
  if (--handle->closing == 0) released(handle);
}

void ft_handle_uv_close(ft_handle *handle, uv_handle_t *uv) {
  handle->closing++;
  uv->data = handle;
  uv_close(uv, uv_closed);
}

void ft_export(napi_env env, napi_value exports, const ft_function *functions, size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function) == napi_ok) {
      napi_set_named_property(env, exports, functions[i].name, function);
    }
  }
}
