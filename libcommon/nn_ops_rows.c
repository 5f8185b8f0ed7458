/* nn_ops_rows.c - operations on rows and columns: softmax, unit rows, slices, gathering, segments. */
#include "nn.h"

struct rule {
	struct nn_var *x, *y;
	int64_t at;
	const int64_t *idx;
	const real *w;
	struct k_csr c;
	bool log;
};

static void push_named(struct nn_tape *t, const char *name, void (*backward)(struct nn_tape *t, void *ctx),
		       struct rule r)
{
	if (!r.y->g || !r.x->g)
		return;
	struct rule *p = arena_alloc(nn_tape_arena(t), sizeof *p);
	*p = r;
	nn_tape_push_named(t, name, backward, p);
}
#define push(t, backward, ...) push_named(t, #backward, backward, __VA_ARGS__)

static void unit_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->unit_back(k, r->y->v, r->w, r->y->g, r->x->g, r->y->n, r->y->d);
}

struct nn_var *nn_unit(struct nn_tape *t, struct nn_var *x)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g != NULL), *norm = nn_var_new(t, x->n, 1, false);
	k->unit(k, x->v, y->v, norm->v, x->n, x->d);
	push(t, unit_back, (struct rule){.x = x, .y = y, .w = norm->v});
	return y;
}

static void softmax_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->softmax_back(k, r->y->v, r->y->g, r->x->g, r->y->n, r->y->d, r->log);
}

static struct nn_var *softmax(struct nn_tape *t, struct nn_var *x, bool log)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g != NULL);
	k->softmax(k, x->v, y->v, x->n, x->d, log);
	push(t, softmax_back, (struct rule){.x = x, .y = y, .log = log});
	return y;
}

struct nn_var *nn_softmax(struct nn_tape *t, struct nn_var *x)
{
	return softmax(t, x, false);
}

struct nn_var *nn_log_softmax(struct nn_tape *t, struct nn_var *x)
{
	return softmax(t, x, true);
}

static void transpose_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->transpose(k, r->y->g, r->x->g, r->y->n, r->y->d, true);
}

struct nn_var *nn_transpose(struct nn_tape *t, struct nn_var *x)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->d, x->n, x->g != NULL);
	k->transpose(k, x->v, y->v, x->n, x->d, false);
	push(t, transpose_back, (struct rule){.x = x, .y = y});
	return y;
}

static void concat_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->copy_block(k, r->y->g + r->at, r->y->d, r->x->g, r->x->d, r->x->n, r->x->d, true);
}

struct nn_var *nn_concat(struct nn_tape *t, int n, struct nn_var *const *x)
{
	const struct kernels *k = nn_tape_kernels(t);
	int64_t d = 0, at = 0;
	bool want_grad = false;
	for (int i = 0; i < n; i++) {
		d += x[i]->d;
		want_grad |= x[i]->g != NULL;
	}
	struct nn_var *y = nn_var_new(t, x[0]->n, d, want_grad);
	for (int i = 0; i < n; i++) {
		k->copy_block(k, x[i]->v, x[i]->d, y->v + at, d, y->n, x[i]->d, false);
		push(t, concat_back, (struct rule){.x = x[i], .y = y, .at = at});
		at += x[i]->d;
	}
	return y;
}

static void columns_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->copy_block(k, r->y->g, r->y->d, r->x->g + r->at, r->x->d, r->y->n, r->y->d, true);
}

struct nn_var *nn_columns(struct nn_tape *t, struct nn_var *x, int64_t from, int64_t d)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, d, x->g != NULL);
	k->copy_block(k, x->v + from, x->d, y->v, d, x->n, d, false);
	push(t, columns_back, (struct rule){.x = x, .y = y, .at = from});
	return y;
}

static void fold_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	for (int64_t at = 0; at < r->x->d; at += r->y->d)
		k->copy_block(k, r->y->g, r->y->d, r->x->g + at, r->x->d, r->y->n, r->y->d, true);
}

struct nn_var *nn_fold(struct nn_tape *t, struct nn_var *x, int n)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, x->d / n, x->g != NULL);
	for (int64_t at = 0; at < x->d; at += y->d)
		k->copy_block(k, x->v + at, x->d, y->v, y->d, y->n, y->d, at > 0);
	push(t, fold_back, (struct rule){.x = x, .y = y});
	return y;
}

struct nn_var *nn_reshape(struct nn_tape *t, struct nn_var *x, int64_t n, int64_t d)
{
	struct nn_var *y = arena_alloc(nn_tape_arena(t), sizeof *y);
	*y = (struct nn_var){.n = n, .d = d, .v = x->v, .g = x->g};
	return y;
}

static void gather_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->csr_sum(k, &r->c, r->y->g, NULL, r->x->g, r->x->d, true);
}

struct nn_var *nn_gather(struct nn_tape *t, struct nn_var *x, const int64_t *idx, int64_t n)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, n, x->d, x->g != NULL);
	k->gather(k, x->v, nn_tape_index(t, idx, n), y->v, n, x->d, false);
	if (y->g)
		push(t, gather_back, (struct rule){.x = x, .y = y, .c = nn_tape_csr(t, idx, n, x->n, NULL)});
	return y;
}

static void scatter_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->gather(k, r->y->g, r->idx, r->x->g, r->x->n, r->x->d, nn_var_adds(r->x));
}

struct nn_var *nn_scatter(struct nn_tape *t, struct nn_var *x, const int64_t *idx, int64_t n)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, n, x->d, x->g != NULL);
	struct k_csr c = nn_tape_csr(t, idx, x->n, n, NULL);
	k->csr_sum(k, &c, x->v, NULL, y->v, x->d, false);
	push(t, scatter_back, (struct rule){.x = x, .y = y, .idx = nn_tape_index(t, idx, x->n)});
	return y;
}

static void pick_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->pick_back(k, r->y->g, r->idx, r->x->g, r->x->n, r->x->d);
}

struct nn_var *nn_pick(struct nn_tape *t, struct nn_var *x, const int64_t *col)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, 1, x->g != NULL);
	const int64_t *idx = nn_tape_index(t, col, x->n);
	k->pick(k, x->v, idx, y->v, x->n, x->d);
	push(t, pick_back, (struct rule){.x = x, .y = y, .idx = idx});
	return y;
}

struct nn_var *nn_segment_sum(struct nn_tape *t, struct nn_var *x, const int64_t *seg, int64_t n)
{
	return nn_scatter(t, x, seg, n);
}

struct nn_var *nn_segment_mean(struct nn_tape *t, struct nn_var *x, const int64_t *seg, int64_t n)
{
	real *w = arena_calloc(nn_tape_arena(t), (size_t)n + 1, sizeof *w);
	for (int64_t i = 0; i < x->n; i++)
		w[seg[i]] += 1;
	for (int64_t i = 0; i < n; i++)
		w[i] = w[i] > 0 ? 1 / w[i] : 0;
	return nn_scale_rows(t, nn_scatter(t, x, seg, n), w);
}

static void segment_max_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->csr_max_back(k, r->idx, r->y->g, r->x->g, r->y->n, r->y->d);
}

struct nn_var *nn_segment_max(struct nn_tape *t, struct nn_var *x, const int64_t *seg, int64_t n)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, n, x->d, x->g != NULL);
	struct k_csr c = nn_tape_csr(t, seg, x->n, n, NULL);
	int64_t *arg = nn_tape_alloc(t, (size_t)(n * x->d) * sizeof *arg);
	k->csr_max(k, &c, x->v, y->v, arg, x->d);
	push(t, segment_max_back, (struct rule){.x = x, .y = y, .idx = arg});
	return y;
}
