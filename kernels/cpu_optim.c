/* cpu_optim.c - what the optimiser asks of the CPU: norms and Adam in one pass. */
#include "cpu.h"
#include "cpu_math.h"

/* Entries: few, since a weight has some 1 << 16, and threads share out each alone. */
enum { CHUNK = 1 << 13 };

struct square_job {
	const real *x;
	int64_t n;
	double *part; /* sums, which are added in chunk order */
};

K_SIMD static double square_sum(const real *x, int64_t n)
{
	return k_dot(x, x, n);
}

static void square_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct square_job *j = ctx;
	j->part[chunk] = square_sum(j->x + chunk * CHUNK, cpu_min(CHUNK, j->n - chunk * CHUNK));
}

static double sum_squares(const struct kernels *k, const real *x, int64_t n)
{
	int64_t n_chunk = cpu_n_chunk(n, CHUNK);
	struct square_job j = {.x = x, .n = n, .part = cpu_scratch(k, 0, (size_t)(n_chunk + 1) * sizeof(double))};
	double total = 0;
	cpu_run(k, n_chunk, square_chunk, &j);
	for (int64_t i = 0; i < n_chunk; i++)
		total += j.part[i];
	return total;
}

struct adam_job {
	const struct k_adam *a;
	real *p, *m, *v;
	const real *g;
	int64_t n;
};

struct adam_numbers {
	real b1, b2, c1, c2, step, root, eps, scale, through, keep;
};
K_SIMD static void adam_loop(real *restrict p, const real *restrict g, real *restrict m, real *restrict v, int64_t n,
			     struct adam_numbers a)
{
	for (int64_t i = 0; i < n; i++) {
		real d = g[i] * a.scale + a.through * p[i];
		m[i] = a.b1 * m[i] + a.c1 * d;
		v[i] = a.b2 * v[i] + a.c2 * d * d;
		p[i] = a.keep * p[i] - a.step * m[i] / ((real)sqrt(v[i]) * a.root + a.eps);
	}
}

static void adam_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct adam_job *j = ctx;
	const struct k_adam *a = j->a;
	int64_t from = chunk * CHUNK;
	struct adam_numbers numbers = {.b1 = (real)a->beta1,
				       .b2 = (real)a->beta2,
				       .c1 = (real)(1 - a->beta1),
				       .c2 = (real)(1 - a->beta2),
				       .step = (real)(a->lr / a->correction1),
				       .root = (real)(1 / sqrt(a->correction2)),
				       .eps = (real)a->eps,
				       .scale = (real)a->grad_scale,
				       .through = a->decoupled ? 0 : (real)a->decay,
				       .keep = a->decoupled ? (real)(1 - a->lr * a->decay) : 1};
	adam_loop(j->p + from, j->g + from, j->m + from, j->v + from, cpu_min(CHUNK, j->n - from), numbers);
}

static void adam(const struct kernels *k, const struct k_adam *a, real *p, const real *g, real *m, real *v, int64_t n)
{
	struct adam_job j = {.a = a, .p = p, .m = m, .v = v, .g = g, .n = n};
	cpu_run(k, cpu_n_chunk(n, CHUNK), adam_chunk, &j);
}

void kernels_cpu_optim(struct kernels *k)
{
	k->sum_squares = sum_squares;
	k->adam = adam;
}
