/*
 * OpenSSL's randomness under our control. Node exports OpenSSL's functions to addons; they are
 * looked up by name, so that no OpenSSL headers are needed and the addon still loads where they are
 * missing.
 */
#include "common.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* OpenSSL's RAND_METHOD, whose layout has been stable since 1.0. */
typedef struct {
  int (*seed)(const void *bytes, int length);
  int (*bytes)(unsigned char *out, int length);
  void (*cleanup)(void);
  int (*add)(const void *bytes, int length, double entropy);
  int (*pseudorand)(unsigned char *out, int length);
  int (*status)(void);
} rand_method;

typedef int (*set_method)(const rand_method *method);
typedef const rand_method *(*get_method)(void);

#define KEY_BYTES 32
#define STATE_WORDS 4
#define BLOCK_BYTES 64

static const rand_method *previous;
static set_method set_rand_method;
static pthread_t owner;
static bool installed;
static uint32_t key[8];
/* [enabled, nonceLo, nonceHi, bytes drawn]: the caller's memory. */
static volatile uint32_t *state;
static napi_ref state_ref;

static uint32_t rotate(uint32_t value, int by) {
  return value << by | value >> (32 - by);
}

static void quarter(uint32_t *x, int a, int b, int c, int d) {
  x[a] += x[b];
  x[d] = rotate(x[d] ^ x[a], 16);
  x[c] += x[d];
  x[b] = rotate(x[b] ^ x[c], 12);
  x[a] += x[b];
  x[d] = rotate(x[d] ^ x[a], 8);
  x[c] += x[d];
  x[b] = rotate(x[b] ^ x[c], 7);
}

/* One block of ChaCha20 with a 64-bit counter (of which 32 bits are used) and a 64-bit nonce. */
static void chacha_block(uint32_t counter, uint8_t out[BLOCK_BYTES]) {
  uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  uint32_t x[16];
  memcpy(start + 4, key, sizeof key);
  start[12] = counter;
  start[13] = 0;
  start[14] = state[1];
  start[15] = state[2];
  memcpy(x, start, sizeof x);
  for (int round = 0; round < 10; round++) {
    quarter(x, 0, 4, 8, 12);
    quarter(x, 1, 5, 9, 13);
    quarter(x, 2, 6, 10, 14);
    quarter(x, 3, 7, 11, 15);
    quarter(x, 0, 5, 10, 15);
    quarter(x, 1, 6, 11, 12);
    quarter(x, 2, 7, 8, 13);
    quarter(x, 3, 4, 9, 14);
  }
  for (int i = 0; i < 16; i++) {
    uint32_t word = x[i] + start[i];
    out[4 * i] = (uint8_t)word;
    out[4 * i + 1] = (uint8_t)(word >> 8);
    out[4 * i + 2] = (uint8_t)(word >> 16);
    out[4 * i + 3] = (uint8_t)(word >> 24);
  }
}

static bool ours(void) {
  return __atomic_load_n(&installed, __ATOMIC_ACQUIRE) && pthread_equal(pthread_self(), owner) && state[0] != 0;
}

static int draw(unsigned char *out, int length) {
  if (!ours()) return previous->bytes(out, length);
  if (length < 0) return 0;
  /* The position has 32 bits; beyond them the stream would repeat, so the draw fails. */
  if ((uint32_t)length > UINT32_MAX - state[3]) return 0;
  uint8_t block[BLOCK_BYTES];
  for (int done = 0; done < length;) {
    uint32_t position = state[3];
    int from = (int)(position % BLOCK_BYTES);
    int count = BLOCK_BYTES - from < length - done ? BLOCK_BYTES - from : length - done;
    chacha_block(position / BLOCK_BYTES, block);
    memcpy(out + done, block + from, (size_t)count);
    state[3] = position + (uint32_t)count;
    done += count;
  }
  return 1;
}

static int status(void) {
  return ours() || previous->status == NULL ? 1 : previous->status();
}

/*
 * No `add` and no `seed`: with an `add` that succeeds, Node would retry a failed draw without end.
 */
static const rand_method method = {.bytes = draw, .pseudorand = draw, .status = status};

static void uninstall(void *data) {
  napi_env env = data;
  __atomic_store_n(&installed, false, __ATOMIC_RELEASE);
  set_rand_method(previous);
  ft_ref_drop(env, &state_ref);
}

static napi_value rand_install(napi_env env, napi_callback_info info) {
  napi_value args[2];
  void *key_bytes, *words;
  size_t key_size, word_count;
  if (!ft_args(env, info, 2, args)) return NULL;
  if (!ft_arg_typed(env, args[0], napi_uint8_array, &key_bytes, &key_size)) return NULL;
  if (!ft_arg_typed(env, args[1], napi_uint32_array, &words, &word_count)) return NULL;
  if (key_size != KEY_BYTES || word_count != STATE_WORDS) {
    return ft_throw_range(env, "the key has 32 bytes and the state 4 words");
  }
  if (installed && !pthread_equal(pthread_self(), owner)) return ft_throw_errno(env, EBUSY, "RAND_set_rand_method");
  if (!installed) {
    set_rand_method = (set_method)dlsym(RTLD_DEFAULT, "RAND_set_rand_method");
    get_method get = (get_method)dlsym(RTLD_DEFAULT, "RAND_get_rand_method");
    if (set_rand_method == NULL || get == NULL) return ft_throw_errno(env, ENOTSUP, "RAND_set_rand_method");
    previous = get();
    if (previous == NULL || previous->bytes == NULL) return ft_throw_errno(env, ENOTSUP, "RAND_get_rand_method");
  }
  napi_ref reference;
  if (napi_create_reference(env, args[1], 1, &reference) != napi_ok) return NULL;
  ft_ref_drop(env, &state_ref);
  state_ref = reference;
  state = words;
  for (int i = 0; i < 8; i++) {
    const uint8_t *at = (const uint8_t *)key_bytes + 4 * i;
    key[i] = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
  }
  if (installed) return NULL;
  owner = pthread_self();
  if (set_rand_method(&method) != 1) return ft_throw_errno(env, ENOTSUP, "RAND_set_rand_method");
  napi_add_env_cleanup_hook(env, uninstall, env);
  __atomic_store_n(&installed, true, __ATOMIC_RELEASE);
  return NULL;
}

void ft_rand_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {{"randInstall", rand_install}};
  ft_export(env, exports, functions, 1);
}
