/* learn_ahead.c - the next batch is read and collated while this one is computed. */
#include "learn_run.h"

static int batch_make(const struct learn_run *r, const int64_t *idx, int64_t n, uint64_t step, struct arena *a,
		      struct learn_batch *out, struct err *e)
{
	struct nn_picture_choice choice = {.seed = (uint64_t)r->conf->cli.seed, .step = step, .fixed = -1};
	struct ts_map *map = arena_alloc(a, (size_t)(n + 1) * sizeof *map);
	const struct ts_map **rec = arena_alloc(a, (size_t)(n + 1) * sizeof *rec);
	int rc = 0;
	for (int64_t i = 0; i < n && !rc; i++) {
		rc = nn_data_get(r->data.records, idx[i], a, &map[i], e);
		rec[i] = &map[i];
	}
	if (!rc)
		rc = nn_batch_collate(&r->reading, rec, n, &choice, a, &out->b, e);
	if (!rc && r->conf->task == LEARN_PRETRAIN)
		nn_model_draw(r->model, &out->b, (uint64_t)r->conf->cli.seed, step, a, &out->draws);
	return rc;
}

static void work(void *ctx)
{
	struct learn_run *r = ctx;
	struct learn_ahead *h = &r->ahead;
	arena_reset(h->arena);
	h->rc = batch_make(r, h->idx, h->n, h->step, h->arena, &h->batch, &h->e);
}

void learn_ahead_begin(struct learn_run *r, const int64_t *idx, int64_t n, uint64_t step)
{
	struct learn_ahead *h = &r->ahead;
	if (pool_size(r->pool) < 2 || learn_in_structure(r))
		return;
	if (!h->arena && !(h->arena = arena_new(1 << 20)))
		return;
	h->idx = idx;
	h->n = n;
	h->step = step;
	h->e = (struct err){0};
	h->is_there = true;
	pool_aside(r->pool, work, r);
}

void learn_ahead_wait(struct learn_run *r)
{
	if (r->ahead.is_there)
		pool_aside_wait(r->pool);
}

void learn_ahead_free(struct learn_run *r)
{
	learn_ahead_wait(r);
	arena_free(r->ahead.arena);
	r->ahead = (struct learn_ahead){.arena = NULL};
}

int learn_batch_take(struct learn_run *r, const int64_t *idx, int64_t n, uint64_t step, struct learn_batch *b,
		     struct err *e)
{
	struct learn_ahead *h = &r->ahead;
	bool is_this = h->is_there && h->idx == idx && h->n == n && h->step == step;
	learn_ahead_wait(r);
	h->is_there = false;
	if (!is_this) {
		arena_reset(r->arena);
		return batch_make(r, idx, n, step, r->arena, b, e);
	}
	struct arena *spent = r->arena;
	r->arena = h->arena;
	h->arena = spent;
	*b = h->batch;
	*e = h->rc ? h->e : *e;
	return h->rc;
}
