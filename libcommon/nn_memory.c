/* nn_memory.c - the memory bank of typical molecules: reading, alignment, balanced assignment, moving anchors. */
#include "nn_loss.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

struct shrink_rule {
	struct nn_var *a, *y;
	double threshold;
};

static void shrink_backward(struct nn_tape *t, void *ctx)
{
	struct shrink_rule *r = ctx;
	const struct kernels *k = nn_tape_kernels(t);
	k->shrink_back(k, r->a->v, r->y->v, r->y->g, r->a->g, r->a->n, r->a->d, r->threshold);
}

static struct nn_var *hard_shrink(struct nn_tape *t, struct nn_var *a, double threshold)
{
	struct nn_var *y = nn_var_new(t, a->n, a->d, a->g != NULL);
	const struct kernels *k = nn_tape_kernels(t);
	k->shrink(k, a->v, y->v, a->n, a->d, threshold);
	if (y->g) {
		struct shrink_rule *r = arena_alloc(nn_tape_arena(t), sizeof *r);
		*r = (struct shrink_rule){.a = a, .y = y, .threshold = threshold};
		nn_tape_push(t, shrink_backward, r);
	}
	return y;
}

void nn_memory_read(struct nn_tape *t, struct nn_var *g, struct nn_var *anchors, const struct nn_memory_config *c,
		    struct nn_var **assign, struct nn_var **r)
{
	/* the temperature is divided out where the matrix is small */
	struct nn_var *query = nn_scale(t, c->dot ? g : nn_unit(t, g), 1 / c->tau);
	*assign = nn_softmax(t, nn_matmul(t, query, false, c->dot ? anchors : nn_unit(t, anchors), true));
	if (c->shrink > 0)
		*assign = hard_shrink(t, *assign, c->shrink);
	*r = nn_matmul(t, *assign, false, anchors, false);
}

static struct nn_var *mean_square_to(struct nn_tape *t, struct nn_var *x, struct nn_var *target)
{
	return nn_mean(t, nn_activate(t, nn_sub(t, x, nn_detach(t, target)), NN_SQUARE));
}

struct nn_var *nn_align(struct nn_tape *t, struct nn_var *r, struct nn_var *g, double beta)
{
	return nn_add(t, mean_square_to(t, r, g), nn_scale(t, mean_square_to(t, g, r), beta));
}

/* A block of rows at a time meets those up to its own. */
double nn_largest_cosine(struct nn_tape *t, struct nn_var *x)
{
	enum { ROWS = 256 };
	const struct kernels *k = nn_tape_kernels(t);
	const struct nn_var *unit = nn_unit(t, nn_detach(t, x));
	real *block = nn_tape_alloc(t, (size_t)(ROWS * x->n) * sizeof *block);
	real *host = arena_alloc(nn_tape_arena(t), (size_t)(ROWS * x->n) * sizeof *host), top = -1;
	for (int64_t from = 0, to; from < x->n; from = to) {
		to = from + ROWS < x->n ? from + ROWS : x->n;
		k->gemm(k, false, true, to - from, to, x->d, 1, unit->v + from * x->d, x->d, unit->v, x->d, 0, block,
			to);
		k->download(host, block, (size_t)((to - from) * to) * sizeof *host);
		for (int64_t i = from; i < to; i++)
			for (int64_t j = 0; j < i; j++)
				top = host[(i - from) * to + j] > top ? host[(i - from) * to + j] : top;
	}
	return top;
}

void nn_sinkhorn(const real *scores, int64_t n, int64_t n_slot, double eps, int steps, double *q, struct arena *a)
{
	double total = 0, *column = arena_alloc(a, (size_t)(n_slot + 1) * sizeof *column);
	for (int64_t i = 0; i < n * n_slot; i++) {
		q[i] = exp((double)scores[i] / eps);
		total += q[i];
	}
	const double share = 1 / total;
	for (int64_t i = 0; i < n * n_slot; i++)
		q[i] *= share;
	for (int s = 0; s < steps; s++) {
		for (int64_t j = 0; j < n_slot; j++)
			column[j] = 0;
		for (int64_t i = 0; i < n; i++)
			for (int64_t j = 0; j < n_slot; j++)
				column[j] += q[i * n_slot + j];
		for (int64_t j = 0; j < n_slot; j++)
			column[j] = 1 / fmax(column[j] * (double)n_slot, DBL_MIN);
		for (int64_t i = 0; i < n; i++) {
			double row = 0, *x = q + i * n_slot;
			for (int64_t j = 0; j < n_slot; j++) {
				x[j] *= column[j];
				row += x[j];
			}
			row = 1 / fmax(row * (double)n, DBL_MIN);
			for (int64_t j = 0; j < n_slot; j++)
				x[j] *= row;
		}
	}
	for (int64_t i = 0; i < n * n_slot; i++)
		q[i] *= (double)n;
}

/* Balanced assignment of the rows that have the view (with the queue's rows beside them): double [n, K], absent rows 0.
 */
static double *balance(struct nn_tape *t, struct nn_var *scores, const uint8_t *has, int64_t n, int n_view, int m,
		       double eps, int steps, const real *queue, int64_t n_queue)
{
	struct arena *a = nn_tape_arena(t);
	int64_t n_slot = scores->d, n_row = 0;
	real *all = arena_alloc(a, (size_t)(scores->n * n_slot + 1) * sizeof *all);
	real *in = arena_alloc(a, (size_t)((n + n_queue) * n_slot + 1) * sizeof *in);
	double *q = arena_alloc(a, (size_t)((n + n_queue) * n_slot + 1) * sizeof *q);
	double *out = arena_calloc(a, (size_t)(n * n_slot + 1), sizeof *out);
	nn_download(t, scores, all);
	for (int64_t i = 0; i < n; i++)
		if (has[i * n_view + m]) {
			for (int64_t j = 0; j < n_slot; j++)
				in[n_row * n_slot + j] = all[i * n_slot + j];
			n_row++;
		}
	for (int64_t i = 0; i < n_queue * n_slot; i++)
		in[n_row * n_slot + i] = queue[i];
	if (n_row + n_queue)
		nn_sinkhorn(in, n_row + n_queue, n_slot, eps, steps, q, a);
	for (int64_t i = 0, r = 0; i < n; i++)
		if (has[i * n_view + m]) {
			for (int64_t j = 0; j < n_slot; j++)
				out[i * n_slot + j] = q[r * n_slot + j];
			r++;
		}
	return out;
}

/* -mean over rows of sum_k q_k log softmax(scores / tau)_k */
static struct nn_var *soft_cross_entropy(struct nn_tape *t, struct nn_var *scores, const double *q, const int64_t *rows,
					 int64_t n_row, double tau)
{
	int64_t n_slot = scores->d;
	real *target = arena_alloc(nn_tape_arena(t), (size_t)(n_row * n_slot + 1) * sizeof *target);
	for (int64_t i = 0; i < n_row; i++)
		for (int64_t j = 0; j < n_slot; j++)
			target[i * n_slot + j] = (real)q[rows[i] * n_slot + j];
	struct nn_var *log_p = nn_log_softmax(t, nn_scale(t, nn_gather(t, scores, rows, n_row), 1 / tau));
	struct nn_var *sum = nn_sum(t, nn_mul(t, nn_input(t, target, n_row, n_slot), log_p));
	return nn_scale(t, sum, -1.0 / (double)n_row);
}

struct nn_var *nn_swapped(struct nn_tape *t, struct nn_var *const *scores, const uint8_t *has, int64_t n, int n_view,
			  double tau, double eps, int steps, const real *const *queue, const int64_t *n_queue,
			  double *const *q_out)
{
	double *q[8] = {NULL};
	struct nn_var *sum = NULL;
	int n_pair = 0;
	for (int m = 0; m < n_view; m++) {
		if (!scores[m])
			continue;
		bool queued = queue && queue[m];
		q[m] = balance(t, scores[m], has, n, n_view, m, eps, steps, queued ? queue[m] : NULL,
			       queued ? n_queue[m] : 0);
		for (int64_t i = 0; q_out && q_out[m] && i < n * scores[m]->d; i++)
			q_out[m][i] = q[m][i];
	}
	for (int a = 0; a < n_view; a++)
		for (int b = a + 1; b < n_view; b++) {
			int64_t *rows = arena_alloc(nn_tape_arena(t), (size_t)(n + 1) * sizeof *rows), n_row = 0;
			for (int64_t i = 0; i < n; i++)
				if (has[i * n_view + a] && has[i * n_view + b])
					rows[n_row++] = i;
			if (!n_row || !scores[a] || !scores[b])
				continue;
			struct nn_var *both = nn_add(t, soft_cross_entropy(t, scores[a], q[b], rows, n_row, tau),
						     soft_cross_entropy(t, scores[b], q[a], rows, n_row, tau));
			sum = sum ? nn_add(t, sum, both) : both;
			n_pair += 2;
		}
	return sum ? nn_scale(t, sum, 1.0 / n_pair) : NULL;
}

void nn_anchor_momentum(real *anchors, int64_t n_slot, int64_t d, const real *assign, const real *g, int64_t n,
			double mu, struct arena *a)
{
	double *mean = arena_alloc(a, (size_t)(d + 1) * sizeof *mean);
	for (int64_t s = 0; s < n_slot; s++) {
		double mass = 0;
		for (int64_t i = 0; i < n; i++)
			mass += assign[i * n_slot + s];
		if (!(mass > 1e-6)) /* a dead slot stays where it is */
			continue;
		for (int64_t c = 0; c < d; c++)
			mean[c] = 0;
		for (int64_t i = 0; i < n; i++)
			for (int64_t c = 0; c < d; c++)
				mean[c] += (double)assign[i * n_slot + s] * g[i * d + c];
		for (int64_t c = 0; c < d; c++)
			anchors[s * d + c] = (real)(mu * anchors[s * d + c] + (1 - mu) * mean[c] / mass);
	}
}
