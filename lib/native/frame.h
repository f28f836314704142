/* Arguments that all functions that send a frame share. */
#ifndef FTTCP_FRAME_H
#define FTTCP_FRAME_H

#include "common.h"

#include <sys/uio.h>

#define FT_MAX_PIECES 16

/* A frame's parts from seven arguments: the destination (not read here), header, its offset and
 * length, pieces, spans, their number. The hot path: no allocation, and no check that can be left
 * out without risking memory. */
bool ft_frame_parts(napi_env env, napi_value *args, struct iovec *parts, int *count);

#endif
