/* learn_filter.c - records through a model, block by block. */
#include "learn_filter.h"
#include "nn_checkpoint.h"

#include <stdlib.h>
#include <string.h>

int learn_model_open(const char *path, unsigned parts, bool partial, const struct learn_device *d, struct kernels *k,
		     struct nn_model **m, struct err *e)
{
	struct nn_checkpoint *c;
	int rc = nn_checkpoint_open(&c, path, e);
	if (rc)
		return rc;
	if (!nn_checkpoint_is_complete(c) && !partial)
		rc =
		    err_set(e, ERR_SCHEMA,
			    "%s is of a run that was stopped: go on with train --resume, or say --allow-partial", path);
	if (!rc && d)
		rc = learn_device_fit(k, d, nn_checkpoint_config(c), parts & nn_checkpoint_parts(c), e);
	if (!rc)
		rc = nn_checkpoint_model(c, NULL, parts, k, NULL, m, e);
	nn_checkpoint_close(c);
	return rc;
}

int learn_model_door(const struct cli *c, const struct nn_model *m, const struct ts_header *h, struct err *e)
{
	struct nn_reading r = nn_reading_of(m);
	int rc = nn_reading_check(&r, h, false, e);
	if (rc)
		return rc;
	if (r.views & 1u << NN_3D && !ts_header_has_field(h, "pos"))
		cli_warn(c, "the stream has no field pos: the model goes without its 3d view");
	if (r.views & 1u << NN_IMG && !ts_header_has_field(h, "img"))
		cli_warn(c, "the stream has no field img: the model goes without its img view");
	return 0;
}

struct holding {
	struct ts_map map[NN_BLOCK_MOL];
	struct arena *arena[NN_BLOCK_MOL];
	int64_t n;
};

/* Hands on as many of the records held as make a block; the others move up. */
static int block_flush(const struct learn_filter *f, struct holding *h, struct err *e)
{
	const struct ts_map *rec[NN_BLOCK_MOL];
	struct ts_map *writable[NN_BLOCK_MOL];
	for (int64_t i = 0; i < h->n; i++)
		rec[i] = writable[i] = &h->map[i];
	int64_t n = nn_infer_take(rec, h->n);
	int rc = f->block(f->ctx, writable, n, e);
	for (int64_t i = 0; i < h->n - n; i++) {
		struct arena *free_one = h->arena[i];
		h->map[i] = h->map[i + n];
		h->arena[i] = h->arena[i + n];
		h->arena[i + n] = free_one;
	}
	h->n -= n;
	return rc;
}

int learn_filter_run(const struct learn_filter *f, struct err *e)
{
	struct holding h = {.n = 0};
	struct cli_stream *in = NULL;
	int64_t most = f->batch < NN_BLOCK_MOL ? f->batch : NN_BLOCK_MOL, n_done = 0;
	int item = 0, rc = cli_stream_open(f->c, &in, e);
	struct cli_progress *line = cli_progress_new(f->c, -1);
	struct arena *header_arena = arena_new(0);
	for (int i = 0; i < NN_BLOCK_MOL; i++)
		h.arena[i] = arena_new(0);
	while (!rc) {
		struct arena *a = h.arena[h.n];
		arena_reset(a);
		item = cli_stream_next(in, a, &h.map[h.n], e);
		if (item < 0)
			rc = item;
		if (item <= 0)
			break;
		if (item == TS_HEADER) {
			struct ts_header header;
			arena_reset(header_arena);
			rc = cli_stream_header(in, "molecule", &header, header_arena, e);
			if (!rc)
				rc = f->header(f->ctx, &header, e);
		} else if (item == TS_END) {
			while (!rc && h.n)
				rc = block_flush(f, &h, e);
			if (!rc)
				rc = f->end(f->ctx, ts_reader_end(cli_stream_reader(in)), e);
		} else if (++h.n == most) {
			rc = block_flush(f, &h, e);
		}
		cli_progress_update(line, n_done += item == TS_RECORD, 0);
	}
	cli_progress_free(line);
	for (int i = 0; i < NN_BLOCK_MOL; i++)
		arena_free(h.arena[i]);
	arena_free(header_arena);
	cli_stream_free(in);
	return rc;
}
