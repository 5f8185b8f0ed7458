/* Writing: whole records into zstd frames of about 1 MiB, digest, end map. */
#include "ts_wire.h"

#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#include <zstd.h>

#define WRITE_NBYTES (64u << 10)

struct ts_writer {
	int fd;
	ZSTD_CCtx *cctx;
	XXH3_state_t *xxh;
	struct buf plain, packed; /* the frame being filled; frames not yet written */
	int64_t n_record;
	bool open; /* a header has been written and no end map since */
};

ZSTD_CCtx *ts_frame_context(struct err *e)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	if (!c) {
		err_set(e, ERR_MEMORY, "no memory for compression");
		return NULL;
	}
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	return c;
}

int ts_frame_compress(ZSTD_CCtx *cctx, const uint8_t *data, size_t n, struct buf *out, struct err *e)
{
	size_t bound = ZSTD_compressBound(n);
	size_t made = ZSTD_compress2(cctx, buf_reserve(out, bound), bound, data, n);
	if (ZSTD_isError(made))
		return err_set(e, ERR_MEMORY, "compression failed: %s", ZSTD_getErrorName(made));
	out->n += made;
	return 0;
}

void ts_digest_hex(const XXH3_state_t *x, char hex[33])
{
	XXH128_canonical_t c;
	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(x));
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", c.digest[i]);
}

int ts_writer_new(struct ts_writer **out, int fd, struct err *e)
{
	*out = NULL;
	struct ts_writer *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(e, ERR_MEMORY, "no memory for a stream writer");
	w->fd = fd;
	w->xxh = XXH3_createState();
	w->cctx = ts_frame_context(e);
	if (!w->cctx || !w->xxh) {
		ts_writer_free(w);
		return err_set(e, ERR_MEMORY, "no memory for a stream writer");
	}
	*out = w;
	return 0;
}

void ts_writer_free(struct ts_writer *w)
{
	if (!w)
		return;
	ZSTD_freeCCtx(w->cctx);
	XXH3_freeState(w->xxh);
	buf_free(&w->plain);
	buf_free(&w->packed);
	free(w);
}

static int writer_flush(struct ts_writer *w, bool all, struct err *e)
{
	int rc = 0;
	if (w->plain.n) {
		rc = ts_frame_compress(w->cctx, w->plain.data, w->plain.n, &w->packed, e);
		w->plain.n = 0;
	}
	if (!rc && w->packed.n && (all || w->packed.n >= WRITE_NBYTES)) {
		rc = io_write_all(w->fd, w->packed.data, w->packed.n, e);
		w->packed.n = 0;
	}
	return rc;
}

int ts_writer_header(struct ts_writer *w, const struct ts_header *h, struct err *e)
{
	struct ts_map m;
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(e, ERR_MEMORY, "no memory for a header");
	ts_map_init(&m, a);
	ts_header_to_map(h, &m);
	int rc = ts_pack(&m, &w->plain, e);
	if (!rc) {
		XXH3_128bits_reset(w->xxh);
		XXH3_128bits_update(w->xxh, w->plain.data, w->plain.n);
		w->n_record = 0;
		w->open = true;
		rc = writer_flush(w, true, e);
	}
	arena_free(a);
	return rc;
}

/* The record that begins at byte `from` of the frame is complete. */
static int record_added(struct ts_writer *w, size_t from, struct err *e)
{
	XXH3_128bits_update(w->xxh, w->plain.data + from, w->plain.n - from);
	w->n_record++;
	return w->plain.n >= TS_FRAME_NBYTES ? writer_flush(w, false, e) : 0;
}

int ts_writer_record(struct ts_writer *w, const struct ts_map *m, struct err *e)
{
	size_t from = w->plain.n;
	if (m->n && (!strcmp(m->fields[0].key, "end") || !strcmp(m->fields[0].key, "tstream")))
		return err_set(e, ERR_FORMAT, "a record may not begin with a field named %s", m->fields[0].key);
	int rc = ts_pack(m, &w->plain, e);
	return rc ? rc : record_added(w, from, e);
}

int ts_writer_packed(struct ts_writer *w, const uint8_t *data, size_t n, struct err *e)
{
	size_t from = w->plain.n;
	if (n > TS_MAX_RECORD_NBYTES)
		return err_set(e, ERR_LIMIT, "a record of %zu bytes; at most %u are allowed", n, TS_MAX_RECORD_NBYTES);
	buf_put(&w->plain, data, n);
	return record_added(w, from, e);
}

int ts_writer_end(struct ts_writer *w, struct ts_end *end, struct err *e)
{
	struct ts_map m;
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(e, ERR_MEMORY, "no memory for an end map");
	end->counts.n = w->n_record;
	ts_digest_hex(w->xxh, end->digest);
	ts_map_init(&m, a);
	ts_end_to_map(end, &m);
	/* What a reader would refuse must fail here, where the fault is. */
	struct ts_end check;
	int rc = ts_end_from_map(&check, &m, a, e);
	if (!rc)
		rc = ts_pack(&m, &w->plain, e);
	if (!rc)
		rc = writer_flush(w, true, e);
	w->open = false;
	arena_free(a);
	return rc;
}
