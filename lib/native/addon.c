/*
 * The entry of the addon; lib/native/native.ts documents every function. One file per concern:
 * tap.c (devices), loop.c (reader, loop hook, watch), shm.c (mappings, doorbells, locks), proc.c
 * (processes), sum.c (checksums, clocks), rand.c (OpenSSL's randomness), memory.c (calls with a
 * limit of memory).
 */
#include "common.h"

NAPI_MODULE_INIT() {
  ft_tap_init(env, exports);
  ft_loop_init(env, exports);
  ft_hook_init(env, exports);
  ft_sender_init(env, exports);
  ft_shm_init(env, exports);
  ft_proc_init(env, exports);
  ft_threads_init(env, exports);
  ft_sum_init(env, exports);
  ft_rand_init(env, exports);
  ft_memory_init(env, exports);
  return exports;
}
