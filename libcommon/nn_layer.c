/* nn_layer.c - linear layers, embeddings and norms by name, with their starting values. */
#include "nn_layer.h"

#include <math.h>
#include <stdarg.h>

struct nn_name nn_name(const char *fmt, ...)
{
	struct nn_name n;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(n.s, sizeof n.s, fmt, ap);
	va_end(ap);
	return n;
}

static struct nn_param *part(struct nn_params *ps, const char *name, const char *suffix)
{
	return nn_params_find(ps, nn_name("%s.%s", name, suffix).s);
}

static struct nn_param *add(struct nn_params *ps, const char *name, const char *suffix, bool is_state, int64_t rows,
			    int64_t d)
{
	const int64_t shape[2] = {rows ? rows : d, d};
	return nn_params_add(ps, nn_name("%s.%s", name, suffix).s, is_state, rows ? 2 : 1, shape);
}

static void linear_build(struct nn_params *ps, const char *name, int64_t n_in, int64_t n_out, bool bias, uint64_t seed,
			 double bound, double bias_bound)
{
	nn_init_uniform(ps, add(ps, name, "weight", false, n_out, n_in), seed, bound);
	if (bias)
		nn_init_uniform(ps, add(ps, name, "bias", false, 0, n_out), seed, bias_bound);
}

void nn_linear_build(struct nn_params *ps, const char *name, int64_t n_in, int64_t n_out, bool bias, uint64_t seed)
{
	double bound = 1 / sqrt((double)n_in);
	linear_build(ps, name, n_in, n_out, bias, seed, bound, bound);
}

void nn_linear_build_glorot(struct nn_params *ps, const char *name, int64_t n_in, int64_t n_out, bool bias,
			    uint64_t seed)
{
	linear_build(ps, name, n_in, n_out, bias, seed, sqrt(6 / (double)(n_in + n_out)), 0);
}

void nn_embedding_build(struct nn_params *ps, const char *name, int64_t rows, int64_t d, uint64_t seed)
{
	const int64_t shape[2] = {rows, d};
	nn_init_uniform(ps, nn_params_add(ps, name, false, 2, shape), seed, sqrt(6 / (double)(rows + d)));
}

void nn_batch_norm_build(struct nn_params *ps, const char *name, int64_t d)
{
	nn_init_constant(ps, add(ps, name, "weight", false, 0, d), 1);
	nn_init_constant(ps, add(ps, name, "bias", false, 0, d), 0);
	nn_init_constant(ps, add(ps, name, "running_mean", true, 0, d), 0);
	nn_init_constant(ps, add(ps, name, "running_var", true, 0, d), 1);
}

void nn_graph_norm_build(struct nn_params *ps, const char *name, int64_t d)
{
	nn_init_constant(ps, add(ps, name, "weight", false, 0, d), 1);
	nn_init_constant(ps, add(ps, name, "bias", false, 0, d), 0);
	nn_init_constant(ps, add(ps, name, "mean_scale", false, 0, d), 1);
}

struct nn_var *nn_linear_named(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x)
{
	return nn_linear(t, x, part(ps, name, "weight"), part(ps, name, "bias"));
}

/* ---- BatchNorm ------------------------------------------------------------ */

struct batch_norm_rule {
	struct k_batch_norm b;
	struct nn_var *x, *residual, *y, *weight, *bias;
};

static void batch_norm_back(struct nn_tape *t, void *ctx)
{
	const struct batch_norm_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->batch_norm_back(k, &r->b, r->x->v, r->y->v, r->y->g, r->x->g, r->weight->g, r->bias->g,
			   r->residual ? r->residual->g : NULL);
}

static struct nn_var *batch_norm(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
				 const int64_t *mult, struct nn_var *residual, bool relu)
{
	const struct kernels *k = nn_tape_kernels(t);
	const struct nn_param *mean = part(ps, name, "running_mean");
	struct batch_norm_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	r->x = x;
	r->residual = residual;
	r->weight = nn_use(t, part(ps, name, "weight"));
	r->bias = nn_use(t, part(ps, name, "bias"));
	r->y = nn_var_new(t, x->n, x->d, x->g || r->weight->g || r->bias->g || (residual && residual->g));
	r->b = (struct k_batch_norm){.n = x->n,
				     .d = x->d,
				     .eps = 1e-5,
				     .momentum = 0.1,
				     .train = nn_tape_is_training(t) && !mean->frozen,
				     .relu = relu,
				     .mult = mult ? nn_tape_index(t, mult, x->n) : NULL,
				     .weight = r->weight->v,
				     .bias = r->bias->v,
				     .run_mean = mean->value,
				     .run_var = part(ps, name, "running_var")->value,
				     .mean = nn_var_new(t, 1, x->d, false)->v,
				     .inv = nn_var_new(t, 1, x->d, false)->v,
				     .residual = residual ? residual->v : NULL};
	if (r->b.train && nn_tape_keeps_running(t)) { /* what would move is thrown away */
		struct nn_var *spare = nn_var_new(t, 2, x->d, false);
		k->fill(k, spare->v, 2 * x->d, 0);
		r->b.run_mean = spare->v;
		r->b.run_var = spare->v + x->d;
	}
	k->batch_norm(k, &r->b, x->v, r->y->v);
	if (r->y->g)
		nn_tape_push(t, batch_norm_back, r);
	return r->y;
}

struct nn_var *nn_batch_norm(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
			     const int64_t *mult, bool relu)
{
	return batch_norm(t, ps, name, x, mult, NULL, relu);
}

struct nn_var *nn_batch_norm_add(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
				 struct nn_var *residual, bool relu)
{
	return batch_norm(t, ps, name, x, NULL, residual, relu);
}

/* ---- GraphNorm ------------------------------------------------------------ */

struct graph_norm_rule {
	struct k_graph_norm g;
	struct nn_var *x, *y, *weight, *bias, *mean_scale;
};

static void graph_norm_back(struct nn_tape *t, void *ctx)
{
	const struct graph_norm_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->graph_norm_back(k, &r->g, r->x->v, r->y->g, r->x->g, r->weight->g, r->bias->g, r->mean_scale->g);
}

struct nn_var *nn_graph_norm(struct nn_tape *t, struct nn_params *ps, const char *name, struct nn_var *x,
			     const int64_t *mol, int64_t n_mol)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct graph_norm_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	r->x = x;
	r->weight = nn_use(t, part(ps, name, "weight"));
	r->bias = nn_use(t, part(ps, name, "bias"));
	r->mean_scale = nn_use(t, part(ps, name, "mean_scale"));
	r->y = nn_var_new(t, x->n, x->d, x->g || r->weight->g || r->bias->g || r->mean_scale->g);
	r->g = (struct k_graph_norm){.n_graph = n_mol,
				     .d = x->d,
				     .start = nn_tape_csr(t, mol, x->n, n_mol, NULL).start,
				     .eps = 1e-5,
				     .weight = r->weight->v,
				     .bias = r->bias->v,
				     .mean_scale = r->mean_scale->v,
				     .mean = nn_var_new(t, n_mol, x->d, false)->v,
				     .inv = nn_var_new(t, n_mol, x->d, false)->v};
	k->graph_norm(k, &r->g, x->v, r->y->v);
	if (r->y->g)
		nn_tape_push(t, graph_norm_back, r);
	return r->y;
}

/* ---- sums of embeddings ---------------------------------------------------- */

enum { MAX_TABLE = 16 };
struct embedding_rule {
	struct nn_var *y, *table[MAX_TABLE];
	struct k_csr c[MAX_TABLE];
	int n_table;
};

static void embedding_back(struct nn_tape *t, void *ctx)
{
	const struct embedding_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	for (int i = 0; i < r->n_table; i++)
		if (r->table[i]->g)
			k->csr_sum(k, &r->c[i], r->y->g, NULL, r->table[i]->g, r->y->d, true);
}

struct nn_var *nn_embedding_sum(struct nn_tape *t, int n_table, struct nn_param *const *table, const int64_t *idx,
				int64_t n)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct embedding_rule *r = arena_calloc(nn_tape_arena(t), 1, sizeof *r);
	const real *values[MAX_TABLE];
	bool want_grad = false;
	if (n_table > MAX_TABLE)
		return NULL;
	for (int i = 0; i < n_table; i++) {
		r->table[i] = nn_use(t, table[i]);
		values[i] = r->table[i]->v;
		want_grad |= r->table[i]->g != NULL;
	}
	r->n_table = n_table;
	r->y = nn_var_new(t, n, r->table[0]->d, want_grad);
	k->embed(k, n_table, values, nn_tape_index(t, idx, n * n_table), r->y->v, n, r->y->d);
	if (!r->y->g)
		return r->y;
	int64_t *column = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *column);
	for (int i = 0; i < n_table; i++) {
		for (int64_t j = 0; j < n; j++)
			column[j] = idx[j * n_table + i];
		r->c[i] = nn_tape_csr(t, column, n, r->table[i]->n, NULL);
	}
	nn_tape_push(t, embedding_back, r);
	return r->y;
}
