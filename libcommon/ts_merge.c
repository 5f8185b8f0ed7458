/* Shards into the stream of the run that was never cut, with proof that they belong together. */
#include "ts_export.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS 65536

struct shard {
	bool seen;
	struct ts_spool *spool;
	struct ts_end end;
	int64_t next;     /* record of the spool to be written next */
	int64_t next_row; /* and its row; INT64_MAX: none left */
};
struct ts_merge {
	int64_t n;
	struct shard *shards;
	struct buf header; /* packed, without shard */
	struct arena *arena, *scratch;
};

int ts_merge_new(struct ts_merge **out, struct err *e)
{
	struct ts_merge *g = calloc(1, sizeof *g);
	*out = g;
	if (!g || !(g->arena = arena_new(0)) || !(g->scratch = arena_new(0))) {
		ts_merge_free(g);
		*out = NULL;
		return err_set(e, ERR_MEMORY, "no memory to merge");
	}
	return 0;
}

void ts_merge_free(struct ts_merge *g)
{
	if (!g)
		return;
	for (int64_t i = 0; i < g->n; i++)
		ts_spool_free(g->shards[i].spool);
	free(g->shards);
	buf_free(&g->header);
	arena_free(g->arena);
	arena_free(g->scratch);
	free(g);
}

/* Takes the segment's header: the same as the others', but for its place among the shards. */
static int header_take(struct ts_merge *g, struct ts_reader *r, struct shard **out, struct err *e)
{
	struct ts_header h;
	struct ts_map m;
	struct buf b = {0};
	arena_reset(g->scratch);
	int rc = ts_reader_header(r, &h, g->scratch, e);
	if (rc)
		return rc;
	int64_t i = h.shard[0], n = h.shard[1];
	if (!n)
		return err_set(e, ERR_SCHEMA, "this stream is no shard (no --shard made it)");
	if (n > MAX_SHARDS)
		return err_set(e, ERR_LIMIT, "%" PRId64 " shards; at most %d can be merged", n, MAX_SHARDS);
	if (strcmp(h.schema, "molecule"))
		return err_set(e, ERR_SCHEMA, "shards are of schema molecule, this is %s", h.schema);
	h.shard[0] = h.shard[1] = 0;
	ts_map_init(&m, g->scratch);
	ts_header_to_map(&h, &m);
	if ((rc = ts_pack(&m, &b, e)))
		goto done;
	if (!g->n) {
		g->shards = calloc((size_t)n, sizeof *g->shards);
		if (!g->shards)
			abort();
		g->n = n;
		buf_put(&g->header, b.data, b.n);
	}
	if (n != g->n)
		rc = err_set(e, ERR_SCHEMA, "shard %" PRId64 "/%" PRId64 " among shards of %" PRId64, i, n, g->n);
	else if (b.n != g->header.n || memcmp(b.data, g->header.data, b.n))
		rc = err_set(e, ERR_SCHEMA,
			     "shard %" PRId64 "/%" PRId64
			     " was made by another command or of other inputs (compare --history)",
			     i, n);
	else if (g->shards[i].seen)
		rc = err_set(e, ERR_SCHEMA, "shard %" PRId64 "/%" PRId64 " is here twice", i, n);
	else
		*out = &g->shards[i];
done:
	buf_free(&b);
	return rc;
}

int ts_merge_segment(struct ts_merge *g, struct ts_reader *r, struct err *e)
{
	struct shard *s = NULL;
	int64_t last = -1, row;
	int rc = header_take(g, r, &s, e), item;
	if (rc || (rc = ts_spool_new(&s->spool, e)))
		return rc;
	s->seen = true;
	struct ts_map m;
	while ((item = ts_reader_next(r, g->scratch, &m, e)) == TS_RECORD) {
		size_t n;
		const uint8_t *data = ts_reader_bytes(r, &n);
		int64_t at = s - g->shards;
		if ((rc = ts_need_int(&m, "row", &row, e)))
			return rc;
		if (row < 0 || row % g->n != at)
			return err_set(e, ERR_FORMAT, "row %" PRId64 " does not belong to shard %" PRId64 "/%" PRId64,
				       row, at, g->n);
		if (row <= last)
			return err_set(e, ERR_FORMAT, "row %" PRId64 " after row %" PRId64, row, last);
		last = row;
		if ((rc = ts_spool_add(s->spool, data, n, e)))
			return rc;
		arena_reset(g->scratch);
	}
	if (item != TS_END)
		return item < 0 ? item : err_set(e, ERR_FORMAT, "a segment without its end");
	s->end = *ts_reader_end(r);
	ts_map_init(&s->end.extra, g->arena);
	for (int i = 0; i < ts_reader_end(r)->extra.n; i++) {
		const struct ts_field *f = &ts_reader_end(r)->extra.fields[i];
		ts_set(&s->end.extra, f->key, ts_value_copy(g->arena, &f->v));
	}
	return 0;
}

static void counts_add(struct ts_counts *sum, const struct ts_counts *c)
{
	sum->n += c->n;
	sum->rows += c->rows;
	sum->rejects += c->rejects;
	sum->warned += c->warned;
}

/*
 * The end map of the whole. When the shards have one source, the last stage cut it: each counts the rows of the whole
 * and filtered those of its sisters. Otherwise an earlier stage did: then that holds of `upstream`.
 */
static int end_sum(const struct ts_merge *g, struct ts_end *end, struct err *e)
{
	const struct ts_end *first = &g->shards[0].end;
	bool here = true;
	for (int64_t i = 0; i < g->n; i++)
		here &= !strcmp(g->shards[i].end.source, first->source) && *first->source;
	*end = (struct ts_end){.extra = first->extra};
	struct ts_counts *cut = here ? &end->counts : &end->upstream;
	const struct ts_counts *whole = here ? &first->counts : &first->upstream;
	for (int64_t i = 0; i < g->n; i++) {
		const struct ts_end *s = &g->shards[i].end;
		const struct ts_counts *c = here ? &s->counts : &s->upstream;
		if (c->rows != whole->rows)
			return err_set(e, ERR_FORMAT, "shard %" PRId64 " is of %" PRId64 " rows, shard 0 of %" PRId64,
				       i, c->rows, whole->rows);
		if (here && (s->upstream.n != first->upstream.n || s->upstream.rows != first->upstream.rows))
			return err_set(e, ERR_FORMAT, "shards 0 and %" PRId64 " count their upstream differently", i);
		counts_add(&end->counts, &s->counts);
		end->counts.filtered += s->counts.filtered;
		counts_add(&end->upstream, &s->upstream);
	}
	if (here) { /* refusals before the cut stand in shard 0 */
		end->upstream.n = first->upstream.n;
		end->upstream.rows = first->upstream.rows;
		end->upstream.filtered = end->upstream.rows - end->upstream.n - end->upstream.rejects;
	}
	cut->rows = whole->rows;
	cut->filtered = cut->rows - cut->n - cut->rejects;
	if (cut->filtered < 0 || end->upstream.filtered < 0)
		return err_set(e, ERR_FORMAT, "the shards have more rows than the whole");
	if (here) {
		memcpy(end->source, first->source, sizeof end->source);
	} else {
		struct buf b = {0};
		for (int64_t i = 0; i < g->n; i++)
			buf_put(&b, g->shards[i].end.source, strlen(g->shards[i].end.source));
		io_digest_hex(b.data, b.n, end->source);
		buf_free(&b);
	}
	return 0;
}

/* Row of the shard's next record into next_row. */
static int shard_peek(struct ts_merge *g, struct shard *s, struct err *e)
{
	const uint8_t *data;
	size_t n;
	struct ts_map m;
	s->next_row = INT64_MAX;
	if (s->next == ts_spool_count(s->spool))
		return 0;
	arena_reset(g->scratch);
	int rc = ts_spool_get(s->spool, s->next, &data, &n, e);
	if (!rc)
		rc = ts_unpack(data, n, g->scratch, &m, e);
	return rc ? rc : ts_need_int(&m, "row", &s->next_row, e);
}

int ts_merge_write(struct ts_merge *g, struct ts_writer *w, struct err *e)
{
	struct ts_header h;
	struct ts_map m;
	struct ts_end end;
	int rc;
	if (!g->n)
		return err_set(e, ERR_SCHEMA, "no shard to merge");
	for (int64_t i = 0; i < g->n; i++)
		if (!g->shards[i].seen)
			return err_set(e, ERR_SCHEMA, "shard %" PRId64 "/%" PRId64 " is missing", i, g->n);
	if ((rc = end_sum(g, &end, e)) || (rc = ts_unpack(g->header.data, g->header.n, g->arena, &m, e)) ||
	    (rc = ts_header_from_map(&h, &m, g->arena, e)) || (rc = ts_writer_header(w, &h, e)))
		return rc;
	for (int64_t i = 0; i < g->n; i++)
		if ((rc = shard_peek(g, &g->shards[i], e)))
			return rc;
	for (;;) {
		struct shard *least = &g->shards[0];
		for (int64_t i = 1; i < g->n; i++)
			if (g->shards[i].next_row < least->next_row)
				least = &g->shards[i];
		if (least->next_row == INT64_MAX)
			break;
		const uint8_t *data;
		size_t n;
		if ((rc = ts_spool_get(least->spool, least->next, &data, &n, e)) ||
		    (rc = ts_writer_packed(w, data, n, e)))
			return rc;
		least->next++;
		if ((rc = shard_peek(g, least, e)))
			return rc;
	}
	return ts_writer_end(w, &end, e);
}
