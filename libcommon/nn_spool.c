/* nn_spool.c - records at random within a bound of memory; the order of each epoch. */
#include "nn_spool.h"

#include <stdlib.h>
#include <string.h>

enum { RUN_NBYTES = TS_FRAME_NBYTES };

struct nn_data {
	struct ts_spool *spool;
	int64_t n, mem_nbytes;
	uint32_t *nbytes; /* [n] of each record, packed */
	int64_t *at;      /* [n] place in held, -1: not held */
	struct buf held;
	/* Windows of the order last drawn: window w is order[first[w] .. first[w + 1]). */
	int64_t n_window, *first, window; /* window: the one held, -1: none, or all */
	bool all;
};

static int hold(struct nn_data *d, int64_t i, struct err *e)
{
	const uint8_t *data;
	size_t n;
	int rc = ts_spool_get(d->spool, i, &data, &n, e);
	if (rc)
		return rc;
	d->at[i] = (int64_t)d->held.n;
	buf_put(&d->held, data, n);
	return 0;
}

int nn_data_new(struct nn_data **out, struct ts_spool *s, int64_t mem_nbytes, struct err *e)
{
	struct nn_data *d = calloc(1, sizeof *d);
	int64_t n = ts_spool_count(s), total = 0;
	int rc = 0;
	*out = d;
	if (!d)
		return err_set(e, ERR_MEMORY, "no memory for the data");
	d->spool = s;
	d->n = n;
	d->mem_nbytes = mem_nbytes;
	d->window = -1;
	d->nbytes = malloc((size_t)(n + 1) * sizeof *d->nbytes);
	d->at = malloc((size_t)(n + 1) * sizeof *d->at);
	d->first = malloc((size_t)(n + 2) * sizeof *d->first);
	if (!d->nbytes || !d->at || !d->first)
		rc = err_set(e, ERR_MEMORY, "no memory for the data");
	d->all = true;
	for (int64_t i = 0; i < n && !rc; i++) {
		const uint8_t *data;
		size_t nbytes;
		d->at[i] = -1;
		rc = ts_spool_get(s, i, &data, &nbytes, e);
		d->nbytes[i] = (uint32_t)nbytes;
		total += (int64_t)nbytes;
		if (!rc && d->all && total <= mem_nbytes) {
			d->at[i] = (int64_t)d->held.n;
			buf_put(&d->held, data, nbytes);
		} else if (!rc && d->all) {
			d->all = false;
			for (int64_t j = 0; j < i; j++)
				d->at[j] = -1;
			buf_free(&d->held);
			d->held = (struct buf){0};
		}
	}
	if (rc) {
		nn_data_free(d);
		*out = NULL;
	}
	return rc;
}

void nn_data_free(struct nn_data *d)
{
	if (!d)
		return;
	free(d->nbytes);
	free(d->at);
	free(d->first);
	buf_free(&d->held);
	free(d);
}

int nn_data_get(struct nn_data *d, int64_t i, struct arena *a, struct ts_map *m, struct err *e)
{
	const uint8_t *data;
	size_t n;
	if (i < 0 || i >= d->n)
		return err_set(e, ERR_LIMIT, "no such record in the data");
	if (d->at[i] >= 0)
		return ts_unpack(d->held.data + d->at[i], d->nbytes[i], a, m, e);
	int rc = ts_spool_get(d->spool, i, &data, &n, e);
	return rc ? rc : ts_unpack(data, n, a, m, e);
}

int64_t nn_data_shuffle(struct nn_data *d, const int64_t *item, int64_t n, uint64_t seed, uint64_t epoch,
			int64_t *order)
{
	uint64_t key[2] = {seed, rng_hash("epoch", 5)};
	struct rng rng;
	rng_init(&rng, rng_hash(key, sizeof key), epoch);
	d->first[0] = 0;
	d->n_window = 0;
	if (d->all) {
		memcpy(order, item, (size_t)n * sizeof *order);
		rng_shuffle(&rng, order, n);
		d->first[++d->n_window] = n;
		return 1;
	}
	/* Runs of neighbours in the spool, in random order; as many as fit make a window. */
	int64_t *run = malloc((size_t)(n + 2) * sizeof *run), *turn = malloc((size_t)(n + 1) * sizeof *turn);
	int64_t n_run = 0, nbytes = RUN_NBYTES, put = 0, held = 0;
	if (!run || !turn)
		abort();
	for (int64_t i = 0; i < n; i++) {
		if (nbytes >= RUN_NBYTES) {
			turn[n_run] = n_run;
			run[n_run++] = i;
			nbytes = 0;
		}
		nbytes += d->nbytes[item[i]];
	}
	run[n_run] = n;
	rng_shuffle(&rng, turn, n_run);
	for (int64_t r = 0; r < n_run; r++) {
		int64_t from = run[turn[r]], to = run[turn[r] + 1], size = 0;
		for (int64_t i = from; i < to; i++)
			size += d->nbytes[item[i]];
		if (held && held + size > d->mem_nbytes) {
			d->first[++d->n_window] = put;
			held = 0;
		}
		memcpy(order + put, item + from, (size_t)(to - from) * sizeof *order);
		put += to - from;
		held += size;
	}
	d->first[++d->n_window] = put;
	for (int64_t w = 0; w < d->n_window; w++)
		rng_shuffle(&rng, order + d->first[w], d->first[w + 1] - d->first[w]);
	d->window = -1;
	free(run);
	free(turn);
	return d->n_window;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

int nn_data_window(struct nn_data *d, const int64_t *order, int64_t at, struct err *e)
{
	int64_t w = 0;
	if (d->all)
		return 0;
	while (w + 1 < d->n_window && d->first[w + 1] <= at)
		w++;
	if (w == d->window)
		return 0;
	int64_t n = d->first[w + 1] - d->first[w], *sorted = malloc((size_t)(n + 1) * sizeof *sorted);
	int rc = 0;
	if (!sorted)
		abort();
	memcpy(sorted, order + d->first[w], (size_t)n * sizeof *sorted);
	qsort(sorted, (size_t)n, sizeof *sorted, compare);
	for (int64_t i = 0; i < d->n; i++)
		d->at[i] = -1;
	d->held.n = 0;
	for (int64_t i = 0; i < n && !rc; i++)
		rc = hold(d, sorted[i], e);
	free(sorted);
	d->window = rc ? -1 : w;
	return rc;
}
