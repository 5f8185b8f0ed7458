/* nn_tape.c - the tape: memory of a step, variables, and the rules that run backwards. */
#include "nn.h"

#include <math.h>
#include <stdlib.h>

enum { MIN_BLOCK = 4 << 20 }; /* from there on an array of the CPU lies on huge pages */
struct block {
	char *p;
	size_t nbytes;
};
struct rule {
	struct rule *before;
	const char *name;
	void (*backward)(struct nn_tape *t, void *ctx);
	void *ctx;
};
struct nn_tape {
	const struct kernels *k;
	struct arena *arena;
	struct block *blocks; /* back-end memory, kept from step to step */
	int n_block, at;      /* at: the block in use */
	size_t used;          /* of it */
	struct rule *last;
	struct nn_var *fresh; /* with gradients that are still to be zeroed */
	bool want_grad, batch_statistics, keeps_running;
	uint64_t seed, step, n_drop;
	struct nn_profile *profile; /* or NULL */
};

struct nn_tape *nn_tape_new(const struct kernels *k)
{
	struct nn_tape *t = calloc(1, sizeof *t);
	if (!t)
		abort();
	t->k = k;
	t->arena = arena_new(0);
	return t;
}

static void free_blocks(struct nn_tape *t)
{
	for (int i = 0; i < t->n_block; i++)
		t->k->release(t->blocks[i].p);
	free(t->blocks);
	t->blocks = NULL;
	t->n_block = t->at = 0;
	t->used = 0;
}

void nn_tape_free(struct nn_tape *t)
{
	if (!t)
		return;
	free_blocks(t);
	arena_free(t->arena);
	free(t);
}

static void add_block(struct nn_tape *t, size_t nbytes)
{
	t->blocks = realloc(t->blocks, (size_t)(t->n_block + 1) * sizeof *t->blocks);
	if (!t->blocks)
		abort();
	t->blocks[t->n_block] = (struct block){.p = t->k->alloc(nbytes), .nbytes = nbytes};
	if (!t->blocks[t->n_block++].p)
		abort();
}

static size_t held(const struct nn_tape *t)
{
	size_t total = 0;
	for (int i = 0; i < t->n_block; i++)
		total += t->blocks[i].nbytes;
	return total;
}

void *nn_tape_alloc(struct nn_tape *t, size_t nbytes)
{
	size_t need = (nbytes + 63) / 64 * 64;
	for (; t->at < t->n_block && t->blocks[t->at].nbytes - t->used < need; t->at++)
		t->used = 0;
	if (t->at == t->n_block) {
		size_t more = held(t) / 4 > MIN_BLOCK ? held(t) / 4 : MIN_BLOCK;
		add_block(t, need > more ? need : more);
	}
	char *p = t->blocks[t->at].p + t->used;
	t->used += need;
	return p;
}

void nn_tape_begin(struct nn_tape *t, bool train, uint64_t seed, uint64_t step)
{
	t->at = 0;
	t->used = 0;
	arena_reset(t->arena);
	t->last = NULL;
	t->fresh = NULL;
	t->want_grad = t->batch_statistics = train;
	t->keeps_running = false;
	t->seed = seed;
	t->step = step;
	t->n_drop = 0;
}

void nn_tape_profile(struct nn_tape *t, struct nn_profile *p)
{
	t->profile = p;
}

void nn_tape_use_running(struct nn_tape *t, bool want_grad)
{
	t->batch_statistics = false;
	t->want_grad = want_grad;
}

void nn_tape_keep_running(struct nn_tape *t, bool keep)
{
	t->keeps_running = keep;
}

bool nn_tape_keeps_running(const struct nn_tape *t)
{
	return t->keeps_running;
}

const struct kernels *nn_tape_kernels(const struct nn_tape *t)
{
	return t->k;
}

bool nn_tape_is_training(const struct nn_tape *t)
{
	return t->batch_statistics;
}

struct arena *nn_tape_arena(struct nn_tape *t)
{
	return t->arena;
}

uint64_t nn_tape_stream(struct nn_tape *t, uint64_t *seed)
{
	*seed = t->seed;
	return t->step << 16 | (t->n_drop++ & 0xffff);
}

struct nn_var *nn_var_new(struct nn_tape *t, int64_t n, int64_t d, bool want_grad)
{
	struct nn_var *x = arena_alloc(t->arena, sizeof *x);
	size_t nbytes = (size_t)(n * d) * sizeof *x->v;
	*x = (struct nn_var){.n = n, .d = d, .v = nn_tape_alloc(t, nbytes)};
	if (want_grad && t->want_grad) {
		x->g = nn_tape_alloc(t, nbytes);
		x->fresh = t->fresh;
		t->fresh = x;
	}
	return x;
}

static void zero_fresh(struct nn_tape *t)
{
	for (struct nn_var *x = t->fresh; x; x = x->fresh)
		if (!x->unset && (!x->of || !nn_var_adds(x)))
			t->k->fill(t->k, x->g, x->n * x->d, 0);
	t->fresh = NULL;
}

struct nn_var *nn_var_unset(struct nn_var *x)
{
	x->unset = x->g != NULL;
	return x;
}

bool nn_var_adds(struct nn_var *x)
{
	bool *unset = x->of ? &x->of->unset : &x->unset, adds = !*unset;
	*unset = false;
	return adds;
}

void nn_tape_push_named(struct nn_tape *t, const char *name, void (*backward)(struct nn_tape *t, void *ctx), void *ctx)
{
	struct rule *r = arena_alloc(t->arena, sizeof *r);
	*r = (struct rule){.before = t->last, .name = name, .backward = backward, .ctx = ctx};
	t->last = r;
	nn_profile_mark(t->profile, name, false);
}

static struct nn_var *new_input(struct nn_tape *t, const real *host, int64_t n, int64_t d, bool want_grad)
{
	struct nn_var *x = nn_var_new(t, n, d, want_grad);
	t->k->upload(x->v, host, (size_t)(n * d) * sizeof *host);
	return x;
}

struct nn_var *nn_input(struct nn_tape *t, const real *host, int64_t n, int64_t d)
{
	return new_input(t, host, n, d, false);
}

struct nn_var *nn_input_grad(struct nn_tape *t, const real *host, int64_t n, int64_t d)
{
	return new_input(t, host, n, d, true);
}

struct nn_var *nn_use(struct nn_tape *t, struct nn_param *p)
{
	struct nn_var *x = arena_alloc(t->arena, sizeof *x);
	int64_t rows = p->n_dim > 1 ? p->shape[0] : 1;
	*x = (struct nn_var){.n = rows, .d = rows ? p->n / rows : 0, .v = p->value, .of = p};
	if (t->want_grad && !p->frozen && p->grad) {
		x->g = p->grad;
		x->fresh = t->fresh;
		t->fresh = x;
	}
	return x;
}

const int64_t *nn_tape_index(struct nn_tape *t, const int64_t *host, int64_t n)
{
	int64_t *p = nn_tape_alloc(t, (size_t)n * sizeof *p);
	t->k->upload(p, host, (size_t)n * sizeof *p);
	return p;
}

struct k_csr nn_tape_csr(struct nn_tape *t, const int64_t *target, int64_t n_item, int64_t n, const int64_t *value)
{
	struct nn_order o = nn_order_by(t->arena, target, n_item, n);
	for (int64_t i = 0; i < n_item && value; i++)
		o.item[i] = value[o.item[i]];
	return (struct k_csr){.n = n,
			      .n_item = n_item,
			      .start = nn_tape_index(t, o.start, n + 1),
			      .item = nn_tape_index(t, o.item, n_item)};
}

struct nn_order nn_order_by(struct arena *a, const int64_t *key, int64_t n_item, int64_t n)
{
	struct nn_order o = {.start = arena_calloc(a, (size_t)n + 2, sizeof *o.start),
			     .item = arena_alloc(a, (size_t)(n_item + 1) * sizeof *o.item)};
	for (int64_t i = 0; i < n_item; i++)
		o.start[key[i] + 2]++;
	for (int64_t v = 0; v < n; v++)
		o.start[v + 2] += o.start[v + 1];
	for (int64_t i = 0; i < n_item; i++) /* start[v + 1] runs from the start of v to that of v + 1 */
		o.item[o.start[key[i] + 1]++] = i;
	return o;
}

void nn_backward_run(struct nn_tape *t)
{
	zero_fresh(t);
	for (struct rule *r = t->last; r; r = r->before) {
		r->backward(t, r->ctx);
		nn_profile_mark(t->profile, r->name, true);
	}
	t->last = NULL;
}

int nn_backward(struct nn_tape *t, struct nn_var *loss, struct err *e)
{
	double value = nn_scalar(t, loss);
	int rc = kernels_check(t->k, e);
	if (rc)
		return rc;
	if (!isfinite(value))
		return err_set(e, ERR_NUMERIC, "the loss is not a finite number (%g)", value);
	zero_fresh(t);
	if (loss->g)
		t->k->fill(t->k, loss->g, 1, 1);
	nn_backward_run(t);
	return 0;
}

void nn_seed_grad(struct nn_tape *t, struct nn_var *x, const real *g)
{
	if (!x->g)
		return;
	struct nn_var *up = new_input(t, g, x->n, x->d, false);
	zero_fresh(t);
	t->k->axpy(t->k, x->g, up->v, 1, x->n * x->d);
}

void nn_download(const struct nn_tape *t, const struct nn_var *x, real *host)
{
	t->k->download(host, x->v, (size_t)(x->n * x->d) * sizeof *host);
}

double nn_scalar(const struct nn_tape *t, const struct nn_var *x)
{
	real value;
	t->k->download(&value, x->v, sizeof value);
	return (double)value;
}
