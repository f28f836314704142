/*
 * Payload that is read to where it is wanted: direct data placement (RFC 5041's term).
 *
 * Who copies what it receives into memory of its own pays for each byte twice: once to read it, once to copy it. A TCP
 * segment can be read in two parts instead, its headers into the frame's slot and its payload to where the caller wants
 * the next one. How long the headers are is not known before: it is what they were last time, and a frame for which
 * that was wrong is put together in its slot, as is whatever is no plain segment of TCP.
 */
#ifndef FTTCP_DIRECT_H
#define FTTCP_DIRECT_H

#include "common.h"

#include <sys/types.h>

typedef struct {
  /* The caller's memory; NULL: there is none. */
  uint8_t *bytes;
  size_t size;
  /* Where in it the next payload may be put, a multiple of 8, and up to where; -1: nowhere. The caller's, who may
     change them whenever we do not read. */
  const int32_t *next;
  /* What the caller puts before each payload; payloads of one batch lie behind each other so, each at a multiple of 8.
   */
  size_t gap;
  /* Frames from this length on are what it is done for. */
  size_t least;
  bool ethernet;
  /* How long headers are thought to be, without the device's own. */
  size_t headers;
  /* There was such a frame since this was last set to false. */
  bool large;
  /* Where the next payload of this batch goes, or -1, and up to where payload may be put. */
  int32_t at;
  size_t end;
  napi_ref bytes_ref, next_ref;
} ft_direct;

/* Sets it up out of readerDirect's arguments, behind the first; false with an exception pending. */
bool ft_direct_set(napi_env env, ft_direct *direct, napi_value *args);
void ft_direct_drop(napi_env env, ft_direct *direct);

/* Looks where payload is wanted, for the batch that begins. @returns false when it is nowhere */
bool ft_direct_begin(ft_direct *direct, size_t slot_size);

/*
 * Reads a frame as read(2) does, with `skip` bytes of the device's own in front. *where is the offset of its payload in
 * the caller's memory, behind `headers` bytes in the slot, or -1 when the slot holds all of it. Only what the device
 * says is right is read so. *last is set when the caller has to look at the frame before it can say where more payload
 * is wanted.
 */
ssize_t ft_direct_read(ft_direct *direct, int fd, uint8_t *slot, size_t slot_size, size_t skip, int32_t *where,
                       bool *last);

#endif
