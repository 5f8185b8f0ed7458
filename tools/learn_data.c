/* learn_data.c - gathers the records, and what stands in each that decides how it is used. */
#include "learn_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROW, Y, PART, VIEWS };

struct gathering {
	struct learn_data *d;
	const struct learn_need *need;
	int64_t n_with_split;
};

static int labels_take(struct learn_data *d, const struct ts_map *m, struct err *e)
{
	const struct ts_tensor *t;
	int rc = ts_get(m, "y") ? ts_need_tensor(m, "y", TS_F32, 1, &t, e)
				: err_set(e, ERR_SCHEMA, "no field y: run mol2graph with --labels");
	if (rc)
		return rc;
	if (d->bufs[ROW].n > sizeof(int64_t) && t->shape[0] != d->n_task)
		return err_set(e, ERR_SCHEMA, "y has %" PRId64 " labels here and %d before", t->shape[0], d->n_task);
	d->n_task = (int)t->shape[0];
	for (int64_t i = 0; i < t->shape[0]; i++)
		if (isinf(((const float *)t->data)[i]))
			return err_set(e, ERR_NUMERIC, "y holds an infinite label");
	buf_put(&d->bufs[Y], t->data, ts_tensor_nbytes(t));
	return 0;
}

static int record_take(void *ctx, const struct ts_map *m, struct err *e)
{
	struct gathering *g = ctx;
	struct learn_data *d = g->d;
	int64_t row;
	uint8_t part = NN_TRAIN;
	const char *name;
	int rc = ts_need_int(m, "row", &row, e);
	if (rc)
		return rc;
	if (ts_get(m, "split")) {
		if ((rc = ts_need_str(m, "split", &name, e)))
			return rc;
		int k = nn_part_from_name(name);
		if (k < 0)
			return err_set(e, ERR_SCHEMA, "split is \"%s\": train, valid or test", name);
		part = (uint8_t)k;
		g->n_with_split++;
	}
	buf_put(&d->bufs[ROW], &row, sizeof row);
	buf_put(&d->bufs[PART], &part, 1);
	uint8_t views = nn_record_views(m);
	buf_put(&d->bufs[VIEWS], &views, 1);
	if (!d->img_channels)
		d->img_channels = nn_record_channels(m);
	if (g->need->labels)
		rc = labels_take(d, m, e);
	if (!rc && g->need->hyper)
		rc = learn_hyper_add(&d->hyper, m, e);
	return rc;
}

/* ---- after the last record ----------------------------------------------- */

static void parts_divide(struct learn_data *d)
{
	const uint8_t *part = d->bufs[PART].data;
	for (int k = 0; k < NN_PARTS; k++) {
		d->item[k] = malloc((size_t)(d->n + 1) * sizeof **d->item);
		if (!d->item[k])
			abort();
	}
	for (int64_t i = 0; i < d->n; i++)
		d->item[part[i]][d->n_item[part[i]]++] = i;
}

static int spool_keep(const struct learn_data *d, const char *path, struct err *e)
{
	struct io_atomic f;
	struct ts_writer *w = NULL;
	struct ts_end end = d->gathered.follow;
	const uint8_t *data;
	size_t n;
	int rc = io_atomic_open(&f, path, e);
	if (rc)
		return rc;
	rc = ts_writer_new(&w, f.fd, e);
	if (!rc)
		rc = ts_writer_header(w, &d->gathered.header, e);
	for (int64_t i = 0; i < d->n && !rc; i++)
		if (!(rc = ts_spool_get(d->gathered.spool, i, &data, &n, e)))
			rc = ts_writer_packed(w, data, n, e);
	if (!rc)
		rc = ts_writer_end(w, &end, e);
	ts_writer_free(w);
	if (!rc)
		return io_atomic_commit(&f, e);
	io_atomic_discard(&f);
	return rc;
}

int learn_data_read(const struct cli *c, const struct learn_need *need, struct learn_data *d, struct err *e)
{
	struct gathering g = {.d = d, .need = need};
	struct cli_stream *in = NULL;
	*d = (struct learn_data){0};
	int rc = cli_stream_open(c, &in, e);
	if (!rc)
		rc = cli_gather(in, "molecule", c->arena, record_take, &g, &d->gathered, e);
	cli_stream_free(in);
	if (rc)
		return rc;
	d->n = ts_spool_count(d->gathered.spool);
	d->row = (const int64_t *)(const void *)d->bufs[ROW].data;
	d->views = d->bufs[VIEWS].data;
	d->y = need->labels ? (float *)(void *)d->bufs[Y].data : NULL;
	d->has_split = g.n_with_split > 0;
	if (!d->n)
		return err_set(e, ERR_SCHEMA, "no record to train on");
	if (need->labels && (!d->gathered.header.n_task || d->gathered.header.n_task != d->n_task))
		return err_set(e, ERR_SCHEMA, "the stream has no labels: run mol2graph with --labels");
	if (g.n_with_split && g.n_with_split != d->n)
		return err_set(e, ERR_SCHEMA, "%" PRId64 " of %" PRId64 " records have no field split: run molsplit",
			       d->n - g.n_with_split, d->n);
	parts_divide(d);
	if (!d->n_item[NN_TRAIN])
		return err_set(e, ERR_SCHEMA, "no record has the split train");
	if (need->hyper)
		rc = learn_hyper_resolve(&d->hyper, e);
	if (!rc && need->spool)
		rc = spool_keep(d, need->spool, e);
	return rc ? rc : nn_data_new(&d->records, d->gathered.spool, need->mem_nbytes, e);
}

void learn_data_shuffle_labels(struct learn_data *d, uint64_t seed)
{
	enum { STREAM_SHUFFLE = 0x6c6162 }; /* of the seed: apart from the parameters' and the epochs' */
	int64_t n = d->n_item[NN_TRAIN], *from = malloc((size_t)(n + 1) * sizeof *from);
	size_t nbytes = (size_t)d->n_task * sizeof *d->y;
	float *y = malloc((size_t)(n + 1) * nbytes);
	struct rng r;
	if (!from || !y)
		abort();
	for (int64_t i = 0; i < n; i++) {
		from[i] = i;
		memcpy(y + i * d->n_task, d->y + d->item[NN_TRAIN][i] * d->n_task, nbytes);
	}
	rng_init(&r, seed, STREAM_SHUFFLE);
	rng_shuffle(&r, from, n);
	for (int64_t i = 0; i < n; i++)
		memcpy(d->y + d->item[NN_TRAIN][i] * d->n_task, y + from[i] * d->n_task, nbytes);
	free(from);
	free(y);
}

void learn_data_keep(struct learn_data *d, unsigned views, int64_t n_out[NN_PARTS])
{
	for (int k = 0; k < NN_PARTS; k++) {
		int64_t n = d->n_item[k];
		d->n_item[k] = 0;
		for (int64_t i = 0; i < n; i++)
			if (d->views[d->item[k][i]] & views)
				d->item[k][d->n_item[k]++] = d->item[k][i];
		n_out[k] = n - d->n_item[k];
	}
}

void learn_data_free(struct learn_data *d)
{
	nn_data_free(d->records);
	ts_spool_free(d->gathered.spool);
	for (int k = 0; k < NN_PARTS; k++)
		free(d->item[k]);
	for (size_t i = 0; i < sizeof d->bufs / sizeof *d->bufs; i++)
		buf_free(&d->bufs[i]);
	learn_hyper_free(&d->hyper);
	*d = (struct learn_data){0};
}
