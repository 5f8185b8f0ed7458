/* mol_lbfgs.c - limited-memory BFGS with a backtracking line search. */
#include "mol_lbfgs.h"

#include <math.h>
#include <string.h>

enum { N_PAIR = 8, N_BACKTRACK = 12 };

struct mol_lbfgs {
	int n_max;
	double *g, *x_new, *g_new, *d;
	double *s[N_PAIR], *y[N_PAIR];
	double rho[N_PAIR];
};

struct mol_lbfgs *mol_lbfgs_new(struct arena *a, int n_max)
{
	struct mol_lbfgs *w = arena_calloc(a, 1, sizeof *w);
	size_t nbytes = (size_t)n_max * sizeof(double);
	w->n_max = n_max;
	w->g = arena_alloc(a, nbytes);
	w->x_new = arena_alloc(a, nbytes);
	w->g_new = arena_alloc(a, nbytes);
	w->d = arena_alloc(a, nbytes);
	for (int k = 0; k < N_PAIR; k++) {
		w->s[k] = arena_alloc(a, nbytes);
		w->y[k] = arena_alloc(a, nbytes);
	}
	return w;
}

/* Sixteen running sums: their fixed order makes the result the same whatever the width of the machine's vectors. */
UTIL_O3 UTIL_CLONES("avx2", "default") static double dot(int n, const double *restrict a, const double *restrict b)
{
	double s[16] = {0};
	int i = 0;
	for (; i + 16 <= n; i += 16)
		for (int k = 0; k < 16; k++)
			s[k] += a[i + k] * b[i + k];
	for (int k = 0; i < n; i++, k++)
		s[k] += a[i] * b[i];
	for (int k = 0; k < 4; k++)
		s[k] = (s[k] + s[k + 4]) + (s[k + 8] + s[k + 12]);
	return (s[0] + s[1]) + (s[2] + s[3]);
}

UTIL_O3 UTIL_CLONES("avx2", "default") static void add_scaled(int n, double c, const double *restrict a,
							      double *restrict b)
{
	for (int i = 0; i < n; i++)
		b[i] += c * a[i];
}

static double largest(int n, const double *a)
{
	double big = 0;
	for (int i = 0; i < n; i++) {
		double v = fabs(a[i]);
		big = v > big ? v : big;
	}
	return big;
}

/* What a minimisation is about. */
struct task {
	int n;
	double *x;
	void *ctx;
	const struct mol_lbfgs_opts *o;
	int n_direction;
};

/* d = -H g by the two-loop recursion over the last `n_kept` pairs, the newest at slot `last`. */
static void find_direction(struct mol_lbfgs *w, struct task *t, int n_kept, int last)
{
	int n = t->n;
	double alpha[N_PAIR];
	for (int i = 0; i < n; i++)
		w->d[i] = -w->g[i];
	for (int k = 0; k < n_kept; k++) {
		int p = (last - k + N_PAIR) % N_PAIR;
		alpha[p] = w->rho[p] * dot(n, w->s[p], w->d);
		add_scaled(n, -alpha[p], w->y[p], w->d);
	}
	if (t->o->precondition) {
		t->o->precondition(t->ctx, t->x, t->n_direction++, w->d);
	} else if (n_kept) {
		double scale = 1 / (w->rho[last] * dot(n, w->y[last], w->y[last]));
		for (int i = 0; i < n; i++)
			w->d[i] *= scale;
	}
	for (int k = n_kept - 1; k >= 0; k--) {
		int p = (last - k + N_PAIR) % N_PAIR;
		double beta = w->rho[p] * dot(n, w->y[p], w->d);
		add_scaled(n, alpha[p] - beta, w->s[p], w->d);
	}
}

void mol_lbfgs_minimise(struct mol_lbfgs *w, int n, double *x, mol_lbfgs_fn *fn, void *ctx,
			const struct mol_lbfgs_opts *o, struct mol_lbfgs_result *r)
{
	struct task task = {n, x, ctx, o, 0};
	int n_kept = 0, last = N_PAIR - 1, n_flat = 0;
	int max_eval = o->max_eval > 0 ? o->max_eval : INT32_MAX;
	memset(r, 0, sizeof *r);
	r->f = fn(ctx, x, w->g);
	r->n_eval = 1;
	r->g_max = largest(n, w->g);
	while (!(r->converged = r->g_max <= o->g_tol) && r->n_iter < o->max_iter && r->n_eval < max_eval) {
		find_direction(w, &task, n_kept, last);
		double slope = dot(n, w->d, w->g);
		if (!(slope < 0)) { /* the memory misleads: start again downhill */
			n_kept = 0;
			find_direction(w, &task, 0, last);
			slope = dot(n, w->d, w->g);
		}
		double step = 1, span = largest(n, w->d), f_new = 0;
		if (!n_kept && span > 0 && !o->precondition)
			step = 0.25 * o->max_step / span < 1 ? 0.25 * o->max_step / span : 1;
		if (step * span > o->max_step)
			step = o->max_step / span;
		bool lower = false;
		for (int k = 0; k < N_BACKTRACK && r->n_eval < max_eval; k++) {
			for (int i = 0; i < n; i++)
				w->x_new[i] = x[i] + step * w->d[i];
			f_new = fn(ctx, w->x_new, w->g_new);
			r->n_eval++;
			if (f_new <= r->f + 1e-4 * step * slope) {
				lower = true;
				break;
			}
			/* minimum of the parabola through both values and the slope, kept within a tenth and a half */
			double t = -0.5 * slope * step * step / (f_new - r->f - slope * step);
			step = t > 0.1 * step && t < 0.5 * step ? t : (t <= 0.1 * step ? 0.1 : 0.5) * step;
		}
		if (!lower) {
			if (!n_kept)
				break; /* no way down along the gradient itself: as low as rounding lets us */
			n_kept = 0;
			continue;
		}
		int slot = (last + 1) % N_PAIR;
		for (int i = 0; i < n; i++) {
			w->s[slot][i] = w->x_new[i] - x[i];
			w->y[slot][i] = w->g_new[i] - w->g[i];
			x[i] = w->x_new[i];
			w->g[i] = w->g_new[i];
		}
		double sy = dot(n, w->s[slot], w->y[slot]), yy = dot(n, w->y[slot], w->y[slot]);
		if (sy > 1e-10 * yy) {
			w->rho[slot] = 1 / sy;
			last = slot;
			n_kept += n_kept < N_PAIR;
		}
		n_flat = r->f - f_new < o->f_tol * (1 + fabs(f_new)) ? n_flat + 1 : 0;
		r->f = f_new;
		r->g_max = largest(n, w->g);
		r->n_iter++;
		if (n_flat >= 3) {
			r->converged = true;
			break;
		}
	}
}
