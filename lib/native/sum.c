/* Checksums over bytes, and the clocks. */
#include "common.h"
#include "split.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86_CRC 1
#endif

/* Castagnoli's polynomial, bits reflected: bit 31 stands for x^0. */
#define POLYNOMIAL UINT32_C(0x82f63b78)

static uint32_t tables[8][256];
static uint32_t (*crc_update)(uint32_t crc, const uint8_t *at, size_t length);

static uint64_t load64(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* Eight bytes a step, one table per distance from the end of the step. */
static uint32_t crc_tables(uint32_t crc, const uint8_t *at, size_t length) {
  for (; length >= 8; at += 8, length -= 8) {
    uint32_t low = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
    crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
          tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
  }
  for (; length > 0; at++, length--) crc = crc >> 8 ^ tables[0][(crc ^ *at) & 255];
  return crc;
}

static void fill_tables(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    tables[0][i] = crc;
  }
  for (int t = 1; t < 8; t++) {
    for (int i = 0; i < 256; i++) tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 255];
  }
}

#ifdef HAVE_X86_CRC
/*
 * The crc32 instruction takes 8 bytes with a latency of 3 cycles and a throughput of 1, so three
 * neighbouring lanes are run at once. A lane's crc is then moved over the n bytes behind it: a
 * carry-less product with x^(8n-33), which the crc32 instruction reduces (it contributes x^32, and
 * the product of two reflected 32-bit polynomials another x).
 */
typedef struct {
  size_t bytes;
  uint64_t over_one;
  uint64_t over_two;
} lane;

static lane lanes[] = {{4096, 0, 0}, {1024, 0, 0}, {256, 0, 0}, {64, 0, 0}};

static uint32_t power_of_x(size_t exponent) {
  uint32_t value = UINT32_C(1) << 31;
  while (exponent-- > 0) value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
  return value;
}

static void fill_lanes(void) {
  for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) {
    lanes[i].over_one = power_of_x(8 * lanes[i].bytes - 33);
    lanes[i].over_two = power_of_x(16 * lanes[i].bytes - 33);
  }
}

__attribute__((target("sse4.2"))) static uint32_t crc_one_lane(uint32_t crc, const uint8_t *at, size_t length) {
  uint64_t wide = crc;
  for (; length >= 8; at += 8, length -= 8) wide = _mm_crc32_u64(wide, load64(at));
  crc = (uint32_t)wide;
  for (; length > 0; at++, length--) crc = _mm_crc32_u8(crc, *at);
  return crc;
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t move_over(uint64_t crc, uint64_t power) {
  __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128((int64_t)power), 0);
  return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_three_lanes(uint32_t crc, const uint8_t *at,
                                                                         size_t length) {
  for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) {
    const size_t step = lanes[i].bytes;
    for (; length >= 3 * step; at += 3 * step, length -= 3 * step) {
      uint64_t first = crc, second = 0, third = 0;
      for (const uint8_t *p = at, *end = at + step; p < end; p += 16) {
        first = _mm_crc32_u64(first, load64(p));
        second = _mm_crc32_u64(second, load64(p + step));
        third = _mm_crc32_u64(third, load64(p + 2 * step));
        first = _mm_crc32_u64(first, load64(p + 8));
        second = _mm_crc32_u64(second, load64(p + step + 8));
        third = _mm_crc32_u64(third, load64(p + 2 * step + 8));
      }
      crc = (uint32_t)(move_over(first, lanes[i].over_two) ^ move_over(second, lanes[i].over_one) ^ third);
    }
  }
  return crc_one_lane(crc, at, length);
}

/*
 * 256 bytes a step where carry-less products of four words at once exist. What has been summed is
 * kept as 256 bytes that are congruent to it; before each step they are moved over the next ones:
 * the words of each 16 bytes, which stand for w * x^64 + v, by products with x^(2048+64) and
 * x^2048, each less the x that the product of two reflected polynomials contributes.
 */
#define WIDE_BYTES 256
static uint64_t over_wide[2];

static void fill_wide(void) {
  over_wide[0] = (uint64_t)power_of_x(8 * WIDE_BYTES + 63) << 32;
  over_wide[1] = (uint64_t)power_of_x(8 * WIDE_BYTES - 1) << 32;
}

__attribute__((target("avx512f,vpclmulqdq"))) static uint32_t crc_wide(uint32_t crc, const uint8_t *at, size_t length) {
  if (length < 3 * WIDE_BYTES) return crc_three_lanes(crc, at, length);
  const __m512i power =
      _mm512_set_epi64((int64_t)over_wide[1], (int64_t)over_wide[0], (int64_t)over_wide[1], (int64_t)over_wide[0],
                       (int64_t)over_wide[1], (int64_t)over_wide[0], (int64_t)over_wide[1], (int64_t)over_wide[0]);
  __m512i sum[4];
  for (int i = 0; i < 4; i++) sum[i] = _mm512_loadu_si512(at + 64 * i);
  sum[0] = _mm512_xor_si512(sum[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int32_t)crc)));
  for (at += WIDE_BYTES, length -= WIDE_BYTES; length >= WIDE_BYTES; at += WIDE_BYTES, length -= WIDE_BYTES) {
    for (int i = 0; i < 4; i++) {
      const __m512i first = _mm512_clmulepi64_epi128(sum[i], power, 0x00);
      const __m512i second = _mm512_clmulepi64_epi128(sum[i], power, 0x11);
      /* 0x96: exclusive or of all three. */
      sum[i] = _mm512_ternarylogic_epi64(first, second, _mm512_loadu_si512(at + 64 * i), 0x96);
    }
  }
  uint8_t rest[WIDE_BYTES];
  for (int i = 0; i < 4; i++) _mm512_storeu_si512(rest + 64 * i, sum[i]);
  return crc_three_lanes(crc_three_lanes(0, rest, sizeof rest), at, length);
}
#endif

static void choose_crc(void) {
  fill_tables();
  crc_update = crc_tables;
#ifdef HAVE_X86_CRC
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2")) {
    crc_update = crc_one_lane;
    if (__builtin_cpu_supports("pclmul")) {
      fill_lanes();
      crc_update = crc_three_lanes;
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")) {
        fill_wide();
        crc_update = crc_wide;
      }
    }
  }
#endif
}

/* bytes, offset, length, seed: the arguments of both sums. */
static bool range(napi_env env, napi_callback_info info, const uint8_t **at, size_t *length, uint32_t *seed) {
  napi_value args[4];
  void *data;
  size_t size;
  int64_t from, count;
  if (!ft_args(env, info, 4, args) || !ft_arg_typed(env, args[0], napi_uint8_array, &data, &size)) return false;
  if (napi_get_value_int64(env, args[1], &from) != napi_ok || napi_get_value_int64(env, args[2], &count) != napi_ok) {
    ft_throw_type(env, "expected a number");
    return false;
  }
  if (!ft_arg_u32(env, args[3], seed)) return false;
  if (from < 0 || count < 0 || (uint64_t)from > size || (uint64_t)count > size - (uint64_t)from) {
    ft_throw_range(env, "offset or length out of bounds");
    return false;
  }
  *at = (const uint8_t *)data + from;
  *length = (size_t)count;
  return true;
}

static napi_value crc32c(napi_env env, napi_callback_info info) {
  const uint8_t *at;
  size_t length;
  uint32_t seed;
  if (!range(env, info, &at, &length, &seed)) return NULL;
  return ft_u32(env, ~crc_update(~seed, at, length));
}

/*
 * For tests: by one of the ways of computing it, whichever this machine would choose; -1 where it
 * cannot.
 */
static napi_value crc32c_by(napi_env env, napi_callback_info info) {
  napi_value args[2];
  uint32_t way;
  void *data;
  size_t length;
  if (!ft_args(env, info, 2, args) || !ft_arg_u32(env, args[0], &way)) return NULL;
  if (!ft_arg_typed(env, args[1], napi_uint8_array, &data, &length)) return NULL;
  uint32_t (*update)(uint32_t, const uint8_t *, size_t) = way == 0 ? crc_tables : NULL;
#ifdef HAVE_X86_CRC
  const bool word = __builtin_cpu_supports("sse4.2"), carryless = word && __builtin_cpu_supports("pclmul");
  if (way == 1 && word) update = crc_one_lane;
  if (way == 2 && carryless) update = crc_three_lanes;
  if (way == 3 && crc_update == crc_wide) update = crc_wide;
#endif
  return update == NULL ? ft_double(env, -1) : ft_u32(env, ~update(UINT32_MAX, data, length));
}

static uint64_t add_carry(uint64_t sum, uint64_t word) {
  sum += word;
  return sum + (sum < word);
}

static uint16_t fold(uint64_t sum) {
  sum = (sum >> 32) + (sum & UINT32_MAX);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return (uint16_t)sum;
}

/*
 * One's-complement sums do not depend on byte order, so words are added as they lie and swapped
 * once at the end.
 */
uint16_t ft_sum_bytes(const uint8_t *at, size_t length) {
  uint64_t a = 0, b = 0, c = 0, d = 0;
  for (; length >= 32; at += 32, length -= 32) {
    a = add_carry(a, load64(at));
    b = add_carry(b, load64(at + 8));
    c = add_carry(c, load64(at + 16));
    d = add_carry(d, load64(at + 24));
  }
  for (; length >= 8; at += 8, length -= 8) a = add_carry(a, load64(at));
  if (length > 0) {
    uint8_t rest[8] = {0};
    memcpy(rest, at, length);
    b = add_carry(b, load64(rest));
  }
  uint16_t sum = fold(add_carry(add_carry(a, b), add_carry(c, d)));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  sum = (uint16_t)(sum << 8 | sum >> 8);
#endif
  return sum;
}

static napi_value checksum(napi_env env, napi_callback_info info) {
  const uint8_t *at;
  size_t length;
  uint32_t seed;
  if (!range(env, info, &at, &length, &seed)) return NULL;
  return ft_u32(env, fold((uint64_t)seed + ft_sum_bytes(at, length)));
}

static napi_value monotonic_us(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return ft_double(env, (double)((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

static napi_value boottime_us(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return ft_double(env, (double)((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000));
}

static napi_value realtime_ms(napi_env env, napi_callback_info info) {
  (void)info;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return ft_double(env, (double)((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000));
}

void ft_sum_init(napi_env env, napi_value exports) {
  static const ft_function functions[] = {
      {"crc32c", crc32c},          {"crc32cBy", crc32c_by},     {"checksum", checksum}, {"monotonicUs", monotonic_us},
      {"realtimeMs", realtime_ms}, {"boottimeUs", boottime_us},
  };
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose_crc);
  ft_export(env, exports, functions, sizeof functions / sizeof *functions);
}
