/* nn_fuse.c - one unified embedding from the codes of the views that a molecule has. */
#include "nn_loss.h"

static int count_present(const uint8_t *has, int64_t i, int n_view)
{
	int n = 0;
	for (int m = 0; m < n_view; m++)
		n += has[i * n_view + m] != 0;
	return n;
}

/* Constant [n, d] of one value: products with it spread a row or a column. */
static struct nn_var *constant(struct nn_tape *t, int64_t n, int64_t d, real value)
{
	struct nn_var *x = nn_var_new(t, n, d, false);
	nn_tape_kernels(t)->fill(nn_tape_kernels(t), x->v, n * d, value);
	return x;
}

/* Rows of view m weighted: factor / (number present) where `share`, else factor; 0 where absent. */
static const real *row_weights(struct nn_tape *t, const uint8_t *has, int64_t n, int n_view, int m, double factor,
			       bool share)
{
	real *w = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *w);
	for (int64_t i = 0; i < n; i++) {
		int present = count_present(has, i, n_view);
		w[i] = (real)(has[i * n_view + m] ? factor / (share ? present : 1) : 0);
	}
	return w;
}

struct nn_var *nn_fuse_mean(struct nn_tape *t, struct nn_var *const *c, const uint8_t *has, int64_t n, int n_view)
{
	struct nn_var *sum = NULL;
	for (int m = 0; m < n_view; m++) {
		if (!c[m])
			continue;
		struct nn_var *part = nn_scale_rows(t, c[m], row_weights(t, has, n, n_view, m, 1, true));
		sum = sum ? nn_add(t, sum, part) : part;
	}
	return sum;
}

struct nn_var *nn_fuse_attention(struct nn_tape *t, struct nn_var *const *c, const uint8_t *has, int64_t n, int n_view,
				 struct nn_param *weight, struct nn_param *bias)
{
	struct nn_var *w = nn_use(t, weight), *b = nn_use(t, bias), *ones = constant(t, n, 1, 1), *column[8],
		      *sum = NULL;
	real *absent = arena_calloc(nn_tape_arena(t), (size_t)(n * n_view) + 1, sizeof *absent);
	for (int m = 0; m < n_view; m++) {
		int64_t *row = arena_alloc(nn_tape_arena(t), sizeof *row);
		*row = m;
		struct nn_var *shift = nn_matmul(t, ones, false, nn_columns(t, b, m, 1), false);
		column[m] = c[m] ? nn_add(t, nn_matmul(t, c[m], false, nn_gather(t, w, row, 1), true), shift) : shift;
		for (int64_t i = 0; i < n; i++)
			absent[i * n_view + m] = has[i * n_view + m] && c[m] ? 0 : (real)-1e30;
	}
	struct nn_var *score = nn_add(t, nn_concat(t, n_view, column), nn_input(t, absent, n, n_view));
	struct nn_var *share = nn_softmax(t, score);
	for (int m = 0; m < n_view; m++) {
		if (!c[m])
			continue;
		struct nn_var *spread =
		    nn_matmul(t, nn_columns(t, share, m, 1), false, constant(t, 1, c[m]->d, 1), false);
		struct nn_var *part = nn_mul(t, spread, c[m]);
		sum = sum ? nn_add(t, sum, part) : part;
	}
	return sum;
}

struct nn_var *nn_fuse_concat(struct nn_tape *t, struct nn_var *const *c, const uint8_t *has, int64_t n, int n_view,
			      struct nn_param *weight, struct nn_param *bias)
{
	struct nn_var *w = nn_use(t, weight), *sum = NULL;
	for (int m = 0; m < n_view; m++) {
		if (!c[m])
			continue;
		struct nn_var *x = nn_scale_rows(t, c[m], row_weights(t, has, n, n_view, m, n_view, true));
		struct nn_var *part = nn_matmul(t, x, false, nn_columns(t, w, m * c[m]->d, c[m]->d), true);
		sum = sum ? nn_add(t, sum, part) : part;
	}
	return nn_add(t, sum, nn_matmul(t, constant(t, n, 1, 1), false, nn_use(t, bias), false));
}
