/* Records kept in a temporary file, compressed, and read again in any order. */
#include "ts_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

struct spool_frame {
	int64_t offset; /* in the file */
	int64_t first;  /* record */
	uint32_t nbytes, nbytes_plain;
};
struct ts_spool {
	int fd;
	ZSTD_CCtx *cctx;
	struct buf plain, packed; /* the frame being filled, and its compressed form */
	struct buf frame;         /* the frame last read */
	int64_t frame_read;       /* its index, -1: none */
	struct spool_frame *frames;
	int64_t n_frame, cap_frame;
	uint32_t *starts; /* of each record in its frame; the end is the next one's start or the frame's end */
	int64_t n_record, cap_record;
	int64_t first_open; /* first record of the frame being filled */
	int64_t nbytes;
};

int ts_spool_new(struct ts_spool **out, struct err *e)
{
	*out = NULL;
	struct ts_spool *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_MEMORY, "no memory for a spool");
	s->frame_read = -1;
	s->fd = io_temp_open(e);
	s->cctx = s->fd >= 0 ? ts_frame_context(e) : NULL;
	if (!s->cctx) {
		int rc = s->fd < 0 ? s->fd : ERR_MEMORY;
		ts_spool_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void ts_spool_free(struct ts_spool *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	ZSTD_freeCCtx(s->cctx);
	buf_free(&s->plain);
	buf_free(&s->packed);
	buf_free(&s->frame);
	free(s->frames);
	free(s->starts);
	free(s);
}

/* Room for one more item of an array that doubles. */
static void *grow(void *items, int64_t n, int64_t *cap, size_t nbytes)
{
	if (n < *cap)
		return items;
	*cap = *cap ? 2 * *cap : 1024;
	items = realloc(items, (size_t)*cap * nbytes);
	if (!items)
		abort();
	return items;
}

static int frame_close(struct ts_spool *s, struct err *e)
{
	s->packed.n = 0;
	int rc = ts_frame_compress(s->cctx, s->plain.data, s->plain.n, &s->packed, e);
	if (!rc)
		rc = io_write_all(s->fd, s->packed.data, s->packed.n, e);
	if (rc)
		return rc;
	s->frames = grow(s->frames, s->n_frame, &s->cap_frame, sizeof *s->frames);
	s->frames[s->n_frame++] = (struct spool_frame){.offset = s->nbytes,
						       .first = s->first_open,
						       .nbytes = (uint32_t)s->packed.n,
						       .nbytes_plain = (uint32_t)s->plain.n};
	s->nbytes += (int64_t)s->packed.n;
	s->first_open = s->n_record;
	s->plain.n = 0;
	return 0;
}

int ts_spool_add(struct ts_spool *s, const uint8_t *data, size_t n, struct err *e)
{
	s->starts = grow(s->starts, s->n_record, &s->cap_record, sizeof *s->starts);
	s->starts[s->n_record++] = (uint32_t)s->plain.n;
	buf_put(&s->plain, data, n);
	return s->plain.n >= TS_FRAME_NBYTES ? frame_close(s, e) : 0;
}

int64_t ts_spool_count(const struct ts_spool *s)
{
	return s->n_record;
}

static int frame_load(struct ts_spool *s, int64_t index, struct err *e)
{
	const struct spool_frame *f = &s->frames[index];
	s->packed.n = s->frame.n = 0;
	s->frame_read = -1;
	uint8_t *to = buf_reserve(&s->packed, f->nbytes);
	for (uint32_t got = 0; got < f->nbytes;) {
		ssize_t k = pread(s->fd, to + got, f->nbytes - got, f->offset + got);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return err_set_errno(e, ERR_IO, "the temporary file cannot be read");
		got += (uint32_t)k;
	}
	size_t made = ZSTD_decompress(buf_reserve(&s->frame, f->nbytes_plain), f->nbytes_plain, to, f->nbytes);
	if (ZSTD_isError(made) || made != f->nbytes_plain)
		return err_set(e, ERR_FORMAT, "the temporary file is damaged");
	s->frame.n = made;
	s->frame_read = index;
	return 0;
}

int ts_spool_get(struct ts_spool *s, int64_t i, const uint8_t **data, size_t *n, struct err *e)
{
	if (i < 0 || i >= s->n_record)
		return err_set(e, ERR_LIMIT, "no such record in the spool");
	const struct buf *b = &s->plain;
	int64_t last = s->n_record; /* one past the last record of i's frame */
	if (i < s->first_open) {
		int64_t lo = 0, hi = s->n_frame;
		while (hi - lo > 1) {
			int64_t mid = (lo + hi) / 2;
			if (s->frames[mid].first <= i)
				lo = mid;
			else
				hi = mid;
		}
		int rc = s->frame_read == lo ? 0 : frame_load(s, lo, e);
		if (rc)
			return rc;
		b = &s->frame;
		last = lo + 1 < s->n_frame ? s->frames[lo + 1].first : s->first_open;
	}
	size_t end = i + 1 < last ? s->starts[i + 1] : b->n;
	*data = b->data + s->starts[i];
	*n = end - s->starts[i];
	return 0;
}
