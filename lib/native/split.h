/* Frames for a device without offload. */
#ifndef FTTCP_SPLIT_H
#define FTTCP_SPLIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct {
  /*
   * Offset of the first summed byte, and of the field from there; the field holds the pseudo
   * header's sum.
   */
  int32_t csum_start, csum_offset;
  /*
   * 0: one frame; 4 or 6: TCP over that IP version, to be cut into segments of this many bytes of
   * payload.
   */
  int32_t version, size;
  /* The frame begins with an Ethernet header, with one VLAN tag at most. */
  bool ethernet;
} ft_offload;

/*
 * Writes a frame, or the frames of a super-segment: headers in the first part, payload in the
 * others. Returns the bytes taken, headers counted once, or -1 with errno when nothing was.
 */
ssize_t ft_write_split(int fd, const struct iovec *parts, int count, const ft_offload *want);

/* The Internet checksum's sum of bytes, in the machine's order (sum.c). */
uint16_t ft_sum_bytes(const uint8_t *at, size_t length);

#endif
