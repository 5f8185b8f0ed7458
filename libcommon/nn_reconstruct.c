/* nn_reconstruct.c - self and cross reconstruction of views, and the prediction of masked atoms. */
#include "nn_loss.h"

static struct nn_var *mean_square(struct nn_tape *t, struct nn_var *a, struct nn_var *b)
{
	return nn_mean(t, nn_activate(t, nn_sub(t, a, b), NN_SQUARE));
}

static struct nn_var *add(struct nn_tape *t, struct nn_var *sum, struct nn_var *x)
{
	return sum ? nn_add(t, sum, x) : x;
}

/* Codes of the views that perm names for target view m: one row for each of rows. */
static struct nn_var *gather_sources(struct nn_tape *t, struct nn_var *const *c, const int64_t *perm,
				     const int64_t *rows, int64_t n_row, int n_view, int m)
{
	struct nn_var *codes = NULL;
	for (int s = 0; s < n_view; s++) {
		int64_t *from = arena_alloc(nn_tape_arena(t), (size_t)(n_row + 1) * sizeof *from);
		int64_t *to = arena_alloc(nn_tape_arena(t), (size_t)(n_row + 1) * sizeof *to), n_from = 0;
		for (int64_t i = 0; i < n_row; i++)
			if (perm[rows[i] * n_view + m] == s) {
				to[n_from] = i;
				from[n_from++] = rows[i];
			}
		if (n_from)
			codes = add(t, codes, nn_scatter(t, nn_gather(t, c[s], from, n_from), to, n_row));
	}
	return codes;
}

void nn_reconstruct(struct nn_tape *t, struct nn_var *const *h, struct nn_var *const *c,
		    struct nn_param *const *dec_weight, struct nn_param *const *dec_bias, const uint8_t *has,
		    const int64_t *perm, int64_t n, int n_view, struct nn_var **own, struct nn_var **cross)
{
	int n_own = 0, n_cross = 0;
	*own = *cross = NULL;
	for (int m = 0; m < n_view; m++) {
		if (!h[m])
			continue;
		struct nn_var *target = nn_detach(t, h[m]);
		for (int kind = 0; kind < 2; kind++) { /* own code, then another view's */
			int64_t *rows = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *rows), n_row = 0;
			for (int64_t i = 0; i < n; i++)
				if (kind ? perm[i * n_view + m] >= 0 : has[i * n_view + m])
					rows[n_row++] = i;
			if (!n_row)
				continue;
			struct nn_var *code =
			    kind ? gather_sources(t, c, perm, rows, n_row, n_view, m) : nn_gather(t, c[m], rows, n_row);
			struct nn_var *made = nn_activate(t, nn_linear(t, code, dec_weight[m], dec_bias[m]), NN_TANH);
			struct nn_var *loss = mean_square(t, made, nn_gather(t, target, rows, n_row));
			if (kind) {
				*cross = add(t, *cross, loss);
				n_cross++;
			} else {
				*own = add(t, *own, loss);
				n_own++;
			}
		}
	}
	if (*own)
		*own = nn_scale(t, *own, 1.0 / n_own);
	if (*cross)
		*cross = nn_scale(t, *cross, 1.0 / n_cross);
}

struct nn_var *nn_cross_entropy(struct nn_tape *t, struct nn_var *logits, const int64_t *label)
{
	return nn_scale(t, nn_mean(t, nn_pick(t, nn_log_softmax(t, logits), label)), -1);
}

struct nn_var *nn_scaled_cosine(struct nn_tape *t, struct nn_var *pred, const int64_t *label)
{
	struct nn_var *cosine = nn_pick(t, nn_unit(t, pred), label); /* the one-hot target's norm is 1 */
	return nn_mean(t, nn_activate(t, nn_shift(t, nn_scale(t, cosine, -1), 1), NN_SQUARE));
}
