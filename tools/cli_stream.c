/* Operands as streams; see cli_stream.h. */
#include "cli_stream.h"

#include <stdlib.h>
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
		int item = ts_reader_next(s->r, a, m, e);
		if (item < 0 && io_stop_signal())
			return ERR_STOPPED;
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
