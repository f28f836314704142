/*
 * Software offload: checksums, and segmentation of a super-segment into frames, for devices without
 * offload. Done here, just before the frames leave, the stack runs once per 64 KiB instead of once
 * per 1448 bytes.
 */
#include "split.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ETHERNET 14
#define VLAN 4
#define MOST_FRAME (65535 + ETHERNET + VLAN)

enum { TCP_SEQ = 4, TCP_FLAGS = 13, TCP_LEAST = 20 };
enum { FIN = 0x01, PSH = 0x08 };
enum { V4_LENGTH = 2, V4_ID = 4, V4_SUM = 10, V4_ADDRESSES = 12, V4_LEAST = 20 };
enum { V6_LENGTH = 4, V6_ADDRESSES = 8, V6_HEADER = 40 };

static uint16_t get16(const uint8_t *at) {
  return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at) {
  return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value);
}

static uint16_t folded(uint32_t sum) {
  sum = (sum >> 16) + (sum & 0xffff);
  return (uint16_t)((sum >> 16) + sum);
}

/* End of the copied payload. */
typedef struct {
  const struct iovec *part, *end;
  size_t in_part;
} cursor;

static void copy(cursor *from, uint8_t *to, size_t length) {
  while (length > 0 && from->part < from->end) {
    size_t have = from->part->iov_len - from->in_part, take = have < length ? have : length;
    memcpy(to, (const uint8_t *)from->part->iov_base + from->in_part, take);
    to += take;
    length -= take;
    from->in_part += take;
    if (from->in_part < from->part->iov_len) return;
    from->part++;
    from->in_part = 0;
  }
}

static ssize_t put(int fd, const uint8_t *frame, size_t length) {
  for (;;) {
    ssize_t written = write(fd, frame, length);
    if (written >= 0 || errno != EINTR) return written;
  }
}

/* The sum of a pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) without the addresses'
 * owner: TCP, and its length. */
static uint32_t pseudo(const uint8_t *ip, int version, size_t length) {
  uint32_t sum = version == 4 ? ft_sum_bytes(ip + V4_ADDRESSES, 8) : ft_sum_bytes(ip + V6_ADDRESSES, 32);
  return sum + 6 + (uint32_t)length;
}

static ssize_t whole(int fd, const struct iovec *parts, int count, size_t total, const ft_offload *want) {
  static __thread uint8_t frame[MOST_FRAME];
  size_t start = (size_t)want->csum_start, field = start + (size_t)want->csum_offset;
  if (total > sizeof frame || field + 2 > total) {
    errno = EMSGSIZE;
    return -1;
  }
  cursor from = {parts, parts + count, 0};
  copy(&from, frame, total);
  uint16_t sum = (uint16_t)~ft_sum_bytes(frame + start, total - start);
  /* In UDP zero means no checksum; all ones is the same sum. */
  put16(frame + field, sum == 0 ? 0xffff : sum);
  return put(fd, frame, total);
}

ssize_t ft_write_split(int fd, const struct iovec *parts, int count, const ft_offload *want) {
  static __thread uint8_t frame[MOST_FRAME];
  size_t head = parts[0].iov_len, payload = 0;
  for (int i = 1; i < count; i++) payload += parts[i].iov_len;
  if (want->version == 0) return whole(fd, parts, count, head + payload, want);
  const uint8_t *headers = parts[0].iov_base;
  size_t ip = 0;
  if (want->ethernet) {
    bool tagged = head > ETHERNET && get16(headers + ETHERNET - 2) == 0x8100;
    ip = tagged ? ETHERNET + VLAN : ETHERNET;
  }
  size_t tcp = (size_t)want->csum_start, least = want->version == 4 ? V4_LEAST : V6_HEADER;
  if (want->csum_start < 0 || want->size <= 0 || tcp < ip + least || head < tcp + TCP_LEAST ||
      tcp + (size_t)want->csum_offset + 2 > head || head + (size_t)want->size > sizeof frame) {
    errno = EMSGSIZE;
    return -1;
  }
  cursor from = {parts + 1, parts + count, 0};
  uint32_t seq = get32(headers + tcp + TCP_SEQ), id = get16(headers + ip + V4_ID);
  size_t done = 0;
  for (; done < payload; id++) {
    size_t left = payload - done, take = left < (size_t)want->size ? left : (size_t)want->size;
    memcpy(frame, headers, head);
    copy(&from, frame + head, take);
    size_t segment = head - tcp + take;
    if (want->version == 4) {
      put16(frame + ip + V4_LENGTH, (uint32_t)(head - ip + take));
      put16(frame + ip + V4_ID, id);
      put16(frame + ip + V4_SUM, 0);
      put16(frame + ip + V4_SUM, (uint16_t)~ft_sum_bytes(frame + ip, (size_t)(frame[ip] & 15) * 4));
    } else
      put16(frame + ip + V6_LENGTH, (uint32_t)(head - ip - V6_HEADER + take));
    put32(frame + tcp + TCP_SEQ, seq + (uint32_t)done);
    if (take < left) frame[tcp + TCP_FLAGS] &= (uint8_t) ~(FIN | PSH);
    uint8_t *field = frame + tcp + want->csum_offset;
    put16(field, 0);
    uint32_t sum = pseudo(frame + ip, want->version, segment) + ft_sum_bytes(frame + tcp, segment);
    put16(field, (uint16_t)~folded(sum));
    if (put(fd, frame, head + take) < 0) {
      /* In the middle of a super-segment the rest is lost, as on a wire. */
      if (done == 0) return -1;
      break;
    }
    done += take;
  }
  return (ssize_t)(head + done);
}
