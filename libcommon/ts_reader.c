/* Reading: frames, then maps; record, clean end or error. */
#include "ts_wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#include <zstd.h>

#define IN_NBYTES (256u << 10)
/* A frame closes once it holds TS_FRAME_NBYTES, so the last record can begin just below. */
#define MAX_FRAME_NBYTES ((size_t)TS_FRAME_NBYTES + TS_MAX_RECORD_NBYTES)
#define MAX_WINDOW_LOG 25

enum state { AT_START, IN_SEGMENT, AFTER_END };

struct ts_reader {
	int fd;
	char *name;
	ZSTD_DCtx *dctx;
	XXH3_state_t *xxh;
	uint8_t *in; /* compressed bytes in[in_pos .. in_n) not yet used */
	size_t in_pos, in_n, in_cap;
	int64_t offset; /* of in[in_pos] in the file */
	bool at_eof;
	struct buf frame; /* one whole frame, its checksum verified */
	size_t frame_pos;
	const uint8_t *item;
	size_t item_nbytes;
	enum state state;
	int64_t n_record;
	struct arena *end_arena;
	struct buf header;
	struct ts_end end;
};

int ts_reader_new(struct ts_reader **out, int fd, const char *name, const void *prefix, size_t n_prefix, struct err *e)
{
	*out = NULL;
	struct ts_reader *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(e, ERR_MEMORY, "no memory for a stream reader");
	r->fd = fd;
	r->name = strdup(name ? name : "");
	r->in_cap = n_prefix > IN_NBYTES ? n_prefix : IN_NBYTES;
	r->in = malloc(r->in_cap);
	r->dctx = ZSTD_createDCtx();
	r->xxh = XXH3_createState();
	r->end_arena = arena_new(4096);
	if (!r->name || !r->in || !r->dctx || !r->xxh || !r->end_arena) {
		ts_reader_free(r);
		return err_set(e, ERR_MEMORY, "no memory for a stream reader");
	}
	ZSTD_DCtx_setParameter(r->dctx, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
	if (n_prefix)
		memcpy(r->in, prefix, n_prefix);
	r->in_n = n_prefix;
	*out = r;
	return 0;
}

void ts_reader_free(struct ts_reader *r)
{
	if (!r)
		return;
	free(r->name);
	free(r->in);
	ZSTD_freeDCtx(r->dctx);
	XXH3_freeState(r->xxh);
	arena_free(r->end_arena);
	buf_free(&r->frame);
	buf_free(&r->header);
	free(r);
}

/* The failure `code`, which e already holds unless NULL, at its place: file, record of the segment, byte offset. */
static int fail_at(struct ts_reader *r, int code, struct err *e)
{
	if (e)
		err_add_place(e, r->name, r->state == IN_SEGMENT ? r->n_record : -1, r->offset);
	return code;
}

static int fail_cut(struct ts_reader *r, struct err *e)
{
	if (r->state == AT_START && !r->offset && !r->in_n)
		err_set(e, ERR_TRUNCATED, "empty input");
	else if (r->state != IN_SEGMENT)
		err_set(e, ERR_TRUNCATED, "stream cut in its header");
	else if (!r->n_record)
		err_set(e, ERR_TRUNCATED, "stream cut before its first record");
	else
		err_set(e, ERR_TRUNCATED, "stream cut after record %" PRId64, r->n_record - 1);
	if (e)
		err_add_place(e, r->name, -1, -1);
	return ERR_TRUNCATED;
}

/* At least `least` unread bytes, or all that there are. */
static int in_fill(struct ts_reader *r, size_t least, struct err *e)
{
	if (r->in_n - r->in_pos >= least)
		return 0;
	memmove(r->in, r->in + r->in_pos, r->in_n - r->in_pos);
	r->in_n -= r->in_pos;
	r->in_pos = 0;
	while (r->in_n < least && !r->at_eof) {
		int64_t got = io_read(r->fd, r->in + r->in_n, r->in_cap - r->in_n, e);
		if (got < 0)
			return fail_at(r, (int)got, e);
		r->at_eof = got == 0;
		r->in_n += (size_t)got;
	}
	return 0;
}

static int magic_check(struct ts_reader *r, struct err *e)
{
	static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
	const uint8_t *p = r->in + r->in_pos;
	size_t n = r->in_n - r->in_pos;
	if (n >= 4 ? !memcmp(p, magic, 4) : !memcmp(p, magic, n))
		return n >= 4 ? 0 : fail_cut(r, e);
	if (r->state == AFTER_END)
		err_set(e, ERR_FORMAT, "bytes that are no stream follow the end map");
	else if (r->state == IN_SEGMENT)
		err_set(e, ERR_FORMAT, "no zstd frame where one must begin");
	else if (n > 8 && !memcmp(p + 1, "\xa7tstream", 8))
		err_set(e, ERR_FORMAT, "a tstream without its zstd frames: compress it again as tstream(5) says");
	else
		err_set(e, ERR_FORMAT, "not a tstream");
	return fail_at(r, ERR_FORMAT, e);
}

/* The next whole frame into r->frame. 1: there is one, 0: end of input, negative. */
static int frame_next(struct ts_reader *r, struct err *e)
{
	int rc = in_fill(r, 16, e);
	if (rc)
		return rc;
	if (r->in_n == r->in_pos)
		return 0;
	if ((rc = magic_check(r, e)))
		return rc;
	r->frame.n = r->frame_pos = 0;
	ZSTD_DCtx_reset(r->dctx, ZSTD_reset_session_only);
	bool out_full = false;
	for (size_t left = 1; left;) {
		/* Full output may hide more of it: then it is asked for before further input. */
		if (!out_full && (rc = in_fill(r, 1, e)))
			return rc;
		if (!out_full && r->in_n == r->in_pos)
			return fail_cut(r, e);
		size_t room = ZSTD_DStreamOutSize();
		ZSTD_outBuffer out = {buf_reserve(&r->frame, room), room, 0};
		ZSTD_inBuffer in = {r->in, r->in_n, r->in_pos};
		left = ZSTD_decompressStream(r->dctx, &out, &in);
		r->offset += (int64_t)(in.pos - r->in_pos);
		r->in_pos = in.pos;
		r->frame.n += out.pos;
		out_full = out.pos == out.size;
		if (ZSTD_isError(left))
			return fail_at(r, err_set(e, ERR_FORMAT, "damaged zstd frame: %s", ZSTD_getErrorName(left)), e);
		if (r->frame.n > MAX_FRAME_NBYTES)
			return fail_at(
			    r, err_set(e, ERR_LIMIT, "a zstd frame of more than %zu bytes", MAX_FRAME_NBYTES), e);
	}
	if (!r->frame.n)
		return fail_at(r, err_set(e, ERR_FORMAT, "an empty zstd frame"), e);
	return 1;
}

static int end_check(struct ts_reader *r, struct ts_map *m, struct err *e)
{
	char hex[33];
	arena_reset(r->end_arena);
	int rc = ts_end_from_map(&r->end, m, r->end_arena, e);
	if (rc)
		return fail_at(r, rc, e);
	ts_digest_hex(r->xxh, hex);
	if (r->end.counts.n != r->n_record)
		rc = err_set(e, ERR_FORMAT, "the end map counts %" PRId64 " records, the stream has %" PRId64,
			     r->end.counts.n, r->n_record);
	else if (strcmp(hex, r->end.digest))
		rc = err_set(e, ERR_FORMAT, "the digest is %s, the end map says %s", hex, r->end.digest);
	return rc ? fail_at(r, rc, e) : 0;
}

/* Header or end map, the two that the reader itself must understand. */
static int map_own(struct ts_reader *r, bool is_end, struct err *e)
{
	struct ts_map m;
	struct ts_header h;
	struct arena *a = arena_new(0);
	if (!a)
		return err_set(e, ERR_MEMORY, "no memory for a map");
	int rc = ts_unpack(r->item, r->item_nbytes, a, &m, e);
	if (rc) {
		fail_at(r, rc, e);
	} else if (is_end) {
		rc = end_check(r, &m, e);
	} else if ((rc = ts_header_from_map(&h, &m, a, e))) {
		fail_at(r, rc, e);
	} else {
		r->header.n = 0;
		buf_put(&r->header, r->item, r->item_nbytes);
		XXH3_128bits_reset(r->xxh);
		r->n_record = 0;
		r->state = IN_SEGMENT;
	}
	arena_free(a);
	return rc;
}

int ts_reader_next(struct ts_reader *r, struct arena *a, struct ts_map *m, struct err *e)
{
	int rc, item;
	if (r->frame_pos == r->frame.n) {
		rc = frame_next(r, e);
		if (rc < 0)
			return rc;
		if (!rc)
			return r->state == AFTER_END ? TS_EOF : fail_cut(r, e);
	}
	struct err local = {0};
	r->item = r->frame.data + r->frame_pos;
	rc = ts_walk(r->item, r->frame.n - r->frame_pos, &r->item_nbytes, &local);
	if (rc) { /* frames hold whole maps: running past one is damage, not a cut */
		rc = rc == ERR_TRUNCATED ? ERR_FORMAT : rc;
		return fail_at(r, err_set(e, rc, "%s", local.msg), e);
	}
	r->frame_pos += r->item_nbytes;
	if (r->state != IN_SEGMENT) {
		if ((rc = map_own(r, false, e)))
			return rc;
		item = TS_HEADER;
	} else if (ts_first_key_is(r->item, r->item_nbytes, "end")) {
		if ((rc = map_own(r, true, e)))
			return rc;
		r->state = AFTER_END;
		item = TS_END;
	} else if (ts_first_key_is(r->item, r->item_nbytes, "tstream")) {
		return fail_cut(r, e); /* a new segment begins before this one has ended */
	} else {
		item = TS_RECORD;
	}
	if (m) {
		rc = ts_unpack(r->item, r->item_nbytes, a, m, e);
		if (rc)
			return fail_at(r, rc, e);
	}
	if (item != TS_END)
		XXH3_128bits_update(r->xxh, r->item, r->item_nbytes);
	r->n_record += item == TS_RECORD;
	return item;
}

const uint8_t *ts_reader_bytes(const struct ts_reader *r, size_t *n)
{
	*n = r->item_nbytes;
	return r->item;
}

int64_t ts_reader_record(const struct ts_reader *r)
{
	return r->n_record;
}

int ts_reader_header(struct ts_reader *r, struct ts_header *h, struct arena *a, struct err *e)
{
	struct ts_map m;
	if (!r->header.n)
		return err_set(e, ERR_FORMAT, "no header has been read");
	int rc = ts_unpack(r->header.data, r->header.n, a, &m, e);
	return rc ? rc : ts_header_from_map(h, &m, a, e);
}

const struct ts_end *ts_reader_end(const struct ts_reader *r)
{
	return &r->end;
}
