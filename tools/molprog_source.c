/* The bytes of one operand: plain, gzip (all members) or zstd (all frames), with a digest of the raw bytes. */
#include "molprog_read.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK_NBYTES (64u << 10)

struct source_digest {
	XXH3_state_t *x;
};
enum packing { UNKNOWN, PLAIN, GZIP, ZSTD };
struct source {
	int fd;
	struct source_digest *digest;
	enum packing packing;
	bool raw_end, end; /* no more raw bytes; no more bytes */
	bool keep_raw;     /* until source_settle */
	bool between;      /* at the border of two gzip members or zstd frames */
	struct buf raw;    /* raw bytes; those before raw_at are used */
	size_t raw_at;
	struct buf out; /* decompressed; those before out_at are taken */
	size_t out_at;
	int64_t n_raw;
	z_stream gz;
	ZSTD_DCtx *zstd;
};

struct source_digest *source_digest_new(void)
{
	struct source_digest *d = calloc(1, sizeof *d);
	if (d && !(d->x = XXH3_createState())) {
		free(d);
		d = NULL;
	}
	if (d)
		XXH3_128bits_reset(d->x);
	return d;
}

void source_digest_free(struct source_digest *d)
{
	if (d)
		XXH3_freeState(d->x);
	free(d);
}

void source_digest_hex(const struct source_digest *d, char hex[33])
{
	XXH128_canonical_t c;
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(d->x));
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", c.digest[i]);
}

int source_open(struct source **out, int fd, struct source_digest *d, struct err *e)
{
	struct source *s = *out = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_MEMORY, "no memory to read");
	s->fd = fd;
	s->digest = d;
	s->keep_raw = true;
	return 0;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	if (s->packing == GZIP)
		inflateEnd(&s->gz);
	ZSTD_freeDCtx(s->zstd);
	buf_free(&s->raw);
	buf_free(&s->out);
	free(s);
}

static int raw_more(struct source *s, struct err *e)
{
	if (!s->keep_raw && s->raw_at == s->raw.n)
		s->raw.n = s->raw_at = 0;
	uint8_t *to = buf_reserve(&s->raw, CHUNK_NBYTES);
	int64_t n = io_read(s->fd, to, CHUNK_NBYTES, e);
	if (n < 0)
		return (int)n;
	if (n == 0)
		s->raw_end = true;
	else if (s->digest)
		XXH3_128bits_update(s->digest->x, to, (size_t)n);
	s->raw.n += (size_t)n;
	s->n_raw += n;
	return 0;
}

/* Looks at the first four bytes. */
static int packing_find(struct source *s, struct err *e)
{
	while (s->raw.n < 4 && !s->raw_end) {
		int rc = raw_more(s, e);
		if (rc)
			return rc;
	}
	const uint8_t *b = s->raw.data;
	s->packing = PLAIN;
	s->between = true;
	if (s->raw.n >= 2 && b[0] == 0x1f && b[1] == 0x8b) {
		if (inflateInit2(&s->gz, 15 + 16) != Z_OK)
			return err_set(e, ERR_MEMORY, "no memory to unpack gzip");
		s->packing = GZIP;
	} else if (s->raw.n >= 4 && (!memcmp(b, "\x28\xb5\x2f\xfd", 4) ||
				     ((b[0] & 0xf0) == 0x50 && !memcmp(b + 1, "\x2a\x4d\x18", 3)))) {
		if (!(s->zstd = ZSTD_createDCtx()))
			return err_set(e, ERR_MEMORY, "no memory to unpack zstd");
		s->packing = ZSTD;
	}
	return 0;
}

/* One step of decompression: appends what it yields to out. */
static int step_gzip(struct source *s, struct err *e)
{
	if (s->between && s->n_raw > (int64_t)(s->raw.n - s->raw_at)) {
		if (inflateReset(&s->gz) != Z_OK)
			return err_set(e, ERR_FORMAT, "gzip data cannot be unpacked");
	}
	s->between = false;
	s->gz.next_in = s->raw.data + s->raw_at;
	s->gz.avail_in = (uInt)(s->raw.n - s->raw_at);
	s->gz.next_out = buf_reserve(&s->out, CHUNK_NBYTES);
	s->gz.avail_out = CHUNK_NBYTES;
	int rc = inflate(&s->gz, Z_NO_FLUSH);
	s->out.n += CHUNK_NBYTES - s->gz.avail_out;
	s->raw_at = s->raw.n - s->gz.avail_in;
	if (rc == Z_STREAM_END)
		s->between = true;
	else if (rc != Z_OK && rc != Z_BUF_ERROR)
		return err_set(e, ERR_FORMAT, "gzip data are damaged%s%s", s->gz.msg ? ": " : "",
			       s->gz.msg ? s->gz.msg : "");
	return 0;
}

static int step_zstd(struct source *s, struct err *e)
{
	ZSTD_inBuffer in = {s->raw.data, s->raw.n, s->raw_at};
	ZSTD_outBuffer out = {buf_reserve(&s->out, CHUNK_NBYTES), CHUNK_NBYTES, 0};
	size_t rc = ZSTD_decompressStream(s->zstd, &out, &in);
	if (ZSTD_isError(rc))
		return err_set(e, ERR_FORMAT, "zstd data are damaged: %s", ZSTD_getErrorName(rc));
	s->out.n += out.pos;
	s->raw_at = in.pos;
	s->between = rc == 0;
	return 0;
}

static int more(struct source *s, struct err *e)
{
	int rc = 0;
	if (s->out_at && (s->out_at == s->out.n || s->out_at > s->out.n / 2)) {
		memmove(s->out.data, s->out.data + s->out_at, s->out.n - s->out_at);
		s->out.n -= s->out_at;
		s->out_at = 0;
	}
	if (s->raw_at == s->raw.n && !s->raw_end)
		rc = raw_more(s, e);
	if (rc)
		return rc;
	if (s->raw_at == s->raw.n && s->raw_end && (s->packing == PLAIN || s->between)) {
		s->end = true;
		return 0;
	}
	if (s->packing == PLAIN) {
		buf_put(&s->out, s->raw.data + s->raw_at, s->raw.n - s->raw_at);
		s->raw_at = s->raw.n;
		return 0;
	}
	size_t had = s->out.n;
	bool dry = s->raw_at == s->raw.n;
	rc = s->packing == GZIP ? step_gzip(s, e) : step_zstd(s, e);
	if (!rc && dry && s->raw_end && s->out.n == had && !s->between)
		rc = err_set(e, ERR_TRUNCATED, "%s data end too soon", s->packing == GZIP ? "gzip" : "zstd");
	return rc;
}

int source_peek(struct source *s, size_t want, const uint8_t **data, size_t *n, struct err *e)
{
	int rc = s->packing == UNKNOWN ? packing_find(s, e) : 0;
	while (!rc && !s->end && s->out.n - s->out_at < want)
		rc = more(s, e);
	*data = s->out.data + s->out_at;
	*n = s->out.n - s->out_at;
	return rc;
}

void source_take(struct source *s, size_t n)
{
	s->out_at += n;
}

const uint8_t *source_raw(const struct source *s, size_t *n, bool *is_zstd)
{
	*n = s->raw.n;
	*is_zstd = s->packing == ZSTD;
	return s->raw.data;
}

void source_settle(struct source *s)
{
	s->keep_raw = false;
}

int64_t source_n_raw(const struct source *s)
{
	return s->n_raw;
}
