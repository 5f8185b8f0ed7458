/* Operands as streams; see cli_stream.h. */
#include "cli_stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cli_stream {
	const struct cli *c;
	int index, fd; /* of the operand being read */
	const char *name;
	struct ts_reader *r;
};

static int operand_open(struct cli_stream *s, struct err *e)
{
	s->fd = cli_in_open(s->c, s->index, &s->name, e);
	return s->fd < 0 ? s->fd : ts_reader_new(&s->r, s->fd, s->name, NULL, 0, e);
}

static void operand_close(struct cli_stream *s)
{
	ts_reader_free(s->r);
	s->r = NULL;
	if (s->fd > 0)
		close(s->fd);
	s->fd = -1;
}

int cli_stream_open(const struct cli *c, struct cli_stream **out, struct err *e)
{
	struct cli_stream *s = calloc(1, sizeof *s);
	*out = s;
	if (!s)
		return err_set(e, ERR_MEMORY, "no memory for a stream");
	s->c = c;
	s->fd = -1;
	int rc = operand_open(s, e);
	if (rc) {
		cli_stream_free(s);
		*out = NULL;
	}
	return rc;
}

void cli_stream_free(struct cli_stream *s)
{
	if (!s)
		return;
	operand_close(s);
	free(s);
}

int cli_stream_next(struct cli_stream *s, struct arena *a, struct ts_map *m, struct err *e)
{
	for (;;) {
		if (io_stop_signal())
			return err_set(e, ERR_STOPPED, "stopped by signal %d", io_stop_signal());
		int item = ts_reader_next(s->r, a, m, e);
		if (item != TS_EOF || s->index + 1 >= s->c->n_file)
			return item;
		operand_close(s);
		s->index++;
		int rc = operand_open(s, e);
		if (rc)
			return rc;
	}
}

struct ts_reader *cli_stream_reader(const struct cli_stream *s)
{
	return s->r;
}

int cli_stream_header(struct cli_stream *s, const char *schema, struct ts_header *h, struct arena *a, struct err *e)
{
	int rc = ts_reader_header(s->r, h, a, e);
	if (!rc && *schema)
		rc = ts_schema_need(h, schema, e);
	if (rc)
		err_add_place(e, s->name, -1, -1);
	return rc;
}

int cli_stream_fail(const struct cli_stream *s, int code, struct err *e)
{
	err_add_place(e, s->name, ts_reader_record(s->r) - 1, -1);
	return code;
}

static void counts_add(struct ts_counts *sum, const struct ts_counts *c)
{
	sum->n += c->n;
	sum->rows += c->rows;
	sum->rejects += c->rejects;
	sum->filtered += c->filtered;
	sum->warned += c->warned;
}

static int segment_begins(struct cli_stream *s, const char *schema, struct arena *keep, struct cli_gathered *g,
			  struct err *e)
{
	struct ts_header h;
	int rc = cli_stream_header(s, schema, &h, keep, e);
	if (!rc && !g->n_segment++) {
		g->header = h;
	} else if (!rc && !(rc = ts_header_same_kind(&g->header, &h, e))) {
		ts_header_add_history(&g->header, &h, keep);
		for (int i = 0; i < h.n_field; i++)
			ts_header_add_field(&g->header, h.fields[i], keep);
	}
	return rc;
}

static void segment_ends(struct cli_stream *s, struct cli_gathered *g)
{
	struct ts_end one;
	ts_end_follow(&one, ts_reader_end(s->r));
	counts_add(&g->follow.counts, &one.counts);
	counts_add(&g->follow.upstream, &one.upstream);
	char both[64];
	memcpy(both, g->follow.source, 32);
	memcpy(both + 32, one.source, 32);
	if (g->n_segment == 1)
		memcpy(g->follow.source, one.source, sizeof one.source);
	else /* several segments: a digest of their digests */
		io_digest_hex(both, sizeof both, g->follow.source);
}

int cli_mem_check(int64_t held, int64_t limit, const char *advice, struct err *e)
{
	if (held <= limit)
		return 0;
	return err_set(e, ERR_LIMIT, "what must be held of these records passes --mem (%lld bytes): %s",
		       (long long)limit, advice);
}

int cli_gather(struct cli_stream *s, const char *schema, struct arena *keep, cli_record_fn *fn, void *ctx,
	       struct cli_gathered *g, struct err *e)
{
	const struct ts_schema *rules = ts_schema_find(schema);
	struct arena *a = arena_new(0);
	struct ts_map m;
	struct cli_progress *progress = cli_progress_new(s->c, -1);
	int64_t n_read = 0;
	*g = (struct cli_gathered){0};
	int item, rc = ts_spool_new(&g->spool, e);
	while (!rc && (item = cli_stream_next(s, a, &m, e)) != TS_EOF) {
		if (item < 0) {
			rc = item;
		} else if (item == TS_HEADER) {
			rc = segment_begins(s, schema, keep, g, e);
		} else if (item == TS_END) {
			segment_ends(s, g);
		} else {
			rc = rules ? ts_schema_check(rules, &g->header, &m, NULL, e) : 0;
			int out = !rc && fn ? fn(ctx, &m, e) : 0;
			size_t n;
			const uint8_t *data = ts_reader_bytes(s->r, &n);
			g->follow.counts.filtered += out == 1;
			if (!rc)
				rc = out < 0 ? out : out ? 0 : ts_spool_add(g->spool, data, n, e);
			if (rc)
				cli_stream_fail(s, rc, e);
			cli_progress_update(progress, ++n_read, 0);
		}
		arena_reset(a);
	}
	cli_progress_free(progress);
	arena_free(a);
	return rc;
}

int cli_sink_open(const struct cli *c, struct cli_sink *k, struct err *e)
{
	*k = (struct cli_sink){0};
	int rc = cli_out_open(c, true, &k->out, e);
	if (rc)
		return rc;
	k->open = true;
	return ts_writer_new(&k->w, k->out.fd, e);
}

int cli_sink_close(struct cli_sink *k, bool success, struct err *e)
{
	int rc = 0;
	ts_writer_free(k->w);
	k->w = NULL;
	if (k->open)
		rc = cli_out_close(&k->out, success, e);
	k->open = false;
	return rc;
}

struct text {
	int fd;
	struct err *e;
};

static ssize_t text_write(void *cookie, const char *data, size_t n)
{
	struct text *t = cookie;
	return io_write_all(t->fd, data, n, t->e) ? 0 : (ssize_t)n;
}

static int text_close(void *cookie)
{
	free(cookie);
	return 0;
}

FILE *cli_text_open(int fd, struct err *e)
{
	struct text *t = malloc(sizeof *t);
	if (!t)
		abort();
	*t = (struct text){fd, e};
	FILE *f = fopencookie(t, "w", (cookie_io_functions_t){.write = text_write, .close = text_close});
	if (!f)
		abort();
	setvbuf(f, NULL, _IOFBF, 1 << 16);
	return f;
}
