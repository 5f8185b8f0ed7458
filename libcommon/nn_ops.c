/* nn_ops.c - operations entry by entry, products, sums, and their backward rules. */
#include "nn.h"

/* What a rule needs: operands, result, and whatever else the operation had. */
struct rule {
	struct nn_var *a, *b, *y;
	double s;
	bool ta, tb;
	enum nn_act f;
	const real *w;
	const uint8_t *mask;
};

static void push_named(struct nn_tape *t, const char *name, void (*backward)(struct nn_tape *t, void *ctx),
		       struct rule r)
{
	if (!r.y->g)
		return;
	struct rule *p = arena_alloc(nn_tape_arena(t), sizeof *p);
	*p = r;
	nn_tape_push_named(t, name, backward, p);
}
#define push(t, backward, ...) push_named(t, #backward, backward, __VA_ARGS__)

struct nn_var *nn_detach(struct nn_tape *t, struct nn_var *x)
{
	struct nn_var *y = arena_alloc(nn_tape_arena(t), sizeof *y);
	*y = (struct nn_var){.n = x->n, .d = x->d, .v = x->v};
	return y;
}

static void combine_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	int64_t n = r->y->n * r->y->d;
	if (r->a->g)
		k->axpy(k, r->a->g, r->y->g, 1, n);
	if (r->b->g)
		k->axpy(k, r->b->g, r->y->g, r->s, n);
}

static struct nn_var *combine(struct nn_tape *t, struct nn_var *a, struct nn_var *b, double s)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, a->n, a->d, a->g || b->g);
	k->combine(k, y->v, a->v, b->v, s, y->n * y->d);
	push(t, combine_back, (struct rule){.a = a, .b = b, .y = y, .s = s});
	return y;
}

struct nn_var *nn_add(struct nn_tape *t, struct nn_var *a, struct nn_var *b)
{
	return combine(t, a, b, 1);
}

struct nn_var *nn_sub(struct nn_tape *t, struct nn_var *a, struct nn_var *b)
{
	return combine(t, a, b, -1);
}

static void mul_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	int64_t n = r->y->n * r->y->d;
	if (r->a->g)
		k->mul_add(k, r->a->g, r->y->g, r->b->v, n);
	if (r->b->g)
		k->mul_add(k, r->b->g, r->y->g, r->a->v, n);
}

struct nn_var *nn_mul(struct nn_tape *t, struct nn_var *a, struct nn_var *b)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, a->n, a->d, a->g || b->g);
	k->mul(k, y->v, a->v, b->v, y->n * y->d);
	push(t, mul_back, (struct rule){.a = a, .b = b, .y = y});
	return y;
}

static void affine_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->axpy(k, r->a->g, r->y->g, r->s, r->y->n * r->y->d);
}

static struct nn_var *affine(struct nn_tape *t, struct nn_var *x, double s, double shift)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g != NULL);
	k->affine(k, y->v, x->v, s, shift, y->n * y->d);
	push(t, affine_back, (struct rule){.a = x, .y = y, .s = s});
	return y;
}

struct nn_var *nn_scale(struct nn_tape *t, struct nn_var *x, double s)
{
	return affine(t, x, s, 0);
}

struct nn_var *nn_shift(struct nn_tape *t, struct nn_var *x, double s)
{
	return affine(t, x, 1, s);
}

static void scale_rows_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->scale_rows(k, r->y->g, r->w, r->a->g, r->y->n, r->y->d, true);
}

struct nn_var *nn_scale_rows(struct nn_tape *t, struct nn_var *x, const real *w)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g != NULL), *wv = nn_input(t, w, x->n, 1);
	k->scale_rows(k, x->v, wv->v, y->v, x->n, x->d, false);
	push(t, scale_rows_back, (struct rule){.a = x, .y = y, .w = wv->v});
	return y;
}

static void matmul_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *a = r->a, *b = r->b, *y = r->y;
	int64_t m = y->n, n = y->d, kk = r->ta ? a->n : a->d;
	/* y = A B: g_A = g_y B^T, g_B = A^T g_y; of a stored transpose, the transpose of that. */
	if (a->g && !r->ta)
		k->gemm(k, false, !r->tb, m, kk, n, 1, y->g, n, b->v, b->d, nn_var_adds(a), a->g, a->d);
	if (a->g && r->ta)
		k->gemm(k, r->tb, true, kk, m, n, 1, b->v, b->d, y->g, n, nn_var_adds(a), a->g, a->d);
	if (b->g && !r->tb)
		k->gemm(k, !r->ta, false, kk, n, m, 1, a->v, a->d, y->g, n, nn_var_adds(b), b->g, b->d);
	if (b->g && r->tb)
		k->gemm(k, true, r->ta, n, kk, m, 1, y->g, n, a->v, a->d, nn_var_adds(b), b->g, b->d);
}

struct nn_var *nn_matmul(struct nn_tape *t, struct nn_var *a, bool ta, struct nn_var *b, bool tb)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, ta ? a->d : a->n, tb ? b->n : b->d, a->g || b->g);
	k->gemm(k, ta, tb, y->n, y->d, ta ? a->n : a->d, 1, a->v, a->d, b->v, b->d, 0, y->v, y->d);
	push(t, matmul_back, (struct rule){.a = a, .b = b, .y = y, .ta = ta, .tb = tb});
	return y;
}

static void add_row_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->column_sum(k, r->y->g, r->b->g, r->y->n, r->y->d);
}

/* The bias's variable; y gets a gradient where the bias alone wants one (a frozen weight, a constant input). */
static struct nn_var *use_bias(struct nn_tape *t, struct nn_var *y, struct nn_param *bias)
{
	struct nn_var *b = nn_use(t, bias);
	if (b->g && !y->g)
		y->g = nn_var_new(t, y->n, y->d, true)->g;
	return b;
}

struct nn_var *nn_bias(struct nn_tape *t, struct nn_var *y, struct nn_param *bias)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *b = use_bias(t, y, bias);
	k->add_row(k, b->v, y->v, y->n, y->d);
	if (b->g)
		push(t, add_row_back, (struct rule){.b = b, .y = y});
	return y;
}

struct nn_var *nn_linear(struct nn_tape *t, struct nn_var *x, struct nn_param *weight, struct nn_param *bias)
{
	struct nn_var *y = nn_matmul(t, x, false, nn_var_unset(nn_use(t, weight)), true);
	return bias ? nn_bias(t, y, bias) : y;
}

static void bias_relu_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->bias_relu_back(k, r->y->v, r->y->g, r->b->g, r->y->n, r->y->d);
}

struct nn_var *nn_bias_relu(struct nn_tape *t, struct nn_var *y, struct nn_param *bias)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *b = use_bias(t, y, bias);
	k->bias_relu(k, b->v, y->v, y->n, y->d);
	push(t, bias_relu_back, (struct rule){.b = b, .y = y});
	return y;
}

static void act_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->act_back(k, (enum k_act)r->f, r->a->v, r->y->v, r->y->g, r->a->g, r->y->n * r->y->d);
}

struct nn_var *nn_activate(struct nn_tape *t, struct nn_var *x, enum nn_act f)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g != NULL);
	k->act(k, (enum k_act)f, x->v, y->v, y->n * y->d);
	push(t, act_back, (struct rule){.a = x, .y = y, .f = f});
	return y;
}

static void dropout_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->dropout_back(k, r->y->g, r->mask, r->a->g, r->y->n * r->y->d, r->s);
}

struct nn_var *nn_dropout(struct nn_tape *t, struct nn_var *x, double p)
{
	const struct kernels *k = nn_tape_kernels(t);
	if (p <= 0 || !nn_tape_is_training(t))
		return x;
	uint64_t seed, stream = nn_tape_stream(t, &seed);
	uint8_t *mask = nn_tape_alloc(t, (size_t)(x->n * x->d));
	struct nn_var *y = nn_var_new(t, x->n, x->d, x->g != NULL);
	k->dropout(k, x->v, y->v, mask, y->n * y->d, p, seed, stream);
	push(t, dropout_back, (struct rule){.a = x, .y = y, .s = p, .mask = mask});
	return y;
}

static void row_sum_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->add_column(k, r->y->g, r->a->g, r->a->n, r->a->d);
}

struct nn_var *nn_row_sum(struct nn_tape *t, struct nn_var *x)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, x->n, 1, x->g != NULL);
	k->row_sum(k, x->v, y->v, x->n, x->d);
	push(t, row_sum_back, (struct rule){.a = x, .y = y});
	return y;
}

static void sum_back(struct nn_tape *t, void *ctx)
{
	const struct rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	/* the one entry of g_y, spread: x as one row of n d columns plus a column of one row */
	k->add_column(k, r->y->g, r->a->g, 1, r->a->n * r->a->d);
}

struct nn_var *nn_sum(struct nn_tape *t, struct nn_var *x)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct nn_var *y = nn_var_new(t, 1, 1, x->g != NULL);
	k->sum(k, x->v, x->n * x->d, y->v);
	push(t, sum_back, (struct rule){.a = x, .y = y});
	return y;
}

struct nn_var *nn_mean(struct nn_tape *t, struct nn_var *x)
{
	return nn_scale(t, nn_sum(t, x), 1 / (double)(x->n * x->d));
}
