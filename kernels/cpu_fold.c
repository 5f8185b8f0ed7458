/*
 * cpu_fold.c - BatchNorm that is never written out: its scale and shift for whoever reads the rows, the sum that ends a
 * residual block, and the way back in place.
 *
 * Sums go down a chunk's rows in double, 16 columns at a time in registers, and over the chunks in their order.
 */
#include "cpu.h"

#include <math.h>
#include <string.h>

enum { V = 8, W = 2 * V }; /* columns of a vector; at a time */
#define COLUMNS K_APART for (int64_t c = 0; c < d; c++)
typedef real vec __attribute__((vector_size(V * sizeof(real)), aligned(sizeof(real))));
typedef double vec_double __attribute__((vector_size(V * sizeof(double))));
typedef __typeof__((vec){0} > (vec){0}) vec_mask;

struct fold_job {
	const struct k_batch_norm *b;
	const real *x, *scale, *shift, *y;
	real *g, *g_x;
	const real *mean_g, *mean_gx;
	double *part; /* [n_chunk, 2, d] */
	const struct k_join *join;
	real *out;
};

static int64_t n_chunk_of(const struct k_batch_norm *b)
{
	return cpu_n_chunk(b->n, cpu_rows_of(b->d));
}

/* ---- statistics ------------------------------------------------------------------------------------------------- */

/* Sums of x - first and of its square over n rows: `first`, a row, is near the mean, so that nothing is lost when the
 * square of the one is taken from the other. */
K_SIMD static void moments(const real *x, const real *first, int64_t n, int64_t d, double *s, double *q)
{
	int64_t c = 0;
	for (; c + W <= d; c += W) {
		vec_double s0 = {0}, s1 = {0}, q0 = {0}, q1 = {0};
		vec_double f0 = __builtin_convertvector(*(const vec *)(first + c), vec_double);
		vec_double f1 = __builtin_convertvector(*(const vec *)(first + c + V), vec_double);
		for (int64_t i = 0; i < n; i++) {
			vec_double z0 = __builtin_convertvector(*(const vec *)(x + i * d + c), vec_double) - f0;
			vec_double z1 = __builtin_convertvector(*(const vec *)(x + i * d + c + V), vec_double) - f1;
			s0 += z0;
			s1 += z1;
			q0 += z0 * z0;
			q1 += z1 * z1;
		}
		memcpy(s + c, &s0, sizeof s0);
		memcpy(s + c + V, &s1, sizeof s1);
		memcpy(q + c, &q0, sizeof q0);
		memcpy(q + c + V, &q1, sizeof q1);
	}
	for (; c < d; c++) {
		s[c] = q[c] = 0;
		for (int64_t i = 0; i < n; i++) {
			double z = (double)x[i * d + c] - (double)first[c];
			s[c] += z;
			q[c] += z * z;
		}
	}
}

static void moments_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct fold_job *j = ctx;
	int64_t d = j->b->d, rows = cpu_rows_of(d), from = chunk * rows;
	double *part = j->part + chunk * 2 * d;
	moments(j->x + from * d, j->x, cpu_min(rows, j->b->n - from), d, part, part + d);
}

/* Means in double, for the shift: until the next use of scratch slot 0. */
static const double *statistics(const struct kernels *k, const struct k_batch_norm *b, const real *x)
{
	int64_t n_chunk = n_chunk_of(b);
	struct fold_job j = {
	    .b = b, .x = x, .part = cpu_scratch(k, 0, (size_t)(n_chunk * 2 * b->d + 1) * sizeof(double))};
	cpu_run(k, n_chunk, moments_chunk, &j);
	cpu_norm_settle(b, x, j.part, n_chunk, (double)b->n);
	return j.part;
}

/* The shift makes up for the rounding of the scale. */
static void norm_fold(const struct kernels *k, const struct k_batch_norm *b, const real *x, real *scale, real *shift)
{
	const double *mean = b->train && b->n ? statistics(k, b, x) : NULL;
	for (int64_t c = 0; c < b->d; c++) {
		if (!b->train) {
			b->mean[c] = b->run_mean[c];
			b->inv[c] = (real)(1 / sqrt((double)b->run_var[c] + b->eps));
		}
		scale[c] = (real)((double)b->weight[c] * (double)b->inv[c]);
		shift[c] = (real)((double)b->bias[c] - (mean ? mean[c] : (double)b->mean[c]) * (double)scale[c]);
	}
}

/* ---- the end of a block ----------------------------------------------------------------------------------------- */

#define DOUBLES(x) __builtin_convertvector(*(const vec *)(x), vec_double)

/* Rounded once: what follows a BatchNorm of few rows blows rounding up. */
K_SIMD static void join_rows(const struct k_join *j, int64_t from, int64_t to, real *y)
{
	const real *scale = j->scale, *shift = j->shift, *rs = j->res_scale, *rt = j->res_shift;
	int64_t d = j->d;
	for (int64_t i = from; i < to; i++) {
		const real *x = j->x + i * d, *r = j->residual + i * d;
		real *o = y + i * d;
		int64_t c = 0;
		for (; c + V <= d; c += V) {
			vec_double v = DOUBLES(scale + c) * DOUBLES(x + c) + DOUBLES(shift + c);
			v += rs ? DOUBLES(rs + c) * DOUBLES(r + c) + DOUBLES(rt + c) : DOUBLES(r + c);
			vec z = __builtin_convertvector(v, vec);
			*(vec *)(o + c) = (vec)((vec_mask)z & (z > (vec){0}));
		}
		for (; c < d; c++) {
			double v = (double)scale[c] * (double)x[c] + (double)shift[c];
			v += rs ? (double)rs[c] * (double)r[c] + (double)rt[c] : (double)r[c];
			o[c] = v > 0 ? (real)v : 0;
		}
	}
}

static void join_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct fold_job *j = ctx;
	int64_t rows = cpu_rows_of(j->join->d);
	join_rows(j->join, chunk * rows, cpu_min((chunk + 1) * rows, j->join->n), j->out);
}

static void norm_join(const struct kernels *k, const struct k_join *join, real *y)
{
	struct fold_job j = {.join = join, .out = y};
	cpu_run(k, cpu_n_chunk(join->n, cpu_rows_of(join->d)), join_chunk, &j);
}

/* ---- back ------------------------------------------------------------------------------------------------------- */

/* What of a gradient passes the ReLU: where y is positive, or where scale x + shift is. */
static inline __attribute__((always_inline)) void cut(vec *g, const vec *x, const vec *scale, const vec *shift,
						      const real *y)
{
	vec z = y ? *(const vec *)y : *scale * *x + *shift;
	*g = (vec)((vec_mask)*g & (z > (vec){0}));
}

static inline __attribute__((always_inline)) bool passes(real x, real scale, real shift, const real *y)
{
	return (y ? *y : scale * x + shift) > 0;
}

/* Sums of g and of g xhat down n rows; where y tells what passed, g is cut at once. */
K_SIMD static void back_sums(const struct fold_job *j, int64_t from, int64_t n, double *s, double *q)
{
	const struct k_batch_norm *b = j->b;
	int64_t d = b->d, c = 0;
	const real *x = j->x + from * d, *y = j->y ? j->y + from * d : NULL;
	real *g = j->g + from * d;
	for (; c + V <= d; c += V) {
		vec_double s0 = {0}, q0 = {0};
		vec mean = *(const vec *)(b->mean + c), inv = *(const vec *)(b->inv + c);
		vec scale = *(const vec *)(j->scale + c), shift = *(const vec *)(j->shift + c);
		for (int64_t i = 0; i < n; i++) {
			vec xi = *(const vec *)(x + i * d + c), gi = *(const vec *)(g + i * d + c);
			if (b->relu) {
				cut(&gi, &xi, &scale, &shift, y ? y + i * d + c : NULL);
				if (y)
					*(vec *)(g + i * d + c) = gi;
			}
			s0 += __builtin_convertvector(gi, vec_double);
			q0 += __builtin_convertvector(gi * ((xi - mean) * inv), vec_double);
		}
		memcpy(s + c, &s0, sizeof s0);
		memcpy(q + c, &q0, sizeof q0);
	}
	for (; c < d; c++) {
		s[c] = q[c] = 0;
		for (int64_t i = 0; i < n; i++) {
			real xi = x[i * d + c];
			if (b->relu && !passes(xi, j->scale[c], j->shift[c], y ? y + i * d + c : NULL)) {
				if (y)
					g[i * d + c] = 0;
				continue;
			}
			s[c] += (double)g[i * d + c];
			q[c] += (double)(g[i * d + c] * ((xi - b->mean[c]) * b->inv[c]));
		}
	}
}

static void back_sums_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct fold_job *j = ctx;
	int64_t d = j->b->d, rows = cpu_rows_of(d), from = chunk * rows;
	double *part = j->part + chunk * 2 * d;
	back_sums(j, from, cpu_min(rows, j->b->n - from), part, part + d);
}

K_SIMD static void back_rows(const struct fold_job *j, int64_t from, int64_t to)
{
	const struct k_batch_norm *b = j->b;
	const real *mean = b->mean, *inv = b->inv, *scale = j->scale, *shift = j->shift;
	const real *mean_g = j->mean_g, *mean_gx = j->mean_gx;
	bool cut = b->relu && !j->y;
	int64_t d = b->d;
	for (int64_t i = from; i < to; i++) {
		const real *x = j->x + i * d, *g = j->g + i * d;
		real *g_x = j->g_x + i * d;
		if (cut)
			COLUMNS
			{
				real gc = scale[c] * x[c] + shift[c] > 0 ? g[c] : 0;
				g_x[c] = scale[c] * (gc - (mean_g[c] + (x[c] - mean[c]) * inv[c] * mean_gx[c]));
			}
		else
			COLUMNS g_x[c] = scale[c] * (g[c] - (mean_g[c] + (x[c] - mean[c]) * inv[c] * mean_gx[c]));
	}
}

static void back_chunk(void *ctx, int64_t chunk, int thread)
{
	(void)thread;
	const struct fold_job *j = ctx;
	int64_t rows = cpu_rows_of(j->b->d);
	back_rows(j, chunk * rows, cpu_min((chunk + 1) * rows, j->b->n));
}

static void norm_fold_back(const struct kernels *k, const struct k_batch_norm *b, const real *x, const real *scale,
			   const real *shift, const real *y, real *g, real *g_x, real *g_weight, real *g_bias)
{
	int64_t n_chunk = n_chunk_of(b), d = b->d;
	real *mean_g = cpu_scratch(k, 1, (size_t)(2 * d + 1) * sizeof *mean_g), *mean_gx = mean_g + d;
	struct fold_job j = {.b = b,
			     .x = x,
			     .scale = scale,
			     .shift = shift,
			     .y = y,
			     .g = g,
			     .g_x = g_x,
			     .mean_g = mean_g,
			     .mean_gx = mean_gx,
			     .part = cpu_scratch(k, 0, (size_t)(n_chunk * 2 * d + 1) * sizeof(double))};
	if (!b->n)
		return;
	cpu_run(k, n_chunk, back_sums_chunk, &j);
	for (int64_t c = 0; c < d; c++) {
		double s = cpu_over_chunks(j.part + c, n_chunk, 2 * d),
		       q = cpu_over_chunks(j.part + d + c, n_chunk, 2 * d);
		if (g_bias)
			g_bias[c] += (real)s;
		if (g_weight)
			g_weight[c] += (real)q;
		mean_g[c] = b->train ? (real)(s / (double)b->n) : 0; /* running statistics do not depend on x */
		mean_gx[c] = b->train ? (real)(q / (double)b->n) : 0;
	}
	cpu_run(k, n_chunk, back_chunk, &j);
}

void kernels_cpu_fold(struct kernels *k)
{
	k->norm_fold = norm_fold;
	k->norm_join = norm_join;
	k->norm_fold_back = norm_fold_back;
}
