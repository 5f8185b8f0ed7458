/* cpu_contrast.c - InfoNCE of unit rows on the CPU: one exponential a pair, one matrix for scores and gradients. */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

struct job {
	const struct kernels *k;
	const real *u, *v, *row, *col;
	real *e, *row_out, *g_u;
	double *part; /* [chunks, n] column sums, then [chunks] diagonals */
	double tau, scale;
	int64_t n, d, n_chunk;
};

/* e = exp((s - 1) / tau) over s; their sum by row, added to the columns'. */
K_SIMD static double row_exp(real *e, real slope, double *col, int64_t n)
{
	double s[K_LANES] = {0};
	int64_t j = 0;
	for (; j < n; j++)
		e[j] = k_exp(slope * (e[j] - 1));
	for (j = 0; j < n; j++)
		col[j] += (double)e[j];
	for (j = 0; j + K_LANES <= n; j += K_LANES)
		for (int l = 0; l < K_LANES; l++)
			s[l] += (double)e[j + l];
	for (; j < n; j++)
		s[j % K_LANES] += (double)e[j];
	return k_lanes_sum(s);
}

static void forward_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	int64_t from = chunk * CPU_ROWS, rows = cpu_min(CPU_ROWS, j->n - from), n = j->n;
	double *col = j->part + chunk * n, *diagonal = j->part + j->n_chunk * n + chunk;
	real *e = j->e + from * n;
	cpu_gemm_serial(false, true, rows, n, j->d, 1, j->u + from * j->d, j->d, j->v, j->d, 0, e, n);
	memset(col, 0, (size_t)n * sizeof *col);
	*diagonal = 0;
	for (int64_t i = 0; i < rows; i++) {
		*diagonal += ((double)e[i * n + from + i] - 1) / j->tau;
		j->row_out[from + i] = (real)row_exp(e + i * n, (real)(1 / j->tau), col, n);
	}
}

static void info_nce(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau, real *e,
		     real *row, real *col, real *loss)
{
	struct job j = {.k = k, .u = u, .v = v, .e = e, .row_out = row, .tau = tau, .n = n, .d = d};
	double sum = 0;
	j.n_chunk = cpu_n_chunk(n, CPU_ROWS);
	j.part = cpu_scratch(k, 0, (size_t)(j.n_chunk * (n + 1)) * sizeof *j.part);
	cpu_run(k, j.n_chunk, forward_chunk, &j);
	for (int64_t i = 0; i < n; i++) {
		double total = j.part[i];
		for (int64_t c = 1; c < j.n_chunk; c++)
			total += j.part[c * n + i];
		col[i] = (real)total;
		sum += 0.5 * (log((double)row[i]) + log(total));
	}
	for (int64_t c = 0; c < j.n_chunk; c++)
		sum -= j.part[j.n_chunk * n + c];
	*loss = (real)(sum / (double)n);
}

/* The gradient of the scores in place of e: scale e (1 / row + 1 / col). */
K_SIMD static void row_gradient(real *e, const real *col, real row, real scale, int64_t n)
{
	for (int64_t j = 0; j < n; j++)
		e[j] *= scale * (row + col[j]);
}

static void backward_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct job *j = ctx;
	int64_t from = chunk * CPU_ROWS, rows = cpu_min(CPU_ROWS, j->n - from), n = j->n;
	real *e = j->e + from * n;
	for (int64_t i = 0; i < rows; i++) {
		row_gradient(e + i * n, j->col, 1 / j->row[from + i], (real)j->scale, n);
		e[i * n + from + i] -= (real)(2 * j->scale);
	}
	if (j->g_u)
		cpu_gemm_serial(false, false, rows, j->d, n, 1, e, n, j->v, j->d, 1, j->g_u + from * j->d, j->d);
}

static void info_nce_back(const struct kernels *k, const real *u, const real *v, int64_t n, int64_t d, double tau,
			  real *e, const real *row, const real *col, const real *g_loss, real *g_u, real *g_v)
{
	struct job j = {.k = k, .v = v, .e = e, .row = row, .g_u = g_u, .n = n, .d = d};
	real *inverse = cpu_scratch(k, 0, (size_t)(n + 1) * sizeof *inverse);
	for (int64_t i = 0; i < n; i++)
		inverse[i] = 1 / col[i];
	j.col = inverse;
	j.scale = (double)*g_loss / (2 * tau * (double)n);
	cpu_run(k, cpu_n_chunk(n, CPU_ROWS), backward_chunk, &j);
	if (g_v)
		k->gemm(k, true, false, n, d, n, 1, e, n, u, d, 1, g_v, d);
}

void kernels_cpu_contrast(struct kernels *k)
{
	k->info_nce = info_nce;
	k->info_nce_back = info_nce_back;
}
