/* cpu_pairs.c - sums over pairs of atoms whose filters are made of features, on the CPU. */
#include "cpu.h"
#include "cpu_math.h"

#include <string.h>

enum { MAX_FEATURE = 16, FEATURE_ROWS = 64 }; /* rows of a chunk */

struct feature_job {
	const struct k_csr *c;
	const int64_t *other;
	const real *f, *w, *x, *g_y;
	real *y, *g_x, *part;
	int64_t d;
	int n_feature;
	bool add;
};

/*
 * A filter is linear in its features, so it can wait outside of the sum: z[q] = sum over the items e of row v of
 * f[e, q] x[other[e]], for a strip of columns, and only then the weights. q < n, a constant where this is used.
 */
K_INLINE void gather_strip(const struct feature_job *j, const real *x, int64_t v, int64_t c, const int n, cpu_wide *z)
{
	const int64_t from = j->c->start[v], to = j->c->start[v + 1];
	for (int q = 0; q < n; q++)
		z[q] = (cpu_wide){0};
	for (int64_t i = from; i < to; i++) {
		const int64_t e = j->c->item[i];
		const real *f = j->f + e * n;
		const cpu_wide row = CPU_STRIP(x + j->other[e] * j->d + c);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++)
			z[q] += row * f[q];
	}
}

/* The same for the columns that fill no strip, one by one. */
static inline void gather_column(const struct feature_job *j, const real *x, int64_t v, int64_t c, int n, real *z)
{
	memset(z, 0, (size_t)n * sizeof *z);
	for (int64_t i = j->c->start[v]; i < j->c->start[v + 1]; i++) {
		const int64_t e = j->c->item[i];
		const real row = x[j->other[e] * j->d + c];
		for (int q = 0; q < n; q++)
			z[q] += row * j->f[e * n + q];
	}
}

K_INLINE void feature_sum_row(const struct feature_job *j, int64_t v, const int n)
{
	real *y = j->y + v * j->d;
	int64_t c = 0;
	for (; c + CPU_WIDE <= j->d; c += CPU_WIDE) {
		cpu_wide z[MAX_FEATURE], sum = {0};
		gather_strip(j, j->x, v, c, n, z);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++)
			sum += z[q] * CPU_STRIP(j->w + q * j->d + c);
		if (j->add)
			sum += CPU_STRIP(y + c);
		CPU_STRIP(y + c) = sum;
	}
	for (; c < j->d; c++) {
		real z[MAX_FEATURE], sum = 0;
		gather_column(j, j->x, v, c, n, z);
		for (int q = 0; q < n; q++)
			sum += z[q] * j->w[q * j->d + c];
		y[c] = j->add ? y[c] + sum : sum;
	}
}

K_SIMD static void feature_sum_rows(const struct feature_job *j, int64_t from, int64_t to)
{
	for (int64_t v = from; v < to; v++)
		if (j->n_feature == 12)
			feature_sum_row(j, v, 12);
		else if (j->n_feature == 6)
			feature_sum_row(j, v, 6);
		else
			feature_sum_row(j, v, j->n_feature);
}

static void feature_sum_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct feature_job *j = ctx;
	feature_sum_rows(j, chunk * FEATURE_ROWS, cpu_min(j->c->n, (chunk + 1) * FEATURE_ROWS));
}

static void feature_sum(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
			const real *w, int n_feature, const real *x, real *y, int64_t d, bool add)
{
	struct feature_job j = {
	    .c = c, .other = other, .f = f, .w = w, .x = x, .y = y, .d = d, .n_feature = n_feature, .add = add};
	cpu_run(k, cpu_n_chunk(c->n, FEATURE_ROWS), feature_sum_chunk, &j);
}

/*
 * Of sources [from, to): z from the gradients of a source's targets gives both its own gradient and its share of the
 * weights'. Strip by strip of columns, so that the weights' gradient stays in registers.
 */
K_INLINE void feature_back_strip(const struct feature_job *j, int64_t from, int64_t to, int64_t c, real *part,
				 const int n)
{
	cpu_wide share[MAX_FEATURE];
	for (int q = 0; q < n; q++)
		share[q] = (cpu_wide){0};
	for (int64_t v = from; v < to; v++) {
		cpu_wide z[MAX_FEATURE], sum = {0};
		const cpu_wide row = CPU_STRIP(j->x + v * j->d + c);
		gather_strip(j, j->g_y, v, c, n, z);
#pragma GCC unroll 16
		for (int q = 0; q < n; q++) {
			sum += z[q] * CPU_STRIP(j->w + q * j->d + c);
			share[q] += z[q] * row;
		}
		if (j->g_x)
			CPU_STRIP(j->g_x + v * j->d + c) += sum;
	}
	for (int q = 0; q < n; q++)
		CPU_STRIP(part + q * j->d + c) = share[q];
}

static void feature_back_column(const struct feature_job *j, int64_t from, int64_t to, int64_t c, real *part)
{
	const int n = j->n_feature;
	for (int q = 0; q < n; q++)
		part[q * j->d + c] = 0;
	for (int64_t v = from; v < to; v++) {
		real z[MAX_FEATURE], sum = 0;
		gather_column(j, j->g_y, v, c, n, z);
		for (int q = 0; q < n; q++) {
			sum += z[q] * j->w[q * j->d + c];
			part[q * j->d + c] += z[q] * j->x[v * j->d + c];
		}
		if (j->g_x)
			j->g_x[v * j->d + c] += sum;
	}
}

K_SIMD static void feature_back_rows(const struct feature_job *j, int64_t from, int64_t to, real *part)
{
	int64_t c = 0;
	for (; c + CPU_WIDE <= j->d; c += CPU_WIDE)
		if (j->n_feature == 12)
			feature_back_strip(j, from, to, c, part, 12);
		else if (j->n_feature == 6)
			feature_back_strip(j, from, to, c, part, 6);
		else
			feature_back_strip(j, from, to, c, part, j->n_feature);
	for (; c < j->d; c++)
		feature_back_column(j, from, to, c, part);
}

static void feature_back_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct feature_job *j = ctx;
	real *part = j->part + chunk * j->n_feature * j->d;
	feature_back_rows(j, chunk * FEATURE_ROWS, cpu_min(j->c->n, (chunk + 1) * FEATURE_ROWS), part);
}

static void feature_back(const struct kernels *k, const struct k_csr *c, const int64_t *other, const real *f,
			 const real *w, int n_feature, const real *x, const real *g_y, real *g_x, real *g_w, int64_t d)
{
	int64_t n_chunk = cpu_n_chunk(c->n, FEATURE_ROWS), n = n_feature * d;
	struct feature_job j = {.c = c,
				.other = other,
				.f = f,
				.w = w,
				.x = x,
				.g_y = g_y,
				.g_x = g_x,
				.part = cpu_scratch(k, 0, (size_t)(n_chunk * n + 1) * sizeof(real)),
				.d = d,
				.n_feature = n_feature};
	cpu_run(k, n_chunk, feature_back_chunk, &j);
	for (int64_t i = 0; i < n && g_w; i++) {
		double sum = 0;
		for (int64_t h = 0; h < n_chunk; h++)
			sum += (double)j.part[h * n + i];
		g_w[i] += (real)sum;
	}
}

void kernels_cpu_pairs(struct kernels *k)
{
	k->feature_sum = feature_sum;
	k->feature_back = feature_back;
}
