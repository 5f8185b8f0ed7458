/* ts_wire.h - what the files of the wire format share among themselves. */
#ifndef MOLRILL_TS_WIRE_H
#define MOLRILL_TS_WIRE_H

#include "ts.h"

/* Copy of n bytes, whatever they are, with a NUL behind. */
char *ts_bytes_copy(struct arena *a, const void *data, size_t n);

/* numpy's dtype string of n bytes ("<f4") -> dtype; false: none of ours. */
bool ts_dtype_from_numpy(const uint8_t *s, size_t n, enum ts_dtype *d);

/* Whether the packed map (that has been walked) begins with this key. */
bool ts_first_key_is(const uint8_t *p, size_t n, const char *key);

/* Compresses one frame (zstd level 1, checksum, content size) and appends it to out. cctx: a ZSTD_CCtx. */
struct ZSTD_CCtx_s;
struct ZSTD_CCtx_s *ts_frame_context(struct err *e);
int ts_frame_compress(struct ZSTD_CCtx_s *cctx, const uint8_t *data, size_t n, struct buf *out, struct err *e);

/* XXH3-128 as 32 hexadecimal digits, of a state (an XXH3_state_t). */
struct XXH3_state_s;
void ts_digest_hex(const struct XXH3_state_s *x, char hex[33]);

#endif
