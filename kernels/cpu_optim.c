/* cpu_optim.c - what the optimiser asks of the CPU: norms and Adam in one pass. */
#include "kernels.h"

#include <math.h>

enum { CHUNK = 1 << 16 }; /* entries; sums are added in chunk order */

static double sum_squares(const struct kernels *k, const real *x, int64_t n)
{
	(void)k;
	double total = 0;
	for (int64_t from = 0; from < n; from += CHUNK) {
		int64_t to = from + CHUNK < n ? from + CHUNK : n;
		double sum[4] = {0};
		int64_t i = from;
		for (; i + 4 <= to; i += 4)
			for (int j = 0; j < 4; j++)
				sum[j] += (double)x[i + j] * (double)x[i + j];
		for (; i < to; i++)
			sum[0] += (double)x[i] * (double)x[i];
		total += (sum[0] + sum[1]) + (sum[2] + sum[3]);
	}
	return total;
}

struct adam_job {
	const struct k_adam *a;
	real *p, *m, *v;
	const real *g;
	int64_t n;
};

static void adam_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct adam_job *j = ctx;
	const struct k_adam *a = j->a;
	int64_t from = chunk * CHUNK, to = from + CHUNK < j->n ? from + CHUNK : j->n;
	const real b1 = (real)a->beta1, b2 = (real)a->beta2, c1 = (real)(1 - a->beta1), c2 = (real)(1 - a->beta2);
	const real step = (real)(a->lr / a->correction1), root = (real)(1 / sqrt(a->correction2)), eps = (real)a->eps;
	const real scale = (real)a->grad_scale;
	const real through = a->decoupled ? 0 : (real)a->decay, keep = a->decoupled ? (real)(1 - a->lr * a->decay) : 1;
	real *restrict p = j->p, *restrict m = j->m, *restrict v = j->v;
	const real *restrict g = j->g;
	for (int64_t i = from; i < to; i++) {
		real d = g[i] * scale + through * p[i];
		m[i] = b1 * m[i] + c1 * d;
		v[i] = b2 * v[i] + c2 * d * d;
		p[i] = keep * p[i] - step * m[i] / ((real)sqrt(v[i]) * root + eps);
	}
}

static void adam(const struct kernels *k, const struct k_adam *a, real *p, const real *g, real *m, real *v, int64_t n)
{
	struct adam_job j = {.a = a, .p = p, .m = m, .v = v, .g = g, .n = n};
	int64_t n_chunk = (n + CHUNK - 1) / CHUNK;
	if (k->pool)
		pool_run(k->pool, n_chunk, adam_chunk, &j);
	else
		for (int64_t c = 0; c < n_chunk; c++)
			adam_chunk(&j, c, 0);
}

void kernels_cpu_optim(struct kernels *k)
{
	k->sum_squares = sum_squares;
	k->adam = adam;
}
