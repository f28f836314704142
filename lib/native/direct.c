/* Direct data placement (direct.h). */
#include "direct.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define ETHERNET_HEADER 14
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define PROTOCOL_TCP 6
#define TCP_LEAST 20
#define TCP_FIN_SYN_RST_URG 0x27
#define TCP_ACK 0x10
#define VNET_CSUM_FLAGS 3
/* Ethernet, IPv4, TCP with timestamps: the usual large frame. */
#define USUAL_HEADERS 66
/* Ethernet, IPv6, TCP with 40 bytes of options. */
#define MOST_HEADERS 114

static unsigned word(const uint8_t *at) {
  return (unsigned)at[0] << 8 | at[1];
}

/*
 * Length of the headers of a frame that is one TCP segment with data and nothing behind it. 0:
 * another kind of frame, or the first `present` bytes do not tell.
 */
static size_t headers_of(const uint8_t *frame, size_t present, size_t length, bool ethernet) {
  size_t link = ethernet ? ETHERNET_HEADER : 0;
  if (present < link + IPV4_HEADER + TCP_LEAST) return 0;
  const uint8_t *ip = frame + link;
  size_t tcp_at;
  if (ip[0] == 0x45) {
    if (ethernet && word(frame + 12) != 0x0800) return 0;
    if (ip[9] != PROTOCOL_TCP || (word(ip + 6) & 0x3fff) != 0 || word(ip + 2) + link != length) return 0;
    tcp_at = link + IPV4_HEADER;
  } else if (ip[0] >> 4 == 6) {
    if (ethernet && word(frame + 12) != 0x86dd) return 0;
    if (ip[6] != PROTOCOL_TCP || word(ip + 4) + IPV6_HEADER + link != length) return 0;
    tcp_at = link + IPV6_HEADER;
    if (present < tcp_at + TCP_LEAST) return 0;
  } else {
    return 0;
  }
  const uint8_t *tcp = frame + tcp_at;
  if ((tcp[13] & TCP_FIN_SYN_RST_URG) != 0 || (tcp[13] & TCP_ACK) == 0) return 0;
  size_t bytes = (size_t)(tcp[12] >> 4) * 4;
  if (bytes < TCP_LEAST || tcp_at + bytes >= length) return 0;
  return tcp_at + bytes;
}

static bool fits(const ft_direct *direct, int64_t at, size_t slot_size) {
  return at >= 0 && (at & 7) == 0 && (size_t)at + slot_size <= direct->end;
}

bool ft_direct_begin(ft_direct *direct, size_t slot_size) {
  direct->at = -1;
  if (direct->bytes == NULL) return false;
  int32_t next = __atomic_load_n(direct->next, __ATOMIC_ACQUIRE);
  direct->end = direct->next[1] < 0 || (size_t)direct->next[1] > direct->size ? 0 : (size_t)direct->next[1];
  if (fits(direct, next, slot_size)) direct->at = next;
  return direct->at >= 0;
}

/* Moves the bytes behind the expected headers to their place in the frame. */
static void join(uint8_t *slot, size_t near, const uint8_t *there, ssize_t got) {
  if (got > (ssize_t)near) memcpy(slot + near, there, (size_t)got - near);
}

ssize_t ft_direct_read(ft_direct *direct, int fd, uint8_t *slot, size_t slot_size, size_t skip, int32_t *where,
                       bool *last) {
  *where = -1;
  *last = false;
  bool wanted = direct->at >= 0;
  if (!wanted) {
    ssize_t got = read(fd, slot, slot_size);
    if (direct->bytes == NULL || got < (ssize_t)(skip + direct->least)) return got;
    size_t headers = headers_of(slot + skip, (size_t)got - skip, (size_t)got - skip, direct->ethernet);
    if (headers == 0) return got;
    direct->large = true;
    direct->headers = headers;
    return got;
  }
  size_t near = skip + direct->headers;
  uint8_t *there = direct->bytes + direct->at;
  struct iovec parts[2] = {{slot, near}, {there, slot_size - near}};
  ssize_t got = readv(fd, parts, 2);
  if (got <= (ssize_t)skip) return got;
  size_t length = (size_t)got - skip;
  if (length >= direct->least) direct->large = true;
  bool right = skip > 0 && (slot[0] & VNET_CSUM_FLAGS) != 0;
  if (right && length > direct->headers &&
      headers_of(slot + skip, direct->headers, length, direct->ethernet) == direct->headers) {
    *where = direct->at;
    int64_t next = direct->at + (int64_t)((length - direct->headers + direct->gap + 7) & ~(size_t)7);
    direct->at = fits(direct, next, slot_size) ? (int32_t)next : -1;
    *last = direct->at < 0;
    return got;
  }
  join(slot, near, there, got);
  size_t headers = headers_of(slot + skip, length, length, direct->ethernet);
  if (headers == 0) return got;
  /* The caller has to process this frame's data before the next read. */
  *last = true;
  direct->headers = headers;
  return got;
}

bool ft_direct_set(napi_env env, ft_direct *direct, napi_value *args) {
  void *bytes, *next;
  size_t size, words, least, gap;
  bool ethernet;
  if (!ft_arg_typed(env, args[0], napi_uint8_array, &bytes, &size)) return false;
  if (!ft_arg_typed(env, args[1], napi_int32_array, &next, &words)) return false;
  if (!ft_arg_size(env, args[2], &gap) || !ft_arg_size(env, args[3], &least)) return false;
  if (!ft_arg_bool(env, args[4], &ethernet)) return false;
  /* A shorter frame might end within the headers. */
  if (words < 2 || size > INT32_MAX || least <= MOST_HEADERS || gap > size) {
    ft_throw_range(env, "memory, word or length of a size that cannot work");
    return false;
  }
  ft_direct_drop(env, direct);
  napi_create_reference(env, args[0], 1, &direct->bytes_ref);
  napi_create_reference(env, args[1], 1, &direct->next_ref);
  direct->size = size;
  direct->next = next;
  direct->gap = gap;
  direct->least = least;
  direct->ethernet = ethernet;
  direct->headers = ethernet ? USUAL_HEADERS : USUAL_HEADERS - ETHERNET_HEADER;
  direct->large = false;
  direct->at = -1;
  direct->bytes = bytes;
  return true;
}

void ft_direct_drop(napi_env env, ft_direct *direct) {
  direct->bytes = NULL;
  direct->large = false;
  direct->at = -1;
  ft_ref_drop(env, &direct->bytes_ref);
  ft_ref_drop(env, &direct->next_ref);
}
