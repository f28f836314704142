/*
 * Direct data placement (the term of RFC 5041): payload is read to its final place.
 *
 * Reading a frame and then copying its payload touches each byte twice. readv(2) can split a TCP
 * segment: its headers go to the frame's slot, its payload to the place that the caller names. The
 * length of the headers is not known before the read, so the length of the previous segment's
 * headers is assumed. A frame for which that was wrong, or that is not a plain TCP segment, is
 * assembled in its slot.
 */
#ifndef FTTCP_DIRECT_H
#define FTTCP_DIRECT_H

#include "common.h"

#include <sys/types.h>

typedef struct {
  /* The caller's memory; NULL for none. */
  uint8_t *bytes;
  size_t size;
  /* Offset of the next payload, a multiple of 8, and the end of the room; -1: no room. The
   * caller's, who may change them whenever we do not read. */
  const int32_t *next;
  /* Bytes that the caller puts before each payload; payloads of one batch follow each other at
   * multiples of 8. */
  size_t gap;
  /* Shorter frames are read whole. */
  size_t least;
  bool ethernet;
  /* Assumed length of the headers, without the device's own. */
  size_t headers;
  /* A frame was placed since this was last set to false. */
  bool large;
  /* Offset of the next payload of this batch, or -1, and the end of the room. */
  int32_t at;
  size_t end;
  napi_ref bytes_ref, next_ref;
} ft_direct;

/*
 * Initializes it from the arguments of readerDirect after the first; false with an exception
 * pending.
 */
bool ft_direct_set(napi_env env, ft_direct *direct, napi_value *args);
void ft_direct_drop(napi_env env, ft_direct *direct);

/* Begins a batch: reads the caller's offset. @returns false when there is no room */
bool ft_direct_begin(ft_direct *direct, size_t slot_size);

/*
 * Reads a frame as read(2) does, with `skip` bytes of the device's own in front. *where is the
 * offset of its payload in the caller's memory, behind `headers` bytes in the slot, or -1 when the
 * slot holds all of it. Only a frame whose checksum the device has verified is placed. *last is set
 * when the caller must process this frame before it can name the next place.
 */
ssize_t ft_direct_read(ft_direct *direct, int fd, uint8_t *slot, size_t slot_size, size_t skip, int32_t *where,
                       bool *last);

#endif
