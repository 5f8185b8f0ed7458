/* nn_contrast.c - losses that bring the views of one molecule together. */
#include "nn_loss.h"

static int64_t *iota(struct nn_tape *t, int64_t n, int64_t shift)
{
	int64_t *idx = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *idx);
	for (int64_t i = 0; i < n; i++)
		idx[i] = (i + shift) % n;
	return idx;
}

struct info_nce_rule {
	struct nn_var *u, *v, *loss;
	real *e, *row, *col;
	double tau;
};

static void info_nce_back(struct nn_tape *t, void *ctx)
{
	const struct info_nce_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->info_nce_back(k, r->u->v, r->v->v, r->u->n, r->u->d, r->tau, r->e, r->row, r->col, r->loss->g, r->u->g,
			 r->v->g);
}

static struct nn_var *info_nce_fused(struct nn_tape *t, struct nn_var *u, struct nn_var *v, double tau)
{
	const struct kernels *k = nn_tape_kernels(t);
	struct info_nce_rule *r = arena_alloc(nn_tape_arena(t), sizeof *r);
	size_t n = (size_t)u->n;
	*r = (struct info_nce_rule){.u = u,
				    .v = v,
				    .loss = nn_var_new(t, 1, 1, u->g || v->g),
				    .e = nn_tape_alloc(t, n * n * sizeof(real)),
				    .row = nn_tape_alloc(t, n * sizeof(real)),
				    .col = nn_tape_alloc(t, n * sizeof(real)),
				    .tau = tau};
	k->info_nce(k, u->v, v->v, u->n, u->d, tau, r->e, r->row, r->col, r->loss->v);
	if (r->loss->g)
		nn_tape_push(t, info_nce_back, r);
	return r->loss;
}

static struct nn_var *info_nce(struct nn_tape *t, struct nn_var *x, struct nn_var *y, double tau)
{
	const struct kernels *k = nn_tape_kernels(t);
	if (!k->plain && k->info_nce && tau >= K_INFO_NCE_TAU) /* a device may lack it */
		return info_nce_fused(t, nn_unit(t, x), nn_unit(t, y), tau);
	const int64_t *diagonal = iota(t, x->n, 0);
	struct nn_var *s = nn_scale(t, nn_matmul(t, nn_unit(t, x), false, nn_unit(t, y), true), 1 / tau);
	struct nn_var *rows = nn_mean(t, nn_pick(t, nn_log_softmax(t, s), diagonal));
	struct nn_var *cols = nn_mean(t, nn_pick(t, nn_log_softmax(t, nn_transpose(t, s)), diagonal));
	return nn_scale(t, nn_add(t, rows, cols), -0.5);
}

/* mean softplus(-<a_i, b_i> / T) + mean softplus(<a_i, b_(i+1)> / T) */
static struct nn_var *ebm_one_way(struct nn_tape *t, struct nn_var *a, struct nn_var *b, double tau)
{
	struct nn_var *next = nn_gather(t, b, iota(t, b->n, 1), b->n);
	struct nn_var *near = nn_scale(t, nn_row_sum(t, nn_mul(t, a, b)), -1 / tau);
	struct nn_var *far = nn_scale(t, nn_row_sum(t, nn_mul(t, a, next)), 1 / tau);
	return nn_add(t, nn_mean(t, nn_activate(t, near, NN_SOFTPLUS)), nn_mean(t, nn_activate(t, far, NN_SOFTPLUS)));
}

struct nn_var *nn_contrast_pair(struct nn_tape *t, enum nn_contrast kind, struct nn_var *x, struct nn_var *y,
				double tau)
{
	switch (kind) {
	case NN_INFONCE:
		return info_nce(t, x, y, tau);
	case NN_EBM:
		x = nn_unit(t, x);
		y = nn_unit(t, y);
		break;
	case NN_EBM_RAW:
		break;
	case NN_MSE:
		return nn_mean(t, nn_activate(t, nn_sub(t, x, y), NN_SQUARE));
	}
	return nn_scale(t, nn_add(t, ebm_one_way(t, x, y, tau), ebm_one_way(t, y, x, tau)), 0.5);
}

struct nn_var *nn_contrast_views(struct nn_tape *t, enum nn_contrast kind, struct nn_var *const *c, const uint8_t *has,
				 int64_t n, int n_view, double tau)
{
	struct nn_var *sum = NULL;
	int n_pair = 0;
	for (int a = 0; a < n_view; a++)
		for (int b = a + 1; b < n_view; b++) {
			int64_t *rows = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *rows), n_row = 0;
			for (int64_t i = 0; i < n; i++)
				if (has[i * n_view + a] && has[i * n_view + b])
					rows[n_row++] = i;
			if (n_row < 2 || !c[a] || !c[b])
				continue;
			struct nn_var *one = nn_contrast_pair(t, kind, nn_gather(t, c[a], rows, n_row),
							      nn_gather(t, c[b], rows, n_row), tau);
			sum = sum ? nn_add(t, sum, one) : one;
			n_pair++;
		}
	return sum ? nn_scale(t, sum, 1.0 / n_pair) : NULL;
}
